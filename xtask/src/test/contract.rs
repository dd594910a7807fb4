//! The step `contract`: Schemathesis plays through the shop's OpenAPI document against the running shop.
//!
//! It makes requests that the document allows, and such that it does not, and calls an answer that the document does not
//! allow a failure. How one logs in, and what is left out and why, is in `xtask/contract`. The seed is always the same, so that
//! who changed nothing sees no failure; the variable `CONTRACT_SEED` chooses another.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail};

use super::Outcome;
use super::steps::Setting;
use crate::command::{self, Ended};
use crate::packages::{self, PIP, PYTHON};

/// How Schemathesis is set up, and what it is.
const REQUIREMENTS: &str = "xtask/contract/requirements.txt";
const CONFIG: &str = "xtask/contract/schemathesis.toml";
const HOOKS: &str = "xtask/contract";

/// Requests for each operation in the phase that makes most.
const EXAMPLES: &str = "50";

/// What the requests are drawn from.
const SEED: &str = "1";

/// How long it may play.
const LIMIT: Duration = Duration::from_secs(300);

/// One address asks for all: nobody's attempts are limited, and no log-in takes long.
const SETTINGS: [(&str, &str); 3] = [
    (
        "LINDEN__AUTH__ATTEMPTS",
        "{ log_ins_per_account = { burst = 100000, every = \"1s\" }, \
         log_ins_per_address = { burst = 100000, every = \"1s\" }, \
         registrations_per_address = { burst = 100000, every = \"1s\" } }",
    ),
    ("LINDEN__AUTH__HASH_COST", "{ memory_kib = 8, passes = 1, lanes = 1 }"),
    ("LINDEN__WEB__EDGE__ACCESS_LOG", "false"),
];

/// See the head of this file.
pub(super) fn play(setting: &Setting<'_>) -> anyhow::Result<Outcome> {
    for package in [PYTHON, PIP] {
        packages::ensure(package, setting.log)?;
    }
    let directory = setting.workspace.target().join("xtask/contract");
    let site = directory.join("site");
    install(setting, &site)?;
    let program = setting.shop()?;
    let data = directory.join("data");
    if data.exists() {
        std::fs::remove_dir_all(&data)
            .with_context(|| format!("cannot remove {}", data.display()))?;
    }
    std::fs::create_dir_all(&data).with_context(|| format!("cannot make {}", data.display()))?;
    let shop = Shop::start(&program, &data)?;
    let played = schemathesis(setting, &site, &data, &shop.url);
    let log = shop.stop()?;
    std::fs::remove_dir_all(&data).with_context(|| format!("cannot remove {}", data.display()))?;
    setting.log.line(&log)?;
    played?;
    if let Some(error) = log.lines().find(|line| line.contains("ERROR")) {
        bail!("no answer was wrong, but the shop logged an error: {error}");
    }
    let text = setting.log.text();
    let count = text.lines().find(|line| line.contains(" generated, ")).unwrap_or_default();
    Ok(Outcome::Passed(count.trim().to_owned()))
}

/// Schemathesis and all that it needs, in the versions of the list.
fn install(setting: &Setting<'_>, site: &Path) -> anyhow::Result<()> {
    let wanted = std::fs::read_to_string(setting.workspace.path(REQUIREMENTS))
        .with_context(|| format!("cannot read {REQUIREMENTS}"))?;
    let installed = site.join("requirements.txt");
    if std::fs::read_to_string(&installed).is_ok_and(|text| text == wanted) {
        return Ok(());
    }
    let mut pip = Command::new(PYTHON.program);
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--upgrade"]);
    pip.arg("--target").arg(site).arg("-r").arg(setting.workspace.path(REQUIREMENTS));
    command::run(&mut pip, setting.log)
        .context("Schemathesis did not come from PyPI: is there a network?")?;
    std::fs::write(&installed, wanted)
        .with_context(|| format!("cannot write {}", installed.display()))
}

fn schemathesis(
    setting: &Setting<'_>,
    site: &Path,
    scratch: &Path,
    url: &str,
) -> anyhow::Result<()> {
    let hooks = setting.workspace.path(HOOKS);
    let path = std::env::join_paths([site, &hooks]).context("a path has a colon in it")?;
    let mut play = Command::new(PYTHON.program);
    // It leaves files behind where it runs.
    play.current_dir(scratch);
    play.env("PYTHONPATH", path).env("PYTHONDONTWRITEBYTECODE", "1");
    play.env("SCHEMATHESIS_HOOKS", "hooks");
    play.args(["-m", "schemathesis.cli", "--config-file"]).arg(setting.workspace.path(CONFIG));
    play.args(["run", "--no-color", "--continue-on-failure", "--generation-database", "none"]);
    play.args(["--request-timeout", "30", "--max-examples", EXAMPLES, "--seed", &seed()]);
    play.arg(format!("{url}openapi.json"));
    match command::run_for(&mut play, setting.log, LIMIT)? {
        Ended::Exited(status) if status.success() => Ok(()),
        Ended::Exited(_) => bail!("the shop breaks its contract, or the document is wrong"),
        Ended::TimedOut => bail!("Schemathesis did not end within {} s", LIMIT.as_secs()),
    }
}

fn seed() -> String {
    std::env::var("CONTRACT_SEED").unwrap_or_else(|_| SEED.to_owned())
}

/// A shop that runs until it is stopped or dropped.
struct Shop {
    child: Child,
    url: String,
    log: PathBuf,
}

impl Shop {
    /// Returns when it serves.
    fn start(program: &Path, data: &Path) -> anyhow::Result<Self> {
        let log = data.join("log");
        let file = std::fs::File::create(&log)
            .with_context(|| format!("cannot write {}", log.display()))?;
        let mut child = Command::new(program)
            .args(["--listen", "127.0.0.1:0", "--data"])
            .arg(data)
            .current_dir(data)
            .envs(SETTINGS)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(file)
            .spawn()
            .context("cannot start the shop")?;
        let stdout = child.stdout.take().context("its output is piped")?;
        let mut shop = Self { child, url: String::new(), log };
        for line in BufReader::new(stdout).lines() {
            let line = line.context("the shop says no text")?;
            if let Some(at) = line.find("http://") {
                line[at..].clone_into(&mut shop.url);
                return Ok(shop);
            }
        }
        bail!("the shop did not start: {}", std::fs::read_to_string(&shop.log).unwrap_or_default())
    }

    /// Ends it in good order; what it has logged.
    fn stop(mut self) -> anyhow::Result<String> {
        let pid = self.child.id().to_string();
        Command::new("kill").args(["-TERM", &pid]).status().context("cannot start kill")?;
        let status = self.child.wait().context("cannot wait for the shop")?;
        let log = std::fs::read_to_string(&self.log).context("the shop has a log")?;
        if !status.success() {
            bail!("the shop did not end well: {status}\n{log}");
        }
        Ok(log)
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
