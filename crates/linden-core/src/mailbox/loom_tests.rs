//! loom explores the mailbox word: no lost link, no lost wake-up, contents visible, one scheduler per change.

use std::ptr;

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;

use super::{Idle, Link, LinkKind, MailWord, Push, Wake, reverse};

#[repr(C)]
struct Letter {
    link: Link,
    /// loom reports a race when the reader is not ordered after the writer.
    text: UnsafeCell<usize>,
}

fn letter(kind: LinkKind, text: usize) -> *mut Link {
    let letter =
        Box::into_raw(Box::new(Letter { link: Link::new(kind), text: UnsafeCell::new(0) }));
    // SAFETY: just made, owned by this thread.
    unsafe { (*letter).text.with_mut(|place| *place = text) };
    letter.cast()
}

fn open(link: *mut Link) -> usize {
    // SAFETY: every link of these tests is a `Letter`, owned by the caller once it was taken or refused.
    let letter = unsafe { Box::from_raw(link.cast::<Letter>()) };
    // SAFETY: the box is owned here.
    letter.text.with(|place| unsafe { *place })
}

fn read_all(newest: *mut Link) -> Vec<usize> {
    let mut texts = Vec::new();
    // SAFETY: the caller took the list.
    let mut next = unsafe { reverse(newest) };
    while next != ptr::null_mut() {
        let link = next;
        // SAFETY: a link of the taken list.
        next = unsafe { (*link).next() };
        texts.push(open(link));
    }
    texts
}

/// The worker's side: one process with owner data that only its runner may touch, and a count of runs that are due.
struct Process {
    mail: MailWord,
    due: AtomicUsize,
    seen: UnsafeCell<Vec<usize>>,
}

impl Process {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            mail: MailWord::new(),
            due: AtomicUsize::new(1),
            seen: UnsafeCell::new(Vec::new()),
        })
    }

    fn send(&self, kind: LinkKind, text: usize) {
        let link = letter(kind, text);
        // SAFETY: the link was just made here.
        match unsafe { self.mail.push(link, kind) } {
            Push::Queued => {}
            Push::Schedule => self.schedule(),
            Push::Closed => {
                open(link);
            }
        }
    }

    fn schedule(&self) {
        // The run queue of the model. AcqRel as the real queues.
        assert_eq!(self.due.fetch_add(1, Ordering::AcqRel), 0, "scheduled while it is due");
    }

    /// Runs the process if it is due, as a worker does, until it goes idle. Says whether it ran.
    fn run_if_due(&self, idle: Idle) -> bool {
        if self.due.compare_exchange(1, 0, Ordering::AcqRel, Ordering::Relaxed).is_err() {
            return false;
        }
        loop {
            let taken = self.mail.take();
            self.seen.with_mut(|seen| {
                // SAFETY: only the runner is here; loom reports it when this does not hold.
                unsafe { (*seen).extend(read_all(taken.newest)) };
            });
            if self.mail.try_idle(idle) {
                return true;
            }
        }
    }
}

#[test]
fn loom_every_push_is_seen_in_order_and_none_is_lost() {
    loom::model(|| {
        let process = Process::new();
        let sender = {
            let process = process.clone();
            thread::spawn(move || {
                process.send(LinkKind::Message, 1);
                process.send(LinkKind::Message, 2);
            })
        };
        process.run_if_due(Idle::Any);
        sender.join().unwrap();
        process.run_if_due(Idle::Any);
        process.seen.with(|seen| {
            // SAFETY: the other thread ended.
            assert_eq!(unsafe { &*seen }, &[1, 2]);
        });
    });
}

#[test]
fn loom_owner_data_passes_from_runner_to_runner() {
    loom::model(|| {
        let process = Process::new();
        let other = {
            let process = process.clone();
            thread::spawn(move || {
                process.send(LinkKind::Message, 1);
                process.run_if_due(Idle::Any);
            })
        };
        process.run_if_due(Idle::Any);
        other.join().unwrap();
        process.run_if_due(Idle::Any);
        process.seen.with(|seen| {
            // SAFETY: the other thread ended.
            assert_eq!(unsafe { &*seen }, &[1]);
        });
    });
}

#[test]
fn loom_a_message_does_not_wake_a_suspended_process_and_a_signal_does() {
    loom::model(|| {
        let process = Process::new();
        process.run_if_due(Idle::Signals);
        let sender = {
            let process = process.clone();
            thread::spawn(move || process.send(LinkKind::Message, 1))
        };
        process.send(LinkKind::Signal, 2);
        sender.join().unwrap();
        assert!(process.run_if_due(Idle::Signals), "the signal schedules it");
        process.seen.with(|seen| {
            // SAFETY: the other thread ended.
            let seen = unsafe { &*seen };
            assert!(seen.contains(&1) && seen.contains(&2), "{seen:?}");
        });
    });
}

