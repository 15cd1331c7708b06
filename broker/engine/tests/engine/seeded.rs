//! Random publishers and subscribers that keep to their protocol, over takeovers, lost connections and restarts; and what
//! has to be true of it all.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use engine::Broker;
use model::delivery::{Delivery, Outcome, Stage};
use model::event::Event;
use model::qos::Qos;
use model::request::{Operation, Release, Request, Submit, Ticket};
use tempfile::TempDir;

use crate::client::{Client, crash, publish, start_with};

#[tokio::test]
async fn what_is_acknowledged_arrives_in_order_and_at_qos_2_once() {
    let seeds: Vec<u64> = match std::env::var("SEED") {
        Ok(seed) => vec![seed.parse().unwrap()],
        Err(_) => (1..=4).collect(),
    };
    for seed in seeds {
        World::new(seed).await.run(250).await;
    }
}

/// xorshift64*: the same numbers for the same seed, everywhere.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % sides
    }
}

struct World {
    seed: u64,
    dice: Dice,
    directory: TempDir,
    broker: Option<Broker>,
    store: std::sync::Arc<storage::Store>,
    publishers: Vec<Publisher>,
    subscribers: Vec<Subscriber>,
    /// Everything that was acknowledged.
    acknowledged: BTreeSet<Text>,
}

/// Publisher, key, number, QoS.
type Text = (usize, usize, u32, u8);

struct Publisher {
    name: String,
    client: Option<Client>,
    /// Taken over, and perhaps not read to the end.
    former: Vec<Client>,
    tickets: u64,
    /// The last one that was answered: answers come in order.
    answered: u64,
    numbers: HashMap<usize, u32>,
    /// In the order of publishing.
    unfinished: BTreeMap<u64, Exchange>,
}

struct Exchange {
    text: Text,
    qos: Qos,
    id: Option<u16>,
    /// PUBREC came: PUBREL is due, or was sent.
    released: bool,
    /// By which it was asked on this connection.
    ticket: u64,
}

struct Subscriber {
    name: String,
    client: Option<Client>,
    filter: &'static str,
    qos: Qos,
    /// Delivered at QoS 2, and not released by the broker.
    holding: BTreeSet<u64>,
    receiving: HashMap<u64, Delivery>,
    unsettled: Vec<Delivery>,
    /// PUBREL came, PUBCOMP is due.
    completing: Vec<Delivery>,
    tickets: u64,
    got: HashMap<Text, u32>,
    last: HashMap<(usize, usize, bool), u32>,
}

