//! A WebSocket as its process has it: messages in and out, the client's pulse, and the end.
//!
//! One message is on its way out at a time: whoever sends the next one waits until the operating system has taken it. Reading is
//! done by [`WebSocket::recv`] and [`WebSocket::next`] only, which also answer pings and see the drain.

use std::error::Error;
use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Sink, SinkExt, StreamExt};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use linden::{Cx, Mail, Message};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};
use tokio::time::{Instant, Sleep};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error as WsError, Message as WsMessage, Utf8Bytes};

use super::WebSocketLimits;
use super::pulse::{Beat, Moment, Pulse};
use crate::drain_signal::DrainHeard;

/// How long a client may take to answer a close frame and to close its end.
const CLOSE_WAIT: Duration = Duration::from_secs(5);
/// Messages in a row before other processes get their turn.
const MESSAGES_IN_A_ROW_MAX: u32 = 64;
/// Bytes of a socket's read buffer: an idle socket costs little more.
const READ_BUFFER: usize = 4096;
/// Bytes of the text of a close frame (RFC 6455, 5.5).
const REASON_LEN_MAX: usize = 123;

/// A message, whole.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum WebSocketMessage {
    /// Text; derefs to `str`.
    Text(Utf8Bytes),
    /// Bytes.
    Binary(Bytes),
}

impl From<String> for WebSocketMessage {
    fn from(text: String) -> Self {
        Self::Text(text.into())
    }
}

impl From<&str> for WebSocketMessage {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl From<Bytes> for WebSocketMessage {
    fn from(bytes: Bytes) -> Self {
        Self::Binary(bytes)
    }
}

impl From<Vec<u8>> for WebSocketMessage {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Binary(bytes.into())
    }
}

/// What [`WebSocket::next`] waits for.
#[derive(Debug)]
pub enum WebSocketEvent<M> {
    /// The client says something.
    Message(WebSocketMessage),
    /// Another process does.
    Mail(Mail<M>),
}

/// Why a WebSocket says and takes nothing more.
#[derive(Debug)]
#[non_exhaustive]
pub enum WebSocketClosed {
    /// The client closed it.
    ByClient {
        /// The code that it gave, 1000 for a normal end.
        code: Option<u16>,
        /// The text that it gave.
        reason: String,
    },
    /// The gateway drains: the client was told so by code 1001, and has answered or taken too long.
    Draining,
    /// A message is above the limits. The client is told so by code 1009.
    TooLarge,
    /// The client breaks the protocol. It is told so by code 1002, or 1007 for a text that is none.
    Protocol(String),
    /// The client did not answer a ping.
    Silent,
    /// The client did not take a message in time.
    Stalled,
    /// The client left without a word, or the connection failed.
    Broken(io::Error),
}

impl fmt::Display for WebSocketClosed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ByClient { code: Some(code), .. } => {
                write!(f, "the client closed it with code {code}")
            }
            Self::ByClient { code: None, .. } => f.write_str("the client closed it"),
            Self::Draining => f.write_str("the gateway drains"),
            Self::TooLarge => f.write_str("a message is above the limits"),
            Self::Protocol(what) => write!(f, "the client breaks the protocol: {what}"),
            Self::Silent => f.write_str("the client did not answer a ping"),
            Self::Stalled => f.write_str("the client did not take a message in time"),
            Self::Broken(_) => f.write_str("the connection failed"),
        }
    }
}

impl Error for WebSocketClosed {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Broken(error) => Some(error),
            _ => None,
        }
    }
}

pub(super) fn config(limits: &WebSocketLimits) -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        // Each message is written at once.
        .write_buffer_size(0)
        .max_message_size(Some(limits.message_bytes_max))
        .max_frame_size(Some(limits.frame_bytes_max))
}

/// Where a socket is left by the program's part, for its process to close.
pub(super) type Place = Arc<Mutex<Option<Box<Inner>>>>;

/// A client at the other end of a WebSocket. Belongs to the process that [`super::WebSocketUpgrade::on_upgrade`] starts;
/// dropped, it is closed with code 1000 when that ends.
///
/// The client's pings are answered, its pulse is taken, and a drain is seen while the process is in [`WebSocket::recv`] or
/// [`WebSocket::next`]: do not stay away from them for long.
pub struct WebSocket {
    /// `None` when it is closed or left.
    inner: Option<Box<Inner>>,
    place: Place,
}

