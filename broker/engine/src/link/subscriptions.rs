//! SUBSCRIBE and UNSUBSCRIBE, from the question to the answer.

use std::sync::Arc;

use model::event::Event;
use model::request::{Subscribe, Target, Unsubscribe};

use super::{Link, Member, State, Turn};
use crate::publish::Plan;
use crate::subscribe::{Subscribed, Subscriber};

impl Link {
    pub(super) fn subscribe(&mut self, request: Subscribe, turn: &mut Turn<'_>) {
        let parts = Arc::clone(&self.core.parts);
        let State::In(member) = &mut self.state else { return };
        let named = |target: &Target| matches!(target, Target::Declare(options) if options.durable);
        let lasting =
            request.subscriptions.iter().any(|one| named(&one.queue)) || is_durable(member, self.id);
        let mut subscriber = Subscriber {
            link: self.id,
            mailbox: &self.mailbox,
            permissions: &member.publisher.permissions,
            session: member.session.as_ref(),
            consumers: &mut member.consumers,
            now: turn.now,
            cancelled: Vec::new(),
        };
        let mut done = Subscribed::default();
        for subscription in request.subscriptions {
            subscriber.subscribe(&parts, subscription, &mut done, &mut turn.wakes);
        }
        let Subscribed { results, replays, changeset } = done;
        let event = Event::Subscribed { ticket: request.ticket, results };
        if lasting || !changeset.is_empty() {
            let show =
                |parts: &_, wakes: &mut _| replays.into_iter().for_each(|plan: Plan| plan.show(parts, wakes));
            self.commit(changeset, show, Some(event));
        } else {
            self.answer(event, turn);
            for plan in replays {
                plan.show(&parts, &mut turn.wakes);
            }
        }
    }

    pub(super) fn unsubscribe(&mut self, request: Unsubscribe, turn: &mut Turn<'_>) {
        let parts = Arc::clone(&self.core.parts);
        let State::In(member) = &mut self.state else { return };
        let lasting = is_durable(member, self.id);
        let mut subscriber = Subscriber {
            link: self.id,
            mailbox: &self.mailbox,
            permissions: &member.publisher.permissions,
            session: member.session.as_ref(),
            consumers: &mut member.consumers,
            now: turn.now,
            cancelled: Vec::new(),
        };
        let existed = request
            .subscriptions
            .into_iter()
            .map(|ending| subscriber.unsubscribe(&parts, ending, &mut turn.wakes))
            .collect();
        self.core.tell_cancelled(subscriber.cancelled);
        let event = Event::Unsubscribed { ticket: request.ticket, existed };
        if lasting {
            self.commit(Default::default(), |_, _| (), Some(event));
        } else {
            self.answer(event, turn);
        }
    }
}

/// Whether the client's session outlives its connection: then its subscriptions do, and the answer waits for the disk.
fn is_durable(member: &Member, link: u64) -> bool {
    let state = member.session.as_ref().and_then(|session| session.state_for(link));
    state.is_some_and(|state| state.queue.options().durable)
}
