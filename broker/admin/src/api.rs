//! Routes, and who may call them.

use std::future::IntoFuture;
use std::io;
use std::time::Duration;

use axum::http::StatusCode;
use axum::middleware::{from_fn_with_state, map_response};
use axum::response::Response;
use axum::{Extension, Router};
use engine::Broker;
use tokio::net::UnixListener;
use tokio::sync::oneshot;

use crate::caller::Caller;
use crate::demo::{self, WebEndpoint};
use crate::door::{CameFrom, Door};
use crate::gate::{self, Entry, Gate};
use crate::login::Login;
use crate::metrics::{self, Measured};
use crate::words::Spoken;
use crate::{
    bans, clients, definitions, delayed, explain, headers, health, login, policies, streams, topology, vhost,
    vhosts,
};

/// What the admin listener serves.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Whether the demo pages are served, and `/` leads to them.
    pub dev: bool,
    /// The WebSocket listener that the MQTT page connects to; `None` where there is none.
    pub mqtt_ws: Option<WebEndpoint>,
    /// The WebSocket listener that the STOMP page connects to, by SockJS where it has that; `None` where there is none.
    pub stomp_ws: Option<WebEndpoint>,
    /// Who may look and change.
    pub entry: Entry,
    /// What the metrics are made of.
    pub measured: Measured,
    /// What the words of clients mean.
    pub spoken: Spoken,
    /// Who signs tokens for the demo pages; `None`: their users stay without a name. Only asked where `dev` is set.
    pub login: Option<Login>,
}

/// Answers whoever comes in by `door` until `shutdown` is done, then lets the requests under way finish, for two seconds at most.
///
/// # Errors
///
/// None that are known today: a failed accept is tried again. The signature leaves room for the day one matters.
pub async fn serve(
    door: Door,
    options: Options,
    broker: Broker,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let door = door.guarded_by(broker.clone());
    let service = routes(&options, broker).into_make_service_with_connect_info::<CameFrom>();
    let (stopping, stopped) = oneshot::channel();
    let answer = axum::serve(door, service).with_graceful_shutdown(told(shutdown, stopping));
    drained(answer.into_future(), stopped).await
}

/// The same on a Unix socket, without pages and without a login: what programs of the broker's owner ask.
///
/// # Errors
///
/// As [`serve`].
pub async fn serve_socket(
    listener: UnixListener,
    measured: Measured,
    spoken: Spoken,
    broker: Broker,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let metrics = metrics::routes(broker.inspect(), measured);
    let routes =
        health::routes().merge(metrics).merge(known(&broker, spoken).layer(Extension(Caller::owner())));
    let (stopping, stopped) = oneshot::channel();
    let answer = axum::serve(listener, routes).with_graceful_shutdown(told(shutdown, stopping));
    drained(answer.into_future(), stopped).await
}

async fn told(shutdown: impl Future<Output = ()>, stopping: oneshot::Sender<()>) {
    shutdown.await;
    // Nobody listens any more if serving ended by itself.
    let _ = stopping.send(());
}

async fn drained(
    answer: impl Future<Output = io::Result<()>>,
    stopped: oneshot::Receiver<()>,
) -> io::Result<()> {
    let patience = async move {
        match stopped.await {
            Ok(()) => tokio::time::sleep(DRAIN).await,
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        served = answer => served,
        () = patience => Ok(()),
    }
}

/// What is answered to those alone of whom it is known who they are.
fn known(broker: &Broker, spoken: Spoken) -> Router {
    clients::routes()
        .merge(bans::routes())
        .merge(streams::routes(spoken.clone()))
        .merge(delayed::routes())
        .merge(explain::routes(spoken))
        .layer(from_fn_with_state(broker.clone(), vhost::choose))
        .merge(topology::routes(broker.clone()))
        .merge(vhosts::routes(broker.clone()))
        .merge(policies::routes(broker.clone()))
        .merge(definitions::routes(broker.clone()))
}

fn routes(options: &Options, broker: Broker) -> Router {
    let gate = Gate::new(options.entry.clone(), broker.clone());
    let metrics = metrics::routes(broker.inspect(), options.measured.clone());
    let metrics = metrics.layer(from_fn_with_state(gate.clone(), gate::pass_metrics));
    let known = known(&broker, options.spoken.clone()).layer(from_fn_with_state(gate, gate::pass));
    let mut routes = health::routes().merge(metrics).merge(known);
    let mut ports = Vec::new();
    if options.dev {
        let (mqtt, stomp) = (options.mqtt_ws.as_ref(), options.stomp_ws.as_ref());
        routes = routes.merge(demo::routes(mqtt, stomp, options.login.is_some()));
        routes =
            options.login.iter().fold(routes, |routes, login| routes.merge(login::routes(login.clone())));
        ports.extend(mqtt.into_iter().chain(stomp).map(|at| at.port));
        // A policy that names a port twice says no more than one that names it once.
        ports.dedup();
    }
    let policy = headers::content_security_policy(ports);
    let dev = options.dev;
    routes.fallback(async move || (StatusCode::NOT_FOUND, not_found(dev))).layer(map_response(
        move |mut response: Response| {
            headers::put(response.headers_mut(), policy.clone());
            std::future::ready(response)
        },
    ))
}

fn not_found(dev: bool) -> &'static str {
    if dev {
        "Nothing here. The demo pages are at /demo/, /healthz says whether the broker is alive, /metrics how it is, and \
         /api/v1/sessions who is there.\n"
    } else {
        "Nothing here. /healthz says whether the broker is alive, /metrics how it is, and /api/v1/sessions who is there; the \
         demo pages are served with --dev.\n"
    }
}

/// How long requests under way may take after `shutdown`: a client that never finishes must not hold the broker up.
const DRAIN: Duration = Duration::from_secs(2);
