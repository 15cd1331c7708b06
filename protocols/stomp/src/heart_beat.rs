//! Heart-beats, both ways.

use std::time::{Duration, Instant};

/// What CONNECT and CONNECTED say of heart-beats, in milliseconds; zero: none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Offer {
    /// The sender of the frame can send one every so often.
    pub can_send_ms: u32,
    /// It wants one every so often.
    pub wants_ms: u32,
}

impl Offer {
    /// Reads a header, blanks around its numbers tolerated; `None` if it is not two numbers (STOMP 1.2, "Heart-beating").
    pub fn parse(text: &str) -> Option<Self> {
        let (can_send, wants) = text.split_once(',')?;
        let number = |text: &str| {
            let text = text.trim();
            let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            digits.then(|| text.parse().ok()).flatten()
        };
        Some(Self { can_send_ms: number(can_send)?, wants_ms: number(wants)? })
    }

    /// Our answer: what the client offers, turned round, but nothing more often than `min`.
    #[must_use]
    pub fn answer(self, min: Duration) -> Self {
        let min_ms = u32::try_from(min.as_millis()).unwrap_or(u32::MAX);
        let raise = |wish: u32| if wish == 0 { 0 } else { wish.max(min_ms) };
        Self { can_send_ms: raise(self.wants_ms), wants_ms: raise(self.can_send_ms) }
    }
}

/// The agreement, and when each side was last heard.
#[derive(Debug)]
pub struct HeartBeat {
    /// We send something at least so often.
    sends: Option<Duration>,
    /// After so long a silence, the client is gone.
    patience: Option<Duration>,
    sent_at: Instant,
    heard_at: Instant,
}

impl HeartBeat {
    /// From both offers: the larger of two wishes, none where one side says zero. `tolerance`: how many intervals of silence
    /// are believed to be a slow network.
    pub fn new(client: Offer, server: Offer, tolerance: f64, now: Instant) -> Self {
        let agreed = |can_send_ms: u32, wants_ms: u32| {
            let interval = Duration::from_millis(can_send_ms.max(wants_ms).into());
            (can_send_ms > 0 && wants_ms > 0).then_some(interval)
        };
        // What comes from a configuration may be no number at all.
        let tolerance = if tolerance >= 1.0 { tolerance.min(TOLERANCE_MAX) } else { 1.0 };
        Self {
            // Half of it: timers are coarse, and the client counts from when it hears us.
            sends: agreed(server.can_send_ms, client.wants_ms).map(|interval| interval / 2),
            patience: agreed(client.can_send_ms, server.wants_ms).map(|interval| interval.mul_f64(tolerance)),
            sent_at: now,
            heard_at: now,
        }
    }

    /// Any byte came in.
    pub fn heard(&mut self, now: Instant) {
        self.heard_at = now;
    }

    /// Any byte goes out.
    pub fn sent(&mut self, now: Instant) {
        self.sent_at = now;
    }

    /// When something is to be sent, or the client to be given up.
    pub fn deadline(&self) -> Option<Instant> {
        let beat = self.sends.map(|interval| self.sent_at + interval);
        let silence = self.patience.map(|patience| self.heard_at + patience);
        [beat, silence].into_iter().flatten().min()
    }

    /// Whether the client has been silent for too long. Noticed much too late it says nothing of the client: it is we who were not
    /// there (stopped, or on our way to another machine), and what it sent is still on its way. Then it gets a fresh interval.
    pub fn is_silent(&mut self, now: Instant) -> bool {
        let Some(end) = self.patience.map(|patience| self.heard_at + patience) else { return false };
        if now.saturating_duration_since(end) > LATE_MAX {
            self.heard_at = now;
            return false;
        }
        end <= now
    }

    /// Whether it is our turn to send something.
    pub fn is_due(&self, now: Instant) -> bool {
        self.sends.is_some_and(|interval| self.sent_at + interval <= now)
    }
}

/// A deadline is noticed within that time, on a busy machine too.
const LATE_MAX: Duration = Duration::from_secs(1);

/// Beyond that it is no tolerance.
const TOLERANCE_MAX: f64 = 100.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_larger_wish_counts_and_zero_wins() {
        // STOMP 1.2, "Heart-beating"
        check("0,0", None, None);
        check("10000,0", None, Some(20_000));
        check("0,10000", Some(5_000), None);
        check("1,1", Some(500), Some(2_000));
        check(" 4000 , 30000 ", Some(15_000), Some(8_000));
    }

    #[test]
    fn anything_but_two_numbers_is_no_offer() {
        for text in ["", ",", "1", "1,", ",1", "1,2,3", "-1,0", "+1,0", "1.5,0", "a,b", "4294967296,0"] {
            assert_eq!(Offer::parse(text), None, "{text}");
        }
    }

    #[track_caller]
    #[allow(clippy::disallowed_methods, reason = "some moment to start from")]
    fn check(client: &str, beat_ms: Option<u64>, patience_ms: Option<u64>) {
        let client = Offer::parse(client).unwrap();
        let server = client.answer(Duration::from_secs(1));
        let heart_beat = HeartBeat::new(client, server, 2.0, Instant::now());
        assert_eq!(heart_beat.sends, beat_ms.map(Duration::from_millis));
        assert_eq!(heart_beat.patience, patience_ms.map(Duration::from_millis));
    }
}
