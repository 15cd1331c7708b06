//! Table: many clients through many exercises, a few clients at a time; what fails is named by client and exercise.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::thread;

use anyhow::{Result, ensure};

/// A client as it comes: in a version, over a transport. It gives what each exercise came to.
pub(crate) struct Way {
    name: String,
    run: Box<dyn FnOnce(usize) -> Outcomes + Send>,
}

/// The name of each exercise, and what it came to.
pub(crate) type Outcomes = Vec<(&'static str, Result<()>)>;

impl Way {
    /// `run` is told a number that no other has.
    pub(crate) fn new(name: String, run: impl FnOnce(usize) -> Outcomes + Send + 'static) -> Self {
        Self { name, run: Box::new(run) }
    }
}

/// Runs them all, each to its end.
///
/// # Errors
///
/// All that failed.
pub(crate) fn everybody(ways: Vec<Way>) -> Result<()> {
    let ways = Mutex::new(ways.into_iter().enumerate());
    let failures = Mutex::new(Vec::new());
    let work = || {
        loop {
            let next = ways.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some((number, way)) = next else { return };
            for (exercise, outcome) in (way.run)(number) {
                if let Err(error) = outcome {
                    let failure = format!("{}: {exercise}: {error:#}", way.name);
                    failures.lock().unwrap_or_else(PoisonError::into_inner).push(failure);
                }
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(work);
        }
    });
    let failures = failures.into_inner().unwrap_or_else(PoisonError::into_inner);
    ensure!(failures.is_empty(), "{} failed:\n  {}", failures.len(), failures.join("\n  "));
    Ok(())
}

/// They wait for each other's answers more than they work.
const AT_A_TIME: usize = 6;
