//! What time it is: by the clock on the wall, and as all counts that lasts for so long

use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use model::time::WallMs;

/// Now, by the clock on the wall, which somebody may set. A clock before 1970 counts as 1970.
pub(crate) fn wall_now() -> WallMs {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    WallMs(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// Now, as all counts that lasts for so long: what the wall clock said when this life of the broker began, and what has passed
/// since. If somebody sets the clock, no message expires by that, no will is due, and no id is forgotten. Written down it is
/// a wall-clock time, so that time goes on while the broker is down.
pub(crate) fn now() -> WallMs {
    let (at, began) = began();
    began.plus(instant().saturating_duration_since(at))
}

/// The moment at which [`now`] says that, or one that was before it.
pub(crate) fn instant_at(when: WallMs) -> Instant {
    let (at, began) = began();
    at.checked_add(when.since(began)).unwrap_or(at + FAR)
}

/// How long ago that was; `None`: before this life of the broker began.
pub(crate) fn ago(when: WallMs) -> Option<Duration> {
    let (_, began) = began();
    (when >= began).then(|| instant().saturating_duration_since(instant_at(when)))
}

fn began() -> (Instant, WallMs) {
    *BEGAN.get_or_init(|| (instant(), wall_now()))
}

/// Now, by the clock that timers go by, and nobody sets. Where a test has paused it, it goes on as the test says.
pub(crate) fn instant() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// Read once, and the same for all.
static BEGAN: OnceLock<(Instant, WallMs)> = OnceLock::new();

/// Later than any clock reaches: thirty years.
const FAR: Duration = Duration::from_secs(30 * 365 * 86_400);
