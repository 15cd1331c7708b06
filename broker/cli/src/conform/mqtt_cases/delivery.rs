//! Messages of QoS 0, 1 and 2, from the client and to it, once and again.

use std::time::Duration;

use ::mqtt::version::Version;

use crate::conform::case::{Outcome, Short, Target};
use crate::conform::mqtt_cases::client::{Client, expect, unexpected};
use crate::conform::mqtt_cases::packet::{Packet, Publish};
use crate::conform::mqtt_cases::row::{Row, only, row};
use crate::conform::mqtt_cases::session::forget;
use crate::conform::mqtt_cases::write::{Message, PUBACK, PUBCOMP, PUBREC, PUBREL, ack, ack_with, prop};
use crate::conform::peer::Next;

pub(crate) const ROWS: &[Row] = &[
    row("qos_0_has_no_id_and_no_dup", "2.2.1-2 4.3.1-1 3.3.1-2", "2.3.1-5 4.3.1-1 3.3.1-2", qos_0),
    row(
        "a_message_is_answered_by_its_qos",
        "2.2.1-5 3.3.4-1 3.4.2-1 3.5.2-1 3.7.2-1 4.3.2-4 4.3.3-8 4.3.3-11",
        "2.2.2-1 2.3.1-6 3.3.4-1 4.3.2-2 4.3.3-2",
        answers,
    ),
    row("qos_1_is_answered_by_puback", "2.2.1-5 3.4.2-1 4.3.2-4", "2.2.2-1 2.3.1-6 4.3.2-2", puback),
    row("an_id_is_free_after_puback", "4.3.2-5", "4.3.2-2", free_after_puback),
    row("an_id_is_free_after_pubcomp", "4.3.3-12", "4.3.3-2", free_after_pubcomp),
    row(
        "a_message_that_is_not_allowed_is_answered_or_ends_the_connection",
        "4.3.3-9",
        "3.3.5-2",
        not_allowed,
    ),
    row("qos_2_is_delivered_once", "4.3.3-10", "4.3.3-2", once),
    row(
        "qos_2_is_delivered_once_over_connections",
        "4.3.3-10 3.1.2-5",
        "4.3.3-2 3.1.2-4",
        once_over_connections,
    ),
    row("pubrel_is_always_answered", "4.3.3-11 3.7.2-1", "4.3.3-2", pubrel),
    row(
        "messages_to_a_client_go_through_their_handshake",
        "2.2.1-4 2.2.1-5 3.6.2-1 4.3.2-1 4.3.2-2 4.3.3-1 4.3.3-2 4.3.3-4",
        "2.3.1-4 2.3.1-6 4.3.2-1 4.3.3-1",
        handshakes,
    ),
    row(
        "what_was_not_acknowledged_comes_again",
        "3.3.1-1 4.3.2-3 4.3.3-3 4.4.0-1",
        "3.3.1-1 4.4.0-1 4.3.2-1 4.3.3-1",
        again,
    ),
    row(
        "after_pubrec_pubrel_comes_again_and_no_publish",
        "4.3.3-5 4.3.3-6 4.4.0-1",
        "4.3.3-1 4.4.0-1",
        pubrel_again,
    ),
    row("what_comes_again_comes_in_order", "4.6.0-1 4.6.0-5", "4.6.0-1 4.6.0-6", again_in_order),
    row("nothing_comes_again_on_the_same_connection", "4.4.0-1", "", no_retry),
    row("a_refused_message_does_not_come_again", "4.4.0-2", "", refused),
    row("dup_is_not_passed_on", "3.3.1-3", "3.3.1-3", dup),
    row("messages_come_in_order", "4.6.0-5 4.6.0-6", "4.6.0-5 4.6.0-6", order),
    row(
        "acknowledgements_come_in_order",
        "4.6.0-2 4.6.0-3 4.6.0-4",
        "4.6.0-2 4.6.0-3 4.6.0-4",
        acks_in_order,
    ),
    row("a_message_that_was_sent_does_not_expire", "4.3.3-7 4.3.3-13", "", no_expiry),
];

