//! Where the workspace is, and how cargo is called in it.
//!
//! The root comes from `cargo metadata` in the current directory, never from a path fixed at compile time, so a
//! moved or copied clone works. Nothing here needs the network: metadata is asked without dependencies.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context as _;
use cargo_metadata::{Metadata, MetadataCommand};

/// The workspace that the command was started in.
pub(crate) struct Workspace {
    /// What cargo knows of the members; packages from outside are not in it.
    pub(crate) metadata: Metadata,
    cargo: OsString,
}

impl Workspace {
    /// Asks cargo for the workspace around the current directory.
    pub(crate) fn find() -> anyhow::Result<Self> {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
        let metadata = MetadataCommand::new()
            .cargo_path(&cargo)
            .no_deps()
            .exec()
            .context("cargo metadata failed; run this command inside of the workspace")?;
        Ok(Self { metadata, cargo })
    }

    /// The directory of the workspace's `Cargo.toml`.
    pub(crate) fn root(&self) -> &Path {
        self.metadata.workspace_root.as_std_path()
    }

    /// The target directory. Builds that need other flags use a directory inside of it, so that the main cache
    /// survives them.
    pub(crate) fn target(&self) -> &Path {
        self.metadata.target_directory.as_std_path()
    }

    /// A path below the root.
    pub(crate) fn path(&self, relative: &str) -> PathBuf {
        self.root().join(relative)
    }

    /// A cargo call at the root, without standard input.
    pub(crate) fn cargo<I, S>(&self, args: I) -> Command
    where
        I: IntoIterator<Item = S>,
        S: AsRef<std::ffi::OsStr>,
    {
        let mut command = Command::new(&self.cargo);
        command.args(args).current_dir(self.root()).stdin(Stdio::null());
        command
    }
}

/// Adds flags to a variable such as `RUSTFLAGS` of the command, behind those that the user has set.
pub(crate) fn append_flags(command: &mut Command, variable: &str, flags: &str) {
    let flags = match std::env::var(variable) {
        Ok(present) if !present.trim().is_empty() => format!("{present} {flags}"),
        _ => flags.to_owned(),
    };
    // The encoded form would win over the plain one.
    command.env_remove(format!("CARGO_ENCODED_{variable}")).env(variable, flags);
}
