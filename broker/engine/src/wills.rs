//! Wills: made at CONNECT, published when a client is lost.

use std::sync::{Arc, MutexGuard};

use model::access::AccessControl;
use model::author::Author;
use model::change::{Changeset, WillRecord};
use model::message::Message;
use model::name::{ClientId, PublisherName};
use model::principal::{Permissions, Principal};
use model::refusal::Refusal;
use model::request::{Publish, Will};
use model::time::WallMs;
use routing::Wakes;

use crate::clock;
use crate::numbers::MessageIds;
use crate::parts::Parts;
use crate::plan::Plan;
use crate::publish::{self, Published, Publisher};
use crate::rights;
use crate::users;

/// What the end of a connection, or of a session, leaves to be done: in one commit, so that a will is neither lost nor
/// published twice.
#[derive(Default)]
pub(crate) struct Aftermath {
    pub(crate) will: Option<DueWill>,
    pub(crate) changeset: Changeset,
}

/// A will that is to be published now, with whose it is.
pub(crate) struct DueWill {
    record: Box<WillRecord>,
    /// Of one that is to be retained, or to wait: it outlives its owner once more.
    author: Option<Arc<Author>>,
}

/// The will as it is kept until then. Whoever may not publish it gets in, but without it being kept would be a trap:
/// so he is refused.
pub(crate) fn keep(
    parts: &Parts,
    client: Option<ClientId>,
    permissions: &Permissions,
    will: Will,
) -> Result<Box<WillRecord>, Refusal> {
    let Will { publish, delay_s } = will;
    let place = (&publish.exchange, &publish.key);
    rights::publish(permissions, place, publish.retain, "publish a will to")?;
    users::check(&publish)?;
    let (expiry_ms, waits_ms) = (publish.expiry_ms, publish.delay_ms);
    let mut publish = Publish { expiry_ms: None, ..publish };
    let id = MessageIds::default().next(&parts.numbers);
    let message = publish::to_message(&mut publish, None, client, id, WallMs::default());
    Ok(Box::new(WillRecord { message: Arc::new(message), expiry_ms, delay_s, waits_ms }))
}

/// The will that is due, if its owner may still publish it: what he may do can have changed since he made it. A will that
/// may not be published is gone; nobody is there to be told, so it is counted and logged. `owner`: `None` where the store
/// does not know him, and then nothing is held against it; `known`: what he was allowed at
/// last. Whoever is not let in any more publishes nothing, nor does whoever came by a token that has expired.
pub(crate) fn still_allowed(
    parts: &Parts,
    access: &dyn AccessControl,
    owner: Option<&Principal>,
    known: Option<&Permissions>,
    will: Box<WillRecord>,
) -> Option<DueWill> {
    let Message { exchange, key, publisher, retain, .. } = &*will.message;
    let standing = owner.map_or(Ok(None), |owner| access.revise(owner, publisher.as_ref(), known));
    let checked = standing.and_then(|permissions| {
        let Some(permissions) = permissions.as_ref().or(known) else { return Ok(()) };
        Refusal::unless_over(permissions, clock::wall_now)?;
        rights::publish(permissions, (exchange, key), *retain, "publish a will to")
    });
    match checked {
        Ok(()) => {
            let owner = owner.filter(|_| *retain || will.waits_ms > 0);
            let author = owner.map(|owner| parts.authors.of(owner.user.as_ref(), None, known));
            Some(DueWill { record: will, author })
        }
        Err(refusal) => {
            refuse(parts, &will, &refusal);
            None
        }
    }
}

/// A refusal has nobody to be told: it is logged.
fn refuse(parts: &Parts, will: &WillRecord, refusal: &Refusal) {
    parts.metrics.wills_refused.increment();
    let Message { key, publisher, .. } = &*will.message;
    let client = publisher.as_ref().map(tracing::field::display);
    tracing::warn!(client, topic = %key, reason = %refusal, "will.refused");
}

/// Publishes the will that is due, together with the other changes that belong to the same moment.
pub(crate) fn settle(parts: &Arc<Parts>, mut aftermath: Aftermath) {
    let _retaining = retaining(parts, aftermath.will.as_ref());
    let plan = aftermath.will.take().and_then(|will| plan(parts, &will));
    let Some(plan) = plan else { return parts.durable.commit_soon(aftermath.changeset) };
    plan.record(parts, &mut aftermath.changeset);
    let shown = Arc::clone(parts);
    let (changeset, level) = (aftermath.changeset, plan.level());
    parts.durable.commit_then(changeset, level, move || plan.show(&shown, &mut Wakes::default()));
}

/// What has to be held while such a will is published.
pub(crate) fn retaining<'a>(parts: &'a Parts, will: Option<&DueWill>) -> Option<MutexGuard<'a, ()>> {
    will.is_some_and(|will| will.record.message.retain).then(|| parts.vhost.retaining())
}

/// The will as a message that takes its places, if there is room for it.
pub(crate) fn plan(parts: &Arc<Parts>, due: &DueWill) -> Option<Plan> {
    let will = &due.record;
    // Its times count from now on, not from when it was left.
    let again = Publish::again(&will.message, clock::now());
    let mut publish = Publish { expiry_ms: will.expiry_ms, delay_ms: will.waits_ms, ..again };
    let publisher = Publisher::new(
        None,
        will.message.publisher.clone(),
        None,
        PublisherName::NOBODY,
        Permissions::everything(),
    );
    let mut publisher = publisher.for_author(due.author.clone());
    let mut wakes = Wakes::default();
    match publish::publish(parts, &mut publisher, &mut publish, true, clock::now(), &mut wakes) {
        Ok(Published::Planned(plan)) => Some(plan),
        Ok(Published::Shown { .. }) => None,
        Err(refusal) => {
            refuse(parts, will, &refusal);
            None
        }
    }
}
