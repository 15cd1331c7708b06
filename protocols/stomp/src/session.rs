//! One frame in, one step.

mod connect;
mod online;
mod replies;
mod send;
mod settle;
mod shown;
mod standing;
mod subscribe;
mod tells;
mod temporary;

pub use subscribe::foresee;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use bytes::BytesMut;
use model::delivery::Delivery;
use model::event::{Event, Farewell, Opened, Submitted};
use model::outbox::{By, Outbox};
use model::refusal::Refusal;
use model::request::{Close, Request, Submit, Ticket};
use smallvec::SmallVec;

use crate::decode::Decoder;
use crate::error_frame::Fault;
use crate::frame::{Command, Frame};
use crate::options::Options;
use crate::receipt::{self, Kind, Mandatory, Work};
use crate::session::connect::Agreed;
use crate::session::online::{Online, receipts_of};
use crate::version::Version;

/// The broker's side of one STOMP connection.
#[derive(Debug)]
pub struct Session {
    options: Arc<Options>,
    address: Option<IpAddr>,
    state: State,
    decoder: Decoder,
    /// How many bytes the last call left: only more than these are news.
    left_bytes: usize,
    /// Until when the client must be in.
    connect_by: Instant,
}

/// How far the connection has come.
#[derive(Debug)]
enum State {
    /// Nothing came.
    Greeting,
    /// CONNECT came; the broker is asked.
    Opening(Agreed),
    /// The client is in.
    Online(Box<Online>),
    /// DISCONNECT came; what was asked before is waited for.
    Leaving(Box<Online>),
    /// All is said.
    Closed,
}

impl Session {
    /// A connection that has just been made, from `address`.
    pub fn new(options: Arc<Options>, address: Option<IpAddr>, now: Instant) -> Self {
        let connect_by = now + options.connect_timeout;
        let decoder = Decoder::default();
        Self { options, address, state: State::Greeting, decoder, left_bytes: 0, connect_by }
    }

    /// The version of the frames to write now.
    fn version(&self) -> Version {
        match &self.state {
            State::Greeting | State::Closed => Version::V1_2,
            State::Opening(agreed) => agreed.version,
            State::Online(online) | State::Leaving(online) => online.version,
        }
    }

    fn online(&mut self) -> Option<&mut Online> {
        match &mut self.state {
            State::Online(online) | State::Leaving(online) => Some(online),
            State::Greeting | State::Opening(_) | State::Closed => None,
        }
    }

    /// Says why, then ends: after an ERROR nothing follows (STOMP 1.2, "ERROR").
    fn fail(&mut self, fault: &Fault, out: &mut Outbox) {
        self.fail_in(self.version(), fault, out);
    }

    fn fail_in(&mut self, version: Version, fault: &Fault, out: &mut Outbox) {
        fault.write(version, &self.options.versions, out.wire.buf());
        out.wire.count_packet();
        out.hang_up(By::Broker, fault.message.clone());
        self.state = State::Closed;
    }

    /// Takes one frame; whether there may be another one.
    fn take_one(&mut self, bytes: &mut BytesMut, now: Instant, out: &mut Outbox) -> bool {
        let decoded = match &self.state {
            State::Greeting => {
                let limits = self.options.limits.with_body(self.options.login_body_bytes_max);
                self.decoder.decode(bytes, &limits, Version::V1_2)
            }
            // It is being found out whether its token is good.
            State::Online(online) if online.standing.is_held() => return false,
            State::Online(online) => self.decoder.decode(bytes, &self.options.limits, online.version),
            State::Opening(_) => return false,
            State::Leaving(_) | State::Closed => {
                // "Clients MUST NOT send any more frames after the DISCONNECT frame" (STOMP 1.2, "DISCONNECT").
                bytes.clear();
                return false;
            }
        };
        match decoded {
            Ok(None) => return false,
            Ok(Some(mut frame)) => {
                out.received += 1;
                self.step(&mut frame, now, out);
            }
            Err(error) => {
                let fault = Fault::from(error).about_bytes(self.decoder.broken(bytes), self.version());
                self.fail(&fault, out);
            }
        }
        true
    }

