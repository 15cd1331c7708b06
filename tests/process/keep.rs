//! `duetmq backup` and `duetmq restore`: messages come back as they were at a moment.

use std::fs;
use std::path::Path;

use anyhow::{Result, ensure};
use harness::broker::{Broker, Setup};
use harness::door::Door;
use harness::mqtt::Client;
use harness::mqtt::version::Version;
use harness::mqtt::write::Connect;

use crate::run::duetmq;

#[test]
fn a_backup_of_a_broker_that_runs_is_restored_with_its_messages() -> Result<()> {
    let broker = Broker::new()?;
    let lasting = Connect::lasting(Version::V5, "reader");
    let (mut reader, _) = Client::connect(broker.at(Door::Mqtt), &lasting)?;
    ensure!(reader.subscribe("jobs/#", 2)? == [2]);
    drop(reader);
    let mut writer = Client::clean(broker.at(Door::Mqtt), Version::V5, "writer")?;
    for number in 0..5 {
        writer.publish(&format!("jobs/{number}"), b"x", 2)?;
    }
    let folder = tempfile::tempdir()?;
    let (data, kept, back) =
        (broker.data().display().to_string(), folder.path().join("kept"), folder.path().join("back"));
    let (kept_text, back_text) = (kept.display().to_string(), back.display().to_string());
    let done = duetmq(&["backup", &kept_text, "-d", &data])?;
    ensure!(done.code == Some(0) && done.out.contains("all checked"), "{done:?}");
    writer.publish("jobs/later", b"x", 2)?;

    let full = duetmq(&["restore", &kept_text, "-d", &data])?;
    ensure!(full.code == Some(2) && full.error.contains("not empty"), "{full:?}");
    let done = duetmq(&["restore", &kept_text, "-d", &back_text])?;
    ensure!(done.code == Some(0), "{done:?}");
    // Whoever only looks leaves no trace: neither the backup nor what is restored has been served.
    ensure!(duetmq(&["fsck", &kept_text])?.code == Some(0));
    for folder in [&kept, &back] {
        ensure!(names(folder)? == ["format", "journal"], "{:?}", names(folder)?);
    }
    let restored = Setup::new().data(&back).start()?;
    let (mut reader, _) = Client::connect(restored.at(Door::Mqtt), &lasting)?;
    for number in 0..5 {
        ensure!(reader.take()?.topic == format!("jobs/{number}"));
    }
    let mut writer = Client::clean(restored.at(Door::Mqtt), Version::V5, "writer")?;
    writer.publish("jobs/after", b"x", 2)?;
    ensure!(reader.take()?.topic == "jobs/after", "what came after the backup is not there");
    Ok(())
}

fn names(folder: &Path) -> Result<Vec<String>> {
    let entries = fs::read_dir(folder)?.collect::<Result<Vec<_>, _>>()?;
    let mut names: Vec<_> =
        entries.iter().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort_unstable();
    Ok(names)
}
