//! A document: what can be honoured of it, and what is left out, item by item

use std::collections::HashSet;
use std::fmt;

use engine::Inspect;
use model::name::{ExchangeName, QueueName};
use model::queue::{BindingOptions, Destination, ExchangeOptions, QueueOptions};
use serde::Serialize;
use serde_json::{Value, json};

use crate::shape::{binding, exchange, queue};

/// A document, read.
#[derive(Debug, Default)]
pub(super) struct Document {
    pub(super) exchanges: Vec<ExchangeOptions>,
    pub(super) queues: Vec<QueueOptions>,
    pub(super) bindings: Vec<BindingOptions>,
    /// Whether RabbitMQ wrote it.
    pub(super) is_rabbitmqs: bool,
    /// What cannot be honoured.
    pub(super) left_out: Vec<Item>,
}

/// One item, and what is to be said of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Item {
    /// `queue`, `user`, …
    pub(super) kind: &'static str,
    /// What it is called.
    pub(super) name: String,
    /// Why.
    pub(super) reason: String,
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}: {}", self.kind, self.name, self.reason)
    }
}

/// Reads one. An item that cannot be honoured as a whole is left out as a whole, with all that leads to it.
///
/// # Errors
///
/// It is no such document at all.
pub(super) fn read(value: &Value) -> Result<Document, String> {
    let all =
        value.as_object().ok_or("definitions are a JSON object, with queues, exchanges and bindings")?;
    let known = |name: &String| LISTS.iter().chain(TOLD).any(|one| one == name);
    if let Some(name) = all.keys().find(|name| !known(name)) {
        let lists = LISTS.join(", ");
        return Err(format!("definitions have no {name:?} here; there are {lists}"));
    }
    let is_rabbitmqs = ["rabbit_version", "rabbitmq_version"].iter().any(|name| all.contains_key(*name));
    let mut document = Document { is_rabbitmqs, ..Document::default() };
    let mut gone = HashSet::new();
    for item in items(all.get("exchanges"), "exchanges")? {
        let name = text(item, "name");
        // RabbitMQ exports its own as well; ours are there already.
        if name.is_empty() || name.starts_with("amq.") {
            continue;
        }
        match hosted(item).and_then(|()| exchange::read(name, item)) {
            Ok(exchange) => document.exchanges.push(exchange),
            Err(why) => {
                gone.insert(("exchange", name));
                document.leave_out("exchange", name, why);
            }
        }
    }
    for item in items(all.get("queues"), "queues")? {
        let name = text(item, "name");
        match hosted(item).and_then(|()| queue::read(name, item)) {
            Ok(queue) => document.queues.push(queue),
            Err(why) => {
                gone.insert(("queue", name));
                document.leave_out("queue", name, why);
            }
        }
    }
    for item in items(all.get("bindings"), "bindings")? {
        let (source, destination) = (text(item, "source"), text(item, "destination"));
        let kind = text(item, "destination_type");
        if source.is_empty() {
            continue;
        }
        let to = match kind {
            "queue" => Ok(Destination::Queue(QueueName::new(destination))),
            "exchange" => Ok(Destination::Exchange(ExchangeName::new(destination))),
            other => Err(format!("destination_type is {other:?}: queue or exchange is wanted")),
        };
        let ends = [("exchange", source), (if kind == "queue" { "queue" } else { "exchange" }, destination)];
        let end = ends.into_iter().find(|end| gone.contains(end));
        let whole = end.map_or(Ok(()), |(kind, name)| Err(format!("{kind} {name:?} is left out")));
        let read = hosted(item).and(whole).and(to).and_then(|to| binding::read(source, to, item));
        match read {
            Ok(binding) => document.bindings.push(binding),
            Err(why) => document.leave_out("binding", &format!("{source} -> {destination}"), why),
        }
    }
    others(&mut document, all)?;
    Ok(document)
}

