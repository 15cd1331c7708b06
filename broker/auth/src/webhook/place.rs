//! Places as text, in one way for both protocols: `chat/1`, `$queue/jobs`, `$exchange/x/k`, `$user/ann/queue/x`.

use bytestring::ByteString;
use model::key::{KeyPattern, Level, RoutingKey};
use model::name::ExchangeName;

/// The text of a key, or of a pattern, of an exchange.
pub(super) fn write(exchange: &ExchangeName, text: &str) -> String {
    match exchange.as_str() {
        TOPIC => text.to_owned(),
        "" => format!("{QUEUE}{text}"),
        name @ (USER | SESSION) => format!("{name}/{text}"),
        name => format!("{EXCHANGE}{name}/{text}"),
    }
}

/// Where a message is to go.
///
/// # Errors
///
/// Why the text is no such place.
pub(super) fn read_key(text: &str) -> Result<(ExchangeName, RoutingKey), &'static str> {
    let (exchange, rest) = split(text)?;
    if exchange != ExchangeName::DEFAULT && rest.contains(['+', '#']) {
        return Err("a message goes to one place, without wildcards");
    }
    Ok((exchange, RoutingKey::new(ByteString::from(rest))))
}

/// What is to be subscribed to.
///
/// # Errors
///
/// Why the text is no such thing.
pub(super) fn read_pattern(text: &str) -> Result<(ExchangeName, KeyPattern), &'static str> {
    let (exchange, rest) = split(text)?;
    if exchange == ExchangeName::DEFAULT {
        return Ok((exchange, KeyPattern::exact(&RoutingKey::from(rest))));
    }
    let level = |level: &str| match level {
        "+" => Ok(Level::One),
        "#" => Ok(Level::Many),
        level if level.contains(['+', '#']) => Err("a wildcard has its level to itself"),
        level => Ok(Level::Literal(level.into())),
    };
    Ok((exchange, KeyPattern::new(rest.split('/').map(level).collect::<Result<_, _>>()?)))
}

fn split(text: &str) -> Result<(ExchangeName, &str), &'static str> {
    if text.len() > TEXT_BYTES_MAX || text.contains('\0') {
        return Err("a place has at most 65,535 bytes, none of them zero");
    }
    if let Some(name) = text.strip_prefix(QUEUE) {
        return if name.is_empty() { Err("a queue has a name") } else { Ok((ExchangeName::DEFAULT, name)) };
    }
    if let Some(rest) = text.strip_prefix(EXCHANGE) {
        let (name, key) = rest.split_once('/').unwrap_or((rest, ""));
        return match name {
            "" | USER | SESSION => Err("an exchange has a name, and that is not $user or $session"),
            TOPIC => Ok((ExchangeName::TOPIC, key)),
            name => Ok((ExchangeName::new(name), key)),
        };
    }
    for (name, exchange) in [(USER, ExchangeName::USER), (SESSION, ExchangeName::SESSION)] {
        if let Some(rest) = text.strip_prefix(name).and_then(|rest| rest.strip_prefix('/')) {
            return if rest.is_empty() {
                Err("something follows the name of whose it is")
            } else {
                Ok((exchange, rest))
            };
        }
    }
    if text.is_empty() || text.starts_with('$') {
        return Err("a place is a topic, or begins with $queue/, $exchange/, $user/ or $session/");
    }
    Ok((ExchangeName::TOPIC, text))
}

const TOPIC: &str = "amq.topic";
const QUEUE: &str = "$queue/";
const EXCHANGE: &str = "$exchange/";
const USER: &str = "$user";
const SESSION: &str = "$session";

/// As long as MQTT can write one.
const TEXT_BYTES_MAX: usize = 65_535;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_as_it_is_written() {
        for text in ["a/b", "/", "$queue/jobs/a#", "$exchange/x/a/b", "$exchange/x/", "$user/ann/queue/x"] {
            let (exchange, key) = read_key(text).unwrap();
            assert_eq!(write(&exchange, key.as_str()), text);
            let (exchange, pattern) = read_pattern(text).unwrap();
            assert_eq!(write(&exchange, &pattern.to_string()), text);
        }
        for text in ["a/+/#", "#/a", "$exchange/x/#", "$user/queue/+"] {
            let (exchange, pattern) = read_pattern(text).unwrap();
            assert_eq!(write(&exchange, &pattern.to_string()), text);
            assert!(read_key(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_no_place_is_none() {
        for text in [
            "",
            "$SYS/x",
            "$share/g/a",
            "$queue/",
            "$exchange//a",
            "$exchange/$user/ann/x",
            "$user/",
            "a\0",
            "a+/b",
        ] {
            assert!(read_pattern(text).is_err() && read_key(text).is_err(), "{text:?}");
        }
        assert!(read_key(&"a".repeat(65_536)).is_err());
    }
}
