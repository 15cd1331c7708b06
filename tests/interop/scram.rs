//! SCRAM-SHA-256 over AUTH, by somebody else's client and somebody else's arithmetic.

use anyhow::{Result, ensure};
use harness::broker::{Broker, duetmq_command};
use harness::door::Door;
use harness::script::node;
use serde_json::Value;

#[test]
fn mqtt_js_gets_in_by_scram_and_shows_again_who_it_is() -> Result<()> {
    let broker = Broker::new()?;
    let steps = ["challenged", "connected", "message", "challenged", "renewed", "message", "done"];
    let (found, shown) = run(&broker, "guest", "guest")?;
    ensure!(found == steps, "{shown}");
    for (user, password) in [("guest", "wrong"), ("nobody", "guest")] {
        let (found, shown) = run(&broker, user, password)?;
        ensure!(found == ["challenged", "refused"] && shown.contains("135"), "{shown}");
    }
    Ok(())
}

#[test]
fn a_user_of_the_password_file_gets_in_by_scram() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("users");
    let mut command = duetmq_command()?;
    command.args(["passwd", "add", "alice", "--file"]).arg(&file);
    let mut added = command.stdin(std::process::Stdio::piped()).spawn()?;
    std::io::Write::write_all(&mut added.stdin.take().expect("a pipe"), b"wonder land\n")?;
    ensure!(added.wait()?.success());
    let broker = harness::broker::Setup::new()
        .argument("--set")
        .argument(&format!("auth.file.path={}", file.display()))
        .start()?;
    let (found, shown) = run(&broker, "alice", "wonder land")?;
    ensure!(found.last().is_some_and(|last| last == "done"), "{shown}");
    let (found, shown) = run(&broker, "alice", "wonderland")?;
    ensure!(found == ["challenged", "refused"], "{shown}");
    Ok(())
}

/// The steps that were taken, and all that was said.
fn run(broker: &Broker, user: &str, password: &str) -> Result<(Vec<String>, String)> {
    let port = broker.at(Door::Mqtt).port().to_string();
    let output = node("scram.js")?.args([port.as_str(), user, password]).output()?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let step = |line: &str| {
        let line: Value = serde_json::from_str(line).ok()?;
        Some(line.get("step")?.as_str()?.to_owned())
    };
    let found = said.lines().filter_map(step).collect();
    Ok((found, format!("{said}{}", String::from_utf8_lossy(&output.stderr))))
}
