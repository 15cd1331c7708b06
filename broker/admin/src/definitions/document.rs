//! A document: what can be honoured of it, and what is left out, item by item

use std::collections::{BTreeMap, HashSet};
use std::fmt;

use engine::{BindingView, Broker, CheckedPolicy};
use model::name::{ExchangeName, QueueName, VhostName};
use model::queue::{BindingOptions, Destination, ExchangeOptions, QueueOptions};
use model::vhost::VhostLimits;
use serde::Serialize;
use serde_json::{Value, json};

use crate::shape::{binding, exchange, policy, queue};
use crate::vhosts::{read_limits, write_limits};

/// A document, read.
#[derive(Debug, Default)]
pub(super) struct Document {
    /// What is to be in each vhost; those that it names are there even if nothing is in them.
    pub(super) vhosts: BTreeMap<VhostName, Contents>,
    /// Whether RabbitMQ wrote it.
    pub(super) is_rabbitmqs: bool,
    /// What cannot be honoured.
    pub(super) left_out: Vec<Item>,
}

/// What is to be in one vhost.
#[derive(Debug, Default)]
pub(super) struct Contents {
    /// How much there may be in it; `None`: the document does not say.
    pub(super) limits: Option<VhostLimits>,
    pub(super) exchanges: Vec<ExchangeOptions>,
    pub(super) queues: Vec<QueueOptions>,
    pub(super) bindings: Vec<BindingOptions>,
    pub(super) policies: Vec<CheckedPolicy>,
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

/// Reads one. An item that cannot be honoured as a whole is left out as a whole, with all that leads to it. What does not say in
/// which vhost it is, is in `home`; `only`: what says another one is left out.
///
/// # Errors
///
/// It is no such document at all.
pub(super) fn read(value: &Value, home: &VhostName, only: bool) -> Result<Document, String> {
    let all =
        value.as_object().ok_or("definitions are a JSON object, with queues, exchanges and bindings")?;
    let known = |name: &String| LISTS.iter().chain(TOLD).any(|one| one == name);
    if let Some(name) = all.keys().find(|name| !known(name)) {
        let lists = LISTS.join(", ");
        return Err(format!("definitions have no {name:?} here; there are {lists}"));
    }
    let is_rabbitmqs = ["rabbit_version", "rabbitmq_version"].iter().any(|name| all.contains_key(*name));
    let mut document = Document { is_rabbitmqs, ..Document::default() };
    let place = |item: &Value| hosted(item, home, only);
    vhosts(&mut document, all, home, only)?;
    let mut gone = HashSet::new();
    for item in items(all.get("exchanges"), "exchanges")? {
        let name = text(item, "name");
        // RabbitMQ exports its own as well; ours are there already.
        if name.is_empty() || name.starts_with("amq.") {
            continue;
        }
        let read = place(item).and_then(|vhost| Ok((vhost, exchange::read(name, item)?)));
        match read {
            Ok((vhost, exchange)) => document.within(vhost).exchanges.push(exchange),
            Err(why) => {
                gone.insert(("exchange", place(item).ok(), name));
                document.leave_out("exchange", name, why);
            }
        }
    }
    for item in items(all.get("queues"), "queues")? {
        let name = text(item, "name");
        let read = place(item).and_then(|vhost| Ok((vhost, queue::read(name, item)?)));
        match read {
            Ok((vhost, queue)) => document.within(vhost).queues.push(queue),
            Err(why) => {
                gone.insert(("queue", place(item).ok(), name));
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
        let vhost = place(item);
        let ends = [("exchange", source), (if kind == "queue" { "queue" } else { "exchange" }, destination)];
        let is_gone =
            |(kind, name): &(&'static str, &str)| gone.contains(&(*kind, vhost.clone().ok(), *name));
        let whole = match ends.into_iter().find(is_gone) {
            Some((kind, name)) => Err(format!("{kind} {name:?} is left out")),
            None => Ok(()),
        };
        let read = whole.and(to).and_then(|to| binding::read(source, to, item));
        match vhost.and_then(|vhost| Ok((vhost, read?))) {
            Ok((vhost, binding)) => document.within(vhost).bindings.push(binding),
            Err(why) => document.leave_out("binding", &format!("{source} -> {destination}"), why),
        }
    }
    policies(&mut document, all, home, only)?;
    others(&mut document, all)?;
    Ok(document)
}

fn policies(
    document: &mut Document,
    all: &serde_json::Map<String, Value>,
    home: &VhostName,
    only: bool,
) -> Result<(), String> {
    for item in items(all.get("policies"), "policies")? {
        let name = text(item, "name");
        match hosted(item, home, only).and_then(|vhost| Ok((vhost, policy::read(name, item)?))) {
            Ok((vhost, policy)) => document.within(vhost).policies.push(policy),
            Err(why) => document.leave_out("policy", name, why),
        }
    }
    Ok(())
}

/// The vhosts themselves, and their limits: as we write them, and as RabbitMQ does.
fn vhosts(
    document: &mut Document,
    all: &serde_json::Map<String, Value>,
    home: &VhostName,
    only: bool,
) -> Result<(), String> {
    let put = |document: &mut Document, item: &Value, field: &str, limits: Option<&Value>| {
        let name = text(item, field);
        let limits = limits.filter(|limits| !limits.is_null()).map(read_limits).transpose();
        match hosted(&json!({ "vhost": name }), home, only).and_then(|vhost| Ok((vhost, limits?))) {
            Ok((vhost, Some(limits))) if vhost.is_default() && limits != VhostLimits::default() => {
                document.leave_out("vhost", name, HOME_LIMITS.to_owned());
            }
            Ok((vhost, limits)) => {
                let contents = document.within(vhost);
                contents.limits = limits.or(contents.limits);
            }
            Err(why) => document.leave_out("vhost", name, why),
        }
    };
    for item in items(all.get("vhosts"), "vhosts")? {
        put(document, item, "name", item.get("limits"));
    }
    for item in items(all.get("parameters"), "parameters")? {
        if text(item, "component") == LIMITS {
            put(document, item, "vhost", item.get("value"));
        }
    }
    Ok(())
}

/// What this broker has not, or has in its configuration.
fn others(document: &mut Document, all: &serde_json::Map<String, Value>) -> Result<(), String> {
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
        ("operator_policies", "operator_policy", "name", NO_OPERATORS),
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
            let is_told = ["internal_cluster_id", "cluster_name"].contains(&text(item, "name"));
            if !is_told && text(item, "component") != LIMITS {
                // Some parameters are what has another name everywhere else.
                let why = match text(item, "component") {
                    "operator_policy" => NO_OPERATORS,
                    _ => why,
                };
                document.leave_out(kind, text(item, name), why.to_owned());
            }
        }
    }
    Ok(())
}

impl Document {
    fn within(&mut self, vhost: VhostName) -> &mut Contents {
        self.vhosts.entry(vhost).or_default()
    }

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

/// In which vhost an item is. A document of one vhost does not name it.
fn hosted(item: &Value, home: &VhostName, only: bool) -> Result<VhostName, String> {
    let name = match item.get("vhost") {
        None => return Ok(home.clone()),
        Some(name) => name.as_str().and_then(VhostName::parse),
    };
    match name {
        Some(name) if only && name != *home => {
            Err(format!("it is in virtual host {name:?}, and this is {home:?}"))
        }
        Some(name) => Ok(name),
        None => Err(format!("its virtual host cannot be: a name has {}", VhostName::EXPECTED)),
    }
}

/// All that somebody declared in these vhosts, and nothing that belongs to a session, a connection or the broker itself. Where
/// it is one alone, its items do not name it.
pub(super) fn write(vhosts: &[Broker], is_whole: bool) -> Value {
    let (mut exchanges, mut queues, mut bindings) = (Vec::new(), Vec::new(), Vec::new());
    let mut policies = Vec::new();
    for broker in vhosts {
        add(broker, &mut exchanges, &mut queues, &mut bindings);
        policies.extend(broker.inspect().policies().iter().map(|one| policy::write(one, broker.vhost())));
    }
    let plain = |all: Vec<Value>| -> Vec<Value> {
        let plain = |one| if is_whole { one } else { without(one, "vhost") };
        all.into_iter().map(plain).collect()
    };
    json!({
        "product_name": "DuetMQ",
        "product_version": env!("CARGO_PKG_VERSION"),
        "vhosts": if is_whole { vhosts.iter().map(named).collect() } else { Vec::new() },
        "users": [],
        "permissions": [],
        "topic_permissions": [],
        "parameters": [],
        "global_parameters": [],
        "policies": plain(policies),
        "exchanges": plain(exchanges),
        "queues": plain(queues),
        "bindings": plain(bindings),
    })
}

fn named(broker: &Broker) -> Value {
    let mut named = json!({ "name": broker.vhost().as_str() });
    let limits = broker.vhosts().limits(broker.vhost()).map(|limits| write_limits(&limits));
    if let (Some(fields), Some(limits)) = (named.as_object_mut(), limits)
        && limits.as_object().is_some_and(|limits| !limits.is_empty())
    {
        fields.insert("limits".to_owned(), limits);
    }
    named
}

fn add(broker: &Broker, exchanges: &mut Vec<Value>, queues: &mut Vec<Value>, bindings: &mut Vec<Value>) {
    let (inspect, vhost) = (broker.inspect(), broker.vhost());
    let is_ours = |name: &str| name.is_empty() || name.starts_with("amq.") || name.starts_with('$');
    let all = inspect.exchanges(None, usize::MAX).items;
    exchanges.extend(all.iter().filter(|one| !is_ours(&one.name)).map(|one| exchange::write(one, vhost)));
    let usual = inspect.usual_limits();
    let binding = |one: &BindingView| binding::write(one, vhost);
    let mut bound: Vec<Value> = inspect.exchange_bindings().iter().map(binding).collect();
    for view in inspect.queues(None, usize::MAX).items {
        if view.exclusive || view.session_of.is_some() {
            continue;
        }
        bound.extend(inspect.bindings_of(&QueueName::new(&view.name)).iter().map(binding));
        queues.push(without(without(queue::write(&view, vhost, usual), "exclusive"), "durability"));
    }
    bound.sort_by_cached_key(ToString::to_string);
    bindings.extend(bound.into_iter().map(|one| without(one, "properties_key")));
}

fn without(mut value: Value, field: &str) -> Value {
    if let Some(fields) = value.as_object_mut() {
        fields.remove(field);
    }
    value
}

const NO_OPERATORS: &str =
    "there are no operator policies; of a policy and a queue's arguments the smaller limit holds";
const HOME_LIMITS: &str =
    "the limits of \"/\" are in the configuration: limits.connections and limits.queues";

/// What RabbitMQ calls the limits of a vhost among its parameters.
const LIMITS: &str = "vhost-limits";

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
