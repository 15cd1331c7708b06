//! What a configuration declares: exchanges, queues, bindings.

use model::queue::{Binding, ExchangeBinding, ExchangeOptions, QueueOptions};
use model::refusal::Refusal;

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
    /// Then these.
    pub exchange_bindings: Vec<ExchangeBinding>,
}

impl Definitions {
    pub(crate) fn declare(&self, parts: &Parts) -> Result<(), Refusal> {
        for exchange in &self.exchanges {
            topology::declare_exchange(parts, exchange.clone())?;
        }
        for options in &self.queues {
            topology::declare_whole(parts, options)?;
        }
        for binding in &self.bindings {
            let queue = parts.vhost.router.queue(&binding.queue);
            let queue = queue.ok_or_else(|| Refusal::NoQueue(binding.queue.clone()))?;
            topology::bind(parts, &queue, binding.clone())?;
        }
        for binding in &self.exchange_bindings {
            topology::bind_exchange(parts, binding.clone())?;
        }
        Ok(())
    }
}
