//! `cargo xtask bench`: builds `linden-benches` in the profile `bench` and passes the arguments on to it.
//!
//! The binary owns the scenarios, the systems and the table; this module knows only how to build it and that the
//! system `otp` needs Erlang. Scenario and system names are not checked here, so that a new one needs no change.

use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};

use anyhow::Context as _;
use clap::Args;

use crate::command::{self, Log};
use crate::packages::{self, ERLANG};
use crate::workspace::Workspace;

/// What to measure.
#[derive(Args, Debug, Default, PartialEq, Eq)]
pub(crate) struct BenchArgs {
    /// Scenarios to run; by default those that the benches choose
    scenarios: Vec<String>,
    /// Systems to compare, separated by commas; by default all
    #[arg(long, value_delimiter = ',')]
    systems: Vec<String>,
    /// Interleaved runs of each scenario
    #[arg(long)]
    runs: Option<u32>,
    /// Write one JSON object per line to this file
    #[arg(long)]
    json: Option<PathBuf>,
    /// Run everything, the long scenarios too
    #[arg(long)]
    all: bool,
}

/// Builds the benches and runs them in the caller's directory; their exit code is ours.
pub(crate) fn run(workspace: &Workspace, args: &BenchArgs) -> anyhow::Result<ExitCode> {
    let log = Log::create(workspace.target().join("xtask/bench.log"))?;
    if args.needs_erlang() {
        packages::ensure(ERLANG, &log).context("leave it out by --systems, or install it")?;
    }
    let binary = build(workspace)?;
    let status = Command::new(&binary)
        .args(args.passed_on())
        .status()
        .with_context(|| format!("cannot start {}", binary.display()))?;
    Ok(match status.code() {
        Some(code) => ExitCode::from(u8::try_from(code).unwrap_or(1)),
        None => anyhow::bail!("the benches were ended by a signal: {status}"),
    })
}

impl BenchArgs {
    fn needs_erlang(&self) -> bool {
        self.systems.is_empty() || self.systems.iter().any(|system| system == "otp")
    }

    /// The arguments in the words of the benches' own command line, which are the same.
    fn passed_on(&self) -> Vec<String> {
        let mut words = self.scenarios.clone();
        if !self.systems.is_empty() {
            words.extend(["--systems".to_owned(), self.systems.join(",")]);
        }
        if let Some(runs) = self.runs {
            words.extend(["--runs".to_owned(), runs.to_string()]);
        }
        if let Some(json) = &self.json {
            words.extend(["--json".to_owned(), json.display().to_string()]);
        }
        if self.all {
            words.push("--all".to_owned());
        }
        words
    }
}

/// Shows the build, which takes minutes when the cache is cold.
fn build(workspace: &Workspace) -> anyhow::Result<PathBuf> {
    let output = workspace
        .cargo(["build", "--profile", "bench", "-p", "linden-benches"])
        .arg("--message-format=json-render-diagnostics")
        .stderr(Stdio::inherit())
        .output()
        .context("cannot start cargo")?;
    anyhow::ensure!(output.status.success(), "the benches do not build: {}", output.status);
    command::executables(&String::from_utf8_lossy(&output.stdout))?
        .into_iter()
        .find(|executable| executable.target == "linden-benches")
        .map(|executable| executable.path)
        .context("cargo built no binary named linden-benches")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_reach_the_benches_unchanged() {
        let args = BenchArgs {
            scenarios: vec!["call".into(), "ring".into()],
            systems: vec!["linden".into(), "tokio".into()],
            runs: Some(3),
            json: Some("out.json".into()),
            all: true,
        };
        let words = args.passed_on().join(" ");
        assert_eq!(words, "call ring --systems linden,tokio --runs 3 --json out.json --all");
    }

    #[test]
    fn erlang_is_needed_only_when_otp_takes_part() {
        let with = |systems: &[&str]| BenchArgs {
            systems: systems.iter().map(|system| (*system).to_owned()).collect(),
            ..BenchArgs::default()
        };
        assert!(with(&[]).needs_erlang());
        assert!(with(&["linden", "otp"]).needs_erlang());
        assert!(!with(&["linden", "tokio"]).needs_erlang());
    }
}
