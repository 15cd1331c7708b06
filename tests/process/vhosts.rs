//! Virtual hosts made, limited, listed, exported and deleted over HTTP and by commands.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use harness::admin::Admin;
use harness::broker::{Broker, Setup};
use harness::door::Door;
use harness::mqtt::Client as Mqtt;
use harness::mqtt::packet::Packet;
use harness::mqtt::version::Version;
use harness::mqtt::write::Connect;
use harness::stomp::{Client, Frame};
use harness::wait::SOON;
use serde_json::{Value, json};

use crate::run::duetmq;
use crate::topology::run;

#[test]
fn a_vhost_is_made_and_deleted_over_http_and_there_after_a_kill() -> Result<()> {
    let mut broker = Broker::new()?;
    let put =
        |broker: &Broker, body: Value| Admin::owner(broker).ask("PUT", "/api/vhosts/shop%2F1", Some(&body));
    ensure!(connects(&broker, "shop/1")?.is_none(), "there is none yet");
    ensure!(put(&broker, json!({ "limits": { "max-connections": 5 } }))?.status == 201);
    ensure!(put(&broker, json!({}))?.status == 204, "there, and its limits stay");
    let mut client = connects(&broker, "shop/1")?.context("it is there at once")?;
    client.publish("/queue/jobs", b"1")?;
    drop(client);
    broker.kill();
    broker.start()?;
    let one = |broker: &Broker| Admin::owner(broker).get("/api/vhosts/shop%2F1")?.json();
    let found = one(&broker)?;
    ensure!(found["messages"] == 1 && found["limits"] == json!({ "max-connections": 5 }), "{found}");
    let all = Admin::owner(&broker).get("/api/vhosts")?.json()?;
    let names: Vec<_> = all.as_array().context("a list")?.iter().map(|one| one["name"].clone()).collect();
    ensure!(names == [json!("/"), json!("shop/1")], "{names:?}");
    // What is in it goes only if that is said; its clients are cut off.
    let mut client = connects(&broker, "shop/1")?.context("it is there")?;
    let delete =
        |query: &str| Admin::owner(&broker).ask("DELETE", &format!("/api/vhosts/shop%2F1{query}"), None);
    let refused = delete("")?;
    ensure!(refused.status == 400 && refused.body.contains("1 messages in 1 queues"), "{refused:?}");
    ensure!(delete("?force=true")?.status == 204);
    ensure!(client.closes(harness::wait::SOON)?);
    ensure!(connects(&broker, "shop/1")?.is_none(), "it is gone");
    ensure!(fs::read_dir(broker.data().join("vhosts"))?.count() == 0, "nothing of it is left on the disk");
    ensure!(delete("")?.status == 404);
    for (method, path) in [("PUT", "/api/vhosts/%2F"), ("DELETE", "/api/vhosts/%2F?force=true")] {
        ensure!(Admin::owner(&broker).ask(method, path, None)?.status == 400, "{method} {path}");
    }
    ensure!(Admin::owner(&broker).ask("PUT", "/api/vhosts/a%0Ab", None)?.status == 400);
    // A new one of that name is empty.
    ensure!(put(&broker, json!({}))?.status == 201);
    ensure!(one(&broker)?["messages"] == 0);
    broker.stop()?;
    broker.start()?;
    ensure!(one(&broker)?["limits"] == json!({}));
    Ok(())
}

#[test]
fn every_command_is_about_the_vhost_that_it_names() -> Result<()> {
    let broker = Broker::new()?;
    let said = |words: &[&str]| -> Result<String> {
        let done = run(&broker, words)?;
        ensure!(done.code == Some(0), "{words:?}: {done:?}");
        Ok(done.out)
    };
    said(&["declare", "vhost", "shop", "--max-queues", "9"])?;
    ensure!(said(&["declare", "vhost", "shop"])?.contains("is there"));
    said(&["declare", "queue", "jobs", "-V", "shop"])?;
    said(&["declare", "exchange", "chat", "--type", "topic", "-V", "shop"])?;
    said(&["bind", "chat", "jobs", "-k", "a.*", "-V", "shop"])?;
    let queues = |vhost: &str| said(&["list", "queues", "-V", vhost]);
    ensure!(queues("shop")?.contains("jobs") && !queues("/")?.contains("jobs"));
    ensure!(
        said(&["list", "bindings", "-V", "shop"])?.contains("chat")
            && !said(&["list", "bindings"])?.contains("chat")
    );
    ensure!(
        said(&["list", "exchanges", "-V", "shop"])?.contains("chat")
            && !said(&["list", "exchanges"])?.contains("chat")
    );
    ensure!(said(&["show", "queue", "jobs", "-V", "shop"])?.contains("vhost: shop"));
    ensure!(said(&["show", "vhost", "shop"])?.contains("limits.max-queues: 9"));
    ensure!(said(&["list", "vhosts"])?.contains("shop"));
    ensure!(said(&["explain", "pub", "$exchange/chat/a/b", "-V", "shop"])?.contains("jobs"));
    ensure!(run(&broker, &["list", "sessions", "-V", "none"])?.code == Some(6));
    ensure!(run(&broker, &["show", "queue", "jobs"])?.code == Some(6), "there is none in the default one");
    let mut client = connects(&broker, "shop")?.context("it is there")?;
    client.subscribe("0", "/topic/x", "auto")?;
    let sessions = |vhost: &str| said(&["list", "sessions", "--json", "-V", vhost]);
    ensure!(sessions("shop")?.lines().count() == 1 && sessions("/")?.is_empty());
    ensure!(said(&["list", "subscriptions", "-V", "shop"])?.contains("x"));
    client.publish("/queue/jobs", b"1")?;
    ensure!(said(&["purge", "jobs", "-V", "shop"])?.contains('1'));
    ensure!(run(&broker, &["delete", "vhost", "shop"])?.code == Some(2), "somebody is in");
    said(&["delete", "queue", "jobs", "-V", "shop"])?;
    said(&["delete", "vhost", "shop", "--force"])?;
    ensure!(!said(&["list", "vhosts"])?.contains("shop"));
    Ok(())
}

