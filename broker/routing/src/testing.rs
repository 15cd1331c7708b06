//! What the tests of this crate are made of.

use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;

use model::delivery::Stage;
use model::key::{KeyPattern, Level, RoutingKey};
use model::message::Message;
use model::name::{ExchangeName, MessageId, QueueId, QueueName};
use model::qos::Qos;
use model::queue::QueueOptions;
use model::time::WallMs;

use crate::queue::Queue;
use crate::queue::entry::Item;
use crate::queue::owner::Owner;

/// A message for that key, with an empty payload: its size is the key's.
pub(crate) fn message(key: &str) -> Message {
    Message {
        id: MessageId::default(),
        exchange: ExchangeName::TOPIC,
        key: RoutingKey::from(key),
        payload: Bytes::new(),
        qos: Qos::AtLeastOnce,
        retain: false,
        persistent: false,
        publisher: None,
        published_at: WallMs(0),
        expires_at: None,
        properties: None,
        wire: Default::default(),
    }
}

/// Such a message at QoS 1.
pub(crate) fn item(key: &str) -> Item {
    Item {
        message: Arc::new(message(key)),
        qos: Qos::AtLeastOnce,
        retain: false,
        subscription_ids: Default::default(),
        durable: false,
        attempts: 0,
        was_sent: false,
        stage: Stage::Published,
    }
}

/// A queue of that name, without limits.
pub(crate) fn options(name: &str) -> QueueOptions {
    QueueOptions {
        name: QueueName::new(name),
        durable: false,
        exclusive: false,
        auto_delete: false,
        ready_max: None,
        ready_bytes_max: None,
        arguments: None,
    }
}

/// A queue of that name that belongs to nobody.
pub(crate) fn queue(id: u64, name: &str) -> Arc<Queue> {
    Queue::new(QueueId(id), options(name), Owner::Nobody)
}

/// A pattern as MQTT writes it, with `#` anywhere.
pub(crate) fn pattern(text: &str) -> KeyPattern {
    let levels = text.split('/').map(|level| match level {
        "+" => Level::One,
        "#" => Level::Many,
        text => Level::Literal(text.into()),
    });
    KeyPattern::new(levels.collect())
}

/// Keys of few levels and few texts, so that patterns hit them; among them those that sort around `/`.
pub(crate) fn keys() -> impl Strategy<Value = RoutingKey> {
    let level = prop::sample::select(vec!["", "a", "b", "c", "a!", "$SYS"]);
    prop::collection::vec(level, 1..6).prop_map(|levels| RoutingKey::from(levels.join("/").as_str()))
}

/// Patterns of such levels, with `+` and `#` anywhere.
pub(crate) fn patterns() -> impl Strategy<Value = KeyPattern> {
    let level = prop::sample::select(vec!["", "a", "b", "c", "a!", "$SYS", "+", "+", "#", "#"]);
    prop::collection::vec(level, 1..6).prop_map(|levels| pattern(&levels.join("/")))
}
