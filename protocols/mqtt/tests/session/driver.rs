//! Drives a session as a connection does, and says in short words what it answers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use model::delivery::{Delivery, DeliveryTag, Stage};
use model::event::{Event, Opened, Submitted};
use model::message::Message;
use model::name::{ClientId, ConsumerId, ExchangeName, MessageId};
use model::outbox::Outbox;
use model::principal::{Credentials, Proof};
use model::properties::Properties;
use model::qos::Qos;
use model::refusal::Refusal;
use model::request::{Identity, Operation, Request, Ticket, Unsubscription};
use model::session::Session as _;
use model::time::WallMs;
use model::wire_cache::WireCache;
use mqtt::codec::{PropertyLimits, Role, Rules, decode, encode};
use mqtt::packet::{self, Connect, Guarantee, Packet, PacketId, Publish};
use mqtt::reason::Reason;
use mqtt::topic::TopicName;
use mqtt::version::Version;
use mqtt::{Options, Session};

/// A client, its connection, and the broker's answers to give.
pub(crate) struct Client {
    pub(crate) session: Session,
    pub(crate) version: Version,
    pub(crate) now: Instant,
    pub(crate) out: Outbox,
    unread: BytesMut,
}

impl Client {
    /// A connection on which nothing was said yet.
    pub(crate) fn stranger(version: Version, options: Options) -> Self {
        #[allow(
            clippy::disallowed_methods,
            reason = "some moment to count from; time is added, never read again"
        )]
        let now = Instant::now();
        let session = Session::new(Arc::new(options), None, now);
        Self { session, version, now, out: Outbox::default(), unread: BytesMut::new() }
    }

    /// A client that is in, by plain CONNECT and default options.
    pub(crate) fn open(version: Version) -> Self {
        Self::open_with(connect(version), Options::default())
    }

    /// A client that is in; CONNECT and CONNACK are read and gone.
    pub(crate) fn open_with(connect: Connect, options: Options) -> Self {
        Self::resumed(connect, options, opened(false, &[]))
    }

    /// A client that is in, by this answer of the broker.
    pub(crate) fn resumed(connect: Connect, options: Options, opened: Event) -> Self {
        let mut client = Self::stranger(connect.version, options);
        client.send(Packet::Connect(Box::new(connect)));
        client.requests();
        client.event(opened);
        client.says();
        assert!(client.out.close.is_none());
        client
    }

    pub(crate) fn send(&mut self, packet: Packet) {
        let mut bytes = BytesMut::new();
        encode(&packet, self.version, &mut bytes);
        self.raw(&bytes);
    }

    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        self.unread.extend_from_slice(bytes);
        self.session.receive(&mut self.unread, self.now, &mut self.out);
    }

    /// As the connection does: after an answer, what is left of the bytes is offered again.
    pub(crate) fn event(&mut self, event: Event) {
        self.session.notify(event, self.now, &mut self.out);
        if self.out.close.is_none() {
            self.session.receive(&mut self.unread, self.now, &mut self.out);
        }
    }

    pub(crate) fn submitted(&mut self, ticket: u64) {
        self.event(Event::Submitted { ticket: Ticket(ticket), result: Ok(Submitted::default()) });
    }

    pub(crate) fn refused(&mut self, ticket: u64, refusal: Refusal) {
        self.event(Event::Submitted { ticket: Ticket(ticket), result: Err(refusal) });
    }

    pub(crate) fn deliver(&mut self, deliveries: Vec<Delivery>) {
        let mut deliveries = deliveries;
        self.session.deliver(&mut deliveries, self.now, &mut self.out);
        assert!(deliveries.is_empty(), "takes all of them");
    }

    pub(crate) fn wait(&mut self, time: Duration) {
        self.now += time;
        self.session.expire(self.now, &mut self.out);
    }

    /// What was asked of the broker since the last look.
    pub(crate) fn requests(&mut self) -> Vec<String> {
        self.out.requests.drain(..).map(|request| asked(&request)).collect()
    }

    /// What was sent to the client since the last look.
    pub(crate) fn packets(&mut self) -> Vec<Packet> {
        let mut bytes = self.bytes();
        let rules = Rules {
            version: Some(self.version),
            role: Role::Client,
            packet_max: u32::MAX,
            properties: PropertyLimits::default(),
        };
        let mut packets = Vec::new();
        while let Some(packet) = decode(&mut bytes, &rules).expect("what we write can be read") {
            packets.push(packet);
        }
        assert!(bytes.is_empty(), "whole packets");
        packets
    }

    /// The same, in short.
    pub(crate) fn says(&mut self) -> Vec<String> {
        self.packets().iter().map(said).collect()
    }

    pub(crate) fn bytes(&mut self) -> BytesMut {
        let mut bytes = BytesMut::new();
        while !self.out.wire.is_empty() {
            let mut slices = [std::io::IoSlice::new(&[]); 8];
            let used = self.out.wire.peek(&mut slices);
            let count = slices[..used].iter().map(|slice| slice.len()).sum();
            slices[..used].iter().for_each(|slice| bytes.extend_from_slice(slice));
            self.out.wire.advance(count);
        }
        bytes
    }

    /// Why the session asked to close, if it did.
    pub(crate) fn closed(&self) -> Option<&str> {
        self.out.close.as_ref().map(|hangup| &*hangup.reason)
    }
}

