//! `/shop/pay`: what the account holds, and a form that pays in.

use askama::Template;
use linden::CallError;
use linden_gateway::axum::{
    Form,
    extract::Query,
    http::StatusCode,
    response::{IntoResponse as _, Redirect, Response},
};
use serde::Deserialize;
use shop_billing::{
    Balances, BillingService, Cents, Currency, IdempotencyKey, Money, Overload, Page, PaymentError,
    Receipt, Sequence, UserId,
};

use super::{
    clock::Moment,
    failure::sentence,
    form_key::FormKey,
    frame::{Frame, Here},
    html,
    session::Customer,
    with_status,
};
use crate::{error::ApiError, payments::repeated};

#[derive(Template)]
#[template(path = "pay.html")]
struct PayPage {
    frame: Frame,
    key: FormKey,
    balances: Vec<Money>,
    amount: String,
    currency: Currency,
    mistakes: Mistakes,
    /// The payment that was just made.
    paid: Option<Paid>,
}

struct Paid {
    amount: Money,
    sequence: Sequence,
    at: Moment,
}

#[derive(Default)]
struct Mistakes {
    amount: Option<String>,
    currency: Option<String>,
    form: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Asked {
    /// A payment to show: its sequence.
    paid: Option<Sequence>,
}

#[derive(Deserialize)]
pub(super) struct Sent {
    #[serde(default)]
    key: String,
    #[serde(default)]
    amount: String,
    #[serde(default)]
    currency: String,
}

pub(super) async fn show(
    customer: Customer,
    Query(Asked { paid }): Query<Asked>,
) -> Result<Response, ApiError> {
    let mut page = PayPage::new(&customer).await?;
    if let Some(sequence) = paid {
        page.paid = receipt(customer.user_id, sequence).await?.map(Paid::of);
    }
    Ok(html(&page))
}

/// Pays and goes to the page that shows the receipt, so that a reload of it pays nothing.
pub(super) async fn pay(customer: Customer, Form(sent): Form<Sent>) -> Result<Response, ApiError> {
    let (amount, key) = match sent.payment() {
        Ok(payment) => payment,
        Err(mistakes) => return refused(&customer, sent, mistakes).await,
    };
    let (billing, user_id) = (BillingService::named(), customer.user_id);
    match repeated(|| billing.process_payment(user_id, amount, key.clone())).await? {
        Ok(receipt) => {
            let page = format!("/shop/pay?paid={}", receipt.sequence);
            Ok(Redirect::to(&page).into_response())
        }
        Err(PaymentError::Overloaded(overload)) => Err(PaymentError::Overloaded(overload).into()),
        Err(PaymentError::KeyReuse { .. }) => {
            let text =
                "This form has paid another amount before. To pay this as well, send it again.";
            let mistakes = Mistakes { form: Some(text.to_owned()), ..Mistakes::default() };
            refused(&customer, sent, mistakes).await
        }
        Err(error) => {
            let amount = Some(sentence(&error.to_string()));
            refused(&customer, sent, Mistakes { amount, ..Mistakes::default() }).await
        }
    }
}

async fn refused(
    customer: &Customer,
    sent: Sent,
    mistakes: Mistakes,
) -> Result<Response, ApiError> {
    let page = PayPage::new(customer).await?;
    let currency = sent.currency.parse().unwrap_or(page.currency);
    let page = PayPage { amount: sent.amount, currency, mistakes, ..page };
    Ok(with_status(StatusCode::UNPROCESSABLE_ENTITY, &page))
}

/// A payment of the user: the first line of their statement from there on.
async fn receipt(user_id: UserId, sequence: Sequence) -> Result<Option<Receipt>, ApiError> {
    let page = Page { after: Some(Sequence(sequence.0.saturating_add(1))), limit: 1 };
    let billing = BillingService::named();
    let statement = repeated(|| billing.statement(user_id, page)).await??;
    Ok(statement.lines.into_iter().find(|receipt| receipt.sequence == sequence))
}

impl Sent {
    fn payment(&self) -> Result<(Money, IdempotencyKey), Mistakes> {
        let mut mistakes = Mistakes::default();
        // Some write cents behind a comma.
        let cents = self.amount.trim().replace(',', ".").parse::<Cents>();
        let cents = match cents {
            Ok(cents) if !cents.is_positive() => {
                mistakes.amount = Some("Enter more than zero.".to_owned());
                None
            }
            Ok(cents) => Some(cents),
            Err(error) => {
                let text = sentence(&error.to_string());
                mistakes.amount = Some(format!("{text} Enter an amount such as 12.34."));
                None
            }
        };
        let currency = self.currency.parse::<Currency>();
        mistakes.currency = currency.as_ref().err().map(|error| sentence(&error.to_string()));
        let key = FormKey::sent(&self.key);
        match (cents, currency, key) {
            (Some(cents), Ok(currency), Some(key)) => Ok((cents.of(currency), key)),
            (_, _, None) => {
                let text = "The form had lost its key; this one has a new key. Send it again.";
                Err(Mistakes { form: Some(text.to_owned()), ..mistakes })
            }
            _ => Err(mistakes),
        }
    }
}

impl PayPage {
    async fn new(customer: &Customer) -> Result<PayPage, ApiError> {
        let billing = BillingService::named();
        let balances = repeated(|| billing.balance(customer.user_id)).await?;
        let balances: Balances =
            balances.map_err(|_: Overload| ApiError::from(CallError::Overloaded))?;
        Ok(PayPage {
            frame: Frame::new(&customer.visitor(), Here::Pay),
            key: FormKey::new(),
            balances: balances.iter().collect(),
            amount: String::new(),
            currency: Currency::EUR,
            mistakes: Mistakes::default(),
            paid: None,
        })
    }

    fn currencies(&self) -> impl Iterator<Item = Currency> {
        Currency::known()
    }
}

impl Paid {
    fn of(receipt: Receipt) -> Paid {
        let at = Moment::of_millis(receipt.recorded_at.0);
        Paid { amount: receipt.amount, sequence: receipt.sequence, at }
    }
}
