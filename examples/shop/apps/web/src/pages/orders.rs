//! `/shop/orders`: the visitor's orders, newest first, and `/shop/orders/updates`, which says when to look again.

use askama::Template;
use linden::Cx;
use linden_gateway::{
    Sse,
    axum::{extract::Query, response::Response},
};
use serde::Deserialize;
use shop_billing::Money;
use shop_catalog::OrderId;
use shop_notifications::{NotificationsService, Topic};
use shop_orders::{Order, OrdersService, Stage};

use super::{
    PAGE_LEN,
    clock::Moment,
    frame::{Frame, Here},
    html,
    session::Customer,
};
use crate::{error::ApiError, orders::tell, payments::repeated};

#[derive(Template)]
#[template(path = "orders.html")]
struct OrdersPage {
    frame: Frame,
    orders: Vec<Row>,
    next: Option<OrderId>,
    /// Whether something may still become of one of them.
    is_live: bool,
}

/// An order as a line of a table.
struct Row {
    id: OrderId,
    placed_at: Moment,
    pieces: u64,
    total: Option<Money>,
    progress: Progress,
}

/// How far an order is, as it concerns its user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Progress {
    Placed,
    Reserved,
    Paid,
    /// Nothing more is to come but the news of it.
    Sold,
    /// Something went wrong: what was done is being undone.
    Undoing,
    Rejected,
}

impl Progress {
    pub(super) fn of(stage: &Stage) -> Progress {
        match stage {
            Stage::Placed => Progress::Placed,
            Stage::Reserved { .. } => Progress::Reserved,
            Stage::Paid(_) => Progress::Paid,
            Stage::Sold(_) | Stage::Completed(_) => Progress::Sold,
            Stage::Rejecting { .. } | Stage::Rejected { .. } => Progress::Rejected,
            _ => Progress::Undoing,
        }
    }

    pub(super) fn is_last(self) -> bool {
        matches!(self, Progress::Sold | Progress::Rejected)
    }

    /// In a word or two.
    pub(super) fn text(self) -> &'static str {
        match self {
            Progress::Placed => "Placed",
            Progress::Reserved => "Reserved",
            Progress::Paid => "Paid",
            Progress::Sold => "On its way",
            Progress::Undoing => "Being cancelled",
            Progress::Rejected => "Cancelled",
        }
    }

    /// The colour of its badge.
    pub(super) fn class(self) -> &'static str {
        match self {
            Progress::Placed | Progress::Reserved | Progress::Paid => "busy",
            Progress::Sold => "good",
            Progress::Undoing | Progress::Rejected => "bad",
        }
    }
}

/// What an order costs, as soon as it is known.
pub(super) fn total(stage: &Stage) -> Option<Money> {
    match stage {
        Stage::Reserved { total } | Stage::Settling { total, .. } => Some(*total),
        Stage::Paid(bill) | Stage::Sold(bill) | Stage::Completed(bill) => Some(bill.total),
        Stage::Refunding { bill, .. } => Some(bill.total),
        _ => None,
    }
}

#[derive(Deserialize)]
pub(super) struct Asked {
    after: Option<OrderId>,
}

pub(super) async fn show(
    customer: Customer,
    Query(Asked { after }): Query<Asked>,
) -> Result<Response, ApiError> {
    let orders = OrdersService::named();
    let page = repeated(|| orders.orders_of(customer.user_id, after, PAGE_LEN)).await??;
    let orders: Vec<Row> = page.orders.iter().map(Row::of).collect();
    Ok(html(&OrdersPage {
        frame: Frame::new(&customer.visitor(), Here::Orders),
        is_live: orders.iter().any(|order| !order.progress.is_last()),
        orders,
        next: page.next,
    }))
}

impl Row {
    fn of(order: &Order) -> Row {
        Row {
            id: order.id,
            placed_at: Moment::of_millis(order.placed_at.0),
            pieces: order.lines.iter().map(|line| u64::from(line.quantity)).sum(),
            total: total(&order.stage),
            progress: Progress::of(&order.stage),
        }
    }
}

/// The events of the API, for whoever has the cookie: at each one the script shows its page anew.
pub(super) async fn updates(customer: Customer, sse: Sse) -> Result<Response, ApiError> {
    NotificationsService::named().ping().await?;
    Ok(sse.from_process(move |events, _: Cx<()>| tell(events, Topic::User(customer.user_id))))
}
