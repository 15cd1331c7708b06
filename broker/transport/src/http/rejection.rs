//! A request that is refused, and how it is told.

use hyper::header::{HeaderName, HeaderValue};
use hyper::{Response, StatusCode};

use crate::http::content::{self, Content};

/// A request that is refused: the status of the answer, and its text, which is good for the log too. The connection ends
/// with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// Its status.
    pub status: StatusCode,
    /// What was wrong and what would be right, printable.
    pub reason: String,
    /// A header that goes with the status.
    pub header: Option<(HeaderName, &'static str)>,
}

impl Rejection {
    /// Without a header.
    pub fn new(status: StatusCode, reason: impl Into<String>) -> Self {
        Self { status, reason: reason.into(), header: None }
    }

    /// With a header.
    #[must_use]
    pub fn with(mut self, name: HeaderName, value: &'static str) -> Self {
        self.header = Some((name, value));
        self
    }

    /// What the client is told.
    pub fn answer(&self) -> Response<Content> {
        let mut response = content::plain(self.status, format!("{}\n", self.reason));
        let headers = response.headers_mut();
        headers.insert(hyper::header::CONNECTION, HeaderValue::from_static("close"));
        if let Some((name, value)) = &self.header {
            headers.insert(name, HeaderValue::from_static(value));
        }
        response
    }
}
