//! Signed tokens: whoever shows one is whom it names, in either protocol, wherever it is shown.

use anyhow::{Result, ensure};
use harness::broker::{Broker, Setup};
use harness::door::Door;
use harness::mqtt;
use harness::mqtt::packet::Packet;
use harness::mqtt::version::Version;
use harness::mqtt::write::Connect;
use harness::script::{node, python};
use harness::stomp::{Client, Frame};
use harness::token::{config, now_s, signed, token};
use harness::wait::SOON;
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
        ensure!(client.closes(SOON)?);
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

#[test]
fn a_newer_token_on_a_frame_lets_a_stomp_client_go_on() -> Result<()> {
    let broker = broker()?;
    let mut client = connect(&broker, &[("Authorization", &bearer("alice", 2))])?;
    client.subscribe("e", "/session/queue/request-error", "auto")?;
    client.subscribe("1", "/topic/room.1", "auto")?;
    // It has expired, and the client only listens.
    let told = client.expect("MESSAGE")?;
    ensure!(told.header("subscription") == Some("e"), "{told:?}");
    ensure!(
        told.header("error-code") == Some("token_expired") && told.header("expired-at").is_some(),
        "{told:?}"
    );
    let send = |code: &str| {
        Frame::new("SEND")
            .with("destination", "/topic/room.1")
            .with("client-request-code", code)
            .body("안녕".as_bytes())
    };
    // Without a newer one nothing is sent.
    client.send(&send("1"))?;
    let refused = client.expect("MESSAGE")?;
    ensure!(refused.header("client-request-code") == Some("1"), "{refused:?}");
    ensure!(refused.header("error-code") == Some("token_expired"), "{refused:?}");
    // One that has expired too, one that is forged, one of somebody else.
    let forged =
        signed(&json!({"sub": "alice", "exp": now_s() + 60}), "another secret, of somebody else's own");
    for (bad, code) in [
        (bearer("alice", -5), "token_expired"),
        (format!("Bearer {forged}"), "token_refused"),
        (bearer("bob", 60), "access_refused"),
    ] {
        client.send(&send("2").with("Authorization", &bad).with("receipt", "r"))?;
        let refused = client.expect("MESSAGE")?;
        ensure!(refused.header("error-code") == Some(code), "{code} {refused:?}");
        ensure!(
            refused.header("receipt") == Some("r") && refused.header("subscription") == Some("e"),
            "{refused:?}"
        );
    }
    client.send(&send("3").with("Authorization", &bearer("alice", 3600)))?;
    let message = client.expect("MESSAGE")?;
    ensure!(message.header("subscription") == Some("1") && message.text() == "안녕", "{message:?}");
    ensure!(message.header("client-request-code") == Some("3"), "{message:?}");
    ensure!(
        message.headers.iter().all(|(name, _)| !name.eq_ignore_ascii_case("authorization")),
        "{message:?}"
    );
    // And it stays, beyond the end of the first one and the time after it.
    client.publish("/topic/room.1", b"still here")?;
    std::thread::sleep(std::time::Duration::from_secs(6));
    client.publish("/topic/room.1", b"and here")?;
    Ok(())
}

#[test]
fn who_does_not_listen_for_errors_gets_one_and_who_only_listens_is_cut_off() -> Result<()> {
    let broker = Setup::new().config(&config("grace = \"1s\"")).start()?;
    let mut sender = connect(&broker, &[("Authorization", &bearer("alice", 600))])?;
    let expired = bearer("alice", -5);
    let send = Frame::new("SEND").with("destination", "/topic/a").with("Authorization", &expired);
    sender.send(&send.with("receipt", "r").with("correlation-id", "c"))?;
    let error = sender.expect("ERROR")?;
    for (name, value) in [("error-code", "token_expired"), ("receipt-id", "r"), ("correlation-id", "c")] {
        ensure!(error.header(name) == Some(value), "{error:?}");
    }
    ensure!(sender.closes(SOON)?);
    let mut listener = connect(&broker, &[("Authorization", &bearer("alice", 2))])?;
    listener.subscribe("1", "/topic/a", "auto")?;
    let error = listener.expect("ERROR")?;
    ensure!(error.header("error-code") == Some("token_expired"), "{error:?}");
    ensure!(listener.closes(SOON)?);
    Ok(())
}

#[test]
fn an_mqtt_client_whose_token_has_expired_is_cut_off_after_a_while() -> Result<()> {
    let broker = Setup::new().config(&config("grace = \"1s\"")).start()?;
    for version in [Version::V5, Version::V311, Version::V31] {
        let connect = Connect { id: format!("{version:?}"), ..with_password(version, &token("alice", 2)) };
        let (mut client, _) = mqtt::Client::connect(broker.at(Door::Mqtt), &connect)?;
        client.subscribe("a", 1)?;
        if version == Version::V5 {
            let packet = client.packet()?;
            ensure!(matches!(packet, Packet::Disconnect { reason: 0x87, .. }), "{packet:?}");
        }
        ensure!(client.closes(SOON)?, "{version:?}");
    }
    Ok(())
}

