//! What a broker says when it starts.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use harness::broker::{Broker, Setup};
use harness::door::Door;
use harness::mqtt::Client;
use harness::mqtt::version::Version;
use harness::stomp::Client as Stomp;
use harness::wait::SOON;

#[test]
fn the_banner_names_version_data_durability_and_every_door() -> Result<()> {
    let broker = Broker::new()?;
    // The doors open a moment before the banner says so.
    let journal = broker.journal();
    journal.wait_for(&["duetmq "], SOON).context("no version")?;
    journal.wait_for(&[&broker.data().display().to_string()], SOON).context("no data directory")?;
    journal.wait_for(&["acknowledged means fdatasync done"], SOON).context("no durability")?;
    for door in Door::ALL {
        let address = broker.at(door).to_string();
        journal.wait_for(&[&door.to_string(), &address, "this machine only"], SOON)?;
    }
    Ok(())
}

#[test]
fn a_broker_is_open_within_a_second() -> Result<()> {
    // U9.1; a machine that compiles beside it gets three tries.
    let mut shortest = Duration::MAX;
    for _ in 0..3 {
        let begin = Instant::now();
        let _broker = Broker::new()?;
        shortest = shortest.min(begin.elapsed());
    }
    ensure!(shortest < Duration::from_secs(1), "it took {shortest:?}");
    Ok(())
}

#[test]
fn a_broker_without_a_store_says_that_nothing_survives() -> Result<()> {
    let mut broker = Setup::new().argument("--memory").start()?;
    broker.journal().wait_for(&["nothing survives"], SOON)?;
    let mut client = Stomp::new(broker.at(Door::Stomp))?;
    client.publish("/queue/memory", b"x")?;
    broker.kill();
    broker.start()?;
    let mut client = Stomp::new(broker.at(Door::Stomp))?;
    client.subscribe("0", "/queue/memory", "auto")?;
    let came = client.next(Duration::from_millis(200))?;
    ensure!(came == harness::socket::Next::Silence, "{came:?}");
    Ok(())
}

#[test]
fn what_a_configuration_declares_may_be_there_already() -> Result<()> {
    let config = r##"
        [limits]
        queue_messages = 1000

        [[exchange]]
        name = "orders"
        type = "topic"

        [[queue]]
        name = "without-limits"

        [[queue]]
        name = "with-limits"
        max_length = 7
        max_length_bytes = "1MiB"

        [[binding]]
        exchange = "orders"
        queue = "without-limits"
        key = "#"
    "##;
    let mut broker = Setup::new().config(config).start()?;
    Stomp::new(broker.at(Door::Stomp))?.publish("/exchange/orders/a.b", b"once")?;
    for _ in 0..2 {
        broker.stop()?;
        broker.start()?;
    }
    // Bound once, however often it was declared.
    let mut client = Stomp::new(broker.at(Door::Stomp))?;
    client.publish("/exchange/orders/a.b", b"again")?;
    client.subscribe("0", "/queue/without-limits", "auto")?;
    for body in ["once", "again"] {
        ensure!(client.expect("MESSAGE")?.text() == body, "not {body}");
    }
    let more = client.next(Duration::from_millis(200))?;
    ensure!(more == harness::socket::Next::Silence, "{more:?}");
    Ok(())
}

#[test]
fn a_user_name_is_wanted_where_the_configuration_says_so() -> Result<()> {
    // P15
    let broker = Setup::new().config("[auth]\nanonymous = \"never\"\n").start()?;
    ensure!(
        Client::clean(broker.at(Door::Mqtt), Version::V311, "nobody").is_err(),
        "somebody without a name is in"
    );
    let guest = ("guest".to_owned(), "guest".to_owned());
    let mut connect = harness::mqtt::write::Connect::new(Version::V311, "guest");
    connect.login = Some(guest);
    Client::connect(broker.at(Door::Mqtt), &connect)?;
    connect.login = Some(("guest".to_owned(), "wrong".to_owned()));
    ensure!(Client::connect(broker.at(Door::Mqtt), &connect).is_err(), "a wrong password lets in");
    Ok(())
}
