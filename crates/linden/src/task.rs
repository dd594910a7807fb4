//! Tasks: processes that compute one value, awaited by whoever started them.
//!
//! OTP source: Elixir's `Task`.

use std::collections::HashSet;
use std::error::Error;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use linden_core::{
    Address, Call, CallError, Cx, Info, Mail, MailRef, Message, Named, Node, Pid, Reason, Reply,
    reply_channel,
};

use crate::supervisor::ChildSpec;

/// A process that computes one value. Await it for the value, or the reason why there is none.
///
/// # Examples
/// ```
/// use linden::prelude::*;
///
/// # let node = Node::start(linden::NodeOptions::default())?;
/// # node.block_on(async {
/// // Side by side; here, outside of processes, linked to nobody. In a process: `Task::spawn`.
/// let tasks = (1..=3).map(|n: u64| Task::spawn_unlinked(async move { n * n }));
/// assert_eq!(Task::await_many(tasks.collect::<Vec<_>>()).await, [Ok(1), Ok(4), Ok(9)]);
///
/// let crashed = Task::<()>::spawn_unlinked(async { panic!("no such file") }).await;
/// assert!(matches!(crashed.expect_err("it crashed").0, Reason::Panic(_)));
/// # });
/// # node.stop(5.secs());
/// # Ok::<(), linden::BoxError>(())
/// ```
///
/// # When not to use this
/// For something that answers more than once: write a server. For CPU-bound or blocking work:
/// `tokio::task::spawn_blocking`.
///
/// # Cancellation
/// Dropping a task does not end its process, as in Elixir; [`Task::shutdown`] does.
#[must_use = "a task's value is got by awaiting it"]
pub struct Task<T> {
    pid: Pid,
    answer: Call<'static, T>,
}

/// Why a task has no value: its process ended before.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TaskError(pub Reason);

impl fmt::Display for TaskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the task ended without a value: {}", self.0)
    }
}

impl Error for TaskError {}

async fn compute<F>(future: F, answer: Reply<F::Output>)
where
    F: Future,
{
    answer.send(future.await);
}

impl<T: Send + 'static> Task<T> {
    /// Starts a task linked to the process that calls it: when the task crashes the process does, and the other way round
    /// (Elixir: `Task.async`).
    ///
    /// # Panics
    /// Outside of every process: use [`Task::spawn_unlinked`].
    pub fn spawn(future: impl Future<Output = T> + Send + 'static) -> Self {
        let (reply, answer) = reply_channel();
        let address = linden_core::spawn_link(|_: Cx<()>| compute(future, reply));
        Self { pid: address.pid(), answer }
    }

    /// Starts a task that is linked to nobody: its crash is only heard by who awaits it.
    ///
    /// # Panics
    /// Outside of every node.
    pub fn spawn_unlinked(future: impl Future<Output = T> + Send + 'static) -> Self {
        let (reply, answer) = reply_channel();
        let address = linden_core::spawn(|_: Cx<()>| compute(future, reply));
        Self { pid: address.pid(), answer }
    }

    /// The task's process.
    #[must_use]
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// Ends the task: takes the link to it down, tells its process to shut down, and kills it when it has not ended after
    /// `timeout`. The value, if there was one already.
    ///
    /// # Panics
    /// Outside of every node.
    pub async fn shutdown(self, timeout: Duration) -> Option<T> {
        let node = Node::current().expect("a task is shut down inside a node");
        // SRV-22: the task's end is wanted, and must not end the process that asks for it.
        linden_core::unlink(self.pid);
        node.exit(self.pid, Reason::Shutdown);
        match tokio::time::timeout(timeout, self.answer).await {
            Ok(answer) => answer.ok(),
            Err(_) => {
                node.exit(self.pid, Reason::Kill);
                node.wait_exit(self.pid).await;
                None
            }
        }
    }

    /// Awaits several tasks; their values in the order of the tasks.
    pub async fn await_many(tasks: impl IntoIterator<Item = Self>) -> Vec<Result<T, TaskError>> {
        // They run side by side whoever is awaited first.
        let mut values = Vec::new();
        for task in tasks {
            values.push(task.await);
        }
        values
    }
}

impl<T> Future for Task<T> {
    type Output = Result<T, TaskError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.answer).poll(cx).map(|answer| {
            answer.map_err(|error| match error {
                CallError::Exited(reason) => TaskError(reason),
                CallError::NoProc => TaskError(Reason::NoProc),
                other => TaskError(Reason::error(&other)),
            })
        })
    }
}

