//! The process `billing_service`: the front of billing, which knows the accounts' processes.
//!
//! It finds or starts the process of a user's account and passes the request on together with the
//! caller's reply; so it waits for nobody, and a caller depends on its own account only. Who does what:
//!
//! ```text
//! billing_sup (rest_for_one)
//!  ├── ledger_writer                writes for all accounts, many movements at a time
//!  └── billing_front_sup (one_for_all)
//!       ├── billing_accounts        one process for each account in use
//!       └── billing_service         finds and starts them
//! ```
//!
//! When the service crashes, so do the accounts, and whoever waits for something that has not reached
//! the writer hears `Exited`. Since it cannot know that, it asks again with the same idempotency key: a
//! payment that was made is not made twice.

use std::fmt;

use linden::{SupervisorError, prelude::*};

use crate::{
    Balances, ChaosIsOff, Fault, IdempotencyKey, Money, Movement, Overload, Page, Part,
    PaymentError, Receipt, Sequence, Statement, StatementError, UserId,
    account::{Account, AccountClient, Opening},
    chaos::Suffering,
    directory::{Directory, Idle, LetGo, Running},
    writer::LedgerWriter,
};

/// The name of the supervisor of the accounts' processes.
pub(crate) const ACCOUNTS: &str = "billing_accounts";

/// The state of `billing_service`.
pub struct BillingService {
    directory: Directory<Running<AccountClient>>,
    /// Whether parts may be told to crash, hang or be slow.
    chaos: bool,
    suffering: Suffering,
    crash_asked_by: Vec<Reply<Result<(), ChaosIsOff>>>,
}

/// Why a request does not reach its account.
enum NoAccount {
    Overloaded(Overload),
    /// The supervisor of the accounts does not do its work: neither can the service.
    Failed(SupervisorError),
    /// It ended at once. The next request starts another one.
    Ended,
}

impl BillingService {
    pub(crate) fn new(accounts_max: usize, chaos: bool) -> BillingService {
        BillingService {
            directory: Directory::new(accounts_max),
            chaos,
            suffering: Suffering::default(),
            crash_asked_by: Vec::new(),
        }
    }

    async fn post(
        &mut self,
        movement: Movement,
        reply: Reply<Result<Receipt, PaymentError>>,
        cx: &mut Context<Self>,
    ) {
        self.suffering.linger().await;
        match self.account(movement.user_id, cx).await {
            Ok(account) => {
                account.post(movement, reply);
                self.suffering.strike();
            }
            Err(no_account) => no_account.answer(reply, cx),
        }
    }

    /// The account's process, which is sent one request now; started if need be.
    async fn account(
        &mut self,
        user_id: UserId,
        cx: &mut Context<Self>,
    ) -> Result<&AccountClient, NoAccount> {
        if !self.directory.knows(user_id) {
            self.start(user_id, cx).await?;
        }
        let running = self.directory.forward(user_id).expect("it is known or was just started");
        Ok(&running.client)
    }

    async fn start(&mut self, user_id: UserId, cx: &mut Context<Self>) -> Result<(), NoAccount> {
        if self.directory.is_full() {
            let accounts_max = self.directory.accounts_max();
            return Err(NoAccount::Overloaded(Overload::Accounts { accounts_max }));
        }
        let accounts = DynamicRef::<Opening>::by_name(cx.node(), ACCOUNTS);
        let opening = Opening { user_id, service: cx.pid() };
        let pid = accounts.start_child(opening).await.map_err(NoAccount::Failed)?;
        let account = ServerRef::<Account>::by_pid(cx.node(), pid).ok_or(NoAccount::Ended)?;
        let running = Running { client: account.into(), monitor: cx.monitor(pid) };
        self.directory.started(user_id, pid, running);
        Ok(())
    }
}

impl NoAccount {
    /// A reply that is not sent here is dropped: its caller hears `Exited`.
    fn answer<T, E: From<Overload>>(
        self,
        reply: Reply<Result<T, E>>,
        cx: &mut Context<BillingService>,
    ) {
        match self {
            NoAccount::Overloaded(overload) => {
                reply.send(Err(overload.into()));
            }
            NoAccount::Failed(error) => cx.stop(Reason::error(&error)),
            NoAccount::Ended => {}
        }
    }
}

