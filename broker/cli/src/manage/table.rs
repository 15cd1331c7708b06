//! Tables for people: columns as wide as what is in them

use std::time::{Duration, UNIX_EPOCH};

use serde_json::Value;

use crate::output::stamp::rfc3339;

/// A column: its heading, and what it says of an item.
pub(crate) type Column = (&'static str, fn(&Value) -> String);

/// Of sessions.
pub(crate) const SESSIONS: &[Column] = &[
    ("SESSION", |item| text(item, "session")),
    ("CLIENT", |item| text(item, "client")),
    ("USER", |item| text(item, "user")),
    ("PROTOCOL", |item| match (text(item, "protocol"), text(item, "transport")) {
        (protocol, transport) if transport == "-" => protocol,
        (protocol, transport) => format!("{protocol}/{transport}"),
    }),
    ("PEER", |item| text(item, "peer")),
    ("CONNECTED", |item| match moment(item, "connected_at_ms") {
        Some(since) => format!("since {since}"),
        None => moment(item, "disconnected_at_ms").map_or_else(|| "no".into(), |left| format!("left {left}")),
    }),
    ("SUBSCRIPTIONS", |item| text(item, "subscriptions")),
    ("WAITING", |item| text(item, "waiting")),
];

/// Of users.
pub(crate) const USERS: &[Column] = &[
    ("USER", |item| text(item, "user")),
    ("SESSIONS", |item| text(item, "sessions")),
    ("CONNECTED", |item| text(item, "connected")),
];

/// Of subscriptions.
pub(crate) const SUBSCRIPTIONS: &[Column] = &[
    ("DESTINATION", |item| text(item, "destination")),
    ("QOS", |item| text(item, "qos")),
    ("SESSION", |item| text(item, "session")),
    ("CLIENT", |item| text(item, "client")),
    ("USER", |item| text(item, "user")),
    (
        "CONNECTED",
        |item| if item.get("connected") == Some(&Value::Bool(true)) { "yes".into() } else { "no".into() },
    ),
];

/// Of bans.
pub(crate) const BANS: &[Column] = &[
    ("KIND", |item| text(item, "kind")),
    ("NAME", |item| text(item, "name")),
    ("UNTIL", |item| moment(item, "until_ms").unwrap_or_else(|| "unban".to_owned())),
    ("SINCE", |item| moment(item, "since_ms").unwrap_or_default()),
    ("BY", |item| text(item, "by")),
    ("REASON", |item| text(item, "reason")),
];

/// Of messages that wait for their time.
pub(crate) const DELAYED: &[Column] = &[
    ("ID", |item| text(item, "id")),
    ("DUE", |item| moment(item, "due_ms").unwrap_or_default()),
    ("EXCHANGE", |item| match text(item, "exchange") {
        name if name.is_empty() => "(default)".to_owned(),
        name => name,
    }),
    ("KEY", |item| text(item, "key")),
    ("QOS", |item| text(item, "qos")),
    ("DURABLE", |item| text(item, "durable")),
    ("BYTES", |item| text(item, "bytes")),
    ("CLIENT", |item| text(item, "client")),
    ("USER", |item| text(item, "user")),
];

/// Of messages that no queue took.
pub(crate) const UNROUTABLE: &[Column] = &[
    ("AT", |item| moment(item, "at_ms").unwrap_or_default()),
    ("EXCHANGE", |item| match text(item, "exchange") {
        name if name.is_empty() => "(default)".to_owned(),
        name => name,
    }),
    ("KEY", |item| text(item, "key")),
    ("CAUSE", |item| text(item, "cause")),
    ("CLIENT", |item| text(item, "client")),
    ("USER", |item| text(item, "user")),
    ("BYTES", |item| text(item, "payload_bytes")),
    ("PAYLOAD", |item| match item.get("payload") {
        Some(Value::String(_)) => shortened(&text(item, "payload")),
        Some(_) | None => format!("base64:{}", shortened(&text(item, "payload_base64"))),
    }),
];

/// The beginning, as much as fits beside the rest.
fn shortened(text: &str) -> String {
    let start: String = text.chars().take(SHOWN_CHARS_MAX).collect();
    if start.len() < text.len() { start + "…" } else { start }
}

const SHOWN_CHARS_MAX: usize = 40;
/// Of exchanges.
pub(crate) const EXCHANGES: &[Column] = &[
    ("NAME", |item| match text(item, "name") {
        name if name.is_empty() => "(default)".to_owned(),
        name => name,
    }),
    ("TYPE", |item| text(item, "type")),
    ("DURABLE", |item| text(item, "durable")),
    ("AUTO_DELETE", |item| text(item, "auto_delete")),
    ("INTERNAL", |item| text(item, "internal")),
    ("POLICY", |item| text(item, "policy")),
    ("ARGUMENTS", |item| text(item, "arguments")),
];

/// Of queues.
pub(crate) const QUEUES: &[Column] = &[
    ("NAME", |item| text(item, "name")),
    ("READY", |item| text(item, "messages_ready")),
    ("UNACKED", |item| text(item, "messages_unacknowledged")),
    ("CONSUMERS", |item| text(item, "consumers")),
    ("DURABLE", |item| text(item, "durable")),
    ("DURABILITY", |item| text(item, "durability")),
    ("AUTO_DELETE", |item| text(item, "auto_delete")),
    ("POLICY", |item| text(item, "policy")),
    ("ARGUMENTS", |item| text(item, "arguments")),
];

/// Of policies.
pub(crate) const POLICIES: &[Column] = &[
    ("NAME", |item| text(item, "name")),
    ("PATTERN", |item| text(item, "pattern")),
    ("APPLY_TO", |item| text(item, "apply-to")),
    ("PRIORITY", |item| text(item, "priority")),
    ("QUEUES", |item| text(item, "queues")),
    ("EXCHANGES", |item| text(item, "exchanges")),
    ("CONFIGURED", |item| text(item, "configured")),
    ("DEFINITION", |item| text(item, "definition")),
];

/// Of bindings.
pub(crate) const BINDINGS: &[Column] = &[
    ("SOURCE", |item| match text(item, "source") {
        name if name.is_empty() => "(default)".to_owned(),
        name => name,
    }),
    ("DESTINATION", |item| text(item, "destination")),
    ("TYPE", |item| text(item, "destination_type")),
    ("KEY", |item| text(item, "routing_key")),
    ("ARGUMENTS", |item| text(item, "arguments")),
];

/// Of virtual hosts.
pub(crate) const VHOSTS: &[Column] = &[
    ("NAME", |item| text(item, "name")),
    ("CONNECTIONS", |item| text(item, "connections")),
    ("SESSIONS", |item| text(item, "sessions")),
    ("QUEUES", |item| text(item, "queues")),
    ("MESSAGES", |item| text(item, "messages")),
    ("RETAINED", |item| text(item, "retained")),
    ("LIMITS", |item| text(item, "limits")),
];

/// Lines: the headings, and one for each item.
pub(crate) fn lines(columns: &[Column], items: &[Value]) -> Vec<String> {
    let headings = columns.iter().map(|(heading, _)| (*heading).to_owned()).collect();
    let cells = items.iter().map(|item| columns.iter().map(|(_, cell)| cell(item)).collect());
    let rows: Vec<Vec<String>> = std::iter::once(headings).chain(cells).collect();
    let width =
        |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..columns.len()).map(|column| width(column).unwrap_or_default()).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

/// A field as text: `-` for null, and for an object without anything.
fn text(item: &Value, field: &str) -> String {
    match item.get(field) {
        Some(Value::String(text)) => clean(text),
        Some(Value::Null) | None => "-".to_owned(),
        Some(Value::Object(all)) if all.is_empty() => "-".to_owned(),
        Some(other @ (Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_))) => {
            clean(&other.to_string())
        }
    }
}

/// What a terminal would obey is escaped: clients choose their names.
pub(crate) fn clean(text: &str) -> String {
    let shown = |char: char| {
        if char.is_control() { char.escape_default().collect() } else { String::from(char) }
    };
    text.chars().map(shown).collect()
}

fn moment(item: &Value, field: &str) -> Option<String> {
    let since = Duration::from_millis(item.get(field)?.as_u64()?);
    Some(rfc3339(UNIX_EPOCH + since))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_table_has_a_line_for_each_item_and_no_escape_sequences() {
        let items = [
            json!({ "user": "kim", "sessions": 12, "connected": 1 }),
            json!({ "user": "\u{1b}[31m", "sessions": 1, "connected": 0 }),
        ];
        let expected =
            ["USER        SESSIONS  CONNECTED", "kim         12        1", "\\u{1b}[31m  1         0"];
        assert_eq!(lines(USERS, &items), expected);
    }
}
