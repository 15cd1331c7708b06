//! What those who look after the broker do: exchanges, queues and bindings, made and taken away

use engine::{Commands, Definitions, DeleteQueueIf};
use model::key::{KeyPattern, Level, RoutingKey};
use model::name::{ExchangeName, QueueName};
use model::queue::{
    BindingOptions, DeadLetter, Destination, ExchangeKind, ExchangeOptions, HeaderMatch, MatchMode, Overflow,
    QueueArguments, QueueOptions,
};
use model::refusal::Refusal;
use model::request::Source;

use crate::dice::Dice;
use crate::reference::{Bound, Exchange, Place, Queue, Reference, Rules, To};
use crate::steps::{headers, path};
use crate::world::{USUAL_LIMIT, World};

impl World {
    pub(crate) fn change_topology(&mut self, kind: usize, dice: &mut Dice) -> Result<(), String> {
        match kind {
            ..915 => self.declare_queue(dice),
            915..930 => self.declare_exchange(dice),
            930..960 => self.bind(dice),
            960..972 => self.bind_exchange(dice),
            972..980 => self.unbind(dice),
            980..983 => self.delete_exchange(dice),
            983..986 => self.delete_queue(dice),
            _ => self.purge(dice),
        }
    }

    fn declare_queue(&mut self, dice: &mut Dice) -> Result<(), String> {
        let name = *dice.pick(&QUEUES);
        let (options, rules) = queue_like(name, None, dice);
        if self.known().queues.iter().any(|queue| queue.name == name) {
            return Ok(());
        }
        self.note(|| format!("declare queue {name}: {rules:?}"));
        self.agree(|reference| {
            reference.make(name, rules.clone());
            Ok(())
        })?;
        // Again is the same.
        for _ in 0..2 {
            self.declare(&Definitions { queues: vec![options.clone()], ..Definitions::default() }, true)?;
        }
        let other = QueueOptions { ready_max: Some(77), ..options };
        self.declare(&Definitions { queues: vec![other], ..Definitions::default() }, false)
    }

    fn declare_exchange(&mut self, dice: &mut Dice) -> Result<(), String> {
        let (name, kind) = *dice.pick(&EXCHANGES);
        let exchange = Exchange {
            name: name.to_owned(),
            kind,
            auto_delete: dice.once_in(4),
            internal: dice.once_in(8),
            alternate: dice.once_in(3).then(|| dice.pick(&EXCHANGES).0.to_owned()),
        };
        let known = self.known().exchanges.iter().find(|known| known.name == name);
        let (is_new, allowed) = (known.is_none(), known.is_none_or(|known| *known == exchange));
        self.note(|| format!("declare {exchange:?}"));
        let options = ExchangeOptions {
            name: ExchangeName::new(name),
            kind,
            durable: false,
            auto_delete: exchange.auto_delete,
            internal: exchange.internal,
            alternate: exchange.alternate.as_deref().map(ExchangeName::new),
        };
        if is_new {
            self.agree(|reference| {
                reference.exchanges.push(exchange.clone());
                Ok(())
            })?;
        }
        self.declare(&Definitions { exchanges: vec![options], ..Definitions::default() }, allowed)
    }

    fn bind(&mut self, dice: &mut Dice) -> Result<(), String> {
        let queue = self.queue_name(dice);
        let Some(bound) = self.bound(To::Queue(queue.clone()), dice) else { return Ok(()) };
        let allowed = !self.lacks_exchange(&bound) && self.known().queues.iter().any(|one| one.name == queue);
        self.note(|| format!("bind {bound:?}"));
        let binding = source(&bound).to_binding(QueueName::new(&queue));
        self.declare(&Definitions { bindings: vec![binding], ..Definitions::default() }, allowed)?;
        self.agree(|reference| {
            if allowed {
                reference.bind(&bound);
            }
            Ok(())
        })
    }

