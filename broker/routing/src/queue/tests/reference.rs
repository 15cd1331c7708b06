//! A queue of any arguments against a sorted list, under random use: also one that lets go of most messages, and has them
//! brought when they are wanted.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::sample::Index;

use model::name::ExchangeName;
use model::properties::Properties;
use model::queue::DeadLetter;

use super::*;

/// One step of a random life.
#[derive(Debug, Clone)]
enum Step {
    Push {
        qos: Qos,
        durable: bool,
        lives_ms: Option<u64>,
        priority: Option<u8>,
    },
    Reserve,
    Show(Index),
    Unreserve(Index),
    Attach {
        settles: Settles,
        prefetch: Option<u32>,
    },
    Detach(Index),
    /// `patient`: what is absent was brought before.
    Take {
        consumer: Index,
        max: usize,
        patient: bool,
    },
    Settle {
        consumer: Index,
        tag: Index,
        outcome: Outcome,
    },
    Wait(u64),
    /// What was asked for comes.
    Fill,
    Purge,
    Expire,
    Trim,
    /// Other terms hold.
    Amend(Option<u64>, QueueArguments),
}

/// What a queue is declared with, in bounds that a short life runs into.
fn arguments() -> impl Strategy<Value = (Option<u64>, QueueArguments)> {
    let numbers = (
        prop::option::weighted(0.3, 0..8_u64),
        prop::option::weighted(0.3, 1..40_u64),
        prop::option::weighted(0.3, 1..5_u8),
        prop::option::weighted(0.3, 0..3_u32),
    );
    (numbers, any::<bool>()).prop_map(|((ready_max, message_ttl_ms, priority_max, delivery_limit), dead)| {
        let dead_letter = dead.then(|| DeadLetter { exchange: ExchangeName::TOPIC, key: None });
        let overflow = Some(Overflow::DropHead);
        let arguments = QueueArguments {
            message_ttl_ms,
            priority_max,
            delivery_limit,
            overflow,
            dead_letter,
            ..QueueArguments::default()
        };
        (ready_max, arguments)
    })
}