impl<T> fmt::Debug for Task<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Task({})", self.pid)
    }
}

/// Starts tasks as its children: they are never restarted, their crashes hurt nobody, and they end with it (Elixir:
/// `Task.Supervisor`).
///
/// # Examples
/// ```
/// use linden::TaskSupervisor;
/// use linden::prelude::*;
///
/// # let node = Node::start(linden::NodeOptions::default())?;
/// # node.block_on(async {
/// let tree = Supervisor::one_for_one().child(TaskSupervisor::child("mails"));
/// tree.start().await?;
///
/// let mails = TaskSupervisor::by_name(&Node::current().expect("on a node"), "mails");
/// let sent = mails.spawn(async { "sent" }).await?;
/// assert_eq!(sent.await, Ok("sent"));
/// # Ok::<(), linden::BoxError>(())
/// # })?;
/// # node.stop(5.secs());
/// # Ok::<(), linden::BoxError>(())
/// ```
#[derive(Clone, Debug)]
pub struct TaskSupervisor(Named<Start>);

/// Asks for a task.
#[derive(Debug)]
struct Start {
    body: Body,
    pid: Reply<Pid>,
}

struct Body(Pin<Box<dyn Future<Output = ()> + Send>>);

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Body")
    }
}

impl Message for Start {
    fn name(&self) -> &'static str {
        "start task"
    }
}

/// How long tasks may take to end when their supervisor does, before they are killed.
const TASK_SHUTDOWN: Duration = Duration::from_secs(5);

impl TaskSupervisor {
    /// The task supervisor that is registered under `name` on `node`.
    #[must_use]
    pub fn by_name(node: &Node, name: &str) -> Self {
        Self(node.named(name))
    }

    /// A task supervisor as a child, registered under `name`.
    #[must_use]
    pub fn child(name: &'static str) -> ChildSpec {
        crate::supervisor::registered_child(name, serve)
    }

    /// Starts a task as a child of the supervisor, linked to nobody else.
    ///
    /// # Errors
    /// The supervisor does not live.
    pub async fn spawn<T: Send + 'static>(
        &self,
        future: impl Future<Output = T> + Send + 'static,
    ) -> Result<Task<T>, CallError> {
        let (reply, answer) = reply_channel();
        let body = Body(Box::pin(compute(future, reply)));
        let pid = self.0.call(|pid| Start { body, pid }).await?;
        Ok(Task { pid, answer })
    }
}

/// The future of a task supervisor's process.
async fn serve(mut cx: Cx<Start>) -> Reason {
    cx.trap_exit(true);
    cx.set_label("task supervisor");
    let mut tasks: HashSet<Pid> = HashSet::new();
    let reason = loop {
        match cx.recv().await {
            Mail::Msg(Start { body, pid }) => {
                let task: Address<()> = cx.spawn_link(|_| body.0);
                tasks.insert(task.pid());
                pid.send(task.pid());
            }
            Mail::Info(Info::Exit { from, reason }) if cx.is_told_by(from) => break reason,
            Mail::Info(Info::Exit { from, .. }) => {
                tasks.remove(&from);
            }
            Mail::Info(_) => {}
        }
    };
    end_all(&mut cx, tasks).await;
    reason
}

/// SRV-23: ends the tasks: tells them to shut down, kills what is left after a time, and waits until all have ended.
///
/// Each is monitored for it, so that one that took its link down is waited for as well.
async fn end_all(cx: &mut Cx<Start>, mut tasks: HashSet<Pid>) {
    for &task in &tasks {
        cx.monitor(task);
        cx.exit(task, Reason::Shutdown);
    }
    let mut limit = Some(cx.node().uptime().saturating_add(TASK_SHUTDOWN));
    while !tasks.is_empty() {
        let is_down = |mail: MailRef<'_, Start>| matches!(mail, MailRef::Info(Info::Down { .. }));
        let down = match limit {
            Some(end) => {
                let left = end.saturating_sub(cx.node().uptime());
                cx.recv_match_timeout(left, is_down).await
            }
            None => Some(cx.recv_match(is_down).await),
        };
        match down {
            Some(Mail::Info(Info::Down { pid, .. })) => {
                tasks.remove(&pid);
            }
            Some(_) => {}
            None => {
                tasks.iter().for_each(|&task| cx.exit(task, Reason::Kill));
                limit = None;
            }
        }
    }
}