/// What this broker has not, or has in its configuration.
fn others(document: &mut Document, all: &serde_json::Map<String, Value>) -> Result<(), String> {
    for item in items(all.get("vhosts"), "vhosts")? {
        if text(item, "name") != "/" {
            document.leave_out("vhost", text(item, "name"), ONE_VHOST.to_owned());
        }
    }
    for (list, kind, name, why) in [
        (
            "users",
            "user",
            "name",
            "users are in the password file: duetmq passwd add, and [[admin.user]] for tags",
        ),
        (
            "permissions",
            "permission",
            "user",
            "what users may not do is in the configuration: [[access.deny]]",
        ),
        (
            "topic_permissions",
            "topic_permission",
            "user",
            "what users may not do is in the configuration: [[access.deny]]",
        ),
        ("policies", "policy", "name", NO_POLICIES),
        ("operator_policies", "operator_policy", "name", NO_POLICIES),
        ("parameters", "parameter", "name", "there are no parameters: no federation and no shovel"),
        (
            "global_parameters",
            "global_parameter",
            "name",
            "there are no parameters: no federation and no shovel",
        ),
    ] {
        for item in items(all.get(list), list)? {
            // What RabbitMQ calls its own cluster is of no use to anybody else.
            if !["internal_cluster_id", "cluster_name"].contains(&text(item, "name")) {
                // Some parameters are what has another name everywhere else.
                let why = match text(item, "component") {
                    "operator_policy" => NO_POLICIES,
                    "vhost-limits" => ONE_VHOST,
                    _ => why,
                };
                document.leave_out(kind, text(item, name), why.to_owned());
            }
        }
    }
    Ok(())
}

impl Document {
    pub(super) fn leave_out(&mut self, kind: &'static str, name: &str, reason: String) {
        self.left_out.push(Item { kind, name: name.to_owned(), reason });
    }
}

fn items<'a>(value: Option<&'a Value>, list: &str) -> Result<impl Iterator<Item = &'a Value>, String> {
    match value {
        None | Some(Value::Null) => Ok([].iter()),
        Some(Value::Array(all)) if all.iter().all(Value::is_object) => Ok(all.iter()),
        Some(_) => Err(format!("definitions.{list}: a list of JSON objects is wanted")),
    }
}

fn text<'a>(item: &'a Value, name: &str) -> &'a str {
    item.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// A document of one virtual host does not name it.
fn hosted(item: &Value) -> Result<(), String> {
    match item.get("vhost") {
        None => Ok(()),
        Some(name) if name == "/" => Ok(()),
        Some(name) => Err(format!("it is in virtual host {name}: {ONE_VHOST}")),
    }
}

/// All that somebody declared, and nothing that belongs to a session, a connection or the broker itself.
pub(super) fn write(inspect: &Inspect) -> Value {
    let is_ours = |name: &str| name.is_empty() || name.starts_with("amq.") || name.starts_with('$');
    let exchanges: Vec<Value> = inspect
        .exchanges(None, usize::MAX)
        .items
        .iter()
        .filter(|one| !is_ours(&one.name))
        .map(exchange::write)
        .collect();
    let usual = inspect.usual_limits();
    let mut bindings: Vec<Value> = inspect.exchange_bindings().iter().map(binding::write).collect();
    let mut queues = Vec::new();
    for view in inspect.queues(None, usize::MAX).items {
        if view.exclusive || view.session_of.is_some() {
            continue;
        }
        bindings.extend(inspect.bindings_of(&QueueName::new(&view.name)).iter().map(binding::write));
        queues.push(without(without(queue::write(&view, usual), "exclusive"), "durability"));
    }
    bindings.sort_by_cached_key(ToString::to_string);
    let bindings: Vec<Value> = bindings.into_iter().map(|one| without(one, "properties_key")).collect();
    json!({
        "product_name": "DuetMQ",
        "product_version": env!("CARGO_PKG_VERSION"),
        "vhosts": [{ "name": "/" }],
        "users": [],
        "permissions": [],
        "topic_permissions": [],
        "parameters": [],
        "global_parameters": [],
        "policies": [],
        "exchanges": exchanges,
        "queues": queues,
        "bindings": bindings,
    })
}

fn without(mut value: Value, field: &str) -> Value {
    if let Some(fields) = value.as_object_mut() {
        fields.remove(field);
    }
    value
}

const NO_POLICIES: &str = "there are no policies; give each queue its arguments";
const ONE_VHOST: &str = "there is one virtual host, \"/\"";

/// Lists of items.
const LISTS: &[&str] = &[
    "exchanges",
    "queues",
    "bindings",
    "vhosts",
    "users",
    "permissions",
    "topic_permissions",
    "policies",
    "operator_policies",
    "parameters",
    "global_parameters",
];

/// What a document says of where it comes from.
const TOLD: &[&str] = &[
    "rabbit_version",
    "rabbitmq_version",
    "product_name",
    "product_version",
    "rabbitmq_definition_format",
    "original_vhost_name",
    "original_cluster_name",
    "explanation",
    "description",
    "metadata",
    "default_queue_type",
    "limits",
];
