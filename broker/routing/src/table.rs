//! Bindings and their generations.

pub(crate) mod generations;
pub(crate) mod home;
pub(crate) mod onward;
pub(crate) mod routes;
pub(crate) mod trace;

use std::cmp::Ordering;
use std::sync::Arc;

use foldhash::{HashMap, HashSet};
use smallvec::SmallVec;

use model::change::BindingKey;
use model::grant::{Grant, Overlapping};
use model::key::RoutingKey;
use model::name::{ExchangeName, QueueName};
use model::properties::Properties;
use model::queue::{Binding, ExchangeBinding, ExchangeOptions};
use model::refusal::Refusal;

use crate::binding::Origin;
use crate::exchange::{self, Exchange, Spoils};
use crate::queue::Queue;
use crate::queue::owner::Owner;
use crate::route::Route;
use crate::sender::Sender;
use crate::share::Share;
use crate::table::generations::Generations;
use crate::table::home::{Home, Line};
use crate::table::onward::{Onward, Pipe};
use crate::table::routes::Routes;

/// Everything that a namespace knows, but for the default exchange: that one is the queues themselves.
pub(crate) struct Table {
    exchanges: HashMap<ExchangeName, Exchange<Target>>,
    queues: HashMap<QueueName, Home>,
    /// How many of them are nobody's own.
    common_queues: usize,
    shares: HashMap<Origin, Arc<Share>>,
    onward: Onward,
    /// Exchanges that were taken out since somebody asked.
    gone: Vec<ExchangeOptions>,
    counts: BindingCounts,
    /// The last number that a line or a share got.
    last: u64,
    overlapping: Overlapping,
}

/// How many bindings there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BindingCounts {
    /// All of them.
    pub all: usize,
    /// Those that make a queue a member of a share.
    pub shared: usize,
}

impl BindingCounts {
    fn add(&mut self, line: &Line) {
        self.all += 1;
        self.shared += usize::from(line.origin.share.is_some());
    }

    fn remove(&mut self, line: &Line) {
        self.all -= 1;
        self.shared -= usize::from(line.origin.share.is_some());
    }
}

/// What an exchange leads to. Ordered by number, so that those bound alike stand in the order they came.
pub(crate) enum Target {
    Queue(Arc<Line>),
    Share(Arc<Share>),
    Exchange(Arc<Pipe>),
}

/// How an answer may be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Keeping {
    /// The same key gets the same answer, until a generation changes.
    pub(crate) by_key: bool,
    /// Another publisher would get another answer: somebody wants No Local.
    pub(crate) by_publisher: bool,
}

impl Table {
    pub(crate) fn new(overlapping: Overlapping) -> Self {
        Self {
            exchanges: exchange::own().map(|own| (own.name.clone(), Exchange::new(own))).collect(),
            queues: HashMap::default(),
            common_queues: 0,
            shares: HashMap::default(),
            onward: Onward::default(),
            gone: Vec::new(),
            counts: BindingCounts::default(),
            last: 0,
            overlapping,
        }
    }

    pub(crate) fn exchange(&self, name: &ExchangeName) -> Option<&ExchangeOptions> {
        self.exchanges.get(name).map(Exchange::options)
    }

    pub(crate) fn is_bound(&self, exchange: &ExchangeName) -> bool {
        self.exchanges.get(exchange).is_some_and(|exchange| exchange.bound() > 0)
    }

    pub(crate) fn exchanges(&self) -> impl Iterator<Item = &ExchangeOptions> {
        self.exchanges.values().map(Exchange::options)
    }

    pub(crate) fn insert_exchange(&mut self, options: ExchangeOptions, generations: &Generations) {
        let name = options.name.clone();
        self.onward.insert_alternate(&name, options.alternate.as_ref());
        self.exchanges.insert(name.clone(), Exchange::new(options));
        // It may be the alternate of others, which found nothing here so far.
        if !self.onward.upstream(&name).is_empty() {
            generations.spoil(&name, &Spoils::Everything);
        }
    }

