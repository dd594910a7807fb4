//! The memory that a file takes does not grow with the file.

#![allow(clippy::unwrap_used, reason = "a test's helper fails its test")]

use std::{alloc::System, sync::Arc, time::Instant};

use cap::Cap;
use linden::prelude::*;
use shop_data_processing::{
    DataProcessingApp, DataProcessingConfig, Report, Upload,
    sample::{self, Sample},
};

/// Counts the bytes that live.
#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

const SMALL: usize = 10_000_000;
const LARGE: usize = 1_000_000_000;
const GROWTH_MAX: usize = 16 * 1024 * 1024;

#[linden::test]
async fn a_gigabyte_lives_in_the_memory_of_ten_megabytes(node: Node) {
    let app = DataProcessingApp.start(DataProcessingConfig::default()).unwrap();
    app.start().await.unwrap();
    let (small, of_small) = peak_of(&node, SMALL).await;
    let began = Instant::now();
    let (large, of_large) = peak_of(&node, LARGE).await;
    let seconds = began.elapsed().as_secs_f64();
    println!(
        "peak of live bytes: {small} at 10 MB, {large} at 1 GB; {:.0} MB/s",
        LARGE as f64 / 1e6 / seconds
    );
    assert!(large.saturating_sub(small) <= GROWTH_MAX, "{small} at 10 MB, {large} at 1 GB");
    assert_eq!(of_large.keys.len(), of_small.keys.len());
    assert!(of_large.rows > 90 * of_small.rows);
}

/// Streams a file of about `bytes`; gives the most bytes that lived after any of its chunks.
async fn peak_of(node: &Node, bytes: usize) -> (usize, Arc<Report>) {
    let sample = Sample::new(20_000).quoted().bad_every(1_000);
    let mut upload = Upload::begin(node, sample.selection()).await.unwrap();
    let mut chunks: Vec<_> = sample.chunks().collect();
    let (mut fed, mut peak) = (0, 0);
    while fed < bytes {
        for chunk in &chunks {
            upload.feed(chunk.clone()).await.unwrap();
            fed += chunk.len();
            peak = peak.max(ALLOCATOR.allocated());
        }
        // The header comes once.
        if let Some(rows) = chunks[0].strip_prefix(sample::HEADER.as_bytes()) {
            chunks[0] = rows.to_vec();
        }
    }
    (peak, upload.finish().await.unwrap())
}
