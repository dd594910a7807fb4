//! `POST /ingest`, and everything below `/jobs`. A job is its user's: nobody else sees that it is there.

use std::{fmt::Display, sync::Arc};

use futures_util::StreamExt as _;
use linden::Node;
use linden_gateway::axum::{
    Json,
    body::Body,
    extract::{
        Path, Query,
        rejection::{PathRejection, QueryRejection},
    },
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Deserializer, de};
use shop_auth::UserId;
use shop_data_processing::{
    Format, IngestService, JobError, JobId, JobStatus, Measure, Options, Owner, Report, Upload,
};

use crate::{accounts::User, error::ApiError};

const CSV: &str = "text/csv; charset=utf-8";
const SVG: &str = "image/svg+xml";

/// Reads the body as fast as the workers take it, and no faster. When the client leaves, this
/// future is dropped, and with it the upload, which ends the job. The query is that of [`Options`];
/// the answer is JSON, or what `Accept` prefers of CSV and SVG.
pub(crate) async fn ingest(
    User(user_id): User,
    options: Result<Query<Options>, QueryRejection>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let Query(options) = options.map_err(|rejection| bad_request(rejection.body_text()))?;
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let told = text(header::CONTENT_TYPE).and_then(Format::of_content_type);
    let selection = options.selection(told).map_err(bad_request)?;
    let bytes_total = text(header::CONTENT_LENGTH).and_then(|length| length.parse().ok());

    let node = Node::current().expect("a handler runs in a process");
    let mut upload =
        Upload::begin_owned(&node, selection, bytes_total, Some(owner(user_id))).await?;
    let mut chunks = body.into_data_stream();
    while let Some(chunk) = chunks.next().await {
        upload.feed(chunk.map_err(bad_request)?).await?;
    }
    let location = format!("/jobs/{}/report", upload.id());
    let report = upload.finish().await?;
    let shape = text(header::ACCEPT).map_or(Shape::Json, Shape::preferred);
    Ok(([(header::CONTENT_LOCATION, location)], shape.show(&report)).into_response())
}

/// `GET /jobs`.
pub(crate) async fn jobs(User(user_id): User) -> Result<Json<Vec<JobStatus>>, ApiError> {
    Ok(Json(IngestService::named().jobs_of(owner(user_id)).await?))
}

/// `GET /jobs/{id}`.
pub(crate) async fn job(user: User, id: JobPath) -> Result<Json<JobStatus>, ApiError> {
    Ok(Json(own_job(user, id).await?))
}

/// `DELETE /jobs/{id}`: ends it.
pub(crate) async fn cancel(user: User, id: JobPath) -> Result<StatusCode, ApiError> {
    let job = own_job(user, id).await?;
    IngestService::named().cancel(job.id).await??;
    Ok(StatusCode::ACCEPTED)
}

/// `GET /jobs/{id}/report`.
pub(crate) async fn report(user: User, id: JobPath) -> Result<Response, ApiError> {
    Ok(Shape::Json.show(&*kept_report(user, id).await?))
}

/// `GET /jobs/{id}/report.csv`.
pub(crate) async fn report_csv(user: User, id: JobPath) -> Result<Response, ApiError> {
    Ok(Shape::Csv.show(&*kept_report(user, id).await?))
}

/// `GET /jobs/{id}/report.svg?measure=mean`; the sum by default.
pub(crate) async fn report_svg(
    user: User,
    id: JobPath,
    plot: Result<Query<Plot>, QueryRejection>,
) -> Result<Response, ApiError> {
    let Query(plot) = plot.map_err(|rejection| bad_request(rejection.body_text()))?;
    Ok(Shape::Svg(plot.measure).show(&*kept_report(user, id).await?))
}

type JobPath = Result<Path<JobId>, PathRejection>;

pub(crate) fn owner(UserId(id): UserId) -> Owner {
    Owner(id)
}

/// A job of somebody else's is unknown, as one that is not there.
async fn own_job(User(user_id): User, id: JobPath) -> Result<JobStatus, ApiError> {
    let Path(id) = id.map_err(|rejection| bad_request(rejection.body_text()))?;
    let job = IngestService::named().job(id).await?;
    let own = job.filter(|job| job.owner == Some(owner(user_id)));
    Ok(own.ok_or(JobError::Unknown { id })?)
}

async fn kept_report(user: User, id: JobPath) -> Result<Arc<Report>, ApiError> {
    let job = own_job(user, id).await?;
    Ok(IngestService::named().report(job.id).await??)
}

/// The query of a picture.
#[derive(Deserialize)]
pub(crate) struct Plot {
    #[serde(default, deserialize_with = "measure")]
    measure: Measure,
}

fn measure<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Measure, D::Error> {
    match String::deserialize(deserializer)?.as_str() {
        "" => Ok(Measure::default()),
        text => text.parse().map_err(de::Error::custom),
    }
}

/// How a report is shown.
#[derive(Clone, Copy)]
enum Shape {
    Json,
    Csv,
    Svg(Measure),
}

impl Shape {
    /// The first that is known of those that a client accepts.
    fn preferred(accepted: &str) -> Shape {
        let kinds = accepted.split(',').map(|kind| kind.split(';').next().unwrap_or(kind).trim());
        let known = |kind: &str| match kind {
            "text/csv" => Some(Shape::Csv),
            SVG => Some(Shape::Svg(Measure::default())),
            "application/json" => Some(Shape::Json),
            _ => None,
        };
        kinds.into_iter().find_map(known).unwrap_or(Shape::Json)
    }

    fn show(self, report: &Report) -> Response {
        match self {
            Shape::Json => Json(report).into_response(),
            Shape::Csv => ([(header::CONTENT_TYPE, CSV)], report.to_csv()).into_response(),
            Shape::Svg(measure) => {
                ([(header::CONTENT_TYPE, SVG)], report.to_svg(measure)).into_response()
            }
        }
    }
}

impl From<JobError> for ApiError {
    fn from(error: JobError) -> ApiError {
        let status = match error {
            JobError::Unknown { .. } => StatusCode::NOT_FOUND,
            JobError::NotKept { .. } => StatusCode::GONE,
            _ => StatusCode::CONFLICT,
        };
        ApiError::refused(status, error.to_string())
    }
}

fn bad_request(error: impl Display) -> ApiError {
    ApiError::refused(StatusCode::BAD_REQUEST, error.to_string())
}
