//! What is written can be read, wherever the bytes are cut; what cannot be read is refused, and nothing panics.

use std::num::{NonZeroU16, NonZeroU32};

use bytes::{Bytes, BytesMut};
use bytestring::ByteString;
use model::qos::Qos;
use mqtt::codec::{DecodeError, PropertyLimits, Role, Rules, decode, encode};
use mqtt::packet::{
    Ack, Connack, Connect, Disconnect, Filter, Guarantee, Packet, PacketId, Properties, Publish,
    RetainHandling, Suback, Subscribe, SubscriptionId, Unsubscribe, Will,
};
use mqtt::reason::{Place, Reason};
use mqtt::topic::TopicName;
use mqtt::version::Version;
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::select;

proptest! {
    // A failing case is printed whole; nothing is written beside the sources.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_read_again((version, role, packet) in any_packet()) {
        let mut bytes = written(&packet, version);
        let read = decode(&mut bytes, &rules(&packet, version, role));
        prop_assert_eq!(read, Ok(Some(packet)));
        prop_assert!(bytes.is_empty());
    }

    #[test]
    fn cutting_the_input_anywhere_changes_nothing(
        version in versions(),
        role in roles(),
        bytes in vec(some_bytes(), 1..4),
        cuts in vec(0..200_usize, 0..6),
    ) {
        let bytes = bytes.concat();
        let whole = read_all(&[&bytes], version, role);
        let mut parts = Vec::new();
        let mut rest = &bytes[..];
        for cut in cuts {
            let (part, tail) = rest.split_at(cut.min(rest.len()));
            parts.push(part);
            rest = tail;
        }
        parts.push(rest);
        prop_assert_eq!(read_all(&parts, version, role), whole);
    }

    #[test]
    fn a_packet_cut_short_is_not_a_packet((version, role, packet) in any_packet(), cut in any::<prop::sample::Index>()) {
        let whole = written(&packet, version);
        let mut bytes = BytesMut::from(&whole[..cut.index(whole.len())]);
        prop_assert_eq!(decode(&mut bytes, &rules(&packet, version, role)), Ok(None));
    }

    #[test]
    fn a_changed_byte_is_read_or_refused_but_never_waits_for_more(
        (version, role, packet) in any_packet(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        // The size stays, so whatever else the byte says, the packet is complete.
        let mut bytes = written(&packet, version);
        let body_at = 1 + bytes[1..].iter().take_while(|byte| **byte & 0x80 != 0).count() + 1;
        if body_at < bytes.len() {
            let at = body_at + at.index(bytes.len() - body_at);
            bytes[at] = byte;
            prop_assert_ne!(decode(&mut bytes, &rules(&packet, version, role)), Ok(None));
        }
    }
}

/// All packets, and how it ended.
fn read_all(parts: &[&[u8]], version: Version, role: Role) -> (Vec<Packet>, Result<usize, DecodeError>) {
    let rules =
        Rules { version: Some(version), role, packet_max: 10_000, properties: PropertyLimits::default() };
    let mut bytes = BytesMut::new();
    let mut packets = Vec::new();
    for part in parts {
        bytes.extend_from_slice(part);
        loop {
            match decode(&mut bytes, &rules) {
                Ok(Some(packet)) => packets.push(packet),
                Ok(None) => break,
                Err(error) => return (packets, Err(error)),
            }
        }
    }
    (packets, Ok(bytes.len()))
}

fn written(packet: &Packet, version: Version) -> BytesMut {
    let mut bytes = BytesMut::new();
    encode(packet, version, &mut bytes);
    bytes
}

fn rules(packet: &Packet, version: Version, role: Role) -> Rules {
    let version = if matches!(packet, Packet::Connect(_)) { None } else { Some(version) };
    Rules { version, role, packet_max: u32::MAX, properties: PropertyLimits::default() }
}

fn versions() -> impl Strategy<Value = Version> {
    prop_oneof![Just(Version::V31), Just(Version::V311), Just(Version::V5)]
}

