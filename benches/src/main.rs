//! `linden-benches`: the same scenarios on Linden and on its peers, side by side in one run.
//!
//! The parent (`run_all`) plans, starts one fresh child OS process per scenario, variant, system and
//! run, and prints tables. A child (`run_one`) is this same binary with the hidden subcommand `one`;
//! for OTP it is a BEAM. A server of `http` starts its clients as one more, by the hidden subcommand `load`. `README.md` says how each system does each scenario.

#![forbid(unsafe_code)]

mod child;
mod goal;
mod hello;
mod load;
mod measure;
mod outcome;
mod plan;
mod results;
mod rss;
mod scenario;
mod stats;
mod systems;
mod table;
mod ticker;

use std::error::Error;
use std::fs::File;
use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::thread;

use clap::{Parser, Subcommand};

use crate::child::{ChildError, TIME_LIMIT};
use crate::load::Load;
use crate::measure::Params;
use crate::outcome::{Metric, Outcome, Unsupported};
use crate::plan::{Group, Selection};
use crate::results::Results;
use crate::scenario::{Scenario, System, Variant};
use crate::systems::otp::Otp;
use crate::ticker::Ticker;

/// The allocator of every Rust system.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Runs the same scenarios on Linden, raw tokio, ractor, kameo, actix, Erlang/OTP, and axum.
#[derive(Debug, Parser)]
#[command(name = "linden-benches", args_conflicts_with_subcommands = true)]
struct Arguments {
    /// Scenarios to run, as `call` or `call/one_core`; all when there is none
    #[arg(value_name = "SCENARIO")]
    selections: Vec<Selection>,
    /// Every scenario, and at the end a table of the goals with what was reached
    #[arg(long, conflicts_with = "selections")]
    all: bool,
    /// Systems to run
    #[arg(long, value_delimiter = ',', value_enum, value_name = "A,B", default_values_t = System::ALL.iter().copied())]
    systems: Vec<System>,
    /// Runs of each scenario on each system
    #[arg(long, default_value = "5")]
    runs: NonZeroUsize,
    /// File for one JSON object per line; it is created anew
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    #[command(flatten)]
    size: Size,
    #[command(subcommand)]
    child: Option<Child>,
}

/// The size of the task, the same for parent and child.
#[derive(Clone, Copy, Debug, clap::Args)]
struct Size {
    /// Worker threads of each system [default: the available cores]
    #[arg(long)]
    workers: Option<NonZeroUsize>,
    /// A quick look: shorter measurements, 100,000 idle servers
    #[arg(long)]
    quick: bool,
}

impl Size {
    fn workers(self) -> usize {
        let cores = || thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        self.workers.unwrap_or_else(cores).get()
    }

    fn params(self) -> Params {
        Params::new(self.workers(), self.quick)
    }
}

