//! A message as one JSON object.

use std::time::SystemTime;

use serde_json::{Map, Value, json};

use crate::message::Received;
use crate::output::{base64, stamp};

/// `topic`, `payload` (or `payload_base64` where it is no text), `qos` (MQTT only), `retain`, `redelivered`, `at` (when
/// it came) and `properties`: a name that repeats has an array.
pub(crate) fn object(message: &Received, at: SystemTime) -> String {
    let mut object = Map::new();
    object.insert("topic".into(), json!(&*message.destination));
    match std::str::from_utf8(&message.payload) {
        Ok(text) => object.insert("payload".into(), json!(text)),
        Err(_) => object.insert("payload_base64".into(), json!(base64::encode(&message.payload))),
    };
    if let Some(qos) = message.qos {
        object.insert("qos".into(), json!(qos.bits()));
    }
    object.insert("retain".into(), json!(message.retain));
    object.insert("redelivered".into(), json!(message.redelivered));
    object.insert("at".into(), json!(stamp::rfc3339(at)));
    object.insert("properties".into(), Value::Object(properties(message)));
    Value::Object(object).to_string()
}

fn properties(message: &Received) -> Map<String, Value> {
    let mut properties = Map::new();
    for (name, value) in &message.properties {
        let value = json!(&**value);
        match properties.get_mut(&**name) {
            None => {
                properties.insert(name.to_string(), value);
            }
            Some(Value::Array(values)) => values.push(value),
            Some(first) => *first = Value::Array(vec![first.take(), value]),
        }
    }
    properties
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use bytes::Bytes;
    use model::qos::Qos;

    use super::*;
    use crate::message::SettleBy;

    #[test]
    fn text_is_text_and_bytes_are_base64() {
        let mut message = Received {
            destination: "chat/room/5".into(),
            payload: Bytes::from_static("안녕\n".as_bytes()),
            qos: Some(Qos::AtLeastOnce),
            retain: false,
            redelivered: true,
            properties: vec![("k".into(), "1".into()), ("n".into(), "x".into()), ("k".into(), "2".into())],
            settle_by: SettleBy::Nothing,
        };
        assert_eq!(
            object(&message, UNIX_EPOCH),
            r#"{"at":"1970-01-01T00:00:00.000Z","payload":"안녕\n","properties":{"k":["1","2"],"n":"x"},"qos":1,"redelivered":true,"retain":false,"topic":"chat/room/5"}"#
        );
        message.payload = Bytes::from_static(&[0xFF, 0]);
        message.qos = None;
        message.properties.clear();
        assert_eq!(
            object(&message, UNIX_EPOCH),
            r#"{"at":"1970-01-01T00:00:00.000Z","payload_base64":"/wA=","properties":{},"redelivered":true,"retain":false,"topic":"chat/room/5"}"#
        );
    }
}
