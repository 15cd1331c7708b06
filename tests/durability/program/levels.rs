//! Queues below the level of the disk: what is missing after a death may be missing, and nothing else is.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::thread::sleep;
use std::time::Duration;

use harness::dice::Dice;
use harness::socket::Next;
use harness::stomp::{Client, Frame};

use crate::scene::{Phase, Scene};

/// A queue of that level, which this one alone fills and empties.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    /// What was acknowledged outlives the process; `loses`: the disk loses what was not synced, the last first.
    Os { loses: bool },
    /// Nothing outlives the process.
    Memory,
}

impl Level {
    const fn name(self) -> &'static str {
        match self {
            Self::Os { .. } => "os",
            Self::Memory => "memory",
        }
    }
}

/// Sends and consumes until the scene is over.
pub(crate) fn act(scene: &Scene, level: Level, dice: Dice) {
    let mut tale = Tale {
        level,
        sent: BTreeMap::new(),
        must: BTreeSet::new(),
        may: BTreeSet::new(),
        heard: BTreeSet::new(),
        settled: BTreeSet::new(),
        newest: 0,
        connections: 0,
        dice,
    };
    while scene.phase() < Phase::Over {
        // The broker may be dead: that is what this is about.
        let _ = tale.converse(scene);
        sleep(Duration::from_millis(tale.dice.below(30)));
    }
    let Tale { sent, may, heard, settled, .. } = &tale;
    scene.remark(
        name(level),
        format!(
            "{} sent, {} heard, {} settled and told so, {} gone with a life",
            sent.len(),
            heard.len(),
            settled.len(),
            may.len()
        ),
    );
}

const fn name(level: Level) -> &'static str {
    match level {
        Level::Os { .. } => "level os",
        Level::Memory => "level memory",
    }
}

struct Tale {
    level: Level,
    /// By number: the last process that may have taken it.
    sent: BTreeMap<u64, u64>,
    /// Acknowledged, not heard yet, and it has to be.
    must: BTreeSet<u64>,
    /// The same, but it may be gone.
    may: BTreeSet<u64>,
    heard: BTreeSet<u64>,
    /// Settled, and that was confirmed.
    settled: BTreeSet<u64>,
    /// The newest that was heard.
    newest: u64,
    connections: u64,
    dice: Dice,
}

impl Tale {
    fn converse(&mut self, scene: &Scene) -> io::Result<()> {
        // A process is launched when the life has an even number, and is dead when the next even one begins.
        let before = scene.life() / 2;
        let mut client = Client::new(scene.stomp)?;
        let process = scene.life() / 2;
        match self.level {
            Level::Os { loses: false } => {}
            Level::Os { loses: true } | Level::Memory => self.may.append(&mut self.must),
        }
        self.connections += 1;
        let destination = format!("/queue/level-{}", self.level.name());
        let subscribe = Frame::new("SUBSCRIBE").with("id", "0").with("destination", &destination);
        let subscribe = subscribe.with("ack", "client-individual").with("prefetch-count", "30");
        client.send(&subscribe.with("x-durability", self.level.name()))?;
        let (mut held, mut asked): (Vec<(u64, String)>, _) = (Vec::new(), BTreeMap::new());
        while scene.phase() < Phase::Over {
            if scene.phase() == Phase::Talking && self.must.len() < WAITING_MAX {
                for _ in 0..self.dice.below(12) {
                    let number = self.sent.len() as u64 + 1;
                    self.sent.insert(number, process);
                    client.send(&self.message(&destination, number))?;
                }
            }
            // Now and then the queue grows: of what waits there, most is read back later.
            if scene.phase() != Phase::Talking || self.dice.chance(40) {
                for (number, ack) in held.drain(..) {
                    let receipt = format!("a{}-{number}", self.connections);
                    client.send(&Frame::new("ACK").with("id", &ack).with("receipt", &receipt))?;
                    asked.insert(receipt, number);
                }
            }
            self.listen(scene, &mut client, before, &mut held, &mut asked)?;
            scene.owe(name(self.level), self.must.len());
        }
        Ok(())
    }

    fn message(&mut self, destination: &str, number: u64) -> Frame {
        let size = usize::try_from(self.dice.below(600)).unwrap_or(0);
        let body = [number.to_string().as_bytes(), b" ", &self.dice.bytes(size)].concat();
        Frame::new("SEND")
            .with("destination", destination)
            .with("persistent", "true")
            .with("x-durability", self.level.name())
            .with("receipt", &format!("s{number}"))
            .body(&body)
    }

    fn listen(
        &mut self,
        scene: &Scene,
        client: &mut Client,
        process: u64,
        held: &mut Vec<(u64, String)>,
        asked: &mut BTreeMap<String, u64>,
    ) -> io::Result<()> {
        loop {
            let frame = match client.next(Duration::from_millis(3))? {
                Next::Some(frame) => frame,
                Next::Silence => return Ok(()),
                Next::Closed => return Err(io::ErrorKind::ConnectionReset.into()),
            };
            let receipt = frame.header("receipt-id").unwrap_or_default().to_owned();
            match frame.command.as_str() {
                "MESSAGE" => {
                    let number = number_in(&frame);
                    self.hear(scene, number, process);
                    held.push((number, frame.header("ack").unwrap_or_default().to_owned()));
                }
                "RECEIPT" => match (receipt.strip_prefix('s'), asked.remove(&receipt)) {
                    (Some(number), _) => self.acknowledged(number.parse().unwrap_or_default()),
                    (None, Some(number)) => {
                        self.settled.insert(number);
                    }
                    (None, None) => scene.complain(format!("{}: got {frame:?}", name(self.level))),
                },
                _ => scene.complain(format!("{}: got {frame:?} {}", name(self.level), frame.text())),
            }
        }
    }

    fn acknowledged(&mut self, number: u64) {
        if !self.heard.contains(&number) {
            self.must.insert(number);
        }
    }

    fn hear(&mut self, scene: &Scene, number: u64, process: u64) {
        let name = name(self.level);
        let Some(taken) = self.sent.get(&number).copied() else {
            return scene.complain(format!("{name}: {number} came, and nobody sent it"));
        };
        if self.level == Level::Memory && taken < process {
            scene.complain(format!("{name}: {number} came out of nothing after a death"));
        }
        if self.settled.contains(&number) {
            scene.complain(format!("{name}: {number} was settled, and came back"));
        }
        if self.heard.insert(number) && number < self.newest {
            scene.complain(format!("{name}: {number} came first after {}", self.newest));
        }
        self.newest = self.newest.max(number);
        self.must.remove(&number);
        self.may.remove(&number);
        if let (Level::Os { .. }, true) = (self.level, taken < process) {
            // Of what a process took, the end is lost: whatever was before this one is there.
            let before = self.may.range(..number).filter(|one| self.sent.get(one) == Some(&taken));
            let before: Vec<u64> = before.copied().collect();
            self.may.retain(|one| !before.contains(one));
            self.must.extend(before);
        }
    }
}

fn number_in(frame: &Frame) -> u64 {
    let digits: Vec<u8> = frame.body.iter().copied().take_while(u8::is_ascii_digit).collect();
    String::from_utf8(digits).ok().and_then(|text| text.parse().ok()).unwrap_or_default()
}

/// So many may wait: more would make each start slower.
const WAITING_MAX: usize = 300;
