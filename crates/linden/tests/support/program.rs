//! A test that plays a part of its own in a second OS process: for what belongs to a whole program, as signals and standard
//! error do.
#![allow(dead_code, reason = "each suite uses a part of it")]

use std::process::{Command, Stdio};

/// The environment variable that says which part is played.
const ROLE: &str = "LINDEN_TEST_ROLE";

/// The part that this OS process plays; `None` in the test itself.
pub(crate) fn role() -> Option<String> {
    std::env::var(ROLE).ok()
}

/// This test once more, as a program that plays a part. Its standard output and error are piped.
pub(crate) fn again(test: &str, role: &str) -> Command {
    let own = std::env::current_exe().expect("a test has a file");
    let mut program = Command::new(own);
    program
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(ROLE, role)
        .env_remove("RUST_BACKTRACE")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    program
}
