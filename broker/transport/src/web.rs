//! A connection that began with HTTP, from its first request to its last.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};

use crate::http::content::Content;
use crate::http::rejection::Rejection;
use crate::http::subprotocol::Protocol;
use crate::http::upgrade::{Grant, Routes, asks_for_upgrade};
use crate::http::{Framing, Handshake, Upgraded};
use crate::linger::Lent;
use crate::peer::Visitor;
use crate::sockjs::pages::greeting;
use crate::sockjs::{Reply, SockJs};

/// All that is served on a listener for HTTP.
#[derive(Debug)]
pub struct Site {
    /// WebSockets.
    pub routes: Routes,
    /// SockJS, each at its path. Where a WebSocket is at the same path, those who ask for one get it.
    pub sockjs: Vec<SockJs>,
}

impl Site {
    /// Ready when no session of a client that polls is left.
    pub async fn emptied(&self) {
        for sockjs in &self.sockjs {
            sockjs.emptied().await;
        }
    }
}

/// Answers what a connection asks, until it becomes a WebSocket, or ends: then there is none. Once `closing` is ready, what
/// was asked before is still answered, for two seconds. When the last is said the connection is given back to whoever lent it.
///
/// # Errors
///
/// Why the connection was ended. The client has been told, as far as it can be.
pub async fn serve_http(
    stream: Lent,
    from: &Visitor,
    site: &Site,
    closing: impl Future<Output = ()>,
) -> Result<Option<Upgraded>, HttpError> {
    let visit = Visit { site, from, state: Mutex::new(State::Silent) };
    let mut builder = http1::Builder::new();
    builder.max_buf_size(HEAD_BYTES_MAX).max_headers(HEADERS_MAX);
    builder.timer(TokioTimer::new()).header_read_timeout(IDLE_MAX);
    let ended = {
        let service = service_fn(|request| async { Ok::<_, Infallible>(visit.answer(request).await) });
        let connection = builder.serve_connection(TokioIo::new(stream), service).with_upgrades();
        let mut connection = pin!(connection);
        tokio::select! {
            ended = connection.as_mut() => ended,
            () = visit.first_head_is_late() => return Err(HttpError::TimedOut),
            () = closing => {
                connection.as_mut().graceful_shutdown();
                match tokio::time::timeout(CLOSE_MAX, connection).await {
                    Ok(ended) => ended,
                    Err(_) => return Ok(None),
                }
            }
        }
    };
    match (visit.state.into_inner().unwrap_or_else(PoisonError::into_inner), ended) {
        (State::Silent, Ok(())) => Err(HttpError::Silent),
        (State::Silent, Err(error)) => Err(HttpError::Malformed(error)),
        // Whoever asked before may leave as he likes, but what he says must be HTTP.
        (State::Answered, Err(error)) if error.is_parse() => Err(HttpError::Malformed(error)),
        (State::Answered, _) => Ok(None),
        (State::Refused(rejection), _) => Err(HttpError::Refused(rejection)),
        (State::Granted(_), Err(error)) => Err(HttpError::Malformed(error)),
        (State::Granted(granted), Ok(())) => {
            let Granted { protocol, framing, pending, handshake } = *granted;
            let upgraded = pending.await.map_err(HttpError::Malformed)?;
            let parts = upgraded.downcast::<TokioIo<Lent>>().map_err(|_| HttpError::Silent)?;
            let stream = parts.io.into_inner().into_stream().ok_or(HttpError::Silent)?;
            let early: Bytes = parts.read_buf;
            Ok(Some(Upgraded { stream, early, protocol, framing, handshake }))
        }
    }
}

/// Why a connection that began with HTTP was ended.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// A request was answered with a refusal.
    #[error("{} {}", .0.status.as_u16(), .0.reason)]
    Refused(Rejection),
    /// The first request was not complete within ten seconds.
    #[error("no request within 10 s")]
    TimedOut,
    /// What came is not HTTP, or its head is longer than 8 KB or 64 headers.
    #[error("not a request that can be answered: {0}")]
    Malformed(hyper::Error),
    /// The peer left before it had asked for anything.
    #[error("closed without a request")]
    Silent,
}

/// One connection while it is served.
struct Visit<'a> {
    site: &'a Site,
    from: &'a Visitor,
    state: Mutex<State>,
}

/// How far it came.
enum State {
    /// Nothing was asked.
    Silent,
    /// All that was asked was answered.
    Answered,
    /// The last answer ends the connection.
    Refused(Rejection),
    /// It becomes a WebSocket.
    Granted(Box<Granted>),
}

struct Granted {
    protocol: Protocol,
    framing: Framing,
    pending: OnUpgrade,
    handshake: Handshake,
}

impl Visit<'_> {
    async fn answer(&self, mut request: Request<Incoming>) -> Response<Content> {
        self.set(State::Answered);
        let pending = hyper::upgrade::on(&mut request);
        let path = request.uri().path();
        let sockjs = self.site.sockjs.iter().find(|sockjs| sockjs.has(path));
        let is_websocket = self.site.routes.upgrades.iter().any(|(served, _)| served == path);
        let Some(sockjs) = sockjs.filter(|_| !is_websocket) else {
            let (head, _) = request.into_parts();
            // One path may be for both: whoever asks for no WebSocket there is greeted.
            if sockjs.is_some() && !asks_for_upgrade(&head) {
                return greeting();
            }
            return match self.site.routes.decide(&head) {
                Ok(grant) => self.grant(grant, Framing::Plain, pending, Handshake::new(&head)),
                Err(rejection) => self.refuse(rejection),
            };
        };
        match sockjs.reply(request, self.from).await {
            Reply::Answer(response) => response,
            Reply::Refuse(rejection) => self.refuse(rejection),
            Reply::Upgrade(grant, framing, handshake) => self.grant(grant, framing, pending, *handshake),
        }
    }

    fn grant(
        &self,
        grant: Grant,
        framing: Framing,
        pending: OnUpgrade,
        handshake: Handshake,
    ) -> Response<Content> {
        let protocol = grant.protocol;
        self.set(State::Granted(Box::new(Granted { protocol, framing, pending, handshake })));
        grant.answer()
    }

    fn refuse(&self, rejection: Rejection) -> Response<Content> {
        let response = rejection.answer();
        self.set(State::Refused(rejection));
        response
    }

    /// Ready when nothing was asked in time; never, if something was.
    async fn first_head_is_late(&self) {
        tokio::time::sleep(HEAD_WAIT_MAX).await;
        let is_silent = matches!(*self.state.lock().unwrap_or_else(PoisonError::into_inner), State::Silent);
        if !is_silent {
            std::future::pending().await
        }
    }

    fn set(&self, state: State) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = state;
    }
}

/// The request line and all headers; hyper answers 431 to more.
const HEAD_BYTES_MAX: usize = 8192;

const HEADERS_MAX: usize = 64;

/// From the first byte to the head of the first request.
const HEAD_WAIT_MAX: Duration = Duration::from_secs(10);

/// How long a connection may ask nothing: longer than a client that polls takes for anything else.
const IDLE_MAX: Duration = Duration::from_secs(60);

/// How long answers may take once the listener is to be closed.
const CLOSE_MAX: Duration = Duration::from_secs(2);
