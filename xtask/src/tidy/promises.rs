//! Each promise of `docs/SEMANTICS.md` is proved by a test, and no citation leads nowhere.
//!
//! A promise is a line `- **ABC-12** sentence` (with indented lines that continue it) whose text has the word
//! *guaranteed* or *today*. A test proves it by a comment line `// proves: ABC-12, DEF-03` above its attributes:
//!
//! ```text
//! // proves: SIG-04
//! #[test]
//! fn normal_exit_of_another_is_dropped() {
//! ```
//!
//! Only a function with an attribute whose last segment is `test` counts, and an ignored one does not; nor does one in a
//! file that no `mod` leads to, which is never compiled. Any other comment that cites a number of a known family (`ABC`) must cite one that exists.

mod citations;
mod ids;

use std::collections::{BTreeMap, BTreeSet};

use super::Finding;
use super::tree::Tree;
use super::{reach, rust};
use citations::{Citation, citations};
use ids::{Id, ids};

const LIST: &str = "docs/SEMANTICS.md";

/// What is wrong with a proof that is never compiled.
const UNREACHED: &str = "the test proves nothing: no target has this file; name it by a `mod`";

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let Some(list) = tree.text(LIST) else {
        return vec![Finding::file(LIST, "the file is missing: it numbers the promises")];
    };
    let (promises, mut findings) = promises(list);
    let reached = reach::reached(tree);
    let mut proved = BTreeSet::new();
    for (path, text) in tree.rust() {
        let lines = rust::split(text);
        for Citation { line, proof } in citations(&lines) {
            match proof {
                Ok(_) if !reached.contains(path) => {
                    findings.push(Finding::line(path, line, UNREACHED));
                }
                Ok(cited) => proved.extend(cited),
                Err(text) => findings.push(Finding::line(path, line, text)),
            }
        }
        findings.extend(unknown(path, &lines, &promises));
    }
    let unproved = promises.iter().filter(|(id, _)| !proved.contains(*id));
    findings.extend(unproved.map(|(id, line)| {
        let mend =
            format!("{id} is proved by no test: put `// proves: {id}` above the attributes of one");
        Finding::line(LIST, *line, mend)
    }));
    findings
}

/// The promises with their lines, and what is wrong with the list itself.
fn promises(list: &str) -> (BTreeMap<Id, usize>, Vec<Finding>) {
    let mut promises = BTreeMap::new();
    let mut findings = Vec::new();
    for (index, head, text) in items(list) {
        let Some(id) = Id::parse(head) else {
            findings.push(Finding::line(
                LIST,
                index,
                format!("`{head}` is no number of a promise, such as `SIG-04`"),
            ));
            continue;
        };
        if !["guaranteed", "today"].iter().any(|word| rust::has_word(&text, word)) {
            findings.push(Finding::line(
                LIST,
                index,
                format!("{id} must say *guaranteed* or *today*"),
            ));
        }
        if let Some(first) = promises.insert(id.clone(), index) {
            findings.push(Finding::line(
                LIST,
                index,
                format!("{id} is promised twice; first in line {}", first + 1),
            ));
        }
    }
    (promises, findings)
}

/// The items `- **HEAD** text` outside of fenced code, with the lines that continue them.
fn items(list: &str) -> Vec<(usize, &str, String)> {
    let mut items: Vec<(usize, &str, String)> = Vec::new();
    let mut fenced = false;
    let mut open = false;
    for (index, line) in list.lines().enumerate() {
        fenced ^= line.trim_start().starts_with("```");
        let item = line.strip_prefix("- **").and_then(|rest| rest.split_once("**"));
        match (fenced, item) {
            (false, Some((head, text))) => {
                items.push((index, head, text.to_owned()));
                open = true;
            }
            (false, None) if open && line.starts_with(' ') => {
                if let Some((_, _, text)) = items.last_mut() {
                    text.push('\n');
                    text.push_str(line);
                }
            }
            _ => open = false,
        }
    }
    items
}

