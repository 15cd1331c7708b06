//! Refusals in the log: some a second, the rest counted.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Keeps whoever is refused a thousand times a second from filling the log.
#[derive(Debug, Default)]
pub struct Complaints(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    since: Option<Instant>,
    made: u32,
    withheld: u64,
}

impl Complaints {
    /// Whether one more may be made: then, how many were withheld before it.
    pub fn may_complain(&self, now: Instant) -> Option<u64> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.since.is_none_or(|since| now >= since + SECOND) {
            state.since = Some(now);
            state.made = 0;
        }
        if state.made >= MADE_MAX {
            state.withheld += 1;
            return None;
        }
        state.made += 1;
        Some(std::mem::take(&mut state.withheld))
    }
}

const SECOND: Duration = Duration::from_secs(1);

/// A second.
const MADE_MAX: u32 = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_withheld_is_told_a_second_later() {
        let (complaints, start) = (Complaints::default(), Instant::now());
        for _ in 0..MADE_MAX {
            assert_eq!(complaints.may_complain(start), Some(0));
        }
        assert_eq!(complaints.may_complain(start), None);
        assert_eq!(complaints.may_complain(start + SECOND / 2), None);
        assert_eq!(complaints.may_complain(start + SECOND), Some(2));
        assert_eq!(complaints.may_complain(start + SECOND), Some(0));
    }
}
