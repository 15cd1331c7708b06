//! A disk that fails where no acknowledgement stands on it: the broker lives on, holds who publishes before its directory outgrows
//! its bound, and has lost nothing when the disk is well again.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use harness::broker::{Broker, Setup};
use harness::dice::Dice;
use harness::door::Door;
use harness::faults::{Disk, Fault};
use harness::mqtt::Client;
use harness::mqtt::packet::{Packet, Publish};
use harness::mqtt::version::Version;
use harness::mqtt::write::{self, Connect, ack};
use harness::socket::Next;
use harness::wait::until;
use tempfile::TempDir;

#[test]
fn a_journal_that_cannot_be_read_is_compacted_when_it_can_and_nothing_is_lost() -> Result<()> {
    catches_up(Fault::Read)
}

#[test]
fn a_state_that_cannot_be_written_is_filled_again_when_it_can_and_nothing_is_lost() -> Result<()> {
    catches_up(Fault::State)
}

#[test]
fn journal_files_that_cannot_be_given_up_are_when_they_can_and_nothing_is_lost() -> Result<()> {
    catches_up(Fault::Removal)
}

#[test]
fn what_waits_on_a_disk_that_cannot_be_read_comes_in_order_when_it_can() -> Result<()> {
    let mut small = Small::new("[limits]\nresident_messages = 2\n")?;
    small.broker.start()?;
    let lasting = Connect::lasting(Version::V5, "reader");
    let (mut reader, _) = Client::connect(small.broker.at(Door::Mqtt), &lasting)?;
    ensure!(reader.subscribe("jobs/#", 2)? == [2]);
    drop(reader);
    let mut writer = Client::clean(small.broker.at(Door::Mqtt), Version::V5, "writer")?;
    for number in 0..100 {
        writer.publish(&format!("jobs/{number}"), b"x", 2)?;
    }
    // Of each message only where it lies is known after that.
    small.broker.kill();
    small.broker.start()?;
    small.disk.begin(Fault::Read, &mut Dice::new(0))?;
    let (mut reader, connack) = Client::connect(small.broker.at(Door::Mqtt), &lasting)?;
    ensure!(connack.session_present, "{connack:?}");
    small.broker.journal().wait_for(&["queue.unreadable"], PATIENCE)?;
    ensure!(matches!(reader.next(Duration::from_millis(500))?, Next::Silence), "nothing could be read");
    // Others are served.
    let mut other = Client::clean(small.broker.at(Door::Mqtt), Version::V5, "other")?;
    other.subscribe("other", 1)?;
    other.publish("other", b"x", 0)?;
    ensure!(other.take()?.topic == "other");
    small.disk.repair()?;
    for number in 0..100 {
        let message = reader.take()?;
        ensure!(message.topic == format!("jobs/{number}"), "{number}: {message:?}");
    }
    ensure!(matches!(reader.next(Duration::from_millis(300))?, Next::Silence), "none comes twice");
    Ok(())
}

#[test]
fn a_store_that_cannot_be_read_is_not_served_but_named_with_code_74() -> Result<()> {
    let mut small = Small::new("")?;
    small.broker.start()?;
    let lasting = Connect::lasting(Version::V5, "reader");
    let (mut reader, _) = Client::connect(small.broker.at(Door::Mqtt), &lasting)?;
    ensure!(reader.subscribe("jobs/#", 1)? == [1]);
    drop(reader);
    let mut writer = Client::clean(small.broker.at(Door::Mqtt), Version::V5, "writer")?;
    for number in 0..20 {
        writer.publish(&format!("jobs/{number}"), b"x", 1)?;
    }
    // From the first read of a start on, and from a later one on: whatever it is that it reads then.
    let mut ended = 0;
    for readable in [0, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144, 233, 377] {
        small.broker.kill();
        small.disk.repair()?;
        small.disk.fail_reads_after(readable)?;
        small.broker.launch()?;
        if small.broker.wait_open(PATIENCE).is_ok() {
            // It has read all it needs: then nothing is missing either.
            small.disk.repair()?;
            small.serves(&lasting)?;
            break;
        }
        let status = small.broker.wait(PATIENCE)?;
        ensure!(status.code() == Some(74), "{readable} reads went well, and it ended with {status}");
        ended += 1;
        let said = small.broker.journal().text();
        let last = said.lines().last().unwrap_or_default();
        ensure!(last.contains("cannot read") && last.contains("check the disk"), "{last}");
    }
    ensure!(ended > 2, "a start reads more than {ended} times");
    small.broker.kill();
    small.disk.repair()?;
    small.broker.start()?;
    small.serves(&lasting)
}

