//! What an item is: its number, its name and price, and how much there is of it.
//!
//! Plain values that travel in messages and as JSON. Invariant: a [`Sku`] obeys its rules from the
//! moment it exists.

use std::{error::Error, fmt};

use serde::{Deserialize, Serialize};

use crate::Money;

/// Most characters of an item's number.
pub const SKU_LEN_MAX: usize = 64;

/// An item's number (stock keeping unit): 1 to 64 of `a-z`, `0-9`, `.`, `_`, `-`.
///
/// # Examples
/// ```
/// use shop_catalog::Sku;
/// assert_eq!(Sku::new("pen-blue").unwrap().as_str(), "pen-blue");
/// assert!(Sku::new("Pen").is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Sku(String);

impl Sku {
    /// Checks the rules.
    ///
    /// # Errors
    /// [`SkuError`].
    pub fn new(sku: &str) -> Result<Sku, SkuError> {
        let allowed =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
        if sku.is_empty() || sku.len() > SKU_LEN_MAX || !sku.bytes().all(allowed) {
            return Err(SkuError);
        }
        Ok(Sku(sku.to_owned()))
    }

    /// The number's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Sku {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl TryFrom<String> for Sku {
    type Error = SkuError;

    fn try_from(sku: String) -> Result<Sku, SkuError> {
        Sku::new(&sku)
    }
}

impl From<Sku> for String {
    fn from(sku: Sku) -> String {
        sku.0
    }
}

/// A text is no item's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SkuError;

impl fmt::Display for SkuError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an item's number has 1 to {SKU_LEN_MAX} of a-z, 0-9, '.', '_' and '-'")
    }
}

impl Error for SkuError {}

/// An item as everybody may see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// Its number.
    pub sku: Sku,
    /// What people call it.
    pub name: String,
    /// What one piece costs.
    pub price: Money,
    /// How much there is.
    pub stock: Stock,
}

/// How many pieces of an item there are, and where.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stock {
    /// Delivered to the shop, ever.
    pub received: u64,
    /// Can be reserved.
    pub on_hand: u64,
    /// Held by orders that are on their way.
    pub reserved: u64,
    /// Gone to customers.
    pub sold: u64,
}

impl Stock {
    /// Whether every piece that was received is somewhere.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        let held = self.on_hand.checked_add(self.reserved);
        held.and_then(|held| held.checked_add(self.sold)) == Some(self.received)
    }
}

/// An item that the shop starts with: `[[catalog.items]]` in `linden.toml`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewItem {
    /// Its number.
    pub sku: Sku,
    /// What people call it.
    pub name: String,
    /// What one piece costs.
    pub price: Money,
    /// Pieces that there are at first.
    pub stock: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_checked_also_when_deserialized() {
        for (sku, is_right) in [
            ("pen", true),
            ("a.b_c-9", true),
            (&"x".repeat(64), true),
            (&"x".repeat(65), false),
            ("", false),
            ("Pen", false),
            ("a b", false),
            ("ä", false),
        ] {
            assert_eq!(Sku::new(sku).is_ok(), is_right, "{sku:?}");
            let json = serde_json::to_string(sku).unwrap();
            assert_eq!(serde_json::from_str::<Sku>(&json).is_ok(), is_right, "{sku:?}");
        }
    }

    #[test]
    fn stock_is_complete_when_every_piece_is_somewhere() {
        let stock = Stock { received: 6, on_hand: 1, reserved: 2, sold: 3 };
        assert!(stock.is_complete());
        assert!(!Stock { sold: 4, ..stock }.is_complete());
        assert!(!Stock { on_hand: u64::MAX, ..stock }.is_complete());
    }
}
