//! Reading how many tests ran out of the output of nextest or of `cargo test`.

/// One line for the step: nextest's own summary, or the sum of `cargo test`'s results.
pub(super) fn read(log: &str) -> Option<String> {
    let nextest = log.lines().rev().find_map(|line| {
        let (_, text) = line.split_once("] ")?;
        (line.trim_start().starts_with("Summary [") && text.contains(" run: "))
            .then(|| text.trim().to_owned())
    });
    nextest.or_else(|| match passed(log) {
        0 => None,
        count => Some(format!("{count} tests passed")),
    })
}

/// The tests that `cargo test` reports as passed, over all binaries.
pub(crate) fn passed(log: &str) -> u64 {
    log.lines()
        .filter_map(|line| {
            line.strip_prefix("test result: ")?.split_once(". ")?.1.split_once(" passed")
        })
        .filter_map(|(count, _)| count.parse::<u64>().ok())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summary_of_nextest_is_taken_as_it_is() {
        let log = "PASS [ 0.1s] a b\n     Summary [   0.012s] 42 tests run: 42 passed, 1 skipped\n";
        assert_eq!(read(log).as_deref(), Some("42 tests run: 42 passed, 1 skipped"));
    }

    #[test]
    fn results_of_cargo_test_are_summed() {
        let log = "test result: ok. 3 passed; 0 failed; 0 ignored\nx\ntest result: ok. 4 passed; 0 failed; 0 ignored\n";
        assert_eq!(passed(log), 7);
        assert_eq!(read(log).as_deref(), Some("7 tests passed"));
    }

    #[test]
    fn log_without_tests_has_no_total() {
        assert_eq!(read("nothing ran"), None);
    }
}
