//! The real broker and the plain one, side by side: what is asked of one is asked of the other, and compared
//!
//! There is no store, and nothing runs beside the test: a request is done when it returns, time stands still, and what is due is
//! looked after when the test lets it go by. So a run with the same steps is the same run.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use engine::{Arrival, Broker, Definitions, Inspect, Link, Options};
use model::access::{AccessControl, Admission};
use model::delivery::{Delivery, DeliveryTag, Outcome};
use model::event::Event;
use model::name::{ConsumerId, QueueName};
use model::principal::{Credentials, Permissions, Principal};
use model::refusal::Refusal;
use model::request::{
    self, Identity, Open, Operation, Publish, Replay, Request, Settle, Submit, Subscribe, Subscription,
    Target, Ticket, Unsubscribe, Unsubscription,
};
use model::stream::Start;
use telemetry::Metrics;

use crate::delays::{Began, began};
use crate::readers::Reader;
use crate::reference::{Consumer, Entry, Message, No, Place, Reference};
use crate::steps::to_publish;

pub(crate) struct World {
    runtime: tokio::runtime::Runtime,
    pub(crate) broker: Broker,
    inspect: Inspect,
    pub(crate) clients: Vec<Client>,
    /// What may be. Mostly it is known; who of several consumers met what was given up is seen a little later.
    pub(crate) may_be: Vec<Reference>,
    /// What was done, for whoever wants to see how it came to a difference.
    pub(crate) history: Vec<String>,
    pub(crate) last: u32,
    /// By the clock of this broker, in milliseconds since it began.
    pub(crate) now_ms: u64,
    /// What the clock on the wall said then.
    pub(crate) wall_ms: u64,
    /// How often what came about: a test in which nothing happens finds nothing.
    pub(crate) seen: BTreeMap<String, usize>,
}

/// A connection with at most one consumer.
pub(crate) struct Client {
    /// No other connection has it.
    pub(crate) number: usize,
    link: Link,
    pub(crate) consumes: Option<Consumes>,
    /// Deliveries that wait to be settled, and some that were.
    pub(crate) had: Vec<(u32, String, u64)>,
}

