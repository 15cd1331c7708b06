//! Wills: when they are published, and when not.

use std::thread::sleep;
use std::time::{Duration, Instant};

use ::mqtt::version::Version;

use crate::conform::case::{Outcome, Short, Target};
use crate::conform::mqtt_cases::client::{Client, expect};
use crate::conform::mqtt_cases::refused::turned_away;
use crate::conform::mqtt_cases::row::{Row, row};
use crate::conform::mqtt_cases::session::forget;
use crate::conform::mqtt_cases::write::{Connect, DISCONNECT, Message, Will, framed, prop};
use crate::conform::peer::Next;

pub(crate) const ROWS: &[Row] = &[
    row("a_will_is_published_when_its_client_is_lost", "3.1.2-7 3.1.2-8 3.1.2-12", "3.1.2-8 3.1.2-9", lost),
    row("disconnect_deletes_the_will", "3.1.2-8 3.1.2-10 3.14.4-3", "3.1.2-8 3.1.2-10 3.14.4-3", deleted),
    row("disconnect_with_will_publishes_it", "3.1.2-8", "", with_will),
    row("a_protocol_error_publishes_the_will", "3.1.2-8", "3.1.2-8", on_error),
    row("a_will_is_published_once", "3.1.2-10", "3.1.2-10", once),
    row("no_will_without_will_flag", "3.1.2-7", "3.1.2-12", none),
    row("a_will_has_its_retain_flag", "3.1.2-14 3.1.2-15", "3.1.2-16 3.1.2-17", retain),
    row("a_take_over_publishes_the_will", "3.1.2-8 3.1.4-3", "3.1.2-8 3.1.4-2", take_over),
    row("a_clean_start_ends_the_session_and_so_publishes_its_will", "3.1.2-8", "", by_clean_start),
    row("a_will_waits_for_its_delay", "3.1.2-8 3.1.3-9", "", delay),
    row("a_will_does_not_wait_longer_than_its_session", "3.1.3-9", "", session_end),
    row("a_new_connection_cancels_a_will_that_waits", "3.1.3-9", "", cancelled),
    row("a_will_keeps_its_properties", "3.1.3-10 3.3.2-17 3.3.2-18", "", properties),
    row("a_refused_client_has_no_will", "3.1.4-2 3.1.4-6", "3.1.4-1 3.1.4-5", of_refused),
];

/// A client that hears the will, and one that has it.
fn pair(
    target: &Target,
    version: Version,
    will: impl FnOnce(Will) -> Will,
) -> Result<(Client, Client, String), Short> {
    let topic = target.fresh();
    let mut reader = Client::clean(target, version)?;
    reader.subscribe(&topic, 2)?;
    let connect = Connect::new(version, &target.fresh()).will(will(Will::new(&topic, b"will")));
    let (client, _) = Client::join(target, version, &connect)?;
    Ok((reader, client, topic))
}

/// Nothing but `end`, which is published now, comes to `reader`.
fn only_end(target: &Target, reader: &mut Client, topic: &str) -> Outcome {
    let mut writer = Client::clean(target, reader.version)?;
    writer.tell(topic, b"end", 1)?;
    reader.take(b"end")?;
    reader.quiet()
}

fn lost(target: &Target, version: Version) -> Outcome {
    for qos in 0..=2 {
        let (mut reader, client, _) = pair(target, version, |will| Will { qos, ..will })?;
        client.vanish();
        let message = reader.take(b"will")?;
        expect(message.qos == qos && !message.retain, || format!("{message:?}"))?;
    }
    // An empty one is legal.
    let (mut reader, client, _) = pair(target, version, |will| Will { payload: Vec::new(), ..will })?;
    client.vanish();
    reader.take(b"").map(drop)
}

fn deleted(target: &Target, version: Version) -> Outcome {
    let (mut reader, client, topic) = pair(target, version, |will| will)?;
    client.leave()?;
    only_end(target, &mut reader, &topic)
}

