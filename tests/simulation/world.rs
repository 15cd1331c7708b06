//! The world: one scheduler that decides by dice what happens next, to clients, network, disk and broker.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hasher};
use std::sync::Arc;
use std::time::Duration;

use engine::Definitions;
use mqtt::version::Version;

use crate::client::Client;
use crate::connection::Connection;
use crate::dice::Dice;
use crate::disk::Disk;
use crate::ledger::Ledger;
use crate::life::Life;
use crate::mqtt_client::{self, MqttClient};
use crate::mqtt_reader::MqttReader;
use crate::sent::{KEPT, Place, Stamp, TOPICS};
use crate::stomp_client::{self, StompClient, Subscription};
use crate::stomp_reader::StompReader;
use crate::streams;

/// Everything there is.
pub(crate) struct World {
    dice: Dice,
    life: Life,
    connections: Vec<Connection>,
    clients: Vec<Box<dyn Client>>,
    ledger: Ledger,
    /// How many connections got so far that the broker took something of them.
    greetings: u64,
    /// The same for all lives: to make the counters anew costs more than a start.
    store: storage::Options,
    declared: Definitions,
    mqtt: Arc<mqtt::Options>,
    stomp: Arc<stomp::options::Options>,
    /// What happened, where somebody wants to read it.
    log: Option<Vec<String>>,
    pub(crate) tally: Tally,
    /// Depends on everything that was said and on its order.
    fingerprint: DefaultHasher,
}

/// What happened, in numbers.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) steps: u64,
    pub(crate) crashes: u64,
    pub(crate) stops: u64,
    pub(crate) lost_connections: u64,
    pub(crate) sent: u64,
    pub(crate) deliveries: u64,
    pub(crate) repeated: u64,
    /// The same only if the same was said, in the same order.
    pub(crate) fingerprint: u64,
}

impl World {
    pub(crate) fn new(seed: u64, store: &storage::Options, logs: bool) -> Result<Self, String> {
        let declared = streams::declared();
        Ok(Self {
            dice: Dice::new(seed),
            life: Life::start(Disk::new(), store, &declared, 0)?,
            declared,
            store: store.clone(),
            connections: Vec::new(),
            clients: clients(),
            ledger: Ledger::default(),
            greetings: 0,
            mqtt: Arc::new(mqtt::Options { inflight_max: 4, ..mqtt::Options::default() }),
            stomp: Arc::new(stomp::options::Options::default()),
            log: logs.then(Vec::new),
            tally: Tally::default(),
            // The same for everybody.
            fingerprint: DefaultHasher::new(),
        })
    }

    /// So many steps with everything that may go wrong; then all comes to rest, and what was promised must be there.
    pub(crate) fn run(&mut self, steps: usize) -> Result<Tally, String> {
        // Whoever wants messages has said so before there are any.
        self.rest(|client, _| client.is_ready())?;
        for _ in 0..steps {
            self.step()?;
        }
        self.rest(|client, ledger| client.finish(ledger))?;
        self.let_all_be_due()?;
        for (number, client) in self.clients.iter().enumerate() {
            client.check(&self.ledger).map_err(|wrong| format!("client {number}: {wrong}"))?;
        }
        self.ledger.check_streams()?;
        self.check_late()?;
        // Only now somebody has read all of the streams.
        self.ledger.check_queues()?;
        self.tally.sent = self.ledger.sent.len() as u64;
        self.tally.deliveries = self.ledger.deliveries;
        self.tally.repeated = self.ledger.repeated;
        self.tally.fingerprint = self.fingerprint.finish();
        Ok(self.tally)
    }

    /// What happened, step by step.
    pub(crate) fn log(&self) -> &[String] {
        self.log.as_deref().unwrap_or_default()
    }

    fn note(&mut self, what: impl FnOnce() -> String) {
        if let Some(log) = &mut self.log {
            log.push(format!("{:5} {}", self.tally.steps, what()));
        }
    }

    fn step(&mut self) -> Result<(), String> {
        self.tally.steps += 1;
        match self.dice.roll(1000) {
            0..250 => self.act(),
            250..600 => self.carry(),
            600..780 => self.turn(),
            780..950 => self.work(),
            950..970 => {
                let time_ms = self.some_time_ms();
                self.pass(Duration::from_millis(time_ms))
            }
            970..985 => self.lose_connection(),
            985..998 => {
                self.life.look_around();
                Ok(())
            }
            998 => {
                self.life.disk.fail();
                Ok(())
            }
            _ if self.dice.percent(30) => self.stop(),
            _ => {
                let down_ms = if self.dice.percent(50) { 0 } else { self.some_time_ms() * 2 };
                self.crash("the machine stops", down_ms)
            }
        }
    }

