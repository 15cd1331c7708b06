//! Vhosts: what a namespace may hold, beside its name

/// How much there may be in a vhost; what is `None` has no limit but that of the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct VhostLimits {
    /// The most clients that are in at a time.
    pub connections_max: Option<u64>,
    /// The most queues that are nobody's own.
    pub queues_max: Option<u64>,
}
