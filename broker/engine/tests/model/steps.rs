//! What happens next: any of all that clients and those who look after the broker can do

use bytes::Bytes;
use engine::Definitions;
use model::delivery::Outcome;
use model::key::{KeyPattern, Level, RoutingKey};
use model::name::{ConsumerId, ExchangeName, QueueName};
use model::properties::Properties;
use model::qos::Qos;
use model::queue::{
    DeadLetter, ExchangeKind, ExchangeOptions, HeaderMatch, MatchMode, Overflow, QueueArguments, QueueOptions,
};
use model::request::{self, Operation, Publish, Replay, Source, Subscription, Target};

use crate::dice::Dice;
use crate::reference::{Bound, Consumer, Exchange, Message, No, Plan, Queue, Reference, Rules};
use crate::world::{Client, USUAL_LIMIT, World, settle};

impl World {
    /// One step, by its own dice: without the steps before it, it is still much the same.
    pub(crate) fn step(&mut self, seed: u64) -> Result<(), String> {
        let mut dice = Dice::new(seed);
        while self.clients.len() < 4 {
            self.connect();
        }
        let client = dice.roll(self.clients.len());
        // Where there is little, little happens.
        let known = self.known();
        let few = [known.exchanges.len() < 4, known.queues.len() < 4, known.bindings.len() < 8];
        let kind = match few {
            [true, ..] if dice.once_in(2) => 930,
            [_, true, _] if dice.once_in(2) => 900,
            [.., true] if dice.once_in(3) => 950,
            _ => dice.roll(1_000),
        };
        match kind {
            0..320 => self.publish(client, &mut dice)?,
            320..360 => self.transact(client, &mut dice)?,
            360..560 => {
                let max = if dice.once_in(3) { 100 } else { dice.roll(4) };
                let client = self.one_who(client, |one| one.consumes.is_some());
                self.note(|| format!("client {client} takes {max}"));
                self.take(client, max)?;
            }
            560..780 => {
                let client = self.one_who(client, |one| !one.had.is_empty());
                self.settle_one(client, &mut dice)?;
            }
            780..840 => {
                let client = self.one_who(client, |one| one.consumes.is_none());
                self.subscribe_one(client, &mut dice)?;
            }
            840..870 => {
                let delete = dice.once_in(6);
                self.note(|| format!("client {client} unsubscribes, deleting the queue: {delete}"));
                self.unsubscribe(client, delete)?;
            }
            870..885 => {
                self.note(|| format!("client {client} is lost"));
                self.lose(client)?;
            }
            885..925 => self.declare_queue(&mut dice)?,
            925..940 => self.declare_exchange(&mut dice)?,
            940..985 => self.bind(&mut dice)?,
            985..999 => {
                self.note(|| "all take all".to_owned());
                self.take_all()?;
            }
            _ => {
                self.note(|| "what is due is done".to_owned());
                self.wait()?;
            }
        }
        self.compare()
    }

    /// The next client of whom that is so, or that one.
    fn one_who(&self, client: usize, is_so: impl Fn(&Client) -> bool) -> usize {
        let all = (client..self.clients.len()).chain(0..client);
        all.into_iter().find(|at| is_so(&self.clients[*at])).unwrap_or(client)
    }

    fn publish(&mut self, client: usize, dice: &mut Dice) -> Result<(), String> {
        let message = self.message(dice);
        self.note(|| format!("client {client} publishes {message:?}"));
        let got = self.submit(client, vec![Operation::Publish(to_publish(&message))])?;
        self.agree(|reference| same(reference.publish(&message), got))
    }

    /// Messages and settlements together, or none of it.
    fn transact(&mut self, client: usize, dice: &mut Dice) -> Result<(), String> {
        let messages: Vec<_> = (0..dice.roll(4)).map(|_| self.message(dice)).collect();
        let mut operations: Vec<_> =
            messages.iter().map(|message| Operation::Publish(to_publish(message))).collect();
        let mut settles = Vec::new();
        for _ in 0..dice.roll(3).min(self.clients[client].had.len()) {
            let (which, outcome) = (dice.roll(self.clients[client].had.len()), *dice.pick(&OUTCOMES));
            let (operation, id, queue, tag) = self.settling(client, which, outcome);
            operations.push(operation);
            settles.push((id, queue, tag, outcome));
        }
        // One alone is no transaction, and none is a question.
        if operations.len() < 2 {
            return Ok(());
        }
        self.note(|| format!("client {client} at once: publishes {messages:?}, settles {settles:?}"));
        let got = self.submit(client, operations)?;
        self.agree(|reference| {
            let done = plan_all(reference, &messages).map(|plans| {
                let routed = plans.iter().all(Plan::is_routed);
                let dead = settles
                    .iter()
                    .filter_map(|(id, queue, tag, outcome)| settle(reference, queue, *id, *tag, *outcome))
                    .collect();
                reference.show_with(plans, dead);
                routed
            });
            same(done, got)
        })
    }