    fn step(&mut self, frame: &mut Frame, now: Instant, out: &mut Outbox) {
        let State::Online(online) = &mut self.state else {
            return self.connect(frame, out);
        };
        if online.options.tokens
            && matches!(frame.command, Command::Send | Command::Subscribe)
            && let Some(credentials) = online.standing.hold(frame)
        {
            return out.requests.push(Request::Reauthenticate(credentials));
        }
        let done = match frame.command {
            Command::Send => send::send(online, frame, out),
            Command::Ack | Command::Nack => settle::settle(online, frame, out),
            Command::Subscribe => subscribe::subscribe(online, frame, out),
            Command::Unsubscribe => subscribe::unsubscribe(online, frame, out),
            Command::Begin => send::begin(online, frame, now, out),
            Command::Commit => send::commit(online, frame, out),
            Command::Abort => send::abort(online, frame, out),
            Command::Disconnect => return self.disconnect(frame, out),
            Command::Connect | Command::Stomp => Err(Fault::new(
                "Already connected",
                "a connection is opened by one CONNECT; open another one.",
            )),
            Command::Message | Command::Receipt | Command::Connected | Command::Error => {
                Err(Fault::new("Illegal command", format!("{} is a frame of servers.", frame.command)))
            }
        };
        if let Err(fault) = done {
            self.fail(&fault.about(frame.command, &frame.headers, &frame.body), out);
        }
    }

    fn connect(&mut self, frame: &Frame, out: &mut Outbox) {
        match connect::open(frame, &self.options, self.address) {
            Ok((agreed, open)) => {
                out.requests.push(Request::Open(open));
                self.state = State::Opening(agreed);
            }
            Err((version, fault)) => self.fail_in(version, &fault, out),
        }
    }

    /// A list of no operations waits for all that was asked before; only then it is true that all frames were processed.
    fn disconnect(&mut self, frame: &mut Frame, out: &mut Outbox) {
        self.state = match std::mem::replace(&mut self.state, State::Closed) {
            State::Online(mut online) => {
                let ticket = online.pending.wait(Online::work(Kind::Disconnect, receipts_of(frame), frame));
                let operations = SmallVec::new();
                out.requests.push(Request::Submit(Submit { ticket, answer: true, operations }));
                State::Leaving(online)
            }
            other @ (State::Greeting | State::Opening(_) | State::Leaving(_) | State::Closed) => other,
        };
    }

    fn opened(&mut self, opened: Opened, now: Instant, out: &mut Outbox) {
        self.state = match std::mem::replace(&mut self.state, State::Closed) {
            State::Opening(agreed) => {
                let buf = out.wire.buf();
                let heart_beat = agreed.connected(&opened.connection, &self.options, now, buf);
                out.wire.count_packet();
                let (options, version) = (Arc::clone(&self.options), agreed.version);
                let online = Online::new(options, version, opened.connection, heart_beat, agreed.standing);
                State::Online(Box::new(online))
            }
            other @ (State::Greeting | State::Online(_) | State::Leaving(_) | State::Closed) => other,
        };
    }

    /// The client is not let in, or a token is not good: then the frame that it came with is not done.
    fn refused(&mut self, refusal: &Refusal, out: &mut Outbox) {
        if let State::Opening(agreed) = &self.state {
            let fault = agreed.refused(refusal);
            // For the log; what the client is told begins with RabbitMQ's words.
            out.hang_up(By::Broker, refusal.to_string());
            self.fail(&fault, out);
        } else if let Some(frame) = self.online().and_then(|online| online.standing.release(false)) {
            self.refuse(Fault::from(refusal).about(frame.command, &frame.headers, &frame.body), out);
        }
    }

    /// A token is good: on with the frame that it came with.
    fn renewed(&mut self, now: Instant, out: &mut Outbox) {
        if let Some(mut frame) = self.online().and_then(|online| online.standing.release(true)) {
            self.step(&mut frame, now, out);
        }
    }

    /// Something is refused. A client that listens for it is told, and all else goes on; others are told by ERROR.
    fn refuse(&mut self, fault: Fault, out: &mut Outbox) {
        if let State::Online(online) = &mut self.state
            && fault.is_about_rights
            && tells::tell(online, &fault, out)
        {
            return;
        }
        self.fail(&fault, out);
    }

