//! Publishers at full speed, subscribers that come and go, and a broker that is killed: is anything lost or doubled?
//!
//! Everything is decided by a seed, which is printed, but for the timing of the machine. The end is a verdict: exit code 0
//! if every promise was kept, 1 if not, 2 if the arguments make no sense.

mod consumer;
mod deaths;
mod delayers;
mod delays;
mod encore;
mod estate;
mod heir;
mod kept;
mod ledger;
mod levels;
mod options;
mod payload;
mod publisher;
mod readers;
mod scene;
mod sender;
mod stream;
mod subscriber;
mod sweep;
mod toggle;
mod verdict;
mod wills;

use std::process::ExitCode;
use std::thread::{Scope, sleep};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use harness::broker::{Broker, Setup};
use harness::dice::Dice;
use harness::door::Door;
use harness::faults::Disk;

use crate::consumer::Place;
use crate::deaths::Deaths;
use crate::ledger::{Promise, Rules};
use crate::levels::Level;
use crate::options::Options;
use crate::scene::{Phase, Scene};

fn main() -> ExitCode {
    let options = match Options::read(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(text) => {
            eprintln!("{text}");
            return ExitCode::from(2);
        }
    };
    let told = if options.sweep { sweep::run(&options) } else { run(&options) };
    match told {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            println!("FAILED: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<bool> {
    println!("seed {}", options.seed);
    let mut dice = Dice::new(options.seed);
    let mut setup = Setup::new().config(CONFIG);
    let temporary = tempfile::Builder::new().prefix("duetmq-").tempdir()?;
    let data = options.data.clone().unwrap_or_else(|| temporary.path().join("data"));
    setup = setup.data(&data);
    let disk = options.fault.map(|_| Disk::new(&data)).transpose()?;
    if let Some(disk) = &disk {
        setup = disk.beneath(setup)?;
    }
    let mut broker = setup.start()?;
    let scene = Scene::new(broker.at(Door::Mqtt), broker.at(Door::Stomp));
    let told = std::thread::scope(|threads| {
        cast(threads, &scene, options, &mut dice);
        let told = perform(&mut broker, &scene, disk.as_ref(), options, &mut dice);
        scene.enter(Phase::Over);
        told
    });
    told?;
    let status = broker.stop()?;
    broker.start()?;
    encore::listen(&scene)?;
    let verdict = scene.verdict();
    print!("{verdict}");
    println!("the broker ended with {status} when it was asked to");
    println!("{}", if verdict.is_good() && status.success() { "PASSED" } else { "FAILED" });
    Ok(verdict.is_good() && status.success())
}

/// Everybody, each on a thread.
fn cast<'a>(threads: &'a Scope<'a, '_>, scene: &'a Scene, options: &Options, dice: &mut Dice) {
    cast_subscribers(threads, scene, dice);
    cast_publishers(threads, scene, dice);
    // Each of these does all of its part alone, and knows by itself what is right.
    let keepers = [kept::act_over_mqtt, kept::act_over_stomp, wills::inherit, wills::die, toggle::act];
    let writers = [readers::write_over_stomp, readers::write_over_mqtt];
    let readers = [readers::follow, readers::browse, readers::browse];
    let delayed = [delayers::hear, delayers::send];
    for act in keepers.into_iter().chain(writers).chain(readers).chain(delayed) {
        let own = dice.fork();
        threads.spawn(move || act(scene, own));
    }
    // Whatever else a disk does, it loses at each death what was not synced.
    let loses = options.fault.is_some();
    for level in [Level::Os { loses }, Level::Memory] {
        let own = dice.fork();
        threads.spawn(move || levels::act(scene, level, own));
    }
}

fn cast_subscribers<'a>(threads: &'a Scope<'a, '_>, scene: &'a Scene, dice: &mut Dice) {
    let once = Promise::ExactlyOnce;
    let group = scene.subscriber("mqtt-group", once, Rules::SHARED);
    let alone = [
        scene.subscriber("mqtt-qos1", Promise::AtLeastOnce, Rules::ALL),
        scene.subscriber("mqtt-qos2", once, Rules::ALL),
    ];
    for (part, me) in subscriber::LASTING.into_iter().zip(alone.into_iter().chain([group, group])) {
        let own = dice.fork();
        threads.spawn(move || subscriber::act(scene, me, part, own));
    }
    let fleeting = scene.subscriber("mqtt-qos0", Promise::Fleeting, Rules::FLEETING);
    let own = dice.fork();
    let part = subscriber::Part { name: "subscriber-qos0", filter: "crash/+", qos: 0 };
    threads.spawn(move || subscriber::act(scene, fleeting, part, own));
    for (name, place, rules, count) in [
        ("stomp-queue", Place::Alone, Rules::ALL, 1),
        ("stomp-work", Place::Beside, Rules::SHARED, 3),
        ("stomp-auto", Place::Auto, Rules::FLEETING, 1),
        ("stomp-lasting", Place::Lasting, Rules::ALL, 1),
    ] {
        let me = scene.subscriber(name, Promise::AtLeastOnce, rules);
        for _ in 0..count {
            let own = dice.fork();
            threads.spawn(move || consumer::act(scene, me, place, own));
        }
    }
}

