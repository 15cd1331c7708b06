//! A consumer over STOMP of a queue: alone or beside others, in any ack mode, with receipts and in transactions.

use std::collections::HashMap;
use std::io;
use std::thread::sleep;
use std::time::{Duration, Instant};

use harness::dice::Dice;
use harness::socket::Next;
use harness::stomp::{Client, Frame};

use crate::payload;
use crate::scene::{Phase, Scene, Stay};

/// What it consumes, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// `/queue/crash`, alone, and settles message by message.
    Alone,
    /// `/queue/work` beside others, now in one mode, now in another, with receipts.
    Beside,
    /// `/queue/auto`: what is sent is settled.
    Auto,
    /// A durable subscription to a topic; an ACK covers all that came before.
    Lasting,
}

impl Place {
    fn subscribe(self, mode: &str) -> Frame {
        let subscribe =
            Frame::new("SUBSCRIBE").with("id", "lasting").with("receipt", "here").with("ack", mode);
        match self {
            Self::Alone => subscribe.with("destination", "/queue/crash").with("prefetch-count", "40"),
            Self::Beside => subscribe.with("destination", "/queue/work").with("prefetch-count", "30"),
            Self::Auto => subscribe.with("destination", "/queue/auto"),
            Self::Lasting => subscribe
                .with("destination", "/topic/crash.#")
                .with("durable", "true")
                .with("auto-delete", "false")
                .with("prefetch-count", "50"),
        }
    }

    fn mode(self, dice: &mut Dice) -> &'static str {
        match self {
            Self::Alone => "client-individual",
            Self::Beside => ["client", "client-individual"][usize::from(dice.chance(50))],
            Self::Auto => "auto",
            Self::Lasting => "client",
        }
    }
}

/// Consumes until the scene is over.
pub(crate) fn act(scene: &Scene, me: usize, place: Place, mut dice: Dice) {
    while scene.phase() < Phase::Over {
        // The broker may be dead: that is what this is about.
        let _ = converse(scene, me, place, &mut dice);
        if scene.phase() == Phase::Talking {
            sleep(Duration::from_millis(dice.below(400)));
        }
        sleep(Duration::from_millis(10));
    }
}

fn converse(scene: &Scene, me: usize, place: Place, dice: &mut Dice) -> io::Result<()> {
    let made = scene.ledger().moment();
    let mut client = Client::new(scene.stomp)?;
    let mode = place.mode(dice);
    client.send(&place.subscribe(mode))?;
    let mut talk = Talk { scene, me, mode, made, asked: HashMap::new(), receipts: 0, dice };
    let stay = Stay::new(talk.dice);
    while !stay.is_over(scene) {
        let came = talk.read(&mut client, Duration::from_millis(20))?;
        client.socket.write(&talk.answer(&came))?;
    }
    // Half the time it leaves with messages that it has not acknowledged, and without a word.
    if scene.phase() == Phase::Talking && talk.dice.chance(50) {
        talk.read(&mut client, Duration::from_millis(5))?;
        if place != Place::Beside {
            // Where there is an order to keep, it does not come back before the broker knows: the two would be beside each other.
            client.socket.finish()?;
            talk.leave(&mut client)?;
        }
        return Ok(());
    }
    client.send(&Frame::new("DISCONNECT").with("receipt", "bye"))?;
    talk.leave(&mut client)
}

/// One connection.
struct Talk<'a> {
    scene: &'a Scene,
    me: usize,
    mode: &'static str,
    /// When the connection was made, as the ledger counts.
    made: u64,
    /// What was settled under which receipt.
    asked: HashMap<String, Vec<Message>>,
    receipts: u64,
    dice: &'a mut Dice,
}

/// Publisher and number.
type Message = (usize, u64);

/// A message, and what its ACK has to name.
struct Came {
    message: Option<Message>,
    id: String,
}

