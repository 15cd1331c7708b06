//! Policies: what holds by name, shown and changed, on paths as RabbitMQ has them below `/api/policies`

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Extension, Path, RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use engine::{Broker, Placed, PolicyView};
use model::name::{PolicyName, VhostName};
use serde_json::Value;

use crate::answer::{Refused, answer};
use crate::caller::Caller;
use crate::listing::Listing;
use crate::shape::policy;
use crate::topology::{json_of, look, refused};
use crate::vhost;

type Told = Result<Response, Refused>;

/// `GET`, `PUT` and `DELETE` as RabbitMQ answers them: 201 for what is new, 204 for what was changed or is gone.
pub(crate) fn routes(broker: Broker) -> Router {
    Router::new()
        .route("/api/policies", get(all))
        .route("/api/policies/{vhost}", get(all_of))
        .route("/api/policies/{vhost}/{name}", get(one).put(put).delete(delete))
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .with_state(broker)
}

async fn all(State(broker): State<Broker>, query: RawQuery) -> Told {
    all_in(vhost::each(&broker), query).await
}

async fn all_of(State(broker): State<Broker>, Path(host): Path<String>, query: RawQuery) -> Told {
    all_in(vec![vhost::within(&broker, &host)?], query).await
}

async fn all_in(vhosts: Vec<Broker>, RawQuery(query): RawQuery) -> Told {
    let listing = Listing::read(&query.unwrap_or_default())?;
    look(move || {
        let of = |broker: Broker| {
            let all = broker.inspect().policies();
            all.into_iter().map(move |one| (broker.vhost().clone(), one))
        };
        let all = vhosts.into_iter().flat_map(of).collect();
        Ok(listing.of(all, |(_, one)| &one.name, |(vhost, one)| shown(one, vhost)))
    })
    .await
}

async fn one(State(broker): State<Broker>, Path((host, name)): Path<(String, String)>) -> Told {
    let broker = vhost::within(&broker, &host)?;
    look(move || {
        let found = broker.inspect().policies().into_iter().find(|one| one.name == name);
        let found = found.ok_or_else(|| missing(&name))?;
        Ok(answer(StatusCode::OK, &shown(&found, broker.vhost())))
    })
    .await
}

async fn put(
    State(broker): State<Broker>,
    Extension(caller): Extension<Caller>,
    Path((host, name)): Path<(String, String)>,
    body: Bytes,
) -> Told {
    let broker = vhost::within(&broker, &host)?;
    let policy =
        policy::read(&name, &json_of(&body)?).map_err(|why| Refused::new(StatusCode::BAD_REQUEST, why))?;
    let placed = broker.commands().put_policy(policy).await.map_err(refused)?;
    let by = caller.user.as_ref().map_or("", |user| user.as_str());
    tracing::info!(policy = name, by, "admin.policy");
    Ok(match placed {
        Placed::New => StatusCode::CREATED,
        Placed::Changed | Placed::Same => StatusCode::NO_CONTENT,
    }
    .into_response())
}

async fn delete(
    State(broker): State<Broker>,
    Extension(caller): Extension<Caller>,
    Path((host, name)): Path<(String, String)>,
) -> Told {
    let broker = vhost::within(&broker, &host)?;
    if !broker.commands().delete_policy(&PolicyName::new(&name)).await.map_err(refused)? {
        return Err(missing(&name));
    }
    let by = caller.user.as_ref().map_or("", |user| user.as_str());
    tracing::info!(policy = name, by, "admin.policy_cleared");
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// The policy, and for how much it holds.
fn shown(view: &PolicyView, vhost: &VhostName) -> Value {
    let mut value = policy::write(view, vhost);
    if let Some(fields) = value.as_object_mut() {
        fields.insert("configured".to_owned(), view.configured.into());
        fields.insert("queues".to_owned(), view.queues.into());
        fields.insert("exchanges".to_owned(), view.exchanges.into());
    }
    value
}

fn missing(name: &str) -> Refused {
    Refused::new(StatusCode::NOT_FOUND, format!("there is no policy {name:?}"))
}

/// The longest body of a request, in bytes.
const BODY_MAX: usize = 64 << 10;
