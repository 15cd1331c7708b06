//! CONNECT: what it must be, and what it is answered with.

use ::mqtt::version::Version;

use crate::conform::case::{Outcome, Short, Target};
use crate::conform::mqtt_cases::client::{Client, expect, unexpected};
use crate::conform::mqtt_cases::packet::Packet;
use crate::conform::mqtt_cases::refused::{BROKEN, Said, each_turned_away, turned_away};
use crate::conform::mqtt_cases::row::{Row, only, row};
use crate::conform::mqtt_cases::write::{
    Connect, DISCONNECT, Message, PINGREQ, PUBACK, Will, binary, framed, prop, subscribe,
};

pub(crate) const ROWS: &[Row] = &[
    row("the_reserved_flag_of_connect_is_0", "3.1.2-3 3.1.4-1", "3.1.2-3 3.1.4-1", reserved_flag),
    row("will_qos_stands_for_a_will", "3.1.2-11", "3.1.2-11 3.1.2-13", qos_alone),
    row("will_retain_stands_for_a_will", "3.1.2-13", "3.1.2-11 3.1.2-15", retain_alone),
    row("a_will_has_qos_2_at_most", "3.1.2-12", "3.1.2-14", will_qos),
    row("the_will_flag_comes_with_a_will", "3.1.2-9", "3.1.2-9 3.1.2-11", will_fields),
    row(
        "flags_and_fields_of_connect_agree",
        "3.1.2-16 3.1.2-17 3.1.2-18 3.1.2-19 3.1.3-1 3.1.3-3 3.1.4-1",
        "3.1.2-18 3.1.2-19 3.1.2-20 3.1.2-21 3.1.3-1 3.1.3-3 3.1.4-1 3.2.2-6",
        fields_agree,
    ),
    row("a_password_without_a_user_name_is_refused", "", "3.1.2-22", password_alone),
    row("a_password_may_come_without_a_user_name", "3.1.2-16 3.1.2-19", "", password_alone_is_fine),
    row("a_second_connect_ends_the_connection", "3.1.0-2 3.2.0-2", "3.1.0-2", second),
    row("a_connection_begins_with_connect", "3.1.0-1", "3.1.0-1", first),
    row("another_protocol_is_turned_away", "3.1.2-1", "3.1.2-1", other_protocol),
    row(
        "an_unknown_level_is_turned_away",
        "3.1.2-2 3.2.2-6 3.2.2-7 3.2.2-8 4.13.2-1",
        "3.1.2-2 3.2.2-4 3.2.2-5",
        other_level,
    ),
    row("no_disconnect_before_connack", "3.14.0-1", "", no_disconnect_before),
    row(
        "connack_is_the_first_packet_and_says_success",
        "3.1.4-5 3.2.0-1 3.2.0-2 3.2.2-1 4.2-1",
        "3.1.4-4 3.2.0-1 7.0.0-2 7.1.1-1",
        connack,
    ),
    row("a_client_may_speak_before_connack", "3.1.4-5 3.2.0-1", "3.1.4-4 3.2.0-1", at_once),
    row("what_follows_a_refused_connect_is_not_done", "3.1.4-6", "3.1.4-5", nothing_after_refusal),
    row("an_empty_client_id_gets_another", "3.1.3-6 3.1.3-7 3.2.2-16", "3.1.3-6", empty_id),
    row(
        "an_empty_client_id_needs_a_clean_session",
        "",
        "3.1.3-7 3.1.3-8 3.1.3-9 3.2.2-4 3.2.2-5",
        empty_lasting,
    ),
    row("client_ids_of_23_letters_and_digits_work", "3.1.3-5", "3.1.3-5", ids),
    row(
        "a_take_over_ends_the_older_connection",
        "3.1.4-3 3.14.2-1 3.14.2-2 3.14.4-1 4.13.2-1",
        "3.1.4-2",
        take_over,
    ),
    row("pingreq_is_answered", "3.12.4-1", "3.12.4-1", ping),
    row("disconnect_ends_the_connection", "3.14.4-2", "3.14.4-1", disconnect),
    row("an_unknown_authentication_method_is_refused", "4.12.0-1", "", unknown_method),
    row("no_method_no_auth", "4.12.0-6 4.12.0-7", "", no_method),
    row("response_information_is_for_those_who_ask", "3.1.2-28", "", response_information),
    row("problem_information_is_for_those_who_ask", "3.1.2-29", "", problem_information),
    row("session_expiry_is_not_raised_from_0_in_disconnect", "4.13.1-1", "", raised_expiry),
];