    /// Gives an exchange that was declared without an alternate one, or none.
    pub(crate) fn lend_alternate(
        &mut self,
        name: &ExchangeName,
        alternate: Option<ExchangeName>,
        generations: &Generations,
    ) {
        let Some(exchange) = self.exchanges.get_mut(name) else { return };
        let before = exchange.alternate().cloned();
        exchange.lend(alternate);
        let after = exchange.alternate();
        if before.as_ref() != after {
            self.onward.remove_alternate(name, before.as_ref());
            self.onward.insert_alternate(name, after);
            // That is every slot of every exchange, so those that lead here are among them.
            generations.spoil(name, &Spoils::Everything);
        }
    }

    /// Takes an exchange out, with the bindings from it and to it; and so on with each exchange that goes with its last one.
    pub(crate) fn remove_exchange(&mut self, name: &ExchangeName, generations: &Generations) -> bool {
        let mut going = vec![name.clone()];
        let before = self.gone.len();
        while let Some(name) = going.pop() {
            let Some(gone) = self.exchanges.remove(&name) else { continue };
            self.let_go(&gone);
            for pipe in self.onward.remove_at(&name) {
                self.counts.all -= 1;
                let ExchangeBinding { exchange, pattern, arguments, to: _ } = &pipe.binding;
                let Some(source) = self.exchanges.get_mut(exchange) else { continue };
                source.remove(pattern, arguments, &Target::Exchange(Arc::clone(&pipe)));
                if source.goes_now() {
                    going.push(exchange.clone());
                }
            }
            self.onward.remove_alternate(&name, gone.alternate());
            self.gone.push(gone.options().clone());
        }
        let any = self.gone.len() > before;
        if any {
            generations.spoil(name, &Spoils::Everything);
        }
        any
    }

    /// Takes the lines of an exchange that is gone away from their queues.
    fn let_go(&mut self, gone: &Exchange<Target>) {
        let Self { queues, shares, counts, .. } = self;
        let mut ended = HashSet::<u64>::default();
        gone.for_each(|target| match target {
            Target::Queue(line) => {
                if let Some(home) = queues.get_mut(&line.route.queue.options().name) {
                    home.lines.take(&line.origin);
                    counts.remove(line);
                }
            }
            Target::Share(share) => ended.extend(share.ids()),
            Target::Exchange(_) => {}
        });
        shares.retain(|origin, _| origin.exchange != gone.options().name);
        if !ended.is_empty() {
            for home in queues.values_mut() {
                home.lines.take_all(|line| ended.contains(&line.id), |line| counts.remove(line));
            }
        }
    }

    /// The exchanges that were taken out, or went by themselves, since this was asked last.
    pub(crate) fn take_gone(&mut self) -> Vec<ExchangeOptions> {
        std::mem::take(&mut self.gone)
    }

    pub(crate) fn queue(&self, name: &str) -> Option<&Arc<Queue>> {
        self.queues.get(name).map(|home| &home.queue)
    }

    pub(crate) fn queues(&self) -> impl Iterator<Item = &Arc<Queue>> {
        self.queues.values().map(|home| &home.queue)
    }

    /// How many queues there are that are nobody's own.
    pub(crate) const fn common_queues(&self) -> usize {
        self.common_queues
    }

    /// Adds a queue. Returns the lines of one that had that name, to be cut.
    pub(crate) fn insert_queue(&mut self, queue: Arc<Queue>) -> Vec<Arc<Line>> {
        let name = queue.options().name.clone();
        self.common_queues += usize::from(is_common(&queue));
        let Some(old) = self.queues.insert(name, Home::new(queue)) else { return Vec::new() };
        self.common_queues -= usize::from(is_common(&old.queue));
        old.lines.into_vec()
    }

