//! The specification of a supervisor: strategy, intensity, children in start order.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use linden_core::{Pid, reply_channel};

use super::child::{ChildSpec, NameChoice};
use super::decision::{AutoShutdown, Policy, Strategy};
use super::intensity::Intensity;
use super::process::{self, SupervisorRef};
use crate::error::StartError;
use crate::report::SupervisorReport;

/// A supervisor that can be started, again and again: its children are factories.
///
/// OTP source: `supervisor`. Defaults as OTP's: one restart in 5 s, no auto-shutdown. All keys are on the page of
/// [`crate::supervisor`].
///
/// # Examples
/// ```
/// use linden::prelude::*;
///
/// #[derive(Default)]
/// struct Counter(u64);
///
/// #[gen_server(name = "counter")]
/// impl Counter {
///     #[call]
///     fn add(&mut self, n: u64) -> u64 {
///         self.0 += n;
///         self.0
///     }
///
///     #[cast]
///     fn crash(&mut self) {
///         panic!("let it crash");
///     }
/// }
///
/// # let node = Node::start(linden::NodeOptions::default())?;
/// # node.block_on(async {
/// let tree = Supervisor::one_for_one()
///     .intensity(3, 5.secs())
///     .child(child("counter", Counter::default))
///     .child(supervisor_child("more", || {
///         Supervisor::rest_for_one()
///             .child(child("second", Counter::default).unnamed().transient())
///             .child(process_child("plain", |_| std::future::pending::<()>()))
///     }));
/// let supervisor = tree.start().await?;
///
/// let counter = Counter::named();
/// assert_eq!(counter.add(2).await?, 2);
/// counter.crash();
/// while counter.add(0).await != Ok(0) {} // for some microseconds the name is nobody's
/// assert_eq!(counter.add(1).await?, 1, "a new process under the same name, with a new state");
///
/// supervisor.stop(Reason::Shutdown).await?;
/// # Ok::<(), linden::BoxError>(())
/// # })?;
/// # node.stop(5.secs());
/// # Ok::<(), linden::BoxError>(())
/// ```
///
/// # When not to use this
/// For children that come and go at run time and are all alike: [`super::DynamicSupervisor`].
#[derive(Clone, Debug)]
pub struct Supervisor {
    pub(super) policy: Policy,
    pub(super) children: Vec<ChildSpec>,
    pub(super) name: Option<Box<str>>,
    pub(super) last_words: Option<LastWords>,
}

/// Where a supervisor that gives up leaves its report, for who must say why it ended: its exit reason is a bare `shutdown`.
pub(crate) type LastWords = Arc<OnceLock<SupervisorReport>>;

impl Supervisor {
    fn new(strategy: Strategy) -> Self {
        let policy = Policy { strategy, ..Policy::default() };
        Self { policy, children: Vec::new(), name: None, last_words: None }
    }

    /// A child that crashes is restarted, alone.
    #[must_use]
    pub fn one_for_one() -> Self {
        Self::new(Strategy::OneForOne)
    }

    /// When a child crashes, all are stopped in reverse order and started again in order.
    #[must_use]
    pub fn one_for_all() -> Self {
        Self::new(Strategy::OneForAll)
    }

    /// When a child crashes, it and those started after it are stopped in reverse order and started again in order.
    #[must_use]
    pub fn rest_for_one() -> Self {
        Self::new(Strategy::RestForOne)
    }

    /// How many restarts within `period` are allowed; one more, and the supervisor stops its children and exits.
    #[must_use]
    pub fn intensity(mut self, restarts_max: u32, period: Duration) -> Self {
        self.policy.intensity = Intensity { restarts_max, period };
        self
    }

    /// Whether the end of significant children ends the supervisor.
    #[must_use]
    pub fn auto_shutdown(mut self, auto_shutdown: AutoShutdown) -> Self {
        self.policy.auto_shutdown = auto_shutdown;
        self
    }

    /// Adds a child behind the others.
    #[must_use]
    pub fn child(mut self, child: ChildSpec) -> Self {
        self.children.push(child);
        self
    }

    /// Registers the supervisor under a name.
    #[must_use]
    pub fn name(mut self, name: &str) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Starts the supervisor and its children on the current node; returns when all have started.
    ///
    /// # Errors
    /// [`StartError`]; what had started is stopped again.
    ///
    /// # Panics
    /// Outside of every node.
    pub async fn start(&self) -> Result<SupervisorRef, StartError> {
        let (started, waits) = reply_channel();
        let spec = self.clone();
        let address = linden_core::spawn(|cx| process::supervise(cx, spec, started));
        crate::gen_server::await_start(waits).await?;
        Ok(SupervisorRef::by_address(address))
    }

    /// As [`Supervisor::start`], linked to the process that calls it before the supervisor runs.
    ///
    /// # Errors
    /// [`StartError`]; what had started is stopped again.
    ///
    /// # Panics
    /// Outside of every process.
    pub async fn start_link(&self) -> Result<SupervisorRef, StartError> {
        let (started, waits) = reply_channel();
        let spec = self.clone();
        let address = linden_core::spawn_link(|cx| process::supervise(cx, spec, started));
        crate::gen_server::await_start(waits).await?;
        Ok(SupervisorRef::by_address(address))
    }

    /// As [`Supervisor::start_link`], in two parts, for who may want to stop a start that does not end.
    pub(crate) fn spawn_link(
        mut self,
        last_words: LastWords,
    ) -> (Pid, impl Future<Output = Result<(), StartError>>) {
        let (started, waits) = reply_channel();
        self.last_words = Some(last_words);
        let address = linden_core::spawn_link(|cx| process::supervise(cx, self, started));
        (address.pid(), crate::gen_server::await_start(waits))
    }

    pub(super) fn with_name(mut self, choice: &NameChoice) -> Self {
        match choice {
            NameChoice::Own => {}
            NameChoice::None => self.name = None,
            NameChoice::Given(name) => self.name = Some(name.clone()),
        }
        self
    }
}