pub(crate) fn connect(version: Version) -> Connect {
    Connect {
        version,
        is_bridge: false,
        clean_start: true,
        keep_alive_s: 60,
        client_id: "c".into(),
        will: None,
        user: None,
        password: None,
        properties: None,
    }
}

/// A 5.0 CONNECT with these properties.
pub(crate) fn connect_with(properties: packet::Properties) -> Connect {
    Connect { properties: Some(Box::new(properties)), ..connect(Version::V5) }
}

pub(crate) fn opened(session_present: bool, unreleased: &[u16]) -> Event {
    Event::Opened(Box::new(Opened {
        client: Some(ClientId::new("c")),
        session_present,
        unreleased: unreleased.to_vec(),
        connection: "1".to_owned(),
        user: None,
        proof: None,
    }))
}

pub(crate) fn id(id: u16) -> PacketId {
    PacketId::new(id).expect("not zero")
}

pub(crate) fn ack(number: u16) -> packet::Ack {
    packet::Ack::success(id(number))
}

pub(crate) fn publish(topic: &str, qos: Qos, number: u16) -> Publish {
    Publish {
        dup: false,
        retain: false,
        delivery: Guarantee::new(qos, id(number)),
        topic: TopicName::parse(topic.into()).ok(),
        payload: Bytes::from_static(b"p"),
        properties: None,
    }
}

pub(crate) fn message(exchange: ExchangeName, key: &str, payload: &[u8]) -> Message {
    Message {
        id: MessageId::default(),
        exchange,
        key: key.into(),
        payload: Bytes::copy_from_slice(payload),
        qos: Qos::ExactlyOnce,
        retain: false,
        persistent: true,
        publisher: None,
        published_at: WallMs(0),
        expires_at: None,
        properties: None,
        wire: WireCache::default(),
    }
}

pub(crate) fn delivery(tag: u64, qos: Qos) -> Delivery {
    deliver(message(ExchangeName::TOPIC, "a/b", b"p").into(), tag, qos)
}

pub(crate) fn deliver(message: Arc<Message>, tag: u64, qos: Qos) -> Delivery {
    Delivery {
        consumer: ConsumerId::SESSION,
        tag: DeliveryTag(if qos == Qos::AtMostOnce { 0 } else { tag }),
        message,
        qos,
        retain: false,
        subscription_ids: Default::default(),
        attempts: 0,
        stage: Stage::Published,
        expires_in_ms: None,
        offset: None,
    }
}

pub(crate) fn with_properties(mut message: Message, properties: Properties) -> Message {
    message.properties = Some(Box::new(properties));
    message
}

