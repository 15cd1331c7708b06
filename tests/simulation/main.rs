//! Deterministic simulation: the engine, the sessions of both protocols and the store, with correct clients, a network, a
//! disk and a clock, on one thread and by one seed. Whatever happens when, what is promised must hold.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use crate::asked::number;
use crate::world::{Tally, World};

mod asked;
mod client;
mod connection;
mod crowd;
mod dice;
mod disk;
mod heard;
mod ledger;
mod life;
mod mqtt_client;
mod mqtt_reader;
mod reads;
mod sent;
mod stomp_client;
mod stomp_reader;
mod streams;
mod verdict;
mod view;
mod world;

#[test]
fn what_is_promised_holds_whatever_happens_when() {
    if let Some(seed) = number("SEED") {
        return replay(seed);
    }
    let (first, count) = (number("FIRST").unwrap_or(1), number("SEEDS").unwrap_or(SEEDS));
    let started = Instant::now();
    let next = AtomicU64::new(first);
    let wrong = AtomicBool::new(false);
    let found: Mutex<Vec<(u64, String)>> = Mutex::default();
    let all: Mutex<Vec<Tally>> = Mutex::default();
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                let store = storage::Options::new("");
                while !wrong.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + count {
                        return;
                    }
                    match run(seed, &store, false).0 {
                        Ok(tally) => all.lock().unwrap().push(tally),
                        Err(why) => {
                            wrong.store(true, Ordering::Relaxed);
                            found.lock().unwrap().push((seed, why));
                        }
                    }
                }
            });
        }
    });
    let all = all.into_inner().unwrap();
    let sum = |of: fn(&Tally) -> u64| all.iter().map(of).sum::<u64>();
    println!(
        "{} seeds in {:.1} s: {} steps, {} crashes, {} stops, {} connections lost; {} messages sent, {} delivered, {} of them again",
        all.len(),
        started.elapsed().as_secs_f64(),
        sum(|tally| tally.steps),
        sum(|tally| tally.crashes),
        sum(|tally| tally.stops),
        sum(|tally| tally.lost_connections),
        sum(|tally| tally.sent),
        sum(|tally| tally.deliveries),
        sum(|tally| tally.repeated),
    );
    let found = found.into_inner().unwrap();
    if let Some((seed, why)) = found.iter().min() {
        panic!("seed {seed}: {why}\nstep by step: SEED={seed} cargo test -p tests --test simulation");
    }
}

#[test]
fn a_seed_does_the_same_each_time() {
    let store = storage::Options::new("");
    for seed in [3, 4, 5] {
        assert_eq!(run(seed, &store, false).0, run(seed, &store, false).0, "seed {seed}");
    }
}

fn replay(seed: u64) {
    let (result, log) = run(seed, &storage::Options::new(""), true);
    for line in log {
        println!("{line}");
    }
    match result {
        Ok(tally) => println!("seed {seed}: {tally:?}"),
        Err(why) => panic!("seed {seed}: {why}"),
    }
}

fn run(seed: u64, store: &storage::Options, logs: bool) -> (Result<Tally, String>, Vec<String>) {
    let mut world = match World::new(seed, store, logs) {
        Ok(world) => world,
        Err(why) => return (Err(why), Vec::new()),
    };
    let steps = number("STEPS").unwrap_or(STEPS) as usize;
    let result = catch_unwind(AssertUnwindSafe(|| world.run(steps)));
    let result = result.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        Err(format!("panicked: {}", text.unwrap_or_default()))
    });
    let wrong = result.as_ref().err().map(|why| format!("at step {}: {why}", world.tally.steps));
    (result.map_err(|why| wrong.unwrap_or(why)), world.log().to_vec())
}

const SEEDS: u64 = 2000;
const STEPS: u64 = 1000;