    /// Mostly a little, often until just before or just when something is due.
    fn some_time_ms(&mut self) -> u64 {
        if self.dice.percent(35)
            && let Some(due) = self.ledger.next_due_ms()
        {
            return (due + 1 - self.ledger.now_ms - self.dice.roll(3) as u64).clamp(1, 8_000);
        }
        let time_ms = if self.dice.percent(80) { 200 } else { 8_000 };
        1 + self.dice.roll(time_ms) as u64
    }

    /// A client does something.
    fn act(&mut self) -> Result<(), String> {
        let number = self.dice.roll(self.clients.len());
        match self.connection_of(number) {
            Some(_) => self.clients[number].act(&mut self.dice, &mut self.ledger),
            None => self.connect(number),
        }
        self.send(number);
        Ok(())
    }

    fn connection_of(&self, number: usize) -> Option<usize> {
        self.connections.iter().position(|connection| connection.client == Some(number))
    }

    fn connect(&mut self, number: usize) {
        let inside = self.life.handle();
        let _inside = inside.enter();
        let protocol = self.clients[number].protocol();
        // A consumer whose last connection is not gone shares its queue with itself, and then order is not promised.
        if protocol == "stomp" && self.connections.iter().any(|one| one.owner == number) {
            return;
        }
        let now = self.life.now();
        let session: Box<dyn model::session::Session> = if protocol == "mqtt" {
            Box::new(mqtt::Session::new(Arc::clone(&self.mqtt), None, now))
        } else {
            Box::new(stomp::session::Session::new(Arc::clone(&self.stomp), None, now))
        };
        self.connections.push(Connection::new(number, session, self.life.connect(protocol)));
        self.clients[number].connect();
        self.note(|| format!("client {number} connects"));
    }

    /// What a client said is under way.
    fn send(&mut self, number: usize) {
        let Some(at) = self.connection_of(number) else { return };
        let said = self.clients[number].outgoing().split();
        if !said.is_empty() {
            self.note(|| format!("client {number} says {}", readable(&said)));
        }
        self.connections[at].up.extend_from_slice(&said);
    }

    /// Bytes arrive, cut anywhere.
    fn carry(&mut self) -> Result<(), String> {
        let busy: Vec<usize> =
            (0..self.connections.len()).filter(|at| self.connections[*at].is_under_way()).collect();
        let Some(at) = busy.get(self.dice.roll(busy.len())).copied() else { return Ok(()) };
        let there = self.connections[at].up.len().max(self.connections[at].down.len());
        let count = if self.dice.percent(70) { usize::MAX } else { 1 + self.dice.roll(there) };
        if self.dice.percent(50) {
            self.carry_up(at, count);
            return Ok(());
        }
        self.carry_down(at, count)
    }

    fn carry_up(&mut self, at: usize, count: usize) {
        let inside = self.life.handle();
        let _inside = inside.enter();
        let connection = &mut self.connections[at];
        if !connection.says_something() {
            return;
        }
        connection.arrive(count, self.life.now());
        let taken = connection.taken_bytes();
        if taken > 0 && connection.greeted_at.is_none() {
            self.greetings += 1;
            connection.greeted_at = Some(self.greetings);
        }
        let (owner, greeted_at) = (connection.owner, connection.greeted_at);
        // Should an older connection come later, it is the one that counts, and of this one nothing does.
        let counts = !self
            .connections
            .iter()
            .any(|other| other.owner == owner && other.is_open() && other.greeted_at > greeted_at);
        if let (Some(number), true) = (self.connections[at].client, counts) {
            self.clients[number].heard(taken);
        }
        self.sign(&taken.to_le_bytes());
    }