fn reserved_flag(target: &Target, version: Version) -> Outcome {
    let connect = Connect { wrong_flags: 1, ..Connect::new(version, &target.fresh()) };
    each_turned_away(target, version, BROKEN, &[("the reserved flag", connect.bytes())])
}

fn qos_alone(target: &Target, version: Version) -> Outcome {
    let flagged = |wrong_flags| Connect { wrong_flags, ..Connect::new(version, &target.fresh()) }.bytes();
    let packets = [("Will QoS 1 without will", flagged(0x08)), ("Will QoS 2 without will", flagged(0x10))];
    each_turned_away(target, version, BROKEN, &packets)
}

fn retain_alone(target: &Target, version: Version) -> Outcome {
    let connect = Connect { wrong_flags: 0x20, ..Connect::new(version, &target.fresh()) };
    each_turned_away(target, version, BROKEN, &[("Will Retain without will", connect.bytes())])
}

fn will_qos(target: &Target, version: Version) -> Outcome {
    let will = Will { qos: 3, ..Will::new("x", b"x") };
    let connect = Connect::new(version, &target.fresh()).will(will);
    each_turned_away(target, version, BROKEN, &[("Will QoS 3", connect.bytes())])
}

fn will_fields(target: &Target, version: Version) -> Outcome {
    let connect = || Connect::new(version, &target.fresh());
    let will = Will { qos: 1, ..Will::new("x", b"x") };
    let packets: Vec<Said> = vec![
        ("Will Flag without will", Connect { wrong_flags: 0x04, ..connect() }.bytes()),
        ("will without Will Flag", Connect { wrong_flags: 0x04 | 0x08, ..connect().will(will) }.bytes()),
    ];
    each_turned_away(target, version, BROKEN, &packets)
}

fn fields_agree(target: &Target, version: Version) -> Outcome {
    let connect = || Connect::new(version, &target.fresh());
    let name = || Some(b"user".to_vec());
    let protocol = binary(version.protocol_name().as_bytes());
    let mut packets: Vec<Said> = vec![
        (
            "user name without User Name Flag",
            Connect { user: name(), wrong_flags: 0x80, ..connect() }.bytes(),
        ),
        (
            "password without Password Flag",
            Connect { user: name(), password: name(), wrong_flags: 0x40, ..connect() }.bytes(),
        ),
        ("bytes left over", Connect { tail: b"x".to_vec(), ..connect() }.bytes()),
        ("no client id", framed(0x10, &[&protocol, &[version.level(), 2, 0, 60]])),
        ("no keep alive", framed(0x10, &[&protocol, &[version.level(), 2]])),
        ("nothing", framed(0x10, &[])),
    ];
    // In 3.1 a field at the end may be missing, whatever the flags say.
    if version > Version::V31 {
        packets
            .push(("User Name Flag without user name", Connect { wrong_flags: 0x80, ..connect() }.bytes()));
        let connect = Connect { user: name(), wrong_flags: 0x40, ..connect() };
        packets.push(("Password Flag without password", connect.bytes()));
    }
    each_turned_away(target, version, BROKEN, &packets)
}

fn password_alone(target: &Target, version: Version) -> Outcome {
    let connect = Connect { password: Some(b"x".to_vec()), ..Connect::new(version, &target.fresh()) };
    each_turned_away(target, version, &[4, 5], &[("a password alone", connect.bytes())])
}

