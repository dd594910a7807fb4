//! Payments by `billing_service`: the one file that knows how billing is asked.
//!
//! The keys are derived from the order, so that a payment or a refund that is asked for again after a
//! crash is made once: as long as billing knows the key (`billing.key_ttl`), which has to be longer
//! than the shop is ever down.

use linden::CallError;
use shop_billing::{
    BillingService, IdempotencyKey, Money, PaymentError, Receipt, Sequence, UserId,
};
use shop_catalog::OrderId;

use crate::{Bill, PayError, Paying, PaymentRef, Payments};

/// Payments and refunds by `billing_service` of the current node.
#[derive(Clone, Copy, Debug, Default)]
pub struct Billing;

impl Payments for Billing {
    fn pay(&self, order_id: OrderId, user_id: UserId, total: Money) -> Paying<'_, PaymentRef> {
        Box::pin(async move {
            let billing = BillingService::named();
            let receipt = billing.process_payment(user_id, total, key("order", order_id)).await;
            Ok(PaymentRef(made(receipt)?.sequence.0))
        })
    }

    fn refund(&self, order_id: OrderId, user_id: UserId, bill: Bill) -> Paying<'_, ()> {
        Box::pin(async move {
            let billing = BillingService::named();
            let payment = Sequence(bill.payment.0);
            let key = key("refund-order", order_id);
            made(billing.refund(user_id, payment, bill.total, key).await).map(|_| ())
        })
    }
}

fn key(what: &str, order_id: OrderId) -> IdempotencyKey {
    IdempotencyKey::new(&format!("{what}-{order_id}")).expect("it is short and visible")
}

fn made(answer: Result<Result<Receipt, PaymentError>, CallError>) -> Result<Receipt, PayError> {
    match answer {
        Ok(Ok(receipt)) => Ok(receipt),
        Ok(Err(PaymentError::Overloaded(overload))) => {
            Err(PayError::Unavailable { cause: overload.to_string() })
        }
        Ok(Err(refusal)) => Err(PayError::Refused { reason: refusal.to_string() }),
        Err(error) => Err(PayError::Unavailable { cause: error.to_string() }),
    }
}
