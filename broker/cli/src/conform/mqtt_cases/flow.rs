//! Limits that one side sets to the other: messages in flight, sizes, aliases, texts.

use ::mqtt::version::Version;

use crate::conform::case::{Outcome, Short, Target};
use crate::conform::mqtt_cases::client::{Client, expect};
use crate::conform::mqtt_cases::packet::{Packet, Publish};
use crate::conform::mqtt_cases::refused::turned_away;
use crate::conform::mqtt_cases::row::{Row, about, only, row};
use crate::conform::mqtt_cases::session::forget;
use crate::conform::mqtt_cases::write::{
    Connect, Message, PINGREQ, PUBACK, PUBCOMP, PUBREC, PUBREL, ack, ack_with, framed, prop, subscribe,
    unsubscribe,
};
use crate::conform::peer::Next;

pub(crate) const ROWS: &[Row] = &[
    row("not_more_messages_than_the_receive_maximum", "3.3.4-9 4.9.0-1 4.9.0-2", "", receive_maximum),
    row("a_full_window_holds_up_messages_and_nothing_else", "3.3.4-10 4.9.0-3", "", others_flow),
    row("a_refusal_frees_its_place_in_the_window", "3.3.4-9 4.4.0-2", "", refusal_frees),
    row("the_window_is_new_with_each_connection", "4.9.0-1", "", new_window),
    row("a_client_that_exceeds_the_receive_maximum_is_cut_off", "3.3.4-7", "", exceeded),
    row("a_message_that_is_too_large_for_a_client_is_left_out", "3.1.2-24 3.1.2-25", "", too_large),
    row(
        "no_text_that_makes_an_answer_too_large",
        "3.1.2-24 3.2.2-19 3.2.2-20 3.4.2-2 3.4.2-3 3.5.2-2 3.5.2-3 3.6.2-2 3.6.2-3 3.7.2-2 3.7.2-3 3.9.2-1 3.9.2-2 3.11.2-1 \
         3.11.2-2 3.14.2-3 3.14.2-4",
        "",
        small_answers,
    ),
    row("aliases_to_a_client_are_within_its_limit", "3.1.2-26 3.3.2-11", "", alias_limit),
    row("no_aliases_to_a_client_that_takes_none", "3.1.2-27", "", no_alias),
    row("a_message_that_comes_again_has_its_whole_topic", "3.1.2-26 3.3.2-7", "", alias_again),
    row("pingreq_is_answered_with_a_full_window", "3.12.4-1 4.9.0-3", "", ping),
];

/// A client with this Receive Maximum, and `topic` subscribed with QoS 2.
fn narrow(target: &Target, version: Version, maximum: u16, topic: &str) -> Result<Client, Short> {
    let block = prop::u16(prop::RECEIVE_MAXIMUM, maximum);
    let (mut client, _) =
        Client::join(target, version, &Connect::new(version, &target.fresh()).with(&block))?;
    client.subscribe(topic, 2)?;
    Ok(client)
}

fn receive_maximum(target: &Target, version: Version) -> Outcome {
    let topic = target.fresh();
    let mut reader = narrow(target, version, 2, &topic)?;
    let mut writer = Client::clean(target, version)?;
    for number in 0..6u8 {
        writer.tell(&topic, &[number], 1 + number % 2)?;
    }
    let mut open: Vec<Publish> = vec![reader.expect_message(&[0])?, reader.expect_message(&[1])?];
    reader.quiet()?;
    // From here on the window was once right.
    only("3.3.4-9 4.9.0-2", refilled(&mut reader, &mut open))
}

fn refilled(reader: &mut Client, open: &mut Vec<Publish>) -> Outcome {
    for number in 2..6u8 {
        let message = open.remove(0);
        if message.qos == 1 {
            reader.send(&ack(PUBACK, message.id));
        } else {
            // Half the handshake frees nothing.
            reader.send(&ack(PUBREC, message.id));
            reader.expect_ack(PUBREL, message.id)?;
            reader.quiet()?;
            reader.send(&ack(PUBCOMP, message.id));
        }
        open.push(reader.expect_message(&[number])?);
        reader.quiet()?;
    }
    Ok(())
}

fn others_flow(target: &Target, version: Version) -> Outcome {
    let topic = target.fresh();
    let mut reader = narrow(target, version, 1, &topic)?;
    let mut writer = Client::clean(target, version)?;
    writer.tell(&topic, b"one", 2)?;
    writer.tell(&topic, b"two", 2)?;
    let one = reader.expect_message(b"one")?;
    reader.subscribe(&target.fresh(), 0)?;
    reader.unsubscribe(&[&target.fresh()])?;
    for qos in 0..=2 {
        reader.tell(&target.fresh(), b"x", qos)?;
    }
    reader.quiet()?;
    reader.send(&ack(PUBREC, one.id));
    reader.expect_ack(PUBREL, one.id)?;
    reader.send(&ack(PUBCOMP, one.id));
    reader.take(b"two").map(drop)
}

