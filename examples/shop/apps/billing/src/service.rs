//! The process `billing_service`: takes payments, knows balances.
//!
//! A payment is answered when it is on disk, and not before. Waiting for the disk costs the same
//! for one payment as for a thousand, so they share it: while one batch is being committed, by a
//! process of its own on the blocking pool, later payments gather for the next batch. The service
//! itself never waits.
//!
//! When the service crashes, whoever waits hears `Exited` and does not know whether the payment was
//! made. It asks again with the same idempotency key: a payment that was made is not made twice.
//! The process that commits is linked to the service: when the disk fails, the service fails with
//! it, and the supervisor decides.

use std::{fmt, mem, time::SystemTime};

use linden::{Cx, prelude::*};
use serde::{Deserialize, Serialize};
use tokio::task::spawn_blocking;

use crate::{
    Cents, Entry, IdempotencyKey, Journal, JournalError, Ledger, Payment, PaymentError, Receipt,
    Timestamp, UserId,
};

type Answer = Result<Receipt, PaymentError>;

/// The state of `billing_service`.
pub struct BillingService {
    journal: Journal,
    ledger: Ledger,
    /// Payments for the next batch.
    waiting: Vec<(Payment, Reply<Answer>)>,
    waiting_max: usize,
    /// Who waits for the batch that is being committed; nobody when there is none.
    committing: Vec<Reply<Answer>>,
    /// Whether the service may be told to crash, and who has told it.
    chaos: bool,
    crash_asked_by: Vec<Reply<ChaosIsOff>>,
}

impl BillingService {
    /// A service whose ledger knows what the journal holds.
    ///
    /// # Errors
    /// The journal cannot be read.
    pub async fn open(
        journal: Journal,
        waiting_max: usize,
        chaos: bool,
    ) -> Result<BillingService, Stop> {
        let of_thread = journal.clone();
        let ledger = spawn_blocking(move || Ledger::load(&of_thread)).await??;
        Ok(BillingService {
            journal,
            ledger,
            waiting: Vec::new(),
            waiting_max,
            committing: Vec::new(),
            chaos,
            crash_asked_by: Vec::new(),
        })
    }
}

#[gen_server(name = "billing_service")]
impl BillingService {
    /// Credits `amount` to the user. When the receipt comes, the payment is on disk.
    ///
    /// `key` is the payment's name: called again with the same one, also after a crash, this gives
    /// the first receipt again.
    #[call]
    pub fn process_payment(
        &mut self,
        user_id: UserId,
        amount: Cents,
        key: IdempotencyKey,
        reply: Reply<Result<Receipt, PaymentError>>,
        cx: &mut Context<Self>,
    ) {
        if self.waiting.len() >= self.waiting_max {
            reply.send(Err(PaymentError::Overloaded { waiting_max: self.waiting_max }));
            return;
        }
        self.waiting.push((Payment { user_id, amount, key }, reply));
        self.commit_next(cx);
        self.crash_if_asked();
    }

    /// The sum of the user's payments.
    #[call]
    pub fn balance(&self, user_id: UserId) -> Cents {
        self.ledger.balance(user_id)
    }

    /// Answers: the service lives.
    #[call]
    pub fn ping(&self) {}

    /// Crashes the service while payments are in flight: now, or at the next one. The caller hears
    /// `Exited`; an answer only when chaos is off.
    #[call]
    pub fn crash(&mut self, reply: Reply<ChaosIsOff>) {
        if !self.chaos {
            reply.send(ChaosIsOff);
            return;
        }
        self.crash_asked_by.push(reply);
        self.crash_if_asked();
    }

    fn crash_if_asked(&self) {
        if !self.crash_asked_by.is_empty() && !self.committing.is_empty() {
            panic!("a crash was asked for");
        }
    }

    /// A batch is on disk. Sent by the process that committed it.
    #[cast]
    fn committed(&mut self, batch: Committed, cx: &mut Context<Self>) {
        self.ledger.take_in(&batch.entries).expect("the journal writes no gaps");
        for (reply, answer) in mem::take(&mut self.committing).into_iter().zip(batch.answers) {
            reply.send(answer);
        }
        self.commit_next(cx);
    }

    /// Starts to commit what waits, unless a batch is under way.
    fn commit_next(&mut self, cx: &mut Context<Self>) {
        if self.waiting.is_empty() || !self.committing.is_empty() {
            return;
        }
        let (batch, replies): (Vec<_>, Vec<_>) = self.waiting.drain(..).unzip();
        self.committing = replies;
        let (own, journal, known) =
            (cx.client(), self.journal.clone(), self.ledger.last_sequence());
        cx.spawn_link(move |_: Cx<()>| async move {
            let commit = move || Committed::commit(&journal, &batch, known);
            own.committed(spawn_blocking(commit).await??);
            Ok::<(), BoxError>(())
        });
    }
}

/// For crash reports: how much there is, not what.
impl fmt::Debug for BillingService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BillingService")
            .field("users", &self.ledger.users())
            .field("last_sequence", &self.ledger.last_sequence())
            .field("waiting", &self.waiting.len())
            .field("committing", &self.committing.len())
            .finish_non_exhaustive()
    }
}

/// A batch that is on disk.
#[derive(Debug)]
pub struct Committed {
    /// One for each payment of the batch, in its order.
    answers: Vec<Answer>,
    /// What the ledger does not have yet: of this batch, and of a predecessor's that was still being
    /// committed when this service started.
    entries: Vec<Entry>,
}

impl Committed {
    /// Blocks: runs on the blocking pool.
    fn commit(journal: &Journal, batch: &[Payment], known: u64) -> Result<Committed, JournalError> {
        let answers = journal.append(batch, Timestamp::from(SystemTime::now()))?;
        let entries = journal.entries_after(known)?.collect::<Result<_, _>>()?;
        Ok(Committed { answers, entries })
    }
}

/// The service was told to crash and did not: `billing.chaos` is not set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChaosIsOff;

#[cfg(test)]
mod tests;
