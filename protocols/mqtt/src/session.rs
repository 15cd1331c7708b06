//! One packet in, one step.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use model::delivery::Delivery;
use model::event::{Ending, Event, Farewell, Opened};
use model::name::ConsumerId;
use model::outbox::{By, Outbox};
use model::refusal::Refusal;
use model::request::{Close, Proceed, Request};

use crate::codec::{self, DecodeError};
use crate::convert;
use crate::inflight::Answer;
use crate::limits::{Limits, Options};
use crate::packet::{Connect, Disconnect, Kind, Packet};
use crate::reason::{Fault, Place, Reason};
use crate::session::connect::Greeting;
use crate::session::deliver::Outgoing;
use crate::session::keep_alive::KeepAlive;
use crate::session::publish::Incoming;
use crate::session::reauth::{Early, Reauth};
use crate::session::subscribe::Subscriptions;
use crate::session::ticket::Tickets;
use crate::version::Version;

mod connect;
mod deliver;
mod keep_alive;
mod publish;
mod reauth;
mod reply;
mod streams;
mod subscribe;
mod ticket;

pub use publish::address;
pub use subscribe::foresee;

/// The broker's side of one MQTT connection.
#[derive(Debug)]
pub struct Session {
    options: Arc<Options>,
    address: Option<IpAddr>,
    phase: Phase,
}

/// How far the connection has come.
#[derive(Debug)]
enum Phase {
    /// CONNECT is due by then.
    Awaiting(Instant),
    /// What came is no CONNECT to be taken, and by then we say so: of a 5.0 client, in its words, as soon as it is seen that it is one.
    Refusing(DecodeError, Instant),
    /// CONNECT was passed on; nothing is read until the broker has answered.
    Opening(Box<Greeting>, Instant),
    /// The client was asked to show who it is, and is in by then.
    Challenged(Box<Greeting>, Instant),
    /// The client is in.
    Open(Box<Open>),
    /// We asked to close.
    Closed,
}

/// What there is to know of a client that is in.
#[derive(Debug)]
struct Open {
    limits: Limits,
    expiry_asked_s: u32,
    keep_alive: KeepAlive,
    tickets: Tickets,
    incoming: Incoming,
    outgoing: Outgoing,
    subscriptions: Subscriptions,
    /// Where the client is in by a method.
    reauth: Option<Box<Reauth>>,
    /// When what it showed ends.
    ending: Option<Box<Ending>>,
}

impl Session {
    /// A session for a connection that was just made; `address`: where it comes from, if it has an address.
    pub fn new(options: Arc<Options>, address: Option<IpAddr>, now: Instant) -> Self {
        let until = now + options.connect_timeout;
        Self { options, address, phase: Phase::Awaiting(until) }
    }

    fn greet(&mut self, bytes: &mut BytesMut, until: Instant, now: Instant, out: &mut Outbox) {
        let rules = self.options.rules(None, self.options.packet_max);
        // Once it is refused, the packet is gone.
        let speaks_five = announces_five(bytes);
        match codec::decode(bytes, &rules) {
            Ok(None) => {}
            Ok(Some(Packet::Connect(connect))) => {
                out.received += 1;
                self.connect(*connect, until, out);
            }
            Ok(Some(_)) => hang_up(&DecodeError::NotConnect.into(), out),
            Err(error) => {
                let Some(speaks_five) = speaks_five else {
                    // A fixed header is refused before the version is there. How bytes arrive changes nothing: it is waited for.
                    // Whoever announces a length that cannot be, and then nothing, has less time than a client that is slow.
                    let wait_max =
                        if error == DecodeError::Flags { until } else { until.min(now + VERSION_WAIT) };
                    self.phase = Phase::Refusing(error, wait_max);
                    return;
                };
                // [MQTT-3.1.4-1]: in 3.x a CONNECT that is none gets no answer.
                let form = if error == DecodeError::LevelOfMqisdp {
                    Some(Version::V31)
                } else {
                    (speaks_five || error == DecodeError::LevelOfMqtt).then_some(Version::V5)
                };
                let fault = Fault::from(error);
                if let Some(version) = form {
                    connect::refuse(&Limits::unknown(version), &fault, &self.options, &mut out.wire);
                }
                hang_up(&fault, out);
            }
        }
    }

