//! Clients: who is there and who listens to what, as JSON below `/api/v1/`

use axum::extract::{Path, RawQuery};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use axum::{Extension, Router};
use engine::{Page, SessionView, SubscriptionView, UnroutableView, UserView};
use serde::Serialize;
use serde_json::json;

use crate::answer::{answer, refuse};
use crate::ask::Ask;
use crate::caller::{Caller, Tag};
use crate::vhost::Seen;

/// Of the vhost that `vhost=NAME` in a query names, or of the default one: numbers; and lists, which are objects with `items` and `next`, which the next request says as `after`; a session has `session` and
/// `subscriptions`; an error has `error` and `reason`.
pub(crate) fn routes() -> Router {
    Router::new()
        .route("/api/v1/overview", get(overview))
        .route("/api/v1/sessions", get(sessions))
        .route("/api/v1/sessions/{session}", get(session))
        .route("/api/v1/users", get(users))
        .route("/api/v1/users/{user}/sessions", get(sessions_of))
        .route("/api/v1/subscriptions", get(subscriptions))
        .route("/api/v1/destinations/{destination}/subscribers", get(subscribers))
        .route("/api/v1/unroutable", get(unroutable))
}

async fn overview(seen: Seen) -> Response {
    look(move || answer(StatusCode::OK, &seen.inspect().overview())).await
}

async fn sessions(seen: Seen, RawQuery(query): RawQuery) -> Response {
    list(query, &SessionView::default(), move |ask| {
        seen.inspect().sessions(ask.after.as_deref(), ask.limit, |one| ask.wants(one))
    })
    .await
}

async fn session(seen: Seen, Path(name): Path<String>) -> Response {
    look(move || match seen.inspect().session(&name) {
        Some((session, subscriptions)) => {
            answer(StatusCode::OK, &json!({ "session": session, "subscriptions": subscriptions }))
        }
        None => refuse(StatusCode::NOT_FOUND, &format!("there is no session {name:?}")),
    })
    .await
}

async fn users(seen: Seen, RawQuery(query): RawQuery) -> Response {
    list(query, &UserView::default(), move |ask| {
        seen.inspect().users(ask.after.as_deref(), ask.limit, |one| ask.wants(one))
    })
    .await
}

async fn sessions_of(seen: Seen, Path(user): Path<String>, RawQuery(query): RawQuery) -> Response {
    list(query, &SessionView::default(), move |ask| {
        let is_his = |one: &SessionView| one.user.as_ref() == Some(&user) && ask.wants(one);
        seen.inspect().sessions(ask.after.as_deref(), ask.limit, is_his)
    })
    .await
}

async fn subscriptions(seen: Seen, RawQuery(query): RawQuery) -> Response {
    list(query, &SubscriptionView::default(), move |ask| {
        seen.inspect().subscriptions(ask.after.as_deref(), ask.limit, |one| ask.wants(one))
    })
    .await
}

async fn subscribers(seen: Seen, Path(destination): Path<String>, RawQuery(query): RawQuery) -> Response {
    list(query, &SubscriptionView::default(), move |ask| {
        seen.inspect().subscribers(&destination, ask.after.as_deref(), ask.limit, |one| ask.wants(one))
    })
    .await
}

/// With what is in them: for those alone who may see messages.
async fn unroutable(seen: Seen, Extension(caller): Extension<Caller>, RawQuery(query): RawQuery) -> Response {
    if caller.tag < Tag::Management {
        let reason = "messages are shown to those who have the tag management or administrator";
        return refuse(StatusCode::FORBIDDEN, reason);
    }
    list(query, &UnroutableView::default(), move |ask| {
        seen.inspect().unroutable(ask.after.as_deref(), ask.limit, |one| ask.wants(one))
    })
    .await
}

pub(crate) async fn list<T: Serialize + Send + 'static>(
    query: Option<String>,
    sample: &T,
    find: impl FnOnce(Ask) -> Page<T> + Send + 'static,
) -> Response {
    match Ask::read(&query.unwrap_or_default(), sample) {
        Ok(ask) => look(move || answer(StatusCode::OK, &find(ask))).await,
        Err(error) => refuse(StatusCode::BAD_REQUEST, &error),
    }
}

/// On a thread that may take its time: there may be many thousands to look at.
async fn look(find: impl FnOnce() -> Response + Send + 'static) -> Response {
    let looked = tokio::task::spawn_blocking(find).await;
    looked.unwrap_or_else(|_| {
        refuse(StatusCode::INTERNAL_SERVER_ERROR, "the broker could not look; see its log")
    })
}
