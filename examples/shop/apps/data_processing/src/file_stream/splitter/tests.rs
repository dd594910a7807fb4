//! Tests of the cuts alone.

use super::*;
use proptest::prelude::*;

fn splitter(block_len: usize) -> Splitter {
    let limits = Limits { line_len_max: 20, ..Limits::default() };
    Splitter::with_block_len(Selection::new("k", "v"), limits, block_len)
}

fn split(block_len: usize, file: &[u8], chunk_len: usize) -> Result<Vec<Block>, FileError> {
    let mut splitter = splitter(block_len);
    let mut blocks = Vec::new();
    for chunk in file.chunks(chunk_len) {
        blocks.extend(splitter.feed(chunk)?);
    }
    blocks.extend(splitter.finish()?);
    Ok(blocks)
}

/// The blocks as (first line, text), for any size of the chunks.
fn cuts(block_len: usize, file: &str) -> Vec<(u64, String)> {
    let whole = split(block_len, file.as_bytes(), usize::MAX).unwrap();
    for chunk_len in 1..=file.len() {
        let blocks = split(block_len, file.as_bytes(), chunk_len).unwrap();
        assert_eq!(blocks, whole, "chunks of {chunk_len}");
    }
    whole
        .into_iter()
        .map(|block| (block.first_line, String::from_utf8(block.bytes).unwrap()))
        .collect()
}

fn check(file: &str, expected: &[(u64, &str)]) {
    let cuts = cuts(1, file);
    let cuts: Vec<_> = cuts.iter().map(|(line, text)| (*line, text.as_str())).collect();
    assert_eq!(cuts, expected, "{file:?}");
}

#[test]
fn blocks_end_where_records_end() {
    check("k,v\na,1\nb,2\n", &[(2, "a,1\n"), (3, "b,2\n")]);
    check("k,v\na,1\nb,2", &[(2, "a,1\n"), (3, "b,2")]);
    check("k,v\r\na,1\r\nb,2\r\n", &[(2, "a,1\r\n"), (3, "b,2\r\n")]);
    check("k,v\ra,1\rb,2\r", &[(2, "a,1\r"), (3, "b,2\r")]);
    check("k,v", &[]);
    check("k,v\n", &[]);
}

#[test]
fn line_ends_within_quotes_end_no_record() {
    check(
        "k,v\n\"a\nb\",1\n\"c\r\n\"\"\n\",2\nd,3\n",
        &[(2, "\"a\nb\",1\n"), (4, "\"c\r\n\"\"\n\",2\n"), (7, "d,3\n")],
    );
}

#[test]
fn a_quote_in_the_middle_of_a_field_is_only_a_character() {
    check("k,v\na\"b,1\nc,2\n", &[(2, "a\"b,1\n"), (3, "c,2\n")]);
    check("k,v\n\"a\"b\"\nc,2\n", &[(2, "\"a\"b\"\n"), (3, "c,2\n")]);
}

#[test]
fn empty_lines_and_a_byte_order_mark_are_no_header() {
    check("\u{FEFF}k,v\na,1\n", &[(2, "a,1\n")]);
    check("\u{FEFF}\"k\",v\na,1\n", &[(2, "a,1\n")]);
    check("\n\r\n\rk,v\n\na,1\n", &[(5, "\n"), (6, "a,1\n")]);
}

#[test]
fn blocks_reach_their_length_before_they_are_cut() {
    let cuts = cuts(6, "k,v\na,1\nb,2\nc,3\n");
    assert_eq!(cuts, [(2, "a,1\nb,2\n".to_owned()), (4, "c,3\n".to_owned())]);
}

#[test]
fn a_file_that_ends_within_quotes_says_so() {
    for chunk_len in 1..12 {
        let blocks = split(100, b"k,v\na,1\n\"b,2\nc,3\n", chunk_len).unwrap();
        assert_eq!(blocks.len(), 1);
        assert_eq!(blocks[0].end, BlockEnd::OpenQuote);
        let blocks = split(100, b"k,v\n\"b\",2\n\"c\"", chunk_len).unwrap();
        assert_eq!(blocks[0].end, BlockEnd::Closed);
    }
}

