//! What a message carries from its publisher to its subscribers, and for how long.

use std::thread::sleep;
use std::time::Duration;

use ::mqtt::version::Version;

use crate::conform::case::{Outcome, Target};
use crate::conform::mqtt_cases::client::{Client, expect};
use crate::conform::mqtt_cases::packet::Publish;
use crate::conform::mqtt_cases::row::{Row, about, row};
use crate::conform::mqtt_cases::session::forget;
use crate::conform::mqtt_cases::write::{Message, prop};

pub(crate) const ROWS: &[Row] = &[
    row(
        "properties_of_a_message_are_passed_on",
        "3.3.2-4 3.3.2-15 3.3.2-16 3.3.2-17 3.3.2-18 3.3.2-20",
        "",
        passed_on,
    ),
    row("expiry_comes_with_what_is_left_of_it", "3.3.2-6", "", what_is_left),
    row("a_message_that_waited_too_long_does_not_come", "3.3.2-5", "", expired),
    row("payloads_are_passed_on_as_they_are", "3.3.4-1", "3.3.4-1", payloads),
    row("both_versions_meet", "2.2.2-1", "3.3.2-1", both_versions),
];

/// One of each.
fn block() -> Vec<u8> {
    [
        prop::u8(prop::PAYLOAD_FORMAT, 1),
        prop::text(prop::CONTENT_TYPE, "text/\u{e9}"),
        prop::text(prop::RESPONSE_TOPIC, "answers/to/me"),
        prop::text(prop::CORRELATION_DATA, b"\0\x01\xfe\xff"),
        PAIRS.map(|(name, value)| prop::pair(name, value)).concat(),
    ]
    .concat()
}

fn is_whole(message: &Publish) -> Outcome {
    let found = &message.properties;
    expect(
        found.number(prop::PAYLOAD_FORMAT) == Some(1)
            && found.bytes(prop::CONTENT_TYPE) == Some("text/\u{e9}".as_bytes())
            && found.bytes(prop::RESPONSE_TOPIC) == Some(b"answers/to/me")
            && found.bytes(prop::CORRELATION_DATA) == Some(b"\0\x01\xfe\xff")
            && found.pairs() == PAIRS,
        || format!("{found:?}"),
    )?;
    expect(!found.has(prop::MESSAGE_EXPIRY), || "an expiry that nobody asked for".to_owned())
}

fn passed_on(target: &Target, version: Version) -> Outcome {
    let (topic, id) = (target.fresh(), target.fresh());
    let mut away = Client::lasting(target, version, &id, false)?;
    away.subscribe(&topic, 1)?;
    away.leave()?;
    let mut reader = Client::clean(target, version)?;
    reader.subscribe(&topic, 2)?;
    let mut writer = Client::clean(target, version)?;
    for qos in 0..=2 {
        writer.publish(Message::new(&topic, b"x", qos, 0).with(&block()))?;
        is_whole(&reader.take(b"x")?).map_err(|short| about("live", short))?;
    }
    let mut away = Client::lasting(target, version, &id, true)?;
    is_whole(&away.take(b"x")?).map_err(|short| about("queued", short))?;
    away.vanish();
    forget(target, version, &id)?;
    writer.publish(Message::new(&topic, b"kept", 1, 0).with(&block()).retained())?;
    let mut late = Client::clean(target, version)?;
    late.subscribe(&topic, 0)?;
    is_whole(&late.take(b"kept")?).map_err(|short| about("retained", short))?;
    writer.publish(Message::new(&topic, b"", 1, 0).retained())
}

fn what_is_left(target: &Target, version: Version) -> Outcome {
    let (topic, id) = (target.fresh(), target.fresh());
    let mut reader = Client::lasting(target, version, &id, false)?;
    reader.subscribe(&topic, 1)?;
    let message = Message::new(&topic, b"x", 1, 0).with(&prop::u32(prop::MESSAGE_EXPIRY, 60));
    let mut writer = Client::clean(target, version)?;
    writer.publish(message.clone())?;
    let left = reader.take(b"x")?.properties.number(prop::MESSAGE_EXPIRY);
    expect(left.is_some_and(|left| (58..=60).contains(&left)), || format!("{left:?} s of 60 at once"))?;
    reader.leave()?;
    writer.publish(message)?;
    sleep(Duration::from_millis(2200));
    let mut reader = Client::lasting(target, version, &id, true)?;
    let left = reader.take(b"x")?.properties.number(prop::MESSAGE_EXPIRY);
    expect(left.is_some_and(|left| (50..=58).contains(&left)), || format!("{left:?} s of 60 after 2.2 s"))?;
    reader.leave()?;
    forget(target, version, &id)
}

fn expired(target: &Target, version: Version) -> Outcome {
    let (topic, id) = (target.fresh(), target.fresh());
    let mut reader = Client::lasting(target, version, &id, false)?;
    reader.subscribe(&topic, 2)?;
    reader.leave()?;
    let mut writer = Client::clean(target, version)?;
    for qos in [1, 2] {
        writer.publish(Message::new(&topic, b"short", qos, 0).with(&prop::u32(prop::MESSAGE_EXPIRY, 1)))?;
    }
    writer.tell(&topic, b"long", 1)?;
    sleep(Duration::from_millis(2200));
    let mut reader = Client::lasting(target, version, &id, true)?;
    reader.take(b"long")?;
    reader.quiet()?;
    reader.leave()?;
    forget(target, version, &id)
}

fn payloads(target: &Target, version: Version) -> Outcome {
    let topic = target.fresh();
    let mut client = Client::clean(target, version)?;
    client.subscribe(&topic, 2)?;
    let every: Vec<u8> = (0..=255).collect();
    for payload in [Vec::new(), every.clone(), every.repeat(64), vec![0; 60_000]] {
        for qos in 0..=2 {
            client.tell(&topic, &payload, qos)?;
            client.take(&payload)?;
        }
    }
    Ok(())
}

fn both_versions(target: &Target, version: Version) -> Outcome {
    let topic = target.fresh();
    let other = if version.has_properties() { Version::V311 } else { Version::V5 };
    let mut reader = Client::clean(target, version)?;
    reader.subscribe(&topic, 2)?;
    let mut writer = Client::clean(target, other)?;
    for qos in 0..=2 {
        let message = Message::new(&topic, b"across", qos, 0);
        writer.publish(if other.has_properties() { message.with(&block()) } else { message })?;
        let came = reader.take(b"across")?;
        expect(came.qos == qos && came.topic == topic, || format!("{came:?}"))?;
    }
    Ok(())
}

const PAIRS: [(&str, &str); 5] = [("b", "1"), ("a", "2"), ("b", "1"), ("", ""), ("\u{1F600}", "x y")];
