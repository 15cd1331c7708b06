//! Wall-clock time, read in one place.

use std::time::{SystemTime, UNIX_EPOCH};

use model::time::WallMs;

/// Now. A clock before 1970 counts as 1970.
pub(crate) fn wall_now() -> WallMs {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    WallMs(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
