//! Dead letters: what a message that a queue gave up is like when it goes on, and what it says of its deaths.
//!
//! RabbitMQ's headers, as text that both protocols can carry: `x-first-death-queue`, `x-first-death-exchange`,
//! `x-first-death-reason`, and `x-death`, a JSON array of what RabbitMQ has as an array of tables: the latest death first,
//! one entry for each queue and reason, with a count, and the rest as it was at the first of them.

use bytestring::ByteString;
use model::message::Message;
use model::name::{ExchangeName, MessageId};
use model::properties::Properties;
use model::time::WallMs;
use model::wire_cache::WireCache;
use routing::{Cause, Dead};
use serde::{Deserialize, Serialize};

/// A message on its way to a dead-letter exchange, and where it has died before.
pub(crate) struct Letter {
    pub(crate) message: Message,
    cause: Cause,
    deaths: Vec<Death>,
}

/// One entry of `x-death`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Death {
    count: u64,
    reason: String,
    queue: String,
    /// Of the first one, in seconds since 1970.
    time: u64,
    exchange: String,
    routing_keys: Vec<String>,
    /// The message's own time to live when it was published, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    original_expiration: Option<String>,
}

impl Letter {
    /// The message as it goes on; `None` if it has died in so many places that it had better end.
    pub(crate) fn new(dead: &Dead, id: MessageId, now: WallMs) -> Option<Self> {
        let from = &*dead.message;
        let to = &dead.from.to;
        let mut properties = from.properties.as_deref().cloned().unwrap_or_default();
        let mut deaths = properties.header(X_DEATH).map_or_else(Vec::new, |text| read(text));
        record(&mut deaths, dead, now);
        if deaths.len() > DEATHS_MAX {
            return None;
        }
        write(&mut properties, &deaths);
        let key =
            to.key.clone().unwrap_or_else(|| match (is_default(&from.exchange), is_default(&to.exchange)) {
                (true, true) | (false, false) => from.key.clone(),
                // The default exchange's keys are names of queues, whose dots are plain dots.
                (true, false) | (false, true) => from.key.dotted(),
            });
        let message = Message {
            id,
            exchange: to.exchange.clone(),
            key,
            payload: from.payload.clone(),
            qos: from.qos,
            retain: false,
            persistent: from.persistent,
            publisher: from.publisher.clone(),
            published_at: now,
            // Or it would expire again wherever it gets.
            expires_at: None,
            properties: Some(Box::new(properties)),
            wire: WireCache::default(),
        };
        Some(Self { message, cause: dead.cause, deaths })
    }

    /// Whether it would go round in a circle there by itself: it has died in that queue, and since then no consumer has had it,
    /// who rejected it or gave it back too often.
    pub(crate) fn has_been_in(&self, queue: &str) -> bool {
        let Some(last) = self.deaths.iter().position(|death| death.queue == queue) else { return false };
        let consumers = [Cause::Rejected, Cause::DeliveryLimit];
        let by_consumer = |reason: &str| consumers.iter().any(|cause| cause.as_str() == reason);
        !by_consumer(self.cause.as_str())
            && !self.deaths.iter().take(last + 1).any(|death| by_consumer(&death.reason))
    }
}

/// Anybody may send such a header; what is none of ours counts for nothing.
fn read(text: &str) -> Vec<Death> {
    serde_json::from_str(text).unwrap_or_default()
}

fn record(deaths: &mut Vec<Death>, dead: &Dead, now: WallMs) {
    let (queue, reason) = (dead.from.queue.as_str(), dead.cause.as_str());
    let same = deaths.iter().position(|death| death.queue == queue && death.reason == reason);
    let death = match same {
        // What it says of the first one stays, as in RabbitMQ: whoever routes by it wants to know how it came.
        Some(at) => {
            let before = deaths.remove(at);
            Death { count: before.count.saturating_add(1), ..before }
        }
        None => first(dead, now),
    };
    deaths.insert(0, death);
}

fn first(dead: &Dead, now: WallMs) -> Death {
    let message = &*dead.message;
    let key = if is_default(&message.exchange) { message.key.clone() } else { message.key.dotted() };
    let lived = message.expires_at.map(|end| end.since(message.published_at).as_millis().to_string());
    Death {
        count: 1,
        reason: dead.cause.as_str().to_owned(),
        queue: dead.from.queue.to_string(),
        time: now.0 / 1000,
        exchange: message.exchange.to_string(),
        routing_keys: vec![key.to_string()],
        original_expiration: lived,
    }
}

fn write(properties: &mut Properties, deaths: &[Death]) {
    let Some(latest) = deaths.first() else { return };
    if properties.header(FIRST_QUEUE).is_none() {
        let first = [
            (FIRST_QUEUE, &latest.queue),
            (FIRST_REASON, &latest.reason),
            (FIRST_EXCHANGE, &latest.exchange),
        ];
        let first = first.map(|(name, value)| (ByteString::from_static(name), value.as_str().into()));
        properties.headers.extend(first);
    }
    // Texts and numbers alone: that always has a form.
    let text = serde_json::to_string(deaths).unwrap_or_default();
    properties.headers.retain(|(name, _)| name != X_DEATH);
    properties.headers.push((ByteString::from_static(X_DEATH), text.into()));
}

fn is_default(exchange: &ExchangeName) -> bool {
    *exchange == ExchangeName::DEFAULT
}

const X_DEATH: &str = "x-death";
const FIRST_QUEUE: &str = "x-first-death-queue";
const FIRST_REASON: &str = "x-first-death-reason";
const FIRST_EXCHANGE: &str = "x-first-death-exchange";

