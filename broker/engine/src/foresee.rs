//! What a subscription would make and bind, and the rule that decides: for people, and nothing is made

use std::sync::Arc;

use model::name::{ClientId, QueueName, UserName};
use model::policy::Policy;
use model::principal::{Permissions, Principal};
use model::queue::QueueOptions;
use model::refusal::Refusal;
use model::request::{Source, Target};
use routing::{Owner, Queue};
use serde::Serialize;

use crate::core::Core;
use crate::explain::{self, AccessView, arguments};
use crate::numbers::SessionName;
use crate::rights;
use crate::subscribe::PRIVATE_QUEUES;
use crate::topology;
use crate::users::Own;

/// A subscription that somebody thinks of.
#[derive(Debug)]
pub struct SupposedSubscription {
    /// What it would bind; `None`: nothing, it consumes a queue as it is.
    pub source: Option<Source>,
    /// The queue.
    pub queue: Target,
    /// Whether it would read from an offset: a stream, and nothing else.
    pub reads: bool,
    /// The user who would subscribe; `None`: nobody by name.
    pub user: Option<UserName>,
    /// The client that would.
    pub client: Option<ClientId>,
}

/// What such a subscription would come to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Foreseen {
    /// Whether it may be made, and by what rule.
    pub access: AccessView,
    /// Why it would be refused all the same; `None`: it would not.
    pub refused: Option<String>,
    /// The queue that its messages come from.
    pub queue: QueueForeseen,
    /// What is bound to that queue; `None`: nothing.
    pub binding: Option<BoundView>,
}

/// The queue that messages come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct QueueForeseen {
    /// Its name; `None`: not known before.
    pub name: Option<String>,
    /// How it gets its name, and by what it is made.
    pub named: &'static str,
    /// Whether it is there.
    pub exists: bool,
    /// Whether this subscription would make it, where the rules allow it.
    pub is_made: bool,
    /// Whether it outlives, or would outlive, the broker; `None`: not known before, as with what follows.
    pub durable: Option<bool>,
    /// Whether it is one connection's own.
    pub exclusive: Option<bool>,
    /// Whether it goes with its last consumer.
    pub auto_delete: Option<bool>,
    /// The policy that holds for its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
}

/// A binding as it would be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BoundView {
    /// The exchange.
    pub exchange: String,
    /// Its kind; `None`: there is no such exchange.
    pub kind: Option<&'static str>,
    /// The pattern, as MQTT writes it, with whose it is first where it is somebody's own.
    pub pattern: String,
    /// What it asks of headers, with `x-match`.
    pub arguments: Vec<(String, Option<String>)>,
    /// Its share.
    pub share: Option<String>,
    /// Whether it is there.
    pub exists: bool,
}

/// What would become of such a subscription. It changes nothing.
pub(crate) fn foresee(core: &Core, supposed: &SupposedSubscription) -> Foreseen {
    let SupposedSubscription { source, queue: target, reads, user, client } = supposed;
    let parts = &core.parts;
    let router = &parts.vhost.router;
    let own = Own::new(SessionName::Supposed, user.clone());
    let owned = source.clone().map(|source| own.source(source, target)).transpose();
    let mut refused = owned.as_ref().err().map(ToString::to_string);
    let source = owned.unwrap_or_else(|_| source.clone());
    let access = access(core, source.as_ref(), supposed);

    let name = match target {
        Target::Session => {
            client.as_ref().map(|client| QueueName::new(&format!("{}{client}", topology::SESSION_QUEUES)))
        }
        Target::Private => None,
        Target::Replies(name) | Target::Existing(name) => Some(name.clone()),
        Target::Declare(asked) => Some(asked.options.name.clone()).filter(|name| !is_made_up(name)),
    };
    let there = name.as_ref().and_then(|name| router.queue(name));
    refused = refused.or_else(|| check(target, there.as_ref()).err().map(|refusal| refusal.to_string()));
    if let (true, Some(queue)) = (reads, there.as_ref().filter(|queue| !queue.is_stream())) {
        refused.get_or_insert_with(|| Refusal::NoStream(queue.options().name.clone()).to_string());
    }
    let binding = source.as_ref().map(|source| {
        let exchange = router.exchange(&source.exchange);
        let bound = name.as_ref().map(|name| router.bindings_of(name)).unwrap_or_default();
        BoundView {
            exchange: source.exchange.to_string(),
            kind: exchange.map(|exchange| exchange.kind.as_str()),
            pattern: source.pattern.to_string(),
            arguments: arguments(&source.arguments),
            share: source.share.as_ref().map(ToString::to_string),
            exists: bound.iter().any(|known| {
                known.exchange == source.exchange
                    && known.pattern == source.pattern
                    && known.arguments == source.arguments
                    && known.share == source.share
            }),
        }
    });
    if let (Some(source), Some(BoundView { kind: None, .. })) = (&source, &binding) {
        refused.get_or_insert_with(|| Refusal::NoExchange(source.exchange.clone()).to_string());
    }
    let known = name.clone();
    let mut queue = queue(target, name, there.as_ref(), parts.durable.is_persistent());
    queue.policy = known.and_then(|name| {
        let held = |policy: Option<&Policy>| policy.map(|policy| policy.name.to_string());
        parts.vhost.policies.with_queue(name.as_str(), held)
    });
    queue.is_made &= refused.is_none();
    Foreseen { access, refused, queue, binding }
}

