//! A publisher: sends as fast as it may, or at the moments that are set, and waits for what is acknowledged.

use std::sync::Arc;
use std::time::Duration;

use bytestring::ByteString;
use model::qos::Qos;
use tokio::sync::{Notify, Semaphore, watch};
use tokio::time::{Instant, sleep_until};

use crate::bench::meter::{Meter, count};
use crate::bench::stamp::{Stamp, now_ns};
use crate::bench::tally::Times;
use crate::client::Client;
use crate::failure::Failure;
use crate::message::{Heard, Publication};

/// What a publisher is to do.
#[derive(Debug, Clone)]
pub(crate) struct Task {
    /// The run it belongs to.
    pub(crate) run: u64,
    /// Its number in that.
    pub(crate) publisher: u32,
    /// Where to; `%m` in it is the number of the message.
    pub(crate) destination: ByteString,
    /// How hard.
    pub(crate) qos: Qos,
    /// Bytes of each payload.
    pub(crate) size: usize,
    /// Headers or user properties of each.
    pub(crate) properties: Vec<(ByteString, ByteString)>,
    /// When.
    pub(crate) pace: Pace,
    /// How many at most.
    pub(crate) count: u64,
    /// Until when at most.
    pub(crate) end: Instant,
    /// How many more may be under way.
    pub(crate) window: Arc<Semaphore>,
    /// What makes room in the window again.
    pub(crate) opened_by: OpenedBy,
}

/// When messages are sent.
#[derive(Debug, Clone)]
pub(crate) enum Pace {
    /// As soon as the window has room.
    Window,
    /// At moments that are set, whatever came of those before.
    Fixed(Moments),
}

/// The moments at which a publisher sends.
#[derive(Debug, Clone)]
pub(crate) struct Moments {
    /// The first one.
    pub(crate) first: Instant,
    /// From one to the next.
    pub(crate) every: Duration,
    /// Rings at each.
    pub(crate) bell: Arc<Notify>,
}

impl Moments {
    fn at(&self, number: u64) -> Instant {
        let nanos = self.every.as_nanos().saturating_mul(u128::from(number));
        self.first + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

/// Rings the bells of all publishers, each at its moments, on a thread of its own: a timer of tokio is late by up to a
/// millisecond. Ends with the last publisher, or at `end`.
pub(crate) fn ring(all: &[Moments], end: Instant) {
    let bells: Vec<_> =
        all.iter().map(|moments| (moments.first, moments.every, Arc::downgrade(&moments.bell))).collect();
    std::thread::spawn(move || {
        for number in 0.. {
            for (first, every, bell) in &bells {
                let due = *first + every.saturating_mul(number);
                let now = Instant::now();
                if due > now {
                    std::thread::sleep(due - now);
                }
                let Some(bell) = bell.upgrade().filter(|_| due < end) else { return };
                bell.notify_one();
            }
        }
    });
}

/// What makes room in a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OpenedBy {
    /// That the message was written to the connection.
    Writing,
    /// Its acknowledgement.
    Acknowledgement,
    /// Its arrival, which whoever receives it says.
    Arrival,
}

/// What a publisher did.
#[derive(Debug)]
pub(crate) struct Sent {
    /// Messages.
    pub(crate) sent: u64,
    /// Of these acknowledged.
    pub(crate) acknowledged: u64,
    /// And not taken.
    pub(crate) declined: u64,
    /// From the moment that a message was due to its last acknowledgement.
    pub(crate) acknowledgements: Times,
    /// From the moment that a message was due until it was handed to the connection.
    pub(crate) late: Times,
    /// Why it ended before its time.
    pub(crate) failure: Option<Failure>,
}

/// Publishes, then says good-bye.
pub(crate) async fn publish(
    mut client: Client,
    task: Task,
    meter: Arc<Meter>,
    stop: watch::Receiver<bool>,
) -> Sent {
    let sent = Sent {
        sent: 0,
        acknowledged: 0,
        declined: 0,
        acknowledgements: Times::new(),
        late: Times::new(),
        failure: None,
    };
    let mut publisher = Publisher { task, meter, stop, sent };
    match publisher.run(&mut client).await {
        Ok(()) => publisher.sent.failure = client.leave().await.err(),
        Err(failure) => publisher.sent.failure = Some(failure),
    }
    publisher.sent
}

struct Publisher {
    task: Task,
    meter: Arc<Meter>,
    stop: watch::Receiver<bool>,
    sent: Sent,
}

impl Publisher {
    async fn run(&mut self, client: &mut Client) -> Result<(), Failure> {
        let mut moved = Instant::now();
        loop {
            let heard = self.hear(client)?;
            let posted = self.post(client)?;
            if heard || posted {
                moved = Instant::now();
            }
            if self.is_over() {
                if self.under_way() == 0 {
                    return client.flush().await;
                }
                if moved.elapsed() > STALL_MAX {
                    return Err(Failure::timeout(format!(
                        "{} messages were not acknowledged, and nothing came for {} s",
                        self.under_way(),
                        STALL_MAX.as_secs()
                    )));
                }
            }
            if posted && self.task.opened_by == OpenedBy::Writing {
                client.flush().await?;
                self.task.window.add_permits(BATCH.saturating_sub(self.task.window.available_permits()));
                tokio::task::yield_now().await;
                continue;
            }
            self.wait(client, moved).await?;
        }
    }

