//! What the broker and all of its links share.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};

use model::access::AccessControl;
use model::ban::Subject;
use model::event::{Event, Farewell};
use model::hook::Hook;
use model::name::{ClientId, ConsumerId, UserName, VhostName};
use model::refusal::Refusal;
use model::time::WallMs;
use routing::Readiness;

use crate::bans::Bans;
use crate::client::Client;
use crate::crowd::Crowd;
use crate::mailbox::Note;
use crate::parts::Parts;
use crate::presence::Presence;
use crate::pressure::Pressure;
use crate::registry::Registry;

/// What the links of one vhost share. Lives as long as any of them does.
pub(crate) struct Core {
    /// Which vhost it is.
    pub(crate) name: VhostName,
    pub(crate) parts: Arc<Parts>,
    pub(crate) registry: Registry,
    pub(crate) access: Arc<dyn AccessControl>,
    /// Who is asked about what clients do.
    pub(crate) hook: Option<Arc<dyn Hook>>,
    pub(crate) presence: Presence,
    /// Of the whole broker.
    pub(crate) pressure: Arc<Pressure>,
    /// Those of client ids, which mean something in one vhost alone; in the default one those of users and addresses, too.
    pub(crate) bans: Bans,
    /// Where the connections of one user have a limit, over all vhosts.
    pub(crate) crowd: Option<Arc<Crowd>>,
    /// The default vhost; `None`: this is it.
    home: Option<Arc<Core>>,
    cores: Weak<Cores>,
    links: Mutex<HashMap<u64, Arc<Client>>>,
    stopping: AtomicBool,
}

/// All vhosts that there are, by name, the default one among them.
#[derive(Default)]
pub(crate) struct Cores(RwLock<BTreeMap<VhostName, Arc<Core>>>);

impl Cores {
    /// That one, if there is one of that name.
    pub(crate) fn get(&self, name: &VhostName) -> Option<Arc<Core>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(name).map(Arc::clone)
    }

    /// All of them, by name.
    pub(crate) fn all(&self) -> Vec<Arc<Core>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).values().map(Arc::clone).collect()
    }

    /// Whether there are others than the default one.
    pub(crate) fn are_several(&self) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).len() > 1
    }

    /// One more. What was there under its name comes back.
    pub(crate) fn put(&self, core: Arc<Core>) -> Option<Arc<Core>> {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(core.name.clone(), core)
    }

    /// One less.
    pub(crate) fn remove(&self, name: &VhostName) -> Option<Arc<Core>> {
        self.0.write().unwrap_or_else(PoisonError::into_inner).remove(name)
    }
}

impl Core {
    /// The default vhost.
    pub(crate) fn new(
        parts: Arc<Parts>,
        registry: Registry,
        bans: Bans,
        access: Arc<dyn AccessControl>,
        cores: Weak<Cores>,
    ) -> Self {
        let options = &parts.vhost.options;
        let presence = Presence::new(options.events, options.node.clone());
        let crowd = Crowd::new(options.connections_per_user_max);
        let (hook, stopping) = (access.hook(), AtomicBool::new(false));
        Self {
            name: VhostName::DEFAULT,
            parts,
            registry,
            access,
            hook,
            presence,
            pressure: Arc::default(),
            bans,
            crowd,
            home: None,
            cores,
            links: Mutex::default(),
            stopping,
        }
    }

    /// Another vhost of the same broker. `access` says what anybody may do there.
    pub(crate) fn beside(
        home: &Arc<Self>,
        name: VhostName,
        parts: Arc<Parts>,
        registry: Registry,
        bans: Bans,
        access: Arc<dyn AccessControl>,
    ) -> Self {
        let beside = Self::new(parts, registry, bans, access, Weak::clone(&home.cores));
        Self {
            name,
            hook: home.hook.clone(),
            pressure: Arc::clone(&home.pressure),
            crowd: home.crowd.clone(),
            home: Some(Arc::clone(home)),
            ..beside
        }
    }

    /// The default vhost, where what is the whole broker's is kept.
    pub(crate) fn home(&self) -> &Self {
        self.home.as_deref().unwrap_or(self)
    }

    /// All vhosts of the broker; `None`: it is gone.
    pub(crate) fn cores(&self) -> Option<Arc<Cores>> {
        self.cores.upgrade()
    }

    /// Whether whoever calls himself that may come in.
    ///
    /// # Errors
    ///
    /// [`Refusal::Banned`].
    pub(crate) fn check_bans(
        &self,
        client: Option<&ClientId>,
        user: Option<&UserName>,
        now: WallMs,
    ) -> Result<(), Refusal> {
        if let Some(home) = &self.home {
            home.bans.check(None, user, now)?;
            return self.bans.check(client, None, now);
        }
        self.bans.check(client, user, now)
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

    /// Ends the connections of whoever that is, in all vhosts if he is somebody in all of them; how many. They may come again.
    pub(crate) fn kick_everywhere(&self, subject: &Subject) -> usize {
        match (subject, self.cores()) {
            (Subject::Client(_), _) | (_, None) => self.kick(subject),
            (Subject::User(_) | Subject::Ip(_), Some(cores)) => {
                cores.all().iter().map(|core| core.kick(subject)).sum()
            }
        }
    }

    /// Ends the connections of whoever that is, in this vhost.
    fn kick(&self, subject: &Subject) -> usize {
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
