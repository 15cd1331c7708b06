//! A client that speaks by hand, and the broker behind the session, both played by the test.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes, BytesMut};
use model::delivery::{Delivery, DeliveryTag, Stage};
use model::event::{Event, Opened, Submitted};
use model::key::RoutingKey;
use model::message::Message;
use model::name::{ConsumerId, ExchangeName, MessageId};
use model::outbox::{By, Outbox};
use model::properties::Properties;
use model::qos::Qos;
use model::refusal::Refusal;
use model::request::{
    Consumer, Operation, Publish, Request, Settle, Submit, Subscription, Ticket, Unsubscription,
};
use model::session::Session as _;
use model::time::WallMs;
use model::wire_cache::WireCache;
use smallvec::SmallVec;
use stomp::decode::{Limits, decode};
use stomp::frame::{Command, Frame};
use stomp::options::Options;
use stomp::session::Session;
use stomp::version::Version;

pub(crate) struct Peer {
    pub(crate) session: Session,
    pub(crate) out: Outbox,
    pub(crate) now: Instant,
    pub(crate) bytes: BytesMut,
    version: Version,
}

impl Peer {
    pub(crate) fn greeting(options: Options) -> Self {
        #[allow(clippy::disallowed_methods, reason = "some moment to start from")]
        let now = Instant::now();
        let session = Session::new(Arc::new(options), None, now);
        Self { session, out: Outbox::default(), now, bytes: BytesMut::new(), version: Version::V1_2 }
    }

    /// A client that is in.
    pub(crate) fn online(version: Version) -> Self {
        Self::online_with(version, Options::default(), "")
    }

    pub(crate) fn online_with(version: Version, options: Options, headers: &str) -> Self {
        let mut peer = Self::greeting(options);
        peer.feed(&format!("CONNECT\naccept-version:{version}\n{headers}\n\0"));
        assert!(matches!(peer.requests()[..], [Request::Open(_)]));
        peer.open();
        assert_eq!(peer.frame().command, Command::Connected);
        peer.version = version;
        peer
    }

    pub(crate) fn feed(&mut self, text: &str) {
        self.bytes.extend_from_slice(text.as_bytes());
        self.session.receive(&mut self.bytes, self.now, &mut self.out);
    }

    pub(crate) fn notify(&mut self, event: Event) {
        self.session.notify(event, self.now, &mut self.out);
    }

    pub(crate) fn open(&mut self) {
        let connection = "session-1".into();
        self.notify(Event::Opened(Box::new(Opened {
            client: None,
            session_present: false,
            unreleased: Vec::new(),
            connection,
            user: None,
            proof: None,
        })));
    }

    pub(crate) fn accept(&mut self, ticket: Ticket) {
        self.notify(Event::Submitted { ticket, result: Ok(Submitted::default()) });
    }

    pub(crate) fn refuse(&mut self, ticket: Ticket, refusal: Refusal) {
        self.notify(Event::Submitted { ticket, result: Err(refusal) });
    }

    pub(crate) fn pass(&mut self, time: Duration) {
        self.now += time;
        self.session.expire(self.now, &mut self.out);
    }

    pub(crate) fn requests(&mut self) -> Vec<Request> {
        std::mem::take(&mut self.out.requests)
    }

    /// The one request that was made, a submit.
    #[track_caller]
    pub(crate) fn submit(&mut self) -> Submit {
        match <[Request; 1]>::try_from(self.requests()) {
            Ok([Request::Submit(submit)]) => submit,
            other => panic!("not one submit: {other:?}"),
        }
    }

    #[track_caller]
    pub(crate) fn publish(&mut self) -> Publish {
        match self.submit().operations.pop() {
            Some(Operation::Publish(publish)) => publish,
            other => panic!("no publish: {other:?}"),
        }
    }

    /// The settlements of the one submit that was made.
    #[track_caller]
    pub(crate) fn settles(&mut self) -> Vec<Settle> {
        settles_of(self.submit())
    }

    #[track_caller]
    pub(crate) fn subscription(&mut self) -> (Ticket, Subscription) {
        match <[Request; 1]>::try_from(self.requests()) {
            Ok([Request::Subscribe(mut subscribe)]) => {
                assert_eq!(subscribe.subscriptions.len(), 1);
                (subscribe.ticket, subscribe.subscriptions.remove(0))
            }
            other => panic!("not one subscribe: {other:?}"),
        }
    }

    #[track_caller]
    pub(crate) fn unsubscription(&mut self) -> (Ticket, Unsubscription) {
        match <[Request; 1]>::try_from(self.requests()) {
            Ok([Request::Unsubscribe(mut unsubscribe)]) => {
                assert_eq!(unsubscribe.subscriptions.len(), 1);
                (unsubscribe.ticket, unsubscribe.subscriptions.remove(0))
            }
            other => panic!("not one unsubscribe: {other:?}"),
        }
    }

