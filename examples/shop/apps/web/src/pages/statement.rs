//! `/shop/statement`: payments and refunds, newest first, a page at a time.

use askama::Template;
use linden_gateway::axum::{extract::Query, response::Response};
use serde::Deserialize;
use shop_billing::{BillingService, Kind, Money, Page, Receipt, Sequence};

use super::{
    PAGE_LEN,
    clock::Moment,
    frame::{Frame, Here},
    html,
    session::Customer,
};
use crate::{error::ApiError, payments::repeated};

#[derive(Template)]
#[template(path = "statement.html")]
struct StatementPage {
    frame: Frame,
    rows: Vec<Row>,
    is_first: bool,
    next: Option<Sequence>,
}

struct Row {
    sequence: Sequence,
    at: Moment,
    amount: Money,
    /// The payment that this gives back.
    refund_of: Option<Sequence>,
}

#[derive(Deserialize)]
pub(super) struct Asked {
    after: Option<Sequence>,
}

pub(super) async fn show(
    customer: Customer,
    Query(Asked { after }): Query<Asked>,
) -> Result<Response, ApiError> {
    let (billing, page) = (BillingService::named(), Page { after, limit: PAGE_LEN });
    let statement = repeated(|| billing.statement(customer.user_id, page)).await??;
    Ok(html(&StatementPage {
        frame: Frame::new(&customer.visitor(), Here::Statement),
        rows: statement.lines.into_iter().map(Row::of).collect(),
        is_first: after.is_none(),
        next: statement.next,
    }))
}

impl Row {
    fn of(receipt: Receipt) -> Row {
        Row {
            sequence: receipt.sequence,
            at: Moment::of_millis(receipt.recorded_at.0),
            amount: receipt.amount,
            refund_of: match receipt.kind {
                Kind::Payment => None,
                Kind::Refund { of } => Some(of),
            },
        }
    }
}
