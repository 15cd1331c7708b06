//! AUTH exchanges: who the client is, shown in several steps, at CONNECT and again later (4.12).

use std::net::IpAddr;

use bytes::{Bytes, BytesMut};
use bytestring::ByteString;
use model::name::ClientId;
use model::outbox::{Outbox, Wire};
use model::principal::{Credentials, Proof};
use model::refusal::Refusal;
use model::request::{Proceed, Request};

use crate::codec;
use crate::convert;
use crate::limits::{Limits, Options};
use crate::packet::{Connect, Disconnect, Packet, Properties};
use crate::reason::{Fault, Place, Reason};
use crate::session::reply;

/// What CONNECT says of its method; `None`: user name and password, or nothing.
pub(crate) fn proof(connect: &Connect) -> Option<Proof> {
    let properties = connect.properties.as_ref()?;
    // Copies: the method stays as long as the connection, and must not hold on to the read buffer.
    let method = ByteString::from(properties.authentication_method.as_deref()?);
    let data = properties.authentication_data.as_ref().map(|data| Bytes::copy_from_slice(data));
    Some(Proof { method, data })
}

/// What a client may send before CONNACK, once it has named a method [MQTT-3.1.2-30].
#[derive(Debug)]
pub(crate) enum Early {
    /// Nothing whole yet.
    Nothing,
    /// Its answer to our AUTH.
    Answer(Option<Bytes>),
    /// It has thought better of it.
    Leaves(Reason),
}

/// Reads the next packet of a client that was challenged at CONNECT.
///
/// # Errors
///
/// It is no answer; CONNACK says so.
pub(crate) fn read_early(
    bytes: &mut BytesMut,
    limits: &Limits,
    options: &Options,
    method: &str,
) -> Result<Early, Fault> {
    let rules = options.rules(Some(limits.version), EARLY_PACKET_BYTES_MAX);
    match codec::decode(bytes, &rules)? {
        None => Ok(Early::Nothing),
        Some(Packet::Auth(auth)) => match read(auth, method)? {
            (Reason::ContinueAuthentication, data) => Ok(Early::Answer(data)),
            _ => Err(OUT_OF_TURN),
        },
        Some(Packet::Disconnect(disconnect)) => Ok(Early::Leaves(disconnect.reason)),
        Some(_) => Err(EARLY),
    }
}

/// Sends AUTH. It never has a reason string or user properties, so it has none that could be too many [MQTT-3.15.2-2],
/// [MQTT-3.15.2-3].
///
/// # Errors
///
/// The client takes no packet of that size.
pub(crate) fn say(
    limits: &Limits,
    method: &ByteString,
    reason: Reason,
    data: Option<Bytes>,
    to: &mut Wire,
) -> Result<(), Fault> {
    let properties = Properties {
        authentication_method: Some(method.clone()),
        authentication_data: data,
        ..Properties::default()
    };
    let auth = Packet::Auth(Disconnect { reason, properties: Some(Box::new(properties)) });
    if reply::send(limits, auth, to) { Ok(()) } else { Err(TOO_LARGE) }
}

/// The exchanges of a client that is in by a method: at most one at a time. All else goes on meanwhile (4.12.1).
#[derive(Debug)]
pub(crate) struct Reauth {
    method: ByteString,
    client: Option<ClientId>,
    address: Option<IpAddr>,
    turn: Turn,
}

/// Whose turn it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// There is no exchange.
    Nobody,
    /// The broker has been asked.
    Ours,
    /// The client was asked.
    Theirs,
}

impl Reauth {
    pub(crate) const fn new(method: ByteString, client: Option<ClientId>, address: Option<IpAddr>) -> Self {
        Self { method, client, address, turn: Turn::Nobody }
    }

    /// AUTH came in.
    pub(crate) fn received(&mut self, auth: Disconnect, out: &mut Outbox) -> Result<(), Fault> {
        let (reason, data) = read(auth, &self.method)?;
        let request = match (reason, self.turn) {
            (Reason::ReAuthenticate, Turn::Nobody) => Request::Reauthenticate(Box::new(Credentials {
                client: self.client.clone(),
                address: self.address,
                proof: Some(Proof { method: self.method.clone(), data }),
                ..Credentials::default()
            })),
            (Reason::ContinueAuthentication, Turn::Theirs) => Request::Proceed(Proceed { data }),
            _ => return Err(OUT_OF_TURN),
        };
        self.turn = Turn::Ours;
        out.requests.push(request);
        Ok(())
    }

    /// The broker wants to hear more.
    pub(crate) fn challenged(&mut self, data: Bytes, limits: &Limits, out: &mut Outbox) -> Result<(), Fault> {
        self.turn = Turn::Theirs;
        say(limits, &self.method, Reason::ContinueAuthentication, Some(data), &mut out.wire)
    }

    /// The broker is content.
    pub(crate) fn finished(
        &mut self,
        data: Option<Bytes>,
        limits: &Limits,
        out: &mut Outbox,
    ) -> Result<(), Fault> {
        self.turn = Turn::Nobody;
        say(limits, &self.method, Reason::Success, data, &mut out.wire)
    }

    /// The broker is not: the connection ends [MQTT-4.12.1-2].
    pub(crate) fn refused(refusal: &Refusal) -> Fault {
        let reason = convert::reason(refusal, Place::DisconnectByServer);
        Fault { reason, text: refusal.to_string().into() }
    }
}

/// What an AUTH packet says, if it keeps to the method of CONNECT [MQTT-4.12.0-5], [MQTT-4.12.1-1].
fn read(auth: Disconnect, method: &str) -> Result<(Reason, Option<Bytes>), Fault> {
    let properties = auth.properties.map(|properties| *properties).unwrap_or_default();
    match properties.authentication_method.as_deref() {
        None => Err(NO_METHOD),
        Some(named) if *named != *method => Err(OTHER_METHOD),
        Some(_) => Ok((auth.reason, properties.authentication_data)),
    }
}

/// Nobody is let in without a method and may then send AUTH [MQTT-4.12.0-7].
pub(crate) const UNASKED: Fault =
    Fault::new(Reason::ProtocolError, "[MQTT-4.12.0-7] AUTH without an authentication method in CONNECT");

/// The client has not answered within the time for CONNECT.
pub(crate) const UNANSWERED: Fault =
    Fault::new(Reason::NotAuthorized, "4.12: the authentication was not over within the time for CONNECT");

const NO_METHOD: Fault = Fault::new(Reason::ProtocolError, "3.15.2.2.2: AUTH names no authentication method");
const OTHER_METHOD: Fault = Fault::new(
    Reason::BadAuthenticationMethod,
    "[MQTT-4.12.1-1] AUTH names another authentication method than CONNECT",
);
const OUT_OF_TURN: Fault = Fault::new(
    Reason::ProtocolError,
    "4.12: AUTH out of turn; 0x18 answers a challenge, 0x19 begins where no exchange is under way",
);
const EARLY: Fault = Fault::new(
    Reason::ProtocolError,
    "[MQTT-3.1.2-30] a packet other than AUTH or DISCONNECT before the authentication was over",
);
const TOO_LARGE: Fault = Fault::new(
    Reason::PacketTooLarge,
    "[MQTT-3.1.2-24] the client's maximum packet size is too small for the authentication",
);

/// The largest packet of a client that is not in yet, in bytes: as much as a connection holds for one.
const EARLY_PACKET_BYTES_MAX: u32 = 128 * 1024;
