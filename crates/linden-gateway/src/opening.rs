//! The beginning of a connection: the TLS handshake, if there is one, and which HTTP the client speaks.
//!
//! Runs in the connection's process, under its pace. Without TLS the first bytes say it: those of HTTP/2 are fixed
//! ("prior knowledge"). Under TLS it is agreed on in the handshake (ALPN), and HTTP/1.1 when it is not.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;

use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpStream;

use crate::acceptor::Place;
use crate::connection::{Cover, Http, Line, Protocol};
use crate::socket::{Socket, Tcp};
use crate::tls::ALPN_HTTP2;
use crate::wire::{Early, Wire};

/// The first bytes of HTTP/2 (RFC 9113, 3.4).
const PREFACE: &[u8; PREFACE_BYTES] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
pub(crate) const PREFACE_BYTES: usize = 24;

/// A connection that can be served.
pub(crate) struct Opened {
    pub(crate) wire: Wire,
    pub(crate) protocol: Protocol,
}

/// See the head of this file.
pub(crate) async fn open(
    stream: TcpStream,
    place: Arc<Place>,
    line: Arc<Line>,
) -> io::Result<Opened> {
    let tcp = Tcp::new(stream, line.clone());
    let mut early = Early::default();
    let (socket, protocol) = match &line.shared.tls {
        Some(tls) => {
            // In a box: its state is large, and gone soon.
            let stream = Box::pin(tls.accept(tcp)).await?;
            let http = match stream.get_ref().1.alpn_protocol() {
                Some(ALPN_HTTP2) => Http::Two,
                _ => Http::One,
            };
            (Socket::Tls(Box::new(stream)), Protocol { http, cover: Cover::Tls })
        }
        None => {
            let mut socket = Socket::Plain(tcp);
            let http = detect(&mut socket, &mut early).await?;
            (socket, Protocol { http, cover: Cover::Plain })
        }
    };
    Ok(Opened { wire: Wire::new(socket, early, line, place), protocol })
}

/// Reads until the bytes say which HTTP it is.
async fn detect(socket: &mut Socket, early: &mut Early) -> io::Result<Http> {
    loop {
        if let Some(http) = decide(early.bytes()) {
            return Ok(http);
        }
        let before = early.bytes().len();
        poll_fn(|cx| early.fill(|buf: &mut ReadBuf<'_>| Pin::new(&mut *socket).poll_read(cx, buf)))
            .await?;
        if early.bytes().len() == before {
            // The client has ended.
            return Ok(Http::One);
        }
    }
}

/// `None` when more bytes are needed.
fn decide(bytes: &[u8]) -> Option<Http> {
    if !PREFACE.starts_with(bytes) {
        return Some(Http::One);
    }
    (bytes.len() == PREFACE_BYTES).then_some(Http::Two)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_say_which_http_it_is_as_soon_as_they_can() {
        let table: [(&[u8], Option<Http>); 7] = [
            (b"", None),
            (b"P", None),
            (b"POST / HTTP/1.1", Some(Http::One)),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r", None),
            (PREFACE, Some(Http::Two)),
            (b"PRI * HTTP/2.0\r\n\r\nSMTP", Some(Http::One)),
            (b"\x16\x03\x01", Some(Http::One)),
        ];
        for (bytes, http) in table {
            assert_eq!(decide(bytes), http, "{}", String::from_utf8_lossy(bytes));
        }
    }
}
