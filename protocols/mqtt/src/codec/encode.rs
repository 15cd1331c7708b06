//! A whole packet as bytes.

use bytes::{BufMut, BytesMut};

use crate::codec::decode::{
    BRIDGE, CLEAN_START, NO_LOCAL, PASSWORD, RETAIN_AS_PUBLISHED, SESSION_PRESENT, USER_NAME, WILL,
    WILL_RETAIN,
};
use crate::codec::header;
use crate::codec::property::{self, Owner};
use crate::codec::publish::Outgoing;
use crate::codec::wire::{VARINT_MAX, put_binary, put_text};
use crate::packet::{Ack, Connack, Connect, Filter, Kind, Packet, Properties, Publish, Suback};
use crate::reason::Reason;
use crate::version::Version;

/// Appends `packet`.
pub(crate) fn packet(packet: &Packet, version: Version, to: &mut BytesMut) {
    let five = version.has_properties();
    let kind = packet.kind();
    let body = match packet {
        Packet::Publish(publish) => return outgoing(publish, version).write_whole(to),
        Packet::Puback(ack) | Packet::Pubrec(ack) | Packet::Pubrel(ack) | Packet::Pubcomp(ack)
            if !five || is_short(ack.reason, ack.properties.as_deref()) =>
        {
            return short_ack(kind, ack, to);
        }
        Packet::Puback(ack) | Packet::Pubrec(ack) | Packet::Pubrel(ack) | Packet::Pubcomp(ack) => {
            let mut body = id(ack.id.get());
            outcome(ack.reason, ack.properties.as_deref(), kind, &mut body);
            body
        }
        Packet::Connect(packet) => connect(packet),
        Packet::Connack(packet) => connack(packet, version),
        Packet::Subscribe(subscribe) => {
            let mut body = id_and_properties(subscribe.id.get(), subscribe.properties.as_deref(), kind, five);
            for filter in &subscribe.filters {
                put_text(&mut body, &filter.text);
                body.put_u8(options(filter, version));
            }
            body
        }
        Packet::Unsubscribe(unsubscribe) => {
            let mut body =
                id_and_properties(unsubscribe.id.get(), unsubscribe.properties.as_deref(), kind, five);
            for filter in &unsubscribe.filters {
                put_text(&mut body, filter);
            }
            body
        }
        Packet::Suback(suback) => results(suback, kind, five, true),
        Packet::Unsuback(unsuback) => results(unsuback, kind, five, five),
        Packet::Pingreq | Packet::Pingresp => BytesMut::new(),
        Packet::Disconnect(disconnect) | Packet::Auth(disconnect) => {
            let mut body = BytesMut::new();
            if five && !is_short(disconnect.reason, disconnect.properties.as_deref()) {
                outcome(disconnect.reason, disconnect.properties.as_deref(), kind, &mut body);
            }
            body
        }
    };
    if body.len() <= VARINT_MAX {
        header::write(kind, body.len(), to);
        to.extend_from_slice(&body);
    }
}

fn outgoing(publish: &Publish, version: Version) -> Outgoing<'_> {
    Outgoing {
        version,
        dup: publish.dup,
        retain: publish.retain,
        delivery: publish.delivery,
        topic: publish.topic.as_ref().map(|topic| topic.as_str()).unwrap_or_default(),
        properties: publish.properties.as_deref(),
        payload: &publish.payload,
    }
}

/// Without a reason but success and without properties, both are left out (3.4.2.1).
fn is_short(reason: Reason, properties: Option<&Properties>) -> bool {
    reason == Reason::Success && properties.is_none()
}

fn short_ack(kind: Kind, ack: &Ack, to: &mut BytesMut) {
    header::write(kind, 2, to);
    to.put_u16(ack.id.get());
}

fn id(id: u16) -> BytesMut {
    let mut body = BytesMut::new();
    body.put_u16(id);
    body
}

fn id_and_properties(number: u16, properties: Option<&Properties>, kind: Kind, five: bool) -> BytesMut {
    let mut body = id(number);
    if five {
        property::write(properties, Owner::Packet(kind), &mut body);
    }
    body
}

fn outcome(reason: Reason, properties: Option<&Properties>, kind: Kind, to: &mut BytesMut) {
    to.put_u8(reason.code());
    if properties.is_some() {
        property::write(properties, Owner::Packet(kind), to);
    }
}

fn connect(connect: &Connect) -> BytesMut {
    let mut body = BytesMut::new();
    let version = connect.version;
    put_text(&mut body, version.protocol_name());
    let is_bridge = connect.is_bridge && !version.has_properties();
    body.put_u8(version.level() | if is_bridge { BRIDGE } else { 0 });
    body.put_u8(connect_flags(connect));
    body.put_u16(connect.keep_alive_s);
    if version.has_properties() {
        property::write(connect.properties.as_deref(), Owner::Packet(Kind::Connect), &mut body);
    }
    put_text(&mut body, &connect.client_id);
    if let Some(will) = &connect.will {
        if version.has_properties() {
            property::write(will.properties.as_deref(), Owner::Will, &mut body);
        }
        put_text(&mut body, will.topic.as_str());
        put_binary(&mut body, &will.payload);
    }
    if let Some(user) = &connect.user {
        put_text(&mut body, user);
    }
    if let Some(password) = &connect.password {
        put_binary(&mut body, password);
    }
    body
}

fn connect_flags(connect: &Connect) -> u8 {
    let flag = |is_set: bool, bit: u8| if is_set { bit } else { 0 };
    let will = connect
        .will
        .as_ref()
        .map_or(0, |will| WILL | (will.qos.bits() << 3) | flag(will.retain, WILL_RETAIN));
    will | flag(connect.clean_start, CLEAN_START)
        | flag(connect.user.is_some(), USER_NAME)
        | flag(connect.password.is_some(), PASSWORD)
}

fn connack(connack: &Connack, version: Version) -> BytesMut {
    let mut body = BytesMut::new();
    body.put_u8(if connack.session_present { SESSION_PRESENT } else { 0 });
    if version.has_properties() {
        body.put_u8(connack.reason.code());
        property::write(connack.properties.as_deref(), Owner::Packet(Kind::Connack), &mut body);
    } else {
        body.put_u8(connack.reason.return_code());
    }
    body
}

fn options(filter: &Filter, version: Version) -> u8 {
    let qos = filter.qos.bits();
    if !version.has_properties() {
        return qos;
    }
    let flag = |is_set: bool, bit: u8| if is_set { bit } else { 0 };
    qos | flag(filter.no_local, NO_LOCAL)
        | flag(filter.retain_as_published, RETAIN_AS_PUBLISHED)
        | ((filter.retain_handling as u8) << 4)
}

fn results(suback: &Suback, kind: Kind, five: bool, with_reasons: bool) -> BytesMut {
    let mut body = id_and_properties(suback.id.get(), suback.properties.as_deref(), kind, five);
    if with_reasons {
        for reason in &suback.reasons {
            // 3.1.1 knows one failure only (3.1.1, 3.9.3).
            let is_failure = !five && reason.is_error();
            body.put_u8(if is_failure { Reason::UnspecifiedError.code() } else { reason.code() });
        }
    }
    body
}
