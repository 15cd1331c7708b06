//! Brake: how far the journal may run ahead of who follows it.
//!
//! What is dead can be given up only once it is known to be, and only behind what is alive before it. Whoever writes must
//! therefore not be faster for long than whoever follows, or the directory would have no bound.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

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
    /// The follower waits for an answer of the committer, which must not wait for it then.
    asking: bool,
    /// Nobody follows any more, so nobody is waited for.
    ended: bool,
}

impl Brake {
    pub(crate) const fn new(allowed_bytes: u64) -> Self {
        let state = State { allowed_bytes, asking: false, ended: false };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    /// Waits until so many bytes may be written; `waits` is called first if that is not at once.
    pub(crate) fn wait(&self, bytes: u64, waits: impl FnOnce()) {
        let is_ahead = |state: &mut State| bytes > state.allowed_bytes && !state.asking && !state.ended;
        let mut state = self.lock();
        if is_ahead(&mut state) {
            waits();
            drop(self.changed.wait_while(state, is_ahead).unwrap_or_else(PoisonError::into_inner));
        }
    }

    /// So many bytes may be written from now on; `u64::MAX`: any, while the follower is held up by something else.
    pub(crate) fn allow(&self, bytes: u64) {
        self.lock().allowed_bytes = bytes;
        self.changed.notify_all();
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
