//! SockJS: routes under a path, for browsers that cannot have a WebSocket, and for those who can.
//!
//! What the client library (sockjs-client 1.x) asks for is answered as it wants it. Sessions of clients that poll become
//! [`polled::Polled`], and then a carrier like any other.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Request, Response, StatusCode};

use crate::http::content::{Content, plain};
use crate::http::rejection::Rejection;
use crate::http::subprotocol::Protocol;
use crate::http::upgrade::Grant;
use crate::http::{Framing, Handshake};
use crate::peer::Visitor;
use crate::sockjs::budget::Budget;
use crate::sockjs::frame::{Malformed, messages};
use crate::sockjs::options::Options;
use crate::sockjs::pages::Iframe;
use crate::sockjs::place::{Place, Transport};
use crate::sockjs::polled::Polled;
use crate::sockjs::receive::{Streaming, Wrapping, receive_one};
use crate::sockjs::registry::Sessions;
use crate::sockjs::send::{form_messages, read_body};
use crate::sockjs::session::Session;

pub mod options;

pub mod frame;

pub mod budget;

mod session;

mod registry;

pub mod polled;

mod place;

pub mod pages;

mod receive;

mod send;

pub mod framed;

pub mod stream;

/// A place where SockJS clients come in.
pub struct SockJs {
    options: Options,
    budget: Arc<Budget>,
    sessions: Arc<Sessions>,
    iframe: Iframe,
    open: Open,
}

/// Takes a new session over; `false` if there is no room for it.
pub type Open = Box<dyn Fn(Opened) -> bool + Send + Sync>;

/// A session of a client that polls.
#[derive(Debug)]
pub struct Opened {
    /// Its messages.
    pub polled: Polled,
    /// What is spoken in it.
    pub protocol: Protocol,
    /// Its first request.
    pub handshake: Handshake,
    /// From where that came.
    pub from: Visitor,
}

/// What to do about a request.
#[derive(Debug)]
pub enum Reply {
    /// Answer it so.
    Answer(Response<Content>),
    /// Refuse it, and end the connection.
    Refuse(Rejection),
    /// The connection becomes a WebSocket.
    Upgrade(Grant, Framing, Box<Handshake>),
}

impl SockJs {
    /// `budget`: what it and others together may hold.
    pub fn new(options: Options, budget: Arc<Budget>, open: Open) -> Self {
        let sessions = Arc::new(Sessions::new(options.disconnect_delay));
        let iframe = Iframe::new(&options.client_url);
        Self { options, budget, sessions, iframe, open }
    }

    /// Where it is.
    pub fn path(&self) -> &str {
        &self.options.path
    }

