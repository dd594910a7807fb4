//! Expanding, for any cuts, and what damaged or malicious bytes come to.

use std::io::Write as _;

use flate2::write::GzEncoder;
use proptest::prelude::*;

use super::*;

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = zstd::Encoder::new(Vec::new(), 3).unwrap();
    encoder.include_checksum(true).unwrap();
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn limits() -> Limits {
    Limits::default()
}

/// Everything that a file in chunks expands to, and the longest piece.
fn expand(limits: Limits, file: &[u8], chunk_len: usize) -> Result<(Vec<u8>, usize), FileError> {
    let mut expander = Expander::new(limits);
    let (mut whole, mut piece, mut longest) = (Vec::new(), Vec::new(), 0);
    for mut chunk in file.chunks(chunk_len) {
        loop {
            let step = expander.step(chunk, &mut piece)?;
            whole.extend_from_slice(&piece);
            longest = longest.max(piece.len());
            chunk = &chunk[step.consumed..];
            if step.more == Progressing::NeedsInput {
                break;
            }
        }
        assert!(chunk.is_empty(), "the input is used up");
    }
    expander.end(&mut piece)?;
    whole.extend_from_slice(&piece);
    Ok((whole, longest))
}

fn error(file: &[u8]) -> FileError {
    let whole = expand(limits(), file, usize::MAX).unwrap_err();
    let bytes = expand(limits(), file, 1).unwrap_err();
    assert_eq!(std::mem::discriminant(&whole), std::mem::discriminant(&bytes));
    whole
}

/// Lines that compress well, but not to nothing.
fn lines(count: usize) -> Vec<u8> {
    (0..count).flat_map(|n| format!("{n},{}\n", n * 7_919 % 10_007).into_bytes()).collect()
}

#[test]
fn what_was_compressed_is_expanded_for_any_chunks() {
    let plain = lines(3_000);
    for file in [gzip(&plain), zstd(&plain), plain.clone()] {
        for chunk_len in [1, 2, 3, 100, usize::MAX] {
            let (whole, _) = expand(limits(), &file, chunk_len).unwrap();
            assert!(whole == plain, "chunks of {chunk_len}");
        }
    }
}

#[test]
fn members_and_frames_that_follow_one_another_are_one_file() {
    let (one, two) = (lines(10), lines(2_000));
    for compress in [gzip, zstd] {
        let file = [compress(&one), compress(b""), compress(&two)].concat();
        for chunk_len in [1, 7, usize::MAX] {
            assert_eq!(expand(limits(), &file, chunk_len).unwrap().0, [&one[..], &two].concat());
        }
    }
}

#[test]
fn short_files_and_parts_of_magic_numbers_are_plain() {
    for file in
        [&b""[..], b"a", b"\x1F", b"(", b"\x28\xB5", b"\x28\xB5\x2F", b"\x1Fx", b"\x28\xB5\x2Fx"]
    {
        for chunk_len in [1, 2, usize::MAX] {
            assert_eq!(expand(limits(), file, chunk_len).unwrap().0, file, "{file:?}");
        }
    }
}

#[test]
fn pieces_are_bounded_whatever_the_ratio() {
    let plain = vec![b'a'; 10_000_000];
    for file in [gzip(&plain), zstd(&plain)] {
        let (whole, longest) = expand(limits(), &file, usize::MAX).unwrap();
        assert!(whole == plain);
        assert!(longest <= PIECE_LEN, "{longest}");
    }
}

#[test]
fn a_file_that_ends_in_the_middle_is_refused_with_its_length() {
    let plain = lines(1_000);
    for (file, compression) in
        [(gzip(&plain), Compression::Gzip), (zstd(&plain), Compression::Zstd)]
    {
        for len in [5, 20, file.len() / 2, file.len() - 1] {
            let expected = FileError::Truncated { compression, at: len as u64 };
            assert_eq!(error(&file[..len]), expected, "{len} bytes");
        }
    }
}

#[test]
fn damaged_bytes_are_refused_with_their_place() {
    let plain = lines(1_000);
    for (file, compression) in
        [(gzip(&plain), Compression::Gzip), (zstd(&plain), Compression::Zstd)]
    {
        // The checksum is at the end.
        let mut damaged = file.clone();
        let last = damaged.len() - if compression == Compression::Gzip { 5 } else { 1 };
        damaged[last] ^= 1;
        check_corrupt(error(&damaged), compression, file.len() as u64);
        let behind = [&file[..], b"garbage and more of it"].concat();
        check_corrupt(error(&behind), compression, behind.len() as u64);
    }
}

fn check_corrupt(error: FileError, expected: Compression, len: u64) {
    let text = error.to_string();
    let FileError::Corrupt { compression, at, reason } = error else { panic!("{error:?}") };
    assert_eq!(compression, expected);
    assert!(at <= len && !reason.is_empty(), "{text}");
    assert!(text.starts_with(&format!("the {expected} data cannot be read from byte {at} on: ")));
}

#[test]
fn a_few_bytes_that_expand_to_a_flood_are_refused() {
    let plain = vec![b'a'; 20 * 1024 * 1024];
    for file in [gzip(&plain), zstd(&plain)] {
        let expected = limits().expansion_max;
        let FileError::ExpandsTooMuch { expansion_max, at } = error(&file) else { panic!() };
        assert!(expansion_max == expected && at <= file.len() as u64);
    }
    let allowed = Limits { expansion_max: 1_000_000, ..limits() };
    assert!(expand(allowed, &zstd(&plain), usize::MAX).is_ok());
}

#[test]
fn a_window_that_takes_too_much_memory_is_refused() {
    let mut encoder = zstd::Encoder::new(Vec::new(), 3).unwrap();
    encoder.long_distance_matching(true).unwrap();
    encoder.window_log(24).unwrap();
    encoder.write_all(&lines(1_000)).unwrap();
    let file = encoder.finish().unwrap();
    let FileError::Corrupt { reason, .. } = error(&file) else { panic!("it is too much") };
    assert!(reason.contains("memory"), "{reason}");
    let allowed = Limits { zstd_window_log_max: 24, ..limits() };
    assert!(expand(allowed, &file, usize::MAX).is_ok());
}

proptest! {
    #[test]
    fn any_bytes_behind_a_magic_number_are_taken_without_a_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        zstd in any::<bool>(),
        chunk_len in 1..100_usize,
    ) {
        let magic = if zstd { ZSTD_MAGIC } else { GZIP_MAGIC };
        let _ = expand(limits(), &[magic, &bytes].concat(), chunk_len);
    }

    #[test]
    fn a_damaged_file_gives_an_error_or_the_whole(
        at in any::<prop::sample::Index>(),
        bit in 0..8_u8,
        as_zstd in any::<bool>(),
    ) {
        let plain = lines(200);
        let mut file = if as_zstd { zstd(&plain) } else { gzip(&plain) };
        let at = at.index(file.len());
        file[at] ^= 1 << bit;
        // A flipped bit of the magic number makes it a plain file.
        if at >= 4 && let Ok((whole, _)) = expand(limits(), &file, usize::MAX) {
            prop_assert_eq!(whole, plain);
        }
    }
}