impl World {
    async fn new(seed: u64) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (broker, store) = start_with(tiny(&directory));
        let publishers = (0..2).map(Publisher::new).collect();
        let mut subscribers: Vec<_> =
            [("k/#", Qos::ExactlyOnce), ("k/0", Qos::AtLeastOnce), ("k/#", Qos::AtMostOnce)]
                .into_iter()
                .enumerate()
                .map(|(number, (filter, qos))| Subscriber::new(number, filter, qos))
                .collect();
        for subscriber in &mut subscribers {
            subscriber.connect(&broker, true).await;
        }
        let dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let broker = Some(broker);
        Self { seed, dice, directory, broker, store, publishers, subscribers, acknowledged: BTreeSet::new() }
    }

    async fn run(mut self, steps: usize) {
        for _ in 0..steps {
            self.step().await;
        }
        // All finish what they began; then all has arrived.
        for round in 0..2000 {
            let mut is_busy = false;
            for publisher in 0..self.publishers.len() {
                self.pump_publisher(publisher).await;
                is_busy |= !self.publishers[publisher].unfinished.is_empty();
            }
            for subscriber in 0..self.subscribers.len() {
                is_busy |= self.pump_subscriber(subscriber, 100).await;
            }
            if !is_busy && round > 20 {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        self.check();
    }

    async fn step(&mut self) {
        let publisher = self.dice.roll(self.publishers.len());
        let subscriber = self.dice.roll(self.subscribers.len());
        match self.dice.roll(100) {
            0..45 => {
                self.pump_publisher(publisher).await;
                let (key, qos) = (self.dice.roll(2), self.dice.roll(3));
                self.publishers[publisher].publish(key, qos);
            }
            45..70 => {
                let max = self.dice.roll(5);
                self.pump_subscriber(subscriber, max).await;
            }
            70..78 => self.pump_publisher(publisher).await,
            78..84 => self.publishers[publisher].lose_connection(true),
            84..88 => self.publishers[publisher].lose_connection(false),
            88..92 => self.subscribers[subscriber].lose_connection(),
            92..96 => {
                for _ in 0..10 {
                    tokio::time::sleep(std::time::Duration::from_millis(1)).await;
                    self.pump_publisher(publisher).await;
                }
            }
            96..98 => self.restart(false).await,
            _ => self.restart(true).await,
        }
    }

    /// In order, or as if the process had been killed.
    async fn restart(&mut self, is_killed: bool) {
        let copy = is_killed.then(|| crash(self.directory.path()));
        for publisher in &mut self.publishers {
            publisher.lose_connection(true);
            publisher.former.clear();
        }
        for subscriber in &mut self.subscribers {
            subscriber.lose_connection();
        }
        self.broker = None;
        self.store.close();
        if let Some(copy) = copy {
            self.directory = copy;
        }
        // The tasks of the old one let go of it.
        tokio::task::yield_now().await;
        let (broker, store) = start_with(tiny(&self.directory));
        (self.broker, self.store) = (Some(broker), store);
        // What is sent to no connection is lost with it.
        for subscriber in &mut self.subscribers {
            subscriber.connect(self.broker.as_ref().unwrap(), false).await;
        }
    }

    async fn pump_publisher(&mut self, number: usize) {
        let publisher = &mut self.publishers[number];
        publisher.connect(self.broker.as_ref().unwrap()).await;
        for text in publisher.pump().await {
            self.acknowledged.insert(text);
        }
    }

    async fn pump_subscriber(&mut self, number: usize, max: usize) -> bool {
        let subscriber = &mut self.subscribers[number];
        subscriber.connect(self.broker.as_ref().unwrap(), false).await;
        let answered = self.dice.roll(4) > 0 || max > 10;
        subscriber.pump(max, answered, self.seed).await
    }

    fn check(&self) {
        for subscriber in self.subscribers.iter().filter(|subscriber| subscriber.qos > Qos::AtMostOnce) {
            for text in &self.acknowledged {
                let wanted = subscriber.filter == "k/#" || text.1 == 0;
                let got = subscriber.got.get(text).copied().unwrap_or(0);
                let seed = self.seed;
                assert!(!wanted || got > 0, "seed {seed}: {} never got {text:?}", subscriber.name);
                let once = text.3 == 2 && subscriber.qos == Qos::ExactlyOnce;
                assert!(!once || got == 1, "seed {seed}: {} got {text:?} {got} times", subscriber.name);
            }
        }
        assert!(self.acknowledged.len() > 20, "seed {}: hardly anything happened", self.seed);
    }
}

impl Publisher {
    fn new(number: usize) -> Self {
        let (client, former, tickets) = (None, Vec::new(), 0);
        let (numbers, unfinished) = (HashMap::new(), BTreeMap::new());
        Self { name: format!("p{number}"), client, former, tickets, answered: 0, numbers, unfinished }
    }

    /// Without `is_noticed`, the broker learns of it by the next connection only.
    fn lose_connection(&mut self, is_noticed: bool) {
        let client = self.client.take();
        if !is_noticed {
            self.former.extend(client);
        }
    }

    /// And says again what was not answered (MQTT 5.0, 4.4).
    async fn connect(&mut self, broker: &Broker) {
        if self.client.is_some() {
            return;
        }
        let mut client = Client::open(broker, &self.name, false, 3600).await;
        self.former.clear();
        for exchange in self.unfinished.values_mut() {
            self.tickets += 1;
            exchange.ticket = self.tickets;
            exchange.ask(&mut client);
        }
        self.client = Some(client);
    }

    fn publish(&mut self, key: usize, qos: usize) {
        let qos_of = [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce];
        let free = (1..=5).find(|id| self.unfinished.values().all(|exchange| exchange.id != Some(*id)));
        let (Some(client), true) = (&mut self.client, qos < 2 || free.is_some()) else { return };
        let number = self.numbers.entry(key).or_default();
        *number += 1;
        self.tickets += 1;
        let publisher = usize::from(self.name == "p1");
        let exchange = Exchange {
            text: (publisher, key, *number, qos as u8),
            qos: qos_of[qos],
            id: free.filter(|_| qos == 2),
            released: false,
            ticket: self.tickets,
        };
        exchange.ask(client);
        if qos > 0 {
            self.unfinished.insert(self.tickets, exchange);
        }
    }

    /// Returns what was acknowledged.
    async fn pump(&mut self) -> Vec<Text> {
        let mut acknowledged = Vec::new();
        let Some(client) = &mut self.client else { return acknowledged };
        for event in client.poll().await {
            let (ticket, is_done) = match event {
                Event::Submitted { ticket, result } => {
                    assert!(ticket.0 > self.answered, "{}: {ticket:?} after {}", self.name, self.answered);
                    self.answered = ticket.0;
                    (ticket, result.is_err())
                }
                Event::Released { ticket, .. } => (ticket, true),
                other => panic!("{}: {other:?}", self.name),
            };
            let Some((at, exchange)) =
                self.unfinished.iter_mut().find(|(_, exchange)| exchange.ticket == ticket.0)
            else {
                continue;
            };
            let at = *at;
            acknowledged.push(exchange.text);
            if exchange.qos == Qos::ExactlyOnce && !exchange.released && !is_done {
                exchange.released = true;
                self.tickets += 1;
                exchange.ticket = self.tickets;
                exchange.ask(client);
            } else {
                self.unfinished.remove(&at);
            }
        }
        acknowledged
    }
}

impl Exchange {
    fn ask(&self, client: &mut Client) {
        let ticket = Ticket(self.ticket);
        if let (true, Some(id)) = (self.released, self.id) {
            return client.ask(Request::Release(Release { ticket, id }));
        }
        let (publisher, key, number, qos) = self.text;
        let text = format!("{publisher} {key} {number} {qos}");
        let message = publish(&format!("k/{key}"), &text, self.qos, self.id);
        let operations = [Operation::Publish(message)].into_iter().collect();
        client.ask(Request::Submit(Submit { ticket, answer: self.qos > Qos::AtMostOnce, operations }));
    }
}

impl Subscriber {
    fn new(number: usize, filter: &'static str, qos: Qos) -> Self {
        Self {
            name: format!("s{number}"),
            client: None,
            filter,
            qos,
            holding: BTreeSet::new(),
            receiving: HashMap::new(),
            unsettled: Vec::new(),
            completing: Vec::new(),
            tickets: 0,
            got: HashMap::new(),
            last: HashMap::new(),
        }
    }

    fn lose_connection(&mut self) {
        self.client = None;
        self.receiving.clear();
        self.unsettled.clear();
        self.completing.clear();
    }

    async fn connect(&mut self, broker: &Broker, is_first: bool) {
        if self.client.is_some() {
            return;
        }
        let expiry_s = if self.qos == Qos::AtMostOnce { 0 } else { 3600 };
        let mut client = Client::open(broker, &self.name, false, expiry_s).await;
        assert_eq!(client.opened.session_present, expiry_s > 0 && !is_first, "{}", self.name);
        if !client.opened.session_present {
            client.subscribe(self.filter, self.qos).await;
        }
        self.client = Some(client);
    }

    /// Takes, and settles where `is_answering`. Whether there was anything.
    async fn pump(&mut self, max: usize, is_answering: bool, seed: u64) -> bool {
        let Some(client) = &mut self.client else { return false };
        for event in client.poll().await {
            let Event::Submitted { ticket, result: Ok(_) } = event else { panic!("{event:?}") };
            // PUBREL: the id is free, and in the end the client says so.
            if let Some(delivery) = self.receiving.remove(&ticket.0) {
                self.holding.remove(&delivery.tag.0);
                self.completing.push(delivery);
            }
        }
        let mut deliveries = Vec::new();
        client.link.take(max, &mut deliveries);
        let is_busy = !(deliveries.is_empty()
            && self.unsettled.is_empty()
            && self.receiving.is_empty()
            && self.completing.is_empty());
        for delivery in deliveries {
            self.take(&delivery, seed);
            self.unsettled.push(delivery);
        }
        let Some(client) = self.client.as_mut().filter(|_| is_answering) else { return is_busy };
        for delivery in self.completing.drain(..) {
            client.settle(&delivery, Outcome::Accepted);
        }
        for delivery in self.unsettled.drain(..) {
            match (delivery.qos, delivery.stage) {
                (Qos::AtMostOnce, _) => {}
                (Qos::AtLeastOnce, _) | (Qos::ExactlyOnce, Stage::Received) => {
                    client.settle(&delivery, Outcome::Accepted);
                }
                (Qos::ExactlyOnce, Stage::Published) => {
                    self.tickets += 1;
                    let settle = Client::settling(&delivery, Outcome::Received);
                    let operations = [settle].into_iter().collect();
                    let ticket = Ticket(self.tickets);
                    client.ask(Request::Submit(Submit { ticket, answer: true, operations }));
                    self.receiving.insert(self.tickets, delivery);
                }
            }
        }
        is_busy
    }

    fn take(&mut self, delivery: &Delivery, seed: u64) {
        if delivery.qos == Qos::ExactlyOnce {
            if delivery.stage == Stage::Received {
                self.holding.remove(&delivery.tag.0);
                return;
            }
            if !self.holding.insert(delivery.tag.0) {
                assert!(delivery.attempts > 0, "seed {seed}: said to be new");
                return;
            }
        }
        let text = String::from_utf8(delivery.message.payload.to_vec()).unwrap();
        let numbers: Vec<u32> = text.split(' ').map(|number| number.parse().unwrap()).collect();
        let text = (numbers[0] as usize, numbers[1] as usize, numbers[2], numbers[3] as u8);
        let times = self.got.entry(text).or_default();
        *times += 1;
        // Who was there from the beginning meets all for the first time in their order.
        if *times == 1 && self.qos > Qos::AtMostOnce {
            let last = self.last.entry((text.0, text.1, text.3 == 0)).or_default();
            assert!(*last < text.2, "seed {seed}: {} got {text:?} behind {last}", self.name);
            *last = text.2;
        }
    }
}

fn tiny(directory: &TempDir) -> storage::Options {
    storage::Options {
        segment_bytes: 16 << 10,
        surplus_bytes_max: 32 << 10,
        apply_wait: std::time::Duration::from_millis(5),
        ..storage::Options::new(directory.path())
    }
}
