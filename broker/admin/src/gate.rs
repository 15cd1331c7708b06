//! Gate: who asks over TCP is asked who he is

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};

use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use engine::Broker;
use model::name::UserName;
use model::principal::{Credentials, bearer};
use model::refusal::Refusal;

use crate::answer::{JSON, Refused};
use crate::caller::{Caller, Tag};
use crate::door::CameFrom;
use crate::failures::{Crowded, Failures};
use crate::local::names_this_machine;

/// From where something is answered to whoever asks, without a login.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Anonymous {
    /// From this machine.
    #[default]
    Loopback,
    /// From everywhere.
    Always,
    /// From nowhere.
    Never,
}

/// Users, by the names that their passwords or tokens prove, and how much each may do. Cloning it clones the handle.
#[derive(Debug, Clone, Default)]
pub struct Admins(Arc<RwLock<HashMap<String, Tag>>>);

impl Admins {
    /// These.
    pub fn new(users: HashMap<String, Tag>) -> Self {
        Self(Arc::new(RwLock::new(users)))
    }

    /// From now on, these.
    pub fn set(&self, users: HashMap<String, Tag>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = users;
    }

    fn tag(&self, user: &str) -> Option<Tag> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(user).copied()
    }
}

/// Who may come in.
#[derive(Debug, Clone, Default)]
pub struct Entry {
    /// Who may look after the broker.
    pub users: Admins,
    /// Whether the user `guest` may do everything if he comes from this machine and is not among `users`.
    pub guest: bool,
    /// From where the metrics may be read without a login.
    pub metrics: Anonymous,
}

/// Lets requests through, or answers them itself. Cloning it clones the handle.
#[derive(Clone)]
pub(crate) struct Gate(Arc<Inner>);

struct Inner {
    entry: Entry,
    broker: Broker,
    failures: Failures,
}

impl Gate {
    pub(crate) fn new(entry: Entry, broker: Broker) -> Self {
        Self(Arc::new(Inner { entry, broker, failures: Failures::default() }))
    }

    /// Who makes a request with these headers; or the answer to it.
    async fn caller(&self, peer: SocketAddr, headers: &HeaderMap) -> Result<Caller, Refused> {
        let from = peer.ip().to_canonical();
        let mut credentials = shown(headers).ok_or_else(|| {
            challenge(
                "log in: Basic with a user name and a password, or Bearer with a token. By the socket admin.sock in the data \
                 directory, whoever owns the broker needs neither",
            )
        })?;
        credentials.address = Some(from);
        let Inner { broker, failures, .. } = &*self.0;
        // On a connection that was there before.
        if broker.keeps_out(from) {
            return Err(Refused::new(StatusCode::FORBIDDEN, "your address is banned"));
        }
        if failures.turn(from).await == Err(Crowded) {
            return Err(Refused::new(
                StatusCode::TOO_MANY_REQUESTS,
                "too many wrong logins came from there; try again later",
            ));
        }
        let known = broker.admit(&credentials).await;
        match known {
            Ok((principal, permissions)) => {
                let Some(user) = principal.user else { return Err(challenge("a user name is needed here")) };
                if permissions.vhosts().is_some() {
                    tracing::warn!(%peer, %user, "admin.of_one_vhost");
                    return Err(Refused::new(StatusCode::FORBIDDEN, OF_ONE_VHOST));
                }
                if let Err(refusal) = broker.check_user(&user) {
                    tracing::warn!(%peer, %user, %refusal, "admin.refused");
                    return Err(Refused::new(StatusCode::FORBIDDEN, refusal.to_string()));
                }
                let tag = self.tag(&user, peer, headers).map_err(|why| {
                    tracing::warn!(%peer, %user, "admin.no_tag");
                    Refused::new(StatusCode::FORBIDDEN, why)
                })?;
                Ok(Caller { user: Some(user), tag })
            }
            Err(refusal @ (Refusal::Busy(_) | Refusal::ShuttingDown)) => {
                Err(Refused::new(StatusCode::SERVICE_UNAVAILABLE, refusal.to_string()))
            }
            Err(refusal) => {
                // Of what was shown only the name, cut short: somebody may have typed his password there.
                let user: String = credentials.user.as_deref().unwrap_or_default().chars().take(64).collect();
                tracing::warn!(%peer, user, %refusal, "admin.refused");
                failures.failed(from).await;
                Err(challenge(refusal.to_string()))
            }
        }
    }

