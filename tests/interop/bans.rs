//! Who stays out: by hand, or because logins failed or a client came too often; at once, for as long as was said, and after
//! a restart.

use std::io::{Read, Write};
use std::net::TcpStream;

use anyhow::{Context, Result, ensure};
use harness::admin::Admin;
use harness::broker::{Broker, Setup};
use harness::door::Door;
use harness::mqtt::Client;
use harness::mqtt::packet::Packet;
use harness::mqtt::version::Version;
use harness::mqtt::write::Connect;
use harness::prometheus::Page;
use harness::stomp::{Client as Stomp, Frame};
use harness::wait::{SOON, until};
use serde_json::{Value, json};

#[test]
fn a_client_id_that_is_banned_is_made_to_go_and_told_when_it_comes_again_also_after_a_restart() -> Result<()>
{
    let mut broker = Broker::new()?;
    let mut here = Client::clean(broker.at(Door::Mqtt), Version::V5, "flood")?;
    let mut other = Client::clean(broker.at(Door::Mqtt), Version::V5, "other")?;
    let made = ban(&broker, json!({ "client": "flood", "reason": "it floods" }))?;
    ensure!(made["kicked"] == 1, "{made}");
    let packet = here.packet()?;
    ensure!(matches!(packet, Packet::Disconnect { reason: 0x98, .. }), "{packet:?}");
    for life in ["the same life", "the next life"] {
        for (version, wanted) in [(Version::V5, 0x8a), (Version::V311, 5), (Version::V31, 5)] {
            let code = connack(&broker, &Connect::new(version, "flood"))?;
            ensure!(code == wanted, "{life}, {version:?}: {code:#04x}");
        }
        broker.journal().wait_for(&["conn.refused", "client=flood", "it floods"], SOON)?;
        let items = items(&broker)?;
        let is_it = |ban: &Value| {
            ban["kind"] == "client"
                && ban["name"] == "flood"
                && ban["until_ms"].is_null()
                && ban["by"] == "hand"
        };
        ensure!(items.len() == 1 && is_it(&items[0]), "{life}: {items:?}");
        if life == "the same life" {
            ensure!(other.publish("t", b"x", 1).is_ok(), "somebody else had to go, too");
            broker.kill();
            broker.start()?;
        }
    }
    let gone = Admin::owner(&broker).ask("DELETE", "/api/v1/bans/client/flood", None)?;
    ensure!(gone.status == 200, "{gone:?}");
    ensure!(connack(&broker, &Connect::new(Version::V5, "flood"))? == 0, "still out");
    let again = Admin::owner(&broker).ask("DELETE", "/api/v1/bans/client/flood", None)?;
    ensure!(again.status == 404 && again.reason().contains("no ban of client \"flood\""), "{again:?}");
    broker.kill();
    broker.start()?;
    ensure!(items(&broker)?.is_empty(), "it came back");
    Ok(())
}

#[test]
fn a_user_is_banned_over_both_protocols_for_as_long_as_was_said() -> Result<()> {
    let broker = Setup::new().user("ann").user("bob").start()?;
    let login = |user: &str| Connect {
        login: Some((user.to_owned(), user.to_owned())),
        ..Connect::new(Version::V5, user)
    };
    let made = ban(&broker, json!({ "user": "ann", "for_s": 2 }))?;
    ensure!(made["kicked"] == 0, "{made}");
    ensure!(connack(&broker, &login("ann"))? == 0x8a, "she is let in");
    ensure!(connack(&broker, &login("bob"))? == 0, "he is not");
    let mut stomp = Stomp::dial(broker.at(Door::Stomp))?;
    let connect = Frame::new("CONNECT").with("accept-version", "1.2").with("host", "localhost");
    stomp.send(&connect.with("login", "ann").with("passcode", "ann"))?;
    let error = stomp.frame()?;
    ensure!(error.command == "ERROR" && error.text().contains("user \"ann\" is banned until 2"), "{error:?}");
    until("the end of the ban", SOON, || (connack(&broker, &login("ann")).ok()? == 0).then_some(()))?;
    ensure!(items(&broker)?.is_empty(), "it is over");
    Ok(())
}

#[test]
fn an_address_that_is_banned_is_closed_at_every_door_before_it_says_anything() -> Result<()> {
    let broker = Broker::new()?;
    let doors = [Door::Mqtt, Door::Stomp, Door::Web, Door::Auto, Door::Admin];
    for door in doors {
        // Those are let in one after the other: behind this one nobody is left who looked whether the door is open.
        let mut early = TcpStream::connect(broker.at(door))?;
        early.set_read_timeout(Some(SOON))?;
        early.write_all(b"GET /nothing HTTP/1.0\r\n\r\n")?;
        early.read_to_end(&mut Vec::new())?;
    }
    let mut here = Stomp::new(broker.at(Door::Stomp))?;
    let made = ban(&broker, json!({ "ip": "127.0.0.1" }))?;
    ensure!(made["kicked"] == 1, "{made}");
    ensure!(here.frame()?.command == "ERROR" && here.closes(SOON)?, "STOMP stays");
    for door in doors {
        let mut socket = TcpStream::connect(broker.at(door))?;
        socket.set_read_timeout(Some(SOON))?;
        ensure!(socket.read(&mut [0])? == 0, "{door:?}: it is told something");
    }
    let refused = page(&broker)?.value("duetmq_connections_refused_total", &[("limit", "ban")]);
    ensure!(refused == Some(5.0), "{refused:?}");
    for event in ["conn.refused", "admin.closed"] {
        broker.journal().wait_for(&[event, "duetmq list bans", "peer=127.0.0.1"], SOON)?;
    }
    Ok(())
}