    /// Whether a request for this path is for here.
    pub fn has(&self, path: &str) -> bool {
        let rest = path.strip_prefix(&*self.options.path);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// Ready when no session of a client that polls is left: all were told, or given up.
    pub async fn emptied(&self) {
        // The sender lives as long as this does.
        let _ = self.sessions.alive().subscribe().wait_for(|count| *count == 0).await;
    }

    /// Deals with a request. Dropping the future, or the body of its answer, cuts off whoever receives by it.
    pub async fn reply(&self, request: Request<Incoming>, from: &Visitor) -> Reply {
        let (head, body) = request.into_parts();
        let Some(place) = Place::find(&self.options.path, head.uri.path()).filter(|place| self.is_on(*place))
        else {
            return Reply::Answer(plain(StatusCode::NOT_FOUND, "nothing is served here\n"));
        };
        if !place.methods().contains(&head.method) {
            return Reply::Answer(pages::other_method(place.methods()));
        }
        if let Err(rejection) = self.check_origin(place, &head) {
            return Reply::Refuse(rejection);
        }
        if head.method == Method::OPTIONS {
            return Reply::Answer(self.dress(pages::preflight(place.methods()), place, &head));
        }
        let served = self.serve(place, &head, body, from).await;
        served.unwrap_or_else(Reply::Refuse)
    }

    fn is_on(&self, place: Place<'_>) -> bool {
        match place {
            Place::Greeting | Place::Info | Place::Iframe => true,
            Place::RawWebSocket | Place::Session { transport: Transport::WebSocket, .. } => {
                self.options.websocket
            }
            Place::Session { transport: Transport::Jsonp | Transport::JsonpSend, .. } => self.options.jsonp,
            Place::Session { .. } => true,
        }
    }

    fn check_origin(&self, place: Place<'_>, head: &Parts) -> Result<(), Rejection> {
        match place {
            // The page itself says who may have it in a frame.
            Place::Greeting | Place::Iframe => Ok(()),
            Place::Session {
                transport: Transport::HtmlFile | Transport::Jsonp | Transport::JsonpSend,
                ..
            } => self.options.origins.check_embedded(&head.headers),
            Place::Info | Place::RawWebSocket | Place::Session { .. } => {
                self.options.origins.check(&head.headers)
            }
        }
    }

    async fn serve(
        &self,
        place: Place<'_>,
        head: &Parts,
        body: Incoming,
        from: &Visitor,
    ) -> Result<Reply, Rejection> {
        let Place::Session { name, transport } = place else { return self.serve_everybody(place, head) };
        let response = match transport {
            Transport::WebSocket => {
                let grant = Grant::without_subprotocol(head, self.options.protocol)?;
                let framing = Framing::SockJs { heart_beat: self.options.heart_beat };
                return Ok(Reply::Upgrade(grant, framing, Box::new(Handshake::new(head))));
            }
            Transport::XhrSend | Transport::JsonpSend => {
                self.send(name, head, body, from, transport == Transport::JsonpSend).await?
            }
            Transport::Xhr => self.receive(name, head, from, Wrapping::Xhr).await?,
            Transport::XhrStreaming => self.receive(name, head, from, Wrapping::XhrStreaming).await?,
            Transport::EventSource => self.receive(name, head, from, Wrapping::EventSource).await?,
            Transport::HtmlFile | Transport::Jsonp => match callback(head) {
                Err(reason) => plain(StatusCode::INTERNAL_SERVER_ERROR, reason),
                Ok(callback) if transport == Transport::Jsonp => {
                    self.receive(name, head, from, Wrapping::Jsonp(callback)).await?
                }
                Ok(callback) => self.receive(name, head, from, Wrapping::HtmlFile(callback)).await?,
            },
        };
        Ok(Reply::Answer(self.dress(response, place, head)))
    }

    fn serve_everybody(&self, place: Place<'_>, head: &Parts) -> Result<Reply, Rejection> {
        let response = match place {
            Place::RawWebSocket => {
                let grant = Grant::with_subprotocol(head, self.options.protocol)?;
                return Ok(Reply::Upgrade(grant, Framing::Plain, Box::new(Handshake::new(head))));
            }
            Place::Greeting | Place::Session { .. } => pages::greeting(),
            Place::Info => self.dress(pages::info(&self.options), place, head),
            Place::Iframe => self.iframe.answer(&head.headers, &self.options.origins),
        };
        Ok(Reply::Answer(response))
    }

    async fn receive(
        &self,
        name: &str,
        head: &Parts,
        from: &Visitor,
        wrapping: Wrapping,
    ) -> Result<Response<Content>, Rejection> {
        let session = self.find_or_open(name, head, from)?;
        let content_type = HeaderValue::from_static(wrapping.content_type());
        let content = if wrapping.is_stream() {
            Content::Pieces(Box::pin(Streaming::new(session, wrapping, &self.options)))
        } else {
            let frame = receive_one(session, self.options.heart_beat).await;
            Content::from(wrapping.wrap(&frame))
        };
        let mut response = Response::new(content);
        response.headers_mut().insert(CONTENT_TYPE, content_type);
        Ok(response)
    }

    fn find_or_open(&self, name: &str, head: &Parts, from: &Visitor) -> Result<Arc<Session>, Rejection> {
        let owner = self.options.bind_address.then(|| from.address.ip());
        let make = || Session::new(&self.options, &self.budget, owner, from.certificate.clone());
        let (session, is_new) = self.sessions.find_or_make(name, from, make).map_err(|_| {
            Rejection::new(
                StatusCode::FORBIDDEN,
                "this SockJS session belongs to another address or certificate",
            )
        })?;
        if is_new {
            let polled = Polled::new(Arc::clone(&session), name.into(), Arc::clone(&self.sessions));
            let (protocol, handshake) = (self.options.protocol, Handshake::new(head));
            let opened = Opened { polled, protocol, handshake, from: from.clone() };
            if !(self.open)(opened) {
                let reason = "there are as many connections as there may be (limits.connections)";
                return Err(Rejection::new(StatusCode::SERVICE_UNAVAILABLE, reason));
            }
        }
        Ok(session)
    }

    async fn send(
        &self,
        name: &str,
        head: &Parts,
        body: Incoming,
        from: &Visitor,
        is_jsonp: bool,
    ) -> Result<Response<Content>, Rejection> {
        let Some(session) = self.sessions.find(name, from) else { return Ok(no_session()) };
        let (body, _share) = read_body(body, self.options.request_bytes_max, &self.budget).await?;
        let is_form = is_jsonp && is_form(head);
        let parsed = if is_form { form_messages(&body, true) } else { messages(&body) };
        let messages = match parsed {
            Ok(messages) => messages,
            Err(malformed) => return Ok(garbled(malformed)),
        };
        match tokio::time::timeout(SEND_WAIT_MAX, session.put(messages)).await {
            Ok(Ok(())) if is_jsonp => Ok(plain(StatusCode::OK, "ok")),
            Ok(Ok(())) => Ok(plain(StatusCode::NO_CONTENT, "")),
            Ok(Err(_)) => Ok(no_session()),
            Err(_) => {
                let reason = "what this SockJS session sent before was not taken within 30 s";
                Err(Rejection::new(StatusCode::SERVICE_UNAVAILABLE, reason))
            }
        }
    }

    /// Adds what goes with every answer of that kind.
    fn dress(&self, mut response: Response<Content>, place: Place<'_>, head: &Parts) -> Response<Content> {
        let headers = response.headers_mut();
        pages::allow_origin(headers, &head.headers);
        if head.method != Method::OPTIONS {
            pages::never_cache(headers);
        }
        headers.insert(NO_SNIFF, HeaderValue::from_static("nosniff"));
        if let Place::Session { transport, .. } = place {
            if self.options.cookie {
                pages::set_cookie(headers, &head.headers);
            }
            if transport == Transport::HtmlFile {
                pages::restrict_frames(headers, &head.headers, &self.options.origins);
            }
        }
        response
    }
}

impl fmt::Debug for SockJs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SockJs").field("options", &self.options).finish_non_exhaustive()
    }
}

