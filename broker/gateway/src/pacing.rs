//! How much to read and take per turn.

use std::time::Duration;

/// What one call of read brings at most, in bytes.
pub(crate) const READ_BYTES: usize = 64 * 1024;

/// A read buffer with less room than this, in bytes, is not read into any more.
pub(crate) const READ_BYTES_MIN: usize = 8 * 1024;

/// How much a client may send, in bytes, while it is being found out who it is.
const UNKNOWN_BYTES_MAX: usize = 128 * 1024;

/// How many deliveries a turn takes at most: then it is the turn of what the client sends.
pub(crate) const TAKE_MAX: usize = 512;

/// How many deliveries are encoded before it is looked again at how much waits to be written.
const TAKE_AT_ONCE: usize = 128;

/// From so many bytes on that wait to be written, nothing is taken and nothing read.
pub(crate) const UNSENT_BYTES_MAX: usize = 1 << 20;

/// From so many requests on that wait for their answer, nothing more is read.
const BACKLOG_MAX: usize = 4096;

/// How many turns a connection has before others on its worker have theirs.
pub(crate) const TURNS_MAX: usize = 4;

/// After a read of so many bytes others on the worker have their turn at once.
pub(crate) const LONG_READ_BYTES: usize = READ_BYTES / 2;

/// How long a connection that is not read for its backlog waits at most before it looks again: the last answers may be
/// of those that nobody asked to hear.
pub(crate) const BACKLOG_WAIT: Duration = Duration::from_millis(5);

/// What a connection has on its hands.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    /// Bytes that wait to be written.
    pub(crate) unsent_bytes: usize,
    /// Bytes that were read and not yet taken by the session.
    pub(crate) unread_bytes: usize,
    /// Requests that wait for their answer.
    pub(crate) backlog: usize,
    /// Whether the client is in.
    pub(crate) is_in: bool,
    /// Whether enough waits for the answer of a hook, or the client publishes faster than it may.
    pub(crate) is_held_up: bool,
}

impl Load {
    /// Whether more may be read now. If not, TCP tells the client.
    pub(crate) fn may_read(self) -> bool {
        self.unsent_bytes < UNSENT_BYTES_MAX
            && self.backlog < BACKLOG_MAX
            && !self.is_held_up
            && (self.is_in || self.unread_bytes < UNKNOWN_BYTES_MAX)
    }
}

/// Whether the broker, and not the client, is what is waited for, with so many requests that wait for their answer.
pub(crate) const fn waits_for_backlog(backlog: usize) -> bool {
    backlog >= BACKLOG_MAX
}

/// How many deliveries may be taken at once, of a session that has room for `window` and took `taken` this turn.
pub(crate) fn may_take(unsent_bytes: usize, window: usize, taken: usize) -> usize {
    if unsent_bytes >= UNSENT_BYTES_MAX {
        return 0;
    }
    window.min(TAKE_AT_ONCE).min(TAKE_MAX.saturating_sub(taken))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_that_does_not_drain_stops_taking_and_reading() {
        let load = Load { unsent_bytes: UNSENT_BYTES_MAX, ..IDLE };
        assert!(!load.may_read());
        assert_eq!(may_take(UNSENT_BYTES_MAX, 10, 0), 0);
    }

    #[test]
    fn a_backlog_stops_reading() {
        let load = Load { backlog: BACKLOG_MAX, ..IDLE };
        assert!(!load.may_read());
        assert!(waits_for_backlog(BACKLOG_MAX));
    }

    #[test]
    fn what_waits_for_a_hook_stops_reading() {
        let load = Load { is_held_up: true, ..IDLE };
        assert!(!load.may_read());
    }

    #[test]
    fn an_unknown_client_may_not_fill_memory() {
        let load = Load { unread_bytes: UNKNOWN_BYTES_MAX, is_in: false, ..IDLE };
        assert!(!load.may_read());
        assert!(Load { is_in: true, ..load }.may_read());
    }

    #[test]
    fn a_turn_takes_what_the_window_allows_and_no_more_than_its_share() {
        assert_eq!(may_take(0, 0, 0), 0);
        assert_eq!(may_take(0, 3, 0), 3);
        assert_eq!(may_take(0, usize::MAX, 0), TAKE_AT_ONCE);
        assert_eq!(may_take(0, usize::MAX, TAKE_MAX - 1), 1);
        assert_eq!(may_take(0, usize::MAX, TAKE_MAX), 0);
    }

    const IDLE: Load = Load { unsent_bytes: 0, unread_bytes: 0, backlog: 0, is_in: true, is_held_up: false };
}