pub(super) struct Inner {
    stream: WebSocketStream<TokioIo<Upgraded>>,
    limits: WebSocketLimits,
    pulse: Pulse,
    began: Instant,
    timer: Pin<Box<Sleep>>,
    /// `None` when it was heard.
    draining: Option<DrainHeard>,
    phase: Phase,
    /// The client has said its last.
    client_closed: bool,
    in_a_row: u32,
    /// Something of ours may still be in the buffer.
    unflushed: bool,
    mail_first: bool,
}

/// How far the end is.
#[derive(Debug)]
enum Phase {
    Open,
    /// The client was told that the gateway drains; it may answer until then.
    GoingAway {
        until: Moment,
    },
    /// There is nothing more to say or to hear; the client is told this much.
    Ended {
        farewell: Option<CloseFrame>,
    },
}

impl Drop for WebSocket {
    fn drop(&mut self) {
        *self.place.lock() = self.inner.take();
    }
}

impl fmt::Debug for WebSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSocket")
            .field("phase", &self.inner.as_ref().map(|inner| &inner.phase))
            .finish_non_exhaustive()
    }
}

impl WebSocket {
    pub(super) fn new(
        stream: WebSocketStream<TokioIo<Upgraded>>,
        limits: WebSocketLimits,
        draining: DrainHeard,
        place: Place,
    ) -> Self {
        let pulse = Pulse::new(limits.ping_after, limits.pong_timeout, Duration::ZERO);
        let inner = Inner {
            stream,
            limits,
            pulse,
            began: Instant::now(),
            timer: Box::pin(tokio::time::sleep(limits.ping_after)),
            draining: Some(draining),
            phase: Phase::Open,
            client_closed: false,
            in_a_row: 0,
            unflushed: false,
            mail_first: true,
        };
        Self { inner: Some(Box::new(inner)), place }
    }

    fn inner(&mut self) -> &mut Inner {
        self.inner.as_mut().expect("taken only by what takes the socket itself")
    }

    /// The client's next message.
    ///
    /// # Errors
    /// [`WebSocketClosed`]: there will be none.
    ///
    /// # Cancellation
    /// Nothing is lost when the future is dropped.
    pub async fn recv(&mut self) -> Result<WebSocketMessage, WebSocketClosed> {
        let inner = self.inner();
        poll_fn(|task| inner.poll_recv(task)).await
    }

    /// The client's next message or the process's next mail, whichever comes first; neither keeps the other waiting.
    ///
    /// # Errors
    /// [`WebSocketClosed`]: there will be no message. Mail goes on by `cx`.
    ///
    /// # Cancellation
    /// Nothing is lost when the future is dropped.
    pub async fn next<M: Message>(
        &mut self,
        cx: &mut Cx<M>,
    ) -> Result<WebSocketEvent<M>, WebSocketClosed> {
        let inner = self.inner();
        inner.mail_first = !inner.mail_first;
        let mut mail = pin!(cx.recv());
        poll_fn(|task| {
            if inner.mail_first
                && let Poll::Ready(mail) = mail.as_mut().poll(task)
            {
                return Poll::Ready(Ok(WebSocketEvent::Mail(mail)));
            }
            match inner.poll_recv(task) {
                Poll::Ready(result) => return Poll::Ready(result.map(WebSocketEvent::Message)),
                Poll::Pending if inner.mail_first => return Poll::Pending,
                Poll::Pending => {}
            }
            mail.as_mut().poll(task).map(|mail| Ok(WebSocketEvent::Mail(mail)))
        })
        .await
    }

    /// Sends a message; returns when the operating system has taken it.
    ///
    /// # Errors
    /// [`WebSocketClosed`]: it was not sent, or not whole.
    ///
    /// # Cancellation
    /// When the future is dropped the message may still be sent.
    pub async fn send(
        &mut self,
        message: impl Into<WebSocketMessage>,
    ) -> Result<(), WebSocketClosed> {
        let message = match message.into() {
            WebSocketMessage::Text(text) => WsMessage::Text(text),
            WebSocketMessage::Binary(bytes) => WsMessage::Binary(bytes),
        };
        self.inner().send(message).await
    }

    /// Closes the socket: the client is told the code (1000 for a normal end, 3000 to 4999 for the program's own; what may
    /// not be sent becomes 1000) and the text, of which 123 bytes are sent. Returns when it has answered, or after 5 s.
    pub async fn close(mut self, code: u16, reason: &str) {
        if let Some(mut inner) = self.inner.take() {
            if matches!(inner.phase, Phase::Open) {
                inner.phase = Phase::Ended { farewell: Some(frame(code, reason)) };
            }
            inner.finish().await;
        }
    }
}