fn with_will(target: &Target, version: Version) -> Outcome {
    for code in [0x04, 0x81, 0x93] {
        let (mut reader, mut client, _) = pair(target, version, |will| will)?;
        client.send(&framed(0xe0, &[&[code, 0]]));
        client.closed()?;
        reader.take(b"will")?;
    }
    Ok(())
}

fn on_error(target: &Target, version: Version) -> Outcome {
    let (mut reader, mut client, _) = pair(target, version, |will| will)?;
    client.send(&[0x00, 0x00]);
    client.closed()?;
    reader.take(b"will").map(drop)
}

fn once(target: &Target, version: Version) -> Outcome {
    let (topic, id) = (target.fresh(), target.fresh());
    let mut reader = Client::clean(target, version)?;
    reader.subscribe(&topic, 1)?;
    let connect = Connect::lasting(version, &id).will(Will::new(&topic, b"will"));
    let (mut client, _) = Client::join(target, version, &connect)?;
    // Whether a session of nothing is one is another question, and another case.
    client.subscribe(&target.fresh(), 1)?;
    client.vanish();
    reader.take(b"will")?;
    // The session goes on without it.
    Client::lasting(target, version, &id, true)?.vanish();
    forget(target, version, &id)?;
    only_end(target, &mut reader, &topic)
}

fn none(target: &Target, version: Version) -> Outcome {
    let topic = target.fresh();
    let id = target.fresh();
    let mut reader = Client::clean(target, version)?;
    reader.subscribe(&topic, 1)?;
    let connect = Connect::new(version, &id).will(Will::new(&topic, b"will"));
    let (mut client, _) = Client::join(target, version, &connect)?;
    client.send(DISCONNECT);
    client.closed()?;
    // The will of the connection before is not the will of this one.
    let (client, _) = Client::join(target, version, &Connect::new(version, &id))?;
    client.vanish();
    only_end(target, &mut reader, &topic)
}

fn retain(target: &Target, version: Version) -> Outcome {
    for is_kept in [false, true] {
        let (mut reader, client, topic) = pair(target, version, |will| Will { retain: is_kept, ..will })?;
        client.vanish();
        let message = reader.take(b"will")?;
        expect(!message.retain, || "RETAIN 1 on a live message".to_owned())?;
        let mut late = Client::clean(target, version)?;
        late.subscribe(&topic, 0)?;
        if is_kept {
            let message = late.expect_message(b"will")?;
            expect(message.retain, || "RETAIN 0 on a retained message".to_owned())?;
            late.publish(Message::new(&topic, b"", 1, 0).retained())?;
        } else {
            late.quiet()?;
        }
    }
    Ok(())
}

fn take_over(target: &Target, version: Version) -> Outcome {
    let (topic, id) = (target.fresh(), target.fresh());
    let mut reader = Client::clean(target, version)?;
    reader.subscribe(&topic, 1)?;
    let connect = Connect::new(version, &id).will(Will::new(&topic, b"will"));
    let (_old, _) = Client::join(target, version, &connect)?;
    let (_new, _) = Client::join(target, version, &Connect::new(version, &id))?;
    reader.take(b"will").map(drop)
}

/// A client whose session lasts `expiry_s`, with a will after `delay_s`.
fn delayed(target: &Target, id: &str, topic: &str, delay_s: u32, expiry_s: u32) -> Result<Client, Short> {
    let will = Will { properties: prop::u32(prop::WILL_DELAY, delay_s), ..Will::new(topic, b"will") };
    let connect = Connect::new(Version::V5, id).with(&prop::u32(prop::SESSION_EXPIRY, expiry_s)).will(will);
    Ok(Client::join(target, Version::V5, &connect)?.0)
}

