//! Queues as JSON

use engine::QueueView;
use model::durability::Durability;
use model::key::RoutingKey;
use model::name::{ExchangeName, QueueName, VhostName};
use model::queue::{DeadLetter, Overflow, QueueArguments, QueueOptions};
use model::stream;
use serde_json::{Map, Value, json};

use super::arguments::{Fields, checked};

/// As a request, or an item of definitions, declares it.
///
/// # Errors
///
/// What cannot be, and what could.
pub(crate) fn read(name: &str, body: &Value) -> Result<QueueOptions, String> {
    checked("the name of the queue", name)?;
    if name.is_empty() {
        return Err("a queue has a name; the broker makes none up for whom it does not know".to_owned());
    }
    let mut fields = Fields::of("queue", Some(body))?;
    let mut asked = Fields::of("queue.arguments", fields.take("arguments").as_ref())?;
    let stream = is_stream(fields.text("type")?, asked.text("x-queue-type")?)?;
    let durable = fields.truth("durable", true)?;
    let auto_delete = fields.truth("auto_delete", false)?;
    if fields.truth("exclusive", false)? {
        return Err("an exclusive queue belongs to a connection, which declares it itself".to_owned());
    }
    let ready_max = asked.number("x-max-length", 0..=u64::MAX)?;
    let ready_bytes_max = asked.number("x-max-length-bytes", 0..=u64::MAX)?;
    let arguments = QueueArguments { stream, ..arguments(&mut asked)? };
    asked.end(ARGUMENTS)?;
    fields.pass_over(&["name", "vhost", "node", "user_who_performed_action"]);
    fields.end(&["durable", "auto_delete", "arguments"])?;
    let options = QueueOptions {
        name: QueueName::new(name),
        durable,
        exclusive: false,
        auto_delete,
        ready_max,
        ready_bytes_max,
        arguments: None,
    };
    Ok(options.with(|all| *all = arguments))
}

/// What the two places say that may say it.
fn is_stream(field: Option<String>, argument: Option<String>) -> Result<bool, String> {
    let read = |kind: String| match kind.as_str() {
        "classic" | "default" => Ok(false),
        "stream" => Ok(true),
        other => Err(format!("the type of the queue is {other:?}; there are classic queues and streams")),
    };
    match (field.map(read).transpose()?, argument.map(read).transpose()?) {
        (Some(one), Some(other)) if one != other => {
            Err("type and arguments.x-queue-type say different things of the queue".to_owned())
        }
        (one, other) => Ok(one.or(other).unwrap_or(false)),
    }
}

fn arguments(asked: &mut Fields) -> Result<QueueArguments, String> {
    let priority_max = asked.number("x-max-priority", 0..=255)?;
    let delivery_limit = asked.number("x-delivery-limit", 0..=u32::MAX.into())?;
    let overflow = match asked.text("x-overflow")? {
        None => None,
        Some(text) => {
            let named = Overflow::named(&text);
            let wanted = "drop-head, reject-publish, reject-publish-dlx or drop-new";
            Some(named.ok_or_else(|| format!("x-overflow is {text:?}: {wanted} is wanted"))?)
        }
    };
    let durability = match asked.text(Durability::HEADER)? {
        None => None,
        Some(text) => {
            let level = Durability::named(&text);
            Some(
                level
                    .ok_or_else(|| format!("x-durability is {text:?}: {} is wanted", Durability::EXPECTED))?,
            )
        }
    };
    let age = asked.text("x-max-age")?;
    let age_max_ms = age.map(|text| {
        let ms = stream::parse_age(&text);
        ms.ok_or_else(|| format!("x-max-age is {text:?}: {} is wanted", stream::AGE_EXPECTED))
    });
    if let Some(mode) = asked.text("x-queue-mode")?
        && mode != "default"
    {
        return Err(format!("x-queue-mode is {mode:?}: there is one mode, in which long queues are on disk"));
    }
    Ok(QueueArguments {
        message_ttl_ms: asked.number("x-message-ttl", 0..=MS_MAX)?,
        expires_ms: asked.number("x-expires", 1..=MS_MAX)?,
        overflow,
        dead_letter: dead_letter(asked)?,
        priority_max: priority_max.and_then(|max| u8::try_from(max).ok()).filter(|max| *max > 0),
        delivery_limit: delivery_limit.and_then(|limit| u32::try_from(limit).ok()),
        single_active: asked.truth("x-single-active-consumer", false)?,
        durability,
        stream: false,
        age_max_ms: age_max_ms.transpose()?,
    })
}

