//! MQTT, from the client's side.

use std::collections::{HashMap, HashSet, VecDeque};
use std::num::NonZeroU16;
use std::time::Duration;

use bytes::Bytes;
use bytestring::ByteString;
use model::qos::Qos;
use mqtt::codec::{self, PropertyLimits, Role, Rules};
use mqtt::packet::{
    Ack, Connack, Connect, Disconnect, Filter, Guarantee, Kind, Packet, PacketId, Properties, Publish,
    Subscribe,
};
use mqtt::reason::Reason;
use mqtt::topic::TopicName;
use mqtt::version::Version;

use crate::client::entry::{Entry, Wanted};
use crate::client::error::{doubt, in_time};
use crate::client::wire::{Beat, Wire};
use crate::failure::Failure;
use crate::message::{CONTENT_TYPE, CORRELATION_ID, Publication, REPLY_TO, Received, SettleBy};
use crate::output::base64;

mod pipeline;

/// One connection.
#[derive(Debug)]
pub(crate) struct MqttClient {
    wire: Wire,
    version: Version,
    patience: Duration,
    last_id: u16,
    /// The largest packet that the broker takes, in bytes.
    packet_bytes_max: usize,
    /// How many messages of QoS 1 and 2 the broker lets be under way.
    receive_maximum: u16,
    /// What was published and is not acknowledged, by id: what it goes by.
    under_way: HashMap<PacketId, u64>,
    /// Something was sent without waiting.
    posts: bool,
    /// Messages that came while something else was waited for.
    early: VecDeque<Publish>,
    /// QoS 2 ids that came in and that the broker has not released: a message under one of them is a repetition.
    unreleased: HashSet<PacketId>,
}

impl MqttClient {
    /// CONNECT to CONNACK.
    pub(crate) async fn enter(entry: &Entry, version: Version) -> Result<Self, Failure> {
        let patience = entry.patience;
        in_time(patience, "the broker's CONNACK", async {
            let wire = Wire::open(entry).await?;
            let mut client = Self {
                wire,
                version,
                patience,
                last_id: 0,
                packet_bytes_max: usize::MAX,
                receive_maximum: u16::MAX,
                under_way: HashMap::new(),
                posts: false,
                early: VecDeque::new(),
                unreleased: HashSet::new(),
            };
            client.send(&Packet::Connect(Box::new(connect(entry, version))));
            let doubt = |failure| doubt(&failure, entry, &format!("MQTT {version}"));
            let answer = client.packet().await.map_err(doubt)?;
            let Packet::Connack(connack) = answer else {
                let kind = answer.kind();
                return Err(Failure::runtime(format!("the broker answered CONNECT with {kind:?}")));
            };
            client.entered(&connack)?;
            Ok(client)
        })
        .await
    }

    fn entered(&mut self, connack: &Connack) -> Result<(), Failure> {
        let properties = connack.properties.as_deref();
        if connack.reason.is_error() {
            let is_too_new =
                connack.reason == Reason::UnsupportedProtocolVersion && self.version == Version::V5;
            let hint = if is_too_new { "; try --mqtt 4" } else { "" };
            return Err(judge("not let in", connack.reason, properties, hint));
        }
        if let Some(max) = properties.and_then(|properties| properties.maximum_packet_size) {
            self.packet_bytes_max = usize::try_from(max.get()).unwrap_or(usize::MAX);
        }
        if let Some(max) = properties.and_then(|properties| properties.receive_maximum) {
            self.receive_maximum = max.get();
        }
        let keep_alive_s = properties.and_then(|properties| properties.server_keep_alive_s);
        let keep_alive_s = u64::from(keep_alive_s.unwrap_or(KEEP_ALIVE_S));
        // Half of it, so that a lost PINGREQ is noticed in time; every one of them is answered.
        let every = (keep_alive_s > 0).then(|| Duration::from_millis(keep_alive_s * 500));
        let patience = self.patience;
        self.wire.promise(Beat { bytes: PINGREQ, ours: every, theirs: every.map(|every| every + patience) });
        Ok(())
    }

    /// PUBLISH, to its last acknowledgement.
    pub(crate) async fn publish(&mut self, publication: &Publication) -> Result<(), Failure> {
        let id = self.next_id();
        self.write(publication, id)?;
        if publication.qos == Qos::AtMostOnce {
            return self.wire.flush().await.map_err(|error| Failure::runtime(error.to_string()));
        }
        let otherwise = format!("not published to {}", publication.destination);
        in_time(self.patience, "the broker's acknowledgement", self.acknowledged(id, &otherwise)).await
    }

    /// PUBLISH, to be sent.
    fn write(&mut self, publication: &Publication, id: PacketId) -> Result<(), Failure> {
        let topic = TopicName::parse(publication.destination.clone())
            .map_err(|error| Failure::usage(format!("{:?}: {error}", &*publication.destination)))?;
        let packet = Packet::Publish(Publish {
            dup: false,
            retain: publication.retain,
            delivery: Guarantee::new(publication.qos, id),
            topic: Some(topic),
            payload: publication.payload.clone(),
            properties: properties_out(publication)?,
        });
        let before = self.wire.outgoing.len();
        self.send(&packet);
        let packet_bytes = self.wire.outgoing.len() - before;
        if packet_bytes == 0 || packet_bytes > self.packet_bytes_max {
            self.wire.outgoing.truncate(before);
            let max = self.packet_bytes_max;
            return Err(Failure::runtime(format!("the message is too large: the broker takes {max} bytes")));
        }
        Ok(())
    }

