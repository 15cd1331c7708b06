//! Publish and settle: one by one, or as a transaction.

use std::collections::HashMap;
use std::sync::Arc;

use model::change::{Change, Changeset};
use model::durability::Durability;
use model::event::{Event, Submitted};
use model::name::ClientId;
use model::qos::Qos;
use model::refusal::Refusal;
use model::request::{Operation, Publish, Release, Settle, Submit, Ticket};
use routing::{Dead, Wakes};
use smallvec::SmallVec;

use super::{Link, State, Turn};
use crate::parts::Parts;
use crate::plan::{self, Plan};
use crate::publish::{self, Published};
use crate::registry::State as SessionState;
use crate::unreleased::Fate;
use crate::{expiry, settle};

impl Link {
    pub(super) fn submit(&mut self, submit: &mut Submit, turn: &mut Turn<'_>) {
        let State::In(member) = &self.state else { return };
        let Submit { ticket, answer, operations } = submit;
        let ticket = *ticket;
        let retains = |one: &Operation| matches!(one, Operation::Publish(publish) if publish.retain);
        let core = operations.iter().any(retains).then(|| Arc::clone(&self.core));
        let _retaining = core.as_ref().map(|core| core.parts.vhost.retaining());
        let session = member.session.clone();
        // Held until all is handed to the journal. Of a connection that is taken over, what came before that is done, and
        // done before the new connection hears anything; what came after is said again on the new one.
        let mut state = match &session {
            Some(session) => match session.state_for(self.id) {
                Some(state) => Some(state),
                None => return,
            },
            None => None,
        };
        let wanted = answer.then_some(ticket);
        match &mut operations[..] {
            [Operation::Publish(publish)] => {
                self.publish(ticket, wanted, publish, state.as_deref_mut(), turn);
            }
            [Operation::Settle(one)] => self.settle(wanted, *one, turn),
            [] => self.barrier(wanted, true),
            [_, _, ..] => self.transact(ticket, wanted, std::mem::take(operations), turn),
        }
    }

    fn publish(
        &mut self,
        ticket: Ticket,
        wanted: Option<Ticket>,
        publish: &mut Publish,
        mut state: Option<&mut SessionState>,
        turn: &mut Turn<'_>,
    ) {
        let State::In(member) = &mut self.state else { return };
        if let Err(refusal) = member.own.admit(publish) {
            return self.answer(Event::Submitted { ticket, result: Err(refusal) }, turn);
        }
        let remember = publish.remember;
        let mut lasting = None;
        if let (Some(id), Some(state)) = (remember, state.as_deref_mut()) {
            if !state.unreleased.insert(id) {
                self.core.parts.metrics.duplicates_suppressed.increment();
                return self.barrier(wanted, state.unreleased.is_routed(id));
            }
            let client = member.publisher.client.clone().filter(|_| state.queue.options().durable);
            lasting = client.map(|client| (client, id));
        }
        let unimportant = publish.qos == Qos::AtMostOnce;
        let is_behind = self.commits - (self.under_way as u64) < self.deferred;
        let in_turn = lasting.is_some() || if unimportant { is_behind } else { self.under_way > 0 };
        let result = if publish.publication.is_some() {
            match self.publish_once(wanted, publish, lasting.take(), turn) {
                Ok(level) => return note(remember, state, true, level),
                Err(refusal) => Err(refusal),
            }
        } else {
            let parts = &self.core.parts;
            publish::publish(parts, &mut member.publisher, publish, in_turn, turn.now(), &mut turn.wakes)
        };
        match result {
            Ok(Published::Shown { routed }) => {
                note(remember, state, routed, Durability::Disk);
                if let Some(ticket) = wanted {
                    self.answer(submitted(ticket, routed), turn);
                }
            }
            Ok(Published::Planned(plan)) => {
                note(remember, state, plan.routed(), plan.level());
                if unimportant && !is_behind {
                    self.hand_over_unimportant(plan, wanted, turn);
                } else {
                    self.commit_plan(plan, lasting, wanted);
                    if unimportant {
                        self.deferred = self.commits;
                    }
                }
            }
            Err(refusal) => {
                self.client.note_denied(&self.core.parts, &refusal, turn.now());
                if let (Some(id), Some(state)) = (remember, state) {
                    state.unreleased.remove(id);
                }
                self.answer(Event::Submitted { ticket, result: Err(refusal) }, turn);
            }
        }
    }

    /// Retained at QoS 0: nobody waits for the disk, unless older retained messages do.
    fn hand_over_unimportant(&mut self, plan: Plan, wanted: Option<Ticket>, turn: &mut Turn<'_>) {
        let parts = &self.core.parts;
        if plan.waits() || (plan.retains() && parts.vhost.has_unshown()) {
            self.commit_plan(plan, None, wanted);
            self.deferred = self.commits;
            return;
        }
        let (mut changeset, routed) = (Changeset::default(), plan.routed());
        plan.record(parts, &mut changeset);
        parts.durable.commit_soon(changeset);
        plan.show(parts, &mut turn.wakes);
        if let Some(ticket) = wanted {
            self.answer(submitted(ticket, routed), turn);
        }
    }