    fn tag(&self, user: &UserName, peer: SocketAddr, headers: &HeaderMap) -> Result<Tag, String> {
        let entry = &self.0.entry;
        if let Some(tag) = entry.users.tag(user.as_str()) {
            return Ok(tag);
        }
        if entry.guest && user.as_str() == "guest" {
            // Everybody knows his password, so it proves nothing where a page of another site makes a browser of this machine
            // ask, under a name of its own (DNS rebinding).
            return if peer.ip().to_canonical().is_loopback() && names_this_machine(headers) {
                Ok(Tag::Administrator)
            } else {
                Err("guest is let in from this machine alone, by the name localhost or 127.0.0.1".to_owned())
            };
        }
        Err(format!(
            "user {:?} has no tag here; give him one ([[admin.user]]: {})",
            user.as_str(),
            Tag::NAMES.join(", ")
        ))
    }

    fn shows_metrics(&self, peer: SocketAddr, headers: &HeaderMap) -> bool {
        match self.0.entry.metrics {
            Anonymous::Always => true,
            Anonymous::Loopback => peer.ip().to_canonical().is_loopback() && names_this_machine(headers),
            Anonymous::Never => false,
        }
    }
}

/// Lets a request through once it is known who makes it, with that; for routes of which some change something.
pub(crate) async fn pass(
    State(gate): State<Gate>,
    ConnectInfo(CameFrom(peer)): ConnectInfo<CameFrom>,
    mut request: Request,
    next: Next,
) -> Response {
    let caller = match gate.caller(peer, request.headers()).await {
        Ok(caller) => caller,
        Err(refused) => return refused.into_response(),
    };
    let needed = needed(request.method(), request.uri().path());
    if caller.tag < needed {
        let why = format!(
            "{} {} needs the tag {}; {:?} has {}",
            request.method(),
            request.uri().path(),
            needed.name(),
            caller.user.as_ref().map_or("", |user| user.as_str()),
            caller.tag.name()
        );
        return Refused::new(StatusCode::FORBIDDEN, why).into_response();
    }
    if let Err(refused) = is_meant(request.method(), request.headers()) {
        return refused.into_response();
    }
    request.extensions_mut().insert(caller);
    next.run(request).await
}

/// Lets a request for the metrics through.
pub(crate) async fn pass_metrics(
    State(gate): State<Gate>,
    ConnectInfo(CameFrom(peer)): ConnectInfo<CameFrom>,
    request: Request,
    next: Next,
) -> Response {
    if !gate.shows_metrics(peer, request.headers())
        && let Err(refused) = gate.caller(peer, request.headers()).await
    {
        return refused.into_response();
    }
    next.run(request).await
}

/// What a request is for at least.
fn needed(method: &Method, path: &str) -> Tag {
    // What concerns queues that others declared.
    let is_for_all = path.starts_with("/api/definitions") || path.starts_with("/api/policies");
    match (method.is_safe(), is_for_all) {
        (true, _) => Tag::Monitoring,
        (false, false) => Tag::Management,
        (false, true) => Tag::Administrator,
    }
}

/// That no page of another site has a browser make it: what changes something comes from nowhere or from us, and says JSON,
/// which no form can.
fn is_meant(method: &Method, headers: &HeaderMap) -> Result<(), Refused> {
    if method.is_safe() {
        return Ok(());
    }
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let host = text(header::HOST).unwrap_or_default();
    if let Some(origin) = text(header::ORIGIN)
        && origin.split_once("://").is_none_or(|(_, authority)| authority != host)
    {
        return Err(Refused::new(StatusCode::FORBIDDEN, "a page of another origin asks for that"));
    }
    let has_body = headers.contains_key(header::TRANSFER_ENCODING)
        || text(header::CONTENT_LENGTH).is_some_and(|length| length != "0");
    let kind = text(header::CONTENT_TYPE).and_then(|kind| kind.split(';').next()).unwrap_or_default();
    let is_json = kind.trim().eq_ignore_ascii_case(JSON);
    // Others need the browser to ask first, and we give no leave.
    if !is_json && (has_body || *method == Method::POST) {
        return Err(Refused::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "send JSON, with content-type: application/json",
        ));
    }
    Ok(())
}

