//! A file is named by its noun: no drawers for everything, and `foo.rs` beside `foo/` instead of `mod.rs`.

use super::Finding;
use super::tree::Tree;

const DRAWERS: [&str; 6] = ["util", "utils", "common", "helper", "helpers", "misc"];

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    tree.rust()
        .filter_map(|(path, _)| complaint(path).map(|text| Finding::file(path, text)))
        .collect()
}

fn complaint(path: &str) -> Option<String> {
    let mut parts: Vec<&str> = path.split('/').collect();
    let stem = parts.pop()?.strip_suffix(".rs")?;
    if stem == "mod" {
        return Some(
            "`mod.rs` is refused: name the file after its directory and put it beside that"
                .to_owned(),
        );
    }
    parts.push(stem);
    let drawer = parts.into_iter().find(|part| DRAWERS.contains(part))?;
    Some(format!("`{drawer}` says nothing about what is inside: name it by its noun"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drawers_and_mod_files_are_found() {
        for path in [
            "a/src/utils.rs",
            "a/src/common/x.rs",
            "a/tests/helpers.rs",
            "a/src/misc.rs",
            "a/src/b/mod.rs",
        ] {
            assert_eq!(check(&Tree::of(&[(path, "")])).len(), 1, "{path}");
        }
    }

    #[test]
    fn nouns_pass() {
        assert_eq!(
            check(&Tree::of(&[
                ("a/src/mailbox.rs", ""),
                ("a/src/modulus.rs", ""),
                ("utils.md", "")
            ])),
            []
        );
    }
}
