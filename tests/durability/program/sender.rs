//! A publisher over STOMP: SEND with a receipt, and again if the receipt did not come.

use std::collections::VecDeque;
use std::io;
use std::thread::sleep;
use std::time::Duration;

use harness::dice::Dice;
use harness::socket::Next;
use harness::stomp::{Client, Frame};

use crate::payload;
use crate::scene::{Phase, Scene, Stay};

/// Publishes until the scene is over.
pub(crate) fn act(scene: &Scene, me: usize, mut dice: Dice) {
    let mut waiting = VecDeque::new();
    while scene.phase() < Phase::Over {
        // The broker may be dead: that is what this is about.
        let _ = converse(scene, me, &mut waiting, &mut dice);
        sleep(Duration::from_millis(dice.below(40)));
    }
}

fn converse(scene: &Scene, me: usize, waiting: &mut VecDeque<u64>, dice: &mut Dice) -> io::Result<()> {
    let mut client = Client::new(scene.stomp)?;
    let mut out = Vec::new();
    for number in &*waiting {
        scene.ledger().send_again(me, *number);
        out.extend(frame(me, *number).bytes());
    }
    client.socket.write(&out)?;
    let stay = Stay::new(dice);
    while !stay.is_over(scene) {
        let mut out = Vec::new();
        while waiting.len() < WINDOW && scene.may_publish(me) {
            let number = scene.ledger().send(me);
            out.extend(frame(me, number).bytes());
            waiting.push_back(number);
        }
        client.socket.write(&out)?;
        read(scene, me, waiting, &mut client)?;
    }
    Ok(())
}

/// Waits for the first receipt, and takes all that came with it.
fn read(scene: &Scene, me: usize, waiting: &mut VecDeque<u64>, client: &mut Client) -> io::Result<()> {
    let mut patience = Duration::from_millis(20);
    loop {
        match client.next(patience)? {
            Next::Some(frame) => {
                let number = frame.header("receipt-id").and_then(|id| id.parse().ok());
                match number {
                    Some(number) if frame.command == "RECEIPT" => {
                        scene.ledger().acknowledge(me, number);
                        waiting.retain(|waiting| *waiting != number);
                    }
                    _ => scene.complain(format!("a sender got {frame:?} {:?}", frame.text())),
                }
            }
            Next::Silence => return Ok(()),
            Next::Closed => return Err(io::ErrorKind::ConnectionReset.into()),
        }
        patience = Duration::ZERO;
    }
}

fn frame(me: usize, number: u64) -> Frame {
    Frame::new("SEND")
        .with("destination", &format!("/topic/crash.{me}"))
        .with("persistent", "true")
        .with("receipt", &number.to_string())
        .body(&payload::write(me, number))
}

/// How many messages may be under way.
const WINDOW: usize = 60;