#[test]
fn who_is_banned_does_not_look_after_the_broker_either() -> Result<()> {
    let config = "[[admin.user]]\nname = \"ann\"\ntag = \"administrator\"\n";
    let broker = Setup::new().config(config).user("ann").start()?;
    let ann = Admin::user(&broker, "ann", "ann");
    ensure!(ann.get("/api/v1/bans")?.status == 200, "she is not let in");
    ban(&broker, json!({ "user": "ann", "reason": "she left" }))?;
    let answer = ann.get("/api/v1/bans")?;
    ensure!(answer.status == 403 && answer.reason().contains("she left"), "{answer:?}");
    // A connection that was there before the ban of its address is not asked by, but for what nobody has to log in for.
    Admin::owner(&broker).ask("DELETE", "/api/v1/bans/user/ann", None)?;
    let mut open = TcpStream::connect(broker.at(Door::Admin))?;
    open.set_read_timeout(Some(SOON))?;
    let mut ask = |path: &str, wanted: &str| -> Result<()> {
        let request =
            format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Basic YW5uOmFubg==\r\n\r\n");
        open.write_all(request.as_bytes())?;
        let mut said = String::new();
        while !said.contains(wanted) {
            let mut some = [0; 4096];
            let count = open.read(&mut some)?;
            ensure!(count > 0, "closed after {said}");
            said.push_str(&String::from_utf8_lossy(&some[..count]));
        }
        Ok(())
    };
    ask("/healthz", "HTTP/1.1 200")?;
    ban(&broker, json!({ "ip": "127.0.0.1" }))?;
    ask("/api/v1/bans", "HTTP/1.1 403")?;
    Ok(())
}

#[test]
fn an_address_from_which_too_many_logins_fail_is_kept_out_for_a_while() -> Result<()> {
    let config = "[limits]\nloopback_free = false\n[ban]\nauth_failures = \"3/1m -> 3s\"\n";
    let broker = Setup::new().config(config).user("ann").start()?;
    let wrong =
        Connect { login: Some(("ann".to_owned(), "guess".to_owned())), ..Connect::new(Version::V5, "ann") };
    for guess in 0..3 {
        let code = connack(&broker, &wrong)?;
        ensure!(code == 0x86, "guess {guess}: {code:#04x}");
    }
    let mut socket = TcpStream::connect(broker.at(Door::Mqtt))?;
    socket.set_read_timeout(Some(SOON))?;
    ensure!(socket.read(&mut [0])? == 0, "a fourth guess is heard");
    broker.journal().wait_for(&["ban.made", "127.0.0.1", "auth_failures", "3 logins failed"], SOON)?;
    let right = Connect { login: Some(("ann".to_owned(), "ann".to_owned())), ..wrong };
    until("the end of the ban", SOON, || (connack(&broker, &right).ok()? == 0).then_some(()))?;
    Ok(())
}

#[test]
fn this_machine_may_guess_unless_it_is_said_otherwise() -> Result<()> {
    let broker = Setup::new().config("[ban]\nauth_failures = \"1/1m -> 1h\"\n").user("ann").start()?;
    let wrong =
        Connect { login: Some(("ann".to_owned(), "x".to_owned())), ..Connect::new(Version::V5, "ann") };
    for _ in 0..3 {
        ensure!(connack(&broker, &wrong)? == 0x86);
    }
    ensure!(items(&broker)?.is_empty());
    Ok(())
}

#[test]
fn a_client_that_comes_too_often_is_kept_out_for_a_while() -> Result<()> {
    // Two devices of one id, which take the session from each other for ever.
    let broker = Setup::new().config("[ban]\nflapping = \"5/1m -> 3s\"\n").start()?;
    let mut here = Vec::new();
    for _ in 0..4 {
        here.push(Client::clean(broker.at(Door::Mqtt), Version::V5, "twin")?);
    }
    ensure!(items(&broker)?.is_empty(), "banned before its time");
    let mut fifth = Client::clean(broker.at(Door::Mqtt), Version::V5, "twin")?;
    let packet = fifth.packet()?;
    ensure!(matches!(packet, Packet::Disconnect { reason: 0x98, .. }), "{packet:?}");
    ensure!(connack(&broker, &Connect::new(Version::V5, "twin"))? == 0x8a, "let in again");
    broker.journal().wait_for(&["ban.made", "twin", "flapping", "it came 5 times"], SOON)?;
    ensure!(Client::clean(broker.at(Door::Mqtt), Version::V5, "other").is_ok());
    until("the end of the ban", SOON, || {
        (connack(&broker, &Connect::new(Version::V5, "twin")).ok()? == 0).then_some(())
    })
}

