//! What an order wants and what is held for it.
//!
//! Plain values that travel in messages and as JSON. Invariant: [`Lines`] obey their rules from the
//! moment they exist.

use std::{error::Error, fmt};

use serde::{Deserialize, Serialize};
use shop_billing::Timestamp;

use crate::{Money, Sku};

/// Most items of one order.
pub const LINES_MAX: usize = 50;
/// Most pieces of one item in one order.
pub const QUANTITY_MAX: u32 = 1_000;

/// Identifies an order for ever: ids are given out once, by whoever takes orders, from 1 upwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OrderId(pub u64);

impl fmt::Display for OrderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// So many pieces of an item.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Line {
    /// The item.
    pub sku: Sku,
    /// How many pieces.
    pub quantity: u32,
}

/// What an order wants: 1 to 50 different items, 1 to 1,000 pieces of each, in the order of their
/// numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Line>", into = "Vec<Line>")]
pub struct Lines(Vec<Line>);

impl Lines {
    /// Checks the rules and sorts the lines.
    ///
    /// # Errors
    /// The rule that they break.
    pub fn new(mut lines: Vec<Line>) -> Result<Lines, LinesError> {
        if lines.is_empty() || lines.len() > LINES_MAX {
            return Err(LinesError::Count { lines: lines.len() });
        }
        lines.sort_unstable();
        for line in &lines {
            if !(1..=QUANTITY_MAX).contains(&line.quantity) {
                return Err(LinesError::Quantity { sku: line.sku.clone() });
            }
        }
        match lines.windows(2).find(|pair| pair[0].sku == pair[1].sku) {
            Some(pair) => Err(LinesError::Twice { sku: pair[0].sku.clone() }),
            None => Ok(Lines(lines)),
        }
    }

    /// The lines.
    pub fn iter(&self) -> impl Iterator<Item = &Line> {
        self.0.iter()
    }
}

impl TryFrom<Vec<Line>> for Lines {
    type Error = LinesError;

    fn try_from(lines: Vec<Line>) -> Result<Lines, LinesError> {
        Lines::new(lines)
    }
}

impl From<Lines> for Vec<Line> {
    fn from(lines: Lines) -> Vec<Line> {
        lines.0
    }
}

/// Why lines cannot be ordered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum LinesError {
    /// None, or more than [`LINES_MAX`].
    Count {
        /// So many.
        lines: usize,
    },
    /// No pieces, or more than [`QUANTITY_MAX`].
    Quantity {
        /// The item.
        sku: Sku,
    },
    /// Two lines for one item.
    Twice {
        /// The item.
        sku: Sku,
    },
}

impl fmt::Display for LinesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LinesError::Count { lines } => {
                write!(f, "an order has 1 to {LINES_MAX} lines, not {lines}")
            }
            LinesError::Quantity { sku } => {
                write!(f, "an order takes 1 to {QUANTITY_MAX} pieces of {sku}")
            }
            LinesError::Twice { sku } => write!(f, "an order has one line for {sku}, not two"),
        }
    }
}

impl Error for LinesError {}

/// A line at the price that it was reserved for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PricedLine {
    /// The item.
    pub sku: Sku,
    /// How many pieces.
    pub quantity: u32,
    /// What one piece costs.
    pub price: Money,
}

/// Stock that is held for an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reservation {
    /// For whom.
    pub order_id: OrderId,
    /// What, at the prices of the moment of the reservation.
    pub lines: Vec<PricedLine>,
    /// What all of it costs.
    pub total: Money,
    /// From then on it may come back.
    pub expires_at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(sku: &str, quantity: u32) -> Line {
        Line { sku: Sku::new(sku).unwrap(), quantity }
    }

    #[test]
    fn lines_are_checked_and_sorted() {
        let sku = |sku| Sku::new(sku).unwrap();
        let many = |count: usize| (0..count).map(|n| line(&format!("i{n}"), 1)).collect::<Vec<_>>();
        for (lines, expected) in [
            (vec![line("b", 1), line("a", 1_000)], Ok(())),
            (many(50), Ok(())),
            (many(51), Err(LinesError::Count { lines: 51 })),
            (vec![], Err(LinesError::Count { lines: 0 })),
            (vec![line("a", 0)], Err(LinesError::Quantity { sku: sku("a") })),
            (vec![line("a", 1_001)], Err(LinesError::Quantity { sku: sku("a") })),
            (
                vec![line("a", 1), line("b", 1), line("a", 2)],
                Err(LinesError::Twice { sku: sku("a") }),
            ),
        ] {
            assert_eq!(Lines::new(lines.clone()).map(|_| ()), expected);
            let json = serde_json::to_string(&lines).unwrap();
            assert_eq!(serde_json::from_str::<Lines>(&json).is_ok(), expected.is_ok());
        }
        let sorted = Lines::new(vec![line("b", 1), line("a", 2)]).unwrap();
        assert!(sorted.iter().eq(&[line("a", 2), line("b", 1)]));
    }
}