#[test]
fn what_a_rule_denies_is_told_on_the_error_channel_and_all_else_goes_on() -> Result<()> {
    let broker = broker()?;
    let mut client = connect(&broker, &[("Authorization", &bearer("alice", 600))])?;
    client.subscribe("e", "/session/queue/request-error", "client")?;
    for command in ["SEND", "SUBSCRIBE"] {
        let frame = Frame::new(command).with("id", "1").with("destination", "/topic/not.alice");
        client.send(&frame.with("client-request-code", command))?;
        let refused = client.expect("MESSAGE")?;
        ensure!(refused.header("error-code") == Some("access_refused"), "{refused:?}");
        ensure!(refused.header("client-request-code") == Some(command), "{refused:?}");
        ensure!(refused.header("error").is_some_and(|text| text.contains("access.deny")), "{refused:?}");
        client.settle("ACK", &refused)?;
    }
    client.subscribe("1", "/topic/alice", "auto")?;
    client.publish("/topic/alice", b"x")?;
    let message = client.expect("MESSAGE")?;
    ensure!(message.header("subscription") == Some("1"), "{message:?}");
    Ok(())
}

fn bearer(user: &str, ends_in_s: i64) -> String {
    format!("Bearer {}", token(user, ends_in_s))
}

#[test]
fn other_peoples_clients_show_their_tokens_over_tcp_and_websocket() -> Result<()> {
    let broker = broker()?;
    for (kind, door) in
        [("stomp", Door::Stomp), ("stomp-ws", Door::Web), ("mqtt", Door::Mqtt), ("mqtt-ws", Door::Web)]
    {
        let port = broker.at(door).port().to_string();
        let (good, expired, newer) = (token("kim", 600), token("kim", -5), token("kim", 3600));
        let output = python("token_client.py")?.args([kind, &port, &good, &expired, &newer]).output()?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let shown = format!("{kind}: {said}{}", String::from_utf8_lossy(&output.stderr));
        let expected: &[&str] = if kind.starts_with("stomp") {
            ensure!(said.contains(r#""code": "token_expired", "request": "1""#), "{shown}");
            &["connected", "refused", "message", "done"]
        } else {
            &["connected", "message", "done"]
        };
        ensure!(steps(&said) == expected, "{shown}");
    }
    let port = broker.at(Door::Mqtt).port().to_string();
    let output = python("token_client.py")?.args(["mqtt", &port, &token("kim", -5), "", ""]).output()?;
    ensure!(steps(&String::from_utf8_lossy(&output.stdout)) == ["refused", "done"], "{output:?}");
    Ok(())
}

#[test]
fn whatever_is_shown_for_a_token_is_refused_in_words_and_nobody_else_notices() -> Result<()> {
    let broker = broker()?;
    let mut other = connect(&broker, &[("Authorization", &bearer("kim", 600))])?;
    other.subscribe("1", "/topic/other", "auto")?;
    let mut client = connect(&broker, &[("Authorization", &bearer("alice", 600))])?;
    client.subscribe("e", "/session/queue/request-error", "auto")?;
    let good = token("alice", 900);
    let (said, signature) = good.rsplit_once('.').unwrap_or_default();
    let (head, claims) = said.split_once('.').unwrap_or_default();
    let mut bad: Vec<String> =
        ["x", ".", "..", "...", "a.b.c", "eyJ.eyJ.eyJ", "null", "안녕.하세요.여러분", "\\n:\r", "=.=.="]
            .map(str::to_owned)
            .into();
    bad.extend([format!("{head}.{claims}"), format!("{head}.{claims}."), format!("{head}..{signature}")]);
    bad.extend([format!(".{claims}.{signature}"), format!("{good}."), format!("{good}{good}")]);
    bad.extend([
        format!("{claims}.{head}.{signature}"),
        format!("{head}.{claims}.{}", signature.to_lowercase()),
    ]);
    bad.push(format!("{head}.{claims}.{}", "A".repeat(6000)));
    bad.push("{\"alg\":\"none\"}..".to_owned());
    for cut in 1..good.len().min(40) {
        bad.push(good.get(..good.len() - cut).unwrap_or_default().to_owned());
    }
    for text in &bad {
        let send = Frame::new("SEND").with("destination", "/topic/other").with("client-request-code", "c");
        client.send(&send.with("Authorization", &format!("Bearer {text}")).body(b"never"))?;
        let refused = client.expect("MESSAGE")?;
        ensure!(refused.header("error-code") == Some("token_refused"), "{text:?}: {refused:?}");
    }
    // Not one of them was published, and all goes on.
    client.publish("/topic/other", b"at last")?;
    ensure!(other.expect("MESSAGE")?.text() == "at last");
    // By AUTH each ends its connection, and no other.
    for text in bad.iter().take(12) {
        let (found, shown) = by_auth(&broker, "JWT", &good, &text.replace('\0', ""))?;
        ensure!(found == ["connected", "message", "disconnected"], "{text:?}: {shown}");
    }
    other.publish("/topic/other", b"still here")?;
    let log = broker.journal().text();
    ensure!(!log.contains("panicked") && !log.contains(signature), "see the log");
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
    let found = steps(&said);
    Ok((found, format!("{said}{}", String::from_utf8_lossy(&output.stderr))))
}

/// The steps in what a script printed.
fn steps(said: &str) -> Vec<String> {
    let step = |line: &str| {
        let line: Value = serde_json::from_str(line).ok()?;
        Some(line.get("step")?.as_str()?.to_owned())
    };
    said.lines().filter_map(step).collect()
}