/// Whether such a name is made up for one subscription: a look at it says nothing of the next one.
fn is_made_up(name: &QueueName) -> bool {
    name.as_str().starts_with(PRIVATE_QUEUES)
}

/// Whether that queue could be consumed by somebody who has not come yet.
fn check(target: &Target, there: Option<&Arc<Queue>>) -> Result<(), Refusal> {
    // Nobody's: no link has it.
    let somebody = Owner::Link(u64::MAX);
    match (target, there) {
        (Target::Session | Target::Private | Target::Replies(_), _) => return Ok(()),
        (Target::Existing(name), None) => return Err(Refusal::NoQueue(name.clone())),
        (Target::Existing(_), Some(queue)) => topology::check_owner(queue, &somebody)?,
        (Target::Declare(asked), None) => topology::check_name(&asked.options.name, &somebody)?,
        (Target::Declare(asked), Some(queue)) => {
            topology::agree(queue, &asked.options, asked.named, &somebody)?;
        }
    }
    match there.map(|queue| (queue, queue.owner())) {
        Some((queue, Owner::Link(_))) => Err(Refusal::Exclusive(queue.options().name.clone())),
        Some((_, Owner::Nobody | Owner::Session(_))) | None => Ok(()),
    }
}

fn queue(
    target: &Target,
    name: Option<QueueName>,
    there: Option<&Arc<Queue>>,
    is_persistent: bool,
) -> QueueForeseen {
    let named = match target {
        Target::Session => "the session's own, mqtt.CLIENT: made when the client connects",
        Target::Private => OWN,
        Target::Replies(_) => "the connection's own, for replies",
        Target::Declare(asked) if is_made_up(&asked.options.name) => OWN,
        Target::Declare(_) => "made by this name if it does not exist",
        Target::Existing(_) => "by this name, and never made",
    };
    let is_like = |options: &QueueOptions| {
        (Some(options.durable && is_persistent), Some(options.exclusive), Some(options.auto_delete))
    };
    let (durable, exclusive, auto_delete) = match (there, target) {
        (Some(queue), _) => is_like(queue.options()),
        (None, Target::Declare(asked)) => is_like(&asked.options),
        (None, Target::Private | Target::Replies(_)) => (Some(false), Some(true), Some(true)),
        // Durable where the session is to outlive its connection.
        (None, Target::Session | Target::Existing(_)) => (None, None, None),
    };
    QueueForeseen {
        name: name.map(|name| name.to_string()),
        named,
        exists: there.is_some(),
        is_made: there.is_none() && !matches!(target, Target::Session | Target::Existing(_)),
        durable,
        exclusive,
        auto_delete,
        policy: None,
    }
}

fn access(core: &Core, source: Option<&Source>, supposed: &SupposedSubscription) -> AccessView {
    let SupposedSubscription { queue, user, client, .. } = supposed;
    let principal = Principal { user: user.clone() };
    let user = user.as_ref().map(ToString::to_string);
    let Some(permissions) = core.access.permissions_of(&principal, client.as_ref()) else {
        return AccessView { user, allowed: false, rule: None, why: explain::UNKNOWN.to_owned() };
    };
    let refusal = may(core, &permissions, source, queue).err();
    let rule = match &refusal {
        Some(Refusal::Forbidden { rule, .. }) => Some(rule.as_str().to_owned()),
        Some(_) | None => None,
    };
    let why = match (&refusal, core.hook.is_some()) {
        (Some(refusal), _) => refusal.to_string(),
        (None, true) => "no rule denies it; a hook is asked when somebody subscribes".to_owned(),
        (None, false) => "no rule denies it".to_owned(),
    };
    AccessView { user, allowed: refusal.is_none(), rule, why }
}

fn may(
    core: &Core,
    permissions: &Permissions,
    source: Option<&Source>,
    queue: &Target,
) -> Result<(), Refusal> {
    rights::subscribe(&core.parts.vhost.router, permissions, source, queue)?;
    match queue {
        Target::Declare(asked) => rights::dead_letter(permissions, &asked.options),
        Target::Session | Target::Private | Target::Replies(_) | Target::Existing(_) => Ok(()),
    }
}

const OWN: &str = "this subscription's own, named by the broker, gone with it";
