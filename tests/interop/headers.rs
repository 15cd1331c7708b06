//! What MQTT says of a message, and of who published it, in headers exchanges.

use std::time::Duration;

use anyhow::{Result, bail, ensure};
use harness::broker::{Broker, Setup};
use harness::door::Door;
use harness::mqtt::Client as Mqtt;
use harness::mqtt::packet::{Packet, Publish};
use harness::mqtt::property::{Property, REASON_STRING};
use harness::mqtt::version::Version;
use harness::mqtt::write::{Connect, ack, publish, subscribe, unsubscribe};
use harness::script::python;
use harness::socket::Next;
use harness::stomp::{Client as Stomp, Frame};

use crate::adapter::Adapter;

const PLACE: &str = "$exchange/amq.headers/k";

#[test]
fn user_properties_of_subscribe_are_the_arguments_of_its_binding() -> Result<()> {
    let broker = Broker::new()?;
    for (name, asked, comes) in [
        ("all", &[("kind", "report"), ("lang", "ko")][..], &["both"][..]),
        ("any", &[("x-match", "any"), ("kind", "report"), ("lang", "ko")], &["kind", "lang", "both"]),
        ("there", &[("lang", "")], &["lang", "both"]),
        ("none", &[], &["kind", "lang", "both", "bare"]),
        ("plain x-", &[("x-trace", "1"), ("kind", "report")], &["kind", "both"]),
        ("with-x", &[("x-match", "all-with-x"), ("x-trace", "1"), ("kind", "report")], &[]),
        ("type", &[("content-type", "text/plain")], &[]),
    ] {
        let mut client = client(&broker, name)?;
        choose(&mut client, PLACE, 1, asked)?;
        say(&mut client, "kind", &[("kind", "report")])?;
        say(&mut client, "lang", &[("lang", "ko")])?;
        say(&mut client, "both", &[("kind", "report"), ("lang", "ko")])?;
        say(&mut client, "bare", &[])?;
        let mut came = Vec::new();
        while came.len() < comes.len() {
            came.push(client.take()?.text());
        }
        ensure!(came == comes, "{name}: {came:?}");
        nothing_more(&mut client)?;
    }
    Ok(())
}

#[test]
fn who_subscribes_again_asks_anew_and_who_unsubscribes_asks_no_more() -> Result<()> {
    // [MQTT-3.8.4-3], [MQTT-3.10.4-2]
    let broker = Broker::new()?;
    let mut client = client(&broker, "client")?;
    for kind in ["report", "letter"] {
        choose(&mut client, PLACE, 1, &[("kind", kind)])?;
    }
    say(&mut client, "report", &[("kind", "report")])?;
    say(&mut client, "letter", &[("kind", "letter")])?;
    ensure!(client.take()?.text() == "letter", "it asked anew");
    client.send(&unsubscribe(Version::V5, 9, &[PLACE]))?;
    let packet = client.packet()?;
    ensure!(matches!(&packet, Packet::Unsuback { codes, .. } if *codes == [0]), "{packet:?}");
    say(&mut client, "letter", &[("kind", "letter")])?;
    nothing_more(&mut client)
}

#[test]
fn user_properties_of_other_subscriptions_mean_nothing_and_a_wrong_x_match_is_refused() -> Result<()> {
    let broker = Broker::new()?;
    let mut client = client(&broker, "client")?;
    choose(&mut client, "a/b", 1, &[("kind", "report"), ("x-match", "some")])?;
    choose(&mut client, "$exchange/amq.fanout/x", 1, &[("kind", "report")])?;
    client.publish("a/b", b"x", 1)?;
    ensure!(client.take()?.text() == "x", "a topic is a topic");
    client.publish("$exchange/amq.fanout/y", b"y", 1)?;
    ensure!(client.take()?.text() == "y", "a fanout takes every queue");
    client.send(&subscribe(Version::V5, 7, &[(PLACE, 1)], &pairs(&[("x-match", "some")])))?;
    let packet = client.packet()?;
    let Packet::Suback { codes, properties, .. } = &packet else { bail!("{packet:?}") };
    let says = |property: &Property| matches!(property, Property::Text(REASON_STRING, text) if text.contains("x-match"));
    ensure!(*codes == [0x83] && properties.iter().any(says), "{packet:?}");
    Ok(())
}

