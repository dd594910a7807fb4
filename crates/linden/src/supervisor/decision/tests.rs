//! Tests of a supervisor's decisions: each rule of `supervisor.erl` as a short story, then random stories.

mod properties;
mod requests;
mod world;

use super::*;
use crate::supervisor::intensity::Intensity;
use world::{LENIENT, World, policy, spec};

use ExitKind::{Abnormal, Killed, Normal, ShutdownWith};
use Strategy::{OneForAll, OneForOne, RestForOne};

const EVERY_EXIT: [ExitKind; 5] = [Normal, ExitKind::Shutdown, ShutdownWith, Killed, Abnormal];

fn strict(restarts_max: u32) -> Policy {
    let period = Duration::from_secs(5);
    Policy { intensity: Intensity { restarts_max, period }, ..Policy::default() }
}

fn auto(auto_shutdown: AutoShutdown) -> Policy {
    Policy { auto_shutdown, ..policy(OneForOne) }
}

/// Boots a, b, c, lets b end with `how`, and compares what the supervisor did.
#[track_caller]
fn check(strategy: Strategy, specs: &str, how: ExitKind, did: &str, table: &str) {
    let mut world = World::new(policy(strategy), specs);
    world.exits("b", how);
    assert_eq!(world.happened(), did);
    assert_eq!(world.table(), table);
}

// --- boot

#[test]
fn children_start_in_order() {
    let mut world = World::unbooted(policy(OneForOne), "a b c");
    world.boot();
    assert_eq!(world.happened(), "start a, start b, start c");
    assert_eq!(world.table(), "a=1 b=2 c=3");
}

#[test]
fn supervisor_without_children_boots() {
    let mut world = World::unbooted(policy(OneForOne), "");
    world.boot();
    assert_eq!((world.happened().as_str(), world.ended), ("", None));
}

#[test]
fn failed_first_start_stops_those_before_it_in_reverse_and_fails() {
    let mut world = World::unbooted(policy(OneForOne), "a b c d");
    world.answers("..x").boot();
    assert_eq!(world.happened(), "start a, start b, failed c, give up, stop b, stop a, exit");
    assert_eq!(world.ended, Some(ExitCause::StartFailed { id: "c".into() }));
    assert!(world.alive.is_empty());
}

#[test]
fn ignored_first_start_keeps_the_spec_without_a_process_unless_temporary() {
    let mut world = World::unbooted(policy(OneForOne), "a b- c");
    world.answers("ii.").boot();
    assert_eq!(world.table(), "a. c=1");
}

// --- who is restarted

#[test]
fn permanent_child_is_restarted_after_every_exit() {
    for how in EVERY_EXIT {
        check(OneForOne, "a b c", how, "report b, start b", "a=1 b=4 c=3");
    }
}

#[test]
fn transient_child_is_restarted_after_an_abnormal_exit_only() {
    for how in [Killed, Abnormal] {
        check(OneForOne, "a b? c", how, "report b, start b", "a=1 b=4 c=3");
    }
    for how in [Normal, ExitKind::Shutdown, ShutdownWith] {
        check(OneForOne, "a b? c", how, "", "a=1 b. c=3");
    }
}

#[test]
fn temporary_child_is_forgotten_after_every_exit() {
    for how in EVERY_EXIT {
        let did = if how.is_orderly() { "" } else { "report b" };
        for strategy in [OneForOne, OneForAll, RestForOne] {
            check(strategy, "a b- c", how, did, "a=1 c=3");
        }
    }
}

#[test]
fn one_for_all_stops_the_others_in_reverse_and_starts_all_in_order() {
    let did = "report b, stop d, stop c, stop a, start a, start b, start c, start d";
    check(OneForAll, "a b c d", Abnormal, did, "a=5 b=6 c=7 d=8");
}

#[test]
fn rest_for_one_touches_only_those_behind() {
    let did = "report b, stop d, stop c, start b, start c, start d";
    check(RestForOne, "a b c d", Abnormal, did, "a=1 b=5 c=6 d=7");
}

