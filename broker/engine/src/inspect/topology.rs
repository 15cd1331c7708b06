//! Exchanges, queues and bindings as they are seen: plain values, for programs and people that read them

use std::collections::BTreeMap;

use model::durability::Durability;
use model::queue::{Binding, ExchangeBinding, ExchangeOptions, HeaderMatch, QueueArguments};
use routing::{Owner, Queue, Terms, Usual};
use serde::Serialize;

use crate::inspect::policies::TermsView;
use crate::levels::{Levels, Wanted};
use crate::policies::Policies;

/// An exchange.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExchangeView {
    /// The name; the default exchange has the empty one.
    pub name: String,
    /// `direct`, `topic`, `fanout`, `headers`.
    pub kind: &'static str,
    /// Survives a restart.
    pub durable: bool,
    /// Goes when the last binding from it goes.
    pub auto_delete: bool,
    /// Takes nothing from clients.
    pub internal: bool,
    /// Where a message goes that no binding wants.
    pub alternate: Option<String>,
    /// How many bindings begin there; those of one shared subscription count once.
    pub bindings: usize,
    /// The policy that holds for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// Where a message goes by that policy that no binding wants.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy_alternate: Option<String>,
}

/// A queue, with what it was declared with and, if a policy holds for it, with what holds.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct QueueView {
    /// The name.
    pub name: String,
    /// `classic`, from which messages are taken, or `stream`, which is read.
    pub kind: &'static str,
    /// Survives a restart, with its persistent messages.
    pub durable: bool,
    /// Belongs to one connection or one session.
    pub exclusive: bool,
    /// Goes when its last consumer goes.
    pub auto_delete: bool,
    /// The client id of the MQTT session that it belongs to.
    pub session_of: Option<String>,
    /// The most messages that may wait.
    pub max_length: Option<u64>,
    /// The most bytes that may wait.
    pub max_length_bytes: Option<u64>,
    /// `drop-head`, `reject-publish`, `reject-publish-dlx`, `drop-new`.
    pub overflow: &'static str,
    /// How long a message may wait, in milliseconds.
    pub message_ttl_ms: Option<u64>,
    /// How long it stays without being used, in milliseconds.
    pub expires_ms: Option<u64>,
    /// Of a stream: how long an entry stays, in milliseconds.
    pub max_age_ms: Option<u64>,
    /// Of a stream in which there is something: the offset of its oldest entry.
    pub first_offset: Option<u64>,
    /// The same of the newest.
    pub last_offset: Option<u64>,
    /// When the oldest came in, in milliseconds since 1970: to a part in 32 of how long entries stay.
    pub first_at_ms: Option<u64>,
    /// When the newest came in.
    pub last_at_ms: Option<u64>,
    /// Where what it gives up goes.
    pub dead_letter_exchange: Option<String>,
    /// With which key, as RabbitMQ writes it.
    pub dead_letter_key: Option<String>,
    /// The highest priority that counts.
    pub max_priority: Option<u8>,
    /// How often a message may come back.
    pub delivery_limit: Option<u32>,
    /// Whether one consumer takes all.
    pub single_active_consumer: bool,
    /// `disk`, `os` or `memory`, if it was declared with that.
    pub declared_durability: Option<&'static str>,
    /// What a message outlives in it of which neither rule nor subscription nor the message itself says anything.
    pub durability: &'static str,
    /// Messages that wait.
    pub ready: usize,
    /// Messages that consumers have and did not settle.
    pub unacked: usize,
    /// What waits, in bytes.
    pub ready_bytes: u64,
    /// Consumers.
    pub consumers: usize,
    /// The policy that holds for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// What holds by policy and declaration together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effective: Option<TermsView>,
}

/// A binding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BindingView {
    /// From this exchange.
    pub exchange: String,
    /// `queue` or `exchange`: what it leads to.
    pub to_kind: &'static str,
    /// To the one of this name.
    pub to: String,
    /// For keys like these, as RabbitMQ writes them: `chat.*.news`, `a.#`.
    pub key: String,
    /// For headers like these; `x-match` among them where there are any. `None`: the header is to be there.
    pub arguments: BTreeMap<String, Option<String>>,
    /// As a member of that shared subscription.
    pub share: Option<String>,
}