    fn carry_down(&mut self, at: usize, count: usize) -> Result<(), String> {
        let inside = self.life.handle();
        let _inside = inside.enter();
        let connection = &mut self.connections[at];
        let bytes = connection.down.split_to(count.min(connection.down.len()));
        let ends = connection.down.is_empty() && !connection.is_open();
        let Some(number) = connection.client else { return self.forget(at) };
        if !bytes.is_empty() {
            self.sign(&bytes);
            let is_live = self.connections[at].is_open();
            let heard = self.clients[number].receive(&bytes, is_live, &mut self.ledger);
            heard.map_err(|wrong| format!("client {number}: {wrong}"))?;
            self.note(|| format!("client {number} hears {}", readable(&bytes)));
            self.send(number);
        }
        if ends {
            self.connections[at].client = None;
            self.clients[number].lose(&mut self.ledger);
            self.note(|| format!("client {number} sees that its connection is closed"));
        }
        self.forget(at)
    }

    fn forget(&mut self, at: usize) -> Result<(), String> {
        if self.connections[at].is_over() {
            self.connections.swap_remove(at);
        }
        Ok(())
    }

    fn sign(&mut self, what: &[u8]) {
        self.fingerprint.write(what);
    }

    fn turn(&mut self) -> Result<(), String> {
        let inside = self.life.handle();
        let _inside = inside.enter();
        let called: Vec<usize> =
            (0..self.connections.len()).filter(|at| self.connections[*at].is_called()).collect();
        if let Some(at) = called.get(self.dice.roll(called.len())).copied() {
            let take_max = 1 + self.dice.roll(8);
            self.connections[at].turn(self.life.now(), take_max);
        }
        Ok(())
    }

    /// The store does something.
    fn work(&mut self) -> Result<(), String> {
        let inside = self.life.handle();
        let _inside = inside.enter();
        let store = &mut self.life.store;
        let done = match self.dice.roll(10) {
            0..3 => store.write(),
            3..6 => store.sync(),
            6..9 => {
                for _ in 0..=self.dice.roll(6) {
                    store.complete();
                }
                Ok(())
            }
            _ => store.read().map(drop),
        };
        match done {
            Ok(()) => Ok(()),
            // The process ends, as it says it does.
            Err(_) => self.crash("the disk failed", 0),
        }
    }

    /// Time goes by, and what is due by it happens.
    fn pass(&mut self, time: Duration) -> Result<(), String> {
        self.let_pass(time);
        let now = self.life.now();
        let inside = self.life.handle();
        let _inside = inside.enter();
        for connection in &mut self.connections {
            connection.expire(now);
        }
        self.note(|| format!("{time:?} go by"));
        Ok(())
    }

    fn let_pass(&mut self, time: Duration) {
        self.life.pass(time);
        self.ledger.now_ms = self.life.now_ms();
    }

    fn lose_connection(&mut self) -> Result<(), String> {
        let inside = self.life.handle();
        let _inside = inside.enter();
        let number = self.dice.roll(self.clients.len());
        let Some(at) = self.connection_of(number) else { return Ok(()) };
        self.tally.lost_connections += 1;
        let connection = &mut self.connections[at];
        connection.client = None;
        connection.down.clear();
        // Without a session there is no takeover: then somebody must notice.
        connection.is_mute = self.clients[number].protocol() == "mqtt" && self.dice.percent(40);
        connection.hung_up = true;
        if self.dice.percent(50) {
            let kept = self.dice.roll(connection.up.len() + 1);
            connection.up.truncate(kept);
        }
        let is_mute = connection.is_mute;
        self.clients[number].lose(&mut self.ledger);
        self.note(|| format!("client {number} loses its connection; unnoticed: {is_mute}"));
        self.forget(at)
    }

    /// Whatever is not on the disk is gone, and the broker starts again so many milliseconds later.
    fn crash(&mut self, why: &str, down_ms: u64) -> Result<(), String> {
        self.tally.crashes += 1;
        let unsynced = self.life.disk.unsynced();
        self.note(|| format!("{why} for {down_ms} ms, {unsynced} bytes are not synced"));
        let mut disk = self.life.disk.crash(&mut self.dice)?;
        for connection in &mut self.connections {
            connection.break_off();
            // What the broker said may have left it or not.
            if self.dice.percent(50) {
                connection.down.clear();
            }
        }
        for client in &mut self.clients {
            client.crash();
        }
        self.connections.retain(|connection| !connection.is_over());
        let start = |disk, now_ms| Life::start(disk, &self.store, &self.declared, now_ms);
        let now_ms = self.ledger.now_ms + down_ms;
        let mut life = start(disk, now_ms)?;
        while self.dice.percent(20) {
            // And once more, before anybody came.
            disk = life.disk.crash(&mut self.dice)?;
            life = start(disk, now_ms)?;
        }
        self.begin(life);
        Ok(())
    }

