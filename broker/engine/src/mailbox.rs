//! What others leave for a link: answers, news, and the news that its queues have something.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use model::event::Event;
use routing::Readiness;

/// Shared between a link and whoever has something to tell it.
pub(crate) struct Mailbox {
    /// Which of the link's consumers have something, and whom to wake.
    pub(crate) readiness: Arc<Readiness>,
    /// Whether there are notes, to be seen without the lock.
    any: AtomicBool,
    notes: Mutex<Vec<Note>>,
}

/// One thing left in a mailbox.
pub(crate) enum Note {
    /// A commit of the link's came through; its answer, if one is wanted.
    Done(Option<Event>),
    /// Something that the link did not ask for.
    News(Event),
    /// The rules are others now.
    Revise,
}

impl Mailbox {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { readiness: Readiness::new(), any: AtomicBool::new(false), notes: Mutex::default() })
    }

    /// Leaves a note. Wakes the link, unless there is nothing in it to act on.
    pub(crate) fn post(&self, note: Note) {
        let silent = matches!(note, Note::Done(None));
        let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        if notes.capacity() == 0 {
            // Most are left one at a time.
            notes.reserve_exact(1);
        }
        notes.push(note);
        self.any.store(true, Ordering::Release);
        drop(notes);
        if !silent {
            self.readiness.wake();
        }
    }

    /// Whether there are notes.
    pub(crate) fn has_notes(&self) -> bool {
        self.any.load(Ordering::Acquire)
    }

    /// Takes all notes, in the order they came, and leaves no room for others: a client that is silent holds none.
    pub(crate) fn empty(&self) -> Vec<Note> {
        let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        self.any.store(false, Ordering::Release);
        std::mem::take(&mut notes)
    }
}