impl ExchangeView {
    pub(crate) fn new(options: ExchangeOptions, bindings: usize, policies: &Policies) -> Self {
        let (policy, policy_alternate) = policies.with_exchange(options.name.as_str(), |policy| {
            let alternate = policy.and_then(|policy| policy.definition.alternate.as_ref());
            (policy.map(|policy| policy.name.to_string()), alternate.map(ToString::to_string))
        });
        let ExchangeOptions { name, kind, durable, auto_delete, internal, alternate } = options;
        Self {
            name: name.to_string(),
            kind: kind.as_str(),
            durable,
            auto_delete,
            internal,
            alternate: alternate.map(|name| name.to_string()),
            bindings,
            policy,
            policy_alternate,
        }
    }
}

impl QueueView {
    pub(crate) fn new(queue: &Queue, levels: &Levels) -> Self {
        let (options, stats) = (queue.options(), queue.stats());
        let none = QueueArguments::default();
        let arguments = queue.arguments().unwrap_or(&none);
        let dead_letter = arguments.dead_letter.as_ref();
        let ends = queue.stream_ends().and_then(|stream| stream.ends);
        let declared = Terms::new(options, queue.owner(), None, Usual::default());
        let terms = queue.governed();
        Self {
            name: options.name.to_string(),
            kind: if queue.is_stream() { "stream" } else { "classic" },
            durable: options.durable,
            exclusive: options.exclusive,
            auto_delete: options.auto_delete,
            session_of: match queue.owner() {
                Owner::Session(client) => Some(client.to_string()),
                Owner::Nobody | Owner::Link(_) => None,
            },
            max_length: options.ready_max,
            max_length_bytes: options.ready_bytes_max,
            overflow: declared.overflow.as_str(),
            message_ttl_ms: arguments.message_ttl_ms,
            expires_ms: arguments.expires_ms,
            max_age_ms: arguments.age_max_ms,
            first_offset: ends.map(|[(first, _), _]| first),
            last_offset: ends.map(|[_, (last, _)]| last),
            first_at_ms: ends.map(|[(_, at), _]| at.0),
            last_at_ms: ends.map(|[_, (_, at)]| at.0),
            dead_letter_exchange: dead_letter.map(|letter| letter.exchange.to_string()),
            dead_letter_key: dead_letter
                .and_then(|letter| Some((letter.key.as_ref()?, letter.exchange.as_str().is_empty())))
                .map(|(key, is_name)| if is_name { key.to_string() } else { key.dotted().to_string() }),
            max_priority: arguments.priority_max,
            delivery_limit: arguments.delivery_limit,
            single_active_consumer: arguments.single_active,
            declared_durability: arguments.durability.map(Durability::as_str),
            durability: Wanted::usual(levels).in_queue(queue, Durability::Disk).as_str(),
            ready: stats.ready,
            unacked: stats.unacked,
            ready_bytes: stats.ready_bytes,
            consumers: stats.consumers,
            policy: terms.as_ref().and_then(|terms| terms.policy.as_ref()).map(ToString::to_string),
            effective: terms.as_deref().map(TermsView::of),
        }
    }
}

impl BindingView {
    pub(crate) fn to_queue(binding: Binding) -> Self {
        let Binding { exchange, pattern, arguments, queue, share, grant: _ } = binding;
        Self {
            exchange: exchange.to_string(),
            to_kind: "queue",
            to: queue.to_string(),
            key: pattern.to_words(),
            arguments: shown(arguments),
            share: share.map(|share| share.to_string()),
        }
    }

    pub(crate) fn to_exchange(binding: ExchangeBinding) -> Self {
        let ExchangeBinding { exchange, pattern, arguments, to } = binding;
        Self {
            exchange: exchange.to_string(),
            to_kind: "exchange",
            to: to.to_string(),
            key: pattern.to_words(),
            arguments: shown(arguments),
            share: None,
        }
    }
}

fn shown(arguments: HeaderMatch) -> BTreeMap<String, Option<String>> {
    if arguments == HeaderMatch::default() {
        return BTreeMap::new();
    }
    let mode = arguments.mode.as_str();
    let wanted = arguments
        .wanted
        .into_iter()
        .map(|(name, value)| (name.to_string(), value.map(|value| value.to_string())));
    wanted.chain([("x-match".to_owned(), Some(mode.to_owned()))]).collect()
}
