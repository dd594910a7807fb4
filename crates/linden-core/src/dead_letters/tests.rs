//! The bounded memory and the pace, without a node.

use super::*;
use crate::id::{LocalPid, NodeId};

fn target(name: usize) -> DeadLetterTarget {
    DeadLetterTarget::Name(name.to_string().into())
}

fn letter(target: DeadLetterTarget) -> DeadLetter {
    DeadLetter {
        reason: DeadLetterReason::NoProcess,
        target,
        message: "u64".into(),
        found_by: None,
        trace: None,
        at: SystemTime::UNIX_EPOCH,
    }
}

#[test]
fn the_newest_letters_are_kept_and_all_are_counted() {
    let mut kept = Kept::default();
    for name in 0..DEAD_LETTERS_KEPT_MAX + 7 {
        kept.record(&letter(target(name)), 0);
    }
    kept.record(&letter(target(3)), 0);
    let report = kept.report();
    assert_eq!(report.newest.len(), DEAD_LETTERS_KEPT_MAX);
    assert_eq!(report.newest[0].target, target(8));
    assert_eq!(report.targets.len(), DEAD_LETTERS_KEPT_MAX + 7);
    assert_eq!((&report.targets[0].0, report.targets[0].1.total()), (&target(3), 2));
}

// proves: DEAD-03
#[test]
fn targets_that_lost_least_become_others_and_nothing_is_lost_of_the_sum() {
    let mut kept = Kept::default();
    let total = 3 * DEAD_LETTER_TARGETS_MAX;
    for name in 0..total {
        // One that always loses stays.
        kept.count(target(0), DeadLetterReason::Unread, 1);
        kept.count(target(name), DeadLetterReason::NoProcess, 1);
    }
    let report = kept.report();
    assert!(report.targets.len() <= DEAD_LETTER_TARGETS_MAX);
    assert_eq!(report.targets[0].0, target(0));
    assert_eq!(report.targets[0].1.of(DeadLetterReason::Unread), total as u64);
    let mut sum = report.others;
    report.targets.iter().for_each(|(_, counts)| sum.absorb(counts));
    assert_eq!(sum.of(DeadLetterReason::NoProcess), total as u64);
    assert_eq!(sum.of(DeadLetterReason::LateReply), 0);
}

#[test]
fn equal_targets_are_halved() {
    let mut kept = Kept::default();
    (0..=DEAD_LETTER_TARGETS_MAX)
        .for_each(|name| kept.count(target(name), DeadLetterReason::NoProcess, 1));
    assert_eq!(kept.targets.len(), DEAD_LETTER_TARGETS_MAX / 2 + 1);
    assert_eq!(kept.others.total(), (DEAD_LETTER_TARGETS_MAX / 2) as u64);
}

// proves: DEAD-04
#[test]
fn a_storm_is_told_in_part_with_the_number_of_the_rest() {
    let mut pace = Pace::default();
    let told = |pace: &mut Pace, now: u64, count: u64| {
        (0..count).filter_map(|_| pace.admit(now)).collect::<Vec<_>>()
    };
    assert_eq!(told(&mut pace, 0, 1_000), [0; TOLD_BURST as usize]);
    assert_eq!(told(&mut pace, TOLD_EVERY_MS - 1, 1), []);
    assert_eq!(told(&mut pace, TOLD_EVERY_MS, 5), [991]);
    assert_eq!(told(&mut pace, 3 * TOLD_EVERY_MS, 5), [4, 0]);
    // A long silence earns no more than the burst.
    assert_eq!(told(&mut pace, 1_000 * TOLD_EVERY_MS, 100).len(), TOLD_BURST as usize);
}

#[test]
fn reasons_and_targets_have_names() {
    assert_eq!(
        DeadLetterReason::ALL.map(|reason| reason.to_string()),
        ["no_process", "unread", "late_reply", "mailbox_full"]
    );
    for (place, reason) in DeadLetterReason::ALL.into_iter().enumerate() {
        assert_eq!(reason as usize, place);
    }
    let pid = Pid::new(NodeId::new("a@b", 1), LocalPid { index: 3, generation: 1 });
    let targets = [DeadLetterTarget::Process(pid), target(7), DeadLetterTarget::Caller];
    assert_eq!(
        targets.map(|target| target.to_string()),
        [pid.to_string(), "7".to_owned(), "the caller".to_owned()]
    );
}