#[test]
fn temporary_siblings_are_stopped_and_forgotten() {
    let did = "report b, stop d, stop c, stop a, start b, start d";
    check(OneForAll, "a- b c- d", Abnormal, did, "b=5 d=6");
    let did = "report b, stop d, stop c, start b, start d";
    check(RestForOne, "a- b c- d", Abnormal, did, "a=1 b=5 d=6");
}

#[test]
fn siblings_that_had_ended_are_started_too() {
    let mut world = World::new(policy(OneForAll), "a? b c");
    world.exits("a", Normal);
    world.terminate_child("c").unwrap();
    world.happened();
    world.exits("b", Abnormal);
    assert_eq!(world.happened(), "report b, start a, start b, start c");
}

#[test]
fn transient_end_does_not_touch_siblings() {
    check(OneForAll, "a b? c", Normal, "", "a=1 b. c=3");
}

#[test]
fn exit_of_a_stranger_is_ignored() {
    let mut world = World::new(policy(OneForAll), "a b");
    world.hear(99, Abnormal);
    assert_eq!((world.happened().as_str(), world.table().as_str()), ("", "a=1 b=2"));
}

#[test]
fn exit_of_a_child_that_was_stopped_is_not_news() {
    let mut world = World::new(policy(OneForAll), "a b");
    let b = world.pid("b");
    world.exits("a", Abnormal);
    world.happened();
    world.hear(b, ExitKind::Shutdown);
    assert_eq!((world.happened().as_str(), world.table().as_str()), ("", "a=3 b=4"));
}

#[test]
fn ignored_restart_leaves_the_child_without_a_process() {
    let mut world = World::new(policy(OneForOne), "a b");
    world.answers("i").exits("a", Abnormal);
    assert_eq!(world.happened(), "report a, ignored a");
    assert_eq!(world.table(), "a. b=2");
}

#[test]
fn restarts_are_counted_by_child() {
    let mut world = World::new(policy(RestForOne), "a b");
    world.exits("b", Abnormal).exits("a", Abnormal).exits("b", Abnormal);
    let rows = world.children.which_children();
    let counts: Vec<u64> = rows.iter().map(|row| row.restarts).collect();
    assert_eq!(counts, [3, 1], "b, a: the last started comes first");
    let pid = world.pid("b");
    match world.children.child_exited(pid, Abnormal, world.now) {
        Exited::Child(exit) => assert_eq!(exit.restarts, 3),
        Exited::NotAChild => panic!("b is a child"),
    }
}

// --- starts that fail in a restart

#[test]
fn failed_restart_is_tried_again_later() {
    let mut world = World::new(policy(OneForOne), "a b");
    world.answers("xx.").exits("a", Abnormal);
    assert_eq!(world.happened(), "report a, failed a, retry a");
    assert_eq!(world.table(), "a~ b=2");
    world.retry();
    assert_eq!(world.happened(), "failed a, retry a");
    world.retry();
    assert_eq!(world.happened(), "start a");
    assert_eq!(world.table(), "a=3 b=2");
}

#[test]
fn failed_rest_for_one_restart_goes_on_from_the_failed_child() {
    let mut world = World::new(policy(RestForOne), "a b c d");
    world.answers(".x").exits("b", Abnormal);
    assert_eq!(world.happened(), "report b, stop d, stop c, start b, failed c, retry c");
    assert_eq!(world.table(), "a=1 b=5 c~ d.");
    world.retry();
    assert_eq!(world.happened(), "start c, start d");
}

#[test]
fn failed_one_for_all_restart_stops_what_it_had_started() {
    let mut world = World::new(policy(OneForAll), "a b c");
    world.answers(".x").exits("b", Abnormal);
    assert_eq!(world.happened(), "report b, stop c, stop a, start a, failed b, retry b");
    world.retry();
    assert_eq!(world.happened(), "stop a, start a, start b, start c");
}

