//! CONNECT to CONNACK.

use std::net::IpAddr;
use std::num::{NonZeroU16, NonZeroU32};
use std::time::Duration;

use bytes::Bytes;
use bytestring::ByteString;
use model::event::Opened;
use model::name::ClientId;
use model::outbox::Wire;
use model::principal::Credentials;
use model::qos::Qos;
use model::request::{Identity, Open, Publish as Message, Will as HeldWill};

use crate::convert;
use crate::limits::{Limits, Options};
use crate::packet::{Connack, Connect, Packet, Properties, Will};
use crate::reason::{Fault, Place, Reason};
use crate::session::{reauth, reply};
use crate::version::Version;

/// What is remembered of CONNECT until the broker has answered, and after.
#[derive(Debug)]
pub(crate) struct Greeting {
    pub(crate) limits: Limits,
    /// What holds, in seconds; 0: no check.
    pub(crate) keep_alive_s: u16,
    /// What holds instead, if the client asked for more than it may have and cannot be told.
    pub(crate) idle_max: Option<Duration>,
    /// What the client asked for, before our maximum; raising it from zero later is not allowed (3.14.2.2.2).
    pub(crate) expiry_asked_s: u32,
    expiry_s: u32,
    is_keep_alive_lowered: bool,
    is_id_assigned: bool,
    /// By which the client shows who it is; every AUTH and CONNACK names it [MQTT-4.12.0-5].
    pub(crate) method: Option<ByteString>,
}

/// Makes sense of CONNECT: what is asked of the broker, and what is remembered.
///
/// # Errors
///
/// Why the client is refused, before the broker was asked; CONNACK says so.
pub(crate) fn open(
    connect: Connect,
    options: &Options,
    address: Option<IpAddr>,
) -> Result<(Greeting, Open), Fault> {
    if !options.versions.contains(&connect.version) {
        return Err(VERSION);
    }
    check_client_id(&connect, options)?;
    let limits = Limits::agree(&connect, options);
    let (keep_alive_s, is_keep_alive_lowered) = keep_alive(&connect, options);
    let (expiry_asked_s, expiry_s) = expiry(&connect, options);
    let proof = reauth::proof(&connect);
    let client = (!connect.client_id.is_empty()).then(|| ClientId::new(&connect.client_id));
    let greeting = Greeting {
        limits,
        keep_alive_s,
        idle_max: idle_max(&connect, options),
        expiry_asked_s,
        expiry_s,
        is_keep_alive_lowered,
        is_id_assigned: client.is_none(),
        method: proof.as_ref().map(|proof| proof.method.clone()),
    };
    let will = connect.will.map(|will| held_will(will, options)).transpose()?;
    let credentials = Credentials {
        user: connect.user,
        password: connect.password,
        client: client.clone(),
        address,
        token: None,
        proof,
        handshake: None,
        certificate: None,
    };
    let identity = Identity::Session { client, clean_start: connect.clean_start, expiry_s };
    let version = connect.version.as_str();
    Ok((greeting, Open { credentials, version, identity, vhost: None, will }))
}

/// [MQTT-3.1.3-6], [MQTT-3.1.3-8 of 3.1.1]: an empty id is made up by us, unless 3.x asks to come back to it later.
fn check_client_id(connect: &Connect, options: &Options) -> Result<(), Fault> {
    if connect.client_id.len() > options.client_id_bytes_max {
        return Err(LONG_ID);
    }
    let may_be_empty = match connect.version {
        Version::V31 => false,
        Version::V311 => connect.clean_start,
        Version::V5 => true,
    };
    if connect.client_id.is_empty() && !may_be_empty { Err(EMPTY_ID) } else { Ok(()) }
}

/// What holds, and whether the client has to be told. Only 5.0 can be told, so only there it is lowered.
fn keep_alive(connect: &Connect, options: &Options) -> (u16, bool) {
    let asked = connect.keep_alive_s;
    let max = options.keep_alive_max_s;
    let is_lowered = connect.version.has_properties() && max > 0 && (asked == 0 || asked > max);
    (if is_lowered { max } else { asked }, is_lowered)
}

/// How long a 3.x client may be silent whatever it asked for, if it asked for more.
fn idle_max(connect: &Connect, options: &Options) -> Option<Duration> {
    let asked = Duration::from_secs(connect.keep_alive_s.into());
    options.idle_max.filter(|max| !connect.version.has_properties() && (asked.is_zero() || asked > *max))
}

/// What the client asked for, and what it gets, in seconds.
fn expiry(connect: &Connect, options: &Options) -> (u32, u32) {
    if connect.version.has_properties() {
        let asked =
            connect.properties.as_ref().and_then(|properties| properties.session_expiry_s).unwrap_or(0);
        return (asked, asked.min(options.session_expiry_max_s));
    }
    let expiry_s = if connect.clean_start { 0 } else { options.session_expiry_v3_s };
    (expiry_s, expiry_s)
}

