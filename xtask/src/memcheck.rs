//! `cargo xtask memcheck`: linden-core's test binary `memcheck` under AddressSanitizer or valgrind.
//!
//! AddressSanitizer is preferred: its runtime comes with rustc, it is some 10 times faster, and it instruments the
//! crates themselves. It is an unstable flag, hence `RUSTC_BOOTSTRAP`; the build has a target directory of its own.
//! Without the runtime the same binary runs under valgrind. A missing suite is an error unless it is allowed.

use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};

use crate::command::{self, Ended, Log};
use crate::packages::{self, VALGRIND};
use crate::test::totals;
use crate::workspace::{Workspace, append_flags};

/// How long the suite may run under a tool that slows it down; longer is a failure.
const SUITE_LIMIT: Duration = Duration::from_secs(900);

/// valgrind's exit code for errors of memory, apart from those of the test harness.
const VALGRIND_FOUND: &str = "99";

/// Where the suite is, in the two forms that cargo accepts.
const SUITE_FILES: [&str; 2] =
    ["crates/linden-core/tests/memcheck.rs", "crates/linden-core/tests/memcheck/main.rs"];

/// How to check.
#[derive(Args, Debug, Clone, Copy, Default)]
pub(crate) struct MemcheckArgs {
    /// The tool; by default AddressSanitizer where rustc has its runtime, else valgrind
    #[arg(long)]
    pub(crate) tool: Option<Tool>,
    /// Succeed when linden-core has no test file `memcheck`
    #[arg(long)]
    pub(crate) allow_missing: bool,
}

/// What watches the memory.
#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tool {
    /// AddressSanitizer with leak detection
    Asan,
    /// valgrind's memcheck
    Valgrind,
}

/// What the check has done.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Checked {
    /// The suite passed under the tool.
    Clean(Tool),
    /// There is no suite, and that was allowed.
    Absent,
}

/// The command: shows the log, since nobody else does.
pub(crate) fn run(workspace: &Workspace, args: &MemcheckArgs) -> anyhow::Result<ExitCode> {
    let log = Log::create(workspace.target().join("xtask/memcheck.log"))?;
    let checked = check(workspace, *args, &log);
    print!("{}", log.text());
    match checked {
        Ok(Checked::Clean(tool)) => println!("memcheck: clean under {}", tool.name()),
        Ok(Checked::Absent) => println!("memcheck: linden-core has no suite named memcheck"),
        Err(error) => {
            println!("memcheck: {error:#}");
            return Ok(ExitCode::FAILURE);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Builds the suite for the tool and runs it.
pub(crate) fn check(
    workspace: &Workspace,
    args: MemcheckArgs,
    log: &Log,
) -> anyhow::Result<Checked> {
    if !SUITE_FILES.iter().any(|file| workspace.path(file).is_file()) {
        if args.allow_missing {
            return Ok(Checked::Absent);
        }
        bail!("the suite is absent: write {}, or allow this by --allow-missing", SUITE_FILES[0]);
    }
    let tool = match args.tool {
        Some(tool) => tool,
        None => default_tool(log)?,
    };
    let mut suite = match tool {
        Tool::Asan => asan(workspace, log)?,
        Tool::Valgrind => valgrind(workspace, log)?,
    };
    match command::run_for(&mut suite, log, SUITE_LIMIT)? {
        // A suite that runs nothing finds nothing.
        Ended::Exited(status) if status.success() && totals::passed(&log.text()) == 0 => {
            bail!("the suite has no test")
        }
        Ended::Exited(status) if status.success() => Ok(Checked::Clean(tool)),
        Ended::Exited(status) => bail!("the suite failed under {}: {status}", tool.name()),
        Ended::TimedOut => {
            bail!("the suite ran longer than {} s under {}", SUITE_LIMIT.as_secs(), tool.name())
        }
    }
}

/// AddressSanitizer where rustc has its runtime.
pub(crate) fn default_tool(log: &Log) -> anyhow::Result<Tool> {
    let libraries = command::stdout(Command::new("rustc").args(["--print", "target-libdir"]), log)?;
    let names = std::fs::read_dir(libraries.trim())
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned());
    Ok(tool_for(names))
}

fn tool_for(libraries: impl Iterator<Item = String>) -> Tool {
    let mut libraries = libraries;
    if libraries.any(|name| name.ends_with("_rt.asan.a")) { Tool::Asan } else { Tool::Valgrind }
}

impl Tool {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Tool::Asan => "AddressSanitizer",
            Tool::Valgrind => "valgrind",
        }
    }
}

fn asan(workspace: &Workspace, log: &Log) -> anyhow::Result<Command> {
    let host = host(log)?;
    let mut build = suite_build(workspace);
    // The target is named so that build scripts and macros, which run on the host, are not instrumented.
    build.args(["--target", &host, "--target-dir"]).arg(workspace.target().join("asan"));
    build.env("RUSTC_BOOTSTRAP", "1");
    append_flags(&mut build, "RUSTFLAGS", "-Zsanitizer=address");
    let mut suite = Command::new(suite_binary(&mut build, log)?);
    if std::env::var_os("ASAN_OPTIONS").is_none() {
        suite.env("ASAN_OPTIONS", "detect_leaks=1:detect_stack_use_after_return=1");
    }
    suite.current_dir(workspace.path("crates/linden-core"));
    Ok(suite)
}

fn valgrind(workspace: &Workspace, log: &Log) -> anyhow::Result<Command> {
    packages::ensure(VALGRIND, log)?;
    let binary = suite_binary(&mut suite_build(workspace), log)?;
    let mut suite = Command::new("valgrind");
    suite.arg(format!("--error-exitcode={VALGRIND_FOUND}"));
    suite.args(["--leak-check=full", "--errors-for-leak-kinds=definite", "--fair-sched=yes", "-q"]);
    suite.arg(binary).arg("--test-threads=1");
    suite.current_dir(workspace.path("crates/linden-core"));
    Ok(suite)
}

fn suite_build(workspace: &Workspace) -> Command {
    workspace.cargo([
        "test",
        "-p",
        "linden-core",
        "--test",
        "memcheck",
        "--no-run",
        "--message-format=json-render-diagnostics",
    ])
}

fn suite_binary(build: &mut Command, log: &Log) -> anyhow::Result<PathBuf> {
    command::build(build, log)?
        .into_iter()
        .find(|executable| executable.target == "memcheck")
        .map(|executable| executable.path)
        .context("cargo built no test named memcheck")
}

fn host(log: &Log) -> anyhow::Result<String> {
    let version = command::stdout(Command::new("rustc").arg("-vV"), log)?;
    host_in(&version).context("rustc -vV names no host")
}

fn host_in(version: &str) -> Option<String> {
    version.lines().find_map(|line| line.strip_prefix("host: ")).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sanitizer_is_chosen_where_its_runtime_is() {
        let with = |names: &[&str]| tool_for(names.iter().map(|name| (*name).to_owned()));
        assert_eq!(with(&["libstd.rlib", "librustc-stable_rt.asan.a"]), Tool::Asan);
        assert_eq!(with(&["libstd.rlib", "librustc-stable_rt.tsan.a"]), Tool::Valgrind);
    }

    #[test]
    fn host_is_read_from_the_version() {
        let version =
            "rustc 1.95.0\nbinary: rustc\nhost: x86_64-unknown-linux-gnu\nrelease: 1.95.0\n";
        assert_eq!(host_in(version).as_deref(), Some("x86_64-unknown-linux-gnu"));
    }
}
