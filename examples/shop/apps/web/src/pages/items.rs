//! `/shop`: what the shop sells, and the form that orders it.

use std::collections::BTreeMap;

use askama::Template;
use linden_gateway::axum::{
    Form,
    extract::Query,
    http::StatusCode,
    response::{IntoResponse as _, Redirect, Response},
};
use serde::Deserialize;
use shop_catalog::{CatalogService, Item, Line, Lines, Sku};
use shop_orders::{OrdersError, OrdersService};

use super::{
    failure::sentence,
    form_key::FormKey,
    frame::{Frame, Here},
    html,
    session::{Customer, Visitor},
    with_status,
};
use crate::{error::ApiError, payments::repeated};

/// Items of one page; all of them fit into one order.
const SHOWN_MAX: usize = 50;
/// Before an item's number, the name of its field.
const QUANTITY: &str = "quantity-";

#[derive(Template)]
#[template(path = "items.html")]
struct ItemsPage {
    frame: Frame,
    key: FormKey,
    /// The item before these.
    after: Option<Sku>,
    items: Vec<Offer>,
    next: Option<Sku>,
    mistake: Option<String>,
}

/// An item with its field.
struct Offer {
    item: Item,
    /// As the visitor wrote it.
    quantity: String,
    mistake: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Asked {
    after: Option<Sku>,
}

pub(super) async fn show(
    visitor: Visitor,
    Query(Asked { after }): Query<Asked>,
) -> Result<Response, ApiError> {
    Ok(html(&ItemsPage::new(&visitor, after).await?))
}

/// Places the order and goes to its page. A form without a quantity that can be ordered comes back.
pub(super) async fn order(
    customer: Customer,
    Query(Asked { after }): Query<Asked>,
    Form(fields): Form<Vec<(String, String)>>,
) -> Result<Response, ApiError> {
    let basket = Basket::read(&fields);
    let lines = match basket.lines() {
        Ok(lines) => lines,
        Err(mistake) => return refused(&customer, after, basket, mistake).await,
    };
    let key = fields.iter().find(|(name, _)| name == "key").map_or("", |(_, key)| key);
    let Some(key) = FormKey::sent(key) else {
        let mistake =
            "The form had lost its key; this one has a new key. Send it again.".to_owned();
        return refused(&customer, after, basket, Some(mistake)).await;
    };
    let orders = OrdersService::named();
    match repeated(|| orders.place(customer.user_id, lines.clone(), key.clone())).await? {
        Ok(order) => Ok(Redirect::to(&format!("/shop/orders/{}", order.id)).into_response()),
        Err(OrdersError::KeyReuse { .. }) => {
            let mistake =
                "This form has placed another order before. To order this as well, send it again.";
            refused(&customer, after, basket, Some(mistake.to_owned())).await
        }
        Err(error) => Err(error.into()),
    }
}

async fn refused(
    customer: &Customer,
    after: Option<Sku>,
    basket: Basket<'_>,
    mistake: Option<String>,
) -> Result<Response, ApiError> {
    let mut page = ItemsPage::new(&customer.visitor(), after).await?;
    page.mistake = mistake;
    for offer in &mut page.items {
        if let Some(wish) = basket.wishes.get(offer.item.sku.as_str()) {
            offer.quantity = wish.text.clone();
            offer.mistake = wish.pieces.clone().err();
        }
    }
    Ok(with_status(StatusCode::UNPROCESSABLE_ENTITY, &page))
}

impl ItemsPage {
    async fn new(visitor: &Visitor, after: Option<Sku>) -> Result<ItemsPage, ApiError> {
        let catalog = CatalogService::named();
        let page = repeated(|| catalog.items(after.clone(), SHOWN_MAX)).await??;
        let offer = |item| Offer { item, quantity: "0".to_owned(), mistake: None };
        Ok(ItemsPage {
            frame: Frame::new(visitor, Here::Items),
            key: FormKey::new(),
            after,
            items: page.items.into_iter().map(offer).collect(),
            next: page.next,
            mistake: None,
        })
    }
}

/// What a form wants, by the items' numbers.
struct Basket<'f> {
    wishes: BTreeMap<&'f str, Wish>,
}

struct Wish {
    text: String,
    /// So many, or why not.
    pieces: Result<u32, String>,
}

impl Basket<'_> {
    fn read(fields: &[(String, String)]) -> Basket<'_> {
        let wishes = fields.iter().filter_map(|(name, text)| {
            let text = text.trim().to_owned();
            let pieces = match text.as_str() {
                "" => Ok(0),
                text => text.parse().map_err(|_| "Enter a whole number, such as 2.".to_owned()),
            };
            Some((name.strip_prefix(QUANTITY)?, Wish { text, pieces }))
        });
        Basket { wishes: wishes.collect() }
    }

    /// What is ordered; or what is wrong with the whole, if it is not said at the items.
    fn lines(&self) -> Result<Lines, Option<String>> {
        let mut lines = Vec::new();
        for (sku, Wish { pieces, .. }) in &self.wishes {
            let quantity = *pieces.as_ref().map_err(|_| None)?;
            if quantity > 0 {
                let sku = Sku::new(sku).map_err(|error| Some(sentence(&error.to_string())))?;
                lines.push(Line { sku, quantity });
            }
        }
        if lines.is_empty() {
            return Err(Some("Choose how many you want of at least one item.".to_owned()));
        }
        Lines::new(lines).map_err(|error| Some(sentence(&error.to_string())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(fields: &[(&str, &str)]) -> Result<Vec<(String, u32)>, Option<String>> {
        let owned = |(name, text): &(&str, &str)| ((*name).to_owned(), (*text).to_owned());
        let fields: Vec<_> = fields.iter().map(owned).collect();
        let lines = Basket::read(&fields).lines()?;
        Ok(lines.iter().map(|line| (line.sku.to_string(), line.quantity)).collect())
    }

    #[test]
    fn quantities_become_lines() {
        let fields =
            [("key", "k"), ("quantity-tea", " 2 "), ("quantity-pen", "0"), ("quantity-oil", "")];
        assert_eq!(lines(&fields), Ok(vec![("tea".to_owned(), 2)]));
        assert_eq!(lines(&[("quantity-tea", "two"), ("quantity-pen", "1")]), Err(None));
        for (field, words) in [
            (("quantity-tea", "0"), "at least one item"),
            (("quantity-tea", "1001"), "1 to 1000 pieces"),
            (("quantity-T", "1"), "number has 1 to 64"),
        ] {
            let mistake = lines(&[field]).unwrap_err().unwrap();
            assert!(mistake.contains(words), "{mistake}");
        }
    }
}
