//! Wills, and the keep-alive that brings them about.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use harness::broker::{Broker, Setup};
use harness::door::Door;
use harness::mqtt::Client;
use harness::mqtt::packet::{Packet, Publish};
use harness::mqtt::property::{Property, WILL_DELAY};
use harness::mqtt::version::Version;
use harness::mqtt::write::{Connect, DISCONNECT, PINGREQ};
use harness::socket::Next;

#[test]
fn a_lost_client_leaves_its_will_and_one_that_says_good_bye_does_not() -> Result<()> {
    // 3.1.2.5, [MQTT-3.14.4-3]
    let broker = Broker::new()?;
    for version in Version::ALL {
        let mut heir = heir(&broker, version)?;
        let (mut polite, _) = Client::connect(broker.at(Door::Mqtt), &dying(version, "polite"))?;
        polite.send(&DISCONNECT)?;
        ensure!(polite.closes(Duration::from_secs(5))?, "DISCONNECT does not close");
        let (lost, _) = Client::connect(broker.at(Door::Mqtt), &dying(version, "lost"))?;
        drop(lost);
        let will = heir.take()?;
        ensure!(
            will.text() == "last words of lost" && will.qos == 1 && !will.retain,
            "{version:?}: {will:?}"
        );
    }
    Ok(())
}

#[test]
fn a_retained_will_is_kept() -> Result<()> {
    let broker = Broker::new()?;
    let mut heir = heir(&broker, Version::V311)?;
    let mut connect = dying(Version::V311, "kept");
    connect.will = connect.will.map(Publish::retained);
    drop(Client::connect(broker.at(Door::Mqtt), &connect)?);
    ensure!(heir.take()?.text() == "last words of kept", "no will");
    let mut late = Client::clean(broker.at(Door::Mqtt), Version::V311, "late")?;
    late.subscribe("will/#", 1)?;
    ensure!(late.take()?.retain, "it was not retained");
    Ok(())
}

#[test]
fn a_delayed_will_waits_and_is_cancelled_by_coming_back() -> Result<()> {
    // 3.1.3.2.2
    let broker = Broker::new()?;
    let mut heir = heir(&broker, Version::V5)?;
    let mut connect =
        Connect { will: dying(Version::V5, "delayed").will, ..Connect::lasting(Version::V5, "delayed") };
    connect.will_properties = vec![Property::Number(WILL_DELAY, 1)];
    drop(Client::connect(broker.at(Door::Mqtt), &connect)?);
    drop(Client::connect(broker.at(Door::Mqtt), &connect)?);
    let left = Instant::now();
    ensure!(heir.next(Duration::from_millis(800))? == Next::Silence, "the will did not wait");
    ensure!(heir.take()?.text() == "last words of delayed", "no will");
    ensure!(left.elapsed() < Duration::from_secs(4), "it took {:?}", left.elapsed());
    ensure!(heir.next(Duration::from_millis(1500))? == Next::Silence, "a cancelled will came as well");
    Ok(())
}

#[test]
fn a_silent_client_is_cut_after_one_and_a_half_keep_alives() -> Result<()> {
    // [MQTT-3.1.2-22]; P12: and at most a second later.
    let broker = Broker::new()?;
    for version in Version::ALL {
        let mut heir = heir(&broker, version)?;
        let mut connect = dying(version, "silent");
        connect.keep_alive_s = 1;
        let (mut silent, _) = Client::connect(broker.at(Door::Mqtt), &connect)?;
        // A ping is a word.
        std::thread::sleep(Duration::from_millis(900));
        silent.send(&PINGREQ)?;
        ensure!(silent.packet()? == Packet::Pingresp, "no PINGRESP");
        let heard = Instant::now();
        if version == Version::V5 {
            let packet = silent.packet()?;
            ensure!(matches!(packet, Packet::Disconnect { reason: 0x8d, .. }), "{packet:?}");
        }
        ensure!(silent.closes(Duration::from_secs(5))?, "{version:?}: not cut");
        let silence = heard.elapsed();
        ensure!((1400..2600).contains(&silence.as_millis()), "{version:?}: cut after {silence:?}");
        ensure!(heir.take()?.text() == "last words of silent", "{version:?}: no will");
    }
    Ok(())
}

#[test]
fn a_client_of_3_x_that_promised_nothing_is_cut_off_after_idle_max() -> Result<()> {
    let broker = Setup::new().config("[mqtt]\nidle_max = \"2s\"\n").start()?;
    // 5.0 has a maximum of its own, of which it is told.
    let (mut told, _) = Client::connect(broker.at(Door::Mqtt), &Connect::new(Version::V5, "told"))?;
    for version in [Version::V31, Version::V311] {
        for keep_alive_s in [0, 3, 65_535] {
            let name = format!("silent-{keep_alive_s}");
            let mut heir = heir(&broker, Version::V5)?;
            let mut connect = dying(version, &name);
            connect.keep_alive_s = keep_alive_s;
            let (mut silent, _) = Client::connect(broker.at(Door::Mqtt), &connect)?;
            // Whoever says something stays.
            for _ in 0..5 {
                std::thread::sleep(Duration::from_millis(600));
                silent.send(&PINGREQ)?;
                ensure!(silent.packet()? == Packet::Pingresp, "no PINGRESP");
            }
            let heard = Instant::now();
            ensure!(silent.closes(Duration::from_secs(10))?, "{version:?} {name}: not cut off");
            let silence = heard.elapsed();
            ensure!(silence >= Duration::from_millis(1900), "{version:?} {name}: cut off after {silence:?}");
            ensure!(heir.take()?.text() == format!("last words of {name}"), "{version:?} {name}: no will");
            let words = ["conn.close", &name, "by=timeout", "silent for the 2 s of mqtt.idle_max"];
            broker.journal().wait_for(&words, Duration::from_secs(10))?;
        }
    }
    told.send(&PINGREQ)?;
    ensure!(told.packet()? == Packet::Pingresp, "5.0 was cut off");
    Ok(())
}

fn heir(broker: &Broker, version: Version) -> Result<Client> {
    let mut heir = Client::clean(broker.at(Door::Mqtt), version, "heir")?;
    heir.subscribe("will/#", 1)?;
    Ok(heir)
}

fn dying(version: Version, name: &str) -> Connect {
    Connect::new(version, name).will(Publish::new("will/of", format!("last words of {name}").as_bytes(), 1))
}
