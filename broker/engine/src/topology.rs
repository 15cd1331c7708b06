//! Declare, bind, delete.

use std::sync::Arc;

use model::change::{BindingKey, Change, QueueRecord};
use model::name::{ConsumerId, ExchangeName, QueueId, QueueName};
use model::queue::{
    Binding, ExchangeBinding, ExchangeOptions, Named, Overflow, QueueDeclaration, QueueOptions,
};
use model::refusal::Refusal;
use routing::{Owner, Queue, QueueStats, Readiness};

use crate::equivalence::{self, Demand};
use crate::expiry;
use crate::govern;
use crate::parts::Parts;
use crate::policy::Options;

/// Makes an exchange, if there is none of that name.
pub(crate) fn declare_exchange(parts: &Parts, options: ExchangeOptions) -> Result<bool, Refusal> {
    let _order = parts.vhost.order();
    let new = parts.vhost.router.declare_exchange(options.clone())?;
    if new {
        govern::apply_to_exchange(parts, &options.name);
    }
    if new && options.durable {
        parts.durable.record(Change::DeclareExchange(Box::new(options)));
    }
    Ok(new)
}

/// Finds the queue of that name, or makes it.
pub(crate) fn declare_queue(
    parts: &Parts,
    declaration: impl Into<QueueDeclaration>,
    owner: Owner,
) -> Result<(Arc<Queue>, bool), Refusal> {
    let mut declaration = declaration.into();
    let QueueDeclaration { options, named } = &mut declaration;
    let possible = check_possible(options);
    // As a queue was made: see [`new_queue`].
    options.durable &= parts.durable.is_persistent();
    // Nearly every time it exists: a SEND to `/queue/…` declares with each message.
    if let Some(queue) = parts.vhost.router.queue(&options.name) {
        agree(&queue, options, *named, &owner)?;
        expiry::watch_unused(parts, &queue);
        return Ok((queue, false));
    }
    possible?;
    check_name(&options.name, &owner)?;
    make_queue(parts, declaration, owner)
}

/// Whether somebody may make a queue of that name.
pub(crate) fn check_name(name: &QueueName, owner: &Owner) -> Result<(), Refusal> {
    let reserved = |whose: &str| Refusal::Denied {
        action: "declare",
        target: format!("queue {name:?}: names like this are for {whose}"),
    };
    if !matches!(owner, Owner::Session(_)) && name.as_str().starts_with(SESSION_QUEUES) {
        return Err(reserved("sessions"));
    }
    // Or somebody could wait there for replies that come too late for him they are meant for.
    if QueueName::is_for_replies(name.as_str()) {
        return Err(reserved("replies, and made by the broker"));
    }
    Ok(())
}

/// Whether that can be asked for by whoever is no connection.
pub(crate) fn check_common(options: &QueueOptions) -> Result<(), Refusal> {
    if options.exclusive {
        return Err(Refusal::Invalid("an exclusive queue belongs to a connection: only that can declare it"));
    }
    if options.name.as_str().is_empty() {
        return Err(Refusal::Invalid("a queue needs a name"));
    }
    check_possible(options)
}

/// Whether there can be a queue like that.
fn check_possible(options: &QueueOptions) -> Result<(), Refusal> {
    options
        .at_odds()
        .map_or(Ok(()), |(argument, why)| Err(Refusal::AtOdds { queue: options.name.clone(), argument, why }))
}

/// The queue that is to be like this in all, if it exists; if not, it may be made.
pub(crate) fn find_whole(parts: &Parts, options: &QueueOptions) -> Result<Option<Arc<Queue>>, Refusal> {
    check_common(options)?;
    let Some(queue) = parts.vhost.router.queue(&options.name) else {
        return check_name(&options.name, &Owner::Nobody).map(|()| None);
    };
    check_owner(&queue, &Owner::Nobody)?;
    check_whole(parts, &queue, options)?;
    Ok(Some(queue))
}

/// Makes a queue that is to be like this in all, or finds one that is; returns whether it is new.
pub(crate) fn declare_whole(parts: &Parts, options: &QueueOptions) -> Result<bool, Refusal> {
    let (queue, new) = declare_queue(parts, options.clone(), Owner::Nobody)?;
    if !new {
        check_whole(parts, &queue, options)?;
    }
    Ok(new)
}

fn check_whole(parts: &Parts, queue: &Queue, options: &QueueOptions) -> Result<(), Refusal> {
    let mut asked = options.clone();
    asked.durable &= parts.durable.is_persistent();
    let difference = equivalence::difference(queue.options(), &asked, Demand::Whole);
    difference.map_or(Ok(()), |difference| {
        Err(Refusal::Inequivalent { what: format!("queue {:?}", options.name), difference })
    })
}

