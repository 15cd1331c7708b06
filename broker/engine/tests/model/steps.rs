//! What happens next: any of all that clients and those who look after the broker can do

use bytes::Bytes;
use model::delivery::Outcome;
use model::key::RoutingKey;
use model::name::{ConsumerId, ExchangeName, QueueName};
use model::properties::Properties;
use model::qos::Qos;
use model::request::{self, Operation, Publish, Replay, Subscription, Target};
use model::stream::Start;
use model::time::WallMs;

use crate::delays::Waiting;
use crate::dice::Dice;
use crate::readers::Reader;
use crate::reference::{Consumer, Message, No, Plan, Reference, To};
use crate::topology::{EXCHANGES, QUEUES, queue_like, source};
use crate::world::{Client, World, settle};

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
        let few = [known.exchanges.len() < 4, known.queues.len() < 5, known.bindings.len() < 12];
        let kind = match few {
            [true, ..] if dice.once_in(2) => 920,
            [_, true, _] if dice.once_in(2) => 900,
            [.., true] if dice.once_in(3) => {
                if dice.once_in(4) {
                    965
                } else {
                    940
                }
            }
            _ => dice.roll(1_080),
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
            885..989 => self.change_topology(kind, &mut dice)?,
            989..998 => {
                self.note(|| "all take all".to_owned());
                self.take_all()?;
                self.compare_topology()?;
            }
            998..1_000 => {
                self.note(|| "what is due is done".to_owned());
                self.wait()?;
            }
            1_000..1_055 => self.pass(&mut dice)?,
            1_055..1_060 => self.delete_delayed(&mut dice)?,
            _ => self.change_policy(&mut dice)?,
        }
        self.compare()
    }

    /// The next client of whom that is so, or that one.
    fn one_who(&self, client: usize, is_so: impl Fn(&Client) -> bool) -> usize {
        let all = (client..self.clients.len()).chain(0..client);
        all.into_iter().find(|at| is_so(&self.clients[*at])).unwrap_or(client)
    }

    fn publish(&mut self, client: usize, dice: &mut Dice) -> Result<(), String> {
        let (message, delay_ms) = (self.message(dice), delay_ms(dice));
        self.note(|| format!("client {client} publishes {message:?}, to wait for {delay_ms} ms"));
        let publish = Publish { delay_ms, ..to_publish(&message) };
        let got = self.submit(client, vec![Operation::Publish(publish)])?;
        self.agree(|reference| {
            let done = if delay_ms == 0 {
                reference.publish(&message)
            } else {
                reference.delay(&message, delay_ms).map(|one| {
                    reference.waiting.push(one);
                    // Who gets it is asked later.
                    true
                })
            };
            same(done, got)
        })
    }

    /// Messages and settlements together, or none of it.
    fn transact(&mut self, client: usize, dice: &mut Dice) -> Result<(), String> {
        let messages: Vec<_> = (0..dice.roll(4)).map(|_| (self.message(dice), delay_ms(dice))).collect();
        let publish = |(message, delay_ms): &(Message, u64)| {
            Operation::Publish(Publish { delay_ms: *delay_ms, ..to_publish(message) })
        };
        let mut operations: Vec<_> = messages.iter().map(publish).collect();
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
            let done = plan_all(reference, &messages).map(|(plans, waiting)| {
                let routed = plans.iter().all(Plan::is_routed);
                reference.waiting.extend(waiting);
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
        let prefetch = prefetch.filter(|_| acknowledges);
        let consumer = Consumer { id, acknowledges, prefetch, reader: Reader::default() };
        let mut asked = request::Consumer {
            id: ConsumerId(id),
            acknowledges,
            prefetch: prefetch.map(|prefetch| prefetch as u32),
            start: None,
        };
        let name = format!("own{id}");
        let (queue, target, source, allowed) = if dice.once_in(4) {
            let number = self.clients[client].number;
            let (options, rules) = queue_like(&name, Some(number), dice);
            let bound = self.bound(To::Queue(name.clone()), dice).filter(|bound| !self.lacks_exchange(bound));
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
            let is_stream = found.is_some_and(|queue| queue.rules.stream);
            if !dice.once_in(if is_stream { 8 } else { 1 }) || dice.once_in(20) {
                asked.start = Some(self.start(found.map_or(0, |queue| queue.last), dice));
            }
            let allowed = found.is_some_and(|queue| {
                let is_his = queue.rules.owner.is_none_or(|owner| owner == number);
                // A stream is read from somewhere on, and a limit says how much of it somebody has on loan.
                let is_fit =
                    if is_stream { prefetch.is_some() || !acknowledges } else { asked.start.is_none() };
                is_his && is_fit
            });
            (name.clone(), Target::Existing(QueueName::new(&name)), None, allowed)
        };
        self.note(|| format!("client {client} consumes {queue} as {consumer:?}: {target:?} {source:?}"));
        let retained = Replay::Never;
        let subscription = Subscription { source, queue: target, consumer: Some(asked), retained };
        self.subscribe(client, subscription, consumer, &queue, allowed)
    }

    /// Anywhere in a stream whose newest entry has that number.
    fn start(&self, last: u64, dice: &mut Dice) -> Start {
        match dice.roll(6) {
            0 => Start::First,
            1 => Start::Next,
            2 => Start::Last(1 + dice.roll(5) as u64),
            3 => Start::At(WallMs(self.wall_ms + self.now_ms + 1_000 - dice.roll(5_000) as u64)),
            _ => Start::Offset(dice.roll(last as usize + 3) as u64),
        }
    }

    /// Mostly one that is there.
    pub(crate) fn exchange_name(&self, dice: &mut Dice) -> String {
        let all = &self.known().exchanges;
        if all.is_empty() || dice.once_in(20) {
            return dice.pick(&EXCHANGES).0.to_owned();
        }
        dice.pick(all).name.clone()
    }

    /// Mostly one that is there.
    pub(crate) fn queue_name(&self, dice: &mut Dice) -> String {
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
            at_ms: self.now_ms,
            deaths: Vec::new(),
        }
    }
}

