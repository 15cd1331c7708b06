//! The handle everyone holds.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use model::access::AccessControl;
use model::event::{Event, Farewell};
use model::name::{UserName, VhostName};
use model::principal::{Credentials, Permissions, Principal};
use model::refusal::Refusal;
use storage::{Recovered, Store};
use telemetry::Metrics;

use crate::client::{Arrival, Client};
use crate::clock;
use crate::commands::Commands;
use crate::core::{Core, Cores};
use crate::definitions::{Definitions, Reach};
use crate::foundation::Foundation;
use crate::inspect::Inspect;
use crate::link::{Link, Shown};
use crate::mailbox::{Mailbox, Note};
use crate::policy::Options;
use crate::vhosts::{Premises, Vhosts};
use crate::{caretaker, gauge, rest, wills};

/// The engine. Cloning it clones the handle.
#[derive(Clone)]
pub struct Broker {
    /// The default vhost.
    core: Arc<Core>,
    cores: Arc<Cores>,
    vhosts: Vhosts,
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
        let Foundation { parts, registry, bans, aftermaths } =
            Foundation::lay(&VhostName::DEFAULT, options, store, &access, metrics)?;
        let cores = Arc::new(Cores::default());
        let core = Arc::new(Core::new(parts, registry, bans, access, Arc::downgrade(&cores)));
        for aftermath in aftermaths {
            wills::settle(&core.parts, aftermath);
        }
        cores.put(Arc::clone(&core));
        caretaker::employ(&core);
        tokio::spawn(gauge::watch(Arc::downgrade(&core)));
        let vhosts = Vhosts::new(Arc::clone(&core), Arc::clone(&cores), None, Definitions::default());
        Ok(Self { core, cores, vhosts })
    }

    /// The same with a place for the stores of other vhosts; without it, they do not outlive the process. `furniture` is what is
    /// in a new one from the beginning.
    #[must_use]
    pub fn with_vhosts(mut self, premises: Option<Premises>, furniture: Definitions) -> Self {
        self.vhosts = Vhosts::new(Arc::clone(&self.core), Arc::clone(&self.cores), premises, furniture);
        self
    }

    /// The vhosts that there are.
    pub const fn vhosts(&self) -> &Vhosts {
        &self.vhosts
    }

    /// The same broker, as it is seen from that vhost: what it declares, commands and inspects is there. `None`: there is none of
    /// that name.
    pub fn within(&self, name: &VhostName) -> Option<Self> {
        let core = self.cores.get(name)?;
        Some(Self { core, cores: Arc::clone(&self.cores), vhosts: self.vhosts.clone() })
    }

    /// Which vhost it is seen from.
    pub fn vhost(&self) -> &VhostName {
        &self.core.name
    }

    /// Declares what a configuration asks for.
    ///
    /// # Errors
    ///
    /// If something of the same name exists and is different, or a binding names what does not exist.
    pub fn declare(&self, definitions: &Definitions) -> Result<(), Refusal> {
        let parts = &self.core.parts;
        let made = definitions.declare(parts, Reach::Every, |changeset| parts.durable.commit_soon(changeset));
        parts.vhost.delayed.open();
        made.map(drop).map_err(|objections| {
            objections.into_iter().map(|one| one.refusal).next().unwrap_or(Refusal::ShuttingDown)
        })
    }

    /// Who is that, and what may he do? For those who do not come as clients do.
    ///
    /// # Errors
    ///
    /// He is not let in, or it could not be found out.
    pub async fn admit(&self, credentials: &Credentials) -> Result<(Principal, Permissions), Refusal> {
        let answered = self.core.access.admit(credentials).await;
        answered.inspect_err(|_| self.core.parts.metrics.auth_refused.increment())
    }

    /// The rules are others now, or somebody is not let in any more: whoever is in is held against them.
    pub fn revise(&self) {
        for core in self.cores.all() {
            core.links().values().for_each(|client| client.mailbox.post(Note::Revise));
        }
    }

    /// A handle that changes exchanges, queues and bindings.
    pub fn commands(&self) -> Commands {
        Commands::new(Arc::clone(&self.core))
    }

    /// A look at who is there.
    pub fn inspect(&self) -> Inspect {
        Inspect::new(Arc::clone(&self.core))
    }

    /// Whether whoever comes from there stays out: to be asked before anything is read.
    pub fn keeps_out(&self, address: IpAddr) -> bool {
        self.core.home().bans.keeps_out(address, clock::now())
    }

    /// Whether that user stays out, and why: for those who do not come as clients do.
    ///
    /// # Errors
    ///
    /// [`Refusal::Banned`].
    pub fn check_user(&self, user: &UserName) -> Result<(), Refusal> {
        self.core.home().bans.check(None, Some(user), clock::now())
    }

    /// Whoever came from an address that stays out was closed.
    pub fn count_kept_out(&self) {
        self.core.home().parts.metrics.refused_banned.increment();
    }

    /// A connection came in.
    pub fn connect(&self, mut about: Arrival) -> Link {
        let shown =
            Shown { handshake: about.handshake.take(), certificate: about.certificate.take(), vhost: None };
        self.core.home().parts.vhost.delayed.open();
        let numbers = &self.core.home().parts.numbers;
        let (id, mailbox) = (numbers.link(), Mailbox::new());
        tracing::debug!(id, address = ?about.address, proto = about.protocol, listener = %about.listener, "link.open");
        let client = Client::new(id, numbers.link_name(id), about, Arc::clone(&mailbox));
        self.core.links().insert(id, Arc::clone(&client));
        if self.core.is_stopping() {
            mailbox.post(Note::News(Event::Closing(Farewell::ShuttingDown)));
        }
        Link::new(client, Arc::clone(&self.core), shown)
    }

    /// Says good-bye to every client and waits until they are gone, but no longer than `patience`. Then it is noted how far
    /// each queue was sent.
    pub async fn shutdown(&self, patience: Duration) {
        let all = self.cores.all();
        for core in &all {
            core.stop();
            // The tasks that look after what is due end.
            core.parts.vhost.timers.wake();
            core.parts.vhost.delayed.wake();
            for client in core.links().values() {
                client.mailbox.post(Note::News(Event::Closing(Farewell::ShuttingDown)));
            }
        }
        let end = clock::instant() + patience;
        let is_anybody = || all.iter().any(|core| !core.links().is_empty());
        while is_anybody() && clock::instant() < end {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        for core in &all {
            // Whoever is still there may still be sent something.
            if core.links().is_empty() {
                rest::note(&core.parts);
            }
        }
    }

    /// Writes and syncs all that was committed, in all vhosts; what is committed later is dropped. Takes as long as the disk does.
    pub fn close(&self) {
        let all = self.cores.all();
        std::thread::scope(|scope| {
            for core in &all {
                scope.spawn(|| core.parts.durable.close());
            }
        });
    }
}