#[derive(Debug, Clone)]
pub(crate) struct Consumes {
    pub(crate) id: u32,
    pub(crate) queue: String,
    acknowledges: bool,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::begin(Some(began()))
    }

    /// A broker whose time is that; `None`: the real one.
    pub(crate) fn begin(began: Option<Began>) -> Self {
        let mut clock = tokio::runtime::Builder::new_current_thread();
        let runtime = clock.enable_time().start_paused(true).build().unwrap();
        if let Some(Began { at, .. }) = began {
            runtime.block_on(async {
                tokio::time::advance(at.duration_since(tokio::time::Instant::now().into_std())).await;
            });
        }
        let options = Options {
            redeliveries_max: Some(USUAL_LIMIT),
            sys_interval: Duration::ZERO,
            events: false,
            ..Options::default()
        };
        let guard = runtime.enter();
        let broker = Broker::start(options, None, Arc::new(Everyone), Arc::new(Metrics::default())).unwrap();
        drop(guard);
        let inspect = broker.inspect();
        let may_be = vec![Reference::default()];
        Self {
            runtime,
            broker,
            inspect,
            clients: Vec::new(),
            may_be,
            history: Vec::new(),
            last: 0,
            now_ms: 0,
            wall_ms: began.map_or(0, |began| began.wall_ms),
            seen: BTreeMap::new(),
        }
    }

    /// Whoever is in there, goes by the clock of this broker.
    pub(crate) fn handle(&self) -> tokio::runtime::Handle {
        self.runtime.handle().clone()
    }

    /// What time it is: as timers count, and as the engine writes it down, in milliseconds.
    pub(crate) fn clocks(mut self) -> (Instant, u64) {
        let inside = self.handle();
        let _inside = inside.enter();
        let at = self.connect();
        let delay_ms = 1000;
        let message = Publish { delay_ms, ..to_publish(&Message::default()) };
        self.submit(at, vec![Operation::Publish(message)]).unwrap().unwrap();
        (
            tokio::time::Instant::now().into_std(),
            self.inspect.delayed(None, 1, |_| true).items[0].due_ms - delay_ms - 1,
        )
    }

    /// Time goes by, and what is due by then is done.
    pub(crate) fn advance(&mut self, ms: u64) {
        self.now_ms += ms;
        self.runtime.block_on(async {
            tokio::time::advance(Duration::from_millis(ms)).await;
            for _ in 0..50 {
                tokio::task::yield_now().await;
            }
        });
    }

    /// What becomes of something that the broker brings to its end by itself; no time goes by.
    pub(crate) fn block_on<T>(&self, act: impl Future<Output = T>) -> T {
        self.runtime.block_on(act)
    }

    /// What waits for its time: what it is called, when it is due, and its bytes.
    pub(crate) fn delayed(&self) -> Vec<(String, u64, usize)> {
        let all = self.inspect.delayed(None, usize::MAX, |_| true).items.into_iter();
        all.map(|one| (one.id, one.due_ms - self.wall_ms, one.bytes)).collect()
    }

    pub(crate) fn next(&mut self) -> u32 {
        self.last += 1;
        self.last
    }

    /// What certainly is, or one of what may be.
    pub(crate) fn known(&self) -> &Reference {
        &self.may_be[0]
    }

    pub(crate) fn see(&mut self, what: impl Into<String>) {
        *self.seen.entry(what.into()).or_default() += 1;
    }

    pub(crate) fn note(&mut self, what: impl FnOnce() -> String) {
        self.history.push(what());
    }

    /// Does the same to all that may be; what then contradicts what was seen is not. `Err`: nothing is left.
    pub(crate) fn agree(
        &mut self,
        mut act: impl FnMut(&mut Reference) -> Result<(), String>,
    ) -> Result<(), String> {
        let mut first = None;
        self.may_be.retain_mut(|one| match act(one) {
            Ok(()) => true,
            Err(why) => {
                first.get_or_insert(why);
                false
            }
        });
        first.filter(|_| self.may_be.is_empty()).map_or(Ok(()), Err)
    }

    /// Whether every queue holds what it should, by its counts.
    pub(crate) fn compare(&mut self) -> Result<(), String> {
        let real = self.held();
        self.agree(|reference| {
            let plain = counts(reference);
            if plain == real { Ok(()) } else { Err(different("queues hold", &real, &plain)) }
        })?;
        self.compare_delayed()
    }

    /// Ready, their bytes, on loan, consumers; by queue.
    pub(crate) fn held(&self) -> BTreeMap<String, [usize; 4]> {
        let queues = self.inspect.queues(None, usize::MAX).items.into_iter();
        queues
            .map(|queue| {
                let counts = [queue.ready, queue.ready_bytes as usize, queue.unacked, queue.consumers];
                (queue.name, counts)
            })
            .collect()
    }

    /// Whether there are as many exchanges, queues and bindings as there should be.
    pub(crate) fn compare_topology(&mut self) -> Result<(), String> {
        let seen = self.inspect.overview();
        let real = [seen.exchanges - OWN_EXCHANGES, seen.queues, seen.bindings];
        self.agree(|reference| {
            let plain = [reference.exchanges.len(), reference.queues.len(), reference.bindings.len()];
            if plain == real { Ok(()) } else { Err(different("exchanges, queues, bindings", &real, &plain)) }
        })
    }

    pub(crate) fn connect(&mut self) -> usize {
        let about = Arrival {
            address: None,
            protocol: "test",
            listener: "test".into(),
            handshake: None,
            certificate: None,
        };
        let link = self.broker.connect(about);
        let number = self.next() as usize;
        self.clients.push(Client { number, link, consumes: None, had: Vec::new() });
        let at = self.clients.len() - 1;
        let (credentials, identity) = (Credentials::default(), Identity::Connection);
        let open = Open { credentials, version: "1.2", identity, vhost: None, will: None };
        let opened = self.ask(at, Request::Open(Box::new(open)));
        assert!(matches!(opened, Some(Event::Opened(_))), "{opened:?}");
        at
    }

    /// The connection is lost, and what is its own with it.
    pub(crate) fn lose(&mut self, at: usize) -> Result<(), String> {
        let Client { number, consumes, link, .. } = self.clients.swap_remove(at);
        drop(link);
        self.agree(|reference| {
            if let Some(Consumes { id, queue, .. }) = &consumes {
                reference.leave(queue, *id);
            }
            let own = reference.queues.iter().filter(|queue| queue.rules.owner == Some(number));
            for name in own.map(|queue| queue.name.clone()).collect::<Vec<_>>() {
                reference.delete(&name);
            }
            Ok(())
        })?;
        self.forget_consumers();
        Ok(())
    }

    /// Those whose queue is gone consume no more.
    pub(crate) fn forget_consumers(&mut self) {
        let reference = &self.may_be[0];
        for client in &mut self.clients {
            let lost = |one: &Consumes| reference.queues.iter().all(|queue| queue.name != one.queue);
            if client.consumes.as_ref().is_some_and(lost) {
                client.consumes = None;
            }
        }
    }

    /// The answer, if there is one.
    fn ask(&mut self, at: usize, request: Request) -> Option<Event> {
        let link = &mut self.clients[at].link;
        let mut events = Vec::new();
        link.ask(&mut vec![request], &mut events);
        let _ = link.poll(&mut Context::from_waker(Waker::noop()), &mut events);
        // That its queue was deleted is news, and may come before.
        events.into_iter().find(|event| !matches!(event, Event::ConsumerCancelled(_)))
    }

    pub(crate) fn declare(&mut self, definitions: &Definitions, allowed: bool) -> Result<(), String> {
        let _guard = self.runtime.enter();
        let declared = self.broker.declare(definitions);
        if declared.is_ok() == allowed { Ok(()) } else { Err(format!("declared: {declared:?}")) }
    }

    pub(crate) fn submit(
        &mut self,
        at: usize,
        operations: Vec<Operation>,
    ) -> Result<Result<bool, No>, String> {
        let submit = Submit { ticket: Ticket(1), answer: true, operations: operations.into() };
        let answer = match self.ask(at, Request::Submit(submit)) {
            Some(Event::Submitted { result: Ok(submitted), .. }) => Ok(submitted.is_routed()),
            Some(Event::Submitted { result: Err(Refusal::NoExchange(_)), .. }) => Err(No::Exchange),
            Some(Event::Submitted { result: Err(Refusal::Internal(_)), .. }) => Err(No::Internal),
            Some(Event::Submitted { result: Err(Refusal::LimitReached(_)), .. }) => Err(No::Room),
            other => return Err(format!("answered {other:?}")),
        };
        self.see(format!("submitted: {answer:?}"));
        Ok(answer)
    }

    pub(crate) fn subscribe(
        &mut self,
        at: usize,
        subscription: Subscription,
        mut consumer: Consumer,
        queue: &str,
        allowed: bool,
    ) -> Result<(), String> {
        let asked = subscription.consumer.as_ref().and_then(|asked| asked.start);
        let subscribe = Subscribe { ticket: Ticket(1), subscriptions: vec![subscription] };
        let answer = self.ask(at, Request::Subscribe(Box::new(subscribe)));
        let granted = matches!(&answer, Some(Event::Subscribed { results, .. }) if results[0].is_ok());
        if granted != allowed {
            return Err(format!("subscribed: {answer:?}"));
        }
        if granted {
            let Consumer { id, acknowledges, .. } = consumer;
            self.clients[at].consumes = Some(Consumes { id, queue: queue.to_owned(), acknowledges });
            let wall_ms = self.wall_ms;
            self.agree(|reference| {
                let found = reference.queue(queue).ok_or("no such queue")?;
                consumer.reader = found.begin(asked.unwrap_or_default(), wall_ms);
                found.consumers.push(consumer.clone());
                Ok(())
            })?;
        }
        Ok(())
    }

    pub(crate) fn unsubscribe(&mut self, at: usize, delete_queue: bool) -> Result<(), String> {
        let Some(Consumes { id, queue, .. }) = self.clients[at].consumes.take() else { return Ok(()) };
        let subscriptions = vec![Unsubscription::Consumer { id: ConsumerId(id), delete_queue }];
        self.ask(at, Request::Unsubscribe(Box::new(Unsubscribe { ticket: Ticket(1), subscriptions })));
        self.agree(|reference| {
            reference.leave(&queue, id);
            if delete_queue {
                reference.delete(&queue);
            }
            Ok(())
        })?;
        self.forget_consumers();
        Ok(())
    }

    pub(crate) fn settle(&mut self, at: usize, which: usize, outcome: Outcome) -> Result<(), String> {
        let (operation, id, queue, tag) = self.settling(at, which, outcome);
        self.ask(at, submit_one(operation));
        self.agree(|reference| {
            let dead = settle(reference, &queue, id, tag, outcome);
            reference.bury(dead.into_iter().collect());
            Ok(())
        })
    }

    pub(crate) fn settling(
        &self,
        at: usize,
        which: usize,
        outcome: Outcome,
    ) -> (Operation, u32, String, u64) {
        let (id, queue, tag) = self.clients[at].had[which].clone();
        let one = Settle { consumer: ConsumerId(id), tag: DeliveryTag(tag), outcome };
        (Operation::Settle(one), id, queue, tag)
    }

    /// Takes; returns how many came.
    pub(crate) fn take(&mut self, at: usize, max: usize) -> Result<usize, String> {
        let mut deliveries = Vec::new();
        self.clients[at].link.take(max, &mut deliveries);
        let Some(Consumes { id, queue, acknowledges }) = self.clients[at].consumes.clone() else {
            let none = deliveries.is_empty();
            return if none { Ok(0) } else { Err("somebody got what he does not consume".to_owned()) };
        };
        for delivery in deliveries.iter().filter(|_| acknowledges) {
            self.clients[at].had.push((id, queue.clone(), delivery.tag.0));
        }
        for delivery in &deliveries {
            let told = told(delivery, true);
            self.see(if told.5 > 0 { "delivered again" } else { "delivered" });
            told.7.into_iter().for_each(|_| self.see("read"));
            told.6.first().into_iter().for_each(|(_, why, _)| self.see(format!("delivered after {why}")));
        }
        let real = self.held();
        let mut then = Vec::new();
        let mut why = None;
        for before in std::mem::take(&mut self.may_be) {
            let all = self::take(&before, &queue, id, max, deliveries.len());
            for (after, wanted) in all {
                let got = deliveries.iter().map(|one| told(one, acknowledges));
                let is_stream = before.queues.iter().any(|one| one.name == queue && one.rules.stream);
                let wanted = wanted.iter().map(|entry| expected(entry, acknowledges, is_stream));
                let wanted: Vec<_> = wanted.collect();
                let got: Vec<_> = got.collect();
                let plain = counts(&after);
                if got != wanted {
                    why.get_or_insert_with(|| different("got", &got, &wanted));
                } else if plain != real {
                    why.get_or_insert_with(|| different("queues hold", &real, &plain));
                } else if then.len() < MAY_BE_MAX {
                    then.push(after);
                }
            }
        }
        self.may_be = then;
        if self.may_be.len() > 1 {
            self.see("not certain");
        }
        if self.may_be.is_empty() {
            return Err(why.unwrap_or_else(|| format!("more than it may have: {}", deliveries.len())));
        }
        Ok(deliveries.len())
    }

    /// Everybody takes until nobody gets more: then nothing is left that somebody could have.
    pub(crate) fn take_all(&mut self) -> Result<(), String> {
        // One round may bring nothing but letters that died on the way, and are there for the next.
        let mut without = 0;
        while without < 2 {
            let mut count = 0;
            for at in 0..self.clients.len() {
                count += self.take(at, 100)?;
            }
            without = if count == 0 { without + 1 } else { 0 };
        }
        self.agree(|reference| {
            for queue in &reference.queues {
                let has_room = |consumer: &Consumer| match queue.allows(consumer.id) {
                    Some(room) => room > 0,
                    None => queue.credit(consumer.id) > 0,
                };
                let could = |consumer: &&Consumer| has_room(consumer) && queue.deliverable(consumer) > 0;
                if queue.consumers.iter().any(|consumer| could(&consumer)) {
                    return Err(format!("{} has something for somebody who never gets it", queue.name));
                }
            }
            Ok(())
        })
    }

    /// A new client takes all that is in a queue.
    pub(crate) fn empty(&mut self, name: &str) -> Result<(), String> {
        if self.known().queues.iter().all(|queue| queue.name != name) {
            return Ok(());
        }
        let (at, id) = (self.connect(), self.next());
        let is_stream = self.known().queues.iter().any(|queue| queue.name == name && queue.rules.stream);
        let (acknowledges, start) = (!is_stream, is_stream.then_some(Start::First));
        let consumer = Consumer { id, acknowledges, prefetch: None, reader: Reader::default() };
        let asked = request::Consumer { id: ConsumerId(id), acknowledges, prefetch: None, start };
        let queue = Target::Existing(QueueName::new(name));
        let subscription =
            Subscription { source: None, queue, consumer: Some(asked), retained: Replay::Never };
        self.subscribe(at, subscription, consumer, name, true)?;
        while self.take(at, 100)? > 0 {}
        while !self.clients[at].had.is_empty() {
            self.settle(at, 0, Outcome::Accepted)?;
            self.clients[at].had.swap_remove(0);
        }
        self.lose(at)
    }
}

