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

/// For how long a thread of this OS process has run, since it began; `None` where that is not known.
pub(crate) fn processor_time(thread: u32) -> Option<Duration> {
    system::processor_time(thread)
}

/// Whether a thread of this OS process runs, or would if nothing else did: it does not block.
pub(crate) fn is_runnable(thread: u32) -> bool {
    system::is_runnable(thread)
}

/// Lets a thread of this OS process run only while nothing else wants to. `false`: it goes on as it was.
#[must_use]
pub(crate) fn demote(thread: u32) -> bool {
    system::demote(thread)
}

#[cfg(target_os = "linux")]
mod system {
    use std::time::Duration;

    /// What makes a thread's number the clock of its processor time: the kernel's `CPUCLOCK_PERTHREAD_MASK | CPUCLOCK_SCHED`.
    const CLOCK_OF_THREAD: libc::clockid_t = 0b110;

    pub(super) fn os_thread() -> u32 {
        rustix::thread::gettid().as_raw_nonzero().get().unsigned_abs()
    }

    /// By the clock that `pthread_getcpuclockid` gives. What stands in `/proc` is as old as the kernel's last tick.
    pub(super) fn processor_time(thread: u32) -> Option<Duration> {
        let clock = (!libc::pid_t::try_from(thread).ok()? << 3) | CLOCK_OF_THREAD;
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: the kernel writes the time during the call, and checks the clock.
        let is_known = unsafe { libc::clock_gettime(clock, &raw mut time) == 0 };
        is_known
            .then_some(Duration::new(time.tv_sec.try_into().ok()?, time.tv_nsec.try_into().ok()?))
    }

    pub(super) fn is_runnable(thread: u32) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/self/task/{thread}/stat"));
        // The name in brackets may have any characters.
        stat.is_ok_and(|stat| stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('R')))
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
    use std::time::Duration;

    pub(super) fn os_thread() -> u32 {
        0
    }

    pub(super) fn processor_time(_: u32) -> Option<Duration> {
        None
    }

    pub(super) fn is_runnable(_: u32) -> bool {
        true
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
            let used = || processor_time(thread).expect("Linux tells");
            let before = used();
            while used() <= before {
                std::hint::spin_loop();
            }
            assert!(is_runnable(thread));
            assert!(demote(thread));
            let stat = std::fs::read_to_string(format!("/proc/self/task/{thread}/stat"));
            let stat = stat.expect("Linux tells");
            let policy = stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(38));
            assert_eq!(policy, Some("5"), "SCHED_IDLE: {stat}");
        };
        std::thread::spawn(work).join().expect("it does not panic");
    }

    #[test]
    fn a_thread_that_blocks_uses_no_time_and_is_not_runnable() {
        let (tell, told) = std::sync::mpsc::channel();
        let (end, ended) = std::sync::mpsc::channel::<()>();
        let blocks = std::thread::spawn(move || {
            tell.send(os_thread()).expect("somebody hears");
            let _ = ended.recv();
        });
        let thread = told.recv().expect("it tells");
        while is_runnable(thread) {
            std::thread::yield_now();
        }
        let before = processor_time(thread).expect("Linux tells");
        assert!(!is_runnable(thread));
        assert_eq!(processor_time(thread), Some(before));
        drop(end);
        blocks.join().expect("it does not panic");
    }

    #[test]
    fn a_thread_that_is_not_there_is_not_demoted() {
        assert!(!demote(u32::MAX));
        assert_eq!(processor_time(u32::MAX), None);
        assert!(!is_runnable(u32::MAX));
    }
}
