//! What each side promised: our options, and what one client and we agreed on.

use std::time::Duration;

use bytestring::ByteString;
use model::name::ExchangeName;

use crate::codec::{PropertyLimits, Role, Rules};
use crate::packet::{Connect, Properties};
use crate::reason::{Fault, Reason};
use crate::topic::TopicName;
use crate::version::Version;

/// What the broker offers to MQTT clients.
#[derive(Debug, Clone)]
pub struct Options {
    /// The versions that are let in.
    pub versions: Vec<Version>,
    /// How long a client may take from its first byte to the end of CONNECT.
    pub connect_timeout: Duration,
    /// How long a client may stay whose token has expired.
    pub token_grace: Duration,
    /// How many QoS 1 and QoS 2 messages of a 5.0 client may be under way to us; at least 1 (3.2.2.3.3). In 3.x the
    /// connection has no such limit.
    pub receive_maximum: u16,
    /// How many QoS 1 and QoS 2 messages may be under way to a client, whatever it offers; at least 1.
    pub inflight_max: u16,
    /// The largest packet we read, in bytes; at most 268,435,460.
    pub packet_max: u32,
    /// How many topic aliases a client may use (3.2.2.3.8); 0: none.
    pub topic_alias_max: u16,
    /// How many topic aliases we use towards a client, if it takes as many; 0: none.
    pub topic_alias_max_out: u16,
    /// The longest keep alive of a 5.0 client, in seconds; 0: no limit. In 3.x there is no way to tell the client, so
    /// there it is not limited.
    pub keep_alive_max_s: u16,
    /// How long a 3.x client may say nothing that asked for no keep alive, or for a longer one; `None`: for ever, or for
    /// as long as it asked.
    pub idle_max: Option<Duration>,
    /// The longest session expiry of a 5.0 client, in seconds; `u32::MAX`: sessions may last for ever.
    pub session_expiry_max_s: u32,
    /// How long a session with Clean Session 0 lasts in 3.x, in seconds; `u32::MAX`: for ever.
    pub session_expiry_v3_s: u32,
    /// The longest topic name and the longest filter, in bytes.
    pub topic_bytes_max: usize,
    /// The most levels of a topic name or a filter.
    pub topic_levels_max: usize,
    /// The most filters in one SUBSCRIBE.
    pub subscriptions_per_packet: usize,
    /// The longest client id, in bytes.
    pub client_id_bytes_max: usize,
    /// How much a client may say of a packet, or of its will.
    pub properties: PropertyLimits,
    /// Where clients are sent instead of here; `None`: they are not.
    pub redirect: Option<Redirect>,
    /// The topic exchange behind plain topics; those that start with `$` are not among them.
    pub exchange: ExchangeName,
}

/// Where clients are sent instead of here (MQTT 5.0, 4.11).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redirect {
    /// Whom they are told: what another server is called, such as `host:port`.
    pub reference: ByteString,
    /// When.
    pub when: When,
}

/// When clients are sent away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// At CONNECT, for now: 0x9C.
    Temporary,
    /// At CONNECT, for ever: 0x9D.
    Permanent,
    /// When this server stops: 0x9C.
    AtShutdown,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            versions: vec![Version::V31, Version::V311, Version::V5],
            connect_timeout: Duration::from_secs(10),
            token_grace: Duration::from_secs(5),
            receive_maximum: 64,
            inflight_max: 64,
            packet_max: 1 << 20,
            topic_alias_max: 32,
            topic_alias_max_out: 32,
            keep_alive_max_s: 600,
            idle_max: None,
            session_expiry_max_s: WEEK_S,
            session_expiry_v3_s: WEEK_S,
            topic_bytes_max: 65_535,
            topic_levels_max: 128,
            subscriptions_per_packet: 100,
            client_id_bytes_max: 256,
            properties: PropertyLimits::default(),
            redirect: None,
            exchange: ExchangeName::TOPIC,
        }
    }
}

impl Options {
    /// How we read what a client of that version says; `None`: it has not said which.
    pub(crate) const fn rules(&self, version: Option<Version>, packet_max: u32) -> Rules {
        Rules { version, role: Role::Server, packet_max, properties: self.properties }
    }

    /// Why nobody is let in, where all are sent somewhere else.
    pub(crate) fn sends_away(&self) -> Option<Fault> {
        match self.redirect.as_ref()?.when {
            When::Temporary => Some(ELSEWHERE),
            When::Permanent => Some(MOVED),
            When::AtShutdown => None,
        }
    }

    /// What those hear who are here when the server stops.
    pub(crate) fn at_shutdown(&self) -> Option<Fault> {
        match self.redirect.as_ref()?.when {
            When::Temporary | When::AtShutdown => Some(ELSEWHERE),
            When::Permanent => Some(MOVED),
        }
    }

