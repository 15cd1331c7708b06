//! A correct STOMP client: sends with receipts, takes with acknowledgements, and does both in transactions.

use std::collections::{BTreeMap, BTreeSet};

use bytes::BytesMut;
use stomp::decode::Decoder;
use stomp::encode;
use stomp::frame::{Command, Frame};
use stomp::version::Version;

use crate::client::Client;
use crate::dice::{Dice, any_delay_ms};
use crate::heard;
use crate::ledger::Ledger;
use crate::sent::{Place, Sent, Stamp, TOPICS, destination};

/// How a client is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Habits {
    pub(crate) consumes: &'static [Subscription],
    pub(crate) sends: &'static [Place],
}

/// A subscription to a queue.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Subscription {
    pub(crate) place: Place,
    /// `client`: what comes before is acknowledged too.
    pub(crate) is_cumulative: bool,
    /// Nobody else takes from that queue: then its order can be told.
    pub(crate) is_alone: bool,
}

pub(crate) struct StompClient {
    number: usize,
    habits: Habits,
    phase: Phase,
    decoder: Decoder,
    outgoing: BytesMut,
    incoming: BytesMut,
    sent: u32,
    /// Sent under an id, and not answered, with how long they wait: they are sent again.
    named: Vec<(u32, Place, u64)>,
    receipts: u64,
    /// What a receipt will mean.
    waits_for: BTreeMap<u64, Meaning>,
    /// On loan, in the order they came, by subscription.
    loans: Vec<Vec<Loan>>,
    /// The last one of each sender, by subscription, on this connection.
    newest: BTreeMap<(usize, usize), Stamp>,
    /// Of what was delayed, by subscription: what was due last of what came on this connection, and when at the earliest.
    due: BTreeMap<usize, (u64, Stamp)>,
    /// Given back, with the receipt that was asked for, and not come again.
    returned: BTreeMap<Stamp, u64>,
    /// Of those, the ones that the broker said it has back.
    is_back: BTreeSet<Stamp>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Away,
    Knocking,
    In,
}

#[derive(Debug)]
struct Loan {
    stamp: Stamp,
    ack: String,
}

/// What has happened once a receipt comes.
#[derive(Debug, Default)]
struct Meaning {
    sent: Vec<Stamp>,
    /// By its number.
    named: Option<u32>,
    consumed: Vec<Stamp>,
    returned: Vec<Stamp>,
    transaction: Option<(usize, bool)>,
}

impl StompClient {
    pub(crate) fn new(number: usize, habits: Habits) -> Self {
        Self {
            number,
            habits,
            phase: Phase::Away,
            decoder: Decoder::default(),
            outgoing: BytesMut::new(),
            incoming: BytesMut::new(),
            sent: 0,
            named: Vec::new(),
            receipts: 0,
            waits_for: BTreeMap::new(),
            loans: habits.consumes.iter().map(|_| Vec::new()).collect(),
            newest: BTreeMap::new(),
            due: BTreeMap::new(),
            returned: BTreeMap::new(),
            is_back: BTreeSet::new(),
        }
    }

    fn say(&mut self, frame: &Frame) {
        encode::encode(frame, Version::V1_2, &mut self.outgoing);
    }

    fn say_with_receipt(&mut self, frame: Frame, meaning: Meaning) {
        self.receipts += 1;
        self.waits_for.insert(self.receipts, meaning);
        self.say(&frame.with("receipt", self.receipts.to_string()));
    }

    fn frame_to_send(
        &mut self,
        place: Place,
        transaction: Option<usize>,
        delay_ms: u64,
        ledger: &mut Ledger,
    ) -> (Frame, Stamp) {
        self.sent += 1;
        let (by, number) = (self.number, self.sent);
        let stamp = ledger.send(Sent { transaction, ..plain(by, place, number, delay_ms) });
        (frame(place, stamp, delay_ms), stamp)
    }