    fn connect(&mut self, connect: Connect, until: Instant, out: &mut Outbox) {
        let limits = Limits::agree(&connect, &self.options);
        if let Some(fault) = self.options.sends_away() {
            connect::refuse(&limits, &fault, &self.options, &mut out.wire);
            return hang_up(&fault, out);
        }
        match connect::open(connect, &self.options, self.address) {
            Ok((greeting, open)) => {
                out.requests.push(Request::Open(Box::new(open)));
                self.phase = Phase::Opening(Box::new(greeting), until);
            }
            Err(fault) => {
                connect::refuse(&limits, &fault, &self.options, &mut out.wire);
                hang_up(&fault, out);
            }
        }
    }

    /// The broker wants to hear more before it answers.
    fn challenged(&mut self, data: Bytes, out: &mut Outbox) {
        self.phase = match std::mem::replace(&mut self.phase, Phase::Closed) {
            Phase::Opening(greeting, until) => {
                // Whoever named no method is never challenged [MQTT-4.12.0-6].
                let method = greeting.method.clone().unwrap_or_default();
                let reason = Reason::ContinueAuthentication;
                if let Err(fault) = reauth::say(&greeting.limits, &method, reason, Some(data), &mut out.wire)
                {
                    connect::refuse(&greeting.limits, &fault, &self.options, &mut out.wire);
                    return hang_up(&fault, out);
                }
                Phase::Challenged(greeting, until)
            }
            other @ (Phase::Awaiting(_)
            | Phase::Refusing(..)
            | Phase::Challenged(..)
            | Phase::Open(_)
            | Phase::Closed) => other,
        };
    }

    /// What the client answers before it is in.
    fn prove(&mut self, bytes: &mut BytesMut, out: &mut Outbox) {
        let Phase::Challenged(greeting, until) = std::mem::replace(&mut self.phase, Phase::Closed) else {
            return;
        };
        let method = greeting.method.clone().unwrap_or_default();
        match reauth::read_early(bytes, &greeting.limits, &self.options, &method) {
            Ok(Early::Nothing) => self.phase = Phase::Challenged(greeting, until),
            Ok(Early::Answer(data)) => {
                out.requests.push(Request::Proceed(Proceed { data }));
                self.phase = Phase::Opening(greeting, until);
            }
            Ok(Early::Leaves(reason)) => out.hang_up(By::Client, format!("DISCONNECT: {reason}")),
            Err(fault) => {
                connect::refuse(&greeting.limits, &fault, &self.options, &mut out.wire);
                hang_up(&fault, out);
            }
        }
    }

    fn opened(&mut self, opened: &Opened, now: Instant, out: &mut Outbox) {
        let Phase::Opening(greeting, _) = &self.phase else {
            return;
        };
        if let Err(fault) = greeting.accept(opened, &self.options, &mut out.wire) {
            connect::refuse(&greeting.limits, &fault, &self.options, &mut out.wire);
            return hang_up(&fault, out);
        }
        let limits = greeting.limits;
        let reauth = greeting
            .method
            .clone()
            .map(|method| Box::new(Reauth::new(method, opened.client.clone(), self.address)));
        self.phase = Phase::Open(Box::new(Open {
            limits,
            expiry_asked_s: greeting.expiry_asked_s,
            keep_alive: KeepAlive::new(greeting.keep_alive_s, greeting.idle_max, now),
            tickets: Tickets::default(),
            incoming: Incoming::new(&limits, &opened.unreleased),
            outgoing: Outgoing::new(&limits, self.options.exchange.clone()),
            subscriptions: Subscriptions::default(),
            reauth,
            ending: None,
        }));
    }