fn roles() -> impl Strategy<Value = Role> {
    prop_oneof![Just(Role::Client), Just(Role::Server)]
}

/// A packet, or anything at all, or something in between.
fn some_bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => any_packet().prop_map(|(version, _, packet)| written(&packet, version).to_vec()),
        1 => vec(any::<u8>(), 0..40),
        1 => (any::<u8>(), vec(any::<u8>(), 0..40)).prop_map(|(first, rest)| {
            [&[first, rest.len() as u8][..], &rest].concat()
        }),
    ]
}

fn any_packet() -> impl Strategy<Value = (Version, Role, Packet)> {
    let connect = versions().prop_flat_map(|version| (Just(version), Just(Role::Server), connect(version)));
    let others = (versions(), roles()).prop_flat_map(|(version, role)| {
        let packet = match role {
            Role::Server => from_clients(version).boxed(),
            Role::Client => from_servers(version).boxed(),
        };
        (Just(version), Just(role), packet)
    });
    prop_oneof![1 => connect, 9 => others]
}

fn from_clients(version: Version) -> impl Strategy<Value = Packet> {
    let ids =
        if version == Version::V5 { properties(version, subscription_ids(1)) } else { Just(None).boxed() };
    let subscribe = (packet_id(), vec(filter(version), 1..4), ids)
        .prop_map(|(id, filters, properties)| Packet::Subscribe(Subscribe { id, filters, properties }));
    let unsubscribe = (packet_id(), vec(filter_text(), 1..4), properties(version, user()))
        .prop_map(|(id, filters, properties)| Packet::Unsubscribe(Unsubscribe { id, filters, properties }));
    prop_oneof![
        both_ways(version, 0),
        subscribe,
        unsubscribe,
        Just(Packet::Pingreq),
        farewell(version, Place::DisconnectByClient).prop_map(Packet::Disconnect),
    ]
}

fn from_servers(version: Version) -> BoxedStrategy<Packet> {
    let connack = (any::<bool>(), connack_reason(version), properties(version, connack_properties()))
        .prop_map(|(session_present, reason, properties)| {
            Packet::Connack(Box::new(Connack { session_present, reason, properties }))
        });
    let suback_reason = match version {
        Version::V5 => reason(Place::Suback).boxed(),
        Version::V31 | Version::V311 => prop_oneof![
            Just(Reason::Success),
            Just(Reason::GrantedQos1),
            Just(Reason::GrantedQos2),
            Just(Reason::UnspecifiedError)
        ]
        .boxed(),
    };
    let suback = (packet_id(), vec(suback_reason, 1..4), properties(version, explained()))
        .prop_map(|(id, reasons, properties)| Packet::Suback(Suback { id, reasons, properties }));
    let unsuback_count = if version == Version::V5 { 1..4 } else { 0..1 };
    let unsuback =
        (packet_id(), vec(reason(Place::Unsuback), unsuback_count), properties(version, explained()))
            .prop_map(|(id, reasons, properties)| Packet::Unsuback(Suback { id, reasons, properties }));
    let common = prop_oneof![both_ways(version, 3), connack, suback, unsuback, Just(Packet::Pingresp)];
    if version == Version::V5 {
        let farewell = farewell(version, Place::DisconnectByServer).prop_map(Packet::Disconnect);
        let auth = farewell_at(version, Place::Auth).prop_map(Packet::Auth);
        return prop_oneof![4 => common, 1 => farewell, 1 => auth].boxed();
    }
    common.boxed()
}

