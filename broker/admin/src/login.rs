//! Login for the demo: a name in, a signed token out, for the pages of this machine alone.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{ConnectInfo, DefaultBodyLimit, State};
use axum::http::header::{CONTENT_TYPE, HOST, HeaderName, ORIGIN};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use serde_json::{Value, json};

use crate::door::CameFrom;
use crate::local::is_this_machine;

/// Who signs: given a user's name and how long the token shall be good, the token.
#[derive(Clone)]
pub struct Login(Arc<Sign>);

/// What [`Login::new`] takes; `None` if it could not be signed.
type Sign = dyn Fn(&str, Duration) -> Option<String> + Send + Sync;

impl Login {
    /// By that function, which does not wait.
    pub fn new(sign: impl Fn(&str, Duration) -> Option<String> + Send + Sync + 'static) -> Self {
        Self(Arc::new(sign))
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Login")
    }
}

/// `POST /demo/login`: `{"name": "kim"}`, and `"seconds"`, how long the token shall be good: 60 at most, and if nothing
/// is said. There is no password: whoever is at this machine may be anybody. So nobody else may ask, and no page but ours.
pub(crate) fn routes(login: Login) -> Router {
    Router::new().route("/demo/login", post(answer).layer(DefaultBodyLimit::max(BODY_MAX))).with_state(login)
}

type Answer = (StatusCode, [(HeaderName, &'static str); 1], String);

async fn answer(
    State(Login(sign)): State<Login>,
    ConnectInfo(CameFrom(peer)): ConnectInfo<CameFrom>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Answer, (StatusCode, &'static str)> {
    check_origin(peer, &headers).map_err(|why| (StatusCode::FORBIDDEN, why))?;
    let media_type = text(&headers, CONTENT_TYPE).unwrap_or_default();
    // The kind that a form of another page cannot send.
    if !media_type.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case(JSON)) {
        return Err((
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "Send JSON, with content-type: application/json.\n",
        ));
    }
    let (name, seconds) = asked(&body).map_err(|why| (StatusCode::BAD_REQUEST, why))?;
    let token = sign(&name, Duration::from_secs(seconds)).ok_or(NOT_SIGNED)?;
    let told = json!({ "name": name, "seconds": seconds, "token": token }).to_string();
    Ok((StatusCode::OK, [(CONTENT_TYPE, JSON)], told))
}

/// Whether it is one of our pages that asks, or a program, on this machine.
fn check_origin(peer: SocketAddr, headers: &HeaderMap) -> Result<(), &'static str> {
    if !peer.ip().to_canonical().is_loopback() {
        return Err("Tokens for the demo are for pages on the broker's own machine.\n");
    }
    // A page whose name was made to mean this machine calls us by that name (DNS rebinding).
    let host = text(headers, HOST).filter(|host| is_this_machine(host)).ok_or(FOREIGN)?;
    match text(headers, ORIGIN) {
        // A browser names the origin of every POST; a program need not.
        None if !headers.contains_key(ORIGIN) => Ok(()),
        Some(origin) if matches!(origin.split_once("://"), Some(("http" | "https", place)) if place == host) => {
            Ok(())
        }
        Some(_) | None => Err(FOREIGN),
    }
}

/// Who, and for how many seconds.
fn asked(body: &[u8]) -> Result<(String, u64), &'static str> {
    let asked: Value = serde_json::from_slice(body).map_err(|_| WANTED)?;
    let name = asked.get("name").and_then(Value::as_str).map(str::trim).ok_or(WANTED)?;
    let is_name = (1..=NAME_MAX).contains(&name.chars().count()) && !name.chars().any(char::is_control);
    let seconds = match asked.get("seconds") {
        None => Some(SECONDS_MAX),
        Some(seconds) => seconds.as_u64().filter(|seconds| (1..=SECONDS_MAX).contains(seconds)),
    };
    match seconds {
        Some(seconds) if is_name => Ok((name.to_owned(), seconds)),
        Some(_) | None => Err(WANTED),
    }
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

const JSON: &str = "application/json";
const FOREIGN: &str = "Only the demo's own pages, at a loopback address, may ask for tokens.\n";
const WANTED: &str = "Send {\"name\": 1 to 30 characters, \"seconds\": 1 to 60, or nothing}.\n";
const NOT_SIGNED: (StatusCode, &str) =
    (StatusCode::INTERNAL_SERVER_ERROR, "The token could not be signed.\n");

/// The longest request, in bytes.
const BODY_MAX: usize = 1024;
/// The longest name, in characters.
const NAME_MAX: usize = 30;
/// How long a token is good at most, in seconds.
const SECONDS_MAX: u64 = 60;
