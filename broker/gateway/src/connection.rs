//! The loop: read, step, ask, take, write.

use std::borrow::Cow;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use engine::Link;
use model::event::Event;
use model::outbox::{By, Hangup, Wire};
use model::refusal::Refusal;
use model::request::Request;
use model::session::Session;
use telemetry::Metrics;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Sleep;
use transport::carrier::Carrier;
use transport::linger::Patience;

use crate::connection::identity::Identity;
use crate::doorman::Place;
use crate::pacing::{self, BACKLOG_WAIT, LONG_READ_BYTES, Load, TURNS_MAX};
use crate::rates::Pace;
use crate::workbench::Workbench;
use crate::{precedence, writer};

pub(crate) mod identity;

/// A connection: what it holds between its turns.
pub(crate) struct Connection {
    carrier: Carrier,
    session: Box<dyn Session>,
    link: Link,
    identity: Identity,
    /// How fast it publishes, where that has a limit.
    pace: Option<Box<Pace>>,
    metrics: Arc<Metrics>,
    patience: Patience,
    /// What was read and the session has not taken: the beginning of a packet, or all there is while it waits.
    unread: BytesMut,
    /// What the network would not take. In a box: most sockets take all.
    unsent: Option<Box<Wire>>,
    /// Whether the carrier holds back some of what was written.
    unflushed: bool,
    /// Never set back while the deadline only moves away: it rings early, and is set again then.
    alarm: Option<Pin<Box<Sleep>>>,
    /// The alarm will wake this task: it need not be asked before its time.
    alarm_is_set: bool,
    /// Nothing can be written any more. What the client sent before is still read: its good-bye may be in it.
    broken: Option<Box<Hangup>>,
    /// Nothing more will be read. What was read is still worked on: a client need not wait for an answer to its CONNECT
    /// before it publishes, nor stay for one to what it published.
    ended: Option<Box<Hangup>>,
    /// `None`: it was not counted.
    places: Option<Places>,
}

/// A place among all, and for one that came by itself also among those of its address.
pub(crate) type Places = (OwnedSemaphorePermit, Option<Place>);

impl Connection {
    /// Puts the parts of a connection together.
    pub(crate) fn new(
        carrier: Carrier,
        session: Box<dyn Session>,
        link: Link,
        identity: Identity,
        pace: Option<Box<Pace>>,
        metrics: Arc<Metrics>,
        patience: Patience,
    ) -> Self {
        Self {
            carrier,
            session,
            link,
            identity,
            pace,
            metrics,
            patience,
            unread: BytesMut::new(),
            unsent: None,
            unflushed: false,
            alarm: None,
            alarm_is_set: false,
            broken: None,
            ended: None,
            places: None,
        }
    }

    /// The same, with its places: they are given back when all of it is over.
    pub(crate) fn taking(self, places: Places) -> Self {
        Self { places: Some(places), ..self }
    }

    /// When the client has left, or was made to. What was written last is given two seconds to reach it, and then it is waited
    /// until the client has heard it.
    pub(crate) async fn say_goodbye(self: Box<Self>, hangup: Hangup) {
        self.identity.log_end(&hangup, self.carrier.peer());
        if self.identity.is_in() && hangup.by == By::Broker {
            self.metrics.connections_cut.increment();
        }
        let Self { carrier, mut link, session, unsent, patience, places, .. } = *self;
        let unsent = unsent.map(|unsent| *unsent).unwrap_or_default();
        link.end(&hangup);
        // The broker need not wait for a slow good-bye: the client's session is free for its next connection.
        drop(session);
        if link.is_busy() {
            // What it said before is done all the same. Its place is taken until then: nobody gets more of a hook by leaving.
            tokio::join!(link.finish(), finish(carrier, unsent, &patience));
        } else {
            drop(link);
            finish(carrier, unsent, &patience).await;
        }
        drop(places);
    }