    fn begin(&mut self, life: Life) {
        self.life = life;
        self.ledger.now_ms = self.life.now_ms();
    }

    /// The broker stops in order, and starts again. Nothing is lost by that, not even what nobody was told of.
    fn stop(&mut self) -> Result<(), String> {
        let inside = self.life.handle();
        let _inside = inside.enter();
        self.note(|| "the broker stops".into());
        self.tally.stops += 1;
        self.life.disk.heal();
        let stopping = self.life.stop();
        for _ in 0..STOP_ROUNDS_MAX {
            self.let_pass(Duration::from_millis(10));
            let now = self.life.now();
            for connection in &mut self.connections {
                connection.turn(now, 100);
            }
            self.drain()?;
            if stopping.is_finished() {
                self.drain()?;
                for connection in &mut self.connections {
                    connection.break_off();
                }
                self.connections.retain(|connection| !connection.is_over());
                let disk = self.life.disk.crash(&mut self.dice)?;
                let now_ms = self.ledger.now_ms + self.some_time_ms();
                let life = Life::start(disk, &self.store, &self.declared, now_ms)?;
                self.begin(life);
                return Ok(());
            }
        }
        let open = self.connections.iter().filter(|connection| connection.is_open()).count();
        Err(format!("the broker does not stop; {open} connections are open"))
    }

    /// The store does all that it can.
    fn drain(&mut self) -> Result<(), String> {
        let inside = self.life.handle();
        let _inside = inside.enter();
        let store = &mut self.life.store;
        store.write().and_then(|()| store.sync()).map_err(|error| error.to_string())?;
        while store.complete() {}
        Ok(())
    }

    /// What still waits for its time becomes due, be it while the machine is down: then it is there at once.
    fn let_all_be_due(&mut self) -> Result<(), String> {
        let left_ms = self.ledger.all_due_ms().saturating_sub(self.ledger.now_ms).max(1);
        if self.dice.percent(50) {
            self.crash("the machine stops until all is due", left_ms)?;
        } else {
            self.pass(Duration::from_millis(left_ms))?;
        }
        // Some rounds of ten milliseconds each: nothing calls anybody before the engine has looked around.
        for _ in 0..ROUNDS_AT_ONCE {
            self.rest(|client, ledger| client.finish(ledger))?;
        }
        Ok(())
    }

    /// Who comes when all is over finds of each place that keeps its last message the last one that was acknowledged, and in each
    /// stream all that has to be there, whatever happened.
    fn check_late(&mut self) -> Result<(), String> {
        if self.dice.percent(50) {
            let down_ms = self.some_time_ms();
            self.crash("the machine stops once more", down_ms)?;
        }
        // What has been there for too long goes when the engine looks around.
        self.pass(Duration::from_millis(10))?;
        let number = self.clients.len();
        self.clients.push(Box::new(MqttClient::new(number, LATE)));
        self.clients.push(Box::new(MqttReader::new(number + 1, true)));
        self.clients.push(Box::new(StompReader::new(number + 2, true)));
        self.rest(|client, ledger| client.finish(ledger))?;
        for reader in &self.clients[number + 1..] {
            reader.check(&self.ledger).map_err(|wrong| format!("who came late: {wrong}"))?;
        }
        self.ledger.check_streams()?;
        let got = self.clients[number].kept();
        let mut last: BTreeMap<Place, Stamp> = BTreeMap::new();
        for (stamp, sent) in self.ledger.sent.iter().enumerate() {
            if (KEPT..TOPICS).contains(&sent.place) && sent.acked {
                last.insert(sent.place, stamp);
            }
        }
        let wanted: BTreeSet<Stamp> = last.into_values().collect();
        if got == wanted { Ok(()) } else { Err(format!("{got:?} are kept, and should be {wanted:?}")) }
    }

