//! The step `confined`: linden-core's tests of fairness where the system gives less than on a developer's machine.
//!
//! Once as an unprivileged user, for whom the demotion of a thread is one-way, and once in a control group that has half a
//! core, where the kernel stops all threads half of the time. What cannot be made here is said and left out.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, bail};

use super::steps::Setting;
use super::{Outcome, totals};
use crate::command::{self, Ended};

/// How long the suite may run with half a core.
const SUITE_LIMIT: Duration = Duration::from_secs(300);
/// The user and group `nobody`.
const NOBODY: &str = "65534";
/// Microseconds of processor time in each period.
const QUOTA: &str = "50000";
const PERIOD: &str = "100000";

/// Runs the suite in each confinement that can be made.
pub(super) fn run(setting: &Setting<'_>) -> anyhow::Result<Outcome> {
    let suite = Suite::build(setting)?;
    let mut done = Vec::new();
    if is_privileged() {
        let mut nobody = Command::new("setpriv");
        nobody.args(["--reuid", NOBODY, "--regid", NOBODY, "--clear-groups"]).arg(&suite.binary);
        suite.run(setting, &mut nobody)?;
        done.push("as nobody");
    } else {
        suite.run(setting, &mut Command::new(&suite.binary))?;
        done.push("unprivileged");
    }
    match ControlGroup::make() {
        Ok(group) => {
            suite.run(setting, &mut group.command(&suite.binary))?;
            done.push("with half a core");
        }
        Err(error) => setting.log.line(&format!("no control group can be made here: {error}"))?,
    }
    Ok(Outcome::Passed(done.join(", ")))
}

fn is_privileged() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    effective_user(&status) == Some("0")
}

fn effective_user(status: &str) -> Option<&str> {
    status.lines().find_map(|line| line.strip_prefix("Uid:"))?.split_whitespace().nth(1)
}

/// The test binary, where every user may run it. It goes with the value.
struct Suite {
    directory: PathBuf,
    binary: PathBuf,
}

impl Suite {
    fn build(setting: &Setting<'_>) -> anyhow::Result<Suite> {
        let args = ["test", "-p", "linden-core", "--test", "fairness", "--no-run"];
        let mut build = setting.workspace.cargo(args);
        build.arg("--message-format=json-render-diagnostics");
        let built = command::build(&mut build, setting.log)?
            .into_iter()
            .find(|executable| executable.target == "fairness")
            .context("cargo built no test named fairness")?;
        let directory =
            std::env::temp_dir().join(format!("linden-confined-{}", std::process::id()));
        fs::create_dir(&directory)
            .with_context(|| format!("cannot make {}", directory.display()))?;
        let suite = Suite { binary: directory.join("fairness"), directory };
        fs::set_permissions(&suite.directory, fs::Permissions::from_mode(0o755))?;
        fs::copy(&built.path, &suite.binary)?;
        fs::set_permissions(&suite.binary, fs::Permissions::from_mode(0o755))?;
        Ok(suite)
    }

    fn run(&self, setting: &Setting<'_>, command: &mut Command) -> anyhow::Result<()> {
        let before = totals::passed(&setting.log.text());
        command.current_dir(&self.directory);
        match command::run_for(command, setting.log, SUITE_LIMIT)? {
            Ended::Exited(status) if !status.success() => bail!("the suite failed: {status}"),
            Ended::Exited(_) if totals::passed(&setting.log.text()) == before => {
                bail!("the suite has no test")
            }
            Ended::Exited(_) => Ok(()),
            Ended::TimedOut => bail!("the suite ran longer than {} s", SUITE_LIMIT.as_secs()),
        }
    }
}

impl Drop for Suite {
    fn drop(&mut self) {
        // It is in the directory for temporary files; what cannot be removed does no harm there.
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// A control group of its own with half a core. It goes with the value, when what ran in it has ended.
struct ControlGroup {
    directory: PathBuf,
}

impl ControlGroup {
    /// Of version 2 where the system has it, else of version 1.
    fn make() -> io::Result<ControlGroup> {
        let root = Path::new("/sys/fs/cgroup");
        let is_of_version_2 = root.join("cgroup.controllers").exists();
        let parent = if is_of_version_2 { root.to_owned() } else { root.join("cpu") };
        let directory = parent.join(format!("linden-confined-{}", std::process::id()));
        fs::create_dir(&directory)?;
        let group = ControlGroup { directory };
        if is_of_version_2 {
            group.set("cpu.max", &format!("{QUOTA} {PERIOD}"))?;
        } else {
            group.set("cpu.cfs_period_us", PERIOD)?;
            group.set("cpu.cfs_quota_us", QUOTA)?;
        }
        Ok(group)
    }

    /// Never makes the file: a group without it has no such limit.
    fn set(&self, file: &str, value: &str) -> io::Result<()> {
        let mut file = fs::File::options().write(true).open(self.directory.join(file))?;
        io::Write::write_all(&mut file, value.as_bytes())
    }

    /// The program, which enters the group before it begins.
    fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", "echo $$ > \"$0\" && exec \"$1\""]);
        command.arg(self.directory.join("cgroup.procs")).arg(program);
        command
    }
}

impl Drop for ControlGroup {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.directory);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_effective_user_is_the_second_number() {
        let status = "Name:\tx\nUid:\t1000\t0\t1000\t1000\nGid:\t7\t7\t7\t7\n";
        assert_eq!(effective_user(status), Some("0"));
        assert_eq!(effective_user("Name:\tx\n"), None);
    }
}
