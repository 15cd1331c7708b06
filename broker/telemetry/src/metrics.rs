//! Metrics: the one list of all that is counted.

use crate::counter::{Counter, Gauge, Peak};
use crate::histogram::{Histogram, Snapshot};

/// What a metric is at a moment.
#[derive(Debug, Clone)]
pub enum Value {
    /// How much so far: it only grows.
    Count(u64),
    /// How much now.
    Level(u64),
    /// How values are spread, so far.
    Spread(Snapshot),
}

/// A metric as it is listed.
#[derive(Debug, Clone)]
pub struct Metric {
    /// The field.
    pub name: &'static str,
    /// What it counts, as a sentence.
    pub about: String,
    /// What it is now.
    pub value: Value,
}

impl Metric {
    /// Adds the same of another list.
    pub fn join(&mut self, other: &Self) {
        match (&mut self.value, &other.value) {
            (Value::Count(sum), Value::Count(more)) | (Value::Level(sum), Value::Level(more)) => {
                *sum = sum.saturating_add(*more);
            }
            (Value::Spread(sum), Value::Spread(more)) => sum.join(more),
            // One name is of one kind.
            (Value::Count(_) | Value::Level(_) | Value::Spread(_), _) => {}
        }
    }
}

macro_rules! metrics {
    ($($(#[doc = $doc:literal])* $name:ident: $kind:ident,)*) => {
        /// All that is counted, since the start of the process. Made once by whoever wires the house, then shared.
        #[derive(Debug, Default)]
        pub struct Metrics {
            $($(#[doc = $doc])* pub $name: $kind,)*
        }

        impl Metrics {
            /// Every metric with its value now, in the order of the fields.
            pub fn list(&self) -> Vec<Metric> {
                vec![$(Metric {
                    name: stringify!($name),
                    about: concat!($($doc),*).trim().to_owned(),
                    value: self.$name.now(),
                },)*]
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
    /// Connections that the broker ended, of clients that were in.
    connections_cut: Counter,
    /// Connections closed at once because there were as many as there may be.
    refused_connections: Counter,
    /// Connections closed at once because there were as many from their address as there may be.
    refused_per_address: Counter,
    /// Connections closed at once because too many came within a second.
    refused_rate: Counter,
    /// Connections closed at once because their address is banned.
    refused_banned: Counter,
    /// Bans that the broker made by itself.
    bans_made: Counter,
    /// Clients not let in because their user had as many connections as he may.
    refused_per_user: Counter,
    /// Clients not let in because there were as many in their vhost as there may be.
    refused_per_vhost: Counter,
    /// Clients not let in because there were as many sessions as there may be.
    refused_sessions: Counter,
    /// Connections whose TLS handshake took too long.
    refused_handshakes: Counter,
    /// TLS handshakes that came to nothing, for whatever reason.
    tls_handshakes_failed: Counter,
    /// Requests of clients that were refused because a limit was reached.
    limits_reached: Counter,
    /// Times that a client was not read for a while because it published faster than it may.
    clients_slowed: Counter,
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
    /// What clients were denied by a rule.
    access_denied: Counter,
    /// Connections that ended because their clients are not let in any more.
    access_revoked: Counter,
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
    /// Messages that are not delivered because the journal's bytes are not what was written.
    messages_damaged: Counter,
    /// Messages that a queue gave up and that went to its dead-letter exchange, and from there to a queue.
    messages_dead_lettered: Counter,
    /// Messages that no binding wanted.
    messages_unroutable: Counter,
    /// Retained messages that a subscriber did not get because their authors may not publish them any more.
    retained_withheld: Counter,
    /// Messages that were published to wait for their time.
    messages_delayed: Counter,
    /// Messages that were not published when they were due, because of a rule or because their exchange is gone.
    delayed_refused: Counter,
    /// How late messages that waited for their time were shown, in microseconds: of those that are shown together, the first.
    delayed_late_us: Histogram,
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
    /// Whether publishers are held for want of room on the disk.
    alarm_disk: Gauge,
    /// Whether publishers are held because a failing disk lets no journal files be given up.
    alarm_store: Gauge,
    /// Whether publishers are held for want of memory.
    alarm_memory: Gauge,
    /// Whether logins are refused for want of memory.
    alarm_memory_refuse: Gauge,
    /// Publishes that were held for too long, and refused.
    publishes_held_too_long: Counter,
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
    fn now(&self) -> Value;
}

impl Listed for Counter {
    fn now(&self) -> Value {
        Value::Count(self.value())
    }
}

impl Listed for Gauge {
    fn now(&self) -> Value {
        Value::Level(self.value())
    }
}

impl Listed for Peak {
    fn now(&self) -> Value {
        Value::Level(self.value())
    }
}

impl Listed for Histogram {
    fn now(&self) -> Value {
        Value::Spread(self.snapshot())
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
        let find = |name: &str| list.iter().find(|listed| listed.name == name).expect(name);
        assert!(matches!(find("messages_received").value, Value::Count(7)));
        assert_eq!(find("messages_received").about, "Messages that clients published.");
        assert!(matches!(find("connections").value, Value::Level(1)));
        assert!(matches!(&find("commit_us").value, Value::Spread(spread) if spread.max == 900));
        assert!(matches!(find("messages_acked").value, Value::Count(0)));
    }

    #[test]
    fn no_name_is_listed_twice_and_each_says_what_it_is() {
        let list = Metrics::default().list();
        let mut names: Vec<&str> = list.iter().map(|listed| listed.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), list.len());
        assert!(list.iter().all(|listed| listed.about.ends_with('.')));
    }
}
