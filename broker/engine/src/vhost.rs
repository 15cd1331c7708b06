//! A namespace: its router, its retained messages.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use model::name::ExchangeName;
use routing::{Retained, Router};

use crate::policy::Options;

/// One namespace. Its parts lock for themselves; `order` is what keeps the journal and the router in step.
pub(crate) struct Vhost {
    pub(crate) router: Router,
    pub(crate) options: Options,
    retained: RwLock<HashMap<ExchangeName, Arc<Retained>>>,
    order: Mutex<()>,
}

impl Vhost {
    pub(crate) fn new(options: Options) -> Self {
        Self { router: Router::new(), options, retained: RwLock::default(), order: Mutex::new(()) }
    }

    /// Held while the topology changes: a declaration is handed to the journal before anyone can route by it, so that
    /// no entry stands in the journal before its queue.
    pub(crate) fn order(&self) -> MutexGuard<'_, ()> {
        self.order.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The retained messages of an exchange, if it ever had any.
    pub(crate) fn retained(&self, exchange: &ExchangeName) -> Option<Arc<Retained>> {
        self.retained.read().unwrap_or_else(PoisonError::into_inner).get(exchange).map(Arc::clone)
    }

    /// The retained messages of an exchange, to add to them.
    pub(crate) fn retained_mut(&self, exchange: &ExchangeName) -> Arc<Retained> {
        self.retained(exchange).unwrap_or_else(|| {
            let mut all = self.retained.write().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(all.entry(exchange.clone()).or_default())
        })
    }
}
