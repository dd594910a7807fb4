//! Under construction: the node is wired up here.

#![forbid(unsafe_code)]

use clap::Parser as _;

#[cfg_attr(not(test), expect(dead_code, reason = "the node that reads the flags is not here yet"))]
mod cli;

fn main() {
    let _command = cli::Cli::parse().chosen();
}