fn password_alone_is_fine(target: &Target, version: Version) -> Outcome {
    let connect = Connect { password: Some(b"x".to_vec()), ..Connect::new(version, &target.fresh()) };
    let mut client = Client::knock(target, version, &connect)?;
    match client.packet("CONNACK")? {
        // Whether it is the right one is another matter.
        Packet::Connack(connack) => expect(matches!(connack.code, 0 | 0x86 | 0x87 | 0x8c), || {
            format!("CONNACK {:#04x}", connack.code)
        }),
        other => Err(unexpected("CONNACK", &other)),
    }
}

fn second(target: &Target, version: Version) -> Outcome {
    let connect = Connect::new(version, &target.fresh());
    let (mut client, _) = Client::join(target, version, &connect)?;
    client.send(&connect.bytes());
    let said = client.closed()?;
    expect(matches!(said.as_slice(), [] | [Packet::Disconnect { code: 0x82, .. }]), || {
        format!("the server says {said:?}, not DISCONNECT 0x82")
    })
}

fn first(target: &Target, version: Version) -> Outcome {
    let name = target.fresh();
    let packets: Vec<Said> = vec![
        ("PUBLISH", Message::new(&name, b"x", 1, 1).bytes(version)),
        ("SUBSCRIBE", subscribe(version, 1, &[], &[(name.as_bytes(), 0)])),
        ("PINGREQ", PINGREQ.to_vec()),
        ("DISCONNECT", DISCONNECT.to_vec()),
        ("PUBACK", framed(PUBACK, &[&[0, 1]])),
    ];
    each_turned_away(target, version, &[], &packets)
}

fn other_protocol(target: &Target, version: Version) -> Outcome {
    let connect =
        |name: &[u8]| Connect { name: name.to_vec(), ..Connect::new(version, &target.fresh()) }.bytes();
    let packets = [("mqtt", connect(b"mqtt")), ("MQTTX", connect(b"MQTTX")), ("MQT", connect(b"MQT"))];
    each_turned_away(target, version, &[1, 0x81, 0x82, 0x84], &packets)
}

fn other_level(target: &Target, version: Version) -> Outcome {
    for level in [6, 100] {
        let connect = Connect { level, ..Connect::new(version, &target.fresh()) };
        // The client that knows no better is of 5.0; an answer in an older form is one byte shorter.
        let mut client = Client::dial(target, Version::V5)?;
        client.send(&connect.bytes());
        turned_away(&mut client, &[0x84, 1]).or_else(|_| {
            let mut client = Client::dial(target, Version::V311)?;
            client.send(&connect.bytes());
            turned_away(&mut client, &[1])
        })?;
    }
    if version.has_properties() {
        return Ok(());
    }
    // A level of 3.x that nobody has: told in the form of 3.x.
    let connect = Connect { name: b"MQIsdp".to_vec(), level: 2, ..Connect::new(version, &target.fresh()) };
    let mut client = Client::dial(target, version)?;
    client.send(&connect.bytes());
    turned_away(&mut client, &[1])
}

fn no_disconnect_before(target: &Target, version: Version) -> Outcome {
    // `each_turned_away` takes nothing but CONNACK.
    let connect = || Connect::new(version, &target.fresh());
    let packets: Vec<Said> = vec![
        ("a second property", connect().with(&prop::u16(prop::RECEIVE_MAXIMUM, 1).repeat(2)).bytes()),
        ("the reserved flag", Connect { wrong_flags: 1, ..connect() }.bytes()),
        ("PINGREQ", PINGREQ.to_vec()),
    ];
    each_turned_away(target, version, BROKEN, &packets)
}

fn connack(target: &Target, version: Version) -> Outcome {
    let (mut client, connack) = Client::join(target, version, &Connect::new(version, &target.fresh()))?;
    expect(!connack.present, || "Session Present 1 on a new session".to_owned())?;
    // Nothing follows by itself, no second CONNACK either.
    client.quiet()
}

