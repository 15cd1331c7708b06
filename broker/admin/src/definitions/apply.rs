//! Applying a document: all of it, or nothing

use std::collections::HashSet;

use engine::{Broker, Definitions, Objection};
use model::name::{ExchangeName, QueueName};
use model::queue::{Binding, BindingOptions, Destination, ExchangeBinding, ExchangeOptions, QueueOptions};
use serde_json::{Value, json};

use super::document::{Document, Item};

/// Declares what the document has, as one change. Returns what was made (`dry_run`: would be), what was there, and what is
/// left out.
///
/// # Errors
///
/// Everything that contradicts what is there, or names what is nowhere; `strict`: everything that is left out, too.
pub(super) async fn apply(
    broker: &Broker,
    mut document: Document,
    dry_run: bool,
    strict: bool,
) -> Result<Value, Vec<Item>> {
    if document.is_rabbitmqs {
        leave_out_loose_ends(broker, &mut document);
    }
    let left_out = document.left_out;
    let definitions = definitions(document.exchanges, document.queues, document.bindings);
    let commands = broker.commands();
    let refused = match commands.rehearse(&definitions) {
        Ok(_) => Vec::new(),
        Err(objections) => objections.into_iter().map(item).collect(),
    };
    let conflicts = [refused, if strict { left_out.clone() } else { Vec::new() }].concat();
    if !conflicts.is_empty() {
        return Err(conflicts);
    }
    let made = if dry_run { commands.rehearse(&definitions) } else { commands.declare(&definitions).await };
    let made = made.map_err(|objections| objections.into_iter().map(item).collect::<Vec<_>>())?;
    let bindings = definitions.bindings.len() + definitions.exchange_bindings.len();
    Ok(json!({
        "dry_run": dry_run,
        "created": { "exchanges": made.exchanges, "queues": made.queues, "bindings": made.bindings },
        "there": {
            "exchanges": definitions.exchanges.len() - made.exchanges,
            "queues": definitions.queues.len() - made.queues,
            "bindings": bindings - made.bindings,
        },
        "left_out": left_out,
    }))
}

fn item(objection: Objection) -> Item {
    let Objection { kind, name, refusal } = objection;
    Item { kind, name, reason: refusal.to_string() }
}

/// RabbitMQ exports bindings of internal exchanges and exclusive queues, but not these themselves.
fn leave_out_loose_ends(broker: &Broker, document: &mut Document) {
    let inspect = broker.inspect();
    let exchanges: HashSet<&ExchangeName> = document.exchanges.iter().map(|one| &one.name).collect();
    let queues: HashSet<&QueueName> = document.queues.iter().map(|one| &one.name).collect();
    let has_exchange = |name: &ExchangeName| exchanges.contains(name) || inspect.exchange(name).is_some();
    let mut loose = Vec::new();
    document.bindings.retain(|binding| {
        let BindingOptions { exchange, to, .. } = binding;
        let (kind, to, is_there) = match to {
            Destination::Queue(name) => {
                ("queue", name.as_str(), queues.contains(name) || inspect.queue(name).is_some())
            }
            Destination::Exchange(name) => ("exchange", name.as_str(), has_exchange(name)),
        };
        let (kind, missing) = match has_exchange(exchange) {
            true if is_there => return true,
            true => (kind, to),
            false => ("exchange", exchange.as_str()),
        };
        let of_what = if kind == "queue" { "exclusive queues" } else { "internal exchanges" };
        let why = format!(
            "RabbitMQ exported no {kind} {missing:?}, nor is it here (it leaves out {of_what}): declare it, and import again"
        );
        loose.push((format!("{exchange} -> {to}"), why));
        false
    });
    for (name, why) in loose {
        document.leave_out("binding", &name, why);
    }
}

fn definitions(
    exchanges: Vec<ExchangeOptions>,
    queues: Vec<QueueOptions>,
    all: Vec<BindingOptions>,
) -> Definitions {
    let mut bindings = Vec::new();
    let mut exchange_bindings = Vec::new();
    for BindingOptions { exchange, pattern, arguments, to } in all {
        match to {
            Destination::Queue(queue) => {
                let (share, grant) = Default::default();
                bindings.push(Binding { exchange, pattern, arguments, queue, share, grant });
            }
            Destination::Exchange(to) => {
                exchange_bindings.push(ExchangeBinding { exchange, pattern, arguments, to });
            }
        }
    }
    Definitions { exchanges, queues, bindings, exchange_bindings }
}