fn cast_publishers<'a>(threads: &'a Scope<'a, '_>, scene: &'a Scene, dice: &mut Dice) {
    for (name, qos, promise) in [
        ("mqtt-qos0", 0, Promise::Fleeting),
        ("mqtt-qos1", 1, Promise::AtLeastOnce),
        ("mqtt-qos2", 2, Promise::ExactlyOnce),
    ] {
        let (me, own) = (scene.publisher(name, promise), dice.fork());
        threads.spawn(move || publisher::act(scene, me, qos, false, own));
    }
    let (me, own) = (scene.publisher("stomp-send", Promise::AtLeastOnce), dice.fork());
    threads.spawn(move || sender::act(scene, me, false, own));
    // What these send again after each death, they send under the ids that it had: it must come as new once and no more.
    let (me, own) = (scene.publisher("stomp-once", Promise::ExactlyOnce), dice.fork());
    threads.spawn(move || sender::act(scene, me, true, own));
    // At QoS 1 it may be delivered again, with DUP; but as new only once.
    let (me, own) = (scene.publisher("mqtt-once", Promise::AtLeastOnce), dice.fork());
    threads.spawn(move || publisher::act(scene, me, 1, true, own));
}

/// The play: all come, publish, the broker dies again and again, then everything is drained.
fn perform(
    broker: &mut Broker,
    scene: &Scene,
    disk: Option<&Disk>,
    options: &Options,
    dice: &mut Dice,
) -> Result<()> {
    scene.wait_subscribed(Duration::from_secs(60))?;
    scene.enter(Phase::Talking);
    let begin = Instant::now();
    let mut deaths = Deaths::new(options, disk);
    let pause_ms = options.seconds.saturating_mul(2000).checked_div(u64::from(options.kills)).unwrap_or(0);
    while deaths.kills < options.kills {
        sleep(Duration::from_millis(dice.below(pause_ms)));
        deaths.strike(broker, scene, dice)?;
        if deaths.kills < options.kills && dice.chance(30) {
            // While it recovers, or just after.
            sleep(Duration::from_millis(dice.below(120)));
            deaths.during_start += u32::from(scene.try_connect().is_err());
            deaths.strike(broker, scene, dice)?;
        }
        let started = Instant::now();
        broker.wait_open(Duration::from_secs(60)).with_context(|| format!("after kill {}", deaths.kills))?;
        deaths.slowest_start = deaths.slowest_start.max(started.elapsed());
    }
    sleep(Duration::from_secs(options.seconds).saturating_sub(begin.elapsed()));
    println!("{deaths}");
    scene.enter(Phase::Draining);
    scene.wait_drained(Duration::from_secs(60));
    Ok(())
}

/// Everything that is published reaches everybody: MQTT sessions by their subscriptions, STOMP consumers by a queue or by a
/// durable subscription. The limits are out of the way: what a full queue does is another matter. All but one: of what waits,
/// most is let go of and read back. Whoever publishes while the disk is full waits: nobody is refused for that within a minute.
const CONFIG: &str = r#"
[limits]
hold_max = "1m"
session_queue_messages = 10000000
session_queue_bytes = "8GiB"
resident_messages = 40
queue_messages = 10000000
queue_bytes = "8GiB"

[[queue]]
name = "crash"

[[queue]]
name = "work"

[[queue]]
name = "auto"

[[queue]]
name = "log"
type = "stream"

[[binding]]
exchange = "amq.topic"
queue = "log"
key = "log.#"

[[binding]]
exchange = "amq.topic"
queue = "crash"
key = "crash.#"

[[binding]]
exchange = "amq.topic"
queue = "work"
key = "crash.#"

[[binding]]
exchange = "amq.topic"
queue = "auto"
key = "crash.#"
"#;
