//! Vhosts: listed, made, limited and deleted, on paths as RabbitMQ has them

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use engine::{Broker, VhostError, VhostView};
use model::name::VhostName;
use model::vhost::VhostLimits;
use serde_json::{Value, json};

use crate::answer::{Refused, answer};
use crate::listing::Listing;
use crate::vhost;

type Told = Result<Response, Refused>;

/// `GET /api/vhosts`, and `GET`, `PUT` and `DELETE` of one.
pub(crate) fn routes(broker: Broker) -> Router {
    Router::new()
        .route("/api/vhosts", get(all))
        .route("/api/vhosts/{vhost}", get(one).put(put).delete(delete))
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .with_state(broker)
}

async fn all(State(broker): State<Broker>, RawQuery(query): RawQuery) -> Told {
    let listing = Listing::read(&query.unwrap_or_default())?;
    let views = tokio::task::spawn_blocking(move || broker.vhosts().views()).await.map_err(|_| failed())?;
    Ok(listing.of(views, |view| view.name.as_str(), write))
}

async fn one(State(broker): State<Broker>, Path(host): Path<String>) -> Told {
    let view = broker.vhosts().view(&VhostName::new(&host)).ok_or_else(|| vhost::unknown(&host))?;
    Ok(answer(StatusCode::OK, &write(&view)))
}

async fn put(State(broker): State<Broker>, Path(host): Path<String>, body: Bytes) -> Told {
    let name = name(&host)?;
    let limits = if body.is_empty() {
        None
    } else {
        let value: Value =
            serde_json::from_slice(&body).map_err(|error| bad(format!("the body is no JSON: {error}")))?;
        read(&value).map_err(bad)?
    };
    let is_new = broker.vhosts().put(name, limits).await.map_err(refused)?;
    Ok(if is_new { StatusCode::CREATED } else { StatusCode::NO_CONTENT }.into_response())
}

async fn delete(State(broker): State<Broker>, Path(host): Path<String>, RawQuery(query): RawQuery) -> Told {
    let mut force = false;
    for (key, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
        match (&*key, &*value) {
            ("force", "true" | "") => force = true,
            ("force", "false") => {}
            _ => return Err(bad(format!("{key}={value}: there is force, true or false"))),
        }
    }
    broker.vhosts().delete(&VhostName::new(&host), force).await.map_err(refused)?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// A name from a path, or from a document.
///
/// # Errors
///
/// It cannot be one.
pub(crate) fn name(text: &str) -> Result<VhostName, Refused> {
    VhostName::parse(text)
        .ok_or_else(|| bad(format!("{text:?} cannot be a virtual host: {}", VhostName::EXPECTED)))
}

/// What a body, or an item of a document, says of limits; `None`: nothing.
///
/// # Errors
///
/// What cannot be understood.
pub(crate) fn read(value: &Value) -> Result<Option<VhostLimits>, String> {
    let fields = value
        .as_object()
        .ok_or("a JSON object is wanted, such as {\"limits\": {\"max-connections\": 100}}")?;
    if let Some(other) = fields.keys().find(|name| !FIELDS.contains(&name.as_str())) {
        return Err(format!("a virtual host has no {other:?}; it has limits"));
    }
    fields.get("limits").filter(|limits| !limits.is_null()).map(read_limits).transpose()
}

/// `{"max-connections": 100, "max-queues": 50}`; less than zero is no limit, as RabbitMQ has it. Some of its versions write a list of
/// pairs.
pub(crate) fn read_limits(value: &Value) -> Result<VhostLimits, String> {
    let pair = |pair: &Value| Some((pair.get(0)?.as_str()?.to_owned(), pair.get(1)?.clone()));
    let fields: Option<Vec<(String, Value)>> = match value {
        Value::Object(fields) => Some(fields.clone().into_iter().collect()),
        Value::Array(pairs) => pairs.iter().map(pair).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    };
    let mut limits = VhostLimits::default();
    for (name, value) in fields.ok_or("limits are a JSON object")? {
        let place = match name.as_str() {
            "max-connections" => &mut limits.connections_max,
            "max-queues" => &mut limits.queues_max,
            other => {
                return Err(format!("there is no limit {other:?}; there are max-connections and max-queues"));
            }
        };
        *place = match (value.as_u64(), value.as_i64()) {
            (Some(most), _) => Some(most),
            (None, Some(_)) => None,
            (None, None) => return Err(format!("{name} is {value}; a whole number is wanted")),
        };
    }
    Ok(limits)
}

/// Limits as they are read.
pub(crate) fn write_limits(limits: &VhostLimits) -> Value {
    let all = [("max-connections", limits.connections_max), ("max-queues", limits.queues_max)];
    all.into_iter().filter_map(|(name, most)| Some((name.to_owned(), Value::from(most?)))).collect()
}

fn write(view: &VhostView) -> Value {
    json!({
        "name": view.name.as_str(),
        "description": if view.name.is_default() { "the one that is always there" } else { "" },
        "tags": [],
        "tracing": false,
        "limits": write_limits(&view.limits),
        "connections": view.connections,
        "sessions": view.sessions,
        "queues": view.queues,
        "messages": view.messages,
        "retained": view.retained,
    })
}

fn refused(error: VhostError) -> Refused {
    let status = match error {
        VhostError::Unknown(_) => StatusCode::NOT_FOUND,
        VhostError::Default | VhostError::InUse(_) | VhostError::TooMany => StatusCode::BAD_REQUEST,
        VhostError::Store(_) | VhostError::Remembers(..) => StatusCode::INTERNAL_SERVER_ERROR,
        VhostError::ShuttingDown => StatusCode::SERVICE_UNAVAILABLE,
    };
    Refused::new(status, error.to_string())
}

fn bad(reason: String) -> Refused {
    Refused::new(StatusCode::BAD_REQUEST, reason)
}

fn failed() -> Refused {
    Refused::new(StatusCode::INTERNAL_SERVER_ERROR, "the broker could not look; see its log")
}

/// What may be said of one; but for limits it means nothing here.
const FIELDS: &[&str] = &[
    "name",
    "limits",
    "description",
    "tags",
    "tracing",
    "metadata",
    "default_queue_type",
    "protected_from_deletion",
    "connections",
    "sessions",
    "queues",
    "messages",
    "retained",
];

/// The longest body of a request, in bytes.
const BODY_MAX: usize = 4 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_as_they_are_written() {
        let limits = VhostLimits { connections_max: Some(7), queues_max: None };
        assert_eq!(read_limits(&write_limits(&limits)), Ok(limits));
        assert_eq!(read(&json!({ "limits": { "max-queues": 3, "max-connections": -1 } })), {
            Ok(Some(VhostLimits { connections_max: None, queues_max: Some(3) }))
        });
        assert_eq!(read_limits(&json!([["max-connections", 7]])), Ok(limits));
        assert_eq!(read(&json!({ "description": "x" })), Ok(None));
        for wrong in [
            json!([]),
            json!({ "limit": {} }),
            json!({ "limits": [1] }),
            json!({ "limits": { "max": 1 } }),
            json!({ "limits": { "max-queues": "1" } }),
        ] {
            assert!(read(&wrong).is_err(), "{wrong}");
        }
    }
}
