//! Properties of 5.0: which may stand where, how often, and with which values.

use ::mqtt::version::Version;

use crate::conform::case::{Outcome, Short, Target};
use crate::conform::mqtt_cases::client::{Client, expect};
use crate::conform::mqtt_cases::packet::Packet;
use crate::conform::mqtt_cases::refused::{BROKEN, each_refused, each_turned_away};
use crate::conform::mqtt_cases::row::{Row, about, row};
use crate::conform::mqtt_cases::write::{
    Connect, Message, PUBACK, PUBREL, Will, binary, framed, prop, properties, subscribe,
};

pub(crate) const ROWS: &[Row] = &[
    row("a_property_stands_only_in_its_packets", "4.13.1-1", "", wrong_place),
    row("a_property_stands_only_once", "4.13.1-1", "", twice),
    row("a_property_that_does_not_exist_ends_the_connection", "4.13.1-1", "", unknown),
    row("a_property_has_one_of_its_values", "4.13.1-1", "", values),
    row("a_topic_alias_is_not_0", "3.3.2-8", "", alias_0),
    row("no_properties_are_a_length_of_0", "2.2.2-1", "", no_block),
    row("a_client_sends_no_subscription_identifier", "3.3.4-6", "", identifier_from_client),
    row("a_response_topic_has_no_wildcard", "3.3.2-14", "", wildcard_in_response),
    row("an_alias_that_is_too_high_ends_the_connection", "3.3.2-9 3.2.2-17 3.2.2-18", "", alias_too_high),
    row("an_alias_ends_with_its_connection", "3.3.2-7", "", alias_of_before),
    row("every_alias_up_to_the_limit_works_and_may_be_redefined", "3.3.2-12", "", aliases),
    row("a_shared_subscription_has_a_group_and_a_filter", "4.8.2-1 4.8.2-2", "", shares),
    row("no_local_on_a_shared_subscription_ends_the_connection", "3.8.3-4", "", shared_no_local),
];

fn wrong_place(target: &Target, version: Version) -> Outcome {
    let name = target.fresh();
    for (id, block) in every() {
        let mut packets = Vec::new();
        if !IN_PUBLISH.contains(&id) {
            packets.push(("PUBLISH", Message::new(&name, b"x", 0, 0).with(&block).bytes(version)));
        }
        if !IN_SUBSCRIBE.contains(&id) {
            packets.push(("SUBSCRIBE", subscribe(version, 1, &block, &[(name.as_bytes(), 0)])));
        }
        if id != prop::USER_PROPERTY {
            packets.push((
                "UNSUBSCRIBE",
                framed(0xa2, &[&[0, 1], &properties(version, &block), &binary(name.as_bytes())]),
            ));
        }
        if !IN_ACK.contains(&id) {
            packets.push(("PUBACK", framed(PUBACK, &[&[0, 1, 0], &properties(version, &block)])));
            packets.push(("PUBREL", framed(PUBREL, &[&[0, 1, 0], &properties(version, &block)])));
        }
        each_refused(target, version, BROKEN, &packets)
            .map_err(|short| about(&format!("property {id:#04x}"), short))?;
        let connect = Connect::new(version, &target.fresh());
        let mut packets = Vec::new();
        if !IN_CONNECT.contains(&id) {
            packets.push(("CONNECT", connect.clone().with(&block).bytes()));
        }
        if !IN_WILL.contains(&id) {
            packets.push(("will", connect.will(Will { properties: block, ..Will::new("x", b"x") }).bytes()));
        }
        each_turned_away(target, version, BROKEN, &packets)
            .map_err(|short| about(&format!("property {id:#04x}"), short))?;
    }
    Ok(())
}

fn twice(target: &Target, version: Version) -> Outcome {
    let name = target.fresh();
    for (id, block) in every().into_iter().filter(|(id, _)| *id != prop::USER_PROPERTY) {
        let block = block.repeat(2);
        let refused = if IN_CONNECT.contains(&id) {
            // Authentication Data alone would be refused for that.
            let connect = Connect::new(version, &target.fresh()).with(&block).bytes();
            each_turned_away(target, version, BROKEN, &[("CONNECT", connect)])
        } else if IN_PUBLISH.contains(&id) && id != prop::SUBSCRIPTION_ID {
            let message = Message::new(&name, b"x", 0, 0).with(&block).bytes(version);
            each_refused(target, version, BROKEN, &[("PUBLISH", message)])
        } else if id == prop::SUBSCRIPTION_ID {
            let packet = subscribe(version, 1, &block, &[(name.as_bytes(), 0)]);
            each_refused(target, version, BROKEN, &[("SUBSCRIBE", packet)])
        } else if id == prop::WILL_DELAY {
            let will = Will { properties: block, ..Will::new("x", b"x") };
            let connect = Connect::new(version, &target.fresh()).will(will).bytes();
            each_turned_away(target, version, BROKEN, &[("will", connect)])
        } else {
            Ok(())
        };
        refused.map_err(|short| about(&format!("property {id:#04x}"), short))?;
    }
    Ok(())
}

