//! A subscriber: takes what comes, and keeps account of it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, watch};

use crate::bench::meter::{Meter, count};
use crate::bench::stamp::{Stamp, now_ns};
use crate::bench::tally::{Numbers, Times};
use crate::client::Client;
use crate::failure::Failure;
use crate::message::Heard;

/// What a subscriber got.
#[derive(Debug)]
pub(crate) struct Got {
    /// Which.
    pub(crate) numbers: Numbers,
    /// From the moment that each was due to its arrival.
    pub(crate) times: Times,
    /// Why it ended before its time.
    pub(crate) failure: Option<Failure>,
}

/// Whose messages a subscriber counts, and who waits for them.
#[derive(Debug, Clone)]
pub(crate) enum Ours {
    /// Anybody's that has a stamp.
    All,
    /// Those of this run. The windows of its publishers open when they come.
    Run(u64, Vec<Arc<Semaphore>>),
}

/// Takes what comes until it is told to stop, then says good-bye.
pub(crate) async fn listen(
    mut client: Client,
    ours: Ours,
    meter: Arc<Meter>,
    mut stop: watch::Receiver<bool>,
) -> Got {
    let mut got = Got { numbers: Numbers::default(), times: Times::new(), failure: None };
    let heard = async {
        while !*stop.borrow_and_update() {
            while let Some(heard) = client.hear()? {
                if let Heard::Message(message) = heard {
                    take(&mut got, &message.payload, &ours);
                    count(&meter.received);
                }
            }
            tokio::select! {
                came = client.exchange() => came?,
                changed = stop.changed() => if changed.is_err() { break },
            }
        }
        Ok(())
    };
    got.failure = match heard.await {
        Ok(()) => client.leave().await.err(),
        Err(failure) => Some(failure),
    };
    got
}

fn take(got: &mut Got, payload: &[u8], ours: &Ours) {
    let stamp = Stamp::read(payload).filter(|stamp| match ours {
        Ours::All => true,
        Ours::Run(run, _) => stamp.run == *run,
    });
    let Some(stamp) = stamp else {
        got.numbers.foreign += 1;
        return;
    };
    got.times.record(Duration::from_nanos(now_ns().saturating_sub(stamp.due_ns)));
    got.numbers.take(&stamp, matches!(ours, Ours::Run(..)));
    if let Ours::Run(_, windows) = ours
        && let Some(window) = usize::try_from(stamp.publisher).ok().and_then(|number| windows.get(number))
    {
        window.add_permits(1);
    }
}
