//! The way that a message would take, and the rule that decides: for people, and nothing is published

use std::sync::Arc;

use model::durability::Durability;
use model::key::RoutingKey;
use model::name::{ClientId, ExchangeName, UserName};
use model::principal::Principal;
use model::properties::Properties;
use model::queue::{Binding, ExchangeKind, HeaderMatch};
use model::refusal::Refusal;
use routing::{Leads, Owner, Queue, Sender, Step, Trace, Tried};
use serde::Serialize;

use crate::core::Core;
use crate::levels::Wanted;
use crate::rights;
use crate::vhost::Vhost;

/// A message that somebody thinks of.
#[derive(Debug)]
pub struct Supposed {
    /// The exchange it would be published to.
    pub exchange: ExchangeName,
    /// Its key.
    pub key: RoutingKey,
    /// What it would say of itself.
    pub properties: Properties,
    /// The user who would publish it; `None`: nobody by name.
    pub user: Option<UserName>,
    /// The client that would publish it.
    pub client: Option<ClientId>,
}

/// The way that a message would take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// Where it would be published; empty: to the default exchange.
    pub exchange: String,
    /// Its key.
    pub key: String,
    /// Whether it may be published, and by what rule.
    pub access: AccessView,
    /// Why it would be refused all the same; `None`: it would not.
    pub refused: Option<String>,
    /// The exchanges that it would come to, in the order in which it does.
    pub steps: Vec<StepView>,
    /// The queues that would get it; of a share, all that may.
    pub queues: Vec<ReachedView>,
}

/// What the rules say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AccessView {
    /// As whom it was asked; `None`: nobody by name.
    pub user: Option<String>,
    /// Whether it is allowed.
    pub allowed: bool,
    /// The rule that says no.
    pub rule: Option<String>,
    /// In words.
    pub why: String,
}

/// What happens in one exchange.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StepView {
    /// Which.
    pub exchange: String,
    /// `direct`, `topic`, `fanout` or `headers`.
    pub kind: &'static str,
    /// The exchange that it comes from.
    pub from: Option<String>,
    /// The bindings that match.
    pub matched: Vec<TriedView>,
    /// Some of those that do not, the nearest first.
    pub nearest: Vec<TriedView>,
    /// How many do not.
    pub missed: usize,
    /// The exchange that it goes on to because nothing matches.
    pub alternate: Option<String>,
    /// The policy that says so, if the exchange was declared without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
}

/// A binding, and what becomes of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TriedView {
    /// Its pattern, as MQTT writes it.
    pub pattern: String,
    /// What it asks of headers, with `x-match`.
    pub arguments: Vec<(String, Option<String>)>,
    /// Its share.
    pub share: Option<String>,
    /// The queue it leads to; of a share, all of its members.
    pub queues: Vec<String>,
    /// The exchange it leads to.
    pub to: Option<String>,
    /// Why it matches, or what keeps it from it.
    pub why: String,
    /// Whether the message is withheld although it matches (No Local).
    pub withheld: bool,
}

/// A queue that would get it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReachedView {
    /// Its name.
    pub queue: String,
    /// The client whose session it is.
    pub client: Option<String>,
    /// Whether it outlives the broker.
    pub durable: bool,
    /// What the message outlives there, if it is to last (MQTT QoS 1, STOMP `persistent:true`): `disk`, `os` or `memory`.
    pub durability: &'static str,
    /// How many consume it.
    pub consumers: usize,
    /// How many messages wait in it.
    pub waiting: usize,
    /// The policy that holds for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
}

/// What would become of such a message. It changes nothing; of a share, whose turn it is.
pub(crate) fn explain(core: &Core, supposed: &Supposed) -> Explanation {
    let Supposed { exchange, key, properties, user, client } = supposed;
    let router = &core.parts.vhost.router;
    let access = access(core, supposed);
    let mut explanation = Explanation {
        exchange: exchange.to_string(),
        key: key.as_str().to_owned(),
        access,
        refused: None,
        steps: Vec::new(),
        queues: Vec::new(),
    };
    let sender = Sender { session: client.as_ref(), client: client.as_ref(), user: user.as_ref() };
    match router.trace(exchange, key, Some(properties), sender) {
        Err(refusal) => explanation.refused = Some(refusal.to_string()),
        Ok(trace) => {
            let is_internal = trace.steps.first().is_some_and(|step| step.exchange.internal);
            if is_internal {
                explanation.refused = Some("the exchange is internal: nobody publishes to it".to_owned());
            }
            let is_session = |queue: &Arc<Queue>| matches!(queue.owner(), Owner::Session(_));
            if *exchange == ExchangeName::DEFAULT && trace.queues.iter().any(is_session) {
                explanation.refused =
                    Some("the queue is a session's own: only its subscriptions fill it".to_owned());
            }
            explanation.steps = trace.steps.iter().map(|one| step(core, one)).collect();
            let levels = &core.parts.vhost.options.levels;
            let wanted = Wanted::new(levels, exchange, key, Some(properties));
            explanation.queues = trace
                .queues
                .iter()
                .map(|one| queue(one, wanted.in_queue(one, granted(core, one, &trace, key))))
                .collect();
        }
    }
    explanation
}

