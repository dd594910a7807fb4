//! The application as its clients see it: uploads, jobs, limits, and what a crash costs.

#![allow(clippy::unwrap_used, reason = "a test's helper fails its test")]

#[path = "support/naive.rs"]
mod naive;

use std::{io::Write as _, num::NonZeroUsize, sync::Arc};

use linden::{ServerRef, prelude::*};
use shop_data_processing::{
    DataProcessingApp, DataProcessingConfig, FileAggregator, FileError, IngestError, IngestService,
    JobError, JobId, JobStatus, Limits, Outcome, Report, Selection, Upload, sample::Sample,
};

async fn start(config: DataProcessingConfig) {
    DataProcessingApp.start(config).unwrap().start().await.unwrap();
}

async fn ingest(node: &Node, sample: Sample) -> Result<Arc<Report>, IngestError> {
    let mut upload = Upload::begin(node, sample.selection()).await?;
    for chunk in sample.chunks() {
        upload.feed(chunk).await?;
    }
    upload.finish().await
}

fn region_and_amount() -> Selection {
    Selection::new("region", "amount")
}

async fn jobs() -> Vec<JobStatus> {
    IngestService::named().jobs().await.unwrap()
}

/// What became of the youngest job, once it has ended.
async fn outcome() -> Outcome {
    loop {
        let youngest = jobs().await.pop().unwrap();
        if youngest.outcome != Outcome::Running {
            return youngest.outcome;
        }
    }
}

#[linden::test]
async fn a_million_rows_aggregate_exactly(node: Node) {
    start(DataProcessingConfig::default()).await;
    let sample = Sample::new(1_000_000).quoted().bad_every(777);
    naive::assert_exact(&ingest(&node, sample).await.unwrap(), sample);
}

#[linden::test]
async fn progress_is_seen_while_the_file_is_on_its_way(node: Node) {
    start(DataProcessingConfig::default()).await;
    let sample = Sample::new(50_000).bad_every(100);
    let mut upload = Upload::begin(&node, sample.selection()).await.unwrap();
    let mut fed = 0;
    for chunk in sample.chunks() {
        fed += chunk.len() as u64;
        assert_eq!(upload.feed(chunk).await.unwrap().bytes, fed);
    }
    let job = loop {
        let job = jobs().await.remove(0);
        if job.progress.rows > 0 {
            break job;
        }
    };
    assert_eq!((job.id, job.key.as_str(), job.value.as_str()), (upload.id(), "region", "amount"));
    assert_eq!(job.outcome, Outcome::Running);
    let report = upload.finish().await.unwrap();
    let job = jobs().await.remove(0);
    assert_eq!((job.outcome, job.progress.bytes), (Outcome::Done, fed));
    assert_eq!((job.progress.rows, job.progress.bad_lines), (report.rows, report.bad_lines));
}

