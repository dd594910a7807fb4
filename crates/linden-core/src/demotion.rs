//! The operating system's view of a worker's thread: how much processor time it has used, and its demotion.
//!
//! A thread that computes without end is given the class `SCHED_IDLE`: it runs while nothing else wants to. That is one-way for
//! programs without privileges, so a demoted thread never becomes a worker again. Elsewhere than on Linux, and where the
//! system refuses, there is no demotion: such a thread keeps competing with the workers for the processors.

use std::time::Duration;

/// The thread that asks, as the operating system counts it; 0 where that is not known.
pub(crate) fn os_thread() -> u32 {
    system::os_thread()
}

/// What a thread has had of the processors, since it began.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct ProcessorTime {
    /// It ran for so long.
    pub(crate) used: Duration,
    /// It could have run for so long, and something else did.
    pub(crate) waited: Duration,
}

/// The processor time of a thread of this OS process; `None` where that is not known.
pub(crate) fn processor_time(thread: u32) -> Option<ProcessorTime> {
    system::processor_time(thread)
}

/// Lets a thread of this OS process run only while nothing else wants to. `false`: it goes on as it was.
#[must_use]
pub(crate) fn demote(thread: u32) -> bool {
    system::demote(thread)
}

#[cfg(target_os = "linux")]
mod system {
    use std::time::Duration;

    use super::ProcessorTime;

    pub(super) fn os_thread() -> u32 {
        rustix::thread::gettid().as_raw_nonzero().get().unsigned_abs()
    }

    pub(super) fn processor_time(thread: u32) -> Option<ProcessorTime> {
        // Two numbers of nanoseconds, and one of something else.
        let text = std::fs::read_to_string(format!("/proc/self/task/{thread}/schedstat")).ok()?;
        let mut numbers = text.split_whitespace().map_while(|number| number.parse().ok());
        let mut time = || numbers.next().map(Duration::from_nanos);
        Some(ProcessorTime { used: time()?, waited: time()? })
    }

    pub(super) fn demote(thread: u32) -> bool {
        let Ok(thread) = libc::pid_t::try_from(thread) else { return false };
        let parameters = libc::sched_param { sched_priority: 0 };
        // SAFETY: the kernel reads the parameters during the call, and checks the thread's number.
        unsafe { libc::sched_setscheduler(thread, libc::SCHED_IDLE, &raw const parameters) == 0 }
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use super::ProcessorTime;

    pub(super) fn os_thread() -> u32 {
        0
    }

    pub(super) fn processor_time(_: u32) -> Option<ProcessorTime> {
        None
    }

    pub(super) fn demote(_: u32) -> bool {
        false
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_computes_uses_time_and_its_demotion_is_seen() {
        let work = || {
            let thread = os_thread();
            let used = || processor_time(thread).expect("Linux tells").used;
            let before = used();
            while used() <= before {
                std::hint::spin_loop();
            }
            assert!(demote(thread));
            let stat = std::fs::read_to_string(format!("/proc/self/task/{thread}/stat"));
            let stat = stat.expect("Linux tells");
            let policy = stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(38));
            assert_eq!(policy, Some("5"), "SCHED_IDLE: {stat}");
        };
        std::thread::spawn(work).join().expect("it does not panic");
    }

    #[test]
    fn a_thread_that_is_not_there_is_not_demoted() {
        assert!(!demote(u32::MAX));
        assert_eq!(processor_time(u32::MAX), None);
    }
}
