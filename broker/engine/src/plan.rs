//! A message with the places it is going to take; and what queues give up, on its way from one to the other.

use std::sync::Arc;
use std::time::Duration;

use model::author::Author;
use model::change::{Change, Changeset, Entry, Place};
use model::delivery::Stage;
use model::durability::Durability;
use model::message::Message;
use model::name::{ExchangeName, QueueName};
use model::principal::Permissions;
use model::qos::Qos;
use model::queue::Overflow;
use model::refusal::Refusal;
use model::time::WallMs;
use model::wire_cache::WireCache;
use routing::{Cause, Dead, Full, Item, Owner, Queue, Resident, Route, RouteCache, Sender, Taken, Wakes};
use smallvec::SmallVec;
use storage::Found;

use crate::dead_letter::Letter;
use crate::delayed::Reserved;
use crate::levels::Wanted;
use crate::numbers::MessageIds;
use crate::parts::Parts;
use crate::timers::Once;
use crate::{clock, durable, expiry, rights};

/// A message with the places it is going to take, none of which anybody sees yet.
pub(crate) struct Plan {
    message: Arc<Message>,
    targets: SmallVec<[Target; 1]>,
    /// As it is for sessions that it reached through other exchanges, once for each of these.
    copies: Vec<Arc<Message>>,
    /// To be kept as the last one of its key, or to delete that.
    retain: bool,
    /// Whose it is, if it is kept.
    author: Option<Arc<Author>>,
    /// Not to be shown before what was handed to the journal by now.
    waits: bool,
    wanted: Wanted,
    /// The strictest of its places; `None`: none is to last.
    level: Option<Durability>,
    /// Where it waits until it is due; then it has no other places.
    delayed: Option<Reserved>,
    /// A queue that would refuse it now may have room later: nothing is lost by that.
    is_patient: bool,
}

struct Target {
    queue: Arc<Queue>,
    /// The reserved place; `None` where nothing was promised.
    sequence: Option<u64>,
    item: Item,
}

impl Plan {
    /// A message without places yet.
    pub(crate) fn new(message: Arc<Message>, retain: bool, wanted: Wanted) -> Self {
        let (targets, copies) = (SmallVec::new(), Vec::new());
        Self {
            message,
            targets,
            copies,
            retain,
            author: None,
            waits: false,
            wanted,
            level: None,
            delayed: None,
            is_patient: false,
        }
    }

    /// The same; if it is kept, it is known whose it is.
    pub(crate) fn by(self, author: Option<Arc<Author>>) -> Self {
        Self { author, ..self }
    }

    /// A message that waits until it is due.
    pub(crate) fn delayed(message: Arc<Message>, place: Reserved, level: Option<Durability>) -> Self {
        let level = level.or(Some(Durability::Memory));
        Self { level, delayed: Some(place), ..Self::new(message, false, Wanted::default()) }
    }

    /// Whether a queue that would refuse it now is asked again.
    pub(crate) const fn patient(mut self, is_patient: bool) -> Self {
        self.is_patient = is_patient;
        self
    }

    /// A retained message for one queue alone, which has kept room for it.
    ///
    /// # Errors
    ///
    /// If the queue has none.
    pub(crate) fn replay(parts: &Parts, message: Arc<Message>, route: &Route) -> Result<Self, Full> {
        let queue = &route.queue;
        let wanted = Wanted::of(&parts.vhost.options.levels, &message);
        let level = wanted.by(message.persistent, message.qos, route);
        let sequence = Some(queue.reserve(message.size_bytes())?);
        let item = Item { retain: true, ..item(&message, route, is_written(level)) };
        let target = Target { queue: Arc::clone(queue), sequence, item };
        Ok(Self { targets: SmallVec::from_buf([target]), level, ..Self::new(message, false, wanted) })
    }

    /// What it outlives once its acknowledgement has left: the strictest of what its places do, and what is retained of it.
    pub(crate) fn level(&self) -> Durability {
        let retained = self.retain.then(|| self.wanted.retained());
        self.level.max(retained).unwrap_or_else(|| self.wanted.alone())
    }

    /// Whether it is to be the retained message of its key.
    pub(crate) const fn retains(&self) -> bool {
        self.retain
    }

    /// It must not be shown before what was handed to the journal by now, though nothing of it need last.
    pub(crate) const fn must_wait(mut self, waits: bool) -> Self {
        self.waits = waits;
        self
    }

    /// Whether that is so.
    pub(crate) const fn waits(&self) -> bool {
        self.waits
    }

    /// Whether at least one queue gets it, as far as that is known.
    pub(crate) fn routed(&self) -> bool {
        !self.targets.is_empty() || self.delayed.is_some()
    }

