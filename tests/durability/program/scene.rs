//! Scene: what all actors share.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::Result;
use harness::dice::Dice;
use harness::wait::until;

use crate::delays::Delays;
use crate::estate::Wills;
use crate::ledger::{Ledger, Promise, Rules};
use crate::stream::Stream;
use crate::verdict::Verdict;

/// What everybody is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// Subscribers subscribe.
    Arriving,
    /// Publishers publish, subscribers come and go.
    Talking,
    /// Nothing new is published, everybody stays until all is settled.
    Draining,
    /// Everybody leaves.
    Over,
}

/// Where the broker is, what is going on, and the notes.
#[derive(Debug)]
pub(crate) struct Scene {
    pub(crate) mqtt: SocketAddr,
    pub(crate) stomp: SocketAddr,
    phase: AtomicU8,
    /// How many lives of the broker have ended.
    deaths: AtomicU64,
    ledger: Mutex<Ledger>,
    wills: Mutex<Wills>,
    stream: Mutex<Stream>,
    delays: Mutex<Delays>,
}

impl Scene {
    pub(crate) fn new(mqtt: SocketAddr, stomp: SocketAddr) -> Self {
        let (phase, deaths) = (AtomicU8::new(Phase::Arriving as u8), AtomicU64::new(0));
        Self {
            mqtt,
            stomp,
            phase,
            deaths,
            ledger: Mutex::default(),
            wills: Mutex::default(),
            stream: Mutex::default(),
            delays: Mutex::default(),
        }
    }

    pub(crate) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn wills(&self) -> MutexGuard<'_, Wills> {
        self.wills.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn stream(&self) -> MutexGuard<'_, Stream> {
        self.stream.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn delays(&self) -> MutexGuard<'_, Delays> {
        self.delays.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn publisher(&self, name: &'static str, promise: Promise) -> usize {
        self.ledger().add_publisher(name, promise)
    }

    pub(crate) fn subscriber(&self, name: &'static str, promise: Promise, rules: Rules) -> usize {
        self.ledger().add_subscriber(name, promise, rules)
    }

    /// The broker is about to die.
    pub(crate) fn die(&self) {
        self.deaths.fetch_add(1, Ordering::SeqCst);
    }

    /// Equal numbers: the same life of the broker, if it lived when the first was taken.
    pub(crate) fn life(&self) -> u64 {
        self.deaths.load(Ordering::SeqCst)
    }

    /// What somebody has done, for people to read.
    pub(crate) fn remark(&self, name: &'static str, remark: String) {
        self.ledger().remarks.insert(name, remark);
    }

    /// How much has to come yet to whoever this is.
    pub(crate) fn owe(&self, name: &'static str, count: usize) {
        self.ledger().owed.insert(name, count);
    }

    pub(crate) fn complain(&self, complaint: String) {
        self.ledger().complaints.push(complaint);
    }

    pub(crate) fn enter(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::SeqCst);
    }

    pub(crate) fn phase(&self) -> Phase {
        let phases = [Phase::Arriving, Phase::Talking, Phase::Draining];
        let current = self.phase.load(Ordering::SeqCst);
        phases.into_iter().find(|phase| *phase as u8 == current).unwrap_or(Phase::Over)
    }

    /// Whether that publisher may send something new: everybody else must be able to follow.
    pub(crate) fn may_publish(&self, publisher: usize) -> bool {
        self.phase() == Phase::Talking && self.ledger().behind(publisher) < BEHIND_MAX
    }

    pub(crate) fn try_connect(&self) -> io::Result<TcpStream> {
        TcpStream::connect(self.mqtt)
    }

    pub(crate) fn wait_subscribed(&self, within: Duration) -> Result<()> {
        until("all subscribers to be there", within, || {
            self.ledger().subscribers.iter().all(|subscriber| subscriber.subscribed).then_some(())
        })
    }

    /// Until everything has arrived everywhere, or nothing has arrived for `patience`.
    pub(crate) fn wait_drained(&self, patience: Duration) {
        let mut progress = 0;
        let mut since = Instant::now();
        while !self.ledger().is_drained() && since.elapsed() < patience {
            let now = self.ledger().progress();
            if now != progress {
                progress = now;
                since = Instant::now();
            }
            sleep(Duration::from_millis(50));
        }
        // Whatever comes too often may still be on its way.
        sleep(Duration::from_secs(1));
    }

    pub(crate) fn verdict(&self) -> Verdict {
        let broken = self.wills().broken();
        self.ledger().complaints.extend(broken);
        let remark = self.wills().remark();
        self.remark("wills", remark);
        Verdict::of(&self.ledger())
    }
}

/// When somebody who comes and goes wants to leave. While all is drained, nobody does.
#[derive(Debug)]
pub(crate) struct Stay {
    until: Instant,
}

impl Stay {
    pub(crate) fn new(dice: &mut Dice) -> Self {
        Self { until: Instant::now() + Duration::from_millis(50 + dice.below(3000)) }
    }

    pub(crate) fn is_over(&self, scene: &Scene) -> bool {
        match scene.phase() {
            Phase::Arriving | Phase::Draining => false,
            Phase::Talking => Instant::now() >= self.until,
            Phase::Over => true,
        }
    }
}

/// How far a publisher may be ahead of the slowest subscriber, in messages. More of them would make each start slower, and
/// the kills fewer.
const BEHIND_MAX: u64 = 400;
