//! A node whose applications start, run and stop: what its controller is asked and tells.

use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use linden_core::{Address, Call, CallError, Node, Reason, reply_channel};

use super::{NodeError, OnReady};
use crate::application::controller::{self, BootFailure, Down, Request};
use crate::error::chain;
use crate::log;

/// What is known when all applications run.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Ready {
    /// The node.
    pub node: Node,
    /// The applications, in boot order.
    pub applications: Vec<&'static str>,
    /// How many processes live.
    pub processes: usize,
    /// From the builder's start to now.
    pub boot_time: Duration,
}

/// The node and its controller, from the first application's start on.
#[derive(Clone, Debug)]
pub(super) struct Controlled {
    pub(super) node: Node,
    pub(super) controller: Address<Request>,
    pub(super) grace: Duration,
    pub(super) applications: Vec<&'static str>,
}

/// A node whose applications start.
pub(super) struct Booting {
    pub(super) controlled: Controlled,
    pub(super) boots: Call<'static, Result<(), BootFailure>>,
    pub(super) down: Call<'static, Down>,
    pub(super) begun: Instant,
    pub(super) on_ready: Option<OnReady>,
}

/// A node whose applications run.
#[derive(Debug)]
pub struct Booted {
    /// What was known when it was ready.
    pub ready: Ready,
    /// The node.
    pub node: Node,
    controlled: Controlled,
    down: Call<'static, Down>,
    /// Why the node is to end, once that was heard.
    heard: Option<Down>,
}

impl Booting {
    /// Waits until all applications run.
    pub(super) async fn boots(&mut self) -> Result<(), NodeError> {
        match (&mut self.boots).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(BootFailure { application, cause })) => {
                Err(NodeError::Application { name: application, cause })
            }
            Err(error) => {
                Err(NodeError::Application { name: controller::NAME, cause: Box::new(error) })
            }
        }
    }

    /// The applications run: says so.
    pub(super) fn ready(self) -> Booted {
        let Self { controlled, down, begun, on_ready, .. } = self;
        let node = controlled.node.clone();
        let ready = Ready {
            node: node.clone(),
            applications: controlled.applications.clone(),
            processes: node.process_count(),
            boot_time: begun.elapsed(),
        };
        tracing::info!(
            target: "linden::node",
            node = node.name(),
            workers = node.workers(),
            processes = ready.processes,
            "node ready"
        );
        if let Some(told) = on_ready {
            told(&ready);
        }
        Booted { ready, node, controlled, down, heard: None }
    }
}

impl Booted {
    /// Waits until an application's end means that of the node, and says which and why. The applications are being stopped
    /// then; [`Booted::stop`] waits for that and ends the node. Asked again, it says the same again.
    ///
    /// # Cancellation
    /// Dropped while it waits, it has missed nothing.
    pub async fn down(&mut self) -> NodeError {
        if self.heard.is_none() {
            let down = (&mut self.down).await;
            self.heard = Some(down.unwrap_or_else(|error| Down {
                application: controller::NAME,
                reason: Reason::error(&error),
                gave_up: None,
            }));
        }
        self.heard.clone().expect("it was heard above").into()
    }

    pub(super) fn into_controlled(self) -> Controlled {
        self.controlled
    }

    /// Stops the applications in reverse order, then the node. Blocks the thread for the last part.
    ///
    /// # Errors
    /// [`NodeError::Zombies`].
    pub async fn stop(self) -> Result<(), NodeError> {
        self.controlled.stop().await
    }
}

impl Controlled {
    /// Stops the node of a boot that failed: its applications have been stopped.
    pub(super) fn abandon(&self) {
        self.node.stop(self.grace);
        log::flush_at_end();
    }

    /// Stops the applications in reverse order, those that are starting too, then the node.
    pub(super) async fn stop(self) -> Result<(), NodeError> {
        let most = controller::stop_time_max(self.applications.len(), self.grace);
        let stops = self.controller.call(Request::Stop).no_timeout();
        let stopped = tokio::select! {
            biased;
            stopped = stops => stopped,
            () = alarm(most) => Err(CallError::Timeout),
        };
        if let Err(error) = stopped {
            tracing::warn!(target: "linden::node", error = chain(&error), "the applications were not stopped in order");
        }
        let report = self.node.stop(self.grace);
        if report.zombies.is_empty() {
            tracing::info!(target: "linden::node", "node stopped");
        }
        log::flush_at_end();
        if report.zombies.is_empty() {
            return Ok(());
        }
        Err(NodeError::Zombies(report.zombies))
    }
}

/// Waits for so long on a thread of its own: a limit that holds while every worker is stuck, as the node's timers do not.
async fn alarm(limit: Duration) {
    let (told, rings) = reply_channel();
    // Dropped with this future, it ends the thread.
    let (_set, unset) = mpsc::channel::<()>();
    let waits = move || {
        if unset.recv_timeout(limit) == Err(mpsc::RecvTimeoutError::Timeout) {
            told.send(());
        }
    };
    let thread = thread::Builder::new().name("linden-stop".to_owned()).spawn(waits);
    if thread.is_err() || rings.no_timeout().await.is_err() {
        // Without a thread there is no limit.
        std::future::pending::<()>().await;
    }
}
