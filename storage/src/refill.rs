//! Refill: sled has failed while all goes on, and a new one is filled from the journal.
//!
//! What sled has written last is not known after an error of it, and what it held back is gone; so nothing of it is believed. Until
//! the new one is there, the index of what waits stays as it is: whoever reads goes on with that.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::apply::State;
use crate::directory::Directory;
use crate::error::StoreError;
use crate::keyspace::Keyspace;
use crate::log::Log;

/// Puts what the journal adds up to in the place of `state`, in a new sled; the old one is closed and set aside. Takes as long as
/// a start.
///
/// # Errors
///
/// What the journal or sled says; `state` is of no use then, but for its index.
pub(crate) fn refill(
    state: &mut State,
    log: &dyn Log,
    directory: &Directory,
    cache_bytes: u64,
) -> Result<(), StoreError> {
    // It would go on in what is in its place.
    state.keyspace.close();
    let aside = directory.set_state_aside().map_err(|error| {
        let source = sled::Error::Io(std::io::Error::other(error.to_string()));
        StoreError::state("set aside", &directory.state())(source)
    })?;
    let keyspace = Keyspace::open(&directory.state(), cache_bytes)?;
    let mut new = State::new(keyspace, directory.store().0, directory.journal());
    // Not dropped while a panic goes through here: sled may panic once more then.
    let filled = catch_unwind(AssertUnwindSafe(|| fill(&mut new, log)));
    match filled.unwrap_or_else(|_| Err(new.keyspace.panicked())) {
        Ok(()) => {
            put_in_place(state, new);
            tracing::warn!(set_aside = %aside.display(), "store.state_refilled: sled is filled again from the journal");
            Ok(())
        }
        Err(error) => {
            new.keyspace.close();
            Err(error)
        }
    }
}

fn fill(new: &mut State, log: &dyn Log) -> Result<(), StoreError> {
    new.follow(log, true)?;
    new.queues.lock().purge(&mut new.live);
    new.strict = true;
    new.replayed = new.applied.segment;
    new.checkpoint(false)
}

/// The index stays the same for whoever reads by it, with the new content.
fn put_in_place(state: &mut State, new: State) {
    let old = std::mem::replace(state, new);
    *old.queues.lock() = std::mem::take(&mut *state.queues.lock());
    state.reads_bodies = old.reads_bodies;
    state.queues = old.queues;
    state.queues.reach(state.applied);
}
