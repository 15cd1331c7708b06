//! Definitions: exchanges, queues and bindings that are declared together, or not at all

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use model::change::{Change, Changeset};
use model::grant::Grant;
use model::key::KeyPattern;
use model::name::{ExchangeName, QueueName, ShareName};
use model::queue::{Binding, ExchangeBinding, ExchangeOptions, HeaderMatch, QueueOptions};
use model::refusal::Refusal;
use routing::{Owner, Queue, Router};

use crate::expiry;
use crate::govern;
use crate::parts::Parts;
use crate::policies::{CheckedPolicy, Placed};
use crate::topology;

/// What is to be there; what exists already and is the same stays as it is.
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
    /// They hold for what is above as well.
    pub policies: Vec<CheckedPolicy>,
}

/// How many of each were made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Made {
    /// Exchanges.
    pub exchanges: usize,
    /// Queues.
    pub queues: usize,
    /// Bindings, to queues and to exchanges.
    pub bindings: usize,
    /// Policies.
    pub policies: usize,
}

/// Something that cannot be declared, so that nothing is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Objection {
    /// `exchange`, `queue`, `binding` or `policy`.
    pub kind: &'static str,
    /// What it is called.
    pub name: String,
    /// Why.
    pub refusal: Refusal,
}

impl fmt::Display for Objection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}: {}", self.kind, self.name, self.refusal)
    }
}

impl Definitions {
    /// Declares all, or nothing: `commit` gets it as one changeset before anybody can route by it.
    pub(crate) fn declare(
        &self,
        parts: &Parts,
        reach: Reach,
        commit: impl FnOnce(Changeset),
    ) -> Result<Made, Vec<Objection>> {
        let _order = parts.vhost.order();
        let news = News::of(self, parts, reach)?;
        commit(news.changeset());
        news.show(parts);
        Ok(news.made)
    }

    /// What [`Self::declare`] would come to now.
    pub(crate) fn rehearse(&self, parts: &Parts) -> Result<Made, Vec<Objection>> {
        let _order = parts.vhost.order();
        News::of(self, parts, Reach::Common).map(|news| news.made)
    }
}

/// Which queues may be bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// All, whosever they are.
    Every,
    /// Those that are nobody's own.
    Common,
}

/// What is not there yet. It holds while the topology stays as it is.
struct News<'a> {
    exchanges: Vec<&'a ExchangeOptions>,
    queues: Vec<Arc<Queue>>,
    /// Declared once more, which counts as use.
    used: Vec<Arc<Queue>>,
    bindings: Vec<Drawn<'a>>,
    /// And whether it lasts.
    exchange_bindings: Vec<(&'a ExchangeBinding, bool)>,
    policies: Vec<&'a CheckedPolicy>,
    made: Made,
}

/// A binding that is to be made, or gets another grant.
struct Drawn<'a> {
    binding: &'a Binding,
    queue: Arc<Queue>,
    is_new: bool,
    lasts: bool,
}

impl<'a> News<'a> {
    fn of(all: &'a Definitions, parts: &Parts, reach: Reach) -> Result<Self, Vec<Objection>> {
        let mut survey = Survey {
            parts,
            reach,
            exchanges: HashMap::new(),
            queues: HashMap::new(),
            objections: Vec::new(),
        };
        let exchanges = survey.exchanges(&all.exchanges);
        let (queues, used) = survey.queues(&all.queues);
        let bindings = survey.bindings(&all.bindings);
        let exchange_bindings = survey.exchange_bindings(&all.exchange_bindings);
        let policies = survey.policies(&all.policies);
        if !survey.objections.is_empty() {
            return Err(survey.objections);
        }
        let made = Made {
            exchanges: exchanges.len(),
            queues: queues.len(),
            bindings: bindings.iter().filter(|one| one.is_new).count() + exchange_bindings.len(),
            policies: policies.len(),
        };
        Ok(Self { exchanges, queues, used, bindings, exchange_bindings, policies, made })
    }