/// [`declare_queue`] for a queue whose name the house has chosen, or checked.
pub(crate) fn make_queue(
    parts: &Parts,
    declaration: QueueDeclaration,
    owner: Owner,
) -> Result<(Arc<Queue>, bool), Refusal> {
    let QueueDeclaration { options, named } = declaration;
    let _order = parts.vhost.order();
    if let Some(queue) = parts.vhost.router.queue(&options.name) {
        return agree(&queue, &options, named, &owner).map(|()| (queue, false));
    }
    if owner == Owner::Nobody && parts.vhost.is_full_of_queues() {
        return Err(Refusal::LimitReached(
            "queues of all clients ([limits] queues, or those of the virtual host)",
        ));
    }
    let queue = new_queue(parts, options, owner);
    if queue.options().durable {
        parts.durable.record(Change::DeclareQueue(Box::new(record_of(&queue))));
    }
    parts.vhost.router.insert_queue(Arc::clone(&queue));
    expiry::watch_unused(parts, &queue);
    Ok((queue, true))
}

/// A queue that nobody sees yet.
pub(crate) fn new_queue(parts: &Parts, mut options: QueueOptions, owner: Owner) -> Arc<Queue> {
    // Without a store nothing lasts, and a queue that says otherwise would only cost.
    options.durable &= parts.durable.is_persistent();
    let options = completed(options, &owner, &parts.vhost.options);
    let terms = govern::terms(parts, &options, &owner);
    let queue = Queue::with_terms(parts.numbers.queue(), options, owner, terms);
    queue.join(&parts.vhost.options.pool);
    queue.keep(parts.vhost.options.resident);
    queue
}

/// What the journal is told of a new queue.
pub(crate) fn record_of(queue: &Queue) -> QueueRecord {
    QueueRecord { id: queue.id(), options: queue.options().clone(), rested: None }
}

/// A queue, whosever it is.
pub(crate) fn existing(parts: &Parts, name: &QueueName) -> Result<Arc<Queue>, Refusal> {
    parts.vhost.router.queue(name).ok_or_else(|| Refusal::NoQueue(name.clone()))
}

/// A queue that is nobody's own.
pub(crate) fn common(parts: &Parts, name: &QueueName) -> Result<Arc<Queue>, Refusal> {
    let queue = existing(parts, name)?;
    match queue.owner() {
        Owner::Nobody => Ok(queue),
        Owner::Session(_) | Owner::Link(_) => Err(Refusal::Exclusive(name.clone())),
    }
}

/// The options of a queue that is about to be made: what was left out is filled in.
fn completed(options: QueueOptions, owner: &Owner, limits: &Options) -> QueueOptions {
    if options.is_stream() {
        return completed_stream(options, limits);
    }
    let usual = govern::usual(owner, limits);
    // Whoever limits a queue and does not say what then means what RabbitMQ does.
    let is_limited = options.ready_max.is_some() || options.ready_bytes_max.is_some();
    let is_own = !matches!(owner, Owner::Nobody);
    let mut options = options.with(|arguments| {
        if is_limited {
            arguments.overflow.get_or_insert(Overflow::DropHead);
        }
        // Said only where it is not what such a queue does anyway: arguments cost memory in each of them.
        if is_own && limits.session_queue_overflow != Overflow::DropNew {
            arguments.overflow.get_or_insert(limits.session_queue_overflow);
        }
        if let Some(age) = limits.session_queue_age_max.filter(|_| is_own) {
            let age_ms = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
            arguments.message_ttl_ms.get_or_insert(age_ms);
        }
    });
    options.ready_max = options.ready_max.or(usual.ready_max);
    options.ready_bytes_max = options.ready_bytes_max.or(usual.ready_bytes_max);
    options
}

/// The same of a stream: what was said limits it, and if nothing was, as much as a queue may hold; in bytes it always has a limit.
fn completed_stream(mut options: QueueOptions, limits: &Options) -> QueueOptions {
    let has_age = options.arguments.as_ref().is_some_and(|arguments| arguments.age_max_ms.is_some());
    if !has_age && options.ready_bytes_max.is_none() {
        options.ready_max.get_or_insert(limits.queue_messages_max);
    }
    options.ready_bytes_max.get_or_insert(limits.queue_bytes_max);
    options.with(|arguments| arguments.overflow = Some(Overflow::DropHead))
}

/// Whether a queue that exists will do for who asks for it. Whatever was asked for in so many words must be so; nobody can
/// say of the rest whether it was meant.
pub(crate) fn agree(
    queue: &Queue,
    asked: &QueueOptions,
    named: Named,
    asking: &Owner,
) -> Result<(), Refusal> {
    check_owner(queue, asking)?;
    let there = queue.options();
    let difference = equivalence::difference(there, asked, Demand::Named(named));
    difference.map_or(Ok(()), |difference| {
        Err(Refusal::Inequivalent { what: format!("queue {:?}", there.name), difference })
    })
}

/// What comes into a session's queue, and who takes from it, is the session's business alone.
pub(crate) fn check_owner(queue: &Queue, asking: &Owner) -> Result<(), Refusal> {
    match queue.owner() {
        Owner::Session(_) if queue.owner() != asking => Err(Refusal::Exclusive(queue.options().name.clone())),
        Owner::Session(_) | Owner::Nobody | Owner::Link(_) => Ok(()),
    }
}

