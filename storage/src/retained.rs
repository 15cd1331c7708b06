//! Retained messages, by exchange and key: where they are kept.

use std::sync::Arc;

use model::author::Author;
use model::key::RoutingKey;
use model::message::Message;
use model::name::ExchangeName;
use model::shard::Shard;

use crate::keyspace::{Key, kind, put_name, start};

/// A message that was retained when the store was opened.
#[derive(Debug)]
pub struct RecoveredRetained {
    /// The message.
    pub message: Arc<Message>,
    /// Who had it retained; `None`: the broker itself, or it was written before that was kept.
    pub author: Option<Arc<Author>>,
}

/// The key of the message that is kept for `key`.
pub(crate) fn key(salt: u64, exchange: &ExchangeName, key: &RoutingKey) -> Key {
    let name = key.as_str().as_bytes();
    let mut out = start(kind::RETAINED, Shard::of(name));
    put_name(&mut out, salt, exchange.as_str().as_bytes());
    put_name(&mut out, salt, name);
    out
}
