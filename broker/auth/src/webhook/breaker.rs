//! Breaker: a server that does not answer is not asked for a while.

use std::time::{Duration, Instant};

/// What is known of a server's health. Time is passed in.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    failures: u32,
    state: State,
}

#[derive(Debug, Default)]
enum State {
    /// It answers, as far as anybody knows.
    #[default]
    Closed,
    /// It is not asked until then.
    Open { until: Instant, pause: Duration },
    /// One question finds out. If nothing has come of it by then, another one does.
    Trying { until: Instant, pause: Duration },
}

impl Breaker {
    /// Whether it may be asked now; an answer comes `within` that time, or not at all.
    pub(super) fn may_ask(&mut self, now: Instant, within: Duration) -> bool {
        match self.state {
            State::Closed => true,
            State::Open { until, pause } | State::Trying { until, pause } => {
                let is_over = now >= until;
                if is_over {
                    self.state = State::Trying { until: now + within * 2, pause };
                }
                is_over
            }
        }
    }

    /// It answered. Whether that is news.
    pub(super) fn answered(&mut self) -> bool {
        self.failures = 0;
        !matches!(std::mem::take(&mut self.state), State::Closed)
    }

    /// It did not. For how long it is not asked from now on, if that is news.
    pub(super) fn failed(&mut self, now: Instant) -> Option<Duration> {
        self.failures = self.failures.saturating_add(1);
        let pause = match self.state {
            State::Closed if self.failures < FAILURES_MAX => return None,
            State::Closed => PAUSE_MIN,
            // Asked before it was known.
            State::Open { .. } => return None,
            State::Trying { pause, .. } => (pause * 2).min(PAUSE_MAX),
        };
        self.state = State::Open { until: now + pause, pause };
        Some(pause)
    }
}

/// So many times in a row it may fail.
const FAILURES_MAX: u32 = 5;

/// How long it is not asked, the first time and at most.
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_fails_is_left_alone_and_tried_by_one() {
        let (mut breaker, start) = (Breaker::default(), Instant::now());
        let at = |ms: u64| start + Duration::from_millis(ms);
        let within = Duration::from_secs(2);
        for failure in 1..FAILURES_MAX {
            assert!(breaker.may_ask(at(0), within) && breaker.failed(at(0)).is_none(), "{failure}");
        }
        assert_eq!(breaker.failed(at(0)), Some(PAUSE_MIN));
        // Questions that were under way say nothing new.
        assert_eq!(breaker.failed(at(10)), None);
        assert!(!breaker.may_ask(at(999), within));
        assert!(breaker.may_ask(at(1000), within) && !breaker.may_ask(at(1001), within));
        assert_eq!(breaker.failed(at(1500)), Some(PAUSE_MIN * 2));
        assert!(!breaker.may_ask(at(3499), within) && breaker.may_ask(at(3500), within));
        // Whoever tried is gone: somebody else does.
        assert!(!breaker.may_ask(at(7499), within) && breaker.may_ask(at(7500), within));
        assert!(breaker.answered() && !breaker.answered());
        assert!(breaker.may_ask(at(7501), within) && breaker.may_ask(at(7501), within));
    }

    #[test]
    fn one_answer_makes_up_for_failures_and_pauses_end() {
        let (mut breaker, mut now) = (Breaker::default(), Instant::now());
        for _ in 1..FAILURES_MAX {
            assert_eq!(breaker.failed(now), None);
        }
        assert!(!breaker.answered());
        for _ in 1..FAILURES_MAX {
            assert_eq!(breaker.failed(now), None);
        }
        let mut pause = breaker.failed(now).unwrap();
        for _ in 0..10 {
            now += pause;
            assert!(breaker.may_ask(now, Duration::from_secs(1)));
            pause = breaker.failed(now).unwrap();
        }
        assert_eq!(pause, PAUSE_MAX);
    }
}
