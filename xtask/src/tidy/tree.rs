//! What the checks look at: the texts of the repository and the edges between its crates.
//!
//! Read once; the checks do no I/O. Tests build a [`Tree`] from strings.

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};
use cargo_metadata::camino::Utf8Path;
use cargo_metadata::{DependencyKind, Metadata};

use crate::workspace::Workspace;

/// The repository as data. Paths are relative to the root, with `/`.
#[derive(Debug, Default)]
pub(super) struct Tree {
    pub(super) files: BTreeMap<String, String>,
    /// The members of the workspace.
    pub(super) members: Vec<Member>,
    /// Dependencies of members on members.
    pub(super) edges: Vec<Edge>,
    /// The files that cargo's targets begin with.
    pub(super) roots: Vec<String>,
}

/// A crate of the workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) name: String,
    /// Its `Cargo.toml`, from the root.
    pub(super) manifest: String,
}

/// A dependency of one crate of the workspace on another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Edge {
    pub(super) from: String,
    pub(super) to: String,
    pub(super) kind: EdgeKind,
}

/// Which table of `Cargo.toml` an edge comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EdgeKind {
    /// Dependencies and build dependencies: what users of the crate get.
    Normal,
    /// Development dependencies: tests, examples and benches only.
    Dev,
}

impl Tree {
    /// Reads the files that git tracks or would track, and asks cargo for the edges.
    pub(super) fn read(workspace: &Workspace) -> anyhow::Result<Self> {
        let output = Command::new("git")
            .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
            .current_dir(workspace.root())
            .stdin(Stdio::null())
            .output()
            .context("cannot start git, which lists the files")?;
        ensure!(
            output.status.success(),
            "git ls-files failed: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
        let mut files = BTreeMap::new();
        for name in output.stdout.split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
            let name = String::from_utf8(name.to_vec()).context("a file's name is no UTF-8")?;
            let path = workspace.path(&name);
            // A file deleted but still in the index is gone; a link to a directory is no text.
            if !path.is_file() {
                continue;
            }
            let bytes = std::fs::read(&path).with_context(|| format!("cannot read {name}"))?;
            // Bytes that are no text are known by name only.
            files.insert(name, String::from_utf8(bytes).unwrap_or_default());
        }
        let (members, edges) = graph(&workspace.metadata);
        Ok(Self { files, members, edges, roots: roots(&workspace.metadata) })
    }

    /// The text of one file.
    pub(super) fn text(&self, path: &str) -> Option<&str> {
        self.files.get(path).map(String::as_str)
    }

    /// All files with their texts.
    pub(super) fn files(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files.iter().map(|(path, text)| (path.as_str(), text.as_str()))
    }

    /// Rust files, apart from the fixtures of compile-fail tests.
    pub(super) fn rust(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files()
            .filter(|(path, _)| path.ends_with(".rs") && !format!("/{path}").contains("/tests/ui/"))
    }

    /// Markdown files.
    pub(super) fn markdown(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files().filter(|(path, _)| path.ends_with(".md"))
    }

    /// Says whether a path is a file or a directory with files.
    pub(super) fn has(&self, path: &str) -> bool {
        path.is_empty()
            || self.files.contains_key(path)
            || self
                .files
                .keys()
                .any(|file| file.strip_prefix(path).is_some_and(|rest| rest.starts_with('/')))
    }
}

fn graph(metadata: &Metadata) -> (Vec<Member>, Vec<Edge>) {
    let packages = metadata.workspace_packages();
    let names: BTreeSet<&str> = packages.iter().map(|package| package.name.as_str()).collect();
    let mut members = Vec::new();
    let mut edges = Vec::new();
    for package in packages {
        let manifest = from_root(metadata, &package.manifest_path);
        members.push(Member { name: package.name.to_string(), manifest });
        for dependency in package
            .dependencies
            .iter()
            .filter(|dependency| names.contains(dependency.name.as_str()))
        {
            let kind = match dependency.kind {
                DependencyKind::Development => EdgeKind::Dev,
                _ => EdgeKind::Normal,
            };
            edges.push(Edge { from: package.name.to_string(), to: dependency.name.clone(), kind });
        }
    }
    (members, edges)
}

fn roots(metadata: &Metadata) -> Vec<String> {
    let targets = metadata.workspace_packages().into_iter().flat_map(|package| &package.targets);
    targets.map(|target| from_root(metadata, &target.src_path)).collect()
}

fn from_root(metadata: &Metadata, path: &Utf8Path) -> String {
    path.strip_prefix(&metadata.workspace_root).unwrap_or(path).as_str().replace('\\', "/")
}

#[cfg(test)]
impl Tree {
    /// A tree of these files and no crates. The roots are the files where cargo looks for targets by itself.
    pub(super) fn of(files: &[(&str, &str)]) -> Self {
        let is_root = |path: &str| {
            let (directory, name) = path.rsplit_once('/').unwrap_or(("", path));
            directory.ends_with("tests") || name == "lib.rs" || name == "main.rs"
        };
        let roots = files.iter().map(|(path, _)| (*path).to_owned()).filter(|path| is_root(path));
        let roots = roots.collect();
        let files =
            files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
        Self { files, roots, ..Self::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directory_is_known_by_its_files() {
        let tree = Tree::of(&[("docs/A.md", "")]);
        assert!(tree.has("docs/A.md") && tree.has("docs") && tree.has(""));
        assert!(!tree.has("doc") && !tree.has("docs/B.md"));
    }

    #[test]
    fn fixtures_of_compile_fail_tests_are_no_rust_of_ours() {
        let tree =
            Tree::of(&[("a/tests/ui/bad.rs", ""), ("a/src/ui/page.rs", ""), ("README.md", "")]);
        assert_eq!(tree.rust().map(|(path, _)| path).collect::<Vec<_>>(), ["a/src/ui/page.rs"]);
    }
}
