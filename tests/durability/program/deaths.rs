//! Deaths: how the broker comes to its end, and that it comes to the right one.

use std::fmt;
use std::process::ExitStatus;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::Result;
use harness::broker::Broker;
use harness::dice::Dice;
use harness::faults::{Disk, Fault};
use harness::undone::Extent;

use crate::options::Options;
use crate::scene::Scene;

/// All that there were.
pub(crate) struct Deaths<'a> {
    disk: Option<&'a Disk>,
    fault: Option<Fault>,
    /// However it died.
    pub(crate) kills: u32,
    pub(crate) during_start: u32,
    pub(crate) slowest_start: Duration,
    /// How often it ended by itself, with exit code 74.
    ended: u32,
    /// How often a full disk was survived.
    held: u32,
    /// Changes to the disk that were undone.
    undone: usize,
}

impl<'a> Deaths<'a> {
    pub(crate) const fn new(options: &Options, disk: Option<&'a Disk>) -> Self {
        Self {
            disk,
            fault: options.fault,
            kills: 0,
            during_start: 0,
            slowest_start: Duration::ZERO,
            ended: 0,
            held: 0,
            undone: 0,
        }
    }

    /// It dies, its disk does what it does then, and it is started again.
    pub(crate) fn strike(&mut self, broker: &mut Broker, scene: &Scene, dice: &mut Dice) -> Result<()> {
        scene.die();
        self.kills += 1;
        if let (Some(disk), Some(fault)) = (self.disk, self.fault) {
            let serves = scene.try_connect().is_ok();
            disk.begin(fault, dice)?;
            match fault {
                Fault::Power => sleep(Duration::from_millis(dice.below(120))),
                Fault::Slow => sleep(Duration::from_millis(dice.below(2500))),
                Fault::Full => self.fill(broker, scene, disk)?,
                Fault::Read | Fault::State | Fault::Removal => self.endure(broker, scene, disk, serves)?,
                Fault::Write | Fault::Sync => {
                    if let Some(status) = wait_end(broker, Duration::from_secs(3)) {
                        self.ends(scene, disk, status)?;
                    }
                }
            }
            broker.kill();
            self.undone += disk.cut(Extent::any(dice), dice)?;
            if fault == Fault::Read && dice.chance(50) {
                self.start_blind(broker, scene, disk, dice)?;
            }
        } else {
            broker.kill();
        }
        // What was begun in between was begun in the life that has ended.
        scene.die();
        broker.launch()
    }

    /// The disk is full for three seconds. Where the journal has its space, the broker lives on, and must be of use again;
    /// where it has not, it ends.
    fn fill(&mut self, broker: &mut Broker, scene: &Scene, disk: &Disk) -> Result<()> {
        let status = wait_end(broker, Duration::from_secs(3));
        if let Some(status) = status {
            return self.ends(scene, disk, status);
        }
        self.goes_on(scene, disk)
    }

    /// For three seconds something fails that no acknowledgement stands on: it lives on, if it has read all that it serves.
    fn endure(&mut self, broker: &mut Broker, scene: &Scene, disk: &Disk, serves: bool) -> Result<()> {
        let Some(status) = wait_end(broker, Duration::from_secs(3)) else {
            return self.goes_on(scene, disk);
        };
        if serves {
            scene
                .complain(format!("the broker ended with {status}; no acknowledgement stood on what failed"));
        }
        self.ends(scene, disk, status)
    }

    /// Nothing fails any more, and the broker must be of use again.
    fn goes_on(&mut self, scene: &Scene, disk: &Disk) -> Result<()> {
        self.held += u32::from(disk.failed()? > 0);
        disk.repair()?;
        let before = scene.ledger().progress();
        let end = Instant::now() + Duration::from_secs(20);
        while scene.ledger().progress() <= before {
            if Instant::now() > end {
                scene.complain("the disk is well again, and nothing goes on".to_owned());
                break;
            }
            sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Some or all of what the dead one left cannot be read: the next one ends and says so, or has had no need of it.
    fn start_blind(
        &mut self,
        broker: &mut Broker,
        scene: &Scene,
        disk: &Disk,
        dice: &mut Dice,
    ) -> Result<()> {
        let readable = if dice.chance(30) { 0 } else { dice.below(60) };
        disk.fail_reads_after(readable)?;
        // Perhaps it reads enough to serve: what is said then is said in a life of its own.
        scene.die();
        broker.launch()?;
        match wait_end(broker, Duration::from_secs(3)) {
            Some(status) => self.ends(scene, disk, status)?,
            None if readable == 0 && scene.try_connect().is_ok() => {
                scene.complain("it serves, and has read nothing of its store".to_owned());
            }
            None => {}
        }
        scene.die();
        broker.kill();
        disk.cut(Extent::All, dice)?;
        Ok(())
    }

    /// It ended by itself: because of the disk, and it said so.
    fn ends(&mut self, scene: &Scene, disk: &Disk, status: ExitStatus) -> Result<()> {
        self.ended += 1;
        if status.code() != Some(BROKEN_DISK) || disk.failed()? == 0 {
            scene.complain(format!("the broker ended with {status}; {} calls had failed", disk.failed()?));
        }
        Ok(())
    }
}

impl fmt::Display for Deaths<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "killed {} times, {} of them before the doors were open; slowest start {:?}",
            self.kills, self.during_start, self.slowest_start
        )?;
        if self.disk.is_some() {
            let Self { ended, held, undone, .. } = self;
            write!(f, "; ended by itself {ended} times, lived through {held}, {undone} changes undone")?;
        }
        Ok(())
    }
}

/// How it ended, if it does within that time.
fn wait_end(broker: &mut Broker, within: Duration) -> Option<ExitStatus> {
    let end = Instant::now() + within;
    while broker.is_running() && Instant::now() < end {
        sleep(Duration::from_millis(10));
    }
    if broker.is_running() { None } else { broker.wait(Duration::from_secs(1)).ok() }
}

/// EX_IOERR: the disk failed.
pub(crate) const BROKEN_DISK: i32 = 74;
