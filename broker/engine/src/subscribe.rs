//! Filters to bindings, subscriptions to consumers, retained messages to those who ask.

use std::sync::Arc;

use model::change::BindingKey;
use model::key::KeyPattern;
use model::name::{ConsumerId, ExchangeName, QueueName, ShareName};
use model::principal::Permissions;
use model::qos::Qos;
use model::queue::{ExchangeKind, HeaderMatch, QueueOptions};
use model::refusal::Refusal;
use model::request::{Consumer, Replay, Source, Subscription, Target, Unsubscription};
use routing::{ConsumerOptions, Owner, Queue, Readiness, Settles, Wakes};

use crate::attached::{Attached, Consumers};
use crate::mailbox::Mailbox;
use crate::parts::Parts;
use crate::registry::Session;
use crate::users::Own;
use crate::{expiry, replay, rights, topology};

/// A link, as far as subscriptions are concerned.
pub(crate) struct Subscriber<'a> {
    pub(crate) link: u64,
    pub(crate) mailbox: &'a Arc<Mailbox>,
    pub(crate) permissions: &'a Permissions,
    pub(crate) own: &'a Own,
    pub(crate) session: Option<&'a Arc<Session>>,
    pub(crate) consumers: &'a mut Consumers,
    /// The queues that are the link's own because it made them: they go with it.
    pub(crate) owned: &'a mut Vec<Arc<Queue>>,
    /// Consumers, of any link, whose queue was deleted by what this one asked.
    pub(crate) cancelled: Vec<(Arc<Readiness>, ConsumerId)>,
    /// Whether a durable queue lost a binding, or was deleted.
    pub(crate) lost_durably: bool,
    /// Whether not all that comes by a new subscription is for this client.
    pub(crate) narrows: bool,
}

/// What a request for subscriptions comes to.
#[derive(Default)]
pub(crate) struct Subscribed {
    pub(crate) results: Vec<Result<Qos, Refusal>>,
    /// The queues that are to get retained messages.
    pub(crate) fed: Vec<Arc<Queue>>,
    /// Whether the answer waits for what was handed to the journal before.
    pub(crate) lasting: bool,
}