#[test]
fn who_is_kicked_is_told_and_may_come_again() -> Result<()> {
    let broker = Broker::new()?;
    let mut mqtt = Client::clean(broker.at(Door::Mqtt), Version::V5, "here")?;
    let kicked = Admin::owner(&broker).ask("POST", "/api/v1/kick", Some(&json!({ "client": "here" })))?;
    ensure!(kicked.status == 200 && kicked.json()?["kicked"] == 1, "{kicked:?}");
    let packet = mqtt.packet()?;
    ensure!(matches!(packet, Packet::Disconnect { reason: 0x98, .. }), "{packet:?}");
    ensure!(Client::clean(broker.at(Door::Mqtt), Version::V5, "here").is_ok());
    Ok(())
}

#[test]
fn what_makes_no_sense_is_refused_and_bans_nobody() -> Result<()> {
    let broker = Broker::new()?;
    for (body, says) in [
        (json!({}), "one of client, user and ip"),
        (json!({ "client": "a", "user": "b" }), "one of client, user and ip"),
        (json!({ "client": 7 }), "client is a text"),
        (json!({ "ip": "here" }), "an address is needed"),
        (json!({ "client": "a", "for_s": 0 }), "for_s"),
        (json!({ "client": "a", "for": "10m" }), "no field \"for\""),
        (json!({ "client": "a", "reason": "two\nlines" }), "one line"),
        (json!([]), "an object"),
    ] {
        let answer = Admin::owner(&broker).ask("POST", "/api/v1/bans", Some(&body))?;
        ensure!(answer.status == 400 && answer.reason().contains(says), "{body}: {answer:?}");
    }
    ensure!(items(&broker)?.is_empty());
    Ok(())
}

#[test]
fn commands_ban_and_take_it_back() -> Result<()> {
    let broker = Broker::new()?;
    let run = |arguments: &[&str]| -> Result<(Option<i32>, String)> {
        let mut command = harness::broker::duetmq_command()?;
        let output = command.args(arguments).arg("-d").arg(broker.data()).output()?;
        let text = String::from_utf8(output.stdout)? + &String::from_utf8(output.stderr)?;
        Ok((output.status.code(), text))
    };
    let (code, text) = run(&["ban", "--client", "a b", "--for", "10m", "--reason", "why not"])?;
    ensure!(
        code == Some(0) && text.contains("client \"a b\" is banned for 600 s; 0 connections ended"),
        "{text}"
    );
    let (code, text) = run(&["ban", "--user", "ann"])?;
    ensure!(code == Some(0) && text.contains("until unban"), "{text}");
    let (code, text) = run(&["list", "bans"])?;
    ensure!(
        code == Some(0) && text.contains("a b") && text.contains("why not") && text.contains("ann"),
        "{text}"
    );
    let (code, text) = run(&["list", "bans", "--where", "kind=user", "--json"])?;
    ensure!(code == Some(0) && text.lines().count() == 1 && text.contains("\"by\":\"hand\""), "{text}");
    ensure!(run(&["unban", "--client", "a b"])?.0 == Some(0));
    let (code, text) = run(&["unban", "--client", "a b"])?;
    ensure!(code == Some(6) && text.contains("there is no ban"), "{code:?} {text}");
    ensure!(run(&["kick", "--ip", "192.0.2.7"])?.1.contains("0 connections ended"));
    for wrong in
        [&["ban"][..], &["ban", "--client", "a", "--user", "b"], &["ban", "--client", "a", "--for", "x"]]
    {
        ensure!(run(wrong)?.0 == Some(2), "{wrong:?}");
    }
    Ok(())
}

fn ban(broker: &Broker, body: Value) -> Result<Value> {
    let answer = Admin::owner(broker).ask("POST", "/api/v1/bans", Some(&body))?;
    ensure!(answer.status == 201, "{answer:?}");
    answer.json()
}

fn items(broker: &Broker) -> Result<Vec<Value>> {
    let answer = Admin::owner(broker).get("/api/v1/bans")?;
    ensure!(answer.status == 200, "{answer:?}");
    answer.json()?["items"].as_array().cloned().context("items")
}

fn connack(broker: &Broker, connect: &Connect) -> Result<u8> {
    let mut client = Client::dial(broker.at(Door::Mqtt), connect.version)?;
    client.send(&connect.bytes())?;
    let packet = client.packet()?;
    let Packet::Connack(connack) = packet else { anyhow::bail!("{packet:?}") };
    Ok(connack.code)
}

fn page(broker: &Broker) -> Result<Page> {
    Page::parse(&Admin::owner(broker).get("/metrics")?.body)
}
