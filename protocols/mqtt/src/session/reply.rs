//! What we say, within what the client takes.

use model::outbox::Wire;

use crate::codec;
use crate::limits::Limits;
use crate::packet::{Ack, Packet, PacketId, Properties};
use crate::reason::Reason;

/// Writes `packet`. If it is too large for the client, reason string and user properties go first [MQTT-3.2.2-19],
/// [MQTT-3.2.2-20]; if that is not enough, nothing is written [MQTT-3.1.2-24]. Whether it was.
pub(crate) fn send(limits: &Limits, mut packet: Packet, to: &mut Wire) -> bool {
    if fits(limits, &packet, to) {
        return true;
    }
    strip(&mut packet);
    fits(limits, &packet, to)
}

fn fits(limits: &Limits, packet: &Packet, to: &mut Wire) -> bool {
    let buf = to.buf();
    let before = buf.len();
    codec::encode(packet, limits.version, buf);
    let is_fitting = buf.len() - before <= limits.packet_bytes_max;
    if is_fitting {
        to.count_packet();
    } else {
        buf.truncate(before);
    }
    is_fitting
}

/// Takes away what only explains.
fn strip(packet: &mut Packet) {
    let properties = match packet {
        Packet::Connack(packet) => &mut packet.properties,
        Packet::Puback(ack) | Packet::Pubrec(ack) | Packet::Pubrel(ack) | Packet::Pubcomp(ack) => {
            &mut ack.properties
        }
        Packet::Suback(suback) | Packet::Unsuback(suback) => &mut suback.properties,
        Packet::Disconnect(packet) | Packet::Auth(packet) => &mut packet.properties,
        Packet::Connect(_)
        | Packet::Publish(_)
        | Packet::Subscribe(_)
        | Packet::Unsubscribe(_)
        | Packet::Pingreq
        | Packet::Pingresp => return,
    };
    if let Some(inner) = properties {
        inner.reason_string = None;
        inner.user.clear();
        if **inner == Properties::default() {
            *properties = None;
        }
    }
}

/// Acknowledges a PUBLISH or a PUBREL; `kind` names the packet. `why` is left out where the client does not want it.
pub(crate) fn ack(
    limits: &Limits,
    kind: fn(Ack) -> Packet,
    id: PacketId,
    reason: Reason,
    why: Option<String>,
    to: &mut Wire,
) {
    let properties = why.filter(|_| limits.may_explain).map(explained);
    send(limits, kind(Ack { id, reason, properties }), to);
}

/// Properties with nothing but a reason string.
pub(crate) fn explained(why: impl Into<String>) -> Box<Properties> {
    Box::new(Properties { reason_string: Some(why.into().into()), ..Properties::default() })
}
