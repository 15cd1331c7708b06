//! The virtual host that a request is about: in its path, or as `vhost=NAME` in its query

use axum::extract::{FromRequestParts, Request, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::http::uri::{PathAndQuery, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use engine::{Broker, Inspect};
use model::name::VhostName;

use crate::answer::Refused;

/// The broker as it is seen from there.
///
/// # Errors
///
/// There is none of that name.
pub(crate) fn within(broker: &Broker, name: &str) -> Result<Broker, Refused> {
    broker.within(&VhostName::new(name)).ok_or_else(|| unknown(name))
}

/// The broker as it is seen from each of them, in the order of their names.
pub(crate) fn each(broker: &Broker) -> Vec<Broker> {
    broker.vhosts().names().iter().filter_map(|name| broker.within(name)).collect()
}

/// There is none of that name.
pub(crate) fn unknown(name: &str) -> Refused {
    let why = format!(
        "there is no virtual host {name:?}; GET /api/vhosts lists them, and \"/\" is written %2F in a path"
    );
    Refused::new(StatusCode::NOT_FOUND, why)
}

/// Lets requests be about the vhost that their query names, which is taken out of it; else they are about the default one.
pub(crate) async fn choose(State(broker): State<Broker>, mut request: Request, next: Next) -> Response {
    let chosen = match take(request.uri_mut()) {
        Some(name) => match within(&broker, &name) {
            Ok(broker) => broker,
            Err(refused) => return refused.into_response(),
        },
        None => broker,
    };
    request.extensions_mut().insert(Seen(chosen));
    next.run(request).await
}

/// The last `vhost` in a query.
fn take(uri: &mut Uri) -> Option<String> {
    let query = uri.query()?;
    let mut vhost = None;
    let mut rest = form_urlencoded::Serializer::new(String::new());
    for (key, value) in form_urlencoded::parse(query.as_bytes()) {
        if key == "vhost" {
            vhost = Some(value.into_owned());
        } else {
            rest.append_pair(&key, &value);
        }
    }
    let vhost = vhost?;
    let mut parts = uri.clone().into_parts();
    let rest = rest.finish();
    let path = if rest.is_empty() { uri.path().to_owned() } else { format!("{}?{rest}", uri.path()) };
    // It was a path before, with a query that was longer.
    parts.path_and_query = PathAndQuery::try_from(path).ok();
    *uri = Uri::from_parts(parts).ok()?;
    Some(vhost)
}

/// The broker as the request sees it.
#[derive(Clone)]
pub(crate) struct Seen(pub(crate) Broker);

impl Seen {
    pub(crate) fn inspect(&self) -> Inspect {
        self.0.inspect()
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Seen {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Refused> {
        let seen = parts.extensions.get::<Self>().cloned();
        seen.ok_or_else(|| {
            Refused::new(StatusCode::INTERNAL_SERVER_ERROR, "nobody said which virtual host is meant")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_names_a_vhost_and_is_without_it_then() {
        let check = |uri: &str, vhost: Option<&str>, rest: &str| {
            let mut parsed: Uri = uri.parse().unwrap();
            assert_eq!(take(&mut parsed).as_deref(), vhost, "{uri}");
            assert_eq!(parsed.to_string(), rest, "{uri}");
        };
        check("/api/v1/sessions", None, "/api/v1/sessions");
        check("/a?limit=5", None, "/a?limit=5");
        check("/a?vhost=shop", Some("shop"), "/a");
        check("/a%2Fb?limit=5&vhost=%2F&user=a+b", Some("/"), "/a%2Fb?limit=5&user=a+b");
    }
}
