//! The way of a message, told binding by binding: for people, never for a message.

use std::sync::Arc;

use foldhash::HashSet;

use model::key::{KeyPattern, Level, RoutingKey};
use model::name::{ExchangeName, ShareName};
use model::properties::Properties;
use model::queue::{ExchangeKind, ExchangeOptions, HeaderMatch};
use model::refusal::Refusal;

use crate::exchange::headers;
use crate::queue::Queue;
use crate::sender::Sender;
use crate::table::home::Line;
use crate::table::{Table, Target};

/// The way that a message would take.
#[derive(Default)]
pub struct Trace {
    /// The exchanges that it comes to, in the order in which it does; none: it goes to the default exchange.
    pub steps: Vec<Step>,
    /// The queues that get it; of a share, all that may.
    pub queues: Vec<Arc<Queue>>,
}

/// What happens in one exchange.
pub struct Step {
    /// Which.
    pub exchange: ExchangeOptions,
    /// The exchange it came from; `None`: it was published to this one.
    pub from: Option<ExchangeName>,
    /// The bindings that match.
    pub matched: Vec<Tried>,
    /// Those that nearly do: at most [`NEAREST_MAX`], the nearest first.
    pub nearest: Vec<Tried>,
    /// How many do not.
    pub missed: usize,
    /// Whether it goes on to the alternate exchange, because nothing matches.
    pub is_alternate_asked: bool,
}

/// A binding, and what became of it.
pub struct Tried {
    /// What it asks of keys.
    pub pattern: KeyPattern,
    /// What it asks of headers.
    pub arguments: HeaderMatch,
    /// Its share.
    pub share: Option<ShareName>,
    /// Where it leads.
    pub to: Leads,
    /// Why it matches, or what keeps it from it.
    pub why: String,
    /// Whether it matches and the message is withheld all the same: its subscriber published it, and wants none of these.
    pub is_withheld: bool,
}

/// Where a binding leads.
pub enum Leads {
    /// To this queue.
    Queue(Arc<Queue>),
    /// To one of these.
    Share(Vec<Arc<Queue>>),
    /// To this exchange.
    Exchange(ExchangeName),
}

/// So many bindings that do not match are told of, in each exchange.
pub const NEAREST_MAX: usize = 5;

/// The message whose way is asked for.
struct Asked<'m> {
    key: &'m RoutingKey,
    properties: Option<&'m Properties>,
    sender: Sender<'m>,
}

impl Table {
    /// Tells the way of a message; what it asks of each exchange is what [`Table::resolve`] asks.
    pub(crate) fn trace(
        &self,
        exchange: &ExchangeName,
        key: &RoutingKey,
        properties: Option<&Properties>,
        sender: Sender<'_>,
    ) -> Result<Trace, Refusal> {
        let mut trace = Trace::default();
        if *exchange == ExchangeName::DEFAULT {
            trace.queues.extend(self.queue(key.as_str()).map(Arc::clone));
            return Ok(trace);
        }
        if self.exchange(exchange).is_none() {
            return Err(Refusal::NoExchange(exchange.clone()));
        }
        let asked = Asked { key, properties, sender };
        let mut waiting = vec![(exchange.clone(), None)];
        let mut seen = HashSet::default();
        while let Some((name, from)) = waiting.pop() {
            if !seen.insert(name.clone()) {
                continue;
            }
            // An alternate need not exist.
            let Some(step) = self.step(&name, from, &asked) else { continue };
            for tried in step.matched.iter().filter(|tried| !tried.is_withheld) {
                match &tried.to {
                    Leads::Queue(queue) => trace.queues.push(Arc::clone(queue)),
                    Leads::Share(queues) => trace.queues.extend(queues.iter().map(Arc::clone)),
                    Leads::Exchange(to) => waiting.push((to.clone(), Some(name.clone()))),
                }
            }
            if step.is_alternate_asked {
                waiting.extend(step.exchange.alternate.clone().map(|to| (to, Some(name.clone()))));
            }
            trace.steps.push(step);
        }
        trace.queues.sort_unstable_by_key(|queue| queue.id());
        trace.queues.dedup_by_key(|queue| queue.id());
        Ok(trace)
    }

    fn step(&self, name: &ExchangeName, from: Option<ExchangeName>, asked: &Asked<'_>) -> Option<Step> {
        let exchange = self.exchanges.get(name)?;
        let kind = exchange.options().kind;
        let mut hits = HashSet::<u64>::default();
        let mut matched = Vec::new();
        exchange.for_each_match(asked.key, asked.properties, asked.sender, |target| {
            hits.insert(target.id());
            matched.extend(self.tried(target, name, asked, |pattern, arguments| {
                (matches_because(kind, pattern, arguments), 0)
            }));
        });
        let mut missed = 0;
        let mut nearest: Vec<(usize, Tried)> = Vec::new();
        exchange.for_each(|target| {
            if hits.contains(&target.id()) {
                return;
            }
            missed += 1;
            // Of a million bindings the first ones will do: others wait for this.
            if missed > LOOKED_AT_MAX {
                return;
            }
            let Some((distance, tried)) = self.tried(target, name, asked, |pattern, arguments| {
                misses_because(kind, pattern, arguments, asked)
            }) else {
                return;
            };
            let at = nearest.partition_point(|(other, _)| *other <= distance);
            if at < NEAREST_MAX {
                nearest.insert(at, (distance, tried));
                nearest.truncate(NEAREST_MAX);
            }
        });
        Some(Step {
            exchange: ExchangeOptions {
                alternate: exchange.alternate().cloned(),
                ..exchange.options().clone()
            },
            from,
            is_alternate_asked: hits.is_empty() && exchange.alternate().is_some(),
            matched: matched.into_iter().map(|(_, tried)| tried).collect(),
            nearest: nearest.into_iter().map(|(_, tried)| tried).collect(),
            missed,
        })
    }

