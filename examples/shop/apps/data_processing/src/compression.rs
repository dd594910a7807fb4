//! Expands what was compressed, in pieces of bounded size.
//!
//! [`Expander`] takes compressed bytes and gives plain ones. It knows gzip and zstd by their first
//! bytes; everything else is plain already. Owned by one process; no input and no clock of its own.
//! Invariants: a step gives at most [`PIECE_LEN`] bytes, so that a few compressed bytes can neither
//! fill the memory nor hold up the process; how the input is cut does not change the output; members
//! and frames that follow one another are one file.
//! Absent on purpose: decoding itself, which flate2 (zlib-rs) and zstd do, checksums included.

use std::{fmt, io};

use flate2::{Decompress, FlushDecompress, Status};
use serde::{Deserialize, Serialize};
use zstd::stream::raw::{self as zstd_raw, DParameter, InBuffer, Operation as _, OutBuffer};

use crate::{FileError, Limits};

/// Most bytes that one step gives.
pub const PIECE_LEN: usize = 256 * 1024;
/// Small files may expand to this whatever their ratio.
const EXPANDED_FREE: u64 = 16 * 1024 * 1024;
const GZIP_WINDOW_BITS: u8 = 15;
const GZIP_MAGIC: &[u8] = b"\x1F\x8B";
const ZSTD_MAGIC: &[u8] = b"\x28\xB5\x2F\xFD";

/// How a file is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Compression {
    /// RFC 1952.
    Gzip,
    /// RFC 8878.
    Zstd,
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Compression::Gzip => "gzip",
            Compression::Zstd => "zstd",
        })
    }
}

/// What one step did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Bytes of the input that are done with.
    pub consumed: usize,
    /// Whether another step gives more, even without more input.
    pub more: Progressing,
}

/// Whether an [`Expander`] holds bytes that it has not given yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progressing {
    /// It may; call again.
    More,
    /// It waits for input.
    NeedsInput,
}

/// Expands one file.
pub struct Expander {
    limits: Limits,
    stage: Stage,
    /// The first bytes, until they tell the compression; then they are taken before all others.
    head: Vec<u8>,
    consumed: u64,
    expanded: u64,
}

enum Stage {
    Unknown,
    Plain,
    Gzip(Gzip),
    Zstd(Zstd),
}

impl Expander {
    /// Starts before the first byte of a file.
    #[must_use]
    pub fn new(limits: Limits) -> Expander {
        Expander { limits, stage: Stage::Unknown, head: Vec::new(), consumed: 0, expanded: 0 }
    }

    /// Takes bytes from the front of `input`, and replaces `piece` by what they expand to.
    ///
    /// # Errors
    /// [`FileError::Corrupt`], [`FileError::ExpandsTooMuch`]; give the file up.
    pub fn step(&mut self, input: &[u8], piece: &mut Vec<u8>) -> Result<Step, FileError> {
        piece.clear();
        let mut from_input = 0;
        if matches!(self.stage, Stage::Unknown) {
            from_input = self.take_head(input);
            self.stage = match self.known() {
                Some(stage) => stage?,
                None => {
                    return Ok(Step { consumed: from_input, more: Progressing::NeedsInput });
                }
            };
        }
        if self.head.is_empty() {
            let taken = self.expand(&input[from_input..], piece)?;
            let consumed = from_input + taken;
            let idle = consumed == input.len() && piece.len() < PIECE_LEN;
            let more = if idle { Progressing::NeedsInput } else { Progressing::More };
            return Ok(Step { consumed, more });
        }
        let head = std::mem::take(&mut self.head);
        let taken = self.expand(&head, piece)?;
        self.head = head[taken..].to_vec();
        Ok(Step { consumed: from_input, more: Progressing::More })
    }

    /// Takes the end of the file, once no step gives more. Replaces `piece` by the last bytes.
    ///
    /// # Errors
    /// [`FileError::Truncated`].
    pub fn end(&mut self, piece: &mut Vec<u8>) -> Result<(), FileError> {
        piece.clear();
        let compression = match &self.stage {
            // A file so short that it is a part of a magic number.
            Stage::Unknown => {
                piece.append(&mut self.head);
                return Ok(());
            }
            Stage::Gzip(Gzip { member: Some(_) }) => Compression::Gzip,
            Stage::Zstd(Zstd { frame: Frame::Open, .. }) => Compression::Zstd,
            Stage::Plain | Stage::Gzip(_) | Stage::Zstd(_) => return Ok(()),
        };
        Err(FileError::Truncated { compression, at: self.consumed })
    }

    fn take_head(&mut self, input: &[u8]) -> usize {
        let wanted = ZSTD_MAGIC.len().saturating_sub(self.head.len()).min(input.len());
        self.head.extend_from_slice(&input[..wanted]);
        wanted
    }

