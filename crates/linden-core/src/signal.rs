//! Signals: everything but messages that one process can do to another, as data, and what a receiver does with an exit.
//!
//! OTP source: "Signals" in the reference manual's chapter on processes. Signals travel in the same mailbox as messages, so
//! that both arrive in the order sent.

use crate::id::{NodeId, Pid, Ref};
use crate::introspect::ProcessInfo;
use crate::reason::Reason;
use crate::reply::Reply;

/// What a process receives besides its messages.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Info {
    /// A linked process ended, or somebody sent an exit signal. Only for a process that traps exits.
    Exit {
        /// The process that ended or sent the signal.
        from: Pid,
        /// Why.
        reason: Reason,
    },
    /// A monitored process ended, was not there, or its node is out of reach.
    Down {
        /// What `monitor` returned.
        reference: Ref,
        /// The monitored process.
        pid: Pid,
        /// Why it ended.
        reason: Reason,
    },
    /// A timer fired.
    Timer(Ref),
}

/// What arrives in a process's mailbox.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Mail<M> {
    /// A message of the process's own type.
    Msg(M),
    /// News of links, monitors and timers.
    Info(Info),
}

impl<M> Mail<M> {
    /// The message, if it is one.
    pub fn into_msg(self) -> Option<M> {
        match self {
            Self::Msg(message) => Some(message),
            Self::Info(_) => None,
        }
    }

    /// The news, if it is some.
    pub fn into_info(self) -> Option<Info> {
        match self {
            Self::Msg(_) => None,
            Self::Info(info) => Some(info),
        }
    }
}

/// How an exit signal came about.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub enum ExitVia {
    /// The sender ended and was linked.
    Link,
    /// The sender asked for it.
    Direct,
}

/// Whoever is told of a process's end.
#[derive(Debug)]
pub(crate) enum Watcher {
    /// A process, by a `Down`.
    Process(Pid),
    /// Code outside of processes, by an answer.
    Slot(Reply<Reason>),
}

/// A signal in a mailbox.
#[derive(Debug)]
pub(crate) enum Signal {
    Exit {
        from: Pid,
        reason: Reason,
        via: ExitVia,
    },
    Link {
        from: Pid,
    },
    Unlink {
        from: Pid,
        id: u64,
    },
    UnlinkAck {
        from: Pid,
        id: u64,
    },
    Monitor {
        reference: Ref,
        watcher: Watcher,
    },
    Demonitor {
        reference: Ref,
    },
    Down {
        reference: Ref,
        pid: Pid,
        reason: Reason,
    },
    /// The connection to a node was lost.
    NodeDown(NodeId),
    /// Asks for what only the owner knows.
    Inspect(Reply<ProcessInfo>),
    /// Acted on already, or nothing to act on: waits for `recv`.
    Info(Info),
}

impl Signal {
    /// Whether it ends its receiver, whatever that says.
    pub(crate) fn kills(&self) -> bool {
        matches!(self, Self::Exit { reason: Reason::Kill, via: ExitVia::Direct, .. })
    }
}

/// What a process does with an exit signal.
#[must_use]
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum ExitAction {
    Drop,
    /// It becomes a message.
    Deliver,
    /// The process ends.
    End(Reason),
}

/// Whether the receiver traps exits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Trap {
    On,
    Off,
}

/// Whether the signal is the receiver's own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Sender {
    Own,
    Other,
}

/// OTP's table of what an exit signal does ("Receiving Exit Signals").
pub(crate) fn on_exit(reason: &Reason, via: ExitVia, trap: Trap, sender: Sender) -> ExitAction {
    match (reason, via, trap) {
        // SIG-03: `kill` sent as a signal ends the receiver, trapping or not, and others hear `killed`. A linked process
        // that ended with the reason `kill` is an ordinary reason.
        (Reason::Kill, ExitVia::Direct, _) => ExitAction::End(Reason::Killed),
        (_, _, Trap::On) => ExitAction::Deliver,
        // SIG-04: a `normal` exit signal from another process is dropped unless the receiver traps exits.
        (Reason::Normal, ExitVia::Direct, Trap::Off) if sender == Sender::Own => {
            ExitAction::End(Reason::Normal)
        }
        (Reason::Normal, _, Trap::Off) => ExitAction::Drop,
        (reason, _, Trap::Off) => ExitAction::End(reason.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // proves: SIG-03, SIG-04
    #[test]
    fn exit_signals_follow_the_table_of_otp() {
        use ExitVia::{Direct, Link};
        let crash = Reason::custom("crash");
        let table = [
            (Reason::Normal, Link, Trap::Off, Sender::Other, ExitAction::Drop),
            (Reason::Normal, Link, Trap::On, Sender::Other, ExitAction::Deliver),
            (Reason::Normal, Direct, Trap::Off, Sender::Other, ExitAction::Drop),
            (Reason::Normal, Direct, Trap::Off, Sender::Own, ExitAction::End(Reason::Normal)),
            (Reason::Normal, Direct, Trap::On, Sender::Other, ExitAction::Deliver),
            (Reason::Kill, Direct, Trap::Off, Sender::Other, ExitAction::End(Reason::Killed)),
            (Reason::Kill, Direct, Trap::On, Sender::Other, ExitAction::End(Reason::Killed)),
            (Reason::Kill, Link, Trap::On, Sender::Other, ExitAction::Deliver),
            (Reason::Kill, Link, Trap::Off, Sender::Other, ExitAction::End(Reason::Kill)),
            (Reason::Killed, Link, Trap::Off, Sender::Other, ExitAction::End(Reason::Killed)),
            (crash.clone(), Link, Trap::Off, Sender::Other, ExitAction::End(crash.clone())),
            (crash.clone(), Link, Trap::On, Sender::Other, ExitAction::Deliver),
            (crash.clone(), Direct, Trap::Off, Sender::Own, ExitAction::End(crash)),
        ];
        for (reason, via, trap, sender, expected) in table {
            assert_eq!(
                on_exit(&reason, via, trap, sender),
                expected,
                "{reason:?} {via:?} {trap:?} {sender:?}"
            );
        }
    }
}
