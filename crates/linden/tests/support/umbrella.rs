//! Applications for tests: each does what its plan says, and writes in a journal.
#![allow(dead_code, reason = "each suite uses a part of it")]

use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use linden::prelude::*;

use crate::kid::Cradle;
use crate::stage::Journal;

/// What an application does.
#[derive(Clone)]
pub(crate) struct Plan {
    pub(crate) journal: Journal<String>,
    pub(crate) start: Outcome,
    pub(crate) drain: Outcome,
    pub(crate) stop: Outcome,
    /// Given what the application is configured to be, its tree.
    pub(crate) tree: Arc<dyn Fn() -> Supervisor + Send + Sync>,
    pub(crate) released: Arc<(Mutex<bool>, Condvar)>,
}

/// What a callback comes to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Outcome {
    #[default]
    Well,
    Fails,
    Panics,
    /// Waits for ever, where it can: a `stop` blocks.
    Hangs,
    /// Keeps its thread until the test is over.
    Blocks,
    Lasts(Duration),
}

impl Plan {
    pub(crate) fn new(journal: &Journal<String>) -> Self {
        Self {
            journal: journal.clone(),
            start: Outcome::Well,
            drain: Outcome::Well,
            stop: Outcome::Well,
            tree: Arc::new(Supervisor::one_for_one),
            released: Arc::default(),
        }
    }

    /// The tree has one child of this name.
    pub(crate) fn with_kid(self, id: &'static str) -> Self {
        let cradle = Cradle::new(id, &self.journal);
        self.with_tree(move || Supervisor::one_for_one().child(cradle.clone().child()))
    }

    pub(crate) fn with_tree(
        mut self,
        tree: impl Fn() -> Supervisor + Send + Sync + 'static,
    ) -> Self {
        self.tree = Arc::new(tree);
        self
    }

    pub(crate) fn begin(&self, name: &str) -> Result<Supervisor, BoxError> {
        self.journal.write(format!("start {name}"));
        match self.start {
            Outcome::Fails => Err(format!("{name} has no disk").into()),
            Outcome::Panics => panic!("{name} panics"),
            _ => Ok((self.tree)()),
        }
    }

    pub(crate) async fn drain(&self, name: &str) {
        self.journal.write(format!("drain {name}"));
        match self.drain {
            Outcome::Panics => panic!("{name} panics"),
            Outcome::Hangs => std::future::pending().await,
            Outcome::Blocks => self.block(),
            Outcome::Lasts(duration) => tokio::time::sleep(duration).await,
            _ => {}
        }
    }

    pub(crate) fn end(&self, name: &str) {
        self.journal.write(format!("stop {name}"));
        match self.stop {
            Outcome::Panics => panic!("{name} panics"),
            Outcome::Hangs | Outcome::Blocks => self.block(),
            Outcome::Lasts(duration) => std::thread::sleep(duration),
            _ => {}
        }
    }

    fn block(&self) {
        let released = self.released.0.lock().expect("nobody panics with the lock");
        let held = self.released.1.wait_while(released, |released| !*released);
        drop(held.expect("nobody panics with the lock"));
    }

    /// Lets go what blocks.
    pub(crate) fn release(&self) {
        *self.released.0.lock().expect("nobody panics with the lock") = true;
        self.released.1.notify_all();
    }
}

/// Declares an application without configuration that follows its plan.
macro_rules! application {
    ($type:ident, $name:literal, [$($needs:literal),*], $kind:ident) => {
        struct $type(crate::umbrella::Plan);

        impl linden::Application for $type {
            const NAME: &'static str = $name;
            const DEPENDS_ON: &'static [&'static str] = &[$($needs),*];
            const KIND: linden::ApplicationKind = linden::ApplicationKind::$kind;
            type Config = linden::NoConfig;

            fn start(&self, _: linden::NoConfig) -> Result<Supervisor, linden::BoxError> {
                self.0.begin($name)
            }

            async fn prepare_stop(&self) {
                self.0.drain($name).await;
            }

            fn stop(&self) {
                self.0.end($name);
            }
        }
    };
}
pub(crate) use application;