/// PUBLISH, with as many subscription identifiers at most, and its acknowledgements.
fn both_ways(version: Version, ids_max: usize) -> impl Strategy<Value = Packet> {
    let guarantee = (0..3_u8, packet_id())
        .prop_map(|(qos, id)| Guarantee::new(Qos::from_bits(qos).unwrap_or_default(), id));
    let said = (message_properties(), of(any::<NonZeroU16>()), subscription_ids(ids_max)).prop_map(
        |(message, topic_alias, ids)| Properties {
            topic_alias,
            subscription_ids: ids.subscription_ids,
            ..message
        },
    );
    let publish = (any::<[bool; 3]>(), guarantee, topic(), payload(), properties(version, said)).prop_map(
        |([dup, retain, aliased], delivery, topic, payload, properties)| {
            let has_alias = properties.as_ref().is_some_and(|properties| properties.topic_alias.is_some());
            Packet::Publish(Publish {
                dup: dup && delivery != Guarantee::AtMostOnce,
                retain,
                delivery,
                topic: (!aliased || !has_alias).then_some(topic),
                payload,
                properties,
            })
        },
    );
    prop_oneof![
        4 => publish,
        1 => ack(version, Place::Puback).prop_map(Packet::Puback),
        1 => ack(version, Place::Pubrec).prop_map(Packet::Pubrec),
        1 => ack(version, Place::Pubrel).prop_map(Packet::Pubrel),
        1 => ack(version, Place::Pubcomp).prop_map(Packet::Pubcomp),
    ]
}

fn connect(version: Version) -> impl Strategy<Value = Packet> {
    let will_properties = (message_properties(), of(any::<u32>()))
        .prop_map(|(message, will_delay_s)| Properties { will_delay_s, ..message });
    let will = (topic(), payload(), 0..3_u8, any::<bool>(), properties(version, will_properties)).prop_map(
        |(topic, payload, qos, retain, properties)| Will {
            topic,
            payload,
            qos: Qos::from_bits(qos).unwrap_or_default(),
            retain,
            properties,
        },
    );
    let rest = (of(will), of(text()), of(payload()), properties(version, connect_properties()));
    (any::<bool>(), any::<u16>(), text(), rest).prop_map(
        move |(clean_start, keep_alive_s, client_id, (will, user, password, properties))| {
            let password = password.filter(|_| user.is_some() || version == Version::V5);
            Packet::Connect(Box::new(Connect {
                version,
                is_bridge: keep_alive_s % 2 == 1 && version != Version::V5,
                clean_start,
                keep_alive_s,
                client_id,
                will,
                user,
                password,
                properties,
            }))
        },
    )
}

fn ack(version: Version, place: Place) -> impl Strategy<Value = Ack> {
    let reason = if version == Version::V5 { reason(place).boxed() } else { Just(Reason::Success).boxed() };
    (packet_id(), reason, properties(version, explained())).prop_map(|(id, reason, properties)| Ack {
        id,
        reason,
        properties,
    })
}

fn farewell(version: Version, place: Place) -> BoxedStrategy<Disconnect> {
    if version == Version::V5 {
        return farewell_at(version, place).boxed();
    }
    Just(Disconnect { reason: Reason::Success, properties: None }).boxed()
}

fn farewell_at(version: Version, place: Place) -> impl Strategy<Value = Disconnect> {
    (reason(place), properties(version, explained()))
        .prop_map(|(reason, properties)| Disconnect { reason, properties })
}

fn filter(version: Version) -> impl Strategy<Value = Filter> {
    let handling =
        prop_oneof![Just(RetainHandling::Always), Just(RetainHandling::IfNew), Just(RetainHandling::Never)];
    (filter_text(), 0..3_u8, any::<[bool; 2]>(), handling).prop_map(
        move |(text, qos, [no_local, retain_as_published], retain_handling)| {
            let plain = Filter::plain(text, Qos::from_bits(qos).unwrap_or_default());
            if version == Version::V5 {
                Filter { no_local, retain_as_published, retain_handling, ..plain }
            } else {
                plain
            }
        },
    )
}

fn connack_reason(version: Version) -> BoxedStrategy<Reason> {
    if version == Version::V5 {
        return reason(Place::Connack).boxed();
    }
    (0..=5_u8).prop_filter_map("a return code", Reason::of_return_code).boxed()
}

fn reason(place: Place) -> impl Strategy<Value = Reason> {
    let codes: Vec<Reason> = (0..=255).filter_map(|code| Reason::read(code, place)).collect();
    select(codes)
}