#[test]
fn paho_asks_for_headers_by_user_properties() -> Result<()> {
    let broker = Broker::new()?;
    let mut command = python("paho_client.py")?;
    command.args(["5.0", "tcp", &broker.at(Door::Mqtt).port().to_string()]);
    let mut paho = Adapter::start("paho", command)?;
    paho.ask("connect paho fresh", "connected")?;
    paho.ask(&format!("choose {PLACE} 2 x-match=any kind=report lang=ko"), "subscribed")?;
    for (body, pairs) in [("01", "kind=letter"), ("02", "kind=report colour=red"), ("03", "lang=ko")] {
        paho.ask(&format!("tell {PLACE} {body} 2 {pairs}"), "published")?;
    }
    let message = paho.message()?;
    ensure!(message["payload"] == "02" && message["qos"] == 2, "{message}");
    ensure!(message["user"] == serde_json::json!([["kind", "report"], ["colour", "red"]]), "{message}");
    let message = paho.message()?;
    ensure!(message["payload"] == "03" && message["qos"] == 2, "{message}");
    Ok(())
}

#[test]
fn a_message_goes_through_a_headers_exchange_exactly_once_across_kill_minus_nine() -> Result<()> {
    let mut broker = Broker::new()?;
    let mut reader = lasting(&broker, "reader")?;
    choose(&mut reader, PLACE, 2, &[("kind", "report")])?;
    let mut writer = lasting(&broker, "writer")?;
    let message = Publish::new(PLACE, b"once", 2).with_id(7).with(pair("kind", "report"));
    writer.send(&publish(Version::V5, &message))?;
    writer.expect_ack(ack::PUBREC, 7)?;
    kill(&mut broker)?;
    // The writer did not see PUBREC.
    let mut writer = lasting(&broker, "writer")?;
    writer.send(&publish(Version::V5, &message.again()))?;
    writer.expect_ack(ack::PUBREC, 7)?;
    writer.send(&ack::bytes(ack::PUBREL, 7))?;
    writer.expect_ack(ack::PUBCOMP, 7)?;
    // The reader has it, and did not say so.
    let mut reader = lasting(&broker, "reader")?;
    let came = reader.publication()?;
    ensure!((&*came.text(), came.qos) == ("once", 2), "{came:?}");
    ensure!(came.properties.contains(&pair("kind", "report")), "{came:?}");
    kill(&mut broker)?;
    let mut reader = lasting(&broker, "reader")?;
    let again = reader.publication()?;
    ensure!(again.id == came.id, "the same packet again: {again:?}");
    reader.send(&ack::bytes(ack::PUBREC, again.id))?;
    reader.expect_ack(ack::PUBREL, again.id)?;
    kill(&mut broker)?;
    // PUBREL again, PUBLISH never.
    let mut reader = lasting(&broker, "reader")?;
    reader.expect_ack(ack::PUBREL, again.id)?;
    reader.send(&ack::bytes(ack::PUBCOMP, again.id))?;
    let mut writer = lasting(&broker, "writer")?;
    for (body, kind) in [("other", "letter"), ("end", "report")] {
        let id = writer.id();
        let message = Publish::new(PLACE, body.as_bytes(), 2).with_id(id).with(pair("kind", kind));
        writer.send(&publish(Version::V5, &message))?;
        writer.expect_ack(ack::PUBREC, id)?;
        writer.send(&ack::bytes(ack::PUBREL, id))?;
        writer.expect_ack(ack::PUBCOMP, id)?;
    }
    let end = reader.take()?;
    ensure!(end.text() == "end", "{end:?}");
    nothing_more(&mut reader)
}

