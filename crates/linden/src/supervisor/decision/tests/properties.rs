//! Random stories: whatever happens in whatever order, the promises of a supervisor hold.

use std::collections::BTreeSet;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::{Just, ProptestConfig, prop_assert_eq, prop_oneof, proptest};
use proptest::strategy::Strategy as Gen;

use super::super::*;
use super::world::{Answer, Pid, World};
use crate::supervisor::intensity::Intensity;

#[derive(Clone, Debug)]
enum Event {
    /// The nth living process dies; the supervisor hears of it at once.
    Crash(usize, ExitKind),
    /// The nth living process dies; the supervisor hears of it later.
    DieUnheard(usize, ExitKind),
    /// The supervisor hears of the oldest unheard death.
    Hear,
    /// The supervisor receives its oldest message to itself.
    Retry,
    Terminate(usize),
    Restart(usize),
    Delete(usize),
    Add(usize, usize),
    Later(u16),
}

const IDS: [&str; 6] = ["a", "b", "c", "d", "e", "f"];
const KINDS: [&str; 3] = ["", "?", "-"];
/// A significant child that may end.
const SIGNIFICANT: [&str; 3] = ["", "?*", "-*"];

fn exit_kind() -> impl Gen<Value = ExitKind> {
    prop_oneof![
        Just(ExitKind::Normal),
        Just(ExitKind::Shutdown),
        Just(ExitKind::ShutdownWith),
        Just(ExitKind::Killed),
        Just(ExitKind::Abnormal),
        Just(ExitKind::Abnormal),
        Just(ExitKind::Abnormal),
    ]
}

fn event() -> impl Gen<Value = Event> {
    prop_oneof![
        4 => (0_usize..6, exit_kind()).prop_map(|(n, how)| Event::Crash(n, how)),
        2 => (0_usize..6, exit_kind()).prop_map(|(n, how)| Event::DieUnheard(n, how)),
        2 => Just(Event::Hear),
        3 => Just(Event::Retry),
        1 => (0_usize..6).prop_map(Event::Terminate),
        1 => (0_usize..6).prop_map(Event::Restart),
        1 => (0_usize..6).prop_map(Event::Delete),
        1 => (0_usize..6, 0_usize..3).prop_map(|(n, kind)| Event::Add(n, kind)),
        1 => (0_u16..4000).prop_map(Event::Later),
    ]
}

fn answers() -> impl Gen<Value = Vec<Answer>> {
    vec(
        prop_oneof![6 => Just(Answer::Run), 1 => Just(Answer::Ignore), 2 => Just(Answer::Fail)],
        0..40,
    )
}

fn policies() -> impl Gen<Value = Policy> {
    let strategy = prop_oneof![
        Just(Strategy::OneForOne),
        Just(Strategy::OneForAll),
        Just(Strategy::RestForOne),
    ];
    let auto = prop_oneof![
        Just(AutoShutdown::Never),
        Just(AutoShutdown::AnySignificant),
        Just(AutoShutdown::AllSignificant),
    ];
    (strategy, 0_u32..12, 1_u64..8000, auto).prop_map(|(strategy, restarts_max, ms, auto)| {
        let intensity = Intensity { restarts_max, period: Duration::from_millis(ms) };
        Policy { strategy, intensity, auto_shutdown: auto }
    })
}

struct Run {
    world: World,
    policy: Policy,
    /// Deaths that the supervisor has not heard of.
    unheard: Vec<(Pid, ExitKind)>,
    /// When restarts were decided.
    restarts: Vec<Duration>,
}

impl Run {
    fn play(&mut self, event: &Event) {
        match *event {
            Event::Crash(n, how) => {
                if let Some(pid) = self.kill(n) {
                    self.world.hear(pid, how);
                }
            }
            Event::DieUnheard(n, how) => {
                if let Some(pid) = self.kill(n) {
                    self.unheard.push((pid, how));
                }
            }
            Event::Hear if !self.unheard.is_empty() => {
                let (pid, how) = self.unheard.remove(0);
                self.world.hear(pid, how);
            }
            Event::Retry if !self.world.retries.is_empty() => {
                self.world.retry();
            }
            Event::Hear | Event::Retry => {}
            Event::Terminate(n) => {
                let _ = self.world.terminate_child(IDS[n]);
            }
            Event::Restart(n) => {
                let _ = self.world.restart_child(IDS[n]);
            }
            Event::Delete(n) => {
                let _ = self.world.children.delete_child(IDS[n]);
            }
            Event::Add(n, kind) => {
                let _ = self.world.start_child(&format!("{}{}", IDS[n], KINDS[kind]));
            }
            Event::Later(ms) => self.world.now += Duration::from_millis(ms.into()),
        }
    }

    fn kill(&mut self, n: usize) -> Option<Pid> {
        let pid = *self.world.alive.keys().nth(n)?;
        self.world.alive.remove(&pid);
        Some(pid)
    }

    /// Checks what one event did.
    fn check(&mut self, event: &Event, ids_before: &[String]) {
        let log = std::mem::take(&mut self.world.log);
        self.check_order(&log, ids_before);
        self.check_intensity(event, &log);
        self.check_books();
        if let Some(cause) = &self.world.ended {
            assert!(self.world.alive.is_empty(), "{cause:?} left processes behind");
        }
    }

