//! Streams: what is in a queue, read without taking it, and published again, below `/api/v1/streams/`

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Extension, Path, RawQuery, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use engine::Browsed;
use model::key::RoutingKey;
use model::name::{ExchangeName, QueueName};
use model::stream::Start;
use model::time::WallMs;
use serde_json::{Map, Value, json};

use crate::answer::{Refused, answer};
use crate::caller::{Caller, Tag};
use crate::topology::refused;
use crate::vhost::Seen;
use crate::words::Spoken;

/// `GET /api/v1/streams/QUEUE?from=first&limit=100`: `items`, of which each has its `offset`, and `next`, with which the next request
/// goes on; `POST /api/v1/streams/QUEUE/replay {"from": "first", "to": "…", "protocol": "stomp", "limit": 100, "through": 5000}`
/// publishes them again: how many, and the same `next`. Any queue that has a name can be read like that, streams and others.
pub(crate) fn routes(spoken: Spoken) -> Router {
    Router::new()
        .route("/api/v1/streams/{queue}", get(browse))
        .route("/api/v1/streams/{queue}/replay", post(replay))
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .with_state(spoken)
}

async fn browse(
    Seen(broker): Seen,
    Extension(caller): Extension<Caller>,
    Path(queue): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Refused> {
    sees_messages(&caller)?;
    let (mut from, mut limit) = (Start::First, LIMIT);
    for (name, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
        match &*name {
            "from" => from = start(&value)?,
            "limit" => {
                let number = value.parse().ok();
                limit = number
                    .filter(|limit| (1..=LIMIT_MAX).contains(limit))
                    .ok_or_else(|| bad(format!("limit={value}: a number from 1 to {LIMIT_MAX}")))?;
            }
            other => return Err(bad(format!("there is no {other:?}; there are from, limit"))),
        }
    }
    let commands = broker.commands();
    let queue = QueueName::new(&queue);
    let portion = commands.browse(&queue, from, limit).await.map_err(refused)?;
    let newest = commands.newest(&queue).map_err(refused)?;
    let items: Vec<Value> = portion.items.iter().map(item).collect();
    Ok(answer(StatusCode::OK, &json!({ "items": items, "next": portion.next, "newest": newest })))
}

async fn replay(
    Seen(broker): Seen,
    State(spoken): State<Spoken>,
    Extension(caller): Extension<Caller>,
    Path(queue): Path<String>,
    body: Bytes,
) -> Result<Response, Refused> {
    sees_messages(&caller)?;
    let all: Value =
        serde_json::from_slice(&body).map_err(|error| bad(format!("this is no JSON: {error}")))?;
    let Value::Object(all) = all else { return Err(bad("an object is needed")) };
    if let Some(name) = all.keys().find(|name| !FIELDS.contains(&name.as_str())) {
        return Err(bad(format!("there is no field {name:?}; there are {}", FIELDS.join(", "))));
    }
    let from = text(&all, "from")?.map_or(Ok(Start::First), start)?;
    let to = text(&all, "to")?.ok_or_else(|| bad("say where to: \"to\""))?;
    let (exchange, key) = address(&spoken, to, text(&all, "protocol")?)?;
    let limit = number(&all, "limit")?.unwrap_or(LIMIT as u64);
    let limit = usize::try_from(limit).ok().filter(|limit| (1..=LIMIT_MAX).contains(limit));
    let limit = limit.ok_or_else(|| bad(format!("limit is a number from 1 to {LIMIT_MAX}")))?;
    let commands = broker.commands();
    let queue = QueueName::new(&queue);
    let newest = commands.newest(&queue).map_err(refused)?;
    let through = number(&all, "through")?.unwrap_or(newest);
    let done = commands.replay(&queue, from, through, limit, (&exchange, &key)).await.map_err(refused)?;
    let by = caller.user.as_ref().map_or("", |user| user.as_str());
    tracing::info!(queue = queue.as_str(), to, by, published = done.published, "admin.replay");
    let told = json!({
        "published": done.published, "unrouted": done.unrouted, "next": done.next, "through": through,
    });
    Ok(answer(StatusCode::OK, &told))
}

fn sees_messages(caller: &Caller) -> Result<(), Refused> {
    if caller.tag < Tag::Management {
        let reason = "messages are shown to those who have the tag management or administrator";
        return Err(Refused::new(StatusCode::FORBIDDEN, reason));
    }
    Ok(())
}

/// Where reading starts; a time may stand alone.
fn start(text: &str) -> Result<Start, Refused> {
    let start = Start::parse(text).or_else(|| WallMs::parse(text).map(Start::At));
    start.ok_or_else(|| bad(format!("from={text}: {}", Start::EXPECTED)))
}

fn address(spoken: &Spoken, to: &str, protocol: Option<&str>) -> Result<(ExchangeName, RoutingKey), Refused> {
    let found = match protocol {
        Some("stomp") => spoken.0.stomp_address(to),
        None | Some("mqtt") => spoken.0.mqtt_address(to),
        Some(other) => Err(format!("protocol {other:?}: mqtt or stomp")),
    };
    found.map_err(bad)
}

fn item(one: &Browsed) -> Value {
    let message = &one.message;
    let mut all = Map::new();
    let mut put = |name: &str, value: Value| drop(all.insert(name.to_owned(), value));
    put("offset", one.offset.into());
    put("at_ms", message.published_at.0.into());
    put("exchange", message.exchange.to_string().into());
    put("key", message.key.as_str().into());
    put("qos", (message.qos as u8).into());
    put("client", message.publisher.as_ref().map(ToString::to_string).into());
    put("expires_at_ms", message.expires_at.map(|at| at.0).into());
    let properties = message.properties.as_deref();
    let content_type = properties.and_then(|properties| properties.content_type.as_deref());
    put("content_type", content_type.into());
    let headers = properties.map_or(&[][..], |properties| &properties.headers);
    put("headers", headers.iter().map(|(name, value)| json!([&**name, &**value])).collect());
    match std::str::from_utf8(&message.payload) {
        Ok(text) => put("payload", text.into()),
        Err(_) => put("payload_base64", STANDARD.encode(&message.payload).into()),
    }
    Value::Object(all)
}

fn text<'a>(all: &'a Map<String, Value>, name: &str) -> Result<Option<&'a str>, Refused> {
    match all.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => value.as_str().map(Some).ok_or_else(|| bad(format!("{name} is a text"))),
    }
}

fn number(all: &Map<String, Value>, name: &str) -> Result<Option<u64>, Refused> {
    match all.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => value.as_u64().map(Some).ok_or_else(|| bad(format!("{name} is a whole number"))),
    }
}

fn bad(reason: impl Into<String>) -> Refused {
    Refused::new(StatusCode::BAD_REQUEST, reason)
}

const FIELDS: &[&str] = &["from", "to", "protocol", "limit", "through"];

const LIMIT: usize = 100;
const LIMIT_MAX: usize = 1000;

/// The longest body of a request, in bytes.
const BODY_MAX: usize = 64 << 10;
