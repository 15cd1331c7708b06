//! Explain: the way that a message would take, as JSON below `/api/v1/explain/`

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use engine::{Supposed, SupposedSubscription};
use model::key::RoutingKey;
use model::name::{ClientId, ExchangeName, UserName};
use model::properties::Properties;
use model::request::Target;
use model::stream::Start;
use serde::Serialize;

use crate::answer::{answer, refuse};
use crate::vhost::Seen;
use crate::words::Spoken;

/// Below `pub`, where it would be published: `destination`, in the words of `protocol` (`mqtt`, if it is not said, or `stomp`),
/// or `exchange` and `key` with levels parted by `/`; what it says of itself: `header` (`NAME=VALUE`, any number of times) and
/// `content_type`; by whom: `user` and `client`. Below `sub` the same, without exchange and content type; the headers are those of
/// STOMP's SUBSCRIBE.
pub(crate) fn routes(spoken: Spoken) -> Router {
    Router::new()
        .route("/api/v1/explain/pub", get(publish))
        .route("/api/v1/explain/sub", get(subscribe))
        .with_state(spoken)
}

async fn publish(seen: Seen, State(spoken): State<Spoken>, RawQuery(query): RawQuery) -> Response {
    let supposed = Query::read(&query.unwrap_or_default(), PUB).and_then(|query| query.message(&spoken));
    look(supposed, move |supposed| seen.inspect().explain(supposed)).await
}

async fn subscribe(seen: Seen, State(spoken): State<Spoken>, RawQuery(query): RawQuery) -> Response {
    let supposed = Query::read(&query.unwrap_or_default(), SUB).and_then(|query| query.subscription(&spoken));
    look(supposed, move |supposed| seen.inspect().foresee(supposed)).await
}

/// On a thread that may take its time: there may be many bindings to look at.
async fn look<T: Send + 'static, V: Serialize + 'static>(
    supposed: Result<T, String>,
    find: impl FnOnce(&T) -> V + Send + 'static,
) -> Response {
    let supposed = match supposed {
        Ok(supposed) => supposed,
        Err(error) => return refuse(StatusCode::BAD_REQUEST, &error),
    };
    let looked = tokio::task::spawn_blocking(move || answer(StatusCode::OK, &find(&supposed))).await;
    looked.unwrap_or_else(|_| {
        refuse(StatusCode::INTERNAL_SERVER_ERROR, "the broker could not look; see its log")
    })
}

#[derive(Default)]
struct Query {
    destination: Option<String>,
    is_stomp: bool,
    exchange: Option<ExchangeName>,
    key: Option<String>,
    headers: Vec<(String, String)>,
    content_type: Option<String>,
    user: Option<UserName>,
    client: Option<ClientId>,
}

impl Query {
    fn read(text: &str, known: &[&str]) -> Result<Self, String> {
        let mut query = Self::default();
        for (name, value) in form_urlencoded::parse(text.as_bytes()) {
            if !known.contains(&&*name) {
                return Err(format!("there is no {name:?}; there are {}", known.join(", ")));
            }
            match &*name {
                "destination" => query.destination = Some(value.into_owned()),
                "protocol" => {
                    query.is_stomp = match &*value {
                        "mqtt" => false,
                        "stomp" => true,
                        other => return Err(format!("protocol={other}: mqtt or stomp")),
                    };
                }
                "exchange" => query.exchange = Some(ExchangeName::new(&value)),
                "key" => query.key = Some(value.into_owned()),
                "header" => {
                    let (name, value) =
                        value.split_once('=').ok_or_else(|| format!("header={value}: NAME=VALUE"))?;
                    query.headers.push((name.to_owned(), value.to_owned()));
                }
                "content_type" => query.content_type = Some(value.into_owned()),
                "user" => query.user = Some(UserName::new(&value)),
                _ => query.client = Some(ClientId::new(&value)),
            }
        }
        Ok(query)
    }

    fn message(self, spoken: &Spoken) -> Result<Supposed, String> {
        let Self { destination, is_stomp, exchange, key, headers, content_type, user, client } = self;
        let (exchange, key) = match (destination, exchange) {
            (Some(text), None) if is_stomp => spoken.0.stomp_address(&text)?,
            (Some(text), None) => spoken.0.mqtt_address(&text)?,
            (None, Some(exchange)) => (exchange, RoutingKey::from(key.unwrap_or_default().as_str())),
            (Some(_), Some(_)) => return Err("destination or exchange, not both".to_owned()),
            (None, None) => return Err("say where: destination=… or exchange=…&key=…".to_owned()),
        };
        let headers = headers.iter().map(|(name, value)| (name.as_str().into(), value.as_str().into()));
        let properties = Properties {
            headers: headers.collect(),
            content_type: content_type.map(|text| text.as_str().into()),
            ..Properties::default()
        };
        Ok(Supposed { exchange, key, properties, user, client })
    }

    fn subscription(self, spoken: &Spoken) -> Result<SupposedSubscription, String> {
        let Self { destination, is_stomp, headers, user, client, .. } = self;
        let destination = destination.ok_or("say to what: destination=…")?;
        if !is_stomp && !headers.is_empty() {
            return Err("header: MQTT's SUBSCRIBE has none that binds; leave it out, or say protocol=stomp"
                .to_owned());
        }
        let (source, queue) = if is_stomp {
            spoken.0.stomp_subscription(&destination, &headers)?
        } else {
            spoken.0.mqtt_subscription(&destination)?
        };
        // MQTT clients take from no queue of another name than their own: what they name, they read.
        let reads = if is_stomp {
            headers.iter().any(|(name, _)| name == Start::HEADER)
        } else {
            matches!(queue, Target::Existing(_))
        };
        Ok(SupposedSubscription { source, queue, reads, user, client })
    }
}

const PUB: &[&str] =
    &["destination", "protocol", "exchange", "key", "header", "content_type", "user", "client"];
const SUB: &[&str] = &["destination", "protocol", "header", "user", "client"];
