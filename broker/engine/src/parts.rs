//! A few fields, no behaviour: what the rooms of the engine share.

use std::sync::Arc;

use telemetry::Metrics;

use crate::authors::Authors;
use crate::durable::Durable;
use crate::numbers::Numbers;
use crate::vhost::Vhost;

/// What every request needs.
pub(crate) struct Parts {
    pub(crate) vhost: Vhost,
    pub(crate) durable: Durable,
    pub(crate) numbers: Numbers,
    pub(crate) authors: Authors,
    pub(crate) metrics: Arc<Metrics>,
}
