//! Policies: what holds by name while queues are full of messages, set, changed and cleared

use engine::{CheckedPolicy, Placed};
use model::name::{ExchangeName, PolicyName};
use model::policy::{AppliesTo, Policy, PolicyDefinition};
use model::queue::Overflow;

use crate::dice::Dice;
use crate::reference::{Queue, Reference, Rules};
use crate::topology::{EXCHANGES, QUEUES};
use crate::world::{USUAL_LIMIT, World};

/// What a policy is called, in the order in which one of two with the same priority holds.
const NAMES: [&str; 3] = ["first", "second", "third"];

/// Regular expressions, each with what it finds.
type Pattern = (&'static str, fn(&str) -> bool);
const PATTERNS: [Pattern; 5] = [
    ("^q", |name| name.starts_with('q')),
    ("^s", |name| name.starts_with('s')),
    ("^own", |name| name.starts_with("own")),
    ("[12]$", |name| name.ends_with(['1', '2'])),
    (".*", |_| true),
];

/// A policy that holds.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Held {
    name: &'static str,
    pattern: usize,
    priority: i32,
    definition: PolicyDefinition,
}

impl Held {
    fn is_for(&self, queue: &str) -> bool {
        PATTERNS[self.pattern].1(queue)
    }

    fn checked(&self) -> CheckedPolicy {
        let (name, pattern) = (PolicyName::new(self.name), PATTERNS[self.pattern].0.into());
        let (applies_to, priority, definition) = (AppliesTo::Queues, self.priority, self.definition.clone());
        CheckedPolicy::new(Policy { name, pattern, applies_to, priority, definition }).unwrap()
    }
}

impl Reference {
    /// What holds for a queue that was declared like that.
    pub(crate) fn governed(&self, name: &str, declared: &Rules) -> (Option<&'static str>, Rules) {
        let mut all: Vec<&Held> = self.policies.iter().filter(|policy| policy.is_for(name)).collect();
        all.sort_by_key(|policy| (std::cmp::Reverse(policy.priority), policy.name));
        let Some(Held { name, definition: said, .. }) = all.first() else { return (None, declared.clone()) };
        let limit = |own: Option<usize>, said: Option<u64>| {
            own.into_iter().chain(said.map(|said| said as usize)).min()
        };
        let (max, bytes_max) =
            (limit(declared.max, said.ready_max), limit(declared.bytes_max, said.ready_bytes_max));
        if declared.stream {
            return (Some(name), Rules { max, bytes_max, ..declared.clone() });
        }
        let limits = said.ready_max.is_some() || said.ready_bytes_max.is_some();
        let overflow = declared.overflow_said.or(said.overflow).or(limits.then_some(Overflow::DropHead));
        let to = said.dead_letter_exchange.as_ref().map(|exchange| (exchange.to_string(), None));
        let dead_letter = declared.dead_letter.clone().or(to);
        let delivery_limit = declared.delivery_limit_said.into_iter().chain(said.delivery_limit).min();
        let rules = Rules {
            max,
            bytes_max,
            overflow: overflow.unwrap_or(declared.overflow),
            delivery_limit: delivery_limit.or(dead_letter.as_ref().map(|_| USUAL_LIMIT)),
            dead_letter,
            expires_at_once: declared.expires_at_once || said.message_ttl_ms.is_some(),
            ..declared.clone()
        };
        (Some(name), rules)
    }

    fn govern(&mut self) {
        let all: Vec<_> =
            self.queues.iter().map(|queue| self.governed(&queue.name, &queue.declared)).collect();
        for (queue, (policy, rules)) in self.queues.iter_mut().zip(all) {
            queue.is_amended = (policy, &rules) != (queue.policy, &queue.rules);
            (queue.policy, queue.rules) = (policy, rules);
        }
    }

    /// Queues that hold more than they may by now.
    pub(crate) fn with_excess(&self) -> Vec<String> {
        self.queues.iter().filter(|queue| queue.has_excess()).map(|queue| queue.name.clone()).collect()
    }
}

impl Queue {
    fn has_excess(&self) -> bool {
        self.is_amended && self.rules.overflow == Overflow::DropHead && self.is_over()
    }
}

impl World {
    /// A policy is set, changed or cleared, and what that comes to is awaited.
    pub(crate) fn change_policy(&mut self, dice: &mut Dice) -> Result<(), String> {
        let name = *dice.pick(&NAMES);
        let held = dice.once_in(2).then(|| policy(name, dice));
        let change = |reference: &mut Reference| {
            reference.policies.retain(|one| one.name != name);
            reference.policies.extend(held.clone());
            reference.govern();
        };
        self.wait()?;
        let is_uncertain = self.may_be.iter().any(|one| {
            let mut after = one.clone();
            change(&mut after);
            !one.is_settled() || after.when_settled().is_none()
        });
        if is_uncertain || self.is_due_soon() {
            return Ok(());
        }
        self.note(|| format!("policy {name}: {held:?}"));
        let commands = self.broker.commands();
        let known = self.known().policies.iter().find(|one| one.name == name).cloned();
        let (wanted, got) = match &held {
            Some(held) => {
                let placed = match &known {
                    None => Placed::New,
                    Some(known) if known == held => Placed::Same,
                    Some(_) => Placed::Changed,
                };
                let got = self.block_on(commands.put_policy(held.checked()));
                (format!("{:?}", Ok::<_, ()>(placed)), format!("{got:?}"))
            }
            None => {
                let got = self.block_on(commands.delete_policy(&PolicyName::new(name)));
                (format!("{:?}", Ok::<_, ()>(known.is_some())), format!("{got:?}"))
            }
        };
        if got != wanted {
            return Err(format!("answered {got}, should have been {wanted}"));
        }
        let before = self.known().with_excess().len() + self.known().with_expired().len();
        self.agree(|reference| {
            change(reference);
            Ok(())
        })?;
        if self.known().with_excess().len() + self.known().with_expired().len() > before {
            self.see("gone by a policy");
        }
        self.wait()
    }
}

fn policy(name: &'static str, dice: &mut Dice) -> Held {
    let definition = PolicyDefinition {
        ready_max: dice.once_in(2).then(|| dice.roll(6) as u64),
        ready_bytes_max: dice.once_in(4).then(|| 5 + dice.roll(40) as u64),
        overflow: dice
            .once_in(4)
            .then(|| *dice.pick(&[Overflow::DropHead, Overflow::RejectPublish, Overflow::DropNew])),
        message_ttl_ms: dice.once_in(6).then_some(0),
        delivery_limit: dice.once_in(4).then(|| dice.roll(3) as u32),
        dead_letter_exchange: dice.once_in(3).then(|| ExchangeName::new(dice.pick(&EXCHANGES).0)),
        ..PolicyDefinition::default()
    };
    // One that says nothing is none.
    let definition = if definition == PolicyDefinition::default() {
        PolicyDefinition { ready_max: Some(QUEUES.len() as u64), ..definition }
    } else {
        definition
    };
    Held { name, pattern: dice.roll(PATTERNS.len()), priority: dice.roll(2) as i32, definition }
}
