//! What every answer says of itself: strict, because pages and broker share a browser.

use axum::http::header::{self, HeaderName};
use axum::http::{HeaderMap, HeaderValue};

/// The same for every answer. `no-cache` because the pages belong to this build: the next one may have others.
const ALWAYS: [(HeaderName, &str); 3] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::CACHE_CONTROL, "no-cache"),
    (header::REFERRER_POLICY, "no-referrer"),
];

/// Whose pages may load what is here: our own, unless the answer says something else already.
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// What pages may load and where they may connect: scripts, styles and pictures only from here and never written into
/// the page, WebSockets and the requests of SockJS only to these `ports`, on whatever name the browser knows this machine by.
pub(crate) fn content_security_policy(ports: impl IntoIterator<Item = u16>) -> HeaderValue {
    let mut text = String::from(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'; connect-src 'self'",
    );
    for port in ports {
        text.push_str(&format!(" ws://*:{port} wss://*:{port} http://*:{port} https://*:{port}"));
    }
    // Only digits were added to a text of ours, so this cannot fail; if it did, the strictest policy is the answer.
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("default-src 'none'"))
}

/// Adds to `headers` what every answer carries.
pub(crate) fn put(headers: &mut HeaderMap, policy: HeaderValue) {
    headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    for (name, value) in ALWAYS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(RESOURCE_POLICY).or_insert(HeaderValue::from_static("same-origin"));
}

/// Lets pages of any origin load this answer: it is the same for everybody, and no secret.
pub(crate) fn share(headers: &mut HeaderMap) {
    headers.insert(RESOURCE_POLICY, HeaderValue::from_static("cross-origin"));
}
