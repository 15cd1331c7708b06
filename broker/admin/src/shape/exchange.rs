//! Exchanges as JSON

use engine::ExchangeView;
use model::name::{ExchangeName, VhostName};
use model::queue::{ExchangeKind, ExchangeOptions};
use serde_json::{Map, Value, json};

use super::arguments::{Fields, checked};

/// As a request, or an item of definitions, declares it.
///
/// # Errors
///
/// What cannot be, and what could.
pub(crate) fn read(name: &str, body: &Value) -> Result<ExchangeOptions, String> {
    checked("the name of the exchange", name)?;
    let mut fields = Fields::of("exchange", Some(body))?;
    let kind = fields.text("type")?.map_or(Ok(ExchangeKind::Direct), |word| {
        ExchangeKind::named(&word)
            .ok_or_else(|| format!("exchange.type is {word:?}: direct, topic, fanout or headers is wanted"))
    })?;
    let mut arguments = Fields::of("exchange.arguments", fields.take("arguments").as_ref())?;
    let options = ExchangeOptions {
        name: ExchangeName::new(name),
        kind,
        durable: fields.truth("durable", true)?,
        auto_delete: fields.truth("auto_delete", false)?,
        internal: fields.truth("internal", false)?,
        alternate: arguments.name("alternate-exchange")?.map(|name| ExchangeName::new(&name)),
    };
    arguments.end(&["alternate-exchange"])?;
    fields.pass_over(&["name", "vhost", "node", "user_who_performed_action"]);
    fields.end(&["type", "durable", "auto_delete", "internal", "arguments"])?;
    Ok(options)
}

/// As RabbitMQ shows it.
pub(crate) fn write(view: &ExchangeView, vhost: &VhostName) -> Value {
    let mut arguments = Map::new();
    if let Some(alternate) = &view.alternate {
        arguments.insert("alternate-exchange".to_owned(), Value::from(alternate.as_str()));
    }
    json!({
        "name": view.name,
        "vhost": vhost.as_str(),
        "type": view.kind,
        "durable": view.durable,
        "auto_delete": view.auto_delete,
        "internal": view.internal,
        "arguments": arguments,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_read_and_the_rest_is_usual() {
        let plain = read("x", &json!({})).unwrap();
        assert_eq!((plain.kind, plain.durable, plain.internal), (ExchangeKind::Direct, true, false));
        let body = json!({
            "type": "headers", "durable": false, "auto_delete": "true", "internal": true, "vhost": "/",
            "arguments": {"alternate-exchange": "lost"},
        });
        let full = read("x", &body).unwrap();
        assert!(full.auto_delete && full.internal && !full.durable);
        assert_eq!(full.alternate, Some(ExchangeName::new("lost")));
        // RabbitMQ writes an object without fields as a list.
        assert!(read("x", &json!({"type": "topic", "arguments": []})).is_ok());
    }

    #[test]
    fn what_is_not_understood_is_refused_by_name() {
        for (body, word) in [
            (json!({"type": "x-delayed-message"}), "x-delayed-message"),
            (json!({"durable": "maybe"}), "exchange.durable"),
            (json!({"durible": true}), "durible"),
            (json!({"arguments": {"x-delayed-type": "direct"}}), "x-delayed-type"),
            (json!({"arguments": [1]}), "exchange.arguments"),
            (json!([1]), "JSON object"),
            (json!({"arguments": {"alternate-exchange": 5}}), "alternate-exchange"),
        ] {
            let error = read("x", &body).unwrap_err();
            assert!(error.contains(word), "{body}: {error}");
        }
        assert!(read(&"x".repeat(256), &json!({})).is_err() && read("a\nb", &json!({})).is_err());
    }
}