    fn changeset(&self) -> Changeset {
        let exchanges = self.exchanges.iter().filter(|exchange| exchange.durable);
        let queues = self
            .queues
            .iter()
            .filter(|queue| queue.options().durable)
            .map(|queue| Change::DeclareQueue(Box::new(topology::record_of(queue))));
        let bindings = self
            .bindings
            .iter()
            .filter(|one| one.lasts)
            .map(|one| Change::Bind { queue: one.queue.id(), binding: Box::new(one.binding.clone()) });
        let onward = self.exchange_bindings.iter().filter(|(_, lasts)| *lasts);
        let changes = exchanges
            .map(|exchange| Change::DeclareExchange(Box::new(ExchangeOptions::clone(exchange))))
            .chain(queues)
            .chain(bindings)
            .chain(onward.map(|(binding, _)| Change::BindExchange(Box::new(ExchangeBinding::clone(binding)))))
            .chain(self.policies.iter().map(|one| Change::PutPolicy(Box::new(one.policy().clone()))))
            .collect();
        Changeset { changes }
    }

    fn show(&self, parts: &Parts) {
        let router = &parts.vhost.router;
        // All of it was looked at, and nothing changed since.
        let must = |done: Result<bool, Refusal>| {
            if let Err(refusal) = done {
                tracing::error!(reason = %refusal, "definitions.refused");
            }
        };
        for policy in &self.policies {
            must(parts.vhost.policies.put(CheckedPolicy::clone(policy)).map(|_| true));
        }
        for exchange in &self.exchanges {
            must(router.declare_exchange(ExchangeOptions::clone(exchange)));
            govern::apply_to_exchange(parts, &exchange.name);
        }
        for queue in &self.queues {
            router.insert_queue(Arc::clone(queue));
        }
        for queue in self.queues.iter().chain(&self.used) {
            expiry::watch_unused(parts, queue);
        }
        for one in &self.bindings {
            must(router.bind(one.binding.clone()));
        }
        for (binding, _) in &self.exchange_bindings {
            must(router.bind_exchange(binding));
        }
    }
}

/// Looks at item after item.
struct Survey<'a> {
    parts: &'a Parts,
    reach: Reach,
    /// Those of the definitions, and whether they last.
    exchanges: HashMap<ExchangeName, bool>,
    /// Those of the definitions; `None`: it cannot be.
    queues: HashMap<QueueName, Option<Arc<Queue>>>,
    objections: Vec<Objection>,
}

