//! Relative links between texts lead somewhere: to a file, a directory, or a heading of a text.
//!
//! Links to the web are not followed. Code, in blocks and inline, is no link.

use std::collections::BTreeSet;

use super::Finding;
use super::tree::Tree;

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.markdown() {
        for (index, target) in targets(text) {
            findings.extend(
                complaint(tree, path, &target).map(|text| Finding::line(path, index, text)),
            );
        }
    }
    findings
}

fn complaint(tree: &Tree, from: &str, target: &str) -> Option<String> {
    if target.contains("://") || target.starts_with("mailto:") {
        return None;
    }
    let (file, heading) =
        target.split_once('#').map_or((target, None), |(file, heading)| (file, Some(heading)));
    let Some(path) = resolve(from, file) else {
        return Some(format!("the link {target} leaves the repository"));
    };
    if !tree.has(&path) {
        return Some(format!("the link {target} leads nowhere: there is no {path}"));
    }
    let heading = heading.filter(|heading| !heading.is_empty() && path.ends_with(".md"))?;
    let known = tree.text(&path).is_some_and(|text| headings(text).contains(heading));
    (!known).then(|| format!("the link {target} leads nowhere: {path} has no heading `{heading}`"))
}

/// The path from the root, or none when it leaves the repository.
fn resolve(from: &str, file: &str) -> Option<String> {
    if file.is_empty() {
        return Some(from.to_owned());
    }
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in file.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

/// The targets of `[text](target)` and `[name]: target`, with their lines.
fn targets(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (index, line) in prose(text) {
        let line = without_code(line);
        for (at, _) in line.match_indices("](") {
            found.extend(inline(&line[at + 2..]).map(|target| (index, target)));
        }
        if let Some((_, rest)) = line.strip_prefix('[').and_then(|rest| rest.split_once("]: ")) {
            found.extend(rest.split_whitespace().next().map(|target| (index, target.to_owned())));
        }
    }
    found
}

/// What stands between `](` and its `)`, without a title.
fn inline(rest: &str) -> Option<String> {
    let mut depth = 0;
    let end = rest.find(|c| {
        depth += i32::from(c == '(');
        depth -= i32::from(c == ')');
        depth < 0
    })?;
    let target = rest[..end].split_whitespace().next()?;
    Some(target.trim_start_matches('<').trim_end_matches('>').to_owned())
}

/// The lines outside of fenced code.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fenced = false;
    text.lines().enumerate().filter(move |(_, line)| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        !fenced && !fence
    })
}

/// The line without what stands between back-ticks.
fn without_code(line: &str) -> String {
    line.split('`').step_by(2).collect::<Vec<_>>().join("`")
}

/// The anchors of a text's headings, made as GitHub makes them.
fn headings(text: &str) -> BTreeSet<String> {
    let mut anchors = BTreeSet::new();
    for (_, line) in prose(text) {
        let title = line.trim_start_matches('#');
        if title.len() == line.len() || !title.starts_with(' ') {
            continue;
        }
        let anchor = anchor(title.trim());
        let mut numbered = anchor.clone();
        let mut count = 0;
        while !anchors.insert(numbered) {
            count += 1;
            numbered = format!("{anchor}-{count}");
        }
    }
    anchors
}

fn anchor(title: &str) -> String {
    title
        .to_lowercase()
        .chars()
        .filter_map(|c| match c {
            ' ' => Some('-'),
            c if c.is_alphanumeric() || c == '-' || c == '_' => Some(c),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<String> {
        let other = "# Other text\n## A: `b` & c\n## A: `b` & c\n";
        let tree = Tree::of(&[("docs/A.md", text), ("docs/OTHER.md", other), ("src/lib.rs", "")]);
        check(&tree).into_iter().map(|finding| finding.to_string()).collect()
    }

    #[test]
    fn link_to_nothing_is_found() {
        assert_eq!(found("a\n[b](GONE.md)").len(), 1);
        assert_eq!(found("[b](../../up.md)").len(), 1);
        assert_eq!(found("[b](OTHER.md#gone)").len(), 1);
        assert_eq!(found("[b]: ../src/gone.rs").len(), 1);
        assert!(found("a\n[b](GONE.md)")[0].starts_with("docs/A.md:2: "));
    }

    #[test]
    fn links_to_files_directories_headings_and_the_web_pass() {
        let text = "# Here\n[a](OTHER.md) [b](../src) [c](../src/lib.rs#L1) [d](#here) [e](https://example.org/x)\n\
                    [f](OTHER.md#a-b--c-1 \"title\") [g](<OTHER.md>)\n\n[h]: OTHER.md\n";
        assert_eq!(found(text), [""; 0]);
    }

    #[test]
    fn code_is_no_link() {
        assert_eq!(found("`[a](GONE.md)`\n```\n[b](GONE.md)\n```\n"), [""; 0]);
    }
}