fn unknown(target: &Target, version: Version) -> Outcome {
    let name = target.fresh();
    for id in [0x00, 0x04, 0x0a, 0x14, 0x20, 0x2b, 0x7f, 0x80, 0xff] {
        let message = Message::new(&name, b"x", 0, 0).with(&[id, 0, 0, 0, 0]).bytes(version);
        each_refused(target, version, BROKEN, &[("PUBLISH", message)])
            .map_err(|short| about(&format!("{id:#04x}"), short))?;
    }
    Ok(())
}

fn values(target: &Target, version: Version) -> Outcome {
    let name = target.fresh();
    let connect = |block: Vec<u8>| Connect::new(version, &target.fresh()).with(&block).bytes();
    let packets = [
        ("Receive Maximum 0", connect(prop::u16(prop::RECEIVE_MAXIMUM, 0))),
        ("Maximum Packet Size 0", connect(prop::u32(prop::MAXIMUM_PACKET, 0))),
        ("Request Problem Information 2", connect(prop::u8(prop::REQUEST_PROBLEM, 2))),
        ("Request Response Information 2", connect(prop::u8(prop::REQUEST_RESPONSE, 2))),
        ("Authentication Data without Method", connect(prop::text(prop::AUTH_DATA, "x"))),
    ];
    each_turned_away(target, version, BROKEN, &packets)?;
    let with = |block: Vec<u8>| Message::new(&name, b"x", 0, 0).with(&block).bytes(version);
    let packets = [
        ("Payload Format Indicator 2", with(prop::u8(prop::PAYLOAD_FORMAT, 2))),
        (
            "Subscription Identifier 0",
            subscribe(version, 1, &prop::number(prop::SUBSCRIPTION_ID, 0), &[(name.as_bytes(), 0)]),
        ),
    ];
    each_refused(target, version, BROKEN, &packets)
}

fn alias_0(target: &Target, version: Version) -> Outcome {
    let message = Message::new(&target.fresh(), b"x", 0, 0).with(&prop::u16(prop::TOPIC_ALIAS, 0));
    each_refused(target, version, &[0x81, 0x82, 0x94], &[("Topic Alias 0", message.bytes(version))])
}

fn no_block(target: &Target, version: Version) -> Outcome {
    // The client's reader takes a block for given in every packet that must have one.
    let name = target.fresh();
    let mut client = Client::clean(target, version)?;
    client.subscribe(&name, 0)?;
    client.tell(&name, b"bare", 0)?;
    let message = client.expect_message(b"bare")?;
    let head = 1 + 1 + 2 + name.len() + 1;
    expect(message.size == head + 4, || {
        format!("a message without properties came with {} bytes more", message.size - head - 4)
    })?;
    client.unsubscribe(&[&name])?;
    let packets = [
        ("PUBLISH", framed(0x30, &[&binary(name.as_bytes())])),
        ("SUBSCRIBE", framed(0x82, &[&[0, 1], &binary(name.as_bytes()), &[0]])),
    ];
    each_refused(target, version, BROKEN, &packets)
}

fn identifier_from_client(target: &Target, version: Version) -> Outcome {
    let message = Message::new(&target.fresh(), b"x", 0, 0).with(&prop::number(prop::SUBSCRIPTION_ID, 1));
    each_refused(target, version, BROKEN, &[("PUBLISH", message.bytes(version))])
}

fn wildcard_in_response(target: &Target, version: Version) -> Outcome {
    let name = target.fresh();
    let message = |topic: &str| {
        Message::new(&name, b"x", 0, 0).with(&prop::text(prop::RESPONSE_TOPIC, topic)).bytes(version)
    };
    let packets = [("#", message("a/#")), ("+", message("+/a"))];
    each_refused(target, version, &[0x81, 0x82, 0x90], &packets)
}

fn alias_too_high(target: &Target, version: Version) -> Outcome {
    let (mut client, connack) = Client::join(target, version, &Connect::new(version, &target.fresh()))?;
    let maximum = connack.properties.number(prop::ALIAS_MAXIMUM).unwrap_or(0);
    let Ok(alias) = u16::try_from(maximum + 1) else {
        return Err(Short::NotApplicable("the server takes every alias".to_owned()));
    };
    client.say(&Message::new(&target.fresh(), b"x", 0, 0).with(&prop::u16(prop::TOPIC_ALIAS, alias)));
    client.refused(&[0x94, 0x82])
}

fn alias_of_before(target: &Target, version: Version) -> Outcome {
    let (name, topic) = (target.fresh(), target.fresh());
    let lasting = Connect::lasting(version, &name);
    let (mut client, connack) = Client::join(target, version, &lasting)?;
    if connack.properties.number(prop::ALIAS_MAXIMUM).unwrap_or(0) == 0 {
        return Err(Short::NotApplicable("the server takes no aliases".to_owned()));
    }
    let alias = prop::u16(prop::TOPIC_ALIAS, 1);
    client.publish(Message::new(&topic, b"x", 1, 0).with(&alias))?;
    client.publish(Message::new("", b"x", 1, 0).with(&alias))?;
    client.leave()?;
    let (mut client, _) = Client::join(target, version, &lasting)?;
    client.say(&Message::new("", b"x", 1, 9).with(&alias));
    client.refused(&[0x82, 0x94])?;
    Client::clean(target, version)?.leave()?;
    Client::join(target, version, &Connect::new(version, &name))?.0.leave()
}