/// What may come of it when that consumer gets `count`, having asked for `max`.
fn take(before: &Reference, name: &str, id: u32, max: usize, count: usize) -> Vec<(Reference, Vec<Entry>)> {
    let mut reference = before.clone();
    let Some(queue) = reference.queue(name) else { return vec![(before.clone(), Vec::new())] };
    let after = |count: usize, trailing: usize| {
        let mut reference = before.clone();
        let got = reference.take(name, id, count, trailing);
        (reference, got)
    };
    match queue.allows(id) {
        Some(room) => vec![after(max.min(room), 0)],
        // Its share is less than what it asks for, and it may have met what stands behind it.
        None if count <= max.min(queue.credit(id)) => {
            (0..=queue.trailing(count)).map(|trailing| after(count, trailing)).collect()
        }
        None => Vec::new(),
    }
}

pub(crate) fn settle(
    reference: &mut Reference,
    queue: &str,
    id: u32,
    tag: u64,
    outcome: Outcome,
) -> Option<crate::reference::Dead> {
    if outcome != Outcome::Received && reference.settle_read(queue, id, tag) {
        return None;
    }
    match outcome {
        Outcome::Accepted => reference.accept(queue, id, tag),
        Outcome::Requeued => reference.requeue(queue, id, tag),
        Outcome::Rejected => return reference.reject(queue, id, tag),
        Outcome::Received => {}
    }
    None
}

