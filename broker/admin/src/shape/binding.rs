//! Bindings as JSON

use bytestring::ByteString;
use engine::BindingView;
use model::key::KeyPattern;
use model::name::{ExchangeName, VhostName};
use model::queue::{BindingOptions, Destination, HeaderMatch, MatchMode};
use serde_json::{Map, Value, json};

use super::arguments::{Fields, checked};

/// As a request, or an item of definitions, asks for it.
///
/// # Errors
///
/// What cannot be, and what could.
pub(crate) fn read(source: &str, to: Destination, body: &Value) -> Result<BindingOptions, String> {
    checked("the source of the binding", source)?;
    if source.is_empty() {
        return Err(
            "every queue is bound to the default exchange by its name, and nothing else is".to_owned()
        );
    }
    let mut fields = Fields::of("binding", Some(body))?;
    let key = fields.name("routing_key")?.unwrap_or_default();
    let arguments = arguments(fields.take("arguments").as_ref())?;
    fields.pass_over(&["source", "vhost", "destination", "destination_type", "properties_key", "node"]);
    fields.end(&["routing_key", "arguments"])?;
    Ok(BindingOptions {
        exchange: ExchangeName::new(source),
        pattern: KeyPattern::from_words(&key),
        arguments,
        to,
    })
}

fn arguments(value: Option<&Value>) -> Result<HeaderMatch, String> {
    let mut fields = Fields::of("binding.arguments", value)?;
    let word = fields.text("x-match")?;
    let mode = MatchMode::named(word.as_deref()).ok_or_else(|| {
        format!("x-match is {:?}: all, any, all-with-x or any-with-x is wanted", word.unwrap_or_default())
    })?;
    let wanted = fields
        .rest()
        .map(|(name, value)| {
            let value = match value {
                Value::Null => None,
                Value::String(text) => Some(ByteString::from(text)),
                // Headers are texts here, whoever sends them. What is no text is written as the configuration does it.
                Value::Bool(truth) => Some(ByteString::from(truth.to_string())),
                Value::Number(number) => {
                    let real = number.as_f64().filter(|_| number.is_f64());
                    let text = real.map_or_else(|| number.to_string(), |real| format!("{real:?}"));
                    Some(ByteString::from(text))
                }
                Value::Array(_) | Value::Object(_) => {
                    return Err(format!(
                        "binding.arguments.{name}: a text, a number, true, false or null is wanted"
                    ));
                }
            };
            checked("the name of a header", &name)?;
            Ok((ByteString::from(name), value))
        })
        .collect::<Result<_, String>>()?;
    Ok(HeaderMatch { mode, wanted })
}

/// As RabbitMQ shows it.
pub(crate) fn write(view: &BindingView, vhost: &VhostName) -> Value {
    let argument = |value: &Option<String>| value.as_deref().map_or(Value::Null, Value::from);
    let arguments: Map<String, Value> =
        view.arguments.iter().map(|(name, value)| (name.clone(), argument(value))).collect();
    json!({
        "source": view.exchange,
        "vhost": vhost.as_str(),
        "destination": view.to,
        "destination_type": view.to_kind,
        "routing_key": view.key,
        "properties_key": properties_key(&view.key, &arguments),
        "arguments": arguments,
    })
}

/// What tells bindings between the same two from each other, as part of a path: `~` for no key and no arguments, the key, or the
/// key and a hash of the arguments.
fn properties_key(key: &str, arguments: &Map<String, Value>) -> String {
    let mut text: String = form_urlencoded::byte_serialize(key.as_bytes()).collect();
    // What parts the two.
    text = text.replace('~', "%7E");
    match (text.is_empty(), arguments.is_empty()) {
        (true, true) => "~".to_owned(),
        (false, true) => text,
        (_, false) => {
            // FNV-1a: the same in every build, so that scripts may keep it. Keys of JSON objects are in order.
            let bytes = serde_json::to_vec(arguments).unwrap_or_default();
            let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
                (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
            });
            format!("{text}~{hash:016x}")
        }
    }
}

#[cfg(test)]
mod tests {
    use model::name::QueueName;

    use super::*;

    fn to() -> Destination {
        Destination::Queue(QueueName::new("q"))
    }

    #[test]
    fn a_binding_has_a_key_of_its_own_among_those_of_the_same_two() {
        let key =
            |text: &str, arguments: Value| properties_key(text, arguments.as_object().expect("an object"));
        assert_eq!(key("", json!({})), "~");
        assert_eq!(key("a.*.#", json!({})), "a.*.%23");
        assert_eq!(key("a~b", json!({})), "a%7Eb");
        // The same in every build: scripts may keep it.
        assert_eq!(key("", json!({"x-match": "any", "n": "5"})), "~140df471bfb8577e");
        assert_ne!(key("k", json!({"n": "5"})), key("k", json!({"n": "6"})));
    }

    #[test]
    fn header_values_are_texts() {
        let body = json!({"arguments": {"x-match": "any", "n": 5, "b": true, "t": "x", "a": null, "r": 1.0, "l": 1e20}});
        let binding = read("x", to(), &body).unwrap();
        assert_eq!(binding.arguments.mode, MatchMode::Any);
        let wanted: Vec<(&str, Option<&str>)> =
            binding.arguments.wanted.iter().map(|(name, value)| (&**name, value.as_deref())).collect();
        let expected = [
            ("a", None),
            ("b", Some("true")),
            ("l", Some("1e20")),
            ("n", Some("5")),
            ("r", Some("1.0")),
            ("t", Some("x")),
        ];
        assert_eq!(wanted, expected);
    }

    #[test]
    fn what_is_not_understood_is_refused_by_name() {
        for (body, word) in [
            (json!({"routing_key": 5}), "routing_key"),
            (json!({"key": "a"}), "\"key\""),
            (json!({"arguments": {"x-match": "some"}}), "all-with-x"),
            (json!({"arguments": {"n": [1]}}), "binding.arguments.n"),
            (json!({"routing_key": "x".repeat(256)}), "256 bytes"),
        ] {
            let error = read("x", to(), &body).unwrap_err();
            assert!(error.contains(word), "{body}: {error}");
        }
        assert!(read("", to(), &json!({})).is_err());
    }
}
