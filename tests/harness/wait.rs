//! Waiting for something to become so, with an end.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// How long a test waits for what ought to happen at once; only a failure takes that long.
pub const SOON: Duration = Duration::from_secs(10);

/// Asks every few milliseconds until `found` has something.
///
/// # Errors
///
/// After `within`, naming what was waited for.
pub fn until<T>(what: &str, within: Duration, mut found: impl FnMut() -> Option<T>) -> Result<T> {
    let end = Instant::now() + within;
    loop {
        if let Some(it) = found() {
            return Ok(it);
        }
        if Instant::now() >= end {
            bail!("waited {within:?} for {what}");
        }
        sleep(Duration::from_millis(5));
    }
}
