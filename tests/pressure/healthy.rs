//! A healthy pair that talks all the while, over both protocols, and must not notice anything.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use harness::broker::Broker;
use harness::door::Door;
use harness::mqtt::Client as Mqtt;
use harness::mqtt::version::Version;
use harness::stomp::Client as Stomp;

/// A pair on a thread of its own.
pub(crate) struct Pair {
    over: Arc<AtomicBool>,
    thread: JoinHandle<Result<Talk>>,
}

/// What the pair went through.
struct Talk {
    rounds: u32,
    slowest: Duration,
}

impl Pair {
    /// Connects and begins to talk.
    pub(crate) fn new(broker: &Broker) -> Result<Self> {
        let over = Arc::new(AtomicBool::new(false));
        let mut mqtt = Mqtt::clean(broker.at(Door::Mqtt), Version::V5, "healthy")?;
        mqtt.subscribe("healthy/from/stomp", 1)?;
        let mut stomp = Stomp::new(broker.at(Door::Stomp))?;
        stomp.subscribe("0", "/topic/healthy.from.mqtt", "auto")?;
        let until = Arc::clone(&over);
        let thread = std::thread::spawn(move || {
            let mut talk = Talk { rounds: 0, slowest: Duration::ZERO };
            while talk.rounds < ROUNDS_MIN || !until.load(Ordering::SeqCst) {
                let begin = Instant::now();
                let body = format!("{}", talk.rounds);
                mqtt.publish("healthy/from/mqtt", body.as_bytes(), 1)?;
                ensure!(stomp.expect("MESSAGE")?.text() == body, "STOMP heard something else");
                stomp.publish("/topic/healthy.from.stomp", body.as_bytes())?;
                ensure!(mqtt.take()?.text() == body, "MQTT heard something else");
                talk.rounds += 1;
                talk.slowest = talk.slowest.max(begin.elapsed());
            }
            Ok(talk)
        });
        Ok(Self { over, thread })
    }

    /// Ends the talk: it must have gone on, and never stood still.
    pub(crate) fn part(self) -> Result<()> {
        self.over.store(true, Ordering::SeqCst);
        let talk = self.thread.join().ok().context("the pair panicked")??;
        println!("{} rounds there and back, the slowest in {:?}", talk.rounds, talk.slowest);
        // Four durable hand-overs and their syncs, on a machine that compiles beside it: P11 has the real bound.
        ensure!(talk.slowest < Duration::from_secs(2), "a round took {:?}", talk.slowest);
        Ok(())
    }
}

/// Where the bad input is over in a moment, they talk on.
const ROUNDS_MIN: u32 = 10;
