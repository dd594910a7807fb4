//! The ruler: sizes that are the same for every system, rounds that last long enough, a latch that
//! ends a round, and the memory of this OS process.
//!
//! Used inside children, from whichever thread or process of the measured system drives the
//! scenario. Absent on purpose: anything that depends on a system.

use std::fs;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

use crate::outcome::Metric;
pub(crate) use crate::rss::rss_bytes;
use crate::stats;

/// Round trips in a round of `call`.
pub(crate) const CALLS_A_ROUND: u64 = 5_000;
/// Messages in a round of `cast` and `fanin`: what the receiver's mailbox can hold at most.
pub(crate) const MESSAGES_A_ROUND: u64 = 100_000;
/// Senders of `fanin`.
pub(crate) const SENDERS: u64 = 100;
/// Pairs of `pairs`.
pub(crate) const PAIRS: u64 = 1_000;
/// Round trips that every pair makes in a round.
pub(crate) const LAPS_A_ROUND: u64 = 100;
/// Processes of `ring`.
pub(crate) const RING: u64 = 1_000;
/// Hops of the token in a round.
pub(crate) const HOPS_A_ROUND: u64 = 100_000;
/// Processes alive at once, at most, in `spawn`.
pub(crate) const SPAWNS_A_ROUND: u64 = 10_000;
/// Crashes after which `restart` takes a new supervisor, so that a supervisor that remembers each
/// restart of the last second is not measured with a history that no real program has.
pub(crate) const CRASHES_A_SUPERVISOR: u64 = 100;

/// Timers that are armed while `timers` is measured.
pub(crate) const TIMERS_ARMED: u64 = 1_000_000;
/// Timers of a round of `timers`.
pub(crate) const TIMERS_A_ROUND: u64 = 10_000;
/// When the timers of `timers` would fire: not while anything is measured.
pub(crate) const TIMER_DELAY: Duration = Duration::from_secs(3600);
/// Servers that wait for messages in `idle_cpu`.
pub(crate) const WAITING: u64 = 1_000;
/// From one tick of `runaway` to the next.
pub(crate) const TICK: Duration = Duration::from_millis(1);
/// Ticks of `runaway` before others begin to run beside; they do not count.
pub(crate) const TICKS_ALONE: u64 = 500;
/// How long a process of `repeat4` computes.
pub(crate) const REPEATED_WORK: Duration = Duration::from_millis(50);

/// What a child is told about the size of its task.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Params {
    /// Worker threads of the system (one in the variant `one_core`).
    pub(crate) workers: usize,
    /// For how long rounds are measured.
    pub(crate) measure: Duration,
    /// Servers of `idle`.
    pub(crate) idle_processes: u64,
    /// Crashes of `restart`.
    pub(crate) crashes: u64,
    /// Ticks of `runaway`.
    pub(crate) ticks: u64,
    /// For how long `idle_cpu` looks.
    pub(crate) idle: Duration,
    /// By how much fewer servers `scale` has.
    pub(crate) scale_divisor: u64,
}

impl Params {
    /// The sizes of an ordinary run, or those of a quick look.
    pub(crate) fn new(workers: usize, quick: bool) -> Params {
        if quick {
            Params {
                workers,
                measure: Duration::from_millis(200),
                idle_processes: 100_000,
                crashes: 500,
                ticks: 1_000,
                idle: Duration::from_secs(1),
                scale_divisor: 100,
            }
        } else {
            Params {
                workers,
                measure: Duration::from_secs(1),
                idle_processes: 1_000_000,
                crashes: 5_000,
                ticks: 10_000,
                idle: Duration::from_secs(10),
                scale_divisor: 1,
            }
        }
    }
}

/// Repeats rounds of a fixed size until they have lasted long enough; the first rounds (a fifth of
/// the time, at least one round) warm up and do not count.
#[derive(Debug)]
pub(crate) struct Rounds {
    warm_up: Option<Duration>,
    measure: Duration,
    operations: u64,
    elapsed: Duration,
}

impl Rounds {
    pub(crate) fn new(measure: Duration) -> Rounds {
        Rounds { warm_up: Some(measure / 5), measure, operations: 0, elapsed: Duration::ZERO }
    }

    /// Whether one more round is wanted.
    pub(crate) fn go_on(&self) -> bool {
        self.elapsed < self.measure
    }

    /// Takes the result of one round.
    pub(crate) fn record(&mut self, operations: u64, elapsed: Duration) {
        match self.warm_up {
            Some(left) => self.warm_up = left.checked_sub(elapsed).filter(|left| !left.is_zero()),
            None => {
                self.operations += operations;
                self.elapsed += elapsed;
            }
        }
    }

    pub(crate) fn nanoseconds_each(&self) -> f64 {
        self.elapsed.as_nanos() as f64 / self.operations as f64
    }

    pub(crate) fn per_second(&self) -> f64 {
        self.operations as f64 / self.elapsed.as_secs_f64()
    }
}