#[test]
fn definitions_of_several_vhosts_are_the_same_in_an_empty_broker() -> Result<()> {
    let config = "[[vhost]]\nname = \"a\"\nmax_queues = 7\n\n[[vhost]]\nname = \"b\"\n";
    let (one, two) = (Setup::new().config(config).start()?, Broker::new()?);
    for vhost in ["/", "a", "b"] {
        for words in [
            &["declare", "queue", "jobs"][..],
            &["declare", "exchange", "x"],
            &["bind", "x", "jobs", "-k", vhost],
        ] {
            let done = run(&one, &[words, &["-V", vhost]].concat())?;
            ensure!(done.code == Some(0), "{done:?}");
        }
    }
    let exported = |broker: &Broker| Admin::owner(broker).get("/api/definitions")?.json();
    let document = exported(&one)?;
    let post = |path: &str, body: &Value| Admin::owner(&two).ask("POST", path, Some(body));
    let rehearsed = post("/api/definitions?dry_run=true", &document)?.json()?;
    ensure!(
        rehearsed["created"]
            == json!({"vhosts": 2, "exchanges": 3, "queues": 3, "bindings": 3, "policies": 0}),
        "{rehearsed}"
    );
    ensure!(exported(&two)?["queues"] == json!([]), "nothing was done yet");
    let done = post("/api/definitions", &document)?.json()?;
    ensure!(done["created"] == rehearsed["created"] && done["left_out"] == json!([]), "{done}");
    ensure!(exported(&two)? == document);
    // What cannot be in one vhost keeps all of it from being done.
    let wrong = json!({
        "vhosts": [{ "name": "c" }],
        "queues": [
            { "name": "new", "vhost": "c" },
            { "name": "jobs", "vhost": "a", "durable": false },
        ],
    });
    let refused = post("/api/definitions", &wrong)?;
    ensure!(refused.status == 400 && refused.body.contains("nothing was changed"), "{refused:?}");
    ensure!(exported(&two)? == document);
    // One vhost's own names none, and may be put into another.
    let own = Admin::owner(&one).get("/api/definitions/a")?.json()?;
    ensure!(own["queues"][0].get("vhost").is_none(), "{own}");
    Admin::owner(&two).ask("PUT", "/api/vhosts/copy", None)?;
    ensure!(post("/api/definitions/copy", &own)?.json()?["created"]["queues"] == 1);
    ensure!(Admin::owner(&two).get("/api/queues/copy/jobs")?.status == 200);
    Ok(())
}

#[test]
fn a_backup_has_all_vhosts_and_fsck_looks_at_each() -> Result<()> {
    let mut broker = Broker::new()?;
    let declared = run(&broker, &["declare", "vhost", "shop/1", "--max-connections", "3"])?;
    ensure!(declared.code == Some(0), "{declared:?}");
    let mut client = connects(&broker, "shop/1")?.context("it is there")?;
    for number in 0..3 {
        client.publish("/queue/jobs", format!("0123456789abcdef-{number}").as_bytes())?;
    }
    let folder = tempfile::tempdir()?;
    let (data, kept, back) = (broker.data(), folder.path().join("kept"), folder.path().join("back"));
    let done = duetmq(&["backup", text(&kept)?, "-d", text(&data)?])?;
    ensure!(done.code == Some(0), "{done:?}");
    let done = duetmq(&["restore", text(&kept)?, "-d", text(&back)?])?;
    ensure!(done.code == Some(0), "{done:?}");
    {
        let restored = Setup::new().data(&back).start()?;
        let mut client = connects(&restored, "shop/1")?.context("it is there")?;
        client.subscribe("0", "/queue/jobs", "auto")?;
        for number in 0..3 {
            ensure!(client.expect("MESSAGE")?.text() == format!("0123456789abcdef-{number}"));
        }
        let found = Admin::owner(&restored).get("/api/vhosts/shop%2F1")?.json()?;
        ensure!(found["limits"] == json!({ "max-connections": 3 }), "{found}");
    }
    broker.kill();
    let sound = duetmq(&["fsck", text(&data)?])?;
    ensure!(sound.code == Some(0) && sound.out.contains("vhosts/shop%2F1: "), "{sound:?}");
    // One of them is damaged: it is named, and the broker does not start without it.
    let journal = data.join("vhosts/shop%2F1/journal/0000000001.seg");
    let mut bytes = fs::read(&journal)?;
    let place = bytes.windows(18).position(|bytes| bytes == b"0123456789abcdef-0").context("the message")?;
    bytes[place] ^= 1;
    fs::write(&journal, bytes)?;
    let found = duetmq(&["fsck", text(&data)?])?;
    ensure!(found.code == Some(65) && found.out.contains("shop%2F1/journal/0000000001.seg"), "{found:?}");
    broker.launch()?;
    ensure!(broker.wait(harness::wait::SOON * 2)?.code() == Some(65));
    ensure!(duetmq(&["fsck", "--repair", text(&data)?])?.code == Some(0));
    broker.start()?;
    ensure!(connects(&broker, "shop/1")?.is_some());
    Ok(())
}

