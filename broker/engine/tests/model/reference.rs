//! The plain broker: exchanges, queues and bindings as lists that are gone through, and nothing else
//!
//! Nothing in it is fast or clever. A queue is the list of its entries; the one that comes first is looked for each time.

use model::queue::{ExchangeKind, HeaderMatch, Overflow};

use crate::delays::Waiting;
use crate::matching::leads;
use crate::policies::Held;
use crate::readers::Reader;

#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Reference {
    pub(crate) exchanges: Vec<Exchange>,
    pub(crate) bindings: Vec<Bound>,
    /// In the order they were made.
    pub(crate) queues: Vec<Queue>,
    /// What holds by name.
    pub(crate) policies: Vec<Held>,
    /// Messages whose time has not come.
    pub(crate) waiting: Vec<Waiting>,
    /// The last number given to one that waits.
    pub(crate) last_waiting: u64,
    /// In milliseconds.
    pub(crate) now_ms: u64,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Exchange {
    pub(crate) name: String,
    pub(crate) kind: ExchangeKind,
    pub(crate) auto_delete: bool,
    pub(crate) internal: bool,
    pub(crate) alternate: Option<String>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Bound {
    pub(crate) exchange: String,
    pub(crate) pattern: String,
    pub(crate) headers: HeaderMatch,
    pub(crate) to: To,
}

/// Where a binding leads.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum To {
    Queue(String),
    Exchange(String),
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Queue {
    pub(crate) name: String,
    /// What it was declared with, and what holds by that and by policies.
    pub(crate) declared: Rules,
    pub(crate) rules: Rules,
    /// The policy that holds for it.
    pub(crate) policy: Option<&'static str>,
    /// A policy changed what holds: what is too much by now goes. At other times, it goes when something comes.
    pub(crate) is_amended: bool,
    pub(crate) entries: Vec<Entry>,
    /// The last number given to an entry.
    pub(crate) last: u64,
    /// In the order they came.
    pub(crate) consumers: Vec<Consumer>,
}

/// What a queue was declared with, or what holds for it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Rules {
    pub(crate) max: Option<usize>,
    pub(crate) bytes_max: Option<usize>,
    pub(crate) overflow: Overflow,
    /// The same, if somebody said it; and so below.
    pub(crate) overflow_said: Option<Overflow>,
    /// Exchange, and key if not the message's own.
    pub(crate) dead_letter: Option<(String, Option<String>)>,
    pub(crate) priority_max: u8,
    pub(crate) delivery_limit: Option<u32>,
    pub(crate) delivery_limit_said: Option<u32>,
    pub(crate) single_active: bool,
    /// Its messages have no time at all.
    pub(crate) expires_at_once: bool,
    pub(crate) auto_delete: bool,
    /// It is read, and nothing is taken from it.
    pub(crate) stream: bool,
    /// The client whose own it is.
    pub(crate) owner: Option<usize>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Consumer {
    pub(crate) id: u32,
    pub(crate) acknowledges: bool,
    pub(crate) prefetch: Option<usize>,
    /// Of a stream.
    pub(crate) reader: Reader,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    pub(crate) number: u64,
    pub(crate) message: Message,
    /// How often it came back.
    pub(crate) attempts: u32,
    pub(crate) place: Place,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Place {
    /// It has its number, and nobody sees it.
    Promised,
    Waits,
    /// On loan to that consumer.
    Lent(u32),
}

#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Message {
    pub(crate) text: String,
    pub(crate) exchange: String,
    pub(crate) key: String,
    pub(crate) qos: u8,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) priority: Option<u8>,
    /// It has no time at all.
    pub(crate) expires_at_once: bool,
    /// When it was published, by a clock of milliseconds.
    pub(crate) at_ms: u64,
    /// Queue, reason and count, the latest first.
    pub(crate) deaths: Vec<(String, &'static str, u64)>,
}

/// A message that a queue gave up.
#[derive(Debug, Clone)]
pub(crate) struct Dead {
    from: String,
    to: (String, Option<String>),
    message: Message,
    reason: &'static str,
}

/// A message, and the queues it goes to, with its number there where it has one already.
pub(crate) struct Plan {
    message: Message,
    targets: Vec<(String, Option<u64>)>,
}

/// Why a message was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum No {
    Exchange,
    Internal,
    Room,
}

