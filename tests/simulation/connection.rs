//! A connection: bytes under way in both directions, and the broker's end of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Wake, Waker};
use std::time::Instant;

use bytes::BytesMut;
use engine::Link;
use model::delivery::Delivery;
use model::event::Event;
use model::outbox::{By, Hangup, Outbox};
use model::session::Session;

/// The client's end is a number of the world's; the network is here.
pub(crate) struct Connection {
    /// Which client has it; `None`: it has given it up.
    pub(crate) client: Option<usize>,
    /// Which client it was made by.
    pub(crate) owner: usize,
    /// What the client said, and has not arrived.
    pub(crate) up: BytesMut,
    /// What the broker said, and has not arrived.
    pub(crate) down: BytesMut,
    /// The client has closed it, and the broker will hear of that behind what is under way.
    pub(crate) hung_up: bool,
    /// Nothing that the client says arrives, and nobody knows.
    pub(crate) is_mute: bool,
    /// How many bytes have arrived.
    arrived_bytes: u64,
    /// When the session took the first of them, which was its CONNECT; counted by the world.
    pub(crate) greeted_at: Option<u64>,
    end: Option<End>,
}

/// The broker's end.
struct End {
    session: Box<dyn Session>,
    link: Link,
    flag: Arc<Flag>,
    waker: Waker,
    unread: BytesMut,
    out: Outbox,
    events: Vec<Event>,
    deliveries: Vec<Delivery>,
    has_ended: bool,
}

/// Whether somebody wants the connection to look.
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Release);
    }
}

impl Connection {
    pub(crate) fn new(client: usize, session: Box<dyn Session>, link: Link) -> Self {
        let flag = Arc::new(Flag(AtomicBool::new(true)));
        let end = End {
            session,
            link,
            waker: Waker::from(Arc::clone(&flag)),
            flag,
            unread: BytesMut::new(),
            out: Outbox::default(),
            events: Vec::new(),
            deliveries: Vec::new(),
            has_ended: false,
        };
        Self {
            client: Some(client),
            owner: client,
            up: BytesMut::new(),
            down: BytesMut::new(),
            hung_up: false,
            is_mute: false,
            arrived_bytes: 0,
            greeted_at: None,
            end: Some(end),
        }
    }

    /// Whether the broker still has its end.
    pub(crate) const fn is_open(&self) -> bool {
        self.end.is_some()
    }

    /// Whether neither side knows of it any more.
    pub(crate) const fn is_over(&self) -> bool {
        self.end.is_none() && self.client.is_none()
    }

    /// Whether there is a reason to call [`Self::turn`].
    pub(crate) fn is_called(&self) -> bool {
        // Behind its end it looks again and again, as a connection in the broker does: an answer that nobody waits for
        // calls nobody.
        self.end.as_ref().is_some_and(|end| end.has_ended || end.flag.0.load(Ordering::Acquire))
    }

    /// Whether something is under way to the broker, be it the end.
    pub(crate) fn says_something(&self) -> bool {
        let is_news = !self.up.is_empty() || self.hung_up;
        !self.is_mute && is_news && self.end.as_ref().is_some_and(|end| !end.has_ended)
    }

    /// Whether anything is under way, in either direction.
    pub(crate) fn is_under_way(&self) -> bool {
        self.says_something() || !self.down.is_empty() || (self.end.is_none() && self.client.is_some())
    }

    /// The broker is no more. What it said before may still arrive.
    pub(crate) fn break_off(&mut self) {
        self.end = None;
        self.up.clear();
    }

    /// The first `count` bytes that are under way arrive; behind the last of them, the end.
    pub(crate) fn arrive(&mut self, count: usize, now: Instant) {
        let Some(end) = &mut self.end else { return };
        if end.has_ended {
            return;
        }
        let bytes = self.up.split_to(count.min(self.up.len()));
        if bytes.is_empty() && self.hung_up && self.up.is_empty() {
            end.has_ended = true;
        }
        self.arrived_bytes += bytes.len() as u64;
        end.unread.extend_from_slice(&bytes);
        end.step(now);
        end.flag.0.store(true, Ordering::Release);
        self.settle_up();
    }

    /// What a connection does when it is woken.
    pub(crate) fn turn(&mut self, now: Instant, take_max: usize) {
        let Some(end) = &mut self.end else { return };
        end.flag.0.store(false, Ordering::Release);
        // As long as there is something to do; to take all at once would leave nothing to happen in between.
        let taken = end.deliver(now, take_max);
        let heard = end.hear(now);
        if taken || heard {
            end.flag.0.store(true, Ordering::Release);
        }
        self.settle_up();
    }

    /// The session's time has come, if it has.
    pub(crate) fn expire(&mut self, now: Instant) {
        let Some(end) = &mut self.end else { return };
        if end.session.deadline().is_some_and(|deadline| deadline <= now) {
            end.session.expire(now, &mut end.out);
            end.step(now);
            self.settle_up();
        }
    }

    /// How many bytes the session has taken.
    pub(crate) fn taken_bytes(&self) -> u64 {
        self.arrived_bytes - self.end.as_ref().map_or(0, |end| end.unread.len() as u64)
    }

    /// Writes what is to be written, and closes if that is wanted.
    fn settle_up(&mut self) {
        let Some(end) = &mut self.end else { return };
        while !end.out.wire.is_empty() {
            let mut slices = [std::io::IoSlice::new(&[])];
            let used = end.out.wire.peek(&mut slices);
            let count = slices[..used].iter().map(|slice| slice.len()).sum();
            for slice in &slices[..used] {
                self.down.extend_from_slice(slice);
            }
            end.out.wire.advance(count);
        }
        let is_done = end.has_ended && end.link.backlog() == 0;
        let lost = is_done.then(|| Hangup { by: By::Network, reason: "closed by the peer".into() });
        if let Some(hangup) = end.out.close.take().or(lost) {
            end.link.end(&hangup);
            self.end = None;
            self.up.clear();
        }
    }
}

impl End {
    fn step(&mut self, now: Instant) {
        loop {
            if !self.unread.is_empty() && self.out.close.is_none() {
                self.session.receive(&mut self.unread, now, &mut self.out);
            }
            if !self.out.requests.is_empty() {
                self.link.ask(&mut self.out.requests, &mut self.events);
            }
            if self.events.is_empty() || self.out.close.is_some() {
                break;
            }
            self.tell(now);
        }
        self.events.clear();
    }

    fn tell(&mut self, now: Instant) {
        for event in self.events.drain(..) {
            if self.out.close.is_none() {
                self.session.notify(event, now, &mut self.out);
            }
        }
    }

    fn deliver(&mut self, now: Instant, take_max: usize) -> bool {
        if self.out.close.is_some() || self.has_ended {
            return false;
        }
        let room = self.session.window().min(take_max);
        if room == 0 {
            return false;
        }
        self.link.take(room, &mut self.deliveries);
        let some = !self.deliveries.is_empty();
        if some {
            self.session.deliver(&mut self.deliveries, now, &mut self.out);
            self.deliveries.clear();
        }
        if !self.out.requests.is_empty() {
            self.step(now);
        }
        some
    }

    fn hear(&mut self, now: Instant) -> bool {
        let mut context = Context::from_waker(&self.waker);
        if self.link.poll(&mut context, &mut self.events).is_pending() {
            return false;
        }
        self.tell(now);
        self.step(now);
        true
    }
}
