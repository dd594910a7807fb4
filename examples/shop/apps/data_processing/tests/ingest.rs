//! The application as its clients see it: uploads, jobs, limits, and what a crash costs.

#![allow(clippy::unwrap_used, reason = "a test's helper fails its test")]

#[path = "support/naive.rs"]
mod naive;

use std::num::NonZeroUsize;

use linden::{ServerRef, prelude::*};
use shop_data_processing::{
    CsvError, DataProcessingApp, DataProcessingConfig, IngestError, IngestService, JobStatus,
    Limits, Outcome, Report, Selection, Upload, sample::Sample,
};

async fn start(config: DataProcessingConfig) {
    DataProcessingApp.start(config).unwrap().start().await.unwrap();
}

async fn ingest(node: &Node, sample: Sample) -> Result<Report, IngestError> {
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
    let unknown = CsvError::UnknownColumn { name: "region".to_owned(), columns };

    let mut upload = Upload::begin(&node, region_and_amount()).await.unwrap();
    let error = upload.feed(&b"id,amount\n1,2\n"[..]).await;
    assert_eq!(error, Err(IngestError::Csv(unknown)));
    let Outcome::Failed { error } = outcome().await else { panic!("{:?}", jobs().await) };
    assert!(error.contains(r#"the header has no column "region""#), "{error}");

    let upload = Upload::begin(&node, region_and_amount()).await.unwrap();
    assert_eq!(upload.finish().await, Err(IngestError::Csv(CsvError::NoHeader)));
}

#[linden::test]
async fn limits_are_those_of_the_configuration(node: Node) {
    let limits = Limits { keys_max: 2, ..Limits::default() };
    start(DataProcessingConfig { limits, ..DataProcessingConfig::default() }).await;
    let error = ingest(&node, Sample::new(1_000)).await.unwrap_err();
    assert_eq!(error, IngestError::Csv(CsvError::TooManyKeys { keys_max: 2 }));
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
