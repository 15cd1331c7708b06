//! The fixed header: type, flags, size, judged before any trust and before any buffering.

use bytes::{BufMut, BytesMut};
use model::qos::Qos;

use crate::codec::error::DecodeError;
use crate::codec::wire::{VARINT_MAX, put_varint, read_varint};
use crate::packet::Kind;
use crate::version::Version;

/// What a decoder has to know beforehand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// What the connection speaks; `None` before CONNECT, and then nothing but CONNECT is read.
    pub version: Option<Version>,
    /// Which side we are.
    pub role: Role,
    /// The largest packet, in bytes, fixed header included. CONNECT has a limit of its own as well, 64 KiB.
    pub packet_max: u32,
    /// How much a client may say of a packet beside what it is for. Of servers we take what comes.
    pub properties: PropertyLimits,
}

/// What one set of properties may hold at most: a packet's, or a will's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PropertyLimits {
    /// User properties.
    pub user: u32,
    /// The bytes of a user property, name and value.
    pub user_bytes: u32,
    /// The bytes of all, as they are written.
    pub bytes: u32,
}

impl Default for PropertyLimits {
    fn default() -> Self {
        Self { user: 64, user_bytes: 8192, bytes: 65_535 }
    }
}

/// Which side of a connection we are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// We read what servers send.
    Client,
    /// We read what clients send.
    Server,
}

/// A fixed header that is in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) kind: Kind,
    /// The four low bits.
    pub(crate) flags: u8,
    /// The bytes before the variable header.
    pub(crate) header_bytes: usize,
    /// The bytes after them: the remaining length.
    pub(crate) body_bytes: usize,
}

impl Header {
    /// The bytes of the whole packet.
    pub(crate) const fn packet_bytes(self) -> usize {
        self.header_bytes + self.body_bytes
    }
}

/// Reads the fixed header at the start of `bytes`; `None` if it is not complete. What the first byte gives away is
/// refused at once.
pub(crate) fn read(bytes: &[u8], rules: &Rules) -> Result<Option<Header>, DecodeError> {
    let Some((first, rest)) = bytes.split_first() else {
        return Ok(None);
    };
    let kind = kind(first >> 4, rules)?;
    let flags = first & 0x0F;
    check_flags(kind, flags, rules.version)?;
    let Some((body_bytes, size_bytes)) = read_varint(rest)? else {
        return Ok(None);
    };
    let header = Header { kind, flags, header_bytes: 1 + size_bytes, body_bytes: body_bytes as usize };
    let packet_max =
        if kind == Kind::Connect { rules.packet_max.min(CONNECT_BYTES_MAX) } else { rules.packet_max };
    if header.packet_bytes() > packet_max as usize {
        return Err(DecodeError::TooLarge);
    }
    Ok(Some(header))
}

/// The type, if the other side may send it now.
fn kind(bits: u8, rules: &Rules) -> Result<Kind, DecodeError> {
    let kind = KINDS.get(usize::from(bits)).copied().flatten().ok_or(DecodeError::ReservedType)?;
    let Some(version) = rules.version else {
        return if kind == Kind::Connect { Ok(kind) } else { Err(DecodeError::NotConnect) };
    };
    let five = version.has_properties();
    match kind {
        Kind::Connect if rules.role == Role::Server => Err(DecodeError::SecondConnect),
        Kind::Auth if !five => Err(DecodeError::ReservedType),
        // In 3.x a server only hangs up (3.1.1, 3.14).
        Kind::Disconnect if rules.role == Role::Client && !five => Err(DecodeError::WrongWay),
        Kind::Connect | Kind::Subscribe | Kind::Unsubscribe | Kind::Pingreq if rules.role == Role::Client => {
            Err(DecodeError::WrongWay)
        }
        Kind::Connack | Kind::Suback | Kind::Unsuback | Kind::Pingresp if rules.role == Role::Server => {
            Err(DecodeError::WrongWay)
        }
        Kind::Connect
        | Kind::Connack
        | Kind::Publish
        | Kind::Puback
        | Kind::Pubrec
        | Kind::Pubrel
        | Kind::Pubcomp
        | Kind::Subscribe
        | Kind::Suback
        | Kind::Unsubscribe
        | Kind::Unsuback
        | Kind::Pingreq
        | Kind::Pingresp
        | Kind::Disconnect
        | Kind::Auth => Ok(kind),
    }
}