fn aliases(target: &Target, version: Version) -> Outcome {
    let topic = target.fresh();
    let (mut client, connack) = Client::join(target, version, &Connect::new(version, &target.fresh()))?;
    let maximum = connack.properties.number(prop::ALIAS_MAXIMUM).unwrap_or(0);
    let maximum = u16::try_from(maximum).unwrap_or(u16::MAX);
    if maximum == 0 {
        return Err(Short::NotApplicable("the server takes no aliases".to_owned()));
    }
    client.subscribe(&format!("{topic}/#"), 0)?;
    let alias = |number| prop::u16(prop::TOPIC_ALIAS, number);
    for number in [1, maximum / 2 + 1, maximum] {
        for round in ["a", "b"] {
            let name = format!("{topic}/{number}{round}");
            client.publish(Message::new(&name, b"first", 0, 0).with(&alias(number)))?;
            client.publish(Message::new("", b"second", 0, 0).with(&alias(number)))?;
            for payload in [&b"first"[..], b"second"] {
                let message = client.expect_message(payload)?;
                expect(message.topic == name && !message.properties.has(prop::TOPIC_ALIAS), || {
                    format!("alias {number}: {message:?}")
                })?;
            }
        }
    }
    Ok(())
}

fn shares(target: &Target, version: Version) -> Outcome {
    let name = target.fresh();
    for (group, end) in [("", ""), ("g", ""), ("g", "/"), ("", "/a"), ("g+", "/a"), ("#", "/a"), ("+", "/a")]
    {
        let end = if end == "/a" { format!("/{name}") } else { end.to_owned() };
        let filter = format!("$share/{group}{end}");
        let mut client = Client::clean(target, version)?;
        client.send(&subscribe(version, 1, &[], &[(filter.as_bytes(), 0)]));
        let refused = match client.packet("an answer") {
            Ok(Packet::Suback(suback)) => expect(suback.codes.iter().all(|code| *code >= 0x80), || {
                format!("the server grants it: {:02x?}", suback.codes)
            }),
            Ok(Packet::Disconnect { code, .. }) => {
                expect([0x81, 0x82, 0x8f, 0x9e].contains(&code), || format!("DISCONNECT {code:#04x}"))
            }
            Ok(other) => expect(false, || format!("the server answers {other:?}")),
            // Without a word.
            Err(_) => client.refused(&[]),
        };
        refused.map_err(|short| about(&filter, short))?;
    }
    Ok(())
}

fn shared_no_local(target: &Target, version: Version) -> Outcome {
    let filter = format!("$share/g/{}", target.fresh());
    let packet = subscribe(version, 1, &[], &[(filter.as_bytes(), 0x04)]);
    each_refused(target, version, &[0x82], &[("SUBSCRIBE", packet)])
}

/// Every property with a value that it may have.
fn every() -> Vec<(u8, Vec<u8>)> {
    let numbers1 = [0x01, 0x17, 0x19, 0x24, 0x25, 0x28, 0x29, 0x2a].map(|id| (id, prop::u8(id, 1)));
    let numbers2 = [0x13, 0x21, 0x22, 0x23].map(|id| (id, prop::u16(id, 1)));
    let numbers4 = [0x02, 0x11, 0x18, 0x27].map(|id| (id, prop::u32(id, 60)));
    let texts = [0x03, 0x08, 0x09, 0x12, 0x15, 0x16, 0x1a, 0x1c, 0x1f].map(|id| (id, prop::text(id, "x")));
    let mut all: Vec<(u8, Vec<u8>)> =
        numbers1.into_iter().chain(numbers2).chain(numbers4).chain(texts).collect();
    all.push((prop::SUBSCRIPTION_ID, prop::number(prop::SUBSCRIPTION_ID, 1)));
    all.push((prop::USER_PROPERTY, prop::pair("k", "v")));
    all
}

const IN_CONNECT: &[u8] = &[0x11, 0x15, 0x16, 0x17, 0x19, 0x21, 0x22, 0x26, 0x27];
const IN_WILL: &[u8] = &[0x01, 0x02, 0x03, 0x08, 0x09, 0x18, 0x26];
// A client may not send Subscription Identifier, but that is another case's.
const IN_PUBLISH: &[u8] = &[0x01, 0x02, 0x03, 0x08, 0x09, 0x0b, 0x23, 0x26];
const IN_SUBSCRIBE: &[u8] = &[0x0b, 0x26];
const IN_ACK: &[u8] = &[0x1f, 0x26];
