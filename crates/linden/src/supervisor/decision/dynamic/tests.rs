//! Tests of dynamic supervisors: each rule as a short story, then random stories.

use proptest::collection::vec;
use proptest::prelude::*;

use super::super::TermsError;
use super::*;
use ExitKind::{Abnormal, Killed, Normal, ShutdownWith};

type Dynamic = DynamicChildren<u32, &'static str>;

const NOW: Duration = Duration::from_secs(1000);

fn lenient() -> Intensity {
    Intensity { restarts_max: u32::MAX, period: Duration::from_secs(5) }
}

fn dynamic(restart: Restart) -> Dynamic {
    let terms = Terms { restart, ..Terms::WORKER };
    let mut children =
        Dynamic::new(terms, lenient(), AutoShutdown::Never).expect("the terms are right");
    children.started(1, "one");
    children.started(2, "two");
    children
}

/// Lets the child end and answers the restart, if there is one.
fn exits(
    children: &mut Dynamic,
    pid: u32,
    how: ExitKind,
    answer: Started<u32>,
) -> DynamicDone<u32> {
    match children.child_exited(pid, how, NOW) {
        DynamicExited::NotAChild => panic!("{pid} is no child"),
        DynamicExited::Child(exit) => finish(exit.next, answer),
    }
}

fn finish(next: DynamicNext<'_, u32, &'static str>, answer: Started<u32>) -> DynamicDone<u32> {
    match next {
        DynamicNext::Restart(restart) => restart.done(answer),
        DynamicNext::Done(done) => done,
    }
}

/// `1 2 ~`: the running pids, then a `~` for each that waits for another try.
fn table(children: &Dynamic) -> String {
    let mut rows: Vec<String> = children
        .which_children()
        .map(|row| match row.state {
            ChildState::Running(pid) => pid.to_string(),
            _ => "~".to_owned(),
        })
        .collect();
    rows.sort();
    rows.join(" ")
}