    /// Takes a place in that queue.
    pub(crate) fn reserve(&mut self, parts: &Arc<Parts>, route: &Route) -> Result<(), Refusal> {
        let queue = &route.queue;
        let qos = self.message.qos.min(route.grant.qos);
        let level = self.wanted.by(self.message.persistent, self.message.qos, route);
        let durable = is_written(level);
        // What the publisher is told must be true of a declared queue that does not last, too.
        let is_promised = matches!(queue.owner(), Owner::Nobody) || refuses(queue);
        let sequence = if durable || (is_promised && qos > Qos::AtMostOnce) {
            match queue.reserve(self.message.size_bytes()) {
                Ok(sequence) => Some(sequence),
                Err(_) if self.is_patient && queue.overflow() == Overflow::RejectPublish => {
                    return Err(Refusal::LimitReached(FULL));
                }
                Err(_) => return overflow(parts, queue, &self.message),
            }
        } else {
            None
        };
        let message = match as_reached(&self.message, route) {
            None => Arc::clone(&self.message),
            Some(via) => {
                let known = self.copies.iter().find(|copy| copy.exchange == *via);
                known.map(Arc::clone).unwrap_or_else(|| {
                    let copy = readdressed(&self.message, via);
                    self.copies.push(Arc::clone(&copy));
                    copy
                })
            }
        };
        let item = item(&message, route, durable);
        self.targets.push(Target { queue: Arc::clone(queue), sequence, item });
        self.level = self.level.max(level);
        Ok(())
    }

    /// Nothing of it is to happen after all.
    pub(crate) fn give_up(self) {
        if let Some(place) = self.delayed {
            place.give_up();
        }
        for target in &self.targets {
            let Some(sequence) = target.sequence else { continue };
            target.queue.unreserve(sequence, self.message.size_bytes());
            call_for_feed(&target.queue);
        }
    }

    /// Adds what must last of it. From now on it is the retained message of its key: whoever gets it as such is shown it
    /// behind the commit that follows.
    pub(crate) fn record(&self, parts: &Parts, changeset: &mut Changeset) {
        changeset.changes.extend(self.delayed.as_ref().and_then(Reserved::change));
        for message in std::iter::once(&self.message).chain(&self.copies) {
            let entries: SmallVec<[Entry; 1]> = self
                .targets
                .iter()
                .filter(|target| target.item.durable && Arc::ptr_eq(&target.item.message, message))
                .filter_map(|target| {
                    Some(Entry {
                        place: Place { queue: target.queue.id(), sequence: target.sequence? },
                        qos: target.item.qos,
                        retain: target.item.retain,
                        subscription_ids: target.item.subscription_ids.clone(),
                        author: None,
                    })
                })
                .collect();
            if !entries.is_empty() {
                changeset.changes.push(Change::Enqueue { message: Arc::clone(message), entries });
            }
        }
        if self.retain {
            self.keep(parts);
            changeset.changes.push(if self.message.payload.is_empty() {
                Change::Unretain { exchange: self.message.exchange.clone(), key: self.message.key.clone() }
            } else {
                Change::Retain { message: Arc::clone(&self.message), author: self.author.clone() }
            });
        }
    }

    fn keep(&self, parts: &Parts) {
        parts.vhost.not_yet_shown();
        let retained = parts.vhost.retained_mut(&self.message.exchange);
        if self.message.payload.is_empty() {
            if retained.remove(&self.message.key).is_some() {
                parts.metrics.retained.decrement();
            }
        } else {
            if retained.set(Arc::clone(&self.message), self.author.clone()).is_none() {
                parts.metrics.retained.increment();
            }
            if let Some(end) = self.message.expires_at {
                expiry::watch_retained(parts, &self.message.exchange, end);
            }
        }
    }

    /// Lets everybody see it.
    pub(crate) fn show(self, parts: &Arc<Parts>, wakes: &mut Wakes) {
        if self.retain {
            parts.vhost.shown();
        }
        if let Some(place) = self.delayed {
            place.show();
        }
        for target in self.targets {
            let Target { queue, sequence, item } = target;
            match sequence {
                Some(sequence) if is_for_nobody(&queue, item.qos) => {
                    queue.unreserve(sequence, item.message.size_bytes());
                    parts.metrics.messages_dropped.increment();
                }
                Some(sequence) => queue.show(sequence, item, parts.vhost.options.resident, wakes),
                None => {
                    // Nothing was promised for this place: a full queue drops and counts.
                    if is_for_nobody(&queue, item.qos) || queue.push(item, wakes).is_err() {
                        parts.metrics.messages_dropped.increment();
                    }
                }
            }
            came_in(parts, &queue);
        }
    }
}

