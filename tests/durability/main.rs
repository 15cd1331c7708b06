//! Killed while twenty clients use it, the broker loses nothing, doubles nothing, and keeps the order.

mod letters;

use std::process::Command;

use anyhow::Result;
use harness::binary::duetmq;

/// A short run of the program that tests P1 to P7 of docs/guarantees.md; the long one is `cargo run -p tests --bin durability`.
#[test]
fn nothing_acknowledged_is_lost_and_nothing_exactly_once_is_doubled_when_the_broker_is_killed() -> Result<()>
{
    run(&["--kills", "8", "--seconds", "8"])
}

/// The same when the power fails with the process: whatever was not synced may be gone, all of it or some.
#[test]
fn nothing_acknowledged_is_lost_when_the_power_fails() -> Result<()> {
    run(&["--fault", "power", "--kills", "4", "--seconds", "4"])
}

/// P9 of docs/guarantees.md: the broker ends with exit code 74, and no acknowledgement that the fsync was for has left.
#[test]
fn nothing_acknowledged_is_lost_when_an_fsync_fails() -> Result<()> {
    run(&["--fault", "sync", "--kills", "3", "--seconds", "3"])
}

fn run(arguments: &[&str]) -> Result<()> {
    let output = Command::new(env!("CARGO_BIN_EXE_durability"))
        .args(arguments)
        .env("DUETMQ_BIN", duetmq()?)
        .output()?;
    println!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "the program ended with {}", output.status);
    Ok(())
}