impl Reference {
    pub(crate) fn queue(&mut self, name: &str) -> Option<&mut Queue> {
        self.queues.iter_mut().find(|queue| queue.name == name)
    }

    /// The queues that get it, each once, the oldest queue first.
    pub(crate) fn route(&self, exchange: &str, message: &Message) -> Result<Vec<String>, No> {
        let names = self.queues.iter().map(|queue| queue.name.clone());
        if exchange.is_empty() {
            return Ok(names.filter(|name| *name == message.key).collect());
        }
        self.exchange(exchange).ok_or(No::Exchange)?;
        let (mut queues, mut seen, mut next) = (Vec::new(), Vec::new(), vec![exchange]);
        while let Some(name) = next.pop() {
            let Some(at) = self.exchange(name).filter(|_| !seen.contains(&name)) else { continue };
            seen.push(name);
            let bindings = self.bindings.iter().filter(|bound| bound.exchange == name);
            let wanted: Vec<_> = bindings.filter(|bound| leads(bound, at.kind, message)).collect();
            for bound in &wanted {
                match &bound.to {
                    To::Queue(queue) => queues.push(queue),
                    To::Exchange(exchange) => next.push(exchange),
                }
            }
            if wanted.is_empty() {
                next.extend(at.alternate.as_deref());
            }
        }
        Ok(names.filter(|name| queues.contains(&name)).collect())
    }

    fn exchange(&self, name: &str) -> Option<&Exchange> {
        self.exchanges.iter().find(|exchange| exchange.name == name)
    }

    /// Where a client publishes to.
    pub(crate) fn route_published(&self, message: &Message) -> Result<Vec<String>, No> {
        let targets = self.route(&message.exchange, message)?;
        let is_internal = self.exchange(&message.exchange).is_some_and(|exchange| exchange.internal);
        if is_internal { Err(No::Internal) } else { Ok(targets) }
    }

    /// `Ok`: whether any queue was to get it.
    pub(crate) fn publish(&mut self, message: &Message) -> Result<bool, No> {
        let targets = self.route_published(message)?;
        let refuses = targets.iter().any(|name| self.queue(name).is_some_and(|queue| queue.refuses()));
        if message.qos > 0 && targets.len() > 1 && refuses {
            // All of them or none.
            let plan = self.plan(message.clone(), &targets)?;
            self.show(plan);
            return Ok(true);
        }
        for name in &targets {
            self.push(name, message)?;
        }
        Ok(!targets.is_empty())
    }

    /// Several messages together, or none: all have their places before any is seen.
    pub(crate) fn plan(&mut self, message: Message, targets: &[String]) -> Result<Plan, No> {
        let mut plan = Plan { message, targets: Vec::new() };
        for name in targets {
            if let Err(no) = self.promise(&mut plan, name) {
                self.forget(&plan);
                return Err(no);
            }
        }
        Ok(plan)
    }

    /// What was promised will not come.
    pub(crate) fn forget(&mut self, plan: &Plan) {
        for (name, number) in &plan.targets {
            if let Some(queue) = self.queue(name) {
                queue.entries.retain(|entry| Some(entry.number) != *number);
            }
        }
    }

    fn promise(&mut self, plan: &mut Plan, name: &str) -> Result<(), No> {
        let message = plan.message.clone();
        let Some(queue) = self.queue(name) else { return Ok(()) };
        let is_promised = message.qos > 0 && (queue.rules.owner.is_none() || queue.refuses());
        let mut number = None;
        if is_promised {
            if queue.is_full(&message) {
                return self.turn_away(name, &message);
            }
            number = Some(queue.add(message, Place::Promised));
        }
        plan.targets.push((name.to_owned(), number));
        Ok(())
    }

    pub(crate) fn show(&mut self, plan: Plan) {
        for (name, number) in plan.targets {
            let Some(queue) = self.queue(&name) else { continue };
            match number {
                Some(number) => {
                    queue.entries.iter_mut().filter(|entry| entry.number == number).for_each(|entry| {
                        entry.place = Place::Waits;
                    });
                }
                None if queue.is_full(&plan.message) => {}
                None => drop(queue.add(plan.message.clone(), Place::Waits)),
            }
            self.drop_head(&name);
        }
    }

