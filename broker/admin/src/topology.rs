//! Topology: exchanges, queues and bindings, shown and changed, on paths as RabbitMQ has them below `/api/`

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get};
use engine::{BindingView, Broker, DeleteQueueIf, ExchangeView, QueueView, TermsView};
use model::name::{ExchangeName, QueueName, VhostName};
use model::queue::Destination;
use model::refusal::Refusal;
use serde_json::{Value, json};

use crate::answer::{Refused, answer};
use crate::listing::Listing;
use crate::shape::{binding, exchange, queue};
use crate::vhost;

type Told = Result<Response, Refused>;
type At = Path<(String, String)>;
type Between = Path<(String, String, String, String)>;

/// `GET`, `PUT` and `DELETE` as RabbitMQ answers them: 201 for what is made, 204 for what is there already or gone.
pub(crate) fn routes(broker: Broker) -> Router {
    let between = "/api/bindings/{vhost}/e/{source}/{kind}/{destination}";
    Router::new()
        .route("/api/exchanges", get(exchanges))
        .route("/api/exchanges/{vhost}", get(exchanges_of))
        .route(
            "/api/exchanges/{vhost}/{name}",
            get(exchange_named).put(declare_exchange).delete(delete_exchange),
        )
        .route("/api/exchanges/{vhost}/{name}/bindings/{end}", get(bindings_at_exchange))
        .route("/api/queues", get(queues))
        .route("/api/queues/{vhost}", get(queues_of))
        .route("/api/queues/{vhost}/{name}", get(queue_named).put(declare_queue).delete(delete_queue))
        .route("/api/queues/{vhost}/{name}/bindings", get(bindings_of_queue))
        .route("/api/queues/{vhost}/{name}/contents", delete(purge))
        .route("/api/bindings", get(bindings))
        .route("/api/bindings/{vhost}", get(bindings_of))
        .route(between, get(bindings_between).post(bind))
        .route(&format!("{between}/{{properties}}"), get(one_binding).delete(unbind))
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .with_state(broker)
}

async fn exchanges(State(broker): State<Broker>, query: RawQuery) -> Told {
    exchanges_in(vhost::each(&broker), query).await
}

async fn exchanges_of(State(broker): State<Broker>, Path(host): Path<String>, query: RawQuery) -> Told {
    exchanges_in(vec![vhost::within(&broker, &host)?], query).await
}

async fn exchanges_in(vhosts: Vec<Broker>, RawQuery(query): RawQuery) -> Told {
    let listing = Listing::read(&query.unwrap_or_default())?;
    look(move || {
        let of = |broker: Broker| {
            let all = broker.inspect().exchanges(None, usize::MAX).items;
            all.into_iter().map(move |one| (broker.vhost().clone(), one))
        };
        let all = vhosts.into_iter().flat_map(of).collect();
        Ok(listing.of(all, |(_, one)| &one.name, |(vhost, one)| shown_exchange(one, vhost)))
    })
    .await
}

async fn exchange_named(State(broker): State<Broker>, Path((host, name)): At) -> Told {
    let broker = vhost::within(&broker, &host)?;
    let found = broker.inspect().exchange(&exchange_name(&name));
    let found = found.ok_or_else(|| no_exchange(&name))?;
    Ok(answer(StatusCode::OK, &shown_exchange(&found, broker.vhost())))
}

async fn declare_exchange(State(broker): State<Broker>, Path((host, name)): At, body: Bytes) -> Told {
    let broker = vhost::within(&broker, &host)?;
    let options = exchange::read(&name, &json_of(&body)?).map_err(bad)?;
    Ok(done(broker.commands().declare_exchange(options).await.map_err(refused)?))
}

async fn delete_exchange(State(broker): State<Broker>, Path((host, name)): At, query: RawQuery) -> Told {
    let broker = vhost::within(&broker, &host)?;
    let [if_unused] = conditions(query, ["if-unused"])?;
    broker.commands().delete_exchange(&exchange_name(&name), if_unused).await.map_err(refused)?;
    Ok(done(false))
}

async fn queues(State(broker): State<Broker>, query: RawQuery) -> Told {
    queues_in(vhost::each(&broker), query).await
}

async fn queues_of(State(broker): State<Broker>, Path(host): Path<String>, query: RawQuery) -> Told {
    queues_in(vec![vhost::within(&broker, &host)?], query).await
}