    /// The broker answered: receipts are due, or the ERROR.
    fn answered(&mut self, ticket: Ticket, result: Result<(), Refusal>, unrouted: &[u32], out: &mut Outbox) {
        let Some(online) = self.online() else { return };
        let work = online.pending.answered(ticket);
        match (result, work) {
            (Ok(()), Some(work)) => self.done(&work, unrouted, out),
            (Ok(()), None) => {}
            (Err(refusal), Some(work)) => {
                if let (Kind::Subscribe(consumer), Command::Subscribe) = (work.kind, work.command) {
                    online.subscriptions.forget(consumer);
                }
                self.refuse(Fault::from(&refusal).about(work.command, &work.headers, &[]), out);
            }
            (Err(refusal), None) => {
                let mut fault = Fault::from(&refusal);
                fault.detail.push_str("\nThe frame asked for no receipt, so it is not quoted here.");
                self.refuse(fault, out);
            }
        }
    }

    fn done(&mut self, work: &Work, unrouted: &[u32], out: &mut Outbox) {
        let Some(online) = self.online() else { return };
        let returned = work.returned(unrouted);
        // Before the receipt: whoever waits for that knows all then.
        let untold = returned.iter().find(|one| !tells::give_back(online, one, out));
        for receipt in &work.receipts {
            let is_unroutable = work.tells_of(&returned, receipt);
            receipt::write_with(receipt, is_unroutable, online.escapes(), out.wire.buf());
            out.wire.count_packet();
        }
        let by_receipt = |one: &&&Mandatory| {
            work.receipts.iter().any(|receipt| work.tells_of(std::slice::from_ref(*one), receipt))
        };
        if let Some(one) = untold
            && returned.iter().any(|one| !by_receipt(&one))
        {
            // Nothing else is left to tell it by.
            return self.fail(&tells::unroutable(one), out);
        }
        match work.kind {
            Kind::Submit | Kind::Subscribe(_) => {}
            Kind::Unsubscribe(consumer) => online.subscriptions.forget(consumer),
            Kind::Disconnect => {
                out.requests.push(Request::Close(Close { discard_will: true, expiry_s: None }));
                out.hang_up(By::Client, "DISCONNECT");
                self.state = State::Closed;
            }
        }
    }

    /// Does `work` and remembers whether anything was written: that counts as a heart-beat.
    fn timed(&mut self, now: Instant, out: &mut Outbox, work: impl FnOnce(&mut Self, &mut Outbox)) {
        let before = out.wire.len();
        work(self, out);
        if out.wire.len() > before
            && let Some(online) = self.online()
        {
            online.heart_beat.sent(now);
        }
    }

    /// What the client showed has expired: it is told, if it listens for that, and after a while its connection ends.
    fn end_term(&mut self, now: Instant, out: &mut Outbox) {
        let grace = self.options.token_grace;
        let Some(online) = self.online() else { return };
        let Some((ending, is_over)) = online.standing.ended(grace, now) else { return };
        let fault = Fault::from(&Refusal::Expired { at: ending.at });
        if is_over {
            self.fail(&fault, out);
        } else {
            // Nobody need listen: whoever sends something is told then.
            let _ = tells::tell(online, &fault, out);
        }
    }

    fn beat(&mut self, now: Instant, out: &mut Outbox) {
        let timeout = self.options.transaction_timeout;
        let Some(online) = self.online() else { return };
        if online.heart_beat.is_silent(now) {
            out.hang_up(By::Timeout, "no heart-beat came");
            self.state = State::Closed;
        } else if let Some(name) = online.transactions.expired(timeout, now) {
            let detail = format!("transaction '{name}' was open for more than {} s.", timeout.as_secs());
            self.fail(&Fault::new("Transaction timed out", detail), out);
        } else if online.heart_beat.is_due(now) {
            out.wire.buf().extend_from_slice(b"\n");
        }
    }
}