    fn bind_exchange(&mut self, dice: &mut Dice) -> Result<(), String> {
        let to = self.exchange_name(dice);
        let there = self.known().exchanges.iter().any(|exchange| exchange.name == to);
        let Some(bound) = self.bound(To::Exchange(to), dice) else { return Ok(()) };
        self.note(|| format!("bind {bound:?}"));
        let is_new = !self.known().bindings.contains(&bound);
        let wanted = (there && !self.lacks_exchange(&bound)).then_some(is_new);
        let got = self.command(async |commands| commands.bind(binding_options(&bound)).await);
        self.agree(|reference| {
            if wanted.is_some() {
                reference.bind(&bound);
            }
            check(wanted, &got)
        })
    }

    fn unbind(&mut self, dice: &mut Dice) -> Result<(), String> {
        let bindings = &self.known().bindings;
        if bindings.is_empty() {
            return Ok(());
        }
        let mut bound = dice.pick(bindings).clone();
        if dice.once_in(10) {
            bound.pattern += "/nothing";
        }
        self.note(|| format!("unbind {bound:?}"));
        let known = self.known();
        let is_own =
            |name: &str| known.queues.iter().any(|one| one.name == name && one.rules.owner.is_some());
        let may = match &bound.to {
            To::Queue(queue) => !is_own(queue),
            To::Exchange(_) => true,
        };
        let wanted = (may && known.bindings.contains(&bound)).then_some(());
        let got = self.command(async |commands| commands.unbind(binding_options(&bound)).await);
        self.agree(|reference| {
            if wanted.is_some() {
                reference.unbind(|one| *one == bound);
            }
            check(wanted, &got)
        })
    }

    fn delete_exchange(&mut self, dice: &mut Dice) -> Result<(), String> {
        let (name, if_unused) = (self.exchange_name(dice), dice.once_in(2));
        self.note(|| format!("delete exchange {name}, if unused: {if_unused}"));
        let known = self.known();
        let is_used = known.bindings.iter().any(|bound| bound.exchange == name);
        let there = known.exchanges.iter().any(|exchange| exchange.name == name);
        let wanted = (there && !(if_unused && is_used)).then_some(());
        let exchange = ExchangeName::new(&name);
        let got = self.command(async |commands| commands.delete_exchange(&exchange, if_unused).await);
        self.agree(|reference| {
            if wanted.is_some() {
                reference.delete_exchange(&name);
            }
            check(wanted, &got)
        })
    }

    fn delete_queue(&mut self, dice: &mut Dice) -> Result<(), String> {
        let name = self.queue_name(dice);
        let only = DeleteQueueIf { empty: dice.once_in(2), unused: dice.once_in(2) };
        self.note(|| format!("delete queue {name}, only if {only:?}"));
        let queue = QueueName::new(&name);
        let got = self.command(async |commands| commands.delete_queue(&queue, only).await);
        self.agree(|reference| {
            let found = reference.queue(&name).filter(|queue| {
                let is_used = only.unused && !queue.consumers.is_empty();
                queue.rules.owner.is_none() && !is_used && (!only.empty || queue.entries.is_empty())
            });
            let wanted = found.map(|queue| queue.waiting().count());
            if wanted.is_some() {
                reference.delete(&name);
            }
            check(wanted, &got)
        })?;
        self.forget_consumers();
        Ok(())
    }

    fn purge(&mut self, dice: &mut Dice) -> Result<(), String> {
        let name = self.queue_name(dice);
        self.note(|| format!("purge queue {name}"));
        let queue = QueueName::new(&name);
        let got = self.command(async |commands| commands.purge_queue(&queue).await);
        self.agree(|reference| {
            let found = reference.queue(&name).filter(|queue| queue.rules.owner.is_none());
            let wanted = found.map(|queue| {
                let count = queue.waiting().count();
                queue.entries.retain(|entry| entry.place != Place::Waits);
                count
            });
            check(wanted, &got)
        })
    }

