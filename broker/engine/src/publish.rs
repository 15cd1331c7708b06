//! Authorise, resolve, hand over.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use bytestring::ByteString;
use model::change::{Change, Changeset, Entry, Place};
use model::delivery::Stage;
use model::key::RoutingKey;
use model::message::Message;
use model::name::{ClientId, ExchangeName, PublisherName, QueueName};
use model::principal::Permissions;
use model::qos::Qos;
use model::refusal::Refusal;
use model::request::Publish;
use model::time::WallMs;
use model::wire_cache::WireCache;
use routing::{Item, Owner, Queue, Route, RouteCache, Wakes};
use smallvec::SmallVec;

use crate::numbers::MessageIds;
use crate::parts::Parts;
use crate::{expiry, topology};

/// Whoever publishes, and what is kept for him between two messages.
pub(crate) struct Publisher {
    pub(crate) client: Option<ClientId>,
    /// Under which name the ids of its publications are remembered.
    pub(crate) name: PublisherName,
    pub(crate) permissions: Permissions,
    pub(crate) cache: RouteCache,
    pub(crate) ids: MessageIds,
}

impl Publisher {
    pub(crate) fn new(client: Option<ClientId>, name: PublisherName, permissions: Permissions) -> Self {
        Self { client, name, permissions, cache: RouteCache::new(), ids: MessageIds::default() }
    }
}

/// A message with the places it is going to take, none of which anybody sees yet.
pub(crate) struct Plan {
    message: Arc<Message>,
    targets: SmallVec<[Target; 1]>,
    /// To be kept as the last one of its key, or to delete that.
    retain: bool,
}

struct Target {
    queue: Arc<Queue>,
    /// The reserved place; `None` where nothing was promised.
    sequence: Option<u64>,
    item: Item,
}

/// Publishes a message that nothing holds back, straight to its queues; or plans it, where it has to be on disk first,
/// or where `in_turn` says that it must not overtake others. One that is to be retained is published under
/// [`crate::vhost::Vhost::retaining`].
pub(crate) fn publish(
    parts: &Parts,
    publisher: &mut Publisher,
    publish: Publish,
    in_turn: bool,
    now: WallMs,
    wakes: &mut Wakes,
) -> Result<Published, Refusal> {
    check_publish(&publisher.permissions, &publish.exchange, &publish.key, "publish to")?;
    if let Some(options) = &publish.declare {
        topology::declare_queue(parts, (**options).clone(), Owner::Nobody)?;
    }
    if publish.retain && !publish.payload.is_empty() {
        let is_one_too_many = parts.vhost.retained(&publish.exchange).is_some_and(|retained| {
            retained.len() >= parts.vhost.options.retained_max && !retained.contains(&publish.key)
        });
        if is_one_too_many {
            return Err(Refusal::LimitReached("retained messages ([limits] retained)"));
        }
    }
    let Publisher { client, cache, ids, .. } = publisher;
    let routes = parts.vhost.router.resolve(
        &publish.exchange,
        &publish.key,
        publish.properties.as_deref(),
        client.as_ref(),
        cache,
    )?;
    let targets: SmallVec<[&Route; 4]> = routes.targets().collect();
    if publish.exchange == ExchangeName::DEFAULT
        && targets.iter().any(|route| matches!(route.queue.owner(), Owner::Session(_)))
    {
        // Only its subscriptions decide what comes into it.
        return Err(Refusal::Exclusive(QueueName::new(publish.key.as_str())));
    }
    let retain = publish.retain;
    let lasting = publish.persistent && targets.iter().any(|route| route.queue.options().durable);
    let message = Arc::new(to_message(publish, client.clone(), ids.next(&parts.numbers), now));
    parts.metrics.messages_received.increment();
    parts.metrics.publish_bytes_received.add(message.payload.len() as u64);
    let routed = !targets.is_empty();
    if !routed {
        parts.metrics.messages_unroutable.increment();
    }
    let is_direct = !lasting && !retain && !in_turn;
    // Only a declared queue can refuse; where several get it, it must do so before the first has it.
    let refuses = |route: &&Route| matches!(route.queue.owner(), Owner::Nobody);
    if is_direct && (message.qos == Qos::AtMostOnce || targets.len() < 2 || !targets.iter().any(refuses)) {
        for route in targets {
            push(parts, &route.queue, item(&message, route, false), wakes)?;
        }
        return Ok(Published::Shown { routed });
    }
    let mut plan = Plan { message: Arc::clone(&message), targets: SmallVec::new(), retain };
    for route in targets {
        if let Err(refusal) = plan.reserve(parts, route) {
            plan.give_up();
            return Err(refusal);
        }
    }
    if is_direct {
        plan.show(parts, wakes);
        return Ok(Published::Shown { routed });
    }
    Ok(Published::Planned(plan))
}

