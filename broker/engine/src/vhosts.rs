//! Vhosts: namespaces beside the default one, each with its own engine and its own store; made, found and deleted while the broker runs

use std::sync::Arc;
use std::time::Duration;

use model::event::{Event, Farewell};
use model::name::VhostName;
use model::refusal::Refusal;
use model::vhost::VhostLimits;
use storage::{Recovered, Store, StoreError, VhostPlaces};
use telemetry::Metrics;
use tokio::task::spawn_blocking;

use crate::clock;
use crate::core::{Core, Cores};
use crate::definitions::{Definitions, Made, Objection, Reach};
use crate::foundation::Foundation;
use crate::mailbox::Note;
use crate::{caretaker, wills};

/// Where the stores of vhosts lie, and how each is opened.
#[derive(Clone)]
pub struct Premises {
    /// One directory for each.
    pub places: VhostPlaces,
    /// As the store of the default vhost is opened; of that of another one, `directory`, `space` and `metrics` are its own.
    pub storage: storage::Options,
    /// What is called if a disk fails.
    pub on_failure: fn(&StoreError),
}

/// What there is in a vhost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VhostView {
    /// Its name.
    pub name: VhostName,
    /// How much there may be in it.
    pub limits: VhostLimits,
    /// How many clients are in.
    pub connections: u64,
    /// How many sessions of MQTT clients there are, whether their clients are there or not.
    pub sessions: u64,
    /// How many queues, those of sessions and subscriptions among them.
    pub queues: u64,
    /// How many messages they hold, and how many wait for their time.
    pub messages: u64,
    /// How many messages are retained.
    pub retained: u64,
}

/// Why a vhost is not made or deleted.
#[derive(Debug, thiserror::Error)]
pub enum VhostError {
    /// The default one is always there.
    #[error("the default virtual host \"/\" is always there")]
    Default,
    /// There is none of that name.
    #[error("virtual host {0:?} does not exist")]
    Unknown(VhostName),
    /// It is not empty, and that it is to go all the same was not said.
    #[error(
        "virtual host {:?} has {} connections, {} sessions, {} messages in {} queues and {} retained messages, all of which go with it; \
         ask with force if that is meant",
        .0.name, .0.connections, .0.sessions, .0.messages, .0.queues, .0.retained
    )]
    InUse(Box<VhostView>),
    /// There are as many as there may be.
    #[error("there are {VHOSTS_MAX} virtual hosts already, which is as many as there may be")]
    TooMany,
    /// Its store cannot be opened, or not be removed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Its store remembers what cannot be.
    #[error("what the store of virtual host {0:?} remembers cannot be: {1}")]
    Remembers(VhostName, Refusal),
    /// It was made and deleted at once, or the broker ends.
    #[error("the broker is shutting down")]
    ShuttingDown,
}

/// All vhosts of the broker. Cloning it clones the handle.
#[derive(Clone)]
pub struct Vhosts {
    home: Arc<Core>,
    cores: Arc<Cores>,
    /// `None`: nothing outlives the process.
    premises: Option<Premises>,
    /// What is in a new one from the beginning.
    furniture: Arc<Definitions>,
    /// One is made or deleted at a time.
    order: Arc<tokio::sync::Mutex<()>>,
}

impl Vhosts {
    pub(crate) fn new(
        home: Arc<Core>,
        cores: Arc<Cores>,
        premises: Option<Premises>,
        furniture: Definitions,
    ) -> Self {
        Self { home, cores, premises, furniture: Arc::new(furniture), order: Arc::default() }
    }

    /// Opens all that there are by now, at the start. May take as long as there is to read.
    ///
    /// # Errors
    ///
    /// A store that cannot be opened.
    pub async fn open_all(&self) -> Result<(), VhostError> {
        let Some(premises) = self.premises.clone() else { return Ok(()) };
        let _order = self.order.lock().await;
        let found = spawn_blocking(move || premises.places.sweep().and_then(|()| premises.places.names()));
        let names = found.await.map_err(|_| VhostError::ShuttingDown)??;
        for name in names {
            self.open(name, None).await?;
        }
        Ok(())
    }

