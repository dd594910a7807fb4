//! What is measured: the scenarios, their variants and the seven systems, as names a user can type.
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
    /// A small answer over HTTP/1.1, asked for on connections that stay.
    Http,
    /// An echo each millisecond beside processes that do not give their worker back.
    Runaway,
    /// Start and stop of many supervised servers, and what each costs.
    Scale,
    /// Arming a timer and taking it back, beside a million that are armed.
    Timers,
    /// What a system uses of a core while nothing happens.
    #[value(name = "idle_cpu")]
    IdleCpu,
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
        Scenario::Http,
        Scenario::Runaway,
        Scenario::Scale,
        Scenario::Timers,
        Scenario::IdleCpu,
    ];

    /// The variants in which a scenario exists; most have one.
    pub(crate) fn variants(self) -> &'static [Variant] {
        match self {
            Scenario::Call => {
                &[Variant::Default, Variant::OneCore, Variant::CrossWorker, Variant::Outside]
            }
            Scenario::Http => &[
                Variant::Plain1,
                Variant::Plain64,
                Variant::Plain1000,
                Variant::Tls1,
                Variant::Tls64,
                Variant::Tls1000,
            ],
            Scenario::Runaway => &[
                Variant::Alone,
                Variant::Loops1,
                Variant::Loops4,
                Variant::Loops8,
                Variant::Repeat4,
            ],
            Scenario::Scale => &[
                Variant::Servers1e3,
                Variant::Servers1e4,
                Variant::Servers1e5,
                Variant::Servers1e6,
                Variant::Servers1e7,
            ],
            _ => &[Variant::Default],
        }
    }

    /// Whether a system takes part; its peers are others in HTTP than between processes. The other Rust systems
    /// run a task until it yields, so OTP is the one peer beside endless loops.
    pub(crate) fn has(self, system: System) -> bool {
        match (self, system) {
            (_, System::Linden) => true,
            (Scenario::Http, system) => system == System::Axum,
            (Scenario::Runaway, system) => system == System::Otp,
            // The peers' cost of a process is in `idle`; ten million of theirs do not fit.
            (Scenario::Scale, _) => false,
            (Scenario::Timers | Scenario::IdleCpu, system) => {
                matches!(system, System::Tokio | System::Otp)
            }
            (_, system) => system != System::Axum,
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
            Scenario::Http => "http",
            Scenario::Runaway => "runaway",
            Scenario::Scale => "scale",
            Scenario::Timers => "timers",
            Scenario::IdleCpu => "idle_cpu",
        }
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// How the two ends of a scenario are placed; for `http` the number of connections, and whether they are under TLS; for
/// `runaway` who runs beside; for `scale` how many servers.
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
    /// One connection.
    #[value(name = "1")]
    Plain1,
    /// 64 connections.
    #[value(name = "64")]
    Plain64,
    /// 1,000 connections.
    #[value(name = "1000")]
    Plain1000,
    /// One connection under TLS.
    #[value(name = "tls1")]
    Tls1,
    /// 64 connections under TLS.
    #[value(name = "tls64")]
    Tls64,
    /// 1,000 connections under TLS.
    #[value(name = "tls1000")]
    Tls1000,
    /// Nobody runs beside.
    Alone,
    /// One endless loop.
    Loops1,
    /// Four endless loops.
    Loops4,
    /// Eight endless loops.
    Loops8,
    /// Four processes that compute for 50 ms at a time, again and again.
    Repeat4,
    /// 1,000 servers.
    #[value(name = "1e3")]
    Servers1e3,
    /// 10,000 servers.
    #[value(name = "1e4")]
    Servers1e4,
    /// 100,000 servers.
    #[value(name = "1e5")]
    Servers1e5,
    /// 1,000,000 servers.
    #[value(name = "1e6")]
    Servers1e6,
    /// 10,000,000 servers.
    #[value(name = "1e7")]
    Servers1e7,
}

/// Who runs beside the echoes of `runaway`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Beside {
    /// So many endless loops.
    Loops(usize),
    /// So many processes that compute long, again and again.
    Repeats(usize),
}

