//! Which Rust files the compiler sees: the roots of cargo's targets, and what `mod` lines lead to from there.
//!
//! A file that no `mod` names is text: what it says of tests is not so. Modules are looked for as rustc does, in code laid out by
//! rustfmt, but for those inside of an inline `mod name { ... }`, which lead nowhere here: such a file is taken for unreached,
//! never the other way round.

use std::collections::BTreeSet;

use super::rust;
use super::tree::Tree;

/// The paths of all files that are part of a target.
pub(super) fn reached(tree: &Tree) -> BTreeSet<String> {
    let mut reached = BTreeSet::new();
    let mut open: Vec<File> = tree
        .roots
        .iter()
        .map(|path| File { path: path.clone(), children: directory(path).to_owned() })
        .collect();
    while let Some(file) = open.pop() {
        let Some(text) = tree.text(&file.path) else { continue };
        if reached.insert(file.path.clone()) {
            open.extend(file.modules(tree, text));
        }
    }
    reached
}

/// A file that is reached, and where the modules that it names lie.
struct File {
    path: String,
    children: String,
}

impl File {
    fn modules(&self, tree: &Tree, text: &str) -> Vec<File> {
        let mut files = Vec::new();
        let mut given = None;
        // How far the inline module is indented that the lines are inside of.
        let mut inline = None;
        for (line, raw) in rust::split(text).iter().zip(text.lines()) {
            let code = line.code.trim();
            let indentation = line.code.len() - line.code.trim_start().len();
            if let Some(opened) = inline {
                if code == "}" && indentation == opened {
                    inline = None;
                }
            } else if module(code, " {").is_some() {
                inline = Some(indentation);
            } else if code.starts_with("#[path") {
                given = raw.split('"').nth(1);
            } else if let Some(name) = module(code, ";") {
                files.extend(self.file_of(tree, name, given.take()));
            } else if !code.is_empty() && !code.starts_with("#[") {
                given = None;
            }
        }
        files
    }

    /// The file of the module `name`; with the path of its attribute, if it has one.
    fn file_of(&self, tree: &Tree, name: &str, given: Option<&str>) -> Option<File> {
        if let Some(given) = given {
            let path = join(directory(&self.path), given);
            let children = directory(&path).to_owned();
            return Some(File { path, children });
        }
        let children = join(&self.children, name);
        [format!("{children}.rs"), format!("{children}/mod.rs")]
            .into_iter()
            .find(|path| tree.text(path).is_some())
            .map(|path| File { path, children })
    }
}

/// `name` for a line such as `pub(crate) mod name;`, whose end is given.
fn module<'a>(code: &'a str, end: &str) -> Option<&'a str> {
    let (visibility, rest) = code.split_once("mod ")?;
    let is_visibility =
        visibility.is_empty() || (visibility.starts_with("pub") && visibility.ends_with(' '));
    is_visibility.then(|| rest.strip_suffix(end)).flatten()
}

/// The directory of a file, without a slash at its end.
fn directory(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(directory, _)| directory)
}

/// A path from a directory on, `.` and `..` taken out.
fn join(directory: &str, relative: &str) -> String {
    let mut parts: Vec<&str> = directory.split('/').filter(|part| !part.is_empty()).collect();
    for part in relative.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(files: &[(&str, &str)], expected: &[&str]) {
        let tree = Tree::of(files);
        let reached = reached(&tree);
        assert_eq!(reached.iter().map(String::as_str).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn modules_are_found_beside_below_and_by_their_paths() {
        check(
            &[
                (
                    "a/src/lib.rs",
                    "mod b;\nall! {\n    pub(crate) mod c;\n}\n#[cfg(test)]\nmod tests;\n",
                ),
                ("a/src/b.rs", "pub mod d;\n"),
                ("a/src/b/d.rs", ""),
                ("a/src/c/mod.rs", "mod e;\n"),
                ("a/src/c/e.rs", ""),
                ("a/src/tests.rs", ""),
                ("a/tests/t.rs", "#[path = \"support/s.rs\"]\nmod s;\n"),
                ("a/tests/support/s.rs", "mod u;\n"),
                ("a/tests/support/u.rs", ""),
            ],
            &[
                "a/src/b.rs",
                "a/src/b/d.rs",
                "a/src/c/e.rs",
                "a/src/c/mod.rs",
                "a/src/lib.rs",
                "a/src/tests.rs",
                "a/tests/support/s.rs",
                "a/tests/support/u.rs",
                "a/tests/t.rs",
            ],
        );
    }

    #[test]
    fn a_file_that_no_module_names_is_not_reached() {
        check(
            &[
                (
                    "a/src/lib.rs",
                    "// mod gone;\nconst A: &str = \"\nmod text;\n\";\nmod a {\n    mod inner;\n}\n",
                ),
                ("a/src/gone.rs", ""),
                ("a/src/inner.rs", ""),
                ("a/src/text.rs", ""),
            ],
            &["a/src/lib.rs"],
        );
    }
}
