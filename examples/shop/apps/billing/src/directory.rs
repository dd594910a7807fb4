//! Which accounts have a process, and when such a process may end.
//!
//! Decides only: the service, which owns it, starts and ends the processes. An account that has
//! nothing to do asks to be let go, and says how many requests it has received so far. Only the
//! service sends it requests, and counts them: when the numbers differ, one is still on its way, and
//! the account stays. So no request reaches an account that has ended.

use std::{collections::HashMap, hash::Hash};

use linden::{Pid, Ref};
use shop_auth::UserId;

/// The accounts that have a process. `A` is what the service knows of one; `P` names its process.
#[derive(Debug)]
pub(crate) struct Directory<A, P = Pid> {
    entries: HashMap<UserId, Entry<A, P>>,
    users: HashMap<P, UserId>,
    accounts_max: usize,
}

#[derive(Debug)]
struct Entry<A, P> {
    account: A,
    pid: P,
    forwarded: u64,
}

/// What the service knows of an account's process.
#[derive(Debug)]
pub(crate) struct Running<C> {
    /// Reaches it.
    pub(crate) client: C,
    /// Tells of its end.
    pub(crate) monitor: Ref,
}

/// An account that has nothing to do. Public as a part of the service's messages.
#[derive(Clone, Copy, Debug)]
pub struct Idle<P = Pid> {
    pub(crate) user_id: UserId,
    pub(crate) pid: P,
    /// Requests that it has received since it was started.
    pub(crate) received: u64,
}

/// Whether an account may end.
#[must_use]
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum LetGo<A> {
    /// It may, and is forgotten already.
    Yes(A),
    /// A request is on its way to it, or it is a predecessor of the account that is known.
    No,
}

impl<A, P: Copy + Eq + Hash> Directory<A, P> {
    pub(crate) fn new(accounts_max: usize) -> Directory<A, P> {
        Directory { entries: HashMap::new(), users: HashMap::new(), accounts_max }
    }

    pub(crate) fn accounts_max(&self) -> usize {
        self.accounts_max
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.entries.len() >= self.accounts_max
    }

    pub(crate) fn knows(&self, user_id: UserId) -> bool {
        self.entries.contains_key(&user_id)
    }

    /// The account to which one request is sent now; `None` when it has no process.
    pub(crate) fn forward(&mut self, user_id: UserId) -> Option<&A> {
        let entry = self.entries.get_mut(&user_id)?;
        entry.forwarded += 1;
        Some(&entry.account)
    }

    pub(crate) fn started(&mut self, user_id: UserId, pid: P, account: A) {
        self.users.insert(pid, user_id);
        self.entries.insert(user_id, Entry { account, pid, forwarded: 0 });
    }

    pub(crate) fn idle(&mut self, idle: Idle<P>) -> LetGo<A> {
        let is_idle = self
            .entries
            .get(&idle.user_id)
            .is_some_and(|entry| entry.pid == idle.pid && entry.forwarded == idle.received);
        if !is_idle {
            return LetGo::No;
        }
        self.users.remove(&idle.pid);
        let entry = self.entries.remove(&idle.user_id).expect("it was found above");
        LetGo::Yes(entry.account)
    }

    /// A process that ended without having been let go.
    pub(crate) fn ended(&mut self, pid: P) {
        if let Some(user_id) = self.users.remove(&pid) {
            self.entries.remove(&user_id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::VecDeque;

    const ADA: UserId = UserId(1);

    fn idle(pid: u32, received: u64) -> Idle<u32> {
        Idle { user_id: ADA, pid, received }
    }

    #[test]
    fn an_account_is_let_go_when_it_has_received_all_that_was_sent() {
        let mut directory = Directory::new(10);
        assert_eq!(directory.forward(ADA), None);
        directory.started(ADA, 7, "ada");
        assert_eq!(directory.forward(ADA), Some(&"ada"));
        assert_eq!(directory.idle(idle(7, 0)), LetGo::No);
        assert_eq!(directory.idle(idle(7, 1)), LetGo::Yes("ada"));
        assert_eq!(directory.forward(ADA), None);
    }

    #[test]
    fn a_predecessor_does_not_end_its_successor() {
        let mut directory = Directory::new(10);
        directory.started(ADA, 7, "old");
        directory.ended(7);
        assert_eq!(directory.len(), 0);
        directory.started(ADA, 8, "new");
        assert_eq!(directory.idle(idle(7, 0)), LetGo::No);
        directory.ended(7);
        assert_eq!(directory.forward(ADA), Some(&"new"));
    }

    #[test]
    fn so_many_accounts_and_no_more() {
        let mut directory = Directory::new(1);
        assert!(!directory.is_full());
        directory.started(ADA, 7, ());
        assert!(directory.is_full());
        directory.ended(7);
        assert!(!directory.is_full());
    }

    proptest! {
        /// Requests and their account's news cross in every way; none meets an account that has ended.
        #[test]
        fn no_request_reaches_an_account_that_was_let_go(steps: Vec<u8>) {
            let mut directory = Directory::new(10);
            // The newest process, its mailbox, and its words to the service that have not arrived.
            let (mut pid, mut mailbox, mut received) = (0_u32, 0_u64, 0_u64);
            let mut words = VecDeque::new();
            for step in steps {
                match step % 4 {
                    0 => {
                        if directory.forward(ADA).is_none() {
                            prop_assert_eq!(mailbox, 0, "the last one left a request unread");
                            (pid, received) = (pid + 1, 0);
                            directory.started(ADA, pid, pid);
                            prop_assert_eq!(directory.forward(ADA), Some(&pid));
                        }
                        mailbox += 1;
                    }
                    1 if mailbox > 0 => (mailbox, received) = (mailbox - 1, received + 1),
                    2 if mailbox == 0 => words.push_back(idle(pid, received)),
                    3 => {
                        if let Some(word) = words.pop_front()
                            && let LetGo::Yes(gone) = directory.idle(word)
                        {
                            prop_assert_eq!((gone, mailbox), (pid, 0));
                        }
                    }
                    _ => {}
                }
            }
        }
    }
}