fn ping(target: &Target, version: Version) -> Outcome {
    let topic = target.fresh();
    let mut reader = narrow(target, version, 1, &topic)?;
    let mut writer = Client::clean(target, version)?;
    for _ in 0..3 {
        writer.tell(&topic, b"x", 1)?;
    }
    reader.expect_message(b"x")?;
    (0..3).try_for_each(|_| reader.quiet())
}

fn refusal_frees(target: &Target, version: Version) -> Outcome {
    let topic = target.fresh();
    let mut reader = narrow(target, version, 1, &topic)?;
    let mut writer = Client::clean(target, version)?;
    for number in 0..4u8 {
        writer.tell(&topic, &[number], 1 + number % 2)?;
    }
    for number in 0..4u8 {
        let message = reader.expect_message(&[number])?;
        reader.quiet()?;
        reader.send(&ack_with(if message.qos == 1 { PUBACK } else { PUBREC }, message.id, 0x83));
    }
    reader.quiet()
}

fn new_window(target: &Target, version: Version) -> Outcome {
    let (id, topic) = (target.fresh(), target.fresh());
    let connect = |maximum| Connect::lasting(version, &id).with(&prop::u16(prop::RECEIVE_MAXIMUM, maximum));
    let (mut reader, _) = Client::join(target, version, &connect(1))?;
    reader.subscribe(&topic, 1)?;
    let mut writer = Client::clean(target, version)?;
    for number in 0..4u8 {
        writer.tell(&topic, &[number], 1)?;
    }
    reader.expect_message(&[0])?;
    reader.quiet()?;
    reader.vanish();
    let (mut reader, _) = Client::join(target, version, &connect(3))?;
    for number in 0..3u8 {
        reader.expect_message(&[number])?;
    }
    reader.quiet()?;
    reader.leave()?;
    forget(target, version, &id)
}

fn exceeded(target: &Target, version: Version) -> Outcome {
    let topic = target.fresh();
    let (mut client, connack) = Client::join(target, version, &Connect::new(version, &target.fresh()))?;
    let maximum = connack.properties.number(prop::RECEIVE_MAXIMUM).unwrap_or(65535);
    let Ok(maximum) = u16::try_from(maximum) else { return Ok(()) };
    if maximum > 60_000 {
        return Err(Short::NotApplicable("the server sets no limit".to_owned()));
    }
    // QoS 2 without PUBREL keeps its place.
    for id in 1..=maximum {
        client.say(&Message::new(&topic, b"x", 2, id));
        client.expect_ack(PUBREC, id)?;
    }
    client.say(&Message::new(&topic, b"free", 0, 0));
    client.quiet()?;
    client.say(&Message::new(&topic, b"x", 2, maximum + 1));
    let mut said = client.closed()?;
    // It may answer the message first, with an error.
    said.retain(|packet| !matches!(packet, Packet::Ack(ack) if ack.first == PUBREC && ack.code >= 0x80));
    expect(matches!(said.as_slice(), [] | [Packet::Disconnect { code: 0x93, .. }]), || {
        format!("the server says {said:?} before it closes")
    })
}

fn too_large(target: &Target, version: Version) -> Outcome {
    let topic = target.fresh();
    let block = prop::u32(prop::MAXIMUM_PACKET, 100);
    let (mut reader, _) =
        Client::join(target, version, &Connect::new(version, &target.fresh()).with(&block))?;
    reader.subscribe(&topic, 2)?;
    let mut writer = Client::clean(target, version)?;
    // Over a hundred of them: each would take a place in the window, if it were not behaved as if it were done.
    for number in 0..120u8 {
        writer.tell(&topic, &[b'x'; 100], 1 + number % 2)?;
    }
    for (number, size) in [(1u8, 10), (2, 40), (0, 9)] {
        writer.tell(&topic, &vec![b'y'; size], number)?;
        let message = only("3.1.2-25", reader.take(&vec![b'y'; size]))?;
        expect(message.size <= 100, || format!("{} bytes came", message.size))?;
    }
    // Exactly a hundred bytes: a header of 2, the topic, two bytes of id, no properties.
    let fits = 100 - 2 - 2 - topic.len() - 2 - 1;
    writer.tell(&topic, &vec![b'z'; fits], 1)?;
    writer.tell(&topic, &vec![b'z'; fits + 1], 1)?;
    let message = reader.take(&vec![b'z'; fits])?;
    expect(message.size == 100, || format!("{} bytes came", message.size))?;
    reader.quiet()
}