/// The will as the broker keeps it, perhaps for days: on its own, not on the read buffer.
fn held_will(mut will: Will, options: &Options) -> Result<Box<HeldWill>, Fault> {
    options.check(&will.topic).map_err(|beyond| Fault {
        reason: Reason::TopicNameInvalid,
        text: format!("the will: {beyond}").into(),
    })?;
    let of_will = |reason: Reason, why: &str| Fault { reason, text: format!("the will: {why}").into() };
    let (waits_ms, topic) =
        convert::delayed(will.topic).map_err(|why| of_will(Reason::TopicNameInvalid, why))?;
    let (exchange, key) = convert::place(topic, &options.exchange).ok_or(WILL_TOPIC)?;
    if !convert::is_as_announced(will.properties.as_deref(), &will.payload) {
        return Err(WILL_NO_TEXT);
    }
    let said = will.properties.as_deref().map_or(&[][..], |properties| &properties.user);
    if convert::durability(said).is_err() {
        return Err(WILL_DURABILITY);
    }
    let properties = will.properties.as_deref_mut();
    let delay_s = properties.as_ref().and_then(|properties| properties.will_delay_s).unwrap_or(0);
    let expiry_s = properties.as_ref().and_then(|properties| properties.message_expiry_s);
    let mut properties = properties.and_then(|said| convert::properties_in(said, &options.exchange));
    if let Some(properties) = &mut properties {
        properties.detach();
    }
    let delay_ms = convert::delay(waits_ms, &mut properties)
        .map_err(|why| of_will(Reason::ImplementationSpecific, why))?;
    let publish = Message {
        exchange,
        key: key.detached(),
        payload: Bytes::copy_from_slice(&will.payload),
        qos: will.qos,
        retain: will.retain,
        persistent: will.qos != Qos::AtMostOnce,
        expiry_ms: expiry_s.map(|seconds| u64::from(seconds) * 1000),
        properties,
        delay_ms,
        remember: None,
        publication: None,
        declare: None,
    };
    Ok(Box::new(HeldWill { publish, delay_s }))
}

impl Greeting {
    /// Lets the client in: CONNACK (3.2).
    ///
    /// # Errors
    ///
    /// The client takes no packet as large as its CONNACK.
    pub(crate) fn accept(&self, opened: &Opened, options: &Options, to: &mut Wire) -> Result<(), Fault> {
        let version = self.limits.version;
        let connack = Connack {
            session_present: opened.session_present && version.has_session_present(),
            reason: Reason::Success,
            properties: version.has_properties().then(|| self.promises(opened, options)),
        };
        if reply::send(&self.limits, Packet::Connack(Box::new(connack)), to) {
            Ok(())
        } else {
            Err(TOO_LARGE)
        }
    }

    /// What a 5.0 client is told; what is left out has the specification's default, and we have all that it has.
    fn promises(&self, opened: &Opened, options: &Options) -> Box<Properties> {
        let assigned = opened.client.as_ref().filter(|_| self.is_id_assigned);
        Box::new(Properties {
            session_expiry_s: (self.expiry_s != self.expiry_asked_s).then_some(self.expiry_s),
            receive_maximum: self.limits.receive_maximum.and_then(NonZeroU16::new),
            maximum_packet_size: NonZeroU32::new(options.packet_max),
            assigned_client_id: assigned.map(|client| ByteString::from(client.as_str())),
            topic_alias_maximum: Some(self.limits.aliases_in).filter(|maximum| *maximum > 0),
            authentication_method: self.method.clone(),
            authentication_data: opened.proof.clone().filter(|_| self.method.is_some()),
            server_keep_alive_s: self.is_keep_alive_lowered.then_some(self.keep_alive_s),
            ..Properties::default()
        })
    }
}

/// Says no: CONNACK with the reason, Session Present 0 [MQTT-3.2.2-6]. The connection is closed by the caller.
pub(crate) fn refuse(limits: &Limits, fault: &Fault, options: &Options, to: &mut Wire) {
    let reason =
        if fault.reason.may_stand_in(Place::Connack) { fault.reason } else { Reason::UnspecifiedError };
    let properties = limits.version.has_properties().then(|| {
        let mut properties = reply::explained(fault.text.as_ref());
        properties.server_reference = options.reference(reason);
        properties
    });
    reply::send(
        limits,
        Packet::Connack(Box::new(Connack { session_present: false, reason, properties })),
        to,
    );
}

const VERSION: Fault =
    Fault::new(Reason::UnsupportedProtocolVersion, "[MQTT-3.1.2-2] this protocol version is switched off");
const EMPTY_ID: Fault = Fault::new(
    Reason::ClientIdentifierNotValid,
    "[MQTT-3.1.3-8] (3.1.1) an empty client identifier needs Clean Session 1, and in MQTT 3.1 it is not allowed",
);
const LONG_ID: Fault =
    Fault::new(Reason::ClientIdentifierNotValid, "the client identifier is longer than the broker allows");
const WILL_TOPIC: Fault = Fault::new(Reason::TopicNameInvalid, "the will's topic is the broker's own");
const WILL_DURABILITY: Fault = Fault::new(
    Reason::ImplementationSpecific,
    "the will's user property x-durability must be disk, os or memory",
);
const WILL_NO_TEXT: Fault = Fault::new(
    Reason::PayloadFormatInvalid,
    "3.1.3.2.3: the will's payload is announced as UTF-8, and is not",
);
const TOO_LARGE: Fault = Fault::new(
    Reason::PacketTooLarge,
    "[MQTT-3.1.2-24] the client's maximum packet size is too small for its CONNACK",
);
