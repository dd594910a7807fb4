//! The life of a WebSocket's process: it waits for the connection, runs the program's part, and closes what that leaves open.

use std::future::Future;
use std::time::Duration;

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use linden::{Cx, Message};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::WebSocketLimits;
use super::socket::{Place, WebSocket};
use crate::drain_signal::DrainSignal;

/// What a process begins with.
pub(super) struct Birth {
    pub(super) upgrade: OnUpgrade,
    /// How long the response may take to be written.
    pub(super) upgrade_wait: Duration,
    pub(super) label: String,
    pub(super) limits: WebSocketLimits,
    pub(super) draining: DrainSignal,
}

/// The future of a WebSocket's process.
pub(super) async fn live<M, F>(cx: Cx<M>, birth: Birth, body: impl FnOnce(WebSocket, Cx<M>) -> F)
where
    M: Message,
    F: Future<Output = ()>,
{
    cx.set_label(birth.label);
    let upgrade = tokio::time::timeout(birth.upgrade_wait, birth.upgrade);
    let Ok(Ok(upgraded)) = upgrade.await else {
        // The response was another one, or the client is gone.
        return;
    };
    let config = Some(super::socket::config(&birth.limits));
    let io = TokioIo::new(upgraded);
    let stream = WebSocketStream::from_raw_socket(io, Role::Server, config).await;
    let place = Place::default();
    let socket = WebSocket::new(stream, birth.limits, birth.draining.heard(), place.clone());
    body(socket, cx).await;
    let left = place.lock().take();
    if let Some(mut left) = left {
        left.finish().await;
    }
}
