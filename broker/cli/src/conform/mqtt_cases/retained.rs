//! Retained messages: what is kept, what deletes it, who gets it.

use std::thread::sleep;
use std::time::Duration;

use ::mqtt::version::Version;

use crate::conform::case::{Outcome, Target};
use crate::conform::mqtt_cases::client::{Client, expect};
use crate::conform::mqtt_cases::row::{Row, row};
use crate::conform::mqtt_cases::write::{Message, prop};

pub(crate) const ROWS: &[Row] = &[
    row("the_last_retained_message_is_kept", "3.3.1-5 3.3.1-9", "3.3.1-5 3.3.1-6 3.3.1-7 3.3.1-8", last),
    row("an_empty_retained_message_deletes", "3.3.1-6 3.3.1-7", "3.3.1-10 3.3.1-11", deleted),
    row("a_message_without_retain_changes_nothing_that_is_kept", "3.3.1-8", "3.3.1-12", unchanged),
    row("a_live_message_has_retain_0", "3.3.1-12", "3.3.1-9", live),
    row("every_matching_retained_message_comes", "3.3.1-9", "3.3.1-6", matching),
    row("a_retained_message_keeps_its_qos", "3.8.4-8", "3.3.1-5 3.8.4-6", qos),
    row("a_retained_message_expires", "3.3.2-5 3.3.2-6", "", expires),
    row("a_shared_subscription_gets_no_retained_messages", "3.3.1-9", "", shared),
];

fn keep(client: &mut Client, topic: &str, payload: &[u8], qos: u8) -> Outcome {
    client.publish(Message::new(topic, payload, qos, 0).retained())
}

fn last(target: &Target, version: Version) -> Outcome {
    let topic = target.fresh();
    let mut writer = Client::clean(target, version)?;
    for (payload, qos) in [(&b"one"[..], 1), (b"two", 0), (b"three", 2), (b"four", 0)] {
        keep(&mut writer, &topic, payload, qos)?;
        writer.quiet()?;
        let mut reader = Client::clean(target, version)?;
        reader.subscribe(&topic, 0)?;
        let message = reader.expect_message(payload)?;
        expect(message.retain, || "RETAIN 0 on a retained message".to_owned())?;
        reader.quiet()?;
    }
    keep(&mut writer, &topic, b"", 1)
}

fn deleted(target: &Target, version: Version) -> Outcome {
    let topic = target.fresh();
    let mut writer = Client::clean(target, version)?;
    let mut there = Client::clean(target, version)?;
    there.subscribe(&topic, 0)?;
    keep(&mut writer, &topic, b"kept", 1)?;
    there.expect_message(b"kept")?;
    keep(&mut writer, &topic, b"", 1)?;
    let message = there.expect_message(b"")?;
    expect(!message.retain, || "the live message has RETAIN 1".to_owned())?;
    let mut late = Client::clean(target, version)?;
    late.subscribe(&topic, 0)?;
    late.quiet()?;
    // Where nothing is kept, nothing empty is kept either.
    keep(&mut writer, &topic, b"", 2)?;
    let mut later = Client::clean(target, version)?;
    later.subscribe(&topic, 0)?;
    later.quiet()
}

fn unchanged(target: &Target, version: Version) -> Outcome {
    let topic = target.fresh();
    let mut writer = Client::clean(target, version)?;
    writer.tell(&topic, b"passing", 1)?;
    let mut reader = Client::clean(target, version)?;
    reader.subscribe(&topic, 0)?;
    reader.quiet()?;
    keep(&mut writer, &topic, b"kept", 1)?;
    writer.tell(&topic, b"passing", 1)?;
    writer.tell(&topic, b"", 1)?;
    let mut late = Client::clean(target, version)?;
    late.subscribe(&topic, 0)?;
    late.expect_message(b"kept")?;
    late.quiet()?;
    keep(&mut writer, &topic, b"", 1)
}