    async fn acknowledged(&mut self, id: PacketId, otherwise: &str) -> Result<(), Failure> {
        loop {
            let packet = self.answer(otherwise).await?;
            let (Packet::Puback(ack) | Packet::Pubrec(ack) | Packet::Pubcomp(ack)) = &packet else {
                continue;
            };
            if ack.id != id {
                continue;
            }
            if ack.reason.is_error() {
                return Err(judge(otherwise, ack.reason, ack.properties.as_deref(), ""));
            }
            if packet.kind() != Kind::Pubrec {
                return Ok(());
            }
            self.send(&Packet::Pubrel(Ack::success(id)));
        }
    }

    /// SUBSCRIBE to SUBACK.
    pub(crate) async fn subscribe(&mut self, wanted: &Wanted) -> Result<(), Failure> {
        let id = self.next_id();
        let properties = Properties { user: wanted.properties.clone(), ..Properties::default() };
        let filter = |text: &ByteString| Filter::plain(text.clone(), wanted.qos);
        self.send(&Packet::Subscribe(Subscribe {
            id,
            filters: wanted.destinations.iter().map(filter).collect(),
            properties: (!wanted.properties.is_empty()).then(|| Box::new(properties)),
        }));
        in_time(self.patience, "the broker's SUBACK", async {
            let suback = loop {
                let packet = self.answer("not subscribed").await?;
                if let Packet::Publish(publish) = packet {
                    self.early.push_back(publish);
                } else if let Packet::Suback(suback) = packet
                    && suback.id == id
                {
                    break suback;
                }
            };
            let mut answers = wanted.destinations.iter().zip(suback.reasons);
            match answers.find(|(_, reason)| reason.is_error()) {
                None => Ok(()),
                Some((destination, reason)) => {
                    let otherwise = format!("not subscribed to {destination}");
                    Err(judge(&otherwise, reason, suback.properties.as_deref(), ""))
                }
            }
        })
        .await
    }

    /// The next PUBLISH. One that repeats an unreleased id is answered and left out.
    pub(crate) async fn next(&mut self) -> Result<Received, Failure> {
        loop {
            let publish = match self.early.pop_front() {
                Some(publish) => publish,
                None => {
                    let packet = self.answer("the connection ended").await?;
                    let Packet::Publish(publish) = packet else { continue };
                    publish
                }
            };
            match publish.delivery {
                Guarantee::ExactlyOnce(id) if !self.unreleased.insert(id) => {
                    self.send(&Packet::Pubrec(Ack::success(id)));
                }
                Guarantee::AtMostOnce | Guarantee::AtLeastOnce(_) | Guarantee::ExactlyOnce(_) => {
                    return Ok(received(publish));
                }
            }
        }
    }

    /// PUBACK or PUBREC.
    pub(crate) fn settle(&mut self, received: &Received) {
        match received.settle_by {
            SettleBy::Puback(id) => self.send(&Packet::Puback(Ack::success(id))),
            SettleBy::Pubrec(id) => self.send(&Packet::Pubrec(Ack::success(id))),
            SettleBy::Nothing | SettleBy::Ack(_) => {}
        }
    }

    /// DISCONNECT, behind whatever is still under way: the answer to a PINGREQ says that all before it was read.
    pub(crate) async fn leave(mut self) -> Result<(), Failure> {
        self.wire.outgoing.extend_from_slice(PINGREQ);
        // Whoever sent much without waiting gives the broker the time to read it.
        let patience = if self.posts { self.patience } else { self.patience.min(FAREWELL_MAX) };
        let settled = in_time(patience, "the broker's last answer", async {
            let mut is_read = false;
            while !is_read || !self.unreleased.is_empty() {
                // A message that still comes is not settled: the next one to take up the session gets it.
                is_read |= self.answer("the connection ended").await? == Packet::Pingresp;
            }
            Ok(())
        })
        .await;
        self.send(&Packet::Disconnect(Disconnect { reason: Reason::Success, properties: None }));
        self.wire.close().await;
        settled
    }

    fn send(&mut self, packet: &Packet) {
        codec::encode(packet, self.version, &mut self.wire.outgoing);
    }

    fn next_id(&mut self) -> PacketId {
        self.last_id = self.last_id.checked_add(1).unwrap_or(1);
        PacketId(NonZeroU16::new(self.last_id).unwrap_or(NonZeroU16::MIN))
    }

