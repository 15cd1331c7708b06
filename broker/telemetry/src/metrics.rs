//! Metrics: the one list of all that is counted.

use crate::counter::{Counter, Gauge, Peak};
use crate::histogram::Histogram;

macro_rules! metrics {
    ($($(#[$doc:meta])* $name:ident: $kind:ident,)*) => {
        /// All that is counted, since the start of the process. Made once by whoever wires the house, then shared.
        #[derive(Debug, Default)]
        pub struct Metrics {
            $($(#[$doc])* pub $name: $kind,)*
        }

        impl Metrics {
            /// Every metric by name with its value now, in the order of the fields. A histogram gives four:
            /// `…_count`, `…_p50`, `…_p99` and `…_max`.
            pub fn list(&self) -> Vec<(String, u64)> {
                let mut pairs = Vec::new();
                $(self.$name.list(stringify!($name), &mut pairs);)*
                pairs
            }
        }
    };
}

metrics! {
    /// Connections accepted.
    connections_opened: Counter,
    /// Connections that ended.
    connections_closed: Counter,
    /// Connections open now.
    connections: Gauge,
    /// Clients that were let in.
    clients_admitted: Counter,
    /// Clients that are in.
    clients: Gauge,
    /// The most clients that were in at the same time.
    clients_peak: Peak,
    /// Those that are in without a session of their own: STOMP's.
    clients_without_session: Gauge,
    /// Clients not let in because of their credentials.
    auth_refused: Counter,
    /// Messages that clients published.
    messages_received: Counter,
    /// Messages handed to consumers, repeated ones included.
    messages_delivered: Counter,
    /// Deliveries that consumers accepted.
    messages_acked: Counter,
    /// Deliveries that were made before.
    messages_redelivered: Counter,
    /// Messages dropped because a consumer was slow or a queue full.
    messages_dropped: Counter,
    /// Messages whose time was up before somebody took them.
    messages_expired: Counter,
    /// Messages that a queue gave up and that went to its dead-letter exchange, and from there to a queue.
    messages_dead_lettered: Counter,
    /// Messages that no binding wanted.
    messages_unroutable: Counter,
    /// Wills that were not published when they were due, because of a rule or a full queue.
    wills_refused: Counter,
    /// QoS 2 messages that came again and were not routed again.
    duplicates_suppressed: Counter,
    /// Packets and frames read from clients, of any kind.
    packets_received: Counter,
    /// Packets and frames written to clients, of any kind.
    packets_sent: Counter,
    /// Payloads of messages that clients published, in bytes.
    publish_bytes_received: Counter,
    /// Payloads of messages handed to consumers, in bytes.
    publish_bytes_sent: Counter,
    /// Bytes read from clients.
    bytes_received: Counter,
    /// Bytes written to clients.
    bytes_sent: Counter,
    /// Retained messages kept now.
    retained: Gauge,
    /// Sessions kept now, with or without a connection.
    sessions: Gauge,
    /// Sessions whose client did not come back in time.
    sessions_expired: Counter,
    /// How long a group commit took, from write to synced, in microseconds.
    commit_us: Histogram,
    /// How many changesets a group commit had.
    commit_records: Histogram,
}

trait Listed {
    fn list(&self, name: &str, pairs: &mut Vec<(String, u64)>);
}

impl Listed for Counter {
    fn list(&self, name: &str, pairs: &mut Vec<(String, u64)>) {
        pairs.push((name.to_owned(), self.value()));
    }
}

impl Listed for Gauge {
    fn list(&self, name: &str, pairs: &mut Vec<(String, u64)>) {
        pairs.push((name.to_owned(), self.value()));
    }
}

impl Listed for Peak {
    fn list(&self, name: &str, pairs: &mut Vec<(String, u64)>) {
        pairs.push((name.to_owned(), self.value()));
    }
}

impl Listed for Histogram {
    fn list(&self, name: &str, pairs: &mut Vec<(String, u64)>) {
        let snapshot = self.snapshot();
        pairs.push((format!("{name}_count"), snapshot.count));
        pairs.push((format!("{name}_p50"), snapshot.quantile(0.5)));
        pairs.push((format!("{name}_p99"), snapshot.quantile(0.99)));
        pairs.push((format!("{name}_max"), snapshot.max));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_shows_what_was_counted() {
        let metrics = Metrics::default();
        metrics.messages_received.add(7);
        metrics.connections.increment();
        metrics.commit_us.record(900);
        let list = metrics.list();
        let value = |name: &str| list.iter().find(|(listed, _)| listed == name).map(|(_, value)| *value);
        assert_eq!(value("messages_received"), Some(7));
        assert_eq!(value("connections"), Some(1));
        assert_eq!(value("commit_us_count"), Some(1));
        assert_eq!(value("commit_us_max"), Some(900));
        assert_eq!(value("messages_acked"), Some(0));
    }

    #[test]
    fn no_name_is_listed_twice() {
        let mut names: Vec<String> = Metrics::default().list().into_iter().map(|(name, _)| name).collect();
        let all = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), all);
    }
}