fn qos_0(target: &Target, version: Version) -> Outcome {
    let topic = target.fresh();
    let mut client = Client::clean(target, version)?;
    client.subscribe(&topic, 2)?;
    // A packet id would be two bytes in front of the payload, or of the properties.
    for payload in [&b""[..], b"\0\x01", b"x"] {
        client.tell(&topic, payload, 0)?;
        let message = client.expect_message(payload)?;
        expect(message.qos == 0 && !message.dup, || format!("{message:?}"))?;
    }
    client.quiet()
}

fn answers(target: &Target, version: Version) -> Outcome {
    let topic = target.fresh();
    let mut client = Client::clean(target, version)?;
    for id in [1, 2, 0x0100, 0xfffe, 0xffff] {
        client.say(&Message::new(&topic, b"x", 1, id));
        client.expect_ack(PUBACK, id)?;
        client.say(&Message::new(&topic, b"x", 2, id));
        let answer = client.expect_ack(PUBREC, id).map_err(|short| match short {
            // Here this is what is asked.
            Short::NotApplicable(why) | Short::Failed(why) | Short::FailedOf(_, why) => Short::Failed(why),
        });
        only(QOS_2, answer)?;
        client.send(&ack(PUBREL, id));
        only(QOS_2, client.expect_ack(PUBCOMP, id))?;
        client.say(&Message::new(&topic, b"x", 0, 0));
        client.quiet()?;
    }
    Ok(())
}

fn puback(target: &Target, version: Version) -> Outcome {
    let mut client = Client::clean(target, version)?;
    for id in [1, 2, 0x0100, 0xfffe, 0xffff] {
        client.say(&Message::new(&target.fresh(), b"x", 1, id));
        client.expect_ack(PUBACK, id)?;
        client.quiet()?;
    }
    Ok(())
}

fn free_after_puback(target: &Target, version: Version) -> Outcome {
    let topic = target.fresh();
    let mut reader = Client::clean(target, version)?;
    reader.subscribe(&topic, 0)?;
    let mut client = Client::clean(target, version)?;
    let message = Message::new(&topic, b"x", 1, 5);
    for message in [message.clone(), message.clone(), message.again()] {
        client.say(&message);
        client.expect_ack(PUBACK, 5)?;
        reader.expect_message(b"x")?;
    }
    Ok(())
}

fn free_after_pubcomp(target: &Target, version: Version) -> Outcome {
    let topic = target.fresh();
    let mut reader = Client::clean(target, version)?;
    reader.subscribe(&topic, 0)?;
    let mut client = Client::clean(target, version)?;
    let message = Message::new(&topic, b"x", 2, 5);
    for message in [message.clone(), message.clone(), message.again()] {
        client.say(&message);
        client.expect_ack(PUBREC, 5)?;
        client.send(&ack(PUBREL, 5));
        client.expect_ack(PUBCOMP, 5)?;
        reader.expect_message(b"x")?;
    }
    Ok(())
}

fn not_allowed(target: &Target, version: Version) -> Outcome {
    // What is below $SYS is the server's own, on most of them.
    let forbidden = format!("$SYS/{}", target.fresh());
    if version.has_properties() {
        refused_by_pubrec(target, version, &forbidden)
    } else {
        acknowledged(target, version, &forbidden)
    }
}

/// 5.0: a PUBREC that says no frees its packet id.
fn refused_by_pubrec(target: &Target, version: Version, forbidden: &str) -> Outcome {
    let topic = target.fresh();
    let mut reader = Client::clean(target, version)?;
    reader.subscribe(&topic, 0)?;
    let mut client = Client::clean(target, version)?;
    for _ in 0..2 {
        client.say(&Message::new(forbidden, b"x", 2, 5));
        let refusal = match client.next(target.patience)? {
            Next::Some(Packet::Ack(refusal)) if refusal.first == PUBREC && refusal.id == 5 => refusal,
            Next::Some(Packet::Disconnect { .. }) | Next::End => {
                return Err(Short::NotApplicable("the server closes the connection".to_owned()));
            }
            other => return Err(Short::failed(format!("expected PUBREC 5, and {other:?} came"))),
        };
        if refusal.code < 0x80 {
            return Err(Short::NotApplicable("the server allows it".to_owned()));
        }
    }
    // The id is free: this is a new message.
    client.say(&Message::new(&topic, b"new", 2, 5));
    client.expect_ack(PUBREC, 5)?;
    client.send(&ack(PUBREL, 5));
    client.expect_ack(PUBCOMP, 5)?;
    reader.expect_message(b"new").map(drop)
}

