//! One life of the broker: from its start to its crash, on one thread and by a clock that stands still.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use engine::{Arrival, Broker, Definitions, Link, Options, Resident, Watermarks};
use model::access::{AccessControl, Admission};
use model::name::UserName;
use model::principal::{Credentials, Permissions, Principal};
use storage::Stepped;
use storage::Store;
use tokio::runtime::{Handle, Runtime};
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
    /// What is on the disk comes back, at that time of the world in milliseconds; the configuration declares these.
    pub(crate) fn start(
        disk: Arc<Disk>,
        options: &storage::Options,
        declared: &Definitions,
        at_ms: u64,
    ) -> Result<Self, String> {
        let began = began(options);
        let life = Self::start_now(disk, options, Some(began + Duration::from_millis(at_ms)))?;
        let broker = &life.broker;
        broker.declare(declared).map_err(|refusal| format!("what is declared is not there: {refusal}"))?;
        Ok(life)
    }

    fn start_now(disk: Arc<Disk>, options: &storage::Options, now: Option<Instant>) -> Result<Self, String> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        let runtime = runtime.map_err(|error| error.to_string())?;
        if let Some(now) = now {
            runtime.block_on(async {
                tokio::time::advance(now.duration_since(tokio::time::Instant::now().into_std())).await;
            });
        }
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

    /// Whoever is in there, goes by the clock of this life.
    pub(crate) fn handle(&self) -> Handle {
        self.runtime.handle().clone()
    }

    /// What time it is, in milliseconds since the world began.
    pub(crate) fn now_ms(&self) -> u64 {
        let began = BEGAN.get().copied().unwrap_or_else(Instant::now);
        u64::try_from(self.now().saturating_duration_since(began).as_millis()).unwrap_or(u64::MAX)
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

    /// The engine looks after what it has to look after, and no time goes by.
    pub(crate) fn look_around(&self) {
        self.runtime.block_on(async {
            for _ in 0..4 {
                tokio::task::yield_now().await;
            }
        });
    }
}

/// When all worlds begin. Each life has a clock of its own, which starts at the real time and is put forward to the time of
/// its world: so the engine, which writes down when something is due, finds in one life the time of the one before.
fn began(options: &storage::Options) -> Instant {
    // The engine counts its milliseconds from the first time that anybody in this process asked for, and timers count theirs from
    // the start of their life. The last nanosecond of a millisecond of the one is in the same millisecond of the other.
    *BEGAN.get_or_init(|| {
        let first = Life::start_now(Disk::new(), options, None).expect("a broker with an empty disk starts");
        first.now() + AHEAD + Duration::from_nanos(999_999)
    })
}

static BEGAN: OnceLock<Instant> = OnceLock::new();
/// So long no run of the test takes: the time of a world is never before the real one.
const AHEAD: Duration = Duration::from_secs(86_400);

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