impl Survey<'_> {
    fn exchanges<'d>(&mut self, all: &'d [ExchangeOptions]) -> Vec<&'d ExchangeOptions> {
        let mut news = Vec::new();
        for options in all {
            let seen = match self.exchanges.insert(options.name.clone(), options.durable) {
                Some(_) => Err(TWICE),
                None => self.parts.vhost.router.would_declare_exchange(options),
            };
            match seen {
                Ok(true) => news.push(options),
                Ok(false) => {}
                Err(refusal) => self.object("exchange", options.name.to_string(), refusal),
            }
        }
        news
    }

    /// Those that are new, and those that are there.
    fn queues(&mut self, all: &[QueueOptions]) -> (Vec<Arc<Queue>>, Vec<Arc<Queue>>) {
        let (mut news, mut used) = (Vec::new(), Vec::new());
        for options in all {
            let seen = match self.queues.contains_key(&options.name) {
                true => Err(TWICE),
                false => topology::find_whole(self.parts, options),
            };
            let queue = match seen {
                Ok(Some(queue)) => {
                    used.push(Arc::clone(&queue));
                    Some(queue)
                }
                Ok(None) => {
                    let queue = topology::new_queue(self.parts, options.clone(), Owner::Nobody);
                    news.push(Arc::clone(&queue));
                    Some(queue)
                }
                Err(refusal) => {
                    self.object("queue", options.name.to_string(), refusal);
                    None
                }
            };
            self.queues.entry(options.name.clone()).or_insert(queue);
        }
        (news, used)
    }

    fn bindings<'d>(&mut self, all: &'d [Binding]) -> Vec<Drawn<'d>> {
        let mut there: HashMap<&QueueName, HashMap<Line, Grant>> = HashMap::new();
        let mut news = Vec::new();
        for binding in all {
            let (queue, lasts) = match self.ends(binding) {
                Ok(Some(ends)) => ends,
                // It was objected to already.
                Ok(None) => continue,
                Err(refusal) => {
                    self.object("binding", format!("{} -> {}", binding.exchange, binding.queue), refusal);
                    continue;
                }
            };
            let lines = there.entry(&binding.queue).or_insert_with(|| {
                let found = self.parts.vhost.router.bindings_of(&binding.queue);
                found.into_iter().map(line_of).collect()
            });
            let (line, grant) = line_of(binding.clone());
            let before = lines.insert(line, grant);
            if before.as_ref() != Some(&binding.grant) {
                news.push(Drawn { binding, queue, is_new: before.is_none(), lasts });
            }
        }
        news
    }

    fn ends(&self, binding: &Binding) -> Result<Option<(Arc<Queue>, bool)>, Refusal> {
        Router::check_bound(&binding.exchange)?;
        let exchange_lasts = self.lasts(&binding.exchange)?;
        let queue = match self.queues.get(&binding.queue) {
            Some(None) => return Ok(None),
            Some(Some(queue)) => Arc::clone(queue),
            None => match self.reach {
                Reach::Common => topology::common(self.parts, &binding.queue)?,
                Reach::Every => topology::existing(self.parts, &binding.queue)?,
            },
        };
        let lasts = queue.options().durable && exchange_lasts;
        Ok(Some((queue, lasts)))
    }

    fn exchange_bindings<'d>(&mut self, all: &'d [ExchangeBinding]) -> Vec<(&'d ExchangeBinding, bool)> {
        let found = self.parts.vhost.router.exchange_bindings();
        let mut there: HashSet<&ExchangeBinding> = found.iter().collect();
        let mut news = Vec::new();
        for binding in all {
            let checked = Router::check_joined(binding);
            match checked.and_then(|()| Ok(self.lasts(&binding.exchange)? & self.lasts(&binding.to)?)) {
                Ok(lasts) if there.insert(binding) => news.push((binding, lasts)),
                Ok(_) => {}
                Err(refusal) => {
                    self.object("binding", format!("{} -> {}", binding.exchange, binding.to), refusal);
                }
            }
        }
        news
    }

    /// One that is there and says otherwise is somebody's own; it is not changed by the way.
    fn policies<'d>(&mut self, all: &'d [CheckedPolicy]) -> Vec<&'d CheckedPolicy> {
        let (mut news, mut seen) = (Vec::new(), HashSet::new());
        for one in all {
            let name = &one.policy().name;
            let placed = match seen.insert(name) {
                true => self.parts.vhost.policies.would_put(one, news.len()),
                false => Err(TWICE),
            };
            match placed {
                Ok(Placed::New) => news.push(one),
                Ok(Placed::Same) => {}
                Ok(Placed::Changed) => {
                    let difference = format!("duetmq policy clear {name:?} takes it away");
                    let what = format!("policy {name:?}");
                    self.object("policy", name.to_string(), Refusal::Inequivalent { what, difference });
                }
                Err(refusal) => self.object("policy", name.to_string(), refusal),
            }
        }
        news
    }

    /// Whether that exchange lasts, here or in the definitions.
    fn lasts(&self, name: &ExchangeName) -> Result<bool, Refusal> {
        let there = || self.parts.vhost.router.exchange(name).map(|exchange| exchange.durable);
        self.exchanges.get(name).copied().or_else(there).ok_or_else(|| Refusal::NoExchange(name.clone()))
    }

    fn object(&mut self, kind: &'static str, name: String, refusal: Refusal) {
        self.objections.push(Objection { kind, name, refusal });
    }
}

/// What makes a binding this one among those of its queue.
type Line = (ExchangeName, KeyPattern, HeaderMatch, Option<ShareName>);

fn line_of(binding: Binding) -> (Line, Grant) {
    let Binding { exchange, pattern, arguments, queue: _, share, grant } = binding;
    ((exchange, pattern, arguments, share), grant)
}

const TWICE: Refusal = Refusal::Invalid("it is in the definitions twice");
