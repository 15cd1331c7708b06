//! Counters, histograms, log set-up.
//!
//! What is counted is one list, [`metrics::Metrics`], and it is passed to whoever counts: there is no global registry.
//! Counting is a relaxed addition to a cell that the thread has nearly to itself; summing happens when somebody asks.
//! Log lines are `tracing` events whose message is the name of what happened (`conn.open`) and whose fields say the rest.

pub mod complaints;
pub mod counter;
pub mod histogram;
pub mod logging;
pub mod metrics;

pub use crate::complaints::Complaints;
pub use crate::counter::{Counter, Gauge, Peak};
pub use crate::histogram::{Histogram, Snapshot};
pub use crate::metrics::{Metric, Metrics, Value};
