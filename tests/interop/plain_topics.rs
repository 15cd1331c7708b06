//! Another exchange behind plain MQTT topics than `amq.topic`.

use std::time::Duration;

use anyhow::{Result, ensure};
use harness::broker::{Broker, Setup};
use harness::door::Door;
use harness::mqtt::Client as Mqtt;
use harness::mqtt::packet::Publish;
use harness::mqtt::version::Version;
use harness::mqtt::write::Connect;
use harness::socket::Next;
use harness::stomp::Client as Stomp;

use crate::acl::OPEN;

const CONFIG: &str = "[routing]\nmqtt_exchange = \"mqtt\"\n";

#[test]
fn plain_topics_live_in_the_exchange_of_the_configuration() -> Result<()> {
    let broker = Setup::new().config(CONFIG).start()?;
    let mut plain = client(&broker, Version::V311, "plain")?;
    plain.subscribe("a/#", 2)?;
    let mut shared = client(&broker, Version::V5, "shared")?;
    shared.subscribe("$share/g/a/+", 1)?;
    let mut named = client(&broker, Version::V5, "named")?;
    named.subscribe("$exchange/mqtt/a/+", 1)?;
    // No Local.
    let mut publisher = client(&broker, Version::V5, "publisher")?;
    publisher.subscribe("a/#", 1 | 4)?;
    let mut stomp = Stomp::new(broker.at(Door::Stomp))?;
    stomp.subscribe("own", "/exchange/mqtt/a.*", "auto")?;
    let mut other = Stomp::new(broker.at(Door::Stomp))?;
    other.subscribe("other", "/topic/a.*", "auto")?;

    publisher.publish("a/1", b"from mqtt", 2)?;
    for client in [&mut plain, &mut shared, &mut named] {
        let message = client.take()?;
        ensure!((&*message.topic, &*message.text()) == ("a/1", "from mqtt"), "{message:?}");
    }
    let message = stomp.expect("MESSAGE")?;
    ensure!(message.header("destination") == Some("/exchange/mqtt/a.1"), "{message:?}");

    // STOMP's topics stay where they are; one who wants them names them so.
    named.subscribe("$exchange/amq.topic/#", 1)?;
    stomp.publish("/topic/a.2", b"from stomp")?;
    let message = other.expect("MESSAGE")?;
    ensure!(message.text() == "from stomp", "{message:?}");
    let message = named.take()?;
    ensure!((&*message.topic, &*message.text()) == ("$exchange/amq.topic/a/2", "from stomp"), "{message:?}");
    stomp.publish("/exchange/mqtt/a.3", b"to mqtt")?;
    for client in [&mut plain, &mut publisher] {
        let message = client.take()?;
        ensure!((&*message.topic, &*message.text()) == ("a/3", "to mqtt"), "{message:?}");
    }
    Ok(())
}

#[test]
fn a_binding_joins_the_topics_of_both_protocols() -> Result<()> {
    let bound = "[[binding]]\nexchange = \"amq.topic\"\nto_exchange = \"mqtt\"\nkey = \"#\"\n";
    let exchange = "[[exchange]]\nname = \"mqtt\"\ntype = \"topic\"\n";
    let broker = Setup::new().config(&format!("{CONFIG}{exchange}{bound}")).start()?;
    let mut plain = client(&broker, Version::V5, "plain")?;
    plain.subscribe("a/#", 1)?;
    let mut stomp = Stomp::new(broker.at(Door::Stomp))?;
    stomp.publish("/topic/a.1", b"x")?;
    let message = plain.take()?;
    ensure!(message.topic == "a/1", "{message:?}");
    Ok(())
}

#[test]
fn what_is_retained_wills_and_the_topics_of_the_broker_go_on() -> Result<()> {
    let broker = Setup::new().acl(OPEN).config(CONFIG).start()?;
    let mut watcher = client(&broker, Version::V5, "watcher")?;
    watcher.subscribe("gone/#", 1)?;
    let will = Publish { retain: true, ..Publish::new("gone/dying", b"will", 1) };
    let connect = Connect::new(Version::V5, "dying").will(will);
    let (dying, _) = Mqtt::connect(broker.at(Door::Mqtt), &connect)?;
    drop(dying);
    let message = watcher.take()?;
    ensure!((&*message.topic, &*message.text()) == ("gone/dying", "will"), "{message:?}");
    let mut late = client(&broker, Version::V311, "late")?;
    late.subscribe("#", 1)?;
    let message = late.take()?;
    ensure!(message.retain && message.topic == "gone/dying", "{message:?}");
    late.subscribe("$SYS/broker/version", 0)?;
    let message = late.take()?;
    ensure!(message.topic == "$SYS/broker/version", "{message:?}");
    // Nobody speaks for the broker, and no wildcard hears it.
    let mut liar = client(&broker, Version::V5, "liar")?;
    liar.publish("$exchange/mqtt/$SYS/broker/version", b"spoof", 1)?;
    ensure!(matches!(late.next(Duration::from_millis(200))?, Next::Silence), "it came");
    Ok(())
}

#[test]
fn a_rule_denies_the_topics_that_a_client_names_so() -> Result<()> {
    let deny =
        "[[access.deny]]\nfilter = \"secret/#\"\nactions = [\"publish\", \"subscribe\"]\ncode = 0x87\n";
    let broker = Setup::new().config(&format!("{CONFIG}{deny}")).start()?;
    let mut client = client(&broker, Version::V5, "client")?;
    ensure!(client.subscribe("secret/a", 1)? == [0x87], "by its plain name");
    ensure!(client.subscribe("$exchange/mqtt/secret/a", 1)? == [0x87], "by its long name");
    Ok(())
}

#[test]
fn the_exchange_of_plain_topics_is_declared_and_lasts() -> Result<()> {
    let mut broker = Setup::new().config(CONFIG).start()?;
    let keeps = Connect::lasting(Version::V311, "keeps");
    let (mut first, _) = Mqtt::connect(broker.at(Door::Mqtt), &keeps)?;
    first.subscribe("a/#", 1)?;
    drop(first);
    broker.kill();
    broker.start()?;
    client(&broker, Version::V5, "publisher")?.publish("a/1", b"x", 1)?;
    let (mut again, connack) = Mqtt::connect(broker.at(Door::Mqtt), &keeps)?;
    ensure!(connack.session_present, "the session is gone");
    let message = again.take()?;
    ensure!(message.topic == "a/1", "{message:?}");
    Ok(())
}

fn client(broker: &Broker, version: Version, id: &str) -> Result<Mqtt> {
    Ok(Mqtt::clean(broker.at(Door::Mqtt), version, id)?)
}
