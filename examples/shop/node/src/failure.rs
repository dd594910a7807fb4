//! How the program says that it failed: one line with the cause and the mend, and an exit code.

use std::{error::Error, iter, process::ExitCode};

use linden::config::ConfigError;
use shop_storage::OpenError;
use shop_web::BindError;

/// As a wrong flag: whoever started the program has to change something.
const USAGE: u8 = 2;

/// Writes the error and gives the exit code.
pub(crate) fn report(error: &(dyn Error + 'static)) -> ExitCode {
    let mend = mend(error).map_or_else(String::new, |mend| format!("; {mend}"));
    eprintln!("error: {}{mend}", on_one_line(error));
    if causes(error).any(|cause| cause.is::<ConfigError>()) {
        ExitCode::from(USAGE)
    } else {
        ExitCode::FAILURE
    }
}

fn mend(error: &(dyn Error + 'static)) -> Option<&'static str> {
    causes(error).find_map(|cause| {
        if cause.is::<BindError>() {
            return Some("--listen chooses the address");
        }
        match cause.downcast_ref()? {
            OpenError::InUse { .. } => Some("--data chooses another directory"),
            OpenError::Directory { .. } | OpenError::Make { .. } => {
                Some("choose a directory that can be written with --data")
            }
            OpenError::Open { .. } => Some(
                "if the file is damaged or not the shop's, move it away, or choose another directory with --data",
            ),
            _ => None,
        }
    })
}

fn on_one_line(error: &(dyn Error + 'static)) -> String {
    let mut line = String::new();
    for cause in causes(error) {
        let text = cause.to_string();
        // Some errors say their cause themselves.
        if !line.ends_with(&text) {
            let separator = if line.is_empty() { "" } else { ": " };
            line.extend([separator, &text]);
        }
    }
    line
}

fn causes<'e>(error: &'e (dyn Error + 'static)) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    iter::successors(Some(error), |&error| error.source())
}
