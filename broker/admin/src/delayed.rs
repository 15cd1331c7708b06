//! Delayed: messages that wait for their time, listed and deleted below `/api/v1/delayed`

use axum::Router;
use axum::extract::{Extension, Path, RawQuery};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{delete, get};
use engine::DelayedView;
use serde_json::json;

use crate::answer::{Refused, answer};
use crate::caller::Caller;
use crate::clients::list;
use crate::topology::refused;
use crate::vhost::Seen;

/// Of the vhost that `vhost=NAME` in the query names, or of the default one: `GET` lists, the first that is due first; `DELETE /api/v1/delayed/ID` takes one away before its time.
pub(crate) fn routes() -> Router {
    Router::new().route("/api/v1/delayed", get(delayed)).route("/api/v1/delayed/{id}", delete(delete_one))
}

async fn delayed(Seen(broker): Seen, RawQuery(query): RawQuery) -> Response {
    list(query, &DelayedView::default(), move |ask| {
        broker.inspect().delayed(ask.after.as_deref(), ask.limit, |one| ask.wants(one))
    })
    .await
}

async fn delete_one(
    Seen(broker): Seen,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Response, Refused> {
    if !broker.commands().delete_delayed(&id).await.map_err(refused)? {
        return Err(Refused::new(StatusCode::NOT_FOUND, format!("no message waits as {id:?}")));
    }
    let by = caller.user.as_ref().map_or("", |user| user.as_str());
    tracing::info!(id, by, "admin.delayed_deleted");
    Ok(answer(StatusCode::OK, &json!({ "id": id })))
}