/// The will comes between so many seconds and two more after the loss.
fn comes_after(target: &Target, version: Version, delay_s: u32, expiry_s: u32, seconds: u64) -> Outcome {
    let (topic, id) = (target.fresh(), target.fresh());
    let mut reader = Client::clean(target, version)?;
    reader.subscribe(&topic, 1)?;
    delayed(target, &id, &topic, delay_s, expiry_s)?.vanish();
    let lost_at = Instant::now();
    let earliest = Duration::from_secs(seconds);
    // A clock that counts whole seconds may be early by a part of one.
    let came = reader.next(earliest.saturating_sub(Duration::from_millis(600)))?;
    expect(came == Next::Silence, || format!("after {:?}, {came:?} came", lost_at.elapsed()))?;
    let message = match reader.next(Duration::from_secs(3))? {
        Next::Some(crate::conform::mqtt_cases::packet::Packet::Publish(message)) => message,
        other => return Err(Short::failed(format!("after {:?}, no will: {other:?}", lost_at.elapsed()))),
    };
    expect(!message.properties.has(prop::WILL_DELAY), || "Will Delay is passed on".to_owned())?;
    forget(target, version, &id)
}

fn delay(target: &Target, version: Version) -> Outcome {
    comes_after(target, version, 2, 60, 2)
}

fn session_end(target: &Target, version: Version) -> Outcome {
    comes_after(target, version, 60, 2, 2)
}

fn by_clean_start(target: &Target, version: Version) -> Outcome {
    let (topic, id) = (target.fresh(), target.fresh());
    let mut reader = Client::clean(target, version)?;
    reader.subscribe(&topic, 1)?;
    let _old = delayed(target, &id, &topic, 600, 600)?;
    let (_new, _) = Client::join(target, version, &Connect::new(version, &id))?;
    reader.take(b"will").map(drop)
}

fn cancelled(target: &Target, version: Version) -> Outcome {
    let (topic, id) = (target.fresh(), target.fresh());
    let mut reader = Client::clean(target, version)?;
    reader.subscribe(&topic, 1)?;
    delayed(target, &id, &topic, 2, 60)?.vanish();
    let client = Client::lasting(target, version, &id, true)?;
    sleep(Duration::from_secs(3));
    client.leave()?;
    forget(target, version, &id)?;
    only_end(target, &mut reader, &topic)
}

fn properties(target: &Target, version: Version) -> Outcome {
    let pairs = [("b", "1"), ("a", "2"), ("b", "1"), ("", "3")];
    let block = pairs.map(|(name, value)| prop::pair(name, value)).concat();
    let block = [
        block,
        prop::u8(prop::PAYLOAD_FORMAT, 1),
        prop::text(prop::CONTENT_TYPE, "text/will"),
        prop::text(prop::RESPONSE_TOPIC, "answer/here"),
        prop::text(prop::CORRELATION_DATA, b"\0\xff"),
        prop::u32(prop::MESSAGE_EXPIRY, 60),
    ];
    let (mut reader, client, _) = pair(target, version, |will| Will { properties: block.concat(), ..will })?;
    client.vanish();
    let came = reader.take(b"will")?.properties;
    expect(came.pairs() == pairs, || format!("user properties {:?}", came.pairs()))?;
    expect(
        came.number(prop::PAYLOAD_FORMAT) == Some(1)
            && came.bytes(prop::CONTENT_TYPE) == Some(b"text/will")
            && came.bytes(prop::RESPONSE_TOPIC) == Some(b"answer/here")
            && came.bytes(prop::CORRELATION_DATA) == Some(b"\0\xff")
            && came.number(prop::MESSAGE_EXPIRY).is_some_and(|left| left <= 60),
        || format!("{came:?}"),
    )
}

fn of_refused(target: &Target, version: Version) -> Outcome {
    let topic = target.fresh();
    let mut reader = Client::clean(target, version)?;
    reader.subscribe(&topic, 1)?;
    let connect = Connect::new(version, &target.fresh()).will(Will::new(&topic, b"will"));
    let mut client = Client::dial(target, version)?;
    client.send(&Connect { tail: b"x".to_vec(), ..connect }.bytes());
    turned_away(&mut client, &[0x81, 0x82])?;
    only_end(target, &mut reader, &topic)
}
