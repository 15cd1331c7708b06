//! A session of MQTT in a play: a client that says anything, a broker that answers late or not at all, deliveries, and time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use model::delivery::{Delivery, DeliveryTag, Stage};
use model::event::{Event, Farewell, Opened, Submitted};
use model::message::Message;
use model::name::{ClientId, ConsumerId, ExchangeName, MessageId};
use model::outbox::Outbox;
use model::properties::Properties;
use model::qos::Qos;
use model::refusal::Refusal;
use model::session::Session as _;
use model::time::WallMs;
use model::wire_cache::WireCache;
use mqtt::codec::encode;
use mqtt::packet::Packet;
use mqtt::version::Version;
use mqtt::{Options, Session};
use smallvec::SmallVec;

use crate::mqtt_client::{connect, message_properties, say};
use crate::mqtt_watch::{Asked, Watch};
use crate::script::Script;

/// Plays what the bytes say.
pub fn run(data: &[u8]) {
    let mut script = Script::new(data);
    let mut play = Play::new(&mut script);
    if !script.byte().is_multiple_of(8) {
        let mut bytes = BytesMut::new();
        encode(&Packet::Connect(Box::new(connect(&mut script))), Version::V5, &mut bytes);
        play.hears(&bytes);
        if !script.byte().is_multiple_of(8) {
            play.answer(0, &mut script);
        }
    }
    while !script.is_over() && play.out.close.is_none() {
        play.turn(&mut script);
    }
}

struct Play {
    session: Session,
    watch: Watch,
    out: Outbox,
    unread: BytesMut,
    now: Instant,
    pool: Vec<Arc<Message>>,
    /// What other receivers hold, so that messages are shared.
    others: Vec<Arc<Message>>,
    next_tag: u64,
    /// Whether what comes next was under way in an earlier connection.
    is_resuming: bool,
}

impl Play {
    fn new(script: &mut Script<'_>) -> Self {
        let options = options(script);
        let watch = Watch::new(&options);
        let now = Instant::now();
        Self {
            session: Session::new(Arc::new(options), None, now),
            watch,
            out: Outbox::default(),
            unread: BytesMut::new(),
            now,
            pool: Vec::new(),
            others: Vec::new(),
            next_tag: script.pick(&[1, 1, 65_534, 131_068]),
            is_resuming: script.coin(),
        }
    }

    fn turn(&mut self, script: &mut Script<'_>) {
        match script.byte() % 16 {
            0..=5 => {
                let mut bytes = BytesMut::new();
                say(script, self.watch.version().unwrap_or(Version::V5), &mut bytes);
                self.hears(&bytes);
            }
            6 => {
                let bytes = script.bytes();
                self.hears(bytes);
            }
            7..=9 => self.answer(0, script),
            10 => self.answer(script.byte().into(), script),
            11 | 12 => self.deliver(script),
            13 => self.wait(script),
            14 => self.message(script),
            _ => match script.byte() {
                0 => self.tell(Event::Closing(Farewell::TakenOver)),
                1 => self.tell(Event::Closing(Farewell::ShuttingDown)),
                2 => self.tell(Event::Closing(Farewell::Kicked)),
                3 => self.tell(Event::ConsumerCancelled(ConsumerId::SESSION)),
                _ => self.is_resuming = false,
            },
        }
    }

    fn hears(&mut self, bytes: &[u8]) {
        self.watch.sends(bytes);
        self.unread.extend_from_slice(bytes);
        self.session.receive(&mut self.unread, self.now, &mut self.out);
        self.watch.look(&mut self.out);
    }

    /// As the connection does: after an answer, what is left of the bytes is offered again.
    fn tell(&mut self, event: Event) {
        self.session.notify(event, self.now, &mut self.out);
        self.watch.look(&mut self.out);
        if self.out.close.is_none() {
            self.hears(&[]);
        }
    }

    /// Answers one question: submits in their order, others whenever the play says so.
    fn answer(&mut self, at: usize, script: &mut Script<'_>) {
        let is_submit = |asked: &Asked| matches!(asked, Asked::Submit(..));
        let at = if self.watch.asked.get(at).is_none_or(is_submit) {
            self.watch.asked.iter().position(is_submit)
        } else {
            Some(at)
        };
        let asked = at.and_then(|at| self.watch.asked.remove(at)).or_else(|| self.watch.asked.pop_front());
        let Some(asked) = asked else { return };
        let refusal = refusal(script);
        let event = match (asked, refusal) {
            (Asked::Open, Some(refusal)) => Event::Refused(refusal),
            (Asked::Renewal, Some(refusal)) => Event::Refused(refusal),
            (Asked::Open | Asked::Renewal, None) if self.watch.method().is_some() && script.coin() => {
                Event::Challenged(Bytes::from_static(b"who are you?"))
            }
            (Asked::Renewal, None) => Event::Reauthenticated(None),
            (Asked::Open, None) => Event::Opened(Box::new(Opened {
                client: Some(ClientId::new("assigned")),
                session_present: script.coin(),
                unreleased: if script.coin() { vec![1, 2, 65_535] } else { Vec::new() },
                connection: "1".to_owned(),
                user: None,
                proof: Some(Bytes::from_static(b"welcome")),
            })),
            (Asked::Submit(ticket, is_at_least_once), refusal) => {
                self.watch.answers(is_at_least_once);
                let routed = !script.byte().is_multiple_of(4);
                Event::Submitted { ticket, result: refusal.map_or(Ok(Submitted::one(routed)), Err) }
            }
            (Asked::Subscribe(ticket, count), refusal) => {
                let result = refusal.map_or(Ok(Qos::AtLeastOnce), Err);
                Event::Subscribed { ticket, results: vec![result; count] }
            }
            (Asked::Unsubscribe(ticket, count), _) => {
                Event::Unsubscribed { ticket, existed: vec![script.coin(); count] }
            }
            (Asked::Release(ticket, id), _) => Event::Released { ticket, id, known: script.coin() },
        };
        self.tell(event);
    }