    fn push(&mut self, name: &str, message: &Message) -> Result<(), No> {
        let Some(queue) = self.queue(name) else { return Ok(()) };
        if !queue.is_full(message) {
            queue.add(message.clone(), Place::Waits);
            self.drop_head(name);
            return Ok(());
        }
        if message.qos == 0 { Ok(()) } else { self.turn_away(name, message) }
    }

    /// It has no room there: does its publisher hear of it? Do the dead letters?
    fn turn_away(&mut self, name: &str, message: &Message) -> Result<(), No> {
        let Some(queue) = self.queue(name) else { return Ok(()) };
        let refuses = queue.refuses();
        if queue.rules.overflow == Overflow::RejectPublishDlx {
            let dead = queue.dead(message.clone(), "maxlen");
            self.bury(dead.into_iter().collect());
        }
        if refuses { Err(No::Room) } else { Ok(()) }
    }

    pub(crate) fn drop_head(&mut self, name: &str) {
        let Some(queue) = self.queue(name) else { return };
        let mut dead = Vec::new();
        while queue.rules.overflow == Overflow::DropHead && queue.is_over() {
            let at = queue.first().expect("there is too much");
            let entry = queue.entries.remove(at);
            dead.extend(queue.dead(entry.message, "maxlen"));
        }
        self.bury(dead);
    }

    /// All that died together has its new places before any of it is seen there.
    pub(crate) fn bury(&mut self, dead: Vec<Dead>) {
        self.show_with(Vec::new(), dead);
    }

    /// What is published and what died with it, in that order.
    pub(crate) fn show_with(&mut self, plans: Vec<Plan>, dead: Vec<Dead>) {
        let letters: Vec<_> = dead.into_iter().map(|one| self.letter(one)).collect();
        for plan in plans.into_iter().chain(letters) {
            self.show(plan);
        }
    }

    fn letter(&mut self, dead: Dead) -> Plan {
        let Dead { from, to: (exchange, key), mut message, reason } = dead;
        let known = message.deaths.iter().position(|(queue, why, _)| (queue, *why) == (&from, reason));
        let count = known.map_or(0, |at| message.deaths.remove(at).2);
        message.deaths.insert(0, (from, reason, count + 1));
        // A queue's name is a word of a key, and its dots are plain dots.
        let swaps = message.exchange.is_empty() != exchange.is_empty();
        message.key = key.unwrap_or_else(|| if swaps { dotted(&message.key) } else { message.key.clone() });
        message.exchange = exchange;
        (message.expires_at_once, message.at_ms) = (false, self.now_ms);
        let mut targets = self.route(&message.exchange.clone(), &message).unwrap_or_default();
        targets.retain(|queue| !goes_round(&message.deaths, queue, reason));
        let mut plan = Plan { message, targets: Vec::new() };
        for name in targets {
            // One that is full loses it.
            let _ = self.promise(&mut plan, &name);
        }
        plan
    }

    /// What such a consumer takes, `max` at most, and what its queue gives up on the way to it.
    pub(crate) fn take(&mut self, name: &str, id: u32, max: usize, trailing: usize) -> Vec<Entry> {
        let Some(queue) = self.queue(name) else { return Vec::new() };
        if queue.rules.stream {
            return queue.read(id, max);
        }
        let Some(consumer) = queue.consumers.iter().find(|consumer| consumer.id == id).cloned() else {
            return Vec::new();
        };
        let (mut got, mut dead, mut trailed) = (Vec::new(), Vec::new(), 0);
        while let Some(at) = queue.first() {
            let reason = queue.unfit(&queue.entries[at]);
            // What is unfit is met on the way to something, or because there is room for something.
            if got.len() == max && (reason.is_none() || trailed == trailing) {
                break;
            }
            trailed += usize::from(got.len() == max);
            let mut entry = queue.entries.remove(at);
            if let Some(reason) = reason {
                dead.extend(queue.dead(entry.message, reason));
                continue;
            }
            if consumer.acknowledges {
                entry.place = Place::Lent(id);
                queue.entries.push(entry.clone());
            }
            got.push(entry);
        }
        self.bury(dead);
        got
    }

    /// What has no time left goes, without anybody taking it.
    pub(crate) fn expire(&mut self, name: &str) {
        let Some(queue) = self.queue(name) else { return };
        let mut dead = Vec::new();
        while let Some(at) = queue.in_order().into_iter().find(|at| queue.is_expired(&queue.entries[*at])) {
            let entry = queue.entries.remove(at);
            dead.extend(queue.dead(entry.message, "expired"));
        }
        self.bury(dead);
    }

