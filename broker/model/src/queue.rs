//! What queues and exchanges are declared with, and how they are bound.

use bytestring::ByteString;

use crate::durability::Durability;
use crate::grant::Grant;
use crate::key::{KeyPattern, RoutingKey};
use crate::name::{ExchangeName, QueueName, ShareName};

/// How an exchange picks the queues for a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ExchangeKind {
    /// The key equals the binding's.
    Direct,
    /// The key matches the binding's pattern.
    Topic,
    /// Every binding.
    Fanout,
    /// The headers match the binding's arguments.
    Headers,
}

impl ExchangeKind {
    /// Its name, in declarations and for people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Topic => "topic",
            Self::Fanout => "fanout",
            Self::Headers => "headers",
        }
    }

    /// The kind of that name.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Direct, Self::Topic, Self::Fanout, Self::Headers]
            .into_iter()
            .find(|kind| kind.as_str() == name)
    }
}

/// An exchange as it is declared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExchangeOptions {
    /// Its name; names that start with `amq.` are the broker's own.
    pub name: ExchangeName,
    /// How it picks.
    pub kind: ExchangeKind,
    /// Survives a restart.
    pub durable: bool,
    /// Goes when the last binding from it goes.
    pub auto_delete: bool,
    /// Takes messages from other exchanges and dead letters only: clients do not publish to it.
    pub internal: bool,
    /// RabbitMQ's `alternate-exchange`: where a message goes that no binding of this one wants. `None`: nowhere.
    pub alternate: Option<ExchangeName>,
}

/// A queue as it is declared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueOptions {
    /// Its name.
    pub name: QueueName,
    /// Survives a restart, with its persistent messages.
    pub durable: bool,
    /// Belongs to one connection and goes with it.
    pub exclusive: bool,
    /// Goes when its last consumer goes.
    pub auto_delete: bool,
    /// The most messages that may wait; more are refused (persistent) or dropped. `None`: the broker's default.
    pub ready_max: Option<u64>,
    /// The most bytes that may wait, measured by [`crate::message::Message::size_bytes`]. `None`: the broker's default.
    pub ready_bytes_max: Option<u64>,
    /// What else is asked of it; `None`, the usual case: nothing.
    pub arguments: Option<Box<QueueArguments>>,
}

impl QueueOptions {
    /// What else is asked of it, changed by `change`; if nothing is asked then, there are no arguments.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut QueueArguments)) -> Self {
        let mut arguments = self.arguments.take().unwrap_or_default();
        change(&mut arguments);
        self.arguments = (*arguments != QueueArguments::default()).then_some(arguments);
        self
    }
}

/// RabbitMQ's queue arguments beside the two limits. What is `None` was not asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct QueueArguments {
    /// `x-message-ttl`: how long a message may wait, in milliseconds; its own expiry may be sooner.
    pub message_ttl_ms: Option<u64>,
    /// `x-expires`: the queue goes when nobody used it for so long, in milliseconds.
    pub expires_ms: Option<u64>,
    /// `x-overflow`: what a message that is one too many does. `None`: what is usual for a queue of that owner.
    pub overflow: Option<Overflow>,
    /// `x-dead-letter-exchange`, `x-dead-letter-routing-key`: where what it gives up goes. `None`: nowhere.
    pub dead_letter: Option<DeadLetter>,
    /// `x-max-priority`: the highest priority that counts, 1 to 255; higher ones count as this one.
    pub priority_max: Option<u8>,
    /// `x-delivery-limit`: how often a message may come back before the queue gives it up.
    pub delivery_limit: Option<u32>,
    /// `x-single-active-consumer`: one consumer takes all, the one that has been there longest.
    pub single_active: bool,
    /// `x-durability`: what its messages outlive, where they are to outlive anything and do not ask for less.
    pub durability: Option<Durability>,
    /// `x-queue-type: stream`: it is read, and nothing is taken from it. All that comes into one that lasts is to last.
    pub stream: bool,
    /// `x-max-age`, of a stream: how long an entry stays, in milliseconds. `None`: as long as there is room.
    pub age_max_ms: Option<u64>,
}

impl QueueOptions {
    /// Whether it is a stream.
    pub fn is_stream(&self) -> bool {
        self.arguments.as_ref().is_some_and(|arguments| arguments.stream)
    }

    /// What is asked of it that a stream does not have, or that nothing but a stream has: as its argument is called, and why.
    pub fn at_odds(&self) -> Option<(&'static str, &'static str)> {
        let arguments = self.arguments.as_deref()?;
        if !arguments.stream {
            let why =
                "only a stream lets go of messages by their age; say x-queue-type:stream, or x-message-ttl";
            return arguments.age_max_ms.map(|_| ("x-max-age", why));
        }
        let [read, limits] = [
            "a stream is read, and nothing is taken from it; leave it out",
            "a stream lets go of what is oldest: x-max-age, x-max-length-bytes and x-max-length say when; leave it out",
        ];
        let has_overflow = arguments.overflow.is_some_and(|overflow| overflow != Overflow::DropHead);
        [
            ("durable", !self.durable, "a stream lasts; leave it out"),
            ("exclusive", self.exclusive, "a stream is for many readers; leave it out"),
            ("auto-delete", self.auto_delete, "a stream stays when its readers go; leave it out"),
            ("x-message-ttl", arguments.message_ttl_ms.is_some(), limits),
            ("x-expires", arguments.expires_ms.is_some(), limits),
            ("x-overflow", has_overflow, limits),
            ("x-dead-letter-exchange", arguments.dead_letter.is_some(), read),
            ("x-max-priority", arguments.priority_max.is_some(), read),
            ("x-delivery-limit", arguments.delivery_limit.is_some(), read),
            ("x-single-active-consumer", arguments.single_active, read),
        ]
        .into_iter()
        .find(|(_, is, _)| *is)
        .map(|(name, _, why)| (name, why))
    }
}

