//! The memory that a compressed file takes does not grow with what it expands to.

#![allow(clippy::unwrap_used, reason = "a test's helper fails its test")]

use std::{alloc::System, io::Write as _};

use cap::Cap;
use linden::prelude::*;
use shop_data_processing::{DataProcessingApp, DataProcessingConfig, Upload, sample::Sample};

/// Counts the bytes that live.
#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

const SMALL: u64 = 200_000;
const LARGE: u64 = 2_000_000;
/// The window of zstd is a part of it, which a small file does not fill.
const GROWTH_MAX: usize = 16 * 1024 * 1024;

#[linden::test]
async fn a_compressed_file_lives_in_the_memory_of_a_small_one(node: Node) {
    let app = DataProcessingApp.start(DataProcessingConfig::default()).unwrap();
    app.start().await.unwrap();
    for compress in [gzip as fn(Sample) -> Vec<u8>, zstd] {
        let small = peak_of(&node, SMALL, compress).await;
        let large = peak_of(&node, LARGE, compress).await;
        println!("peak of live bytes: {small} at {SMALL} rows, {large} at {LARGE}");
        assert!(large.saturating_sub(small) <= GROWTH_MAX, "{small}, {large}");
    }
}

/// The most bytes that lived after any chunk, beyond those of the compressed file itself.
async fn peak_of(node: &Node, rows: u64, compress: fn(Sample) -> Vec<u8>) -> usize {
    let sample = Sample::new(rows);
    let file = compress(sample);
    let mut upload = Upload::begin(node, sample.selection()).await.unwrap();
    let mut peak = 0;
    for chunk in file.chunks(64 * 1024) {
        upload.feed(chunk.to_vec()).await.unwrap();
        peak = peak.max(ALLOCATOR.allocated());
    }
    assert_eq!(upload.finish().await.unwrap().rows, rows);
    peak.saturating_sub(file.capacity())
}

fn gzip(sample: Sample) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    sample.chunks().for_each(|chunk| encoder.write_all(&chunk).unwrap());
    encoder.finish().unwrap()
}

fn zstd(sample: Sample) -> Vec<u8> {
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
    sample.chunks().for_each(|chunk| encoder.write_all(&chunk).unwrap());
    encoder.finish().unwrap()
}
