//! What is measured: the scenarios, their variants and the six systems, as names a user can type.
//!
//! Pure data, shared by the parent (plan, table) and by the children. Nothing here knows how a
//! system does a scenario; that is in `systems/`.

use std::fmt;

use clap::ValueEnum;

/// One kind of work that every system is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, ValueEnum)]
pub(crate) enum Scenario {
    /// Sequential request and reply.
    Call,
    /// One-way messages, one sender to one receiver.
    Cast,
    /// One-way messages, 100 senders to one receiver.
    Fanin,
    /// 1,000 pairs playing ping-pong at the same time.
    Pairs,
    /// One token through a ring of 1,000 processes.
    Ring,
    /// Start and end of processes that do nothing.
    Spawn,
    /// Memory of 1,000,000 supervised servers.
    Idle,
    /// From a crash to the first answer of the new incarnation.
    Restart,
}

impl Scenario {
    pub(crate) const ALL: &[Scenario] = &[
        Scenario::Call,
        Scenario::Cast,
        Scenario::Fanin,
        Scenario::Pairs,
        Scenario::Ring,
        Scenario::Spawn,
        Scenario::Idle,
        Scenario::Restart,
    ];

    /// The variants in which a scenario exists; most have one.
    pub(crate) fn variants(self) -> &'static [Variant] {
        match self {
            Scenario::Call => {
                &[Variant::Default, Variant::OneCore, Variant::CrossWorker, Variant::Outside]
            }
            _ => &[Variant::Default],
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Scenario::Call => "call",
            Scenario::Cast => "cast",
            Scenario::Fanin => "fanin",
            Scenario::Pairs => "pairs",
            Scenario::Ring => "ring",
            Scenario::Spawn => "spawn",
            Scenario::Idle => "idle",
            Scenario::Restart => "restart",
        }
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// How the two ends of a scenario are placed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(crate) enum Variant {
    /// As the system places them by itself, with all workers.
    Default,
    /// The system has one worker.
    OneCore,
    /// Caller and server are kept on different workers.
    CrossWorker,
    /// The caller is a plain thread outside of the system.
    Outside,
}

impl Variant {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Variant::Default => "default",
            Variant::OneCore => "one_core",
            Variant::CrossWorker => "cross_worker",
            Variant::Outside => "outside",
        }
    }
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// One of the systems that are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, ValueEnum)]
pub(crate) enum System {
    /// This project.
    Linden,
    /// tokio tasks with mpsc and oneshot channels, no actors.
    Tokio,
    /// The ractor crate.
    Ractor,
    /// The kameo crate.
    Kameo,
    /// The actix crate.
    Actix,
    /// Erlang/OTP.
    Otp,
}

impl System {
    pub(crate) const ALL: &[System] =
        &[System::Linden, System::Tokio, System::Ractor, System::Kameo, System::Actix, System::Otp];

    pub(crate) fn name(self) -> &'static str {
        match self {
            System::Linden => "linden",
            System::Tokio => "tokio",
            System::Ractor => "ractor",
            System::Kameo => "kameo",
            System::Actix => "actix",
            System::Otp => "otp",
        }
    }
}

impl fmt::Display for System {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_the_command_line_accepts() {
        for scenario in Scenario::ALL {
            assert_eq!(Scenario::from_str(scenario.name(), false), Ok(*scenario));
            for variant in scenario.variants() {
                assert_eq!(Variant::from_str(variant.name(), false), Ok(*variant));
            }
        }
        for system in System::ALL {
            assert_eq!(System::from_str(system.name(), false), Ok(*system));
        }
    }
}