    fn refused(&self, refusal: &Refusal, out: &mut Outbox) {
        let Phase::Opening(greeting, _) = &self.phase else {
            return;
        };
        let elsewhere = self.options.at_shutdown().filter(|_| matches!(refusal, Refusal::ShuttingDown));
        let fault = elsewhere.unwrap_or_else(|| {
            // 3.x has few codes, and one for this.
            let has_codes = greeting.limits.version.has_properties();
            let is_plain =
                !has_codes && matches!(refusal, Refusal::Forbidden { .. } | Refusal::Vetoed { .. });
            let reason =
                if is_plain { Reason::NotAuthorized } else { convert::reason(refusal, Place::Connack) };
            Fault { reason, text: refusal.to_string().into() }
        });
        connect::refuse(&greeting.limits, &fault, &self.options, &mut out.wire);
        hang_up(&fault, out);
    }

    /// Ends the connection if `result` says so; whatever the client has to hear of it is written.
    fn conclude(&mut self, result: Result<(), Fault>, out: &mut Outbox) {
        if let (Err(fault), Phase::Open(open)) = (&result, &self.phase) {
            open.say_good_bye(fault, &self.options, out);
            hang_up(fault, out);
        }
        if out.close.is_some() {
            self.phase = Phase::Closed;
        }
    }
}

impl model::session::Session for Session {
    fn receive(&mut self, bytes: &mut BytesMut, now: Instant, out: &mut Outbox) {
        let result = match &mut self.phase {
            Phase::Awaiting(until) | Phase::Refusing(_, until) => {
                let until = *until;
                self.greet(bytes, until, now, out);
                Ok(())
            }
            Phase::Challenged(..) => {
                self.prove(bytes, out);
                Ok(())
            }
            Phase::Open(open) => open.receive(bytes, &self.options, now, out),
            Phase::Opening(..) | Phase::Closed => Ok(()),
        };
        self.conclude(result, out);
    }

    fn notify(&mut self, event: Event, now: Instant, out: &mut Outbox) {
        let result = match (event, &mut self.phase) {
            (Event::Opened(opened), _) => {
                self.opened(&opened, now, out);
                Ok(())
            }
            (event, Phase::Open(open)) => open.notify(event, &self.options, out),
            (Event::Refused(refusal), _) => {
                self.refused(&refusal, out);
                Ok(())
            }
            (Event::Challenged(data), _) => {
                self.challenged(data, out);
                Ok(())
            }
            // Nothing can be said before CONNACK but CONNACK [MQTT-3.14.0-1].
            (
                Event::Closing(farewell),
                Phase::Awaiting(_) | Phase::Refusing(..) | Phase::Opening(..) | Phase::Challenged(..),
            ) => {
                hang_up(&good_bye(farewell), out);
                Ok(())
            }
            (
                Event::Submitted { .. }
                | Event::Subscribed { .. }
                | Event::Unsubscribed { .. }
                | Event::Released { .. }
                | Event::ConsumerCancelled(_)
                | Event::Revoked { .. }
                | Event::Reauthenticated(_)
                | Event::Expires(_)
                | Event::Closing(_),
                Phase::Awaiting(_)
                | Phase::Refusing(..)
                | Phase::Opening(..)
                | Phase::Challenged(..)
                | Phase::Closed,
            ) => Ok(()),
        };
        self.conclude(result, out);
    }

    fn deliver(&mut self, deliveries: &mut Vec<Delivery>, _: Instant, out: &mut Outbox) {
        match &mut self.phase {
            Phase::Open(open) => {
                open.outgoing.deliver(deliveries, open.subscriptions.streams(), &open.limits, out);
            }
            Phase::Awaiting(_)
            | Phase::Refusing(..)
            | Phase::Opening(..)
            | Phase::Challenged(..)
            | Phase::Closed => deliveries.clear(),
        }
    }

