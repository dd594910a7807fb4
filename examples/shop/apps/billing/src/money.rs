//! Amounts of money, in whole cents of a currency.
//!
//! Plain values. Invariant: arithmetic is exact or refused; nothing wraps, rounds or saturates, so
//! there is no `Add` and no float, and two currencies are never mixed.

use std::{collections::BTreeMap, error::Error, fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::Currency;

/// An amount in cents; negative is a debt. Serialized as the whole number of cents.
///
/// # Examples
/// ```
/// use shop_billing::Cents;
/// let price: Cents = "12.34".parse().unwrap();
/// assert_eq!(price, Cents(1234));
/// assert_eq!(price.checked_add(Cents(66)).unwrap().to_string(), "13.00");
/// ```
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Cents(pub i64);

impl Cents {
    /// Nothing.
    pub const ZERO: Cents = Cents(0);
    /// The most that an account can hold: 92,233,720,368,547,758.07.
    pub const MAX: Cents = Cents(i64::MAX);

    /// The sum, or `None` when it does not fit.
    #[must_use]
    pub fn checked_add(self, other: Cents) -> Option<Cents> {
        self.0.checked_add(other.0).map(Cents)
    }

    /// The difference, or `None` when it does not fit.
    #[must_use]
    pub fn checked_sub(self, other: Cents) -> Option<Cents> {
        self.0.checked_sub(other.0).map(Cents)
    }

    /// The same amount owed instead of owned, or `None` when it does not fit.
    #[must_use]
    pub fn checked_neg(self) -> Option<Cents> {
        self.0.checked_neg().map(Cents)
    }

    /// More than nothing.
    #[must_use]
    pub fn is_positive(self) -> bool {
        self.0 > 0
    }

    /// The amount in a currency.
    #[must_use]
    pub fn of(self, currency: Currency) -> Money {
        Money { cents: self, currency }
    }
}

/// An amount of one currency.
///
/// # Examples
/// ```
/// use shop_billing::{Cents, Currency, Money};
/// let price = Cents(1234).of(Currency::EUR);
/// assert_eq!(price.to_string(), "12.34 EUR");
/// assert!(price.checked_add(Cents(1).of(Currency::USD)).is_err());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Money {
    /// How much.
    pub cents: Cents,
    /// Of what.
    pub currency: Currency,
}

impl Money {
    /// The sum.
    ///
    /// # Errors
    /// [`MoneyError`].
    pub fn checked_add(self, other: Money) -> Result<Money, MoneyError> {
        self.combined(other, Cents::checked_add)
    }

    /// The difference.
    ///
    /// # Errors
    /// [`MoneyError`].
    pub fn checked_sub(self, other: Money) -> Result<Money, MoneyError> {
        self.combined(other, Cents::checked_sub)
    }

    fn combined(
        self,
        other: Money,
        combine: impl FnOnce(Cents, Cents) -> Option<Cents>,
    ) -> Result<Money, MoneyError> {
        if self.currency != other.currency {
            return Err(MoneyError::Mixed { left: self.currency, right: other.currency });
        }
        let cents = combine(self.cents, other.cents).ok_or(MoneyError::TooLarge)?;
        Ok(cents.of(self.currency))
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.cents, self.currency)
    }
}

/// Why two amounts have no sum or difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum MoneyError {
    /// They are of different currencies.
    Mixed {
        /// The first one's.
        left: Currency,
        /// The second one's.
        right: Currency,
    },
    /// The result does not fit into 64 bits of cents.
    TooLarge,
}

impl fmt::Display for MoneyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MoneyError::Mixed { left, right } => {
                write!(f, "{left} and {right} cannot be added up; convert one of them first")
            }
            MoneyError::TooLarge => f.write_str("the amount is too large"),
        }
    }
}

impl Error for MoneyError {}

/// What an account holds: an amount for each currency that it was ever paid in.
///
/// Serialized as an object: `{"EUR":1234,"USD":5}`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Balances(BTreeMap<Currency, Cents>);

impl Balances {
    /// The amount in a currency; zero for one that the account was never paid in.
    #[must_use]
    pub fn of(&self, currency: Currency) -> Cents {
        self.0.get(&currency).copied().unwrap_or_default()
    }

    /// Every amount, in the order of the currencies' codes.
    pub fn iter(&self) -> impl Iterator<Item = Money> {
        self.0.iter().map(|(&currency, &cents)| cents.of(currency))
    }

    /// Takes a newer balance.
    pub(crate) fn set(&mut self, balance: Money) {
        self.0.insert(balance.currency, balance.cents);
    }
}

impl FromIterator<Money> for Balances {
    fn from_iter<I: IntoIterator<Item = Money>>(amounts: I) -> Balances {
        Balances(amounts.into_iter().map(|money| (money.currency, money.cents)).collect())
    }
}

/// Two fraction digits, always: `12.34`, `-0.05`.
impl fmt::Display for Cents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cents = self.0.unsigned_abs();
        f.pad_integral(self.0 >= 0, "", &format!("{}.{:02}", cents / 100, cents % 100))
    }
}

/// Reads `12`, `12.3`, `12.34`, with an optional sign. Fractions of a cent are refused, not rounded.
impl FromStr for Cents {
    type Err = ParseCentsError;

