//! Explain: the way that a message would take, as JSON below `/api/v1/explain/`

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use engine::{Inspect, Supposed};
use model::key::RoutingKey;
use model::name::{ClientId, ExchangeName, UserName};
use model::properties::Properties;

use crate::answer::{answer, refuse};

/// Where it would be published: `destination`, as MQTT writes it, or `exchange` and `key` with levels parted by `/`; what it says of
/// itself: `header` (`NAME=VALUE`, any number of times) and `content_type`; by whom: `user` and `client`.
pub(crate) fn routes(inspect: Inspect) -> Router {
    Router::new().route("/api/v1/explain/pub", get(publish)).with_state(inspect)
}

async fn publish(State(inspect): State<Inspect>, RawQuery(query): RawQuery) -> Response {
    let supposed = match read(&query.unwrap_or_default(), &inspect) {
        Ok(supposed) => supposed,
        Err(error) => return refuse(StatusCode::BAD_REQUEST, &error),
    };
    // There may be many bindings to look at.
    let looked =
        tokio::task::spawn_blocking(move || answer(StatusCode::OK, &inspect.explain(&supposed))).await;
    looked.unwrap_or_else(|_| {
        refuse(StatusCode::INTERNAL_SERVER_ERROR, "the broker could not look; see its log")
    })
}

fn read(query: &str, inspect: &Inspect) -> Result<Supposed, String> {
    let mut place = None;
    let (mut exchange, mut key) = (None, RoutingKey::from(""));
    let mut properties = Properties::default();
    let (mut user, mut client) = (None, None);
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        match &*name {
            "destination" => place = Some(value.into_owned()),
            "exchange" => exchange = Some(ExchangeName::new(&value)),
            "key" => key = RoutingKey::from(&*value),
            "header" => {
                let (name, value) =
                    value.split_once('=').ok_or_else(|| format!("header={value}: NAME=VALUE"))?;
                properties.headers.push((name.into(), value.into()));
            }
            "content_type" => properties.content_type = Some((&*value).into()),
            "user" => user = Some(UserName::new(&value)),
            "client" => client = Some(ClientId::new(&value)),
            other => return Err(format!("there is no {other:?}; there are {KNOWN}")),
        }
    }
    let (exchange, key) = match (place, exchange) {
        (Some(text), None) => {
            inspect.place(&text).ok_or_else(|| format!("destination={text}: nothing is there"))?
        }
        (None, Some(exchange)) => (exchange, key),
        (Some(_), Some(_)) => return Err("destination or exchange, not both".to_owned()),
        (None, None) => return Err("say where: destination=… or exchange=…&key=…".to_owned()),
    };
    Ok(Supposed { exchange, key, properties, user, client })
}

const KNOWN: &str = "destination, exchange, key, header, content_type, user, client";
