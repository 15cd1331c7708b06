//! Retained messages on their way into the queue of a new subscription, as many at a time as it has room for.
//!
//! Whoever takes from a queue with a [`routing::Feed`] sees to it that more comes. So a subscriber gets all that is retained,
//! however little its queue may hold, and at its own pace; what is published meanwhile finds room beside it.

use std::sync::Arc;

use model::change::Changeset;
use model::key::RoutingKey;
use model::name::ExchangeName;
use model::request::Source;
use model::time::WallMs;
use routing::{Given, Held, Portion, Queue, Route, Wakes};

use crate::parts::Parts;
use crate::plan::{Plan, strictest};

/// A portion on its way into a queue. Until it has arrived, no other is planned.
pub(crate) struct Replayed {
    queue: Arc<Queue>,
    plans: Vec<Plan>,
}

/// The queue is to get what is retained for a new subscription. To be called while [`crate::vhost::Vhost::retaining`] is held
/// and has been since before the binding was made: what is retained later comes as it is published.
pub(crate) fn begin(parts: &Parts, queue: &Queue, source: &Source) {
    let system = (source.exchange == ExchangeName::TOPIC).then(|| Arc::clone(&parts.vhost.system));
    for retained in parts.vhost.retained(&source.exchange).into_iter().chain(system) {
        queue.feed().begin(source, retained);
    }
}

/// Plans what the queue has room for, and adds to `changeset` what must last of it. To be called while `retaining` and
/// [`routing::Feed::handing_over`] are held until it is handed to the journal, or shown. `None`: it is not the time.
pub(crate) fn plan(
    parts: &Parts,
    queue: &Arc<Queue>,
    now: WallMs,
    changeset: &mut Changeset,
) -> Option<Replayed> {
    let feed = queue.feed();
    if !feed.is_open() || feed.is_under_way() {
        return None;
    }
    let portion = portion(queue)?;
    let mut plans = Vec::new();
    feed.set_under_way(true);
    feed.next(now, portion, |held, grant| {
        if is_withheld(parts, &held, now) {
            return Given::Done;
        }
        let route = Route { queue: Arc::clone(queue), grant: grant.clone(), via: None };
        match Plan::replay(parts, held.message, &route) {
            Ok(plan) => {
                plan.record(parts, changeset);
                plans.push(plan);
                Given::Done
            }
            Err(_) if queue.waiting().messages > 0 => Given::Later,
            // One that is empty has no room for it, so it never will have.
            Err(_) => {
                parts.metrics.messages_dropped.increment();
                Given::Done
            }
        }
    });
    Some(Replayed { queue: Arc::clone(queue), plans })
}

impl Replayed {
    /// Whether there is something to be shown.
    pub(crate) const fn is_empty(&self) -> bool {
        self.plans.is_empty()
    }

    /// It has arrived, and may be taken.
    pub(crate) fn show(self, parts: &Arc<Parts>, wakes: &mut Wakes) {
        self.plans.into_iter().for_each(|plan| plan.show(parts, wakes));
        let feed = self.queue.feed();
        feed.set_under_way(false);
        if feed.is_open() {
            // It may be that nothing came, and still there is more.
            self.queue.call_consumers(wakes);
        }
    }
}

/// Somebody took from the queue: if there is more for it, and room, that is fetched.
pub(crate) fn go_on(parts: &Arc<Parts>, queue: &Arc<Queue>, now: WallMs, wakes: &mut Wakes) {
    let feed = queue.feed();
    if feed.is_under_way() || portion(queue).is_none() {
        return;
    }
    if !feed.skip(now, KEYS_MAX) {
        // Others on this worker have their turn, then it is looked on.
        return if feed.is_open() {
            queue.call_consumers(wakes)
        };
    }
    let _retaining = parts.vhost.retaining();
    let _handing_over = feed.handing_over();
    let mut changeset = Changeset::default();
    let Some(replayed) = plan(parts, queue, now, &mut changeset) else { return };
    if changeset.is_empty() && (replayed.is_empty() || !parts.vhost.has_unshown()) {
        return replayed.show(parts, wakes);
    }
    parts.vhost.not_yet_shown();
    let shown = Arc::clone(parts);
    parts.durable.commit_then(changeset, strictest(&replayed.plans), move || {
        replayed.show(&shown, &mut Wakes::default());
        shown.vhost.shown();
    });
}

