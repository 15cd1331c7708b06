//! Strings, topics and filters: what they must not be, and that all else is left as it is.

use ::mqtt::version::Version;

use crate::conform::case::{Outcome, Target};
use crate::conform::mqtt_cases::client::{Client, expect};
use crate::conform::mqtt_cases::packet::Packet;
use crate::conform::mqtt_cases::refused::{Said, each_refused, each_turned_away};
use crate::conform::mqtt_cases::row::{Row, about, row};
use crate::conform::mqtt_cases::write::{Connect, Message, Will, prop, subscribe, unsubscribe};
use crate::conform::peer::Next;

pub(crate) const ROWS: &[Row] = &[
    row("a_wildcard_in_a_topic_ends_the_connection", "3.3.2-2 4.7.0-1", "3.3.2-2 4.7.1-1", wildcard_in_topic),
    row("a_null_character_in_a_string_ends_the_connection", "1.5.4-2 4.7.3-2", "1.5.3-2 4.7.3-2", null),
    row(
        "ill_formed_text_ends_the_connection",
        "1.5.4-1 1.5.7-1 3.1.3-4 3.1.3-8 3.1.3-11 3.3.2-1 3.3.2-13 3.3.2-19 3.8.3-1 3.10.3-1",
        "1.5.3-1 3.1.3-4 3.1.3-10 3.3.2-1 3.8.3-1 3.10.3-1",
        ill_formed,
    ),
    row("an_ill_formed_user_name_lets_nobody_in", "3.1.3-12", "3.1.3-11", ill_formed_user),
    row("a_byte_order_mark_is_a_character", "1.5.4-3", "1.5.3-3", byte_order_mark),
    row("an_empty_topic_or_filter_is_refused", "4.7.3-1", "4.7.3-1", empty),
    row("a_wildcard_has_its_level_to_itself", "4.7.1-1 4.7.1-2", "4.7.1-2 4.7.1-3", misplaced_wildcard),
    row("a_topic_of_the_greatest_length_works", "4.7.3-3", "4.7.3-3", longest),
    row("a_topic_of_very_many_levels_does_no_harm", "4.7.3-3", "4.7.3-3", levels),
    row("a_topic_is_matched_byte_for_byte", "4.7.3-4", "4.7.3-4", byte_exact),
    row("a_filter_matches_its_topics_and_no_others", "3.3.2-3", "3.3.2-3 3.8.3-2", matching),
    row("a_wildcard_in_front_does_not_match_a_dollar", "4.7.2-1", "4.7.2-1", dollar),
];

fn wildcard_in_topic(target: &Target, version: Version) -> Outcome {
    let topic = target.fresh();
    let message = |end: &str, qos| Message::new(&format!("{topic}{end}"), b"x", qos, 1).bytes(version);
    let packets = [("+", message("/+", 0)), ("#", message("/#", 1)), ("a level with +", message("/a+", 2))];
    each_refused(target, version, &[0x81, 0x82, 0x90], &packets)
}

fn null(target: &Target, version: Version) -> Outcome {
    let name = target.fresh();
    everywhere(target, version, &[name.as_bytes(), b"\0x"].concat())
}

fn ill_formed(target: &Target, version: Version) -> Outcome {
    for wrong in ILL_FORMED {
        let text = [target.fresh().as_bytes(), wrong].concat();
        everywhere(target, version, &text).map_err(|short| about(&format!("{wrong:02x?}"), short))?;
    }
    Ok(())
}

fn ill_formed_user(target: &Target, version: Version) -> Outcome {
    for wrong in ILL_FORMED {
        let text = [target.fresh().as_bytes(), wrong].concat();
        let connect = Connect::new(version, &target.fresh());
        let connect = Connect { user: Some(text), password: Some(b"x".into()), ..connect };
        // A server may look for the name first, and not find it.
        let codes = &[4, 5, 0x81, 0x82, 0x86, 0x87, 0x99];
        each_turned_away(target, version, codes, &[("user name", connect.bytes())])
            .map_err(|short| about(&format!("{wrong:02x?}"), short))?;
    }
    Ok(())
}

/// This text in every place where text may be.
fn everywhere(target: &Target, version: Version, text: &[u8]) -> Outcome {
    let codes = &[0x81, 0x82, 0x85, 0x86, 0x8f, 0x90, 0x99, 0x84];
    each_refused(target, version, codes, &in_packets(target, version, text))?;
    each_turned_away(target, version, codes, &in_connect(target, version, text))
}