/// 3.1.1: it is acknowledged as if it were allowed, or the connection ends.
fn acknowledged(target: &Target, version: Version, forbidden: &str) -> Outcome {
    for (qos, answer) in [(1, PUBACK), (2, PUBREC)] {
        let mut client = Client::clean(target, version)?;
        client.say(&Message::new(forbidden, b"x", qos, 5));
        match client.next(target.patience)? {
            Next::End => {}
            // PUBACK at QoS 2: a server that has none, as `a_message_is_answered_by_its_qos` says of it.
            Next::Some(Packet::Ack(came)) if came.id == 5 && [answer, PUBACK].contains(&came.first) => {}
            other => return Err(Short::failed(format!("QoS {qos} was answered by {other:?}"))),
        }
    }
    Ok(())
}

fn once(target: &Target, version: Version) -> Outcome {
    let topic = target.fresh();
    let mut reader = Client::clean(target, version)?;
    reader.subscribe(&topic, 2)?;
    let mut client = Client::clean(target, version)?;
    let message = Message::new(&topic, b"once", 2, 5);
    // Twice: a server may lose patience with a client that goes on repeating itself on one connection.
    for message in [message.clone(), message.again()] {
        client.say(&message);
        client.expect_ack(PUBREC, 5)?;
    }
    client.send(&ack(PUBREL, 5));
    client.expect_ack(PUBCOMP, 5)?;
    client.tell(&topic, b"end", 1)?;
    reader.take(b"once")?;
    reader.take(b"end")?;
    reader.quiet()
}

fn once_over_connections(target: &Target, version: Version) -> Outcome {
    let (id, topic) = (target.fresh(), target.fresh());
    let mut reader = Client::clean(target, version)?;
    reader.subscribe(&topic, 2)?;
    let message = Message::new(&topic, b"once", 2, 5);
    let mut client = Client::lasting(target, version, &id, false)?;
    client.say(&message);
    client.expect_ack(PUBREC, 5)?;
    client.vanish();
    let mut client = Client::lasting(target, version, &id, true)?;
    client.say(&message.again());
    client.expect_ack(PUBREC, 5)?;
    client.send(&ack(PUBREL, 5));
    client.expect_ack(PUBCOMP, 5)?;
    client.tell(&topic, b"end", 1)?;
    reader.take(b"once")?;
    reader.take(b"end")?;
    client.leave()?;
    forget(target, version, &id)
}

fn pubrel(target: &Target, version: Version) -> Outcome {
    let mut client = Client::clean(target, version)?;
    client.send(&ack(PUBREL, 77));
    let answer = client.ack(PUBCOMP, 77)?;
    expect(matches!(answer.code, 0 | 0x92), || format!("PUBCOMP says {:#04x}", answer.code))?;
    client.quiet()
}

fn handshakes(target: &Target, version: Version) -> Outcome {
    let topic = target.fresh();
    let mut reader = Client::clean(target, version)?;
    reader.subscribe(&topic, 2)?;
    let mut writer = Client::clean(target, version)?;
    let mut open: Vec<Publish> = Vec::new();
    for number in 0..20u8 {
        writer.tell(&topic, &[number], 1 + number % 2)?;
        let message = reader.expect_message(&[number])?;
        expect(!message.dup && message.qos == 1 + number % 2, || format!("{message:?}"))?;
        expect(!open.iter().any(|other| other.id == message.id), || {
            format!("packet id {} is in use", message.id)
        })?;
        open.push(message);
        // Each third exchange stays open, so that ids are not simply those of before.
        if number % 3 == 0 {
            continue;
        }
        let Some(message) = open.pop() else { continue };
        if message.qos == 1 {
            reader.send(&ack(PUBACK, message.id));
        } else {
            reader.send(&ack(PUBREC, message.id));
            reader.expect_ack(PUBREL, message.id)?;
            reader.send(&ack(PUBCOMP, message.id));
        }
    }
    reader.quiet()
}

