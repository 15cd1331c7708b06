//! Ledger: what was sent and acknowledged, and what arrived. Everything that is found out follows from these notes.

use std::collections::{BTreeMap, HashMap};

/// How often a message may arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Promise {
    /// Once or not at all.
    Fleeting,
    /// At least once; what comes again says so.
    AtLeastOnce,
    /// Once, where both ends promise it.
    ExactlyOnce,
}

/// Notes about everybody. Publishers and subscribers go by the numbers that adding them gave.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) publishers: Vec<Publisher>,
    pub(crate) subscribers: Vec<Subscriber>,
    /// What went wrong outside of messages: a session that was gone, a refusal.
    pub(crate) complaints: Vec<String>,
    /// What the broker still has to bring, by whom it is waited for.
    pub(crate) owed: BTreeMap<&'static str, usize>,
    /// What those did who are neither publisher nor subscriber, for people to read.
    pub(crate) remarks: BTreeMap<&'static str, String>,
    /// Grows with every settlement that was answered.
    moment: u64,
}

/// What may be asked of a subscriber.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rules {
    /// First arrivals come in the order of publishing: where nobody else takes from the same queue.
    pub(crate) ordered: bool,
    /// Everything comes: not where messages are settled by being sent.
    pub(crate) complete: bool,
}

impl Rules {
    /// Everything, in order.
    pub(crate) const ALL: Self = Self { ordered: true, complete: true };
    /// Several take from one queue, or are one group.
    pub(crate) const SHARED: Self = Self { ordered: false, complete: true };
    /// What was on its way when a connection ended is gone.
    pub(crate) const FLEETING: Self = Self { ordered: true, complete: false };
}

/// What a publisher did. Its messages are numbered from 1.
#[derive(Debug)]
pub(crate) struct Publisher {
    pub(crate) name: &'static str,
    pub(crate) promise: Promise,
    /// How often each was sent as a message of its own: what QoS 2 sends again is not.
    pub(crate) sent: Vec<u8>,
    /// How many were sent again under the id that they had, which is no message of its own.
    pub(crate) repeated: u64,
    /// Whether the broker took responsibility for it.
    pub(crate) acknowledged: Vec<bool>,
}

/// What a subscriber heard.
#[derive(Debug)]
pub(crate) struct Subscriber {
    pub(crate) name: &'static str,
    pub(crate) promise: Promise,
    pub(crate) rules: Rules,
    /// By publisher.
    pub(crate) heard: Vec<Heard>,
    /// When the broker confirmed that a message is settled: publisher, number.
    settled: HashMap<(usize, u64), u64>,
    /// Those that came on a connection that was made after that: publisher, number.
    pub(crate) came_back: Vec<(usize, u64)>,
    /// Bodies that nobody sent.
    pub(crate) damaged: u64,
    /// Whether it is subscribed for the first time, so that publishing may begin.
    pub(crate) subscribed: bool,
}

/// What a subscriber heard from one publisher.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    /// How often each message came as something new (no DUP, no `redelivered`).
    pub(crate) fresh: Vec<u8>,
    /// How often it came at all.
    pub(crate) times: Vec<u8>,
    /// The newest that came.
    pub(crate) newest: u64,
    /// First arrivals.
    pub(crate) distinct: u64,
    /// Those that came first after a newer one did.
    pub(crate) late: Vec<u64>,
    /// Those that nobody had sent yet.
    pub(crate) unknown: Vec<u64>,
}

impl Ledger {
    pub(crate) fn add_publisher(&mut self, name: &'static str, promise: Promise) -> usize {
        self.publishers.push(Publisher {
            name,
            promise,
            sent: Vec::new(),
            repeated: 0,
            acknowledged: Vec::new(),
        });
        for subscriber in &mut self.subscribers {
            subscriber.heard.push(Heard::default());
        }
        self.publishers.len() - 1
    }

    pub(crate) fn add_subscriber(&mut self, name: &'static str, promise: Promise, rules: Rules) -> usize {
        let heard = self.publishers.iter().map(|_| Heard::default()).collect();
        self.subscribers.push(Subscriber {
            name,
            promise,
            rules,
            heard,
            settled: HashMap::new(),
            came_back: Vec::new(),
            damaged: 0,
            subscribed: false,
        });
        self.subscribers.len() - 1
    }

    /// The publisher is about to send its next message; gives the number.
    pub(crate) fn send(&mut self, publisher: usize) -> u64 {
        let Some(record) = self.publishers.get_mut(publisher) else { return 0 };
        record.sent.push(1);
        record.acknowledged.push(false);
        record.sent.len() as u64
    }

    /// The publisher is about to send one of them once more, as a message like any other.
    pub(crate) fn send_again(&mut self, publisher: usize, number: u64) {
        let record = self.publishers.get_mut(publisher);
        if let Some(times) = record.and_then(|record| record.sent.get_mut(index(number))) {
            *times = times.saturating_add(1);
        }
    }

    /// The publisher is about to send one of them once more under its id.
    pub(crate) fn repeat(&mut self, publisher: usize) {
        if let Some(record) = self.publishers.get_mut(publisher) {
            record.repeated += 1;
        }
    }

