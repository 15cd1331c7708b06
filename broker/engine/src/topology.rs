//! Declare, bind, delete.

use std::sync::Arc;

use model::change::{BindingKey, Change, QueueRecord};
use model::name::ConsumerId;
use model::queue::{Binding, ExchangeOptions, QueueOptions};
use model::refusal::Refusal;
use routing::{Owner, Queue, Readiness};

use crate::parts::Parts;

/// Makes an exchange, if there is none of that name.
pub(crate) fn declare_exchange(parts: &Parts, options: ExchangeOptions) -> Result<bool, Refusal> {
    let _order = parts.vhost.order();
    let new = parts.vhost.router.declare_exchange(options.clone())?;
    if new && options.durable {
        parts.durable.record(Change::DeclareExchange(Box::new(options)));
    }
    Ok(new)
}

/// Finds the queue of that name, or makes it.
pub(crate) fn declare_queue(
    parts: &Parts,
    mut options: QueueOptions,
    owner: Owner,
) -> Result<(Arc<Queue>, bool), Refusal> {
    // Nearly every time it exists: a SEND to `/queue/…` declares with each message.
    if let Some(queue) = parts.vhost.router.queue(&options.name) {
        return Ok((queue, false));
    }
    let _order = parts.vhost.order();
    if let Some(queue) = parts.vhost.router.queue(&options.name) {
        return Ok((queue, false));
    }
    let limits = &parts.vhost.options;
    let own = !matches!(owner, Owner::Nobody);
    let (messages, bytes) = if own {
        (limits.session_queue_messages_max, limits.session_queue_bytes_max)
    } else {
        (limits.queue_messages_max, limits.queue_bytes_max)
    };
    options.ready_max.get_or_insert(messages);
    options.ready_bytes_max.get_or_insert(bytes);
    // Without a store nothing lasts, and a queue that says otherwise would only cost.
    options.durable &= parts.durable.is_persistent();
    let id = parts.numbers.queue();
    if options.durable {
        let record = QueueRecord { id, options: options.clone() };
        parts.durable.record(Change::DeclareQueue(Box::new(record)));
    }
    let queue = Queue::new(id, options, owner);
    parts.vhost.router.insert_queue(Arc::clone(&queue));
    Ok((queue, true))
}

/// Takes a queue away, with all that is in it. Returns who consumed it, by the readiness of the link and the consumer.
pub(crate) fn delete_queue(parts: &Parts, queue: &Queue) -> Vec<(Arc<Readiness>, ConsumerId)> {
    let _order = parts.vhost.order();
    // Closed first: routes may lead there until the last of its bindings is cut.
    let cancelled = queue.close();
    parts.vhost.router.remove_queue(&queue.options().name);
    if queue.options().durable {
        parts.durable.record(Change::DeleteQueue(queue.id()));
    }
    cancelled
}

/// Binds `queue`; `false`: it was bound like that before, and has the new grant now.
pub(crate) fn bind(parts: &Parts, queue: &Queue, binding: Binding) -> Result<bool, Refusal> {
    let _order = parts.vhost.order();
    if parts.vhost.router.exchange(&binding.exchange).is_none() {
        return Err(Refusal::NoExchange(binding.exchange));
    }
    if queue.options().durable {
        parts.durable.record(Change::Bind { queue: queue.id(), binding: Box::new(binding.clone()) });
    }
    parts.vhost.router.bind(binding)
}

/// Ends a binding; `false`: there was none.
pub(crate) fn unbind(parts: &Parts, queue: &Queue, key: BindingKey) -> bool {
    let _order = parts.vhost.order();
    let existed = parts.vhost.router.unbind(&key);
    if existed && queue.options().durable {
        parts.durable.record(Change::Unbind(Box::new(key)));
    }
    existed
}
