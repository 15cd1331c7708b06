//! Definitions: all exchanges, queues and bindings as one document, as RabbitMQ exports and imports it

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, RawQuery, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use engine::Broker;
use model::name::VhostName;
use serde_json::json;

use crate::answer::{Refused, answer};
use crate::vhost;

mod apply;
mod document;

type Told = Result<Response, Refused>;

/// `GET` and `POST /api/definitions`, and the same of a virtual host.
pub(crate) fn routes(broker: Broker) -> Router {
    Router::new()
        .route("/api/definitions", get(export).post(import))
        .route("/api/definitions/{vhost}", get(export_of).post(import_of))
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .with_state(broker)
}

async fn export(State(broker): State<Broker>) -> Told {
    write(vhost::each(&broker), true).await
}

async fn export_of(State(broker): State<Broker>, Path(host): Path<String>) -> Told {
    write(vec![vhost::within(&broker, &host)?], false).await
}

async fn write(vhosts: Vec<Broker>, is_whole: bool) -> Told {
    let written = tokio::task::spawn_blocking(move || document::write(&vhosts, is_whole)).await;
    Ok(answer(StatusCode::OK, &written.map_err(|_| failed())?))
}

async fn import(State(broker): State<Broker>, query: RawQuery, body: Bytes) -> Told {
    read(broker, VhostName::DEFAULT, false, query, &body).await
}

async fn import_of(
    State(broker): State<Broker>,
    Path(host): Path<String>,
    query: RawQuery,
    body: Bytes,
) -> Told {
    let home = vhost::within(&broker, &host)?.vhost().clone();
    read(broker, home, true, query, &body).await
}

async fn read(broker: Broker, home: VhostName, only: bool, RawQuery(query): RawQuery, body: &Bytes) -> Told {
    let [dry_run, strict] = asked(&query.unwrap_or_default())?;
    let document = serde_json::from_slice(body)
        .map_err(|error| Refused::new(StatusCode::BAD_REQUEST, format!("the body is no JSON: {error}")))?;
    let read =
        document::read(&document, &home, only).map_err(|why| Refused::new(StatusCode::BAD_REQUEST, why))?;
    match apply::apply(&broker, read, dry_run, strict).await {
        Ok(report) => Ok(answer(StatusCode::OK, &report)),
        Err(conflicts) => {
            let shown: Vec<String> = conflicts.iter().take(TOLD_MAX).map(ToString::to_string).collect();
            let more = match conflicts.len().saturating_sub(TOLD_MAX) {
                0 => String::new(),
                more => format!("; and {more} more"),
            };
            let reason = format!("nothing was changed: {}{more}", shown.join("; "));
            let value = json!({ "error": "bad_request", "reason": reason, "conflicts": conflicts });
            Ok(answer(StatusCode::BAD_REQUEST, &value))
        }
    }
}

fn asked(query: &str) -> Result<[bool; 2], Refused> {
    let mut asked = [false, false];
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        match (&*name, &*value, &mut asked) {
            ("dry_run", "true", [dry_run, _]) => *dry_run = true,
            ("strict", "true", [_, strict]) => *strict = true,
            ("dry_run" | "strict", "false", _) => {}
            _ => {
                let why = format!("{name}={value}: there are dry_run and strict, true or false");
                return Err(Refused::new(StatusCode::BAD_REQUEST, why));
            }
        }
    }
    Ok(asked)
}

fn failed() -> Refused {
    Refused::new(StatusCode::INTERNAL_SERVER_ERROR, "the broker could not do it; see its log")
}

/// So many conflicts are told in words.
const TOLD_MAX: usize = 20;
/// The longest document, in bytes: some hundred thousand queues.
const BODY_MAX: usize = 64 << 20;