/// The fault comes while journal files are filled and emptied, and goes when publishers are held.
fn catches_up(fault: Fault) -> Result<()> {
    let mut small = Small::new("")?;
    small.broker.start()?;
    let (at, keeper) = (small.broker.at(Door::Mqtt), Connect::lasting(Version::V5, "keeper"));
    let (mut client, _) = Client::connect(at, &keeper)?;
    ensure!(client.subscribe("keep/#", 1)? == [1]);
    drop(client);
    let mut writer = Client::clean(at, Version::V311, "writer")?;
    for number in 0..5 {
        writer.publish(&format!("keep/{number}"), b"old", 1)?;
    }
    let (mut reader, _) = Client::connect(at, &Connect::lasting(Version::V5, "reader"))?;
    ensure!(reader.subscribe("bulk", 1)? == [1]);
    small.disk.begin(fault, &mut Dice::new(0))?;
    let id = publish_until_held(&small, &mut writer, &mut reader)?;

    // Who consumes goes on, and so does the process, within the bound.
    small.broker.journal().wait_for(&["store.behind"], PATIENCE)?;
    ensure!(used_bytes(&small.data) < 2 * KEPT_BYTES + SURPLUS_BYTES, "{} bytes", used_bytes(&small.data));
    let (mut client, _) = Client::connect(at, &keeper)?;
    ensure!(client.take()?.topic == "keep/0");
    drop(client);
    ensure!(small.broker.is_running(), "it ended");

    small.disk.repair()?;
    until("the held publisher to be answered", PATIENCE, || {
        matches!(writer.next(Duration::from_millis(50)), Ok(Next::Some(Packet::Ack { id: found, .. })) if found == id)
            .then_some(())
    })?;
    small.broker.journal().wait_for(&["store.not_behind"], PATIENCE)?;
    ensure!(reader.take()?.topic == "bulk");
    let body = vec![7; BODY_BYTES];
    until("the first journal file to be given up", PATIENCE, || {
        // It may not be full yet.
        writer.publish("bulk", &body, 1).and_then(|()| reader.take()).ok()?;
        (!small.data.join("journal/0000000001.seg").exists()).then_some(())
    })?;
    small.broker.kill();
    small.broker.start()?;
    let (mut client, connack) = Client::connect(at, &keeper)?;
    ensure!(connack.session_present, "{connack:?}");
    for number in 1..5 {
        let message = client.take()?;
        ensure!(message.topic == format!("keep/{number}"), "{message:?}");
    }
    ensure!(matches!(client.next(Duration::from_millis(300))?, Next::Silence), "there is more");
    Ok(())
}

/// Publishes, and takes each message, until one is not acknowledged: its id.
fn publish_until_held(small: &Small, writer: &mut Client, reader: &mut Client) -> Result<u16> {
    let body = vec![7; BODY_BYTES];
    let end = Instant::now() + Duration::from_secs(300);
    loop {
        let id = writer.id();
        // What is retained is an object of sled.
        let message = Publish::new("bulk", &body, 1).with_id(id).retained();
        writer.send(&write::publish(Version::V311, &message))?;
        loop {
            match writer.next(Duration::from_millis(300))? {
                Next::Some(Packet::Ack { id: found, kind: ack::PUBACK, .. }) if found == id => break,
                Next::Silence if small.is_held() => return Ok(id),
                Next::Silence => ensure!(Instant::now() < end, "neither acknowledged nor held"),
                other @ (Next::Some(_) | Next::Closed) => ensure!(false, "{other:?}"),
            }
        }
        ensure!(reader.take()?.topic == "bulk");
    }
}

/// A broker on a disk that fails when it is told to.
struct Small {
    broker: Broker,
    disk: Disk,
    data: PathBuf,
    _folder: TempDir,
}

impl Small {
    fn new(config: &str) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("duetmq-").tempdir()?;
        let data = folder.path().join("data");
        let disk = Disk::new(&data)?;
        let broker = disk.beneath(Setup::new().config(config))?.prepare()?;
        Ok(Self { broker, disk, data, _folder: folder })
    }

    fn is_held(&self) -> bool {
        !self.broker.journal().lines_with(&["pressure.on", "store"]).is_empty()
    }

    fn serves(&self, lasting: &Connect) -> Result<()> {
        let (mut reader, connack) = Client::connect(self.broker.at(Door::Mqtt), lasting)?;
        ensure!(connack.session_present, "{connack:?}");
        // They stay where they are: nobody acknowledges them.
        for number in 0..20 {
            let message = reader.publication()?;
            ensure!(message.topic == format!("jobs/{number}"), "{message:?}");
        }
        Ok(())
    }
}

/// What all files there take.
fn used_bytes(directory: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let each = entries.map(|entry| match entry.metadata() {
        Ok(found) if found.is_dir() => used_bytes(&entry.path()),
        Ok(found) => found.blocks() * 512,
        // Given up meanwhile.
        Err(_) => 0,
    });
    each.sum()
}

/// Files are of 32 MB: of these messages it takes 128 to fill one.
const BODY_BYTES: usize = 256 << 10;
/// What stays, with the retained message and one more on its way.
const KEPT_BYTES: u64 = 3 * (256 << 10);
/// As `docs/limits.md` says.
const SURPLUS_BYTES: u64 = 256_000_000;
/// Until what ought to happen has happened: the pause between two tries is up to half a minute.
const PATIENCE: Duration = Duration::from_secs(120);