async fn queues_in(vhosts: Vec<Broker>, RawQuery(query): RawQuery) -> Told {
    let listing = Listing::read(&query.unwrap_or_default())?;
    look(move || {
        let usual = vhosts.first().map(|broker| broker.inspect().usual_limits()).unwrap_or_default();
        let of = |broker: Broker| {
            let all = broker.inspect().queues(None, usize::MAX).items;
            all.into_iter().map(move |one| (broker.vhost().clone(), one))
        };
        let all = vhosts.into_iter().flat_map(of).collect();
        Ok(listing.of(all, |(_, one)| &one.name, |(vhost, one)| shown(one, vhost, usual)))
    })
    .await
}

async fn queue_named(State(broker): State<Broker>, Path((host, name)): At) -> Told {
    let broker = vhost::within(&broker, &host)?;
    let inspect = broker.inspect();
    let found = inspect.queue(&QueueName::new(&name)).ok_or_else(|| no_queue(&name))?;
    Ok(answer(StatusCode::OK, &shown(&found, broker.vhost(), inspect.usual_limits())))
}

async fn declare_queue(State(broker): State<Broker>, Path((host, name)): At, body: Bytes) -> Told {
    let broker = vhost::within(&broker, &host)?;
    let options = queue::read(&name, &json_of(&body)?).map_err(bad)?;
    Ok(done(broker.commands().declare_queue(options).await.map_err(refused)?))
}

async fn delete_queue(State(broker): State<Broker>, Path((host, name)): At, query: RawQuery) -> Told {
    let broker = vhost::within(&broker, &host)?;
    let [unused, empty] = conditions(query, ["if-unused", "if-empty"])?;
    let only = DeleteQueueIf { empty, unused };
    broker.commands().delete_queue(&QueueName::new(&name), only).await.map_err(refused)?;
    Ok(done(false))
}

async fn purge(State(broker): State<Broker>, Path((host, name)): At) -> Told {
    let broker = vhost::within(&broker, &host)?;
    let purged = broker.commands().purge_queue(&QueueName::new(&name)).await.map_err(refused)?;
    Ok(answer(StatusCode::OK, &json!({ "purged": purged })))
}

async fn bindings(State(broker): State<Broker>, query: RawQuery) -> Told {
    bindings_in(vhost::each(&broker), query).await
}

async fn bindings_of(State(broker): State<Broker>, Path(host): Path<String>, query: RawQuery) -> Told {
    bindings_in(vec![vhost::within(&broker, &host)?], query).await
}

async fn bindings_in(vhosts: Vec<Broker>, RawQuery(query): RawQuery) -> Told {
    let listing = Listing::read(&query.unwrap_or_default())?;
    look(move || {
        Ok(list(&listing, vhosts.iter().flat_map(|broker| all_bindings(broker, |_| true)).collect()))
    })
    .await
}

async fn bindings_of_queue(State(broker): State<Broker>, Path((host, name)): At) -> Told {
    let broker = vhost::within(&broker, &host)?;
    broker.inspect().queue(&QueueName::new(&name)).ok_or_else(|| no_queue(&name))?;
    chosen(broker, move |one| one.to_kind == "queue" && one.to == name).await
}

async fn bindings_at_exchange(
    State(broker): State<Broker>,
    Path((host, name, end)): Path<(String, String, String)>,
) -> Told {
    let broker = vhost::within(&broker, &host)?;
    let exchange = exchange_name(&name);
    broker.inspect().exchange(&exchange).ok_or_else(|| no_exchange(&name))?;
    match end.as_str() {
        "source" => chosen(broker, move |one| one.exchange == exchange.as_str()).await,
        "destination" => {
            chosen(broker, move |one| one.to_kind == "exchange" && one.to == exchange.as_str()).await
        }
        other => {
            let why = format!("bindings/{other}: source or destination is wanted");
            Err(Refused::new(StatusCode::NOT_FOUND, why))
        }
    }
}

async fn bindings_between(State(broker): State<Broker>, Path(ends): Between) -> Told {
    let ends = Ends::of(&broker, &ends)?;
    chosen(ends.broker.clone(), move |one| ends.are_of(one)).await
}

async fn bind(State(broker): State<Broker>, Path(path): Between, body: Bytes) -> Told {
    let ends = Ends::of(&broker, &path)?;
    let options = binding::read(ends.source.as_str(), ends.to.clone(), &json_of(&body)?).map_err(bad)?;
    Ok(done(ends.broker.commands().bind(options).await.map_err(refused)?))
}

type Named = Path<(String, String, String, String, String)>;

async fn one_binding(State(broker): State<Broker>, path: Named) -> Told {
    Ok(answer(StatusCode::OK, &find(&broker, path).await?.1))
}

