//! `cargo xtask bench`: builds `linden-benches` in the profile `bench` and passes all arguments on to it.
//!
//! The binary owns the command line, the scenarios, the systems and the table, so that there is one definition of each; this
//! module knows only how to build it and that the system `otp` needs Erlang.

use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};

use anyhow::Context as _;
use clap::Args;

use crate::command::{self, Log};
use crate::packages::{self, ERLANG};
use crate::workspace::Workspace;

/// What to measure.
#[derive(Args, Debug, Default, PartialEq, Eq)]
#[command(disable_help_flag = true)]
pub(crate) struct BenchArgs {
    /// The arguments of `linden-benches`; `--help` shows them
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENTS")]
    arguments: Vec<String>,
}

/// Builds the benches and runs them in the caller's directory; their exit code is ours.
pub(crate) fn run(workspace: &Workspace, args: &BenchArgs) -> anyhow::Result<ExitCode> {
    let log = Log::create(workspace.target().join("xtask/bench.log"))?;
    if args.needs_erlang()
        && let Err(error) = packages::ensure(ERLANG, &log)
    {
        eprintln!("warning: the system otp is left out: {error:#}");
    }
    let binary = build(workspace)?;
    let status = Command::new(&binary)
        .args(&args.arguments)
        .status()
        .with_context(|| format!("cannot start {}", binary.display()))?;
    Ok(match status.code() {
        Some(code) => ExitCode::from(u8::try_from(code).unwrap_or(1)),
        None => anyhow::bail!("the benches were ended by a signal: {status}"),
    })
}

impl BenchArgs {
    /// Whether `otp` takes part: when it is named, or when no systems are; never in `http` alone.
    fn needs_erlang(&self) -> bool {
        if self.arguments.iter().any(|word| word == "--help" || word == "-h") {
            return false;
        }
        let scenarios: Vec<&str> = self.scenarios().collect();
        let is_http = |name: &&str| name.split('/').next() == Some("http");
        if !scenarios.is_empty() && scenarios.iter().all(is_http) {
            return false;
        }
        let mut words = self.arguments.iter().map(String::as_str);
        let systems = words.by_ref().find_map(|word| word.strip_prefix("--systems"));
        let systems = match systems {
            Some("") => words.next(),
            other => other.and_then(|rest| rest.strip_prefix('=')),
        };
        systems.is_none_or(|systems| systems.split(',').any(|system| system == "otp"))
    }

    /// The words that are neither an option nor the value of one.
    fn scenarios(&self) -> impl Iterator<Item = &str> {
        let mut is_value = false;
        self.arguments.iter().map(String::as_str).filter(move |word| {
            let is_option = word.starts_with("--");
            let takes_value =
                is_option && !["--quick", "--all"].contains(word) && !word.contains('=');
            !std::mem::replace(&mut is_value, takes_value) && !is_option
        })
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
    use clap::Parser;

    use super::*;

    /// As the command stands in the command line of xtask.
    #[derive(Parser)]
    struct Cli {
        #[command(subcommand)]
        action: Action,
    }

    #[derive(clap::Subcommand)]
    enum Action {
        Bench(BenchArgs),
    }

    fn parse(line: &str) -> BenchArgs {
        let words = ["xtask", "bench"].into_iter().chain(line.split_whitespace());
        let Action::Bench(args) = Cli::try_parse_from(words).expect("all is passed on").action;
        args
    }

    #[test]
    fn every_argument_reaches_the_benches_unchanged() {
        for line in [
            "",
            "--quick --runs 1",
            "call idle --systems linden,otp --workers=3",
            "call/one_core --runs 9 --json results.json",
            "http --json FILE --anything-new",
            "--help",
        ] {
            assert_eq!(parse(line).arguments.join(" "), line);
        }
    }

    #[test]
    fn erlang_is_needed_only_when_otp_takes_part() {
        for line in [
            "",
            "call --quick",
            "--systems linden,otp",
            "call --systems=otp --runs 1",
            "http call",
            "--json http",
            "--quick --json http call",
            "--all --runs 3",
        ] {
            assert!(parse(line).needs_erlang(), "{line}");
        }
        for line in [
            "--systems linden,tokio",
            "call --systems=tokio",
            "--help",
            "-h",
            "http --json FILE",
            "--runs 3 http/64 --quick http/tls1",
        ] {
            assert!(!parse(line).needs_erlang(), "{line}");
        }
    }
}
