//! `unsafe` only where `docs/UNSAFE.md` lists it.
//!
//! A row of the list begins with ``| `crates/linden-core/src/...rs` |``. The list is exact: a listed file exists and
//! has unsafe code. Every crate root outside of linden-core forbids it, so the compiler is the second guard.

use std::collections::BTreeSet;

use super::Finding;
use super::rust;
use super::tree::Tree;

const LIST: &str = "docs/UNSAFE.md";
const CORE: &str = "crates/linden-core/";
const FORBID: &str = "#![forbid(unsafe_code)]";

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let Some(list) = tree.text(LIST) else {
        return vec![Finding::file(
            LIST,
            "the file is missing: it lists the files that may have unsafe code",
        )];
    };
    let mut findings = Vec::new();
    let mut listed = BTreeSet::new();
    for (index, path) in rows(list) {
        findings.extend(row_complaint(tree, path).map(|text| Finding::line(LIST, index, text)));
        listed.insert(path);
    }
    for (path, text) in tree.rust().filter(|(path, _)| !listed.contains(path)) {
        findings.extend(unsafe_line(text).map(|index| {
            Finding::line(path, index, format!("unsafe code in a file that {LIST} does not list"))
        }));
    }
    for (path, text) in tree.rust().filter(|(path, _)| is_root(tree, path)) {
        if !rust::split(text).iter().any(|line| line.code.trim() == FORBID) {
            findings.push(Finding::file(path, format!("the crate's root must say `{FORBID}`")));
        }
    }
    findings
}

/// The listed files with their lines.
fn rows(list: &str) -> impl Iterator<Item = (usize, &str)> {
    list.lines().enumerate().filter_map(|(index, line)| {
        let (path, _) = line.strip_prefix("| `")?.split_once("` |")?;
        path.ends_with(".rs").then_some((index, path))
    })
}

fn row_complaint(tree: &Tree, path: &str) -> Option<String> {
    match tree.text(path) {
        _ if !path.starts_with(CORE) => {
            Some(format!("{path} is listed, but only linden-core may have unsafe code"))
        }
        None => Some(format!("{path} is listed, but does not exist")),
        Some(text) if unsafe_line(text).is_none() => {
            Some(format!("{path} is listed, but has no unsafe code: take it off the list"))
        }
        Some(_) => None,
    }
}

/// The first line with the keyword.
fn unsafe_line(text: &str) -> Option<usize> {
    rust::split(text).iter().position(|line| rust::has_word(&line.code, "unsafe"))
}

/// The root of a library or binary outside of linden-core.
fn is_root(tree: &Tree, path: &str) -> bool {
    let Some((package, file)) = path.rsplit_once("src/") else {
        return false;
    };
    let root = matches!(file, "lib.rs" | "main.rs")
        || file.starts_with("bin/") && !file[4..].contains('/');
    root && !path.starts_with(CORE) && tree.text(&format!("{package}Cargo.toml")).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CELL: &str = "crates/linden-core/src/cell.rs";
    const ROW: &str = "| `crates/linden-core/src/cell.rs` | owner only |\n";
    const UNSAFE: &str = "//! A.\nfn f() { unsafe { g() } }\n";

    fn found(files: &[(&str, &str)]) -> Vec<String> {
        check(&Tree::of(files)).into_iter().map(|finding| finding.to_string()).collect()
    }

    fn assert_one(files: &[(&str, &str)], part: &str) {
        let found = found(files);
        assert!(found.len() == 1 && found[0].contains(part), "{found:?}");
    }

    #[test]
    fn listed_file_may_have_unsafe_code() {
        assert_eq!(found(&[(LIST, ROW), (CELL, UNSAFE)]), [""; 0]);
    }

    #[test]
    fn unsafe_code_elsewhere_is_found() {
        assert_one(&[(LIST, ""), (CELL, UNSAFE)], "cell.rs:2: unsafe code");
        assert_one(&[(LIST, ""), (CELL, "unsafe\nimpl Send for A {}")], "cell.rs:1");
        assert_one(&[(LIST, ""), ("a/tests/t.rs", "unsafe extern \"C\" {}")], "t.rs:1");
    }

    #[test]
    fn talk_of_it_passes() {
        let text =
            "// unsafe { }\n#![deny(unsafe_op_in_unsafe_fn)]\nconst A: &str = \"unsafe fn\";";
        assert_eq!(found(&[(LIST, ""), (CELL, text)]), [""; 0]);
    }

    #[test]
    fn list_is_exact() {
        assert_one(&[(LIST, ROW)], "does not exist");
        assert_one(&[(LIST, ROW), (CELL, "//! Safe.")], "has no unsafe code");
        assert_one(&[(LIST, "| `a/src/b.rs` | x |"), ("a/src/b.rs", UNSAFE)], "only linden-core");
        assert_one(&[], "is missing");
    }

    #[test]
    fn roots_of_other_crates_forbid_it() {
        let manifest = ("crates/linden/Cargo.toml", "");
        assert_one(
            &[(LIST, ""), manifest, ("crates/linden/src/lib.rs", "//! A.")],
            "the crate's root must say",
        );
        assert_one(
            &[(LIST, ""), manifest, ("crates/linden/src/bin/a.rs", "//! A.")],
            "the crate's root must say",
        );
        assert_eq!(
            found(&[
                (LIST, ""),
                manifest,
                ("crates/linden/src/lib.rs", "//! A.\n#![forbid(unsafe_code)]\n"),
                ("crates/linden/src/cell/main.rs", "//! No root."),
                ("crates/linden-core/Cargo.toml", ""),
                ("crates/linden-core/src/lib.rs", "//! The core."),
            ]),
            [""; 0]
        );
    }
}
