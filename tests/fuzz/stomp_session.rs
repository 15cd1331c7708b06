//! A session of STOMP in a play: a client that says anything, a broker that answers late or not at all, deliveries, and time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use model::delivery::{Delivery, DeliveryTag, Stage};
use model::event::{Event, Farewell, Opened, Submitted};
use model::message::Message;
use model::name::{ConsumerId, ExchangeName, MessageId};
use model::outbox::Outbox;
use model::properties::Properties;
use model::qos::Qos;
use model::refusal::Refusal;
use model::session::Session as _;
use model::time::WallMs;
use model::wire_cache::WireCache;
use smallvec::SmallVec;
use stomp::options::Options;
use stomp::session::Session;

use crate::script::Script;
use crate::stomp_client::{connect, say};
use crate::stomp_watch::{Asked, Watch};

/// Plays what the bytes say.
pub fn run(data: &[u8]) {
    let mut script = Script::new(data);
    let mut play = Play::new(&mut script);
    if !script.byte().is_multiple_of(8) {
        let mut bytes = Vec::new();
        connect(&mut script, &mut bytes);
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
    /// What other receivers hold, so that messages are shared.
    others: Vec<Arc<Message>>,
    next_tag: u64,
}

impl Play {
    fn new(script: &mut Script<'_>) -> Self {
        let bits = script.byte();
        let options = Options {
            strict: bits & 1 != 0,
            subscriptions_max: if bits & 2 == 0 { 10_000 } else { 2 },
            transactions_max: if bits & 4 == 0 { 16 } else { 1 },
            transaction_frames_max: if bits & 8 == 0 { 1_000 } else { 2 },
            transaction_bytes_max: if bits & 16 == 0 { 8 << 20 } else { 10 },
            window: if bits & 32 == 0 { 1_024 } else { 1 },
            ..Options::default()
        };
        let now = Instant::now();
        Self {
            session: Session::new(Arc::new(options), None, now),
            watch: Watch::default(),
            out: Outbox::default(),
            unread: BytesMut::new(),
            now,
            others: Vec::new(),
            next_tag: 1,
        }
    }

    fn turn(&mut self, script: &mut Script<'_>) {
        match script.byte() % 16 {
            0..=6 => {
                let mut bytes = Vec::new();
                say(script, &mut bytes);
                self.hears(&bytes);
            }
            7 => {
                let bytes = script.bytes();
                self.hears(bytes);
            }
            8..=10 => self.answer(0, script),
            11 => self.answer(script.byte().into(), script),
            12 | 13 => self.deliver(script),
            14 => self.wait(script),
            _ => match script.byte() {
                0 => self.tell(Event::Closing(Farewell::ShuttingDown)),
                1 => self.tell(Event::Closing(Farewell::Kicked)),
                number => self.tell(Event::ConsumerCancelled(ConsumerId(number.into()))),
            },
        }
    }

    fn hears(&mut self, bytes: &[u8]) {
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
        let is_submit = |asked: &Asked| matches!(asked, Asked::Submit(_));
        let at = if self.watch.asked.get(at).is_none_or(is_submit) {
            self.watch.asked.iter().position(is_submit)
        } else {
            Some(at)
        };
        let asked = at.and_then(|at| self.watch.asked.remove(at)).or_else(|| self.watch.asked.pop_front());
        let Some(asked) = asked else { return };
        let event = match (asked, refusal(script)) {
            (Asked::Open, Some(refusal)) => Event::Refused(refusal),
            (Asked::Open, None) => Event::Opened(Box::new(Opened {
                client: None,
                session_present: false,
                unreleased: Vec::new(),
                connection: "session-1".to_owned(),
                user: None,
                proof: None,
            })),
            (Asked::Submit(ticket), refusal) => {
                Event::Submitted { ticket, result: refusal.map_or(Ok(Submitted::default()), Err) }
            }
            (Asked::Subscribe(ticket, consumer, acknowledges), None) => {
                self.watch.starts(consumer, acknowledges);
                Event::Subscribed { ticket, results: vec![Ok(Qos::ExactlyOnce)] }
            }
            (Asked::Subscribe(ticket, ..), Some(refusal)) => {
                Event::Subscribed { ticket, results: vec![Err(refusal)] }
            }
            (Asked::Unsubscribe(ticket), _) => Event::Unsubscribed { ticket, existed: vec![true] },
        };
        self.tell(event);
    }

    /// To one of the consumers, or to one that is none any more.
    fn deliver(&mut self, script: &mut Script<'_>) {
        let number = script.byte();
        let count = self.session.window().min(usize::from(number % 4));
        let consumer = ConsumerId(u32::from(number >> 4));
        if !self.watch.may_get(consumer) {
            return;
        }
        let acknowledges = self.watch.acknowledges(consumer);
        let mut deliveries = Vec::new();
        for _ in 0..count {
            let tag = if acknowledges == Some(false) { 0 } else { self.next_tag };
            self.next_tag += 1;
            if acknowledges == Some(true) {
                self.watch.delivers(consumer, tag);
            }
            deliveries.push(Delivery {
                consumer,
                tag: DeliveryTag(tag),
                message: self.message(script),
                qos: Qos::AtLeastOnce,
                retain: false,
                subscription_ids: SmallVec::new(),
                attempts: u32::from(script.coin()),
                stage: Stage::Published,
                expires_in_ms: script.coin().then_some(1),
                offset: None,
            });
        }
        self.session.deliver(&mut deliveries, self.now, &mut self.out);
        assert!(deliveries.is_empty(), "takes all of them");
        self.watch.look(&mut self.out);
    }

    fn message(&mut self, script: &mut Script<'_>) -> Arc<Message> {
        let (exchange, key) = script.pick(PLACES);
        let bits = script.byte();
        let properties = Properties {
            content_type: (bits & 1 != 0).then(|| "text/plain\n".into()),
            correlation: (bits & 2 != 0).then(|| Bytes::copy_from_slice(script.bytes())),
            priority: (bits & 4 != 0).then_some(9),
            headers: (0..bits >> 6).map(|_| (TEXTS[0].into(), script.pick(TEXTS).into())).collect(),
            ..Properties::default()
        };
        let message = Arc::new(Message {
            id: MessageId::default(),
            exchange: ExchangeName::new(exchange),
            key: key.into(),
            payload: Bytes::from(vec![bits; script.pick(&[0, 1, 60, 5000])]),
            qos: Qos::AtLeastOnce,
            retain: bits & 8 != 0,
            persistent: bits & 16 != 0,
            publisher: None,
            published_at: WallMs(0),
            expires_at: None,
            properties: (bits & 32 != 0).then(|| Box::new(properties)),
            wire: WireCache::default(),
        });
        if script.coin() {
            self.others.extend([Arc::clone(&message), Arc::clone(&message)]);
        }
        message
    }

    /// Time goes by; what is due is done.
    fn wait(&mut self, script: &mut Script<'_>) {
        self.now += Duration::from_millis(script.pick(&[1, 600, 2_100, 61_000]));
        if self.session.deadline().is_some_and(|deadline| deadline <= self.now) {
            self.session.expire(self.now, &mut self.out);
            self.watch.look(&mut self.out);
            let again = self.session.deadline().is_some_and(|deadline| deadline <= self.now);
            assert!(self.out.close.is_some() || !again, "what is due is done once");
        }
    }
}

/// Rarely.
fn refusal(script: &mut Script<'_>) -> Option<Refusal> {
    match script.byte() {
        1 => Some(Refusal::Denied { action: "publish to", target: "a\n\nb".to_owned() }),
        2 => Some(Refusal::BadCredentials("who are you?")),
        3 => Some(Refusal::NoExchange(ExchangeName::new("x"))),
        4 => Some(Refusal::LimitReached("too much")),
        5 => Some(Refusal::ShuttingDown),
        _ => None,
    }
}

const PLACES: &[(&str, &str)] = &[
    ("amq.topic", "a"),
    ("amq.topic", "a.b/c"),
    ("amq.topic", "a\n:\\/\r"),
    ("", "q"),
    ("x", "k"),
    ("", "stomp-temp"),
    ("amq.topic", "%"),
];

const TEXTS: &[&str] = &["name", "a:b\\c\r\n", "", "subscription", "content-length", "가", "\0"];
