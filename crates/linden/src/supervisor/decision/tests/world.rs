//! A stand-in for the supervisor process and its children: takes every step and keeps its own books.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::supervisor::decision::*;
use crate::supervisor::intensity::Intensity;

pub(super) type Pid = u32;

pub(super) struct World {
    pub(super) children: Children<Pid, ()>,
    /// The processes that live, as the operating side sees it.
    pub(super) alive: BTreeMap<Pid, String>,
    /// Answers to the next starts; when empty, starts succeed.
    pub(super) starts: VecDeque<Answer>,
    /// The supervisor's own messages to itself.
    pub(super) retries: VecDeque<TryAgain>,
    pub(super) ended: Option<ExitCause>,
    pub(super) now: Duration,
    /// What was done since the last look.
    pub(super) log: Vec<String>,
    next_pid: Pid,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Run,
    Ignore,
    Fail,
}

/// `name`, `name?` transient, `name-` temporary; a `*` behind makes it significant.
pub(super) fn spec(text: &str) -> Spec<()> {
    let (text, significant) = match text.strip_suffix('*') {
        Some(rest) => (rest, true),
        None => (text, false),
    };
    let (id, restart) = match (text.strip_suffix('?'), text.strip_suffix('-')) {
        (Some(id), _) => (id, Restart::Transient),
        (_, Some(id)) => (id, Restart::Temporary),
        (None, None) => (text, Restart::Permanent),
    };
    let terms = Terms { restart, significant, ..Terms::WORKER };
    Spec::new(id, terms, ())
}

/// Any number of restarts.
pub(super) const LENIENT: Intensity =
    Intensity { restarts_max: u32::MAX, period: Duration::from_secs(5) };

pub(super) fn policy(strategy: Strategy) -> Policy {
    Policy { strategy, intensity: LENIENT, auto_shutdown: AutoShutdown::Never }
}

impl World {
    /// A supervisor that has not booted.
    pub(super) fn unbooted(policy: Policy, specs: &str) -> Self {
        let specs = specs.split_whitespace().map(spec).collect();
        Self {
            children: Children::new(policy, specs).expect("the test's specs are right"),
            alive: BTreeMap::new(),
            starts: VecDeque::new(),
            retries: VecDeque::new(),
            ended: None,
            now: Duration::from_secs(1000),
            log: Vec::new(),
            next_pid: 1,
        }
    }

    /// A supervisor whose children run.
    pub(super) fn new(policy: Policy, specs: &str) -> Self {
        let mut world = Self::unbooted(policy, specs);
        world.boot();
        world.log.clear();
        world
    }

    /// The next starts answer this: `.` runs, `i` is ignored, `x` fails.
    pub(super) fn answers(&mut self, answers: &str) -> &mut Self {
        self.starts = answers
            .chars()
            .map(|c| match c {
                '.' => Answer::Run,
                'i' => Answer::Ignore,
                _ => Answer::Fail,
            })
            .collect();
        self
    }

    pub(super) fn boot(&mut self) -> &mut Self {
        self.run(|children, _| children.boot())
    }

    /// The child ends by itself and the supervisor hears of it.
    pub(super) fn exits(&mut self, id: &str, how: ExitKind) -> &mut Self {
        let pid = self.pid(id);
        self.alive.remove(&pid);
        self.hear(pid, how)
    }

    /// The supervisor hears of an exit.
    pub(super) fn hear(&mut self, pid: Pid, how: ExitKind) -> &mut Self {
        let now = self.now;
        self.run(|children, log| match children.child_exited(pid, how, now) {
            Exited::NotAChild => Step::Done(Done::Settled),
            Exited::Child(exit) => {
                if exit.report == Report::Write {
                    log.push(format!("report {}", exit.id));
                }
                exit.step
            }
        })
    }

    /// The supervisor receives the oldest of its messages to itself.
    pub(super) fn retry(&mut self) -> &mut Self {
        let token = self.retries.pop_front().expect("a try is on its way");
        let now = self.now;
        self.run(|children, _| children.try_again(token, now))
    }

    pub(super) fn shut_down(&mut self) -> &mut Self {
        self.run(|children, _| children.shut_down())
    }

