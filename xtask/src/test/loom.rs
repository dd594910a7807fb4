//! The loom steps: linden-core's interleavings explored, and proof that the exploration would notice.
//!
//! A *weakening* is a place in linden-core where `cfg(linden_weaken = "NAME")` relaxes an ordering or leaves out a
//! step. `crates/linden-core/loom-weakenings.txt` names, one per line, each weakening and the loom test that has to
//! fail under it: `NAME TEST_FILTER`, `#` starts a comment. A list that is out of step with the sources is an error.
//!
//! `--cfg loom` goes to all crates (it may choose dependencies), the weakening only to linden-core, by `cargo rustc`:
//! so each of them rebuilds one crate, not all. Everything lies in `target/loom`, so the main cache survives.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, bail};

use super::steps::Setting;
use super::{Outcome, totals};
use crate::command::{self, Ended};
use crate::tidy::rust;
use crate::workspace::{Workspace, append_flags};

const CRATE: &str = "crates/linden-core";
const CFG: &str = "linden_weaken";
/// The macro that names an ordering to weaken: `order!("NAME", Acquire)`.
const ORDER: &str = "order!(";
const LIST: &str = "crates/linden-core/loom-weakenings.txt";

/// Every loom test has this in its path, which is how it is found.
const LOOM_PREFIX: &str = "loom_";

/// How long one loom test may explore under a weakening; longer counts as not caught.
const WEAKENED_LIMIT: Duration = Duration::from_secs(600);

/// Loom is too slow without optimisation; debug assertions stay on.
const PROFILE: [&str; 4] =
    ["--config", "profile.dev.opt-level=3", "--config", "profile.dev.package.\"*\".opt-level=3"];

/// Runs all loom tests.
pub(super) fn explore(setting: &Setting<'_>) -> anyhow::Result<Outcome> {
    let mut cargo = cargo(setting.workspace, "test");
    cargo.args(["--no-fail-fast", LOOM_PREFIX]);
    command::run(&mut cargo, setting.log)?;
    match totals::passed(&setting.log.text()) {
        0 => bail!("linden-core has no test with `{LOOM_PREFIX}` in its path"),
        count => Ok(Outcome::Passed(format!("{count} tests passed"))),
    }
}

/// Plants each weakening in turn and requires its test to fail.
pub(super) fn weakenings(setting: &Setting<'_>) -> anyhow::Result<Outcome> {
    let planted = planted(&setting.workspace.path(CRATE).join("src"))?;
    let listed = match std::fs::read_to_string(setting.workspace.path(LIST)) {
        Ok(text) => parse(&text)?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && planted.is_empty() => {
            return Ok(Outcome::Skipped(format!("{LIST} is absent and no weakening is planted")));
        }
        Err(error) => return Err(error).with_context(|| format!("cannot read {LIST}")),
    };
    let mut errors = differences(&planted, &listed);
    for weakening in &listed {
        let verdict = try_weakening(setting, weakening)
            .with_context(|| format!("the weakening {} could not be tried", weakening.name));
        match verdict {
            Ok(verdict) => errors.extend(verdict.complaint(weakening)),
            Err(error) => errors.push(format!("{error:#}")),
        }
    }
    if !errors.is_empty() {
        for error in &errors {
            setting.log.line(error)?;
        }
        bail!(errors.join("; "));
    }
    Ok(Outcome::Passed(format!("{} weakenings caught", listed.len())))
}

/// One line of the list.
#[derive(Debug, PartialEq, Eq)]
struct Weakening {
    name: String,
    filter: String,
}

/// What became of a test under a weakening.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// The test failed, as it must.
    Caught,
    /// The test passed: it proves nothing about this place.
    Survived,
    /// The test explored longer than the limit.
    Endless,
    /// The filter names no test, so nothing was tried.
    NoTest,
    /// The filter names this test, which the step `loom` does not run.
    NotLoom(String),
}

