//! What queues and exchanges are declared with, and how they are bound.

use bytestring::ByteString;

use crate::grant::Grant;
use crate::key::KeyPattern;
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

/// An exchange as it is declared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExchangeOptions {
    /// Its name; names that start with `amq.` are the broker's own.
    pub name: ExchangeName,
    /// How it picks.
    pub kind: ExchangeKind,
    /// Survives a restart.
    pub durable: bool,
    /// Goes when its last binding goes.
    pub auto_delete: bool,
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