    /// Nothing goes wrong any more: until nothing happens, and `is_done` is true of everybody.
    fn rest(&mut self, is_done: impl Fn(&mut dyn Client, &mut Ledger) -> bool) -> Result<(), String> {
        self.life.disk.heal();
        for _ in 0..ROUNDS_MAX {
            let mut all_done = true;
            for number in 0..self.clients.len() {
                if self.connection_of(number).is_none() {
                    self.connect(number);
                }
                all_done &= is_done(&mut *self.clients[number], &mut self.ledger);
                self.send(number);
            }
            if self.round()? && all_done {
                return Ok(());
            }
        }
        let mut waiting = Vec::new();
        for (number, client) in self.clients.iter_mut().enumerate() {
            if !is_done(&mut **client, &mut self.ledger) {
                waiting.push(format!("client {number}: {:?}", client.check(&self.ledger)));
            }
        }
        Err(format!("never comes to rest: {}", waiting.join(", ")))
    }

    /// Everything moves as far as it can. Whether nothing did.
    fn round(&mut self) -> Result<bool, String> {
        let inside = self.life.handle();
        let _inside = inside.enter();
        let mut is_quiet = true;
        let now = self.life.now();
        for at in (0..self.connections.len()).rev() {
            let connection = &self.connections[at];
            is_quiet &= !connection.says_something() && !connection.is_called() && connection.down.is_empty();
            self.carry_up(at, usize::MAX);
            if self.connections[at].is_called() {
                self.connections[at].turn(now, 100);
            }
            self.carry_down(at, usize::MAX)?;
        }
        let store = &mut self.life.store;
        let worked = store.write().and_then(|()| store.sync()).and_then(|()| store.read());
        is_quiet &= !worked.map_err(|error| error.to_string())?;
        while store.complete() {
            is_quiet = false;
        }
        if is_quiet {
            self.let_pass(Duration::from_millis(10));
        }
        Ok(is_quiet)
    }
}

/// Bytes, for people: what is no text is left out, and so is what is long.
fn readable(bytes: &[u8]) -> String {
    let dots = |byte: &u8| if (b' '..0x7f).contains(byte) { char::from(*byte) } else { '|' };
    let text: String = bytes.iter().map(dots).collect();
    text.split_inclusive("....").filter(|part| *part != "....").collect()
}

fn clients() -> Vec<Box<dyn Client>> {
    let mqtt = [
        mqtt_client::Habits { version: Version::V5, filters: &[], hears: &[], publishes: &[0, 1, 2, 6, 8] },
        mqtt_client::Habits {
            version: Version::V311,
            filters: &[("k/0", 1)],
            hears: &[(0, 1)],
            publishes: &[0, 1, 3, 6, 7],
        },
        mqtt_client::Habits {
            version: Version::V5,
            filters: &[("k/#", 2)],
            hears: &[(0, 2), (1, 2)],
            publishes: &[1],
        },
        mqtt_client::Habits {
            version: Version::V311,
            filters: &[("+/1", 2), ("k/0", 0)],
            hears: &[(0, 0), (1, 2), (3, 2)],
            publishes: &[],
        },
    ];
    let stomp = [
        stomp_client::Habits { consumes: &[], sends: &[4, 5, 1, 6, 7] },
        stomp_client::Habits {
            consumes: &[
                Subscription { place: 4, is_cumulative: false, is_alone: true },
                Subscription { place: 5, is_cumulative: false, is_alone: false },
            ],
            sends: &[5, 6, 8],
        },
        stomp_client::Habits {
            consumes: &[Subscription { place: 5, is_cumulative: true, is_alone: false }],
            sends: &[4],
        },
    ];
    let mut clients: Vec<Box<dyn Client>> = Vec::new();
    for habits in mqtt {
        clients.push(Box::new(MqttClient::new(clients.len(), habits)));
    }
    for habits in stomp {
        clients.push(Box::new(StompClient::new(clients.len(), habits)));
    }
    clients.push(Box::new(MqttReader::new(clients.len(), false)));
    clients.push(Box::new(StompReader::new(clients.len(), false)));
    clients
}

/// Comes when all is over, and hears what was kept.
const LATE: mqtt_client::Habits = mqtt_client::Habits {
    version: Version::V5,
    filters: &[("kept/#", 1)],
    hears: &[(2, 1), (3, 1)],
    publishes: &[],
};
/// What is due and nobody has is there after so many times of coming to rest.
const ROUNDS_AT_ONCE: usize = 20;
const ROUNDS_MAX: usize = 3000;
const STOP_ROUNDS_MAX: usize = 1000;