impl Talk<'_> {
    /// Waits for the first frame, and takes all that came with it.
    fn read(&mut self, client: &mut Client, mut patience: Duration) -> io::Result<Vec<Came>> {
        let mut came = Vec::new();
        loop {
            match client.next(patience)? {
                Next::Some(frame) if frame.command == "MESSAGE" => came.push(self.hear(&frame)),
                Next::Some(frame) if frame.command == "RECEIPT" => self.confirmed(&frame),
                Next::Some(frame) => {
                    self.scene.complain(format!("a consumer got {frame:?} {:?}", frame.text()));
                }
                Next::Silence => return Ok(came),
                Next::Closed => return Err(io::ErrorKind::ConnectionReset.into()),
            }
            patience = Duration::ZERO;
        }
    }

    /// Reads until the broker has closed. What comes then is heard, too: where it is settled by being sent, it comes again only if
    /// the broker dies before that is on disk, and then behind what was heard since.
    fn leave(&mut self, client: &mut Client) -> io::Result<()> {
        let end = Instant::now() + LEAVE_MAX;
        while Instant::now() < end {
            match self.read(client, Duration::from_millis(100)) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn hear(&self, frame: &Frame) -> Came {
        let again = frame.header("redelivered") == Some("true");
        let message = payload::read(&frame.body);
        match message {
            Some(message) => self.scene.ledger().hear_since(self.me, message, again, self.made),
            None => self.scene.ledger().hear_damaged(self.me),
        }
        Came { message, id: frame.header("ack").unwrap_or_default().to_owned() }
    }

    fn confirmed(&mut self, receipt: &Frame) {
        let id = receipt.header("receipt-id").unwrap_or_default();
        if let Some(messages) = self.asked.remove(id) {
            self.scene.ledger().settle(self.me, messages);
        } else if id == "here"
            && let Some(record) = self.scene.ledger().subscribers.get_mut(self.me)
        {
            record.subscribed = true;
        }
    }

    /// ACK for what came, now and then in a transaction; and now and then it wants something once more.
    fn answer(&mut self, came: &[Came]) -> Vec<u8> {
        if self.mode == "auto" || came.is_empty() {
            return Vec::new();
        }
        let talking = self.scene.phase() == Phase::Talking;
        if self.mode == "client" {
            let Some(last) = came.last() else { return Vec::new() };
            let wanted = !(talking && self.dice.chance(1));
            return self.settle(wanted, last, came, None).bytes();
        }
        let transaction = (talking && self.dice.chance(10)).then_some("settling");
        let mut out = Vec::new();
        if let Some(name) = transaction {
            out.extend(Frame::new("BEGIN").with("transaction", name).bytes());
        }
        for one in came {
            let wanted = transaction.is_some() || !(talking && self.dice.chance(1));
            out.extend(self.settle(wanted, one, std::slice::from_ref(one), transaction).bytes());
        }
        if let Some(name) = transaction {
            let commit = Frame::new("COMMIT").with("transaction", name).with("receipt", &self.ask(came));
            out.extend(commit.bytes());
        }
        out
    }

    /// ACK or NACK, which settles `covered`. In a transaction, only COMMIT asks for a receipt.
    fn settle(&mut self, wanted: bool, last: &Came, covered: &[Came], transaction: Option<&str>) -> Frame {
        let frame = Frame::new(if wanted { "ACK" } else { "NACK" }).with("id", &last.id);
        match transaction {
            Some(name) => frame.with("transaction", name),
            None if wanted => frame.with("receipt", &self.ask(covered)),
            None => frame,
        }
    }

    /// A receipt that confirms them.
    fn ask(&mut self, covered: &[Came]) -> String {
        self.receipts += 1;
        let receipt = format!("settled {}", self.receipts);
        self.asked.insert(receipt.clone(), covered.iter().filter_map(|came| came.message).collect());
        receipt
    }
}

/// A full disk holds the broker up for seconds.
const LEAVE_MAX: Duration = Duration::from_secs(30);
