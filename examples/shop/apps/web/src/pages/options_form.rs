//! The options of an upload as fields of a form, with what is wrong beside each.
//!
//! Pure. The rules are those of [`Options`]; this says which field breaks them.

use std::{fmt::Display, str::FromStr};

use linden::config::duration;
use shop_data_processing::{Format, Options, OptionsError, Selection};

use super::failure::sentence;

/// A field of text: what its user wrote, and what is wrong with it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) text: String,
    pub(super) mistake: Option<String>,
}

/// All of them, by the names that the form has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct OptionsForm {
    pub(super) key: Field,
    pub(super) value: Field,
    pub(super) format: Field,
    pub(super) delimiter: Field,
    pub(super) distinct: Field,
    pub(super) time: Field,
    pub(super) window: Field,
    pub(super) every: Field,
    pub(super) late: Field,
    pub(super) lateness: Field,
}

impl OptionsForm {
    /// Takes a field of the form; one that the form does not have is passed over.
    pub(super) fn set(&mut self, name: &str, text: String) {
        let field = match name {
            "key" => &mut self.key,
            "value" => &mut self.value,
            "format" => &mut self.format,
            "delimiter" => &mut self.delimiter,
            "distinct" => &mut self.distinct,
            "time" => &mut self.time,
            "window" => &mut self.window,
            "every" => &mut self.every,
            "late" => &mut self.late,
            "lateness" => &mut self.lateness,
            _ => return,
        };
        // A tab is a delimiter.
        let text = if name == "delimiter" { text } else { text.trim().to_owned() };
        *field = Field { text, mistake: None };
    }

    /// What is to be done with a file of which `told` is known. `None` when a field is wrong, which
    /// then says so.
    pub(super) fn selection(&mut self, told: Option<Format>) -> Option<Selection> {
        let options = Options {
            key: self.key.required("Name the column to group by."),
            value: self.value.required("Name the column to add up."),
            format: self.format.parsed(),
            delimiter: self.delimiter.parsed(),
            distinct: self.distinct.parsed(),
            time: self.time.parsed(),
            window: self.window.duration(),
            every: self.every.duration(),
            late: self.late.parsed(),
            lateness: self.lateness.duration(),
        };
        if self.has_mistakes() {
            return None;
        }
        match options.selection(told) {
            Ok(selection) => Some(selection),
            Err(error) => {
                self.field_of(error).mistake = Some(sentence(&error.to_string()));
                None
            }
        }
    }

    /// Whether the part of the form that is folded away has something to show.
    pub(super) fn is_detailed(&self) -> bool {
        self.details().iter().any(|field| !field.text.is_empty() || field.mistake.is_some())
    }

    fn details(&self) -> [&Field; 8] {
        [
            &self.format,
            &self.delimiter,
            &self.distinct,
            &self.time,
            &self.window,
            &self.every,
            &self.late,
            &self.lateness,
        ]
    }

    fn has_mistakes(&self) -> bool {
        let of_columns = [&self.key, &self.value];
        of_columns.into_iter().chain(self.details()).any(|field| field.mistake.is_some())
    }

    /// Where what does not fit together is mended.
    fn field_of(&mut self, error: OptionsError) -> &mut Field {
        match error {
            OptionsError::Format(_) => &mut self.delimiter,
            OptionsError::TimeWithoutWindow => &mut self.window,
            OptionsError::WindowWithoutTime => &mut self.time,
            OptionsError::LatenessWithoutDrop => &mut self.lateness,
            _ => &mut self.every,
        }
    }
}

impl Field {
    fn required(&mut self, words: &str) -> String {
        if self.text.is_empty() {
            self.mistake = Some(words.to_owned());
        }
        self.text.clone()
    }

    fn parsed<T: FromStr<Err: Display>>(&mut self) -> Option<T> {
        let parsed = (!self.text.is_empty()).then(|| self.text.parse::<T>())?;
        self.good(parsed)
    }

    fn duration(&mut self) -> Option<std::time::Duration> {
        let parsed = (!self.text.is_empty()).then(|| duration::parse(&self.text))?;
        self.good(parsed)
    }

    fn good<T, E: Display>(&mut self, parsed: Result<T, E>) -> Option<T> {
        parsed.map_err(|error| self.mistake = Some(sentence(&error.to_string()))).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(fields: &[(&str, &str)]) -> OptionsForm {
        let mut form = OptionsForm::default();
        fields.iter().for_each(|(name, text)| form.set(name, (*text).to_owned()));
        form
    }

    #[test]
    fn what_is_filled_in_is_what_is_done() {
        let mut filled =
            form(&[("key", " region "), ("value", "amount"), ("window", ""), ("x", "y")]);
        let selection = filled.selection(Some(Format::Ndjson)).unwrap();
        assert_eq!((selection.key.as_str(), selection.format), ("region", Format::Ndjson));
        assert!(!filled.is_detailed());
        let mut windows = form(&[("key", "k"), ("value", "v"), ("time", "t"), ("window", "1h")]);
        assert!(windows.selection(None).unwrap().time.is_some());
        assert!(windows.is_detailed());
    }

    #[test]
    fn what_is_wrong_is_said_at_its_field() {
        type Place = fn(&OptionsForm) -> &Field;
        type Fields<'f> = &'f [(&'f str, &'f str)];
        let columns = [("key", "k"), ("value", "v")];
        let table: [(Fields<'_>, Place, &str); 9] = [
            (&[("key", "")], |form| &form.key, "group by"),
            (&[("value", "")], |form| &form.value, "add up"),
            (&[("format", "xml")], |form| &form.format, "csv, tsv and ndjson"),
            (&[("delimiter", "ab")], |form| &form.delimiter, "delimiter"),
            (&[("format", "ndjson"), ("delimiter", ";")], |form| &form.delimiter, ""),
            (&[("time", "t")], |form| &form.window, "needs a window"),
            (&[("window", "1h")], |form| &form.time, "need the time column"),
            (&[("window", "soon")], |form| &form.window, ""),
            (&[("time", "t"), ("window", "1h"), ("every", "2h")], |form| &form.every, ""),
        ];
        for (fields, place, words) in table {
            let fields: Vec<_> = columns.iter().chain(fields).copied().collect();
            let mut form = form(&fields);
            assert_eq!(form.selection(None), None, "{fields:?}");
            let mistake = place(&form).mistake.clone().unwrap_or_default();
            assert!(!mistake.is_empty() && mistake.contains(words), "{fields:?}: {mistake}");
        }
    }
}
