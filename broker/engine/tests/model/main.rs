//! The engine against a plain broker of lists and loops, under anything that clients may do.
//!
//! `cargo test -p engine --test model` takes 30,000 steps, half of them by a seed that is always the same, half by a new one;
//! `STEPS` says how many, and `SEED` takes them all by one seed. A difference is told with its seed and the fewest steps that
//! still show it.
#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test that meets anything else has failed"
)]

mod delays;
mod dice;
mod matching;
mod policies;
mod readers;
mod reference;
mod steps;
mod topology;
mod world;

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::dice::Dice;
use crate::world::World;

#[test]
fn the_broker_does_what_a_plain_one_does() {
    let total = number("STEPS").unwrap_or(30_000) as usize;
    let fresh = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
    let seeds = number("SEED").map_or(vec![1, fresh], |seed| vec![seed]);
    let steps = total / seeds.len();
    std::thread::scope(|scope| {
        for seed in seeds {
            scope.spawn(move || compare(seed, steps));
        }
    });
}

fn compare(seed: u64, steps: usize) {
    let (start, mut dice, mut seen) = (Instant::now(), Dice::new(seed), BTreeMap::new());
    println!("seed {seed}: {steps} steps");
    for life in 0..steps.div_ceil(LIFE) {
        let all: Vec<u64> = (0..LIFE).map(|_| dice.next()).collect();
        if let Err(first) = live(&all, &mut seen) {
            let took = start.elapsed();
            let (steps, told) = shrink(all, first);
            panic!("seed {seed}, life {life}, after {took:.1?}; {steps} steps are enough:\n{told}");
        }
    }
    println!("seed {seed}: no difference in {steps} steps, {:.1?}: {seen:?}", start.elapsed());
    for what in USUAL.iter().filter(|_| steps >= 10_000) {
        assert!(seen.contains_key(*what), "seed {seed}: nothing was {what}");
    }
}

struct Difference {
    /// At which step.
    at: usize,
    told: String,
}

/// One broker, from its first step until all its queues are empty.
fn live(steps: &[u64], seen: &mut BTreeMap<String, usize>) -> Result<(), Difference> {
    let mut world = World::new();
    let inside = world.handle();
    let _inside = inside.enter();
    for (at, seed) in steps.iter().enumerate() {
        run(&mut world, at, |world| world.step(*seed))?;
    }
    run(&mut world, steps.len(), drain)?;
    for (what, count) in world.seen {
        *seen.entry(what).or_default() += count;
    }
    Ok(())
}

fn run(
    world: &mut World,
    at: usize,
    act: impl FnOnce(&mut World) -> Result<(), String>,
) -> Result<(), Difference> {
    let done = std::panic::catch_unwind(AssertUnwindSafe(|| act(world)));
    let why = match done {
        Ok(Ok(())) => return Ok(()),
        Ok(Err(why)) => why,
        Err(_) => "the broker panicked".to_owned(),
    };
    let declared: Vec<_> =
        world.may_be.iter().take(1).flat_map(|one| &one.queues).map(|queue| format!("{queue:?}")).collect();
    let history = world.history.join("\n  ");
    let told = format!("  {history}\n  difference: {why}\n  (of {})", declared.join("\n      "));
    Err(Difference { at, told })
}

/// Everybody goes, and somebody takes all that is left.
fn drain(world: &mut World) -> Result<(), String> {
    world.note(|| "all go, and the queues are emptied".to_owned());
    while !world.clients.is_empty() {
        world.lose(0)?;
    }
    // A queue that never has room is asked for ever.
    for _ in 0..10 {
        for _ in 0..2 {
            let names: Vec<_> = world.known().queues.iter().map(|queue| queue.name.clone()).collect();
            for name in names {
                world.empty(&name)?;
            }
        }
        let Some(due) = world.known().next_due_ms() else { break };
        world.pass_ms(due.saturating_sub(world.now_ms).max(5_000))?;
    }
    world.compare()
}

/// Leaves out what is not needed to see a difference; returns how many steps are left, and what they show.
fn shrink(mut steps: Vec<u64>, mut found: Difference) -> (usize, String) {
    steps.truncate(found.at + 1);
    let mut size = steps.len() / 2;
    while size > 0 {
        let mut from = 0;
        while from < steps.len() {
            let mut fewer = steps.clone();
            fewer.drain(from..(from + size).min(steps.len()));
            match live(&fewer, &mut BTreeMap::new()) {
                Err(difference) => {
                    fewer.truncate(difference.at + 1);
                    (steps, found) = (fewer, difference);
                }
                Ok(()) => from += size,
            }
        }
        size /= 2;
    }
    (steps.len(), found.told)
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

/// What comes about in any ten thousand steps.
const USUAL: [&str; 15] = [
    "submitted: Ok(true)",
    "submitted: Ok(false)",
    "submitted: Err(Exchange)",
    "submitted: Err(Room)",
    "submitted: Err(Internal)",
    "delivered",
    "delivered again",
    "delivered after expired",
    "delivered after maxlen",
    "delivered after rejected",
    "delivered after delivery_limit",
    "expired in time",
    "due",
    "read",
    "gone by a policy",
];

/// So many steps has one broker.
const LIFE: usize = 300;