    /// Ready with the reason when the client leaves, or is made to.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Hangup> {
        let mut bench = Workbench::borrow();
        if let Some(unsent) = self.unsent.take() {
            bench.out.wire = *unsent;
        }
        let before = bench.gave_way.take();
        precedence::count_turn(&mut bench);
        let verdict = self.turns(cx, &mut bench);
        if !bench.out.wire.is_empty() {
            self.unsent = Some(Box::new(std::mem::take(&mut bench.out.wire)));
        }
        bench.give_back();
        drop(before);
        verdict
    }

    fn turns(&mut self, cx: &mut Context<'_>, bench: &mut Workbench) -> Poll<Hangup> {
        // One look at the clock for all of them: they take a few milliseconds at most.
        let now = Instant::now();
        // Where there was nothing to read, this task is woken when there is.
        let mut is_dry = false;
        // So it is where all was taken: what comes later is heard of.
        let mut is_settled = false;
        let has_given_way = !bench.out.wire.is_empty();
        for _ in 0..TURNS_MAX {
            let held = !self.load(bench, now).may_read();
            let mut came = 0;
            if (!is_dry || self.broken.is_some()) && self.may_read(held) {
                came = self.read(cx, bench, now);
                is_dry = came == 0;
            }
            let heard = self.link.is_busy() && self.hear(cx, bench, now);
            let mut moved = came > 0 || heard;
            if moved || !is_settled {
                let Delivered { any, all } = self.deliver(bench, now);
                if self.link.take_woken() && !has_given_way && precedence::gives_way(bench, cx.waker()) {
                    return Poll::Pending;
                }
                moved |= self.write(cx, bench) || any;
                is_settled = all && bench.out.wire.is_empty() && !self.unflushed;
            }
            if let Some(hangup) = bench.out.close.take() {
                return Poll::Ready(hangup);
            }
            if self.ended.is_some()
                && !self.owes_answers()
                && let Some(hangup) = self.ended.take()
            {
                return Poll::Ready(*hangup);
            }
            if !moved {
                if self.wait(cx, bench, now, held).is_pending() {
                    return Poll::Pending;
                }
                is_settled = false;
            }
            // Whoever has so much to say is not to have four turns where others have one.
            if came >= LONG_READ_BYTES || self.link.is_unfinished() {
                break;
            }
        }
        // Who is kept busy all the time is not excused from being heard of in time.
        let now = Instant::now();
        if bench.out.close.is_none() && self.session.deadline().is_some_and(|deadline| deadline <= now) {
            self.expire(cx, bench);
        }
        // What the last turn heard while it waited may have been its end; the workbench does not keep that.
        if let Some(hangup) = bench.out.close.take() {
            return Poll::Ready(hangup);
        }
        // There is more to do, but others on this worker wait too.
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Whether the broker still works on what the session asked.
    fn owes_answers(&self) -> bool {
        self.identity.is_asking() || self.link.backlog() > 0
    }

    /// `held`: the load is such that nothing is to be read.
    fn may_read(&self, held: bool) -> bool {
        let wanted = !held || (self.broken.is_some() && !self.link.is_full());
        self.ended.is_none() && wanted
    }

    /// Reads what the socket has and lets the session work on it. Says how many bytes that were; an end counts as one.
    fn read(&mut self, cx: &mut Context<'_>, bench: &mut Workbench, now: Instant) -> usize {
        // Of a client with a limit only so much is read at once that it cannot be far beyond it.
        let shares = self.unread.is_empty() && self.pace.is_none();
        let outcome = if shares {
            let outcome = self.carrier.poll_read(cx, bench.read_buffer());
            if outcome.is_ready() {
                self.unread = bench.take_read();
            }
            outcome
        } else {
            // Grows by what came, never by what a peer says will come.
            self.unread.reserve(self.unread.len().clamp(GROW_BYTES_MIN, GROW_BYTES_MAX));
            self.carrier.poll_read(cx, &mut self.unread)
        };
        let end = match outcome {
            Poll::Pending => match self.broken.take() {
                None => return 0,
                Some(hangup) => hangup,
            },
            Poll::Ready(Ok(0)) => hangup(By::Network, "closed by the peer"),
            Poll::Ready(Err(error)) => self.broken.take().unwrap_or_else(|| lost(&error)),
            Poll::Ready(Ok(count)) => {
                self.metrics.bytes_received.add(count as u64);
                self.step(bench, now, shares);
                return count;
            }
        };
        self.ended = Some(end);
        1
    }

    /// Lets the session take from what was read, asks what it asks, tells it what is answered, and begins again with what
    /// it had left, until nothing changes. `shares`: what was read lies in a buffer of the whole worker.
    fn step(&mut self, bench: &mut Workbench, now: Instant, shares: bool) {
        let before = self.unread.len();
        loop {
            if !self.unread.is_empty() && bench.out.close.is_none() {
                self.session.receive(&mut self.unread, now, &mut bench.out);
            }
            self.ask(bench);
            if bench.events.is_empty() || bench.out.close.is_some() {
                break;
            }
            self.tell(bench, now);
        }
        self.metrics.packets_received.add(std::mem::take(&mut bench.out.received));
        bench.events.clear();
        if self.unread.is_empty() {
            self.unread = BytesMut::new();
        } else if shares || self.unread.len() < before {
            // The rest is small, what it was cut from is large and may be used again.
            self.unread = BytesMut::from(&self.unread[..]);
        }
    }

    fn ask(&mut self, bench: &mut Workbench) {
        if !bench.out.requests.is_empty() {
            self.identity.asks(&bench.out.requests);
            self.measure(&bench.out.requests);
            self.link.ask(&mut bench.out.requests, &mut bench.events);
        }
    }

    /// Where there is a limit: how fast that was.
    fn measure(&mut self, requests: &[Request]) {
        let Some(pace) = &mut self.pace else { return };
        let now = Instant::now();
        let was_slowed = pace.until(now).is_some();
        if pace.asks(requests, now) && !was_slowed {
            self.metrics.clients_slowed.increment();
            if pace.may_tell(now) {
                self.identity.log_slowed(self.carrier.peer());
            }
        }
    }

    fn tell(&mut self, bench: &mut Workbench, now: Instant) {
        for event in bench.events.drain(..) {
            if bench.out.close.is_some() {
                return;
            }
            self.identity.hears(&event, self.carrier.peer());
            if let Some(pace) = &mut self.pace {
                pace.hears(&event);
            }
            if let Some(limit) = reached(&event) {
                self.metrics.limits_reached.increment();
                self.identity.log_limit(limit, self.carrier.peer());
            }
            self.session.notify(event, now, &mut bench.out);
        }
    }

    /// Takes messages for the client, as many as it, its socket and the others on this worker allow.
    fn deliver(&mut self, bench: &mut Workbench, now: Instant) -> Delivered {
        let (mut taken, mut all) = (0, false);
        while bench.out.close.is_none() && self.broken.is_none() && self.ended.is_none() {
            let room = pacing::may_take(bench.out.wire.len(), self.session.window(), taken);
            if room == 0 {
                break;
            }
            self.link.take(room, &mut bench.deliveries);
            let count = bench.deliveries.len();
            if count > 0 {
                self.session.deliver(&mut bench.deliveries, now, &mut bench.out);
                bench.deliveries.clear();
                taken += count;
            }
            all = count < room;
            if all {
                break;
            }
        }
        if !bench.out.requests.is_empty() {
            self.step(bench, now, false);
        }
        Delivered { any: taken > 0, all }
    }

    fn write(&mut self, cx: &mut Context<'_>, bench: &mut Workbench) -> bool {
        if self.broken.is_some() {
            bench.out.wire = Wire::default();
        }
        if bench.out.wire.is_empty() && !self.unflushed {
            return false;
        }
        self.metrics.packets_sent.add(bench.out.wire.take_packets());
        match writer::write(&mut self.carrier, &mut bench.out.wire, cx) {
            Ok(written) => {
                self.unflushed = !written.done;
                self.metrics.bytes_sent.add(written.bytes as u64);
                written.bytes > 0
            }
            Err(error) => {
                bench.out.wire = Wire::default();
                self.unflushed = false;
                self.broken = Some(lost(&error));
                true
            }
        }
    }

    /// Nothing to read, to take or to write: waits for the broker and the clock as well. `held`: nothing was read for the
    /// load there was.
    fn wait(&mut self, cx: &mut Context<'_>, bench: &mut Workbench, now: Instant, held: bool) -> Poll<()> {
        if self.hear(cx, bench, now) {
            return Poll::Ready(());
        }
        let is_free = held && self.load(bench, now).may_read();
        if is_free || (self.ended.is_some() && !self.owes_answers()) {
            return Poll::Ready(());
        }
        if self.poll_alarm(cx, now).is_ready() {
            self.expire(cx, bench);
            return Poll::Ready(());
        }
        Poll::Pending
    }

    /// Passes on what the broker has to say. Says whether there was anything.
    fn hear(&mut self, cx: &mut Context<'_>, bench: &mut Workbench, now: Instant) -> bool {
        let is_ready = self.link.poll(cx, &mut bench.events).is_ready();
        if is_ready {
            self.tell(bench, now);
            self.step(bench, now, false);
        }
        is_ready
    }

    /// The session's deadline has passed. A client that is not read because a hook is slow, or because it publishes too fast, is not silent for that: what it
    /// has sent is looked at first.
    fn expire(&mut self, cx: &mut Context<'_>, bench: &mut Workbench) {
        let is_kept_waiting = self.link.is_held_up() || self.slowed_until(Instant::now()).is_some();
        if is_kept_waiting && !self.link.is_full() && self.ended.is_none() {
            self.read(cx, bench, Instant::now());
        }
        let now = Instant::now();
        if bench.out.close.is_none() && self.session.deadline().is_some_and(|deadline| deadline <= now) {
            self.session.expire(now, &mut bench.out);
            self.step(bench, now, false);
        }
    }

    /// Ready when the session's deadline has passed.
    fn poll_alarm(&mut self, cx: &mut Context<'_>, mut now: Instant) -> Poll<()> {
        let looks_again = self.ended.is_some() || pacing::waits_for_backlog(self.link.backlog());
        loop {
            let deadline = self.session.deadline();
            if deadline.is_some_and(|deadline| deadline <= now) {
                return Poll::Ready(());
            }
            let look = looks_again.then(|| now + BACKLOG_WAIT);
            let slowed = self.slowed_until(now);
            let Some(next) = deadline.into_iter().chain(look).chain(slowed).min() else {
                return Poll::Pending;
            };
            let alarm = self.alarm.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(next.into())));
            let is_early = now < alarm.deadline().into_std() && alarm.deadline() <= next.into();
            if self.alarm_is_set && is_early {
                return Poll::Pending;
            }
            if alarm.is_elapsed() || alarm.deadline() > next.into() {
                alarm.as_mut().reset(next.into());
            }
            self.alarm_is_set = alarm.as_mut().poll(cx).is_pending();
            if self.alarm_is_set {
                return Poll::Pending;
            }
            now = Instant::now();
        }
    }

    /// Until when nothing is read of a client that publishes faster than it may.
    fn slowed_until(&self, now: Instant) -> Option<Instant> {
        self.pace.as_ref().and_then(|pace| pace.until(now))
    }

    fn load(&self, bench: &Workbench, now: Instant) -> Load {
        Load {
            unsent_bytes: bench.out.wire.len(),
            unread_bytes: self.unread.len(),
            backlog: self.link.backlog(),
            is_in: self.identity.is_in(),
            is_held_up: self.link.is_held_up() || self.slowed_until(now).is_some(),
        }
    }
}

