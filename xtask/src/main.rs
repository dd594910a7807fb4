//! The commands of this repository: `cargo xtask test | tidy | memcheck | crash | bench`.
//!
//! One OS process, one thread. Each command is a module; this file parses the command line and turns errors into
//! text and an exit code (0: all is well, 1: a check found something, 2: a command could not do its work).
//! Absent on purpose: checks live in `tidy`, steps in `test`; nothing here depends on a crate of the workspace.

#![forbid(unsafe_code)]

mod bench;
mod command;
mod crash;
mod memcheck;
mod packages;
mod test;
mod tidy;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::workspace::Workspace;

/// The commands of this repository.
#[derive(Parser)]
#[command(name = "cargo xtask", version, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Run every check of this repository; this is what CI runs
    Test(test::TestArgs),
    /// Check the rules of the repository that the compiler does not know
    Tidy,
    /// Run linden-core's memory check under AddressSanitizer or valgrind
    Memcheck(memcheck::MemcheckArgs),
    /// Kill the shop again and again in the middle of its load, and check what it acknowledged
    Crash(crash::CrashArgs),
    /// Build the benches and run scenarios, ours beside the peers
    Bench(bench::BenchArgs),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match dispatch(cli.command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn dispatch(action: Action) -> anyhow::Result<ExitCode> {
    let workspace = Workspace::find()?;
    match action {
        Action::Test(args) => test::run(&workspace, &args),
        Action::Tidy => tidy::run(&workspace),
        Action::Memcheck(args) => memcheck::run(&workspace, &args),
        Action::Crash(args) => crash::run(&workspace, args),
        Action::Bench(args) => bench::run(&workspace, &args),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }
}
