//! Load: how much happens in a minute, of late.

use std::time::Duration;

/// How often something happens per minute, averaged over the last one, five and fifteen minutes: each average forgets
/// exponentially, as Mosquitto's and the load of a Unix system do.
#[derive(Debug, Default)]
pub(crate) struct Load {
    total: u64,
    rates: [f64; MINUTES.len()],
}

impl Load {
    /// It has happened `total` times so far, of which those that were not noted before in the time `since`. What is not
    /// `measured` only begins the count.
    pub(crate) fn note(&mut self, total: u64, since: Duration, measured: bool) {
        let happened = total.saturating_sub(self.total);
        self.total = total;
        let minutes = since.as_secs_f64() / 60.0;
        if !measured || minutes <= 0.0 {
            return;
        }
        let rate = happened as f64 / minutes;
        for (average, over) in self.rates.iter_mut().zip(MINUTES) {
            *average = rate + (-minutes / f64::from(over)).exp() * (*average - rate);
        }
    }

    /// Per minute, over one, five and fifteen minutes.
    pub(crate) fn rates(&self) -> impl Iterator<Item = (u8, f64)> {
        MINUTES.into_iter().zip(self.rates)
    }
}

const MINUTES: [u8; 3] = [1, 5, 15];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_average_comes_near_a_steady_rate_and_forgets_it_again() {
        let mut load = Load::default();
        load.note(1_000_000, TEN_SECONDS, false);
        let mut total = 1_000_000;
        for _ in 0..6 {
            total += 100;
            load.note(total, TEN_SECONDS, true);
        }
        // 600 a minute for a minute: all but 1/e of it is in the average of the last minute.
        check(&load, [379.27, 108.76, 38.70]);
        for _ in 0..12 {
            load.note(total, TEN_SECONDS, true);
        }
        check(&load, [51.33, 72.91, 33.87]);
    }

    #[test]
    fn the_interval_does_not_change_what_is_said() {
        let (mut often, mut seldom) = (Load::default(), Load::default());
        for second in 1..=60 {
            often.note(second * 10, Duration::from_secs(1), true);
        }
        seldom.note(600, Duration::from_secs(60), true);
        for ((_, one), (_, other)) in often.rates().zip(seldom.rates()) {
            assert!((one - other).abs() < 1e-6, "{one} {other}");
        }
    }

    #[track_caller]
    fn check(load: &Load, expected: [f64; 3]) {
        for ((minutes, rate), expected) in load.rates().zip(expected) {
            assert!((rate - expected).abs() < 0.01, "{minutes}: {rate}");
        }
    }

    const TEN_SECONDS: Duration = Duration::from_secs(10);
}