/// All that is to be seen of a delivery.
type Told = (u64, String, String, String, u8, u32, Vec<(String, String, u64)>, Option<u64>);

fn told(delivery: &Delivery, acknowledges: bool) -> Told {
    let message = &delivery.message;
    let header = message.properties.as_ref().and_then(|all| all.header("x-death"));
    let deaths: serde_json::Value =
        header.map_or(serde_json::Value::Null, |text| serde_json::from_str(text).unwrap());
    let deaths = deaths.as_array().into_iter().flatten().map(|death| {
        let text = |name: &str| death[name].as_str().unwrap().to_owned();
        (text("queue"), text("reason"), death["count"].as_u64().unwrap())
    });
    (
        if acknowledges { delivery.tag.0 } else { 0 },
        String::from_utf8_lossy(&message.payload).into_owned(),
        message.exchange.to_string(),
        message.key.to_string(),
        delivery.qos.bits(),
        delivery.attempts,
        deaths.collect(),
        delivery.offset,
    )
}

fn expected(entry: &Entry, acknowledges: bool, is_stream: bool) -> Told {
    let message = &entry.message;
    let deaths = message.deaths.iter().map(|(queue, why, count)| (queue.clone(), (*why).to_owned(), *count));
    (
        if acknowledges { entry.number } else { 0 },
        message.text.clone(),
        message.exchange.clone(),
        message.key.clone(),
        message.qos,
        entry.attempts,
        deaths.collect(),
        is_stream.then_some(entry.number),
    )
}

