//! The key that a form carries: sent twice, by a double click or a reload, it counts once.

use std::fmt;

use shop_billing::IdempotencyKey;

/// Made for each form that is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FormKey(IdempotencyKey);

impl FormKey {
    /// One that nobody has.
    pub(super) fn new() -> FormKey {
        let text = format!("page-{:032x}", rand::random::<u128>());
        FormKey(IdempotencyKey::new(&text).expect("it is short, and of letters and digits"))
    }

    /// The one that a form came with.
    pub(super) fn sent(text: &str) -> Option<IdempotencyKey> {
        IdempotencyKey::new(text).ok()
    }
}

impl fmt::Display for FormKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_differ_and_come_back_as_they_were() {
        let (one, other) = (FormKey::new(), FormKey::new());
        assert_ne!(one, other);
        assert_eq!(FormKey::sent(&one.to_string()), Some(one.0));
        assert_eq!(FormKey::sent(""), None);
    }
}