fn live(target: &Target, version: Version) -> Outcome {
    let topic = target.fresh();
    let mut writer = Client::clean(target, version)?;
    let mut reader = Client::clean(target, version)?;
    reader.subscribe(&topic, 1)?;
    keep(&mut writer, &topic, b"kept", 1)?;
    let message = reader.take(b"kept")?;
    expect(!message.retain, || "RETAIN 1 on a live message".to_owned())?;
    keep(&mut writer, &topic, b"", 1)
}

fn matching(target: &Target, version: Version) -> Outcome {
    let name = target.fresh();
    let mut writer = Client::clean(target, version)?;
    let ends = ["", "/a", "/b", "/a/b", "/"];
    for end in ends {
        keep(&mut writer, &format!("{name}{end}"), end.as_bytes(), 1)
            .and_then(|()| if end.is_empty() { keep(&mut writer, &name, b"root", 1) } else { Ok(()) })?;
    }
    let filters: [(&str, &[&str]); 4] = [
        ("/#", &["root", "/a", "/b", "/a/b", "/"]),
        ("/+", &["/a", "/b", "/"]),
        ("/+/b", &["/a/b"]),
        ("/a", &["/a"]),
    ];
    for (filter, wanted) in filters {
        let mut reader = Client::clean(target, version)?;
        reader.subscribe(&format!("{name}{filter}"), 0)?;
        let mut found = Vec::new();
        for _ in wanted {
            let message = reader.message()?;
            expect(message.retain, || format!("{message:?}"))?;
            found.push(String::from_utf8_lossy(&message.payload).into_owned());
        }
        reader.quiet()?;
        found.sort();
        let mut wanted = wanted.to_vec();
        wanted.sort_unstable();
        expect(found == wanted, || format!("{filter} brings {found:?}, not {wanted:?}"))?;
    }
    ends.iter().try_for_each(|end| keep(&mut writer, &format!("{name}{end}"), b"", 1))
}

fn qos(target: &Target, version: Version) -> Outcome {
    let topic = target.fresh();
    let mut writer = Client::clean(target, version)?;
    for published in 0..=2u8 {
        keep(&mut writer, &topic, b"kept", published)?;
        writer.quiet()?;
        for granted in 0..=2u8 {
            let mut reader = Client::clean(target, version)?;
            reader.subscribe(&topic, granted)?;
            let message = reader.take(b"kept")?;
            expect(message.qos == granted.min(published), || {
                format!("kept with QoS {published}, granted {granted}: came with {}", message.qos)
            })?;
        }
    }
    keep(&mut writer, &topic, b"", 1)
}

fn expires(target: &Target, version: Version) -> Outcome {
    let topic = target.fresh();
    let mut writer = Client::clean(target, version)?;
    let message = Message::new(&topic, b"kept", 1, 0).retained();
    writer.publish(message.clone().with(&prop::u32(prop::MESSAGE_EXPIRY, 60)))?;
    sleep(Duration::from_millis(1200));
    let mut reader = Client::clean(target, version)?;
    reader.subscribe(&topic, 0)?;
    let left = reader.expect_message(b"kept")?.properties.number(prop::MESSAGE_EXPIRY);
    expect(left.is_some_and(|left| (50..=59).contains(&left)), || format!("{left:?} s are left of 60"))?;
    writer.publish(message.with(&prop::u32(prop::MESSAGE_EXPIRY, 1)))?;
    sleep(Duration::from_millis(2200));
    let mut late = Client::clean(target, version)?;
    late.subscribe(&topic, 0)?;
    late.quiet()
}

fn shared(target: &Target, version: Version) -> Outcome {
    let topic = target.fresh();
    let mut writer = Client::clean(target, version)?;
    keep(&mut writer, &topic, b"kept", 1)?;
    let mut reader = Client::clean(target, version)?;
    reader.subscribe(&format!("$share/g/{topic}"), 1)?;
    reader.quiet()?;
    keep(&mut writer, &topic, b"", 1)
}