/// Citations, anywhere in comments, of numbers that do not exist in a family that does.
fn unknown(path: &str, lines: &[rust::Line], promises: &BTreeMap<Id, usize>) -> Vec<Finding> {
    let families: BTreeSet<&str> = promises.keys().map(Id::family).collect();
    let mut findings = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        // A proof names nothing but promises, so there even an unknown family is a slip.
        let proof = citations::is_proof(line);
        for id in ids(&line.comment).filter(|id| !promises.contains_key(id)) {
            if proof || families.contains(id.family()) {
                findings.push(Finding::line(
                    path,
                    index,
                    format!("{id} is cited but not promised in {LIST}"),
                ));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROMISE: &str =
        "## Signals\n- **SIG-04** A normal exit is dropped.\n  *guaranteed* (OTP: Processes)\n";
    const TEST: &str = "//! A.\n// proves: SIG-04\n#[test]\nfn normal_exit_is_dropped() {}\n";

    fn found(list: &str, source: &str) -> Vec<String> {
        let tree = Tree::of(&[(LIST, list), ("a/tests/t.rs", source)]);
        check(&tree).into_iter().map(|finding| finding.to_string()).collect()
    }

    fn assert_one(list: &str, source: &str, part: &str) {
        let found = found(list, source);
        assert!(found.len() == 1 && found[0].contains(part), "{found:?}");
    }

    #[test]
    fn promise_with_a_test_passes() {
        assert_eq!(found(PROMISE, TEST), [""; 0]);
    }

    #[test]
    fn promise_without_a_test_is_found() {
        assert_one(PROMISE, "//! A.\n", "docs/SEMANTICS.md:2: SIG-04 is proved by no test");
        assert_one(
            PROMISE,
            "//! A.\n// SIG-04: here.\n#[test]\nfn f() {}\n",
            "is proved by no test",
        );
    }

    #[test]
    fn citation_in_a_file_that_is_never_compiled_proves_nothing() {
        let files = [(LIST, PROMISE), ("a/src/lib.rs", "//! A.\nmod b;\n"), ("a/src/b.rs", TEST)];
        assert_eq!(check(&Tree::of(&files)), []);
        let files = [(LIST, PROMISE), ("a/src/lib.rs", "//! A.\n"), ("a/src/b.rs", TEST)];
        let found = check(&Tree::of(&files)).into_iter().map(|finding| finding.to_string());
        let found: Vec<String> = found.collect();
        assert!(
            found.len() == 2 && found[0].contains("b.rs:2: the test proves nothing"),
            "{found:?}"
        );
    }

    #[test]
    fn citation_in_a_string_proves_nothing() {
        assert_one(
            PROMISE,
            "//! A.\nconst A: &str = \"\n// proves: SIG-04\n#[test]\nfn f() {}\n\";",
            "no test",
        );
    }

    #[test]
    fn unknown_promise_is_found() {
        assert_one(
            PROMISE,
            &TEST.replace("SIG-04", "SIG-04, NEW-01"),
            "t.rs:2: NEW-01 is cited but not promised",
        );
        assert_one(
            PROMISE,
            &format!("{TEST}// SIG-99: gone\n"),
            "t.rs:5: SIG-99 is cited but not promised",
        );
        assert_eq!(
            found(PROMISE, &format!("{TEST}// UTF-16 and SHA-256 are no promises\n")),
            [""; 0]
        );
    }

    #[test]
    fn slips_of_the_list_are_found() {
        assert_one("- **SIG-4** x *today*\n", "", "`SIG-4` is no number");
        assert_one(&PROMISE.replace("*guaranteed*", "maybe"), TEST, "must say");
        assert_one(&format!("{PROMISE}\n- **SIG-04** again, *today*\n"), TEST, "promised twice");
    }

    #[test]
    fn sample_in_fenced_code_is_no_promise() {
        assert_eq!(found("```text\n- **ABC-12** a sample\n```\n", ""), [""; 0]);
    }

    #[test]
    fn missing_list_is_found() {
        assert_eq!(check(&Tree::of(&[])).len(), 1);
    }
}