#[test]
fn try_again_is_void_once_the_child_was_terminated_or_started() {
    let mut world = World::new(policy(OneForOne), "a b");
    world.answers("x").exits("a", Abnormal);
    world.terminate_child("a").unwrap();
    world.happened();
    world.retry();
    assert_eq!((world.happened().as_str(), world.table().as_str()), ("", "a. b=2"));

    let mut world = World::new(policy(OneForAll), "a b");
    world.answers("x").exits("a", Abnormal);
    world.starts.clear();
    world.terminate_child("a").unwrap();
    world.restart_child("a").unwrap();
    world.happened();
    world.retry();
    assert_eq!((world.happened().as_str(), world.table().as_str()), ("", "a=3 b."));
}

#[test]
fn try_again_is_void_for_a_deleted_child() {
    let mut world = World::new(policy(OneForOne), "a");
    world.answers("x").exits("a", Abnormal);
    world.terminate_child("a").unwrap();
    world.children.delete_child("a").unwrap();
    world.happened();
    world.retry();
    assert_eq!(world.happened(), "");
}

// --- intensity

#[test]
fn one_restart_too_many_terminates_all_in_reverse_and_exits() {
    let mut world = World::new(strict(1), "a b c");
    world.exits("b", Abnormal);
    assert_eq!(world.happened(), "report b, start b");
    world.exits("b", Abnormal);
    assert_eq!(world.happened(), "report b, give up, stop c, stop a, exit");
    assert_eq!(world.ended, Some(ExitCause::Intensity { id: "b".into() }));
    assert_eq!(world.children.restarts_in_period(), 2);
    assert!(world.alive.is_empty());
}

#[test]
fn restarts_of_different_children_count_together() {
    let mut world = World::new(strict(1), "a b");
    world.exits("a", Abnormal).exits("b", Abnormal);
    assert_eq!(world.ended, Some(ExitCause::Intensity { id: "b".into() }));
}

#[test]
fn restarts_spread_over_time_do_not_exceed() {
    let mut world = World::new(strict(1), "a");
    for _ in 0..100 {
        world.exits("a", Abnormal);
        world.now += Duration::from_millis(5001);
    }
    assert_eq!(world.ended, None);
}

#[test]
fn tries_after_failed_starts_count_against_the_intensity() {
    let mut world = World::new(strict(2), "a b");
    world.answers("xx").exits("a", Abnormal).retry();
    assert_eq!(world.ended, None);
    world.happened();
    world.retry();
    assert_eq!(world.happened(), "give up, stop b, exit");
}

#[test]
fn orderly_and_temporary_ends_do_not_count() {
    let mut world = World::new(strict(0), "a? b- c");
    world.exits("a", Normal).exits("b", Abnormal);
    assert_eq!(world.table(), "a. c=3");
    assert_eq!(world.ended, None);
}

// --- auto shutdown

#[test]
fn any_significant_end_ends_the_supervisor() {
    for (how, specs) in [(Normal, "a b?* c"), (Normal, "a b-* c"), (Abnormal, "a b-* c")] {
        let mut world = World::new(auto(AutoShutdown::AnySignificant), specs);
        world.exits("b", how);
        let did = world.happened();
        assert!(did.ends_with("give up, stop c, stop a, exit"), "{did}");
        assert_eq!(world.ended, Some(ExitCause::AutoShutdown { id: "b".into() }));
    }
}

#[test]
fn crash_of_a_significant_transient_child_restarts_it() {
    let mut world = World::new(auto(AutoShutdown::AnySignificant), "a b?*");
    world.exits("b", Abnormal);
    assert_eq!(world.happened(), "report b, start b");
}

#[test]
fn insignificant_ends_do_not_end_the_supervisor() {
    let mut world = World::new(auto(AutoShutdown::AnySignificant), "a? b?*");
    world.exits("a", Normal);
    assert_eq!(world.ended, None);
}

