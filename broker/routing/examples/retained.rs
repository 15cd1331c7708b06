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
    let retained = Retained::default();
    let before = resident_bytes();
    let start = Instant::now();
    for site in 0..side {
        for device in 0..side {
            retained.set(Arc::new(message(&format!("site{site:04}/dev{device:04}/state"))));
        }
    }
    let count = retained.len();
    let bytes = resident_bytes().saturating_sub(before) / count as u64;
    println!(
        "{count} messages of 16 bytes kept in {:.2?}; {bytes} bytes of memory each, keys and payloads among them",
        start.elapsed()
    );
    println!("{:<32} {:>9} {:>12} {:>14} {:>13}", "filter", "found", "median", "per message", "longest step");
    for filter in [
        "site0500/dev0500/state",
        "site0500/dev0500/missing",
        "site0500/+/state",
        "site0500/#",
        "+/dev0500/+",
        "+/dev0500/state",
        "+/+/missing",
        "+/+/+/missing",
        "#",
    ] {
        measure(&retained, filter);
    }
}

fn measure(retained: &Retained, filter: &str) {
    let pattern = KeyPattern::new(filter.split('/').map(level).collect());
    let (mut times, mut longest) = (Vec::new(), Duration::ZERO);
    let mut found = Vec::new();
    let end = Instant::now() + Duration::from_millis(500);
    while times.len() < 3 || Instant::now() < end {
        found.clear();
        let start = Instant::now();
        let mut walk = retained.walk(&pattern);
        while !walk.is_done() {
            let step = Instant::now();
            retained.go_on(&mut walk, WallMs(0), &mut PORTION.clone(), &mut found);
            longest = longest.max(step.elapsed());
        }
        times.push(start.elapsed());
    }
    times.sort_unstable();
    let median = times[times.len() / 2];
    let each = median / u32::try_from(found.len().max(1)).unwrap();
    println!("{filter:<32} {:>9} {median:>12.1?} {each:>14.1?} {longest:>13.1?}", found.len());
}

/// What the broker does at once, before others have their turn.
const PORTION: Portion = Portion::new(1024, u64::MAX, 4096);

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