fn in_packets(target: &Target, version: Version, text: &[u8]) -> Vec<Said> {
    let topic = target.fresh();
    let mut packets = vec![
        ("topic", Message { topic: text.into(), ..Message::default() }.bytes(version)),
        ("filter", subscribe(version, 1, &[], &[(text, 0)])),
        ("filter of UNSUBSCRIBE", unsubscribe(version, 1, &[text])),
    ];
    if version.has_properties() {
        let with = |block: Vec<u8>| Message::new(&topic, b"x", 0, 0).with(&block).bytes(version);
        packets.extend([
            ("user property, name", with(prop::pair(text, "v"))),
            ("user property, value", with(prop::pair("k", text))),
            ("content type", with(prop::text(prop::CONTENT_TYPE, text))),
            ("response topic", with(prop::text(prop::RESPONSE_TOPIC, text))),
            (
                "user property of SUBSCRIBE",
                subscribe(version, 1, &prop::pair("k", text), &[(topic.as_bytes(), 0)]),
            ),
        ]);
    }
    packets
}

fn in_connect(target: &Target, version: Version, text: &[u8]) -> Vec<Said> {
    let connect = || Connect::new(version, &target.fresh());
    let will = Will::new("x", b"x");
    let mut packets = vec![
        ("client id", Connect { id: text.into(), ..connect() }.bytes()),
        ("user name", Connect { user: Some(text.into()), password: Some(b"x".into()), ..connect() }.bytes()),
        ("will topic", connect().will(Will { topic: text.into(), ..will.clone() }).bytes()),
    ];
    if version.has_properties() {
        packets.extend([
            ("user property of CONNECT", connect().with(&prop::pair(text, "v")).bytes()),
            (
                "content type of the will",
                connect()
                    .will(Will { properties: prop::text(prop::CONTENT_TYPE, text), ..will.clone() })
                    .bytes(),
            ),
        ]);
    }
    packets
}

fn byte_order_mark(target: &Target, version: Version) -> Outcome {
    let name = target.fresh();
    let topic = format!("\u{feff}{name}/\u{feff}");
    let mut client = Client::clean(target, version)?;
    client.subscribe(&format!("\u{feff}{name}/+"), 0)?;
    client.subscribe(&format!("{name}/+"), 0)?;
    client.tell(&topic, b"marked", 0)?;
    let message = client.expect_message(b"marked")?;
    expect(message.topic == topic, || format!("the topic came as {:?}", message.topic))?;
    client.quiet()
}

fn empty(target: &Target, version: Version) -> Outcome {
    let packets = [
        ("topic", Message::new("", b"x", 0, 0).bytes(version)),
        ("filter", subscribe(version, 1, &[], &[(b"", 0)])),
        ("filter of UNSUBSCRIBE", unsubscribe(version, 1, &[b""])),
    ];
    let codes = &[0x81, 0x82, 0x8f, 0x90];
    let [topic, filters @ ..] = &packets;
    each_refused(target, version, codes, std::slice::from_ref(topic))?;
    for (what, packet) in filters {
        filter_refused(target, version, packet, codes).map_err(|short| about(what, short))?;
    }
    let empty_will = Connect::new(version, &target.fresh()).will(Will::new("", b"x"));
    each_turned_away(target, version, codes, &[("will topic", empty_will.bytes())])
}

/// The filter of this packet is refused: by its code, or with the connection.
fn filter_refused(target: &Target, version: Version, packet: &[u8], codes: &[u8]) -> Outcome {
    let mut client = Client::clean(target, version)?;
    client.send(packet);
    match client.next(target.patience)? {
        Next::Some(Packet::Suback(answer) | Packet::Unsuback(answer)) => {
            expect(answer.codes.iter().all(|code| *code >= 0x80) && !answer.codes.is_empty(), || {
                format!("the server grants it: {:02x?}", answer.codes)
            })
        }
        Next::Some(Packet::Disconnect { code, .. }) => {
            expect(codes.contains(&code), || format!("DISCONNECT {code:#04x}"))?;
            client.refused(&[])
        }
        Next::Some(other) => expect(false, || format!("the server answers {other:?}")),
        Next::Silence => expect(false, || "nothing came".to_owned()),
        Next::End => Ok(()),
    }
}

fn misplaced_wildcard(target: &Target, version: Version) -> Outcome {
    let name = target.fresh();
    for end in ["#/a", "a#", "a/#/b", "#a", "##", "a+", "+a", "++", "a/b+/c", "a/+b", "+#", "#+"] {
        let filter = format!("{name}/{end}");
        let packet = subscribe(version, 1, &[], &[(filter.as_bytes(), 0)]);
        filter_refused(target, version, &packet, &[0x81, 0x82, 0x8f]).map_err(|short| about(end, short))?;
    }
    Ok(())
}

fn longest(target: &Target, version: Version) -> Outcome {
    let topic = format!("{:x<65535}", target.fresh());
    let mut client = Client::clean(target, version)?;
    client.subscribe(&topic, 1)?;
    client.tell(&topic, b"far", 0)?;
    let message = client.take(b"far")?;
    expect(message.topic == topic, || format!("the topic came with {} bytes", message.topic.len()))
}