    /// How far a binding is from a match, and what is told of it.
    fn tried(
        &self,
        target: &Target,
        exchange: &ExchangeName,
        asked: &Asked<'_>,
        why: impl FnOnce(&KeyPattern, &HeaderMatch) -> (String, usize),
    ) -> Option<(usize, Tried)> {
        let (pattern, arguments, share, to, withheld) = match target {
            Target::Queue(line) => {
                let Line { origin, route, .. } = &**line;
                let to = Leads::Queue(Arc::clone(&route.queue));
                (origin.pattern.clone(), origin.arguments(), None, to, line.withholds(asked.sender.session))
            }
            Target::Exchange(pipe) => {
                let binding = &pipe.binding;
                let to = Leads::Exchange(binding.to.clone());
                (binding.pattern.clone(), binding.arguments.clone(), None, to, false)
            }
            Target::Share(share) => {
                let is_it = |(origin, other): &(&crate::binding::Origin, &Arc<crate::share::Share>)| {
                    origin.exchange == *exchange && Arc::ptr_eq(other, share)
                };
                let (origin, _) = self.shares.iter().find(is_it)?;
                let members = share.pick();
                let queues = members.members().iter().map(|route| Arc::clone(&route.queue)).collect();
                let to = Leads::Share(queues);
                (origin.pattern.clone(), origin.arguments(), origin.share.clone(), to, false)
            }
        };
        let (why, distance) = why(&pattern, &arguments);
        Some((distance, Tried { pattern, arguments, share, to, why, is_withheld: withheld }))
    }
}

fn matches_because(kind: ExchangeKind, pattern: &KeyPattern, arguments: &HeaderMatch) -> String {
    match kind {
        ExchangeKind::Direct => "the key is the binding's".to_owned(),
        ExchangeKind::Topic if pattern.has_wildcard() => "the key matches the pattern".to_owned(),
        ExchangeKind::Topic => "the key is the pattern".to_owned(),
        ExchangeKind::Fanout => "a fanout exchange takes every queue".to_owned(),
        ExchangeKind::Headers => match arguments.wanted.len() {
            0 => "no header is asked for".to_owned(),
            _ => "the headers are those that are asked for".to_owned(),
        },
    }
}

/// What keeps a binding from a match, and how much.
fn misses_because(
    kind: ExchangeKind,
    pattern: &KeyPattern,
    arguments: &HeaderMatch,
    asked: &Asked<'_>,
) -> (String, usize) {
    match kind {
        ExchangeKind::Direct => {
            let (_, distance) = first_difference(pattern, asked.key);
            (format!("the key is {:?}, not {:?}", asked.key.as_str(), pattern.to_key().as_str()), distance)
        }
        ExchangeKind::Topic => first_difference(pattern, asked.key),
        // Never asked: it takes everything.
        ExchangeKind::Fanout => (String::new(), 0),
        ExchangeKind::Headers => {
            let unmet = headers::unmet(arguments, asked.properties, asked.sender);
            let told: Vec<&str> = unmet.iter().map(String::as_str).take(UNMET_MAX).collect();
            let told =
                if told.is_empty() { "it asks for nothing that could match" } else { &told.join(", ") };
            (told.to_owned(), unmet.len().max(1))
        }
    }
}

/// Which level differs first, and how many do.
fn first_difference(pattern: &KeyPattern, key: &RoutingKey) -> (String, usize) {
    let wanted = pattern.levels();
    let there: Vec<&str> = key.levels().collect();
    let mut first = None;
    let mut distance = 0;
    for (at, level) in wanted.iter().enumerate() {
        let number = at + 1;
        let differs = match (level, there.get(at)) {
            // What a `#` stands for may be any number of levels: what follows is not compared.
            (Level::Many, _) if number < wanted.len() => {
                Some(format!("what follows # at level {number} differs"))
            }
            (Level::Many, _) => break,
            (Level::One, Some(_)) => None,
            (Level::Literal(text), Some(level)) if **text == **level => None,
            (Level::Literal(text), Some(level)) => {
                Some(format!("level {number} is {level:?}, not {:?}", &**text))
            }
            (Level::One | Level::Literal(_), None) => {
                Some(format!("the key has {} of {} levels", there.len(), wanted.len()))
            }
        };
        let is_many = matches!(level, Level::Many);
        distance += usize::from(differs.is_some());
        first = first.or(differs);
        if is_many {
            break;
        }
    }
    let is_open = wanted.iter().any(|level| matches!(level, Level::Many));
    if !is_open && there.len() > wanted.len() {
        distance += there.len() - wanted.len();
        first = first
            .or_else(|| Some(format!("the key has {} levels, the pattern {}", there.len(), wanted.len())));
    }
    let reserved = || "a wildcard does not match a key that begins with $".to_owned();
    (first.unwrap_or_else(reserved), distance.max(1))
}

/// So many bindings that do not match are looked at, in each exchange.
const LOOKED_AT_MAX: usize = 10_000;
/// So many headers are told of, of one binding.
const UNMET_MAX: usize = 4;