    /// A message for the pool, shared with others or not.
    fn message(&mut self, script: &mut Script<'_>) {
        let (exchange, key) = script.pick(PLACES);
        let said = message_properties(script);
        let properties = Properties {
            content_type: said.content_type,
            payload_is_text: said.payload_is_text,
            correlation: said.correlation_data,
            headers: said.user,
            ..Properties::default()
        };
        let length = script.pick(&[0, 1, 60, 5000]);
        let message = Arc::new(Message {
            id: MessageId::default(),
            exchange: ExchangeName::new(exchange),
            key: key.into(),
            payload: Bytes::from(vec![b'p'; length]),
            qos: Qos::ExactlyOnce,
            retain: script.coin(),
            persistent: true,
            publisher: None,
            published_at: WallMs(0),
            expires_at: None,
            properties: (properties != Properties::default()).then(|| Box::new(properties)),
            wire: WireCache::default(),
        });
        if script.coin() {
            self.others.extend([Arc::clone(&message), Arc::clone(&message)]);
        }
        self.pool.push(message);
    }

    /// As many as the window allows, or fewer.
    fn deliver(&mut self, script: &mut Script<'_>) {
        if self.pool.is_empty() {
            self.message(script);
        }
        let count = self.session.window().min(usize::from(script.byte() % 8));
        let mut deliveries: Vec<Delivery> = (0..count).map(|_| self.delivery(script)).collect();
        self.session.deliver(&mut deliveries, self.now, &mut self.out);
        assert!(deliveries.is_empty(), "takes all of them");
        self.watch.look(&mut self.out);
    }

    fn delivery(&mut self, script: &mut Script<'_>) -> Delivery {
        let bits = script.byte();
        let message = Arc::clone(&self.pool[usize::from(bits >> 4) % self.pool.len()]);
        let qos = script.pick(&[Qos::AtLeastOnce, Qos::ExactlyOnce, Qos::AtMostOnce]);
        let is_received = self.is_resuming && bits & 1 != 0 && qos == Qos::ExactlyOnce;
        let tag = if qos == Qos::AtMostOnce { 0 } else { self.next_tag };
        // Now and then a tag whose id is busy.
        self.next_tag += if bits & 2 != 0 { 65_535 } else { 1 };
        let topic = topic_of(&message);
        let delivery = Delivery {
            consumer: ConsumerId::SESSION,
            tag: DeliveryTag(tag),
            message,
            qos,
            retain: bits & 4 != 0,
            subscription_ids: if bits & 8 != 0 {
                [1, 268_435_455].into_iter().collect()
            } else {
                SmallVec::new()
            },
            attempts: u32::from(self.is_resuming),
            stage: if is_received { Stage::Received } else { Stage::Published },
            expires_in_ms: (bits & 12 == 12).then(|| u64::from(script.byte()) * 1000),
            offset: None,
        };
        self.watch.delivers(&delivery, topic);
        delivery
    }

    /// Time goes by; what is due is done.
    fn wait(&mut self, script: &mut Script<'_>) {
        self.now += Duration::from_secs(script.pick(&[1, 30, 91, 900, 100_000]));
        if self.session.deadline().is_some_and(|deadline| deadline <= self.now) {
            self.session.expire(self.now, &mut self.out);
            self.watch.look(&mut self.out);
            let again = self.session.deadline().is_some_and(|deadline| deadline <= self.now);
            assert!(self.out.close.is_some() || !again, "what is due is done once");
        }
    }
}

fn options(script: &mut Script<'_>) -> Options {
    let bits = script.byte();
    Options {
        receive_maximum: if bits & 1 == 0 { 64 } else { 2 },
        inflight_max: if bits & 2 == 0 { 64 } else { 1 },
        topic_alias_max: if bits & 4 == 0 { 32 } else { 1 },
        topic_alias_max_out: if bits & 64 == 0 { 32 } else { 0 },
        topic_levels_max: if bits & 8 == 0 { 128 } else { 1 },
        subscriptions_per_packet: if bits & 16 == 0 { 100 } else { 2 },
        packet_max: if bits & 32 == 0 { 1 << 20 } else { 100 },
        ..Options::default()
    }
}

/// Rarely.
fn refusal(script: &mut Script<'_>) -> Option<Refusal> {
    match script.byte() {
        1 => Some(Refusal::Denied { action: "publish to", target: "a".to_owned() }),
        2 => Some(Refusal::BadCredentials("who are you?")),
        3 => Some(Refusal::NoExchange(ExchangeName::new("x"))),
        4 => Some(Refusal::LimitReached("too much")),
        5 => Some(Refusal::ShuttingDown),
        6 => Some(Refusal::Invalid("no")),
        _ => None,
    }
}

/// What a client is told of where a message was published; `None` if MQTT cannot write it (docs/protocols/mqtt.md, "Topics").
fn topic_of(message: &Message) -> Option<String> {
    let key = message.key.as_str();
    let topic = match message.exchange.as_str() {
        "amq.topic" => key.to_owned(),
        "" => format!("$queue/{key}"),
        name => format!("$exchange/{name}/{key}"),
    };
    (!topic.is_empty() && !topic.contains(['+', '#', '\0'])).then_some(topic)
}

const PLACES: &[(&str, &str)] =
    &[("amq.topic", "a"), ("amq.topic", "a/b"), ("amq.topic", ""), ("amq.topic", "+"), ("", "q"), ("x", "k")];