#[test]
fn files_without_a_header_are_refused_for_any_chunks() {
    for (file, expected) in [
        ("", FileError::NoHeader),
        ("\n\r\n", FileError::NoHeader),
        ("\u{FEFF}", FileError::NoHeader),
        ("\"k,v\na,1\n", FileError::OpenQuoteInHeader),
    ] {
        for chunk_len in 1..=file.len().max(1) {
            let error = split(1, file.as_bytes(), chunk_len).unwrap_err();
            assert_eq!(error, expected, "{file:?}");
        }
    }
}

#[test]
fn a_record_over_the_limit_is_refused_for_any_chunks() {
    for (file, line) in [
        ("k,v\n\naaaaaaaaaa,1234567890\nb,2\n", Some(3)),
        ("k,v\na,1\n\"bbbbb\n\nbbb\nbbbbbbbbbbbbbbb", Some(3)),
        ("k,v,aaaaaaaaaaaaaaaaaaaaaaaa\n", Some(1)),
        ("k,v\naaaaaaaaaa,123456789\r\nb,2\n", None),
        ("k,v\naaaaaaaaaa,123456789\rb,2\n", None),
        ("k,v\naaaaaaaaaa,123456789", None),
        ("k,v\n\"aaaaaaaa\",123456789\n", None),
    ] {
        for chunk_len in 1..=file.len() {
            let result = split(1, file.as_bytes(), chunk_len);
            let expected = line.map(|line| FileError::LineTooLong { line, len_max: 20 });
            assert_eq!(result.err(), expected, "{file:?} in chunks of {chunk_len}");
        }
    }
}

#[test]
fn after_an_error_there_is_nothing_but_the_error() {
    let mut splitter = splitter(1);
    let error = splitter.feed(b"x,y\n").unwrap_err();
    assert!(matches!(error, FileError::UnknownColumn { .. }));
    assert_eq!(splitter.feed(b"k,v\na,1\n"), Err(error.clone()));
    assert_eq!(splitter.finish(), Err(error));
}

#[test]
fn the_buffer_does_not_grow_with_the_file() {
    let limits = Limits::default();
    let mut splitter = Splitter::with_block_len(Selection::new("k", "v"), limits, 1_000);
    let empty_lines = b"\n".repeat(100_000);
    for file in [&empty_lines[..], b"k,v\n", &b"a,1\n".repeat(50_000), &empty_lines] {
        splitter.feed(file).unwrap();
        assert!(splitter.buffer.len() < 2_000, "{}", splitter.buffer.len());
        assert!(splitter.buffer.capacity() < 8_000);
    }
}

proptest! {
    /// Any bytes: the records of the blocks are those that the csv crate finds in the whole file.
    #[test]
    fn cuts_agree_with_the_csv_crate(
        file in "[ab,;\"\r\né]{0,60}",
        block_len in 1..30_usize,
        chunk_len in 1..20_usize,
    ) {
        let limits = Limits::default();
        let mut splitter = Splitter::with_block_len(Selection::new("k", "v"), limits, block_len);
        let mut blocks = splitter.feed(b"k,v\n").unwrap();
        for chunk in file.as_bytes().chunks(chunk_len) {
            blocks.extend(splitter.feed(chunk).unwrap());
        }
        blocks.extend(splitter.finish().unwrap());

        let whole: Vec<u8> = blocks.iter().flat_map(|block| block.bytes.clone()).collect();
        prop_assert_eq!(&whole, file.as_bytes(), "nothing is lost");
        let apart: Vec<_> = blocks.iter().flat_map(|block| records(&block.bytes)).collect();
        prop_assert_eq!(apart, records(file.as_bytes()));
    }
}

fn records(bytes: &[u8]) -> Vec<csv::ByteRecord> {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(bytes);
    reader.byte_records().map(Result::unwrap).collect()
}