fn steps() -> impl Strategy<Value = Step> {
    let qos = prop::sample::select(vec![Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce]);
    let settles = prop::sample::select(vec![Settles::BySending, Settles::ByQos, Settles::Always]);
    let outcomes = vec![
        Outcome::Received,
        Outcome::Accepted,
        Outcome::Accepted,
        Outcome::Accepted,
        Outcome::Requeued,
        Outcome::Rejected,
    ];
    let outcome = prop::sample::select(outcomes);
    prop_oneof![
        8 => (qos, any::<bool>(), prop::option::weighted(0.2, 1..50_u64), prop::option::of(0..7_u8))
            .prop_map(|(qos, durable, lives_ms, priority)| Step::Push { qos, durable, lives_ms, priority }),
        4 => Just(Step::Reserve),
        4 => any::<Index>().prop_map(Step::Show),
        1 => any::<Index>().prop_map(Step::Unreserve),
        2 => (settles, prop::option::of(0..4_u32))
            .prop_map(|(settles, prefetch)| Step::Attach { settles, prefetch }),
        1 => any::<Index>().prop_map(Step::Detach),
        8 => (any::<Index>(), 0..6_usize, any::<bool>())
            .prop_map(|(consumer, max, patient)| Step::Take { consumer, max, patient }),
        8 => (any::<Index>(), any::<Index>(), outcome)
            .prop_map(|(consumer, tag, outcome)| Step::Settle { consumer, tag, outcome }),
        1 => (0..20_u64).prop_map(Step::Wait),
        4 => Just(Step::Fill),
        1 => Just(Step::Purge),
        1 => Just(Step::Expire),
        2 => Just(Step::Trim),
        1 => arguments().prop_map(|(ready_max, arguments)| Step::Amend(ready_max, arguments)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]
    #[test]
    fn a_queue_does_what_a_sorted_list_does(
        arguments in prop::option::of(arguments()),
        resident in prop::option::of((0..4_u64, 1..8_u64)),
        steps in prop::collection::vec(steps(), 1..120),
    ) {
        let resident = resident.map(|(messages_max, bytes_max)| Resident { messages_max, bytes_max });
        let mut pair = Pair::new(arguments, resident);
        for step in &steps {
            pair.step(step);
            pair.check();
        }
        pair.run_dry();
    }
}

/// The queue and what it should hold.
struct Pair {
    queue: Arc<Queue>,
    arguments: QueueArguments,
    ready_max: Option<u64>,
    /// By what comes first: the higher priority, then the lower number.
    ready: BTreeMap<Rank, Held>,
    /// With the time when they came: by when they are shown it may be late.
    reserved: Vec<(u64, WallMs)>,
    consumers: Vec<Known>,
    last: u64,
    now: WallMs,
    /// How much of what waits it may hold; `None`: all.
    resident: Option<Resident>,
    /// All that was ever durable, as a journal has it.
    journal: BTreeMap<u64, Held>,
    /// What it wants to have back.
    wanted: Option<Vec<u64>>,
}

type Rank = (Reverse<u8>, u64);

#[derive(Debug, Clone, PartialEq)]
struct Held {
    priority: Option<u8>,
    published_at: WallMs,
    qos: Qos,
    durable: bool,
    expires_at: Option<WallMs>,
    attempts: u32,
    stage: Stage,
}

struct Known {
    taker: Taker,
    settles: Settles,
    prefetch: Option<u32>,
    lent: BTreeMap<u64, Held>,
    /// It was marked, and has not been told since that there is no more.
    called: bool,
}

impl Known {
    fn credit(&self) -> usize {
        self.prefetch.map_or(usize::MAX, |prefetch| prefetch as usize - self.lent.len())
    }
}

impl Pair {
    fn new(arguments: Option<(Option<u64>, QueueArguments)>, resident: Option<Resident>) -> Self {
        let (ready_max, arguments) = arguments.unwrap_or_default();
        let options = QueueOptions { ready_max, ..options("q").with(|all| *all = arguments.clone()) };
        Self {
            queue: Queue::new(QueueId(1), options, Owner::Nobody),
            arguments,
            ready_max,
            ready: BTreeMap::new(),
            reserved: Vec::new(),
            consumers: Vec::new(),
            last: 0,
            now: NOW,
            resident,
            journal: BTreeMap::new(),
            wanted: None,
        }
    }

    fn purge(&mut self) {
        let gone: Vec<_> = self.ready.extract_if(.., |_, held| held.stage == Stage::Published).collect();
        // In steps, to the last of them.
        for step in gone.chunks(2).chain([&[][..]]) {
            let durable = step.iter().filter(|(_, held)| held.durable).map(|((_, at), _)| *at);
            let (count, places) = self.queue.purge(2);
            assert_eq!((count, sequences(&places)), (step.len(), durable.collect::<Vec<_>>()));
        }
    }

    fn step(&mut self, step: &Step) {
        let mut wakes = Wakes::default();
        match step {
            Step::Push { qos, durable, lives_ms, priority } => {
                let expires_at = lives_ms.map(|lives| WallMs(self.now.0 + lives));
                let (qos, durable, priority) = (*qos, *durable, *priority);
                let held = Held { qos, durable, priority, expires_at, ..late(self.now) };
                self.last += 1;
                if durable && self.resident.is_some() {
                    self.queue.reserve(made(&held, self.last).message.size_bytes()).unwrap();
                    self.show(self.last, held);
                } else {
                    self.queue.push(made(&held, self.last), &mut wakes).unwrap();
                    self.wait(self.last, held);
                }
            }
            Step::Reserve => {
                self.last += 1;
                let size = made(&late(self.now), self.last).message.size_bytes();
                assert_eq!(self.queue.reserve(size), Ok(self.last));
                self.reserved.push((self.last, self.now));
            }
            Step::Show(at) if !self.reserved.is_empty() => {
                let (sequence, came) = self.reserved.swap_remove(at.index(self.reserved.len()));
                self.show(sequence, late(came));
            }
            Step::Unreserve(at) if !self.reserved.is_empty() => {
                let (sequence, came) = self.reserved.swap_remove(at.index(self.reserved.len()));
                self.queue.unreserve(sequence, made(&late(came), sequence).message.size_bytes());
            }
            Step::Show(_) | Step::Unreserve(_) => {}
            Step::Attach { settles, prefetch } => {
                let taker = Taker::attach(&self.queue, *settles, *prefetch);
                let (settles, prefetch) = (*settles, *prefetch);
                self.consumers.push(Known { taker, settles, prefetch, lent: BTreeMap::new(), called: false });
            }
            Step::Detach(at) if !self.consumers.is_empty() => {
                let gone = self.consumers.swap_remove(at.index(self.consumers.len()));
                assert_eq!(self.queue.detach(gone.taker.key, &mut wakes), self.consumers.len());
                for (sequence, held) in gone.lent {
                    self.wait(sequence, again(held));
                }
            }
            Step::Take { consumer, max, patient } if !self.consumers.is_empty() => {
                self.take(consumer.index(self.consumers.len()), *max, *patient);
            }
            Step::Settle { consumer, tag, outcome } if !self.consumers.is_empty() => {
                self.settle(consumer.index(self.consumers.len()), *tag, *outcome);
            }
            Step::Detach(_) | Step::Take { .. } | Step::Settle { .. } => {}
            Step::Wait(ms) => self.now.0 += ms,
            Step::Fill => {
                self.fill();
            }
            Step::Purge => self.purge(),
            Step::Expire => self.expire(),
            Step::Trim => self.trim(),
            Step::Amend(ready_max, arguments) => self.amend(*ready_max, arguments),
        }
    }

    /// Priorities are as they were declared.
    fn amend(&mut self, ready_max: Option<u64>, arguments: &QueueArguments) {
        let priority_max = self.arguments.priority_max;
        (self.ready_max, self.arguments) = (ready_max, QueueArguments { priority_max, ..arguments.clone() });
        let options = QueueOptions { ready_max, ..options("q").with(|all| *all = self.arguments.clone()) };
        self.queue.amend(Terms::new(&options, &Owner::Nobody, None, Usual::default()));
        while let Some(asked) = self.queue.retime(2, 3) {
            // Sometimes the journal cannot be read.
            if asked.iter().any(|sequence| sequence % 7 == self.now.0 % 7) {
                self.queue.time(&asked, None);
                self.now.0 += 1;
                continue;
            }
            let dates = asked.iter().map(|sequence| {
                let Held { published_at, expires_at, .. } = self.journal[sequence];
                Dates { sequence: *sequence, published_at, expires_at, retain: false }
            });
            self.queue.time(&asked, Some(&dates.collect::<Vec<_>>()));
        }
    }

    fn expire(&mut self) {
        let mut taken = Taken::default();
        self.queue.expire(self.now, &mut taken);
        // Those that go elsewhere go when they have come.
        while self.arguments.dead_letter.is_some() && self.fetch(taken.absent) {
            self.queue.expire(self.now, &mut taken);
        }
        let (now, ttl_ms) = (self.now, self.arguments.message_ttl_ms);
        let gone = self.ready.extract_if(.., |_, held| expired(held, ttl_ms, now));
        let gone: Vec<_> = gone.map(|((_, at), held)| (at, held, Cause::Expired)).collect();
        self.check_given_up(&gone, &taken);
    }

    fn trim(&mut self) {
        let mut taken = Taken::default();
        self.queue.trim(usize::MAX, &mut taken);
        while self.arguments.dead_letter.is_some() && self.fetch(taken.absent) {
            self.queue.trim(usize::MAX, &mut taken);
        }
        let mut gone = Vec::new();
        while self.ready_max.is_some_and(|max| self.ready.len() as u64 > max) {
            let ((_, at), held) = self.ready.pop_first().unwrap();
            gone.push((at, held, Cause::TooMany));
        }
        self.check_given_up(&gone, &taken);
    }

    fn show(&mut self, sequence: u64, held: Held) {
        let resident = self.resident.unwrap_or(Resident::ALL);
        self.queue.show(sequence, made(&held, sequence), resident, &mut Wakes::default());
        self.journal.insert(sequence, held.clone());
        self.wait(sequence, held);
    }

    /// What is wanted comes; `false`: nothing is.
    fn fill(&mut self) -> bool {
        let Some(wanted) = self.wanted.take() else { return false };
        let found = wanted.iter().map(|one| (*one, made(&self.journal[one], *one))).collect();
        let lost = self.queue.fill(&wanted, found, &mut Wakes::default());
        assert_eq!(lost, [0; 0], "all of it was found");
        true
    }

    /// If it wants something, that comes; `false`: it wants nothing.
    fn fetch(&mut self, absent: bool) -> bool {
        if absent && self.wanted.is_none() {
            self.wanted = self.queue.begin_fetch(3, 9);
        }
        self.fill()
    }

    fn wait(&mut self, sequence: u64, held: Held) {
        let priority = held.priority.unwrap_or(0).min(self.arguments.priority_max.unwrap_or(0));
        self.ready.insert((Reverse(priority), sequence), held);
    }

    /// That these, in this order, are gone from the queue: to elsewhere, or for good.
    fn check_given_up(&self, gone: &[(u64, Held, Cause)], taken: &Taken) {
        // What had to come first came later.
        let in_order = |mut these: Vec<_>| {
            if self.resident.is_some() {
                these.sort();
            }
            these
        };
        let expired = gone.iter().filter(|(_, _, cause)| *cause == Cause::Expired).count();
        assert_eq!(taken.expired, expired);
        if self.arguments.dead_letter.is_none() {
            let durable = gone.iter().filter(|(_, held, _)| held.durable).map(|(at, ..)| *at);
            let (durable, removed) = (durable.collect::<Vec<_>>(), sequences(&taken.removed));
            let sorted = |mut these: Vec<u64>| {
                these.sort_unstable();
                these
            };
            assert_eq!(sorted(removed), sorted(durable));
            assert_eq!((taken.dead.len(), taken.dropped), (0, gone.len() - expired));
            return;
        }
        assert_eq!((taken.removed.len(), taken.dropped), (0, 0));
        let dead = taken.dead.iter().map(|dead| {
            let place = dead.place.map(|place| place.sequence);
            (dead.message.key.to_string(), place, dead.cause.as_str())
        });
        let gone = gone
            .iter()
            .map(|(at, held, cause)| (at.to_string(), held.durable.then_some(*at), cause.as_str()));
        assert_eq!(in_order(dead.collect()), in_order(gone.collect()));
    }

    /// Takes, and checks that it got what comes first of what may be delivered. How many depends on the others, unless it
    /// is alone.
    fn take(&mut self, at: usize, max: usize, patient: bool) -> usize {
        while patient && self.fetch(true) {
            self.check();
        }
        let alone = self.consumers.len() == 1 && self.queue.lock().ready.absent().is_none();
        let ttl_ms = self.arguments.message_ttl_ms;
        let too_often = self.arguments.delivery_limit.unwrap_or(u32::MAX);
        let consumer = &mut self.consumers[at];
        let credit = consumer.credit();
        let mut taken = Taken::default();
        let more = self.queue.take(consumer.taker.key, max, self.now, &mut taken);
        assert_eq!(consumer.taker.marks(), 0, "it is here");
        consumer.called = more;
        let count = taken.deliveries.len();
        assert!(count <= max.min(credit));
        let (mut settled, mut gone) = (Vec::new(), Vec::new());
        let mut deliveries = taken.deliveries.iter();
        let unfit = taken.expired
            + taken.dropped
            + taken.dead.iter().filter(|dead| dead.cause == Cause::DeliveryLimit).count();
        while deliveries.len() > 0 || gone.len() < unfit {
            let ((_, sequence), held) = self.ready.pop_first().expect("nothing is taken that is not there");
            if expired(&held, ttl_ms, self.now) {
                gone.push((sequence, held, Cause::Expired));
                continue;
            }
            if held.attempts > too_often && held.stage == Stage::Published {
                gone.push((sequence, held, Cause::DeliveryLimit));
                continue;
            }
            let delivery = deliveries.next().expect("what comes first is taken first");
            assert_eq!(delivery.message.key.as_str(), sequence.to_string());
            let same = (delivery.qos, delivery.attempts, delivery.stage);
            assert_eq!(same, (held.qos, held.attempts, held.stage));
            let left = held.expires_at.map(|end| end.0.saturating_sub(self.now.0));
            assert_eq!(delivery.expires_in_ms, left);
            if consumer.settles.waits(held.qos) {
                assert_eq!(delivery.tag.0, sequence);
                consumer.lent.insert(sequence, held);
            } else {
                assert_eq!(delivery.tag.0, 0);
                settled.extend(held.durable.then_some(Place { queue: QueueId(1), sequence }));
            }
        }
        // What was settled by being sent is gone for good, whatever the queue does with the rest.
        taken.removed.retain(|place| !settled.contains(place));
        if alone {
            let credit = consumer.credit();
            assert!(self.ready.is_empty() || credit == 0 || count == max || count > 0);
            assert_eq!(more, !self.ready.is_empty() && credit > 0);
        }
        if taken.absent && self.wanted.is_none() {
            self.wanted = self.queue.begin_fetch(3, 9);
        }
        self.check_given_up(&gone, &taken);
        count
    }

    fn settle(&mut self, at: usize, tag: Index, outcome: Outcome) {
        let consumer = &mut self.consumers[at];
        let tags: Vec<_> = consumer.lent.keys().copied().collect();
        if tags.is_empty() {
            let unknown = DeliveryTag(tag.index(9) as u64);
            let settled = self.queue.settle(consumer.taker.key, unknown, outcome, &mut Wakes::default());
            assert!(matches!(settled, Settled::Unknown));
            return;
        }
        let tag = tags[tag.index(tags.len())];
        let settled = self.queue.settle(consumer.taker.key, DeliveryTag(tag), outcome, &mut Wakes::default());
        let held = consumer.lent.get_mut(&tag).unwrap();
        let expected = held.durable.then_some(Place { queue: QueueId(1), sequence: tag });
        let dies = outcome == Outcome::Rejected && self.arguments.dead_letter.is_some();
        match settled {
            Settled::Unknown | Settled::Read => panic!("{tag} is on loan"),
            Settled::Received { durable } => {
                assert_eq!((outcome, durable), (Outcome::Received, expected));
                held.stage = Stage::Received;
                return;
            }
            Settled::Requeued => assert_eq!(outcome, Outcome::Requeued),
            Settled::Dead(dead) => {
                assert!(dies);
                assert_eq!((dead.place, dead.cause), (expected, Cause::Rejected));
            }
            Settled::Removed { durable, message } => {
                assert!(matches!(outcome, Outcome::Accepted | Outcome::Rejected) && !dies);
                assert_eq!((durable, message.key.as_str()), (expected, tag.to_string().as_str()));
            }
        }
        let held = consumer.lent.remove(&tag).unwrap();
        if outcome == Outcome::Requeued {
            self.wait(tag, again(held));
        }
    }

    fn check(&mut self) {
        for consumer in &mut self.consumers {
            let marks = consumer.taker.marks();
            assert!(marks <= usize::from(!consumer.called), "marked while it was on its way");
            consumer.called |= marks > 0;
        }
        let stats = self.queue.stats();
        assert_eq!(stats.ready, self.ready.len());
        assert_eq!(stats.unacked, self.consumers.iter().map(|consumer| consumer.lent.len()).sum::<usize>());
        assert_eq!(stats.consumers, self.consumers.len());
        let bytes: usize = self.ready.keys().map(|(_, sequence)| sequence.to_string().len()).sum();
        assert_eq!(stats.ready_bytes, bytes as u64);
        let able = self.consumers.iter().any(|consumer| consumer.credit() > 0);
        let coming = self.wanted.is_some() || self.consumers.iter().any(|consumer| consumer.called);
        assert!(self.ready.is_empty() || !able || coming, "somebody could take and does not know it");
    }

    /// All that are called come; then nothing is left that anyone could take.
    fn run_dry(&mut self) {
        loop {
            while let Some(at) = self.consumers.iter().position(|consumer| consumer.called) {
                self.take(at, 2, false);
                self.check();
            }
            if !self.fill() {
                break;
            }
            self.check();
        }
        let able = self.consumers.iter().any(|consumer| consumer.credit() > 0);
        assert!(self.ready.is_empty() || !able);
    }
}

/// What a reserved entry turns out to be.
fn late(came: WallMs) -> Held {
    Held {
        priority: None,
        published_at: came,
        qos: Qos::AtLeastOnce,
        durable: true,
        expires_at: None,
        attempts: 0,
        stage: Stage::Published,
    }
}

fn again(held: Held) -> Held {
    Held { attempts: held.attempts + 1, ..held }
}

fn expired(held: &Held, ttl_ms: Option<u64>, now: WallMs) -> bool {
    let has_begun = held.attempts > 0 && held.qos == Qos::ExactlyOnce;
    let queue_says = ttl_ms.map(|ttl| WallMs(held.published_at.0 + ttl));
    let end = held.expires_at.into_iter().chain(queue_says).min();
    held.stage == Stage::Published && !has_begun && end.is_some_and(|end| end <= now)
}

fn made(held: &Held, sequence: u64) -> Item {
    let key = sequence.to_string();
    let properties = held
        .priority
        .map(|priority| Box::new(Properties { priority: Some(priority), ..Properties::default() }));
    let (expires_at, published_at) = (held.expires_at, held.published_at);
    let message = Arc::new(Message { expires_at, published_at, properties, ..message(&key) });
    Item { message, qos: held.qos, durable: held.durable, ..item(&key) }
}

fn sequences(places: &[Place]) -> Vec<u64> {
    places.iter().map(|place| place.sequence).collect()
}