#[test]
fn crashed_child_is_restarted_with_its_own_arguments() {
    let mut children = dynamic(Restart::Permanent);
    match children.child_exited(2, Abnormal, NOW) {
        DynamicExited::Child(DynamicExit {
            report, next: DynamicNext::Restart(restart), ..
        }) => {
            assert_eq!((report, *restart.args()), (Report::Write, "two"));
            assert_eq!(restart.done(Started::Running(3)), DynamicDone::Settled);
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(table(&children), "1 3");
}

#[test]
fn restart_type_decides_as_in_a_static_supervisor() {
    for (restart, how, restarted) in [
        (Restart::Permanent, Normal, true),
        (Restart::Permanent, Abnormal, true),
        (Restart::Transient, Normal, false),
        (Restart::Transient, ShutdownWith, false),
        (Restart::Transient, Killed, true),
        (Restart::Temporary, Normal, false),
        (Restart::Temporary, Abnormal, false),
    ] {
        let mut children = dynamic(restart);
        let done = exits(&mut children, 2, how, Started::Running(3));
        assert_eq!(done, DynamicDone::Settled);
        let expected = if restarted { "1 3" } else { "1" };
        assert_eq!(table(&children), expected, "{restart:?} {how:?}");
    }
}

#[test]
fn orderly_end_is_not_reported() {
    let mut children = dynamic(Restart::Temporary);
    for (pid, how, report) in [(1, Normal, Report::Omit), (2, Abnormal, Report::Write)] {
        match children.child_exited(pid, how, NOW) {
            DynamicExited::Child(exit) => assert_eq!(exit.report, report),
            DynamicExited::NotAChild => panic!("{pid} is a child"),
        }
    }
}

#[test]
fn exit_of_a_stranger_is_ignored() {
    let mut children = dynamic(Restart::Permanent);
    assert!(matches!(children.child_exited(9, Abnormal, NOW), DynamicExited::NotAChild));
}

#[test]
fn failed_restart_is_tried_again_with_the_same_arguments() {
    let mut children = dynamic(Restart::Permanent);
    let DynamicDone::TryAgain(token) = exits(&mut children, 2, Abnormal, Started::Failed) else {
        panic!("another try is wanted")
    };
    assert_eq!(table(&children), "1 ~");
    match children.try_again(token, NOW) {
        DynamicNext::Restart(restart) => {
            assert_eq!(*restart.args(), "two");
            assert_eq!(restart.done(Started::Running(3)), DynamicDone::Settled);
        }
        DynamicNext::Done(done) => panic!("{done:?}"),
    }
    assert_eq!(table(&children), "1 3");
}

#[test]
fn try_again_is_void_once_the_child_was_terminated() {
    let mut children = dynamic(Restart::Permanent);
    let DynamicDone::TryAgain(token) = exits(&mut children, 2, Abnormal, Started::Failed) else {
        panic!("another try is wanted")
    };
    let answer = children.terminate_child(2, |_| panic!("it is a child, nobody need ask"));
    assert!(matches!(answer, DynamicTerminate::Done));
    assert_eq!(finish(children.try_again(token, NOW), Started::Running(3)), DynamicDone::Settled);
    assert_eq!(table(&children), "1");
    assert_eq!(children.count_children().active, 1);
}

#[test]
fn ignored_restart_forgets_the_child() {
    let mut children = dynamic(Restart::Permanent);
    assert_eq!(exits(&mut children, 2, Abnormal, Started::Ignored), DynamicDone::Settled);
    assert_eq!(table(&children), "1");
}

#[test]
fn one_restart_too_many_gives_up_and_drains_the_rest() {
    let mut children =
        Dynamic::new(Terms::WORKER, Intensity::default(), AutoShutdown::Never).unwrap();
    children.started(1, "one");
    children.started(2, "two");
    assert_eq!(exits(&mut children, 1, Abnormal, Started::Running(3)), DynamicDone::Settled);
    assert_eq!(exits(&mut children, 3, Abnormal, Started::Running(4)), DynamicDone::GiveUp);
    assert_eq!(children.restarts_in_period(), 2);
    let drain = children.shut_down();
    assert_eq!(drain.waiting().collect::<Vec<_>>(), [2]);
}

#[test]
fn tries_after_failed_starts_count_against_the_intensity() {
    let mut children =
        Dynamic::new(Terms::WORKER, Intensity::default(), AutoShutdown::Never).unwrap();
    children.started(1, "one");
    let DynamicDone::TryAgain(token) = exits(&mut children, 1, Abnormal, Started::Failed) else {
        panic!("another try is wanted")
    };
    let next = children.try_again(token, NOW);
    assert!(matches!(next, DynamicNext::Done(DynamicDone::GiveUp)));
}

#[test]
fn terminate_child_answers_as_otp() {
    let mut children = dynamic(Restart::Permanent);
    let no = |_| panic!("it is a child, nobody need ask");
    assert!(matches!(children.terminate_child(2, no), DynamicTerminate::Stop(2)));
    assert!(matches!(children.child_exited(2, Normal, NOW), DynamicExited::NotAChild));
    let dead = children.terminate_child(2, |_| Liveness::Gone);
    assert!(matches!(dead, DynamicTerminate::Done));
    let stranger = children.terminate_child(9, |_| Liveness::Alive);
    assert!(matches!(stranger, DynamicTerminate::NotFound));
}

#[test]
fn significant_children_end_the_supervisor() {
    let terms = Terms { restart: Restart::Transient, significant: true, ..Terms::WORKER };
    let supervisor = |auto| {
        let mut children = Dynamic::new(terms, lenient(), auto).expect("transient may be");
        children.started(1, "one");
        children.started(2, "two");
        children.started(3, "three");
        children
    };
    let mut any = supervisor(AutoShutdown::AnySignificant);
    assert_eq!(exits(&mut any, 2, Abnormal, Started::Running(4)), DynamicDone::Settled);
    assert_eq!(exits(&mut any, 4, Normal, Started::Failed), DynamicDone::AutoShutdown);

    let mut all = supervisor(AutoShutdown::AllSignificant);
    let DynamicDone::TryAgain(token) = exits(&mut all, 1, Abnormal, Started::Failed) else {
        panic!("another try is wanted")
    };
    assert_eq!(exits(&mut all, 2, Normal, Started::Failed), DynamicDone::Settled);
    assert_eq!(exits(&mut all, 3, Normal, Started::Failed), DynamicDone::Settled);
    let done = finish(all.try_again(token, NOW), Started::Running(5));
    assert_eq!(done, DynamicDone::Settled, "the one that waited was active");
    assert_eq!(exits(&mut all, 5, Normal, Started::Failed), DynamicDone::AutoShutdown);
}

#[test]
fn senseless_terms_are_refused() {
    let terms = Terms { significant: true, ..Terms::WORKER };
    let refused = |auto| match Dynamic::new(terms, lenient(), auto) {
        Err(SpecError::Terms { cause, .. }) => cause,
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(AutoShutdown::Never), TermsError::SignificantWithoutAutoShutdown);
    assert_eq!(refused(AutoShutdown::AllSignificant), TermsError::SignificantPermanent);
    let zero = Intensity { period: Duration::ZERO, ..lenient() };
    let error = Dynamic::new(Terms::WORKER, zero, AutoShutdown::Never).expect_err("zero");
    assert_eq!(error, SpecError::PeriodZero);
}

#[test]
fn count_children_counts_as_otp() {
    let mut children = dynamic(Restart::Permanent);
    let _ = exits(&mut children, 1, Abnormal, Started::Failed);
    let counts = ChildCounts { specs: 1, active: 1, supervisors: 0, workers: 2 };
    assert_eq!(children.count_children(), counts);
    let nested = Dynamic::new(Terms::SUPERVISOR, lenient(), AutoShutdown::Never).unwrap();
    let mut nested = nested;
    nested.started(1, "one");
    let counts = ChildCounts { specs: 1, active: 1, supervisors: 1, workers: 0 };
    assert_eq!(nested.count_children(), counts);
}

#[test]
fn draining_waits_for_each_child_once() {
    let mut drain = dynamic(Restart::Permanent).shut_down();
    assert_eq!(drain.waiting().len(), 2);
    assert_eq!(drain.gone(9, Normal), None);
    assert_eq!(drain.gone(1, ExitKind::Shutdown), Some(StopVerdict::AsAsked));
    assert_eq!(drain.gone(1, ExitKind::Shutdown), None);
    assert!(!drain.is_done());
    assert_eq!(drain.gone(2, Killed), Some(StopVerdict::Otherwise));
    assert!(drain.is_done());
}

#[test]
fn memory_is_given_back_when_most_children_have_ended() {
    let terms = Terms { restart: Restart::Temporary, ..Terms::WORKER };
    for terms in [terms, Terms { restart: Restart::Transient, ..terms }] {
        let mut children = Dynamic::new(terms, lenient(), AutoShutdown::Never).unwrap();
        for pid in 0..100_000 {
            children.started(pid, "x");
        }
        for pid in 10..100_000 {
            let _ = children.child_exited(pid, Normal, NOW);
        }
        let room = match &children.running {
            Running::WithArgs(children) => children.room(),
            Running::Bare(children) => children.room(),
        };
        assert!(room <= 64, "room for {room}");
        assert_eq!(children.count_children().active, 10);
    }
}

#[test]
fn arguments_of_temporary_children_are_not_kept() {
    let args = Arc::new(());
    let terms = Terms { restart: Restart::Temporary, ..Terms::WORKER };
    let mut children = DynamicChildren::new(terms, lenient(), AutoShutdown::Never).unwrap();
    children.started(1_u32, Arc::clone(&args));
    assert_eq!(Arc::strong_count(&args), 1);
}

proptest! {
    /// Whatever happens, the books agree with a plain list of what was started and ended.
    #[test]
    fn books_agree_with_the_world(
        restart in prop_oneof![
            Just(Restart::Permanent), Just(Restart::Transient), Just(Restart::Temporary)
        ],
        // what happens, to which child, what the start answers
        story in vec((0_u8..5, 0_usize..8, 0_u8..4), 0..80),
    ) {
        let terms = Terms { restart, ..Terms::WORKER };
        let mut children = DynamicChildren::new(terms, lenient(), AutoShutdown::Never).unwrap();
        let mut alive: Vec<u32> = vec![];
        let mut tokens = vec![];
        let mut next_pid = 0;
        for (what, which, answer) in story {
            next_pid += 1;
            let started = match answer {
                0 => Started::Failed,
                1 => Started::Ignored,
                _ => Started::Running(next_pid),
            };
            let next = match what {
                0 => {
                    children.started(next_pid, ());
                    alive.push(next_pid);
                    continue;
                }
                1 if !tokens.is_empty() => children.try_again(tokens.remove(0), NOW),
                2 if which < alive.len() => {
                    let pid = alive.remove(which);
                    let stops = children.terminate_child(pid, |_| Liveness::Gone);
                    prop_assert!(matches!(stops, DynamicTerminate::Stop(p) if p == pid));
                    continue;
                }
                _ if which < alive.len() => {
                    let pid = alive.remove(which);
                    let how = if what == 3 { Normal } else { Abnormal };
                    match children.child_exited(pid, how, NOW) {
                        DynamicExited::Child(exit) => exit.next,
                        DynamicExited::NotAChild => panic!("{pid} is a child"),
                    }
                }
                _ => continue,
            };
            match next {
                DynamicNext::Restart(one) => {
                    prop_assert!(restart != Restart::Temporary);
                    if let Started::Running(pid) = started {
                        alive.push(pid);
                    }
                    if let DynamicDone::TryAgain(token) = one.done(started) {
                        tokens.push(token);
                    }
                }
                DynamicNext::Done(done) => prop_assert_eq!(done, DynamicDone::Settled),
            }
            let counts = children.count_children();
            prop_assert_eq!(counts.active, alive.len());
            prop_assert_eq!(counts.workers, alive.len() + tokens.len());
        }
        let mut waiting: Vec<u32> = children.shut_down().waiting().collect();
        waiting.sort_unstable();
        alive.sort_unstable();
        prop_assert_eq!(waiting, alive);
    }
}