    /// `None` as long as there are too few bytes to tell.
    fn known(&self) -> Option<Result<Stage, FileError>> {
        let head = &self.head[..];
        if head.starts_with(GZIP_MAGIC) {
            Some(Ok(Stage::Gzip(Gzip { member: None })))
        } else if head.starts_with(ZSTD_MAGIC) {
            Some(Zstd::new(self.limits).map(Stage::Zstd).map_err(|error| self.corrupt(&error, 0)))
        } else if GZIP_MAGIC.starts_with(head) || ZSTD_MAGIC.starts_with(head) {
            None
        } else {
            Some(Ok(Stage::Plain))
        }
    }

    /// Appends to `piece`, and gives how much of `input` is done with.
    fn expand(&mut self, input: &[u8], piece: &mut Vec<u8>) -> Result<usize, FileError> {
        let result = match &mut self.stage {
            Stage::Unknown => unreachable!("the stage was decided before"),
            Stage::Plain => {
                let len = input.len().min(PIECE_LEN);
                piece.extend_from_slice(&input[..len]);
                self.consumed += len as u64;
                return Ok(len);
            }
            Stage::Gzip(gzip) => gzip.expand(input, piece),
            Stage::Zstd(zstd) => zstd.expand(input, piece),
        };
        let (taken, result) = result;
        result.map_err(|error| self.corrupt(&error, taken))?;
        self.consumed += taken as u64;
        self.expanded += piece.len() as u64;
        self.check_expansion()?;
        Ok(taken)
    }

    fn check_expansion(&self) -> Result<(), FileError> {
        let expansion_max = self.limits.expansion_max;
        if self.expanded > EXPANDED_FREE.max(self.consumed.saturating_mul(expansion_max)) {
            return Err(FileError::ExpandsTooMuch { expansion_max, at: self.consumed });
        }
        Ok(())
    }

    fn corrupt(&self, error: &io::Error, taken: usize) -> FileError {
        let compression = match self.stage {
            Stage::Gzip(_) => Compression::Gzip,
            _ => Compression::Zstd,
        };
        let at = self.consumed + taken as u64;
        FileError::Corrupt { compression, at, reason: error.to_string() }
    }
}

impl fmt::Debug for Expander {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Expander")
            .field("consumed", &self.consumed)
            .field("expanded", &self.expanded)
            .finish_non_exhaustive()
    }
}

struct Gzip {
    /// `None` between two members.
    member: Option<Decompress>,
}

impl Gzip {
    fn expand(&mut self, input: &[u8], piece: &mut Vec<u8>) -> (usize, io::Result<()>) {
        let mut taken = 0;
        piece.reserve_exact(PIECE_LEN);
        loop {
            if self.member.is_none() && taken == input.len() {
                return (taken, Ok(()));
            }
            let member = self.member.get_or_insert_with(|| Decompress::new_gzip(GZIP_WINDOW_BITS));
            let (before, len_before) = (member.total_in(), piece.len());
            let rest = &input[taken..];
            let result = member.decompress_vec(rest, piece, FlushDecompress::None);
            let step = (member.total_in() - before) as usize;
            taken += step;
            match result {
                Ok(Status::StreamEnd) => self.member = None,
                Ok(_) if step == 0 && piece.len() == len_before => return (taken, Ok(())),
                Ok(_) => {}
                Err(error) => return (taken, Err(error.into())),
            }
            if piece.len() == piece.capacity() {
                return (taken, Ok(()));
            }
        }
    }
}

struct Zstd {
    decoder: zstd_raw::Decoder<'static>,
    frame: Frame,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Frame {
    Closed,
    Open,
}

impl Zstd {
    fn new(limits: Limits) -> io::Result<Zstd> {
        let mut decoder = zstd_raw::Decoder::new()?;
        decoder.set_parameter(DParameter::WindowLogMax(limits.zstd_window_log_max))?;
        Ok(Zstd { decoder, frame: Frame::Closed })
    }

    fn expand(&mut self, input: &[u8], piece: &mut Vec<u8>) -> (usize, io::Result<()>) {
        piece.reserve_exact(PIECE_LEN);
        let mut input = InBuffer::around(input);
        let result = self.run(&mut input, &mut OutBuffer::around(piece));
        (input.pos(), result)
    }

    fn run(
        &mut self,
        input: &mut InBuffer<'_>,
        output: &mut OutBuffer<'_, Vec<u8>>,
    ) -> io::Result<()> {
        loop {
            let before = (input.pos(), output.pos());
            if self.frame == Frame::Closed && input.pos() == input.src.len() {
                return Ok(());
            }
            let hint = self.decoder.run(input, output)?;
            if hint == 0 {
                self.frame = Frame::Closed;
                self.decoder.reinit()?;
            } else {
                self.frame = Frame::Open;
            }
            if output.pos() == output.capacity() || (input.pos(), output.pos()) == before {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests;
