//! Legal packets of ours, thrown by dice.

use std::num::{NonZeroU16, NonZeroU32};

use bytes::Bytes;
use bytestring::ByteString;
use harness::dice::Dice;
use model::qos::Qos;
use mqtt::codec::Role;
use mqtt::packet::{
    Ack, Connect, Disconnect, Filter, Guarantee, Packet, PacketId, Properties, Publish, RetainHandling,
    Suback, Subscribe, SubscriptionId, Unsubscribe, Will,
};
use mqtt::reason::Reason;
use mqtt::topic::TopicName;
use mqtt::version::Version;

/// What can go there and back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Connect,
    Publish,
    Puback,
    Pubrec,
    Pubrel,
    Pubcomp,
    Subscribe,
    Suback,
    Unsubscribe,
    Pingreq,
    Pingresp,
    Disconnect,
}

impl Kind {
    pub(crate) const ALL: [Self; 12] = [
        Self::Connect,
        Self::Publish,
        Self::Puback,
        Self::Pubrec,
        Self::Pubrel,
        Self::Pubcomp,
        Self::Subscribe,
        Self::Suback,
        Self::Unsubscribe,
        Self::Pingreq,
        Self::Pingresp,
        Self::Disconnect,
    ];
}

/// A packet of that kind, and the side that may read it.
pub(crate) fn make(kind: Kind, version: Version, dice: &mut Dice) -> (Packet, Role) {
    let is_5 = version == Version::V5;
    match kind {
        Kind::Connect => (Packet::Connect(Box::new(connect(version, dice))), Role::Server),
        Kind::Publish => publish(is_5, dice),
        Kind::Puback => (Packet::Puback(ack(is_5, dice, &PUBLISHED)), Role::Client),
        Kind::Pubrec => (Packet::Pubrec(ack(is_5, dice, &PUBLISHED)), Role::Client),
        Kind::Pubrel => (Packet::Pubrel(ack(is_5, dice, &RELEASED)), Role::Client),
        Kind::Pubcomp => (Packet::Pubcomp(ack(is_5, dice, &RELEASED)), Role::Client),
        Kind::Subscribe => (Packet::Subscribe(subscribe(is_5, dice)), Role::Server),
        Kind::Suback => (Packet::Suback(suback(is_5, dice)), Role::Client),
        Kind::Unsubscribe => (Packet::Unsubscribe(unsubscribe(is_5, dice)), Role::Server),
        Kind::Pingreq => (Packet::Pingreq, Role::Server),
        Kind::Pingresp => (Packet::Pingresp, Role::Client),
        Kind::Disconnect => (Packet::Disconnect(disconnect(is_5, dice)), Role::Server),
    }
}

fn connect(version: Version, dice: &mut Dice) -> Connect {
    let is_5 = version == Version::V5;
    let user = dice.chance(50).then(|| text(dice, 1));
    let password = (user.is_some() && dice.chance(70)).then(|| text(dice, 1).into_bytes());
    let properties = properties(is_5, dice, |properties, dice| {
        properties.session_expiry_s = maybe(dice, number);
        properties.receive_maximum = maybe(dice, number).and_then(|value| NonZeroU16::new(value as u16));
        properties.maximum_packet_size = maybe(dice, number).and_then(NonZeroU32::new);
        properties.topic_alias_maximum = maybe(dice, number).map(|value| value as u16);
        properties.request_problem_information = maybe(dice, |dice| dice.chance(50));
        properties.request_response_information = maybe(dice, |dice| dice.chance(50));
    });
    Connect {
        version,
        is_bridge: false,
        clean_start: true,
        keep_alive_s: number(dice) as u16,
        client_id: text(dice, 1),
        will: dice.chance(50).then(|| will(is_5, dice)),
        user,
        password,
        properties,
    }
}

fn will(is_5: bool, dice: &mut Dice) -> Will {
    let properties = properties(is_5, dice, |properties, dice| {
        properties.will_delay_s = maybe(dice, number);
        of_message(properties, dice);
    });
    Will { topic: topic(dice), payload: bytes(dice), qos: qos(dice), retain: dice.chance(50), properties }
}

fn publish(is_5: bool, dice: &mut Dice) -> (Packet, Role) {
    let delivery = Guarantee::new(qos(dice), id(dice));
    let mut role = Role::Server;
    let properties = properties(is_5, dice, |properties, dice| {
        of_message(properties, dice);
        if dice.chance(30) {
            role = Role::Client;
            let ids = (0..=dice.below(3))
                .filter_map(|_| SubscriptionId::new(1 + number(dice) % SubscriptionId::MAX));
            properties.subscription_ids = ids.collect();
        } else {
            properties.topic_alias = maybe(dice, number).and_then(|value| NonZeroU16::new(value as u16));
        }
    });
    let dup = delivery != Guarantee::AtMostOnce && dice.chance(30);
    let topic = Some(topic(dice));
    (
        Packet::Publish(Publish {
            dup,
            retain: dice.chance(30),
            delivery,
            topic,
            payload: bytes(dice),
            properties,
        }),
        role,
    )
}

fn ack(is_5: bool, dice: &mut Dice, reasons: &[Reason]) -> Ack {
    let reason = if is_5 { one_of(dice, reasons) } else { Reason::Success };
    let properties = properties(is_5, dice, |properties, dice| {
        properties.reason_string = maybe(dice, |dice| text(dice, 1));
    });
    Ack { id: id(dice), reason, properties }
}