/// A request in short: `publish 1 amq.topic a/b qos 1 "p"`.
fn asked(request: &Request) -> String {
    match request {
        Request::Open(open) => {
            let Identity::Session { client, clean_start, expiry_s } = &open.identity else {
                return "open without a session".to_owned();
            };
            let will = open
                .will
                .as_ref()
                .map(|will| format!(" will {} after {}", operation(&will.publish), will.delay_s));
            let client = client.as_ref().map_or("-", |client| client.as_str());
            let proof = proof(&open.credentials);
            format!("open {client} clean {clean_start} expiry {expiry_s}{}{proof}", will.unwrap_or_default())
        }
        Request::Submit(submit) => {
            let operations: Vec<String> = submit
                .operations
                .iter()
                .map(|step| match step {
                    Operation::Publish(publish) => format!("publish {}", operation(publish)),
                    Operation::Settle(settle) => format!("settle {} {:?}", settle.tag.0, settle.outcome),
                })
                .collect();
            let ticket = if submit.answer { format!("{}: ", submit.ticket.0) } else { String::new() };
            if operations.is_empty() {
                format!("{ticket}barrier")
            } else {
                format!("{ticket}{}", operations.join(", "))
            }
        }
        Request::Subscribe(subscribe) => {
            let each = subscribe.subscriptions.iter().map(|subscription| {
                let source = subscription.source.as_ref().expect("MQTT binds");
                let share = source.share.as_ref().map(|share| format!(" share {share}")).unwrap_or_default();
                let ids = &source.grant.subscription_ids;
                let ids = if ids.is_empty() { String::new() } else { format!(" ids {ids:?}") };
                let no_local = if source.grant.no_local { " no-local" } else { "" };
                let as_published = if source.grant.retain_as_published { " as-published" } else { "" };
                format!(
                    "{} {}{share} qos {}{ids}{no_local}{as_published} {:?}",
                    source.exchange,
                    source.pattern,
                    source.grant.qos.bits(),
                    subscription.retained
                )
            });
            format!("{}: subscribe {}", subscribe.ticket.0, each.collect::<Vec<_>>().join(", "))
        }
        Request::Unsubscribe(unsubscribe) => {
            let each = unsubscribe.subscriptions.iter().map(|subscription| match subscription {
                Unsubscription::Binding { exchange, pattern, share } => {
                    let share = share.as_ref().map(|share| format!(" share {share}")).unwrap_or_default();
                    format!("{exchange} {pattern}{share}")
                }
                Unsubscription::Consumer { .. } => "a consumer".to_owned(),
            });
            format!("{}: unsubscribe {}", unsubscribe.ticket.0, each.collect::<Vec<_>>().join(", "))
        }
        Request::Proceed(proceed) => format!("proceed {}", text(proceed.data.as_ref())),
        Request::Reauthenticate(credentials) => format!("reauthenticate{}", proof(credentials)),
        Request::Release(release) => format!("{}: release {}", release.ticket.0, release.id),
        Request::Close(close) => format!("close discard {} expiry {:?}", close.discard_will, close.expiry_s),
    }
}

/// By which method a client wants in, and what it said first.
fn proof(credentials: &Credentials) -> String {
    let said = |proof: &Proof| format!(" by {} {}", proof.method, text(proof.data.as_ref()));
    credentials.proof.as_ref().map(said).unwrap_or_default()
}

fn text(data: Option<&Bytes>) -> String {
    data.map_or_else(|| "-".to_owned(), |data| String::from_utf8_lossy(data).into_owned())
}

fn operation(publish: &model::request::Publish) -> String {
    let retain = if publish.retain { " retain" } else { "" };
    let remember = publish.remember.map(|id| format!(" remember {id}")).unwrap_or_default();
    let expiry = publish.expiry_ms.map(|expiry| format!(" expiry {expiry}")).unwrap_or_default();
    format!(
        "{} {} qos {}{retain}{remember}{expiry} {}",
        publish.exchange,
        publish.key,
        publish.qos.bits(),
        String::from_utf8_lossy(&publish.payload)
    )
}

/// A packet in short: `PUBREC 7 NotAuthorized`.
fn said(packet: &Packet) -> String {
    let acked = |name: &str, ack: &packet::Ack| {
        let reason = if ack.reason == Reason::Success { String::new() } else { format!(" {:?}", ack.reason) };
        format!("{name} {}{reason}", ack.id.get())
    };
    match packet {
        Packet::Connack(connack) => {
            format!("CONNACK {:?} present {}", connack.reason, connack.session_present)
        }
        Packet::Publish(publish) => {
            let dup = if publish.dup { " dup" } else { "" };
            let retain = if publish.retain { " retain" } else { "" };
            let number = publish.delivery.id().map(|id| format!(" {}", id.get())).unwrap_or_default();
            let topic = publish.topic.as_ref().map_or("-", |topic| topic.as_str());
            format!("PUBLISH{number} {topic} qos {}{dup}{retain}", publish.delivery.qos().bits())
        }
        Packet::Puback(ack) => acked("PUBACK", ack),
        Packet::Pubrec(ack) => acked("PUBREC", ack),
        Packet::Pubrel(ack) => acked("PUBREL", ack),
        Packet::Pubcomp(ack) => acked("PUBCOMP", ack),
        Packet::Suback(suback) => format!("SUBACK {} {:?}", suback.id.get(), suback.reasons),
        Packet::Unsuback(suback) => format!("UNSUBACK {} {:?}", suback.id.get(), suback.reasons),
        Packet::Pingresp => "PINGRESP".to_owned(),
        Packet::Disconnect(disconnect) => format!("DISCONNECT {:?}", disconnect.reason),
        Packet::Auth(auth) => {
            let properties = auth.properties.as_deref().expect("AUTH names its method");
            let method = properties.authentication_method.as_deref().expect("AUTH names its method");
            format!("AUTH {:?} {method} {}", auth.reason, text(properties.authentication_data.as_ref()))
        }
        Packet::Connect(_) | Packet::Subscribe(_) | Packet::Unsubscribe(_) | Packet::Pingreq => {
            format!("{:?}", packet.kind())
        }
    }
}