    /// Publishes what its publisher gave an id: only the first of that id is routed, and both become durable together. The
    /// others are answered behind it, as it was. Returns what the id outlives.
    fn publish_once(
        &mut self,
        wanted: Option<Ticket>,
        publish: &mut Publish,
        lasting: Option<(ClientId, u16)>,
        turn: &mut Turn<'_>,
    ) -> Result<Durability, Refusal> {
        let State::In(member) = &mut self.state else { return Ok(Durability::Disk) };
        let core = Arc::clone(&self.core);
        let (parts, name) = (&core.parts, member.publisher.name());
        let mut held = parts.vhost.publications.hold(&name);
        let fresh = publish.publication.take().filter(|id| !held.knows(id));
        let unimportant = publish.qos == Qos::AtMostOnce;
        let mut changeset = Changeset::default();
        let mut plan = None;
        // Of one that is known nobody knows how it came.
        let mut level = Durability::Disk;
        if let Some(id) = fresh {
            held.check_room(1)?;
            let publisher = &mut member.publisher;
            match publish::publish(parts, publisher, publish, true, turn.now(), &mut turn.wakes)? {
                Published::Planned(planned) => {
                    planned.record(parts, &mut changeset);
                    level = planned.level();
                    plan = Some(planned);
                }
                Published::Shown { .. } => {}
            }
            held.remember(id, turn.now(), level, &mut changeset);
            expiry::watch_publications(parts);
        } else {
            parts.metrics.duplicates_suppressed.increment();
        }
        changeset.changes.extend(remembered(lasting, level));
        // Whether the first one found a queue is forgotten.
        let routed = plan.as_ref().is_none_or(Plan::routed);
        let show = move |parts: &_, wakes: &mut _| {
            if let Some(plan) = plan {
                plan.show(parts, wakes);
            }
        };
        self.commit(changeset, level, show, wanted.map(|ticket| submitted(ticket, routed)));
        if unimportant {
            self.deferred = self.commits;
        }
        Ok(level)
    }

    fn commit_plan(&mut self, plan: Plan, remember: Option<(ClientId, u16)>, wanted: Option<Ticket>) {
        let (routed, level) = (plan.routed(), plan.level());
        let mut changeset = Changeset::default();
        plan.record(&self.core.parts, &mut changeset);
        changeset.changes.extend(remembered(remember, level));
        let event = wanted.map(|ticket| submitted(ticket, routed));
        self.commit(changeset, level, move |parts, wakes| plan.show(parts, wakes), event);
    }

    fn settle(&mut self, wanted: Option<Ticket>, one: Settle, turn: &mut Turn<'_>) {
        let Some(ticket) = wanted else {
            let mut removals = std::mem::take(&mut self.removals);
            let dead = self.settle_into(one, &mut removals, turn);
            self.removals = removals;
            return plan::bury(&self.core.parts, dead.into_iter().collect());
        };
        let mut changeset = Changeset::default();
        let dead = self.settle_into(one, &mut changeset.changes, turn);
        let event = submitted(ticket, true);
        if dead.is_none() && changeset.is_empty() {
            self.answer(event, turn);
        } else {
            let plans = plan::plan_dead(&self.core.parts, dead.into_iter().collect(), &mut changeset);
            self.commit(
                changeset,
                Durability::Disk,
                |parts, wakes| show_all(plans, parts, wakes),
                Some(event),
            );
        }
    }

    fn settle_into(
        &self,
        one: Settle,
        changes: &mut impl Extend<Change>,
        turn: &mut Turn<'_>,
    ) -> Option<Dead> {
        let State::In(member) = &self.state else { return None };
        let consumer = member.consumers.get(one.consumer)?;
        settle::settle(&self.core.parts, consumer, one, changes, &mut turn.wakes)
    }

    /// Waits for all that was asked before, also by an earlier connection of the same client.
    fn barrier(&mut self, wanted: Option<Ticket>, routed: bool) {
        if let Some(ticket) = wanted {
            self.commit(Changeset::default(), Durability::Disk, |_, _| (), Some(submitted(ticket, routed)));
        }
    }

