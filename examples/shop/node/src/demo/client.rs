//! A visitor's connection: HTTP/1.1, one request at a time, made anew when it breaks.

use std::{error::Error, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{
    Method, Request, StatusCode,
    client::conn::http1::SendRequest,
    header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue, RETRY_AFTER},
};
use serde_json::Value;

use super::shop::Shop;

/// The longest that an answer is waited for.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// What a visitor sends.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) method: Method,
    pub(super) path: String,
    /// Its `Idempotency-Key`.
    pub(super) key: Option<String>,
    pub(super) content_type: &'static str,
    pub(super) body: Bytes,
}

impl Asked {
    pub(super) fn get(path: &str) -> Asked {
        let (path, body) = (path.to_owned(), Bytes::new());
        Asked { method: Method::GET, path, key: None, content_type: "application/json", body }
    }

    pub(super) fn post(path: &str, body: &Value) -> Asked {
        Asked { method: Method::POST, body: body.to_string().into(), ..Asked::get(path) }
    }

    pub(super) fn delete(path: &str) -> Asked {
        Asked { method: Method::DELETE, ..Asked::get(path) }
    }

    pub(super) fn csv(path: &str, rows: String) -> Asked {
        let content_type = "text/csv";
        Asked { method: Method::POST, body: rows.into(), content_type, ..Asked::get(path) }
    }

    /// Names the request, so that it can be sent again.
    pub(super) fn named(self, key: String) -> Asked {
        Asked { key: Some(key), ..self }
    }
}

/// What came back.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) retry_after: Duration,
    pub(super) json: Value,
}

/// See the head of this file.
pub(super) struct Client {
    shop: Shop,
    bearer: Option<HeaderValue>,
    connection: Option<SendRequest<Full<Bytes>>>,
}

impl Client {
    pub(super) fn new(shop: Shop) -> Client {
        Client { shop, bearer: None, connection: None }
    }

    /// From now on requests carry this token.
    pub(super) fn log_in(&mut self, token: &str) {
        self.bearer = HeaderValue::from_str(&format!("Bearer {token}")).ok();
    }

    /// Sends a request and reads its answer. After an error the next one has a new connection.
    pub(super) async fn ask(
        &mut self,
        asked: &Asked,
    ) -> Result<Answer, Box<dyn Error + Send + Sync>> {
        let request = self.request(asked)?;
        let mut connection = match self.connection.take() {
            Some(connection) if connection.is_ready() => connection,
            _ => self.shop.connect().await?,
        };
        let answer = async {
            let response = connection.send_request(request).await?;
            let status = response.status();
            let retry_after = response.headers().get(RETRY_AFTER);
            let retry_after = retry_after.and_then(|value| value.to_str().ok()?.parse().ok());
            let body = response.into_body().collect().await?.to_bytes();
            let json = serde_json::from_slice(&body).unwrap_or(Value::Null);
            let retry_after = Duration::from_secs(retry_after.unwrap_or(0));
            Ok::<Answer, hyper::Error>(Answer { status, retry_after, json })
        };
        let answer = tokio::time::timeout(ANSWER_TIMEOUT, answer).await??;
        self.connection = Some(connection);
        Ok(answer)
    }

    fn request(&self, asked: &Asked) -> Result<Request<Full<Bytes>>, hyper::http::Error> {
        let mut request = Request::builder()
            .method(asked.method.clone())
            .uri(&asked.path)
            .header(HOST, &*self.shop.host)
            .header(CONTENT_TYPE, asked.content_type);
        if let Some(bearer) = &self.bearer {
            request = request.header(AUTHORIZATION, bearer);
        }
        if let Some(key) = &asked.key {
            request = request.header("idempotency-key", key);
        }
        request.body(Full::new(asked.body.clone()))
    }
}