    /// The broker took responsibility.
    pub(crate) fn acknowledge(&mut self, publisher: usize, number: u64) {
        let record = self.publishers.get_mut(publisher);
        if let Some(acknowledged) = record.and_then(|record| record.acknowledged.get_mut(index(number))) {
            *acknowledged = true;
        }
    }

    /// The broker confirmed that the subscriber has settled these.
    pub(crate) fn settle(&mut self, subscriber: usize, messages: impl IntoIterator<Item = (usize, u64)>) {
        self.moment += 1;
        if let Some(subscriber) = self.subscribers.get_mut(subscriber) {
            subscriber.settled.extend(messages.into_iter().map(|message| (message, self.moment)));
        }
    }

    /// Now, as [`Self::hear_since`] takes it.
    pub(crate) const fn moment(&self) -> u64 {
        self.moment
    }

    /// A message arrived on a connection that was made at that moment.
    pub(crate) fn hear_since(
        &mut self,
        subscriber: usize,
        (publisher, number): (usize, u64),
        again: bool,
        made: u64,
    ) {
        self.hear(subscriber, publisher, number, again);
        let sent = self.publishers.get(publisher).and_then(|record| record.sent.get(index(number)));
        let Some(subscriber) = self.subscribers.get_mut(subscriber) else { return };
        // What was sent twice as a message of its own may come after the first was settled.
        if sent == Some(&1) && subscriber.settled.get(&(publisher, number)).is_some_and(|at| *at <= made) {
            subscriber.came_back.push((publisher, number));
        }
    }

    /// A message arrived; `again` if the broker said that it may have come before.
    pub(crate) fn hear(&mut self, subscriber: usize, publisher: usize, number: u64, again: bool) {
        let sent = self.publishers.get(publisher).map_or(0, |record| record.sent.len() as u64);
        let Some(subscriber) = self.subscribers.get_mut(subscriber) else { return };
        let Some(heard) = subscriber.heard.get_mut(publisher) else {
            subscriber.damaged += 1;
            return;
        };
        if number == 0 || number > sent {
            heard.unknown.push(number);
            return;
        }
        heard.note(number, again);
    }

    /// A body arrived that nobody sent.
    pub(crate) fn hear_damaged(&mut self, subscriber: usize) {
        if let Some(subscriber) = self.subscribers.get_mut(subscriber) {
            subscriber.damaged += 1;
        }
    }

    /// How many messages of a publisher have not reached everybody yet.
    pub(crate) fn behind(&self, publisher: usize) -> u64 {
        let Some(record) = self.publishers.get(publisher) else { return 0 };
        if record.promise == Promise::Fleeting {
            return 0;
        }
        let sent = record.sent.len() as u64;
        let complete = self.subscribers.iter().filter(|subscriber| subscriber.rules.complete);
        let slowest = complete.filter_map(|subscriber| subscriber.heard.get(publisher));
        sent - slowest.map(|heard| heard.distinct).min().unwrap_or(0).min(sent)
    }

    /// A number that grows with whatever happens.
    pub(crate) fn progress(&self) -> u64 {
        let heard =
            self.subscribers.iter().flat_map(|subscriber| &subscriber.heard).map(|heard| heard.distinct);
        let acknowledged = self.publishers.iter().map(|publisher| {
            publisher.acknowledged.iter().filter(|acknowledged| **acknowledged).count() as u64
        });
        let owed = self.owed.values().sum::<usize>() as u64;
        // What is owed becomes less.
        heard.sum::<u64>() + acknowledged.sum::<u64>() + u64::from(u32::MAX).saturating_sub(owed)
    }

    /// Whether every message was acknowledged and reached everybody, and nothing is owed.
    pub(crate) fn is_drained(&self) -> bool {
        let acknowledged = self
            .publishers
            .iter()
            .filter(|publisher| publisher.promise != Promise::Fleeting)
            .all(|publisher| publisher.acknowledged.iter().all(|acknowledged| *acknowledged));
        let paid = self.owed.values().all(|owed| *owed == 0);
        acknowledged && paid && (0..self.publishers.len()).all(|publisher| self.behind(publisher) == 0)
    }
}

impl Publisher {
    /// Whether that message was sent as one only.
    pub(crate) fn sent_once(&self, number: u64) -> bool {
        self.sent.get(index(number)) == Some(&1)
    }
}

impl Subscriber {
    /// How many settlements the broker confirmed.
    pub(crate) fn confirmed(&self) -> usize {
        self.settled.len()
    }
}

impl Heard {
    fn note(&mut self, number: u64, again: bool) {
        let at = index(number);
        if self.times.len() <= at {
            self.times.resize(at + 1, 0);
            self.fresh.resize(at + 1, 0);
        }
        let (Some(times), Some(fresh)) = (self.times.get_mut(at), self.fresh.get_mut(at)) else { return };
        if *times == 0 {
            self.distinct += 1;
            if number < self.newest {
                self.late.push(number);
            }
        }
        self.newest = self.newest.max(number);
        *times = times.saturating_add(1);
        *fresh = fresh.saturating_add(u8::from(!again));
    }

    /// How often that message came.
    pub(crate) fn times(&self, number: u64) -> u8 {
        self.times.get(index(number)).copied().unwrap_or(0)
    }
}

/// Where the notes about a number are.
fn index(number: u64) -> usize {
    usize::try_from(number.saturating_sub(1)).unwrap_or(usize::MAX)
}