    fn from_str(text: &str) -> Result<Cents, ParseCentsError> {
        let (negative, digits) = match text.as_bytes().first() {
            Some(b'-') => (true, &text[1..]),
            Some(b'+') => (false, &text[1..]),
            _ => (false, text),
        };
        let (whole, fraction) = match digits.split_once('.') {
            Some((_, "")) => return Err(ParseCentsError::Malformed),
            Some((whole, fraction)) => (whole, fraction),
            None => (digits, ""),
        };
        let plain = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || !plain(whole) || !plain(fraction) {
            return Err(ParseCentsError::Malformed);
        }
        if fraction.len() > 2 {
            return Err(ParseCentsError::TooPrecise);
        }
        let magnitude = [whole, fraction, &"00"[fraction.len()..]].concat();
        let signed = if negative { "-" } else { "" }.to_owned() + &magnitude;
        signed.parse().map(Cents).map_err(|_| ParseCentsError::TooLarge)
    }
}

/// Why a text is not an amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum ParseCentsError {
    /// Not of the form `12.34`.
    Malformed,
    /// More than two fraction digits.
    TooPrecise,
    /// Does not fit into 64 bits of cents.
    TooLarge,
}

impl fmt::Display for ParseCentsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ParseCentsError::Malformed => "an amount looks like 12.34",
            ParseCentsError::TooPrecise => "an amount has at most two digits after the point",
            ParseCentsError::TooLarge => "the amount is too large",
        })
    }
}

impl Error for ParseCentsError {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn amounts_are_parsed_or_refused() {
        use ParseCentsError::{Malformed, TooLarge, TooPrecise};
        for (text, expected) in [
            ("12.34", Ok(1234)),
            ("12", Ok(1200)),
            ("12.3", Ok(1230)),
            ("-0.05", Ok(-5)),
            ("+7", Ok(700)),
            ("0", Ok(0)),
            ("007.10", Ok(710)),
            ("92233720368547758.07", Ok(i64::MAX)),
            ("-92233720368547758.08", Ok(i64::MIN)),
            ("92233720368547758.08", Err(TooLarge)),
            ("99999999999999999999999", Err(TooLarge)),
            ("1.234", Err(TooPrecise)),
            ("", Err(Malformed)),
            ("-", Err(Malformed)),
            ("--1", Err(Malformed)),
            ("-+1", Err(Malformed)),
            (".5", Err(Malformed)),
            ("5.", Err(Malformed)),
            ("1.2.3", Err(Malformed)),
            ("1,000", Err(Malformed)),
            ("1e3", Err(Malformed)),
            (" 1", Err(Malformed)),
            ("NaN", Err(Malformed)),
            ("١٢", Err(Malformed)),
        ] {
            assert_eq!(text.parse(), expected.map(Cents), "{text:?}");
        }
    }

    #[test]
    fn amounts_show_two_digits_after_the_point() {
        for (cents, expected) in [
            (0, "0.00"),
            (5, "0.05"),
            (-5, "-0.05"),
            (1234, "12.34"),
            (i64::MIN, "-92233720368547758.08"),
        ] {
            assert_eq!(Cents(cents).to_string(), expected);
        }
        assert_eq!(format!("{:>8}|{:<8}|", Cents(1234), Cents(-5)), "   12.34|-0.05   |");
    }

    #[test]
    fn arithmetic_is_refused_when_it_does_not_fit() {
        assert_eq!(Cents::MAX.checked_add(Cents(1)), None);
        assert_eq!(Cents(i64::MIN).checked_sub(Cents(1)), None);
        assert_eq!(Cents(3).checked_sub(Cents(5)), Some(Cents(-2)));
        assert_eq!(Cents(i64::MIN).checked_neg(), None);
        assert_eq!(Cents(5).checked_neg(), Some(Cents(-5)));
        assert!(Cents(1).is_positive() && !Cents::ZERO.is_positive());
    }

    #[test]
    fn currencies_are_not_mixed() {
        let (euros, dollars) = (Cents(300).of(Currency::EUR), Cents(500).of(Currency::USD));
        assert_eq!(
            euros.checked_sub(Cents(500).of(Currency::EUR)),
            Ok(Cents(-200).of(Currency::EUR))
        );
        let mixed = euros.checked_add(dollars).unwrap_err();
        assert_eq!(mixed, MoneyError::Mixed { left: Currency::EUR, right: Currency::USD });
        assert_eq!(mixed.to_string(), "EUR and USD cannot be added up; convert one of them first");
        let large = Cents::MAX.of(Currency::EUR).checked_add(euros);
        assert_eq!(large, Err(MoneyError::TooLarge));
    }

    #[test]
    fn an_account_has_one_balance_per_currency() {
        let mut balances = Balances::default();
        assert_eq!(balances.of(Currency::EUR), Cents::ZERO);
        balances.set(Cents(5).of(Currency::USD));
        balances.set(Cents(7).of(Currency::EUR));
        balances.set(Cents(8).of(Currency::EUR));
        assert_eq!(serde_json::to_string(&balances).unwrap(), r#"{"EUR":8,"USD":5}"#);
        assert_eq!(serde_json::from_str::<Balances>(r#"{"EUR":8,"USD":5}"#).unwrap(), balances);
        assert_eq!(balances.iter().collect::<Balances>(), balances);
    }

    #[test]
    fn json_is_the_number_of_cents() {
        assert_eq!(serde_json::to_string(&Cents(1234)).unwrap(), "1234");
        assert!(serde_json::from_str::<Cents>("12.34").is_err());
    }

    proptest! {
        #[test]
        fn what_is_shown_is_read_back(cents: i64) {
            prop_assert_eq!(Cents(cents).to_string().parse(), Ok(Cents(cents)));
        }
    }
}