/// Whether the publisher is told when that queue is full.
pub(crate) fn refuses(queue: &Queue) -> bool {
    match queue.overflow() {
        Overflow::RejectPublish | Overflow::RejectPublishDlx => true,
        Overflow::DropHead | Overflow::DropNew => false,
    }
}

/// At most once means now or never: for a session without a connection nothing is stored, so that what must wait for it
/// has the room (MQTT 5.0, 4.3.1).
fn is_for_nobody(queue: &Queue, qos: Qos) -> bool {
    qos == Qos::AtMostOnce && matches!(queue.owner(), Owner::Session(_)) && !queue.has_consumers()
}

/// Gives a message to a queue that keeps nothing of it on disk.
pub(crate) fn push(
    parts: &Arc<Parts>,
    message: &Arc<Message>,
    route: &Route,
    wakes: &mut Wakes,
) -> Result<(), Refusal> {
    let copy = as_reached(message, route).map(|via| readdressed(message, via));
    let (queue, item) = (&route.queue, item(copy.as_ref().unwrap_or(message), route, false));
    let qos = item.qos;
    if is_for_nobody(queue, qos) {
        parts.metrics.messages_dropped.increment();
        return Ok(());
    }
    match queue.push(item, wakes) {
        Ok(()) => {
            came_in(parts, queue);
            Ok(())
        }
        Err(_) if qos == Qos::AtMostOnce => {
            parts.metrics.messages_dropped.increment();
            complain_of_full(parts, queue);
            Ok(())
        }
        Err(_) => overflow(parts, queue, message),
    }
}

/// A queue is full, and loses the message or refuses it.
fn overflow(parts: &Arc<Parts>, queue: &Queue, message: &Arc<Message>) -> Result<(), Refusal> {
    parts.metrics.messages_dropped.increment();
    let mut full = FULL;
    if queue.overflow() == Overflow::RejectPublishDlx
        && let Some(from) = queue.dead_letters()
    {
        let dead = Dead { from, place: None, message: Arc::clone(message), cause: Cause::TooMany };
        bury(parts, vec![dead]);
        full = DEAD_LETTERED;
    }
    if refuses(queue) {
        return Err(Refusal::LimitReached(full));
    }
    complain_of_full(parts, queue);
    Ok(())
}

/// The log names it, once in a while.
fn complain_of_full(parts: &Parts, queue: &Queue) {
    if parts.vhost.may_complain(clock::now()) {
        let name = queue.options().name.as_str();
        tracing::warn!(queue = name, "queue.full: new messages for it are dropped; see messages_dropped");
    }
}

/// Whether anything of such a place is in the journal.
fn is_written(level: Option<Durability>) -> bool {
    level > Some(Durability::Memory)
}

/// The strictest of all.
pub(crate) fn strictest(plans: &[Plan]) -> Durability {
    plans.iter().map(Plan::level).max().unwrap_or(Durability::Memory)
}

/// There is room in a queue, though nobody took anything: if more is to come into it, its consumers see to that.
pub(crate) fn call_for_feed(queue: &Queue) {
    if queue.feed().is_open() {
        queue.call_consumers(&mut Wakes::default());
    }
}

/// The exchange that a message is to bear for that queue, if that is not the one that it was published to: the topic that an
/// MQTT client is told must match a filter of its own [MQTT-3.3.2-3].
fn as_reached<'r>(message: &Message, route: &'r Route) -> Option<&'r ExchangeName> {
    let via = route.via.as_deref()?;
    (matches!(route.queue.owner(), Owner::Session(_)) && *via != message.exchange).then_some(via)
}

fn readdressed(message: &Message, via: &ExchangeName) -> Arc<Message> {
    Arc::new(Message {
        id: message.id,
        exchange: via.clone(),
        key: message.key.clone(),
        payload: message.payload.clone(),
        qos: message.qos,
        retain: message.retain,
        persistent: message.persistent,
        publisher: message.publisher.clone(),
        published_at: message.published_at,
        expires_at: message.expires_at,
        properties: message.properties.clone(),
        wire: WireCache::default(),
    })
}

fn item(message: &Arc<Message>, route: &Route, durable: bool) -> Item {
    Item {
        message: Arc::clone(message),
        qos: message.qos.min(route.grant.qos),
        retain: message.retain && route.grant.retain_as_published,
        subscription_ids: ids(route),
        durable,
        attempts: 0,
        was_sent: false,
        stage: Stage::Published,
    }
}

