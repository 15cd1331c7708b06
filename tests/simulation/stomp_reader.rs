//! A client that reads streams over STOMP, each from where it likes, and starts again anywhere.

use std::collections::BTreeMap;

use bytes::BytesMut;
use model::stream::Start;
use stomp::decode::Decoder;
use stomp::encode;
use stomp::frame::{Command, Frame};
use stomp::version::Version;

use crate::client::Client;
use crate::dice::Dice;
use crate::heard;
use crate::ledger::Ledger;
use crate::reads::Reads;
use crate::sent::{QUEUES, STREAMS, destination};
use crate::stomp_client::{connect, is_farewell};

pub(crate) struct StompReader {
    number: usize,
    reads: Reads,
    is_in: bool,
    receipts: u64,
    /// What a receipt will mean: which reading begins, or none.
    asked: BTreeMap<u64, Option<usize>>,
    /// On loan: by which reading, and what ACK says.
    loans: Vec<(usize, String)>,
    decoder: Decoder,
    outgoing: BytesMut,
    incoming: BytesMut,
}

impl StompReader {
    /// Whether it reads every stream, and only from its start.
    pub(crate) fn new(number: usize, is_late: bool) -> Self {
        Self {
            number,
            reads: Reads::new(is_late),
            is_in: false,
            receipts: 0,
            asked: BTreeMap::new(),
            loans: Vec::new(),
            decoder: Decoder::default(),
            outgoing: BytesMut::new(),
            incoming: BytesMut::new(),
        }
    }

    fn say(&mut self, frame: &Frame) {
        encode::encode(frame, Version::V1_2, &mut self.outgoing);
    }

    fn say_with_receipt(&mut self, frame: Frame, begins: Option<usize>) {
        self.receipts += 1;
        self.asked.insert(self.receipts, begins);
        self.say(&frame.with("receipt", self.receipts.to_string()));
    }

    fn leave(&mut self, stream: usize, ledger: &mut Ledger) {
        let Some(reading) = self.reads.leave(stream, ledger) else { return };
        // What comes of it until the broker knows is not to be settled any more.
        self.loans.retain(|(other, _)| *other != reading);
        self.say_with_receipt(Frame::new(Command::Unsubscribe).with("id", reading.to_string()), None);
    }

    fn ask(&mut self, stream: usize, start: Start, ledger: &mut Ledger) {
        self.leave(stream, ledger);
        let reading = self.reads.ask(stream, start, ledger);
        // Some are settled by being sent, the others by an ACK each.
        let frame = Frame::new(Command::Subscribe)
            .with("id", reading.to_string())
            .with("destination", destination(QUEUES + stream))
            .with(Start::HEADER, start.to_string());
        let frame = if reading.is_multiple_of(3) {
            frame.with("ack", "auto")
        } else {
            frame.with("ack", "client-individual").with("prefetch-count", PREFETCH.to_string())
        };
        self.say_with_receipt(frame, Some(reading));
    }

    fn answer(&mut self, dice: &mut Dice) {
        let (_, ack) = self.loans.remove(dice.roll(self.loans.len()));
        // Nothing comes back: it has been read.
        let command = if dice.percent(20) { Command::Nack } else { Command::Ack };
        self.say(&Frame::new(command).with("id", ack));
    }

    fn hear(&mut self, frame: &Frame, ledger: &mut Ledger) -> Result<(), String> {
        match (frame.command, self.is_in) {
            (Command::Connected, false) => {
                self.is_in = true;
                Ok(())
            }
            (Command::Receipt, true) => {
                let id = frame.header("receipt-id").and_then(|id| id.parse::<u64>().ok()).unwrap_or(0);
                match self.asked.remove(&id) {
                    Some(Some(reading)) => ledger.streams.grant(reading, ledger.sent.len()),
                    Some(None) => {}
                    None => return Err(format!("a receipt came for nothing: {id}")),
                }
                Ok(())
            }
            (Command::Message, true) => self.take(frame, ledger),
            (Command::Error, _) if is_farewell(frame) => Ok(()),
            _ => Err(format!("{} came: {:?}", frame.command, frame.headers)),
        }
    }

    fn take(&mut self, frame: &Frame, ledger: &mut Ledger) -> Result<(), String> {
        let (stamp, sent) = ledger.find(&frame.body)?;
        let came_from = frame.header("destination").map_or("", |text| &**text);
        if came_from != destination(sent.place) {
            return Err(format!("{stamp} came from {came_from}"));
        }
        let number = |name: &str| frame.header(name).and_then(|text| text.parse::<u64>().ok());
        let (Some(reading), Some(offset)) = (number("subscription"), number(Start::HEADER)) else {
            return Err(format!("{stamp} came from nowhere: {:?}", frame.headers));
        };
        let reading = reading as usize;
        if frame.headers.is_true("redelivered") {
            return Err(format!("{stamp} is said to have come before"));
        }
        self.reads.take(reading, offset, stamp, ledger)?;
        if let Some(ack) = frame.header("ack").filter(|_| self.reads.reads(reading)) {
            self.loans.push((reading, ack.to_string()));
        }
        let loans = self.loans.iter().filter(|(other, _)| *other == reading).count();
        if loans > PREFETCH { Err(format!("{loans} are on loan, {PREFETCH} may be")) } else { Ok(()) }
    }
}

impl Client for StompReader {
    fn protocol(&self) -> &'static str {
        "stomp"
    }

    fn connect(&mut self) {
        self.say(&connect(self.number));
    }

    fn act(&mut self, dice: &mut Dice, ledger: &mut Ledger) {
        if !self.is_in {
            return;
        }
        if dice.percent(80) && !self.loans.is_empty() {
            for _ in 0..=dice.roll(self.loans.len()) {
                self.answer(dice);
            }
            return;
        }
        let stream = dice.roll(STREAMS);
        match self.reads.choose(stream, dice, ledger) {
            Some(start) => self.ask(stream, start, ledger),
            None if dice.percent(10) => self.leave(stream, ledger),
            None => {}
        }
    }

    fn finish(&mut self, ledger: &mut Ledger) -> bool {
        while let Some((_, ack)) = self.loans.pop() {
            self.say(&Frame::new(Command::Ack).with("id", ack));
        }
        if self.is_in && self.asked.is_empty() {
            for (stream, start) in self.reads.wanted() {
                self.ask(stream, start, ledger);
            }
        }
        self.is_in && self.asked.is_empty()
    }

    fn is_ready(&self) -> bool {
        true
    }

    fn outgoing(&mut self) -> &mut BytesMut {
        &mut self.outgoing
    }

    fn receive(&mut self, bytes: &[u8], _: bool, ledger: &mut Ledger) -> Result<(), String> {
        self.incoming.extend_from_slice(bytes);
        while let Some(frame) = heard::frame(&mut self.decoder, &mut self.incoming)? {
            self.hear(&frame, ledger)?;
        }
        Ok(())
    }

    fn heard(&mut self, _: u64) {}

    fn lose(&mut self, ledger: &mut Ledger) {
        self.is_in = false;
        self.outgoing.clear();
        self.incoming.clear();
        self.decoder = Decoder::default();
        self.asked.clear();
        self.loans.clear();
        self.reads.lose(ledger);
    }

    fn crash(&mut self) {}

    fn check(&self, ledger: &Ledger) -> Result<(), String> {
        self.reads.check(ledger)
    }
}

const PREFETCH: usize = 4;