    pub(crate) fn command<T>(
        &mut self,
        act: impl AsyncFnOnce(Commands) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        let commands = self.broker.commands();
        let mut asked = std::pin::pin!(act(commands));
        // Without a store all is done at once.
        let answer = asked.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop()));
        match answer {
            std::task::Poll::Ready(answer) => answer,
            std::task::Poll::Pending => panic!("a command that waits for nothing"),
        }
    }

    pub(crate) fn lacks_exchange(&self, bound: &Bound) -> bool {
        self.known().exchanges.iter().all(|exchange| exchange.name != bound.exchange)
    }

    pub(crate) fn bound(&self, to: To, dice: &mut Dice) -> Option<Bound> {
        let exchange = self.exchange_name(dice);
        let kind = EXCHANGES.iter().find(|(name, _)| *name == exchange)?.1;
        let is_headers = kind == ExchangeKind::Headers;
        let words: &[&str] = if is_headers || dice.once_in(3) { &["a", "b"] } else { &PATTERN_WORDS };
        let pattern = path(words, dice);
        let headers = if is_headers {
            let mode =
                *dice.pick(&[MatchMode::All, MatchMode::Any, MatchMode::AllWithX, MatchMode::AnyWithX]);
            let wanted = headers(dice)
                .into_iter()
                .map(|(name, value)| (name.into(), (!dice.once_in(3)).then(|| value.into())));
            HeaderMatch { mode, wanted: wanted.collect() }
        } else {
            HeaderMatch::default()
        };
        Some(Bound { exchange, pattern, headers, to })
    }
}

impl Reference {
    pub(crate) fn make(&mut self, name: &str, rules: Rules) {
        let (declared, (policy, rules)) = (rules.clone(), self.governed(name, &rules));
        self.queues.push(Queue {
            name: name.to_owned(),
            declared,
            rules,
            policy,
            is_amended: false,
            entries: Vec::new(),
            last: 0,
            consumers: Vec::new(),
        });
    }

    pub(crate) fn bind(&mut self, bound: &Bound) {
        if !self.bindings.contains(bound) {
            self.bindings.push(bound.clone());
        }
    }
}

/// A queue of that name, and what that means: what is not said is filled in.
pub(crate) fn queue_like(name: &str, owner: Option<usize>, dice: &mut Dice) -> (QueueOptions, Rules) {
    if name.starts_with('s') {
        return stream_like(name, dice);
    }
    let max = dice.once_in(3).then(|| dice.roll(5));
    let bytes_max = dice.once_in(8).then(|| 10 + dice.roll(40));
    let kinds = [Overflow::DropHead, Overflow::RejectPublish, Overflow::RejectPublishDlx, Overflow::DropNew];
    let asked = dice.once_in(2).then(|| *dice.pick(&kinds));
    let dead_letter = (!dice.once_in(3)).then(|| {
        let key = dice.once_in(2).then(|| path(&["a", "b", "c"], dice));
        match dice.roll(8) {
            0..3 => (String::new(), Some((*dice.pick(&QUEUES)).to_owned())),
            3 => (String::new(), None),
            _ => (dice.pick(&EXCHANGES).0.to_owned(), key),
        }
    });
    let delivery_limit = dice.once_in(2).then(|| dice.roll(3) as u32);
    let priority_max = dice.once_in(3).then(|| 1 + dice.roll(3) as u8);
    let usual = match (max.or(bytes_max), owner) {
        (Some(_), _) => Overflow::DropHead,
        (None, Some(_)) => Overflow::DropNew,
        (None, None) => Overflow::RejectPublish,
    };
    let rules = Rules {
        max,
        bytes_max,
        overflow: asked.unwrap_or(usual),
        // A limit says what becomes of what is too much, too.
        overflow_said: asked.or(max.or(bytes_max).map(|_| Overflow::DropHead)),
        delivery_limit_said: delivery_limit,
        delivery_limit: delivery_limit.or(dead_letter.as_ref().map(|_| USUAL_LIMIT)),
        dead_letter,
        priority_max: priority_max.unwrap_or(0),
        single_active: dice.once_in(5),
        expires_at_once: dice.once_in(20),
        auto_delete: owner.is_some() || dice.once_in(5),
        stream: false,
        owner,
    };
    let to = rules.dead_letter.as_ref().map(|(exchange, key)| DeadLetter {
        exchange: ExchangeName::new(exchange),
        key: key.as_deref().map(RoutingKey::from),
    });
    let options = QueueOptions {
        name: QueueName::new(name),
        durable: false,
        exclusive: owner.is_some(),
        auto_delete: rules.auto_delete,
        ready_max: max.map(|max| max as u64),
        ready_bytes_max: bytes_max.map(|max| max as u64),
        arguments: None,
    };
    let single_active = rules.single_active;
    let options = options.with(|arguments| {
        *arguments = QueueArguments {
            message_ttl_ms: rules.expires_at_once.then_some(0),
            overflow: asked,
            dead_letter: to,
            priority_max,
            delivery_limit,
            single_active,
            ..QueueArguments::default()
        };
    });
    (options, rules)
}

