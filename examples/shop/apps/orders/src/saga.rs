//! What an order does next: decided purely.
//!
//! A saga takes what happened and says what to write down and do. It holds no clock and does no I/O;
//! the order's process (`process.rs`) does the deeds. Invariants: the stage that asks for a step is
//! written before the step is tried; a step that changes something forward is tried a bounded number
//! of times and then given up; a step that undoes is tried until it succeeds; an order that ends
//! either has stock and payment, or neither.

use std::time::Duration;

use serde::Deserialize;
use shop_billing::Money;

use crate::{Bill, Cause, PaymentRef, Stage};

/// How often a step is tried, and how long after.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct RetryPolicy {
    /// Tries of a step before the order is given up; 10. What undoes is tried without end.
    pub tries_max: u32,
    /// The pause after the first try that failed; `20ms`. Each further pause is twice as long.
    #[serde(with = "linden::config::duration")]
    pub pause_min: Duration,
    /// No pause is longer; `5s`.
    #[serde(with = "linden::config::duration")]
    pub pause_max: Duration,
}

impl Default for RetryPolicy {
    fn default() -> RetryPolicy {
        RetryPolicy {
            tries_max: 10,
            pause_min: Duration::from_millis(20),
            pause_max: Duration::from_secs(5),
        }
    }
}

impl RetryPolicy {
    /// The pause after so many tries that failed.
    #[must_use]
    pub fn pause(&self, failed: u32) -> Duration {
        let doubled = 1_u32.checked_shl(failed.saturating_sub(1)).unwrap_or(u32::MAX);
        self.pause_min.saturating_mul(doubled).min(self.pause_max)
    }
}

/// What to do. All of it may be repeated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Hold what the order wants.
    Reserve,
    /// Let the user pay.
    Pay {
        /// So much.
        total: Money,
    },
    /// Sell what is held.
    Confirm,
    /// Give the payment back.
    Refund(Bill),
    /// Release what may be held or sold.
    Release,
    /// Tell the user that it is done.
    TellCompleted(Bill),
    /// Tell the user that it came to nothing.
    TellRejected(Cause),
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// It is held.
    Reserved {
        /// What it costs.
        total: Money,
    },
    /// It cannot be held, and is not.
    NotReserved(Cause),
    /// It is paid.
    Paid(PaymentRef),
    /// It is not paid, and never will be.
    NotPaid {
        /// Why.
        reason: String,
    },
    /// It is sold.
    Confirmed,
    /// What was held has come back, and cannot be sold.
    Lost,
    /// The payment was given back.
    Refunded,
    /// The payment is not taken back, and never will be unless somebody mends that.
    NotRefunded {
        /// Why.
        reason: String,
    },
    /// Nothing is held any more.
    Released,
    /// The user knows.
    Told,
    /// Whether the step was done is not known.
    Failed {
        /// Which one, in words: "take the payment".
        step: String,
    },
    /// The user does not want the order any more.
    Cancelled,
}

/// What to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Next {
    /// Write this stage down, then ask [`Saga::action`].
    Record(Stage),
    /// Try the same again after this pause.
    Again(Duration),
    /// It changes nothing.
    Ignore,
}

/// Whether the stage's step may have been tried before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begun {
    /// It was not.
    No,
    /// It may have been: by a process that crashed, or by a try that failed.
    Perhaps,
}

/// An order on its way.
///
/// # Examples
/// ```
/// use shop_orders::{Action, Begun, Cause, Event, Next, RetryPolicy, Saga, Stage};
///
/// let mut saga = Saga::new(Stage::Placed, Begun::No, RetryPolicy::default());
/// assert_eq!(saga.action(), Some(Action::Reserve));
///
/// let Next::Record(stage) = saga.on(Event::NotReserved(Cause::Expired)) else { panic!() };
/// saga.recorded(stage); // once it is on disk
/// assert_eq!(saga.action(), Some(Action::TellRejected(Cause::Expired)));
/// ```
#[derive(Clone, Debug)]
pub struct Saga {
    stage: Stage,
    begun: Begun,
    failed: u32,
    policy: RetryPolicy,
}

impl Saga {
    /// The saga of an order that is at `stage`.
    #[must_use]
    pub fn new(stage: Stage, begun: Begun, policy: RetryPolicy) -> Saga {
        Saga { stage, begun, failed: 0, policy }
    }

