//! No Rust file is longer than a reader can hold: 800 lines, 1,200 for files of tests.

use super::Finding;
use super::tree::Tree;

const CODE_LINES_MAX: usize = 800;
const TEST_LINES_MAX: usize = 1200;

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let too_long = |(path, text): (&str, &str)| {
        let (lines, lines_max) = (text.lines().count(), lines_max(path));
        (lines > lines_max).then(|| {
            Finding::file(
                path,
                format!("{lines} lines, at most {lines_max}: split it by its nouns"),
            )
        })
    };
    tree.rust().filter_map(too_long).collect()
}

fn lines_max(path: &str) -> usize {
    if format!("/{path}").contains("/tests/") || path.ends_with("tests.rs") {
        TEST_LINES_MAX
    } else {
        CODE_LINES_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_files_are_found_and_tests_may_be_longer() {
        let (code, test) = ("\n".repeat(801), "\n".repeat(1201));
        let tree = Tree::of(&[
            ("a/src/long.rs", &code),
            ("a/src/just.rs", &code[1..]),
            ("a/src/long/tests.rs", &code),
            ("a/tests/long.rs", &test),
            ("a/tests/just.rs", &test[1..]),
        ]);
        let paths: Vec<_> = check(&tree).into_iter().map(|finding| finding.path).collect();
        assert_eq!(paths, ["a/src/long.rs", "a/tests/long.rs"]);
    }
}