    fn settle_one(&mut self, client: usize, dice: &mut Dice) -> Result<(), String> {
        let had = self.clients[client].had.len();
        if had == 0 {
            return Ok(());
        }
        let (which, outcome) = (dice.roll(had), *dice.pick(&OUTCOMES));
        let one = self.clients[client].had[which].clone();
        self.note(|| format!("client {client} settles {one:?}: {outcome:?}"));
        self.settle(client, which, outcome)?;
        // Some are remembered: they may be settled twice, or when their consumer is gone.
        if !dice.once_in(20) {
            self.clients[client].had.swap_remove(which);
        }
        Ok(())
    }

    fn subscribe_one(&mut self, client: usize, dice: &mut Dice) -> Result<(), String> {
        if self.clients[client].consumes.is_some() {
            return Ok(());
        }
        let id = self.next();
        let (acknowledges, prefetch) = (!dice.once_in(4), dice.once_in(2).then(|| dice.roll(4)));
        let consumer = Consumer { id, acknowledges, prefetch: prefetch.filter(|_| acknowledges) };
        let asked = request::Consumer {
            id: ConsumerId(id),
            acknowledges,
            prefetch: consumer.prefetch.map(|prefetch| prefetch as u32),
        };
        let name = format!("own{id}");
        let (queue, target, source, allowed) = if dice.once_in(4) {
            let number = self.clients[client].number;
            let (options, rules) = queue_like(&name, Some(number), dice);
            let bound = self.bound(&name, dice).filter(|bound| !self.lacks_exchange(bound));
            self.agree(|reference| {
                reference.make(&name, rules.clone());
                bound.iter().for_each(|bound| reference.bind(bound));
                Ok(())
            })?;
            (name, Target::Declare(Box::new(options.into())), bound.map(|bound| source(&bound)), true)
        } else {
            let name = self.queue_name(dice);
            let number = self.clients[client].number;
            let found = self.known().queues.iter().find(|queue| queue.name == name);
            let allowed = found.is_some_and(|queue| queue.rules.owner.is_none_or(|owner| owner == number));
            (name.clone(), Target::Existing(QueueName::new(&name)), None, allowed)
        };
        self.note(|| format!("client {client} consumes {queue} as {consumer:?}: {target:?} {source:?}"));
        let retained = Replay::Never;
        let subscription = Subscription { source, queue: target, consumer: Some(asked), retained };
        self.subscribe(client, subscription, consumer, &queue, allowed)
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
        let auto_delete = dice.once_in(4);
        let known = self.known().exchanges.iter().find(|exchange| exchange.name == name);
        let allowed = known.is_none_or(|known| known.auto_delete == auto_delete);
        self.note(|| format!("declare exchange {name}, auto-delete {auto_delete}"));
        if known_is_new(self.known(), name) {
            let exchange = Exchange { name: name.to_owned(), kind, auto_delete };
            self.agree(|reference| {
                reference.exchanges.push(exchange.clone());
                Ok(())
            })?;
        }
        let options = ExchangeOptions {
            name: ExchangeName::new(name),
            kind,
            durable: false,
            auto_delete,
            internal: false,
            alternate: None,
        };
        self.declare(&Definitions { exchanges: vec![options], ..Definitions::default() }, allowed)
    }

    fn bind(&mut self, dice: &mut Dice) -> Result<(), String> {
        let queue = self.queue_name(dice);
        let Some(bound) = self.bound(&queue, dice) else { return Ok(()) };
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

    fn lacks_exchange(&self, bound: &Bound) -> bool {
        self.known().exchanges.iter().all(|exchange| exchange.name != bound.exchange)
    }

    fn bound(&self, queue: &str, dice: &mut Dice) -> Option<Bound> {
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
        Some(Bound { exchange, pattern, headers, queue: queue.to_owned() })
    }

    /// Mostly one that is there.
    fn exchange_name(&self, dice: &mut Dice) -> String {
        let all = &self.known().exchanges;
        if all.is_empty() || dice.once_in(20) {
            return dice.pick(&EXCHANGES).0.to_owned();
        }
        dice.pick(all).name.clone()
    }

    /// Mostly one that is there.
    fn queue_name(&self, dice: &mut Dice) -> String {
        let all = &self.known().queues;
        if all.is_empty() || dice.once_in(20) {
            return (*dice.pick(&QUEUES)).to_owned();
        }
        dice.pick(all).name.clone()
    }

    fn message(&mut self, dice: &mut Dice) -> Message {
        let (exchange, key) = if dice.once_in(3) {
            (String::new(), self.queue_name(dice))
        } else {
            (self.exchange_name(dice), path(&["a", "b", "c"], dice))
        };
        Message {
            text: self.next().to_string(),
            exchange,
            key,
            qos: dice.roll(3) as u8,
            headers: headers(dice),
            priority: dice.once_in(3).then(|| dice.roll(5) as u8),
            expires_at_once: dice.once_in(15),
            deaths: Vec::new(),
        }
    }
}

fn known_is_new(reference: &Reference, name: &str) -> bool {
    reference.exchanges.iter().all(|exchange| exchange.name != name)
}

fn plan_all(reference: &mut Reference, messages: &[Message]) -> Result<Vec<Plan>, No> {
    let mut plans: Vec<Plan> = Vec::new();
    for message in messages {
        let targets = reference.route(&message.exchange, message);
        match targets.and_then(|targets| reference.plan(message.clone(), &targets)) {
            Ok(plan) => plans.push(plan),
            Err(no) => {
                plans.iter().for_each(|plan| reference.forget(plan));
                return Err(no);
            }
        }
    }
    Ok(plans)
}

fn same(plain: Result<bool, No>, got: Result<bool, No>) -> Result<(), String> {
    if plain == got { Ok(()) } else { Err(format!("answered {got:?}, should have been {plain:?}")) }
}

impl Reference {
    pub(crate) fn make(&mut self, name: &str, rules: Rules) {
        let (entries, consumers) = (Vec::new(), Vec::new());
        self.queues.push(Queue { name: name.to_owned(), rules, entries, last: 0, consumers });
    }