impl Verdict {
    fn complaint(&self, weakening: &Weakening) -> Option<String> {
        let Weakening { name, filter } = weakening;
        match self {
            Verdict::Caught => None,
            Verdict::Survived => Some(format!("the weakening {name} was not caught by {filter}")),
            Verdict::Endless => Some(format!(
                "the weakening {name} was not caught: {filter} did not end within its time"
            )),
            Verdict::NoTest => {
                Some(format!("the weakening {name} names no test: nothing matches {filter}"))
            }
            Verdict::NotLoom(test) => Some(format!(
                "the weakening {name} names {test}, which has no `{LOOM_PREFIX}` in its path"
            )),
        }
    }
}

fn try_weakening(setting: &Setting<'_>, weakening: &Weakening) -> anyhow::Result<Verdict> {
    let binary = build_weakened(setting, &weakening.name)?;
    let mut list = Command::new(&binary);
    list.args([weakening.filter.as_str(), "--list", "--format", "terse"]);
    let tests = test_names(&command::stdout(&mut list, setting.log)?);
    if tests.is_empty() {
        return Ok(Verdict::NoTest);
    }
    if let Some(test) = tests.iter().find(|test| !test.contains(LOOM_PREFIX)) {
        return Ok(Verdict::NotLoom(test.clone()));
    }
    let mut run = Command::new(&binary);
    run.arg(&weakening.filter).current_dir(setting.workspace.path(CRATE));
    Ok(match command::run_for(&mut run, setting.log, WEAKENED_LIMIT)? {
        // A loom test that panics while it unwinds aborts; that is a failure as well.
        Ended::Exited(status) if !status.success() => Verdict::Caught,
        Ended::Exited(_) => Verdict::Survived,
        Ended::TimedOut => Verdict::Endless,
    })
}

fn build_weakened(setting: &Setting<'_>, name: &str) -> anyhow::Result<PathBuf> {
    let mut cargo = cargo(setting.workspace, "rustc");
    cargo.args(["--profile", "test", "--message-format=json-render-diagnostics", "--"]);
    cargo.args(["--cfg", &format!("linden_weaken=\"{name}\"")]);
    command::build(&mut cargo, setting.log)
        .context("linden-core does not compile with it")?
        .into_iter()
        .find(|executable| executable.target == "linden_core")
        .map(|executable| executable.path)
        .context("cargo built no test binary of linden-core")
}

fn cargo(workspace: &Workspace, command: &str) -> Command {
    let mut cargo = workspace.cargo([command, "-p", "linden-core", "--lib", "--target-dir"]);
    cargo.arg(workspace.target().join("loom")).args(PROFILE);
    append_flags(&mut cargo, "RUSTFLAGS", "--cfg loom");
    cargo
}

fn parse(text: &str) -> anyhow::Result<Vec<Weakening>> {
    let mut listed: Vec<Weakening> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default();
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            [] => {}
            [name, filter] => {
                listed.push(Weakening { name: name.to_owned(), filter: filter.to_owned() });
            }
            _ => bail!("{LIST}:{}: a line is `NAME TEST_FILTER`", index + 1),
        }
    }
    Ok(listed)
}