    /// The next packet; PUBREL is answered before it is seen, and DISCONNECT is an error.
    async fn answer(&mut self, otherwise: &str) -> Result<Packet, Failure> {
        let packet = self.packet().await?;
        if let Packet::Pubrel(ack) = &packet {
            self.unreleased.remove(&ack.id);
            self.send(&Packet::Pubcomp(Ack::success(ack.id)));
        }
        if let Packet::Disconnect(disconnect) = &packet {
            return Err(judge(otherwise, disconnect.reason, disconnect.properties.as_deref(), ""));
        }
        Ok(packet)
    }

    async fn packet(&mut self) -> Result<Packet, Failure> {
        let rules = rules(self.version);
        loop {
            let decoded = codec::decode(&mut self.wire.incoming, &rules);
            match decoded.map_err(|error| Failure::runtime(format!("the broker sent no MQTT: {error}")))? {
                Some(packet) => return Ok(packet),
                None => self.wire.exchange().await?,
            }
        }
    }
}

/// How what the broker says is read.
fn rules(version: Version) -> Rules {
    Rules {
        version: Some(version),
        role: Role::Client,
        packet_max: PACKET_BYTES_MAX,
        properties: PropertyLimits::default(),
    }
}

fn connect(entry: &Entry, version: Version) -> Connect {
    let expiry_s = entry.session_expiry_s.filter(|_| version.has_properties());
    let client_id = match (&entry.client_id, version) {
        (Some(id), _) => id.clone(),
        // The oldest version has no way to ask for one.
        (None, Version::V31) => format!("duetmq-{}", std::process::id()),
        (None, Version::V311 | Version::V5) => String::new(),
    };
    Connect {
        version,
        is_bridge: false,
        clean_start: entry.session_expiry_s.is_none(),
        keep_alive_s: KEEP_ALIVE_S,
        client_id: client_id.into(),
        will: None,
        user: entry.user.clone().map(ByteString::from),
        password: entry.password.clone().map(Bytes::from),
        properties: expiry_s.map(|expiry_s| {
            Box::new(Properties { session_expiry_s: Some(expiry_s), ..Properties::default() })
        }),
    }
}

fn properties_out(publication: &Publication) -> Result<Option<Box<Properties>>, Failure> {
    if publication.properties.is_empty() {
        return Ok(None);
    }
    let mut properties = Properties::default();
    for (name, value) in &publication.properties {
        match &**name {
            CONTENT_TYPE => properties.content_type = Some(value.clone()),
            CORRELATION_ID => properties.correlation_data = Some(value.clone().into_bytes()),
            REPLY_TO => {
                let topic = TopicName::parse(value.clone());
                let topic = topic.map_err(|error| Failure::usage(format!("-p {name}={value}: {error}")))?;
                properties.response_topic = Some(topic);
            }
            _ => properties.user.push((name.clone(), value.clone())),
        }
    }
    Ok(Some(Box::new(properties)))
}

fn received(publish: Publish) -> Received {
    Received {
        destination: publish.topic.map(TopicName::into_byte_string).unwrap_or_default(),
        payload: publish.payload,
        qos: Some(publish.delivery.qos()),
        retain: publish.retain,
        redelivered: publish.dup,
        properties: publish.properties.map(|properties| properties_in(*properties)).unwrap_or_default(),
        settle_by: match publish.delivery {
            Guarantee::AtMostOnce => SettleBy::Nothing,
            Guarantee::AtLeastOnce(id) => SettleBy::Puback(id),
            Guarantee::ExactlyOnce(id) => SettleBy::Pubrec(id),
        },
    }
}

fn properties_in(from: Properties) -> Vec<(ByteString, ByteString)> {
    let correlation = from.correlation_data.map(|data| {
        ByteString::try_from(data.clone()).unwrap_or_else(|_| ByteString::from(base64::encode(&data)))
    });
    let named = [
        (CONTENT_TYPE, from.content_type),
        (REPLY_TO, from.response_topic.map(TopicName::into_byte_string)),
        (CORRELATION_ID, correlation),
        ("expires-in-s", from.message_expiry_s.map(|seconds| seconds.to_string().into())),
    ];
    let named = named.into_iter().filter_map(|(name, value)| Some((ByteString::from_static(name), value?)));
    named.chain(from.user).collect()
}

/// A refusal in words: the code as the specification prints it, and what the broker says about it.
fn judge(otherwise: &str, reason: Reason, properties: Option<&Properties>, hint: &str) -> Failure {
    let words = properties.and_then(|properties| properties.reason_string.as_deref());
    let words = words.map(|words| format!(": {words}")).unwrap_or_default();
    let text = format!("{otherwise}: {reason}{words}{hint}");
    let is_denied = matches!(
        reason,
        Reason::BadUserNameOrPassword
            | Reason::NotAuthorized
            | Reason::Banned
            | Reason::BadAuthenticationMethod
    );
    if is_denied { Failure::refused(text) } else { Failure::runtime(text) }
}

const KEEP_ALIVE_S: u16 = 60;
const PINGREQ: &[u8] = &[0xC0, 0];
/// The largest that there is: the user chose the broker.
const PACKET_BYTES_MAX: u32 = 268_435_460;
const FAREWELL_MAX: Duration = Duration::from_secs(2);