    /// What to do now; `None` at the end.
    #[must_use]
    pub fn action(&self) -> Option<Action> {
        Some(match &self.stage {
            Stage::Placed => Action::Reserve,
            Stage::Reserved { total } | Stage::Settling { total, .. } => {
                Action::Pay { total: *total }
            }
            Stage::Paid(_) => Action::Confirm,
            Stage::Sold(bill) => Action::TellCompleted(*bill),
            Stage::Refunding { bill, .. } => Action::Refund(*bill),
            Stage::Releasing { .. } => Action::Release,
            Stage::Rejecting { cause, .. } => Action::TellRejected(cause.clone()),
            Stage::Completed(_) | Stage::Rejected { .. } => return None,
        })
    }

    /// Takes in what happened.
    pub fn on(&mut self, event: Event) -> Next {
        match event {
            Event::Failed { step } => self.failed(step),
            Event::NotRefunded { .. } => self.failed("give the payment back".to_owned()),
            Event::Cancelled => self.cancelled().map_or(Next::Ignore, Next::Record),
            event => self.succeeded(event).map_or(Next::Ignore, Next::Record),
        }
    }

    /// The stage was written down: the order is there now.
    pub fn recorded(&mut self, stage: Stage) {
        *self = Saga::new(stage, Begun::No, self.policy);
    }

    fn succeeded(&self, event: Event) -> Option<Stage> {
        Some(match (self.stage.clone(), event) {
            (Stage::Placed, Event::Reserved { total }) => Stage::Reserved { total },
            (Stage::Placed, Event::NotReserved(cause)) => {
                Stage::Rejecting { refunded: None, cause }
            }
            (Stage::Reserved { total }, Event::Paid(payment)) => {
                Stage::Paid(Bill { total, payment })
            }
            (Stage::Reserved { .. }, Event::NotPaid { reason }) => {
                released(None, Cause::PaymentRefused { reason })
            }
            (Stage::Paid(bill), Event::Confirmed) => Stage::Sold(bill),
            (Stage::Paid(bill), Event::Lost) => Stage::Refunding { bill, cause: Cause::Expired },
            (Stage::Sold(bill), Event::Told) => Stage::Completed(bill),
            (Stage::Settling { total, cause }, Event::Paid(payment)) => {
                Stage::Refunding { bill: Bill { total, payment }, cause }
            }
            (Stage::Settling { cause, .. }, Event::NotPaid { .. }) => released(None, cause),
            (Stage::Refunding { bill, cause }, Event::Refunded) => released(Some(bill), cause),
            (Stage::Releasing { refunded, cause }, Event::Released) => {
                Stage::Rejecting { refunded, cause }
            }
            (Stage::Rejecting { refunded, cause }, Event::Told) => {
                Stage::Rejected { refunded, cause }
            }
            _ => return None,
        })
    }

    /// Tries again, or gives the order up.
    fn failed(&mut self, step: String) -> Next {
        self.begun = Begun::Perhaps;
        self.failed = self.failed.saturating_add(1);
        let is_over = self.failed >= self.policy.tries_max;
        match self.given_up(Cause::Unavailable { step }) {
            Some(stage) if is_over => Next::Record(stage),
            _ => Next::Again(self.policy.pause(self.failed)),
        }
    }

    fn cancelled(&self) -> Option<Stage> {
        self.given_up(Cause::Cancelled)
    }

    /// The first stage of the undoing, if it is not too late for that. What may have been tried is
    /// undone as if it had been done.
    fn given_up(&self, cause: Cause) -> Option<Stage> {
        match (&self.stage, self.begun) {
            (Stage::Placed, Begun::No) => Some(Stage::Rejecting { refunded: None, cause }),
            (Stage::Placed, Begun::Perhaps) | (Stage::Reserved { .. }, Begun::No) => {
                Some(released(None, cause))
            }
            (Stage::Reserved { total }, Begun::Perhaps) => {
                Some(Stage::Settling { total: *total, cause })
            }
            (Stage::Paid(bill), _) => Some(Stage::Refunding { bill: *bill, cause }),
            _ => None,
        }
    }
}

fn released(refunded: Option<Bill>, cause: Cause) -> Stage {
    Stage::Releasing { refunded, cause }
}

#[cfg(test)]
mod tests;
