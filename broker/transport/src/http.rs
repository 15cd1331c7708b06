//! Enough of HTTP/1.1 to upgrade.

use std::convert::Infallible;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{
    CONNECTION, CONTENT_TYPE, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_PROTOCOL, UPGRADE,
};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::http::subprotocol::Protocol;
use crate::http::upgrade::{Grant, Rejection, Routes};

pub mod subprotocol;

pub mod upgrade;

/// A connection that is a WebSocket from now on.
#[derive(Debug)]
pub struct Upgraded {
    /// The connection.
    pub stream: TcpStream,
    /// What of the WebSocket was read along with the request.
    pub early: Bytes,
    /// What is spoken.
    pub protocol: Protocol,
}

/// Answers the one request that a connection begins with. Everything but an upgrade ends the connection.
///
/// # Errors
///
/// Why there is no WebSocket. The client has been told, as far as it can be.
pub async fn serve_http(stream: TcpStream, routes: &Routes) -> Result<Upgraded, HttpError> {
    let verdict = Mutex::new(None);
    let service = service_fn(|request| {
        let (response, outcome) = answer(request, routes);
        *verdict.lock().unwrap_or_else(PoisonError::into_inner) = Some(outcome);
        std::future::ready(Ok::<_, Infallible>(response))
    });
    let connection = http1::Builder::new()
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    match tokio::time::timeout(HEAD_WAIT_MAX, connection).await {
        Err(_) => return Err(HttpError::TimedOut),
        Ok(Err(error)) => return Err(HttpError::Malformed(error)),
        Ok(Ok(())) => {}
    }
    match verdict.into_inner().unwrap_or_else(PoisonError::into_inner) {
        None => Err(HttpError::Silent),
        Some(Err(rejection)) => Err(HttpError::Refused(rejection)),
        Some(Ok((grant, pending))) => {
            let upgraded = pending.await.map_err(HttpError::Malformed)?;
            let parts = upgraded.downcast::<TokioIo<TcpStream>>().map_err(|_| HttpError::Silent)?;
            Ok(Upgraded { stream: parts.io.into_inner(), early: parts.read_buf, protocol: grant.protocol })
        }
    }
}

/// Why a connection that began with HTTP did not become a WebSocket.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The request was answered, but not by an upgrade.
    #[error("{} {}", .0.status.as_u16(), .0.reason)]
    Refused(Rejection),
    /// The request was not complete within ten seconds.
    #[error("no request within 10 s")]
    TimedOut,
    /// What came is not HTTP, or its head is longer than 8 KB or 64 headers.
    #[error("not a request that can be answered: {0}")]
    Malformed(hyper::Error),
    /// The peer left before it had asked for anything.
    #[error("closed without a request")]
    Silent,
}

type Outcome = Result<(Grant, OnUpgrade), Rejection>;

fn answer(mut request: Request<Incoming>, routes: &Routes) -> (Response<Full<Bytes>>, Outcome) {
    let pending = hyper::upgrade::on(&mut request);
    let (head, _) = request.into_parts();
    match routes.decide(&head) {
        Ok(grant) => (switch(&grant), Ok((grant, pending))),
        Err(rejection) => (refuse(&rejection), Err(rejection)),
    }
}

fn switch(grant: &Grant) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_ACCEPT, grant.accept_key.clone());
    if let Some(name) = grant.subprotocol {
        headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(name));
    }
    response
}

fn refuse(rejection: &Rejection) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(format!("{}\n", rejection.reason)));
    *response.status_mut() = rejection.status;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    if let Some((name, value)) = &rejection.header {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// The request line and all headers; hyper answers 431 to more.
const HEAD_BYTES_MAX: usize = 8192;

const HEADERS_MAX: usize = 64;

/// From the first byte to the answer.
const HEAD_WAIT_MAX: Duration = Duration::from_secs(10);
