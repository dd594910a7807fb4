//! The process of one user's account: it keeps the user's payments and refunds in one order, and knows
//! the balances.
//!
//! Started by `billing_service` at the user's first request, ended by it when there was none for a
//! while ([`directory`](crate::directory) says how). Its balances come from the journal, by way of the
//! writer: so they are asked for behind whatever a predecessor has sent there, and are never older.
//! From then on each answer of the writer brings the new balance along.
//!
//! When the account crashes, what it has passed on to the writer is made and answered all the same;
//! other callers hear `Exited`, and the next request starts a successor. The account ends with the
//! service that knows it.

use std::{fmt, time::Duration};

use linden::prelude::*;
use tokio::task::spawn_blocking;

use crate::{
    Balances, BillingService, BillingServiceClient, Fault, Journal, Money, Movement, Overload,
    Page, PaymentError, Receipt, Statement, StatementError, UserId,
    chaos::Suffering,
    directory::Idle,
    writer::{LedgerWriter, LedgerWriterClient},
};

/// What every account's process is given.
#[derive(Clone, Debug)]
pub(crate) struct AccountSetup {
    pub(crate) journal: Journal,
    /// Payments and refunds of one user that may wait for the disk; and as many questions for balances.
    pub(crate) waiting_max: usize,
    /// How long an account that has nothing to do keeps its process.
    pub(crate) idle: Duration,
}

/// Which account is to be started, and for whom.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Opening {
    pub(crate) user_id: UserId,
    /// The service that sends it requests.
    pub(crate) service: Pid,
}

/// The state of an account's process.
pub(crate) struct Account {
    user_id: UserId,
    setup: AccountSetup,
    service: BillingServiceClient,
    service_pid: Pid,
    writer: LedgerWriterClient,
    /// Unknown until the writer has answered for the first time.
    balances: Option<Balances>,
    /// Who asked for the balances meanwhile.
    asked: Vec<Reply<Result<Balances, Overload>>>,
    in_flight: usize,
    /// Requests since the start.
    received: u64,
    suffering: Suffering,
}

impl Account {
    pub(crate) fn new(opening: Opening, setup: AccountSetup) -> Account {
        Account {
            user_id: opening.user_id,
            setup,
            service: BillingService::named(),
            service_pid: opening.service,
            writer: LedgerWriter::named(),
            balances: None,
            asked: Vec::new(),
            in_flight: 0,
            received: 0,
            suffering: Suffering::default(),
        }
    }

    /// Counts a request. Also starts or stops the clock that ends an idle account.
    fn receive(&mut self, cx: &mut Context<Self>) {
        self.received += 1;
        self.rest(cx);
    }

    fn rest(&mut self, cx: &mut Context<Self>) {
        if self.in_flight == 0 && self.balances.is_some() {
            cx.set_timeout(self.setup.idle);
        } else {
            cx.clear_timeout();
        }
    }
}

#[gen_server]
impl Account {
    #[init]
    fn begin(&mut self, cx: &mut Context<Self>) {
        cx.set_label(format!("account of user {}", self.user_id));
        cx.monitor(self.service_pid);
        self.writer.load(self.user_id, cx.client());
    }

    /// The first word of the writer.
    #[cast]
    pub(crate) fn loaded(&mut self, balances: Balances, cx: &mut Context<Self>) {
        for reply in self.asked.drain(..) {
            reply.send(Ok(balances.clone()));
        }
        self.balances = Some(balances);
        self.rest(cx);
    }

    /// Passes a payment or refund on to the writer, behind those before it.
    #[cast]
    pub(crate) async fn post(
        &mut self,
        movement: Movement,
        reply: Reply<Result<Receipt, PaymentError>>,
        cx: &mut Context<Self>,
    ) {
        self.suffering.linger().await;
        let waiting_max = self.setup.waiting_max;
        if self.in_flight >= waiting_max {
            reply.send(Err(Overload::Account { waiting_max }.into()));
        } else {
            self.in_flight += 1;
            self.writer.post(movement, cx.client(), reply);
            self.suffering.strike();
        }
        self.receive(cx);
    }

    /// The writer has answered a payment or refund; the new balance, unless it was refused.
    #[cast]
    pub(crate) fn posted(&mut self, balance: Option<Money>, cx: &mut Context<Self>) {
        self.in_flight -= 1;
        if let (Some(balances), Some(balance)) = (&mut self.balances, balance) {
            balances.set(balance);
        }
        self.rest(cx);
    }

    #[cast]
    pub(crate) fn balance(
        &mut self,
        reply: Reply<Result<Balances, Overload>>,
        cx: &mut Context<Self>,
    ) {
        let waiting_max = self.setup.waiting_max;
        if let Some(balances) = &self.balances {
            reply.send(Ok(balances.clone()));
        } else if self.asked.len() >= waiting_max {
            reply.send(Err(Overload::Account { waiting_max }));
        } else {
            self.asked.push(reply);
        }
        self.receive(cx);
    }

    /// Reads a page of the journal. One at a time: whoever asks for many waits for himself.
    #[cast]
    pub(crate) async fn statement(
        &mut self,
        page: Page,
        reply: Reply<Result<Statement, StatementError>>,
        cx: &mut Context<Self>,
    ) {
        let (journal, user_id) = (self.setup.journal.clone(), self.user_id);
        match spawn_blocking(move || journal.statement(user_id, page)).await {
            Ok(Ok(statement)) => {
                reply.send(Ok(statement));
            }
            Ok(Err(error)) => cx.stop(Reason::error(&error)),
            Err(error) => cx.stop(Reason::error(&error)),
        }
        self.receive(cx);
    }

    #[cast]
    pub(crate) async fn suffer(&mut self, fault: Fault, cx: &mut Context<Self>) {
        self.suffering.begin(fault).await;
        self.receive(cx);
    }

    /// Asks to be let go. If a request is on its way, that starts the clock again.
    #[timeout]
    fn has_idled(&mut self, cx: &mut Context<Self>) {
        let (user_id, pid, received) = (self.user_id, cx.pid(), self.received);
        self.service.idle(Idle { user_id, pid, received });
        cx.clear_timeout();
    }

    /// The service has forgotten this account, and nothing more will come.
    #[cast]
    pub(crate) fn retire(&mut self, cx: &mut Context<Self>) {
        cx.stop(Reason::Normal);
    }

    /// The service ended: nobody knows this account any more.
    #[info]
    fn news(&mut self, _info: Info, cx: &mut Context<Self>) {
        cx.stop(Reason::Shutdown);
    }
}

/// For crash reports: how much there is to do, not how much money.
impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account")
            .field("user_id", &self.user_id)
            .field("in_flight", &self.in_flight)
            .field("asked", &self.asked.len())
            .field("received", &self.received)
            .finish_non_exhaustive()
    }
}
