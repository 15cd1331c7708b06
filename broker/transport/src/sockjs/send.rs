//! Requests by which a client sends.

use std::sync::Arc;
use std::time::Duration;

use bytes::Buf;
use http_body_util::BodyExt;
use hyper::StatusCode;
use hyper::body::{Body, Incoming};

use crate::http::rejection::Rejection;
use crate::sockjs::budget::{Budget, Share};
use crate::sockjs::frame::{Malformed, messages};

/// Reads a body as it comes, and holds no more of it than came. The share of the budget goes with it.
///
/// # Errors
///
/// How to refuse it: it is too long, too slow, or there is no room.
pub(crate) async fn read_body(
    mut body: Incoming,
    bytes_max: usize,
    budget: &Arc<Budget>,
) -> Result<(Vec<u8>, Share), Rejection> {
    let too_long = || {
        let reason = format!("a request may hold {bytes_max} bytes");
        Rejection::new(StatusCode::PAYLOAD_TOO_LARGE, reason)
    };
    if usize::try_from(body.size_hint().lower()).map_or(true, |bytes| bytes > bytes_max) {
        return Err(too_long());
    }
    let mut read = (Vec::new(), Share::new(Arc::clone(budget)));
    let reading = async {
        while let Some(frame) = body.frame().await {
            let Ok(frame) = frame else {
                return Err(Rejection::new(StatusCode::BAD_REQUEST, "the request ended too early"));
            };
            let Ok(mut data) = frame.into_data() else { continue };
            let (bytes, share) = &mut read;
            if data.remaining() > bytes_max - bytes.len() {
                return Err(too_long());
            }
            if share.is_spent() && bytes.len() + data.remaining() > SMALL_BYTES {
                let reason = "too much waits for other SockJS sessions; try again";
                return Err(Rejection::new(StatusCode::SERVICE_UNAVAILABLE, reason));
            }
            bytes.extend_from_slice(data.chunk());
            data.advance(data.remaining());
            share.set(bytes.len());
        }
        Ok(())
    };
    match tokio::time::timeout(BODY_WAIT_MAX, reading).await {
        Ok(outcome) => outcome.map(|()| read),
        Err(_) => Err(Rejection::new(StatusCode::REQUEST_TIMEOUT, "the request did not come within 30 s")),
    }
}

/// The messages of `jsonp_send`: in the field `d` of a form, or as the whole body.
///
/// # Errors
///
/// As [`messages`].
pub(crate) fn form_messages(body: &[u8], is_form: bool) -> Result<Vec<String>, Malformed> {
    if !is_form {
        return messages(body);
    }
    let field = form_urlencoded::parse(body).find(|(name, _)| name == "d");
    messages(field.map(|(_, value)| value).unwrap_or_default().as_bytes())
}

/// From the head of a request to the end of its body.
const BODY_WAIT_MAX: Duration = Duration::from_secs(30);

/// What is taken even where all together hold too much, in bytes.
const SMALL_BYTES: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_has_its_messages_in_a_field() {
        assert_eq!(form_messages(b"d=%5B%22x+y%22%5D", true), Ok(vec!["x y".to_owned()]));
        assert_eq!(form_messages(b"a=b&d=[\"%61bc\"]", true), Ok(vec!["abc".to_owned()]));
        assert_eq!(form_messages(b"[\"%61bc\"]", false), Ok(vec!["%61bc".to_owned()]));
        for nothing in [&b""[..], b"d=", b"p=p"] {
            assert_eq!(form_messages(nothing, true), Err(Malformed::Empty));
        }
        assert_eq!(form_messages(b"d=%5B%22x", true), Err(Malformed::NoJson));
    }
}
