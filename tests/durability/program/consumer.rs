//! A consumer of a STOMP queue that acknowledges each message by itself.

use std::io;
use std::thread::sleep;
use std::time::Duration;

use harness::dice::Dice;
use harness::socket::Next;
use harness::stomp::{Client, Frame};

use crate::payload;
use crate::scene::{Phase, Scene, Stay};

/// Consumes until the scene is over.
pub(crate) fn act(scene: &Scene, me: usize, mut dice: Dice) {
    while scene.phase() < Phase::Over {
        // The broker may be dead: that is what this is about.
        let _ = converse(scene, me, &mut dice);
        if scene.phase() == Phase::Talking {
            sleep(Duration::from_millis(dice.below(400)));
        }
        sleep(Duration::from_millis(10));
    }
}

fn converse(scene: &Scene, me: usize, dice: &mut Dice) -> io::Result<()> {
    let mut client = Client::new(scene.stomp)?;
    let subscribe = Frame::new("SUBSCRIBE").with("id", "0").with("destination", "/queue/crash");
    client.send(
        &subscribe.with("ack", "client-individual").with("prefetch-count", "40").with("receipt", "here"),
    )?;
    let stay = Stay::new(dice);
    while !stay.is_over(scene) {
        let out = read(scene, me, &mut client, dice, Duration::from_millis(20))?;
        client.socket.write(&out)?;
    }
    // Half the time it leaves with messages that it has not acknowledged, and without a word.
    if scene.phase() == Phase::Talking && dice.chance(50) {
        read(scene, me, &mut client, dice, Duration::from_millis(5))?;
        return Ok(());
    }
    client.send(&Frame::new("DISCONNECT").with("receipt", "bye"))?;
    client.closes(Duration::from_secs(1)).map(|_| ())
}

/// Waits for the first frame, takes all that came with it, and gives the answers.
fn read(
    scene: &Scene,
    me: usize,
    client: &mut Client,
    dice: &mut Dice,
    mut patience: Duration,
) -> io::Result<Vec<u8>> {
    let mut out = Vec::new();
    loop {
        match client.next(patience)? {
            Next::Some(frame) if frame.command == "MESSAGE" => {
                hear(scene, me, &frame);
                // Now and then it wants a message once more.
                let command = if scene.phase() == Phase::Talking && dice.chance(1) { "NACK" } else { "ACK" };
                out.extend(Frame::new(command).with("id", frame.header("ack").unwrap_or_default()).bytes());
            }
            Next::Some(frame) if frame.command == "RECEIPT" => {
                if let Some(record) = scene.ledger().subscribers.get_mut(me) {
                    record.subscribed = true;
                }
            }
            Next::Some(frame) => scene.complain(format!("a consumer got {frame:?} {:?}", frame.text())),
            Next::Silence => return Ok(out),
            Next::Closed => return Err(io::ErrorKind::ConnectionReset.into()),
        }
        patience = Duration::ZERO;
    }
}

fn hear(scene: &Scene, me: usize, frame: &Frame) {
    let again = frame.header("redelivered") == Some("true");
    match payload::read(&frame.body) {
        Some((publisher, number)) => scene.ledger().hear(me, publisher, number, again),
        None => scene.ledger().hear_damaged(me),
    }
}
