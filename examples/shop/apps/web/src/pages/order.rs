//! `/shop/orders/{id}`: one order, and how far it is.

use askama::Template;
use linden_gateway::axum::{
    extract::Path,
    response::{IntoResponse as _, Redirect, Response},
};
use shop_billing::Money;
use shop_catalog::{CatalogService, Line, OrderId};
use shop_orders::{Cause, Order, OrdersError, OrdersService, Stage};

use super::{
    clock::Moment,
    failure::sentence,
    frame::{Frame, Here},
    html,
    orders::{Progress, total},
    session::Customer,
};
use crate::{error::ApiError, payments::repeated};

#[derive(Template)]
#[template(path = "order.html")]
struct OrderPage {
    frame: Frame,
    id: OrderId,
    placed_at: Moment,
    changed_at: Moment,
    lines: Vec<Wanted>,
    total: Option<Money>,
    refunded: Option<Money>,
    progress: Progress,
    cause: Option<String>,
}

/// A line of the order.
struct Wanted {
    name: String,
    quantity: u32,
}

/// A step that every order takes.
struct Step {
    text: &'static str,
    is_done: bool,
    is_next: bool,
}

pub(super) async fn show(
    customer: Customer,
    Path(id): Path<OrderId>,
) -> Result<Response, ApiError> {
    let orders = OrdersService::named();
    let order = repeated(|| orders.order(customer.user_id, id)).await??;
    let mut lines = Vec::new();
    for line in order.lines.iter() {
        lines.push(wanted(line).await);
    }
    Ok(html(&OrderPage::new(&customer, order, lines)))
}

/// Gives the order up, if it is not sold yet; its page says what became of that.
pub(super) async fn cancel(
    customer: Customer,
    Path(id): Path<OrderId>,
) -> Result<Response, ApiError> {
    match OrdersService::named().cancel(customer.user_id, id).await? {
        Ok(_) | Err(OrdersError::TooLate { .. }) => {
            Ok(Redirect::to(&format!("/shop/orders/{id}")).into_response())
        }
        Err(error) => Err(error.into()),
    }
}

/// By its name; by its number, when the catalog does not know it or does not answer.
async fn wanted(line: &Line) -> Wanted {
    let catalog = CatalogService::named();
    let name = match repeated(|| catalog.item(line.sku.clone())).await {
        Ok(Ok(item)) => item.name,
        _ => line.sku.to_string(),
    };
    Wanted { name, quantity: line.quantity }
}

impl OrderPage {
    fn new(customer: &Customer, order: Order, lines: Vec<Wanted>) -> OrderPage {
        let (cause, refunded) = undone(&order.stage);
        OrderPage {
            frame: Frame::new(&customer.visitor(), Here::Orders),
            id: order.id,
            placed_at: Moment::of_millis(order.placed_at.0),
            changed_at: Moment::of_millis(order.changed_at.0),
            lines,
            total: total(&order.stage),
            refunded,
            progress: Progress::of(&order.stage),
            cause: cause.map(|cause| sentence(&cause.to_string())),
        }
    }

    fn steps(&self) -> Vec<Step> {
        let steps = [
            (Progress::Placed, "Placed"),
            (Progress::Reserved, "Reserved"),
            (Progress::Paid, "Paid"),
            (Progress::Sold, "On its way to you"),
        ];
        let done = steps.iter().filter(|(step, _)| *step <= self.progress).count();
        let step = |(place, (_, text)): (usize, &(Progress, &'static str))| Step {
            text,
            is_done: place < done,
            is_next: place == done,
        };
        steps.iter().enumerate().map(step).collect()
    }

    /// Whether the order goes its way, and is not given up.
    fn is_going(&self) -> bool {
        self.progress <= Progress::Sold
    }

    fn can_be_cancelled(&self) -> bool {
        self.progress < Progress::Sold
    }
}

/// Why an order is given up, and what came back of it.
fn undone(stage: &Stage) -> (Option<&Cause>, Option<Money>) {
    match stage {
        Stage::Settling { cause, .. } | Stage::Refunding { cause, .. } => (Some(cause), None),
        Stage::Releasing { refunded, cause }
        | Stage::Rejecting { refunded, cause }
        | Stage::Rejected { refunded, cause } => (Some(cause), refunded.map(|bill| bill.total)),
        _ => (None, None),
    }
}