fn subscribe(is_5: bool, dice: &mut Dice) -> Subscribe {
    let properties = properties(is_5, dice, |properties, dice| {
        properties.subscription_ids =
            SubscriptionId::new(number(dice) % SubscriptionId::MAX).into_iter().collect();
    });
    let filters = (0..=dice.below(4)).map(|_| {
        let mut filter = Filter::plain(text(dice, 1), qos(dice));
        if is_5 {
            filter.no_local = dice.chance(50);
            filter.retain_as_published = dice.chance(50);
            filter.retain_handling =
                one_of(dice, &[RetainHandling::Always, RetainHandling::IfNew, RetainHandling::Never]);
        }
        filter
    });
    let filters = filters.collect();
    Subscribe { id: id(dice), filters, properties }
}

fn suback(is_5: bool, dice: &mut Dice) -> Suback {
    let reasons: &[Reason] = if is_5 { &GRANTED } else { GRANTED.split_at(4).0 };
    let reasons = (0..=dice.below(4)).map(|_| one_of(dice, reasons)).collect();
    let properties = properties(is_5, dice, |properties, dice| {
        properties.reason_string = maybe(dice, |dice| text(dice, 1));
    });
    Suback { id: id(dice), reasons, properties }
}

fn unsubscribe(is_5: bool, dice: &mut Dice) -> Unsubscribe {
    let filters = (0..=dice.below(4)).map(|_| text(dice, 1)).collect();
    Unsubscribe { id: id(dice), filters, properties: properties(is_5, dice, |_, _| {}) }
}

fn disconnect(is_5: bool, dice: &mut Dice) -> Disconnect {
    let properties = properties(is_5, dice, |properties, dice| {
        properties.session_expiry_s = maybe(dice, number);
        properties.reason_string = maybe(dice, |dice| text(dice, 1));
    });
    // They misread a reason without properties.
    let reason = if properties.is_some() { one_of(dice, &LEAVING) } else { Reason::Success };
    Disconnect { reason, properties }
}

/// What a message and a will both have.
fn of_message(properties: &mut Properties, dice: &mut Dice) {
    properties.payload_is_text = maybe(dice, |dice| dice.chance(50));
    properties.message_expiry_s = maybe(dice, number);
    properties.content_type = maybe(dice, |dice| text(dice, 1));
    properties.response_topic = maybe(dice, topic);
    properties.correlation_data = maybe(dice, bytes);
}

/// None in 3.1.1, and where nothing was thrown.
fn properties(
    is_5: bool,
    dice: &mut Dice,
    fill: impl FnOnce(&mut Properties, &mut Dice),
) -> Option<Box<Properties>> {
    let mut properties = Properties::default();
    if is_5 && dice.chance(70) {
        fill(&mut properties, dice);
        properties.user = (0..dice.below(3)).map(|_| (text(dice, 1), text(dice, 0))).collect();
    }
    (properties != Properties::default()).then(|| Box::new(properties))
}

pub(crate) fn maybe<T>(dice: &mut Dice, make: impl FnOnce(&mut Dice) -> T) -> Option<T> {
    dice.chance(50).then(|| make(dice))
}

pub(crate) fn one_of<T: Copy>(dice: &mut Dice, of: &[T]) -> T {
    let at = usize::try_from(dice.below(of.len() as u64)).unwrap_or(0);
    of.get(at).copied().expect("a list that is not empty")
}

pub(crate) fn id(dice: &mut Dice) -> PacketId {
    PacketId::new(1 + dice.below(65_535) as u16).expect("not zero")
}

pub(crate) fn number(dice: &mut Dice) -> u32 {
    dice.number() as u32
}

pub(crate) fn text(dice: &mut Dice, least: u64) -> ByteString {
    const LETTERS: [char; 8] = ['a', 'Z', '0', ' ', 'é', '안', '녕', '🎉'];
    (0..least + dice.below(12)).map(|_| one_of(dice, &LETTERS)).collect::<String>().into()
}

fn topic(dice: &mut Dice) -> TopicName {
    let levels: Vec<String> = (0..=dice.below(4)).map(|_| text(dice, 1).to_string()).collect();
    TopicName::parse(levels.join("/").into()).expect("a topic without wildcards")
}

fn bytes(dice: &mut Dice) -> Bytes {
    let size = usize::try_from(dice.below(300)).unwrap_or(0);
    dice.bytes(size).into()
}

fn qos(dice: &mut Dice) -> Qos {
    one_of(dice, &[Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce])
}

const PUBLISHED: [Reason; 5] = [
    Reason::Success,
    Reason::NoMatchingSubscribers,
    Reason::NotAuthorized,
    Reason::TopicNameInvalid,
    Reason::QuotaExceeded,
];
const RELEASED: [Reason; 2] = [Reason::Success, Reason::PacketIdentifierNotFound];
const GRANTED: [Reason; 6] = [
    Reason::Success,
    Reason::GrantedQos1,
    Reason::GrantedQos2,
    Reason::UnspecifiedError,
    Reason::NotAuthorized,
    Reason::TopicFilterInvalid,
];
const LEAVING: [Reason; 4] =
    [Reason::Success, Reason::DisconnectWithWill, Reason::ProtocolError, Reason::AdministrativeAction];