/// What `Authorization` shows (RFC 7617, RFC 6750); `None`: nothing that can be looked at.
fn shown(headers: &HeaderMap) -> Option<Credentials> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    if let Some(token) = bearer(value) {
        return Some(Credentials { token: Some(token.into()), ..Credentials::default() });
    }
    let (scheme, encoded) = value.trim().split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (user, password) = decoded.split_once(':')?;
    Some(Credentials {
        user: Some(user.into()),
        password: Some(Bytes::copy_from_slice(password.as_bytes())),
        ..Credentials::default()
    })
}

/// Else a tenant would look after all the others.
const OF_ONE_VHOST: &str = "the token is for some virtual hosts alone (auth.jwt.vhost_claim), and whoever looks after the broker sees all \
                            of them; show a password, or a token that does not say so";

fn challenge(why: impl Into<String>) -> Refused {
    Refused::new(StatusCode::UNAUTHORIZED, why)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn what_is_shown_is_read_or_is_nothing() {
        let check = |value: &str, expected: Option<(&str, &str)>| {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, value.parse().unwrap());
            let shown = shown(&headers);
            let shown = shown.as_ref().map(|it| {
                let password = it.password.as_deref().map(|it| std::str::from_utf8(it).unwrap());
                (it.user.as_deref().unwrap_or("-"), password.or(it.token.as_deref()).unwrap_or("-"))
            });
            assert_eq!(shown, expected, "{value}");
        };
        check("Basic dXNlcjpwYXNz", Some(("user", "pass")));
        check("basic  dXNlcjo=", Some(("user", "")));
        check("Basic OmE6Yg==", Some(("", "a:b")));
        check("Bearer a.b.c", Some(("-", "a.b.c")));
        for wrong in ["", "Basic", "Basic dXNlcg==", "Basic ?", "Basic /w==", "Digest x", "Bearer "] {
            check(wrong, None);
        }
        assert!(shown(&HeaderMap::new()).is_none());
    }

    #[test]
    fn looking_is_for_all_and_the_whole_for_few() {
        assert_eq!(needed(&Method::GET, "/api/definitions"), Tag::Monitoring);
        assert_eq!(needed(&Method::HEAD, "/api/v1/users"), Tag::Monitoring);
        assert_eq!(needed(&Method::PUT, "/api/queues/%2F/q"), Tag::Management);
        assert_eq!(needed(&Method::POST, "/api/definitions"), Tag::Administrator);
        assert_eq!(needed(&Method::POST, "/api/definitions/%2F"), Tag::Administrator);
        assert!(Tag::Monitoring < Tag::Management && Tag::Management < Tag::Administrator);
        for name in Tag::NAMES {
            assert_eq!(Tag::named(name).unwrap().name(), name);
        }
    }

    #[test]
    fn what_a_page_of_another_site_can_send_changes_nothing() {
        let check = |method: Method, pairs: &[(&str, &'static str)], expected: u16| {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                let name: header::HeaderName = name.parse().unwrap();
                headers.insert(name, HeaderValue::from_static(value));
            }
            let status = is_meant(&method, &headers).map_or_else(|no| no.status.as_u16(), |()| 200);
            assert_eq!(status, expected, "{method} {pairs:?}");
        };
        let json = ("content-type", "application/json; charset=utf-8");
        let host = ("host", "b:15672");
        check(Method::GET, &[("origin", "http://evil.example")], 200);
        check(Method::PUT, &[host, ("content-length", "2"), json], 200);
        check(Method::PUT, &[host, ("content-length", "2")], 415);
        check(Method::PUT, &[host, ("transfer-encoding", "chunked"), ("content-type", "text/plain")], 415);
        check(Method::PUT, &[host], 200);
        check(Method::DELETE, &[host], 200);
        check(Method::POST, &[host], 415);
        check(Method::POST, &[host, json], 200);
        check(Method::POST, &[host, json, ("origin", "http://b:15672")], 200);
        check(Method::POST, &[host, json, ("origin", "http://b:15673")], 403);
        check(Method::DELETE, &[host, ("origin", "http://evil.example")], 403);
        check(Method::DELETE, &[host, ("origin", "null")], 403);
    }
}