    /// Subscribes, lets the broker agree, and returns the consumer.
    #[track_caller]
    pub(crate) fn subscribe(&mut self, headers: &str) -> ConsumerId {
        self.feed(&format!("SUBSCRIBE\n{headers}\n\n\0"));
        let (ticket, subscription) = self.subscription();
        self.notify(Event::Subscribed { ticket, results: vec![Ok(Qos::ExactlyOnce)] });
        let Consumer { id, .. } = subscription.consumer.unwrap();
        id
    }

    pub(crate) fn deliver(&mut self, deliveries: Vec<Delivery>) {
        let mut deliveries = deliveries;
        self.session.deliver(&mut deliveries, self.now, &mut self.out);
        assert!(deliveries.is_empty());
    }

    /// Delivers one message and returns its frame.
    #[track_caller]
    pub(crate) fn message(&mut self, consumer: ConsumerId, tag: u64) -> Frame {
        self.deliver(vec![delivery(consumer, tag, &topic("a/b", "x"))]);
        self.frame()
    }

    pub(crate) fn raw(&mut self) -> BytesMut {
        let mut bytes = BytesMut::new();
        while !self.out.wire.is_empty() {
            let mut slices = [std::io::IoSlice::new(&[])];
            self.out.wire.peek(&mut slices);
            bytes.extend_from_slice(&slices[0]);
            let count = slices[0].len();
            self.out.wire.advance(count);
        }
        bytes
    }

    pub(crate) fn frames(&mut self) -> Vec<Frame> {
        let mut bytes = self.raw();
        let mut frames = Vec::new();
        while let Some(frame) = decode(&mut bytes, &Limits::default(), self.version).unwrap() {
            frames.push(frame);
        }
        assert!(!bytes.has_remaining(), "{bytes:?}");
        frames
    }

    #[track_caller]
    pub(crate) fn frame(&mut self) -> Frame {
        match <[Frame; 1]>::try_from(self.frames()) {
            Ok([frame]) => frame,
            Err(frames) => panic!("not one frame: {frames:?}"),
        }
    }

    #[track_caller]
    pub(crate) fn receipts(&mut self) -> Vec<String> {
        let frames = self.frames();
        frames
            .iter()
            .map(|frame| {
                assert_eq!(frame.command, Command::Receipt);
                frame.header("receipt-id").unwrap().to_string()
            })
            .collect()
    }

    /// The ERROR that ended the connection: the last frame, and nothing was asked of the broker beside.
    #[track_caller]
    pub(crate) fn error(&mut self) -> Frame {
        let frame = self.frames().pop().expect("an ERROR");
        assert_eq!(frame.command, Command::Error);
        for (header, value) in [("content-type", "text/plain"), ("version", "1.0,1.1,1.2")] {
            assert_eq!(frame.header(header).unwrap(), value);
        }
        assert_eq!(frame.header("content-length").unwrap(), &frame.body.len().to_string());
        assert_eq!(self.out.close.as_ref().map(|close| close.by), Some(By::Broker));
        frame
    }

    /// Feeds a frame that must be refused, and returns the `message` of the ERROR.
    #[track_caller]
    pub(crate) fn refused(&mut self, text: &str) -> String {
        self.feed(text);
        assert!(self.requests().is_empty(), "nothing is asked");
        self.error().header("message").unwrap().to_string()
    }

    pub(crate) fn is_open(&self) -> bool {
        self.out.close.is_none()
    }
}

#[track_caller]
pub(crate) fn settles_of(submit: Submit) -> Vec<Settle> {
    let settles = submit.operations.into_iter().map(|operation| match operation {
        Operation::Settle(settle) => settle,
        Operation::Publish(publish) => panic!("a publish: {publish:?}"),
    });
    settles.collect()
}

pub(crate) fn text(frame: &Frame) -> String {
    String::from_utf8(frame.body.to_vec()).unwrap()
}

pub(crate) fn topic(key: &str, body: &str) -> Arc<Message> {
    Arc::new(from(ExchangeName::TOPIC, key, body, None))
}

pub(crate) fn from(exchange: ExchangeName, key: &str, body: &str, properties: Option<Properties>) -> Message {
    Message {
        id: MessageId::default(),
        exchange,
        key: RoutingKey::from(key),
        payload: Bytes::copy_from_slice(body.as_bytes()),
        qos: Qos::AtLeastOnce,
        retain: false,
        persistent: false,
        publisher: None,
        published_at: WallMs(0),
        expires_at: None,
        properties: properties.map(Box::new),
        wire: WireCache::default(),
    }
}

pub(crate) fn delivery(consumer: ConsumerId, tag: u64, message: &Arc<Message>) -> Delivery {
    Delivery {
        consumer,
        tag: DeliveryTag(tag),
        message: Arc::clone(message),
        qos: Qos::AtLeastOnce,
        retain: false,
        subscription_ids: SmallVec::new(),
        attempts: 0,
        stage: Stage::Published,
        expires_in_ms: None,
        offset: None,
    }
}
