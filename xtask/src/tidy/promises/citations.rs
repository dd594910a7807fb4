//! Finding `// proves: SIG-04` comments and the test that each stands above.
//!
//! Between the comment and the function may be other comments and attributes, no blank line and no other code.

use super::super::rust::{Line, has_word};
use super::ids::{Id, ids};

const PROVES: &str = "// proves: ";

/// A comment that names promises.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Citation {
    /// The comment's line, counted from 0.
    pub(super) line: usize,
    /// The promises that the test proves, or why the comment proves nothing.
    pub(super) proof: Result<Vec<Id>, String>,
}

/// All citations of a file.
pub(super) fn citations(lines: &[Line]) -> Vec<Citation> {
    let cited = lines.iter().enumerate().filter(|(_, line)| speaks_of_proof(line));
    cited
        .map(|(index, line)| Citation { line: index, proof: proof(line, &lines[index + 1..]) })
        .collect()
}

/// Says whether the line is a citation in the exact form.
pub(super) fn is_proof(line: &Line) -> bool {
    line.is_comment() && line.comment.starts_with(PROVES)
}

/// Also true for near misses, such as `/// Proves: SIG-04`, which must not pass unseen. A file's head may speak freely.
fn speaks_of_proof(line: &Line) -> bool {
    let words = line.comment.trim_start_matches(['/', '*', ' ']).to_ascii_lowercase();
    words.starts_with("proves:") && (is_proof(line) || ids(&line.comment).next().is_some())
}

fn proof(line: &Line, below: &[Line]) -> Result<Vec<Id>, String> {
    if !is_proof(line) {
        return Err("write it as a line of its own: `// proves: SIG-04, SIG-05`".to_owned());
    }
    let list = line.comment[PROVES.len()..].split(',').map(|word| Id::parse(word.trim()));
    let cited = list.collect::<Option<Vec<Id>>>();
    let cited = cited.ok_or("name promises only, as in `// proves: SIG-04, SIG-05`")?;
    test_below(below)?;
    Ok(cited)
}

/// Requires that the lines begin with a test that is not ignored.
fn test_below(below: &[Line]) -> Result<(), String> {
    let mut attributes: Vec<String> = Vec::new();
    let mut depth = 0;
    for line in below {
        let code = line.code.trim();
        if line.is_blank() {
            break;
        } else if depth > 0 || code.starts_with("#[") {
            if depth == 0 {
                attributes.push(String::new());
            }
            attributes
                .last_mut()
                .expect("depth is above 0 only inside of an attribute")
                .push_str(code);
            depth += brackets(code);
        } else if !code.is_empty() {
            return if has_word(code, "fn") { is_test(&attributes) } else { Err(no_test()) };
        }
    }
    Err(no_test())
}

fn is_test(attributes: &[String]) -> Result<(), String> {
    let has = |wanted: &str| attributes.iter().any(|attribute| last_segment(attribute) == wanted);
    if has("ignore") {
        return Err("the test below is ignored and proves nothing".to_owned());
    }
    if has("test") { Ok(()) } else { Err(no_test()) }
}

fn no_test() -> String {
    "no test stands directly below: put it above the attributes of one".to_owned()
}

/// `test` for `#[test]`, `#[tokio::test(flavor = "current_thread")]`, `#[linden::test]`.
fn last_segment(attribute: &str) -> &str {
    let path =
        attribute.trim_start_matches("#[").split(['(', ']', '=', ' ']).next().unwrap_or_default();
    path.rsplit("::").next().unwrap_or_default()
}

/// How many brackets of an attribute the code leaves open.
fn brackets(code: &str) -> i32 {
    code.chars().map(|c| i32::from(c == '[') - i32::from(c == ']')).sum()
}

#[cfg(test)]
mod tests {
    use super::super::super::rust::split;
    use super::*;

    fn check(text: &str, expected: Result<&[&str], &str>) {
        let found = citations(&split(text));
        assert_eq!(found.len(), 1, "{text}");
        match (&found[0].proof, expected) {
            (Ok(ids), Ok(expected)) => {
                assert_eq!(ids.iter().map(Id::to_string).collect::<Vec<_>>(), expected, "{text}");
            }
            (Err(error), Err(part)) => assert!(error.contains(part), "{text}: {error}"),
            (found, expected) => panic!("{text}: {found:?}, expected {expected:?}"),
        }
    }

    #[test]
    fn tests_of_any_kind_prove() {
        check("// proves: SIG-04\n#[test]\nfn f() {}", Ok(&["SIG-04"]));
        check(
            "    // proves: SIG-04, EXIT-101\n    #[tokio::test]\n    async fn f() {}",
            Ok(&["SIG-04", "EXIT-101"]),
        );
        check(
            "// proves: SIG-04\n/// Doc.\n#[cfg(loom)]\n// why\n#[linden::test]\npub fn f() {}",
            Ok(&["SIG-04"]),
        );
        check(
            "// proves: SIG-04\n#[tokio::test(\n  flavor = \"x\"\n)]\nasync fn f() {}",
            Ok(&["SIG-04"]),
        );
    }

    #[test]
    fn citation_above_anything_else_proves_nothing() {
        check("// proves: SIG-04\nfn f() {}", Err("no test stands"));
        check("// proves: SIG-04\n\n#[test]\nfn f() {}", Err("no test stands"));
        check("// proves: SIG-04\n#[test]\nmod m {}", Err("no test stands"));
        check("// proves: SIG-04\n#[cfg(test)]\nfn f() {}", Err("no test stands"));
        check("// proves: SIG-04", Err("no test stands"));
    }

    #[test]
    fn ignored_test_proves_nothing() {
        check("// proves: SIG-04\n#[test]\n#[ignore = \"slow\"]\nfn f() {}", Err("ignored"));
    }

    #[test]
    fn other_forms_are_refused() {
        check("/// Proves: SIG-04\n#[test]\nfn f() {}", Err("a line of its own"));
        check("let a = 1; // proves: SIG-04", Err("a line of its own"));
        check("// proves: the rule\n#[test]\nfn f() {}", Err("name promises only"));
    }
}