    fn window(&self) -> usize {
        match &self.phase {
            Phase::Open(open) => open.outgoing.window(&open.limits),
            Phase::Awaiting(_)
            | Phase::Refusing(..)
            | Phase::Opening(..)
            | Phase::Challenged(..)
            | Phase::Closed => 0,
        }
    }

    fn deadline(&self) -> Option<Instant> {
        match &self.phase {
            Phase::Awaiting(until) | Phase::Refusing(_, until) | Phase::Challenged(_, until) => Some(*until),
            Phase::Open(open) => {
                let cut = open
                    .ending
                    .as_ref()
                    .and_then(|ending| ending.until.checked_add(self.options.token_grace));
                open.keep_alive.deadline().into_iter().chain(cut).min()
            }
            // It is the broker who is slow now.
            Phase::Opening(..) | Phase::Closed => None,
        }
    }

    fn expire(&mut self, now: Instant, out: &mut Outbox) {
        let result = match &mut self.phase {
            Phase::Awaiting(until) if *until <= now => {
                hang_up(&CONNECT_TIMEOUT, out);
                Ok(())
            }
            Phase::Refusing(error, until) if *until <= now => {
                hang_up(&Fault::from(*error), out);
                Ok(())
            }
            Phase::Challenged(greeting, until) if *until <= now => {
                connect::refuse(&greeting.limits, &reauth::UNANSWERED, &self.options, &mut out.wire);
                hang_up(&reauth::UNANSWERED, out);
                Ok(())
            }
            Phase::Open(open) => open.expire(&self.options, now),
            Phase::Awaiting(_)
            | Phase::Refusing(..)
            | Phase::Opening(..)
            | Phase::Challenged(..)
            | Phase::Closed => Ok(()),
        };
        self.conclude(result, out);
    }
}

impl Open {
    fn receive(
        &mut self,
        bytes: &mut BytesMut,
        options: &Options,
        now: Instant,
        out: &mut Outbox,
    ) -> Result<(), Fault> {
        let rules = options.rules(Some(self.limits.version), options.packet_max);
        while out.close.is_none() && !self.is_full() {
            let Some(packet) = codec::decode(bytes, &rules)? else {
                break;
            };
            out.received += 1;
            self.keep_alive.heard(now);
            self.step(packet, options, out)?;
        }
        Ok(())
    }

    /// Whether the client has to wait for answers before it is read again.
    fn is_full(&self) -> bool {
        self.incoming.is_full() || self.subscriptions.is_full()
    }

    fn expire(&mut self, options: &Options, now: Instant) -> Result<(), Fault> {
        let is_over = |ending: &Ending| now.saturating_duration_since(ending.until) >= options.token_grace;
        let ending = self.ending.as_deref();
        if let Some(ending) = ending.filter(|ending| ending.until <= now && is_over(ending)) {
            let text = Refusal::Expired { at: ending.at }.to_string();
            return Err(Fault { reason: Reason::NotAuthorized, text: text.into() });
        }
        if self.is_full() {
            // It is not the client who is silent: we do not listen.
            self.keep_alive.heard(now);
        }
        if self.keep_alive.is_over(now) { Err(self.keep_alive.fault()) } else { Ok(()) }
    }

