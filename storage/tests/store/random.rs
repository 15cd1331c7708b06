//! Any changes, any ends of a life: the store agrees with the plain meaning of what was committed.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use model::change::Change;
use model::key::RoutingKey;
use model::name::{ClientId, ExchangeName, QueueId};
use model::qos::Qos;
use storage::{Options, Store, Urgency};

use crate::changes::{
    banned, bind, bind_exchange, changeset, commit, copy, declare, enqueue, exchange, forget, governed,
    let_in, message, open, options, place, remember, retain, sent, session, unbind, unbind_exchange,
    ungoverned, unsent, without_follower,
};
use crate::naive::{Naive, picture};

#[test]
fn a_store_is_what_was_committed_to_it() {
    let mut trimmed = 0;
    for seed in 1..=8 {
        trimmed += live(seed, 8, 250);
    }
    assert!(trimmed > 20, "files are given up on the way: {trimmed}");
}

/// Some lives of one store; returns how many files were given up.
fn live(seed: u64, lives: usize, changesets: usize) -> u64 {
    let home = tempfile::tempdir().unwrap();
    let mut directory = home.path().join("0");
    let (mut dice, mut naive, mut writer) = (Dice(seed), Naive::default(), Writer::default());
    let mut trimmed = 0;
    for life in 1..=lives {
        let end = dice.roll(5);
        let options = if end == 0 { without_follower(&directory) } else { options(&directory) };
        let (store, recovered) = open(options);
        assert_eq!(recovered.incarnation.0 as usize, life);
        compare(&naive.picture(), &picture(&recovered), &format!("seed {seed}, life {life}"));
        for _ in 0..changesets {
            let changes = writer.changes(&mut dice);
            changes.iter().for_each(|change| naive.apply(change));
            let urgency = if dice.roll(2) == 0 { Urgency::Now } else { Urgency::Soon };
            store.commit(changeset(changes), urgency, None);
            if dice.roll(8) == 0 {
                commit(&store, []);
            }
        }
        commit(&store, []);
        directory = finish(store, &directory, &home.path().join(life.to_string()), end, &mut trimmed);
        spoil(&directory, &mut dice);
    }
    trimmed
}

fn compare(expected: &[String], found: &[String], when: &str) {
    let only = |these: &[String], those: &[String]| -> Vec<String> {
        let only = these.iter().filter(|line| !those.contains(line));
        // Payloads are long, and say nothing.
        only.map(|line| line.replace("\\x", "").chars().take(400).collect()).collect()
    };
    let (missing, surplus) = (only(expected, found), only(found, expected));
    assert!(missing.is_empty() && surplus.is_empty(), "{when}: missing {missing:#?}, surplus {surplus:#?}");
}

/// One of the ways in which a life ends.
fn finish(store: Store, directory: &Path, next: &Path, end: u64, trimmed: &mut u64) -> std::path::PathBuf {
    match end {
        0 => copy(directory, next, true),
        1 => copy(directory, next, false),
        _ => store.close(),
    }
    *trimmed += store.statistics().trimmed.value();
    assert_eq!(store.statistics().state_failures.value(), 0);
    drop(store);
    match end {
        0 | 1 => return next.to_path_buf(),
        2 => fs::remove_dir_all(directory.join("state")).unwrap(),
        3 => fs::write(directory.join("state/db"), vec![0xa5; 100_000]).unwrap(),
        _ => {}
    }
    directory.to_path_buf()
}

/// Some digests are lost or damaged, and most are not.
fn spoil(directory: &Path, dice: &mut Dice) {
    let entries = fs::read_dir(directory.join("journal")).unwrap().map(|entry| entry.unwrap().path());
    let mut digests: Vec<_> =
        entries.filter(|path| path.extension().is_some_and(|end| end == "dig")).collect();
    digests.sort();
    for path in digests {
        match dice.roll(8) {
            0 => fs::remove_file(&path).unwrap(),
            1 => {
                let mut bytes = fs::read(&path).unwrap();
                let at = dice.roll(bytes.len() as u64) as usize;
                bytes[at] ^= 1;
                fs::write(&path, bytes).unwrap();
            }
            _ => {}
        }
    }
}

/// Makes up changes of which most make sense.
#[derive(Default)]
struct Writer {
    queues: Vec<u64>,
    declared: u64,
    next: BTreeMap<u64, u64>,
    places: Vec<(u64, u64)>,
    messages: u64,
}

impl Writer {
    fn changes(&mut self, dice: &mut Dice) -> Vec<Change> {
        // Nothing is ever said of a queue before it is declared.
        if self.declared == 0 {
            return vec![self.declare()];
        }
        (0..=dice.roll(3)).map(|_| self.change(dice)).collect()
    }

