//! Wills: of whoever was lost exactly one comes, of whoever took his leave none.

use std::collections::BTreeSet;
use std::io;
use std::thread::sleep;
use std::time::Duration;

use harness::dice::Dice;
use harness::mqtt::Client;
use harness::mqtt::packet::{Packet, Publish};
use harness::mqtt::property::{Property, SESSION_EXPIRY};
use harness::mqtt::version::Version;
use harness::mqtt::write::{Connect, DISCONNECT, ack};
use harness::socket::Next;

use crate::scene::{Phase, Scene};

/// One client after the other with a will.
pub(crate) fn die(scene: &Scene, mut dice: Dice) {
    let mut number = 0;
    // The last one that took its leave in that life of the broker.
    let mut left: Option<(u64, u64)> = None;
    while scene.phase() < Phase::Draining {
        number += 1;
        let life = scene.life();
        let _ = live(scene, number, &mut left, &mut dice).map(|leaves| {
            left = leaves.then_some((number, life));
        });
        sleep(Duration::from_millis(dice.below(50)));
    }
}

/// Whether it took its leave, and the broker saw it.
fn live(scene: &Scene, number: u64, left: &mut Option<(u64, u64)>, dice: &mut Dice) -> io::Result<bool> {
    let will =
        Publish::new("wills/of/somebody", number.to_string().as_bytes(), 1 + u8::from(dice.chance(50)));
    let mut connect = Connect::new(Version::V5, &format!("dying-{}", number % 8)).will(will);
    // Its session ends with it, or the next of that name ends it.
    if dice.chance(30) {
        connect = connect.with(Property::Number(SESSION_EXPIRY, 3600));
    }
    let (mut client, _) = Client::connect(scene.mqtt, &connect)?;
    // What was done before this answer in the same life is on disk.
    if let Some((before, life)) = left.take()
        && life == scene.life()
    {
        scene.wills().must.insert(before, false);
    }
    let stays = Duration::from_millis(dice.below(300));
    if dice.chance(40) {
        sleep(stays);
        client.send(&DISCONNECT)?;
        return client.closes(Duration::from_secs(5));
    }
    scene.wills().must.insert(number, true);
    sleep(stays);
    Ok(false)
}

/// Who hears of them.
pub(crate) fn inherit(scene: &Scene, mut dice: Dice) {
    let mut received = BTreeSet::new();
    let mut was_here = false;
    while scene.phase() < Phase::Over {
        let _ = listen(scene, &mut was_here, &mut received, &mut dice);
        sleep(Duration::from_millis(dice.below(100)));
    }
}

fn listen(
    scene: &Scene,
    was_here: &mut bool,
    received: &mut BTreeSet<u16>,
    dice: &mut Dice,
) -> io::Result<()> {
    let (mut client, connack) = Client::connect(scene.mqtt, &Connect::lasting(Version::V5, "heir"))?;
    if *was_here && !connack.session_present {
        scene.complain("heir: its session was gone".to_owned());
    }
    if !connack.session_present {
        client.subscribe("wills/#", 2)?;
        *was_here = true;
    }
    while scene.phase() < Phase::Over && (scene.phase() == Phase::Draining || !dice.chance(2)) {
        match client.next(Duration::from_millis(20))? {
            Next::Some(Packet::Publish(will)) => {
                hear(scene, &will, received);
                let kind = if will.qos == 1 { ack::PUBACK } else { ack::PUBREC };
                client.send(&ack::bytes(kind, will.id))?;
            }
            Next::Some(Packet::Ack { kind: ack::PUBREL, id, .. }) => {
                received.remove(&id);
                client.send(&ack::bytes(ack::PUBCOMP, id))?;
            }
            Next::Some(other) => scene.complain(format!("the heir got {other:?}")),
            Next::Silence => {}
            Next::Closed => return Err(io::ErrorKind::ConnectionReset.into()),
        }
        let owed = scene.wills().owed();
        scene.owe("wills", owed);
    }
    Ok(())
}

fn hear(scene: &Scene, will: &Publish, received: &mut BTreeSet<u16>) {
    let Ok(number) = will.text().parse() else {
        scene.complain(format!("the heir got {will:?}"));
        return;
    };
    let mut wills = scene.wills();
    let is_new = if will.qos == 2 { received.insert(will.id) } else { !will.dup };
    let times = wills.came.entry(number).or_default();
    // At QoS 1, the first may have been lost with the connection that it was sent on.
    *times = if is_new { *times + 1 } else { (*times).max(1) };
}