    fn step(&mut self, packet: Packet, options: &Options, out: &mut Outbox) -> Result<(), Fault> {
        let limits = &self.limits;
        let tickets = &mut self.tickets;
        match packet {
            Packet::Publish(publish) => self.incoming.publish(publish, limits, options, tickets, out),
            Packet::Puback(ack) => self.outgoing.answered(ack.id, Answer::Puback, limits, tickets, out),
            Packet::Pubrec(ack) => {
                let answer = if ack.reason.is_error() { Answer::PubrecError } else { Answer::Pubrec };
                self.outgoing.answered(ack.id, answer, limits, tickets, out)
            }
            Packet::Pubcomp(ack) => self.outgoing.answered(ack.id, Answer::Pubcomp, limits, tickets, out),
            Packet::Pubrel(ack) => {
                self.incoming.pubrel(ack.id, tickets, out);
                Ok(())
            }
            Packet::Subscribe(packet) => self.subscriptions.subscribe(&packet, limits, options, tickets, out),
            Packet::Unsubscribe(packet) => {
                self.subscriptions.unsubscribe(&packet, limits, options, tickets, out)
            }
            Packet::Pingreq => {
                reply::send(limits, Packet::Pingresp, &mut out.wire);
                Ok(())
            }
            Packet::Disconnect(disconnect) => self.disconnected(&disconnect, options, out),
            Packet::Auth(auth) => match &mut self.reauth {
                Some(reauth) => reauth.received(auth, out),
                None => Err(reauth::UNASKED),
            },
            // The decoder has refused these; whatever comes through is refused all the same.
            Packet::Connect(_) => Err(DecodeError::SecondConnect.into()),
            Packet::Connack(_) | Packet::Suback(_) | Packet::Unsuback(_) | Packet::Pingresp => {
                Err(DecodeError::WrongWay.into())
            }
        }
    }

    /// DISCONNECT: the client leaves (3.14.4). Only 0x00 takes the will along; 3.x says nothing else.
    fn disconnected(&self, packet: &Disconnect, options: &Options, out: &mut Outbox) -> Result<(), Fault> {
        let expiry_s = packet.properties.as_ref().and_then(|properties| properties.session_expiry_s);
        if self.expiry_asked_s == 0 && expiry_s.is_some_and(|expiry_s| expiry_s > 0) {
            return Err(EXPIRY_RAISED);
        }
        out.requests.push(Request::Close(Close {
            discard_will: packet.reason == Reason::Success,
            expiry_s: expiry_s.map(|expiry_s| expiry_s.min(options.session_expiry_max_s)),
        }));
        if packet.reason == Reason::Success {
            // As nearly everybody leaves: nothing need be put together.
            out.hang_up(By::Client, "DISCONNECT: Success (0x00)");
        } else {
            out.hang_up(By::Client, format!("DISCONNECT: {}", packet.reason));
        }
        Ok(())
    }

    fn notify(&mut self, event: Event, options: &Options, out: &mut Outbox) -> Result<(), Fault> {
        let limits = &self.limits;
        match event {
            Event::Submitted { ticket, result } => {
                if !self.incoming.submitted(ticket, &result, limits, out)? {
                    self.outgoing.submitted(ticket, &result, limits, out)?;
                }
                Ok(())
            }
            Event::Subscribed { ticket, results } => {
                self.subscriptions.subscribed(ticket, results, limits, out)
            }
            Event::Unsubscribed { ticket, existed } => {
                self.subscriptions.unsubscribed(ticket, existed, limits, out)
            }
            Event::Released { id, known, .. } => {
                publish::released(id, known, limits, out);
                Ok(())
            }
            Event::ConsumerCancelled(ConsumerId::SESSION) => Err(QUEUE_GONE),
            Event::ConsumerCancelled(_) => Err(STREAM_GONE),
            // Of the session's own consumer, what is taken back are bindings.
            Event::Revoked { consumer, refusal: _ } => {
                self.subscriptions.revoked(consumer);
                Ok(())
            }
            Event::Closing(Farewell::ShuttingDown) => {
                Err(options.at_shutdown().unwrap_or_else(|| good_bye(Farewell::ShuttingDown)))
            }
            Event::Closing(farewell) => Err(good_bye(farewell)),
            Event::Challenged(data) => match &mut self.reauth {
                Some(reauth) => reauth.challenged(data, limits, out),
                None => Ok(()),
            },
            Event::Expires(ending) => {
                self.ending = Some(Box::new(ending));
                Ok(())
            }
            Event::Reauthenticated(data) => match &mut self.reauth {
                Some(reauth) => reauth.finished(data, limits, out),
                None => Ok(()),
            },
            Event::Refused(refusal) => Err(Reauth::refused(&refusal)),
            // Once is enough.
            Event::Opened(_) => Ok(()),
        }
    }

