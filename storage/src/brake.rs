//! Brake: how far the journal may run ahead of who follows it.
//!
//! What is dead can be given up only once it is known to be, and only behind what is alive before it. Whoever writes must
//! therefore not be faster for long than whoever follows, or the directory would have no bound.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Between the committer, which waits, and the follower, which lets it go on.
#[derive(Debug)]
pub(crate) struct Brake {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    /// So many bytes may have been written, counted since the store was opened.
    allowed_bytes: u64,
    /// The follower cannot do its part just now; whoever publishes should wait from so many on, so that those who settle need not.
    held_from: Option<u64>,
    /// It was waited for whoever holds them to notice.
    noticed: bool,
    /// The follower waits for an answer of the committer, which must not wait for it then.
    asking: bool,
    /// Nobody follows any more, so nobody is waited for.
    ended: bool,
}

impl Brake {
    pub(crate) const fn new(allowed_bytes: u64) -> Self {
        let state = State { allowed_bytes, held_from: None, noticed: false, asking: false, ended: false };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    /// Waits until so many bytes may be written; `waits` is called first if that is not at once.
    pub(crate) fn wait(&self, bytes: u64, waits: impl FnOnce()) {
        let is_ahead = |state: &mut State| bytes > state.allowed_bytes && !state.asking && !state.ended;
        let is_unnoticed = |state: &mut State| {
            state.held_from.is_some_and(|from| bytes >= from) && !state.asking && !state.ended
        };
        let mut state = self.lock();
        if !state.noticed && is_unnoticed(&mut state) {
            // A fast disk would be at the end of what is allowed before anybody is held.
            state.noticed = true;
            let waited = self.changed.wait_timeout_while(state, NOTICE, is_unnoticed);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        if is_ahead(&mut state) {
            waits();
            drop(self.changed.wait_while(state, is_ahead).unwrap_or_else(PoisonError::into_inner));
        }
    }

    /// So many bytes may be written from now on, and the follower does its part; `u64::MAX`: any.
    pub(crate) fn allow(&self, bytes: u64) {
        {
            let mut state = self.lock();
            state.allowed_bytes = bytes;
            state.held_from = None;
            state.noticed = false;
        }
        self.changed.notify_all();
    }

    /// The follower cannot do its part for now, and so much was written: no more is allowed than was, and of that half is for
    /// whoever settles.
    pub(crate) fn fall_behind(&self, written: u64) {
        let mut state = self.lock();
        let left = state.allowed_bytes.saturating_sub(written);
        state.held_from.get_or_insert(written.saturating_add(left / 2));
    }

    /// Whether publishers should wait, of whose messages so many bytes were written.
    pub(crate) fn is_held(&self, written: u64) -> bool {
        self.lock().held_from.is_some_and(|from| written >= from)
    }

    /// From now on, or no more, the follower waits for an answer.
    pub(crate) fn ask(&self, asking: bool) {
        self.lock().asking = asking;
        self.changed.notify_all();
    }

    /// Nobody follows any more.
    pub(crate) fn end(&self) {
        self.lock().ended = true;
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Twice as long as it takes until those who publish are held.
const NOTICE: Duration = Duration::from_millis(500);
