//! What the broker and all of its links share.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use model::access::AccessControl;
use model::ban::Subject;
use model::event::{Event, Farewell};
use model::hook::Hook;
use model::name::ConsumerId;
use routing::Readiness;

use crate::bans::Bans;
use crate::client::Client;
use crate::crowd::Crowd;
use crate::mailbox::Note;
use crate::parts::Parts;
use crate::presence::Presence;
use crate::pressure::Pressure;
use crate::registry::Registry;

/// Lives as long as any link does.
pub(crate) struct Core {
    pub(crate) parts: Arc<Parts>,
    pub(crate) registry: Registry,
    pub(crate) access: Arc<dyn AccessControl>,
    /// Who is asked about what clients do.
    pub(crate) hook: Option<Arc<dyn Hook>>,
    pub(crate) presence: Presence,
    pub(crate) pressure: Pressure,
    pub(crate) bans: Bans,
    /// Where the connections of one user have a limit.
    pub(crate) crowd: Option<Arc<Crowd>>,
    links: Mutex<HashMap<u64, Arc<Client>>>,
    stopping: AtomicBool,
}

impl Core {
    pub(crate) fn new(
        parts: Arc<Parts>,
        registry: Registry,
        bans: Bans,
        access: Arc<dyn AccessControl>,
    ) -> Self {
        let options = &parts.vhost.options;
        let presence = Presence::new(options.events, options.node.clone());
        let crowd = Crowd::new(options.connections_per_user_max);
        let (hook, stopping) = (access.hook(), AtomicBool::new(false));
        Self {
            parts,
            registry,
            access,
            hook,
            presence,
            pressure: Pressure::default(),
            bans,
            crowd,
            links: Mutex::default(),
            stopping,
        }
    }

    /// From now on nobody is let in.
    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// Tells consumers that somebody deleted their queue.
    pub(crate) fn tell_cancelled(&self, cancelled: Vec<(Arc<Readiness>, ConsumerId)>) {
        if cancelled.is_empty() {
            return;
        }
        let links = self.links();
        for (readiness, consumer) in cancelled {
            // Rare enough to look at all links for the one that it is.
            let link = links.values().find(|client| Arc::ptr_eq(&client.mailbox.readiness, &readiness));
            if let Some(client) = link {
                client.mailbox.post(Note::News(Event::ConsumerCancelled(consumer)));
            }
        }
    }

    /// Ends the connections of whoever that is; how many. They may come again.
    pub(crate) fn kick(&self, subject: &Subject) -> usize {
        let links: Vec<_> = self.links().values().map(Arc::clone).collect();
        let mut count = 0;
        for client in links.iter().filter(|client| client.is(subject)) {
            client.mailbox.post(Note::News(Event::Closing(Farewell::Kicked)));
            count += 1;
        }
        count
    }

    /// All connections, by the numbers of their links.
    pub(crate) fn links(&self) -> MutexGuard<'_, HashMap<u64, Arc<Client>>> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
