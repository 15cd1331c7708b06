//! The temporary queues of a connection, by the names that its client gave them.

use std::collections::HashMap;

use bytestring::ByteString;
use model::key::RoutingKey;
use model::name::ConsumerId;

/// Where a connection waits for replies.
#[derive(Debug, Default)]
pub(super) struct Temporary(HashMap<ByteString, Waiting>);

#[derive(Debug)]
struct Waiting {
    /// The queue's name for everybody else.
    key: RoutingKey,
    consumer: ConsumerId,
}

impl Temporary {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The key that leads to the one of that name.
    pub(super) fn key(&self, name: &ByteString) -> Option<&RoutingKey> {
        self.0.get(name).map(|waiting| &waiting.key)
    }

    /// Another one, which `consumer` takes from.
    pub(super) fn add(&mut self, name: &str, key: RoutingKey, consumer: ConsumerId) {
        // A copy: the slice would keep the whole read buffer.
        self.0.insert(ByteString::from(name), Waiting { key, consumer });
    }

    /// The client waits there no longer.
    pub(super) fn forget(&mut self, consumer: ConsumerId) {
        self.0.retain(|_, waiting| waiting.consumer != consumer);
    }
}
