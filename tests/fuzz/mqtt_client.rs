//! What a client says in a play: packets that mean something more often than not.

use std::num::{NonZeroU16, NonZeroU32};

use bytes::{Bytes, BytesMut};
use model::qos::Qos;
use mqtt::codec::encode;
use mqtt::packet::{
    Ack, Connect, Disconnect, Filter, Guarantee, Packet, PacketId, Properties, Publish, RetainHandling,
    Subscribe, SubscriptionId, Unsubscribe, Will,
};
use mqtt::reason::Reason;
use mqtt::topic::TopicName;
use mqtt::version::Version;

use crate::script::Script;

/// Appends the next thing the client says, in `version`.
pub fn say(script: &mut Script<'_>, version: Version, to: &mut BytesMut) {
    let packet = match script.byte() % 16 {
        0 => Packet::Pingreq,
        1..=4 => Packet::Publish(publish(script)),
        5 => Packet::Puback(ack(script)),
        6 => Packet::Pubrec(ack(script)),
        7 => Packet::Pubcomp(ack(script)),
        8 | 9 => Packet::Pubrel(ack(script)),
        10 => Packet::Subscribe(subscribe(script)),
        11 => Packet::Unsubscribe(unsubscribe(script)),
        12 => Packet::Disconnect(disconnect(script)),
        13 => Packet::Auth(auth(script)),
        14 => Packet::Connect(Box::new(connect(script))),
        _ => return to.extend_from_slice(script.bytes()),
    };
    encode(&packet, version, to);
}

/// A CONNECT, mostly of the kind that is let in.
pub fn connect(script: &mut Script<'_>) -> Connect {
    let version = script.pick(&[Version::V5, Version::V311, Version::V31, Version::V5]);
    let bits = script.byte();
    Connect {
        version,
        is_bridge: bits & 32 != 0 && version != Version::V5,
        clean_start: bits & 1 == 0,
        keep_alive_s: script.pick(&[60, 0, 1, u16::MAX]),
        client_id: script.pick(&["c", "", "an id of more than twenty-three bytes", "c2"]).into(),
        will: (bits & 2 != 0).then(|| will(script)),
        user: (bits & 4 != 0).then(|| "user".into()),
        password: (bits & 12 == 12).then(|| Bytes::from_static(b"password")),
        properties: (bits & 16 != 0 && version == Version::V5).then(|| promises(script)),
    }
}

fn promises(script: &mut Script<'_>) -> Box<Properties> {
    let bits = script.byte();
    let asked = |bit: u8| bits & bit != 0;
    Box::new(Properties {
        session_expiry_s: asked(1).then_some(u32::MAX),
        receive_maximum: asked(2).then(|| script.pick(&[1, 2, 5, 200])).and_then(NonZeroU16::new),
        maximum_packet_size: asked(4).then(|| script.pick(&[1, 5, 20, 60, 300])).and_then(NonZeroU32::new),
        topic_alias_maximum: asked(8).then(|| script.pick(&[1, 2, 100])),
        request_problem_information: asked(16).then_some(false),
        request_response_information: asked(32).then_some(true),
        authentication_method: asked(64).then(|| "SCRAM-SHA-256".into()),
        user: if asked(128) { vec![("a".into(), "b".into())] } else { Vec::new() },
        ..Properties::default()
    })
}

fn will(script: &mut Script<'_>) -> Will {
    Will {
        topic: topic(script).unwrap_or_else(|| TopicName::parse("will".into()).expect("a topic")),
        payload: Bytes::copy_from_slice(script.bytes()),
        qos: qos(script),
        retain: script.coin(),
        properties: script.coin().then(|| {
            Box::new(Properties { will_delay_s: Some(script.byte().into()), ..message_properties(script) })
        }),
    }
}

fn publish(script: &mut Script<'_>) -> Publish {
    let qos = qos(script);
    let id = id(script);
    let topic = topic(script);
    let bits = script.byte();
    let alias = (topic.is_none() || bits & 4 != 0).then(|| script.byte() % 40).map(u16::from);
    let alias = alias.and_then(NonZeroU16::new);
    let properties = (alias.is_some() || bits & 8 != 0).then(|| {
        let said = if bits & 8 == 0 { Properties::default() } else { message_properties(script) };
        Box::new(Properties { topic_alias: alias, ..said })
    });
    Publish {
        dup: bits & 1 != 0 && qos != Qos::AtMostOnce,
        retain: bits & 2 != 0,
        delivery: Guarantee::new(qos, id),
        topic,
        payload: Bytes::copy_from_slice(script.bytes()),
        properties,
    }
}