    fn change(&mut self, dice: &mut Dice) -> Change {
        let client = format!("client {}", dice.roll(6));
        let key = match dice.roll(12) {
            11 => format!("long/{}", "x".repeat(900 + dice.roll(2) as usize)),
            number => format!("key/{number}"),
        };
        let from = ["amq.topic", "other"][dice.roll(2) as usize];
        match dice.roll(40) {
            0 => self.declare(),
            1 if self.queues.len() > 3 => {
                let index = dice.roll(self.queues.len() as u64) as usize;
                // Its places stay known, so that changes come for a queue that is gone.
                Change::DeleteQueue(QueueId(self.queues.swap_remove(index)))
            }
            2 => session(&client, 1, dice.roll(1000) as u32),
            3 => Change::DropSession(ClientId::new(&client)),
            4 => exchange(from),
            5 if dice.roll(4) == 0 => Change::DeleteExchange(ExchangeName::new(from)),
            6..9 => bind(from, self.queue(dice), &key, Qos::AtLeastOnce),
            9 => unbind(from, self.queue(dice), &key),
            34 => bind_exchange(from, ["sink", "amq.topic", &key][dice.roll(3) as usize], &key),
            35 => unbind_exchange(from, ["sink", "amq.topic"][dice.roll(2) as usize], &key),
            10..14 => remember(&client, dice.roll(20) as u16),
            14..18 => forget(&client, dice.roll(20) as u16),
            18 => retain(self.message(dice, &key), [None, Some(&*client)][dice.roll(2) as usize]),
            19 => Change::Unretain { exchange: ExchangeName::TOPIC, key: RoutingKey::from(&*key) },
            36 if dice.roll(2) == 0 => banned(&client, dice.roll(1000)),
            36 | 37 => let_in(&client),
            38 if dice.roll(2) == 0 => governed(&client, dice.roll(1000)),
            38 => ungoverned(&client),
            30..32 => sent(&client, dice.roll(20), dice.roll(1000)),
            32..34 => unsent(&client, dice.roll(20)),
            20 | 21 => match self.known(dice) {
                Some((queue, sequence)) => Change::Receive(place(queue, sequence)),
                None => self.declare(),
            },
            22..30 if self.places.len() > 40 => {
                let index = dice.roll(self.places.len() as u64) as usize;
                let (queue, sequence) = self.places.swap_remove(index);
                Change::Remove(place(queue, sequence))
            }
            _ => self.enqueue(dice, &key),
        }
    }

    fn declare(&mut self) -> Change {
        self.declared += 1;
        self.queues.push(self.declared);
        declare(self.declared)
    }

    fn enqueue(&mut self, dice: &mut Dice, key: &str) -> Change {
        let message = self.message(dice, key);
        let mut places = Vec::new();
        for _ in 0..=dice.roll(3) {
            let queue = self.queue(dice);
            let next = self.next.entry(queue).or_insert(1);
            places.push(place(queue, *next));
            self.places.push((queue, *next));
            *next += 1;
        }
        enqueue(&message, &places)
    }

    fn message(&mut self, dice: &mut Dice, key: &str) -> std::sync::Arc<model::message::Message> {
        self.messages += 1;
        let length = if dice.roll(20) == 0 { 9000 } else { dice.roll(600) };
        message(self.messages, key, vec![self.messages as u8; length as usize])
    }

    fn queue(&mut self, dice: &mut Dice) -> u64 {
        match self.queues.get(dice.roll(self.queues.len().max(1) as u64) as usize) {
            Some(queue) => *queue,
            None => self.declared,
        }
    }

    fn known(&self, dice: &mut Dice) -> Option<(u64, u64)> {
        self.places.get(dice.roll(self.places.len().max(1) as u64) as usize).copied()
    }
}

struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % sides
    }
}

#[test]
fn a_store_that_is_used_for_long_stays_small() {
    let home = tempfile::tempdir().unwrap();
    let (store, _) = open(Options { surplus_bytes_max: 128 << 10, ..options(home.path()) });
    commit(&store, [declare(1), declare(2), enqueue(&message(0, "stays", vec![0; 100]), &[place(2, 1)])]);
    for number in 1..=4000 {
        let message = message(number, "key", vec![number as u8; 1000]);
        store.commit(changeset([enqueue(&message, &[place(1, number)])]), Urgency::Now, None);
        store.commit(changeset([Change::Remove(place(1, number))]), Urgency::Now, None);
        if number % 50 == 0 {
            commit(&store, []);
        }
    }
    let start = Instant::now();
    let files = || fs::read_dir(home.path().join("journal")).unwrap().count();
    while files() > 10 {
        assert!(start.elapsed() < Duration::from_secs(60), "{} files of 64 KB are left of 70", files());
        std::thread::sleep(Duration::from_millis(5));
    }
    store.close();
    drop(store);
    let (_, recovered) = open(options(home.path()));
    assert_eq!(recovered.report.entries, 1);
    let next: Vec<_> =
        recovered.queues.iter().map(|queue| (queue.record.id.0, queue.next_sequence)).collect();
    assert!(next.contains(&(1, 4001)) && next.contains(&(2, 2)), "{next:?}");
}