fn again(target: &Target, version: Version) -> Outcome {
    let (id, topic) = (target.fresh(), target.fresh());
    let mut reader = Client::lasting(target, version, &id, false)?;
    reader.subscribe(&topic, 2)?;
    let mut writer = Client::clean(target, version)?;
    writer.tell(&topic, b"one", 1)?;
    writer.tell(&topic, b"two", 2)?;
    let (one, two) = (reader.expect_message(b"one")?, reader.expect_message(b"two")?);
    for _ in 0..2 {
        reader.vanish();
        reader = Client::lasting(target, version, &id, true)?;
        for before in [&one, &two] {
            let message = reader.expect_message(&before.payload)?;
            expect(message.dup && message.id == before.id && message.qos == before.qos, || {
                format!("it came again as {message:?}, and was {before:?}")
            })?;
        }
    }
    reader.send(&ack(PUBACK, one.id));
    reader.send(&ack(PUBREC, two.id));
    reader.expect_ack(PUBREL, two.id)?;
    reader.send(&ack(PUBCOMP, two.id));
    reader.quiet()?;
    reader.leave()?;
    Client::lasting(target, version, &id, true)?.quiet()?;
    forget(target, version, &id)
}

fn pubrel_again(target: &Target, version: Version) -> Outcome {
    let (id, topic) = (target.fresh(), target.fresh());
    let mut reader = Client::lasting(target, version, &id, false)?;
    reader.subscribe(&topic, 2)?;
    let mut writer = Client::clean(target, version)?;
    writer.tell(&topic, b"two", 2)?;
    let message = reader.expect_message(b"two")?;
    reader.send(&ack(PUBREC, message.id));
    reader.expect_ack(PUBREL, message.id)?;
    for _ in 0..2 {
        reader.vanish();
        reader = Client::lasting(target, version, &id, true)?;
        reader.expect_ack(PUBREL, message.id)?;
        reader.quiet()?;
    }
    reader.send(&ack(PUBCOMP, message.id));
    reader.quiet()?;
    reader.vanish();
    let mut reader = Client::lasting(target, version, &id, true)?;
    reader.quiet()?;
    reader.leave()?;
    forget(target, version, &id)
}

fn again_in_order(target: &Target, version: Version) -> Outcome {
    let (id, topic) = (target.fresh(), target.fresh());
    let mut reader = Client::lasting(target, version, &id, false)?;
    reader.subscribe(&topic, 2)?;
    let mut writer = Client::clean(target, version)?;
    for number in 0..8u8 {
        writer.tell(&topic, &[number], 1)?;
    }
    let first: Vec<Publish> =
        (0..8u8).map(|number| reader.expect_message(&[number])).collect::<Result<_, _>>()?;
    // One in the middle is done; the others keep their order.
    if let Some(third) = first.get(2) {
        reader.send(&ack(PUBACK, third.id));
    }
    reader.quiet()?;
    reader.vanish();
    writer.tell(&topic, &[8], 1)?;
    let mut reader = Client::lasting(target, version, &id, true)?;
    for number in [0, 1, 3, 4, 5, 6, 7, 8u8] {
        let message = reader.take(&[number])?;
        expect(message.dup == (number < 8), || format!("{message:?}"))?;
    }
    reader.leave()?;
    forget(target, version, &id)
}

fn no_retry(target: &Target, version: Version) -> Outcome {
    let topic = target.fresh();
    let mut reader = Client::clean(target, version)?;
    reader.subscribe(&topic, 2)?;
    reader.tell(&topic, b"one", 0)?;
    reader.expect_message(b"one")?;
    let mut writer = Client::clean(target, version)?;
    writer.tell(&topic, b"two", 1)?;
    reader.expect_message(b"two")?;
    let came = reader.next(Duration::from_secs(4))?;
    expect(came == Next::Silence, || format!("without an acknowledgement, {came:?} came"))
}

fn refused(target: &Target, version: Version) -> Outcome {
    let (id, topic) = (target.fresh(), target.fresh());
    let mut reader = Client::lasting(target, version, &id, false)?;
    reader.subscribe(&topic, 2)?;
    let mut writer = Client::clean(target, version)?;
    for (qos, first) in [(1, PUBACK), (2, PUBREC)] {
        writer.tell(&topic, b"unwanted", qos)?;
        let message = reader.expect_message(b"unwanted")?;
        reader.send(&ack_with(first, message.id, 0x80));
        // No PUBREL either.
        reader.quiet()?;
    }
    reader.vanish();
    let mut reader = Client::lasting(target, version, &id, true)?;
    reader.quiet()?;
    reader.leave()?;
    forget(target, version, &id)
}