/// What happens when one more message than a queue may hold comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Overflow {
    /// The oldest goes, and is dead-lettered if the queue says where to.
    DropHead,
    /// The new one is refused, and its publisher told.
    RejectPublish,
    /// The same, and the new one is dead-lettered if the queue says where to.
    RejectPublishDlx,
    /// The new one is dropped, and nobody told.
    DropNew,
}

impl Overflow {
    /// Its name in `x-overflow` and in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DropHead => "drop-head",
            Self::RejectPublish => "reject-publish",
            Self::RejectPublishDlx => "reject-publish-dlx",
            Self::DropNew => "drop-new",
        }
    }

    /// What has that name.
    pub fn named(name: &str) -> Option<Self> {
        let all = [Self::DropHead, Self::RejectPublish, Self::RejectPublishDlx, Self::DropNew];
        all.into_iter().find(|one| one.as_str() == name)
    }
}

/// Where a queue sends what it gives up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// To this exchange.
    pub exchange: ExchangeName,
    /// With this key; `None`: with the message's own.
    pub key: Option<RoutingKey>,
}

/// A queue as somebody asks for it: made like this if there is none of its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueDeclaration {
    /// What it is to be like. Limits and arguments that are not `None` were asked for in so many words.
    pub options: QueueOptions,
    /// Which of the rest was asked for in so many words, and must be so if the queue exists.
    pub named: Named,
}

impl From<QueueOptions> for QueueDeclaration {
    /// None of the flags is insisted on.
    fn from(options: QueueOptions) -> Self {
        Self { options, named: Named::default() }
    }
}

/// Which flags of a queue somebody named himself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Named {
    /// `durable`
    pub durable: bool,
    /// `exclusive`
    pub exclusive: bool,
    /// `auto-delete`
    pub auto_delete: bool,
    /// `x-single-active-consumer`
    pub single_active: bool,
    /// `x-queue-type`
    pub stream: bool,
}

/// A line from an exchange to a queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    /// From here.
    pub exchange: ExchangeName,
    /// For keys like these.
    pub pattern: KeyPattern,
    /// For headers like these; empty except for a headers exchange.
    pub arguments: HeaderMatch,
    /// To here.
    pub queue: QueueName,
    /// One queue of each share gets a message; `None`: every queue does.
    pub share: Option<ShareName>,
    /// What the subscriber was granted.
    pub grant: Grant,
}

/// A line from one exchange to another.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ExchangeBinding {
    /// From here.
    pub exchange: ExchangeName,
    /// For keys like these.
    pub pattern: KeyPattern,
    /// For headers like these; empty except for a headers exchange.
    pub arguments: HeaderMatch,
    /// To here.
    pub to: ExchangeName,
}

/// Where a binding leads.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Destination {
    /// To that queue.
    Queue(QueueName),
    /// To that exchange, which looks where to next.
    Exchange(ExchangeName),
}

/// A binding as whoever looks after the broker asks for it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BindingOptions {
    /// From this exchange.
    pub exchange: ExchangeName,
    /// For keys like these.
    pub pattern: KeyPattern,
    /// For headers like these; empty except for a headers exchange.
    pub arguments: HeaderMatch,
    /// To here.
    pub to: Destination,
}

/// What a headers exchange compares (RabbitMQ's `x-match` and the arguments beside it).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct HeaderMatch {
    /// How many of the arguments must match.
    pub mode: MatchMode,
    /// Name and value; `None` asks only that the header is there.
    pub wanted: Vec<(ByteString, Option<ByteString>)>,
}

/// RabbitMQ's `x-match`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum MatchMode {
    /// All arguments, except those whose name starts with `x-`. No arguments at all match everything.
    #[default]
    All,
    /// At least one argument, those whose name starts with `x-` left out.
    Any,
    /// All arguments, also those whose name starts with `x-`.
    AllWithX,
    /// At least one argument, also those whose name starts with `x-`.
    AnyWithX,
}

impl MatchMode {
    /// Its value of `x-match`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Any => "any",
            Self::AllWithX => "all-with-x",
            Self::AnyWithX => "any-with-x",
        }
    }

    /// The mode of that value of `x-match`; where there is none, it is the default one.
    pub fn named(value: Option<&str>) -> Option<Self> {
        let Some(value) = value else { return Some(Self::default()) };
        [Self::All, Self::Any, Self::AllWithX, Self::AnyWithX].into_iter().find(|mode| mode.as_str() == value)
    }
}
