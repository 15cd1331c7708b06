//! Bans: who stays out, listed, made and taken back below `/api/v1/bans`; and who is made to go

use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Extension, Path, RawQuery};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{delete, get, post};
use engine::BanView;
use model::ban::Subject;
use serde_json::{Value, json};

use crate::answer::{Refused, answer};
use crate::caller::Caller;
use crate::clients::list;
use crate::topology::refused;
use crate::vhost::Seen;

/// `GET` lists, `POST {"client": "…", "for_s": 600, "reason": "…"}` bans a client id, a `user` or an `ip` and ends its connections,
/// `DELETE /api/v1/bans/client/NAME` takes a ban back; `POST /api/v1/kick {"client": "…"}` only ends connections. A client id
/// is one of the vhost that `vhost=NAME` in the query names, or of the default one; users and addresses are the whole broker's.
pub(crate) fn routes() -> Router {
    Router::new()
        .route("/api/v1/bans", get(bans).post(ban))
        .route("/api/v1/bans/{kind}/{name}", delete(unban))
        .route("/api/v1/kick", post(kick))
        .layer(DefaultBodyLimit::max(BODY_MAX))
}

async fn bans(Seen(broker): Seen, RawQuery(query): RawQuery) -> Response {
    list(query, &BanView::default(), move |ask| {
        broker.inspect().bans(ask.after.as_deref(), ask.limit, |one| ask.wants(one))
    })
    .await
}

async fn ban(
    Seen(broker): Seen,
    Extension(caller): Extension<Caller>,
    body: Bytes,
) -> Result<Response, Refused> {
    let asked = object(&body, &["client", "user", "ip", "for_s", "reason"])?;
    let subject = subject(&asked)?;
    let lasts = match asked.get("for_s") {
        None | Some(Value::Null) => None,
        Some(seconds) => {
            let seconds = seconds.as_u64().filter(|seconds| (1..=SECONDS_MAX).contains(seconds));
            let seconds =
                seconds.ok_or_else(|| bad("for_s is a whole number of seconds, up to 100 years"))?;
            Some(Duration::from_secs(seconds))
        }
    };
    let reason = match asked.get("reason") {
        None | Some(Value::Null) => "",
        Some(reason) => reason
            .as_str()
            .filter(|text| is_line(text))
            .ok_or_else(|| bad("reason is one line of text, of 500 bytes at most; the client is told"))?,
    };
    let kicked = broker.commands().ban(subject.clone(), lasts, reason).await.map_err(refused)?;
    let by = caller.user.as_ref().map_or("", |user| user.as_str());
    tracing::info!(kind = subject.kind(), name = subject.name(), by, kicked, "admin.ban");
    let made = json!({ "kind": subject.kind(), "name": subject.name(), "kicked": kicked });
    Ok(answer(StatusCode::CREATED, &made))
}

async fn unban(Seen(broker): Seen, Path((kind, name)): Path<(String, String)>) -> Result<Response, Refused> {
    let subject = Subject::parse(&kind, &name).map_err(bad)?;
    if !broker.commands().unban(&subject).await.map_err(refused)? {
        return Err(Refused::new(StatusCode::NOT_FOUND, format!("there is no ban of {subject}")));
    }
    Ok(answer(StatusCode::OK, &json!({ "kind": subject.kind(), "name": subject.name() })))
}

async fn kick(
    Seen(broker): Seen,
    Extension(caller): Extension<Caller>,
    body: Bytes,
) -> Result<Response, Refused> {
    let subject = subject(&object(&body, &["client", "user", "ip"])?)?;
    let kicked = broker.commands().kick(&subject);
    let by = caller.user.as_ref().map_or("", |user| user.as_str());
    tracing::info!(kind = subject.kind(), name = subject.name(), by, kicked, "admin.kick");
    Ok(answer(StatusCode::OK, &json!({ "kind": subject.kind(), "name": subject.name(), "kicked": kicked })))
}

/// An object of nothing but these fields.
fn object(body: &[u8], known: &[&str]) -> Result<serde_json::Map<String, Value>, Refused> {
    let asked: Value =
        serde_json::from_slice(body).map_err(|error| bad(format!("this is no JSON: {error}")))?;
    let Value::Object(asked) = asked else { return Err(bad("an object is needed")) };
    match asked.keys().find(|name| !known.contains(&name.as_str())) {
        Some(name) => Err(bad(format!("there is no field {name:?}; there are {}", known.join(", ")))),
        None => Ok(asked),
    }
}

fn subject(asked: &serde_json::Map<String, Value>) -> Result<Subject, Refused> {
    let given = ["client", "user", "ip"].into_iter().filter_map(|kind| Some((kind, asked.get(kind)?)));
    let mut given = given.filter(|(_, name)| !name.is_null());
    let (Some((kind, name)), None) = (given.next(), given.next()) else {
        return Err(bad("one of client, user and ip is needed"));
    };
    let name = name.as_str().ok_or_else(|| bad(format!("{kind} is a text")))?;
    Subject::parse(kind, name).map_err(bad)
}

fn is_line(text: &str) -> bool {
    text.len() <= REASON_BYTES_MAX && !text.contains(char::is_control)
}

fn bad(reason: impl Into<String>) -> Refused {
    Refused::new(StatusCode::BAD_REQUEST, reason)
}

/// The longest body of a request, in bytes: a client id may have 64 KiB, and JSON may write each byte as six.
const BODY_MAX: usize = 512 << 10;

const REASON_BYTES_MAX: usize = 500;

const SECONDS_MAX: u64 = 100 * 365 * 86_400;
