//! Which columns are meant: by name as the user says it, by place as the header has it.
//!
//! Plain values. Invariant: the places of a [`Layout`] lie within its number of fields.

use csv_core::{ReadFieldResult, ReaderBuilder};
use serde::{Deserialize, Serialize};

use super::{CsvError, Delimiter};

const COLUMNS_SHOWN_MAX: usize = 50;

/// What the user asks for, in the words of the file's header.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Selection {
    /// The column to group by.
    pub key: String,
    /// The column to sum up.
    pub value: String,
    /// The byte between two fields.
    pub delimiter: Delimiter,
}

impl Selection {
    /// Two columns of a file with commas.
    #[must_use]
    pub fn new(key: impl Into<String>, value: impl Into<String>) -> Selection {
        Selection { key: key.into(), value: value.into(), delimiter: Delimiter::COMMA }
    }
}

/// Where the columns of a [`Selection`] are in a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layout {
    pub(super) delimiter: Delimiter,
    pub(super) fields: usize,
    pub(super) key: usize,
    pub(super) value: usize,
}

impl Layout {
    /// Finds the columns in the header's record, given without its line end.
    pub(super) fn find(selection: &Selection, header: &[u8]) -> Result<Layout, CsvError> {
        let names = parse(header, selection.delimiter);
        Ok(Layout {
            delimiter: selection.delimiter,
            fields: names.len(),
            key: place(&names, &selection.key)?,
            value: place(&names, &selection.value)?,
        })
    }
}

fn place(names: &[Vec<u8>], wanted: &str) -> Result<usize, CsvError> {
    let mut places = (0..names.len()).filter(|&at| names[at] == wanted.as_bytes());
    match (places.next(), places.next()) {
        (Some(place), None) => Ok(place),
        (Some(_), Some(_)) => Err(CsvError::AmbiguousColumn { name: wanted.to_owned() }),
        (None, _) => Err(CsvError::UnknownColumn {
            name: wanted.to_owned(),
            columns: names.iter().take(COLUMNS_SHOWN_MAX).map(|name| shown(name)).collect(),
        }),
    }
}

fn shown(name: &[u8]) -> String {
    String::from_utf8_lossy(name).chars().take(COLUMNS_SHOWN_MAX).collect()
}

/// The fields of one record.
fn parse(record: &[u8], delimiter: Delimiter) -> Vec<Vec<u8>> {
    let mut reader = ReaderBuilder::new().delimiter(delimiter.byte()).build();
    let mut fields = Vec::new();
    let mut field = vec![0; record.len() + 1];
    let (mut at, mut len) = (0, 0);
    loop {
        let (result, read, written) = reader.read_field(&record[at..], &mut field[len..]);
        at += read;
        len += written;
        match result {
            // At the end of the record the next call gets no bytes, which ends the last field.
            ReadFieldResult::InputEmpty => {}
            ReadFieldResult::Field { record_end } => {
                fields.push(field[..len].to_vec());
                len = 0;
                if record_end {
                    return fields;
                }
            }
            ReadFieldResult::End => return fields,
            ReadFieldResult::OutputFull => unreachable!("a field is not longer than its record"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(header: &str) -> Result<(usize, usize, usize), CsvError> {
        let layout = Layout::find(&Selection::new("region", "amount"), header.as_bytes())?;
        Ok((layout.fields, layout.key, layout.value))
    }

    #[test]
    fn columns_are_found_by_name() {
        assert_eq!(find("id,region,amount"), Ok((3, 1, 2)));
        assert_eq!(find("amount,region"), Ok((2, 1, 0)));
        assert_eq!(find("\"amount\",\"a\"\"b\",\"region\",,"), Ok((5, 2, 0)));
    }

    #[test]
    fn one_column_may_be_both() {
        let layout = Layout::find(&Selection::new("n", "n"), b"n").unwrap();
        assert_eq!((layout.fields, layout.key, layout.value), (1, 0, 0));
    }

    #[test]
    fn a_missing_column_is_an_error_that_lists_the_others() {
        let error = find("id, region,amount").unwrap_err();
        assert_eq!(
            error.to_string(),
            r#"the header has no column "region"; it has ["id", " region", "amount"]"#
        );
        let Err(CsvError::UnknownColumn { columns, .. }) = find(&"long".repeat(100_000)) else {
            panic!("there is no such column");
        };
        assert_eq!(columns[0].len(), COLUMNS_SHOWN_MAX);
        let Err(CsvError::UnknownColumn { columns, .. }) = find(&"x,".repeat(100_000)) else {
            panic!("there is no such column");
        };
        assert_eq!(columns.len(), COLUMNS_SHOWN_MAX);
    }

    #[test]
    fn a_column_named_twice_is_an_error_only_when_it_is_asked_for() {
        assert_eq!(
            find("region,amount,region"),
            Err(CsvError::AmbiguousColumn { name: "region".into() })
        );
        assert_eq!(find("x,region,x,amount"), Ok((4, 1, 3)));
    }
}