    /// Takes a queue out. Returns its lines too, to be cut.
    pub(crate) fn remove_queue(&mut self, name: &QueueName) -> Option<(Arc<Queue>, Vec<Arc<Line>>)> {
        let home = self.queues.remove(name)?;
        self.common_queues -= usize::from(is_common(&home.queue));
        Some((home.queue, home.lines.into_vec()))
    }

    /// Binds a queue; returns whether that is new.
    pub(crate) fn bind(&mut self, binding: &Binding, generations: &Generations) -> Result<bool, Refusal> {
        let Some(exchange) = self.exchanges.get_mut(&binding.exchange) else {
            return Err(Refusal::NoExchange(binding.exchange.clone()));
        };
        let Some(home) = self.queues.get_mut(&binding.queue) else {
            return Err(Refusal::NoQueue(binding.queue.clone()));
        };
        let origin = Origin::of(binding);
        let old = home.lines.get(&origin);
        if old.is_some_and(|line| line.route.grant == binding.grant) {
            return Ok(false);
        }
        let known = old.map(|line| line.id);
        let id = known.unwrap_or_else(|| next(&mut self.last));
        let route = Route { queue: Arc::clone(&home.queue), grant: binding.grant.clone(), via: None };
        let line = Arc::new(Line { id, origin, route });
        home.lines.replace(Arc::clone(&line));
        if known.is_none() {
            self.counts.add(&line);
        }
        let arguments = &binding.arguments;
        let spoils = exchange.spoils(&binding.pattern);
        if line.origin.share.is_none() {
            exchange.insert(&binding.pattern, arguments, Target::Queue(line));
        } else {
            let last = &mut self.last;
            let share = self.shares.entry(line.origin.clone()).or_insert_with(|| {
                let share = Arc::new(Share::new(next(last)));
                exchange.insert(&binding.pattern, arguments, Target::Share(Arc::clone(&share)));
                share
            });
            share.join(id, line.route.clone());
        }
        self.spoil(&binding.exchange, &spoils, generations);
        Ok(known.is_none())
    }

    /// Binds one exchange to another; returns whether that is new.
    pub(crate) fn bind_exchange(
        &mut self,
        binding: &ExchangeBinding,
        generations: &Generations,
    ) -> Result<bool, Refusal> {
        if !self.exchanges.contains_key(&binding.to) {
            return Err(Refusal::NoExchange(binding.to.clone()));
        }
        let Some(exchange) = self.exchanges.get_mut(&binding.exchange) else {
            return Err(Refusal::NoExchange(binding.exchange.clone()));
        };
        if self.onward.contains(binding) {
            return Ok(false);
        }
        let pipe = Arc::new(Pipe { id: next(&mut self.last), binding: binding.clone() });
        let spoils = exchange.spoils(&binding.pattern);
        exchange.insert(&binding.pattern, &binding.arguments, Target::Exchange(Arc::clone(&pipe)));
        self.onward.insert(pipe);
        self.counts.all += 1;
        self.spoil(&binding.exchange, &spoils, generations);
        Ok(true)
    }

    /// Takes a binding from one exchange to another away; returns whether it was there.
    pub(crate) fn unbind_exchange(&mut self, binding: &ExchangeBinding, generations: &Generations) -> bool {
        let Some(pipe) = self.onward.remove(binding) else { return false };
        self.counts.all -= 1;
        let ExchangeBinding { exchange: from, pattern, arguments, to: _ } = binding;
        let Some(exchange) = self.exchanges.get_mut(from) else { return true };
        exchange.remove(pattern, arguments, &Target::Exchange(pipe));
        let (spoils, goes) = (exchange.spoils(pattern), exchange.goes_now());
        self.spoil(from, &spoils, generations);
        if goes {
            self.remove_exchange(from, generations);
        }
        true
    }

    /// The bindings from one exchange to another, in no order.
    pub(crate) fn exchange_bindings(&self) -> impl Iterator<Item = &ExchangeBinding> {
        self.onward.pipes().map(|pipe| &pipe.binding)
    }

