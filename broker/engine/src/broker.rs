//! The handle everyone holds.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use model::access::AccessControl;
use model::event::{Event, Farewell};
use model::name::{Incarnation, NodeId};
use model::refusal::Refusal;
use storage::{Recovered, Store};
use telemetry::Metrics;

use crate::definitions::Definitions;
use crate::durable::Durable;
use crate::link::{Arrival, Link};
use crate::mailbox::{Mailbox, Note};
use crate::numbers::Numbers;
use crate::parts::Parts;
use crate::policy::Options;
use crate::registry::Registry;
use crate::vhost::Vhost;
use crate::{recovery, wills};

/// The engine. Cloning it clones the handle.
#[derive(Clone)]
pub struct Broker {
    inner: Arc<Inner>,
}

struct Inner {
    parts: Arc<Parts>,
    registry: Registry,
    access: Arc<dyn AccessControl>,
    links: Mutex<HashMap<u64, Arc<Mailbox>>>,
    stopping: AtomicBool,
}

impl Broker {
    /// Brings back what the store remembers, and is ready for connections. Without a store nothing outlives the process.
    /// To be called within a tokio runtime: what is due later is looked after by a task.
    ///
    /// # Errors
    ///
    /// If the store remembers something that cannot be: an exchange that is another one by now.
    pub fn start(
        options: Options,
        store: Option<(Arc<Store>, Recovered)>,
        access: Arc<dyn AccessControl>,
        metrics: Arc<Metrics>,
    ) -> Result<Self, Refusal> {
        let (store, recovered) = store.unzip();
        let incarnation = recovered.as_ref().map_or(Incarnation(1), |recovered| recovered.incarnation);
        let parts = Arc::new(Parts {
            vhost: Vhost::new(options),
            durable: Durable::new(store),
            numbers: Numbers::new(NodeId::default(), incarnation),
            metrics,
        });
        let registry = Registry::default();
        let wills = recovered.map(|recovered| recovery::recover(&parts, &registry, recovered)).transpose()?;
        let inner =
            Inner { parts, registry, access, links: Mutex::default(), stopping: AtomicBool::new(false) };
        let broker = Self { inner: Arc::new(inner) };
        for aftermath in wills.into_iter().flatten() {
            wills::settle(broker.parts(), aftermath);
        }
        tokio::spawn(look_after(Arc::clone(&broker.inner)));
        Ok(broker)
    }

    /// Declares what a configuration asks for.
    ///
    /// # Errors
    ///
    /// If something of the same name exists and is different, or a binding names what does not exist.
    pub fn declare(&self, definitions: &Definitions) -> Result<(), Refusal> {
        definitions.declare(self.parts())
    }

    /// A connection came in.
    pub fn connect(&self, about: &Arrival) -> Link {
        let (id, mailbox) = (self.inner.parts.numbers.link(), Mailbox::new());
        self.links().insert(id, Arc::clone(&mailbox));
        if self.is_stopping() {
            mailbox.post(Note::News(Event::Closing(Farewell::ShuttingDown)));
        }
        tracing::debug!(id, address = ?about.address, proto = about.protocol, listener = %about.listener, "link.open");
        Link::new(id, self.clone(), mailbox)
    }

    /// Says good-bye to every client and waits until they are gone, but no longer than `patience`.
    pub async fn shutdown(&self, patience: Duration) {
        self.inner.stopping.store(true, Ordering::Release);
        for mailbox in self.links().values() {
            mailbox.post(Note::News(Event::Closing(Farewell::ShuttingDown)));
        }
        let end = Instant::now() + patience;
        while !self.links().is_empty() && Instant::now() < end {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub(crate) fn parts(&self) -> &Arc<Parts> {
        &self.inner.parts
    }

    pub(crate) fn registry(&self) -> &Registry {
        &self.inner.registry
    }

    pub(crate) fn access(&self) -> &Arc<dyn AccessControl> {
        &self.inner.access
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.inner.stopping.load(Ordering::Acquire)
    }

    pub(crate) fn forget(&self, link: u64) {
        self.links().remove(&link);
    }

    fn links(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Arc<Mailbox>>> {
        self.inner.links.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends what has come to its end, until the broker stops.
async fn look_after(inner: Arc<Inner>) {
    while !inner.stopping.load(Ordering::Acquire) {
        for aftermath in inner.registry.expire(&inner.parts, Instant::now()) {
            wills::settle(&inner.parts, aftermath);
        }
        inner.registry.wait().await;
    }
}