fn no_session() -> Response<Content> {
    plain(StatusCode::NOT_FOUND, "there is no such session\n")
}

fn garbled(malformed: Malformed) -> Response<Content> {
    plain(StatusCode::INTERNAL_SERVER_ERROR, malformed.to_string())
}

/// The function that an answer is to call.
fn callback(head: &Parts) -> Result<String, &'static str> {
    let query = head.uri.query().unwrap_or_default();
    let mut fields = form_urlencoded::parse(query.as_bytes());
    let value = fields.find(|(name, _)| matches!(&**name, "c" | "callback")).map(|(_, value)| value);
    let value = value.filter(|value| !value.is_empty()).ok_or("\"callback\" parameter required\n")?;
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if value.len() > CALLBACK_BYTES_MAX || !value.chars().all(is_name) {
        return Err("invalid \"callback\" parameter\n");
    }
    Ok(value.into_owned())
}

fn is_form(head: &Parts) -> bool {
    let value = head.headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    let kind = value.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    kind.eq_ignore_ascii_case(b"application/x-www-form-urlencoded")
}

const NO_SNIFF: HeaderName = HeaderName::from_static("x-content-type-options");

/// How long whoever sends may be kept waiting for room.
const SEND_WAIT_MAX: Duration = Duration::from_secs(30);

const CALLBACK_BYTES_MAX: usize = 128;