    pub(crate) fn with_expired(&self) -> Vec<String> {
        let expired = |queue: &&Queue| {
            let waits = |entry: &&Entry| entry.place == Place::Waits;
            queue.entries.iter().filter(waits).any(|entry| queue.is_expired(entry))
        };
        self.queues.iter().filter(expired).map(|queue| queue.name.clone()).collect()
    }

    /// The consumer goes, what it had comes back; a queue that goes with its last consumer does.
    pub(crate) fn leave(&mut self, name: &str, id: u32) {
        let Some(queue) = self.queue(name) else { return };
        queue.consumers.retain(|consumer| consumer.id != id);
        for entry in queue.entries.iter_mut().filter(|entry| entry.place == Place::Lent(id)) {
            entry.give_back();
        }
        if queue.consumers.is_empty() && queue.rules.auto_delete {
            self.delete(name);
        }
    }

    pub(crate) fn delete(&mut self, name: &str) {
        self.queues.retain(|queue| queue.name != name);
        self.unbind(|bound| bound.to == To::Queue(name.to_owned()));
    }

    pub(crate) fn delete_exchange(&mut self, name: &str) {
        self.exchanges.retain(|exchange| exchange.name != name);
        self.unbind(|bound| bound.exchange == name || bound.to == To::Exchange(name.to_owned()));
    }

    /// Takes bindings away, and the exchanges that go with the last one from them.
    pub(crate) fn unbind(&mut self, is_meant: impl Fn(&Bound) -> bool) {
        let gone: Vec<_> = self.bindings.extract_if(.., |bound| is_meant(bound)).collect();
        for Bound { exchange, .. } in gone {
            let is_left = self.bindings.iter().any(|bound| bound.exchange == exchange);
            if !is_left && self.exchange(&exchange).is_some_and(|exchange| exchange.auto_delete) {
                self.delete_exchange(&exchange);
            }
        }
    }

    pub(crate) fn accept(&mut self, name: &str, id: u32, number: u64) {
        if let Some((queue, at)) = self.lent(name, id, number) {
            queue.entries.remove(at);
        }
    }

    pub(crate) fn requeue(&mut self, name: &str, id: u32, number: u64) {
        if let Some((queue, at)) = self.lent(name, id, number) {
            queue.entries[at].give_back();
        }
    }

    pub(crate) fn reject(&mut self, name: &str, id: u32, number: u64) -> Option<Dead> {
        let (queue, at) = self.lent(name, id, number)?;
        let entry = queue.entries.remove(at);
        queue.dead(entry.message, "rejected")
    }

    /// Settling what one does not have changes nothing.
    fn lent(&mut self, name: &str, id: u32, number: u64) -> Option<(&mut Queue, usize)> {
        let queue = self.queue(name)?;
        let is_it = |entry: &Entry| entry.number == number && entry.place == Place::Lent(id);
        let at = queue.entries.iter().position(is_it)?;
        Some((queue, at))
    }
}

