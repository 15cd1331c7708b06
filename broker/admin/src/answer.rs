//! Answers: JSON, and what is refused as JSON

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::json;

/// `value`, as JSON.
pub(crate) fn answer(status: StatusCode, value: &impl Serialize) -> Response {
    let mut text = serde_json::to_string(value).unwrap_or_default();
    text.push('\n');
    (status, [(header::CONTENT_TYPE, JSON)], text).into_response()
}

/// What is refused, and why, as RabbitMQ says it: `error` for programs, `reason` for people.
pub(crate) fn refuse(status: StatusCode, reason: &str) -> Response {
    Refused::new(status, reason).into_response()
}

/// A request that is refused.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) status: StatusCode,
    /// Why, for people.
    pub(crate) reason: String,
}

impl Refused {
    pub(crate) fn new(status: StatusCode, reason: impl Into<String>) -> Self {
        Self { status, reason: reason.into() }
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let mut answer = answer(self.status, &json!({ "error": word(self.status), "reason": self.reason }));
        let more = match self.status {
            StatusCode::UNAUTHORIZED => Some((header::WWW_AUTHENTICATE, CHALLENGE)),
            StatusCode::TOO_MANY_REQUESTS => Some((header::RETRY_AFTER, "5")),
            _ => None,
        };
        answer.headers_mut().extend(more.map(|(name, value)| (name, HeaderValue::from_static(value))));
        answer
    }
}

fn word(status: StatusCode) -> &'static str {
    match status {
        StatusCode::BAD_REQUEST => "bad_request",
        StatusCode::UNAUTHORIZED => "not_authorised",
        StatusCode::FORBIDDEN => "access_refused",
        StatusCode::NOT_FOUND => "not_found",
        StatusCode::UNSUPPORTED_MEDIA_TYPE => "unsupported_media_type",
        StatusCode::TOO_MANY_REQUESTS => "too_many_requests",
        StatusCode::SERVICE_UNAVAILABLE => "busy",
        _ => "internal_error",
    }
}

const CHALLENGE: &str = "Basic realm=\"DuetMQ\", charset=\"UTF-8\"";

/// The kind that all of it is of.
pub(crate) const JSON: &str = "application/json";