/// In 5.0 these or none; in 3.x none.
fn properties(
    version: Version,
    some: impl Strategy<Value = Properties> + 'static,
) -> BoxedStrategy<Option<Box<Properties>>> {
    if version != Version::V5 {
        return Just(None).boxed();
    }
    // No properties at all are read as `None`.
    let some =
        some.prop_map(|properties| Some(Box::new(properties)).filter(|some| **some != Properties::default()));
    prop_oneof![Just(None), some].boxed()
}

fn user() -> impl Strategy<Value = Properties> {
    vec((text(), text()), 0..4).prop_map(|user| Properties { user, ..Properties::default() })
}

fn explained() -> impl Strategy<Value = Properties> {
    (user(), of(text())).prop_map(|(user, reason_string)| Properties { reason_string, ..user })
}

fn subscription_ids(max: usize) -> impl Strategy<Value = Properties> {
    vec(1..=SubscriptionId::MAX, 0..=max).prop_map(|ids| Properties {
        subscription_ids: ids.into_iter().filter_map(SubscriptionId::new).collect(),
        ..Properties::default()
    })
}

fn message_properties() -> impl Strategy<Value = Properties> {
    (of(any::<bool>()), of(any::<u32>()), of(text()), of(topic()), of(payload()), user()).prop_map(
        |(payload_is_text, message_expiry_s, content_type, response_topic, correlation_data, user)| {
            Properties {
                payload_is_text,
                message_expiry_s,
                content_type,
                response_topic,
                correlation_data,
                ..user
            }
        },
    )
}

fn connect_properties() -> impl Strategy<Value = Properties> {
    let auth = of((text(), of(payload())));
    let flags = (of(any::<bool>()), of(any::<bool>()));
    (
        of(any::<u32>()),
        of(any::<NonZeroU16>()),
        of(any::<NonZeroU32>()),
        of(any::<u16>()),
        flags,
        auth,
        user(),
    )
        .prop_map(
            |(
                session_expiry_s,
                receive_maximum,
                maximum_packet_size,
                topic_alias_maximum,
                flags,
                auth,
                user,
            )| {
                let (authentication_method, authentication_data) =
                    auth.map_or((None, None), |(method, data)| (Some(method), data));
                Properties {
                    session_expiry_s,
                    receive_maximum,
                    maximum_packet_size,
                    topic_alias_maximum,
                    request_problem_information: flags.0,
                    request_response_information: flags.1,
                    authentication_method,
                    authentication_data,
                    ..user
                }
            },
        )
}

fn connack_properties() -> impl Strategy<Value = Properties> {
    let flags = any::<[Option<bool>; 4]>();
    let texts = (of(text()), of(text()), of(text()));
    (connect_properties(), explained(), of(any::<u16>()), flags, texts, any::<Option<bool>>()).prop_map(
        |(connect, explained, server_keep_alive_s, flags, texts, qos)| Properties {
            request_problem_information: None,
            request_response_information: None,
            server_keep_alive_s,
            maximum_qos: qos.map(|one| if one { Qos::AtLeastOnce } else { Qos::AtMostOnce }),
            retain_available: flags[0],
            wildcard_subscription_available: flags[1],
            subscription_ids_available: flags[2],
            shared_subscription_available: flags[3],
            assigned_client_id: texts.0,
            response_information: texts.1,
            server_reference: texts.2,
            reason_string: explained.reason_string,
            ..connect
        },
    )
}

fn packet_id() -> impl Strategy<Value = PacketId> {
    any::<NonZeroU16>().prop_map(PacketId)
}

fn payload() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..200).prop_map(Bytes::from)
}

fn text() -> impl Strategy<Value = ByteString> {
    "[^\0]{0,20}".prop_map(ByteString::from)
}

fn topic() -> impl Strategy<Value = TopicName> {
    "[^\0+#]{1,20}".prop_filter_map("a topic", |text| TopicName::parse(text.into()).ok())
}

/// Not `$share`, where No Local is not allowed.
fn filter_text() -> impl Strategy<Value = ByteString> {
    "[^\0$]{1,20}".prop_map(ByteString::from)
}