impl Queue {
    pub(crate) fn waiting(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|entry| entry.place == Place::Waits)
    }

    /// What waits: the higher priority first, then the older number.
    fn in_order(&self) -> Vec<usize> {
        let mut all: Vec<_> =
            (0..self.entries.len()).filter(|at| self.entries[*at].place == Place::Waits).collect();
        all.sort_by_key(|at| {
            let entry = &self.entries[*at];
            let priority = entry.message.priority.unwrap_or(0).min(self.rules.priority_max);
            (std::cmp::Reverse(priority), entry.number)
        });
        all
    }

    fn first(&self) -> Option<usize> {
        self.in_order().first().copied()
    }

    /// Whether it goes by that: in a stream it stays, and is passed over; and what has begun at QoS 2 is brought to its end.
    fn is_expired(&self, entry: &Entry) -> bool {
        let has_begun = entry.message.qos == 2 && entry.attempts > 0;
        let stays = self.rules.stream || has_begun;
        !stays && (entry.message.expires_at_once || self.rules.expires_at_once)
    }

    fn unfit(&self, entry: &Entry) -> Option<&'static str> {
        if self.is_expired(entry) {
            return Some("expired");
        }
        self.rules.delivery_limit.is_some_and(|limit| entry.attempts > limit).then_some("delivery_limit")
    }

    fn add(&mut self, message: Message, place: Place) -> u64 {
        self.last += 1;
        self.entries.push(Entry { number: self.last, message, attempts: 0, place });
        self.last
    }

    pub(crate) fn refuses(&self) -> bool {
        matches!(self.rules.overflow, Overflow::RejectPublish | Overflow::RejectPublishDlx)
    }

    pub(crate) fn buries_what_it_refuses(&self) -> bool {
        self.rules.overflow == Overflow::RejectPublishDlx && self.rules.dead_letter.is_some()
    }

    /// Whether one more has no room beside what waits and what is promised.
    pub(crate) fn is_full(&self, message: &Message) -> bool {
        let there: Vec<_> =
            self.entries.iter().filter(|entry| !matches!(entry.place, Place::Lent(_))).collect();
        let bytes: usize = there.iter().map(|entry| entry.message.size()).sum();
        self.rules.overflow != Overflow::DropHead
            && (self.rules.max.is_some_and(|max| there.len() + 1 > max)
                || self.rules.bytes_max.is_some_and(|max| bytes + message.size() > max))
    }

    pub(crate) fn is_over(&self) -> bool {
        let bytes: usize = self.waiting().map(|entry| entry.message.size()).sum();
        self.rules.max.is_some_and(|max| self.waiting().count() > max)
            || self.rules.bytes_max.is_some_and(|max| bytes > max)
    }

    fn dead(&self, message: Message, reason: &'static str) -> Option<Dead> {
        let to = self.rules.dead_letter.clone()?;
        Some(Dead { from: self.name.clone(), to, message, reason })
    }

    /// How many more that consumer may have, if nobody competes with it; `None`: somebody does.
    pub(crate) fn allows(&self, id: u32) -> Option<usize> {
        if self.rules.stream {
            return Some(self.credit(id));
        }
        if self.consumers.len() > 1 && !self.rules.single_active {
            return None;
        }
        let is_first = self.consumers.first().is_some_and(|first| first.id == id);
        Some(if is_first { self.credit(id) } else { 0 })
    }

    pub(crate) fn credit(&self, id: u32) -> usize {
        let consumer = self.consumers.iter().find(|consumer| consumer.id == id);
        let lent = self.entries.iter().filter(|entry| entry.place == Place::Lent(id)).count();
        let lent = lent + consumer.map_or(0, |one| one.reader.had.len());
        consumer.map_or(0, |one| one.prefetch.map_or(usize::MAX, |prefetch| prefetch.saturating_sub(lent)))
    }

    /// How many unfit ones stand behind the first `count` that are fit.
    pub(crate) fn trailing(&self, count: usize) -> usize {
        let mut fit = 0;
        let mut unfit = 0;
        for at in self.in_order() {
            match self.unfit(&self.entries[at]) {
                Some(_) if fit == count => unfit += 1,
                Some(_) => {}
                None if fit == count => break,
                None => fit += 1,
            }
        }
        unfit
    }

    /// How many could be delivered to that one.
    pub(crate) fn deliverable(&self, consumer: &Consumer) -> usize {
        if self.rules.stream {
            return self.readable(consumer);
        }
        self.waiting().filter(|entry| self.unfit(entry).is_none()).count()
    }
}

impl Plan {
    pub(crate) fn is_routed(&self) -> bool {
        !self.targets.is_empty()
    }
}

impl Entry {
    fn give_back(&mut self) {
        self.place = Place::Waits;
        self.attempts += 1;
    }
}

impl Message {
    pub(crate) fn size(&self) -> usize {
        self.key.len() + self.text.len()
    }
}

/// A letter that would go round by itself: it died in that queue, and since then no consumer had a hand in it.
fn goes_round(deaths: &[(String, &'static str, u64)], queue: &str, reason: &str) -> bool {
    let by_consumer = |reason: &str| matches!(reason, "rejected" | "delivery_limit");
    let Some(before) = deaths.iter().position(|(died_in, ..)| died_in == queue) else { return false };
    !by_consumer(reason) && !deaths[..=before].iter().any(|(_, reason, _)| by_consumer(reason))
}

fn dotted(key: &str) -> String {
    let swap = |char| match char {
        '.' => '/',
        '/' => '.',
        other => other,
    };
    key.chars().map(swap).collect()
}