#[gen_server(name = "billing_service")]
impl BillingService {
    /// Credits `amount` to the user. When the receipt comes, the payment is on disk.
    ///
    /// `key` is the user's name for the payment: called again with the same one within its life span
    /// (`billing.key_ttl`), also after a crash, this gives the first receipt again.
    #[call]
    pub async fn process_payment(
        &mut self,
        user_id: UserId,
        amount: Money,
        key: IdempotencyKey,
        reply: Reply<Result<Receipt, PaymentError>>,
        cx: &mut Context<Self>,
    ) {
        self.post(Movement::payment(user_id, amount, key), reply, cx).await;
    }

    /// Gives a payment of the user back, or a part of it: `payment` is its receipt's sequence, and all
    /// its refunds together are at most the payment. When the receipt comes, the refund is on disk.
    ///
    /// `key` is the user's name for the refund, as for a payment; one name is not for both.
    #[call]
    pub async fn refund(
        &mut self,
        user_id: UserId,
        payment: Sequence,
        amount: Money,
        key: IdempotencyKey,
        reply: Reply<Result<Receipt, PaymentError>>,
        cx: &mut Context<Self>,
    ) {
        self.post(Movement::refund(user_id, payment, amount, key), reply, cx).await;
    }

    /// What the user holds: payments less refunds, in each currency.
    #[call]
    pub async fn balance(
        &mut self,
        user_id: UserId,
        reply: Reply<Result<Balances, Overload>>,
        cx: &mut Context<Self>,
    ) {
        match self.account(user_id, cx).await {
            Ok(account) => account.balance(reply),
            Err(no_account) => no_account.answer(reply, cx),
        }
    }

    /// A page of the user's payments and refunds, newest first.
    #[call]
    pub async fn statement(
        &mut self,
        user_id: UserId,
        page: Page,
        reply: Reply<Result<Statement, StatementError>>,
        cx: &mut Context<Self>,
    ) {
        if let Err(error) = page.check() {
            reply.send(Err(error));
            return;
        }
        match self.account(user_id, cx).await {
            Ok(account) => account.statement(page, reply),
            Err(no_account) => no_account.answer(reply, cx),
        }
    }

    /// Answers: the service lives.
    #[call]
    pub fn ping(&self) {}

    /// Lets a part of billing suffer. The answer says that it has been told to; who lets the service
    /// itself crash hears `Exited` instead.
    #[call]
    pub async fn inflict(
        &mut self,
        part: Part,
        fault: Fault,
        reply: Reply<Result<(), ChaosIsOff>>,
        cx: &mut Context<Self>,
    ) {
        if !self.chaos {
            reply.send(Err(ChaosIsOff));
            return;
        }
        match part {
            Part::Service if matches!(fault, Fault::Crash | Fault::CrashInFlight) => {
                self.crash_asked_by.push(reply);
                self.suffering.begin(fault).await;
                return;
            }
            Part::Service => {
                reply.send(Ok(()));
                self.suffering.begin(fault).await;
                return;
            }
            Part::Writer => LedgerWriter::named().suffer(fault),
            Part::Account(user_id) => match self.account(user_id, cx).await {
                Ok(account) => account.suffer(fault),
                Err(NoAccount::Failed(error)) => cx.stop(Reason::error(&error)),
                Err(_) => {}
            },
        }
        reply.send(Ok(()));
    }

    /// An account has nothing to do.
    #[cast]
    pub(crate) fn idle(&mut self, idle: Idle, cx: &mut Context<Self>) {
        if let LetGo::Yes(Running { client, monitor }) = self.directory.idle(idle) {
            cx.demonitor(monitor);
            client.retire();
        }
    }

    /// An account crashed. Its user's next request starts another one.
    #[info]
    fn news(&mut self, info: Info) {
        if let Info::Down { pid, .. } = info {
            self.directory.ended(pid);
        }
    }
}

/// For crash reports: how much there is, not what.
impl fmt::Debug for BillingService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BillingService")
            .field("accounts", &self.directory.len())
            .field("crash_asked_by", &self.crash_asked_by.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