/// The names in `linden_weaken = "NAME"` and `order!("NAME", ...)` below a directory.
fn planted(directory: &Path) -> anyhow::Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for entry in std::fs::read_dir(directory)
        .with_context(|| format!("cannot read {}", directory.display()))?
    {
        let path = entry?.path();
        if path.is_dir() {
            names.extend(planted(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            names.extend(names_in(&std::fs::read_to_string(&path)?));
        }
    }
    Ok(names)
}

/// The names in code; comments may speak of the cfg freely.
fn names_in(source: &str) -> Vec<String> {
    let quoted = |part: &str| -> Option<String> {
        let value = part.trim_start().strip_prefix('"')?;
        value.split_once('"').map(|(name, _)| name.to_owned())
    };
    std::iter::zip(source.lines(), rust::split(source))
        .flat_map(|(text, line)| {
            let has = |start: &str| line.code.contains(start);
            let of_cfg = has(CFG).then(|| text.split(CFG).skip(1)).into_iter().flatten();
            let of_cfg = of_cfg.filter_map(|part| quoted(part.trim_start().strip_prefix('=')?));
            let of_order = has(ORDER).then(|| text.split(ORDER).skip(1)).into_iter().flatten();
            of_cfg.chain(of_order.filter_map(quoted)).collect::<Vec<_>>()
        })
        .collect()
}

/// Weakenings that are planted but not listed, and the other way round.
fn differences(planted: &BTreeSet<String>, listed: &[Weakening]) -> Vec<String> {
    let names: BTreeSet<String> = listed.iter().map(|weakening| weakening.name.clone()).collect();
    let unlisted = planted.difference(&names).map(|name| {
        format!("the weakening {name} is planted in linden-core but not listed in {LIST}")
    });
    let absent = names.difference(planted).map(|name| {
        format!("the weakening {name} is listed in {LIST} but not planted in linden-core")
    });
    unlisted.chain(absent).collect()
}

fn test_names(list: &str) -> Vec<String> {
    list.lines().filter_map(|line| line.strip_suffix(": test")).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weakening(name: &str, filter: &str) -> Weakening {
        Weakening { name: name.to_owned(), filter: filter.to_owned() }
    }

    #[test]
    fn list_has_a_name_and_a_filter_per_line() {
        let text =
            "# all of them\nsteal_relaxed loom_steal # the LIFO slot\n\n  park_late   loom_park\n";
        assert_eq!(
            parse(text).unwrap(),
            [weakening("steal_relaxed", "loom_steal"), weakening("park_late", "loom_park")]
        );
    }

    #[test]
    fn line_of_another_form_is_refused_with_its_number() {
        let error = parse("a loom_a\nb\n").unwrap_err().to_string();
        assert!(error.contains(":2:"), "{error}");
    }

    #[test]
    fn planted_names_are_read_from_any_use_of_the_cfg() {
        let source = "if cfg!(linden_weaken = \"one\") {} #[cfg(not(linden_weaken=\"two\"))]\n";
        assert_eq!(names_in(source), ["one", "two"]);
        assert_eq!(names_in("/// `cfg(linden_weaken = \"three\")` is only spoken of.\n"), [""; 0]);
        assert_eq!(names_in("swap(next, order!(\"four\", AcqRel))\n"), ["four"]);
        assert_eq!(
            names_in("($name:literal, $ordering:ident) => { order!($name, $ordering) }\n"),
            [""; 0]
        );
    }

    #[test]
    fn list_and_sources_must_name_the_same_weakenings() {
        let planted = BTreeSet::from(["one".to_owned(), "two".to_owned()]);
        let errors =
            differences(&planted, &[weakening("two", "loom_b"), weakening("three", "loom_c")]);
        assert_eq!(errors.len(), 2, "{errors:?}");
        assert!(errors[0].contains("one is planted"), "{errors:?}");
        assert!(errors[1].contains("three is listed"), "{errors:?}");
    }

    #[test]
    fn a_test_that_survives_a_weakening_is_a_complaint() {
        let weakening = weakening("steal_relaxed", "loom_steal");
        assert_eq!(Verdict::Caught.complaint(&weakening), None);
        let complaint = Verdict::Survived.complaint(&weakening).unwrap();
        assert!(complaint.starts_with("the weakening steal_relaxed was not caught"), "{complaint}");
        for verdict in [Verdict::Endless, Verdict::NoTest, Verdict::NotLoom("a::b".to_owned())] {
            assert!(verdict.complaint(&weakening).is_some());
        }
    }

    #[test]
    fn test_names_are_read_from_the_terse_list() {
        assert_eq!(
            test_names("a::loom_x: test\nb::loom_y: test\n\n2 tests\n"),
            ["a::loom_x", "b::loom_y"]
        );
    }
}
