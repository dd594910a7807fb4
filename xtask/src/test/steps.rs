//! The table of steps and what each does. A step writes to its log and returns an outcome; it prints nothing.
//!
//! Order: cheap checks first, so that a slip shows early. Steps do not depend on each other; any of them can run
//! alone. Only `packages` (apt) and cargo itself may use the network; `deny` therefore leaves out advisories.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, bail};

use super::{Outcome, confined, contract, loom, real_data, totals};
use crate::command::{self, Ended, Log};
use crate::memcheck::{self, Checked, MemcheckArgs, Tool};
use crate::packages::{self, CHROMEDRIVER, CHROMIUM, Ensured, VALGRIND};
use crate::tidy;
use crate::workspace::{Workspace, append_flags};

/// How long the README's program may run before it counts as hung.
const PROGRAM_LIMIT: Duration = Duration::from_secs(60);

/// How long the visits in a browser may take.
const BROWSER_LIMIT: Duration = Duration::from_secs(120);

/// One step of `cargo xtask test`.
pub(super) struct Step {
    /// The name on the command line and of the log.
    pub(super) name: &'static str,
    /// One line for `--list`.
    pub(super) about: &'static str,
    /// An error means that the step has failed.
    pub(super) run: fn(&Setting<'_>) -> anyhow::Result<Outcome>,
}

/// What a step works with.
pub(super) struct Setting<'a> {
    pub(super) workspace: &'a Workspace,
    pub(super) log: &'a Log,
    /// Whether the memory check may be absent.
    pub(super) allow_missing: bool,
}

/// All steps in the order in which they run.
pub(super) const STEPS: &[Step] = &[
    Step {
        name: "packages",
        about: "Debian packages that tests need are installed",
        run: packages,
    },
    Step { name: "fmt", about: "the code is formatted", run: fmt },
    Step {
        name: "tidy",
        about: "the rules of the repository hold (cargo xtask tidy)",
        run: tidy_step,
    },
    Step { name: "clippy", about: "clippy has no warning", run: clippy },
    Step { name: "docs", about: "rustdoc has no warning", run: docs },
    Step { name: "test", about: "unit and integration tests", run: test },
    Step {
        name: "confined",
        about: "fairness as an unprivileged user, and with half a core",
        run: confined::run,
    },
    Step { name: "browser", about: "the shop's pages in headless Chromium", run: browser },
    Step {
        name: "contract",
        about: "the shop's answers beside its OpenAPI document, by Schemathesis",
        run: contract::play,
    },
    Step {
        name: "real-data",
        about: "the shop's aggregates of public data beside an independent program's",
        run: real_data::compare,
    },
    Step { name: "doctest", about: "examples in documentation", run: doctest },
    Step { name: "program", about: "the README's program runs and ends well", run: program },
    Step { name: "loom", about: "loom tests of linden-core", run: loom::explore },
    Step {
        name: "weakenings",
        about: "each planted weakening is caught by its loom test",
        run: loom::weakenings,
    },
    Step { name: "memcheck", about: "linden-core under AddressSanitizer or valgrind", run: memory },
    Step { name: "benches", about: "the benches compile", run: benches },
    Step { name: "deny", about: "licences and sources, where cargo-deny is installed", run: deny },
];

impl Setting<'_> {
    /// Runs cargo; an exit code other than 0 is an error.
    fn cargo(&self, args: &[&str]) -> anyhow::Result<()> {
        command::run(&mut self.workspace.cargo(args), self.log)
    }

    /// The built program `shop`.
    pub(super) fn shop(&self) -> anyhow::Result<PathBuf> {
        let args =
            ["build", "-p", "shop", "--bin", "shop", "--message-format=json-render-diagnostics"];
        let built = command::build(&mut self.workspace.cargo(args), self.log)?;
        let shop = built.into_iter().find(|executable| executable.target == "shop");
        Ok(shop.context("cargo built no program named shop")?.path)
    }
}

fn passed() -> anyhow::Result<Outcome> {
    Ok(Outcome::Passed(String::new()))
}

fn packages(setting: &Setting<'_>) -> anyhow::Result<Outcome> {
    let needs_valgrind = memcheck::default_tool(setting.log)? == Tool::Valgrind;
    if needs_valgrind && packages::ensure(VALGRIND, setting.log)? == Ensured::Installed {
        return Ok(Outcome::Passed(format!("installed {}", VALGRIND.debian)));
    }
    passed()
}

fn fmt(setting: &Setting<'_>) -> anyhow::Result<Outcome> {
    setting.cargo(&["fmt", "--all", "--check"]).context("`cargo fmt --all` mends it")?;
    passed()
}

fn tidy_step(setting: &Setting<'_>) -> anyhow::Result<Outcome> {
    let findings = tidy::findings(setting.workspace)?;
    for finding in &findings {
        setting.log.line(&finding.to_string())?;
    }
    match findings.len() {
        0 => passed(),
        count => bail!("{count} findings"),
    }
}

fn clippy(setting: &Setting<'_>) -> anyhow::Result<Outcome> {
    setting.cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"])?;
    passed()
}

