//! Text with a limit.
//!
//! Lives here: [`Limited`]. Pure.
//!
//! Invariants: the text holds at most its limit in bytes, whole characters only; formatting stops where the limit is
//! reached, so showing a huge value costs no more than the limit.

use std::fmt::{self, Write};

/// The limit unless another is given: 4 KiB.
pub const BYTES_MAX_DEFAULT: usize = 4096;

/// A text cut at a limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limited {
    text: String,
    bytes_max: usize,
    is_cut: bool,
}

impl Limited {
    /// What this shows, at most [`BYTES_MAX_DEFAULT`] of it.
    ///
    /// # Examples
    /// ```
    /// use linden::report::Limited;
    ///
    /// assert_eq!(Limited::new("ok").to_string(), "ok");
    /// let huge = Limited::with_limit(format_args!("{:?}", [0; 1000]), 10);
    /// assert_eq!(huge.to_string(), "[0, 0, 0, ... (cut at 10 bytes)");
    /// ```
    pub fn new(shown: impl fmt::Display) -> Self {
        Self::with_limit(shown, BYTES_MAX_DEFAULT)
    }

    /// What the value's `Debug` shows, at most [`BYTES_MAX_DEFAULT`] of it.
    pub fn debug(shown: &impl fmt::Debug) -> Self {
        Self::new(format_args!("{shown:?}"))
    }

    /// What this shows, at most `bytes_max` of it.
    pub fn with_limit(shown: impl fmt::Display, bytes_max: usize) -> Self {
        let mut limited = Self { text: String::new(), bytes_max, is_cut: false };
        if write!(limited, "{shown}").is_err() && !limited.is_cut {
            // Its own formatting failed. What it had shown until then is kept.
            limited.is_cut = true;
        }
        limited
    }

    /// The text, without the remark that it was cut.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether something is missing at the end.
    pub fn is_cut(&self) -> bool {
        self.is_cut
    }
}

/// Takes what fits, then refuses.
impl Write for Limited {
    fn write_str(&mut self, more: &str) -> fmt::Result {
        let room = if self.is_cut { 0 } else { self.bytes_max - self.text.len() };
        if more.len() <= room {
            self.text.push_str(more);
            return Ok(());
        }
        self.text.push_str(&more[..more.floor_char_boundary(room)]);
        self.is_cut = true;
        Err(fmt::Error)
    }
}

impl fmt::Display for Limited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)?;
        if self.is_cut {
            write!(f, "... (cut at {} bytes)", self.bytes_max)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn text_of_exactly_the_limit_is_whole() {
        let limited = Limited::with_limit("12345", 5);
        assert_eq!((limited.as_str(), limited.is_cut()), ("12345", false));
    }

    #[test]
    fn longer_text_is_cut_on_a_character() {
        let limited = Limited::with_limit("aüü", 4);
        assert_eq!(limited.to_string(), "aü... (cut at 4 bytes)");
        assert_eq!(Limited::with_limit("ü", 0).to_string(), "... (cut at 0 bytes)");
    }

    #[test]
    fn default_limit_is_four_kib() {
        assert_eq!(Limited::new("x".repeat(5000)).as_str().len(), 4096);
    }

    #[test]
    fn formatting_stops_at_the_limit() {
        struct Endless<'a>(&'a std::cell::Cell<usize>);
        impl fmt::Debug for Endless<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                loop {
                    self.0.set(self.0.get() + 1);
                    f.write_str("xxxx")?;
                }
            }
        }
        let written = std::cell::Cell::new(0);
        let limited = Limited::debug(&Endless(&written));
        assert_eq!((limited.as_str().len(), written.get()), (4096, 1025));
    }

    #[test]
    fn value_that_ignores_the_refusal_does_not_slip_in_later() {
        struct Stubborn;
        impl fmt::Display for Stubborn {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let _ = f.write_str("long text");
                let _ = f.write_str("x");
                Ok(())
            }
        }
        assert_eq!(Limited::with_limit(Stubborn, 4).as_str(), "long");
        // A cut on a character leaves room in bytes, which must stay empty.
        struct Wide;
        impl fmt::Display for Wide {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let _ = f.write_str("üü");
                let _ = f.write_str("x");
                Ok(())
            }
        }
        assert_eq!(Limited::with_limit(Wide, 3).as_str(), "ü");
    }

    #[test]
    fn value_that_fails_to_show_itself_keeps_what_it_had_shown() {
        struct Failing;
        impl fmt::Display for Failing {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("half")?;
                Err(fmt::Error)
            }
        }
        let limited = Limited::new(Failing);
        assert_eq!((limited.as_str(), limited.is_cut()), ("half", true));
    }

    proptest! {
        #[test]
        fn never_longer_than_the_limit_and_a_prefix(text in ".{0,40}", max in 0_usize..50) {
            let limited = Limited::with_limit(&text, max);
            prop_assert!(limited.as_str().len() <= max);
            prop_assert!(text.starts_with(limited.as_str()));
            prop_assert_eq!(limited.is_cut(), text.len() > max);
        }
    }
}