/// In so many queues, or for so many reasons in one, a message may die: the header must not grow for ever.
const DEATHS_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use model::key::RoutingKey;
    use model::name::QueueName;
    use model::qos::Qos;
    use model::queue::DeadLetter;
    use routing::DeadLetters;

    use super::*;

    const NOW: WallMs = WallMs(5_000);

    #[test]
    fn a_letter_says_where_when_and_why_it_died() {
        let first = die(message(ExchangeName::TOPIC, "a/b", Some(1500)), "one", Cause::Expired);
        assert_eq!(
            header(&first, X_DEATH),
            concat!(
                r#"[{"count":1,"reason":"expired","queue":"one","time":5,"exchange":"amq.topic","#,
                r#""routing-keys":["a.b"],"original-expiration":"500"}]"#
            )
        );
        assert_eq!((first.exchange.as_str(), first.key.as_str(), first.expires_at), ("dlx", "a/b", None));
        let second = die(die(first, "two", Cause::Rejected), "one", Cause::Expired);
        let counts: Vec<_> =
            read(header(&second, X_DEATH)).into_iter().map(|death| (death.queue, death.count)).collect();
        assert_eq!(counts, [("one".to_owned(), 2), ("two".to_owned(), 1)]);
        let again = read(header(&second, X_DEATH)).remove(0);
        assert_eq!(
            (again.exchange.as_str(), again.original_expiration.as_deref()),
            ("amq.topic", Some("500"))
        );
        assert_eq!(again.routing_keys, ["a.b"], "how it came there first, not how it came there last");
        let of_first = [FIRST_QUEUE, FIRST_REASON, FIRST_EXCHANGE].map(|name| header(&second, name));
        assert_eq!(of_first, ["one", "expired", "amq.topic"]);
    }

    #[test]
    fn the_name_of_a_queue_becomes_a_key_of_words() {
        let letter = die(message(ExchangeName::DEFAULT, "a.b", None), "a.b", Cause::TooMany);
        assert_eq!(letter.key.as_str(), "a/b");
        assert_eq!(read(header(&letter, X_DEATH))[0].routing_keys, ["a.b"]);
    }

    #[test]
    fn a_circle_is_cut_unless_somebody_rejects() {
        let once = die(message(ExchangeName::TOPIC, "k", None), "one", Cause::Expired);
        assert!(letter(&once, "two", Cause::Expired).has_been_in("one"));
        assert!(letter(&once, "two", Cause::TooMany).has_been_in("two"), "and its own queue as well");
        assert!(!letter(&once, "two", Cause::Rejected).has_been_in("one"));
        assert!(!letter(&once, "two", Cause::Expired).has_been_in("three"));
        let rejected = die(once, "two", Cause::Rejected);
        assert!(
            !letter(&rejected, "three", Cause::Expired).has_been_in("one"),
            "that was no circle by itself"
        );
        assert!(letter(&rejected, "three", Cause::Expired).has_been_in("three"));
        let tried = die(message(ExchangeName::TOPIC, "k", None), "one", Cause::DeliveryLimit);
        assert!(!letter(&tried, "two", Cause::Expired).has_been_in("one"), "consumers tried it");
    }

    #[test]
    fn a_header_that_somebody_made_up_does_no_harm() {
        let mut made_up = message(ExchangeName::TOPIC, "k", None);
        for text in ["", "[", "7", r#"[{"count":-1}]"#, r#"{"queue":"one"}"#] {
            let headers = vec![(X_DEATH.into(), text.into())];
            made_up.properties = Some(Box::new(Properties { headers, ..Properties::default() }));
            let letter = letter(&made_up, "one", Cause::Expired);
            assert_eq!(letter.deaths.len(), 1, "{text}");
            assert_eq!(letter.message.properties.as_ref().map(|all| all.headers.len()), Some(4));
        }
    }

    #[test]
    fn nothing_dies_for_ever() {
        let mut letter = message(ExchangeName::TOPIC, "k", None);
        for count in 0..DEATHS_MAX {
            letter = die(letter, &count.to_string(), Cause::Expired);
        }
        let dead = dead(&letter, "one too many", Cause::Expired);
        assert!(Letter::new(&dead, MessageId::default(), NOW).is_none());
    }

    fn message(exchange: ExchangeName, key: &str, expires_at: Option<u64>) -> Message {
        Message {
            id: MessageId::default(),
            exchange,
            key: RoutingKey::from(key),
            payload: Bytes::new(),
            qos: Qos::AtLeastOnce,
            retain: false,
            persistent: true,
            publisher: None,
            published_at: WallMs(1000),
            expires_at: expires_at.map(WallMs),
            properties: None,
            wire: WireCache::default(),
        }
    }

    fn die(message: Message, queue: &str, cause: Cause) -> Message {
        letter(&message, queue, cause).message
    }

    fn letter(message: &Message, queue: &str, cause: Cause) -> Letter {
        Letter::new(&dead(message, queue, cause), MessageId::default(), NOW).unwrap()
    }

    fn dead(message: &Message, queue: &str, cause: Cause) -> Dead {
        let to = DeadLetter { exchange: ExchangeName::new("dlx"), key: None };
        let from = Arc::new(DeadLetters { queue: QueueName::new(queue), to });
        let Message { exchange, key, properties, expires_at, .. } = message;
        let (exchange, key, properties) = (exchange.clone(), key.clone(), properties.clone());
        let message = Message {
            exchange,
            key,
            properties,
            expires_at: *expires_at,
            ..self::message(ExchangeName::TOPIC, "", None)
        };
        Dead { from, place: None, message: Arc::new(message), cause }
    }

    fn header<'a>(message: &'a Message, name: &str) -> &'a str {
        message.properties.as_deref().and_then(|all| all.header(name)).map_or("", |value| value)
    }
}
