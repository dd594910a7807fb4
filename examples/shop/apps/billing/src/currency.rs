//! Currencies, by their ISO 4217 codes.
//!
//! A plain value. Invariant: a [`Currency`] is one that the ledger knows, and its smallest unit is a
//! hundredth, for the ledger counts cents. Absent on purpose: rates and conversion.

use std::{error::Error, fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// What the ledger knows. Currencies without hundredths (JPY, KWD) cannot be in it.
const KNOWN: [&[u8; 3]; 16] = [
    b"AUD", b"BRL", b"CAD", b"CHF", b"CNY", b"CZK", b"DKK", b"EUR", b"GBP", b"INR", b"NOK", b"NZD",
    b"PLN", b"SEK", b"USD", b"ZAR",
];

/// A currency that the ledger knows. Serialized as its code of three capital letters.
///
/// # Examples
/// ```
/// use shop_billing::Currency;
/// let currency: Currency = "EUR".parse().unwrap();
/// assert_eq!(currency, Currency::EUR);
/// assert!("eur".parse::<Currency>().is_err());
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Currency([u8; 3]);

impl Currency {
    /// The euro.
    pub const EUR: Currency = Currency(*b"EUR");
    /// The dollar of the United States.
    pub const USD: Currency = Currency(*b"USD");

    /// The three letters.
    pub fn code(&self) -> &str {
        str::from_utf8(&self.0).expect("a known code is ASCII")
    }

    /// Every currency that the ledger knows, in the order of their codes.
    pub fn known() -> impl Iterator<Item = Currency> {
        KNOWN.into_iter().map(|code| Currency(*code))
    }

    /// The letters as they are stored.
    pub(crate) fn bytes(&self) -> &[u8; 3] {
        &self.0
    }

    /// The currency of stored letters.
    pub(crate) fn from_bytes(code: &[u8; 3]) -> Option<Currency> {
        KNOWN.contains(&code).then_some(Currency(*code))
    }
}

impl FromStr for Currency {
    type Err = UnknownCurrency;

    fn from_str(code: &str) -> Result<Currency, UnknownCurrency> {
        let bytes = code.as_bytes().try_into().ok();
        bytes.and_then(Currency::from_bytes).ok_or_else(|| UnknownCurrency {
            code: code.chars().take(UNKNOWN_CODE_LEN_MAX).collect(),
        })
    }
}

impl TryFrom<String> for Currency {
    type Error = UnknownCurrency;

    fn try_from(code: String) -> Result<Currency, UnknownCurrency> {
        code.parse()
    }
}

impl From<Currency> for String {
    fn from(currency: Currency) -> String {
        currency.code().to_owned()
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.code())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// Most characters of a text that is no currency that its error repeats.
const UNKNOWN_CODE_LEN_MAX: usize = 8;

/// The text is no currency of the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnknownCurrency {
    /// The text, cut to its first 8 characters.
    pub code: String,
}

impl fmt::Display for UnknownCurrency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known: Vec<String> = Currency::known().map(String::from).collect();
        let known = known.join(", ");
        write!(f, "{:?} is no currency of the ledger, which knows {known}", self.code)
    }
}

impl Error for UnknownCurrency {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_known_or_refused_with_what_is_known() {
        for currency in Currency::known() {
            assert_eq!(currency.code().parse(), Ok(currency));
        }
        for code in ["", "EU", "EURO", "eur", "JPY", "€UR", "a very long text"] {
            let error = code.parse::<Currency>().unwrap_err();
            assert!(error.code.chars().count() <= UNKNOWN_CODE_LEN_MAX);
            assert!(error.to_string().ends_with(
                "which knows AUD, BRL, CAD, CHF, CNY, CZK, DKK, \
                EUR, GBP, INR, NOK, NZD, PLN, SEK, USD, ZAR"
            ));
        }
    }

    #[test]
    fn json_is_the_code_and_is_checked() {
        assert_eq!(serde_json::to_string(&Currency::EUR).unwrap(), r#""EUR""#);
        assert_eq!(serde_json::from_str::<Currency>(r#""USD""#).unwrap(), Currency::USD);
        let error = serde_json::from_str::<Currency>(r#""JPY""#).unwrap_err().to_string();
        assert!(error.contains(r#""JPY" is no currency of the ledger"#), "{error}");
    }
}