fn at_once(target: &Target, version: Version) -> Outcome {
    let name = target.fresh();
    let mut client = Client::dial(target, version)?;
    let mut connect = Connect::new(version, &target.fresh());
    connect.user = target.user.clone().map(String::into_bytes);
    connect.password = target.password.clone().map(String::into_bytes);
    let all = [
        connect.bytes(),
        subscribe(version, 1, &[], &[(name.as_bytes(), 0)]),
        Message::new(&name, b"early", 1, 2).bytes(version),
        PINGREQ.to_vec(),
    ];
    client.send(&all.concat());
    let mut came = Vec::new();
    while came.len() < 5 {
        came.push(client.packet("an answer to each")?);
    }
    let [Packet::Connack(connack), rest @ ..] = came.as_slice() else {
        return Err(unexpected("CONNACK first", came.first().unwrap_or(&Packet::Pingresp)));
    };
    let has = |wanted: fn(&Packet) -> bool| rest.iter().any(wanted);
    expect(
        connack.code == 0
            && has(|packet| matches!(packet, Packet::Suback(_)))
            && has(|packet| matches!(packet, Packet::Publish(_)))
            && has(|packet| matches!(packet, Packet::Ack(_)))
            && has(|packet| matches!(packet, Packet::Pingresp)),
        || format!("{came:?}"),
    )
}

fn nothing_after_refusal(target: &Target, version: Version) -> Outcome {
    let name = target.fresh();
    let mut reader = Client::clean(target, version)?;
    reader.subscribe(&name, 0)?;
    let refused = Connect { tail: b"x".to_vec(), ..Connect::new(version, &target.fresh()) };
    let mut client = Client::dial(target, version)?;
    client.send(&[refused.bytes(), Message::new(&name, b"never", 0, 0).retained().bytes(version)].concat());
    turned_away(&mut client, BROKEN)?;
    let mut writer = Client::clean(target, version)?;
    writer.tell(&name, b"marker", 0)?;
    reader.expect_message(b"marker")?;
    let mut late = Client::clean(target, version)?;
    late.subscribe(&name, 0)?;
    late.quiet()
}

fn empty_id(target: &Target, version: Version) -> Outcome {
    let topic = target.fresh();
    let connect = Connect::new(version, "");
    let (mut one, said) = Client::join(target, version, &connect)?;
    let (mut two, said_two) = Client::join(target, version, &connect)?;
    if version.has_properties() {
        let id = |properties: &crate::conform::mqtt_cases::packet::Properties| {
            properties.bytes(prop::ASSIGNED_ID).unwrap_or_default().to_vec()
        };
        let (first, second) = (id(&said.properties), id(&said_two.properties));
        expect(!first.is_empty() && first != second, || {
            format!("the assigned client ids are {first:02x?} and {second:02x?}")
        })?;
        let (_, again) = Client::join(target, version, &Connect { clean: false, ..connect })?;
        expect(!id(&again.properties).is_empty() && !again.present, || {
            "without Clean Start no client id is assigned".to_owned()
        })?;
    }
    // Two sessions: both are there, and each is as good as any.
    for client in [&mut one, &mut two] {
        client.subscribe(&topic, 0)?;
    }
    one.tell(&topic, b"both", 0)?;
    one.expect_message(b"both")?;
    two.expect_message(b"both").map(drop)
}

fn empty_lasting(target: &Target, version: Version) -> Outcome {
    let mut client = Client::knock(target, version, &Connect { clean: false, ..Connect::new(version, "") })?;
    let said = client.closed()?;
    expect(
        matches!(said.as_slice(), [Packet::Connack(connack)] if connack.code == 2 && !connack.present),
        || format!("the server says {said:?}, not CONNACK 2"),
    )
}

fn ids(target: &Target, version: Version) -> Outcome {
    // The last ones cannot be told from those of another run, so they are used by nobody for long.
    let longest = format!("{:x<23}", target.fresh());
    for id in [longest.as_str(), "0123456789abcdefghijkl", "mnopqrstuvwxyzABCDEFGH", "IJKLMNOPQRSTUVWXYZ"] {
        let (client, _) = Client::join(target, version, &Connect::new(version, id))?;
        client.leave()?;
    }
    Ok(())
}

