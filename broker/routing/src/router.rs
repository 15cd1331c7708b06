//! Declare, bind, resolve, hand over.

use std::fmt::Display;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use model::change::BindingKey;
use model::grant::Overlapping;
use model::key::RoutingKey;
use model::name::{ExchangeName, QueueName};
use model::properties::Properties;
use model::queue::{Binding, ExchangeBinding, ExchangeKind, ExchangeOptions};
use model::refusal::Refusal;

use crate::queue::Queue;
use crate::route_cache::{Found, PlaceBudget, Question, RouteCache};
use crate::sender::Sender;
use crate::table::generations::Generations;
use crate::table::home::Line;
use crate::table::routes::Routes;
use crate::table::trace::Trace;
use crate::table::{BindingCounts, Table};

/// One namespace: exchanges, queues, and the bindings between them.
///
/// The default exchange and `amq.topic`, `amq.direct`, `amq.fanout` and `amq.headers` are always there, and `$user` and
/// `$session`, where keys begin with the one they are meant for. The default exchange leads to the queue whose name is the key, and cannot be bound to.
pub struct Router {
    table: RwLock<Table>,
    generations: Generations,
    cache_places: Arc<PlaceBudget>,
}

impl Router {
    /// A namespace without queues; `overlapping`: what a session gets of a message that several of its subscriptions match.
    pub fn new(overlapping: Overlapping) -> Self {
        Self {
            table: RwLock::new(Table::new(overlapping)),
            generations: Generations::new(),
            cache_places: PlaceBudget::new(),
        }
    }

    /// Declares an exchange; returns whether it is new.
    ///
    /// # Errors
    ///
    /// If one of that name exists and is different, or if a new one would have a name of the broker's own: the empty
    /// one, or one that starts with `amq.` or `$`; or if its alternate would be the default exchange or start with `$`.
    pub fn declare_exchange(&self, options: ExchangeOptions) -> Result<bool, Refusal> {
        let mut table = self.write();
        let new = is_new_exchange(&table, &options)?;
        if new {
            table.insert_exchange(options, &self.generations);
        }
        Ok(new)
    }

    /// What [`Self::declare_exchange`] would answer now.
    ///
    /// # Errors
    ///
    /// The same.
    pub fn would_declare_exchange(&self, options: &ExchangeOptions) -> Result<bool, Refusal> {
        is_new_exchange(&self.read(), options)
    }

    /// The options of an exchange, if it exists.
    pub fn exchange(&self, name: &ExchangeName) -> Option<ExchangeOptions> {
        if *name == ExchangeName::DEFAULT {
            return Some(default_exchange());
        }
        self.read().exchange(name).cloned()
    }

    /// Has an exchange that was declared without an alternate send what no binding wants there, or nowhere.
    pub fn lend_alternate(&self, name: &ExchangeName, alternate: Option<ExchangeName>) {
        self.write().lend_alternate(name, alternate, &self.generations);
    }

    /// Deletes an exchange with the bindings from it and to it; returns whether it was there. The broker's own stay. Others
    /// that lose their last binding by that and are `auto_delete` go too.
    pub fn delete_exchange(&self, name: &ExchangeName) -> bool {
        if is_reserved(name) {
            return false;
        }
        self.write().remove_exchange(name, &self.generations)
    }

    /// The exchanges that were deleted, or went with their last binding, since this was asked last.
    pub fn take_gone_exchanges(&self) -> Vec<ExchangeOptions> {
        self.write().take_gone()
    }

    /// Adds a queue. One that had its name before is forgotten, with its bindings.
    pub fn insert_queue(&self, queue: Arc<Queue>) {
        let name = queue.options().name.clone();
        let cut = {
            let mut table = self.write();
            let cut = table.insert_queue(queue);
            self.generations.spoil_queue(name.as_str());
            cut
        };
        self.cut(&cut);
    }

    /// The queue of that name.
    pub fn queue(&self, name: &QueueName) -> Option<Arc<Queue>> {
        self.read().queue(name.as_str()).cloned()
    }

