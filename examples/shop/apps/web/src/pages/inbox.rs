//! `/shop/inbox`: what the visitor was told, newest first.

use askama::Template;
use linden_gateway::axum::{extract::Query, response::Response};
use serde::Deserialize;
use shop_catalog::OrderId;
use shop_notifications::{Message, NotificationsService};

use super::{
    PAGE_LEN,
    clock::Moment,
    failure::sentence,
    frame::{Frame, Here},
    html,
    session::Customer,
};
use crate::{error::ApiError, payments::repeated};

#[derive(Template)]
#[template(path = "inbox.html")]
struct InboxPage {
    frame: Frame,
    letters: Vec<Letter>,
    is_first: bool,
    next: Option<u64>,
}

struct Letter {
    text: String,
    at: Moment,
    order_id: OrderId,
}

#[derive(Deserialize)]
pub(super) struct Asked {
    after: Option<u64>,
}

pub(super) async fn show(
    customer: Customer,
    Query(Asked { after }): Query<Asked>,
) -> Result<Response, ApiError> {
    let notifications = NotificationsService::named();
    let page = repeated(|| notifications.inbox(customer.user_id, after, PAGE_LEN)).await??;
    Ok(html(&InboxPage {
        frame: Frame::new(&customer.visitor(), Here::Inbox),
        letters: page.messages.into_iter().map(Letter::of).collect(),
        is_first: after.is_none(),
        next: page.next,
    }))
}

impl Letter {
    fn of(message: Message) -> Letter {
        Letter {
            text: sentence(&message.notice.text),
            at: Moment::of_millis(message.told_at.0),
            order_id: message.notice.order_id,
        }
    }
}
