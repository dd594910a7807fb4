//! `shop verify`: the files of a shop that does not run, each checked against its own rules, and against the others.

use std::{
    collections::HashMap,
    error::Error,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use clap::Args;
use linden::BoxError;
use shop_billing::{Journal, Kind, Money, Movement, Sequence, UserId};
use shop_orders::{Bill, OrderId, OrdersReport};

/// Flags of `shop verify`.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub(crate) struct VerifyArgs {
    /// The directory of the shop's data
    #[arg(long, value_name = "DIR", default_value = "data")]
    pub(crate) data: PathBuf,
}

/// Checks everything, prints a line for each check, and fails if one did.
pub(crate) fn verify(args: &VerifyArgs) -> Result<(), BoxError> {
    let file = |name: &str| args.data.join(name).with_extension("redb");
    let mut checks = Checks::default();
    checks.note("accounts", shop_auth::verify_file(file("auth")), |found| {
        format!("{} accounts, {} sessions", found.accounts, found.sessions)
    });
    let books =
        checks.note("books", shop_billing::verify_file(file("billing")), ToString::to_string);
    let catalog = checks.note("catalog", shop_catalog::verify_file(&file("catalog")), |found| {
        format!(
            "{} items, {} orders hold some, {} have some",
            found.items,
            found.held.len(),
            found.sold.len()
        )
    });
    checks.note(
        "notifications",
        shop_notifications::verify_file(&file("notifications")),
        |found| format!("{} messages of {} users", found.messages, found.users),
    );
    let orders = checks.note("orders", shop_orders::verify_file(&file("orders")), |found| {
        format!("{} orders, {} of them on their way", found.orders, found.unfinished.len())
    });
    if let (Some(orders), Some(catalog)) = (&orders, &catalog) {
        checks.note("orders and catalog", orders.check_stock(catalog), |()| {
            "what was ordered was sold, once".to_owned()
        });
    }
    if let (Some(orders), Some(_)) = (&orders, &books) {
        checks.note("orders and books", check_payments(orders, &file("billing")), |()| {
            "what was sold is paid, and what was not is given back".to_owned()
        });
    }
    checks.show()
}

/// The lines for people, and how many of them are bad.
#[derive(Default)]
struct Checks {
    text: String,
    failed: usize,
}

impl Checks {
    /// Notes the outcome of a check, and gives what it found if it is sound.
    fn note<T, E: Into<BoxError>>(
        &mut self,
        what: &str,
        outcome: Result<T, E>,
        in_words: impl FnOnce(&T) -> String,
    ) -> Option<T> {
        match outcome {
            Ok(found) => {
                self.text += &format!("  ok  {what}: {}\n", in_words(&found));
                Some(found)
            }
            Err(error) => {
                self.failed += 1;
                self.text += &format!("FAIL  {what}: {}\n", in_full(&*error.into()));
                None
            }
        }
    }

    fn show(self) -> Result<(), BoxError> {
        io::stdout().write_all(self.text.as_bytes())?;
        match self.failed {
            0 => Ok(()),
            failed => Err(format!("{failed} checks failed").into()),
        }
    }
}

fn in_full(error: &(dyn Error + 'static)) -> String {
    let causes = std::iter::successors(error.source(), |&cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

/// Each order that is done has its payment in the books, and each that came to nothing its refund, if it was paid.
fn check_payments(orders: &OrdersReport, books: &Path) -> Result<(), BoxError> {
    let mut payments: HashMap<Sequence, (UserId, Money)> = HashMap::new();
    let mut refunds: HashMap<Sequence, (UserId, Money)> = HashMap::new();
    for transaction in Journal::open_existing(books)?.transactions_after(Sequence(0))? {
        let transaction = transaction?;
        let Movement { user_id, kind, amount, .. } = transaction.movement;
        match kind {
            Kind::Payment => payments.insert(transaction.sequence, (user_id, amount)),
            Kind::Refund { of } => refunds.insert(of, (user_id, amount)),
        };
    }
    for (&order_id, &(user_id, bill)) in &orders.completed {
        expect(order_id, "payment", user_id, bill, &payments)?;
        if refunds.contains_key(&Sequence(bill.payment.0)) {
            return Err(format!("order {order_id} is done, and its payment was given back").into());
        }
    }
    for (&order_id, &(user_id, bill)) in &orders.rejected {
        if let Some(bill) = bill {
            expect(order_id, "refund", user_id, bill, &refunds)?;
        }
    }
    Ok(())
}

fn expect(
    order_id: OrderId,
    what: &str,
    user_id: UserId,
    bill: Bill,
    books: &HashMap<Sequence, (UserId, Money)>,
) -> Result<(), BoxError> {
    let payment = Sequence(bill.payment.0);
    if books.get(&payment) == Some(&(user_id, bill.total)) {
        return Ok(());
    }
    let total = bill.total;
    Err(format!("order {order_id} says that there is a {what} of {total} for payment {payment}, and there is none").into())
}
