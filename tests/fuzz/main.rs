//! The corpus of the fuzz targets, played again: what was found once is never found twice.

pub mod mqtt_client;
pub mod mqtt_decode;
pub mod mqtt_session;
pub mod mqtt_watch;
pub mod script;
pub mod stomp_client;
pub mod stomp_decode;
pub mod stomp_session;
pub mod stomp_watch;
pub mod written;

use std::fs;

use anyhow::{Context, Result, ensure};
use harness::binary::root;

#[test]
fn bytes_are_read_as_mqtt_alike_however_they_are_cut() -> Result<()> {
    replay("mqtt_decode", mqtt_decode::run)
}

#[test]
fn a_session_of_mqtt_keeps_the_law_whatever_its_client_does() -> Result<()> {
    replay("mqtt_session", mqtt_session::run)
}

#[test]
fn bytes_are_read_as_stomp_alike_however_they_are_cut() -> Result<()> {
    replay("stomp_decode", stomp_decode::run)
}

#[test]
fn a_session_of_stomp_keeps_the_law_whatever_its_client_does() -> Result<()> {
    replay("stomp_session", stomp_session::run)
}

#[test]
fn the_corpus_is_small() -> Result<()> {
    let mut bytes = 0;
    for target in ["mqtt_decode", "mqtt_session", "stomp_decode", "stomp_session"] {
        bytes += corpus(target)?.iter().map(|(_, data)| data.len()).sum::<usize>();
    }
    assert!(bytes < 1 << 20, "{bytes} bytes");
    Ok(())
}

fn replay(target: &str, run: fn(&[u8])) -> Result<()> {
    let corpus = corpus(target)?;
    ensure!(corpus.len() >= 20, "only {} inputs for {target}", corpus.len());
    for (name, data) in corpus {
        let played = std::panic::catch_unwind(|| run(&data));
        ensure!(played.is_ok(), "tests/fuzz/corpus/{target}/{name} breaks a law: see above");
    }
    Ok(())
}

fn corpus(target: &str) -> Result<Vec<(String, Vec<u8>)>> {
    let folder = root().join("tests/fuzz/corpus").join(target);
    let entries = fs::read_dir(&folder).with_context(|| folder.display().to_string())?;
    let mut found = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        found.push((name, fs::read(&path)?));
    }
    found.sort();
    Ok(found)
}