fn plan_all(reference: &mut Reference, messages: &[(Message, u64)]) -> Result<(Vec<Plan>, Vec<Waiting>), No> {
    let (mut plans, mut waiting): (Vec<Plan>, _) = (Vec::new(), Vec::new());
    for (message, delay_ms) in messages {
        let done = if *delay_ms > 0 {
            reference.delay(message, *delay_ms).map(|one| waiting.push(one))
        } else {
            let targets = reference.route_published(message);
            let plan = targets.and_then(|targets| reference.plan(message.clone(), &targets));
            plan.map(|plan| plans.push(plan))
        };
        if let Err(no) = done {
            plans.iter().for_each(|plan| reference.forget(plan));
            return Err(no);
        }
    }
    Ok((plans, waiting))
}

/// Mostly none.
fn delay_ms(dice: &mut Dice) -> u64 {
    let most = *dice.pick(&[5, 2_000, 20_000]);
    if dice.once_in(8) { 1 + dice.roll(most) as u64 } else { 0 }
}

fn same(plain: Result<bool, No>, got: Result<bool, No>) -> Result<(), String> {
    if plain == got { Ok(()) } else { Err(format!("answered {got:?}, should have been {plain:?}")) }
}

pub(crate) fn path(words: &[&str], dice: &mut Dice) -> String {
    let words: Vec<_> = (0..=dice.roll(3)).map(|_| *dice.pick(words)).collect();
    words.join("/")
}

pub(crate) fn headers(dice: &mut Dice) -> Vec<(String, String)> {
    let names: Vec<_> = ["h", "k", "x-p"].into_iter().filter(|_| dice.once_in(2)).collect();
    names.into_iter().map(|name| (name.to_owned(), dice.pick(&["1", "2"]).to_string())).collect()
}

pub(crate) fn to_publish(message: &Message) -> Publish {
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
        delay_ms: 0,
        remember: None,
        publication: None,
        declare: None,
    }
}

const OUTCOMES: [Outcome; 6] = [
    Outcome::Accepted,
    Outcome::Accepted,
    Outcome::Requeued,
    Outcome::Requeued,
    Outcome::Requeued,
    Outcome::Rejected,
];
