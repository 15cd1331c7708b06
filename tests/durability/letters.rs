//! Dead letters while the broker is killed: each message is in one place, and in no other.

mod story;

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Result, ensure};
use harness::broker::{Broker, Setup};
use harness::dice::Dice;
use harness::door::Door;
use harness::socket::Next;
use harness::stomp::{Client, Frame};

use crate::letters::story::{Said, Stories};

/// A queue gives messages up for each reason there is. At the end a message that the broker has acknowledged is in the queue, in the
/// dead-letter queue, or acknowledged by a consumer; it is in one of the two at most.
#[test]
fn a_message_that_a_queue_gives_up_is_in_one_place_whenever_the_broker_dies() -> Result<()> {
    let seed = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis();
    let mut dice = Dice::new(u64::try_from(seed)?);
    println!("seed {seed}");
    let mut broker = Setup::new().config(CONFIG).start()?;
    let scene = Scene::new(broker.at(Door::Stomp));
    std::thread::scope(|threads| {
        for _ in 0..2 {
            let (own, scene) = (dice.fork(), &scene);
            threads.spawn(move || scene.until_over(own, publish));
            let own = dice.fork();
            threads.spawn(move || scene.until_over(own, consume));
        }
        let told = kill_again_and_again(&mut broker, &mut dice);
        scene.over.store(true, Ordering::SeqCst);
        told
    })?;
    // Nobody is there any more, and nothing is on loan.
    broker.kill();
    broker.start()?;
    drain(&scene, "/queue/work", |stories, number, _| stories.find(number).in_work += 1)?;
    drain(&scene, "/queue/dead", |stories, number, frame| {
        let deaths = frame.header("x-death").unwrap_or_default().to_owned();
        stories.find(number).deaths.push(deaths);
    })?;
    let stories = scene.stories();
    println!("{}", stories.summary());
    let broken = stories.broken();
    ensure!(
        broken.is_empty(),
        "{} messages, as {:#?}",
        broken.len(),
        broken.iter().take(10).collect::<Vec<_>>()
    );
    // Or this has tried nothing.
    for reason in ["rejected", "expired", "maxlen", "delivery_limit"] {
        ensure!(stories.died_of(reason) > 0, "nothing died of {reason}");
    }
    Ok(())
}

fn kill_again_and_again(broker: &mut Broker, dice: &mut Dice) -> Result<()> {
    for _ in 0..KILLS {
        sleep(Duration::from_millis(300 + dice.below(1400)));
        broker.kill();
        broker.launch()?;
        // Now and then while it recovers: what expired meanwhile is given up then.
        if dice.chance(30) {
            sleep(Duration::from_millis(dice.below(150)));
            broker.kill();
            broker.launch()?;
        }
        broker.wait_open(Duration::from_secs(60))?;
    }
    Ok(())
}

/// Where the broker is, and what is known of the messages.
struct Scene {
    stomp: SocketAddr,
    over: AtomicBool,
    last: AtomicU64,
    stories: Mutex<Stories>,
}

impl Scene {
    fn new(stomp: SocketAddr) -> Self {
        let (over, last) = (AtomicBool::new(false), AtomicU64::new(0));
        Self { stomp, over, last, stories: Mutex::default() }
    }

    fn stories(&self) -> MutexGuard<'_, Stories> {
        self.stories.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::SeqCst)
    }

    fn until_over(&self, mut dice: Dice, act: fn(&Self, &mut Dice) -> io::Result<()>) {
        while !self.is_over() {
            // The broker may be dead: that is what this is about.
            let _ = act(self, &mut dice);
            sleep(Duration::from_millis(10 + dice.below(300)));
        }
    }
}

/// Sends each message once. One without RECEIPT may be there or not.
fn publish(scene: &Scene, _: &mut Dice) -> io::Result<()> {
    let mut client = Client::new(scene.stomp)?;
    let mut waiting = 0;
    while !scene.is_over() {
        while waiting < 8 {
            let number = scene.last.fetch_add(1, Ordering::Relaxed) + 1;
            let send = Frame::new("SEND").with("destination", "/queue/work").with("persistent", "true");
            client.send(&send.with("receipt", &number.to_string()).body(number.to_string().as_bytes()))?;
            waiting += 1;
        }
        match client.next(Duration::from_secs(5))? {
            Next::Some(frame) if frame.command == "RECEIPT" => {
                waiting -= 1;
                scene.stories().find(number(frame.header("receipt-id"))?).stored = true;
            }
            Next::Some(frame) => return Err(io::Error::other(format!("{frame:?}"))),
            Next::Silence | Next::Closed => return Err(io::ErrorKind::ConnectionReset.into()),
        }
        // As much as the rest can follow.
        sleep(Duration::from_millis(3));
    }
    Ok(())
}

/// Accepts, rejects, sends back, or keeps what comes; leaves without a word.
fn consume(scene: &Scene, dice: &mut Dice) -> io::Result<()> {
    let mut client = Client::new(scene.stomp)?;
    let subscribe = Frame::new("SUBSCRIBE").with("id", "0").with("destination", "/queue/work");
    client.send(&subscribe.with("ack", "client-individual").with("prefetch-count", "10"))?;
    let stay = Instant::now() + Duration::from_millis(dice.below(1500));
    // What was asked under which receipt.
    let mut asked: HashMap<String, (u64, bool)> = HashMap::new();
    while !scene.is_over() && Instant::now() < stay {
        let frame = match client.next(Duration::from_millis(50))? {
            Next::Some(frame) => frame,
            Next::Silence => continue,
            Next::Closed => return Ok(()),
        };
        if frame.command == "RECEIPT" {
            let done = frame.header("receipt-id").and_then(|receipt| asked.remove(receipt));
            if let Some((number, accepts)) = done {
                scene.stories().find(number).say(accepts, Said::Done);
            }
            continue;
        }
        let (number, id) = (number(Some(&frame.text()))?, frame.header("ack").unwrap_or_default().to_owned());
        let settle = |command: &str| Frame::new(command).with("id", &id).with("receipt", &id);
        match dice.below(100) {
            0..40 => {
                scene.stories().find(number).say(true, Said::Asked);
                asked.insert(id.clone(), (number, true));
                client.send(&settle("ACK"))?;
            }
            40..60 => {
                scene.stories().find(number).say(false, Said::Asked);
                asked.insert(id.clone(), (number, false));
                client.send(&settle("NACK").with("requeue", "false"))?;
            }
            60..95 => client.send(&settle("NACK"))?,
            _ => {}
        }
    }
    Ok(())
}

/// Takes all that is in a queue, until nothing more comes.
fn drain(scene: &Scene, destination: &str, note: impl Fn(&mut Stories, u64, &Frame)) -> Result<()> {
    let mut client = Client::new(scene.stomp)?;
    client.subscribe("0", destination, "auto")?;
    while let Next::Some(frame) = client.next(Duration::from_secs(3))? {
        note(&mut scene.stories(), number(Some(&frame.text()))?, &frame);
    }
    Ok(())
}

fn number(text: Option<&str>) -> io::Result<u64> {
    let number = text.and_then(|text| text.parse().ok());
    number.ok_or_else(|| io::Error::other(format!("no number of a message: {text:?}")))
}

const KILLS: u32 = 8;

/// Messages have little time, there is little room, and they come back only so often.
const CONFIG: &str = r#"
[[queue]]
name = "work"
dead_letter_exchange = ""
dead_letter_key = "dead"
message_ttl = "700ms"
max_length = 60
overflow = "drop-head"
delivery_limit = 1

[[queue]]
name = "dead"
"#;
