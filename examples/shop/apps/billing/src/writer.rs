//! The process `ledger_writer`: writes what all accounts post, many at a time.
//!
//! A movement is answered when it is on disk, and not before. Waiting for the disk costs the same for
//! one movement as for a thousand, so they share it: while one batch is being committed, by a process
//! of its own on the blocking pool, later movements gather for the next batch. The writer itself never
//! waits. What one account sends is written in the order in which it was sent.
//!
//! The caller's reply comes along with the movement and is answered here, so a crash of the account or
//! the service does not touch what has come so far. When the writer crashes, the accounts are restarted with it, and whoever waits hears `Exited` and
//! does not know whether the movement was made. It asks again with the same idempotency key. The
//! process that commits is linked to the writer: when the disk fails, the writer fails with it, and the
//! supervisor decides.

use std::{
    collections::VecDeque,
    fmt, mem,
    time::{Duration, SystemTime},
};

use linden::{Cx, prelude::*};
use tokio::{task::spawn_blocking, time::sleep};

use crate::{
    Balances, Fault, Journal, JournalError, Movement, Overload, PaymentError, Receipt, Timestamp,
    UserId,
    account::AccountClient,
    chaos::Suffering,
    journal::{Posted, SWEEP_MAX},
};

/// Most requests of one batch: a bound for how long the first one waits for the last.
pub(crate) const BATCH_MAX: usize = SWEEP_MAX;

/// The state of `ledger_writer`.
pub(crate) struct LedgerWriter {
    journal: Journal,
    /// For the next batches. Loads are not counted by the limit: there is one for each account's start.
    waiting: VecDeque<(Work, Asker)>,
    movements_waiting: usize,
    waiting_max: usize,
    /// Who waits for the batch that is being committed; `None` when there is none.
    committing: Option<Vec<Asker>>,
    /// How often keys are forgotten when there is nothing to write.
    sweep_every: Duration,
    /// Whether there are keys to forget as soon as there is nothing better to do.
    sweep_is_due: bool,
    suffering: Suffering,
}

/// What is asked of the journal.
#[derive(Debug)]
enum Work {
    Load(UserId),
    Post(Movement),
}

/// Who asked for it.
#[derive(Debug)]
struct Asker {
    account: AccountClient,
    /// The account's own caller, for a movement.
    reply: Option<Reply<Result<Receipt, PaymentError>>>,
}

impl LedgerWriter {
    pub(crate) fn new(journal: Journal, waiting_max: usize, sweep_every: Duration) -> LedgerWriter {
        LedgerWriter {
            journal,
            waiting: VecDeque::new(),
            movements_waiting: 0,
            waiting_max,
            committing: None,
            sweep_every,
            sweep_is_due: false,
            suffering: Suffering::default(),
        }
    }

    /// Starts to commit what waits, unless a batch is under way.
    fn commit_next(&mut self, cx: &mut Context<Self>) {
        let has_work = !self.waiting.is_empty() || self.sweep_is_due;
        if self.committing.is_some() || !has_work {
            return;
        }
        let batch = self.waiting.drain(..self.waiting.len().min(BATCH_MAX));
        let (batch, askers): (Vec<_>, Vec<_>) = batch.unzip();
        self.movements_waiting -= askers.iter().filter(|asker| asker.reply.is_some()).count();
        self.committing = Some(askers);
        let (own, journal, slow) = (cx.client(), self.journal.clone(), self.suffering.slow());
        cx.spawn_link(move |_: Cx<()>| async move {
            if !slow.is_zero() {
                sleep(slow).await;
            }
            own.committed(spawn_blocking(move || Committed::commit(&journal, batch)).await??);
            Ok::<(), BoxError>(())
        });
        self.suffering.strike();
    }
}

#[gen_server(name = "ledger_writer")]
impl LedgerWriter {
    #[init]
    fn begin(&mut self, cx: &mut Context<Self>) {
        cx.start_timer(self.sweep_every);
    }

