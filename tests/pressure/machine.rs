//! What a machine does to a broker: it is stopped for a while, and may not write, or read.

use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use harness::broker::Broker;
use harness::door::Door;
use harness::mqtt::Client;
use harness::mqtt::packet::{Packet, Publish};
use harness::mqtt::version::Version;
use harness::mqtt::write::{Connect, publish};
use harness::socket::Next;
use harness::stomp::{Client as Stomp, Frame};

#[test]
fn a_broker_that_was_stopped_for_longer_than_a_keep_alive_cuts_off_nobody_who_is_there() -> Result<()> {
    let broker = Broker::new()?;
    let connect = |id: &str| Connect { keep_alive_s: 2, ..Connect::new(Version::V5, id) };
    let mut stays = Client::connect(broker.at(Door::Mqtt), &connect("stays"))?.0;
    let mut silent = Client::connect(broker.at(Door::Mqtt), &connect("silent"))?.0;
    let mut stomp = Stomp::dial(broker.at(Door::Stomp))?;
    stomp.send(&Frame::new("CONNECT").with("accept-version", "1.2").with("heart-beat", "2000,0"))?;
    stomp.expect("CONNECTED")?;
    broker.signal("STOP")?;
    // Neither of them can be heard, whatever they say, and no longer than that does a client wait for its PINGRESP.
    sleep(Duration::from_secs(8));
    broker.signal("CONT")?;
    let again = Instant::now();
    // One interval is fresh; who says something within it stays.
    sleep(Duration::from_secs(1));
    stays.send(&[0xc0, 0])?;
    ensure!(stays.packet()? == Packet::Pingresp, "no PINGRESP");
    stomp.socket.write(b"\n")?;
    stomp.request(Frame::new("SEND").with("destination", "/topic/a"))?;
    // And who does not goes, as ever.
    let gone = silent.packet()?;
    ensure!(matches!(gone, Packet::Disconnect { reason: 0x8d, .. }), "{gone:?}");
    ensure!(again.elapsed() >= Duration::from_millis(2500), "after {:?}", again.elapsed());
    Ok(())
}

#[test]
fn a_write_beyond_the_limit_of_a_file_ends_the_broker_as_any_failed_write_and_loses_nothing() -> Result<()> {
    let mut broker = Broker::new()?;
    let lasting = Connect::lasting(Version::V5, "reader");
    let (mut reader, _) = Client::connect(broker.at(Door::Mqtt), &lasting)?;
    reader.subscribe("jobs/+", 1)?;
    drop(reader);
    let mut writer = Client::clean(broker.at(Door::Mqtt), Version::V5, "writer")?;
    for number in 0..20 {
        writer.publish(&format!("jobs/{number}"), b"acknowledged", 1)?;
    }
    // Of that the kernel tells by SIGXFSZ, which would end the process there and then.
    let pid = broker.pid().context("not running")?.to_string();
    let limited = Command::new("prlimit").args(["--pid", &pid, "--fsize=1024:1024"]).status()?;
    ensure!(limited.success(), "prlimit: {limited}");
    writer.send(&publish(Version::V5, &Publish::new("jobs/late", b"x", 1).with_id(999)))?;
    let status = broker.wait(Duration::from_secs(30))?;
    ensure!(status.code() == Some(74), "it ended with {status}");
    let answer = writer.next(Duration::from_secs(1));
    ensure!(!matches!(answer, Ok(Next::Some(Packet::Ack { .. }))), "{answer:?}");
    broker.start()?;
    let (mut reader, connack) = Client::connect(broker.at(Door::Mqtt), &lasting)?;
    ensure!(connack.session_present, "{connack:?}");
    for number in 0..20 {
        let came = reader.take()?;
        ensure!(came.topic == format!("jobs/{number}"), "{came:?}");
    }
    Ok(())
}