impl model::session::Session for Session {
    fn receive(&mut self, bytes: &mut BytesMut, now: Instant, out: &mut Outbox) {
        if bytes.len() > self.left_bytes
            && let Some(online) = self.online()
        {
            online.heart_beat.heard(now);
        }
        self.timed(now, out, |session, out| while session.take_one(bytes, now, out) {});
        self.left_bytes = bytes.len();
    }

    fn notify(&mut self, event: Event, now: Instant, out: &mut Outbox) {
        self.timed(now, out, |session, out| match event {
            Event::Opened(opened) => session.opened(*opened, now, out),
            Event::Refused(refusal) => session.refused(&refusal, out),
            Event::Submitted { ticket, result } => {
                let unrouted =
                    result.as_ref().map(|submitted| submitted.unrouted.clone()).unwrap_or_default();
                session.answered(ticket, result.map(|Submitted { unrouted: _ }| ()), &unrouted, out);
            }
            Event::Subscribed { ticket, results } => {
                // One SUBSCRIBE asks for one subscription.
                session.answered(
                    ticket,
                    results.into_iter().try_for_each(|result| result.map(drop)),
                    &[],
                    out,
                );
            }
            Event::Unsubscribed { ticket, existed: _ } => session.answered(ticket, Ok(()), &[], out),
            // Never asked for: QoS 2 ids and exchanges are MQTT's.
            Event::Released { ticket: _, id: _, known: _ } | Event::Challenged(_) => {}
            Event::Reauthenticated(_) => session.renewed(now, out),
            Event::Expires(ending) => {
                if let Some(online) = session.online() {
                    online.standing.ends(ending);
                }
            }
            Event::ConsumerCancelled(consumer) => {
                let fault = session.online().and_then(|online| subscribe::cancelled(online, consumer));
                if let Some(fault) = fault {
                    session.fail(&fault, out);
                }
            }
            Event::Revoked { consumer, refusal } => {
                let fault =
                    session.online().and_then(|online| subscribe::revoked(online, consumer, &refusal));
                if let Some(fault) = fault {
                    session.fail(&fault, out);
                }
            }
            Event::Closing(farewell) => session.fail(&good_bye(farewell), out),
        });
    }

    fn deliver(&mut self, deliveries: &mut Vec<Delivery>, now: Instant, out: &mut Outbox) {
        self.timed(now, out, |session, out| {
            let online = session.online();
            if let Some(online) = online {
                for delivery in deliveries.iter() {
                    subscribe::message(online, delivery, out);
                }
            }
            deliveries.clear();
        });
    }

    fn window(&self) -> usize {
        match &self.state {
            State::Online(_) => self.options.window,
            State::Greeting | State::Opening(_) | State::Leaving(_) | State::Closed => 0,
        }
    }

    fn deadline(&self) -> Option<Instant> {
        match &self.state {
            State::Greeting | State::Opening(_) => Some(self.connect_by),
            State::Online(online) | State::Leaving(online) => online.deadline(),
            State::Closed => None,
        }
    }

    fn expire(&mut self, now: Instant, out: &mut Outbox) {
        let is_late = match &self.state {
            State::Greeting | State::Opening(_) => self.connect_by <= now,
            State::Online(_) | State::Leaving(_) | State::Closed => false,
        };
        if is_late {
            let seconds = self.options.connect_timeout.as_secs();
            let detail = format!("the connection was not opened by CONNECT within {seconds} s.");
            self.fail(&Fault::new("Connect timed out", detail), out);
        }
        self.timed(now, out, |session, out| {
            session.end_term(now, out);
            session.beat(now, out);
        });
    }
}

fn good_bye(farewell: Farewell) -> Fault {
    match farewell {
        Farewell::TakenOver => {
            Fault::new("Connection taken over", "another connection continues this session.")
        }
        Farewell::ShuttingDown => {
            Fault::new("Broker stopping", "the broker is shutting down; connect again later.")
        }
        Farewell::Revoked => {
            let mut fault = Fault::new("Access taken back", "this client is not let in any more.");
            fault.code = Some("access_refused");
            fault
        }
        Farewell::Kicked => {
            Fault::new("Connection closed", "somebody in charge of the broker ended this connection.")
        }
    }
}
