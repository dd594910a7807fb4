//! loom explores the room: nobody waits for ever while there is room, whoever leaves, is called or dies.

use std::sync::Arc as StdArc;
use std::task::{Wake, Waker};

use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;

use super::{Called, Entry, Room};

/// Counts its calls.
struct Bell(AtomicUsize);

impl Wake for Bell {
    fn wake(self: StdArc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Bell {
    fn new() -> StdArc<Self> {
        StdArc::new(Self(AtomicUsize::new(0)))
    }

    fn rang(&self) -> bool {
        self.0.load(Ordering::SeqCst) > 0
    }
}

/// One poll of a sender: whether it need not wait.
fn poll(room: &Room, ticket: &mut Option<super::Ticket>, bell: &StdArc<Bell>) -> bool {
    room.enter_or_wait(ticket, &Waker::from(bell.clone())) != Entry::Waits
}

fn read_one(room: &Room) {
    room.leave();
    if let Some(waker) = room.call_next() {
        waker.wake();
    }
}

#[test]
fn loom_a_sender_in_line_is_called_or_finds_the_room_that_was_made() {
    loom::model(|| {
        let room = Arc::new(Room::new(1));
        assert!(room.try_enter(1));
        let owner = {
            let room = room.clone();
            thread::spawn(move || read_one(&room))
        };
        let (mut ticket, bell) = (None, Bell::new());
        let entered = poll(&room, &mut ticket, &bell);
        owner.join().unwrap();
        assert!(entered || bell.rang(), "it waits beside free room");
    });
}

#[test]
fn loom_a_call_to_one_who_left_goes_to_the_next() {
    loom::model(|| {
        let room = Arc::new(Room::new(1));
        assert!(room.try_enter(1));
        let (mut first, first_bell) = (None, Bell::new());
        let (mut second, second_bell) = (None, Bell::new());
        assert!(!poll(&room, &mut first, &first_bell));
        assert!(!poll(&room, &mut second, &second_bell));
        let owner = {
            let room = room.clone();
            thread::spawn(move || read_one(&room))
        };
        // The first gives up, called or not.
        if let Some(next) = room.leave_line(first.expect("it stands there"), Called::Unused) {
            next.wake();
        }
        owner.join().unwrap();
        assert!(second_bell.rang(), "the room is nobody's");
    });
}

#[test]
fn loom_the_end_of_the_process_ends_the_line() {
    loom::model(|| {
        let room = Arc::new(Room::new(0));
        let owner = {
            let room = room.clone();
            thread::spawn(move || room.close().into_iter().for_each(|(_, waker)| waker.wake()))
        };
        let (mut ticket, bell) = (None, Bell::new());
        let ended = poll(&room, &mut ticket, &bell);
        owner.join().unwrap();
        assert!(ended || bell.rang(), "it waits for the dead");
    });
}

#[test]
fn loom_no_more_come_in_than_there_is_room_for() {
    loom::model(|| {
        let room = Arc::new(Room::new(1));
        let sender = {
            let room = room.clone();
            thread::spawn(move || usize::from(room.try_enter(1)))
        };
        let entered = usize::from(room.try_enter(1));
        assert_eq!(entered + sender.join().unwrap(), 1);
        assert_eq!(room.taken(), 1);
    });
}