fn small_answers(target: &Target, version: Version) -> Outcome {
    let name = target.fresh();
    let connect =
        |id: &str, maximum| Connect::new(version, id).with(&prop::u32(prop::MAXIMUM_PACKET, maximum));
    // Answers of all kinds to a client that takes short ones, each with something to complain about.
    let questions: [(&str, Vec<u8>); 8] = [
        ("PUBACK", Message::new(&name, b"x", 1, 1).bytes(version)),
        ("PUBREC", Message::new(&name, b"x", 2, 2).bytes(version)),
        ("PUBCOMP", ack(PUBREL, 9)),
        ("PUBREL", ack(PUBREC, 9)),
        ("SUBACK", subscribe(version, 3, &[], &[(b"a/#/b", 0)])),
        ("UNSUBACK", unsubscribe(version, 4, &[name.as_bytes()])),
        ("DISCONNECT", framed(0x30, &[&[0, 1], b"#", &[0]])),
        ("DISCONNECT", vec![0x00, 0x00]),
    ];
    let small = 40;
    for (what, packet) in questions {
        let (mut client, connack) = Client::join(target, version, &connect(&name, small))?;
        expect(connack.size <= 40, || format!("CONNACK of {} bytes", connack.size))?;
        for maximum in [small, 8] {
            let Ok((mut client, _)) = Client::join(target, version, &connect(&name, maximum)) else {
                continue;
            };
            client.send(&packet);
            client.send(PINGREQ);
            within(&mut client, target, maximum).map_err(|short| about(what, short))?;
        }
        client.closed()?;
    }
    // Where even the shortest CONNACK is too long, only the end remains.
    let mut client = Client::knock(target, version, &connect(&target.fresh(), 4))?;
    turned_away(&mut client, &[])?;
    let mut wrong = connect(&target.fresh(), 12).with(&prop::text(prop::AUTH_METHOD, "conform-unknown"));
    wrong.clean = true;
    let mut client = Client::knock(target, version, &wrong)?;
    for packet in client.closed()? {
        let Packet::Connack(connack) = &packet else { continue };
        expect(connack.size <= 12, || format!("CONNACK of {} bytes", connack.size))?;
    }
    Ok(())
}

/// No packet until PINGRESP, or the end, is larger.
fn within(client: &mut Client, target: &Target, maximum: u32) -> Outcome {
    let maximum = usize::try_from(maximum).unwrap_or(usize::MAX);
    loop {
        let (packet, size) = match client.sized(target.patience)? {
            Next::Some(found) => found,
            Next::Silence => return Err(Short::failed("silence")),
            Next::End => return Ok(()),
        };
        expect(size <= maximum, || format!("{packet:?} is {size} bytes long, more than {maximum}"))?;
        if packet == Packet::Pingresp {
            return Ok(());
        }
    }
}

fn alias_limit(target: &Target, version: Version) -> Outcome {
    let name = target.fresh();
    let block = prop::u16(prop::ALIAS_MAXIMUM, 2);
    let (mut reader, _) =
        Client::join(target, version, &Connect::new(version, &target.fresh()).with(&block))?;
    reader.subscribe(&format!("{name}/+"), 0)?;
    let mut writer = Client::clean(target, version)?;
    let mut known: Vec<(u32, String)> = Vec::new();
    for number in [0u8, 1, 2, 3, 0, 1, 2, 3, 3, 3] {
        let topic = format!("{name}/{number}");
        writer.tell(&topic, &[number], 0)?;
        let message = reader.expect_message(&[number])?;
        let alias = message.properties.number(prop::TOPIC_ALIAS);
        expect(alias.is_none_or(|alias| (1..=2).contains(&alias)), || format!("alias {alias:?}"))?;
        let found = match alias {
            Some(alias) if !message.topic.is_empty() => {
                known.retain(|(other, _)| *other != alias);
                known.push((alias, message.topic.clone()));
                message.topic
            }
            Some(alias) => {
                let found = known.iter().find(|(other, _)| *other == alias);
                found.map(|(_, topic)| topic.clone()).unwrap_or_default()
            }
            None => message.topic,
        };
        expect(found == topic, || format!("{topic} came as {found:?}"))?;
    }
    Ok(())
}

fn alias_again(target: &Target, version: Version) -> Outcome {
    let (id, topic) = (target.fresh(), target.fresh());
    let connect = Connect::lasting(version, &id).with(&prop::u16(prop::ALIAS_MAXIMUM, 8));
    let (mut reader, _) = Client::join(target, version, &connect)?;
    reader.subscribe(&topic, 1)?;
    let mut writer = Client::clean(target, version)?;
    for number in 0..3u8 {
        writer.tell(&topic, &[number], 1)?;
        reader.expect_message(&[number])?;
    }
    reader.vanish();
    // This connection knows no aliases, and takes none.
    let mut reader = Client::lasting(target, version, &id, true)?;
    for number in 0..3u8 {
        let message = reader.take(&[number])?;
        expect(message.topic == topic, || format!("it came again with the topic {:?}", message.topic))?;
    }
    reader.leave()?;
    forget(target, version, &id)
}

fn no_alias(target: &Target, version: Version) -> Outcome {
    let topic = target.fresh();
    for block in [Vec::new(), prop::u16(prop::ALIAS_MAXIMUM, 0)] {
        let (mut reader, _) =
            Client::join(target, version, &Connect::new(version, &target.fresh()).with(&block))?;
        reader.subscribe(&topic, 0)?;
        let mut writer = Client::clean(target, version)?;
        for _ in 0..3 {
            // The publisher's own alias is its own affair.
            writer.say(&Message::new(&topic, b"x", 0, 0));
            let message = reader.expect_message(b"x")?;
            expect(!message.properties.has(prop::TOPIC_ALIAS) && message.topic == topic, || {
                format!("{message:?}")
            })?;
        }
    }
    Ok(())
}
