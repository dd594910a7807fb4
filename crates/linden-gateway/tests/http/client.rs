//! A plain HTTP/1.1 client over a socket: it sends what it is given, byte by byte if need be, and reads whole responses.

use std::net::SocketAddr;

use linden_gateway::Gateway;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// One connection.
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    read: Vec<u8>,
}

/// A response as it came.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Response {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let header = self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        header.map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("the body is text")
    }

    pub(crate) fn closes(&self) -> bool {
        self.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }
}

/// A request without a body.
pub(crate) fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: test\r\n\r\n")
}

/// A request with a JSON body.
pub(crate) fn post(path: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nhost: test\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\n\r\n{body}"
    )
}

impl Client {
    pub(crate) async fn connect(addr: SocketAddr) -> Self {
        let stream = TcpStream::connect(addr).await.expect("the gateway listens");
        Self { stream, read: Vec::new() }
    }

    pub(crate) async fn of(gateway: &Gateway) -> Self {
        Self::connect(gateway.local_addr()).await
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.stream.local_addr().expect("a connected socket has an address")
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.expect("the gateway reads");
    }

    pub(crate) async fn get(&mut self, path: &str) -> Response {
        self.send(get(path)).await;
        self.response().await
    }

    pub(crate) async fn post(&mut self, path: &str, body: &str) -> Response {
        self.send(post(path, body)).await;
        self.response().await
    }

    /// The next response, whole.
    pub(crate) async fn response(&mut self) -> Response {
        let mut response = self.head().await;
        response.body = if response.header("transfer-encoding") == Some("chunked") {
            self.chunks().await
        } else {
            let length = response
                .header("content-length")
                .map_or(0, |length| length.parse().expect("a length is a number"));
            self.bytes(length).await
        };
        response
    }

    /// The head of the next response.
    pub(crate) async fn head(&mut self) -> Response {
        let head = self.until(b"\r\n\r\n").await;
        let head = String::from_utf8(head).expect("a head is text");
        let mut lines = head.lines();
        let status = lines.next().expect("a status line");
        let status = status.split(' ').nth(1).and_then(|status| status.parse().ok());
        let headers = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        Response { status: status.expect("a status"), headers, body: Vec::new() }
    }

    async fn chunks(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        loop {
            let part = self.chunk().await;
            if part.is_empty() {
                return body;
            }
            body.extend(part);
        }
    }

    /// One chunk of a body; empty at its end.
    pub(crate) async fn chunk(&mut self) -> Vec<u8> {
        let size = self.until(b"\r\n").await;
        let size = String::from_utf8(size).expect("a size is text");
        let size = usize::from_str_radix(size.trim(), 16).expect("a size is a number");
        let mut part = self.bytes(size + 2).await;
        part.truncate(size);
        part
    }

    /// Bytes up to and with `end`.
    async fn until(&mut self, end: &[u8]) -> Vec<u8> {
        loop {
            let found = self.read.windows(end.len()).position(|window| window == end);
            if let Some(at) = found {
                return self.read.drain(..at + end.len()).collect();
            }
            self.more().await;
        }
    }

    /// So many bytes, whatever they are.
    pub(crate) async fn take(&mut self, count: usize) -> Vec<u8> {
        self.bytes(count).await
    }

    async fn bytes(&mut self, count: usize) -> Vec<u8> {
        while self.read.len() < count {
            self.more().await;
        }
        self.read.drain(..count).collect()
    }

    async fn more(&mut self) {
        let read = self.stream.read_buf(&mut self.read).await.expect("the gateway writes");
        let so_far = String::from_utf8_lossy(&self.read);
        assert_ne!(read, 0, "the gateway closed the connection after {so_far:?}");
    }

    /// Returns when the gateway closes the connection, and nothing came before.
    pub(crate) async fn closed(&mut self) {
        match self.stream.read_buf(&mut self.read).await {
            Ok(0) | Err(_) => {}
            Ok(_) => panic!("more came: {:?}", String::from_utf8_lossy(&self.read)),
        }
    }
}
