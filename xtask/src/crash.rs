//! `cargo xtask crash`: kills the shop in the middle of its load, as often as asked, and checks its files after each.
//!
//! The test of the shop's node does it; `cargo xtask test` runs the same with few kills. This module only says how many, and
//! shows what the test prints.

use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;

use crate::workspace::Workspace;

/// How often to kill.
#[derive(Args, Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CrashArgs {
    /// Kills on the disk, and as many on a medium that loses what was not synced
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    kills: u32,
}

/// Runs the test; its exit code is ours.
pub(crate) fn run(workspace: &Workspace, args: CrashArgs) -> anyhow::Result<ExitCode> {
    let status = workspace
        .cargo(["test", "-p", "shop", "--test", "kill", "--", "--nocapture", "--test-threads=1"])
        .env("KILLS", args.kills.to_string())
        .status()
        .context("cannot start cargo")?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