fn dead_letter(asked: &mut Fields) -> Result<Option<DeadLetter>, String> {
    let exchange = asked.name("x-dead-letter-exchange")?;
    let key = asked.name("x-dead-letter-routing-key")?;
    match (exchange, key) {
        (None, None) => Ok(None),
        (None, Some(_)) => {
            Err("x-dead-letter-routing-key means nothing without x-dead-letter-exchange".to_owned())
        }
        (Some(exchange), key) => {
            let exchange = ExchangeName::new(&exchange);
            let key = key.map(|key| RoutingKey::from(key.as_str()));
            // The keys of the default exchange are names of queues, whose dots are plain dots.
            let key = key.map(|key| if exchange == ExchangeName::DEFAULT { key } else { key.dotted() });
            Ok(Some(DeadLetter { exchange, key }))
        }
    }
}

/// The queue as it was declared. `usual`: how many messages and bytes a queue may hold of which nothing was said.
pub(crate) fn write(view: &QueueView, vhost: &VhostName, usual: (u64, u64)) -> Value {
    json!({
        "name": view.name,
        "vhost": vhost.as_str(),
        "type": view.kind,
        "durable": view.durable,
        "auto_delete": view.auto_delete,
        "exclusive": view.exclusive,
        "durability": view.durability,
        "arguments": written(view, usual),
    })
}

fn written(view: &QueueView, usual: (u64, u64)) -> Map<String, Value> {
    let mut all = Map::new();
    let mut put = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            all.insert(name.to_owned(), value);
        }
    };
    let length = view.max_length.filter(|max| *max != usual.0);
    let bytes = view.max_length_bytes.filter(|max| *max != usual.1);
    // What a queue does of which nothing was said; with a limit, that would mean another thing.
    let is_stream = view.kind == "stream";
    let is_usual = is_stream
        || (view.overflow == Overflow::RejectPublish.as_str() && length.is_none() && bytes.is_none());
    put("x-max-length", length.map(Value::from));
    put("x-max-length-bytes", bytes.map(Value::from));
    put("x-queue-type", is_stream.then_some(Value::from("stream")));
    put("x-max-age", view.max_age_ms.map(|ms| Value::from(stream::age_text(ms))));
    put("x-overflow", (!is_usual).then(|| Value::from(view.overflow)));
    put("x-message-ttl", view.message_ttl_ms.map(Value::from));
    put("x-expires", view.expires_ms.map(Value::from));
    put("x-dead-letter-exchange", view.dead_letter_exchange.as_deref().map(Value::from));
    put("x-dead-letter-routing-key", view.dead_letter_key.as_deref().map(Value::from));
    put("x-max-priority", view.max_priority.map(Value::from));
    put("x-delivery-limit", view.delivery_limit.map(Value::from));
    put(Durability::HEADER, view.declared_durability.map(Value::from));
    put("x-single-active-consumer", view.single_active_consumer.then_some(Value::Bool(true)));
    all
}

/// What can be asked of a queue.
const ARGUMENTS: &[&str] = &[
    "x-message-ttl",
    "x-expires",
    "x-max-length",
    "x-max-length-bytes",
    "x-overflow",
    "x-dead-letter-exchange",
    "x-dead-letter-routing-key",
    "x-max-priority",
    "x-delivery-limit",
    "x-single-active-consumer",
    Durability::HEADER,
    "x-queue-type",
    "x-queue-mode",
    "x-max-age",
];

