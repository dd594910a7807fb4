//! The README's program is an example file that runs, and its first command is seen without scrolling.
//!
//! The first `rust` block stands below a marker `<!-- program: PATH -->` and equals that file. The file's `//!` head
//! may be left out of the README.

use super::Finding;
use super::tree::Tree;

const README: &str = "README.md";
const MARKER: &str = "<!-- program: ";
const COMMAND_LINE_MAX: usize = 19;
const SHELLS: [&str; 4] = ["sh", "bash", "shell", "console"];

/// The example file that a README's first program names.
pub(crate) fn program_path(readme: &str) -> Option<String> {
    let fence = blocks(readme).into_iter().find(|block| block.language == "rust")?;
    marker(readme, fence.line)
}

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let Some(readme) = tree.text(README) else {
        return vec![Finding::file(README, "the file is missing")];
    };
    let blocks = blocks(readme);
    program_finding(tree, readme, &blocks).into_iter().chain(command_finding(&blocks)).collect()
}

fn program_finding(tree: &Tree, readme: &str, blocks: &[Block<'_>]) -> Option<Finding> {
    let Some(block) = blocks.iter().find(|block| block.language == "rust") else {
        return Some(Finding::file(
            README,
            "it shows no program: a `rust` block below `<!-- program: PATH -->`",
        ));
    };
    let Some(path) = marker(readme, block.line) else {
        return Some(Finding::line(
            README,
            block.line,
            "the line above the program must be `<!-- program: PATH -->`",
        ));
    };
    let Some(file) = tree.text(&path) else {
        return Some(Finding::line(
            README,
            block.line,
            format!("the program's file {path} does not exist"),
        ));
    };
    let shown = block.lines.join("\n");
    let same = [file, headless(file)].iter().any(|text| text.trim() == shown.trim());
    (!same).then(|| {
        Finding::line(
            README,
            block.line,
            format!("the program differs from {path}: copy it from there"),
        )
    })
}

fn command_finding(blocks: &[Block<'_>]) -> Option<Finding> {
    let command =
        blocks.iter().filter(|block| SHELLS.contains(&block.language)).find_map(|block| {
            let offset = block
                .lines
                .iter()
                .position(|line| !line.trim().is_empty() && !line.starts_with('#'))?;
            Some(block.line + 1 + offset)
        });
    match command {
        None => Some(Finding::file(README, "it shows no command: a `sh` block")),
        Some(index) if index + 1 > COMMAND_LINE_MAX => {
            Some(Finding::line(README, index, "the first command must stand before line 20"))
        }
        Some(_) => None,
    }
}

/// A fenced block of code.
struct Block<'a> {
    language: &'a str,
    /// The line of its opening fence, counted from 0.
    line: usize,
    lines: Vec<&'a str>,
}

fn blocks(text: &str) -> Vec<Block<'_>> {
    let mut blocks = Vec::new();
    let mut open: Option<Block<'_>> = None;
    for (index, line) in text.lines().enumerate() {
        match (line.strip_prefix("```"), open.as_mut()) {
            (Some(language), None) => {
                open = Some(Block { language: language.trim(), line: index, lines: Vec::new() });
            }
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (None, Some(block)) => block.lines.push(line),
            (None, None) => {}
        }
    }
    blocks
}

/// The path in the marker directly above a line; blank lines may be between.
fn marker(text: &str, fence: usize) -> Option<String> {
    let above: Vec<&str> = text.lines().take(fence).collect();
    let line = above.into_iter().rev().find(|line| !line.trim().is_empty())?;
    line.trim().strip_prefix(MARKER)?.strip_suffix("-->").map(|path| path.trim().to_owned())
}

/// The text behind its `//!` head.
fn headless(text: &str) -> &str {
    let mut rest = text;
    while rest.starts_with("//!") {
        rest = rest.split_once('\n').map_or("", |(_, rest)| rest);
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELLO: &str = "crates/a/examples/hello.rs";
    const COMMAND: &str = "# A\n\n```sh\ncargo run\n```\n\n";
    const FILE: &str = "//! Says hello.\n\nfn main() {}\n";

    fn readme(program: &str) -> String {
        format!("{COMMAND}<!-- program: {HELLO} -->\n```rust\n{program}```\n")
    }

    fn found(readme: &str) -> Vec<String> {
        let tree = Tree::of(&[(README, readme), (HELLO, FILE)]);
        check(&tree).into_iter().map(|finding| finding.to_string()).collect()
    }

    fn assert_one(readme: &str, part: &str) {
        let found = found(readme);
        assert!(found.len() == 1 && found[0].contains(part), "{found:?}");
    }

    #[test]
    fn program_equal_to_its_file_passes_with_or_without_head() {
        assert_eq!(found(&readme("fn main() {}\n")), [""; 0]);
        assert_eq!(found(&readme(FILE)), [""; 0]);
    }

    #[test]
    fn program_that_differs_is_found() {
        assert_one(&readme("fn main() { }\n"), "README.md:8: the program differs");
    }

    #[test]
    fn program_without_marker_file_or_block_is_found() {
        assert_one(&format!("{COMMAND}text\n```rust\nfn main() {{}}\n```\n"), "the line above");
        assert_one(&readme("fn main() {}\n").replace("hello.rs", "gone.rs"), "does not exist");
        assert_one(COMMAND, "shows no program");
    }

    #[test]
    fn late_or_missing_command_is_found() {
        let program = readme("fn main() {}\n").replace(COMMAND, "");
        assert_one(&program, "shows no command");
        let fence = |blank: usize| {
            format!("{}```sh\n# a comment\ncargo run\n```\n{program}", "\n".repeat(blank))
        };
        assert_one(&fence(17), "README.md:20: the first command");
        assert_eq!(found(&fence(16)), [""; 0]);
    }

    #[test]
    fn program_path_is_read_from_the_marker() {
        assert_eq!(program_path(&readme("")).as_deref(), Some(HELLO));
        assert_eq!(program_path("```rust\n```"), None);
    }
}
