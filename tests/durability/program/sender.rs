//! A publisher over STOMP: SEND with a receipt, and again if the receipt did not come; under an id of its own, or without.

use std::collections::VecDeque;
use std::io;
use std::thread::sleep;
use std::time::Duration;

use harness::dice::Dice;
use harness::socket::Next;
use harness::stomp::{Client, Frame};

use crate::payload;
use crate::scene::{Phase, Scene, Stay};

/// Publishes until the scene is over; where it is to be `once`, under ids that the broker remembers.
pub(crate) fn act(scene: &Scene, me: usize, once: bool, mut dice: Dice) {
    let mut waiting = VecDeque::new();
    while scene.phase() < Phase::Over {
        // The broker may be dead: that is what this is about.
        let _ = converse(scene, me, once, &mut waiting, &mut dice);
        sleep(Duration::from_millis(dice.below(40)));
    }
}

fn converse(
    scene: &Scene,
    me: usize,
    once: bool,
    waiting: &mut VecDeque<u64>,
    dice: &mut Dice,
) -> io::Result<()> {
    let mut client = Client::new(scene.stomp)?;
    client.socket.write(&unfinished(scene, me, once, waiting, dice))?;
    let stay = Stay::new(dice);
    while !stay.is_over(scene) {
        let mut out = Vec::new();
        while waiting.len() < WINDOW && scene.may_publish(me) {
            let number = scene.ledger().send(me);
            out.extend(frame(me, number, once).bytes());
            waiting.push_back(number);
        }
        client.socket.write(&out)?;
        read(scene, me, waiting, &mut client)?;
    }
    Ok(())
}

/// What was not acknowledged, in its order: some of it may have arrived. Under ids, now and then as one transaction.
fn unfinished(scene: &Scene, me: usize, once: bool, waiting: &VecDeque<u64>, dice: &mut Dice) -> Vec<u8> {
    let mut out = Vec::new();
    let transaction = once && dice.chance(30);
    if transaction {
        out.extend(Frame::new("BEGIN").with("transaction", "again").bytes());
    }
    for number in waiting {
        let mut frame = frame(me, *number, once);
        if transaction {
            frame = frame.with("transaction", "again");
        }
        if once {
            scene.ledger().repeat(me);
        } else {
            scene.ledger().send_again(me, *number);
        }
        out.extend(frame.bytes());
    }
    if transaction {
        out.extend(Frame::new("COMMIT").with("transaction", "again").bytes());
    }
    out
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

fn frame(me: usize, number: u64, once: bool) -> Frame {
    let frame = Frame::new("SEND")
        .with("destination", &format!("/topic/crash.{me}"))
        .with("persistent", "true")
        .with("receipt", &number.to_string());
    let frame =
        if once { frame.with("qos", "2").with("x-dedup-id", &format!("{me} {number}")) } else { frame };
    frame.body(&payload::write(me, number))
}

/// How many messages may be under way.
const WINDOW: usize = 60;
