//! Applying a document: all of it, or nothing

use std::collections::HashSet;

use engine::{Broker, CheckedPolicy, Definitions, Made, Objection};
use model::name::{ExchangeName, QueueName, VhostName};
use model::queue::{Binding, BindingOptions, Destination, ExchangeBinding, ExchangeOptions, QueueOptions};
use model::vhost::VhostLimits;
use serde_json::{Value, json};

use super::document::{Contents, Document, Item};

/// Declares what the document has, in each vhost as one change, once all of it can be. Returns what was made (`dry_run`: would be),
/// what was there, and what is left out.
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
    let vhosts = std::mem::take(&mut document.vhosts).into_iter();
    let mut all: Vec<Share> = Vec::new();
    for (name, mut contents) in vhosts {
        if document.is_rabbitmqs {
            leave_out_loose_ends(broker.within(&name).as_ref(), &mut contents, &mut document.left_out);
        }
        let Contents { limits, exchanges, queues, bindings, policies } = contents;
        all.push(Share { name, limits, definitions: definitions(exchanges, queues, bindings, policies) });
    }
    let left_out = document.left_out;
    let mut conflicts = if strict { left_out.clone() } else { Vec::new() };
    let mut sums = Sums::default();
    for share in &all {
        match broker.vhosts().rehearse(&share.name, &share.definitions) {
            Ok(made) => sums.add(share, made),
            Err(objections) => conflicts.splice(0..0, objections.into_iter().map(item)).for_each(drop),
        }
        sums.vhosts += usize::from(broker.within(&share.name).is_none());
    }
    if !conflicts.is_empty() {
        return Err(conflicts);
    }
    if !dry_run {
        sums = Sums { vhosts: sums.vhosts, ..Sums::default() };
        for share in &all {
            let made = declare(broker, share).await?;
            sums.add(share, made);
        }
    }
    let vhosts = all.len() - sums.vhosts;
    let Sums { made, there, vhosts: new } = sums;
    Ok(json!({
        "dry_run": dry_run,
        "created": {
            "vhosts": new,
            "exchanges": made.exchanges,
            "queues": made.queues,
            "bindings": made.bindings,
            "policies": made.policies,
        },
        "there": {
            "vhosts": vhosts,
            "exchanges": there.exchanges,
            "queues": there.queues,
            "bindings": there.bindings,
            "policies": there.policies,
        },
        "left_out": left_out,
    }))
}

/// What is for one vhost.
struct Share {
    name: VhostName,
    limits: Option<VhostLimits>,
    definitions: Definitions,
}

/// How much is made, and how much was there, in all vhosts together.
#[derive(Default)]
struct Sums {
    vhosts: usize,
    made: Made,
    there: Made,
}

impl Sums {
    fn add(&mut self, share: &Share, made: Made) {
        let all = &share.definitions;
        self.made.exchanges += made.exchanges;
        self.made.queues += made.queues;
        self.made.bindings += made.bindings;
        self.made.policies += made.policies;
        self.there.policies += all.policies.len() - made.policies;
        self.there.exchanges += all.exchanges.len() - made.exchanges;
        self.there.queues += all.queues.len() - made.queues;
        self.there.bindings += all.bindings.len() + all.exchange_bindings.len() - made.bindings;
    }
}

/// In one vhost, which is made if it is not there.
async fn declare(broker: &Broker, share: &Share) -> Result<Made, Vec<Item>> {
    let wrong = |reason: String| vec![Item { kind: "vhost", name: share.name.to_string(), reason }];
    if !share.name.is_default() {
        let put = broker.vhosts().put(share.name.clone(), share.limits).await;
        put.map_err(|error| wrong(error.to_string()))?;
    }
    let within = broker.within(&share.name).ok_or_else(|| wrong("it was deleted meanwhile".to_owned()))?;
    let made = within.commands().declare(&share.definitions).await;
    made.map_err(|objections| objections.into_iter().map(item).collect())
}

fn item(objection: Objection) -> Item {
    let Objection { kind, name, refusal } = objection;
    Item { kind, name, reason: refusal.to_string() }
}

/// RabbitMQ exports bindings of internal exchanges and exclusive queues, but not these themselves.
fn leave_out_loose_ends(broker: Option<&Broker>, contents: &mut Contents, left_out: &mut Vec<Item>) {
    let inspect = broker.map(Broker::inspect);
    let exchanges: HashSet<&ExchangeName> = contents.exchanges.iter().map(|one| &one.name).collect();
    let queues: HashSet<&QueueName> = contents.queues.iter().map(|one| &one.name).collect();
    let is_own = |name: &ExchangeName| name.as_str().starts_with("amq.");
    let has_exchange = |name: &ExchangeName| {
        let is_there =
            || inspect.as_ref().map_or_else(|| is_own(name), |inspect| inspect.exchange(name).is_some());
        exchanges.contains(name) || is_there()
    };
    let has_queue = |name: &QueueName| inspect.as_ref().is_some_and(|inspect| inspect.queue(name).is_some());
    contents.bindings.retain(|binding| {
        let BindingOptions { exchange, to, .. } = binding;
        let (kind, to, is_there) = match to {
            Destination::Queue(name) => {
                ("queue", name.as_str(), queues.contains(name) || has_queue(name))
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
        left_out.push(Item { kind: "binding", name: format!("{exchange} -> {to}"), reason: why });
        false
    });
}

fn definitions(
    exchanges: Vec<ExchangeOptions>,
    queues: Vec<QueueOptions>,
    all: Vec<BindingOptions>,
    policies: Vec<CheckedPolicy>,
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
    Definitions { exchanges, queues, bindings, exchange_bindings, policies }
}
