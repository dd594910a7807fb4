//! The number of a promise: a family of two to six capitals, a hyphen, two or three digits (`SIG-04`).

use std::fmt;

/// A number such as `SIG-04`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Id(String);

impl Id {
    /// Reads a whole text as a number.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (family, digits) = text.split_once('-')?;
        let capitals =
            (2..=6).contains(&family.len()) && family.bytes().all(|byte| byte.is_ascii_uppercase());
        let number =
            (2..=3).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
        (capitals && number).then(|| Self(text.to_owned()))
    }

    /// The capitals.
    pub(super) fn family(&self) -> &str {
        self.0.split_once('-').map_or(&self.0, |(family, _)| family)
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// All numbers in a text, as whole words.
pub(super) fn ids(text: &str) -> impl Iterator<Item = Id> {
    text.split(|c: char| !(c.is_alphanumeric() || c == '-' || c == '_')).filter_map(Id::parse)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_whole_words() {
        let found: Vec<_> =
            ids("// SIG-04: see (EXIT-101), not XSIG-4, A-12, SIG-04b or x_SIG-04").collect();
        assert_eq!(found.iter().map(Id::to_string).collect::<Vec<_>>(), ["SIG-04", "EXIT-101"]);
    }
}