    fn transact(
        &mut self,
        ticket: Ticket,
        wanted: Option<Ticket>,
        operations: SmallVec<[Operation; 1]>,
        turn: &mut Turn<'_>,
    ) {
        let State::In(member) = &self.state else { return };
        let core = Arc::clone(&self.core);
        let has_id =
            |one: &Operation| matches!(one, Operation::Publish(publish) if publish.publication.is_some());
        let name = operations.iter().any(has_id).then(|| member.publisher.name());
        let mut held = name.as_ref().map(|name| core.parts.vhost.publications.hold(name));
        let mut fresh = HashMap::new();
        let mut plans = Vec::new();
        let mut settles = Vec::new();
        let mut unrouted = SmallVec::new();
        for (at, operation) in (0_u32..).zip(operations) {
            match operation {
                Operation::Settle(one) => settles.push(one),
                Operation::Publish(mut publish) => {
                    let id = publish.publication.take();
                    if let (Some(id), Some(held)) = (&id, &held)
                        && (held.knows(id) || fresh.contains_key(id))
                    {
                        core.parts.metrics.duplicates_suppressed.increment();
                        continue;
                    }
                    let room = held
                        .as_ref()
                        .map_or(Ok(()), |held| held.check_room(fresh.len() + usize::from(id.is_some())));
                    match room.and_then(|()| self.plan(publish, turn)) {
                        Ok(plan) => {
                            let level = plan.as_ref().map_or(Durability::Disk, Plan::level);
                            fresh.extend(id.map(|id| (id, level)));
                            unrouted.extend(plan.as_ref().filter(|plan| !plan.routed()).map(|_| at));
                            plans.extend(plan);
                        }
                        Err(refusal) => {
                            self.client.note_denied(&core.parts, &refusal, turn.now());
                            plans.into_iter().for_each(Plan::give_up);
                            return self.answer(Event::Submitted { ticket, result: Err(refusal) }, turn);
                        }
                    }
                }
            }
        }
        // Nothing can fail from here on.
        let mut changeset = Changeset::default();
        for plan in &plans {
            plan.record(&self.core.parts, &mut changeset);
        }
        for (id, level) in fresh {
            if let Some(held) = &mut held {
                held.remember(id, turn.now(), level, &mut changeset);
                expiry::watch_publications(&core.parts);
            }
        }
        let mut dead = Vec::new();
        // Nobody knows what that was worth to whoever sent it.
        let level = if settles.is_empty() { plan::strictest(&plans) } else { Durability::Disk };
        for one in settles {
            dead.extend(self.settle_into(one, &mut changeset.changes, turn));
        }
        plans.extend(plan::plan_dead(&self.core.parts, dead, &mut changeset));
        let event = wanted.map(|ticket| Event::Submitted { ticket, result: Ok(Submitted { unrouted }) });
        self.commit(changeset, level, |parts, wakes| show_all(plans, parts, wakes), event);
    }

    fn plan(&mut self, mut publish: Publish, turn: &mut Turn<'_>) -> Result<Option<Plan>, Refusal> {
        let State::In(member) = &mut self.state else { return Ok(None) };
        member.own.admit(&mut publish)?;
        let parts = &self.core.parts;
        match publish::publish(parts, &mut member.publisher, &mut publish, true, turn.now(), &mut turn.wakes)?
        {
            Published::Planned(plan) => Ok(Some(plan)),
            Published::Shown { .. } => Ok(None),
        }
    }

    pub(super) fn release(&mut self, release: Release, turn: &mut Turn<'_>) {
        let State::In(member) = &self.state else { return };
        let Some(session) = &member.session else { return };
        let session = Arc::clone(session);
        // Held until it is handed to the journal, as in `submit`.
        let Some(mut state) = session.state_for(self.id) else { return };
        let gone = state.unreleased.remove(release.id);
        let known = gone.is_some();
        let durable = gone.is_some_and(|gone| gone.is_written) && state.queue.options().durable;
        let client = session.client.clone();
        let event = Event::Released { ticket: release.ticket, id: release.id, known };
        if durable {
            let mut changeset = Changeset::default();
            changeset.changes.push(Change::Forget { client, id: release.id });
            self.commit(changeset, Durability::Disk, |_, _| (), Some(event));
        } else {
            self.answer(event, turn);
        }
    }
}

fn show_all(plans: Vec<Plan>, parts: &Arc<Parts>, wakes: &mut Wakes) {
    plans.into_iter().for_each(|plan| plan.show(parts, wakes));
}

/// What is to be known of a QoS 2 id as long as it is not released.
fn note(id: Option<u16>, state: Option<&mut SessionState>, routed: bool, level: Durability) {
    let (Some(id), Some(state)) = (id, state) else { return };
    state.unreleased.note(id, Fate { is_routed: routed, is_written: level > Durability::Memory });
}

/// The id of a message lasts as the message does, or what was lost would count as known.
fn remembered(lasting: Option<(ClientId, u16)>, level: Durability) -> Option<Change> {
    let (client, id) = lasting.filter(|_| level > Durability::Memory)?;
    Some(Change::Remember { client, id })
}

fn submitted(ticket: Ticket, routed: bool) -> Event {
    Event::Submitted { ticket, result: Ok(Submitted::one(routed)) }
}
