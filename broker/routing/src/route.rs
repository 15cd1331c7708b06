//! A queue, and what it was granted.

use std::sync::Arc;

use model::grant::Grant;
use model::name::ExchangeName;

use crate::queue::Queue;

/// Where a message goes, and with which promises.
#[derive(Clone)]
pub struct Route {
    /// The queue.
    pub queue: Arc<Queue>,
    /// What its bindings promised, merged where several match.
    pub grant: Grant,
    /// The exchange whose binding led there, where that is not the one that was asked for.
    pub via: Option<Box<ExchangeName>>,
}
