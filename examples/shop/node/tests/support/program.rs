//! The built program `shop`, started as an OS process of its own.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    net::SocketAddr,
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
};

/// A shop that serves.
pub(crate) struct Program {
    child: Child,
    /// What it said when it was ready, line by line.
    pub(crate) announced: Vec<String>,
    pub(crate) address: SocketAddr,
    stdout: BufReader<ChildStdout>,
    /// Its log, line by line as it comes: a pipe that nobody empties fills up.
    log: Receiver<String>,
}

/// How a program ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// `shop` with these arguments, in an empty environment and in this directory.
pub(crate) fn shop(directory: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shop"));
    command.current_dir(directory).env_clear().args(args).stdin(Stdio::null());
    command
}

/// Runs a command to its end.
pub(crate) fn run(command: &mut Command) -> Ended {
    let output = command.output().expect("the program starts");
    Ended {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).expect("text"),
        stderr: String::from_utf8(output.stderr).expect("text"),
    }
}

impl Program {
    /// Starts it, and waits until it serves.
    pub(crate) fn start(command: &mut Command) -> Program {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let stdout = BufReader::new(child.stdout.take().expect("piped"));
        let stderr = BufReader::new(child.stderr.take().expect("piped"));
        let (lines, log) = mpsc::channel();
        // Ends with the program.
        thread::spawn(move || {
            for line in stderr.lines() {
                let _ = lines.send(line.expect("text") + "\n");
            }
        });
        let nowhere = SocketAddr::from(([0; 4], 0));
        let mut program = Program { child, announced: Vec::new(), address: nowhere, stdout, log };
        while program.address == nowhere {
            program.hear();
        }
        program
    }

    /// Reads one line of what it says; the last one has the address.
    fn hear(&mut self) {
        let mut line = String::new();
        if self.stdout.read_line(&mut line).expect("text") == 0 {
            panic!("the shop ended before it served: {}", self.log.iter().collect::<String>());
        }
        if let Some((_, address)) = line.trim_end().split_once("://") {
            self.address = address.trim_end_matches('/').parse().expect("an address");
        }
        self.announced.push(line.trim_end().to_owned());
    }

    /// Tells it to end.
    pub(crate) fn terminate(&self) {
        let pid = self.child.id().to_string();
        let status = Command::new("kill").args(["-TERM", &pid]).status().expect("kill starts");
        assert!(status.success());
    }

    /// Waits until the log has this text.
    pub(crate) fn wait_for_log(&mut self, text: &str) {
        let said = self.log.iter().any(|line| line.contains(text));
        assert!(said, "the shop ended without saying {text:?}");
    }

    /// Waits for its end.
    pub(crate) fn ended(mut self) -> Ended {
        let mut stdout = String::new();
        self.stdout.read_to_string(&mut stdout).expect("text");
        let stderr = self.log.iter().collect();
        let status = self.child.wait().expect("it was started here");
        Ended { code: status.code(), stdout, stderr }
    }
}

impl Drop for Program {
    /// A test that failed leaves no shop behind.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
