//! What stands around every page: the bar with its links, and who is logged in.

use super::{
    assets::{ICON, SCRIPT, STYLE},
    session::Visitor,
};

/// Where a visitor is. The bar marks it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Here {
    Items,
    Orders,
    Pay,
    Statement,
    Files,
    Inbox,
    /// A page that the bar does not have.
    Elsewhere,
}

/// The frame of one page; `layout.html` shows it.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    name: Option<String>,
    here: Here,
}

/// A link of the bar.
pub(super) struct Link {
    pub(super) href: &'static str,
    pub(super) text: &'static str,
    pub(super) is_here: bool,
}

const BAR: [(Here, &str, &str); 6] = [
    (Here::Items, "/shop", "Shop"),
    (Here::Orders, "/shop/orders", "Orders"),
    (Here::Pay, "/shop/pay", "Pay"),
    (Here::Statement, "/shop/statement", "Statement"),
    (Here::Files, "/shop/files", "Files"),
    (Here::Inbox, "/shop/inbox", "Inbox"),
];

impl Frame {
    /// That of a page for this visitor.
    pub(super) fn new(visitor: &Visitor, here: Here) -> Frame {
        let name = match visitor {
            Visitor::Guest => None,
            Visitor::Known(customer) => Some(customer.name.to_string()),
        };
        Frame { name, here }
    }

    pub(super) fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// A guest may only look at what the shop sells.
    pub(super) fn links(&self) -> impl Iterator<Item = Link> {
        let shown = if self.name.is_some() { BAR.len() } else { 1 };
        BAR[..shown].iter().map(|&(here, href, text)| Link {
            href,
            text,
            is_here: here == self.here,
        })
    }

    pub(super) fn style(&self) -> String {
        STYLE.href()
    }

    pub(super) fn script(&self) -> String {
        SCRIPT.href()
    }

    pub(super) fn icon(&self) -> String {
        ICON.href()
    }
}