#[test]
fn all_significant_waits_for_the_last_one() {
    let mut world = World::new(auto(AutoShutdown::AllSignificant), "a?* b c-*");
    world.exits("a", Normal);
    assert_eq!(world.ended, None);
    world.exits("c", Abnormal);
    assert_eq!(world.ended, Some(ExitCause::AutoShutdown { id: "c".into() }));
}

#[test]
fn significant_child_that_waits_for_another_try_is_active() {
    let mut world = World::new(auto(AutoShutdown::AllSignificant), "a?* b?*");
    world.answers("x").exits("a", Abnormal);
    world.exits("b", Normal);
    assert_eq!(world.ended, None);
}

#[test]
fn terminate_child_never_ends_the_supervisor() {
    let mut world = World::new(auto(AutoShutdown::AnySignificant), "a?*");
    world.terminate_child("a").unwrap();
    assert_eq!(world.ended, None);
}

// --- shutdown

#[test]
fn asked_shutdown_stops_in_reverse() {
    let mut world = World::new(policy(OneForOne), "a b? c-");
    world.exits("b", Normal).shut_down();
    assert_eq!(world.happened(), "stop c, stop a, exit");
    assert_eq!(world.ended, Some(ExitCause::Asked));
}

#[test]
fn stop_verdicts_are_otps() {
    use Restart::{Permanent, Temporary, Transient};
    let brutal = super::Shutdown::Brutal;
    let soft = super::Shutdown::Timeout(Duration::from_secs(1));
    // terms, then the exits that are as asked
    let cases: [(_, _, &[ExitKind]); 5] = [
        (Permanent, brutal, &[Killed]),
        (Transient, brutal, &[Killed, Normal, ExitKind::Shutdown, ShutdownWith]),
        (Permanent, soft, &[ExitKind::Shutdown]),
        (Temporary, soft, &[Normal, ExitKind::Shutdown, ShutdownWith]),
        (Permanent, super::Shutdown::Infinity, &[ExitKind::Shutdown]),
    ];
    for (restart, shutdown, as_asked) in cases {
        let terms = Terms { restart, shutdown, ..Terms::WORKER };
        for how in EVERY_EXIT {
            let asked = terms.judge_stop(how) == StopVerdict::AsAsked;
            assert_eq!(asked, as_asked.contains(&how), "{restart:?} {shutdown:?} {how:?}");
        }
    }
}

// --- specs

#[test]
fn two_children_of_one_id_are_refused() {
    let error = Children::<u32, ()>::new(Policy::default(), vec![spec("a"), spec("a")])
        .expect_err("duplicate");
    assert_eq!(error, SpecError::DuplicateId { id: "a".into() });
    assert_eq!(error.to_string(), "two children have the id `a`; give each its own");
}

#[test]
fn significance_without_sense_is_refused() {
    let refused = |policy, text| match Children::<u32, ()>::new(policy, vec![spec(text)]) {
        Err(error @ SpecError::Terms { cause, .. }) => {
            assert!(error.source().is_some());
            cause
        }
        other => panic!("{other:?}"),
    };
    let any = auto(AutoShutdown::AnySignificant);
    assert_eq!(refused(any, "a*"), TermsError::SignificantPermanent);
    let never = Policy::default();
    assert_eq!(refused(never, "a?*"), TermsError::SignificantWithoutAutoShutdown);
}

#[test]
fn period_of_zero_is_refused() {
    let intensity = Intensity { period: Duration::ZERO, ..LENIENT };
    let policy = Policy { intensity, ..Policy::default() };
    let error = Children::<u32, ()>::new(policy, vec![]).expect_err("zero");
    assert_eq!(error, SpecError::PeriodZero);
}

#[test]
fn defaults_are_otps() {
    let policy = Policy::default();
    assert_eq!(policy.strategy, OneForOne);
    assert_eq!((policy.intensity.restarts_max, policy.intensity.period.as_secs()), (1, 5));
    assert_eq!(Terms::default().shutdown, super::Shutdown::Timeout(Duration::from_secs(5)));
    assert_eq!(Terms::SUPERVISOR.shutdown, super::Shutdown::Infinity);
}
