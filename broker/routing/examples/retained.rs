//! What a million retained messages cost, and how fast they are found: `cargo run --release -p routing --example retained`.
//!
//! A thousand sites with a thousand devices each, one message per device; and lookups as a subscriber makes them.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "a measurement reads the clock")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use model::key::{KeyPattern, Level, RoutingKey};
use model::message::Message;
use model::name::{ExchangeName, MessageId};
use model::qos::Qos;
use model::time::WallMs;
use routing::{Portion, Retained};

fn main() {
    let side: usize = std::env::args().nth(1).map_or(1_000, |side| side.parse().unwrap());
    let sites =
        (0..side).flat_map(|site| (0..side).map(move |device| format!("site{site:04}/dev{device:04}/state")));
    let retained = keep("devices at sites", sites);
    let ids = (0..side * side).map(|id| format!("device/{id:012}/state"));
    drop(keep("devices with ids of their own", ids));
    retained.set(Arc::new(message("last/one/rare")), None);
    println!("{:<32} {:>9} {:>12} {:>14} {:>13}", "filter", "found", "median", "mean step", "longest step");
    for filter in [
        "site0500/dev0500/state",
        "site0500/dev0500/missing",
        "site0500/+/state",
        "site0500/#",
        "+/dev0500/+",
        "+/dev0500/state",
        "+/+/missing",
        "+/+/rare",
        "+/+/+/#",
        "+/+/+/+",
        "#",
    ] {
        measure(&retained, filter);
    }
}

fn keep(what: &str, keys: impl Iterator<Item = String>) -> Retained {
    let retained = Retained::default();
    let before = resident_bytes();
    let start = Instant::now();
    keys.for_each(|key| drop(retained.set(Arc::new(message(&key)), None)));
    let count = retained.len();
    let bytes = resident_bytes().saturating_sub(before) / count as u64;
    let took = start.elapsed();
    println!(
        "{count} {what}, 16 bytes each, kept in {took:.2?}; {bytes} bytes of memory each with their keys"
    );
    retained
}

fn measure(retained: &Retained, filter: &str) {
    let pattern = KeyPattern::new(filter.split('/').map(level).collect());
    let (mut times, mut longest) = (Vec::new(), Duration::MAX);
    let (mut found, mut steps) = (Vec::new(), 0);
    let end = Instant::now() + Duration::from_millis(500);
    while times.len() < 3 || Instant::now() < end {
        found.clear();
        let (start, mut longest_now) = (Instant::now(), Duration::ZERO);
        steps = 0;
        let mut walk = retained.walk(&pattern);
        while !walk.is_done() {
            let step = Instant::now();
            steps += 1;
            retained.go_on(&mut walk, WallMs(0), &mut PORTION.clone(), &mut found);
            longest_now = longest_now.max(step.elapsed());
        }
        // The least of all rounds: others run on this machine, too.
        longest = longest.min(longest_now);
        times.push(start.elapsed());
    }
    times.sort_unstable();
    let median = times[times.len() / 2];
    let mean = median / steps.max(1);
    println!("{filter:<32} {:>9} {median:>12.1?} {mean:>14.1?} {longest:>13.1?}", found.len());
}

/// What the broker does at once, before others have their turn.
const PORTION: Portion = Portion::new(1024, u64::MAX, 2048);

fn level(text: &str) -> Level {
    match text {
        "+" => Level::One,
        "#" => Level::Many,
        text => Level::Literal(text.into()),
    }
}

fn message(key: &str) -> Message {
    Message {
        id: MessageId::default(),
        exchange: ExchangeName::TOPIC,
        key: RoutingKey::from(key),
        payload: Bytes::copy_from_slice(b"sixteen bytes..."),
        qos: Qos::AtLeastOnce,
        retain: true,
        persistent: true,
        publisher: None,
        published_at: WallMs(0),
        expires_at: None,
        properties: None,
        wire: Default::default(),
    }
}

fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0) * 4096
}
