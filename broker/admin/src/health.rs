//! Alive: the one answer that says the process listens and its runtime turns.

use axum::Router;
use axum::routing::get;

/// `GET /healthz`: 200 and `ok`, with or without `dev`, for anyone who can reach the listener.
pub(crate) fn routes() -> Router {
    Router::new().route("/healthz", get(async || "ok"))
}
