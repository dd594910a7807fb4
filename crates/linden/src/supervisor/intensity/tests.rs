//! Tests of the restart intensity: tables, and a property against OTP's own list algorithm.

use super::*;
use proptest::prelude::*;

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Records restarts at these times and compares the verdicts: `true` means go.
#[track_caller]
fn check(restarts_max: u32, period: Duration, expected: &[(u64, bool)]) {
    let mut history = RestartHistory::new(Intensity { restarts_max, period });
    for &(at, goes) in expected {
        let verdict = if goes { Verdict::Go } else { Verdict::Exceeded };
        assert_eq!(history.record(ms(at)), verdict, "at {at} ms");
    }
}

#[test]
fn default_is_one_restart_in_five_seconds() {
    let intensity = Intensity::default();
    assert_eq!((intensity.restarts_max, intensity.period), (1, Duration::from_secs(5)));
}

#[test]
fn one_restart_more_than_allowed_exceeds() {
    check(3, ms(5000), &[(0, true), (1, true), (2, true), (3, false)]);
}

#[test]
fn zero_allowed_restarts_exceed_at_the_first() {
    check(0, ms(5000), &[(7, false), (90_000, false)]);
}

#[test]
fn restart_exactly_one_period_old_still_counts() {
    check(1, ms(5000), &[(0, true), (5000, false)]);
    check(1, ms(5000), &[(0, true), (5001, true)]);
}

#[test]
fn old_restarts_leave_the_window_one_by_one() {
    check(2, ms(100), &[(0, true), (60, true), (101, true), (161, true), (190, false)]);
}

#[test]
fn exceeding_stays_exceeding_until_the_window_passes() {
    check(1, ms(100), &[(0, true), (10, false), (20, false), (121, true)]);
}

#[test]
fn time_that_runs_backwards_is_taken_as_the_last_time() {
    check(1, ms(100), &[(1000, true), (0, false)]);
}

#[test]
fn longest_period_and_largest_limit_do_not_overflow() {
    let mut history =
        RestartHistory::new(Intensity { restarts_max: u32::MAX, period: Duration::MAX });
    assert_eq!(history.record(Duration::ZERO), Verdict::Go);
    assert_eq!(history.record(Duration::MAX), Verdict::Go);
    assert_eq!(history.restarts_in_period(), 2);
}

#[test]
fn memory_is_bounded_by_the_limit() {
    let mut history = RestartHistory::new(Intensity { restarts_max: 3, period: Duration::MAX });
    for at in 0..10_000 {
        let _ = history.record(ms(at));
    }
    assert_eq!(history.recent.len(), 4);
    assert_eq!(history.restarts_in_period(), 4);
    assert!(history.recent.capacity() <= 16);
}

/// OTP's `add_restart/3`: newest first, `takewhile` over the threshold, then the length decides.
fn otp(restarts: &mut Vec<i64>, now: i64, period: i64, max: usize) -> Verdict {
    let mut kept = vec![now];
    kept.extend(restarts.iter().copied().take_while(|&r| r >= now - period));
    *restarts = kept;
    if restarts.len() <= max { Verdict::Go } else { Verdict::Exceeded }
}

proptest! {
    #[test]
    fn verdicts_equal_otps_list_algorithm(
        max in 0_u32..5,
        period in 1_u32..20,
        gaps in proptest::collection::vec(0_u32..12, 0..60),
    ) {
        let mut history = RestartHistory::new(Intensity {
            restarts_max: max,
            period: ms(u64::from(period)),
        });
        let mut list = Vec::new();
        let mut now = 0_u32;
        for gap in gaps {
            now += gap;
            let expected = otp(&mut list, now.into(), period.into(), max as usize);
            prop_assert_eq!(history.record(ms(now.into())), expected);
        }
    }
}
