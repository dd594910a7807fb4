//! The shop: accounts, payments and aggregation of files as applications of one Linden node.
//!
//! This is the whole program: which applications there are, and how flags reach them.

#![forbid(unsafe_code)]

mod cli;
mod demo;
mod failure;
mod ingest;
mod run;
mod verify;

use std::process::ExitCode;

use clap::Parser as _;
use linden::prelude::*;

use crate::cli::{Cli, Command};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[linden::main]
async fn main(node: NodeBuilder) -> ExitCode {
    let ended = match Cli::parse().chosen() {
        Command::Run(args) => run::run(node, args).await,
        Command::Ingest(args) => ingest::ingest(node, args).await,
        Command::Demo(args) => demo::demo(node, args).await,
        Command::Verify(args) => verify::verify(&args),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failure::report(&*error),
    }
}