impl Subscriber<'_> {
    /// Takes one subscription; the answer joins `done`.
    pub(crate) fn subscribe(
        &mut self,
        parts: &Arc<Parts>,
        subscription: Subscription,
        done: &mut Subscribed,
        wakes: &mut Wakes,
    ) {
        let result = self.try_subscribe(parts, subscription, done, wakes);
        done.results.push(result);
    }

    fn try_subscribe(
        &mut self,
        parts: &Arc<Parts>,
        subscription: Subscription,
        done: &mut Subscribed,
        wakes: &mut Wakes,
    ) -> Result<Qos, Refusal> {
        let Subscription { source, queue, consumer, retained } = subscription;
        let source = source.map(|source| self.own.source(source, &queue)).transpose()?;
        let is_narrowed = rights::subscribe(&parts.vhost.router, self.permissions, source.as_ref(), &queue)?;
        let limit = parts.vhost.options.subscriptions_max;
        if consumer.is_some() && self.consumers.len() >= limit {
            return Err(Refusal::LimitReached("subscriptions of one connection ([limits] subscriptions)"));
        }
        let own = matches!(queue, Target::Private | Target::Replies(_));
        let queue = self.queue(parts, queue)?;
        done.lasting |= queue.options().durable;
        let bound =
            source.map_or(Ok(Qos::ExactlyOnce), |source| self.bind(parts, &queue, source, retained, done));
        self.narrows |= is_narrowed && bound.is_ok();
        match (bound, consumer) {
            (Ok(qos), Some(consumer)) => self.attach(&queue, consumer, wakes).map(|()| qos),
            (Err(refusal), _) if own || matches!(queue.owner(), Owner::Link(_)) && !queue.has_consumers() => {
                topology::delete_queue(parts, &queue);
                Err(refusal)
            }
            (bound, _) => bound,
        }
    }

    fn queue(&mut self, parts: &Arc<Parts>, target: Target) -> Result<Arc<Queue>, Refusal> {
        match target {
            Target::Session => {
                let state = self.session.and_then(|session| session.state_for(self.link));
                state
                    .map(|state| Arc::clone(&state.queue))
                    .ok_or(Refusal::Invalid("the session was taken over"))
            }
            Target::Private => self.private_queue(parts, private_name(parts)),
            Target::Replies(name) => self.private_queue(parts, name),
            Target::Declare(declaration) => {
                let options = &declaration.options;
                rights::dead_letter(self.permissions, options)?;
                let owner = if options.exclusive { Owner::Link(self.link) } else { Owner::Nobody };
                let (queue, new) = topology::declare_queue(parts, *declaration, owner)?;
                if new && matches!(queue.owner(), Owner::Link(_)) {
                    self.owned.push(Arc::clone(&queue));
                }
                self.own_or_anybodys(queue)
            }
            Target::Existing(name) => {
                let queue = parts.vhost.router.queue(&name).ok_or(Refusal::NoQueue(name))?;
                topology::check_owner(&queue, &Owner::Link(self.link))?;
                self.own_or_anybodys(queue)
            }
        }
    }

    fn private_queue(&self, parts: &Arc<Parts>, name: QueueName) -> Result<Arc<Queue>, Refusal> {
        let options = QueueOptions {
            name,
            durable: false,
            exclusive: true,
            auto_delete: true,
            ready_max: None,
            ready_bytes_max: None,
            arguments: None,
        };
        let (queue, _) = topology::make_queue(parts, options.into(), Owner::Link(self.link))?;
        self.own_or_anybodys(queue)
    }

    /// Whoever may not take from a queue must not bind it either: what comes into it is its owner's business.
    fn own_or_anybodys(&self, queue: Arc<Queue>) -> Result<Arc<Queue>, Refusal> {
        match queue.owner() {
            Owner::Link(link) if *link != self.link => Err(Refusal::Exclusive(queue.options().name.clone())),
            Owner::Link(_) | Owner::Nobody | Owner::Session(_) => Ok(queue),
        }
    }

    fn bind(
        &self,
        parts: &Arc<Parts>,
        queue: &Arc<Queue>,
        mut source: Source,
        replay: Replay,
        done: &mut Subscribed,
    ) -> Result<Qos, Refusal> {
        let is_headers = is_headers(parts, &source.exchange);
        if !is_headers {
            source.arguments = HeaderMatch::default();
        }
        let mut state = self.session.and_then(|session| session.state_for(self.link));
        let qos = source.grant.qos;
        let binding = source.to_binding(queue.options().name.clone());
        let mut new = topology::bind(parts, queue, binding.clone())?;
        if let (Some(state), true) = (&mut state, new) {
            // One that was there may always be made anew.
            if state.subscriptions >= parts.vhost.options.subscriptions_max {
                topology::unbind(parts, queue, topology::key_of(queue.id(), binding));
                return Err(Refusal::LimitReached("subscriptions of one session ([limits] subscriptions)"));
            }
            state.subscriptions += 1;
        }
        if let (Some(state), true) = (&mut state, new && is_headers) {
            // A filter is subscribed to once, whatever it asks of headers (MQTT 5.0, 3.8.4).
            let is_before = |arguments: &HeaderMatch| *arguments != binding.arguments;
            let key = (&source.exchange, &source.pattern, source.share.as_ref());
            for before in keys(parts, queue, key, is_before) {
                let existed = topology::unbind(parts, queue, before);
                state.subscriptions -= usize::from(existed);
                new &= !existed;
            }
        }
        drop(state);
        let wanted = match replay {
            Replay::Always => true,
            Replay::IfNew => new,
            Replay::Never => false,
        };
        // A shared subscription gets no retained messages (MQTT 5.0, 4.8.2).
        if source.share.is_some() {
            return Ok(qos);
        }
        if wanted {
            replay::begin(parts, queue, &source);
            if !done.fed.iter().any(|known| Arc::ptr_eq(known, queue)) {
                done.fed.push(Arc::clone(queue));
            }
        } else {
            queue.feed().regrant(&source);
        }
        Ok(qos)
    }

    fn attach(&mut self, queue: &Arc<Queue>, consumer: Consumer, wakes: &mut Wakes) -> Result<(), Refusal> {
        let settles = if consumer.acknowledges { Settles::Always } else { Settles::BySending };
        let options =
            ConsumerOptions { id: consumer.id, settles, prefetch: consumer.prefetch, link: self.link };
        let readiness = &self.mailbox.readiness;
        if queue.is_stream() && consumer.acknowledges && consumer.prefetch.is_none() {
            // It would have all of a stream on loan.
            return Err(Refusal::Invalid(
                "a stream whose messages are acknowledged is read with prefetch-count; say how many may be under way, or ack:auto",
            ));
        }
        let key = match consumer.start {
            Some(start) => queue.attach_at(start, options, readiness, wakes)?,
            None => queue.attach(options, readiness, wakes)?,
        };
        self.consumers.insert(consumer.id, Attached { queue: Arc::clone(queue), key });
        Ok(())
    }

    /// Ends one subscription; `false`: there was none.
    pub(crate) fn unsubscribe(
        &mut self,
        parts: &Arc<Parts>,
        ending: Unsubscription,
        wakes: &mut Wakes,
    ) -> bool {
        match ending {
            Unsubscription::Binding { exchange, pattern, share } => {
                let state = self.session.and_then(|session| session.state_for(self.link));
                let Some(mut state) = state else { return false };
                let mut key = BindingKey {
                    pattern: self.own.pattern(&exchange, pattern),
                    exchange,
                    arguments: Default::default(),
                    share,
                    queue: state.queue.options().name.clone(),
                    queue_id: state.queue.id(),
                };
                if key.share.is_none() {
                    state.queue.feed().end(&key.exchange, &key.pattern);
                }
                if is_headers(parts, &key.exchange) {
                    // Whatever it asks of headers.
                    let of = (&key.exchange, &key.pattern, key.share.as_ref());
                    let Some(there) = keys(parts, &state.queue, of, |_| true).pop() else { return false };
                    key = there;
                }
                let existed = topology::unbind(parts, &state.queue, key);
                state.subscriptions -= usize::from(existed);
                self.lost_durably |= existed && state.queue.options().durable;
                existed
            }
            Unsubscription::Consumer { id, delete_queue } => {
                let Some(attached) = self.consumers.remove(id) else { return false };
                self.cancelled.extend(leave(parts, &attached, delete_queue, wakes));
                self.lost_durably |= attached.queue.options().durable;
                true
            }
        }
    }
}

