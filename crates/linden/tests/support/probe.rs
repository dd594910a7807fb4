//! A server that does what a test tells it, and writes what happens to it in a journal.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "each suite uses a part of it; the macro names the types after `pub` methods"
)]

use std::time::Duration;

use linden::prelude::*;

use crate::stage::Journal;

/// Something for a probe to do, in one of its handlers.
pub type Deed = Box<dyn FnOnce(&mut Probe, &mut Context<Probe>) + Send>;

/// The state. Its journal says which callbacks ran, in their order, and when it was dropped.
#[derive(Debug)]
pub struct Probe {
    pub journal: Journal<String>,
    pub count: u32,
    pub kept: Vec<Reply<u32>>,
    pub in_init: Moment,
    pub in_terminate: Moment,
    pub in_drop: Moment,
}

/// What a probe does at some moment of its life.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Moment {
    /// Nothing.
    #[default]
    Pass,
    /// Panics.
    Panic,
    /// Awaits for ever.
    Hang,
    /// Awaits for so long.
    Last(Duration),
    /// Traps exits from now on.
    Trap,
    /// Fails with the reason `refused`. In init only.
    Refuse,
    /// Chooses not to run. In init only.
    Ignore,
    /// Continues. In init only.
    Continue,
}

impl Probe {
    pub fn new(journal: &Journal<String>) -> Self {
        Self {
            journal: journal.clone(),
            count: 0,
            kept: Vec::new(),
            in_init: Moment::Pass,
            in_terminate: Moment::Pass,
            in_drop: Moment::Pass,
        }
    }

    /// What builds a plain probe.
    pub fn init(journal: &Journal<String>) -> impl Fn() -> Self + Clone + Send + Sync + use<> {
        let journal = journal.clone();
        move || Self::new(&journal)
    }

    /// What builds a probe that does `moment` in its init.
    pub fn init_with(
        journal: &Journal<String>,
        moment: Moment,
    ) -> impl Fn() -> Self + Clone + Send + Sync + use<> {
        let journal = journal.clone();
        move || {
            let mut probe = Self::new(&journal);
            probe.in_init = moment;
            probe
        }
    }

    /// What builds a probe that `change` has changed.
    pub fn init_by<F>(
        journal: &Journal<String>,
        change: F,
    ) -> impl Fn() -> Self + Clone + Send + Sync + use<F>
    where
        F: Fn(&mut Self) + Clone + Send + Sync + 'static,
    {
        let journal = journal.clone();
        move || {
            let mut probe = Self::new(&journal);
            change(&mut probe);
            probe
        }
    }

    fn write(&self, entry: impl Into<String>) {
        self.journal.write(entry.into());
    }
}

async fn pass(moment: Moment) {
    match moment {
        Moment::Panic => panic!("at its moment"),
        Moment::Hang => std::future::pending().await,
        Moment::Last(duration) => tokio::time::sleep(duration).await,
        _ => {}
    }
}

#[gen_server]
impl Probe {
    #[init]
    async fn begin(&mut self, cx: &mut Context<Self>) -> Result<(), Stop> {
        self.write("init");
        pass(self.in_init).await;
        match self.in_init {
            Moment::Refuse => return Err(Stop::because("refused")),
            Moment::Ignore => return Err(Stop::Ignore),
            Moment::Continue => cx.continue_(),
            Moment::Trap => {
                cx.trap_exit(true);
            }
            _ => {}
        }
        Ok(())
    }

    /// Counts.
    #[call]
    pub fn add(&mut self, n: u32) -> u32 {
        self.count += n;
        self.count
    }

    /// Runs a deed, and answers when it is done.
    #[call]
    pub fn run(&mut self, deed: Deed, cx: &mut Context<Self>) {
        deed(self, cx);
    }

    /// Runs a deed.
    #[cast]
    pub fn told(&mut self, deed: Deed, cx: &mut Context<Self>) {
        deed(self, cx);
    }

    /// Writes in the journal.
    #[cast]
    pub fn note(&mut self, line: String) {
        self.write(line);
    }

    /// Answers after a while.
    #[call]
    pub async fn slow(&mut self, duration: Duration) -> u32 {
        self.write("slow begins");
        tokio::time::sleep(duration).await;
        self.write("slow ends");
        self.count
    }

    /// Keeps its caller waiting.
    #[call]
    pub fn keep(&mut self, reply: Reply<u32>) {
        self.kept.push(reply);
    }

    /// Panics in an async handler, after it was suspended.
    #[call]
    pub async fn crash_later(&mut self) -> u32 {
        tokio::time::sleep(Duration::from_millis(1)).await;
        panic!("crashed later");
    }

    /// Panics.
    #[call]
    pub fn crash(&mut self) -> u32 {
        panic!("crashed");
    }

    #[info]
    fn hear(&mut self, info: Info) {
        match info {
            Info::Exit { reason, .. } => self.write(format!("exit {reason}")),
            Info::Down { reason, .. } => self.write(format!("down {reason}")),
            Info::Timer(_) => self.write("timer"),
            _ => self.write("news"),
        }
    }

    #[continues]
    fn go_on(&mut self) {
        self.write("continue");
    }

    #[timeout]
    fn be_idle(&mut self) {
        self.write("timeout");
    }

    #[terminate]
    async fn end(&mut self, reason: &Reason) {
        self.write(format!("terminate {}", short(reason)));
        pass(self.in_terminate).await;
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.journal.write("dropped".into());
        if self.in_drop == Moment::Panic && !std::thread::panicking() {
            panic!("in its drop");
        }
    }
}

/// A reason without the place of a panic.
pub fn short(reason: &Reason) -> String {
    match reason {
        Reason::Panic(info) => format!("panic {}", info.message),
        other => other.to_string(),
    }
}

impl ProbeClient {
    /// Runs a deed in the server.
    pub async fn act(&self, deed: impl FnOnce(&mut Probe, &mut Context<Probe>) + Send + 'static) {
        self.run(Box::new(deed)).await.expect("the probe lives");
    }

    /// Tells the server to run a deed.
    pub fn tell(&self, deed: impl FnOnce(&mut Probe, &mut Context<Probe>) + Send + 'static) {
        self.told(Box::new(deed));
    }

    /// The server's pid.
    pub fn id(&self) -> Pid {
        self.pid().expect("a client by address knows its pid")
    }
}