fn take_over(target: &Target, version: Version) -> Outcome {
    let connect = Connect::new(version, &target.fresh());
    let (mut old, _) = Client::join(target, version, &connect)?;
    let (mut new, _) = Client::join(target, version, &connect)?;
    let said = old.closed()?;
    let wrong = || Short::failed(format!("the older connection is told {said:?}"));
    match said.as_slice() {
        [] if !version.has_properties() => {}
        // What is not said cannot be wrong in itself.
        [] => return only("3.1.4-3", Err(wrong())),
        [Packet::Disconnect { code: 0x8e, .. }] => {}
        _ => return Err(wrong()),
    }
    new.quiet()
}

fn ping(target: &Target, version: Version) -> Outcome {
    let mut client = Client::clean(target, version)?;
    (0..3).try_for_each(|_| client.quiet())
}

fn disconnect(target: &Target, version: Version) -> Outcome {
    let mut client = Client::clean(target, version)?;
    client.send(&[DISCONNECT, PINGREQ].concat());
    let said = client.closed()?;
    expect(said.is_empty(), || format!("after DISCONNECT the server says {said:?}"))
}

fn unknown_method(target: &Target, version: Version) -> Outcome {
    let method = prop::text(prop::AUTH_METHOD, "conform-nobody-knows-this");
    let mut client = Client::knock(target, version, &Connect::new(version, &target.fresh()).with(&method))?;
    turned_away(&mut client, &[0x8c, 0x87])
}

fn no_method(target: &Target, version: Version) -> Outcome {
    let (mut client, connack) = Client::join(target, version, &Connect::new(version, &target.fresh()))?;
    expect(!connack.properties.has(prop::AUTH_METHOD), || "CONNACK names a method".to_owned())?;
    client.send(&framed(0xf0, &[&[0x18], &[0]]));
    client.refused(BROKEN)
}

fn response_information(target: &Target, version: Version) -> Outcome {
    for block in [Vec::new(), prop::u8(prop::REQUEST_RESPONSE, 0)] {
        let connect = Connect::new(version, &target.fresh()).with(&block);
        let (_, connack) = Client::join(target, version, &connect)?;
        expect(!connack.properties.has(prop::RESPONSE_INFO), || "CONNACK has it".to_owned())?;
    }
    Ok(())
}

fn problem_information(target: &Target, version: Version) -> Outcome {
    let name = target.fresh();
    let block = prop::u8(prop::REQUEST_PROBLEM, 0);
    let (mut client, _) = Client::join(target, version, &Connect::new(version, &name).with(&block))?;
    // Each of these has something to complain about.
    client.send(&Message::new(&name, b"nobody", 1, 1).bytes(version));
    client.send(&Message::new(&format!("$SYS/{name}"), b"forbidden", 1, 2).bytes(version));
    client.send(&subscribe(version, 3, &[], &[(b"$share/g+/a", 0), (name.as_bytes(), 0)]));
    client.send(&crate::conform::mqtt_cases::write::unsubscribe(version, 4, &[b"unknown"]));
    client.send(&framed(0x62, &[&[0, 9]]));
    client.send(PINGREQ);
    loop {
        let packet = match client.next(target.patience)? {
            crate::conform::peer::Next::Some(packet) => packet,
            crate::conform::peer::Next::Silence | crate::conform::peer::Next::End => return Ok(()),
        };
        let properties = match &packet {
            Packet::Ack(ack) => &ack.properties,
            Packet::Suback(codes) | Packet::Unsuback(codes) => &codes.properties,
            Packet::Pingresp => return Ok(()),
            Packet::Connack(_) | Packet::Publish(_) | Packet::Disconnect { .. } | Packet::Auth { .. } => {
                continue;
            }
        };
        expect(!properties.has(prop::REASON_STRING) && properties.pairs().is_empty(), || {
            format!("{packet:?} gives reasons")
        })?;
    }
}

fn raised_expiry(target: &Target, version: Version) -> Outcome {
    let mut client = Client::clean(target, version)?;
    let block = prop::u32(prop::SESSION_EXPIRY, 60);
    client.send(&framed(0xe0, &[&[0, 5], &block]));
    client.refused(&[0x82])
}