#[derive(Debug, Subcommand)]
enum Child {
    /// Does one scenario in this OS process and prints one line of JSON
    #[command(hide = true)]
    One {
        scenario: Scenario,
        variant: Variant,
        system: System,
        #[command(flatten)]
        size: Size,
    },
    /// Asks a server of `http` and prints one line of JSON
    #[command(hide = true)]
    Load(Load),
    /// Ticks at a server of `runaway` and prints one line of JSON
    #[command(hide = true)]
    Ticker(Ticker),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = match &arguments.child {
        Some(Child::One { scenario, variant, system, size }) => {
            run_one(*scenario, *variant, *system, *size)
        }
        Some(Child::Load(load)) => load.bear().map_err(Into::into).and_then(print_metrics),
        Some(Child::Ticker(ticker)) => ticker.tick().map_err(Into::into).and_then(print_metrics),
        None => run_all(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("linden-benches: {}", chain(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

fn run_one(
    scenario: Scenario,
    variant: Variant,
    system: System,
    size: Size,
) -> Result<(), Box<dyn Error>> {
    let outcome = Outcome::from(systems::run(system, scenario, variant, size.params()));
    println!("{}", serde_json::to_string(&outcome)?);
    io::stdout().flush()?;
    // Whatever is left of the measured system ends with this OS process, at once: taking a million
    // servers down is not part of any scenario.
    std::process::exit(0)
}

fn print_metrics(metrics: Vec<Metric>) -> Result<(), Box<dyn Error>> {
    println!("{}", serde_json::to_string(&Outcome::Metrics(metrics))?);
    Ok(())
}

fn run_all(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let mut json = arguments.json.as_ref().map(File::create).transpose()?;
    let groups = plan::groups(&arguments.selections);
    let launcher = Launcher::new(arguments, &groups);
    let workers = arguments.size.workers();
    println!("{workers} workers, {} runs. {}", arguments.runs, table::LEGEND);
    let mut failed = Vec::new();
    let mut verdicts = Vec::new();
    for group in groups {
        let results = run_group(&launcher, group, arguments);
        print!("{}", table::render(&results));
        verdicts.extend(table::verdicts(&results).map(|verdict| (group, verdict)));
        if results.has_failed(System::Linden) {
            failed.push(format!("{}/{}", group.scenario, group.variant));
        }
        if let Some(file) = &mut json {
            for record in results.records() {
                writeln!(file, "{}", record.to_json())?;
            }
        }
    }
    if arguments.all {
        print!("{}", table::render_verdicts(&verdicts));
    }
    // A peer that fails is a line in its table; Linden is what is tested here.
    match failed.is_empty() {
        true => Ok(()),
        false => Err(format!("linden failed in {}", failed.join(", ")).into()),
    }
}

fn run_group(launcher: &Launcher, group: Group, arguments: &Arguments) -> Results {
    let mut results = Results::new(group);
    for (run, system) in plan::turns(group, &arguments.systems, arguments.runs.get()) {
        if results.given_up(system) {
            continue;
        }
        match launcher.run(group, system) {
            Ok(Outcome::Metrics(metrics)) => results.add(system, metrics),
            Ok(Outcome::Unsupported(why)) => results.give_up(system, why),
            Err(error) => results.fail(system, format!("run {run} failed: {}", chain(&error))),
        }
    }
    results
}

/// Starts children; has OTP ready when it takes part.
struct Launcher {
    size: Size,
    otp: Result<Otp, Unsupported>,
}

impl Launcher {
    fn new(arguments: &Arguments, groups: &[Group]) -> Launcher {
        let takes_part = groups.iter().any(|group| group.scenario.has(System::Otp));
        let otp = if takes_part && arguments.systems.contains(&System::Otp) {
            Otp::prepare()
        } else {
            Err(Unsupported("not selected".to_owned()))
        };
        Launcher { size: arguments.size, otp }
    }

    fn run(&self, group: Group, system: System) -> Result<Outcome, ChildError> {
        let mut command = match system {
            System::Otp => match self.otp_command(group) {
                Ok(command) => command,
                Err(Unsupported(why)) => return Ok(Outcome::Unsupported(why)),
            },
            _ => self.own_command(group, system)?,
        };
        child::run(&mut command, TIME_LIMIT)
    }

    fn otp_command(&self, group: Group) -> Result<Command, Unsupported> {
        let otp = self.otp.as_ref().map_err(Unsupported::clone)?;
        otp.command(group.scenario, group.variant, self.size.params())
    }

    fn own_command(&self, group: Group, system: System) -> io::Result<Command> {
        if let Some(servers) = group.variant.servers() {
            return self.scale_command(servers);
        }
        let mut command = Command::new(std::env::current_exe()?);
        command
            .args(["one", group.scenario.name(), group.variant.name(), system.name()])
            .args(["--workers", &self.size.workers().to_string()])
            // Backtraces would cost some systems more than others.
            .env_remove("RUST_BACKTRACE");
        if self.size.quick {
            command.arg("--quick");
        }
        Ok(command)
    }

    /// The program beside this one whose allocator counts.
    fn scale_command(&self, servers: u64) -> io::Result<Command> {
        let program = std::env::current_exe()?.with_file_name("linden-scale");
        if !program.is_file() {
            let mend = "build it by `cargo build --profile bench -p linden-benches`, or use `cargo xtask bench`";
            return Err(io::Error::new(
                io::ErrorKind::NotFound,
                format!("{} is missing: {mend}", program.display()),
            ));
        }
        let servers = servers / self.size.params().scale_divisor;
        let mut command = Command::new(program);
        command
            .args([&servers.max(1).to_string(), "--workers", &self.size.workers().to_string()])
            // With huge pages the figures of small nodes would be those of the pages.
            .env("MIMALLOC_ALLOW_THP", "0")
            .env_remove("RUST_BACKTRACE");
        Ok(command)
    }
}

/// An error and its causes on one line.
fn chain(error: &dyn Error) -> String {
    let causes = std::iter::successors(error.source(), |&cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn the_parent_and_the_child_are_told_apart() {
        let parent = Arguments::parse_from(["linden-benches", "call", "--systems", "tokio,otp"]);
        assert!(parent.child.is_none());
        assert_eq!(parent.systems, [System::Tokio, System::Otp]);
        let child = ["linden-benches", "one", "call", "one_core", "tokio", "--workers", "3"];
        let child = Arguments::parse_from(child);
        assert!(matches!(
            child.child,
            Some(Child::One { scenario: Scenario::Call, variant: Variant::OneCore, .. })
        ));
    }
}