/// A consumer goes; its queue goes too, if that is to go with its last one. Returns who else consumed it.
pub(crate) fn leave(
    parts: &Arc<Parts>,
    attached: &Attached,
    delete_queue: bool,
    wakes: &mut Wakes,
) -> Vec<(Arc<Readiness>, ConsumerId)> {
    let left = attached.queue.detach(attached.key, wakes);
    expiry::watch(parts, &attached.queue);
    if left == 0 {
        expiry::watch_unused(parts, &attached.queue);
    }
    let options = attached.queue.options();
    if delete_queue || (left == 0 && options.auto_delete) {
        return topology::delete_queue(parts, &attached.queue);
    }
    Vec::new()
}

/// Whether it is a headers exchange. Most subscriptions are to topics: of those nothing is looked up.
fn is_headers(parts: &Parts, name: &ExchangeName) -> bool {
    let options = (*name != ExchangeName::TOPIC).then(|| parts.vhost.router.exchange(name)).flatten();
    options.is_some_and(|options| options.kind == ExchangeKind::Headers)
}

/// The bindings of a queue to an exchange, by a pattern, in a share, whose arguments are such.
fn keys(
    parts: &Parts,
    queue: &Queue,
    (exchange, pattern, share): (&ExchangeName, &KeyPattern, Option<&ShareName>),
    is_such: impl Fn(&HeaderMatch) -> bool,
) -> Vec<BindingKey> {
    let bindings = parts.vhost.router.bindings_of(&queue.options().name).into_iter();
    bindings
        .filter(|there| {
            there.exchange == *exchange
                && there.pattern == *pattern
                && there.share.as_ref() == share
                && is_such(&there.arguments)
        })
        .map(|there| topology::key_of(queue.id(), there))
        .collect()
}

fn private_name(parts: &Parts) -> QueueName {
    QueueName::new(&format!("{PRIVATE_QUEUES}{:x}", parts.numbers.queue().0))
}

/// How the names of queues begin that are one subscription's own.
pub(crate) const PRIVATE_QUEUES: &str = "stomp-subscription-";
