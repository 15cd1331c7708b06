//! What a configuration declares: exchanges, queues, bindings.

use model::queue::{Binding, ExchangeOptions, QueueOptions};
use model::refusal::Refusal;
use routing::{Owner, Router};

use crate::parts::Parts;
use crate::topology;

/// Declared at start; what exists already and is the same stays as it is.
#[derive(Debug, Clone, Default)]
pub struct Definitions {
    /// First these.
    pub exchanges: Vec<ExchangeOptions>,
    /// Then these.
    pub queues: Vec<QueueOptions>,
    /// Then these.
    pub bindings: Vec<Binding>,
}

impl Definitions {
    pub(crate) fn declare(&self, parts: &Parts) -> Result<(), Refusal> {
        for exchange in &self.exchanges {
            topology::declare_exchange(parts, exchange.clone())?;
        }
        for options in &self.queues {
            let (queue, new) = topology::declare_queue(parts, options.clone(), Owner::Nobody)?;
            if !new {
                let existing = queue.options();
                // A limit that is not given was the default when the queue was made, whatever that is now.
                let asked = QueueOptions {
                    ready_max: options.ready_max.or(existing.ready_max),
                    ready_bytes_max: options.ready_bytes_max.or(existing.ready_bytes_max),
                    ..options.clone()
                };
                Router::check_queue(existing, &asked)?;
            }
        }
        for binding in &self.bindings {
            let queue = parts.vhost.router.queue(&binding.queue);
            let queue = queue.ok_or_else(|| Refusal::NoQueue(binding.queue.clone()))?;
            topology::bind(parts, &queue, binding.clone())?;
        }
        Ok(())
    }
}
