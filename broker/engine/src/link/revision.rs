//! Rules that are others by now: what a client that is in may do from now on, and what it has to give up

use std::sync::Arc;

use model::event::{Event, Farewell};
use model::name::ConsumerId;
use model::refusal::Refusal;
use model::rights::Action;
use routing::{Owner, Wakes};

use super::{Link, State};
use crate::{rights, subscribe, topology};

impl Link {
    /// Holds the client against the rules of now. Whoever is not let in any more is cut, and gets nothing until he is gone.
    pub(super) fn revise(&mut self, events: &mut Vec<Event>) {
        let State::In(member) = &mut self.state else { return };
        if member.is_revoked {
            return;
        }
        let publisher = &mut member.publisher;
        let client = publisher.client.as_ref().or(publisher.called());
        let revised = self.core.access.revise(&member.principal, client, Some(&publisher.permissions));
        match revised {
            // Not known without asking him: what he was allowed when he came stands.
            Ok(None) => return,
            Ok(Some(permissions)) => publisher.permissions = permissions,
            Err(refusal) => {
                let (user, client) = (member.principal.user.as_ref(), client);
                let (user, client) = (user.map(tracing::field::display), client.map(tracing::field::display));
                tracing::warn!(client, user, reason = %refusal, "access.revoked: the connection ends");
                self.core.parts.metrics.access_revoked.increment();
                member.is_revoked = true;
                events.push(Event::Closing(Farewell::Revoked));
                return;
            }
        }
        self.note_permissions();
        self.prune(events);
    }

    /// What its session's will is held against, once its client is gone.
    pub(super) fn note_permissions(&self) {
        let State::In(member) = &self.state else { return };
        if let Some(session) = &member.session
            && let Some(mut state) = session.state_for(self.id)
        {
            state.permissions = Some(member.publisher.permissions.clone());
        }
    }

    /// Ends the subscriptions of which nothing is allowed any more; of the others, what comes is looked at one by one.
    pub(super) fn prune(&mut self, events: &mut Vec<Event>) {
        let State::In(member) = &mut self.state else { return };
        let permissions = member.publisher.permissions.clone();
        member.narrows = permissions.restrict(Action::Subscribe);
        if !member.narrows && !permissions.restrict(Action::Consume) {
            return;
        }
        self.prune_bindings();
        self.prune_consumers(events);
    }

    /// Of a session, which are bindings of its queue: MQTT has no word by which a broker could take one back.
    fn prune_bindings(&mut self) {
        let State::In(member) = &mut self.state else { return };
        let parts = &self.core.parts;
        let Some(mut state) = member.session.as_ref().and_then(|session| session.state_for(self.id)) else {
            return;
        };
        let queue = Arc::clone(&state.queue);
        for binding in parts.vhost.router.bindings_of(&queue.options().name) {
            let place = (&binding.exchange, &binding.pattern);
            let may = rights::read(
                &parts.vhost.router,
                &member.publisher.permissions,
                place,
                binding.share.is_some(),
            );
            let Err(refusal) = may else { continue };
            if binding.share.is_none() {
                queue.feed().end(&binding.exchange, &binding.pattern);
            }
            let existed = topology::unbind(parts, &queue, topology::key_of(queue.id(), binding));
            state.subscriptions -= usize::from(existed);
            let client = member.publisher.client.as_ref().map(tracing::field::display);
            tracing::warn!(client, reason = %refusal, "subscription.revoked");
        }
    }

    /// Of a client without a session.
    fn prune_consumers(&mut self, events: &mut Vec<Event>) {
        let State::In(member) = &mut self.state else { return };
        let parts = &self.core.parts;
        let mut wakes = Wakes::default();
        let mut over: Vec<(ConsumerId, Refusal)> = Vec::new();
        for (id, attached) in member.consumers.iter().filter(|(id, _)| *id != ConsumerId::SESSION) {
            let Some(listening) = self.client.with(|present| present.listening.get(&id).cloned()).flatten()
            else {
                continue;
            };
            let permissions = &member.publisher.permissions;
            let by_source = listening.source.map_or(Ok(false), |(exchange, pattern)| {
                let pattern = member.own.pattern(&exchange, pattern);
                let is_shared = listening.share.is_some();
                rights::read(&parts.vhost.router, permissions, (&exchange, &pattern), is_shared)
            });
            let name = listening.queue.filter(|_| matches!(attached.queue.owner(), Owner::Nobody));
            let by_name = || name.map_or(Ok(()), |name| rights::consume(permissions, &name));
            if let Err(refusal) = by_source.and_then(|_| by_name()) {
                over.push((id, refusal));
            }
        }
        for (id, refusal) in over {
            let client = member.publisher.called().map(tracing::field::display);
            let user = member.principal.user.as_ref().map(tracing::field::display);
            tracing::warn!(client, user, reason = %refusal, "subscription.revoked");
            if let Some(attached) = member.consumers.remove(id) {
                self.core.tell_cancelled(subscribe::leave(parts, &attached, false, &mut wakes));
            }
            self.client.with(|present| present.listening.remove(&id));
            events.push(Event::Revoked { consumer: id, refusal });
        }
        let consumers = &member.consumers;
        self.pending.retain(|id| consumers.has(*id));
        wakes.flush();
    }

    /// Whether the rules are others than when whoever is let in now was judged by them.
    pub(super) fn is_behind_the_rules(&self) -> bool {
        self.core.access.generation() != self.judged_by
    }
}
