//! The shop's money: payments and refunds, taken once, written down durably in a double-entry ledger.
//!
//! [`BillingApp`] is the application, [`BillingService`] the process that others call:
//!
//! ```
//! use linden::{NodeBuilder, prelude::*};
//! use shop_billing::{BillingApp, BillingService, Cents, Currency, IdempotencyKey, UserId};
//! # fn main() -> Result<(), BoxError> {
//! # let directory = tempfile::tempdir()?;
//! # let path = directory.path().join("billing.redb");
//! # let node = NodeBuilder::new().application(BillingApp).set("billing", "path", path.display());
//! # let booted = linden::block_on(node.foreign_logging().boot())?;
//! # let billing = BillingService::named_on(&booted.node);
//! # booted.node.block_on(async {
//! // On the node, that is `BillingService::named()`.
//! let ada = UserId(1);
//! let price = Cents(1234).of(Currency::EUR);
//! let key = IdempotencyKey::new("order-77")?;
//! let receipt = billing.process_payment(ada, price, key.clone()).await??; // on disk from here on
//! assert_eq!(billing.process_payment(ada, price, key).await??, receipt, "a retry is no second one");
//!
//! let part = Cents(1000).of(Currency::EUR);
//! billing.refund(ada, receipt.sequence, part, IdempotencyKey::new("refund-77")?).await??;
//! assert_eq!(billing.balance(ada).await??.of(Currency::EUR), Cents(234));
//! # Ok::<(), BoxError>(())
//! # })?;
//! # linden::block_on(booted.stop())?;
//! # let report = shop_billing::verify_file(&path)?;
//! # assert_eq!((report.transactions, report.total(Currency::EUR)), (2, 234));
//! # Ok(())
//! # }
//! ```
//!
//! The journal is the truth; what processes know is a cache of it that a crash may throw away at any
//! moment. [`journal`] and [`books`] are plain libraries: no process, no clock, no global state.
//! [`verify_file`] checks the books of a file that nobody has open.
//! Absent on purpose: conversion between currencies, transfers between users.

#![forbid(unsafe_code)]

mod account;
mod app;
pub mod books;
pub mod chaos;
pub mod currency;
mod directory;
pub mod journal;
pub mod key;
pub mod money;
#[cfg(test)]
mod power_cuts;
pub mod refusal;
mod service;
pub mod statement;
pub mod transaction;
mod writer;

pub use app::{BillingApp, BillingConfig};
pub use books::{BooksReport, VerifyError, verify, verify_file};
pub use chaos::{ChaosIsOff, Fault, Part};
pub use currency::{Currency, UnknownCurrency};
pub use directory::Idle;
pub use journal::{Journal, JournalError, Posted};
pub use key::{IdempotencyKey, IdempotencyKeyError};
pub use money::{Balances, Cents, Money, MoneyError, ParseCentsError};
pub use refusal::{Overload, PaymentError};
pub use service::{BillingService, BillingServiceClient, BillingServiceMsg};
pub use shop_auth::UserId;
pub use statement::{Page, Statement, StatementError};
pub use transaction::{
    BookAccount, Kind, Movement, Posting, Receipt, Sequence, Timestamp, Transaction,
};
