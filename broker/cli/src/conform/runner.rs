//! Runs cases, many at once: most of them wait most of their time.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::conform::case::{Case, Target, Verdict};

/// What one case came to.
#[derive(Debug)]
pub(crate) struct Ran {
    /// Its name.
    pub(crate) name: &'static str,
    /// What it shows.
    pub(crate) statements: Vec<String>,
    /// What it came to.
    pub(crate) verdict: Verdict,
    /// Those of `statements` that are broken, if it failed.
    pub(crate) broken: Vec<String>,
    /// How long it took.
    pub(crate) took: Duration,
}

/// Runs all cases, `parallel` at a time; the results are in the order of the cases.
pub(crate) fn run(cases: &[Case], target: &Target, parallel: usize) -> Vec<Ran> {
    let next = AtomicUsize::new(0);
    let done: Mutex<Vec<(usize, Ran)>> = Mutex::new(Vec::with_capacity(cases.len()));
    thread::scope(|scope| {
        for _ in 0..parallel.min(cases.len()) {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(case) = cases.get(index) else { return };
                    let started = Instant::now();
                    let outcome = (case.run)(target);
                    let took = started.elapsed();
                    let statements = case.statements.clone();
                    let mut broken = statements.clone();
                    broken.retain(|id| outcome.as_ref().is_err_and(|short| short.breaks(id)));
                    let ran = Ran { name: case.name, statements, verdict: outcome.into(), broken, took };
                    done.lock().unwrap_or_else(PoisonError::into_inner).push((index, ran));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, ran)| ran).collect()
}
