//! What a session does in a play, watched: its requests and its frames against the laws of the protocol.

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};

use bytes::BytesMut;
use model::delivery::Outcome;
use model::name::ConsumerId;
use model::outbox::{By, Outbox};
use model::request::{Operation, Request, Settle, Ticket, Unsubscription};
use stomp::decode::{Limits, decode};
use stomp::frame::{Command, Frame};
use stomp::version::Version;

use crate::written::written;

/// A question that the broker owes an answer.
#[derive(Debug)]
pub enum Asked {
    /// CONNECT.
    Open,
    /// A submit that wants an answer.
    Submit(Ticket),
    /// A consumer, and whether it acknowledges.
    Subscribe(Ticket, ConsumerId, bool),
    /// A consumer.
    Unsubscribe(Ticket),
}

/// What was seen so far.
#[derive(Debug, Default)]
pub struct Watch {
    /// What the broker owes.
    pub asked: VecDeque<Asked>,
    last_ticket: u64,
    is_asked_to_open: bool,
    /// Since CONNECTED.
    version: Option<Version>,
    is_over: bool,
    last: Option<Command>,
    /// Consumers that go on, and whether they acknowledge.
    consumers: BTreeMap<ConsumerId, bool>,
    /// Consumers that were ended.
    ended: BTreeSet<ConsumerId>,
    /// Delivered, not settled.
    unsettled: BTreeSet<(ConsumerId, u64)>,
    message_ids: HashSet<String>,
}

impl Watch {
    /// The broker started a consumer.
    pub fn starts(&mut self, consumer: ConsumerId, acknowledges: bool) {
        if !self.ended.contains(&consumer) {
            self.consumers.insert(consumer, acknowledges);
        }
    }

    /// Whether a consumer acknowledges; `None` if it does not go on.
    pub fn acknowledges(&self, consumer: ConsumerId) -> Option<bool> {
        self.consumers.get(&consumer).copied()
    }

    /// Whether the broker may deliver to it: it was started, or it is on its way out.
    pub fn may_get(&self, consumer: ConsumerId) -> bool {
        self.consumers.contains_key(&consumer) || self.ended.contains(&consumer)
    }

    /// A delivery that is to be settled is handed over.
    pub fn delivers(&mut self, consumer: ConsumerId, tag: u64) {
        self.unsettled.insert((consumer, tag));
    }

    /// Looks at all that the session handed back.
    pub fn look(&mut self, out: &mut Outbox) {
        self.requests(std::mem::take(&mut out.requests));
        self.frames(&mut written(out));
        if let Some(hangup) = &out.close {
            let is_error = self.last == Some(Command::Error);
            assert_eq!(hangup.by == By::Broker, is_error, "who ends a connection says why: {hangup:?}");
        }
    }

    fn requests(&mut self, requests: Vec<Request>) {
        for request in requests {
            assert_eq!(
                matches!(request, Request::Open(_)),
                !self.is_asked_to_open,
                "asked to open first, and once"
            );
            match request {
                Request::Open(_) => {
                    self.is_asked_to_open = true;
                    self.asked.push_back(Asked::Open);
                }
                Request::Submit(submit) => {
                    self.ticket(submit.ticket);
                    for operation in &submit.operations {
                        if let Operation::Settle(settle) = operation {
                            self.settle(*settle);
                        }
                    }
                    if submit.answer {
                        self.asked.push_back(Asked::Submit(submit.ticket));
                    }
                }
                Request::Subscribe(subscribe) => {
                    self.ticket(subscribe.ticket);
                    let [subscription] = &subscribe.subscriptions[..] else {
                        panic!("one SUBSCRIBE, one subscription")
                    };
                    let consumer = subscription.consumer.as_ref().expect("a subscription has a consumer");
                    let asked = Asked::Subscribe(subscribe.ticket, consumer.id, consumer.acknowledges);
                    self.asked.push_back(asked);
                }
                Request::Unsubscribe(ask) => {
                    self.ticket(ask.ticket);
                    for unsubscription in &ask.subscriptions {
                        let Unsubscription::Consumer { id, .. } = unsubscription else {
                            panic!("STOMP binds nothing")
                        };
                        self.consumers.remove(id);
                        assert!(self.ended.insert(*id), "ended once");
                        self.unsettled.retain(|(consumer, _)| consumer != id);
                    }
                    self.asked.push_back(Asked::Unsubscribe(ask.ticket));
                }
                Request::Release(_) => panic!("STOMP has no ids to release"),
                Request::Proceed(_) | Request::Reauthenticate(_) => panic!("STOMP has no exchanges"),
                Request::Close(_) => {}
            }
        }
    }

    fn settle(&mut self, settle: Settle) {
        assert!(settle.outcome != Outcome::Received, "STOMP has no word for it");
        assert!(self.unsettled.remove(&(settle.consumer, settle.tag.0)), "settled once: {settle:?}");
    }

    fn ticket(&mut self, ticket: Ticket) {
        assert!(ticket.0 > self.last_ticket, "a ticket is given out once");
        self.last_ticket = ticket.0;
    }

    fn frames(&mut self, bytes: &mut BytesMut) {
        while let Some(frame) = self.frame(bytes) {
            assert!(!self.is_over, "nothing is sent after ERROR, least of all {frame:?}");
            self.last = Some(frame.command);
            match frame.command {
                Command::Connected => {
                    assert!(self.version.is_none(), "one CONNECTED");
                    let version = frame.header("version").expect("CONNECTED names the version");
                    self.version = Version::ALL.into_iter().find(|known| known.as_str() == &**version);
                    assert!(self.version.is_some());
                }
                Command::Error => self.is_over = true,
                Command::Receipt => {
                    assert!(self.version.is_some(), "CONNECTED is first");
                    assert!(frame.header("receipt-id").is_some());
                }
                Command::Message => self.message(&frame),
                Command::Send
                | Command::Ack
                | Command::Nack
                | Command::Subscribe
                | Command::Unsubscribe
                | Command::Begin
                | Command::Commit
                | Command::Abort
                | Command::Disconnect
                | Command::Connect
                | Command::Stomp => panic!("a server never sends {frame:?}"),
            }
        }
        assert!(bytes.is_empty(), "whole frames are sent, not {bytes:?}");
    }

    /// The next frame; before CONNECTED an ERROR may be in any version.
    fn frame(&self, bytes: &mut BytesMut) -> Option<Frame> {
        let limits = Limits {
            line_bytes_max: 1 << 20,
            head_bytes_max: 1 << 20,
            headers_max: 1 << 10,
            ..Limits::default()
        };
        let versions = self.version.map_or(Version::ALL.to_vec(), |version| vec![version]);
        let mut error = None;
        for version in versions {
            let mut rest = bytes.clone();
            match decode(&mut rest, &limits, version) {
                Ok(frame) => {
                    *bytes = rest;
                    return frame;
                }
                Err(why) => error = Some(why),
            }
        }
        panic!("what is sent can be read: {error:?}, {bytes:?}")
    }

    fn message(&mut self, frame: &Frame) {
        assert!(self.version.is_some(), "CONNECTED is first");
        let header =
            |name: &str| frame.header(name).unwrap_or_else(|| panic!("MESSAGE has {name}: {frame:?}"));
        header("destination");
        let id = header("message-id").to_string();
        assert!(self.message_ids.insert(id.clone()), "a message-id is given out once, {id}");
    }
}