    /// Stops in reverse start order, then starts in start order; and no start after giving up.
    fn check_order(&self, log: &[String], ids_before: &[String]) {
        let place = |id: &str| ids_before.iter().position(|other| other == id);
        let named = |verb: &str| -> Vec<usize> {
            log.iter().filter_map(|l| l.strip_prefix(verb)).filter_map(place).collect()
        };
        let stops = named("stop ");
        assert!(stops.is_sorted_by(|a, b| a > b), "stops out of order: {log:?}");
        let started = |l: &String| l.starts_with("start ") || l.starts_with("failed ");
        let starts: Vec<usize> = log
            .iter()
            .filter(|l| started(l))
            .filter_map(|l| place(l.split_once(' ').expect("verb and id").1))
            .collect();
        assert!(starts.is_sorted_by(|a, b| a < b), "starts out of order: {log:?}");
        let last_stop = log.iter().rposition(|l| l.starts_with("stop "));
        let first_start = log.iter().position(started);
        let booting = log.iter().any(|l| l == "give up");
        if let (Some(stop), Some(start), false) = (last_stop, first_start, booting) {
            assert!(stop < start, "a start before the last stop: {log:?}");
        }
        if let Some(at) = log.iter().position(|l| l == "give up") {
            assert!(!log[at..].iter().any(started), "a start after giving up: {log:?}");
        }
    }

    /// Never more restarts within a period than allowed, counted in the plainest way.
    fn check_intensity(&mut self, event: &Event, log: &[String]) {
        let restarted = matches!(event, Event::Crash(..) | Event::Hear | Event::Retry)
            && log.iter().any(|l| {
                l.starts_with("start ") || l.starts_with("failed ") || l.starts_with("ignored ")
            });
        if !restarted {
            return;
        }
        let now = self.world.now;
        self.restarts.push(now);
        let from = now.saturating_sub(self.policy.intensity.period);
        let recent = self.restarts.iter().filter(|&&at| at >= from).count();
        assert!(recent <= self.policy.intensity.restarts_max as usize, "{recent} restarts");
    }

    /// What the supervisor believes to run is what lives, but for deaths it has not heard of.
    fn check_books(&self) {
        let rows = self.world.children.which_children();
        let believed: BTreeSet<Pid> = rows
            .iter()
            .filter_map(|row| match row.state {
                ChildState::Running(pid) => Some(pid),
                ChildState::Restarting | ChildState::Undefined => None,
            })
            .collect();
        let unheard: BTreeSet<Pid> = self.unheard.iter().map(|(pid, _)| *pid).collect();
        let lives: BTreeSet<Pid> = self.world.alive.keys().copied().collect();
        assert!(lives.is_subset(&believed), "a process that nobody supervises");
        let dead: BTreeSet<Pid> = believed.difference(&lives).copied().collect();
        assert!(dead.is_subset(&unheard), "a dead child believed to run");

        for row in &rows {
            let id = row.id.as_deref().expect("static children have ids");
            let spec = self.world.children.spec(id).expect("listed");
            let temporary = spec.terms.restart == Restart::Temporary;
            assert!(!temporary || matches!(row.state, ChildState::Running(_)), "{id} is kept");
            assert!(!temporary || row.restarts == 0, "temporary {id} was restarted");
            let retried = self.world.retries.iter().any(|token| &**token.id() == id);
            assert!(row.state != ChildState::Restarting || retried, "{id} waits for ever");
        }
        let counts = self.world.children.count_children(|_| true);
        assert_eq!((counts.specs, counts.active), (rows.len(), believed.len()));
    }

    fn ids(&self) -> Vec<String> {
        let rows = self.world.children.which_children();
        rows.iter().rev().filter_map(|row| row.id.as_deref().map(str::to_owned)).collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn promises_hold_in_random_stories(
        policy in policies(),
        kinds in vec(0_usize..3, 0..5),
        answers in answers(),
        events in vec(event(), 0..60),
    ) {
        let marks = match policy.auto_shutdown {
            AutoShutdown::Never => KINDS,
            AutoShutdown::AnySignificant | AutoShutdown::AllSignificant => SIGNIFICANT,
        };
        let specs: Vec<String> =
            kinds.iter().zip(IDS).map(|(&kind, id)| format!("{id}{}", marks[kind])).collect();
        let mut world = World::unbooted(policy, &specs.join(" "));
        world.starts = answers.into();
        let mut run = Run { world, policy, unheard: vec![], restarts: vec![] };
        let ids = run.ids();
        run.world.boot();
        run.check(&Event::Later(0), &ids);
        for event in &events {
            if run.world.ended.is_some() {
                break;
            }
            let ids = run.ids();
            run.play(event);
            run.check(event, &ids);
        }
        if run.world.ended.is_none() {
            let ids = run.ids();
            run.world.shut_down();
            run.check(&Event::Later(0), &ids);
            prop_assert_eq!(run.world.ended, Some(ExitCause::Asked));
        }
    }
}
