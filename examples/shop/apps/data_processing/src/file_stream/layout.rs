//! Which columns are meant: by name as the user says it, by place as the header has it.
//!
//! Plain values. Invariant: the places of a [`CsvLayout`] lie within its number of fields.

use csv_core::{ReadFieldResult, ReaderBuilder};
use serde::{Deserialize, Serialize};

use crate::{Delimiter, EventTime, FileError, Format, Timestamp, When};

const COLUMNS_SHOWN_MAX: usize = 50;
/// Objects within objects that a path of NDJSON goes through; members below it are missing.
pub const PATH_DEPTH_MAX: usize = 16;

/// What the user asks for, in the words of the file.
///
/// A column of CSV is a name of the header. A column of NDJSON is a member's name, or a path of names
/// with dots between them; the dots may also be a part of a name.
///
/// # Examples
/// ```
/// use shop_data_processing::{Format, Selection};
/// let selection = Selection {
///     format: Format::Ndjson,
///     distinct: Some("user.id".to_owned()),
///     ..Selection::new("region", "amount")
/// };
/// assert_eq!(selection.time, None);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Selection {
    /// How the file is written, once it is expanded.
    pub format: Format,
    /// The column to group by.
    pub key: String,
    /// The column to sum up.
    pub value: String,
    /// The column whose different values are counted.
    pub distinct: Option<String>,
    /// The column and windows to group by as well.
    pub time: Option<EventTime>,
}

impl Selection {
    /// Two columns of a CSV file with commas.
    #[must_use]
    pub fn new(key: impl Into<String>, value: impl Into<String>) -> Selection {
        Selection {
            format: Format::CSV,
            key: key.into(),
            value: value.into(),
            distinct: None,
            time: None,
        }
    }
}

/// Where the columns of a [`Selection`] are in a record, and what is done with them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layout {
    pub(super) rows: RowLayout,
    time: Option<EventTime>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum RowLayout {
    Csv(CsvLayout),
    Ndjson(NdjsonLayout),
}

/// Places of columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct CsvLayout {
    pub(super) delimiter: Delimiter,
    pub(super) fields: usize,
    pub(super) key: usize,
    pub(super) value: usize,
    pub(super) distinct: Option<usize>,
    pub(super) time: Option<usize>,
}

/// Paths of members.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct NdjsonLayout {
    pub(super) key: String,
    pub(super) value: String,
    pub(super) distinct: Option<String>,
    pub(super) time: Option<String>,
}

impl Layout {
    /// Finds the columns in the header's record, given without its line end.
    pub(super) fn of_header(
        selection: &Selection,
        delimiter: Delimiter,
        header: &[u8],
    ) -> Result<Layout, FileError> {
        let names = parse(header, delimiter);
        let time = selection.time.as_ref();
        let layout = CsvLayout {
            delimiter,
            fields: names.len(),
            key: place(&names, &selection.key)?,
            value: place(&names, &selection.value)?,
            distinct: selection.distinct.as_ref().map(|name| place(&names, name)).transpose()?,
            time: time.map(|time| place(&names, &time.column)).transpose()?,
        };
        Ok(Layout { rows: RowLayout::Csv(layout), time: selection.time.clone() })
    }

    /// NDJSON has no header.
    pub(super) fn of_ndjson(selection: &Selection) -> Layout {
        let Selection { key, value, distinct, time, .. } = selection.clone();
        let column = time.as_ref().map(|time| time.column.clone());
        let layout = NdjsonLayout { key, value, distinct, time: column };
        Layout { rows: RowLayout::Ndjson(layout), time }
    }

    pub(super) fn format(&self) -> Format {
        match &self.rows {
            RowLayout::Csv(layout) => Format::Csv { delimiter: layout.delimiter },
            RowLayout::Ndjson(_) => Format::Ndjson,
        }
    }

    /// What a row's time means; `time` is that of its time column.
    pub(super) fn when(&self, time: Option<Timestamp>) -> When {
        match (&self.time, time) {
            (Some(over), Some(time)) => When::At { time, windows: over.windows, late: over.late },
            _ => When::Whenever,
        }
    }
}

fn place(names: &[Vec<u8>], wanted: &str) -> Result<usize, FileError> {
    let mut places = (0..names.len()).filter(|&at| names[at] == wanted.as_bytes());
    match (places.next(), places.next()) {
        (Some(place), None) => Ok(place),
        (Some(_), Some(_)) => Err(FileError::AmbiguousColumn { name: wanted.to_owned() }),
        (None, _) => Err(FileError::UnknownColumn {
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
    use std::time::Duration;

    use super::*;
    use crate::{Late, Windows};

    fn layout(selection: &Selection, header: &str) -> Result<CsvLayout, FileError> {
        let layout = Layout::of_header(selection, Delimiter::COMMA, header.as_bytes())?;
        match layout.rows {
            RowLayout::Csv(layout) => Ok(layout),
            RowLayout::Ndjson(_) => panic!("a header is of CSV"),
        }
    }

    fn find(header: &str) -> Result<(usize, usize, usize), FileError> {
        let layout = layout(&Selection::new("region", "amount"), header)?;
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
        let layout = layout(&Selection::new("n", "n"), "n").unwrap();
        assert_eq!((layout.fields, layout.key, layout.value), (1, 0, 0));
    }

    #[test]
    fn the_columns_of_times_and_distinct_values_are_found_as_well() {
        let selection = |name: &str| Selection {
            distinct: Some(name.to_owned()),
            time: Some(EventTime {
                column: "at".to_owned(),
                windows: Windows::tumbling(Duration::from_secs(1)).unwrap(),
                late: Late::Include,
            }),
            ..Selection::new("k", "v")
        };
        let found = layout(&selection("user"), "at,k,user,v").unwrap();
        assert_eq!((found.time, found.distinct), (Some(0), Some(2)));
        let error = layout(&selection("city"), "at,k,user,v").unwrap_err();
        assert!(matches!(error, FileError::UnknownColumn { name, .. } if name == "city"));
        let error = layout(&selection("user"), "k,user,v").unwrap_err();
        assert!(matches!(error, FileError::UnknownColumn { name, .. } if name == "at"));
    }

    #[test]
    fn a_missing_column_is_an_error_that_lists_the_others() {
        let error = find("id, region,amount").unwrap_err();
        assert_eq!(
            error.to_string(),
            r#"the header has no column "region"; it has ["id", " region", "amount"]"#
        );
        let Err(FileError::UnknownColumn { columns, .. }) = find(&"long".repeat(100_000)) else {
            panic!("there is no such column");
        };
        assert_eq!(columns[0].len(), COLUMNS_SHOWN_MAX);
        let Err(FileError::UnknownColumn { columns, .. }) = find(&"x,".repeat(100_000)) else {
            panic!("there is no such column");
        };
        assert_eq!(columns.len(), COLUMNS_SHOWN_MAX);
    }

    #[test]
    fn a_column_named_twice_is_an_error_only_when_it_is_asked_for() {
        assert_eq!(
            find("region,amount,region"),
            Err(FileError::AmbiguousColumn { name: "region".into() })
        );
        assert_eq!(find("x,region,x,amount"), Ok((4, 1, 3)));
    }
}