/// The same, of a stream: all that can be said of it is how much stays.
fn stream_like(name: &str, dice: &mut Dice) -> (QueueOptions, Rules) {
    let max = dice.once_in(2).then(|| dice.roll(8));
    let bytes_max = dice.once_in(3).then(|| 10 + dice.roll(60));
    let rules = Rules {
        max,
        bytes_max,
        overflow: Overflow::DropHead,
        overflow_said: None,
        dead_letter: None,
        priority_max: 0,
        delivery_limit: None,
        delivery_limit_said: None,
        single_active: false,
        expires_at_once: false,
        auto_delete: false,
        stream: true,
        owner: None,
    };
    let options = QueueOptions {
        name: QueueName::new(name),
        durable: true,
        exclusive: false,
        auto_delete: false,
        ready_max: max.map(|max| max as u64),
        ready_bytes_max: bytes_max.map(|max| max as u64),
        arguments: None,
    };
    (options.with(|arguments| arguments.stream = true), rules)
}

pub(crate) fn source(bound: &Bound) -> Source {
    let level = |word: &str| match word {
        "+" => Level::One,
        "#" => Level::Many,
        word => Level::Literal(word.into()),
    };
    Source {
        exchange: ExchangeName::new(&bound.exchange),
        pattern: KeyPattern::new(bound.pattern.split('/').map(level).collect()),
        arguments: bound.headers.clone(),
        share: None,
        grant: Default::default(),
    }
}

fn binding_options(bound: &Bound) -> BindingOptions {
    let Source { exchange, pattern, arguments, .. } = source(bound);
    let to = match &bound.to {
        To::Queue(name) => Destination::Queue(QueueName::new(name)),
        To::Exchange(name) => Destination::Exchange(ExchangeName::new(name)),
    };
    BindingOptions { exchange, pattern, arguments, to }
}

/// `None`: it is to be refused.
fn check<T: PartialEq + std::fmt::Debug>(wanted: Option<T>, got: &Result<T, Refusal>) -> Result<(), String> {
    if wanted.as_ref() == got.as_ref().ok() {
        Ok(())
    } else {
        Err(format!("answered {got:?}, should have been {wanted:?}"))
    }
}

/// One has a dot in its name, which is a plain dot. Those with an s are streams.
pub(crate) const QUEUES: [&str; 9] = ["q0", "q1", "q2", "q3", "q4", "q5", "a.b", "s0", "s1"];

pub(crate) const EXCHANGES: [(&str, ExchangeKind); 6] = [
    ("direct", ExchangeKind::Direct),
    ("topic", ExchangeKind::Topic),
    ("other-topic", ExchangeKind::Topic),
    ("fanout", ExchangeKind::Fanout),
    ("headers", ExchangeKind::Headers),
    ("nowhere", ExchangeKind::Direct),
];

const PATTERN_WORDS: [&str; 6] = ["a", "b", "c", "+", "#", "#"];
