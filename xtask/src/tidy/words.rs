//! No words of unfinished work, and no path of one machine.
//!
//! `todo!` and `unimplemented!` are looked for in code, the marker words in all texts, strings included. This file
//! puts its own words together from halves.

use super::Finding;
use super::rust;
use super::tree::Tree;

const MACROS: [&str; 2] = ["todo", "unimplemented"];
const MARKERS: [&str; 3] = [concat!("FIX", "ME"), concat!("XX", "X"), concat!("TO", "DO")];

/// Where machines keep their users' files. Only at the start of a path: `a/home/b` is none of them.
const MACHINE_PATHS: [&str; 5] = [
    concat!("/ho", "me/"),
    concat!("/ro", "ot/"),
    concat!("/Us", "ers/"),
    concat!("/wo", "rk/"),
    concat!("/tmp/lin", "den"),
];

/// Texts that others write: their words are not ours.
const FOREIGN: [&str; 1] = ["Cargo.lock"];

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let ours = tree.files().filter(|(path, _)| !FOREIGN.contains(path));
    ours.flat_map(|(path, text)| in_text(path, text).into_iter().chain(in_code(path, text)))
        .collect()
}

fn in_text(path: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, line) in text.lines().enumerate() {
        for marker in MARKERS.into_iter().filter(|marker| rust::has_word(line, marker)) {
            findings.push(Finding::line(
                path,
                index,
                format!("`{marker}`: finish it, or file an issue"),
            ));
        }
        for machine in MACHINE_PATHS.into_iter().filter(|machine| has_path(line, machine)) {
            findings.push(Finding::line(
                path,
                index,
                format!("`{machine}` is a path of one machine"),
            ));
        }
    }
    findings
}

fn in_code(path: &str, text: &str) -> Vec<Finding> {
    if !path.ends_with(".rs") {
        return Vec::new();
    }
    let mut findings = Vec::new();
    for (index, line) in rust::split(text).iter().enumerate() {
        let code: String = line.code.split_whitespace().collect::<Vec<_>>().join(" ");
        for name in MACROS.into_iter().filter(|name| has_macro(&code, name)) {
            findings.push(Finding::line(
                path,
                index,
                format!("`{name}!`: finish it, or leave it out"),
            ));
        }
    }
    findings
}

fn has_macro(code: &str, name: &str) -> bool {
    let call = format!("{name}!");
    code.match_indices(&call).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || c == '_')
    })
}

fn has_path(line: &str, start: &str) -> bool {
    line.match_indices(start).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || "_-.~}/".contains(c))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> usize {
        check(&Tree::of(&[(path, text)])).len()
    }

    #[test]
    fn unfinished_work_is_found() {
        assert_eq!(found("a.rs", "fn f() { todo!() }"), 1);
        assert_eq!(found("a.rs", "fn f() { std::unimplemented!(\"x\") }"), 1);
        for marker in MARKERS {
            assert_eq!(found("a.rs", &format!("// {marker} later")), 1);
            assert_eq!(found("a.md", &format!("{marker}: write this")), 1);
        }
    }

    #[test]
    fn paths_of_a_machine_are_found() {
        for machine in MACHINE_PATHS {
            assert_eq!(found("a.md", &format!("see {machine}x")), 1, "{machine}");
            assert_eq!(found("a.rs", &format!("const P: &str = \"{machine}x\";")), 1, "{machine}");
        }
    }

    #[test]
    fn talk_of_macros_and_inner_paths_pass() {
        assert_eq!(found("a.rs", "// never use todo! here\nlet todos = \"todo!()\";"), 0);
        assert_eq!(
            found(
                "a.md",
                &format!("https://host{}page and a{}b", MACHINE_PATHS[0], MACHINE_PATHS[3])
            ),
            0
        );
        assert_eq!(found("Cargo.lock", MARKERS[0]), 0);
    }
}
