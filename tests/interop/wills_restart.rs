//! Wills and the lives of sessions, over the end of the broker: killed, or stopped as it should be.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use harness::broker::{Broker, Setup};
use harness::door::Door;
use harness::mqtt::Client;
use harness::mqtt::packet::Publish;
use harness::mqtt::property::{Property, SESSION_EXPIRY, WILL_DELAY};
use harness::mqtt::version::Version;
use harness::mqtt::write::Connect;
use harness::socket::Next;

#[test]
fn a_broker_that_is_killed_publishes_the_wills_of_those_that_were_connected() -> Result<()> {
    // 3.1.2.5, [MQTT-3.1.2-8], 3.1.3.2.2
    let mut broker = Broker::new()?;
    drop(heir(&broker)?);
    let connects =
        [dying("now", 0, 0), dying("session", 60, 1), dying("delay", 2, 60), dying("back", 30, 60)];
    let clients = connect_all(&broker, &connects)?;
    broker.kill();
    drop(clients);
    let killed = Instant::now();
    broker.start()?;
    let (mut heir, present) = heir(&broker)?;
    ensure!(present, "the session of the heir is gone");
    let (_back, _) = Client::connect(broker.at(Door::Mqtt), &connects[3])?;
    for (name, not_before_s) in [("now", 0), ("session", 1), ("delay", 2)] {
        let will = heir.take()?;
        ensure!(will.text() == name, "{} in place of {name}", will.text());
        ensure!(killed.elapsed() >= Duration::from_secs(not_before_s), "{name} came too soon");
    }
    // What it acknowledged is on disk before the answer to whatever it asks then.
    heir.subscribe("and/then", 1)?;
    // None is published twice, and none of a client that came back in time.
    broker.kill();
    broker.start()?;
    let (mut heir, _) = self::heir(&broker)?;
    nothing_more(&mut heir)
}

#[test]
fn a_broker_that_is_stopped_publishes_wills_but_for_those_that_wait() -> Result<()> {
    // 3.1.2.5
    let mut broker = Broker::new()?;
    drop(heir(&broker)?);
    let connects = [dying("now", 0, 60), dying("ended", 60, 0), dying("back", 20, 60)];
    let clients = connect_all(&broker, &connects)?;
    ensure!(broker.stop()?.success(), "it did not stop as it should");
    drop(clients);
    broker.start()?;
    let _back = connect_all(&broker, &connects)?;
    let (mut heir, _) = heir(&broker)?;
    let mut wills = [heir.take()?.text(), heir.take()?.text()];
    wills.sort_unstable();
    ensure!(wills == ["ended", "now"], "{wills:?}");
    nothing_more(&mut heir)
}

#[test]
fn time_goes_on_while_the_broker_is_down() -> Result<()> {
    // 3.1.2.11.2, 3.1.3.2.2: a restart gives neither a session nor a will more time, and takes none.
    let setup = Setup::new().config("[mqtt]\nsession_expiry_max = \"never\"\n");
    let mut broker = setup.start()?;
    drop(heir(&broker)?);
    let lasting = |id: &str, expiry_s| {
        let connect = Connect { clean: false, ..Connect::new(Version::V5, id) };
        connect.with(Property::Number(SESSION_EXPIRY, expiry_s))
    };
    let sessions = [lasting("short", 3), lasting("long", 3600), lasting("for ever", u32::MAX)];
    for connect in &sessions {
        drop(Client::connect(broker.at(Door::Mqtt), connect)?);
    }
    drop(Client::connect(broker.at(Door::Mqtt), &dying("while down", 2, 60))?);
    drop(Client::connect(broker.at(Door::Mqtt), &dying("later", 9, 60))?);
    let lost = Instant::now();
    // The broker notes when they went.
    std::thread::sleep(Duration::from_secs(1));
    broker.kill();
    std::thread::sleep(Duration::from_secs(6));
    let start = Instant::now();
    broker.start()?;
    let (mut heir, _) = heir(&broker)?;
    ensure!(heir.take()?.text() == "while down", "the will whose time came meanwhile");
    ensure!(heir.take()?.text() == "later", "the will whose time was to come");
    ensure!(lost.elapsed() >= Duration::from_secs(9), "it came after {:?}", lost.elapsed());
    ensure!(start.elapsed() < Duration::from_secs(9), "its delay began anew: {:?}", start.elapsed());
    for (connect, expected) in sessions.iter().zip([false, true, true]) {
        let (_, connack) = Client::connect(broker.at(Door::Mqtt), connect)?;
        ensure!(connack.session_present == expected, "{}: {connack:?}", connect.id);
    }
    nothing_more(&mut heir)
}

/// Who is told, whether he is there at the time or not; and whether he was known.
fn heir(broker: &Broker) -> Result<(Client, bool)> {
    let (mut heir, connack) =
        Client::connect(broker.at(Door::Mqtt), &Connect::lasting(Version::V311, "heir"))?;
    if !connack.session_present {
        heir.subscribe("will/#", 1)?;
    }
    Ok((heir, connack.session_present))
}

fn dying(id: &str, delay_s: u32, expiry_s: u32) -> Connect {
    let mut connect = Connect { clean: false, ..Connect::new(Version::V5, id) };
    connect.will_properties = vec![Property::Number(WILL_DELAY, delay_s)];
    connect.with(Property::Number(SESSION_EXPIRY, expiry_s)).will(Publish::new("will/of", id.as_bytes(), 1))
}

fn connect_all(broker: &Broker, connects: &[Connect]) -> Result<Vec<Client>> {
    connects.iter().map(|connect| Ok(Client::connect(broker.at(Door::Mqtt), connect)?.0)).collect()
}

fn nothing_more(heir: &mut Client) -> Result<()> {
    let more = heir.next(Duration::from_millis(500))?;
    ensure!(more == Next::Silence, "{more:?}");
    Ok(())
}
