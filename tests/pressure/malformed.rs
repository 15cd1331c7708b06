//! Conversations that were changed at random, and random bytes, at every kind of listener: none of them crashes the broker, hangs
//! a connection, or stays in memory.
//!
//! `INPUTS=1000000 cargo test --release -p tests --test pressure malformed -- --nocapture` is a million for each kind; without a
//! number it is a short run. `SEED=7` throws the same dice again.

mod seeds;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use harness::broker::{Broker, Setup};
use harness::certificates::Authority;
use harness::dice::Dice;
use harness::door::{Door, free_address};
use harness::process::memory_kib;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::healthy::Pair;
use crate::malformed::seeds::{Seeds, changed};

#[test]
fn nothing_that_comes_to_the_door_for_mqtt_breaks_the_broker() -> Result<()> {
    run("mqtt", Way::To(Door::Mqtt), seeds::mqtt()?)
}

#[test]
fn nothing_that_comes_to_the_door_for_stomp_breaks_the_broker() -> Result<()> {
    run("stomp", Way::To(Door::Stomp), seeds::stomp()?)
}

#[test]
fn nothing_that_comes_by_websocket_with_mqtt_breaks_the_broker() -> Result<()> {
    run("websocket, mqtt", Way::To(Door::Web), seeds::websocket_mqtt()?)
}

#[test]
fn nothing_that_comes_by_websocket_with_stomp_breaks_the_broker() -> Result<()> {
    run("websocket, stomp", Way::To(Door::Web), seeds::websocket_stomp()?)
}

#[test]
fn nothing_that_comes_by_sockjs_breaks_the_broker() -> Result<()> {
    run("sockjs", Way::To(Door::Web), seeds::sockjs())
}

#[test]
fn nothing_that_comes_to_the_door_for_everything_breaks_the_broker() -> Result<()> {
    let web = [seeds::websocket_mqtt()?, seeds::websocket_stomp()?, seeds::sockjs()].concat();
    run("auto", Way::To(Door::Auto), [seeds::mqtt()?, seeds::stomp()?, web].concat())
}

#[test]
fn nothing_that_comes_to_the_door_for_people_breaks_the_broker() -> Result<()> {
    run("admin", Way::To(Door::Admin), seeds::admin())
}

#[test]
fn nothing_that_comes_in_the_place_of_a_balancer_breaks_the_broker() -> Result<()> {
    run("proxy", Way::Proxied, seeds::proxied()?)
}

#[test]
fn nothing_that_comes_in_the_place_of_a_handshake_breaks_the_broker() -> Result<()> {
    run("tls", Way::Secure, seeds::tls())
}

/// To which listener the inputs go.
enum Way {
    /// One of those that each broker of a test has.
    To(Door),
    /// One for balancers, with MQTT behind them.
    Proxied,
    /// One by TLS.
    Secure,
}

fn run(name: &str, way: Way, seeds: Seeds) -> Result<()> {
    let inputs = number("INPUTS")?.unwrap_or(1_500);
    let seed = number("SEED")?.unwrap_or(1);
    let (authority, more) = (Authority::new()?, free_address());
    let mut setup = Setup::new()
        .argument("--memory")
        .argument("--log-level=warn")
        // So many names as chance can think of are not to be kept; that is what these limits are for.
        .config("[limits]\nsessions = 1000\nqueues = 1000\nretained = 1000\n[mqtt]\nsession_expiry_v3 = \"10s\"\nsession_expiry_max = \"10s\"\n");
    match way {
        Way::To(_) => {}
        Way::Proxied => {
            let last = Door::ALL.len();
            setup = setup.argument(&format!("--listen=mqtt://{more}"));
            setup = setup.argument(&format!("--set=listener.{last}.proxy_protocol=127.0.0.1"));
        }
        Way::Secure => {
            let files = authority.server()?;
            setup = setup.argument(&format!("--listen=mqtts://{more}"));
            setup = setup.argument(&format!("--set=tls.default.cert={}", files.certificate.display()));
            setup = setup.argument(&format!("--set=tls.default.key={}", files.key.display()));
        }
    }
    let mut broker = setup.start()?;
    let pair = Pair::new(&broker)?;
    let address = if let Way::To(door) = way { broker.at(door) } else { more };
    let begun = Instant::now();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let done = runtime.block_on(throw(address, Arc::new(seeds), inputs, Dice::new(seed)));
    let closed = done.with_context(|| format!("{name}, SEED={seed}"))?;
    ensure!(broker.is_running(), "{name}, SEED={seed}: the broker died");
    pair.part()?;
    let (memory, took) = (resident_mib(&broker)?, begun.elapsed());
    println!("{name}: {inputs} inputs in {took:.1?}, {closed} connections closed, {memory} MiB, seed {seed}");
    ensure!(!broker.journal().text().contains("panicked"), "{name}, SEED={seed}: something panicked");
    ensure!(memory < 400, "{name}, SEED={seed}: the broker holds {memory} MiB");
    Ok(())
}

/// All of them, some at a time; how many connections came to their end.
async fn throw(address: SocketAddr, seeds: Arc<Seeds>, inputs: u64, mut dice: Dice) -> Result<u64> {
    let left = Arc::new(AtomicU64::new(inputs));
    let mut workers = JoinSet::new();
    for _ in 0..AT_ONCE {
        let (seeds, left, mut dice) = (Arc::clone(&seeds), Arc::clone(&left), dice.fork());
        workers.spawn(async move {
            let mut closed = 0;
            let more = |left: u64| left.checked_sub(1);
            while left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, more).is_ok() {
                let input = changed(&seeds, &mut dice);
                one(address, &input).await.with_context(|| format!("\"{}\"", input.escape_ascii()))?;
                closed += 1;
            }
            Ok::<u64, anyhow::Error>(closed)
        });
    }
    let mut closed = 0;
    while let Some(worker) = workers.join_next().await {
        closed += worker??;
    }
    Ok(closed)
}

/// Says it, and that nothing more comes: the broker has to close.
async fn one(address: SocketAddr, input: &[u8]) -> Result<()> {
    let mut stream = TcpStream::connect(address).await.context("cannot connect")?;
    // It may be closed before all is written, and an end that is a reset is an end.
    let _ = stream.write_all(input).await;
    let _ = stream.shutdown().await;
    let ended = async {
        let mut bytes = [0; 4096];
        while let Ok(1..) = stream.read(&mut bytes).await {}
    };
    tokio::time::timeout(PATIENCE, ended).await.context("the connection stays open")
}

fn number(name: &str) -> Result<Option<u64>> {
    let value = std::env::var(name).ok();
    value.map(|text| text.parse().with_context(|| format!("{name}={text}"))).transpose()
}

fn resident_mib(broker: &Broker) -> Result<u64> {
    let pid = broker.pid().context("a process")?;
    Ok(memory_kib(pid, "VmRSS")? >> 10)
}

/// Many: what might still become a greeting is waited for.
const AT_ONCE: usize = 200;

/// As long as a login may take, and as long again for a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(40);