    fn send(&mut self, dice: &mut Dice, ledger: &mut Ledger) {
        let places = self.habits.sends;
        for _ in 0..=dice.roll(4) {
            let place = places[dice.roll(places.len())];
            let delay_ms = if dice.percent(20) { any_delay_ms(dice) } else { 0 };
            if dice.percent(30) {
                self.sent += 1;
                self.named.push((self.sent, place, delay_ms));
                self.send_named(self.sent, place, delay_ms, ledger);
            } else {
                let (frame, stamp) = self.frame_to_send(place, None, delay_ms, ledger);
                self.say_with_receipt(frame, Meaning { sent: vec![stamp], ..Meaning::default() });
            }
        }
    }

    /// For the first time, or again.
    fn send_named(&mut self, number: u32, place: Place, delay_ms: u64, ledger: &mut Ledger) {
        let sent = Sent { is_named: true, ..plain(self.number, place, number, delay_ms) };
        let frame = frame(place, ledger.send(sent), delay_ms).with("x-dedup-id", number.to_string());
        self.say_with_receipt(frame, Meaning { named: Some(number), ..Meaning::default() });
    }

    /// BEGIN to COMMIT or ABORT, with messages to queues, and with what is on loan.
    fn transact(&mut self, dice: &mut Dice, ledger: &mut Ledger) {
        ledger.transactions.push(None);
        let transaction = ledger.transactions.len() - 1;
        let name = format!("t{transaction}");
        self.say(&Frame::new(Command::Begin).with("transaction", name.clone()));
        let mut meaning = Meaning::default();
        let is_committed = dice.percent(75);
        for _ in 0..=dice.roll(3) {
            let queues: Vec<Place> =
                self.habits.sends.iter().copied().filter(|place| *place >= TOPICS).collect();
            let place = queues[dice.roll(queues.len())];
            let delay_ms = if dice.percent(20) { any_delay_ms(dice) } else { 0 };
            let (frame, stamp) = self.frame_to_send(place, Some(transaction), delay_ms, ledger);
            self.say(&frame.with("transaction", name.clone()));
            meaning.sent.push(stamp);
        }
        if is_committed && let Some((subscription, loan)) = self.pick(dice) {
            let (consumed, frame) = self.acknowledge(subscription, loan);
            self.say(&frame.with("transaction", name.clone()));
            meaning.consumed = consumed;
        }
        meaning.transaction = Some((transaction, is_committed));
        let command = if is_committed { Command::Commit } else { Command::Abort };
        self.say_with_receipt(Frame::new(command).with("transaction", name), meaning);
    }

    /// One of what is on loan.
    fn pick(&self, dice: &mut Dice) -> Option<(usize, usize)> {
        let some: Vec<usize> = (0..self.loans.len()).filter(|one| !self.loans[*one].is_empty()).collect();
        let subscription = *some.get(dice.roll(some.len()))?;
        Some((subscription, dice.roll(self.loans[subscription].len())))
    }

    fn acknowledge(&mut self, subscription: usize, loan: usize) -> (Vec<Stamp>, Frame) {
        let loans = &mut self.loans[subscription];
        let frame = Frame::new(Command::Ack).with("id", loans[loan].ack.clone());
        let from = if self.habits.consumes[subscription].is_cumulative { 0 } else { loan };
        (loans.drain(from..=loan).map(|loan| loan.stamp).collect(), frame)
    }

    fn settle(&mut self, dice: &mut Dice) {
        let Some((subscription, loan)) = self.pick(dice) else { return };
        if dice.percent(25) && !self.habits.consumes[subscription].is_cumulative {
            let Loan { stamp, ack } = self.loans[subscription].remove(loan);
            self.returned.insert(stamp, self.receipts + 1);
            let meaning = Meaning { returned: vec![stamp], ..Meaning::default() };
            return self.say_with_receipt(Frame::new(Command::Nack).with("id", ack), meaning);
        }
        let (consumed, frame) = self.acknowledge(subscription, loan);
        if dice.percent(70) {
            self.say_with_receipt(frame, Meaning { consumed, ..Meaning::default() });
        } else {
            self.say(&frame);
        }
    }

