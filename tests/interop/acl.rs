//! Who may do what, by a file of rules and by tokens, as real clients meet it.

use anyhow::{Result, ensure};
use harness::broker::{Broker, Setup};
use harness::door::Door;
use harness::mqtt::Client as Mqtt;
use harness::mqtt::packet::{Packet, Publish};
use harness::mqtt::property::{Property, REASON_STRING};
use harness::mqtt::version::Version;
use harness::mqtt::write::{Connect, publish};
use harness::stomp::{Client as Stomp, Frame};
use harness::token::{config, now_s, signed};
use harness::wait::SOON;
use serde_json::json;

/// Everything to everybody, what the broker says of itself, too.
pub(crate) const OPEN: &str =
    "[[rule]]\nallow = [\"connect\", \"publish\", \"retain\", \"subscribe\", \"consume\", \"configure\"]\n";

const RULES: &str = r#"[[group]]
name = "staff"
users = ["sam", "guest"]

[[rule]]
deny = ["connect"]
users = ["banned"]

[[rule]]
allow = ["connect"]
anonymous = false

[[rule]]
deny = ["publish"]
topics = ["dev/+/locked"]
code = 0x83

[[rule]]
allow = ["publish", "subscribe"]
topics = ["dev/%u/#", "by/%c"]

[[rule]]
allow = ["publish", "retain"]
topics = ["kept/#"]
users = ["kim"]

[[rule]]
allow = ["subscribe"]
topics = ["kept/open/#", "$user/%u/#", "$session/#", "reply/+"]

[[rule]]
allow = ["publish", "consume"]
topics = ["$queue/jobs", "$user/#"]
users = ["lee"]

[[rule]]
allow = ["publish", "retain", "subscribe", "consume", "configure"]
groups = ["staff"]
"#;

#[test]
fn what_no_rule_allows_is_denied_and_the_rule_is_named() -> Result<()> {
    let broker = broker()?;
    let mut kim = login(&broker, Version::V5, "kim", "phone")?;
    kim.publish("dev/kim/a", b"x", 1)?;
    kim.publish("by/phone", b"x", 1)?;
    for (topic, code) in [("dev/lee/a", 0x87), ("by/other", 0x87), ("dev/kim/locked", 0x83), ("else", 0x87)] {
        kim.send(&publish(Version::V5, &Publish::new(topic, b"x", 1).with_id(9)))?;
        let packet = kim.packet()?;
        ensure!(packet == Packet::Ack { kind: 4, id: 9, reason: code }, "{topic}: {packet:?}");
    }
    broker.journal().wait_for(&["WARN", "access.denied", "kim", "acl.default"], SOON)?;
    // Nobody without a name, and not he.
    for (user, text) in [(None, "acl.default"), (Some("banned"), "acl.toml:6")] {
        let mut client = Mqtt::dial(broker.at(Door::Mqtt), Version::V5)?;
        let login = user.map(|user| (user.to_owned(), user.to_owned()));
        client.send(&Connect { login, ..Connect::new(Version::V5, "x") }.bytes())?;
        let packet = client.packet()?;
        let Packet::Connack(connack) = &packet else { anyhow::bail!("{packet:?}") };
        ensure!(connack.code == 0x87 && explains(&connack.properties, text), "{packet:?}");
    }
    let (_, error) = refused(&broker, "lee", Frame::new("SEND").with("destination", "/topic/dev.kim.a"))?;
    ensure!(error.contains("not allowed to publish to dev/kim/a (acl.default)"), "{error}");
    let (_, error) =
        refused(&broker, "lee", Frame::new("SEND").with("destination", "/topic/dev.lee.locked"))?;
    ensure!(error.contains("(acl.toml:14)"), "{error}");
    Ok(())
}

#[test]
fn a_filter_is_narrowed_to_what_is_allowed_and_refused_where_nothing_is() -> Result<()> {
    let broker = broker()?;
    let mut kim = login(&broker, Version::V5, "kim", "phone")?;
    let mut sam = login(&broker, Version::V5, "sam", "desk")?;
    for topic in ["kept/open/a", "kept/closed/a"] {
        kim.send(&publish(
            Version::V5,
            &Publish { retain: true, ..Publish::new(topic, b"kept", 1).with_id(7) },
        ))?;
        let packet = kim.packet()?;
        ensure!(matches!(packet, Packet::Ack { kind: 4, id: 7, reason: 0..0x80 }), "{packet:?}");
    }
    let mut lee = login(&broker, Version::V5, "lee", "lee")?;
    for (filter, code) in [
        ("kept/closed/#", 0x87),
        ("else", 0x87),
        ("dev/kim/#", 0x87),
        ("$share/g/#", 0x87),
        ("$share/g/kept/open/+", 1),
        ("$SYS/#", 0x87),
        ("$events/#", 0x87),
        ("#", 1),
    ] {
        let codes = lee.subscribe(filter, 1)?;
        ensure!(codes == [code], "{filter}: {codes:?}");
    }
    // Of what is retained, too, only that.
    let kept = lee.take()?;
    ensure!(kept.topic == "kept/open/a" && kept.retain, "{kept:?}");
    for topic in ["dev/kim/a", "kept/closed/b", "dev/lee/a"] {
        sam.publish(topic, b"now", 1)?;
    }
    let came = lee.take()?;
    ensure!(came.topic == "dev/lee/a", "{came:?}");
    // By a rule without topics everything is allowed, the broker's own topics among it.
    ensure!(sam.subscribe("$events/#", 1)? == [1] && sam.subscribe("$SYS/#", 0)? == [0]);
    Ok(())
}

