//! `/shop/files`: a form that takes a file, and the files that were sent.
//!
//! A file is read as it comes, as by `POST /ingest`, and no faster than it is worked on. The form's texts come first, so the
//! file must be its last field. A browser shows no answer before its whole form is sent: when the file cannot be used,
//! what is left of it is read and thrown away.

use askama::Template;
use futures_util::StreamExt as _;
use linden::Node;
use linden_gateway::axum::{
    body::{Body, BodyDataStream},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse as _, Redirect, Response},
};
use multer::{Constraints, Field, Multipart, SizeLimit};
use shop_data_processing::{
    Format, IngestError, IngestService, JobId, JobStatus, Owner, Selection, Upload,
};

use super::{
    clock::Moment,
    frame::{Frame, Here},
    html,
    job::Progress,
    options_form::OptionsForm,
    session::Customer,
    with_status,
};
use crate::{error::ApiError, files::owner, payments::repeated};

/// Bytes of a field of text.
const TEXT_BYTES_MAX: u64 = 1_024;
/// Bytes that are thrown away of a form whose file is of no use. Behind them the connection breaks.
const DISCARDED_BYTES_MAX: usize = 64 << 20;

#[derive(Template)]
#[template(path = "files.html")]
struct FilesPage {
    frame: Frame,
    form: OptionsForm,
    mistake: Option<String>,
    jobs: Vec<Row>,
}

struct Row {
    id: JobId,
    key: String,
    value: String,
    rows: u64,
    at: Moment,
    progress: Progress,
}

impl FilesPage {
    async fn new(customer: &Customer) -> Result<FilesPage, ApiError> {
        let ingest = IngestService::named();
        let jobs = repeated(|| ingest.jobs_of(owner(customer.user_id))).await?;
        Ok(FilesPage {
            frame: Frame::new(&customer.visitor(), Here::Files),
            form: OptionsForm::default(),
            mistake: None,
            jobs: jobs.into_iter().rev().map(Row::of).collect(),
        })
    }

    fn is_live(&self) -> bool {
        self.jobs.iter().any(|job| job.progress.is_running())
    }
}

impl Row {
    fn of(job: JobStatus) -> Row {
        Row {
            id: job.id,
            rows: job.progress.rows,
            at: Moment::of_secs(job.began_at_secs),
            progress: Progress::of(&job),
            key: job.key,
            value: job.value,
        }
    }
}

pub(super) async fn show(customer: Customer) -> Result<Response, ApiError> {
    Ok(html(&FilesPage::new(&customer).await?))
}

/// Takes the file, and goes to the page of its job, which says what became of it.
pub(super) async fn upload(
    customer: Customer,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let boundary = text(header::CONTENT_TYPE).unwrap_or_default();
    let boundary = multer::parse_boundary(boundary).map_err(ApiError::bad_request)?;
    let bytes_total = text(header::CONTENT_LENGTH).and_then(|length| length.parse().ok());

    let mut form = Form::new(owner(customer.user_id), body.into_data_stream(), boundary);
    let taken = form.take(bytes_total).await;
    form.discard_rest().await;
    let mistake = match taken? {
        Taken::Job(id) => return Ok(Redirect::to(&format!("/shop/files/{id}")).into_response()),
        Taken::Nothing(mistake) => mistake,
    };
    let page = FilesPage { form: form.options, mistake, ..FilesPage::new(&customer).await? };
    Ok(with_status(StatusCode::UNPROCESSABLE_ENTITY, &page))
}

/// A form on its way in.
struct Form {
    owner: Owner,
    fields: Multipart<'static>,
    options: OptionsForm,
}

/// What became of a form.
enum Taken {
    /// Its file has a job, which may have failed.
    Job(JobId),
    /// It was not taken: this is wrong, or what stands at the fields.
    Nothing(Option<String>),
}

impl Form {
    fn new(owner: Owner, body: BodyDataStream, boundary: String) -> Form {
        let sizes = SizeLimit::new().per_field(TEXT_BYTES_MAX).for_field("file", u64::MAX);
        let constraints = Constraints::new().size_limit(sizes);
        let fields = Multipart::with_constraints(body, boundary, constraints);
        Form { owner, fields, options: OptionsForm::default() }
    }

    async fn take(&mut self, bytes_total: Option<u64>) -> Result<Taken, ApiError> {
        while let Some(field) = self.fields.next_field().await.map_err(ApiError::bad_request)? {
            match field.name() {
                Some("file") => return self.take_file(field, bytes_total).await,
                Some(name) => {
                    let name = name.to_owned();
                    let text = field.text().await.map_err(ApiError::bad_request)?;
                    self.options.set(&name, text);
                }
                None => {}
            }
        }
        Ok(Taken::Nothing(Some("Choose a file.".to_owned())))
    }

    async fn take_file(
        &mut self,
        file: Field<'static>,
        bytes_total: Option<u64>,
    ) -> Result<Taken, ApiError> {
        let name = file.file_name().unwrap_or_default().to_owned();
        let told = Format::of_file_name(&name);
        let told = told.or_else(|| Format::of_content_type(file.content_type()?.as_ref()));
        let selection = self.options.selection(told);
        let (Some(selection), false) = (selection, name.is_empty()) else {
            let mistake = name.is_empty().then(|| "Choose a file.".to_owned());
            discard(file).await;
            return Ok(Taken::Nothing(mistake));
        };
        aggregate(file, selection, bytes_total, self.owner).await
    }

    async fn discard_rest(&mut self) {
        while let Ok(Some(field)) = self.fields.next_field().await {
            discard(field).await;
        }
    }
}

/// When the browser leaves, this is dropped, and with it the upload, which ends the job.
async fn aggregate(
    mut file: Field<'static>,
    selection: Selection,
    bytes_total: Option<u64>,
    owner: Owner,
) -> Result<Taken, ApiError> {
    let node = Node::current().expect("a handler runs in a process");
    let mut upload = match Upload::begin_owned(&node, selection, bytes_total, Some(owner)).await {
        Ok(upload) => upload,
        Err(error) => {
            discard(file).await;
            return Err(error.into());
        }
    };
    let id = upload.id();
    while let Some(chunk) = file.next().await {
        let chunk = chunk.map_err(ApiError::bad_request)?;
        if let Err(error) = upload.feed(chunk).await {
            discard(file).await;
            return ended(id, error);
        }
    }
    match upload.finish().await {
        Ok(_) => Ok(Taken::Job(id)),
        Err(error) => ended(id, error),
    }
}

/// What is wrong with a file is written down with its job.
fn ended(id: JobId, error: IngestError) -> Result<Taken, ApiError> {
    match error {
        IngestError::Overloaded { .. } | IngestError::Service(_) => Err(error.into()),
        _ => Ok(Taken::Job(id)),
    }
}

async fn discard(mut field: Field<'static>) {
    let mut bytes = 0;
    while bytes < DISCARDED_BYTES_MAX
        && let Some(Ok(chunk)) = field.next().await
    {
        bytes += chunk.len();
    }
}
