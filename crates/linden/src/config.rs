//! The configuration of a node: one `linden.toml`, environment variables over it, typed sections out of it.
//!
//! Lives here: [`Config`] and what it is made of. Read once at boot, before processes exist; a `Config` is plain
//! data and may be shared. Reads one file when loaded; never the environment by itself (the caller passes it in).
//!
//! The file has tables only: `[node]`, `[log]`, and one per application, under its name. A variable
//! `LINDEN__TABLE__KEY=value` (or `LINDEN__TABLE__KEY__SUBKEY=value`) overrides one key. Names are matched without
//! regard to case, `_` and `-` stay as they are. The value is read as TOML (`8080`, `true`, `["a", "b"]`), or else
//! as a string; where a string is wanted it is taken as it stands, so `12345` can be a password.
//!
//! Invariants:
//! - Nothing is passed over in silence: unknown keys and tables are errors, all in one, each with its place.
//! - No error text, `Debug` included, holds the value of a key whose path looks secret (`*secret*`, `*password*`,
//!   `*token*`, `*key*` ...). A syntax error shows no part of the file at all.
//! - An absent table is an empty one.
//!
//! Absent on purpose: a second file, a search path, defaults outside of the section types, reloading. Unknown keys
//! below `#[serde(flatten)]` or in untagged enums cannot be seen: serde swallows them before.

mod de;
pub mod duration;
mod error;
mod nearest;
mod overrides;
mod sections;
mod tree;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use serde::de::DeserializeOwned;

pub use error::{ConfigError, Place, Problem, ProblemKind};
pub use sections::{LogConfig, LogFormat, LogLevel, NodeConfig};

use de::Section;
use nearest::nearest;
use tree::{Entry, Node, Origin, Table, Value};

/// Tables that every node has.
const NODE_TABLES: [&str; 2] = ["node", "log"];

/// A node's configuration, read but not yet typed.
///
/// # Examples
/// ```
/// use linden::config::{Config, ConfigError};
///
/// #[derive(serde::Deserialize)]
/// #[serde(default)]
/// struct Billing {
///     retries: u32,
/// }
/// impl Default for Billing {
///     fn default() -> Self {
///         Self { retries: 3 }
///     }
/// }
///
/// # fn main() -> Result<(), ConfigError> {
/// let env = [("LINDEN__BILLING__RETRIES".to_owned(), "5".to_owned())];
/// let config = Config::load(None, env)?;
/// config.check_tables(&["billing"])?;
/// assert_eq!(config.section::<Billing>("billing")?.retries, 5);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Config {
    file: Option<Arc<Path>>,
    root: Table,
}

impl Config {
    /// Reads the file, if there is to be one, and lays the environment's overrides over it.
    ///
    /// Of `env` (usually `std::env::vars()`) only names that begin with `LINDEN__` are looked at.
    ///
    /// # Errors
    /// When the file cannot be read or is no TOML, has keys outside of tables, or when an override makes no sense.
    pub fn load(
        path: Option<&Path>,
        env: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let file: Option<Arc<Path>> = path.map(Arc::from);
        let mut root = match &file {
            Some(file) => tree::read(file)?,
            None => Table::default(),
        };
        let mut problems: Vec<Problem> =
            root.entries.iter().filter_map(|entry| not_a_table(entry, file.as_ref())).collect();
        problems.extend(overrides::apply(&mut root, env));
        if !problems.is_empty() {
            return Err(ConfigError::Invalid { problems });
        }
        Ok(Self { file, root })
    }

    /// The table of this name, typed. An absent table is an empty one.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`] with all unknown keys and the first key that is missing or of the wrong type.
    pub fn section<T: DeserializeOwned>(&self, name: &str) -> Result<T, ConfigError> {
        let absent =
            Node { value: Value::Table(Table::default()), origin: Origin::Absent, raw: None };
        let node = self.table(name).map_or(&absent, |entry| &entry.node);
        let section = Section::new(name, self.file.as_ref());
        section.read(node).map_err(|problems| ConfigError::Invalid { problems })
    }

    /// Refuses tables that are neither `known` nor `node` or `log`.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`] with all unknown tables.
    pub fn check_tables(&self, known: &[&str]) -> Result<(), ConfigError> {
        let mut all: Vec<&str> = NODE_TABLES.to_vec();
        all.extend(known.iter().filter(|name| !NODE_TABLES.contains(name)));
        let unknown = |entry: &&Entry| !all.iter().any(|name| entry.is_called(name));
        let problems: Vec<Problem> = self
            .root
            .entries
            .iter()
            .filter(unknown)
            .map(|entry| Problem {
                place: entry.origin.place(self.file.as_ref()),
                key: entry.key.clone(),
                kind: ProblemKind::UnknownTable {
                    nearest: nearest(&entry.key, &all),
                    known: all.iter().map(|&name| name.to_owned()).collect(),
                },
            })
            .collect();
        if problems.is_empty() { Ok(()) } else { Err(ConfigError::Invalid { problems }) }
    }

    /// The names of the tables there are, in the order of the file, then those that only the environment names.
    pub fn table_names(&self) -> impl Iterator<Item = &str> {
        self.root.entries.iter().map(|entry| entry.key.as_str())
    }

    fn table(&self, name: &str) -> Option<&Entry> {
        self.root.entries.iter().find(|entry| entry.is_called(name))
    }
}

/// Table names only: values may be secret.
impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tables: Vec<&str> = self.table_names().collect();
        f.debug_struct("Config")
            .field("file", &self.file)
            .field("tables", &tables)
            .finish_non_exhaustive()
    }
}

fn not_a_table(entry: &Entry, file: Option<&Arc<Path>>) -> Option<Problem> {
    if matches!(entry.node.value, Value::Table(_)) {
        return None;
    }
    let place = entry.origin.place(file);
    Some(Problem { place, key: entry.key.clone(), kind: ProblemKind::NotATable })
}

#[cfg(test)]
mod tests;
