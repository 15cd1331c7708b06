//! Killed while twenty clients use it, the broker loses nothing, doubles nothing, and keeps the order.

mod letters;

use std::process::Command;

use anyhow::Result;
use harness::binary::duetmq;

/// A short run of the program that tests P1 to P7 of docs/guarantees.md; the long one is `cargo run -p tests --bin durability`.
#[test]
fn nothing_acknowledged_is_lost_and_nothing_exactly_once_is_doubled_when_the_broker_is_killed() -> Result<()>
{
    let output = Command::new(env!("CARGO_BIN_EXE_durability"))
        .args(["--kills", "8", "--seconds", "12"])
        .env("DUETMQ_BIN", duetmq()?)
        .output()?;
    println!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "the program ended with {}", output.status);
    Ok(())
}
