//! The configuration for public suites, which docs/conformance.md names: it is read, and does what the page says.

use anyhow::{Result, ensure};
use harness::broker::Setup;
use harness::door::Door;
use harness::mqtt::Client;
use harness::mqtt::property::Property;
use harness::mqtt::version::Version;
use harness::mqtt::write::Connect;

#[test]
fn the_profile_for_public_suites_does_what_they_ask() -> Result<()> {
    let broker = Setup::new().config(include_str!("conformance.toml")).start()?;
    let at = broker.at(Door::Mqtt);
    let connect = Connect { keep_alive_s: 120, ..Connect::new(Version::V5, "five") };
    let (mut client, connack) = Client::connect(at, &connect)?;
    ensure!(connack.properties.contains(&Property::Number(SERVER_KEEP_ALIVE, 60)), "{connack:?}");
    ensure!(client.subscribe("test/nosubscribe", 2)? == [0x87], "the filter is granted in 5.0");
    let mut client = Client::clean(at, Version::V311, "three")?;
    ensure!(client.subscribe("test/nosubscribe", 2)? == [0x80], "the filter is granted in 3.1.1");
    ensure!(client.subscribe("test/other", 2)? == [2], "others are not granted");
    Ok(())
}

const SERVER_KEEP_ALIVE: u8 = 0x13;