    /// Tells the account its balances, with all that was posted before.
    #[cast]
    pub(crate) fn load(&mut self, user_id: UserId, account: AccountClient, cx: &mut Context<Self>) {
        self.waiting.push_back((Work::Load(user_id), Asker { account, reply: None }));
        self.commit_next(cx);
    }

    /// Writes a movement, and tells the account and its caller when it is on disk.
    #[cast]
    pub(crate) fn post(
        &mut self,
        movement: Movement,
        account: AccountClient,
        reply: Reply<Result<Receipt, PaymentError>>,
        cx: &mut Context<Self>,
    ) {
        let waiting_max = self.waiting_max;
        if self.movements_waiting >= waiting_max {
            account.posted(None);
            reply.send(Err(Overload::Ledger { waiting_max }.into()));
            return;
        }
        self.movements_waiting += 1;
        let asker = Asker { account, reply: Some(reply) };
        self.waiting.push_back((Work::Post(movement), asker));
        self.commit_next(cx);
    }

    /// A batch is on disk. Sent by the process that committed it.
    #[cast]
    fn committed(&mut self, batch: Committed, cx: &mut Context<Self>) {
        let askers = mem::take(&mut self.committing).unwrap_or_default();
        for (Asker { account, reply }, outcome) in askers.into_iter().zip(batch.outcomes) {
            match outcome {
                Outcome::Loaded(balances) => account.loaded(balances),
                Outcome::Posted(Posted { answer, balance }) => {
                    // The account first: whoever has a receipt and asks for the balance gets the new one.
                    account.posted(balance);
                    if let Some(reply) = reply {
                        reply.send(answer);
                    }
                }
            }
        }
        self.sweep_is_due = batch.has_more_to_sweep;
        self.commit_next(cx);
    }

    #[cast]
    pub(crate) async fn suffer(&mut self, fault: Fault) {
        self.suffering.begin(fault).await;
        if self.committing.is_some() {
            self.suffering.strike();
        }
    }

    /// The timer.
    #[info]
    fn news(&mut self, _info: Info, cx: &mut Context<Self>) {
        self.sweep_is_due = true;
        self.commit_next(cx);
        cx.start_timer(self.sweep_every);
    }
}

/// For crash reports: how much there is, not what.
impl fmt::Debug for LedgerWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LedgerWriter")
            .field("waiting", &self.waiting.len())
            .field("committing", &self.committing.as_ref().map_or(0, Vec::len))
            .finish_non_exhaustive()
    }
}

/// A batch that is on disk.
#[derive(Debug)]
pub(crate) struct Committed {
    /// One for each request of the batch, in its order.
    outcomes: Vec<Outcome>,
    has_more_to_sweep: bool,
}

#[derive(Debug)]
enum Outcome {
    Loaded(Balances),
    Posted(Posted),
}

impl Committed {
    /// Blocks: runs on the blocking pool.
    fn commit(journal: &Journal, batch: Vec<Work>) -> Result<Committed, JournalError> {
        let now = Timestamp::from(SystemTime::now());
        if batch.is_empty() {
            let has_more_to_sweep = journal.sweep(now)? == SWEEP_MAX;
            return Ok(Committed { outcomes: Vec::new(), has_more_to_sweep });
        }
        let mut movements = Vec::with_capacity(batch.len());
        // For each request the account to be loaded; none for a movement.
        let loads: Vec<Option<UserId>> = batch
            .into_iter()
            .map(|work| match work {
                Work::Load(user_id) => Some(user_id),
                Work::Post(movement) => {
                    movements.push(movement);
                    None
                }
            })
            .collect();
        let posted = match movements.is_empty() {
            true => Vec::new(),
            false => journal.append(&movements, now)?,
        };
        let mut posted = posted.into_iter();
        let outcomes = loads.into_iter().map(|load| match load {
            Some(user_id) => journal.balances(user_id).map(Outcome::Loaded),
            None => Ok(Outcome::Posted(posted.next().expect("one for each movement"))),
        });
        let outcomes = outcomes.collect::<Result<_, _>>()?;
        Ok(Committed { outcomes, has_more_to_sweep: false })
    }
}
