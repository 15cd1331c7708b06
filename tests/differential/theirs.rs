//! Packets of theirs that only we can read, with what they mean to us.

use std::num::{NonZeroU16, NonZeroU32};

use harness::dice::Dice;
use mqtt::packet::{Connack, Packet, Properties, Suback};
use mqtt::reason::Reason;
use rumqttd::protocol::{self as peer, ConnectReturnCode, UnsubAckReason};

use crate::packets::{id, maybe, number, one_of, text};

/// CONNACK of 5.0.
pub(crate) fn connack(dice: &mut Dice) -> (peer::Packet, Packet) {
    let (code, reason) = one_of(dice, &CODES);
    let session_present = reason == Reason::Success && dice.chance(50);
    let session_expiry_s = maybe(dice, number);
    let receive_maximum = maybe(dice, number).and_then(|value| NonZeroU16::new(value as u16));
    let maximum_packet_size = maybe(dice, number).and_then(NonZeroU32::new);
    let assigned_client_id = maybe(dice, |dice| text(dice, 1));
    let reason_string = maybe(dice, |dice| text(dice, 1));
    let retain_available = maybe(dice, |dice| dice.chance(50));
    let server_keep_alive_s = maybe(dice, number).map(|value| value as u16);
    let user = vec![(text(dice, 1), text(dice, 0))];
    let theirs = peer::ConnAckProperties {
        session_expiry_interval: session_expiry_s,
        receive_max: receive_maximum.map(NonZeroU16::get),
        max_packet_size: maximum_packet_size.map(NonZeroU32::get),
        assigned_client_identifier: assigned_client_id.as_ref().map(ToString::to_string),
        reason_string: reason_string.as_ref().map(ToString::to_string),
        retain_available: retain_available.map(u8::from),
        server_keep_alive: server_keep_alive_s,
        user_properties: user.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect(),
        ..peer::ConnAckProperties::default()
    };
    let ours = Properties {
        session_expiry_s,
        receive_maximum,
        maximum_packet_size,
        assigned_client_id,
        reason_string,
        retain_available,
        server_keep_alive_s,
        user,
        ..Properties::default()
    };
    let packet = Connack { session_present, reason, properties: Some(Box::new(ours)) };
    (
        peer::Packet::ConnAck(peer::ConnAck { session_present, code }, Some(theirs)),
        Packet::Connack(Box::new(packet)),
    )
}

/// UNSUBACK of 5.0.
pub(crate) fn unsuback(dice: &mut Dice) -> (peer::Packet, Packet) {
    let id = id(dice);
    let both: Vec<(UnsubAckReason, Reason)> =
        (0..=dice.below(4)).map(|_| one_of(dice, &UNSUBSCRIBED)).collect();
    let theirs = peer::UnsubAck { pkid: id.get(), reasons: both.iter().map(|(theirs, _)| *theirs).collect() };
    let ours = Suback { id, reasons: both.iter().map(|(_, ours)| *ours).collect(), properties: None };
    (peer::Packet::UnsubAck(theirs, None), Packet::Unsuback(ours))
}

const CODES: [(ConnectReturnCode, Reason); 4] = [
    (ConnectReturnCode::Success, Reason::Success),
    (ConnectReturnCode::NotAuthorized, Reason::NotAuthorized),
    (ConnectReturnCode::BadUserNamePassword, Reason::BadUserNameOrPassword),
    (ConnectReturnCode::ServerBusy, Reason::ServerBusy),
];
const UNSUBSCRIBED: [(UnsubAckReason, Reason); 3] = [
    (UnsubAckReason::Success, Reason::Success),
    (UnsubAckReason::NoSubscriptionExisted, Reason::NoSubscriptionExisted),
    (UnsubAckReason::NotAuthorized, Reason::NotAuthorized),
];
