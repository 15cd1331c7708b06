//! Patience: when what failed is tried again.

use std::time::{Duration, Instant};

/// Of one thing that may fail for a while: it is tried again after a second, then after twice as long each time, but never less
/// than twice a minute.
#[derive(Debug, Default)]
pub(crate) struct Patience {
    failed: Option<Failed>,
}

#[derive(Debug, Clone, Copy)]
struct Failed {
    pause: Duration,
    again_at: Instant,
}

impl Patience {
    /// When it is tried again; `None`: it has not failed.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.failed.map(|failed| failed.again_at)
    }

    /// Whether it may be tried.
    pub(crate) fn may_try(&self, now: Instant) -> bool {
        self.due().is_none_or(|due| due <= now)
    }

    /// It failed, once more or for the first time. Returns how long it is left alone.
    pub(crate) fn fail(&mut self, now: Instant) -> Duration {
        let pause = self.failed.map_or(PAUSE_MIN, |failed| (failed.pause * 2).min(PAUSE_MAX));
        self.failed = Some(Failed { pause, again_at: now + pause });
        pause
    }

    /// It went well. Returns whether it had failed before.
    pub(crate) fn recover(&mut self) -> bool {
        self.failed.take().is_some()
    }
}

const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_is_tried_again_less_and_less_often_until_it_goes_well() {
        let (mut patience, mut now) = (Patience::default(), Instant::now());
        assert!(patience.may_try(now) && patience.due().is_none() && !patience.recover());
        for seconds in [1, 2, 4, 8, 16, 30, 30] {
            let pause = patience.fail(now);
            assert_eq!(pause, Duration::from_secs(seconds));
            assert!(!patience.may_try(now + pause - Duration::from_millis(1)));
            now += pause;
            assert!(patience.may_try(now));
        }
        assert!(patience.recover() && !patience.recover());
        assert_eq!(patience.fail(now), PAUSE_MIN, "what went well is forgiven");
    }
}
