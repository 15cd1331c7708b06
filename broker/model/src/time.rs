//! Wall-clock time, passed in.

use std::time::Duration;

/// Milliseconds since 1970 (UTC). What must survive a restart is kept in these; timers within one life use
/// [`std::time::Instant`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct WallMs(pub u64);

impl WallMs {
    /// The moment `after` this one; the end of time where that would overflow.
    #[must_use]
    pub fn plus(self, after: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(after.as_millis()).unwrap_or(u64::MAX)))
    }

    /// How long from `earlier` to this moment; zero where the clock was set back.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}