#[test]
fn who_published_is_what_the_broker_knows_through_both_doors() -> Result<()> {
    let broker = Setup::new().user("kim").user("lee").start()?;
    let mut by_user = user(&broker, "by-user", "lee")?;
    choose(&mut by_user, PLACE, 1, &[("user-id", "kim")])?;
    let mut by_client = user(&broker, "by-client", "lee")?;
    choose(&mut by_client, PLACE, 1, &[("client-id", "sensor")])?;
    let lies = [("user-id", "kim"), ("client-id", "sensor")];
    let truths = [("user-id", "lee"), ("client-id", "other")];
    say(&mut user(&broker, "other", "lee")?, "a lie by MQTT", &lies)?;
    say(&mut user(&broker, "sensor", "kim")?, "by MQTT", &truths)?;
    for (body, client, name, said) in
        [("a lie by STOMP", "other", "lee", lies), ("by STOMP", "sensor", "kim", truths)]
    {
        let mut stomp = Stomp::dial(broker.at(Door::Stomp))?;
        let connect = Frame::new("CONNECT").with("accept-version", "1.2").with("host", "/");
        stomp.send(&connect.with("client-id", client).with("login", name).with("passcode", name))?;
        stomp.expect("CONNECTED")?;
        let send = Frame::new("SEND").with("destination", "/exchange/amq.headers/k").body(body.as_bytes());
        stomp.request(said.iter().fold(send, |send, (name, value)| send.with(name, value)))?;
    }
    for reader in [&mut by_user, &mut by_client] {
        for expected in ["by MQTT", "by STOMP"] {
            let message = reader.take()?;
            ensure!(message.text() == expected, "{message:?}");
            // What a client says stays in the message.
            ensure!(message.properties.contains(&pair("user-id", "lee")), "{message:?}");
        }
        nothing_more(reader)?;
    }
    Ok(())
}

fn kill(broker: &mut Broker) -> Result<()> {
    broker.kill();
    broker.start()
}

fn client(broker: &Broker, id: &str) -> Result<Mqtt> {
    Ok(Mqtt::clean(broker.at(Door::Mqtt), Version::V5, id)?)
}

fn lasting(broker: &Broker, id: &str) -> Result<Mqtt> {
    Ok(Mqtt::connect(broker.at(Door::Mqtt), &Connect::lasting(Version::V5, id))?.0)
}

/// Subscribes with such user properties.
fn choose(client: &mut Mqtt, filter: &str, qos: u8, asked: &[(&str, &str)]) -> Result<()> {
    let id = client.id();
    client.send(&subscribe(Version::V5, id, &[(filter, qos)], &pairs(asked)))?;
    let packet = client.packet()?;
    ensure!(matches!(&packet, Packet::Suback { codes, .. } if *codes == [qos]), "{packet:?}");
    Ok(())
}

/// Publishes a message with such user properties, and waits until it is taken.
fn say(client: &mut Mqtt, body: &str, headers: &[(&str, &str)]) -> Result<()> {
    let id = client.id();
    let message = pairs(headers)
        .into_iter()
        .fold(Publish::new(PLACE, body.as_bytes(), 1).with_id(id), |message, pair| message.with(pair));
    client.send(&publish(Version::V5, &message))?;
    Ok(client.expect_ack(ack::PUBACK, id)?)
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<Property> {
    pairs.iter().map(|(name, value)| pair(name, value)).collect()
}

fn pair(name: &str, value: &str) -> Property {
    Property::Pair(name.to_owned(), value.to_owned())
}

fn nothing_more(client: &mut Mqtt) -> Result<()> {
    let next = client.next(Duration::from_millis(200))?;
    ensure!(matches!(next, Next::Silence), "{next:?}");
    Ok(())
}

/// A client of that user.
fn user(broker: &Broker, id: &str, name: &str) -> Result<Mqtt> {
    let mut connect = Connect::new(Version::V5, id);
    connect.login = Some((name.to_owned(), name.to_owned()));
    Ok(Mqtt::connect(broker.at(Door::Mqtt), &connect)?.0)
}