/// A message of that key is about to go to these queues, which does not replace the retained one: where that was still to
/// come, it comes first, as if all had come with the subscription [MQTT-4.6.0-5]. Whether the message must not be shown
/// before what is handed to the journal now.
pub(crate) fn ahead(
    parts: &Arc<Parts>,
    targets: &[&Route],
    (exchange, key): (&ExchangeName, &RoutingKey),
    now: WallMs,
    wakes: &mut Wakes,
) -> bool {
    if parts.vhost.retained(exchange).is_none_or(|retained| retained.size_of(key).is_none()) {
        return false;
    }
    let mut waits = false;
    for Route { queue, .. } in targets {
        let _handing_over = queue.feed().handing_over();
        waits |= queue.feed().is_under_way();
        let (mut changeset, mut plans) = (Changeset::default(), Vec::new());
        queue.feed().ahead(exchange, key, now, |held, grant| {
            if is_withheld(parts, &held, now) {
                return Given::Done;
            }
            let route = Route { queue: Arc::clone(queue), grant: grant.clone(), via: None };
            // Where there is no room for it, there will be none for the other either.
            let Ok(plan) = Plan::replay(parts, held.message, &route) else { return Given::Later };
            plan.record(parts, &mut changeset);
            plans.push(plan);
            Given::Done
        });
        if plans.is_empty() {
            continue;
        }
        if !waits && changeset.is_empty() && !parts.vhost.has_unshown() {
            plans.into_iter().for_each(|plan| plan.show(parts, wakes));
            continue;
        }
        waits = true;
        let shown = Arc::clone(parts);
        parts.durable.commit_then(changeset, strictest(&plans), move || {
            let mut wakes = Wakes::default();
            plans.into_iter().for_each(|plan| plan.show(&shown, &mut wakes));
        });
    }
    waits
}

/// Whether nobody gets that, because whose it is may not publish it any more. It stays where it is: rules that are mended
/// bring it back.
fn is_withheld(parts: &Parts, held: &Held, now: WallMs) -> bool {
    let Err(refusal) = parts.authors.check(held.author.as_ref(), &held.message) else { return false };
    parts.metrics.retained_withheld.increment();
    if parts.vhost.may_tell_denied(now) {
        let user = held.author.as_ref().and_then(|author| author.user.as_ref()).map(tracing::field::display);
        let client = held.message.publisher.as_ref().map(tracing::field::display);
        let topic = &held.message.key;
        tracing::warn!(user, client, %topic, reason = %refusal, "retained.withheld: its author may not publish it any more");
    }
    true
}

/// How much goes into the queue at once. Half of it is left for what is published meanwhile, and while more than a quarter
/// of what it may hold waits, nothing is added.
fn portion(queue: &Queue) -> Option<Portion> {
    let (waiting, (messages_max, bytes_max)) = (queue.waiting(), queue.most());
    let is_busy = waiting.messages > messages_max / 4 || waiting.bytes > bytes_max / 4;
    if is_busy && waiting.ready > 0 {
        return None;
    }
    let messages = (messages_max / 2).saturating_sub(waiting.messages).clamp(1, MESSAGES_MAX);
    let bytes = (bytes_max / 2).saturating_sub(waiting.bytes);
    Some(Portion::new(usize::try_from(messages).unwrap_or(usize::MAX), bytes, KEYS_MAX))
}

/// The most messages of a portion.
const MESSAGES_MAX: u64 = 1024;

/// The most keys that are looked at for a portion: meanwhile nobody else retains anything.
const KEYS_MAX: usize = 2048;