fn dup(target: &Target, version: Version) -> Outcome {
    let topic = target.fresh();
    let mut reader = Client::clean(target, version)?;
    reader.subscribe(&topic, 2)?;
    let mut writer = Client::clean(target, version)?;
    for qos in [1, 2] {
        writer.publish(Message::new(&topic, b"x", qos, 0).again())?;
        let message = reader.take(b"x")?;
        expect(!message.dup, || "DUP came with the first delivery".to_owned())?;
    }
    Ok(())
}

fn order(target: &Target, version: Version) -> Outcome {
    let topic = target.fresh();
    for qos in 0..=2u8 {
        let mut reader = Client::clean(target, version)?;
        reader.subscribe(&topic, qos)?;
        let mut writer = Client::clean(target, version)?;
        for number in 0..100u8 {
            writer.tell(&topic, &[number], qos)?;
        }
        for number in 0..100u8 {
            reader.take(&[number])?;
        }
    }
    Ok(())
}

fn acks_in_order(target: &Target, version: Version) -> Outcome {
    let topic = target.fresh();
    let mut client = Client::clean(target, version)?;
    for id in 1..=8 {
        client.say(&Message::new(&topic, b"x", 1, id));
    }
    for id in 1..=8 {
        client.expect_ack(PUBACK, id)?;
    }
    let ids = [5, 3, 8, 1];
    for id in ids {
        client.say(&Message::new(&topic, b"x", 2, id));
    }
    for id in ids {
        client.expect_ack(PUBREC, id)?;
    }
    for id in ids {
        client.send(&ack(PUBREL, id));
    }
    for id in ids {
        client.expect_ack(PUBCOMP, id)?;
    }
    let mut reader = Client::clean(target, version)?;
    reader.subscribe(&topic, 2)?;
    for number in 0..4u8 {
        client.tell(&topic, &[number], 2)?;
    }
    let messages: Vec<Publish> =
        (0..4u8).map(|number| reader.expect_message(&[number])).collect::<Result<_, _>>()?;
    for message in &messages {
        reader.send(&ack(PUBREC, message.id));
    }
    for message in &messages {
        reader.expect_ack(PUBREL, message.id)?;
        reader.send(&ack(PUBCOMP, message.id));
    }
    reader.quiet()
}

fn no_expiry(target: &Target, version: Version) -> Outcome {
    let (id, topic) = (target.fresh(), target.fresh());
    let mut reader = Client::lasting(target, version, &id, false)?;
    reader.subscribe(&topic, 2)?;
    let mut writer = Client::clean(target, version)?;
    let expiring = Message::new(&topic, b"short", 2, 0).with(&prop::u32(prop::MESSAGE_EXPIRY, 1));
    writer.publish(expiring.clone())?;
    let first = reader.expect_message(b"short")?;
    writer.publish(expiring)?;
    let second = reader.expect_message(b"short")?;
    reader.send(&ack(PUBREC, first.id));
    reader.expect_ack(PUBREL, first.id)?;
    std::thread::sleep(Duration::from_millis(2500));
    reader.vanish();
    let mut reader = Client::lasting(target, version, &id, true)?;
    // One has been released, the other has been sent: both go on.
    let mut wanted = vec![(PUBREL, first.id), (0, second.id)];
    while !wanted.is_empty() {
        let came = only("4.3.3-7", reader.packet(&format!("packet of the exchanges {wanted:?}")))?;
        let came = match came {
            Packet::Ack(ack) => (ack.first, ack.id),
            Packet::Publish(publish) => (0, publish.id),
            other => return Err(unexpected("PUBREL or PUBLISH", &other)),
        };
        expect(wanted.contains(&came), || format!("{came:?} came, expected are {wanted:?}"))?;
        wanted.retain(|one| *one != came);
    }
    reader.send(&ack(PUBCOMP, first.id));
    reader.send(&ack(PUBREC, second.id));
    reader.expect_ack(PUBREL, second.id)?;
    reader.send(&ack(PUBCOMP, second.id));
    reader.quiet()?;
    reader.leave()?;
    forget(target, version, &id)
}

/// What is asked of the answers to a message of QoS 2, in 5.0 and 3.1.1.
const QOS_2: &str = "3.3.4-1 3.5.2-1 3.7.2-1 4.3.3-8 4.3.3-11 4.3.3-2";
