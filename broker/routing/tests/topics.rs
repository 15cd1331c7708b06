//! Topic bindings, made and unmade at random, against a definition of a match that is plain enough to be right.
//!
//! Every run has a few seeds that are always the same and one that is new; `SEED` names the only one, `STEPS` how long each
//! goes on. `cargo test -p routing --test topics -- --nocapture` shows them.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test, and its seed is the time")]

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use model::change::BindingKey;
use model::key::{KeyPattern, Level, RoutingKey};
use model::name::{ExchangeName, QueueId, QueueName};
use model::queue::{Binding, QueueOptions};
use routing::{Owner, Queue, RouteCache, Router};

#[test]
fn a_key_goes_to_every_queue_with_a_pattern_that_matches_it_and_to_no_other() {
    let steps = number("STEPS").unwrap_or(15_000);
    let fresh = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
    for seed in number("SEED").map_or(vec![1, 2, 3, fresh], |seed| vec![seed]) {
        println!("seed {seed}: {steps} steps");
        World::new(seed).run(steps);
    }
}

/// A pattern against a key, word by word (AMQP 0-9-1, 3.1.3.3; MQTT 5.0, 4.7): `#` is tried with every number of words.
fn matches(pattern: &[&str], key: &[&str]) -> bool {
    match pattern {
        [] => key.is_empty(),
        ["#", rest @ ..] => (0..=key.len()).any(|taken| matches(rest, &key[taken..])),
        ["+", rest @ ..] => !key.is_empty() && matches(rest, &key[1..]),
        [word, rest @ ..] => key.first() == Some(word) && matches(rest, &key[1..]),
    }
}

/// MQTT's exception (5.0, 4.7.2): what begins with `$` is not for a pattern that begins with a wildcard. And AMQP's: the empty
/// key has no word at all.
fn is_wanted(pattern: &[&str], key: &[&str]) -> bool {
    let hides = key[0].starts_with('$') && matches!(pattern[0], "+" | "#");
    let key = if key == [""] && pattern != [""] { &[] } else { key };
    !hides && matches(pattern, key)
}

#[test]
fn the_definition_is_what_the_specifications_say() {
    let examples = [
        // MQTT 5.0, 4.7.1.2 and 4.7.1.3
        ("sport/tennis/player1/#", "sport/tennis/player1", true),
        ("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", true),
        ("sport/+", "sport", false),
        ("sport/+", "sport/", true),
        ("+/+", "/finance", true),
        ("+", "/finance", false),
        ("#", "$SYS/a", false),
        ("$SYS/#", "$SYS", true),
        // RabbitMQ's, with `+` for its `*`
        ("+/orange/+", "quick/orange/rabbit", true),
        ("+/+/rabbit", "lazy/pink/rabbit", true),
        ("lazy/#", "lazy/orange/new/rabbit", true),
        ("#/new/#/rabbit", "lazy/new/rabbit", true),
        ("#/new/#/rabbit", "lazy/orange/rabbit", false),
        ("#", "", true),
        ("+", "", false),
    ];
    for (pattern, key, expected) in examples {
        let (pattern, key): (Vec<_>, Vec<_>) = (pattern.split('/').collect(), key.split('/').collect());
        assert_eq!(is_wanted(&pattern, &key), expected, "{pattern:?} {key:?}");
    }
}

struct World {
    seed: u64,
    dice: Dice,
    router: Router,
    /// Two publishers ask, each remembers in its own way: one asks often, one seldom.
    caches: [RouteCache; 2],
    /// What is bound: pattern and queue.
    bound: Vec<(Vec<&'static str>, usize)>,
    /// Keys that were asked for before, so that answers are remembered.
    keys: Vec<Vec<&'static str>>,
    found: usize,
}

impl World {
    fn new(seed: u64) -> Self {
        let router = Router::default();
        (0..QUEUES).for_each(|number| router.insert_queue(queue(number)));
        let caches = [RouteCache::new(), RouteCache::new()];
        Self { seed, dice: Dice::new(seed), router, caches, bound: Vec::new(), keys: Vec::new(), found: 0 }
    }

    fn run(mut self, steps: u64) {
        for step in 0..steps {
            // Sometimes there is much, sometimes next to nothing.
            let wanted = if step / 1_000 % 2 == 0 { 60 } else { 5 };
            match self.dice.roll(8) {
                0 | 1 if self.bound.len() < wanted => self.bind(),
                0..=2 if self.bound.len() > self.dice.roll(wanted) => self.unbind(),
                3 if self.dice.roll(20) == 0 => self.lose_queue(),
                _ => self.ask(step),
            }
        }
        assert!(self.found > steps as usize / 10, "seed {}: hardly anything matched", self.seed);
    }