/// [MQTT-2.1.3-1]: each type has its flags.
fn check_flags(kind: Kind, flags: u8, version: Option<Version>) -> Result<(), DecodeError> {
    if kind == Kind::Publish {
        return match Qos::from_bits(flags >> 1 & 0b11) {
            None => Err(DecodeError::PublishQos),
            Some(Qos::AtMostOnce) if flags & DUP != 0 => Err(DecodeError::DupAtMostOnce),
            Some(Qos::AtMostOnce | Qos::AtLeastOnce | Qos::ExactlyOnce) => Ok(()),
        };
    }
    // In 3.1 PUBREL, SUBSCRIBE and UNSUBSCRIBE are messages of QoS 1, which may be repeated with DUP (3.1, 2.1).
    let may_repeat = version == Some(Version::V31) && flags_of(kind) == RESERVED;
    if flags == flags_of(kind) || (may_repeat && flags == RESERVED | DUP) {
        return Ok(());
    }
    Err(DecodeError::Flags)
}

/// The flags of every type but PUBLISH, whose flags say something (2.1.3).
const fn flags_of(kind: Kind) -> u8 {
    match kind {
        Kind::Pubrel | Kind::Subscribe | Kind::Unsubscribe => RESERVED,
        Kind::Connect
        | Kind::Connack
        | Kind::Publish
        | Kind::Puback
        | Kind::Pubrec
        | Kind::Pubcomp
        | Kind::Suback
        | Kind::Unsuback
        | Kind::Pingreq
        | Kind::Pingresp
        | Kind::Disconnect
        | Kind::Auth => 0,
    }
}

/// Writes the fixed header of anything but a PUBLISH.
pub(crate) fn write(kind: Kind, body_bytes: usize, to: &mut BytesMut) {
    write_first((kind as u8) << 4 | flags_of(kind), body_bytes, to);
}

/// The first byte of a PUBLISH.
pub(crate) const fn publish_byte(dup: bool, qos: Qos, retain: bool) -> u8 {
    (Kind::Publish as u8) << 4 | if dup { DUP } else { 0 } | qos.bits() << 1 | retain as u8
}

/// Writes a fixed header with this first byte.
pub(crate) fn write_first(first: u8, body_bytes: usize, to: &mut BytesMut) {
    debug_assert!(body_bytes <= VARINT_MAX, "the caller has looked at the size");
    to.put_u8(first);
    put_varint(to, body_bytes as u32);
}

/// In the flags of PUBLISH: this might be a repetition.
pub(crate) const DUP: u8 = 0b1000;
/// In the flags of PUBLISH: RETAIN.
pub(crate) const RETAIN: u8 = 0b0001;
/// The flags of PUBREL, SUBSCRIBE and UNSUBSCRIBE.
const RESERVED: u8 = 0b0010;

/// The largest CONNECT, in bytes: whoever sends it is a stranger.
const CONNECT_BYTES_MAX: u32 = 65_536;

const KINDS: [Option<Kind>; 16] = [
    None,
    Some(Kind::Connect),
    Some(Kind::Connack),
    Some(Kind::Publish),
    Some(Kind::Puback),
    Some(Kind::Pubrec),
    Some(Kind::Pubrel),
    Some(Kind::Pubcomp),
    Some(Kind::Subscribe),
    Some(Kind::Suback),
    Some(Kind::Unsubscribe),
    Some(Kind::Unsuback),
    Some(Kind::Pingreq),
    Some(Kind::Pingresp),
    Some(Kind::Disconnect),
    Some(Kind::Auth),
];
