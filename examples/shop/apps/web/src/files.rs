//! `POST /ingest` and `GET /jobs`.

use futures_util::StreamExt as _;
use linden::Node;
use linden_gateway::axum::{
    Json,
    body::Body,
    extract::{Query, rejection::QueryRejection},
    http::StatusCode,
};
use serde::Deserialize;
use shop_data_processing::{IngestService, JobStatus, Report, Selection, Upload};

use crate::error::ApiError;

/// `?key=COL&value=COL`, and `&delimiter=;` for files without commas.
#[derive(Deserialize)]
pub(crate) struct Columns {
    key: String,
    value: String,
    delimiter: Option<String>,
}

impl Columns {
    fn selection(self) -> Result<Selection, ApiError> {
        let mut selection = Selection::new(self.key, self.value);
        if let Some(text) = self.delimiter {
            selection.delimiter =
                text.parse().map_err(|error| bad_request(format!("delimiter: {error}")))?;
        }
        Ok(selection)
    }
}

/// Reads the body as fast as the workers take it, and no faster. When the client leaves, this
/// future is dropped, and with it the upload, which ends the job.
pub(crate) async fn ingest(
    columns: Result<Query<Columns>, QueryRejection>,
    body: Body,
) -> Result<Json<Report>, ApiError> {
    let Query(columns) = columns.map_err(|rejection| bad_request(rejection.body_text()))?;
    let node = Node::current().expect("a handler runs in a process");
    let mut upload = Upload::begin(&node, columns.selection()?).await?;
    let mut chunks = body.into_data_stream();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|error| bad_request(error.to_string()))?;
        upload.feed(chunk).await?;
    }
    Ok(Json(upload.finish().await?))
}

pub(crate) async fn jobs() -> Result<Json<Vec<JobStatus>>, ApiError> {
    Ok(Json(IngestService::named().jobs().await?))
}

fn bad_request(error: String) -> ApiError {
    ApiError::refused(StatusCode::BAD_REQUEST, error)
}
