//! Rows: serde values as compact bytes (postcard). Their order is that of the keys; a change of a
//! row's type is a change of its file's format.

use std::fmt;

use serde::{Serialize, de::DeserializeOwned};

use crate::Fault;

/// The bytes of a row.
///
/// # Panics
/// The type's `Serialize` refuses, which derived ones do not.
pub fn encode<T: Serialize>(row: &T) -> Vec<u8> {
    postcard::to_stdvec(row).expect("a derived Serialize does not refuse")
}

/// The row of these bytes; `name` says which one it is when they are none.
///
/// # Errors
/// [`Fault::Corrupt`].
pub fn decode<T: DeserializeOwned>(bytes: &[u8], name: impl fmt::Display) -> Result<T, Fault> {
    postcard::from_bytes(bytes).map_err(|_| Fault::corrupt(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_read_back_and_damage_is_named() {
        let bytes = encode(&(7_u64, "pen".to_owned()));
        assert_eq!(decode::<(u64, String)>(&bytes, "item 7").unwrap(), (7, "pen".to_owned()));
        let error = decode::<(u64, String)>(&bytes[..2], "item 7").unwrap_err();
        assert_eq!(error.to_string(), "item 7 is corrupt");
    }
}
