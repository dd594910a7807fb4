//! `cargo xtask test`: every check of the repository, one line each, all of them even when one fails.
//!
//! The steps are a table in `steps`; this file chooses among them, runs them in order and sums up. A step's output
//! lies in `target/xtask/STEP.log` and is printed only when the step fails. The last line of the output always
//! reads `N passed, N failed`. Nothing is asked from standard input.

mod confined;
mod contract;
mod loom;
mod real_data;
mod steps;
pub(crate) mod totals;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use clap::builder::PossibleValuesParser;

use crate::command::Log;
use crate::workspace::Workspace;
use steps::{STEPS, Setting, Step};

/// How much of a failing step's log is printed; the whole is in the file.
const SHOWN_LINES_MAX: usize = 400;

/// Which steps to run.
#[derive(Args, Debug, Default)]
pub(crate) struct TestArgs {
    /// Run only this step (may be given several times)
    #[arg(long, value_name = "STEP", value_delimiter = ',', value_parser = names())]
    only: Vec<String>,
    /// Leave out this step (may be given several times)
    #[arg(long, value_name = "STEP", value_delimiter = ',', value_parser = names())]
    skip: Vec<String>,
    /// List the steps and run none
    #[arg(long)]
    list: bool,
    /// Let the memory check pass while linden-core has no such suite
    #[arg(long)]
    allow_missing: bool,
}

/// What a step says when it did not fail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It passed; the text may say more, such as how many tests ran.
    Passed(String),
    /// It could not run, which is allowed; the text says why.
    Skipped(String),
}

/// Runs the chosen steps and sums up.
pub(crate) fn run(workspace: &Workspace, args: &TestArgs) -> anyhow::Result<ExitCode> {
    if args.list {
        for step in STEPS {
            println!("{:<11} {}", step.name, step.about);
        }
        return Ok(ExitCode::SUCCESS);
    }
    let start = Instant::now();
    let mut verdicts = Vec::new();
    for step in chosen(args) {
        verdicts.push((step.name, run_step(workspace, args, step)?));
    }
    println!("{}", summary(&verdicts, start.elapsed()));
    let failed = verdicts.iter().any(|(_, verdict)| *verdict == Verdict::Failed);
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Passed,
    Skipped,
    Failed,
}

fn names() -> PossibleValuesParser {
    PossibleValuesParser::new(STEPS.iter().map(|step| step.name))
}

/// The steps in the table's order, whatever the order on the command line.
fn chosen(args: &TestArgs) -> impl Iterator<Item = &'static Step> {
    let has = |list: &[String], name: &str| list.iter().any(|item| item == name);
    STEPS
        .iter()
        .filter(move |step| args.only.is_empty() || has(&args.only, step.name))
        .filter(move |step| !has(&args.skip, step.name))
}

fn run_step(workspace: &Workspace, args: &TestArgs, step: &Step) -> anyhow::Result<Verdict> {
    let log = Log::create(workspace.target().join(format!("xtask/{}.log", step.name)))?;
    let setting = Setting { workspace, log: &log, allow_missing: args.allow_missing };
    let start = Instant::now();
    let outcome = (step.run)(&setting);
    let took = start.elapsed();
    Ok(match outcome {
        Ok(Outcome::Passed(note)) => {
            println!("{}", line("ok", step.name, took, &note));
            Verdict::Passed
        }
        Ok(Outcome::Skipped(reason)) => {
            println!("{}", line("skip", step.name, took, &reason));
            Verdict::Skipped
        }
        Err(error) => {
            println!("{}", tail(&log.text(), SHOWN_LINES_MAX));
            println!(
                "{}",
                line(
                    "FAIL",
                    step.name,
                    took,
                    &format!("{error:#} (log: {})", log.path().display())
                )
            );
            Verdict::Failed
        }
    })
}

fn line(verdict: &str, name: &str, took: Duration, note: &str) -> String {
    let text = format!("{verdict:>4}  {name:<11} {:>7.1} s  {note}", took.as_secs_f64());
    text.trim_end().to_owned()
}

fn tail(text: &str, lines_max: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let hidden = lines.len().saturating_sub(lines_max);
    let mut shown = lines[hidden..].join("\n");
    if hidden > 0 {
        shown.insert_str(0, &format!("... {hidden} lines before\n"));
    }
    shown
}

fn summary(verdicts: &[(&str, Verdict)], took: Duration) -> String {
    let named = |wanted: Verdict| -> Vec<&str> {
        verdicts.iter().filter(|(_, verdict)| *verdict == wanted).map(|(name, _)| *name).collect()
    };
    let (passed, skipped, failed) =
        (named(Verdict::Passed), named(Verdict::Skipped), named(Verdict::Failed));
    let mut text = format!("{} steps in {:.0} s", verdicts.len(), took.as_secs_f64());
    if !skipped.is_empty() {
        text.push_str(&format!("\nskipped: {}", skipped.join(", ")));
    }
    if !failed.is_empty() {
        text.push_str(&format!("\nfailed: {}", failed.join(", ")));
    }
    text.push_str(&format!("\n{} passed, {} failed", passed.len(), failed.len()));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen_names(only: &[&str], skip: &[&str]) -> Vec<&'static str> {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let args = TestArgs { only: owned(only), skip: owned(skip), ..TestArgs::default() };
        chosen(&args).map(|step| step.name).collect()
    }

    #[test]
    fn all_steps_are_chosen_by_default() {
        assert_eq!(chosen_names(&[], &[]).len(), STEPS.len());
    }

    #[test]
    fn only_and_skip_choose_in_the_order_of_the_table() {
        assert_eq!(chosen_names(&["clippy", "fmt"], &[]), ["fmt", "clippy"]);
        assert_eq!(chosen_names(&["clippy", "fmt"], &["fmt"]), ["clippy"]);
        assert!(!chosen_names(&[], &["loom"]).contains(&"loom"));
    }

    #[test]
    fn step_names_are_distinct() {
        let mut names: Vec<_> = STEPS.iter().map(|step| step.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), STEPS.len());
    }

    #[test]
    fn summary_ends_with_the_two_counts() {
        let verdicts =
            [("fmt", Verdict::Passed), ("deny", Verdict::Skipped), ("test", Verdict::Failed)];
        let text = summary(&verdicts, Duration::from_secs(7));
        assert_eq!(text, "3 steps in 7 s\nskipped: deny\nfailed: test\n1 passed, 1 failed");
    }

    #[test]
    fn long_log_is_cut_at_its_head() {
        assert_eq!(tail("a\nb\nc\n", 2), "... 1 lines before\nb\nc");
        assert_eq!(tail("a\nb", 2), "a\nb");
    }
}