    pub(super) fn start_child(&mut self, text: &str) -> Result<(), StartChildError<Pid>> {
        let start = self.children.start_child(spec(text))?;
        let id = start.spec().id.to_string();
        let started = answer(&mut self.starts, &mut self.next_pid);
        note_start(&mut self.alive, &mut self.log, id, started);
        start.done(started);
        Ok(())
    }

    pub(super) fn restart_child(&mut self, id: &str) -> Result<(), RestartChildError> {
        let start = self.children.restart_child(id)?;
        let started = answer(&mut self.starts, &mut self.next_pid);
        note_start(&mut self.alive, &mut self.log, id.to_owned(), started);
        start.done(started);
        Ok(())
    }

    pub(super) fn terminate_child(&mut self, id: &str) -> Result<(), NotFound> {
        if let Terminate::Stop(stop) = self.children.terminate_child(id)? {
            stop_one(&mut self.alive, &mut self.log, id, stop.pid());
            let _ = stop.gone(ExitKind::Shutdown);
        }
        Ok(())
    }

    pub(super) fn pid(&self, id: &str) -> Pid {
        match self.children.state_of(id) {
            Some(ChildState::Running(pid)) => pid,
            other => panic!("{id} does not run: {other:?}"),
        }
    }

    /// What was done since the last look, and what came of it.
    pub(super) fn happened(&mut self) -> String {
        std::mem::take(&mut self.log).join(", ")
    }

    /// The children in start order: `a=3` runs as 3, `a~` restarting, `a.` undefined.
    pub(super) fn table(&self) -> String {
        let mut rows = self.children.which_children();
        rows.reverse();
        let rows: Vec<String> = rows
            .iter()
            .map(|row| {
                let id = row.id.as_deref().expect("static children have ids");
                match row.state {
                    ChildState::Running(pid) => format!("{id}={pid}"),
                    ChildState::Restarting => format!("{id}~"),
                    ChildState::Undefined => format!("{id}."),
                }
            })
            .collect();
        rows.join(" ")
    }

    fn run(
        &mut self,
        first: impl for<'s> FnOnce(&'s mut Children<Pid, ()>, &mut Vec<String>) -> Step<'s, Pid, ()>,
    ) -> &mut Self {
        let mut step = first(&mut self.children, &mut self.log);
        let done = loop {
            step = match step {
                Step::Stop(stop) => {
                    stop_one(&mut self.alive, &mut self.log, &stop.spec().id, stop.pid());
                    stop.gone(ExitKind::Shutdown).1
                }
                Step::Start(start) => {
                    let id = start.spec().id.to_string();
                    let started = answer(&mut self.starts, &mut self.next_pid);
                    note_start(&mut self.alive, &mut self.log, id, started);
                    start.done(started)
                }
                Step::GiveUp(give_up) => {
                    self.log.push("give up".to_owned());
                    give_up.go_on()
                }
                Step::Done(done) => break done,
            };
        };
        match done {
            Done::Settled => {}
            Done::TryAgain(token) => {
                self.log.push(format!("retry {}", token.id()));
                self.retries.push_back(token);
            }
            Done::Exit(cause) => {
                self.log.push("exit".to_owned());
                self.ended = Some(cause);
            }
        }
        self
    }
}

fn answer(starts: &mut VecDeque<Answer>, next_pid: &mut Pid) -> Started<Pid> {
    match starts.pop_front().unwrap_or(Answer::Run) {
        Answer::Run => {
            *next_pid += 1;
            Started::Running(*next_pid - 1)
        }
        Answer::Ignore => Started::Ignored,
        Answer::Fail => Started::Failed,
    }
}

/// `found` when it had died before it could be stopped.
fn stop_one(alive: &mut BTreeMap<Pid, String>, log: &mut Vec<String>, id: &str, pid: Pid) {
    let verb = if alive.remove(&pid).is_some() { "stop" } else { "found" };
    log.push(format!("{verb} {id}"));
}

fn note_start(
    alive: &mut BTreeMap<Pid, String>,
    log: &mut Vec<String>,
    id: String,
    started: Started<Pid>,
) {
    match started {
        Started::Running(pid) => {
            log.push(format!("start {id}"));
            alive.insert(pid, id);
        }
        Started::Ignored => log.push(format!("ignored {id}")),
        Started::Failed => log.push(format!("failed {id}")),
    }
}
