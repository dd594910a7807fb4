//! Erlang/OTP: the command that runs one scenario in a BEAM of its own.
//!
//! The Erlang modules (`otp/*.erl`) are part of this program; they are compiled by `erlc` into a
//! directory that is removed again. When Erlang is missing, it is installed from Debian's packages.
//! Touched by the parent only.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::measure::{self, Params};
use crate::outcome::Unsupported;
use crate::scenario::{Scenario, Variant};

const MODULES: [(&str, &str); 4] = [
    ("bench.erl", include_str!("../../otp/bench.erl")),
    ("bench_counter.erl", include_str!("../../otp/bench_counter.erl")),
    ("bench_relay.erl", include_str!("../../otp/bench_relay.erl")),
    ("bench_sup.erl", include_str!("../../otp/bench_sup.erl")),
];

/// Names the program whose subcommand is the ticker of `runaway`.
const TICKER: &str = "LINDEN_BENCHES_TICKER";

/// The package that has `erl`, `erlc` and the standard library.
const DEBIAN_PACKAGE: &str = "erlang-base";

/// The default handler with its default settings, except that it writes to no terminal: crash and
/// supervisor reports are formatted as ever.
const LOGGER: &str = r#"[{handler,default,logger_std_h,#{config=>#{file=>"/dev/null"}}}]"#;

/// The compiled modules; the directory goes with the value.
#[derive(Debug)]
pub(crate) struct Otp {
    directory: PathBuf,
}

impl Otp {
    /// Compiles the modules; installs Erlang first when it is missing.
    pub(crate) fn prepare() -> Result<Otp, Unsupported> {
        if !installed() {
            install()?;
        }
        let directory = std::env::temp_dir().join(format!("linden-benches-{}", std::process::id()));
        fs::create_dir_all(&directory).map_err(|error| cannot_compile(&error))?;
        let otp = Otp { directory };
        otp.compile()?;
        Ok(otp)
    }

    fn compile(&self) -> Result<(), Unsupported> {
        let mut erlc = Command::new("erlc");
        erlc.arg("-o").arg(&self.directory);
        for (name, text) in MODULES {
            let path = self.directory.join(name);
            fs::write(&path, text).map_err(|error| cannot_compile(&error))?;
            erlc.arg(path);
        }
        let output = erlc.output().map_err(|error| cannot_compile(&error))?;
        if output.status.success() {
            Ok(())
        } else {
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            Err(Unsupported(format!("erlc refuses the modules: {}", said.trim())))
        }
    }

    /// The command that does a scenario and prints its outcome.
    pub(crate) fn command(
        &self,
        scenario: Scenario,
        variant: Variant,
        params: Params,
    ) -> Result<Command, Unsupported> {
        let workers = match variant {
            Variant::OneCore => 1,
            Variant::Outside => {
                return Err(Unsupported(
                    "a thread outside of the BEAM cannot call into it within one OS process"
                        .to_owned(),
                ));
            }
            Variant::CrossWorker => params.workers.max(2),
            Variant::Default => params.workers,
            _ if scenario == Scenario::Runaway => params.workers,
            _ => return Err(Unsupported::takes_no_part()),
        };
        Ok(command(&self.directory, workers, scenario, variant, params))
    }
}

impl Drop for Otp {
    fn drop(&mut self) {
        // It is in the directory for temporary files; what cannot be removed does no harm there.
        let _ = fs::remove_dir_all(&self.directory);
    }
}

fn command(
    directory: &Path,
    workers: usize,
    scenario: Scenario,
    variant: Variant,
    params: Params,
) -> Command {
    let mut erl = Command::new("erl");
    erl.arg("-noshell")
        .arg("-pa")
        .arg(directory)
        .args(["+S", &format!("{workers}:{workers}"), "+P", "2000000"])
        .args(["-kernel", "logger", LOGGER])
        .args(["-run", "bench", "main", scenario.name(), variant.name()])
        .args(sizes(params).map(|(name, value)| format!("{name}={value}")));
    if let (Scenario::Runaway, Ok(program)) = (scenario, std::env::current_exe()) {
        erl.env(TICKER, program);
    }
    erl
}

fn sizes(params: Params) -> [(&'static str, u64); 20] {
    [
        ("measure_ms", params.measure.as_millis() as u64),
        ("calls", measure::CALLS_A_ROUND),
        ("messages", measure::MESSAGES_A_ROUND),
        ("senders", measure::SENDERS),
        ("pairs", measure::PAIRS),
        ("laps", measure::LAPS_A_ROUND),
        ("ring", measure::RING),
        ("hops", measure::HOPS_A_ROUND),
        ("spawns", measure::SPAWNS_A_ROUND),
        ("idle", params.idle_processes),
        ("crashes", params.crashes),
        ("crashes_a_supervisor", measure::CRASHES_A_SUPERVISOR),
        ("ticks", params.ticks),
        ("timers_armed", measure::TIMERS_ARMED),
        ("timers", measure::TIMERS_A_ROUND),
        ("timer_delay_ms", measure::TIMER_DELAY.as_millis() as u64),
        ("waiting", measure::WAITING),
        ("idle_ms", params.idle.as_millis() as u64),
        ("ticks_alone", measure::TICKS_ALONE),
        ("repeated_work_ms", measure::REPEATED_WORK.as_millis() as u64),
    ]
}

fn installed() -> bool {
    ["erl", "erlc"].iter().all(|program| {
        std::env::var_os("PATH").is_some_and(|path| {
            std::env::split_paths(&path).any(|directory| directory.join(program).is_file())
        })
    })
}

fn install() -> Result<(), Unsupported> {
    eprintln!("Erlang is missing: apt-get install {DEBIAN_PACKAGE}");
    let installed = Command::new("apt-get")
        .args(["install", "--yes", "--no-install-recommends", DEBIAN_PACKAGE])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status();
    match installed {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Unsupported(format!(
            "Erlang is not installed, and apt-get install {DEBIAN_PACKAGE} failed: {status}"
        ))),
        Err(error) => Err(Unsupported(format!(
            "Erlang is not installed, and there is no apt-get to install it: {error}"
        ))),
    }
}

fn cannot_compile(error: &io::Error) -> Unsupported {
    Unsupported(format!("the Erlang modules cannot be compiled: {error}"))
}