    fn bind(&mut self) {
        let (pattern, queue) = (self.words(&pattern_words()), self.dice.roll(QUEUES));
        let is_new = !self.bound.contains(&(pattern.clone(), queue));
        let binding = Binding {
            exchange: ExchangeName::TOPIC,
            pattern: pattern_of(&pattern),
            arguments: Default::default(),
            queue: queue_name(queue),
            share: None,
            grant: Default::default(),
        };
        assert_eq!(self.router.bind(binding), Ok(is_new), "seed {}: {pattern:?}", self.seed);
        if is_new {
            self.bound.push((pattern, queue));
        }
    }

    fn unbind(&mut self) {
        let (pattern, queue) = self.bound.swap_remove(self.dice.roll(self.bound.len()));
        let key = BindingKey {
            exchange: ExchangeName::TOPIC,
            pattern: pattern_of(&pattern),
            arguments: Default::default(),
            share: None,
            queue: queue_name(queue),
            queue_id: QueueId(queue as u64),
        };
        assert!(self.router.unbind(&key), "seed {}: {pattern:?}", self.seed);
        assert!(!self.router.unbind(&key), "seed {}: {pattern:?}", self.seed);
    }

    fn lose_queue(&mut self) {
        let gone = self.dice.roll(QUEUES);
        self.router.remove_queue(&queue_name(gone)).unwrap();
        self.router.insert_queue(queue(gone));
        self.bound.retain(|(_, queue)| *queue != gone);
    }

    fn ask(&mut self, step: u64) {
        if self.keys.len() < 40 || self.dice.roll(3) == 0 {
            let key = self.words(&KEY_WORDS);
            self.keys.push(key);
            if self.keys.len() > 40 {
                self.keys.swap_remove(0);
            }
        }
        let key = &self.keys[self.dice.roll(self.keys.len())];
        let cache = &mut self.caches[usize::from(self.dice.roll(10) == 0)];
        let text = RoutingKey::from(key.join("/").as_str());
        let routes = self
            .router
            .resolve(&ExchangeName::TOPIC, &text, None, routing::Sender::default(), cache)
            .unwrap();
        let mut got: Vec<_> = routes.targets().map(|route| route.queue.id().0 as usize).collect();
        got.sort_unstable();
        let wanted = self.bound.iter().filter(|(pattern, _)| is_wanted(pattern, key));
        // Each queue once, by whichever of its patterns.
        let wanted: BTreeMap<_, _> = wanted.map(|(pattern, queue)| (*queue, pattern.join("/"))).collect();
        let seed = self.seed;
        let queues: Vec<_> = wanted.keys().copied().collect();
        assert_eq!(got, queues, "seed {seed}, step {step}: key {:?}, wanted by {wanted:?}", text.as_str());
        self.found += got.len();
    }

    /// Few enough of few enough that they meet.
    fn words(&mut self, choice: &[&'static str]) -> Vec<&'static str> {
        let few = 1 + self.dice.roll(3);
        let count =
            if self.dice.roll(20) == 0 { 1 + self.dice.roll(12) } else { 1 + self.dice.roll(few + 1) };
        // Now and then from all that there is, mostly from what meets.
        let width = if self.dice.roll(4) == 0 { choice.len() } else { choice.len().min(8) };
        (0..count).map(|_| choice[choice.len() - 1 - self.dice.roll(width)]).collect()
    }
}

fn pattern_of(words: &[&str]) -> KeyPattern {
    let level = |word: &&str| match *word {
        "+" => Level::One,
        "#" => Level::Many,
        word => Level::Literal(word.into()),
    };
    KeyPattern::new(words.iter().map(level).collect())
}

fn queue(number: usize) -> std::sync::Arc<Queue> {
    let options = QueueOptions {
        name: queue_name(number),
        durable: false,
        exclusive: false,
        auto_delete: false,
        ready_max: None,
        ready_bytes_max: None,
        arguments: None,
    };
    Queue::new(QueueId(number as u64), options, Owner::Nobody)
}

fn queue_name(number: usize) -> QueueName {
    QueueName::new(&format!("q{number}"))
}

/// xorshift64*: the same numbers for the same seed, everywhere.
struct Dice(u64);

impl Dice {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % sides
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

const QUEUES: usize = 12;

/// What keys are made of, the usual last: empty levels, the broker's own, texts of several bytes a character (composed and
/// not, which are two), texts that sort around `/`, that are longer than what is kept in place, and that look like wildcards.
const KEY_WORDS: [&str; 22] = [
    "*",
    "a*",
    "+a",
    "a#",
    "a.b",
    "a b",
    "\u{7f}",
    "!",
    "0",
    "sixteen-bytes-16",
    "seventeen-bytes17",
    "a text that is longer than a level usually is, by far",
    "é",
    "e\u{301}",
    "日本",
    "🦀",
    "$SYS",
    "$",
    "",
    "b",
    "a",
    "c",
];

/// How many of them are unusual.
const UNUSUAL: usize = 19;

/// What patterns are made of: the unusual ones too, and wildcards among the usual ones.
fn pattern_words() -> Vec<&'static str> {
    [&KEY_WORDS[..UNUSUAL], &["b", "+", "#", "a", "c", "+", "#"]].concat()
}