fn docs(setting: &Setting<'_>) -> anyhow::Result<Outcome> {
    let mut cargo = setting.workspace.cargo(["doc", "--no-deps", "--workspace"]);
    append_flags(&mut cargo, "RUSTDOCFLAGS", "-D warnings");
    command::run(&mut cargo, setting.log)?;
    passed()
}

fn test(setting: &Setting<'_>) -> anyhow::Result<Outcome> {
    if packages::on_path("cargo-nextest") {
        let mut args = vec!["nextest", "run", "--workspace", "--no-fail-fast"];
        if std::env::var_os("CI").is_some() {
            args.extend(["--profile", "ci"]);
        }
        setting.cargo(&args)?;
    } else {
        setting.cargo(&["test", "--workspace", "--no-fail-fast", "--lib", "--bins", "--tests"])?;
    }
    Ok(Outcome::Passed(totals::read(&setting.log.text()).unwrap_or_default()))
}

fn browser(setting: &Setting<'_>) -> anyhow::Result<Outcome> {
    for package in [CHROMIUM, CHROMEDRIVER] {
        packages::ensure(package, setting.log)?;
    }
    let args = ["test", "-p", "shop", "--features", "browser", "--test", "browser"];
    let mut build = setting.workspace.cargo(args);
    command::run(build.arg("--no-run"), setting.log)?;
    match command::run_for(&mut setting.workspace.cargo(args), setting.log, BROWSER_LIMIT)? {
        Ended::Exited(status) if status.success() => {
            Ok(Outcome::Passed("pictures in target/browser".to_owned()))
        }
        Ended::Exited(status) => bail!("the pages failed in the browser: {status}"),
        Ended::TimedOut => bail!("the browser did not end within {} s", BROWSER_LIMIT.as_secs()),
    }
}

fn doctest(setting: &Setting<'_>) -> anyhow::Result<Outcome> {
    setting.cargo(&["test", "--doc", "--workspace", "--no-fail-fast"])?;
    Ok(Outcome::Passed(totals::read(&setting.log.text()).unwrap_or_default()))
}

/// Runs the example that the README shows. `tidy` has compared the two texts.
fn program(setting: &Setting<'_>) -> anyhow::Result<Outcome> {
    let readme = std::fs::read_to_string(setting.workspace.path("README.md"))
        .context("cannot read README.md")?;
    let path = tidy::program_path(&readme).context("README.md names no program")?;
    let (package, name) = example(&path)
        .with_context(|| format!("{path} is not of the form DIRECTORY/examples/NAME.rs"))?;
    let mut build = setting.workspace.cargo(["build", "--example", name, "--manifest-path"]);
    build.arg(setting.workspace.path(package).join("Cargo.toml"));
    build.arg("--message-format=json-render-diagnostics");
    let binary = command::build(&mut build, setting.log)?
        .into_iter()
        .find(|executable| executable.target == name)
        .with_context(|| format!("cargo built no example named {name}"))?;
    match command::run_for(&mut Command::new(binary.path), setting.log, PROGRAM_LIMIT)? {
        Ended::Exited(status) if status.success() => Ok(Outcome::Passed(path)),
        Ended::Exited(status) => bail!("{path} failed: {status}"),
        Ended::TimedOut => bail!("{path} did not end within {} s", PROGRAM_LIMIT.as_secs()),
    }
}

/// Splits `DIRECTORY/examples/NAME.rs`.
fn example(path: &str) -> Option<(&str, &str)> {
    let (package, file) = path.split_once("/examples/")?;
    let name = file.strip_suffix(".rs")?;
    (!name.contains('/')).then_some((package, name))
}

fn memory(setting: &Setting<'_>) -> anyhow::Result<Outcome> {
    let args = MemcheckArgs { allow_missing: setting.allow_missing, ..MemcheckArgs::default() };
    Ok(match memcheck::check(setting.workspace, args, setting.log)? {
        Checked::Clean(tool) => Outcome::Passed(tool.name().to_owned()),
        Checked::Absent => Outcome::Skipped("linden-core has no suite named memcheck".to_owned()),
    })
}

fn benches(setting: &Setting<'_>) -> anyhow::Result<Outcome> {
    setting.cargo(&["check", "-p", "linden-benches", "--all-targets"])?;
    passed()
}

fn deny(setting: &Setting<'_>) -> anyhow::Result<Outcome> {
    if !packages::on_path("cargo-deny") {
        return Ok(Outcome::Skipped("cargo-deny is not installed".to_owned()));
    }
    setting.cargo(&["deny", "check", "bans", "licenses", "sources"])?;
    passed()
}

#[cfg(test)]
mod tests {
    use super::example;

    #[test]
    fn example_path_is_split_into_package_and_name() {
        assert_eq!(example("crates/linden/examples/hello.rs"), Some(("crates/linden", "hello")));
        assert_eq!(example("crates/linden/src/hello.rs"), None);
        assert_eq!(example("crates/linden/examples/deep/hello.rs"), None);
    }
}