    fn hear(&mut self, frame: &Frame, is_live: bool, ledger: &mut Ledger) -> Result<(), String> {
        match (frame.command, self.phase) {
            (Command::Connected, Phase::Knocking) => {
                self.phase = Phase::In;
                for (number, place, delay_ms) in self.named.clone() {
                    self.send_named(number, place, delay_ms, ledger);
                }
                for (id, subscription) in self.habits.consumes.iter().enumerate() {
                    let ack = if subscription.is_cumulative { "client" } else { "client-individual" };
                    self.say(
                        &Frame::new(Command::Subscribe)
                            .with("id", id.to_string())
                            .with("destination", destination(subscription.place))
                            .with("ack", ack)
                            .with("prefetch-count", PREFETCH.to_string()),
                    );
                }
                Ok(())
            }
            (Command::Receipt, Phase::In) => self.receipt(frame, ledger),
            (Command::Message, Phase::In) => self.take(frame, is_live, ledger),
            (Command::Error, _) if is_farewell(frame) => Ok(()),
            _ => Err(format!("{} came: {:?}", frame.command, frame.headers)),
        }
    }

    fn receipt(&mut self, frame: &Frame, ledger: &mut Ledger) -> Result<(), String> {
        let id = frame.header("receipt-id").and_then(|id| id.parse::<u64>().ok()).unwrap_or(0);
        let Some(meaning) = self.waits_for.remove(&id) else {
            return Err(format!("a receipt came for nothing: {id}"));
        };
        let is_done = meaning.transaction.is_none_or(|(_, is_committed)| is_committed);
        if let Some((transaction, is_committed)) = meaning.transaction {
            ledger.transactions[transaction] = Some(is_committed);
        }
        for stamp in meaning.sent.iter().filter(|_| is_done) {
            ledger.acknowledge(*stamp);
        }
        if let Some(number) = meaning.named {
            ledger.acknowledge_once(self.number, number);
            self.named.retain(|(named, ..)| *named != number);
        }
        ledger.consumed.extend(meaning.consumed);
        // It may have come again before that, and have been given back once more.
        self.is_back.extend(meaning.returned.iter().filter(|stamp| self.returned.get(stamp) == Some(&id)));
        Ok(())
    }

    fn take(&mut self, frame: &Frame, is_live: bool, ledger: &mut Ledger) -> Result<(), String> {
        let (stamp, sent) = ledger.find(&frame.body)?;
        let (by, place) = (sent.by, sent.place);
        let subscription = frame.header("subscription").and_then(|id| id.parse::<usize>().ok());
        let wanted = subscription.and_then(|id| Some((id, self.habits.consumes.get(id)?)));
        let Some((id, habit)) = wanted.filter(|(_, wanted)| wanted.place == place) else {
            return Err(format!("{stamp} came for {subscription:?}"));
        };
        ledger.deliver(stamp, frame.headers.is_true("redelivered"), is_live)?;
        if habit.is_alone {
            self.check_order(stamp, (id, by), ledger)?;
        }
        let ack = frame.header("ack").ok_or_else(|| format!("{stamp} came without an id for ACK"))?;
        self.loans[id].push(Loan { stamp, ack: ack.to_string() });
        if self.loans[id].len() > PREFETCH {
            return Err(format!("{} are on loan, {PREFETCH} may be", self.loans[id].len()));
        }
        Ok(())
    }

    fn check_order(&mut self, stamp: Stamp, from: (usize, usize), ledger: &Ledger) -> Result<(), String> {
        self.is_back.remove(&stamp);
        if self.returned.remove(&stamp).is_some() {
            return Ok(());
        }
        let Sent { place, delay_ms, .. } = ledger.sent[stamp];
        if delay_ms > 0 {
            return self.check_order_of_due(stamp, from.0, ledger);
        }
        let older = self.is_back.iter().find(|back| {
            let sent = &ledger.sent[**back];
            **back < stamp && sent.by == from.1 && sent.place == place && sent.delay_ms == 0
        });
        if let Some(older) = older {
            return Err(format!("{stamp} came before {older}, which was given back"));
        }
        if let Some(before) = self.newest.insert(from, stamp).filter(|before| *before >= stamp) {
            return Err(format!("{stamp} came behind {before} on the same connection"));
        }
        Ok(())
    }