#[test]
fn a_client_id_is_banned_and_kicked_in_the_vhost_that_is_named_and_a_user_in_all() -> Result<()> {
    let config = "[[vhost]]\nname = \"a\"\n[[vhost]]\nname = \"b\"\n";
    let mut broker = Setup::new().config(config).user("kim").start()?;
    let said = |broker: &Broker, words: &[&str], code, part: &str| -> Result<()> {
        let done = run(broker, words)?;
        let is_said = done.out.contains(part) || done.error.contains(part);
        ensure!(done.code == Some(code) && is_said, "{words:?}: {done:?}, not {code} {part:?}");
        Ok(())
    };
    let dial = |broker: &Broker, vhost: &str| -> Result<(Mqtt, u8)> {
        let login = Some((format!("{vhost}:kim"), "kim".to_owned()));
        let mut client = Mqtt::dial(broker.at(Door::Mqtt), Version::V5)?;
        client.send(&Connect { login, ..Connect::new(Version::V5, "sensor") }.bytes())?;
        let packet = client.packet()?;
        let Packet::Connack(connack) = packet else { anyhow::bail!("{packet:?}") };
        Ok((client, connack.code))
    };
    let code = |broker: &Broker, vhost: &str| dial(broker, vhost).map(|(_, code)| code);
    let (mut in_a, mut in_b) = (dial(&broker, "a")?.0, dial(&broker, "b")?.0);
    said(
        &broker,
        &["ban", "--client", "sensor", "-V", "a", "--reason", "it floods"],
        0,
        "1 connection ended",
    )?;
    ensure!(in_a.closes(SOON)?);
    for life in 0..2 {
        for (vhost, expected) in [("a", 0x8a), ("b", 0), ("/", 0)] {
            let found = code(&broker, vhost)?;
            ensure!(found == expected, "in {vhost}, life {life}: {found:#x}");
        }
        said(&broker, &["list", "bans", "-V", "a"], 0, "sensor")?;
        for vhost in ["b", "/"] {
            let done = run(&broker, &["list", "bans", "-V", vhost])?;
            ensure!(done.code == Some(0) && !done.out.contains("sensor"), "{done:?}");
        }
        if life == 0 {
            broker.kill();
            broker.start()?;
        }
    }
    drop(in_b);
    said(&broker, &["unban", "--client", "sensor", "-V", "b"], 6, "no ban")?;
    said(&broker, &["unban", "--client", "sensor", "-V", "none"], 6, "virtual host")?;
    said(&broker, &["unban", "--client", "sensor", "-V", "a"], 0, "may come in again")?;
    (in_a, in_b) = (dial(&broker, "a")?.0, dial(&broker, "b")?.0);
    said(&broker, &["kick", "--client", "sensor", "-V", "b"], 0, "1 connection ended")?;
    ensure!(in_b.closes(SOON)?);
    in_a.publish("x", b"still there", 1)?;
    // A user is the whole broker's, whichever is named.
    in_b = dial(&broker, "b")?.0;
    said(&broker, &["ban", "--user", "kim", "-V", "a"], 0, "2 connections ended")?;
    ensure!(in_a.closes(SOON)? && in_b.closes(SOON)?);
    for vhost in ["/", "a", "b"] {
        ensure!(code(&broker, vhost)? == 0x8a, "{vhost}");
    }
    said(&broker, &["unban", "--user", "kim"], 0, "may come in again")?;
    ensure!(code(&broker, "b")? == 0);
    Ok(())
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().context("UTF-8")
}

/// `None`: it is refused.
fn connects(broker: &Broker, vhost: &str) -> Result<Option<Client>> {
    let mut client = Client::dial(broker.at(Door::Stomp))?;
    client.send(&Frame::new("CONNECT").with("accept-version", "1.2").with("host", vhost))?;
    let frame = client.frame()?;
    Ok((frame.command == "CONNECTED").then_some(client))
}