/// What a message says of itself, from a client or from the broker.
pub fn message_properties(script: &mut Script<'_>) -> Properties {
    let bits = script.byte();
    let said = |bit: u8| bits & bit != 0;
    Properties {
        payload_is_text: said(1).then_some(true),
        message_expiry_s: said(2).then(|| u32::from(script.byte())),
        content_type: said(4).then(|| "text/plain".into()),
        response_topic: said(8).then(|| topic(script)).flatten(),
        correlation_data: said(16).then(|| Bytes::copy_from_slice(script.bytes())),
        user: (0..bits >> 6).map(|_| ("name".into(), "value".into())).collect(),
        ..Properties::default()
    }
}

fn subscribe(script: &mut Script<'_>) -> Subscribe {
    let id = id(script);
    let filters = (0..=script.byte() % 4)
        .map(|_| Filter {
            text: script.pick(FILTERS).into(),
            qos: qos(script),
            no_local: script.byte() % 8 == 1,
            retain_as_published: script.coin(),
            retain_handling: script.pick(&[
                RetainHandling::Always,
                RetainHandling::IfNew,
                RetainHandling::Never,
            ]),
        })
        .collect();
    let subscription_id = SubscriptionId::new(script.byte().into());
    let properties = subscription_id.map(|id| {
        Box::new(Properties { subscription_ids: [id].into_iter().collect(), ..Properties::default() })
    });
    Subscribe { id, filters, properties }
}

fn unsubscribe(script: &mut Script<'_>) -> Unsubscribe {
    let filters = (0..=script.byte() % 3).map(|_| script.pick(FILTERS).into()).collect();
    Unsubscribe { id: id(script), filters, properties: None }
}

fn disconnect(script: &mut Script<'_>) -> Disconnect {
    let reason = script.pick(&[Reason::Success, Reason::DisconnectWithWill, Reason::ProtocolError]);
    let properties = script.coin().then(|| {
        Box::new(Properties { session_expiry_s: Some(script.byte().into()), ..Properties::default() })
    });
    Disconnect { reason, properties }
}

fn auth(script: &mut Script<'_>) -> Disconnect {
    let reason = script.pick(&[Reason::ReAuthenticate, Reason::ContinueAuthentication, Reason::Success]);
    let method = script.pick(&["SCRAM-SHA-256", "other", ""]);
    let properties = (!method.is_empty()).then(|| {
        Box::new(Properties {
            authentication_method: Some(method.into()),
            authentication_data: script.coin().then(|| Bytes::copy_from_slice(script.bytes())),
            ..Properties::default()
        })
    });
    Disconnect { reason, properties }
}

fn ack(script: &mut Script<'_>) -> Ack {
    let id = id(script);
    let reason = script.pick(&[
        Reason::Success,
        Reason::Success,
        Reason::UnspecifiedError,
        Reason::NoMatchingSubscribers,
        Reason::PacketIdentifierNotFound,
    ]);
    Ack { id, reason, properties: None }
}

/// Few of them, so that they meet; those at the end of the numbers too.
fn id(script: &mut Script<'_>) -> PacketId {
    let id = script.pick(&[1, 2, 3, 4, 5, 6, 65_533, 65_534, 65_535]);
    PacketId::new(id).expect("not zero")
}

fn qos(script: &mut Script<'_>) -> Qos {
    script.pick(&[Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce])
}

/// `None` where an alias is to stand for it.
fn topic(script: &mut Script<'_>) -> Option<TopicName> {
    TopicName::parse(script.pick(TOPICS).into()).ok()
}

const TOPICS: &[&str] =
    &["a", "a/b", "", "$SYS/x", "$queue/q", "$exchange/x/k", "$exchange//k", "/", "\u{FEFF}가/나"];

const FILTERS: &[&str] = &[
    "a",
    "#",
    "+/b",
    "a#",
    "$share/g/a",
    "$share/g",
    "$share//a",
    "$SYS/#",
    "$queue/q",
    "$exchange/x/#",
    "$exchange/+/k",
    "a/#/b",
    "\u{FEFF}",
    "",
];