#[test]
fn loom_a_wake_is_never_lost() {
    loom::model(|| {
        let process = Process::new();
        let ready = Arc::new(UnsafeCell::new(false));
        let waker = {
            let (process, ready) = (process.clone(), ready.clone());
            thread::spawn(move || {
                // SAFETY: the poll reads it only after the wake; loom checks.
                ready.with_mut(|ready| unsafe { *ready = true });
                match process.mail.wake() {
                    Wake::Noted => {}
                    Wake::Schedule => process.schedule(),
                }
            })
        };
        // The worker: polls when it is woken, until it goes idle.
        let mut polled_ready = false;
        if process.due.compare_exchange(1, 0, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
            loop {
                if process.mail.is_dirty() && process.mail.take().woken {
                    // SAFETY: woken, so the writer is done.
                    polled_ready = ready.with(|ready| unsafe { *ready });
                }
                if process.mail.try_idle(Idle::Signals) {
                    break;
                }
            }
        }
        waker.join().unwrap();
        if process.due.load(Ordering::Acquire) == 1 {
            // SAFETY: the waker ended.
            polled_ready = ready.with(|ready| unsafe { *ready });
        }
        assert!(polled_ready, "the wake got lost");
    });
}

#[test]
fn loom_a_push_against_death_is_taken_or_refused() {
    loom::model(|| {
        let process = Process::new();
        let sent = Arc::new(AtomicUsize::new(0));
        let sender = {
            let (process, sent) = (process.clone(), sent.clone());
            thread::spawn(move || {
                let link = letter(LinkKind::Message, 1);
                // SAFETY: the link was just made here.
                match unsafe { process.mail.push(link, LinkKind::Message) } {
                    Push::Closed => assert_eq!(open(link), 1),
                    Push::Queued => sent.store(1, Ordering::Relaxed),
                    Push::Schedule => panic!("a running process is not scheduled"),
                }
                // A late waker finds a dead process.
                assert_eq!(process.mail.wake(), Wake::Noted);
            })
        };
        let unread = read_all(process.mail.close()).len();
        sender.join().unwrap();
        assert_eq!(unread, sent.load(Ordering::Relaxed));
    });
}

#[test]
fn loom_a_dying_process_refuses_messages_and_answers_signals_when_it_is_gone() {
    loom::model(|| {
        let process = Process::new();
        let taken = Arc::new(AtomicUsize::new(0));
        let sender = {
            let (process, taken) = (process.clone(), taken.clone());
            thread::spawn(move || {
                for kind in [LinkKind::Signal, LinkKind::Message] {
                    let link = letter(kind, 1);
                    // SAFETY: the link was just made here.
                    match unsafe { process.mail.push(link, kind) } {
                        Push::Closed => assert_eq!(open(link), 1),
                        Push::Queued => {
                            taken.fetch_add(1, Ordering::Relaxed);
                        }
                        Push::Schedule => panic!("a running process is not scheduled"),
                    }
                }
                assert_eq!(process.mail.wake(), Wake::Noted);
            })
        };
        let before = read_all(process.mail.begin_close()).len();
        let meanwhile = read_all(process.mail.close()).len();
        assert!(meanwhile <= 1, "a message was taken by a dying process");
        sender.join().unwrap();
        assert_eq!(before + meanwhile, taken.load(Ordering::Relaxed));
    });
}

#[test]
fn loom_a_mailbox_closed_by_the_reaper_gives_its_owner_nothing() {
    loom::model(|| {
        let process = Process::new();
        let sender = {
            let process = process.clone();
            thread::spawn(move || {
                let (link, other) = (letter(LinkKind::Message, 1), letter(LinkKind::Signal, 2));
                [link, other].map(|link| {
                    let kind = if link == other { LinkKind::Signal } else { LinkKind::Message };
                    // SAFETY: just made here.
                    let pushed = unsafe { process.mail.push(link, kind) };
                    assert_ne!(
                        pushed,
                        Push::Schedule,
                        "a process that is run, or closed, is not due"
                    );
                    if pushed == Push::Closed { open(link) } else { 0 }
                })
            })
        };
        // The owner stands still in its code, and takes its mail when that returns.
        let owner = {
            let process = process.clone();
            thread::spawn(move || {
                let taken = process.mail.take();
                let texts = read_all(taken.newest);
                assert!(!taken.closed || texts.is_empty());
                if taken.closed {
                    assert!(!process.mail.try_idle(Idle::Any), "it cannot go idle");
                }
                texts
            })
        };
        let mut found = read_all(process.mail.begin_close());
        found.extend(read_all(process.mail.close()));
        found.extend(owner.join().unwrap());
        found.extend(sender.join().unwrap().into_iter().filter(|&text| text != 0));
        found.sort_unstable();
        assert_eq!(found, [1, 2], "each piece of mail is somebody's, once");
        assert!(process.mail.take().closed, "it stays closed");
    });
}
