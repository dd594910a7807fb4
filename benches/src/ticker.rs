//! The client of `runaway`: an OS process of its own that sends eight bytes each millisecond, waits for the same eight, and reports
//! how long they took.
//!
//! The same for every system, and outside of it, so that what starves inside cannot hide: a caller that is not run would
//! measure nothing. A time begins when its tick was due, so what delays one tick and with it the next counts for both. The
//! first ticks tell the server when the others begin, and do not count; the onset does.

use std::error::Error;
use std::fmt;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use crate::child::{self, ChildError, TIME_LIMIT};
use crate::measure::{self, Params, TICK, TICKS_ALONE};
use crate::outcome::{Metric, Outcome};

/// Bytes of a tick and of its echo: its number.
pub(crate) const TICK_BYTES: usize = 8;
/// The longest that an echo is waited for.
const PATIENCE: Duration = Duration::from_secs(15);

/// What to do; also the command line of the ticker's OS process.
#[derive(Clone, Copy, Debug, PartialEq, clap::Args)]
pub(crate) struct Ticker {
    /// Where the server listens
    pub(crate) server: SocketAddr,
    /// Ticks that count
    #[arg(long)]
    pub(crate) ticks: u64,
}

/// Why there are no figures.
#[derive(Debug)]
pub(crate) enum TickerError {
    /// No echo came in time.
    Silence,
    /// The connection failed, or was closed by the server.
    Connection(io::Error),
    /// What came back is another tick.
    Other,
}

impl fmt::Display for TickerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TickerError::Silence => write!(f, "no echo within {} s", PATIENCE.as_secs()),
            TickerError::Connection(_) => f.write_str("the ticker's connection broke"),
            TickerError::Other => f.write_str("the ticker got another echo than it sent"),
        }
    }
}

impl Error for TickerError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            TickerError::Connection(error) => Some(error),
            TickerError::Silence | TickerError::Other => None,
        }
    }
}

impl From<io::Error> for TickerError {
    fn from(error: io::Error) -> TickerError {
        match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => TickerError::Silence,
            _ => TickerError::Connection(error),
        }
    }
}

impl Ticker {
    /// The ticker of one run on `server`.
    pub(crate) fn of(server: SocketAddr, params: Params) -> Ticker {
        Ticker { server, ticks: params.ticks }
    }

    /// Ticks in an OS process of its own.
    pub(crate) fn tick_apart(&self) -> Result<Vec<Metric>, ChildError> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["ticker", &self.server.to_string(), "--ticks", &self.ticks.to_string()]);
        match child::run(&mut command, TIME_LIMIT)? {
            Outcome::Metrics(metrics) => Ok(metrics),
            Outcome::Unsupported(_) => unreachable!("the ticker has figures or fails"),
        }
    }

    /// Ticks here.
    pub(crate) fn tick(&self) -> Result<Vec<Metric>, TickerError> {
        let mut stream = TcpStream::connect(self.server)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut times = Vec::new();
        let mut due = Instant::now();
        for tick in 1..=TICKS_ALONE + self.ticks {
            due += TICK;
            thread::sleep(due.saturating_duration_since(Instant::now()));
            echo(&mut stream, tick)?;
            if tick > TICKS_ALONE {
                times.push(due.elapsed());
            }
        }
        Ok(measure::runaway_metrics(&times))
    }
}

fn echo(stream: &mut TcpStream, tick: u64) -> Result<(), TickerError> {
    let sent: [u8; TICK_BYTES] = tick.to_be_bytes();
    stream.write_all(&sent)?;
    let mut came = [0; TICK_BYTES];
    stream.read_exact(&mut came)?;
    if came == sent { Ok(()) } else { Err(TickerError::Other) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    /// What a ticker says of a server that answers the first tick so.
    fn answered(answer: &'static [u8]) -> Result<Vec<Metric>, TickerError> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = listener.local_addr().unwrap();
        let serving = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut tick = [0; TICK_BYTES];
            while stream.read_exact(&mut tick).is_ok() {
                let answer = if answer.is_empty() { &tick } else { answer };
                stream.write_all(answer).unwrap();
                if answer.len() < TICK_BYTES {
                    return;
                }
            }
        });
        let said = Ticker { server, ticks: 3 }.tick();
        serving.join().unwrap();
        said
    }

    #[test]
    fn an_echo_is_measured_and_another_answer_is_none() {
        let metrics = answered(b"").unwrap();
        let names: Vec<_> = metrics.iter().map(|metric| metric.metric.as_str()).collect();
        assert_eq!(names, ["p50", "p99", "max"]);
        assert!(matches!(answered(b"8 bytes!"), Err(TickerError::Other)));
        assert!(matches!(answered(b"few"), Err(TickerError::Connection(_))));
    }
}
