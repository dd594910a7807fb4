//! A child for supervisors: it writes its starts and ends in a journal, and starts and ends as a test planned.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "each suite uses a part of it; the macro names the types after `pub` methods"
)]

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use linden::Cx;
use linden::prelude::*;

use crate::stage::Journal;

/// What a start of a kid comes to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Begin {
    Well,
    Refused,
    Panics,
    Ignores,
    Hangs,
    /// It starts well and crashes at once.
    Stillborn,
}

/// How a kid takes it to be told to shut down.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Manners {
    /// Does not trap exits: ends at once.
    Plain,
    /// Traps exits, and cleans up for so long.
    CleansUp(Duration),
    /// Traps exits, and never ends by itself.
    Deaf,
}

/// How a test makes a kid end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum How {
    Stop(Reason),
    Panic,
}

/// What a kid is made from, again and again.
#[derive(Clone, Debug)]
pub struct Cradle {
    id: &'static str,
    journal: Journal<String>,
    begins: Arc<Mutex<VecDeque<Begin>>>,
    manners: Manners,
}

/// The server.
#[derive(Debug)]
pub struct Kid {
    cradle: Cradle,
    begin: Begin,
    count: u32,
}

impl Cradle {
    pub fn new(id: &'static str, journal: &Journal<String>) -> Self {
        let begins = Arc::default();
        Self { id, journal: journal.clone(), begins, manners: Manners::Plain }
    }

    /// What the first starts come to; those after them go well.
    pub fn beginning(self, begins: impl IntoIterator<Item = Begin>) -> Self {
        self.begins.lock().expect("nobody panics with the lock").extend(begins);
        self
    }

    pub fn with(mut self, manners: Manners) -> Self {
        self.manners = manners;
        self
    }

    fn write(&self, sign: &str) {
        self.journal.write(format!("{sign}{}", self.id));
    }

    /// What builds the state.
    pub fn build(self) -> impl Fn() -> Kid + Clone + Send + Sync {
        move || {
            let begin = self.begins.lock().expect("nobody panics with the lock").pop_front();
            Kid { cradle: self.clone(), begin: begin.unwrap_or(Begin::Well), count: 0 }
        }
    }

    /// A child that is registered under its id.
    pub fn child(self) -> ChildSpec {
        let id = self.id;
        child(id, self.build()).name(id)
    }
}

#[gen_server]
impl Kid {
    #[init]
    async fn begin(&mut self, cx: &mut Context<Self>) -> Result<(), Stop> {
        match self.begin {
            Begin::Refused => return Err(Stop::because("refused")),
            Begin::Panics => panic!("born to fail"),
            Begin::Ignores => return Err(Stop::Ignore),
            Begin::Hangs => std::future::pending().await,
            Begin::Stillborn => cx.stop(Reason::custom("stillborn")),
            Begin::Well => {}
        }
        cx.trap_exit(self.cradle.manners != Manners::Plain);
        self.cradle.write("+");
        Ok(())
    }

    #[call]
    pub fn add(&mut self, n: u32) -> u32 {
        self.count += n;
        self.count
    }

    #[cast]
    pub fn end(&mut self, how: How, cx: &mut Context<Self>) {
        match how {
            How::Stop(reason) => cx.stop(reason),
            How::Panic => panic!("told to panic"),
        }
    }

    /// Takes its link to its parent down.
    #[call]
    pub fn run_away(&mut self, cx: &mut Context<Self>) {
        let parent = cx.parent().expect("a kid has a parent");
        cx.unlink(parent);
    }

    /// Sends its parent an exit signal by hand.
    #[call]
    pub fn rebel(&mut self, cx: &mut Context<Self>) {
        let parent = cx.parent().expect("a kid has a parent");
        cx.exit(parent, Reason::custom("rebellion"));
    }

    #[terminate]
    async fn clean_up(&mut self) {
        match self.cradle.manners {
            Manners::CleansUp(duration) => tokio::time::sleep(duration).await,
            Manners::Deaf => std::future::pending().await,
            Manners::Plain => {}
        }
    }
}

impl Drop for Kid {
    fn drop(&mut self) {
        if self.begin == Begin::Well || self.begin == Begin::Stillborn {
            self.cradle.write("-");
        }
    }
}

/// The kid that has a name.
pub fn kid(node: &Node, name: &str) -> KidClient {
    ServerRef::by_name(node, name).into()
}

/// The pid that has a name.
pub fn pid(node: &Node, name: &str) -> Pid {
    node.whereis(name).unwrap_or_else(|| panic!("{name} runs"))
}

/// A kid's cradle and a journal of its own.
pub fn lone(id: &'static str) -> (Cradle, Journal<String>) {
    let journal = Journal::new();
    (Cradle::new(id, &journal), journal)
}

/// Traps exits in a scenario that links itself to supervisors.
pub fn trapping(cx: Cx<()>) -> Cx<()> {
    cx.trap_exit(true);
    cx
}
