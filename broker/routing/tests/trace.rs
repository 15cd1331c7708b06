//! What is told of a message's way is the way that it takes: topologies at random, made by numbers that a seed decides.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::collections::BTreeSet;

use model::grant::Grant;
use model::key::{KeyPattern, RoutingKey};
use model::name::{ClientId, ExchangeName, QueueId, QueueName, ShareName};
use model::properties::Properties;
use model::queue::{
    Binding, ExchangeBinding, ExchangeKind, ExchangeOptions, HeaderMatch, MatchMode, QueueOptions,
};
use routing::{NEAREST_MAX, Owner, Queue, RouteCache, Router};

#[test]
fn the_queues_that_are_told_are_those_that_a_message_goes_to() {
    let (mut somewhere, mut by_exchange) = (0, 0);
    for seed in 1..=300 {
        let mut dice = Dice(seed);
        let router = world(&mut dice);
        for _ in 0..40 {
            let exchange = exchange(dice.below(EXCHANGES));
            let key = RoutingKey::from(path(&mut dice, &["a", "b", "c"]).as_str());
            let headers = (0..dice.below(3)).map(|_| (word(&mut dice), word(&mut dice))).collect();
            let properties = Properties { headers, ..Properties::default() };
            let publisher = ClientId::new(if dice.below(2) == 0 { "kim" } else { "lee" });
            let sender = routing::Sender { session: Some(&publisher), ..Default::default() };
            let mut cache = RouteCache::new();
            let routes = router.resolve(&exchange, &key, Some(&properties), sender, &mut cache).unwrap();
            let members = routes.shares().iter().flat_map(|pick| pick.members());
            let resolved: BTreeSet<QueueId> =
                routes.fixed().iter().chain(members).map(|route| route.queue.id()).collect();
            let trace = router.trace(&exchange, &key, Some(&properties), sender).unwrap();
            let told: BTreeSet<QueueId> = trace.queues.iter().map(|queue| queue.id()).collect();
            assert_eq!(told, resolved, "seed {seed}, {exchange} {key:?} {properties:?}");
            for step in &trace.steps {
                assert!(step.nearest.len() == step.missed.min(NEAREST_MAX), "seed {seed}");
                assert!(step.nearest.iter().all(|tried| !tried.why.is_empty()), "seed {seed}");
            }
            somewhere += usize::from(!told.is_empty());
            by_exchange += usize::from(trace.steps.len() > 1);
        }
    }
    assert!(somewhere > 1000 && by_exchange > 1000, "{somewhere}, {by_exchange}");
}

#[test]
fn the_nearest_come_first_and_say_what_differs() {
    let router = Router::default();
    router.insert_queue(queue(1));
    let patterns = ["x/y/z", "a/b/x", "a/x/c", "a/b", "a/b/c/d", "a/+/y", "$a/#"];
    for pattern in patterns {
        router.bind(binding(ExchangeName::TOPIC, pattern, HeaderMatch::default(), 1)).unwrap();
    }
    let trace = router
        .trace(&ExchangeName::TOPIC, &RoutingKey::from("a/b/c"), None, routing::Sender::default())
        .unwrap();
    let step = &trace.steps[0];
    assert_eq!((step.missed, step.nearest.len(), step.matched.len()), (7, NEAREST_MAX, 0));
    let why: Vec<&str> = step.nearest.iter().map(|tried| tried.why.as_str()).collect();
    // Of the seven six lack one level; x/y/z lacks three.
    let expected = [
        "level 3 is \"c\", not \"x\"",
        "level 2 is \"b\", not \"x\"",
        "the key has 3 levels, the pattern 2",
        "the key has 3 of 4 levels",
        "level 3 is \"c\", not \"y\"",
        "level 1 is \"a\", not \"$a\"",
    ];
    assert!(why.iter().all(|why| expected.contains(why)), "{why:?}");
}

const EXCHANGES: usize = 6;
const QUEUES: usize = 5;

fn world(dice: &mut Dice) -> Router {
    let router = Router::default();
    for number in 0..EXCHANGES {
        let kinds = [ExchangeKind::Direct, ExchangeKind::Topic, ExchangeKind::Fanout, ExchangeKind::Headers];
        let alternate = (dice.below(3) == 0).then(|| exchange(dice.below(EXCHANGES)));
        let options = ExchangeOptions {
            name: exchange(number),
            kind: kinds[dice.below(4)],
            durable: false,
            auto_delete: false,
            internal: false,
            alternate,
        };
        router.declare_exchange(options).unwrap();
    }
    (0..QUEUES).for_each(|number| router.insert_queue(queue(number as u64)));
    for _ in 0..dice.below(20) {
        let pattern = path(dice, &["a", "b", "+", "#"]);
        let wanted = (0..dice.below(3)).map(|_| (word(dice), (dice.below(2) == 0).then(|| word(dice))));
        let arguments = HeaderMatch {
            wanted: wanted.collect(),
            mode: if dice.below(2) == 0 { MatchMode::All } else { MatchMode::Any },
        };
        let from = exchange(dice.below(EXCHANGES));
        if dice.below(4) == 0 {
            let (exchange, pattern) =
                (from, KeyPattern::from_words(&pattern.replace('+', "*").replace('/', ".")));
            let to = self::exchange(dice.below(EXCHANGES));
            // What cannot be is refused, and changes nothing.
            let _ = router.bind_exchange(&ExchangeBinding { exchange, pattern, arguments, to });
            continue;
        }
        let mut one = binding(from, &pattern, arguments, dice.below(QUEUES) as u64);
        one.share = (dice.below(4) == 0).then(|| ShareName::new("s"));
        one.grant.no_local = one.share.is_none() && dice.below(3) == 0;
        router.bind(one).unwrap();
    }
    router
}

fn binding(exchange: ExchangeName, pattern: &str, arguments: HeaderMatch, queue: u64) -> Binding {
    Binding {
        exchange,
        pattern: KeyPattern::from_words(&pattern.replace('+', "*").replace('/', ".")),
        arguments,
        queue: QueueName::new(format!("q{queue}").as_str()),
        share: None,
        grant: Grant::default(),
    }
}

fn queue(number: u64) -> std::sync::Arc<Queue> {
    let options = QueueOptions {
        name: QueueName::new(format!("q{number}").as_str()),
        durable: false,
        exclusive: false,
        auto_delete: false,
        ready_max: None,
        ready_bytes_max: None,
        arguments: None,
    };
    Queue::new(QueueId(number), options, Owner::Session(ClientId::new("kim")))
}

fn exchange(number: usize) -> ExchangeName {
    ExchangeName::new(format!("x{number}").as_str())
}

fn path(dice: &mut Dice, words: &[&str]) -> String {
    let levels: Vec<&str> = (0..=dice.below(3)).map(|_| words[dice.below(words.len())]).collect();
    levels.join("/")
}

fn word(dice: &mut Dice) -> bytestring::ByteString {
    ["k", "v", "w"][dice.below(3)].into()
}

/// Numbers that look thrown (xorshift).
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % end
    }
}