    /// The Server Reference that goes with that reason.
    pub(crate) fn reference(&self, reason: Reason) -> Option<ByteString> {
        let is_redirect = matches!(reason, Reason::UseAnotherServer | Reason::ServerMoved);
        self.redirect.as_ref().filter(|_| is_redirect).map(|redirect| redirect.reference.clone())
    }

    /// Whether a topic name keeps to our limits.
    ///
    /// # Errors
    ///
    /// The limit that it is beyond.
    pub(crate) fn check(&self, topic: &TopicName) -> Result<(), TopicError> {
        let bytes = topic.as_str().len();
        self.check_bytes(bytes)?;
        // Only a topic of many bytes can have many levels: the others need not be counted.
        if bytes >= self.topic_levels_max && topic.level_count() > self.topic_levels_max {
            return Err(TopicError::Levels(self.topic_levels_max));
        }
        Ok(())
    }

    /// Whether a topic name or a filter of so many bytes keeps to our limits.
    ///
    /// # Errors
    ///
    /// It is longer.
    pub(crate) const fn check_bytes(&self, bytes: usize) -> Result<(), TopicError> {
        if bytes > self.topic_bytes_max { Err(TopicError::Bytes(self.topic_bytes_max)) } else { Ok(()) }
    }
}

/// The limit that a topic name or a filter is beyond.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TopicError {
    /// In bytes.
    #[error("the topic is longer than the {0} bytes of limits.topic_bytes")]
    Bytes(usize),
    /// In levels.
    #[error("the topic has more levels than the {0} of mqtt.max_topic_levels")]
    Levels(usize),
}

/// What holds for one connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) version: Version,
    /// Whether the client is a bridge: it wants the RETAIN flag as it was published, and no echo of its own messages.
    pub(crate) is_bridge: bool,
    /// The most QoS 1 and QoS 2 messages under way to the client.
    pub(crate) inflight_max: usize,
    /// The largest packet that the client reads, in bytes.
    pub(crate) packet_bytes_max: usize,
    /// How many topic aliases the client keeps for us.
    pub(crate) aliases_out: u16,
    /// How many we keep for the client.
    pub(crate) aliases_in: u16,
    /// Whether acknowledgements may carry a reason string [MQTT-3.1.2-29].
    pub(crate) may_explain: bool,
    /// The most QoS 1 and QoS 2 messages under way from the client; `None` in 3.x.
    pub(crate) receive_maximum: Option<u16>,
}

impl Limits {
    /// What follows from CONNECT and our options.
    pub(crate) fn agree(connect: &Connect, options: &Options) -> Self {
        let inflight_max = options.inflight_max.max(1);
        if !connect.version.has_properties() {
            return Self {
                is_bridge: connect.is_bridge,
                inflight_max: usize::from(inflight_max),
                ..Self::unknown(connect.version)
            };
        }
        let none = Properties::default();
        let asked = connect.properties.as_deref().unwrap_or(&none);
        let receive_maximum = asked.receive_maximum.map_or(u16::MAX, |maximum| maximum.get());
        let packet_max = asked.maximum_packet_size.map_or(usize::MAX, |maximum| maximum.get() as usize);
        Self {
            version: connect.version,
            is_bridge: false,
            inflight_max: usize::from(receive_maximum.min(inflight_max)),
            packet_bytes_max: packet_max.min(PACKET_BYTES_MAX),
            aliases_out: asked.topic_alias_maximum.unwrap_or(0).min(options.topic_alias_max_out),
            aliases_in: options.topic_alias_max,
            may_explain: asked.request_problem_information.unwrap_or(true),
            receive_maximum: Some(options.receive_maximum.max(1)),
        }
    }

    /// What holds for somebody who speaks that version and has said nothing else.
    pub(crate) const fn unknown(version: Version) -> Self {
        Self {
            version,
            is_bridge: false,
            inflight_max: 1,
            packet_bytes_max: PACKET_BYTES_MAX,
            aliases_out: 0,
            aliases_in: 0,
            may_explain: false,
            receive_maximum: None,
        }
    }
}

const ELSEWHERE: Fault =
    Fault::new(Reason::UseAnotherServer, "4.11: use another server for now (mqtt.server_reference)");
const MOVED: Fault =
    Fault::new(Reason::ServerMoved, "4.11: use another server from now on (mqtt.server_reference)");

const WEEK_S: u32 = 7 * 24 * 60 * 60;

/// The largest packet there can be: five bytes of fixed header, and what they can count (2.1.4).
const PACKET_BYTES_MAX: usize = 268_435_460;
