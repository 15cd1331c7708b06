//! A healthy pair that talks all the while, over both protocols, and must not notice anything.
//!
//! How long it may be kept waiting depends on the machine. So another pair talks at a broker of its own, which nobody is unkind
//! to, and what is counted is how often that one comes round while the first waits. With `P99_MS=50` the promise itself is asked
//! for (P11), on a machine that does nothing else.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use harness::broker::Broker;
use harness::door::Door;
use harness::mqtt::Client as Mqtt;
use harness::mqtt::version::Version;
use harness::stomp::Client as Stomp;

/// A pair on a thread of its own, and the other one.
pub(crate) struct Pair {
    over: Arc<AtomicBool>,
    thread: JoinHandle<Result<Talk>>,
    beside_over: Arc<AtomicBool>,
    beside: JoinHandle<Result<Talk>>,
    _other: Broker,
}

/// What a pair went through.
struct Talk {
    /// How late each message was.
    late: Vec<Duration>,
    /// The most rounds that the other pair began and ended within one of this.
    beside_max: u64,
}

impl Pair {
    /// Connects and begins to talk.
    pub(crate) fn new(broker: &Broker) -> Result<Self> {
        let other = Broker::new()?;
        let (over, beside_over) = (Arc::default(), Arc::default());
        let (rounds, rounds_beside) = (Arc::default(), Arc::default());
        let beside = talk(&other, &beside_over, &rounds_beside, &rounds)?;
        let thread = talk(broker, &over, &rounds, &rounds_beside)?;
        Ok(Self { over, thread, beside_over, beside, _other: other })
    }

    /// Ends the talk: it must have gone on, and never stood still.
    pub(crate) fn part(self) -> Result<()> {
        self.over.store(true, Ordering::SeqCst);
        let talk = self.thread.join().ok().context("the pair panicked");
        // Not before: by it is counted how long that took.
        self.beside_over.store(true, Ordering::SeqCst);
        let talk = talk??;
        let beside = self.beside.join().ok().context("the other pair panicked")?.context("the other pair")?;
        let (rounds, p99, p99_beside) = (talk.late.len() / 2, talk.p99(), beside.p99());
        println!(
            "{rounds} rounds there and back, p99 {p99:.1?} (beside {p99_beside:.1?}), at most {} beside one",
            talk.beside_max
        );
        ensure!(
            talk.beside_max <= BESIDE_MAX,
            "the other pair came round {} times while a round took its time",
            talk.beside_max
        );
        if let Ok(text) = std::env::var("P99_MS") {
            let most = Duration::from_millis(text.parse().with_context(|| format!("P99_MS={text}"))?);
            ensure!(p99 < most, "p99 {p99:?}, of {most:?}");
        }
        Ok(())
    }
}

impl Talk {
    /// Of a hundred messages, the second latest was so late.
    fn p99(&self) -> Duration {
        let mut late = self.late.clone();
        late.sort_unstable();
        late.get(late.len() * 99 / 100).copied().unwrap_or_default()
    }
}

/// Begins to talk at that broker, and counts the rounds.
fn talk(
    broker: &Broker,
    over: &Arc<AtomicBool>,
    rounds: &Arc<AtomicU64>,
    beside: &Arc<AtomicU64>,
) -> Result<JoinHandle<Result<Talk>>> {
    let mut mqtt = Mqtt::clean(broker.at(Door::Mqtt), Version::V5, "healthy")?;
    mqtt.subscribe("healthy/from/stomp", 1)?;
    let mut stomp = Stomp::new(broker.at(Door::Stomp))?;
    stomp.subscribe("0", "/topic/healthy.from.mqtt", "auto")?;
    let (over, rounds, beside) = (Arc::clone(over), Arc::clone(rounds), Arc::clone(beside));
    Ok(std::thread::spawn(move || {
        let mut talk = Talk { late: Vec::new(), beside_max: 0 };
        while rounds.load(Ordering::SeqCst) < ROUNDS_MIN || !over.load(Ordering::SeqCst) {
            let (begin, beside_before) = (Instant::now(), beside.load(Ordering::SeqCst));
            let body = format!("{}", rounds.load(Ordering::SeqCst));
            mqtt.publish("healthy/from/mqtt", body.as_bytes(), 1)?;
            ensure!(stomp.expect("MESSAGE")?.text() == body, "STOMP heard something else");
            let turn = Instant::now();
            stomp.publish("/topic/healthy.from.stomp", body.as_bytes())?;
            ensure!(mqtt.take()?.text() == body, "MQTT heard something else");
            talk.late.extend([turn - begin, turn.elapsed()]);
            talk.beside_max = talk.beside_max.max(beside.load(Ordering::SeqCst) - beside_before);
            rounds.fetch_add(1, Ordering::SeqCst);
        }
        Ok(talk)
    }))
}

/// Where the bad input is over in a moment, they talk on.
const ROUNDS_MIN: u64 = 10;

/// Where all is well a round takes as long at both brokers. Beside 200 connections at once that say what is malformed, on a machine with
/// ten times more to do than it has cores, one of 283 took as long as 550, and one of 294,149 as long as 1,800. So many as this
/// take two seconds of a machine that does nothing else. Whoever is kept waiting by an offender, and not by the machine, waits until that one is given up.
const BESIDE_MAX: u64 = 5_000;
