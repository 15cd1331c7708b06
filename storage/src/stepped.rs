//! Stepped: the steps of a store that has no threads, for whoever decides what happens when.

use std::collections::VecDeque;
use std::sync::Arc;

use crossbeam_channel::Receiver;

use crate::apply::State;
use crate::committer::{Committer, Work};
use crate::completion::Completion;
use crate::error::StoreError;
use crate::log::Log;
use crate::reader::Reader;

/// What the threads of a [`crate::Store`] do, step by step, in any order: any of them is possible with threads as well. If
/// it is dropped, completions that were waiting are dropped unrun, as when the disk fails.
pub struct Stepped {
    log: Arc<dyn Log>,
    work: Work,
    synced: Receiver<Vec<Box<dyn Completion>>>,
    ready: VecDeque<Box<dyn Completion>>,
    state: State,
    reader: Reader,
}

impl Stepped {
    pub(crate) fn new(
        committer: Committer,
        synced: Receiver<Vec<Box<dyn Completion>>>,
        state: State,
        reader: Reader,
    ) -> Self {
        let log = Arc::clone(&committer.log);
        Self { log, work: Work::new(committer), synced, ready: VecDeque::new(), state, reader }
    }

    /// Writes all that was handed in since the last time.
    ///
    /// # Errors
    ///
    /// What the log says. After an error only dropping it makes sense.
    pub fn write(&mut self) -> Result<(), StoreError> {
        self.work.write_all()
    }

    /// Makes all last that was written.
    ///
    /// # Errors
    ///
    /// As [`Self::write`].
    pub fn sync(&mut self) -> Result<(), StoreError> {
        self.work.sync()
    }

    /// Runs the next completion of what lasts. `false`: there was none.
    pub fn complete(&mut self) -> bool {
        self.ready.extend(self.synced.try_iter().flatten());
        let Some(completion) = self.ready.pop_front() else { return false };
        completion.committed();
        true
    }

    /// Answers the next question of [`crate::Store::read`]. `false`: there was none.
    ///
    /// # Errors
    ///
    /// What the log says, or damage.
    pub fn read(&mut self) -> Result<bool, StoreError> {
        let Self { log, work, state, reader, .. } = self;
        reader.answer_one(|syncs| {
            if syncs {
                work.write_all()?;
                work.sync()?;
            }
            state.follow(&**log, true)
        })
    }
}

impl std::fmt::Debug for Stepped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stepped").field("ready", &self.ready.len()).finish_non_exhaustive()
    }
}