/// What a turn took for the client.
struct Delivered {
    /// Whether there was something.
    any: bool,
    /// Whether that was all there was.
    all: bool,
}

/// Writes all that waits and closes in the transport's own way, for two seconds at most; then waits until the peer has heard it.
pub(crate) async fn finish(mut carrier: Carrier, mut unsent: Wire, patience: &Patience) {
    let finished = poll_fn(|cx| writer::poll_finish(&mut carrier, &mut unsent, cx));
    let is_said = match tokio::time::timeout(FINISH_MAX, finished).await {
        Ok(finished) => finished.is_ok(),
        // It was told. That it does not say good-bye, as the transport has it, is its own affair.
        Err(_) => unsent.is_empty(),
    };
    if is_said && let Some(stream) = carrier.into_stream() {
        patience.linger(stream).await;
    }
}

/// The limit that kept the client from what it asked.
fn reached(event: &Event) -> Option<&'static str> {
    let limit =
        |refusal: &Refusal| if let Refusal::LimitReached(limit) = refusal { Some(*limit) } else { None };
    if let Event::Submitted { result: Err(refusal), .. } = event {
        return limit(refusal);
    }
    let Event::Subscribed { results, .. } = event else { return None };
    results.iter().find_map(|result| limit(result.as_ref().err()?))
}

fn hangup(by: By, reason: impl Into<Cow<'static, str>>) -> Box<Hangup> {
    Box::new(Hangup { by, reason: reason.into() })
}

fn lost(error: &io::Error) -> Box<Hangup> {
    let by = if error.kind() == io::ErrorKind::InvalidData { By::Broker } else { By::Network };
    hangup(by, error.to_string())
}

const FINISH_MAX: Duration = Duration::from_secs(2);

/// By how much the buffer of an incomplete packet grows at least, and at most, in bytes.
const GROW_BYTES_MIN: usize = 4096;
const GROW_BYTES_MAX: usize = 64 * 1024;

#[cfg(test)]
mod tests;