/// Whether somebody with these permissions may publish there: what is below `$SYS/` is the broker's own.
pub(crate) fn check_publish(
    permissions: &Permissions,
    exchange: &ExchangeName,
    key: &RoutingKey,
    action: &'static str,
) -> Result<(), Refusal> {
    if key.is_reserved() && *exchange == ExchangeName::TOPIC && key.levels().next() == Some("$SYS") {
        return Err(Refusal::Denied { action, target: key.to_string() });
    }
    match permissions.keeps_from_publishing(exchange, key) {
        Some(deny) => Err(Refusal::forbidden(action, key, deny)),
        None => Ok(()),
    }
}

/// Publishes what the broker says of itself: now or never to those who listen, and kept for those who come later.
pub(crate) fn announce(
    parts: &Parts,
    publisher: &mut Publisher,
    publish: Publish,
    now: WallMs,
    wakes: &mut Wakes,
) {
    let Publisher { cache, ids, .. } = publisher;
    // As with any message that is retained: whoever subscribes meets it once.
    let _retaining = parts.vhost.retaining();
    let message = Arc::new(to_message(publish, None, ids.next(&parts.numbers), now));
    parts.vhost.system.set(Arc::clone(&message));
    let Ok(routes) = parts.vhost.router.resolve(&message.exchange, &message.key, None, None, cache) else {
        return;
    };
    for route in routes.targets() {
        // At QoS 0 a full queue is no refusal.
        let _ = push(parts, &route.queue, item(&message, route, false), wakes);
    }
}

/// What became of a publish that was not refused.
pub(crate) enum Published {
    /// Done.
    Shown { routed: bool },
    /// To be committed, then shown.
    Planned(Plan),
}

impl Plan {
    /// A message for one queue alone: a retained one, replayed.
    pub(crate) fn replay(parts: &Parts, message: Arc<Message>, route: &Route) -> Self {
        let mut plan = Self { message, targets: SmallVec::new(), retain: false };
        // A full queue takes no replay: the subscription stands all the same.
        if plan.reserve(parts, route).is_ok() {
            for target in &mut plan.targets {
                target.item.retain = true;
            }
        }
        plan
    }

    /// Whether it is to be the retained message of its key.
    pub(crate) const fn retains(&self) -> bool {
        self.retain
    }

    /// Whether at least one queue gets it.
    pub(crate) fn routed(&self) -> bool {
        !self.targets.is_empty()
    }

    fn reserve(&mut self, parts: &Parts, route: &Route) -> Result<(), Refusal> {
        let queue = &route.queue;
        let qos = self.message.qos.min(route.grant.qos);
        let durable = self.message.persistent && queue.options().durable && qos > Qos::AtMostOnce;
        // What the publisher is told must be true of a declared queue that does not last, too.
        let is_declared = matches!(queue.owner(), Owner::Nobody);
        let sequence = if durable || (is_declared && qos > Qos::AtMostOnce) {
            match queue.reserve(self.message.size_bytes()) {
                Ok(sequence) => Some(sequence),
                Err(_) => return overflow(parts, queue),
            }
        } else {
            None
        };
        let item = item(&self.message, route, durable);
        self.targets.push(Target { queue: Arc::clone(queue), sequence, item });
        Ok(())
    }

    /// Nothing of it is to happen after all.
    pub(crate) fn give_up(self) {
        for target in self.targets.iter().filter(|target| target.sequence.is_some()) {
            target.queue.unreserve(self.message.size_bytes());
        }
    }