    /// Forgets a queue and its bindings. Messages may be routed to it until this returns: it should be closed first.
    pub fn remove_queue(&self, name: &QueueName) -> Option<Arc<Queue>> {
        let (queue, cut) = {
            let mut table = self.write();
            let gone = table.remove_queue(name)?;
            self.generations.spoil_queue(name.as_str());
            gone
        };
        self.cut(&cut);
        Some(queue)
    }

    /// Binds a queue to an exchange; returns whether that is new. A binding that differs only in its grant replaces the
    /// old one.
    ///
    /// # Errors
    ///
    /// If the exchange or the queue does not exist, or if it is the default exchange.
    pub fn bind(&self, binding: Binding) -> Result<bool, Refusal> {
        Self::check_bound(&binding.exchange)?;
        self.write().bind(&binding, &self.generations)
    }

    /// Whether queues may be bound to an exchange of that name, if it exists.
    ///
    /// # Errors
    ///
    /// If it is the default exchange.
    pub fn check_bound(exchange: &ExchangeName) -> Result<(), Refusal> {
        if *exchange == ExchangeName::DEFAULT { Err(denied("bind to", exchange)) } else { Ok(()) }
    }

    /// Takes a binding away; returns whether it was there. An exchange that is `auto_delete` goes with its last one.
    pub fn unbind(&self, key: &BindingKey) -> bool {
        self.write().unbind(key, &self.generations)
    }

    /// Binds one exchange to another, so that what it gets by that pattern or those arguments goes there too; returns
    /// whether that is new.
    ///
    /// # Errors
    ///
    /// If one of them does not exist, or is one whose keys are addresses: the default exchange, or one that starts with `$`.
    pub fn bind_exchange(&self, binding: &ExchangeBinding) -> Result<bool, Refusal> {
        Self::check_joined(binding)?;
        self.write().bind_exchange(binding, &self.generations)
    }

    /// Whether exchanges of those names may be bound to each other, if they exist.
    ///
    /// # Errors
    ///
    /// If the keys of one are addresses.
    pub fn check_joined(binding: &ExchangeBinding) -> Result<(), Refusal> {
        let ends = [("bind from", &binding.exchange), ("bind to", &binding.to)];
        match ends.into_iter().find(|(_, name)| is_addressed(name)) {
            Some((action, name)) => Err(denied(action, name)),
            None => Ok(()),
        }
    }

    /// Takes a binding between exchanges away; returns whether it was there. An exchange that is `auto_delete` goes with its
    /// last one.
    pub fn unbind_exchange(&self, binding: &ExchangeBinding) -> bool {
        self.write().unbind_exchange(binding, &self.generations)
    }

    /// The bindings from one exchange to another, in no order.
    pub fn exchange_bindings(&self) -> Vec<ExchangeBinding> {
        self.read().exchange_bindings().cloned().collect()
    }

    /// How many bindings begin at that exchange; those that make members of one share count once.
    pub fn bound_from(&self, name: &ExchangeName) -> usize {
        self.read().bound_from(name)
    }

    /// The bindings of a queue, in the order they were made.
    pub fn bindings_of(&self, queue: &QueueName) -> Vec<Binding> {
        self.read().bindings_of(queue)
    }

    /// Whether anything is bound to an exchange.
    pub fn is_bound(&self, exchange: &ExchangeName) -> bool {
        self.read().is_bound(exchange)
    }

    /// How many bindings there are.
    pub fn binding_counts(&self) -> BindingCounts {
        self.read().counts()
    }

    /// All exchanges, the default one first, the others by name.
    pub fn exchanges(&self) -> Vec<ExchangeOptions> {
        let mut all: Vec<_> =
            std::iter::once(default_exchange()).chain(self.read().exchanges().cloned()).collect();
        all.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        all
    }

    /// All queues, in no order.
    pub fn queues(&self) -> Vec<Arc<Queue>> {
        self.read().queues().cloned().collect()
    }

    /// How many queues there are that are nobody's own.
    pub fn common_queues(&self) -> usize {
        self.read().common_queues()
    }