    /// How many bindings begin at that exchange; those that make members of one share count once.
    pub(crate) fn bound_from(&self, name: &ExchangeName) -> usize {
        self.exchanges.get(name).map_or(0, Exchange::bound)
    }

    /// Spoils what is cached of that exchange, and of all that lead to it: the key is the same on the whole way.
    fn spoil(&self, exchange: &ExchangeName, what: &Spoils, generations: &Generations) {
        generations.spoil(exchange, what);
        for source in self.onward.upstream(exchange) {
            generations.spoil(source, what);
        }
    }

    /// Takes a binding away; returns whether it was there.
    pub(crate) fn unbind(&mut self, key: &BindingKey, generations: &Generations) -> bool {
        let Some(home) = self.queues.get_mut(&key.queue) else { return false };
        if home.queue.id() != key.queue_id {
            return false;
        }
        let Some(line) = home.lines.take(&Origin::of_key(key)) else { return false };
        self.cut(&line, generations);
        true
    }

    /// Takes a line that its queue has let go of out of its exchange, and the exchange if it goes with its last line.
    pub(crate) fn cut(&mut self, line: &Arc<Line>, generations: &Generations) {
        let origin = &line.origin;
        self.counts.remove(line);
        let Some(exchange) = self.exchanges.get_mut(&origin.exchange) else { return };
        let arguments = origin.arguments();
        if origin.share.is_none() {
            exchange.remove(&origin.pattern, &arguments, &Target::Queue(Arc::clone(line)));
        } else if let Some(share) = self.shares.get(origin)
            && share.leave(line.id)
        {
            exchange.remove(&origin.pattern, &arguments, &Target::Share(Arc::clone(share)));
            self.shares.remove(origin);
        }
        let (spoils, goes) = (exchange.spoils(&origin.pattern), exchange.goes_now());
        self.spoil(&origin.exchange, &spoils, generations);
        if goes {
            self.remove_exchange(&origin.exchange, generations);
        }
    }

    pub(crate) const fn counts(&self) -> BindingCounts {
        self.counts
    }

    /// The bindings of a queue, in the order they were made.
    pub(crate) fn bindings_of(&self, queue: &QueueName) -> Vec<Binding> {
        let Some(home) = self.queues.get(queue) else { return Vec::new() };
        let mut lines = home.lines.all();
        lines.sort_unstable_by_key(|line| line.id);
        lines.into_iter().map(|line| line.binding()).collect()
    }

    /// Fills `routes` with where the message goes.
    pub(crate) fn resolve(
        &self,
        exchange: &ExchangeName,
        key: &RoutingKey,
        properties: Option<&Properties>,
        sender: Sender<'_>,
        routes: &mut Routes,
    ) -> Result<Keeping, Refusal> {
        routes.clear();
        if *exchange == ExchangeName::DEFAULT {
            let route =
                |queue: &Arc<Queue>| Route { queue: Arc::clone(queue), grant: Grant::default(), via: None };
            routes.fixed.extend(self.queue(key.as_str()).map(route));
            return Ok(Keeping { by_key: true, by_publisher: false });
        }
        let Some(exchange) = self.exchanges.get(exchange) else {
            return Err(Refusal::NoExchange(exchange.clone()));
        };
        routes.internal = exchange.options().internal;
        let mut way = Way::default();
        let about = (key, properties, sender);
        way.visit(exchange, about, routes);
        if !way.onward.is_empty() {
            self.go_on(&mut way, exchange, about, routes);
        }
        let from = way.is_long.then_some(&exchange.options().name);
        merge(&mut way.lines, from, self.overlapping, routes);
        Ok(Keeping { by_key: !way.by_headers, by_publisher: way.by_publisher })
    }