    /// Adds what must last of it. From now on it is the retained message of its key: whoever gets it as such is shown it
    /// behind the commit that follows.
    pub(crate) fn record(&self, parts: &Parts, changeset: &mut Changeset) {
        let entries: SmallVec<[Entry; 1]> = self
            .targets
            .iter()
            .filter(|target| target.item.durable)
            .filter_map(|target| {
                Some(Entry {
                    place: Place { queue: target.queue.id(), sequence: target.sequence? },
                    qos: target.item.qos,
                    retain: target.item.retain,
                    subscription_ids: target.item.subscription_ids.clone(),
                })
            })
            .collect();
        if !entries.is_empty() {
            changeset.changes.push(Change::Enqueue { message: Arc::clone(&self.message), entries });
        }
        if self.retain {
            self.keep(parts);
            changeset.changes.push(if self.message.payload.is_empty() {
                Change::Unretain { exchange: self.message.exchange.clone(), key: self.message.key.clone() }
            } else {
                Change::Retain(Arc::clone(&self.message))
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
            if retained.set(Arc::clone(&self.message)).is_none() {
                parts.metrics.retained.increment();
            }
            if let Some(end) = self.message.expires_at {
                expiry::watch_retained(parts, &self.message.exchange, end);
            }
        }
    }

    /// Lets everybody see it.
    pub(crate) fn show(self, parts: &Parts, wakes: &mut Wakes) {
        if self.retain {
            parts.vhost.shown();
        }
        for target in self.targets {
            let Target { queue, sequence, item } = target;
            match sequence {
                Some(sequence) => queue.show(sequence, item, wakes),
                None => {
                    // Nothing was promised for this place: a full queue drops and counts.
                    if is_for_nobody(&queue, item.qos) || queue.push(item, wakes).is_err() {
                        parts.metrics.messages_dropped.increment();
                    }
                }
            }
            expiry::watch(parts, &queue);
        }
    }
}

/// At most once means now or never: for a session without a connection nothing is stored, so that what must wait for it
/// has the room (MQTT 5.0, 4.3.1).
fn is_for_nobody(queue: &Queue, qos: Qos) -> bool {
    qos == Qos::AtMostOnce && matches!(queue.owner(), Owner::Session(_)) && !queue.has_consumers()
}

fn push(parts: &Parts, queue: &Queue, item: Item, wakes: &mut Wakes) -> Result<(), Refusal> {
    let qos = item.qos;
    if is_for_nobody(queue, qos) {
        parts.metrics.messages_dropped.increment();
        return Ok(());
    }
    match queue.push(item, wakes) {
        Ok(()) => {
            expiry::watch(parts, queue);
            Ok(())
        }
        Err(_) if qos == Qos::AtMostOnce => {
            parts.metrics.messages_dropped.increment();
            Ok(())
        }
        Err(_) => overflow(parts, queue),
    }
}

/// A queue is full. One that belongs to a client loses the message, or one slow client could hold up all publishers; one
/// that was declared refuses it, so that the publisher knows.
fn overflow(parts: &Parts, queue: &Queue) -> Result<(), Refusal> {
    parts.metrics.messages_dropped.increment();
    match queue.owner() {
        Owner::Nobody => Err(Refusal::LimitReached("the queue is full (max_length, max_length_bytes)")),
        Owner::Session(_) | Owner::Link(_) => Ok(()),
    }
}

fn item(message: &Arc<Message>, route: &Route, durable: bool) -> Item {
    Item {
        message: Arc::clone(message),
        qos: message.qos.min(route.grant.qos),
        retain: message.retain && route.grant.retain_as_published,
        subscription_ids: route.grant.subscription_ids.clone(),
        durable,
        attempts: 0,
        was_sent: false,
        stage: Stage::Published,
    }
}

pub(crate) fn to_message(
    publish: Publish,
    publisher: Option<ClientId>,
    id: model::name::MessageId,
    now: WallMs,
) -> Message {
    let (key, payload) = detach(&publish.key, publish.payload);
    Message {
        id,
        exchange: publish.exchange,
        key,
        payload,
        qos: publish.qos,
        retain: publish.retain,
        persistent: publish.persistent,
        publisher,
        published_at: now,
        expires_at: publish.expiry_ms.map(|ms| WallMs(now.0.saturating_add(ms))),
        properties: publish.properties.map(|properties| Box::new(properties.detached())),
        wire: WireCache::default(),
    }
}

/// A message at rest must not hold on to the buffer it was read into: that is many times its size. Key and payload move
/// to one allocation; only a payload about as large as the buffer stays where it is.
fn detach(key: &RoutingKey, payload: Bytes) -> (RoutingKey, Bytes) {
    if payload.len() > SHARE_MIN {
        return (key.detached(), payload);
    }
    let text = key.as_str();
    let mut both = BytesMut::with_capacity(text.len() + payload.len());
    both.extend_from_slice(text.as_bytes());
    both.extend_from_slice(&payload);
    let payload = both.split_off(text.len()).freeze();
    let key = ByteString::try_from(both.freeze()).unwrap_or_default();
    (RoutingKey::new(key), payload)
}

/// From this size on, in bytes, a payload shares its read buffer of 64 KiB instead of being copied.
const SHARE_MIN: usize = 16 << 10;