    /// Every queue that gets the message, each once, with the grants of all its bindings merged (MQTT 5.0, 3.3.4). A
    /// session's binding with No Local withholds what that session published. `cache` is the publisher's own.
    ///
    /// # Errors
    ///
    /// If the exchange does not exist.
    pub fn resolve<'c>(
        &self,
        exchange: &ExchangeName,
        key: &RoutingKey,
        properties: Option<&Properties>,
        sender: Sender<'_>,
        cache: &'c mut RouteCache,
    ) -> Result<&'c Routes, Refusal> {
        let cache = cache.known();
        let found = cache.find(exchange, key, sender.session, &self.generations);
        if let Found::Fresh(at) = found {
            return Ok(cache.get(at));
        }
        let slot = self.generations.slot(exchange, key);
        let generation = self.generations.now(slot);
        let mut routes = cache.borrow_room();
        let keeping = self.read().resolve(exchange, key, properties, sender, &mut routes)?;
        let question = Question { exchange, key, publisher: sender.session, slot, generation };
        Ok(cache.keep(&question, found, keeping, routes, &self.cache_places))
    }

    /// The way that a message would take, told binding by binding. It takes long: for people alone.
    ///
    /// # Errors
    ///
    /// If the exchange does not exist.
    pub fn trace(
        &self,
        exchange: &ExchangeName,
        key: &RoutingKey,
        properties: Option<&Properties>,
        sender: Sender<'_>,
    ) -> Result<Trace, Refusal> {
        self.read().trace(exchange, key, properties, sender)
    }

    /// A queue with very many bindings must not hold up all publishers.
    fn cut(&self, lines: &[Arc<Line>]) {
        for some in lines.chunks(CUT_MAX) {
            let mut table = self.write();
            for line in some {
                table.cut(line, &self.generations);
            }
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, Table> {
        self.table.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Table> {
        self.table.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Router {
    fn default() -> Self {
        Self::new(Overlapping::default())
    }
}

fn default_exchange() -> ExchangeOptions {
    ExchangeOptions {
        name: ExchangeName::DEFAULT,
        kind: ExchangeKind::Direct,
        durable: true,
        auto_delete: false,
        internal: false,
        alternate: None,
    }
}

/// Whether its keys say whom or what a message is for: nothing is to get there that was published elsewhere.
fn is_addressed(name: &ExchangeName) -> bool {
    *name == ExchangeName::DEFAULT || name.as_str().starts_with('$')
}

fn is_reserved(name: &ExchangeName) -> bool {
    *name == ExchangeName::DEFAULT || name.as_str().starts_with("amq.") || name.as_str().starts_with('$')
}

fn denied(action: &'static str, exchange: &ExchangeName) -> Refusal {
    Refusal::Denied { action, target: format!("exchange {exchange:?}, which is the broker's own") }
}

/// Whether declaring that exchange makes one.
fn is_new_exchange(table: &Table, options: &ExchangeOptions) -> Result<bool, Refusal> {
    if let Some(existing) = table.exchange(&options.name) {
        return check_exchange(existing, options).map(|()| false);
    }
    if is_reserved(&options.name) {
        return Err(denied("declare", &options.name));
    }
    match options.alternate.as_ref().filter(|name| is_addressed(name)) {
        Some(alternate) => Err(denied("have as alternate", alternate)),
        None => Ok(true),
    }
}

fn check_exchange(existing: &ExchangeOptions, asked: &ExchangeOptions) -> Result<(), Refusal> {
    let what = || format!("exchange {:?}", existing.name);
    differs(what, "kind", existing.kind.as_str(), asked.kind.as_str())?;
    differs(what, "durable", existing.durable, asked.durable)?;
    differs(what, "auto_delete", existing.auto_delete, asked.auto_delete)?;
    differs(what, "internal", existing.internal, asked.internal)?;
    let alternate = |options: &ExchangeOptions| {
        options.alternate.as_ref().map_or_else(|| "none".to_owned(), |name| format!("{name:?}"))
    };
    differs(what, "alternate", alternate(existing), alternate(asked))
}

fn differs<T: PartialEq + Display>(
    what: impl Fn() -> String,
    option: &str,
    existing: T,
    asked: T,
) -> Result<(), Refusal> {
    if existing == asked {
        return Ok(());
    }
    let difference = format!("{option} is {existing}, asked for was {asked}");
    Err(Refusal::Inequivalent { what: what(), difference })
}

/// So many bindings are cut at a time, and then publishers have their turn.
const CUT_MAX: usize = 512;

#[cfg(test)]
mod tests;