#[test]
fn wills_and_what_is_retained_need_rights_of_their_own() -> Result<()> {
    let broker = broker()?;
    for (topic, retain, code) in [
        ("dev/kim/will", false, 0),
        ("dev/lee/will", false, 0x87),
        ("dev/kim/will", true, 0x87),
        ("kept/a", true, 0),
    ] {
        let mut client = Mqtt::dial(broker.at(Door::Mqtt), Version::V5)?;
        let will = Publish { retain, ..Publish::new(topic, b"x", 1) };
        let login = Some(("kim".to_owned(), "kim".to_owned()));
        client.send(&Connect { login, ..Connect::new(Version::V5, "w").will(will) }.bytes())?;
        let packet = client.packet()?;
        ensure!(
            matches!(&packet, Packet::Connack(connack) if connack.code == code),
            "{topic} {retain} {packet:?}"
        );
    }
    let mut kim = login(&broker, Version::V5, "kim", "phone")?;
    kim.send(&publish(
        Version::V5,
        &Publish { retain: true, ..Publish::new("dev/kim/a", b"x", 1).with_id(3) },
    ))?;
    ensure!(kim.packet()? == Packet::Ack { kind: 4, id: 3, reason: 0x87 });
    Ok(())
}

#[test]
fn queues_are_made_consumed_and_bound_by_those_who_may() -> Result<()> {
    let broker = broker()?;
    let send = |queue: &str| Frame::new("SEND").with("destination", queue).body(b"work");
    // He may send to it, and not make it.
    let (_, error) = refused(&broker, "lee", send("/queue/jobs"))?;
    ensure!(error.contains("not allowed to configure queue jobs"), "{error}");
    let mut sam = stomp(&broker, "sam")?;
    sam.request(send("/queue/jobs"))?;
    let mut lee = stomp(&broker, "lee")?;
    lee.subscribe("0", "/queue/jobs", "auto")?;
    ensure!(lee.expect("MESSAGE")?.text() == "work");
    lee.request(send("/queue/jobs"))?;
    ensure!(lee.expect("MESSAGE")?.text() == "work");
    for (destination, words) in [
        ("/queue/other", "not allowed to consume queue other"),
        ("/amq/queue/other", "not allowed to consume queue other"),
        ("/exchange/amq.fanout", "not allowed to subscribe to"),
        ("/topic/dev.kim.*", "not allowed to subscribe to"),
    ] {
        let frame = Frame::new("SUBSCRIBE").with("id", "1").with("destination", destination);
        let (_, error) = refused(&broker, "lee", frame)?;
        ensure!(error.contains(words), "{destination}: {error}");
    }
    // A queue with a name that is bound to a topic is made by whoever may make queues.
    let lasting = |id: &str| {
        Frame::new("SUBSCRIBE")
            .with("id", id)
            .with("destination", "/topic/dev.lee.a")
            .with("durable", "true")
            .with("auto-delete", "false")
            .with("x-queue-name", "jobs")
    };
    let (_, error) = refused(&broker, "lee", lasting("1"))?;
    ensure!(error.contains("not allowed to configure queue jobs"), "{error}");
    // What is for a user comes to him, and an answer to whoever asked.
    lee.subscribe("u", "/user/queue/news", "auto")?;
    lee.request(send("/user/lee/queue/news"))?;
    ensure!(lee.expect("MESSAGE")?.header("subscription") == Some("u"));
    Ok(())
}