/// Nearly nobody gives subscriptions a number: then there is nothing to be copied one by one.
fn ids(route: &Route) -> SmallVec<[u32; 1]> {
    let ids = &route.grant.subscription_ids;
    if ids.is_empty() { SmallVec::new() } else { ids.clone() }
}

/// A queue has taken a message: does it expire? If the queue drops its head, is it one too many?
fn came_in(parts: &Arc<Parts>, queue: &Arc<Queue>) {
    expiry::watch(parts, queue);
    if queue.overflow() == Overflow::DropHead && drop_excess(parts, queue, EXCESS_MAX) {
        // Other terms hold, and there is very much of it: whoever published must not do all that.
        parts.vhost.timers.once(clock::instant(), Once::Excess(queue.options().name.clone()));
    }
}

/// Drops what a queue has too much of from its head, so many messages at most. Returns whether there is more.
pub(crate) fn drop_excess(parts: &Arc<Parts>, queue: &Arc<Queue>, most: usize) -> bool {
    let mut taken = Taken::default();
    let more = queue.trim(most, &mut taken);
    let absent = taken.absent && queue.dead_letters().is_some();
    clear_away(parts, &mut taken);
    if absent {
        fetch(parts, queue);
    }
    more
}

/// Has messages brought that a queue let go of, if it is time: to be called when [`Taken::absent`] says so.
pub(crate) fn fetch(parts: &Arc<Parts>, queue: &Arc<Queue>) {
    let Resident { messages_max, mut bytes_max } = parts.vhost.options.resident;
    if parts.vhost.options.pool.is_full() {
        bytes_max = bytes_max.min(FETCHED_BYTES_SHORT);
    }
    let messages = usize::try_from(messages_max / 4).unwrap_or(usize::MAX).min(FETCHED_MAX);
    let Some(asked) = queue.begin_fetch(messages, (bytes_max / 4).min(FETCHED_BYTES_MAX)) else { return };
    let (shown, into) = (Arc::clone(parts), Arc::clone(queue));
    parts.durable.read(queue.id(), asked.clone(), move |found| match found {
        Ok(found) => fill(&shown, &into, &asked, found),
        Err(error) => {
            let name = &into.options().name;
            tracing::error!(queue = name.as_str(), %error, "queue.unreadable: it is tried again");
            shown.vhost.timers.once(clock::instant() + FETCH_PAUSE, Once::Absent(name.clone()));
        }
    });
}

/// Messages could not be read a while ago.
pub(crate) fn fetch_again(parts: &Arc<Parts>, name: &QueueName) {
    if let Some(queue) = parts.vhost.router.queue(name) {
        queue.fetch_failed(&mut Wakes::default());
        expiry::watch(parts, &queue);
        give_up_due(parts, &queue);
    }
}

fn fill(parts: &Arc<Parts>, queue: &Arc<Queue>, asked: &[u64], found: Found) {
    let lost = queue.fill(
        asked,
        found.entries.into_iter().map(durable::journalled).collect(),
        &mut Wakes::default(),
    );
    if !lost.is_empty() {
        // They are still in the journal, and the next start says so.
        let name = queue.options().name.as_str();
        parts.metrics.messages_damaged.add(lost.len() as u64);
        tracing::error!(queue = name, entries = ?lost, "queue.damaged: what the journal has of them is not delivered");
    }
    expiry::watch(parts, queue);
    give_up_due(parts, queue);
    if queue.is_stream() {
        // Another reader may wait elsewhere.
        fetch(parts, queue);
    }
}

/// Messages that were to go elsewhere have come.
fn give_up_due(parts: &Arc<Parts>, queue: &Arc<Queue>) {
    if queue.dead_letters().is_some() {
        let mut taken = Taken::default();
        queue.expire(clock::now(), &mut taken);
        clear_away(parts, &mut taken);
        came_in(parts, queue);
        if queue.has_due() {
            fetch(parts, queue);
        }
    }
}

/// Counts and writes down what queues gave up. Deliveries among it are left alone.
pub(crate) fn clear_away(parts: &Arc<Parts>, taken: &mut Taken) {
    parts.metrics.messages_expired.add(std::mem::take(&mut taken.expired) as u64);
    parts.metrics.messages_dropped.add(std::mem::take(&mut taken.dropped) as u64);
    while !taken.removed.is_empty() {
        let some = taken.removed.len().min(TOGETHER_MAX);
        let changes = taken.removed.drain(..some).map(Change::Remove).collect();
        parts.durable.commit_soon(Changeset { changes });
    }
    while !taken.dead.is_empty() {
        let some = taken.dead.len().min(TOGETHER_MAX);
        bury(parts, taken.dead.drain(..some).collect());
    }
}

