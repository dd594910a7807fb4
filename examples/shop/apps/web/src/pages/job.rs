//! `/shop/files/{id}`: how far the work on a file is, and what came out of it, as a plot and as a table.

use std::sync::Arc;

use askama::Template;
use linden_gateway::axum::{
    extract::{Path, Query},
    http::header,
    response::{IntoResponse as _, Redirect, Response},
};
use serde::Deserialize;
use shop_data_processing::{
    Decimal, IngestService, JobError, JobId, JobStatus, KeyReport, Measure, Outcome, Report,
};

use super::{
    clock::Moment,
    failure::sentence,
    frame::{Frame, Here},
    html,
    session::Customer,
};
use crate::{error::ApiError, files::owner, payments::repeated};

/// Lines of the table; all of them are in the CSV.
const SHOWN_MAX: usize = 100;

#[derive(Template)]
#[template(path = "job.html")]
struct JobPage {
    frame: Frame,
    job: JobStatus,
    began_at: Moment,
    progress: Progress,
    report: Option<Arc<Report>>,
    measure: Measure,
}

/// How far a job is, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    Running(Option<u8>),
    Done,
    /// Why there is no result.
    Failed(String),
}

impl Progress {
    pub(super) fn of(job: &JobStatus) -> Progress {
        match &job.outcome {
            Outcome::Running => Progress::Running(job.percent),
            Outcome::Done => Progress::Done,
            Outcome::Abandoned => Progress::Failed("The upload broke off.".to_owned()),
            Outcome::Cancelled => Progress::Failed("It was cancelled.".to_owned()),
            Outcome::Failed { error } => Progress::Failed(sentence(error)),
            _ => Progress::Failed("Its process crashed; send the file again.".to_owned()),
        }
    }

    pub(super) fn is_running(&self) -> bool {
        matches!(self, Progress::Running(_))
    }

    pub(super) fn text(&self) -> String {
        match self {
            Progress::Running(Some(percent)) => format!("{percent} %"),
            Progress::Running(None) => "On its way".to_owned(),
            Progress::Done => "Done".to_owned(),
            Progress::Failed(_) => "Failed".to_owned(),
        }
    }

    pub(super) fn class(&self) -> &'static str {
        match self {
            Progress::Running(_) => "busy",
            Progress::Done => "good",
            Progress::Failed(_) => "bad",
        }
    }
}

#[derive(Deserialize)]
pub(super) struct Asked {
    #[serde(default)]
    measure: String,
}

impl Asked {
    fn measure(&self) -> Measure {
        self.measure.parse().unwrap_or_default()
    }
}

pub(super) async fn show(
    customer: Customer,
    Path(id): Path<JobId>,
    Query(asked): Query<Asked>,
) -> Result<Response, ApiError> {
    let job = own(&customer, id).await?;
    let report = if job.has_report { Some(report(&customer, id).await?) } else { None };
    Ok(html(&JobPage {
        frame: Frame::new(&customer.visitor(), Here::Files),
        began_at: Moment::of_secs(job.began_at_secs),
        progress: Progress::of(&job),
        job,
        report,
        measure: asked.measure(),
    }))
}

/// Ends the job, if it has not ended by itself.
pub(super) async fn cancel(
    customer: Customer,
    Path(id): Path<JobId>,
) -> Result<Response, ApiError> {
    own(&customer, id).await?;
    match IngestService::named().cancel(id).await? {
        Ok(()) | Err(JobError::Ended { .. }) => {
            Ok(Redirect::to(&format!("/shop/files/{id}")).into_response())
        }
        Err(error) => Err(error.into()),
    }
}

pub(super) async fn plot(
    customer: Customer,
    Path(id): Path<JobId>,
    Query(asked): Query<Asked>,
) -> Result<Response, ApiError> {
    let svg = report(&customer, id).await?.to_svg(asked.measure());
    Ok(([(header::CONTENT_TYPE, "image/svg+xml")], svg).into_response())
}

pub(super) async fn csv(customer: Customer, Path(id): Path<JobId>) -> Result<Response, ApiError> {
    let headers = [
        (header::CONTENT_TYPE, "text/csv; charset=utf-8".to_owned()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"report-{id}.csv\"")),
    ];
    Ok((headers, report(&customer, id).await?.to_csv()).into_response())
}

/// A job of somebody else's is unknown, as one that is not there.
async fn own(customer: &Customer, id: JobId) -> Result<JobStatus, ApiError> {
    let ingest = IngestService::named();
    let job = repeated(|| ingest.job(id)).await?;
    let own = job.filter(|job| job.owner == Some(owner(customer.user_id)));
    Ok(own.ok_or(JobError::Unknown { id })?)
}

async fn report(customer: &Customer, id: JobId) -> Result<Arc<Report>, ApiError> {
    own(customer, id).await?;
    Ok(IngestService::named().report(id).await??)
}

/// A figure as people read it: three digits after the point, if there is anything before it. The CSV has all.
fn brief(figure: &Decimal) -> Decimal {
    const ONE: i128 = 1_000_000_000;
    const STEP: i128 = ONE / 1_000;
    let billionths = figure.billionths();
    if billionths.abs() < ONE {
        return *figure;
    }
    let half = STEP / 2 * billionths.signum();
    Decimal::from_billionths(billionths.saturating_add(half) / STEP * STEP)
}

impl JobPage {
    fn measures(&self) -> impl Iterator<Item = (&'static str, bool)> {
        let has_distinct = self.shown().iter().any(|key| key.distinct.is_some());
        let names =
            ["sum", "count", "mean", "min", "max", "stddev", "p50", "p90", "p99", "distinct"];
        let chosen = self.measure.to_string();
        names
            .into_iter()
            .filter(move |name| *name != "distinct" || has_distinct)
            .map(move |name| (name, name == chosen))
    }

    fn shown(&self) -> &[KeyReport] {
        let keys = self.report.as_ref().map_or(&[][..], |report| &report.keys);
        &keys[..keys.len().min(SHOWN_MAX)]
    }

    fn keys(&self) -> usize {
        self.report.as_ref().map_or(0, |report| report.keys.len())
    }

    fn has_windows(&self) -> bool {
        self.shown().iter().any(|key| key.window.is_some())
    }

    fn failure(&self) -> Option<&str> {
        match &self.progress {
            Progress::Failed(text) => Some(text),
            _ => None,
        }
    }

    fn percent(&self) -> Option<u8> {
        match self.progress {
            Progress::Running(percent) => percent,
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_short_and_small_ones_are_whole() {
        let table = [
            ("21.543030142", "21.543"),
            ("-21.543530142", "-21.544"),
            ("1.0005", "1.001"),
            ("999.9996", "1000"),
            ("30", "30"),
            ("0.000000001", "0.000000001"),
            ("-0.123456789", "-0.123456789"),
        ];
        for (figure, expected) in table {
            assert_eq!(brief(&figure.parse().expect("a decimal")).to_string(), expected);
        }
    }
}