    fn bind(&mut self, bound: &Bound) {
        if !self.bindings.contains(bound) {
            self.bindings.push(bound.clone());
        }
    }
}

/// A queue of that name, and what that means: what is not said is filled in.
fn queue_like(name: &str, owner: Option<usize>, dice: &mut Dice) -> (QueueOptions, Rules) {
    let max = dice.once_in(3).then(|| dice.roll(5));
    let bytes_max = dice.once_in(8).then(|| 10 + dice.roll(40));
    let kinds = [Overflow::DropHead, Overflow::RejectPublish, Overflow::RejectPublishDlx, Overflow::DropNew];
    let asked = dice.once_in(2).then(|| *dice.pick(&kinds));
    let dead_letter = dice.once_in(2).then(|| {
        let key = dice.once_in(2).then(|| path(&["a", "b", "c"], dice));
        match dice.roll(8) {
            0..3 => (String::new(), Some((*dice.pick(&QUEUES)).to_owned())),
            3 => (String::new(), None),
            _ => (dice.pick(&EXCHANGES).0.to_owned(), key),
        }
    });
    let delivery_limit = dice.once_in(3).then(|| dice.roll(4) as u32);
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
        delivery_limit: delivery_limit.or(dead_letter.as_ref().map(|_| USUAL_LIMIT)),
        dead_letter,
        priority_max: priority_max.unwrap_or(0),
        single_active: dice.once_in(5),
        expires_at_once: dice.once_in(20),
        auto_delete: owner.is_some() || dice.once_in(5),
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

fn path(words: &[&str], dice: &mut Dice) -> String {
    let words: Vec<_> = (0..=dice.roll(3)).map(|_| *dice.pick(words)).collect();
    words.join("/")
}

fn headers(dice: &mut Dice) -> Vec<(String, String)> {
    let names: Vec<_> = ["h", "k", "x-p"].into_iter().filter(|_| dice.once_in(2)).collect();
    names.into_iter().map(|name| (name.to_owned(), dice.pick(&["1", "2"]).to_string())).collect()
}

fn source(bound: &Bound) -> Source {
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

fn to_publish(message: &Message) -> Publish {
    let headers = message.headers.iter();
    let headers = headers.map(|(name, value)| (name.as_str().into(), value.as_str().into())).collect();
    let properties = Properties { priority: message.priority, headers, ..Properties::default() };
    Publish {
        exchange: ExchangeName::new(&message.exchange),
        key: RoutingKey::from(message.key.as_str()),
        payload: Bytes::copy_from_slice(message.text.as_bytes()),
        qos: [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce][usize::from(message.qos)],
        retain: false,
        persistent: message.qos > 0,
        expiry_ms: message.expires_at_once.then_some(0),
        properties: Some(Box::new(properties)),
        remember: None,
        publication: None,
        declare: None,
    }
}

const OUTCOMES: [Outcome; 6] = [
    Outcome::Accepted,
    Outcome::Accepted,
    Outcome::Accepted,
    Outcome::Requeued,
    Outcome::Requeued,
    Outcome::Rejected,
];

/// One has a dot in its name, which is a plain dot.
const QUEUES: [&str; 7] = ["q0", "q1", "q2", "q3", "q4", "q5", "a.b"];

const EXCHANGES: [(&str, ExchangeKind); 6] = [
    ("direct", ExchangeKind::Direct),
    ("topic", ExchangeKind::Topic),
    ("other-topic", ExchangeKind::Topic),
    ("fanout", ExchangeKind::Fanout),
    ("headers", ExchangeKind::Headers),
    ("nowhere", ExchangeKind::Direct),
];

const PATTERN_WORDS: [&str; 6] = ["a", "b", "c", "+", "#", "#"];
