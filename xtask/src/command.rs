//! Running other programs: into a log file, with an optional deadline, and finding what cargo has built.
//!
//! A program gets no standard input. Its output goes to the log of the step, so that a good run prints one line
//! and a bad one can print everything. A deadline kills the program itself, not what it has started; therefore
//! deadlines are given only to test binaries that are run directly, never to cargo.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use cargo_metadata::Message;

/// The output of a step, in a file that outlives it.
pub(crate) struct Log {
    file: File,
    path: PathBuf,
}

impl Log {
    /// Starts an empty log at `path`; directories are made.
    pub(crate) fn create(path: PathBuf) -> anyhow::Result<Self> {
        let parent = path.parent().context("a log lies in a directory")?;
        std::fs::create_dir_all(parent)
            .with_context(|| format!("cannot make {}", parent.display()))?;
        // Append mode: several programs write to one file, and none may overwrite another's lines.
        std::fs::write(&path, "").with_context(|| format!("cannot write {}", path.display()))?;
        let file = File::options().append(true).open(&path)?;
        Ok(Self { file, path })
    }

    /// Where the log is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Adds one line.
    pub(crate) fn line(&self, text: &str) -> anyhow::Result<()> {
        let mut file = &self.file;
        writeln!(file, "{text}").with_context(|| format!("cannot write {}", self.path.display()))
    }

    /// Everything written so far; bytes that are not UTF-8 are replaced.
    pub(crate) fn text(&self) -> String {
        let mut bytes = Vec::new();
        match File::open(&self.path).and_then(|mut file| file.read_to_end(&mut bytes)) {
            Ok(_) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) => format!("cannot read {}: {error}", self.path.display()),
        }
    }

    fn handle(&self) -> anyhow::Result<Stdio> {
        Ok(Stdio::from(self.file.try_clone().context("cannot share the log file")?))
    }
}

/// How a program with a deadline ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// It ended by itself.
    Exited(ExitStatus),
    /// It ran past the deadline and was killed.
    TimedOut,
}

/// Runs the program with its output in the log; an exit code other than 0 is an error.
pub(crate) fn run(command: &mut Command, log: &Log) -> anyhow::Result<()> {
    log.line(&format!("$ {}", shown(command)))?;
    let status = command
        .stdin(Stdio::null())
        .stdout(log.handle()?)
        .stderr(log.handle()?)
        .status()
        .with_context(|| format!("cannot start {}", program(command)))?;
    if !status.success() {
        bail!("{} failed: {status}", shown(command));
    }
    Ok(())
}

/// Runs the program with its output in the log and kills it when `limit` has passed.
pub(crate) fn run_for(command: &mut Command, log: &Log, limit: Duration) -> anyhow::Result<Ended> {
    log.line(&format!("$ {}", shown(command)))?;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(log.handle()?)
        .stderr(log.handle()?)
        .spawn()
        .with_context(|| format!("cannot start {}", program(command)))?;
    let deadline = Instant::now() + limit;
    loop {
        if let Some(status) = child.try_wait().context("cannot wait for a program")? {
            return Ok(Ended::Exited(status));
        }
        if Instant::now() >= deadline {
            child.kill().context("cannot kill a program that ran too long")?;
            child.wait().context("cannot wait for a killed program")?;
            return Ok(Ended::TimedOut);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Runs the program, its errors in the log, and returns what it wrote to standard output.
pub(crate) fn stdout(command: &mut Command, log: &Log) -> anyhow::Result<String> {
    log.line(&format!("$ {}", shown(command)))?;
    let output = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log.handle()?)
        .output()
        .with_context(|| format!("cannot start {}", program(command)))?;
    if !output.status.success() {
        bail!("{} failed: {}", shown(command), output.status);
    }
    String::from_utf8(output.stdout)
        .with_context(|| format!("{} wrote bytes that are no text", program(command)))
}

/// Builds and returns the executables that cargo names. The command must ask for
/// `--message-format=json-render-diagnostics`.
pub(crate) fn build(command: &mut Command, log: &Log) -> anyhow::Result<Vec<Executable>> {
    executables(&stdout(command, log)?)
}

/// One program that cargo has built.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Executable {
    /// The name of cargo's target.
    pub(crate) target: String,
    /// The file.
    pub(crate) path: PathBuf,
}

/// Reads the executables out of cargo's messages.
pub(crate) fn executables(messages: &str) -> anyhow::Result<Vec<Executable>> {
    let mut found = Vec::new();
    for message in Message::parse_stream(messages.as_bytes()) {
        if let Message::CompilerArtifact(artifact) =
            message.context("cargo wrote a message that is not known")?
            && let Some(path) = artifact.executable
        {
            found.push(Executable { target: artifact.target.name, path: path.into_std_path_buf() });
        }
    }
    Ok(found)
}

/// The command as one could type it, without the environment.
pub(crate) fn shown(command: &Command) -> String {
    let mut words = vec![program(command)];
    words.extend(command.get_args().map(|arg| quoted(&arg.to_string_lossy())));
    words.join(" ")
}

fn program(command: &Command) -> String {
    let path = Path::new(command.get_program());
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shown_command_can_be_pasted() {
        let mut command = Command::new("cargo");
        command.args(["rustc", "--", "--cfg", "weaken=\"steal\"", "it's"]);
        assert_eq!(shown(&command), r#"cargo rustc -- --cfg 'weaken="steal"' 'it'\''s'"#);
    }

    #[test]
    fn messages_without_executables_name_none() {
        assert_eq!(executables("{\"reason\":\"build-finished\",\"success\":true}\n").unwrap(), []);
    }
}