pub(crate) fn counts(reference: &Reference) -> BTreeMap<String, [usize; 4]> {
    let count = |queue: &crate::reference::Queue| {
        let lent = queue.entries.iter().filter(|entry| matches!(entry.place, Place::Lent(_))).count();
        let lent = lent + queue.consumers.iter().map(|one| one.reader.had.len()).sum::<usize>();
        let bytes = queue.waiting().map(|entry| entry.message.size()).sum();
        [queue.waiting().count(), bytes, lent, queue.consumers.len()]
    };
    reference.queues.iter().map(|queue| (queue.name.clone(), count(queue))).collect()
}

fn different(what: &str, real: &impl std::fmt::Debug, plain: &impl std::fmt::Debug) -> String {
    format!("{what}\n    the broker: {real:?}\n    should be:  {plain:?}")
}

fn submit_one(operation: Operation) -> Request {
    Request::Submit(Submit {
        ticket: Ticket(1),
        answer: false,
        operations: [operation].into_iter().collect(),
    })
}

struct Everyone;

impl AccessControl for Everyone {
    fn admit<'a>(&'a self, _credentials: &'a Credentials) -> Admission<'a> {
        Box::pin(std::future::ready(Ok((Principal { user: None }, Permissions::everything()))))
    }
}

/// How often a message may come back where a queue with dead letters does not say.
pub(crate) const USUAL_LIMIT: u32 = 3;

/// The broker's own.
const OWN_EXCHANGES: usize = 7;

const MAY_BE_MAX: usize = 32;