/// Whether what is spoken on a connection is covered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cover {
    Plain,
    Tls,
}

impl Variant {
    /// The connections of a variant of `http`.
    pub(crate) fn connections(self) -> Option<(usize, Cover)> {
        match self {
            Variant::Plain1 => Some((1, Cover::Plain)),
            Variant::Plain64 => Some((64, Cover::Plain)),
            Variant::Plain1000 => Some((1_000, Cover::Plain)),
            Variant::Tls1 => Some((1, Cover::Tls)),
            Variant::Tls64 => Some((64, Cover::Tls)),
            Variant::Tls1000 => Some((1_000, Cover::Tls)),
            _ => None,
        }
    }

    /// Who runs beside in a variant of `runaway`.
    pub(crate) fn beside(self) -> Option<Beside> {
        match self {
            Variant::Alone => Some(Beside::Loops(0)),
            Variant::Loops1 => Some(Beside::Loops(1)),
            Variant::Loops4 => Some(Beside::Loops(4)),
            Variant::Loops8 => Some(Beside::Loops(8)),
            Variant::Repeat4 => Some(Beside::Repeats(4)),
            _ => None,
        }
    }

    /// The servers of a variant of `scale`.
    pub(crate) fn servers(self) -> Option<u64> {
        match self {
            Variant::Servers1e3 => Some(1_000),
            Variant::Servers1e4 => Some(10_000),
            Variant::Servers1e5 => Some(100_000),
            Variant::Servers1e6 => Some(1_000_000),
            Variant::Servers1e7 => Some(10_000_000),
            _ => None,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Variant::Default => "default",
            Variant::OneCore => "one_core",
            Variant::CrossWorker => "cross_worker",
            Variant::Outside => "outside",
            Variant::Plain1 => "1",
            Variant::Plain64 => "64",
            Variant::Plain1000 => "1000",
            Variant::Tls1 => "tls1",
            Variant::Tls64 => "tls64",
            Variant::Tls1000 => "tls1000",
            Variant::Alone => "alone",
            Variant::Loops1 => "loops1",
            Variant::Loops4 => "loops4",
            Variant::Loops8 => "loops8",
            Variant::Repeat4 => "repeat4",
            Variant::Servers1e3 => "1e3",
            Variant::Servers1e4 => "1e4",
            Variant::Servers1e5 => "1e5",
            Variant::Servers1e6 => "1e6",
            Variant::Servers1e7 => "1e7",
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
    /// The axum crate on tokio, as a server.
    Axum,
}

impl System {
    pub(crate) const ALL: &[System] = &[
        System::Linden,
        System::Tokio,
        System::Ractor,
        System::Kameo,
        System::Actix,
        System::Otp,
        System::Axum,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            System::Linden => "linden",
            System::Tokio => "tokio",
            System::Ractor => "ractor",
            System::Kameo => "kameo",
            System::Actix => "actix",
            System::Otp => "otp",
            System::Axum => "axum",
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

    #[test]
    fn the_variants_of_http_runaway_and_scale_say_what_they_are_and_no_others_do() {
        for scenario in Scenario::ALL {
            for variant in scenario.variants() {
                assert_eq!(variant.connections().is_some(), *scenario == Scenario::Http);
                assert_eq!(variant.beside().is_some(), *scenario == Scenario::Runaway);
                assert_eq!(variant.servers().is_some(), *scenario == Scenario::Scale);
            }
        }
    }

    #[test]
    fn a_peer_takes_part_where_it_is_one() {
        let part = |scenario: Scenario| {
            let systems = System::ALL.iter().filter(move |&&system| scenario.has(system));
            systems.map(|system| system.name()).collect::<Vec<_>>()
        };
        assert_eq!(part(Scenario::Http), ["linden", "axum"]);
        assert_eq!(part(Scenario::Runaway), ["linden", "otp"]);
        assert_eq!(part(Scenario::Call), ["linden", "tokio", "ractor", "kameo", "actix", "otp"]);
    }
}