    /// Makes one, or gives one that is there other limits; whether it is new. `None`: its limits stay as they are, and a new one has
    /// none. It is there for good once this answers.
    ///
    /// # Errors
    ///
    /// See [`VhostError`].
    pub async fn put(&self, name: VhostName, limits: Option<VhostLimits>) -> Result<bool, VhostError> {
        let _order = self.order.lock().await;
        if name.is_default() {
            return Err(VhostError::Default);
        }
        if let Some(core) = self.cores.get(&name) {
            if let Some(limits) = limits {
                self.write(name, limits).await?;
                core.parts.vhost.limit(&limits);
            }
            return Ok(false);
        }
        if self.cores.all().len() >= VHOSTS_MAX {
            return Err(VhostError::TooMany);
        }
        if let Err(error) = self.open(name.clone(), Some(limits.unwrap_or_default())).await {
            // Half a vhost would be a whole one at the next start.
            if let Some(premises) = self.premises.clone() {
                let _ = spawn_blocking(move || premises.places.remove(&name)).await;
            }
            return Err(error);
        }
        Ok(true)
    }

    /// Deletes one with all that is in it: its clients are told, and cut off. `force`: also if there is something in it.
    ///
    /// # Errors
    ///
    /// See [`VhostError`].
    pub async fn delete(&self, name: &VhostName, force: bool) -> Result<(), VhostError> {
        let _order = self.order.lock().await;
        if name.is_default() {
            return Err(VhostError::Default);
        }
        let core = self.cores.get(name).ok_or_else(|| VhostError::Unknown(name.clone()))?;
        let view = view(&core);
        if !force && (view.connections, view.sessions, view.messages, view.retained) != (0, 0, 0, 0) {
            return Err(VhostError::InUse(Box::new(view)));
        }
        // From here on nobody comes in; whoever is in goes.
        self.cores.remove(name);
        core.stop();
        core.parts.vhost.timers.wake();
        core.parts.vhost.delayed.wake();
        let end = clock::instant() + PATIENCE;
        while !core.links().is_empty() && clock::instant() < end {
            core.links().values().for_each(|client| {
                client.mailbox.post(Note::News(Event::Closing(Farewell::Kicked)));
            });
            tokio::time::sleep(LOOKS_EVERY).await;
        }
        let (premises, name) = (self.premises.clone(), name.clone());
        let removed = spawn_blocking(move || {
            core.parts.durable.close();
            premises.map_or(Ok(()), |premises| premises.places.remove(&name))
        });
        removed.await.map_err(|_| VhostError::ShuttingDown)??;
        tracing::warn!(vhost = %view.name, messages = view.messages, "vhost.deleted");
        Ok(())
    }

    /// What they are called, in order; the default one is among them.
    pub fn names(&self) -> Vec<VhostName> {
        self.cores.all().iter().map(|core| core.name.clone()).collect()
    }

    /// What there is in each, by name.
    pub fn views(&self) -> Vec<VhostView> {
        self.cores.all().iter().map(|core| view(core)).collect()
    }

    /// How much there may be in one; `None`: there is none of that name.
    pub fn limits(&self, name: &VhostName) -> Option<VhostLimits> {
        self.cores.get(name).map(|core| core.parts.vhost.limits())
    }

    /// What there is in one; `None`: there is none of that name.
    pub fn view(&self, name: &VhostName) -> Option<VhostView> {
        self.cores.get(name).map(|core| view(&core))
    }

    /// What declaring all that would come to, in a vhost that may not be there yet.
    ///
    /// # Errors
    ///
    /// Everything that cannot be declared.
    pub fn rehearse(&self, name: &VhostName, definitions: &Definitions) -> Result<Made, Vec<Objection>> {
        if let Some(core) = self.cores.get(name) {
            return definitions.rehearse(&core.parts);
        }
        // One that nobody ever sees.
        let objection = |refusal| vec![Objection { kind: "vhost", name: name.to_string(), refusal }];
        let core =
            self.build(name.clone(), None, Arc::default()).map_err(|_| objection(Refusal::ShuttingDown))?;
        self.furniture.declare(&core.parts, Reach::Every, drop)?;
        definitions.rehearse(&core.parts)
    }

    async fn write(&self, name: VhostName, limits: VhostLimits) -> Result<(), VhostError> {
        let Some(premises) = self.premises.clone() else { return Ok(()) };
        let written = spawn_blocking(move || premises.places.write(&name, &limits));
        Ok(written.await.map_err(|_| VhostError::ShuttingDown)??)
    }

