//! The known name that a wrong one was probably meant to be.
//!
//! Lives here: [`nearest`]. Pure. Costs the product of the lengths, for a handful of short names, once per error.

/// The known name nearest to `wrong`, if one is near enough to be worth a hint.
///
/// Case and `-` against `_` do not count as differences; otherwise a third of the letters may differ.
pub(super) fn nearest(wrong: &str, known: &[&str]) -> Option<String> {
    let wrong = plain(wrong);
    known
        .iter()
        .map(|name| (distance(&wrong, &plain(name)), *name))
        .filter(|(distance, name)| *distance <= (name.chars().count() / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name.to_owned())
}

fn plain(name: &str) -> Vec<char> {
    name.chars().map(|c| if c == '-' { '_' } else { c.to_ascii_lowercase() }).collect()
}

/// Letters to insert, delete, replace, or swap with their neighbour (optimal string alignment).
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replaced = above[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = replaced.min(above[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                let swapped: usize = before[j - 2];
                least = least.min(swapped + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut above, row);
    }
    above[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typing_errors_find_their_name() {
        let known = ["workers", "blocking_threads_max", "name", "ttl"];
        for (wrong, meant) in [
            ("worker", Some("workers")),
            ("wrokers", Some("workers")),
            ("Workers", Some("workers")),
            ("blocking-threads-max", Some("blocking_threads_max")),
            ("blocking_thread_limit", Some("blocking_threads_max")),
            ("nmae", Some("name")),
            ("tll", Some("ttl")),
            ("port", None),
            ("", None),
        ] {
            assert_eq!(nearest(wrong, &known).as_deref(), meant, "{wrong}");
        }
    }

    #[test]
    fn nothing_known_gives_no_hint() {
        assert_eq!(nearest("x", &[]), None);
    }

    #[test]
    fn distance_counts_edits() {
        let count = |a: &str, b: &str| distance(&plain(a), &plain(b));
        assert_eq!(count("", "abc"), 3);
        assert_eq!(count("abc", ""), 3);
        assert_eq!(count("kitten", "sitting"), 3);
        assert_eq!(count("ab", "ba"), 1);
    }
}