#[test]
fn a_token_brings_rules_along() -> Result<()> {
    let more = "acl_claim = \"acl\"\n";
    let broker = Setup::new().config(&config(more)).start()?;
    let come = |acl: serde_json::Value| -> Result<(Mqtt, Packet)> {
        let token = signed(&json!({"sub": "kim", "exp": now_s() + 600, "acl": acl}), harness::token::SECRET);
        let mut client = Mqtt::dial(broker.at(Door::Mqtt), Version::V5)?;
        let login = Some(("x".to_owned(), token));
        client.send(&Connect { login, ..Connect::new(Version::V5, "t") }.bytes())?;
        let packet = client.packet()?;
        Ok((client, packet))
    };
    let acl = json!([{"deny": ["publish"], "topics": ["a/%u/no"]}, {"allow": ["connect"]},
        {"allow": ["publish", "subscribe"], "topics": ["a/%u/#"]}]);
    let (mut kim, packet) = come(acl)?;
    ensure!(matches!(&packet, Packet::Connack(connack) if connack.code == 0), "{packet:?}");
    kim.publish("a/kim/yes", b"x", 1)?;
    for topic in ["a/kim/no", "a/lee/x"] {
        kim.send(&publish(Version::V5, &Publish::new(topic, b"x", 1).with_id(9)))?;
        let packet = kim.packet()?;
        ensure!(packet == Packet::Ack { kind: 4, id: 9, reason: 0x87 }, "{topic}: {packet:?}");
    }
    broker.journal().wait_for(&["access.denied", "rule 1 of the token's acl"], SOON)?;
    for wrong in [json!([]), json!("all"), json!([{"allow": ["everything"]}])] {
        let (_, packet) = come(wrong.clone())?;
        ensure!(matches!(&packet, Packet::Connack(connack) if connack.code >= 0x80), "{wrong} {packet:?}");
    }
    Ok(())
}

#[test]
fn what_the_broker_says_of_itself_is_told_to_those_alone_whom_a_rule_allows() -> Result<()> {
    let topics = ["$events/#", "$events/client/+", "$SYS/#", "$SYS/broker/uptime"];
    let subscribed = |broker: &Broker| -> Result<Vec<u8>> {
        let mut client = Mqtt::clean(broker.at(Door::Mqtt), Version::V5, "curious")?;
        ensure!(client.subscribe("#", 1)? == [1]);
        let mut codes = Vec::new();
        for filter in topics {
            codes.extend(client.subscribe(filter, 0)?);
        }
        Ok(codes)
    };
    let broker = Broker::new()?;
    ensure!(subscribed(&broker)? == [0x87; 4]);
    for (topic, tree) in [("/topic/$SYS.broker.uptime", "$SYS"), ("/topic/$events.#", "$events")] {
        let mut client = Stomp::new(broker.at(Door::Stomp))?;
        client.send(&Frame::new("SUBSCRIBE").with("id", "0").with("destination", topic))?;
        let error = client.expect("ERROR")?.text();
        ensure!(error.contains(&format!("{tree} is for those whom a rule of acl.file allows")), "{error}");
    }
    let allowed = "[[rule]]\nallow = [\"subscribe\"]\ntopics = [\"$SYS/#\"]\n";
    let some = Setup::new().acl(allowed).argument("--set").argument("acl.default=allow").start()?;
    ensure!(subscribed(&some)? == [0x87, 0x87, 0, 0]);
    ensure!(subscribed(&Setup::new().acl(OPEN).start()?)? == [0; 4]);
    ensure!(subscribed(&Setup::new().argument("--dev").start()?)? == [0; 4]);
    Ok(())
}

fn broker() -> Result<Broker> {
    let users = ["kim", "lee", "sam", "banned"];
    users.into_iter().fold(Setup::new().acl(RULES), Setup::user).start()
}

fn login(broker: &Broker, version: Version, user: &str, id: &str) -> Result<Mqtt> {
    let login = Some((user.to_owned(), user.to_owned()));
    let connect = Connect { login, ..Connect::new(version, id) };
    Ok(Mqtt::connect(broker.at(Door::Mqtt), &connect)?.0)
}

fn stomp(broker: &Broker, user: &str) -> Result<Stomp> {
    let mut client = Stomp::dial(broker.at(Door::Stomp))?;
    let connect = Frame::new("CONNECT").with("accept-version", "1.2").with("host", "/");
    client.send(&connect.with("login", user).with("passcode", user))?;
    client.expect("CONNECTED")?;
    Ok(client)
}

/// Somebody who sends that frame, and the text of the ERROR that he gets.
fn refused(broker: &Broker, user: &str, frame: Frame) -> Result<(Stomp, String)> {
    let mut client = stomp(broker, user)?;
    client.send(&frame)?;
    let text = client.expect("ERROR")?.text();
    Ok((client, text))
}

fn explains(properties: &[Property], words: &str) -> bool {
    properties.iter().any(|one| matches!(one, Property::Text(REASON_STRING, text) if text.contains(words)))
}