    fn is_over(&self) -> bool {
        let next = self.due();
        self.sent.sent >= self.task.count
            || next.unwrap_or_else(Instant::now) >= self.task.end
            || *self.stop.borrow()
    }

    /// When the next message is due; `None`: as soon as there is room.
    fn due(&self) -> Option<Instant> {
        match &self.task.pace {
            Pace::Window => None,
            Pace::Fixed(moments) => Some(moments.at(self.sent.sent)),
        }
    }

    fn under_way(&self) -> u64 {
        if self.task.qos == Qos::AtMostOnce {
            return 0;
        }
        self.sent.sent - self.sent.acknowledged - self.sent.declined
    }

    /// Takes what came. Says whether anything did.
    fn hear(&mut self, client: &mut Client) -> Result<bool, Failure> {
        let mut is_any = false;
        while let Some(heard) = client.hear()? {
            is_any = true;
            match heard {
                Heard::Acknowledged(due_ns) => {
                    self.sent.acknowledged += 1;
                    let took = now_ns().saturating_sub(due_ns);
                    self.sent.acknowledgements.record(Duration::from_nanos(took));
                    count(&self.meter.acknowledged);
                }
                Heard::Declined(why) => {
                    self.sent.declined += 1;
                    if self.sent.declined == 1 {
                        self.sent.failure = Some(Failure::runtime(why));
                    }
                }
                Heard::Message(_) => continue,
            }
            if self.task.opened_by == OpenedBy::Acknowledgement {
                self.task.window.add_permits(1);
            }
        }
        Ok(is_any)
    }

    /// Hands over what is due and has room, a batch at most. Says whether there was anything.
    fn post(&mut self, client: &mut Client) -> Result<bool, Failure> {
        let known = self.sent.sent;
        for _ in 0..BATCH {
            let (now, due) = (Instant::now(), self.due());
            if self.is_over() || due.is_some_and(|due| due > now) || !self.has_room(client) {
                break;
            }
            let late = due.map_or(Duration::ZERO, |due| now - due);
            let due_ns = now_ns().saturating_sub(u64::try_from(late.as_nanos()).unwrap_or(u64::MAX));
            let stamp = Stamp {
                run: self.task.run,
                publisher: self.task.publisher,
                sequence: self.sent.sent,
                due_ns,
            };
            let publication = Publication {
                destination: numbered(&self.task.destination, self.sent.sent),
                payload: stamp.payload(self.task.size),
                qos: self.task.qos,
                retain: false,
                properties: self.task.properties.clone(),
            };
            client.post(&publication, due_ns)?;
            self.sent.late.record(late);
            self.sent.sent += 1;
            count(&self.meter.sent);
        }
        Ok(self.sent.sent > known)
    }

    /// Takes a place in the window, if there is one. What has its moment does not ask: that would move the moment.
    fn has_room(&self, client: &Client) -> bool {
        if self.task.qos != Qos::AtMostOnce && client.room() == 0 {
            return false;
        }
        match &self.task.pace {
            Pace::Fixed(_) => true,
            Pace::Window => self.task.window.try_acquire().map(tokio::sync::SemaphorePermit::forget).is_ok(),
        }
    }

    /// Until something came, there is room, the next message is due, or it is over.
    async fn wait(&mut self, client: &mut Client, moved: Instant) -> Result<(), Failure> {
        let is_over = self.is_over();
        let waits_for_room = !is_over && matches!(self.task.pace, Pace::Window) && client.room() > 0;
        let end = if is_over { moved + STALL_MAX } else { self.task.end };
        let window = Arc::clone(&self.task.window);
        let bell = match &self.task.pace {
            Pace::Fixed(moments) => Arc::clone(&moments.bell),
            Pace::Window => Arc::default(),
        };
        tokio::select! {
            came = client.exchange() => came?,
            () = bell.notified() => {}
            _ = window.acquire(), if waits_for_room => {}
            changed = self.stop.changed(), if !is_over => drop(changed),
            () = sleep_until(end) => {}
        }
        Ok(())
    }
}

/// Where that message of a publisher goes.
pub(crate) fn numbered(pattern: &ByteString, number: u64) -> ByteString {
    // Nearly always all go to the same.
    if pattern.contains(NUMBER) {
        pattern.replace(NUMBER, &number.to_string()).into()
    } else {
        pattern.clone()
    }
}

/// What stands for the number of the message in a destination.
pub(crate) const NUMBER: &str = "%m";

/// How many messages are handed over before it is looked at what came.
pub(crate) const BATCH: usize = 64;

/// How long an acknowledgement is waited for while nothing comes.
const STALL_MAX: Duration = Duration::from_secs(10);