    /// `limits`: it is new; else they are read.
    async fn open(&self, name: VhostName, limits: Option<VhostLimits>) -> Result<(), VhostError> {
        let (metrics, is_new) = (Arc::new(Metrics::default()), limits.is_some());
        let opened = match self.premises.clone() {
            None => (None, limits.unwrap_or_default()),
            Some(premises) => {
                let (name, metrics) = (name.clone(), Arc::clone(&metrics));
                let opened = spawn_blocking(move || premises.open(&name, limits, metrics));
                let (store, limits) = opened.await.map_err(|_| VhostError::ShuttingDown)??;
                (Some(store), limits)
            }
        };
        let (store, limits) = opened;
        let core = self.build(name.clone(), store, metrics)?;
        core.parts.vhost.limit(&limits);
        if is_new {
            let parts = &core.parts;
            let made =
                self.furniture.declare(parts, Reach::Every, |changeset| parts.durable.commit_soon(changeset));
            made.map_err(|_| VhostError::ShuttingDown)?;
        }
        caretaker::employ(&core);
        core.parts.vhost.delayed.open();
        tracing::info!(vhost = %name, "vhost.open");
        self.cores.put(core);
        Ok(())
    }

    fn build(
        &self,
        name: VhostName,
        store: Option<(Arc<Store>, Recovered)>,
        metrics: Arc<Metrics>,
    ) -> Result<Arc<Core>, VhostError> {
        let access = Arc::clone(&self.home.access);
        let access = Arc::clone(&access).within(&name).unwrap_or(access);
        let options = self.home.parts.vhost.options.clone();
        let Foundation { parts, registry, bans, aftermaths } =
            Foundation::lay(&name, options, store, &access, metrics)
                .map_err(|refusal| VhostError::Remembers(name.clone(), refusal))?;
        let core = Core::beside(&self.home, name, parts, registry, bans, access);
        for aftermath in aftermaths {
            wills::settle(&core.parts, aftermath);
        }
        Ok(Arc::new(core))
    }
}

impl Premises {
    fn open(
        &self,
        name: &VhostName,
        limits: Option<VhostLimits>,
        metrics: Arc<Metrics>,
    ) -> Result<((Arc<Store>, Recovered), VhostLimits), StoreError> {
        let limits = match limits {
            Some(limits) => {
                self.places.write(name, &limits)?;
                limits
            }
            None => self.places.read(name)?,
        };
        let options = storage::Options {
            directory: self.places.directory(name),
            segment_bytes: self.storage.segment_bytes.min(SEGMENT_BYTES_MAX),
            surplus_bytes_max: self.storage.surplus_bytes_max.min(8 * SEGMENT_BYTES_MAX),
            cache_bytes: self.storage.cache_bytes.min(CACHE_BYTES_MAX),
            space: Arc::default(),
            metrics,
            ..self.storage.clone()
        };
        let (store, recovered) = Store::open(options, Box::new(self.on_failure))?;
        Ok(((Arc::new(store), recovered), limits))
    }
}

fn view(core: &Core) -> VhostView {
    let vhost = &core.parts.vhost;
    let queues = vhost.router.queues();
    let messages = queues.iter().map(|queue| queue.stats()).map(|stats| (stats.ready + stats.unacked) as u64);
    VhostView {
        name: core.name.clone(),
        limits: vhost.limits(),
        connections: vhost.room.taken(),
        sessions: core.parts.metrics.sessions.value(),
        queues: queues.len() as u64,
        messages: messages.sum::<u64>() + vhost.delayed.size().0,
        retained: vhost.retained_size().0,
    }
}

/// How many there may be: each has four threads and files of its own.
pub const VHOSTS_MAX: usize = 1000;

/// There may be many of them on one disk.
const SEGMENT_BYTES_MAX: u64 = 4 << 20;
/// What sled may keep in memory for each.
const CACHE_BYTES_MAX: u64 = 1 << 20;

/// How long the clients of a vhost that goes have to go.
const PATIENCE: Duration = Duration::from_secs(5);
const LOOKS_EVERY: Duration = Duration::from_millis(20);
