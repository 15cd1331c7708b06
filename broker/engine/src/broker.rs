//! The handle everyone holds.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use model::access::AccessControl;
use model::event::{Event, Farewell};
use model::name::{Incarnation, NodeId, UserName};
use model::principal::{Credentials, Permissions, Principal};
use model::refusal::Refusal;
use storage::{Recovered, Store};
use telemetry::Metrics;

use crate::authors::Authors;
use crate::bans::Bans;
use crate::client::{Arrival, Client};
use crate::clock;
use crate::commands::Commands;
use crate::core::Core;
use crate::definitions::{Definitions, Reach};
use crate::durable::Durable;
use crate::inspect::Inspect;
use crate::link::{Link, Shown};
use crate::mailbox::{Mailbox, Note};
use crate::numbers::Numbers;
use crate::parts::Parts;
use crate::policy::Options;
use crate::registry::Registry;
use crate::timers::{Due, Once};
use crate::vhost::Vhost;
use crate::{gauge, overdue, plan, recovery, rest, system_topics, wills};

/// The engine. Cloning it clones the handle.
#[derive(Clone)]
pub struct Broker {
    core: Arc<Core>,
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
            authors: Authors::new(Arc::clone(&access)),
            metrics,
        });
        let registry = Registry::new(Arc::clone(&access));
        let bans = Bans::new(parts.vhost.options.bans.clone());
        let wills = recovered.map(|mut recovered| {
            let now = clock::now();
            recovered.bans.drain(..).for_each(|ban| bans.restore(&parts, ban, now));
            recovery::recover(&parts, &registry, recovered)
        });
        let wills = wills.transpose()?;
        let core = Arc::new(Core::new(parts, registry, bans, access));
        for aftermath in wills.into_iter().flatten() {
            wills::settle(&core.parts, aftermath);
        }
        tokio::spawn(look_after(Arc::clone(&core)));
        tokio::spawn(gauge::watch(Arc::downgrade(&core)));
        let every = core.parts.vhost.options.sys_interval;
        if !every.is_zero() {
            tokio::spawn(system_topics::report(Arc::downgrade(&core), every));
        }
        Ok(Self { core })
    }

    /// Declares what a configuration asks for.
    ///
    /// # Errors
    ///
    /// If something of the same name exists and is different, or a binding names what does not exist.
    pub fn declare(&self, definitions: &Definitions) -> Result<(), Refusal> {
        let parts = &self.core.parts;
        let made = definitions.declare(parts, Reach::Every, |changeset| parts.durable.commit_soon(changeset));
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
        for client in self.core.links().values() {
            client.mailbox.post(Note::Revise);
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
        self.core.bans.keeps_out(address, clock::now())
    }

    /// Whether that user stays out, and why: for those who do not come as clients do.
    ///
    /// # Errors
    ///
    /// [`Refusal::Banned`].
    pub fn check_user(&self, user: &UserName) -> Result<(), Refusal> {
        self.core.bans.check(None, Some(user), clock::now())
    }

    /// Whoever came from an address that stays out was closed.
    pub fn count_kept_out(&self) {
        self.core.parts.metrics.refused_banned.increment();
    }

    /// A connection came in.
    pub fn connect(&self, mut about: Arrival) -> Link {
        let shown = Shown { handshake: about.handshake.take(), certificate: about.certificate.take() };
        let numbers = &self.core.parts.numbers;
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
        self.core.stop();
        // The task that looks after timers ends.
        self.core.parts.vhost.timers.wake();
        for client in self.core.links().values() {
            client.mailbox.post(Note::News(Event::Closing(Farewell::ShuttingDown)));
        }
        let end = clock::instant() + patience;
        while !self.core.links().is_empty() && clock::instant() < end {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        // Whoever is still there may still be sent something.
        if self.core.links().is_empty() {
            rest::note(&self.core.parts);
        }
    }
}

/// Does what is due, until the broker stops.
async fn look_after(core: Arc<Core>) {
    let timers = &core.parts.vhost.timers;
    while !core.is_stopping() {
        let all = timers.take(clock::instant(), AT_ONCE);
        if all.is_empty() {
            timers.wait().await;
            continue;
        }
        for due in all {
            act(&core, due);
        }
        tokio::task::yield_now().await;
    }
}

/// Each kind of thing that can be due is done here, and nowhere else.
fn act(core: &Core, due: Due) {
    let (parts, registry) = (&core.parts, &core.registry);
    match due {
        Due::Expire { client, life } => registry.expire(parts, &client, life, true),
        Due::Will { client, life } => registry.expire(parts, &client, life, false),
        Due::Once(Once::Messages(queue)) => overdue::expire_messages(parts, &queue),
        Due::Once(Once::Retained(exchange)) => overdue::expire_retained(parts, &exchange),
        Due::Once(Once::Unused(queue)) => overdue::expire_queue(parts, &queue),
        Due::Once(Once::Absent(queue)) => plan::fetch_again(parts, &queue),
        Due::Once(Once::Publications) => overdue::forget_publications(parts),
    }
}

/// How much that is due is done before others on the same worker have their turn.
const AT_ONCE: usize = 64;
