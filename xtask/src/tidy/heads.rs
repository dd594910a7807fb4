//! Each Rust file opens with `//!`: what lives here, who may touch it, which invariants hold.
//!
//! Build scripts and fixtures of compile-fail tests are exempt.

use super::Finding;
use super::tree::Tree;

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    tree.rust()
        .filter(|(path, _)| !path.ends_with("build.rs"))
        // Listings of a documentation page are fragments.
        .filter(|(path, _)| !path.contains("/docs/"))
        .filter(|(_, text)| !text.starts_with("//!"))
        .map(|(path, _)| {
            Finding::line(path, 0, "the file must open with `//!`: what lives here, and its rules")
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_without_a_head_is_found() {
        let tree = Tree::of(&[("a/src/lib.rs", "#![forbid(unsafe_code)]\n//! Late.\n")]);
        assert_eq!(check(&tree).len(), 1);
    }

    #[test]
    fn heads_build_scripts_and_fixtures_pass() {
        let tree = Tree::of(&[
            ("a/src/lib.rs", "//! A.\n"),
            ("a/build.rs", "fn main() {}"),
            ("a/tests/ui/x.rs", ""),
        ]);
        assert_eq!(check(&tree), []);
    }
}
