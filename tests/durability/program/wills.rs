//! Wills: of whoever was lost exactly one comes, of whoever took his leave none.

use std::io;
use std::thread::sleep;
use std::time::{Duration, Instant};

use harness::dice::Dice;
use harness::mqtt::Client;
use harness::mqtt::packet::Publish;
use harness::mqtt::property::{Property, SESSION_EXPIRY};
use harness::mqtt::version::Version;
use harness::mqtt::write::{Connect, DISCONNECT};

use crate::heir::Heir;
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
    let owed = |scene: &Scene| scene.wills().owed();
    Heir { name: "wills", filter: "wills/#", owed, take: hear }.live(scene, &mut dice);
}

fn hear(scene: &Scene, will: &Publish, is_new: bool, _here: Instant) {
    let Ok(number) = will.text().parse() else {
        return scene.complain(format!("the heir got {will:?}"));
    };
    let mut wills = scene.wills();
    let times = wills.came.entry(number).or_default();
    // At QoS 1, the first may have been lost with the connection that it was sent on.
    *times = if is_new { *times + 1 } else { (*times).max(1) };
}