async fn unbind(State(broker): State<Broker>, path: Named) -> Told {
    let (ends, found) = find(&broker, path).await?;
    let options = binding::read(ends.source.as_str(), ends.to.clone(), &found).map_err(bad)?;
    ends.broker.commands().unbind(options).await.map_err(refused)?;
    Ok(done(false))
}

/// The binding that a path names.
async fn find(broker: &Broker, Path(path): Named) -> Result<(Ends, Value), Refused> {
    let (host, from, kind, destination, properties) = path;
    let ends = Ends::of(broker, &(host, from, kind, destination))?;
    let looked = move || {
        let all = all_bindings(&ends.broker, |one| ends.are_of(one));
        let found = all
            .iter()
            .map(|(vhost, one)| binding::write(one, vhost))
            .find(|one| one["properties_key"] == properties.as_str());
        found.map(|found| (ends, found)).ok_or_else(|| {
            let why =
                format!("there is no binding {properties:?} between these; GET the path above lists them");
            Refused::new(StatusCode::NOT_FOUND, why)
        })
    };
    tokio::task::spawn_blocking(looked).await.map_err(|_| failed())?
}

/// From where to where a path leads.
struct Ends {
    /// As it is seen from the vhost of the path.
    broker: Broker,
    source: ExchangeName,
    to: Destination,
}

impl Ends {
    /// Both have to be there.
    fn of(
        broker: &Broker,
        (host, source, kind, destination): &(String, String, String, String),
    ) -> Result<Self, Refused> {
        let broker = vhost::within(broker, host)?;
        let inspect = broker.inspect();
        let from = exchange_name(source);
        inspect.exchange(&from).ok_or_else(|| no_exchange(source))?;
        let to = match kind.as_str() {
            "q" => {
                let name = QueueName::new(destination);
                inspect.queue(&name).ok_or_else(|| no_queue(destination))?;
                Destination::Queue(name)
            }
            "e" => {
                let name = exchange_name(destination);
                inspect.exchange(&name).ok_or_else(|| no_exchange(destination))?;
                Destination::Exchange(name)
            }
            other => {
                let why = format!("{other:?} is no kind of destination: q for a queue, e for an exchange");
                return Err(Refused::new(StatusCode::NOT_FOUND, why));
            }
        };
        Ok(Self { broker, source: from, to })
    }

    fn are_of(&self, one: &BindingView) -> bool {
        let (kind, name) = match &self.to {
            Destination::Queue(name) => ("queue", name.as_str()),
            Destination::Exchange(name) => ("exchange", name.as_str()),
        };
        one.exchange == self.source.as_str() && one.to_kind == kind && one.to == name
    }
}

/// Those that are meant, in an order that stays; with those that go without saying, from the default exchange to each queue.
fn all_bindings(broker: &Broker, is_meant: impl Fn(&BindingView) -> bool) -> Vec<(VhostName, BindingView)> {
    let inspect = broker.inspect();
    let mut all = inspect.exchange_bindings();
    for queue in inspect.queues(None, usize::MAX).items {
        all.extend(inspect.bindings_of(&QueueName::new(&queue.name)));
        all.push(BindingView {
            exchange: String::new(),
            to_kind: "queue",
            to: queue.name.clone(),
            key: queue.name,
            arguments: std::collections::BTreeMap::new(),
            share: None,
        });
    }
    all.retain(is_meant);
    all.sort_by(|a, b| (&a.exchange, a.to_kind, &a.to, &a.key).cmp(&(&b.exchange, b.to_kind, &b.to, &b.key)));
    all.into_iter().map(|one| (broker.vhost().clone(), one)).collect()
}

async fn chosen(broker: Broker, is_meant: impl Fn(&BindingView) -> bool + Send + 'static) -> Told {
    look(move || Ok(list(&Listing::default(), all_bindings(&broker, is_meant)))).await
}

fn list(listing: &Listing, all: Vec<(VhostName, BindingView)>) -> Response {
    listing.of(all, |(_, one)| &one.exchange, |(vhost, one)| binding::write(one, vhost))
}

/// A queue as it is now.
fn shown(view: &QueueView, vhost: &VhostName, usual: (u64, u64)) -> Value {
    let mut value = queue::write(view, vhost, usual);
    let more = json!({
        "state": "running",
        // What is read of a stream is there all the same.
        "messages": view.ready + if view.kind == "stream" { 0 } else { view.unacked },
        "messages_ready": view.ready,
        "messages_unacknowledged": view.unacked,
        "message_bytes_ready": view.ready_bytes,
        "consumers": view.consumers,
        "session_of": view.session_of,
        "policy": view.policy,
        "effective_policy_definition": view.effective.clone().unwrap_or_default(),
    });
    let stream = json!({
        "first_offset": view.first_offset,
        "last_offset": view.last_offset,
        "first_at_ms": view.first_at_ms,
        "last_at_ms": view.last_at_ms,
    });
    let stream = if view.kind == "stream" { stream } else { json!({}) };
    add(&mut value, stream);
    add(&mut value, more);
    value
}