fn frame(code: u16, reason: &str) -> CloseFrame {
    let code = Some(CloseCode::from(code)).filter(|code| code.is_allowed());
    let reason = &reason[..reason.floor_char_boundary(REASON_LEN_MAX)];
    CloseFrame { code: code.unwrap_or(CloseCode::Normal), reason: reason.into() }
}

impl Inner {
    fn now(&self) -> Moment {
        self.began.elapsed()
    }

    fn poll_recv(
        &mut self,
        task: &mut Context<'_>,
    ) -> Poll<Result<WebSocketMessage, WebSocketClosed>> {
        loop {
            if matches!(self.phase, Phase::Ended { .. }) {
                return Poll::Ready(Err(already_closed()));
            }
            self.hear_drain(task);
            if let Err(error) = self.poll_flushed(task) {
                return Poll::Ready(Err(self.end(error)));
            }
            if self.in_a_row >= MESSAGES_IN_A_ROW_MAX {
                self.in_a_row = 0;
                task.waker().wake_by_ref();
                return Poll::Pending;
            }
            match self.stream.poll_next_unpin(task) {
                Poll::Ready(next) => {
                    self.in_a_row += 1;
                    let now = self.now();
                    self.pulse.heard(now);
                    if let Some(result) = self.came(next) {
                        return Poll::Ready(result);
                    }
                }
                Poll::Pending => {
                    self.in_a_row = 0;
                    match self.poll_clock(task) {
                        Poll::Ready(Some(closed)) => return Poll::Ready(Err(closed)),
                        Poll::Ready(None) => {}
                        Poll::Pending => return Poll::Pending,
                    }
                }
            }
        }
    }

    /// Tells the client once that the gateway drains.
    fn hear_drain(&mut self, task: &mut Context<'_>) {
        let Some(draining) = &mut self.draining else { return };
        if draining.as_mut().poll(task).is_pending() {
            return;
        }
        self.draining = None;
        self.phase = Phase::GoingAway { until: self.now().saturating_add(CLOSE_WAIT) };
        self.queue(WsMessage::Close(Some(frame(1001, "going away"))));
    }

    /// Puts something small of ours into the buffer.
    fn queue(&mut self, message: WsMessage) {
        // What makes it fail is seen by the next read.
        let _ = Pin::new(&mut self.stream).start_send(message);
        self.unflushed = true;
    }

    fn poll_flushed(&mut self, task: &mut Context<'_>) -> Result<(), WsError> {
        if !self.unflushed {
            return Ok(());
        }
        match Pin::new(&mut self.stream).poll_flush(task) {
            Poll::Ready(result) => {
                self.unflushed = false;
                result
            }
            Poll::Pending => Ok(()),
        }
    }

    /// `None`: it was nothing for the program.
    fn came(
        &mut self,
        next: Option<Result<WsMessage, WsError>>,
    ) -> Option<Result<WebSocketMessage, WebSocketClosed>> {
        match next {
            Some(Ok(WsMessage::Text(text))) => Some(Ok(WebSocketMessage::Text(text))),
            Some(Ok(WsMessage::Binary(bytes))) => Some(Ok(WebSocketMessage::Binary(bytes))),
            Some(Ok(WsMessage::Close(frame))) => Some(Err(self.closed_by_client(frame))),
            // The answer to a ping is made by the library.
            Some(Ok(_)) => None,
            Some(Err(error)) => Some(Err(self.end(error))),
            None => Some(Err(self.end(WsError::ConnectionClosed))),
        }
    }

    fn closed_by_client(&mut self, frame: Option<CloseFrame>) -> WebSocketClosed {
        self.client_closed = true;
        let phase = std::mem::replace(&mut self.phase, Phase::Ended { farewell: None });
        if let Phase::GoingAway { .. } = phase {
            return WebSocketClosed::Draining;
        }
        let code = frame.as_ref().map(|frame| frame.code.into());
        let reason = frame.map_or_else(String::new, |frame| frame.reason.as_str().to_owned());
        WebSocketClosed::ByClient { code, reason }
    }

    /// Nothing came: is it time for something? `Ready(None)`: look again.
    fn poll_clock(&mut self, task: &mut Context<'_>) -> Poll<Option<WebSocketClosed>> {
        let now = self.now();
        let deadline = match self.phase {
            Phase::GoingAway { until } if until <= now => {
                self.phase = Phase::Ended { farewell: None };
                return Poll::Ready(Some(WebSocketClosed::Draining));
            }
            Phase::GoingAway { until } => until,
            _ => match self.pulse.beat(now) {
                Beat::Nothing => self.pulse.deadline(),
                Beat::Ping => {
                    self.queue(WsMessage::Ping(Bytes::new()));
                    return Poll::Ready(None);
                }
                Beat::Dead => {
                    self.phase = Phase::Ended { farewell: None };
                    return Poll::Ready(Some(WebSocketClosed::Silent));
                }
            },
        };
        let at = self.began + deadline;
        if self.timer.deadline() != at {
            self.timer.as_mut().reset(at);
        }
        self.timer.as_mut().poll(task).map(|()| None)
    }

