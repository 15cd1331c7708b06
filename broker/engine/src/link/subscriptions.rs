//! SUBSCRIBE and UNSUBSCRIBE, from the question to the answer.

use std::sync::Arc;

use model::change::Changeset;
use model::durability::Durability;
use model::event::Event;
use model::qos::Qos;
use model::refusal::Refusal;
use model::request::{Replay, Subscribe, Subscription, Unsubscribe, Unsubscription};

use super::{Link, Member, State, Turn};
use crate::client::Listening;
use crate::clock;
use crate::mailbox::Mailbox;
use crate::parts::Parts;
use crate::replay::{self, Replayed};
use crate::subscribe::{Subscribed, Subscriber};

impl Link {
    /// `over` ends first. `refused`: what is not to be, by its places among all that was asked for; the request has the rest.
    pub(super) fn subscribe(
        &mut self,
        request: Subscribe,
        over: Vec<Unsubscription>,
        refused: Vec<(usize, Refusal)>,
        turn: &mut Turn<'_>,
    ) {
        let parts = Arc::clone(&self.core.parts);
        let _retaining = request.subscriptions.iter().any(replays).then(|| parts.vhost.retaining());
        let State::In(member) = &mut self.state else { return };
        if is_taken_over(member, self.id) {
            return;
        }
        if let Err(refusal) = Refusal::unless_over(&member.publisher.permissions, clock::wall_now) {
            let results = request.subscriptions.iter().map(|_| Err(refusal.clone())).collect();
            return self.answer(Event::Subscribed { ticket: request.ticket, results }, turn);
        }
        let mut subscriber = subscriber(self.id, &self.mailbox, member);
        for ending in over {
            subscriber.unsubscribe(&parts, ending, &mut turn.wakes);
        }
        let mut done = Subscribed::default();
        for subscription in request.subscriptions {
            let listening = Listening::of(&subscription);
            let consumer = subscription.consumer.as_ref().map(|consumer| consumer.id);
            subscriber.subscribe(&parts, subscription, &mut done, &mut turn.wakes);
            if let Some(Err(refusal)) = done.results.last() {
                self.client.note_denied(&parts, refusal, turn.now());
            }
            if let Some(Ok(_)) = done.results.last() {
                self.core.presence.subscribed(&parts, &self.client, &listening, &mut turn.wakes);
                if let Some(id) = consumer {
                    self.client.with(|present| present.listening.insert(id, listening));
                }
            }
        }
        member.narrows |= subscriber.narrows;
        let Subscribed { mut results, fed, lasting } = done;
        for (place, refusal) in refused {
            results.insert(place.min(results.len()), Err(refusal));
        }
        let event = Event::Subscribed { ticket: request.ticket, results };
        let mut changeset = Changeset::default();
        let _handing_over: Vec<_> = fed.iter().map(|queue| queue.feed().handing_over()).collect();
        let replayed: Vec<_> =
            fed.iter().filter_map(|queue| replay::plan(&parts, queue, turn.now(), &mut changeset)).collect();
        let waits = !replayed.iter().all(Replayed::is_empty);
        if lasting || !changeset.is_empty() || (waits && parts.vhost.has_unshown()) {
            if waits {
                parts.vhost.not_yet_shown();
            }
            let show = move |parts: &Arc<Parts>, wakes: &mut _| {
                replayed.into_iter().for_each(|one| one.show(parts, wakes));
                if waits {
                    parts.vhost.shown();
                }
            };
            self.commit(changeset, Durability::Disk, show, Some(event));
        } else {
            self.answer(event, turn);
            replayed.into_iter().for_each(|one| one.show(&parts, &mut turn.wakes));
        }
    }

    pub(super) fn unsubscribe(&mut self, request: Unsubscribe, turn: &mut Turn<'_>) {
        let parts = Arc::clone(&self.core.parts);
        let State::In(member) = &mut self.state else { return };
        if is_taken_over(member, self.id) {
            return;
        }
        let mut subscriber = subscriber(self.id, &self.mailbox, member);
        let mut existed = Vec::with_capacity(request.subscriptions.len());
        for ending in request.subscriptions {
            let listening = match &ending {
                Unsubscription::Binding { exchange, pattern, share } => Some(Listening {
                    source: Some((exchange.clone(), pattern.clone())),
                    share: share.clone(),
                    queue: None,
                    qos: Qos::AtMostOnce,
                }),
                Unsubscription::Consumer { id, delete_queue: _ } => {
                    self.client.with(|present| present.listening.remove(id)).flatten()
                }
            };
            let ended = subscriber.unsubscribe(&parts, ending, &mut turn.wakes);
            if let (true, Some(listening)) = (ended, listening) {
                self.core.presence.unsubscribed(&parts, &self.client, &listening, &mut turn.wakes);
            }
            existed.push(ended);
        }
        let lasting = subscriber.lost_durably;
        let consumers = &*subscriber.consumers;
        self.pending.retain(|id| consumers.has(*id));
        self.core.tell_cancelled(subscriber.cancelled);
        let event = Event::Unsubscribed { ticket: request.ticket, existed };
        if lasting {
            self.commit(Default::default(), Durability::Disk, |_, _| (), Some(event));
        } else {
            self.answer(event, turn);
        }
    }
}

fn subscriber<'a>(link: u64, mailbox: &'a Arc<Mailbox>, member: &'a mut Member) -> Subscriber<'a> {
    Subscriber {
        link,
        mailbox,
        permissions: &member.publisher.permissions,
        own: &member.own,
        session: member.session.as_ref(),
        consumers: &mut member.consumers,
        owned: &mut member.publisher.owned,
        cancelled: Vec::new(),
        lost_durably: false,
        narrows: false,
    }
}

/// Whether it may get retained messages.
fn replays(subscription: &Subscription) -> bool {
    subscription.source.is_some() && !matches!(subscription.retained, Replay::Never)
}

/// Whether another connection speaks for the session now: then the client says all this again there, where it wants it.
fn is_taken_over(member: &Member, link: u64) -> bool {
    member.session.as_ref().is_some_and(|session| session.state_for(link).is_none())
}