/// Tells the driver of a scenario that all parts of a round are done.
///
/// `left` is set by the driver before the round starts and decremented by the parts; the last one
/// wakes the driver. `AcqRel`, so that the driver sees what the parts did.
#[derive(Debug, Default)]
pub(crate) struct Latch {
    left: AtomicU64,
    done: Notify,
}

impl Latch {
    /// Expects `parts` calls of [`Latch::count_down`]; one round at a time.
    pub(crate) fn arm(&self, parts: u64) {
        self.left.store(parts, Ordering::Release);
    }

    pub(crate) fn count_down(&self) {
        if self.left.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.done.notify_one();
        }
    }

    /// Returns once the last part was counted; the permit of `notify_one` waits for a late driver.
    pub(crate) async fn wait(&self) {
        self.done.notified().await;
    }
}

/// What this OS process has used of the processors.
pub(crate) fn processor_time() -> Duration {
    let stat = fs::read_to_string("/proc/self/stat").expect("/proc is mounted");
    Duration::from_millis(10 * ticks_of_stat(&stat).expect("the kernel reports times"))
}

/// User and system time, in ticks of the kernel's clock: 100 a second wherever Linux runs.
fn ticks_of_stat(stat: &str) -> Option<u64> {
    // The name stands in parentheses and may contain anything.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let (user, system): (u64, u64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some(user + system)
}

/// The figure of `idle_cpu`.
pub(crate) fn idle_cpu_metrics(before: Duration, after: Duration, idle: Duration) -> Vec<Metric> {
    vec![Metric::core_share(100.0 * (after - before).as_secs_f64() / idle.as_secs_f64())]
}

/// The figure of `idle`, from the memory before and after.
pub(crate) fn idle_metrics(before: u64, after: u64, processes: u64) -> Vec<Metric> {
    vec![Metric::rss_per_process(after.saturating_sub(before) as f64 / processes as f64)]
}

/// The figures of `restart`, from one time per crash.
pub(crate) fn restart_metrics(times: &[Duration]) -> Vec<Metric> {
    let microseconds = microseconds(times);
    vec![Metric::p50(percentile(&microseconds, 50.0)), Metric::p99(percentile(&microseconds, 99.0))]
}

/// The figures of `runaway`, from one time per tick.
pub(crate) fn runaway_metrics(times: &[Duration]) -> Vec<Metric> {
    let microseconds = microseconds(times);
    let of = |percent| percentile(&microseconds, percent);
    vec![Metric::p50(of(50.0)), Metric::p99(of(99.0)), Metric::max(of(100.0))]
}

fn microseconds(times: &[Duration]) -> Vec<f64> {
    times.iter().map(|time| time.as_nanos() as f64 / 1e3).collect()
}

fn percentile(microseconds: &[f64], percent: f64) -> f64 {
    stats::percentile(microseconds, percent).expect("at least one time was measured")
}

/// The figures of `http`, from one time per answer that came within `measure`.
pub(crate) fn http_metrics(times: &[Duration], measure: Duration) -> Vec<Metric> {
    let p99 = percentile(&microseconds(times), 99.0);
    vec![Metric::requests(times.len() as f64 / measure.as_secs_f64()), Metric::p99(p99)]
}

/// What a server of `restart` panics with.
pub(crate) const CRASH: &str = "told to crash";

/// The panic hook of every Rust system stays silent about the crashes that `restart` asks for.
pub(crate) fn silence_crashes() {
    let loud = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if panic.payload_as_str() != Some(CRASH) {
            loud(panic);
        }
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn warm_up_rounds_do_not_count() {
        let mut rounds = Rounds::new(10 * MS);
        rounds.record(1, MS);
        assert!(rounds.go_on());
        rounds.record(1, MS);
        assert_eq!(rounds.operations, 0);
        rounds.record(4_000, 4 * MS);
        assert!(rounds.go_on());
        rounds.record(4_000, 12 * MS);
        assert!(!rounds.go_on());
        assert_eq!(rounds.nanoseconds_each(), 2_000.0);
        assert_eq!(rounds.per_second(), 500_000.0);
    }

    #[test]
    fn a_first_round_longer_than_everything_still_only_warms_up() {
        let mut rounds = Rounds::new(10 * MS);
        rounds.record(1, 1_000 * MS);
        assert!(rounds.go_on());
        assert_eq!(rounds.operations, 0);
    }

    #[test]
    fn processor_time_is_read_behind_a_name_with_a_parenthesis() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194304 1 2 3 4 25 17 0 0 20 0 3 0 99 1 2";
        assert_eq!(ticks_of_stat(stat), Some(42));
        assert_eq!(ticks_of_stat(""), None);
    }

    #[test]
    fn a_latch_opens_at_the_last_part() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let latch = Latch::default();
        latch.arm(2);
        latch.count_down();
        latch.count_down();
        runtime.block_on(latch.wait());
    }
}