    async fn send(&mut self, message: WsMessage) -> Result<(), WebSocketClosed> {
        match self.phase {
            Phase::Open => {}
            Phase::GoingAway { .. } => return Err(WebSocketClosed::Draining),
            Phase::Ended { .. } => return Err(already_closed()),
        }
        self.unflushed = true;
        let sent = tokio::time::timeout(self.limits.send_timeout, self.stream.send(message)).await;
        match sent {
            Ok(Ok(())) => {
                self.unflushed = false;
                Ok(())
            }
            Ok(Err(error)) => Err(self.end(error)),
            Err(_) => {
                self.phase = Phase::Ended { farewell: None };
                Err(WebSocketClosed::Stalled)
            }
        }
    }

    /// The end that an error is, and what the client is told of it.
    fn end(&mut self, error: WsError) -> WebSocketClosed {
        let phase = std::mem::replace(&mut self.phase, Phase::Ended { farewell: None });
        let mut farewell = |code: u16, text: &str| {
            self.phase = Phase::Ended { farewell: Some(frame(code, text)) };
        };
        match error {
            WsError::Capacity(_) => {
                farewell(1009, "the message is too large");
                WebSocketClosed::TooLarge
            }
            WsError::Utf8(error) => {
                farewell(1007, "the text is no UTF-8");
                WebSocketClosed::Protocol(error)
            }
            _ if matches!(phase, Phase::GoingAway { .. }) => WebSocketClosed::Draining,
            WsError::Protocol(ProtocolError::ResetWithoutClosingHandshake) => {
                WebSocketClosed::Broken(io::ErrorKind::UnexpectedEof.into())
            }
            WsError::Io(error) => WebSocketClosed::Broken(error),
            WsError::ConnectionClosed | WsError::AlreadyClosed => already_closed(),
            error => {
                farewell(1002, "the protocol is broken");
                WebSocketClosed::Protocol(error.to_string())
            }
        }
    }

    /// Says farewell, hears the client's, and closes in an order that does not take the farewell away from it.
    pub(super) async fn finish(&mut self) {
        let phase = std::mem::replace(&mut self.phase, Phase::Ended { farewell: None });
        let farewell = match phase {
            Phase::Open => Some(frame(1000, "")),
            Phase::GoingAway { .. } => None,
            Phase::Ended { farewell } => farewell,
        };
        let _ = tokio::time::timeout(CLOSE_WAIT, self.close(farewell)).await;
    }

    async fn close(&mut self, farewell: Option<CloseFrame>) {
        if farewell.is_some() {
            let _ = self.stream.send(WsMessage::Close(farewell)).await;
        }
        poll_fn(|task| self.poll_answered(task)).await;
        let io = self.stream.get_mut();
        // A client that may still be sending would lose the farewell to a reset.
        if !self.client_closed && io.shutdown().await.is_ok() {
            poll_fn(|task| poll_to_end(io, task)).await;
        }
    }

    /// Drops messages until the client has closed too.
    fn poll_answered(&mut self, task: &mut Context<'_>) -> Poll<()> {
        for _ in 0..MESSAGES_IN_A_ROW_MAX {
            match ready!(self.stream.poll_next_unpin(task)) {
                Some(Ok(message)) => self.client_closed |= message.is_close(),
                Some(Err(_)) | None => return Poll::Ready(()),
            }
        }
        task.waker().wake_by_ref();
        Poll::Pending
    }
}

/// Drops what comes behind the last frame.
fn poll_to_end(io: &mut TokioIo<Upgraded>, task: &mut Context<'_>) -> Poll<()> {
    let mut dropped = [0; READ_BUFFER];
    for _ in 0..MESSAGES_IN_A_ROW_MAX {
        let mut buf = ReadBuf::new(&mut dropped);
        match Pin::new(&mut *io).poll_read(task, &mut buf) {
            Poll::Ready(Ok(())) if !buf.filled().is_empty() => {}
            Poll::Ready(_) => return Poll::Ready(()),
            Poll::Pending => return Poll::Pending,
        }
    }
    task.waker().wake_by_ref();
    Poll::Pending
}

fn already_closed() -> WebSocketClosed {
    WebSocketClosed::Broken(io::ErrorKind::NotConnected.into())
}
