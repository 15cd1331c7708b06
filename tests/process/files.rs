//! What the broker leaves on the disk is its owner's alone.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Result, ensure};
use harness::broker::Broker;
use harness::door::Door;
use harness::mqtt::Client;
use harness::mqtt::version::Version;
use harness::mqtt::write::Connect;

#[test]
fn nobody_else_reads_or_writes_what_the_broker_keeps() -> Result<()> {
    // threats.md: CVE-2017-9868, files readable by all.
    let mut broker = Broker::new()?;
    let (mut client, _) = Client::connect(broker.at(Door::Mqtt), &Connect::lasting(Version::V5, "client"))?;
    client.subscribe("t", 1)?;
    client.publish("t", b"secret", 1)?;
    let while_it_runs = walk(&broker.data())?;
    ensure!(while_it_runs > 4, "only {while_it_runs} files");
    ensure!(broker.stop()?.success());
    walk(&broker.data())?;
    Ok(())
}

/// How many files there are; none of them may be anybody else's.
fn walk(folder: &Path) -> Result<usize> {
    let mut count = 0;
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        // Journal files and sled's come and go.
        let Ok(metadata) = fs::symlink_metadata(&path) else { continue };
        let mode = metadata.permissions().mode() & 0o777;
        ensure!(mode & 0o077 == 0, "{} has mode {mode:o}", path.display());
        count += if metadata.is_dir() { walk(&path)? } else { 1 };
    }
    Ok(count)
}
