//! What the broker costs before anybody is in: how long it takes to start, what it has in memory then, how large it is.
//!
//! Exit code 0 if every start was seen through, 1 if not, 2 if the arguments make no sense.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{ExitCode, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use harness::binary::duetmq;
use harness::broker::duetmq_command;
use harness::door::free_address;
use harness::process::{Process, memory_kib};

fn main() -> ExitCode {
    let Some(starts) = read(std::env::args().skip(1)) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    match run(starts) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("FAILED: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn read(mut arguments: impl Iterator<Item = String>) -> Option<usize> {
    match (arguments.next().as_deref(), arguments.next(), arguments.next()) {
        (None, None, None) => Some(9),
        (Some("--starts"), Some(starts), None) => starts.parse().ok().filter(|starts| *starts > 0),
        _ => None,
    }
}

fn run(starts: usize) -> Result<()> {
    let size = duetmq()?.metadata()?.len();
    let (mut until_in, mut resident, mut own) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..starts {
        let seen = start()?;
        until_in.push(seen.until_in.as_secs_f64() * 1e3);
        resident.push(seen.resident_kib as f64 / 1024.0);
        own.push(seen.own_kib as f64 / 1024.0);
    }
    println!("{:<36}{:>8}{:>8}{:>8}", "", "median", "least", "most");
    row("until the first CONNACK, ms", until_in);
    row("resident at rest, MiB", resident);
    row("of which its own, MiB", own);
    println!("{:<36}{:>8.1}", "the program, MB", size as f64 / 1e6);
    Ok(())
}

fn row(what: &str, mut values: Vec<f64>) {
    values.sort_by(f64::total_cmp);
    let at = |place: usize| values.get(place).copied().unwrap_or_default();
    let (median, last) = (at(values.len() / 2), at(values.len() - 1));
    println!("{what:<36}{median:>8.1}{:>8.1}{last:>8.1}", at(0));
}

/// What one start showed.
struct Seen {
    until_in: Duration,
    resident_kib: u64,
    own_kib: u64,
}

/// Starts a broker that finds an empty directory, and stops it.
fn start() -> Result<Seen> {
    let (data, said) = (tempfile::tempdir()?, tempfile::NamedTempFile::new()?);
    let (mqtt, stomp) = (free_address(), free_address());
    let mut command = duetmq_command()?;
    command.args(["serve", "--log-level", "error", "--data-dir"]).arg(data.path());
    command.arg("--listen").arg(format!("mqtt://{mqtt}")).arg("--listen").arg(format!("stomp://{stomp}"));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(said.reopen()?);
    let begun = Instant::now();
    let mut broker = Process::start(&mut command)?;
    let client = enter(mqtt, begun, &mut broker)
        .with_context(|| std::fs::read_to_string(said.path()).unwrap_or_default())?;
    let until_in = begun.elapsed();
    drop(client);
    // What is only at the start is over by then.
    sleep(AT_REST_AFTER);
    let memory = |which| memory_kib(broker.pid(), which);
    let seen = Seen { until_in, resident_kib: memory("VmRSS")?, own_kib: memory("RssAnon")? };
    broker.signal("TERM")?;
    let ended = broker.wait(ENDS_WITHIN)?;
    ensure!(ended.success(), "the broker ended with {ended}");
    Ok(seen)
}

/// Knocks every half millisecond, until the broker has let it in.
fn enter(at: SocketAddr, begun: Instant, broker: &mut Process) -> Result<TcpStream> {
    let mut stream = loop {
        match TcpStream::connect(at) {
            Ok(stream) => break stream,
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => {}
            Err(error) => return Err(error.into()),
        }
        if let Some(status) = broker.ended() {
            bail!("the broker ended with {status}");
        }
        ensure!(begun.elapsed() < LISTENS_WITHIN, "nobody listens at {at} after {LISTENS_WITHIN:?}");
        sleep(Duration::from_micros(500));
    };
    stream.set_read_timeout(Some(LISTENS_WITHIN))?;
    stream.write_all(CONNECT)?;
    let mut answer = [0; 4];
    stream.read_exact(&mut answer).context("no CONNACK")?;
    ensure!(answer == CONNACK, "{answer:02X?} is no CONNACK that lets in");
    Ok(stream)
}

/// MQTT 3.1.1, 3.1: a clean session, no keep alive, an empty client identifier.
const CONNECT: &[u8] = b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x00\x00\x00";
/// MQTT 3.1.1, 3.2: accepted, no session present.
const CONNACK: [u8; 4] = [0x20, 2, 0, 0];

const AT_REST_AFTER: Duration = Duration::from_secs(1);
const LISTENS_WITHIN: Duration = Duration::from_secs(10);
const ENDS_WITHIN: Duration = Duration::from_secs(20);

const USAGE: &str = "\
Starts the broker in an empty directory, with a listener for MQTT and one for STOMP, and says how long it takes from the start of
the process until a client that knocks every half millisecond has its CONNACK, and what is in memory a second later.

  --starts N   how often (9)

The broker is what DUETMQ_BIN names, or what `cargo build -p server` makes, which is not optimised. Linux only.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_read_or_refused() {
        let read = |line: &str| super::read(line.split_whitespace().map(ToOwned::to_owned));
        assert_eq!((read(""), read("--starts 3")), (Some(9), Some(3)));
        for bad in ["--starts", "--starts 0", "--starts many", "--starts 3 4", "--help"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_start_is_seen_through() -> Result<()> {
        let seen = start()?;
        assert!(seen.until_in > Duration::ZERO && seen.own_kib > 0 && seen.resident_kib > seen.own_kib);
        Ok(())
    }
}
