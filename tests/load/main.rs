//! Browsers by the thousand: clients that poll over SockJS beside clients of WebSocket, in rooms that somebody talks in.
//!
//! Says what a session costs in memory, how late messages are, and whether everybody is told when the broker stops. Exit
//! code 0 if no message was lost and all were told, 1 if not, 2 if the arguments make no sense.

mod client;
mod options;
mod report;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use harness::broker::{Broker, Setup};
use harness::door::Door;
use harness::process::memory_kib;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::client::{poll, socket};
use crate::options::Options;
use crate::report::Crowd;

fn main() -> ExitCode {
    let options = match Options::read(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(text) => {
            eprintln!("{text}");
            return ExitCode::from(2);
        }
    };
    // One thread: the other processors are the broker's.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime.map_err(Into::into).and_then(|runtime| runtime.block_on(run(&options))) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            println!("FAILED: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: &Options) -> Result<bool> {
    let mut broker = Setup::new().argument("--memory").start()?;
    let (door, begun) = (broker.at(Door::Web), Instant::now());
    let empty = resident_kib(&broker)?;
    println!("broker {empty} KiB");
    let pollers = Crowd::new(begun);
    let polling = enter(options.pollers, &pollers, options.rooms, door, poll).await?;
    let with_pollers = resident_kib(&broker)?;
    println!("{}", cost("sessions that poll", options.pollers, empty, with_pollers));
    let sockets = Crowd::new(begun);
    let open = enter(options.websockets, &sockets, options.rooms, door, socket).await?;
    println!("{}", cost("WebSocket clients", options.websockets, with_pollers, resident_kib(&broker)?));

    let said = talk(&broker, options, begun).await?;
    let expected = |crowd: usize| said * crowd as u64 / options.rooms as u64;
    let all_came = async {
        while pollers.received() < expected(options.pollers)
            || sockets.received() < expected(options.websockets)
        {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    // Whether all came is told below.
    let _ = tokio::time::timeout(PATIENCE, all_came).await;
    println!("{}", pollers.late("polling", expected(options.pollers)));
    println!("{}", sockets.late("WebSocket", expected(options.websockets)));
    println!("broker {} KiB after {said} messages", resident_kib(&broker)?);

    let stopping = Instant::now();
    let (status, broker) = tokio::task::spawn_blocking(move || (broker.stop(), broker)).await?;
    let took = stopping.elapsed();
    let told = tokio::time::timeout(PATIENCE, async { (ends(polling).await, ends(open).await) }).await;
    let (polling, open) = told.context("clients still wait")?;
    println!("stopped in {took:.1?}: {polling} of those that poll and {open} of WebSocket were told");
    drop(broker);
    Ok(status?.success()
        && polling == options.pollers
        && open == options.websockets
        && pollers.received() == expected(options.pollers)
        && sockets.received() == expected(options.websockets))
}

/// Lets so many clients in, a few at a time, and waits until each has subscribed to its room.
async fn enter<F>(
    count: usize,
    crowd: &Arc<Crowd>,
    rooms: usize,
    door: SocketAddr,
    client: fn(SocketAddr, usize, usize, Arc<Crowd>) -> F,
) -> Result<JoinSet<Result<()>>>
where
    F: Future<Output = Result<()>> + Send + 'static,
{
    let mut clients = JoinSet::new();
    let inside = || crowd.inside.load(Ordering::Relaxed);
    for number in 0..count {
        clients.spawn(client(door, number, number % rooms, Arc::clone(crowd)));
        let wanted = if number + 1 == count { count } else { (number + 1).saturating_sub(ENTERING_MAX) };
        let begun = Instant::now();
        while inside() < wanted {
            if let Some(end) = clients.try_join_next() {
                end??;
            }
            ensure!(begun.elapsed() < PATIENCE, "{} of {count} clients came in", inside());
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    Ok(clients)
}

/// Says something in one room after the other; returns how much it was: as much in each.
async fn talk(broker: &Broker, options: &Options, begun: Instant) -> Result<u64> {
    let mut stream = TcpStream::connect(broker.at(Door::Stomp)).await?;
    stream.write_all(b"CONNECT\naccept-version:1.2\nhost:/\n\n\0").await?;
    let rounds = (options.seconds * options.rate).div_ceil(options.rooms as u64);
    let mut said = 0;
    let started = Instant::now();
    for _ in 0..rounds {
        for room in 0..options.rooms {
            let due = Duration::from_micros(said * 1_000_000 / options.rate);
            tokio::time::sleep(due.saturating_sub(started.elapsed())).await;
            let now = begun.elapsed().as_micros();
            let frame = format!("SEND\ndestination:/topic/load.{room}\n\n<<{now}>> {}\0", "x".repeat(100));
            stream.write_all(frame.as_bytes()).await?;
            said += 1;
        }
    }
    Ok(said)
}

/// How many were told that it is over, of all that came to an end.
async fn ends(mut clients: JoinSet<Result<()>>) -> usize {
    let mut told = 0;
    while let Some(end) = clients.join_next().await {
        match end {
            Ok(Ok(())) => told += 1,
            Ok(Err(error)) => println!("not told: {error:#}"),
            Err(panic) => println!("not told: {panic}"),
        }
    }
    told
}

fn cost(kind: &str, count: usize, before: u64, after: u64) -> String {
    let each = after.saturating_sub(before) as f64 / count.max(1) as f64;
    format!("{count} {kind}: {each:.1} KiB each, {after} KiB in all")
}

/// What the broker has in memory, as the system counts it.
fn resident_kib(broker: &Broker) -> Result<u64> {
    memory_kib(broker.pid().context("the broker runs")?, "VmRSS")
}

/// Clients that may be on their way in at once: fewer than a listener has room for.
const ENTERING_MAX: usize = 200;

const PATIENCE: Duration = Duration::from_secs(60);
