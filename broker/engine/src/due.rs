//! What was delayed is published when it is due, by the rules of then

use std::sync::Arc;
use std::time::Duration;

use model::change::{Change, Changeset};
use model::durability::Durability;
use model::message::Message;
use model::name::{PublisherName, QueueId};
use model::principal::Permissions;
use model::refusal::Refusal;
use model::request::Publish;
use model::time::WallMs;
use routing::Wakes;
use tokio::sync::oneshot;

use crate::clock;
use crate::core::Core;
use crate::delayed::{Step, Turn, Waiting};
use crate::parts::Parts;
use crate::plan::{self, Plan};
use crate::publish::{self, Published, Publisher};

/// Publishes what is due, until the broker stops. It has a task of its own: whatever else is due may take longer than a message
/// may be late.
pub(crate) async fn look_after(core: Arc<Core>) {
    let delayed = &core.parts.vhost.delayed;
    let mut publisher =
        Publisher::new(None, None, None, PublisherName::NOBODY, Permissions::everything()).again();
    while !core.is_stopping() {
        if core.pressure.now().hold_lasting() {
            // As clients' messages do, what is due waits for room.
            tokio::time::sleep(HELD_PAUSE).await;
            continue;
        }
        match delayed.step(clock::now()) {
            Step::Publish(due) => publish_all(&core.parts, &mut publisher, due).await,
            Step::Read(queue, turns) => read(&core.parts, queue, turns),
            Step::Wait(until) => delayed.wait(until).await,
        }
    }
}

/// Has messages read back.
fn read(parts: &Arc<Parts>, queue: QueueId, turns: Vec<Turn>) {
    let numbers = turns.iter().map(|turn| turn.number).collect();
    let shown = Arc::clone(parts);
    parts.durable.read(queue, numbers, move |found| {
        let delayed = &shown.vhost.delayed;
        match found {
            Ok(found) => {
                let count = delayed.fill(&turns, found);
                if count > 0 {
                    // They are still in the journal, and the next start says so.
                    shown.metrics.messages_damaged.add(count);
                    tracing::error!(count, "delayed.damaged: what the journal has of them is not delivered");
                }
            }
            Err(error) => {
                tracing::error!(%error, "delayed.unreadable: it is tried again");
                delayed.could_not_read();
            }
        }
    });
}

/// Publishes them in their order, and returns when all of them can be seen.
async fn publish_all(parts: &Arc<Parts>, publisher: &mut Publisher, due: Vec<(Turn, Waiting)>) {
    let (done, shown) = oneshot::channel();
    hand_over(parts, publisher, due, done);
    // Where the store has failed, the process is about to end.
    let _ = shown.await;
    tokio::task::yield_now().await;
}

/// Their places in queues, and that they do not wait any more, become durable together: a crash loses none, and none comes
/// twice.
fn hand_over(
    parts: &Arc<Parts>,
    publisher: &mut Publisher,
    due: Vec<(Turn, Waiting)>,
    done: oneshot::Sender<()>,
) {
    let now = clock::now();
    let _retaining = due.iter().any(|(_, one)| one.message.retain).then(|| parts.vhost.retaining());
    let (mut changeset, mut plans) = (Changeset::default(), Vec::with_capacity(due.len()));
    let (mut count, mut bytes, mut first) = (0, 0, None);
    let mut wakes = Wakes::default();
    for (turn, one) in due {
        match plan(parts, publisher, &one, now, &mut wakes) {
            Fate::Goes(plan) => {
                plan.record(parts, &mut changeset);
                plans.push(plan);
                first.get_or_insert(turn.due);
            }
            Fate::Ends => {}
            Fate::Stays => {
                parts.vhost.delayed.put_back(turn, one, now);
                continue;
            }
        }
        count += 1;
        bytes += one.message.size_bytes() as u64;
        changeset.changes.extend(one.place.map(Change::Remove));
    }
    if count == 0 {
        let _ = done.send(());
        return;
    }
    // That it has gone lasts as long as that it waited.
    let level = if changeset.is_empty() { plan::strictest(&plans) } else { Durability::Disk };
    let shown = Arc::clone(parts);
    parts.durable.commit_then(changeset, level, move || {
        let mut wakes = Wakes::default();
        plans.into_iter().for_each(|plan| plan.show(&shown, &mut wakes));
        wakes.flush();
        if let Some(late) = first.and_then(clock::ago) {
            shown.metrics.delayed_late_us.record_us(late);
        }
        shown.vhost.delayed.gone(count, bytes);
        let _ = done.send(());
    });
}

/// What becomes of a message that is due.
enum Fate {
    /// It is published.
    Goes(Plan),
    /// It is not, and never will be.
    Ends,
    /// It waits a little longer.
    Stays,
}

fn plan(
    parts: &Arc<Parts>,
    publisher: &mut Publisher,
    one: &Waiting,
    now: WallMs,
    wakes: &mut Wakes,
) -> Fate {
    let message = &*one.message;
    if message.is_expired(now) {
        parts.metrics.messages_expired.increment();
        return Fate::Ends;
    }
    let allowed = parts.authors.check(one.author.as_ref(), message);
    let planned = allowed.and_then(|()| {
        publisher.speak_for(message.publisher.clone(), one.author.as_ref());
        publish::publish(parts, publisher, &mut Publish::again(message, now), true, now, wakes)
    });
    match planned {
        Ok(Published::Planned(plan)) => Fate::Goes(plan),
        Ok(Published::Shown { .. }) => Fate::Ends,
        // Whoever published it was told that it is taken: what is full now need not be full for ever.
        Err(Refusal::LimitReached(limit)) if limit != plan::DEAD_LETTERED => Fate::Stays,
        Err(refusal) => {
            refuse(parts, message, &refusal, now);
            Fate::Ends
        }
    }
}

/// A refusal has nobody to be told: it is logged, once in a while, and counted.
fn refuse(parts: &Parts, message: &Message, refusal: &Refusal, now: WallMs) {
    parts.metrics.delayed_refused.increment();
    if parts.vhost.may_complain(now) {
        let client = message.publisher.as_ref().map(tracing::field::display);
        tracing::warn!(client, topic = %message.key, reason = %refusal, "delayed.refused; see delayed_refused");
    }
}

/// How often it is looked whether publishers are still held.
const HELD_PAUSE: Duration = Duration::from_millis(100);