/// The longest time, in milliseconds: RabbitMQ's.
const MS_MAX: u64 = u32::MAX as u64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_read_and_the_rest_is_usual() {
        let plain = read("q", &json!({})).unwrap();
        assert!(plain.durable && !plain.auto_delete && plain.arguments.is_none());
        let body = json!({
            "durable": false, "auto_delete": true, "type": "classic", "arguments": {
                "x-queue-type": "classic", "x-message-ttl": 60000, "x-expires": 5, "x-max-length": 10,
                "x-max-length-bytes": 1000, "x-overflow": "reject-publish-dlx", "x-dead-letter-exchange": "dlx",
                "x-dead-letter-routing-key": "a.b/c", "x-max-priority": 9, "x-delivery-limit": 3,
                "x-single-active-consumer": true, "x-queue-mode": "default", "x-durability": "os",
            }
        });
        let full = read("q", &body).unwrap();
        let arguments = full.arguments.as_ref().unwrap();
        assert_eq!(arguments.dead_letter.as_ref().unwrap().key, Some(RoutingKey::from("a/b.c")));
        assert_eq!((full.ready_max, arguments.priority_max), (Some(10), Some(9)));
        assert_eq!(arguments.durability, Some(Durability::Os));
        let to_queue = json!({"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "a.b"});
        let to_queue = read("q", &json!({ "arguments": to_queue })).unwrap();
        let letter = to_queue.arguments.unwrap().dead_letter.unwrap();
        assert_eq!(letter.key, Some(RoutingKey::from("a.b")));
    }

    #[test]
    fn a_stream_is_written_as_it_is_read() {
        let body = json!({"x-queue-type": "stream", "x-max-age": "7D", "x-max-length-bytes": 1000});
        let options = read("s", &json!({ "arguments": body })).unwrap();
        let arguments = options.arguments.as_ref().unwrap();
        assert_eq!((arguments.stream, arguments.age_max_ms), (true, Some(7 * 86_400_000)));
        let view = QueueView {
            kind: "stream",
            max_length_bytes: Some(1000),
            max_age_ms: arguments.age_max_ms,
            overflow: "drop-head",
            ..QueueView::default()
        };
        let written = write(&view, &VhostName::DEFAULT, (1_000_000, 1 << 30));
        assert_eq!((&written["type"], &written["arguments"]), (&json!("stream"), &body));
        assert!(read("s", &json!({"type": "stream"})).unwrap().is_stream());
    }

    #[test]
    fn limits_that_are_the_brokers_own_are_not_said_and_then_neither_is_what_goes_without_saying() {
        let usual = (1_000_000, 1 << 30);
        let view = QueueView {
            max_length: Some(usual.0),
            max_length_bytes: Some(usual.1),
            overflow: "reject-publish",
            ..QueueView::default()
        };
        assert_eq!(write(&view, &VhostName::DEFAULT, usual)["arguments"], json!({}));
        let limited = QueueView { max_length_bytes: Some(7), ..view };
        let expected = json!({"x-max-length-bytes": 7, "x-overflow": "reject-publish"});
        assert_eq!(write(&limited, &VhostName::DEFAULT, usual)["arguments"], expected);
    }

    #[test]
    fn what_is_not_understood_is_refused_by_name() {
        for (body, word) in [
            (json!({"arguments": {"x-queue-type": "quorum"}}), "quorum"),
            (json!({"type": "stream", "arguments": {"x-queue-type": "classic"}}), "different"),
            (json!({"arguments": {"x-max-age": "week"}}), "7D"),
            (json!({"exclusive": true}), "exclusive"),
            (json!({"arguments": {"x-max-length": -1}}), "x-max-length"),
            (json!({"arguments": {"x-max-length": "5"}}), "x-max-length"),
            (json!({"arguments": {"x-overflow": "explode"}}), "drop-head"),
            (json!({"arguments": {"x-expires": 0}}), "x-expires"),
            (json!({"arguments": {"x-durability": "tape"}}), "disk, os or memory"),
            (json!({"arguments": {"x-queue-mode": "lazy"}}), "lazy"),
            (json!({"arguments": {"x-dead-letter-routing-key": "a"}}), "x-dead-letter-exchange"),
            (json!({"arguments": {"x-queue-leader-locator": "balanced"}}), "x-queue-leader-locator"),
            (json!({"max_length": 5}), "max_length"),
        ] {
            let error = read("q", &body).unwrap_err();
            assert!(error.contains(word), "{body}: {error}");
        }
        assert!(read("", &json!({})).is_err() && read("a\u{7}", &json!({})).is_err());
    }
}
