//! What goes wrong between a client and a broker, in words.

use std::time::Duration;

use tokio::time::timeout;

use crate::client::entry::Entry;
use crate::failure::Failure;

/// What a connection that ended before the first answer most likely means.
pub(crate) fn doubt(failure: &Failure, entry: &Entry, protocol: &str) -> Failure {
    Failure::runtime(format!("{failure}; does {} speak {protocol}?", entry.address))
}

/// What `answer` becomes, if it comes in time.
///
/// # Errors
///
/// Its own, or that `what` did not come.
pub(crate) async fn in_time<T>(
    patience: Duration,
    what: &str,
    answer: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    timeout(patience, answer).await.unwrap_or_else(|_| {
        Err(Failure::timeout(format!("{what} did not come within {} s", patience.as_secs_f32())))
    })
}