    /// What was delayed comes in the order in which it is due.
    fn check_order_of_due(
        &mut self,
        stamp: Stamp,
        subscription: usize,
        ledger: &Ledger,
    ) -> Result<(), String> {
        let sent = &ledger.sent[stamp];
        let due = sent.sent_at_ms + sent.delay_ms;
        let last = self.due.entry(subscription).or_insert((due, stamp));
        if let Some(by) = ledger.due_by(stamp).filter(|by| *by < last.0) {
            return Err(format!("{stamp}, due by {by}, came behind {}, due at {}", last.1, last.0));
        }
        *last = (*last).max((due, stamp));
        Ok(())
    }
}

impl Client for StompClient {
    fn protocol(&self) -> &'static str {
        "stomp"
    }

    fn connect(&mut self) {
        self.phase = Phase::Knocking;
        self.say(&connect(self.number));
    }

    fn act(&mut self, dice: &mut Dice, ledger: &mut Ledger) {
        if self.phase != Phase::In {
            return;
        }
        match dice.roll(10) {
            0..6 => self.settle(dice),
            6..9 if self.waits_for.len() < 12 && !self.habits.sends.is_empty() => self.send(dice, ledger),
            9 if self.waits_for.len() < 12 && self.habits.sends.iter().any(|place| *place >= TOPICS) => {
                self.transact(dice, ledger);
            }
            _ => {}
        }
    }

    fn finish(&mut self, _: &mut Ledger) -> bool {
        for subscription in 0..self.loans.len() {
            while let Some(last) = self.loans[subscription].len().checked_sub(1) {
                let (consumed, frame) = self.acknowledge(subscription, last);
                self.say_with_receipt(frame, Meaning { consumed, ..Meaning::default() });
            }
        }
        self.phase == Phase::In && self.waits_for.is_empty()
    }

    fn is_ready(&self) -> bool {
        true
    }

    fn outgoing(&mut self) -> &mut BytesMut {
        &mut self.outgoing
    }

    fn receive(&mut self, bytes: &[u8], is_live: bool, ledger: &mut Ledger) -> Result<(), String> {
        self.incoming.extend_from_slice(bytes);
        while let Some(frame) = heard::frame(&mut self.decoder, &mut self.incoming)? {
            self.hear(&frame, is_live, ledger)?;
        }
        Ok(())
    }

    fn heard(&mut self, _: u64) {}

    fn lose(&mut self, _: &mut Ledger) {
        self.phase = Phase::Away;
        self.outgoing.clear();
        self.incoming.clear();
        self.decoder = Decoder::default();
        // What was asked may have happened or not.
        self.waits_for.clear();
        self.loans.iter_mut().for_each(Vec::clear);
        self.newest.clear();
        self.due.clear();
        self.returned.clear();
        self.is_back.clear();
    }

    fn crash(&mut self) {}

    fn check(&self, _: &Ledger) -> Result<(), String> {
        if self.waits_for.is_empty() {
            Ok(())
        } else {
            Err(format!("was never answered: {:?}", self.waits_for))
        }
    }
}

/// How a client of that number begins.
pub(crate) fn connect(number: usize) -> Frame {
    Frame::new(Command::Connect)
        .with("accept-version", "1.2")
        .with("host", "/")
        .with("login", format!("user-{number}"))
}

fn plain(by: usize, place: Place, number: u32, delay_ms: u64) -> Sent {
    let (qos, acked, is_named, transaction, sent_at_ms) = (1, false, false, None, 0);
    Sent { by, place, number, qos, acked, is_named, transaction, delay_ms, sent_at_ms }
}

fn frame(place: Place, stamp: Stamp, delay_ms: u64) -> Frame {
    let frame = Frame::new(Command::Send)
        .with("destination", destination(place))
        .with("persistent", "true")
        .with_body(Ledger::body(stamp));
    if delay_ms > 0 { frame.with("x-delay", delay_ms.to_string()) } else { frame }
}

/// Why the broker may end a connection: time goes by in leaps, or it stops.
pub(crate) fn is_farewell(frame: &Frame) -> bool {
    let is = |header: &str, text: &str| frame.header(header).is_some_and(|value| value == text);
    LEAVES.iter().any(|text| is("message", text)) || is("error-code", "connection_forced")
}

const LEAVES: [&str; 3] = ["Connect timed out", "Transaction timed out", "Broker stopping"];
const PREFETCH: usize = 4;