    /// Visits the exchanges that others lead to, each once. An alternate that does not exist leads nowhere.
    fn go_on<'t>(
        &'t self,
        way: &mut Way<'t>,
        from: &'t Exchange<Target>,
        about: (&RoutingKey, Option<&Properties>, Sender<'_>),
        routes: &mut Routes,
    ) {
        let (key, _, _) = about;
        let mut seen = HashSet::default();
        seen.insert(&from.options().name);
        way.is_long = true;
        while let Some(name) = way.onward.pop() {
            // What nobody may publish there does not get there in a roundabout way either.
            let is_kept_out = *name == ExchangeName::TOPIC && key.is_reserved();
            if !is_kept_out
                && seen.insert(name)
                && let Some(exchange) = self.exchanges.get(name)
            {
                way.visit(exchange, about, routes);
            }
        }
    }
}

/// What is found on a message's way through the exchanges.
#[derive(Default)]
struct Way<'t> {
    lines: SmallVec<[&'t Line; 16]>,
    /// Where it goes next.
    onward: SmallVec<[&'t ExchangeName; 4]>,
    /// It has left the exchange that was asked for.
    is_long: bool,
    /// An exchange on the way does not go by the key.
    by_headers: bool,
    by_publisher: bool,
}

impl<'t> Way<'t> {
    fn visit(
        &mut self,
        exchange: &'t Exchange<Target>,
        (key, properties, sender): (&RoutingKey, Option<&Properties>, Sender<'_>),
        routes: &mut Routes,
    ) {
        let Self { lines, onward, is_long, by_headers, by_publisher } = self;
        let mut is_wanted = false;
        exchange.for_each_match(key, properties, sender, |target| {
            is_wanted = true;
            match target {
                Target::Queue(line) => {
                    *by_publisher |= line.route.grant.no_local;
                    if !line.withholds(sender.session) {
                        lines.push(line);
                    }
                }
                Target::Share(share) if *is_long => {
                    routes.shares.push(share.pick_via(&exchange.options().name));
                }
                Target::Share(share) => routes.shares.push(share.pick()),
                Target::Exchange(pipe) => onward.push(&pipe.binding.to),
            }
        });
        *by_headers |= !exchange.goes_by_key();
        if !is_wanted {
            onward.extend(exchange.alternate());
        }
    }
}

/// Each queue once, with the grants of all its lines; or the queue of one session once for each.
/// `from`: the exchange that was asked for, if others were visited too.
fn merge(lines: &mut [&Line], from: Option<&ExchangeName>, overlapping: Overlapping, routes: &mut Routes) {
    // What belongs together stands together then; a queue's lines in their order.
    lines.sort_unstable_by_key(|line| (line.route.queue.id(), line.id));
    for line in lines {
        let via = from.map(|_| &line.origin.exchange).filter(|via| Some(*via) != from);
        match routes.fixed.last_mut() {
            Some(last)
                if Arc::ptr_eq(&last.queue, &line.route.queue)
                    && (overlapping == Overlapping::Merge || !last.queue.options().exclusive) =>
            {
                last.grant.merge(&line.route.grant);
                if via.is_none() {
                    last.via = None;
                }
            }
            Some(_) | None => {
                let via = via.map(|via| Box::new(via.clone()));
                routes.fixed.push(Route { via, ..line.route.clone() });
            }
        }
    }
}

fn next(last: &mut u64) -> u64 {
    *last += 1;
    *last
}

impl Target {
    fn id(&self) -> u64 {
        match self {
            Self::Queue(line) => line.id,
            Self::Share(share) => share.id,
            Self::Exchange(pipe) => pipe.id,
        }
    }
}

impl PartialEq for Target {
    fn eq(&self, other: &Self) -> bool {
        self.id() == other.id()
    }
}

impl Eq for Target {}

impl PartialOrd for Target {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Target {
    fn cmp(&self, other: &Self) -> Ordering {
        self.id().cmp(&other.id())
    }
}

fn is_common(queue: &Queue) -> bool {
    matches!(queue.owner(), Owner::Nobody)
}
