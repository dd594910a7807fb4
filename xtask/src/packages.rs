//! Debian packages that a step needs: found on the path, else installed by apt-get, else named in an error.
//!
//! Installing happens only as root or by a sudo that asks nothing; a developer's machine is never asked for a
//! password. What to do is decided purely by [`plan`].

use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};

use crate::command::{self, Log};

/// A program and the Debian package that has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Package {
    /// The program looked for on the path.
    pub(crate) program: &'static str,
    /// The Debian package.
    pub(crate) debian: &'static str,
    /// What it is needed for.
    pub(crate) purpose: &'static str,
}

/// Erlang, the yardstick of the benches.
pub(crate) const ERLANG: Package =
    Package { program: "erl", debian: "erlang-base", purpose: "scenarios on a real BEAM" };

/// The memory check where AddressSanitizer is absent.
pub(crate) const VALGRIND: Package =
    Package { program: "valgrind", debian: "valgrind", purpose: "the memory check" };

/// The browser of the test of pages.
pub(crate) const CHROMIUM: Package =
    Package { program: "chromium", debian: "chromium", purpose: "the test in a browser" };

/// What tells the browser what to do.
pub(crate) const CHROMEDRIVER: Package = Package {
    program: "chromedriver",
    debian: "chromium-driver",
    purpose: "the test in a browser",
};

/// What runs the programs that the shop is compared with.
pub(crate) const PYTHON: Package =
    Package { program: "python3", debian: "python3", purpose: "independent programs" };

/// What fetches packages from PyPI.
pub(crate) const PIP: Package =
    Package { program: "pip3", debian: "python3-pip", purpose: "packages from PyPI" };

/// What makes files of a form that the shop reads.
pub(crate) const ZSTD: Package =
    Package { program: "zstd", debian: "zstd", purpose: "the comparison of real data" };

/// What [`ensure`] has found or done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ensured {
    /// The program was there.
    Present,
    /// apt-get has installed it now.
    Installed,
}

/// Makes the program available, or says which package to install.
pub(crate) fn ensure(package: Package, log: &Log) -> anyhow::Result<Ensured> {
    match plan(package, on_path(package.program), privilege()) {
        Plan::Nothing => Ok(Ensured::Present),
        Plan::Refuse(text) => bail!(text),
        Plan::Install(privilege) => {
            apt(privilege, &["update"], log)?;
            apt(privilege, &["install", "-y", "--no-install-recommends", package.debian], log)?;
            if !on_path(package.program) {
                bail!(
                    "{} is installed, but `{}` is not on the path",
                    package.debian,
                    package.program
                );
            }
            Ok(Ensured::Installed)
        }
    }
}

/// Says whether a program is on the path.
pub(crate) fn on_path(program: &str) -> bool {
    std::env::var_os("PATH").is_some_and(|path| {
        std::env::split_paths(&path).any(|directory| directory.join(program).is_file())
    })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Privilege {
    Root,
    Sudo,
    None,
}

#[derive(Debug, PartialEq, Eq)]
enum Plan {
    Nothing,
    Install(Privilege),
    Refuse(String),
}

fn plan(package: Package, present: bool, privilege: Privilege) -> Plan {
    match (present, privilege) {
        (true, _) => Plan::Nothing,
        (false, Privilege::None) => Plan::Refuse(format!(
            "`{}` is missing and needed for {}: install the Debian package `{}`",
            package.program, package.purpose, package.debian
        )),
        (false, privilege) => Plan::Install(privilege),
    }
}

fn privilege() -> Privilege {
    if !on_path("apt-get") {
        Privilege::None
    } else if answers("id", &["-u"]).is_some_and(|uid| uid.trim() == "0") {
        Privilege::Root
    } else if answers("sudo", &["-n", "true"]).is_some() {
        Privilege::Sudo
    } else {
        Privilege::None
    }
}

/// The output of a program that succeeds quietly.
fn answers(program: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

fn apt(privilege: Privilege, args: &[&str], log: &Log) -> anyhow::Result<()> {
    let mut command = match privilege {
        Privilege::Sudo => {
            let mut sudo = Command::new("sudo");
            sudo.args(["-n", "DEBIAN_FRONTEND=noninteractive", "apt-get"]);
            sudo
        }
        Privilege::Root | Privilege::None => Command::new("apt-get"),
    };
    command
        .env("DEBIAN_FRONTEND", "noninteractive")
        .args(["-o", "DPkg::Lock::Timeout=300"])
        .args(args);
    command::run(&mut command, log).context("apt-get could not install a package")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn present_program_needs_nothing() {
        assert_eq!(plan(ERLANG, true, Privilege::None), Plan::Nothing);
    }

    #[test]
    fn missing_program_is_installed_as_root_or_by_sudo() {
        assert_eq!(plan(ERLANG, false, Privilege::Root), Plan::Install(Privilege::Root));
        assert_eq!(plan(ERLANG, false, Privilege::Sudo), Plan::Install(Privilege::Sudo));
    }

    #[test]
    fn missing_program_without_privilege_names_the_package() {
        let Plan::Refuse(text) = plan(ERLANG, false, Privilege::None) else {
            panic!("nothing can be installed without privilege");
        };
        assert!(text.contains("`erl`") && text.contains("`erlang-base`"), "{text}");
    }
}