/// Sends what queues gave up on its way: gone from there and arrived here in one commit, so that it is neither lost nor
/// doubled whenever the broker dies.
pub(crate) fn bury(parts: &Arc<Parts>, dead: Vec<Dead>) {
    if dead.is_empty() {
        return;
    }
    let mut changeset = Changeset::default();
    let plans = plan_dead(parts, dead, &mut changeset);
    let (shown, level) = (Arc::clone(parts), strictest(&plans));
    parts.durable.commit_then(changeset, level, move || {
        // Woken when this is dropped, after all locks are gone.
        let mut wakes = Wakes::default();
        plans.into_iter().for_each(|plan| plan.show(&shown, &mut wakes));
    });
}

/// The same for a changeset that has more in it: adds what must last, and returns what is to be shown then.
pub(crate) fn plan_dead(parts: &Arc<Parts>, dead: Vec<Dead>, changeset: &mut Changeset) -> Vec<Plan> {
    let now = clock::now();
    let mut ids = MessageIds::default();
    let mut cache = RouteCache::new();
    let mut plans = Vec::new();
    for one in dead {
        changeset.changes.extend(one.place.map(Change::Remove));
        let planned = plan_letter(parts, &one, &mut ids, &mut cache, now);
        match planned.filter(Plan::routed) {
            Some(plan) => {
                parts.metrics.messages_dead_lettered.increment();
                plan.record(parts, changeset);
                plans.push(plan);
                if one.cause == Cause::DeliveryLimit && parts.vhost.may_complain(now) {
                    let (queue, message) = (one.from.queue.as_str(), one.message.id);
                    tracing::warn!(
                        queue,
                        %message,
                        "queue.poison: a message came back too often, and goes to the dead letters"
                    );
                }
            }
            None => {
                parts.metrics.messages_dropped.increment();
                if parts.vhost.may_complain(now) {
                    let (queue, why) = (one.from.queue.as_str(), one.cause.as_str());
                    tracing::warn!(
                        queue,
                        why,
                        "dead_letter.lost: nobody wants it there; see messages_dropped"
                    );
                }
            }
        }
    }
    plans
}

fn plan_letter(
    parts: &Arc<Parts>,
    dead: &Dead,
    ids: &mut MessageIds,
    cache: &mut RouteCache,
    now: WallMs,
) -> Option<Plan> {
    let letter = Letter::new(dead, ids.next(&parts.numbers), now)?;
    let Message { exchange, key, properties, publisher, .. } = &letter.message;
    let sender = Sender { session: publisher.as_ref(), client: publisher.as_ref(), user: None };
    let routes = rights::publish(&Permissions::everything(), (exchange, key), false, "dead-letter to")
        .and_then(|()| parts.vhost.router.resolve(exchange, key, properties.as_deref(), sender, cache));
    let routes = match routes {
        Ok(routes) => routes,
        Err(refusal) => {
            if parts.vhost.may_complain(now) {
                let queue = dead.from.queue.as_str();
                tracing::warn!(queue, reason = %refusal, "dead_letter.lost");
            }
            return None;
        }
    };
    let targets: SmallVec<[&Route; 4]> =
        routes.targets().filter(|route| !letter.has_been_in(route.queue.options().name.as_str())).collect();
    let targets: SmallVec<[Route; 4]> = targets.into_iter().cloned().collect();
    let wanted = Wanted::of(&parts.vhost.options.levels, &letter.message);
    let mut plan = Plan::new(Arc::new(letter.message), false, wanted);
    for route in &targets {
        // One that is full loses it, as it would lose any other; it is counted there.
        let _ = plan.reserve(parts, route);
    }
    Some(plan)
}

const FULL: &str = "the queue is full (max_length, max_length_bytes)";

/// What is said where a queue is full, and what it refuses has gone elsewhere.
pub(crate) const DEAD_LETTERED: &str =
    "the queue is full (max_length, max_length_bytes); the message went to its dead letters";

/// So many messages are read back at once.
const FETCHED_MAX: usize = 2048;
/// The same, in bytes.
const FETCHED_BYTES_MAX: u64 = 2 << 20;
/// The same, while all queues together hold as much as they may.
const FETCHED_BYTES_SHORT: u64 = 64 << 10;
/// How long a disk that cannot be read is left alone.
const FETCH_PAUSE: Duration = Duration::from_secs(1);
/// Whoever adds a message to a queue that drops its head drops so many at most: one of many bytes takes the place of many.
const EXCESS_MAX: usize = 1024;
/// So many that are gone share a changeset.
const TOGETHER_MAX: usize = 4096;
