//! A client of event streams: one request, and then one event after the other.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

/// Longer than anything takes: a test that hangs says so.
const TIMEOUT: Duration = Duration::from_secs(60);

/// An open stream.
pub(crate) struct Events {
    lines: BufReader<TcpStream>,
}

impl Events {
    /// Asks for the stream of the user with this `Authorization`.
    #[allow(dead_code, reason = "each test uses a part of this")]
    pub(crate) fn open(address: SocketAddr, path: &str, bearer: &str) -> Events {
        Events::open_with(address, path, "authorization", bearer)
    }

    /// Asks for the stream with this header.
    pub(crate) fn open_with(address: SocketAddr, path: &str, name: &str, value: &str) -> Events {
        let mut stream = TcpStream::connect(address).expect("the shop listens");
        stream.set_read_timeout(Some(TIMEOUT)).expect("a socket's option");
        let head = format!("GET {path} HTTP/1.1\r\nhost: shop\r\n{name}: {value}\r\n\r\n");
        stream.write_all(head.as_bytes()).expect("the shop reads");
        Events { lines: BufReader::new(stream) }
    }

    /// The next event: its name and its data. What frames the chunks has no colon and is passed over.
    pub(crate) fn next(&mut self) -> (String, String) {
        let mut event = String::new();
        loop {
            let mut line = String::new();
            assert_ne!(self.lines.read_line(&mut line).expect("the stream goes on"), 0, "it ended");
            match line.trim_end().split_once(':') {
                Some(("event", name)) => event = name.trim().to_owned(),
                Some(("data", data)) => return (event, data.trim().to_owned()),
                _ => {}
            }
        }
    }
}