#[linden::test]
async fn a_file_that_cannot_be_aggregated_fails_its_job(node: Node) {
    start(DataProcessingConfig::default()).await;
    let columns = vec!["id".to_owned(), "amount".to_owned()];
    let unknown = FileError::UnknownColumn { name: "region".to_owned(), columns };

    let mut upload = Upload::begin(&node, region_and_amount()).await.unwrap();
    let error = upload.feed(&b"id,amount\n1,2\n"[..]).await;
    assert_eq!(error, Err(IngestError::File(unknown)));
    let Outcome::Failed { error } = outcome().await else { panic!("{:?}", jobs().await) };
    assert!(error.contains(r#"the header has no column "region""#), "{error}");

    let upload = Upload::begin(&node, region_and_amount()).await.unwrap();
    assert_eq!(upload.finish().await, Err(IngestError::File(FileError::NoHeader)));
}

#[linden::test]
async fn a_poisonous_file_fails_its_job_and_no_other_one(node: Node) {
    let limits = Limits { keys_max: 200, ..Limits::default() };
    start(DataProcessingConfig { limits, ..DataProcessingConfig::default() }).await;
    let sample = Sample::new(20_000).quoted();
    let gigantic = [b"region,amount\n".to_vec(), vec![b'x'; 3_000_000]].concat();
    let keys: Vec<u8> = Sample::new(10_000).regions(5_000).chunks().flatten().collect();
    for (poison, words) in [
        (b"\x1F\x8B\x08no gzip at all".to_vec(), "the gzip data cannot be read"),
        (b"\x28\xB5\x2F\xFD".to_vec(), "the zstd data end in the middle, after 4 bytes"),
        (gigantic, "the record that begins on line 2 is longer"),
        (keys, "more than 200 different keys"),
    ] {
        let mut other = Upload::begin(&node, sample.selection()).await.unwrap();
        let mut chunks = sample.chunks();
        other.feed(chunks.next().unwrap()).await.unwrap();

        let mut poisoned = Upload::begin(&node, region_and_amount()).await.unwrap();
        let fed = poisoned.feed(poison).await;
        let failed = match fed {
            Ok(_) => poisoned.finish().await.unwrap_err(),
            Err(error) => error,
        };
        let IngestError::File(error) = failed else { panic!("{failed:?}") };
        assert!(error.to_string().contains(words), "{error}");

        for chunk in chunks {
            other.feed(chunk).await.unwrap();
        }
        naive::assert_exact(&other.finish().await.unwrap(), sample);
    }
    let failed =
        jobs().await.into_iter().filter(|job| matches!(job.outcome, Outcome::Failed { .. }));
    assert_eq!(failed.count(), 4);
}

#[linden::test]
async fn compressed_files_are_expanded(node: Node) {
    start(DataProcessingConfig::default()).await;
    let sample = Sample::new(100_000).quoted().bad_every(50);
    let plain: Vec<u8> = sample.chunks().flatten().collect();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&plain).unwrap();
    let zstd = zstd::encode_all(&plain[..], 1).unwrap();
    for file in [gzip.finish().unwrap(), zstd] {
        let total = file.len() as u64;
        let begun = Upload::begin_sized(&node, sample.selection(), Some(total)).await;
        let mut upload = begun.unwrap();
        for chunk in file.chunks(50_000) {
            upload.feed(chunk.to_vec()).await.unwrap();
        }
        let id = upload.id();
        naive::assert_exact(&upload.finish().await.unwrap(), sample);
        let job = IngestService::named().job(id).await.unwrap().unwrap();
        assert_eq!((job.progress.bytes, job.percent), (total, Some(100)));
    }
}

#[linden::test]
async fn progress_is_in_percent_if_the_length_is_known(node: Node) {
    start(DataProcessingConfig::default()).await;
    let percent_after = async |total: Option<u64>, fed: usize| {
        let begun = Upload::begin_sized(&node, region_and_amount(), total).await;
        let mut upload = begun.unwrap();
        let file = [b"region,amount\n".to_vec(), b"a,1\n".repeat(fed / 4)].concat();
        upload.feed(file).await.unwrap();
        let job = loop {
            let job = IngestService::named().job(upload.id()).await.unwrap().unwrap();
            if job.progress.rows > 0 {
                break job;
            }
        };
        job.percent
    };
    assert_eq!(percent_after(None, 1_000_000).await, None);
    assert_eq!(percent_after(Some(10_000_140), 1_000_000).await, Some(10));
    assert_eq!(percent_after(Some(100), 1_000_000).await, Some(100));
}

#[linden::test]
async fn reports_are_kept_as_long_as_there_is_room(node: Node) {
    let size = {
        let mut alone = FileAggregator::new(region_and_amount(), Limits::default());
        Sample::new(1_000).chunks().for_each(|chunk| alone.feed(&chunk).unwrap());
        alone.finish().unwrap().into_report().size_estimate()
    };
    let report_bytes_kept_max = size * 5 / 2;
    start(DataProcessingConfig { report_bytes_kept_max, ..DataProcessingConfig::default() }).await;
    let service = IngestService::named();
    let unknown = JobId(7);
    assert_eq!(service.report(unknown).await.unwrap(), Err(JobError::Unknown { id: unknown }));

    let first = ingest(&node, Sample::new(1_000)).await.unwrap();
    assert_eq!(service.report(JobId(1)).await.unwrap(), Ok(first));
    for _ in 0..2 {
        ingest(&node, Sample::new(1_000)).await.unwrap();
    }
    let kept: Vec<bool> = jobs().await.iter().map(|job| job.has_report).collect();
    assert_eq!(kept, [false, true, true]);
    let forgotten = JobError::NotKept { id: JobId(1) };
    assert_eq!(service.report(JobId(1)).await.unwrap(), Err(forgotten));
    // A report that is larger than all room is not kept, and no other goes for it.
    ingest(&node, Sample::new(20_000).regions(10_000)).await.unwrap();
    let too_large = JobError::NotKept { id: JobId(4) };
    assert_eq!(service.report(JobId(4)).await.unwrap(), Err(too_large));
    assert!(service.report(JobId(3)).await.unwrap().is_ok());

    let running = Upload::begin(&node, region_and_amount()).await.unwrap();
    let id = running.id();
    assert_eq!(service.report(id).await.unwrap(), Err(JobError::Running { id }));
    running.finish().await.unwrap_err();
    assert_eq!(service.report(id).await.unwrap(), Err(JobError::NotDone { id }));
}

#[linden::test]
async fn limits_are_those_of_the_configuration(node: Node) {
    let limits = Limits { keys_max: 2, ..Limits::default() };
    start(DataProcessingConfig { limits, ..DataProcessingConfig::default() }).await;
    let error = ingest(&node, Sample::new(1_000)).await.unwrap_err();
    assert_eq!(error, IngestError::File(FileError::TooManyKeys { keys_max: 2 }));
}

#[linden::test]
async fn more_jobs_than_allowed_are_refused_until_one_ends(node: Node) {
    let config = DataProcessingConfig {
        jobs_max: 2,
        ended_jobs_kept_max: 1,
        workers: NonZeroUsize::new(1),
        ..DataProcessingConfig::default()
    };
    start(config).await;
    let begin = || Upload::begin(&node, region_and_amount());
    let (first, _second) = (begin().await.unwrap(), begin().await.unwrap());
    assert_eq!(begin().await.unwrap_err(), IngestError::Overloaded { jobs_max: 2 });
    drop(first);
    let third = loop {
        match begin().await {
            Err(IngestError::Overloaded { .. }) => {}
            begun => break begun.unwrap(),
        }
    };
    drop(third);
    // Of the two that ended, one is remembered.
    while jobs().await.iter().any(|job| job.id.0 == 1) {}
    assert!(jobs().await.iter().any(|job| job.outcome == Outcome::Running));
}

#[linden::test]
async fn a_killed_job_is_an_error_for_its_client_alone(node: Node) {
    start(DataProcessingConfig::default()).await;
    let mut upload = Upload::begin(&node, region_and_amount()).await.unwrap();
    let row = node.processes().into_iter().find(|row| row.message_type.contains("JobMsg")).unwrap();
    node.exit(row.pid, Reason::Kill);
    node.wait_exit(row.pid).await;
    let error = upload.feed(&b"region,amount\n"[..]).await.unwrap_err();
    assert!(matches!(error, IngestError::Service(_)), "{error:?}");
    assert_eq!(outcome().await, Outcome::Crashed { error: "killed".to_owned() });
    ingest(&node, Sample::new(100)).await.unwrap();
}

#[linden::test]
async fn a_service_that_crashes_takes_the_jobs_along_and_works_again(node: Node) {
    start(DataProcessingConfig::default()).await;
    let mut upload = Upload::begin(&node, region_and_amount()).await.unwrap();
    let service = node.whereis("ingest_service").unwrap();
    node.exit(service, Reason::Kill);
    while upload.feed(&b"region,amount\n"[..]).await.is_ok() {}
    let report = loop {
        match ingest(&node, Sample::new(100)).await {
            Err(IngestError::Service(_)) => {}
            done => break done.unwrap(),
        }
    };
    assert_eq!(report.rows, 100);
    assert!(ServerRef::<IngestService>::by_pid(&node, service).is_none());
}
