//! Whether the bytes that came are the answer that was asked for. Pure.
//!
//! Looks at the status and the body. The body's length is known, so whatever else comes is an error too.

use std::error::Error;
use std::fmt;

use crate::hello::BODY;

/// The beginning of each answer.
const STATUS: &[u8] = b"HTTP/1.1 200 OK\r\n";
const HEAD_END: &[u8] = b"\r\n\r\n";

/// How much of an answer came.
#[must_use]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Answer {
    Whole,
    Part,
}

/// Bytes that are no beginning of the answer.
#[derive(Debug, PartialEq)]
pub(crate) struct AnswerError {
    came: String,
}

impl fmt::Display for AnswerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not 200 with the body {BODY:?}, but {:?}", self.came)
    }
}

impl Error for AnswerError {}

/// Says whether the answer is whole.
pub(super) fn check(bytes: &[u8]) -> Result<Answer, AnswerError> {
    let refuse = || Err(AnswerError { came: String::from_utf8_lossy(bytes).into_owned() });
    let (begins, wanted) = (bytes.len().min(STATUS.len()), BODY.as_bytes());
    if bytes[..begins] != STATUS[..begins] {
        return refuse();
    }
    let Some(end) = bytes.windows(HEAD_END.len()).position(|window| window == HEAD_END) else {
        return Ok(Answer::Part);
    };
    let body = &bytes[end + HEAD_END.len()..];
    match body.len() {
        _ if !wanted.starts_with(body) => refuse(),
        bytes if bytes < wanted.len() => Ok(Answer::Part),
        _ => Ok(Answer::Whole),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-length: 13\r\n\r\n";

    #[test]
    fn an_answer_is_whole_when_its_last_byte_has_come() {
        let whole = format!("{HEAD}{BODY}");
        for bytes in 0..whole.len() {
            assert_eq!(check(&whole.as_bytes()[..bytes]), Ok(Answer::Part), "{bytes}");
        }
        assert_eq!(check(whole.as_bytes()), Ok(Answer::Whole));
    }

    #[test]
    fn another_status_another_body_and_more_than_the_body_are_refused() {
        let wrong = [
            "HTTP/1.1 503 Service Unavailable\r\n".to_owned(),
            format!("{HEAD}Hello, Word!"),
            format!("{HEAD}{BODY}HTTP/1.1 200 OK\r\n"),
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nd\r\nHello, World!\r\n0\r\n\r\n"
                .to_owned(),
        ];
        for wrong in wrong {
            let error = check(wrong.as_bytes()).expect_err(&wrong);
            assert!(error.to_string().contains(&format!("{wrong:?}")), "{error}");
        }
    }
}