/// Who consumed a queue that is gone, by the readiness of the link and the consumer.
pub(crate) type Cancelled = Vec<(Arc<Readiness>, ConsumerId)>;

/// Takes a queue away, with all that is in it. Returns who consumed it.
pub(crate) fn delete_queue(parts: &Parts, queue: &Queue) -> Cancelled {
    delete_queue_if(parts, queue, |_| true).flatten().unwrap_or_default()
}

/// The same, if it `may` be as it is now. `None`: it may not; `Some(None)`: it is gone already.
pub(crate) fn delete_queue_if(
    parts: &Parts,
    queue: &Queue,
    may: impl FnOnce(QueueStats) -> bool,
) -> Option<Option<Cancelled>> {
    let _order = parts.vhost.order();
    let router = &parts.vhost.router;
    let name = &queue.options().name;
    // It may be gone already, and another one have its name.
    if router.queue(name).is_none_or(|found| found.id() != queue.id()) {
        return Some(None);
    }
    // Closed first: routes may lead there until the last of its bindings is cut.
    let cancelled = queue.close_if(may)?;
    router.remove_queue(name);
    parts.vhost.timers.cancel_queue(name);
    if queue.options().durable {
        parts.durable.record(Change::DeleteQueue(queue.id()));
    }
    record_exchanges_gone(parts);
    Some(Some(cancelled))
}

/// Takes an exchange away, with the bindings from it and to it; only one from which nothing is bound, if `unused`.
pub(crate) fn delete_exchange(parts: &Parts, name: &ExchangeName, unused: bool) -> Result<(), Refusal> {
    let _order = parts.vhost.order();
    let router = &parts.vhost.router;
    if router.exchange(name).is_none() {
        return Err(Refusal::NoExchange(name.clone()));
    }
    let bound = router.bound_from(name);
    if unused && bound > 0 {
        let (what, why) = (format!("exchange {name:?}"), format!("{bound} bindings begin there"));
        return Err(Refusal::InUse { what, why });
    }
    if !router.delete_exchange(name) {
        let target = format!("exchange {name:?}, which is the broker's own");
        return Err(Refusal::Denied { action: "delete", target });
    }
    record_exchanges_gone(parts);
    Ok(())
}

/// An exchange that is `auto_delete` goes with its last binding; whichever went is to stay away.
fn record_exchanges_gone(parts: &Parts) {
    for gone in parts.vhost.router.take_gone_exchanges() {
        if gone.durable {
            parts.durable.record(Change::DeleteExchange(gone.name));
        }
    }
}

/// Binds `queue`; `false`: it was bound like that before, and has the new grant now.
pub(crate) fn bind(parts: &Parts, queue: &Queue, binding: Binding) -> Result<bool, Refusal> {
    let _order = parts.vhost.order();
    let Some(exchange) = parts.vhost.router.exchange(&binding.exchange) else {
        return Err(Refusal::NoExchange(binding.exchange));
    };
    // What was refused is not recorded: the next start would fail on it.
    let new = parts.vhost.router.bind(binding.clone())?;
    if queue.options().durable && exchange.durable {
        parts.durable.record(Change::Bind { queue: queue.id(), binding: Box::new(binding) });
    }
    Ok(new)
}

/// Ends a binding; `false`: there was none.
pub(crate) fn unbind(parts: &Parts, queue: &Queue, key: BindingKey) -> bool {
    let _order = parts.vhost.order();
    let existed = parts.vhost.router.unbind(&key);
    if existed && queue.options().durable {
        parts.durable.record(Change::Unbind(Box::new(key)));
    }
    record_exchanges_gone(parts);
    existed
}

/// Binds one exchange to another; `false`: it was bound like that before. It lasts where both do.
pub(crate) fn bind_exchange(parts: &Parts, binding: ExchangeBinding) -> Result<bool, Refusal> {
    let _order = parts.vhost.order();
    let router = &parts.vhost.router;
    let new = router.bind_exchange(&binding)?;
    let lasts = |name| router.exchange(name).is_some_and(|exchange| exchange.durable);
    if new && lasts(&binding.exchange) && lasts(&binding.to) {
        parts.durable.record(Change::BindExchange(Box::new(binding)));
    }
    Ok(new)
}

/// Ends a binding between exchanges; `false`: there was none.
pub(crate) fn unbind_exchange(parts: &Parts, binding: ExchangeBinding) -> bool {
    let _order = parts.vhost.order();
    let existed = parts.vhost.router.unbind_exchange(&binding);
    if existed {
        parts.durable.record(Change::UnbindExchange(Box::new(binding)));
    }
    record_exchanges_gone(parts);
    existed
}

/// What makes that binding of that queue this one and no other.
pub(crate) fn key_of(queue_id: QueueId, binding: Binding) -> BindingKey {
    let Binding { exchange, pattern, arguments, queue, share, grant: _ } = binding;
    BindingKey { exchange, pattern, arguments, share, queue, queue_id }
}

/// How the names of sessions' own queues begin.
pub(crate) const SESSION_QUEUES: &str = "mqtt.";
