//! Faults below the broker: the library of durability/shim/faults.c, built, preloaded and told what to do.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, bail, ensure};

use crate::binary::root;
use crate::broker::Setup;
use crate::dice::Dice;
use crate::undone::{self, Extent};

/// What happens to the disk, beside that the process is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// What was not synced is gone.
    Power,
    /// For three seconds nothing can grow, or nothing be written at all.
    Full,
    /// A write fails.
    Write,
    /// An fsync fails, and what it was for is gone.
    Sync,
    /// Each fsync takes half a second longer.
    Slow,
    /// Nothing can be read.
    Read,
    /// sled's files cannot be written.
    State,
    /// No journal file can be given up.
    Removal,
}

impl Fault {
    /// All of them, by name.
    pub const ALL: [(&'static str, Self); 8] = [
        ("power", Self::Power),
        ("full", Self::Full),
        ("write", Self::Write),
        ("sync", Self::Sync),
        ("slow", Self::Slow),
        ("read", Self::Read),
        ("state", Self::State),
        ("removal", Self::Removal),
    ];
}

/// The library's side of one data directory.
#[derive(Debug)]
pub struct Disk {
    data: PathBuf,
    control: File,
}

impl Disk {
    /// Prepares a disk for the data directory, which must be an absolute path.
    ///
    /// # Errors
    ///
    /// If its files cannot be made.
    pub fn new(data: &Path) -> Result<Self> {
        let data = data.to_owned();
        // Of a run before.
        let _ = fs::remove_file(log(&data));
        let _ = fs::remove_dir_all(undone::kept(&data));
        fs::create_dir_all(undone::kept(&data))?;
        fs::create_dir_all(&data)?;
        let control = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(data.with_extension("control"))?;
        control.set_len(4096)?;
        Ok(Self { data, control })
    }

    /// The broker that is to use it.
    ///
    /// # Errors
    ///
    /// If the library cannot be built.
    pub fn beneath(&self, setup: Setup) -> Result<Setup> {
        Ok(setup
            .data(&self.data)
            .environment("LD_PRELOAD", &built()?)
            .environment("FAULTS_DATA", &self.data)
            .environment("FAULTS_LOG", &log(&self.data))
            .environment("FAULTS_KEPT", &undone::kept(&self.data))
            .environment("FAULTS_CONTROL", &self.data.with_extension("control")))
    }

    /// A power cut, after the broker has died. Then the disk does its work again, and what it has is there to stay.
    ///
    /// # Errors
    ///
    /// If its files cannot be written, or the log is damaged.
    pub fn cut(&self, extent: Extent, dice: &mut Dice) -> Result<usize> {
        let undone = undone::undo(&log(&self.data), &self.data, extent, dice)?;
        self.repair()?;
        let _ = fs::remove_file(log(&self.data));
        for entry in fs::read_dir(undone::kept(&self.data))? {
            fs::remove_file(entry?.path())?;
        }
        Ok(undone)
    }

    /// A new disk, after the broker has died.
    ///
    /// # Errors
    ///
    /// If its files cannot be removed.
    pub fn empty(&self) -> Result<()> {
        self.cut(Extent::All, &mut Dice::new(0))?;
        fs::remove_dir_all(&self.data)?;
        Ok(fs::create_dir(&self.data)?)
    }

    /// Nothing fails any more.
    ///
    /// # Errors
    ///
    /// If the page cannot be written.
    pub fn repair(&self) -> Result<()> {
        self.control.write_all_at(&[0; WORDS * 8], 0)?;
        Ok(())
    }

    /// The fault begins; what fails is one of the next calls.
    ///
    /// # Errors
    ///
    /// If the page cannot be read or written.
    pub fn begin(&self, fault: Fault, dice: &mut Dice) -> Result<()> {
        match fault {
            // So that it dies while somebody waits for the disk, and not mostly when nobody does.
            Fault::Power => self.set(SYNC_DELAY_US, dice.below(60_000)),
            // With space reserved, writes go on where there is something to write over; where they never write over, not.
            Fault::Full => self.set(FULL, if dice.chance(50) { GROWTH } else { ALL_WRITES }),
            Fault::Write => self.set(FAIL_WRITE_AT, self.get(WRITES)? + 1 + dice.below(60)),
            Fault::Sync => self.set(FAIL_SYNC_AT, self.get(SYNCS)? + 1 + dice.below(60)),
            Fault::Slow => self.set(SYNC_DELAY_US, 500_000),
            Fault::Read => self.fail_reads_after(0),
            Fault::State => self.set(STATE_FAILS, 1),
            Fault::Removal => self.set(REMOVALS_FAIL, 1),
        }
    }

    /// So many reads go well, and no more.
    ///
    /// # Errors
    ///
    /// If the page cannot be read or written.
    pub fn fail_reads_after(&self, count: u64) -> Result<()> {
        self.set(FAIL_READS_FROM, self.get(READS)? + 1 + count)
    }

    /// That call fails, whatever it is; they are counted from 1.
    ///
    /// # Errors
    ///
    /// If the page cannot be written.
    pub fn fail_call(&self, number: u64) -> Result<()> {
        self.set(FAIL_CALL_AT, number)
    }

    /// How many calls failed since the last repair.
    ///
    /// # Errors
    ///
    /// If the page cannot be read.
    pub fn failed(&self) -> Result<u64> {
        self.get(FAILED)
    }

    fn get(&self, word: u64) -> Result<u64> {
        let mut bytes = [0; 8];
        self.control.read_exact_at(&mut bytes, word * 8)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn set(&self, word: u64, value: u64) -> Result<()> {
        Ok(self.control.write_all_at(&value.to_le_bytes(), word * 8)?)
    }
}

fn log(data: &Path) -> PathBuf {
    data.with_extension("log")
}

/// The library, built where this program was.
fn built() -> Result<PathBuf> {
    // Tests of one program would write the same file.
    let _one_at_a_time = BUILDING.lock().unwrap_or_else(PoisonError::into_inner);
    let program = std::env::current_exe()?;
    let folder = program.parent().context("a program is in a folder")?;
    let library = folder.join(format!("faults-{}.so", std::process::id()));
    let mut command = Command::new("cc");
    command.args(["-std=c11", "-Wall", "-Wextra", "-Werror", "-O2", "-shared", "-fPIC", "-o"]).arg(&library);
    command.arg(root().join("tests/durability/shim/faults.c")).arg("-ldl");
    let output = command.output().context("cc is missing; run tests/prepare once")?;
    ensure!(output.status.success(), "run tests/prepare once? {}", String::from_utf8_lossy(&output.stderr));
    let named = folder.join("faults.so");
    // Beside each other, several programs build the same.
    fs::rename(&library, &named)?;
    if !cfg!(target_os = "linux") {
        bail!("faults below the broker need Linux");
    }
    Ok(named)
}

static BUILDING: Mutex<()> = Mutex::new(());

// As in shim/faults.c.
const SYNC_DELAY_US: u64 = 0;
const FULL: u64 = 1;
const GROWTH: u64 = 1;
const ALL_WRITES: u64 = 2;
const FAIL_WRITE_AT: u64 = 2;
const FAIL_SYNC_AT: u64 = 3;
const FAIL_CALL_AT: u64 = 4;
const WRITES: u64 = 5;
const SYNCS: u64 = 6;
const FAILED: u64 = 8;
const FAIL_READS_FROM: u64 = 9;
const READS: u64 = 10;
const STATE_FAILS: u64 = 11;
const REMOVALS_FAIL: u64 = 12;
const WORDS: usize = 13;
