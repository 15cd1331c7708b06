//! Case: what a client does to a broker, and what it must see, with the statements of the specification that this shows.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::conform::peer::Peer;

/// One case. It shares nothing with others: client ids and topics are its own, so that all may run at once.
pub(crate) struct Case {
    /// The law, as a test would be named.
    pub(crate) name: &'static str,
    /// What it shows, as the report lists it.
    pub(crate) statements: Vec<String>,
    /// Every wait in it has an end.
    pub(crate) run: Run,
}

/// What a case does.
pub(crate) type Run = Box<dyn Fn(&Target) -> Outcome + Send + Sync>;

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Case").field("name", &self.name).finish_non_exhaustive()
    }
}

/// What a case came to.
pub(crate) type Outcome = Result<(), Short>;

/// Why a case fell short.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Short {
    /// The broker did something else than the statement asks: what was expected, and what came.
    Failed(String),
    /// The same, about these statements alone, as the row of the case lists them: the others were not come to, or hold.
    FailedOf(&'static str, String),
    /// The broker says that it lacks what the case is about, as it may.
    NotApplicable(String),
}

impl Short {
    /// A failure.
    pub(crate) fn failed(why: impl Into<String>) -> Self {
        Self::Failed(why.into())
    }

    /// Whether this, of a case that shows it, says that the statement is broken: `id` is as the report has it.
    pub(crate) fn breaks(&self, id: &str) -> bool {
        match self {
            Self::Failed(_) => true,
            Self::FailedOf(statements, _) => {
                let number = id.split_once('-').map_or(id, |(_, number)| number);
                statements.split(' ').any(|listed| listed == number)
            }
            Self::NotApplicable(_) => false,
        }
    }
}

/// What a case, or all cases of a statement, came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// As the statement asks.
    Pass,
    /// Otherwise, and how.
    Fail(String),
    /// Not asked of this broker, and why.
    NotApplicable(String),
}

impl From<Outcome> for Verdict {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Ok(()) => Self::Pass,
            Err(Short::Failed(why) | Short::FailedOf(_, why)) => Self::Fail(why),
            Err(Short::NotApplicable(why)) => Self::NotApplicable(why),
        }
    }
}

/// The broker that is asked.
#[derive(Debug)]
pub(crate) struct Target {
    address: SocketAddr,
    /// How long each answer may take.
    pub(crate) patience: Duration,
    /// Who we are, if the broker wants to know.
    pub(crate) user: Option<String>,
    /// See `user`.
    pub(crate) password: Option<String>,
    run: u32,
    last: AtomicU32,
}

impl Target {
    /// A broker at this address.
    pub(crate) fn new(
        address: SocketAddr,
        patience: Duration,
        user: Option<String>,
        password: Option<String>,
    ) -> Self {
        // Two runs against one broker must not share names; the clock and the process keep them apart.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let run = now.subsec_micros() ^ (std::process::id() << 12);
        Self { address, patience, user, password, run, last: AtomicU32::new(0) }
    }

    /// A connection on which nothing was said yet.
    ///
    /// # Errors
    ///
    /// Nobody listens.
    pub(crate) fn dial(&self) -> io::Result<Peer> {
        Peer::dial(self.address, self.patience)
    }

    /// A connection for a case.
    ///
    /// # Errors
    ///
    /// The broker does not take it.
    pub(crate) fn peer(&self) -> Result<Peer, Short> {
        self.dial().map_err(|error| Short::failed(format!("no connection: {error}")))
    }

    /// A name that no other case, run or client has: letters and digits, at most 23 of them.
    pub(crate) fn fresh(&self) -> String {
        format!("conform{:08x}n{}", self.run, self.last.fetch_add(1, Ordering::Relaxed))
    }
}
