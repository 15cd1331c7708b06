//! Signed tokens: whoever shows one is whom it names, in either protocol, wherever it is shown.

use anyhow::{Result, ensure};
use harness::broker::{Broker, Setup};
use harness::door::Door;
use harness::mqtt;
use harness::mqtt::packet::Packet;
use harness::mqtt::version::Version;
use harness::mqtt::write::Connect;
use harness::script::node;
use harness::stomp::{Client, Frame};
use harness::token::{config, now_s, signed, token};
use serde_json::{Value, json};

/// A rule by which it is seen who somebody is.
const ALICE: &str = "[[access.deny]]\nfilter = \"not/alice\"\nuser = \"alice\"\n";

#[test]
fn a_stomp_client_is_whom_its_token_names() -> Result<()> {
    let broker = broker()?;
    let (alice, bob) = (token("alice", 3600), token("bob", 3600));
    for (name, value) in [
        ("Authorization", format!("Bearer {alice}")),
        ("authorization", format!("bearer {alice}")),
        ("AUTHORIZATION", format!("Bearer   {alice} ")),
        ("X-Auth-Token", alice.clone()),
        ("passcode", alice.clone()),
    ] {
        ensure!(is_alice(&mut connect(&broker, &[(name, &value)])?)?, "{name}: {value}");
    }
    // The header says more than the names that a relay puts there for all.
    let relayed = [("login", "guest"), ("passcode", "guest"), ("Authorization", &format!("Bearer {alice}"))];
    ensure!(is_alice(&mut connect(&broker, &relayed)?)?);
    let both = [("login", "x"), ("passcode", &*bob), ("Authorization", &format!("Bearer {alice}"))];
    ensure!(is_alice(&mut connect(&broker, &both)?)?);
    ensure!(!is_alice(&mut connect(&broker, &[("passcode", &bob)])?)?);
    // Those without one come in as ever.
    ensure!(!is_alice(&mut connect(&broker, &[])?)?);
    ensure!(!is_alice(&mut connect(&broker, &[("login", "guest"), ("passcode", "guest")])?)?);
    Ok(())
}

#[test]
fn a_token_that_is_not_good_keeps_its_client_out_and_is_not_told_to_anybody() -> Result<()> {
    let broker = broker()?;
    let at = now_s() - 60;
    let expired = signed(&json!({"sub": "alice", "exp": at}), harness::token::SECRET);
    let forged = signed(&json!({"sub": "alice", "exp": at + 3600}), "another secret, of somebody else's own");
    for (bad, code) in
        [(&*expired, "token_expired"), (&*forged, "token_refused"), ("nonsense", "token_refused")]
    {
        let mut client = Client::dial(broker.at(Door::Stomp))?;
        client.send(&connect_frame(&[("Authorization", &format!("Bearer {bad}"))]))?;
        let error = client.expect("ERROR")?;
        ensure!(error.header("error-code") == Some(code), "{error:?}");
        ensure!(!error.text().contains(bad), "{}", error.text());
        ensure!(client.closes(harness::wait::SOON)?);
    }
    for bad in [&expired, &forged] {
        for (version, codes) in [(Version::V5, [0x86, 0x87]), (Version::V311, [4, 5]), (Version::V31, [4, 5])]
        {
            let mut client = mqtt::Client::dial(broker.at(Door::Mqtt), version)?;
            client.send(&with_password(version, bad).bytes())?;
            let packet = client.packet()?;
            let is_refused = matches!(&packet, Packet::Connack(connack) if codes.contains(&connack.code));
            ensure!(is_refused, "{version:?} {packet:?}");
        }
    }
    let log = broker.journal().text();
    for bad in [&expired, &forged] {
        let signature = bad.rsplit('.').next().unwrap_or_default();
        ensure!(!log.contains(signature), "a token is in the log");
    }
    Ok(())
}

#[test]
fn an_mqtt_client_shows_its_token_as_password() -> Result<()> {
    let broker = broker()?;
    for version in [Version::V5, Version::V311, Version::V31] {
        for (user, is_denied) in [("alice", true), ("bob", false)] {
            // A session is its user's: each has one of his own.
            let connect = Connect { id: user.to_owned(), ..with_password(version, &token(user, 3600)) };
            let (mut client, _) = mqtt::Client::connect(broker.at(Door::Mqtt), &connect)?;
            let codes = client.subscribe("not/alice", 1)?;
            // 3.1 has no word for it.
            let refused = if version == Version::V5 { 0x87 } else { 0x80 };
            let denied = if version == Version::V31 { 1 } else { refused };
            ensure!(codes == [if is_denied { denied } else { 1 }], "{version:?} {user} {codes:?}");
        }
    }
    Ok(())
}

#[test]
fn mqtt_js_shows_its_token_by_auth_and_a_newer_one_later() -> Result<()> {
    let broker = broker()?;
    let good = ["connected", "message", "renewed", "message", "done"];
    for method in ["JWT", "OAUTH2-JWT"] {
        let (found, shown) = by_auth(&broker, method, &token("alice", 600), &token("alice", 3600))?;
        ensure!(found == good, "{shown}");
    }
    let (found, shown) = by_auth(&broker, "JWT", &token("alice", -60), "")?;
    ensure!(found == ["refused"] && shown.contains("135"), "{shown}");
    // A newer one that is not good, or somebody else's, ends the connection [MQTT-4.12.1-2].
    for newer in [token("alice", -60), token("bob", 3600), "nonsense".to_owned()] {
        let (found, shown) = by_auth(&broker, "JWT", &token("alice", 600), &newer)?;
        ensure!(found == ["connected", "message", "disconnected"] && shown.contains("135"), "{shown}");
    }
    Ok(())
}

fn broker() -> Result<Broker> {
    Setup::new().config(&format!("{}{ALICE}", config(""))).start()
}

fn connect_frame(headers: &[(&str, &str)]) -> Frame {
    let frame = Frame::new("CONNECT").with("accept-version", "1.2").with("host", "/");
    headers.iter().fold(frame, |frame, (name, value)| frame.with(name, value))
}

fn connect(broker: &Broker, headers: &[(&str, &str)]) -> Result<Client> {
    let mut client = Client::dial(broker.at(Door::Stomp))?;
    client.send(&connect_frame(headers))?;
    client.expect("CONNECTED")?;
    Ok(client)
}

/// Whether the rule about alice is about this client.
fn is_alice(client: &mut Client) -> Result<bool> {
    let frame = Frame::new("SUBSCRIBE").with("id", "0").with("destination", "/topic/not.alice");
    client.send(&frame.with("receipt", "r"))?;
    Ok(client.frame()?.command == "ERROR")
}

fn with_password(version: Version, token: &str) -> Connect {
    let login = Some(("anybody".to_owned(), token.to_owned()));
    Connect { login, ..Connect::new(version, "client") }
}

/// The steps that were taken, and all that was said.
fn by_auth(broker: &Broker, method: &str, token: &str, newer: &str) -> Result<(Vec<String>, String)> {
    let port = broker.at(Door::Mqtt).port().to_string();
    let output = node("token.js")?.args([port.as_str(), method, token, newer]).output()?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let step = |line: &str| {
        let line: Value = serde_json::from_str(line).ok()?;
        Some(line.get("step")?.as_str()?.to_owned())
    };
    let found = said.lines().filter_map(step).collect();
    Ok((found, format!("{said}{}", String::from_utf8_lossy(&output.stderr))))
}
