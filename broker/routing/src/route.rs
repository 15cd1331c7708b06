//! A queue, and what it was granted.

use std::sync::Arc;

use model::grant::Grant;

use crate::queue::Queue;

/// Where a message goes, and with which promises.
#[derive(Clone)]
pub struct Route {
    /// The queue.
    pub queue: Arc<Queue>,
    /// What its bindings promised, merged where several match.
    pub grant: Grant,
}
