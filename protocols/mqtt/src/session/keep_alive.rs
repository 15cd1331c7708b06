//! Silence, measured.

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use crate::reason::{Fault, Reason};

/// When a client was heard last, and how long it may be silent. Hearing it is one store; whoever keeps the timer asks
/// for the deadline again when the old one has passed.
#[derive(Debug)]
pub(crate) struct KeepAlive {
    /// In milliseconds, and small: every client has one of these.
    patience_ms: Option<NonZeroU32>,
    /// Whether it is the broker who has no more patience, not the client who promised to be heard.
    is_idle_max: bool,
    heard_at: Instant,
}

impl KeepAlive {
    /// `interval_s`: seconds, as agreed on; zero turns the check off (3.1.2.10). `idle_max` holds instead, if it is there.
    pub(crate) fn new(interval_s: u16, idle_max: Option<Duration>, now: Instant) -> Self {
        let promised = Duration::from_secs(interval_s.into());
        let patience = idle_max.or_else(|| (interval_s > 0).then(|| promised * 3 / 2));
        // Whoever may be silent for more than 49 days may for 49 days.
        let whole_ms = |patience: Duration| u32::try_from(patience.as_millis()).unwrap_or(u32::MAX);
        let patience_ms =
            patience.map(|patience| NonZeroU32::new(whole_ms(patience)).unwrap_or(NonZeroU32::MIN));
        Self { patience_ms, is_idle_max: idle_max.is_some(), heard_at: now }
    }

    /// A packet was read.
    pub(crate) fn heard(&mut self, now: Instant) {
        self.heard_at = now;
    }

    /// When to give the client up, if it stays silent [MQTT-3.1.2-22].
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.patience().map(|patience| self.heard_at + patience)
    }

    fn patience(&self) -> Option<Duration> {
        self.patience_ms.map(|patience| Duration::from_millis(patience.get().into()))
    }

    /// Whether that moment has come. Noticed much too late it says nothing of the client: it is we who were not there (stopped, or
    /// on our way to another machine), and what it sent is still on its way. Then it gets a fresh interval.
    pub(crate) fn is_over(&mut self, now: Instant) -> bool {
        let Some(deadline) = self.deadline() else { return false };
        if now.saturating_duration_since(deadline) > LATE_MAX {
            self.heard_at = now;
            return false;
        }
        deadline <= now
    }

    /// Why a client is given up.
    pub(crate) fn fault(&self) -> Fault {
        match self.patience().filter(|_| self.is_idle_max) {
            Some(max) => Fault {
                reason: Reason::KeepAliveTimeout,
                text: format!("silent for the {} s of mqtt.idle_max", max.as_secs()).into(),
            },
            None => SILENT,
        }
    }
}

const SILENT: Fault =
    Fault::new(Reason::KeepAliveTimeout, "[MQTT-3.1.2-22] silent for one and a half times the keep alive");

/// A deadline is noticed within that time, on a busy machine too.
const LATE_MAX: Duration = Duration::from_secs(1);
