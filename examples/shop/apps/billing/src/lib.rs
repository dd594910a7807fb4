//! The shop's payments: taken once, written down durably, summed up exactly.
//!
//! [`BillingApp`] is the application, [`BillingService`] its one process. The other modules are plain
//! libraries: no process, no clock, no global state. How they fit together:
//!
//! ```
//! use shop_billing::{Cents, IdempotencyKey, Journal, Ledger, Payment, Timestamp, UserId};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let directory = tempfile::tempdir()?;
//! # let path = directory.path().join("billing.redb");
//! let journal = Journal::open(path)?;               // once, where the application starts
//! let mut ledger = Ledger::replay(&journal)?;       // in each start of the billing process
//!
//! let payment = Payment {
//!     user_id: UserId(1),
//!     amount: "12.34".parse()?,
//!     key: IdempotencyKey::new("order-77")?,
//! };
//! let batch = [payment.clone(), payment];           // the second one is a retry of the first
//! let answers = journal.append(&batch, Timestamp(1_700_000_000_000))?; // on disk from here on
//! ledger.catch_up(&journal)?;
//!
//! assert_eq!(answers[0], answers[1]);
//! assert_eq!(ledger.balance(UserId(1)), Cents(1234));
//! ledger.verify(&journal)?;
//! # Ok(())
//! # }
//! ```
//!
//! The journal is the truth; the ledger is a cache of it that a crash may throw away at any moment.
//! Absent on purpose: refunds, currencies, conversion.

#![forbid(unsafe_code)]

mod app;
pub mod journal;
pub mod ledger;
pub mod money;
pub mod payment;
mod service;

pub use app::{BillingApp, BillingConfig};
pub use journal::{Journal, JournalError};
pub use ledger::{Books, Ledger, VerifyError};
pub use money::{Cents, ParseCentsError};
pub use payment::{
    Entry, IdempotencyKey, IdempotencyKeyError, Payment, PaymentError, Receipt, Timestamp,
};
pub use service::{BillingService, BillingServiceClient, BillingServiceMsg, ChaosIsOff, Committed};
pub use shop_auth::UserId;