/// An exchange as it is now.
fn shown_exchange(view: &ExchangeView, vhost: &VhostName) -> Value {
    let mut value = exchange::write(view, vhost);
    let effective = TermsView { alternate_exchange: view.policy_alternate.clone(), ..TermsView::default() };
    add(&mut value, json!({ "policy": view.policy, "effective_policy_definition": effective }));
    value
}

fn add(value: &mut Value, more: Value) {
    if let (Value::Object(all), Value::Object(more)) = (value, more) {
        all.extend(more);
    }
}

/// `amq.default` is what RabbitMQ's paths call the exchange without a name.
fn exchange_name(name: &str) -> ExchangeName {
    if name == "amq.default" { ExchangeName::DEFAULT } else { ExchangeName::new(name) }
}

/// The answer to what is done, and lasts.
fn done(new: bool) -> Response {
    if new { StatusCode::CREATED } else { StatusCode::NO_CONTENT }.into_response()
}

/// On a thread that may take its time: there may be many thousands to look at.
pub(crate) async fn look(find: impl FnOnce() -> Told + Send + 'static) -> Told {
    tokio::task::spawn_blocking(find).await.map_err(|_| failed())?
}

fn failed() -> Refused {
    Refused::new(StatusCode::INTERNAL_SERVER_ERROR, "the broker could not look; see its log")
}

/// A body that is there is JSON.
pub(crate) fn json_of(body: &Bytes) -> Result<Value, Refused> {
    if body.is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_slice(body).map_err(|error| bad(format!("the body is no JSON: {error}")))
}

/// What must be so, by the query: `if-unused=true`.
fn conditions<const N: usize>(
    RawQuery(query): RawQuery,
    known: [&'static str; N],
) -> Result<[bool; N], Refused> {
    let mut asked = [false; N];
    for (name, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
        let place = known.iter().zip(&mut asked).find(|(one, _)| **one == name);
        match (place, &*value) {
            (Some((_, asked)), "true" | "") => *asked = true,
            (Some(_), "false") => {}
            _ => return Err(bad(format!("{name}={value}: there are {}, true or false", known.join(", ")))),
        }
    }
    Ok(asked)
}

fn no_exchange(name: &str) -> Refused {
    Refused::new(StatusCode::NOT_FOUND, format!("there is no exchange {name:?}"))
}

fn no_queue(name: &str) -> Refused {
    Refused::new(StatusCode::NOT_FOUND, format!("there is no queue {name:?}"))
}

fn bad(reason: impl Into<String>) -> Refused {
    Refused::new(StatusCode::BAD_REQUEST, reason)
}

/// What the engine refuses, as RabbitMQ's status codes have it.
pub(crate) fn refused(refusal: Refusal) -> Refused {
    let status = match &refusal {
        Refusal::NoExchange(name) => return no_exchange(name.as_str()),
        Refusal::NoQueue(name) => return no_queue(name.as_str()),
        Refusal::NoVhost(_) | Refusal::NoBinding(_) => StatusCode::NOT_FOUND,
        Refusal::Denied { .. }
        | Refusal::Forbidden { .. }
        | Refusal::Vetoed { .. }
        | Refusal::Banned { .. }
        | Refusal::Internal(_)
        | Refusal::Exclusive(_) => StatusCode::FORBIDDEN,
        Refusal::BadCredentials(_)
        | Refusal::NotProven(_)
        | Refusal::BadToken(_)
        | Refusal::Expired { .. }
        | Refusal::NoMethod { .. } => StatusCode::UNAUTHORIZED,
        Refusal::Inequivalent { .. }
        | Refusal::AtOdds { .. }
        | Refusal::NoStream(_)
        | Refusal::InUse { .. }
        | Refusal::LimitReached(_)
        | Refusal::Invalid(_) => StatusCode::BAD_REQUEST,
        Refusal::Busy(_) | Refusal::ShuttingDown => StatusCode::SERVICE_UNAVAILABLE,
    };
    Refused::new(status, refusal.to_string())
}

/// The longest body of a request, in bytes.
const BODY_MAX: usize = 64 << 10;
