//! `duetmq fsck`: a damaged store is not opened, the way out is named, and leads there.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use harness::broker::Broker;
use harness::door::Door;
use harness::mqtt::Client;
use harness::mqtt::version::Version;
use harness::mqtt::write::Connect;
use harness::wait::SOON;

use crate::run::duetmq;

#[test]
fn a_damaged_store_is_refused_with_the_command_that_repairs_it() -> Result<()> {
    let mut broker = Broker::new()?;
    let lasting = Connect::lasting(Version::V5, "reader");
    let (mut reader, _) = Client::connect(broker.at(Door::Mqtt), &lasting)?;
    ensure!(reader.subscribe("jobs/#", 1)? == [1]);
    drop(reader);
    let mut writer = Client::clean(broker.at(Door::Mqtt), Version::V5, "writer")?;
    for number in 0..5 {
        writer.publish(&format!("jobs/{number}"), b"0123456789abcdef0123456789abcdef", 1)?;
    }
    let data = broker.data().display().to_string();
    let open = duetmq(&["fsck", &data])?;
    ensure!(open.code == Some(4) && open.error.contains("locked by pid"), "{open:?}");
    broker.kill();

    let sound = duetmq(&["fsck", &data])?;
    ensure!(sound.code == Some(0) && sound.out.contains("0 damaged"), "{sound:?}");
    damage(&broker.data().join("journal/0000000001.seg"), b"jobs/2")?;
    let format = fs::read(broker.data().join("format"))?;
    broker.launch()?;
    let refused = broker.wait(SOON + SOON)?;
    let said = fs::read_to_string(broker.journal().path())?;
    ensure!(refused.code() == Some(65) && said.contains(&format!("duetmq fsck --repair {data}")), "{said}");

    let found = duetmq(&["fsck", &data])?;
    ensure!(found.code == Some(65) && found.error.contains("--repair"), "{found:?}");
    ensure!(
        found.out.contains("0000000001.seg: byte ") && found.out.contains("fails its checksum"),
        "{found:?}"
    );
    let repaired = duetmq(&["fsck", "--repair", &data])?;
    ensure!(repaired.code == Some(0) && repaired.out.contains("quarantine"), "{repaired:?}");
    ensure!(duetmq(&["fsck", &data])?.code == Some(0));
    ensure!(fs::read(broker.data().join("format"))? == format);

    broker.start()?;
    let (mut reader, _) = Client::connect(broker.at(Door::Mqtt), &lasting)?;
    for number in [0, 1, 3, 4] {
        let message = reader.publication()?;
        ensure!(message.topic == format!("jobs/{number}"), "{message:?}");
    }
    Ok(())
}

#[test]
fn a_store_that_is_not_there_or_of_a_newer_version_is_told_apart_from_damage() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let nothing = folder.path().join("none").display().to_string();
    let none = duetmq(&["fsck", &nothing])?;
    ensure!(none.code == Some(6) && none.error.contains("no store"), "{none:?}");
    let mut broker = Broker::new()?;
    broker.stop()?;
    let format = broker.data().join("format");
    let text = fs::read_to_string(&format)?.replace("version 1", "version 2");
    fs::write(&format, &text)?;
    let newer = duetmq(&["fsck", "--repair", &broker.data().display().to_string()])?;
    ensure!(newer.code == Some(65) && newer.error.contains("start the version that wrote it"), "{newer:?}");
    ensure!(fs::read_to_string(&format)? == text, "it was touched");
    Ok(())
}

/// Flips a bit of the first place where this stands.
fn damage(file: &Path, text: &[u8]) -> Result<()> {
    let bytes = fs::read(file)?;
    let at = bytes.windows(text.len()).position(|here| here == text).context("it is there")?;
    let byte = bytes.get(at).copied().unwrap_or_default() ^ 1;
    OpenOptions::new().write(true).open(file)?.write_all_at(&[byte], at as u64)?;
    Ok(())
}