    /// A 5.0 client is told why; others only see the end [MQTT-4.13.2-1].
    fn say_good_bye(&self, fault: &Fault, options: &Options, out: &mut Outbox) {
        if !self.limits.version.has_properties() {
            return;
        }
        let is_listed = fault.reason.may_stand_in(Place::DisconnectByServer);
        let reason = if is_listed { fault.reason } else { Reason::UnspecifiedError };
        let mut properties = reply::explained(fault.text.as_ref());
        properties.server_reference = options.reference(reason);
        let disconnect = Disconnect { reason, properties: Some(properties) };
        reply::send(&self.limits, Packet::Disconnect(disconnect), &mut out.wire);
    }
}

fn hang_up(fault: &Fault, out: &mut Outbox) {
    let by = if fault.reason == Reason::KeepAliveTimeout { By::Timeout } else { By::Broker };
    out.hang_up(by, fault.text.clone());
}

fn good_bye(farewell: Farewell) -> Fault {
    match farewell {
        Farewell::TakenOver => {
            Fault::new(Reason::SessionTakenOver, "[MQTT-3.1.4-3] another connection took the session over")
        }
        Farewell::ShuttingDown => Fault::new(Reason::ServerShuttingDown, "the broker is shutting down"),
        Farewell::Kicked => Fault::new(Reason::AdministrativeAction, "disconnected by an administrator"),
        Farewell::Revoked => Fault::new(Reason::NotAuthorized, "this client is not let in any more"),
    }
}

/// Whether the bytes start as a CONNECT of 5.0 does, so that its sender understands a reason code; `None` if more are needed to
/// tell. A length that has no end within its four bytes tells that they do not.
fn announces_five(bytes: &[u8]) -> Option<bool> {
    let (first, rest) = bytes.split_first()?;
    if first >> 4 != Kind::Connect as u8 {
        return Some(false);
    }
    let size = rest.get(..SIZE_BYTES_MAX).unwrap_or(rest);
    let Some(last) = size.iter().position(|byte| byte & 0x80 == 0) else {
        return (size.len() == SIZE_BYTES_MAX).then_some(false);
    };
    let announced = size.iter().take(last + 1).rev().fold(0, |sum, byte| sum << 7 | usize::from(byte & 0x7f));
    if announced < FIVE.len() {
        return Some(false);
    }
    let body = rest.get(last + 1..).unwrap_or_default();
    if body.len() < FIVE.len() && FIVE.starts_with(body) {
        return None;
    }
    Some(body.starts_with(FIVE))
}

/// The name and the version in a CONNECT of 5.0 (3.1.2.1, 3.1.2.2).
const FIVE: &[u8] = b"\x00\x04MQTT\x05";

/// The bytes of a remaining length (2.1.4).
const SIZE_BYTES_MAX: usize = 4;

/// How long the version is waited for of a client whose CONNECT is refused by its length.
const VERSION_WAIT: Duration = Duration::from_secs(1);

const CONNECT_TIMEOUT: Fault =
    Fault::new(Reason::UnspecifiedError, "3.1.4: no CONNECT within the time for it");
const EXPIRY_RAISED: Fault =
    Fault::new(Reason::ProtocolError, "3.14.2.2.2: DISCONNECT raises the session expiry from zero");
const STREAM_GONE: Fault = Fault::new(
    Reason::AdministrativeAction,
    "a stream that the client reads was deleted by an administrator",
);
const QUEUE_GONE: Fault =
    Fault::new(Reason::AdministrativeAction, "the session's queue was deleted by an administrator");
