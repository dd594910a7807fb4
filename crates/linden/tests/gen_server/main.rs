//! Servers: their callbacks, when each runs, and what callers hear.

mod by_hand;
mod calls;
mod crashes;
mod events;
#[path = "../support/probe.rs"]
mod probe;
mod replies;
#[path = "../support/stage.rs"]
mod stage;
mod starting;
mod stopping;

use linden::CallError;
use linden::prelude::*;
use probe::{Probe, ProbeClient, short};
use stage::Journal;

/// A plain probe, unlinked, with its journal.
async fn probe() -> (ProbeClient, Journal<String>) {
    let journal = Journal::new();
    let client = Probe::start(Probe::init(&journal)).await.expect("a probe starts");
    (client, journal)
}

/// Something for a server to do.
type Way<S> = fn(&mut Context<S>);

fn crashed(error: CallError) -> String {
    match error {
        CallError::Exited(reason) => short(&reason),
        other => panic!("an exit is heard, not {other:?}"),
    }
}
