//! One life of the broker: from its start to its crash, on one thread and by a clock that stands still.

use std::sync::Arc;
use std::time::{Duration, Instant};

use engine::{Arrival, Broker, Link, Options, Resident, Watermarks};
use model::access::{AccessControl, Admission};
use model::name::UserName;
use model::principal::{Credentials, Permissions, Principal};
use storage::Stepped;
use storage::Store;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

use crate::disk::Disk;

/// The engine, the store and the clock of one life.
pub(crate) struct Life {
    broker: Broker,
    pub(crate) store: Stepped,
    pub(crate) disk: Arc<Disk>,
    /// Dropped last: what the engine has to look after lives in it.
    runtime: Runtime,
}

impl Life {
    /// What is on the disk comes back.
    pub(crate) fn start(disk: Arc<Disk>, options: &storage::Options) -> Result<Self, String> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        let runtime = runtime.map_err(|error| error.to_string())?;
        let opened = Store::stepped(options, Arc::clone(&disk) as _);
        let (store, recovered, stepped) =
            opened.map_err(|error| format!("the store does not open: {error}"))?;
        let broker = {
            let _inside = runtime.enter();
            let store = Some((Arc::new(store), recovered));
            Broker::start(options_of_engine(), store, Arc::new(Everyone), Arc::clone(&options.metrics))
        };
        let broker = broker.map_err(|refusal| format!("the broker does not start: {refusal}"))?;
        Ok(Self { broker, store: stepped, disk, runtime })
    }

    pub(crate) fn connect(&self, protocol: &'static str) -> Link {
        self.broker.connect(Arrival {
            address: None,
            protocol,
            listener: "simulated".into(),
            handshake: None,
            certificate: None,
        })
    }

    /// Begins to stop in order; to be waited for while time goes by.
    pub(crate) fn stop(&self) -> JoinHandle<()> {
        let broker = self.broker.clone();
        self.runtime.spawn(async move { broker.shutdown(PATIENCE).await })
    }

    pub(crate) fn now(&self) -> Instant {
        let _inside = self.runtime.enter();
        tokio::time::Instant::now().into_std()
    }

    /// Lets time go by, and the engine do what is due.
    pub(crate) fn pass(&self, time: Duration) {
        self.runtime.block_on(async {
            tokio::time::advance(time).await;
            for _ in 0..4 {
                tokio::task::yield_now().await;
            }
        });
    }
}

fn options_of_engine() -> Options {
    Options {
        // So few that what waits is read back all the time.
        resident: Resident { messages_max: 6, bytes_max: 1 << 20 },
        sys_interval: Duration::ZERO,
        // What this machine is short of is not part of this world.
        watermarks: Watermarks { memory_hold_percent: 0, memory_refuse_percent: 0, ..Watermarks::default() },
        events: false,
        ..Options::default()
    }
}

const PATIENCE: Duration = Duration::from_secs(10);

struct Everyone;

impl AccessControl for Everyone {
    fn admit<'a>(&'a self, credentials: &'a Credentials) -> Admission<'a> {
        let user = credentials.user.as_ref().map(|user| UserName::new(user));
        Box::pin(std::future::ready(Ok((Principal { user }, Permissions::everything()))))
    }
}
