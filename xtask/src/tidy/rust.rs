//! Splits Rust text into code and comments, line by line.
//!
//! The checks look for words in code or in comments, and must not be misled by strings: their own tests hold
//! offending text in strings. This is a lexer for just that: it knows comments (nested), strings (raw and byte
//! strings too), characters and lifetimes, and nothing else.

/// One line of Rust text.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    /// The code, without comments; of strings and characters only the quotes remain.
    pub(crate) code: String,
    /// The comment with its `//` or `/*`, without leading space; for a block comment, the part on this line.
    pub(crate) comment: String,
}

impl Line {
    /// A line comment alone on its line.
    pub(crate) fn is_comment(&self) -> bool {
        self.code.trim().is_empty() && self.comment.starts_with("//")
    }

    /// A line with nothing on it.
    pub(crate) fn is_blank(&self) -> bool {
        self.code.trim().is_empty() && self.comment.trim().is_empty()
    }
}

/// Splits a text; the result has as many lines as the text.
pub(crate) fn split(text: &str) -> Vec<Line> {
    let mut lexer = Lexer { state: State::Code, previous: ' ', lines: Vec::new() };
    for line in text.lines() {
        lexer.line(line);
    }
    lexer.lines
}

/// Says whether the code has this word, not as a part of a longer one.
pub(crate) fn has_word(code: &str, word: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(word).any(|(at, _)| {
        !code[..at].chars().next_back().is_some_and(part)
            && !code[at + word.len()..].chars().next().is_some_and(part)
    })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Code,
    /// In block comments, this deep.
    Block(usize),
    Text,
    /// In a raw string that ends with this many `#`.
    Raw(usize),
}

struct Lexer {
    state: State,
    /// The last character of code, which tells a raw string from an identifier that ends with `r`.
    previous: char,
    lines: Vec<Line>,
}

impl Lexer {
    fn line(&mut self, text: &str) {
        let chars: Vec<char> = text.chars().collect();
        let mut line = Line::default();
        let mut at = 0;
        while at < chars.len() {
            let rest = &chars[at..];
            at += match self.state {
                State::Code => self.code(rest, &mut line),
                State::Block(depth) => self.block(rest, depth, &mut line),
                State::Text => self.text(rest, &mut line),
                State::Raw(hashes) => self.raw(rest, hashes, &mut line),
            };
        }
        self.previous = ' ';
        self.lines.push(line);
    }

    /// Each of these takes at least one character and says how many.
    fn code(&mut self, rest: &[char], line: &mut Line) -> usize {
        let (taken, shown) = match rest {
            ['/', '/', ..] => {
                line.comment.extend(rest);
                return rest.len();
            }
            ['/', '*', ..] => {
                self.state = State::Block(1);
                line.comment.push_str("/*");
                return 2;
            }
            ['"', ..] => {
                self.state = State::Text;
                (1, '"')
            }
            ['r', '"' | '#', ..] if self.starts_literal() && raw_hashes(&rest[1..]).is_some() => {
                let hashes = raw_hashes(&rest[1..]).unwrap_or_default();
                self.state = State::Raw(hashes);
                (2 + hashes, '"')
            }
            ['\'', '\\', ..] => (escaped_character(rest), '\''),
            ['\'', _, '\'', ..] => (3, '\''),
            [first, ..] => (1, *first),
            [] => (1, ' '),
        };
        self.previous = shown;
        line.code.push(shown);
        taken
    }

    /// `r`, `br` and `cr` start a raw string, an identifier before them does not.
    fn starts_literal(&self) -> bool {
        !(self.previous.is_alphanumeric() || self.previous == '_')
            || matches!(self.previous, 'b' | 'c')
    }

    fn block(&mut self, rest: &[char], depth: usize, line: &mut Line) -> usize {
        let (taken, state) = match rest {
            ['*', '/', ..] if depth == 1 => (2, State::Code),
            ['*', '/', ..] => (2, State::Block(depth - 1)),
            ['/', '*', ..] => (2, State::Block(depth + 1)),
            _ => (1, State::Block(depth)),
        };
        line.comment.extend(&rest[..taken]);
        self.state = state;
        taken
    }

    fn text(&mut self, rest: &[char], line: &mut Line) -> usize {
        match rest {
            ['\\', _, ..] => 2,
            ['"', ..] => {
                self.state = State::Code;
                self.previous = '"';
                line.code.push('"');
                1
            }
            _ => 1,
        }
    }

    fn raw(&mut self, rest: &[char], hashes: usize, line: &mut Line) -> usize {
        let closed =
            rest[0] == '"' && rest[1..].iter().take_while(|c| **c == '#').count() >= hashes;
        if !closed {
            return 1;
        }
        self.state = State::Code;
        self.previous = '"';
        line.code.push('"');
        1 + hashes
    }
}

/// The number of `#` before the quote of a raw string.
fn raw_hashes(rest: &[char]) -> Option<usize> {
    let hashes = rest.iter().take_while(|c| **c == '#').count();
    (rest.get(hashes) == Some(&'"')).then_some(hashes)
}

/// The length of `'\n'`, `'\''`, `'\u{1f600}'`.
fn escaped_character(rest: &[char]) -> usize {
    let end = rest.iter().skip(3).position(|c| *c == '\'');
    end.map_or(rest.len(), |end| end + 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[(&str, &str)]) {
        let lines = split(text);
        let found: Vec<_> =
            lines.iter().map(|line| (line.code.as_str(), line.comment.as_str())).collect();
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn line_comment_is_apart_from_code() {
        check("let a = 1; // one\n// two", &[("let a = 1; ", "// one"), ("", "// two")]);
    }

    #[test]
    fn block_comments_nest_and_span_lines() {
        check("a /* b /* c */\nd */ e", &[("a ", "/* b /* c */"), (" e", "d */")]);
    }

    #[test]
    fn strings_are_emptied() {
        check(r#"f("unsafe { // no \" ", b"x")"#, &[(r#"f("", b"")"#, "")]);
        check("f(\"a\nunsafe\") // c", &[("f(\"", ""), ("\") ", "// c")]);
    }

    #[test]
    fn raw_strings_end_with_their_own_hashes() {
        check("f(r##\"a\"# // b\"##, br\"c\")", &[("f(\"\", b\"\")", "")]);
    }

    #[test]
    fn raw_identifiers_and_names_ending_in_r_are_code() {
        check("r#type for\"x\"", &[("r#type for\"\"", "")]);
    }

    #[test]
    fn characters_and_lifetimes_are_told_apart() {
        check(r#"'"' '\'' '\u{41}' b'/' &'a str // x"#, &[(r"' ' ' b' &'a str ", "// x")]);
    }

    #[test]
    fn word_is_not_found_inside_of_a_longer_one() {
        assert!(has_word("pub unsafe fn", "unsafe"));
        assert!(!has_word("forbid(unsafe_code)", "unsafe"));
        assert!(!has_word("not_unsafe", "unsafe"));
    }
}