fn levels(target: &Target, version: Version) -> Outcome {
    let deepest = "/".repeat(65_535);
    // A server may have a limit: it says so, or hangs up. What counts is that it lives.
    let mut client = Client::clean(target, version)?;
    client.send(&subscribe(version, 1, &[], &[(deepest.as_bytes(), 0)]));
    client.send(&Message::new(&deepest, b"deep", 0, 0).retained().bytes(version));
    client.send(&Message::new(&deepest, b"", 0, 0).retained().bytes(version));
    let _ = client.quiet();
    let mut other = Client::clean(target, version)?;
    other.quiet()
}

fn byte_exact(target: &Target, version: Version) -> Outcome {
    let name = target.fresh();
    let mut client = Client::clean(target, version)?;
    let topics = [
        "case",
        "Case",
        "/case",
        "case/",
        "case//x",
        "case/x",
        " case",
        "case ",
        "caf\u{e9}",
        "cafe\u{301}",
        "\u{1F600}",
        "%63ase",
        "case\\",
        "case.x",
        "case*",
    ];
    let topics: Vec<String> = topics.iter().map(|end| format!("{name}/{end}")).collect();
    for topic in &topics {
        client.subscribe(topic, 0)?;
        // Other spellings that are subscribed would double it.
        client.tell(topic, topic.as_bytes(), 0)?;
        let message = client.expect_message(topic.as_bytes())?;
        expect(message.topic == *topic, || format!("{topic:?} came as {:?}", message.topic))?;
        client.quiet()?;
        client.unsubscribe(&[topic])?;
        client.tell(topic, b"late", 0)?;
        client.quiet().map_err(|short| about(topic, short))?;
    }
    Ok(())
}

fn matching(target: &Target, version: Version) -> Outcome {
    let name = target.fresh();
    for (filter, yes, no) in [
        ("#", &["", "/a", "/a/b", "/"][..], &[][..]),
        ("a/#", &["/a", "/a/b", "/a/b/c", "/a/"], &["/b", "/ab", "/A"]),
        ("+", &["/a", "/"], &["", "/a/b", "//"]),
        ("+/+", &["/a/b", "//", "/a/"], &["/a", "/a/b/c"]),
        ("+/b", &["/a/b", "//b"], &["/b", "/a/b/", "/a/c"]),
        ("a/+/c", &["/a/b/c", "/a//c"], &["/a/c", "/a/b/b/c"]),
        ("a/b", &["/a/b"], &["/a", "/a/b/c", "/a/B", "/a/b/"]),
        ("+/a/#", &["/x/a", "/x/a/b", "//a"], &["/a", "/x/b"]),
    ] {
        let mut client = Client::clean(target, version)?;
        client.subscribe(&format!("{name}/{filter}"), 0)?;
        for (topics, is_wanted) in [(yes, true), (no, false)] {
            for end in topics {
                let topic = format!("{name}{end}");
                client.tell(&topic, topic.as_bytes(), 0)?;
                let came = if is_wanted { client.expect_message(topic.as_bytes()).map(drop) } else { Ok(()) };
                came.and_then(|()| client.quiet())
                    .map_err(|short| about(&format!("filter {filter}, topic {end}"), short))?;
            }
        }
    }
    Ok(())
}

fn dollar(target: &Target, version: Version) -> Outcome {
    let name = target.fresh();
    let mut reader = Client::clean(target, version)?;
    reader.subscribe(&format!("+/{name}/#"), 0)?;
    // A server may refuse such a topic; what counts is that it does not come.
    let mut writer = Client::clean(target, version)?;
    writer.say(&Message::new(&format!("$conform/{name}/a"), b"hidden", 0, 0));
    writer.say(&Message::new(&format!("$conform/{name}/a"), b"hidden", 0, 0).retained());
    let _ = writer.quiet();
    let mut other = Client::clean(target, version)?;
    other.tell(&format!("conform/{name}/a"), b"seen", 0)?;
    reader.expect_message(b"seen")?;
    reader.subscribe(&format!("+/{name}/a"), 0)?;
    reader.quiet()?;
    let mut cleaner = Client::clean(target, version)?;
    cleaner.say(&Message::new(&format!("$conform/{name}/a"), b"", 0, 0).retained());
    let _ = cleaner.quiet();
    Ok(())
}

/// A lonely continuation byte, an over-long slash, a surrogate, half a character, and more than U+10FFFF.
const ILL_FORMED: [&[u8]; 5] = [b"\x80", b"\xc0\xaf", b"\xed\xa0\x80", b"\xe4\xb8", b"\xf4\x90\x80\x80"];
