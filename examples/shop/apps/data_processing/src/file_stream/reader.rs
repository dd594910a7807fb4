//! From the bytes of a file, however compressed, to blocks of whole records.
//!
//! Owned by one process. Invariant: one call expands at most a piece, so that its caller can see to
//! other things, or wait for room, between two calls.

use super::{Block, Limits, Selection, Splitter};
use crate::{
    FileError,
    compression::{Expander, Progressing},
};

/// Expands and cuts one file.
#[derive(Debug)]
pub struct BlockReader {
    expander: Expander,
    splitter: Splitter,
    piece: Vec<u8>,
}

/// What one call of [`BlockReader::read`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    /// Bytes of the chunk that are done with.
    pub consumed: usize,
    /// The blocks that were completed, in the order of the file.
    pub blocks: Vec<Block>,
    /// Whether to call again with the rest of the chunk, even if there is no rest.
    pub more: bool,
}

impl BlockReader {
    /// Starts before the first byte of a file.
    #[must_use]
    pub fn new(selection: Selection, limits: Limits) -> BlockReader {
        BlockReader {
            expander: Expander::new(limits),
            splitter: Splitter::new(selection, limits),
            piece: Vec::new(),
        }
    }

    /// Takes some bytes from the front of the chunk.
    ///
    /// # Errors
    /// [`FileError`]; give the file up.
    pub fn read(&mut self, chunk: &[u8]) -> Result<Read, FileError> {
        let step = self.expander.step(chunk, &mut self.piece)?;
        let blocks = self.splitter.feed(&self.piece)?;
        let more = step.more == Progressing::More;
        Ok(Read { consumed: step.consumed, blocks, more })
    }

    /// Takes the end of the file, once [`BlockReader::read`] has nothing more to do. Gives the last
    /// blocks.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn end(&mut self) -> Result<Vec<Block>, FileError> {
        self.expander.end(&mut self.piece)?;
        let mut blocks = self.splitter.feed(&self.piece)?;
        blocks.extend(self.splitter.end()?);
        Ok(blocks)
    }
}