fn access(core: &Core, supposed: &Supposed) -> AccessView {
    let Supposed { exchange, key, user, client, .. } = supposed;
    let shown = user.as_ref().map(ToString::to_string);
    let principal = Principal { user: user.clone() };
    let Some(permissions) = core.access.permissions_of(&principal, client.as_ref()) else {
        return AccessView { user: shown, allowed: false, rule: None, why: UNKNOWN.to_owned() };
    };
    let refusal = rights::publish(&permissions, (exchange, key), false, "publish to").err();
    let rule = match &refusal {
        Some(Refusal::Forbidden { rule, .. }) => Some(rule.as_str().to_owned()),
        Some(_) | None => None,
    };
    let hooked = core.hook.is_some();
    let why = match (&refusal, hooked) {
        (Some(refusal), _) => refusal.to_string(),
        (None, true) => "no rule denies it; a hook is asked when it is published".to_owned(),
        (None, false) => "no rule denies it".to_owned(),
    };
    AccessView { user: shown, allowed: refusal.is_none(), rule, why }
}

fn step(core: &Core, step: &Step) -> StepView {
    let alternate = step.exchange.alternate.as_ref().filter(|_| step.is_alternate_asked);
    let Vhost { router, policies, .. } = &core.parts.vhost;
    let name = &step.exchange.name;
    let is_declared = || router.exchange(name).is_some_and(|exchange| exchange.alternate.is_some());
    let policy = alternate.filter(|_| !is_declared()).and_then(|_| {
        policies.with_exchange(name.as_str(), |policy| policy.map(|policy| policy.name.to_string()))
    });
    StepView {
        exchange: step.exchange.name.to_string(),
        kind: step.exchange.kind.as_str(),
        from: step.from.as_ref().map(ToString::to_string),
        matched: step.matched.iter().map(binding).collect(),
        nearest: step.nearest.iter().map(binding).collect(),
        missed: step.missed,
        alternate: alternate.map(ToString::to_string),
        policy,
    }
}

fn binding(tried: &Tried) -> TriedView {
    let name = |queue: &Arc<Queue>| queue.options().name.to_string();
    let (queues, to) = match &tried.to {
        Leads::Queue(queue) => (vec![name(queue)], None),
        Leads::Share(queues) => (queues.iter().map(name).collect(), None),
        Leads::Exchange(to) => (Vec::new(), Some(to.to_string())),
    };
    TriedView {
        pattern: tried.pattern.to_string(),
        arguments: arguments(&tried.arguments),
        share: tried.share.as_ref().map(ToString::to_string),
        queues,
        to,
        why: tried.why.clone(),
        withheld: tried.is_withheld,
    }
}

/// What a binding asks of headers, with `x-match`; nothing, if it asks for none.
pub(crate) fn arguments(arguments: &HeaderMatch) -> Vec<(String, Option<String>)> {
    if arguments.wanted.is_empty() {
        return Vec::new();
    }
    let wanted = arguments
        .wanted
        .iter()
        .map(|(name, value)| (name.to_string(), value.as_ref().map(ToString::to_string)));
    std::iter::once(("x-match".to_owned(), Some(arguments.mode.as_str().to_owned()))).chain(wanted).collect()
}

/// The strictest of what subscriptions ask for by which the message gets into that queue.
fn granted(core: &Core, queue: &Queue, trace: &Trace, key: &RoutingKey) -> Durability {
    let leads = |binding: &Binding| {
        let step = trace.steps.iter().find(|step| step.exchange.name == binding.exchange);
        step.is_some_and(|step| match step.exchange.kind {
            ExchangeKind::Direct | ExchangeKind::Topic => binding.pattern.matches(key),
            ExchangeKind::Fanout | ExchangeKind::Headers => true,
        })
    };
    let bindings = core.parts.vhost.router.bindings_of(&queue.options().name);
    let levels = bindings.into_iter().filter(leads).map(|binding| binding.grant.durability);
    levels.max().unwrap_or(Durability::Disk)
}

fn queue(queue: &Arc<Queue>, level: Durability) -> ReachedView {
    let stats = queue.stats();
    ReachedView {
        queue: queue.options().name.to_string(),
        client: match queue.owner() {
            Owner::Session(client) => Some(client.to_string()),
            Owner::Nobody | Owner::Link(_) => None,
        },
        durable: queue.options().durable,
        durability: level.as_str(),
        consumers: stats.consumers,
        waiting: stats.ready,
        policy: queue.governed().and_then(|terms| terms.policy.as_ref().map(ToString::to_string)),
    }
}

/// Why nothing can be said of what somebody may do.
pub(crate) const UNKNOWN: &str = "what this user may do is not known without asking him";
