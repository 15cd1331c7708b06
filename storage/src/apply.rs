//! Journal to sled, in batches, behind the acknowledgements.
//!
//! The state is a pure function of the journal. For each object the record that lies furthest behind wins, so applying a
//! part of the journal twice changes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use model::change::Change;
use model::name::{ExchangeName, Incarnation, QueueId};

use crate::digest::{Digest, Lying, Other, ReadRecord, Said};
use crate::error::StoreError;
use crate::group::PREFIX_BYTES;
use crate::keyspace::{Key, Keyspace, Meta, Stored, kind, read_value, value};
use crate::log::{Log, Seen};
use crate::position::Position;
use crate::queues::{Index, Live};
use crate::record::wire::RecordError;
use crate::record::{Item, Items, Note, put_changes};
use crate::segment::path_of;
use crate::subject::{self, Subject};
use crate::{dedup, topology};

/// What the journal adds up to, as far as it was applied.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) keyspace: Keyspace,
    pub(crate) salt: u64,
    /// For the names of damaged files.
    journal: PathBuf,
    pub(crate) queues: Arc<Index>,
    pub(crate) live: Live,
    /// Segments in which an entry lies that came from an earlier one.
    moved_into: BTreeSet<u32>,
    /// Of segments up to this one nobody saw all that is in the earlier ones.
    pub(crate) replayed: u32,
    /// The newest, and the record that says so.
    pub(crate) incarnation: (Incarnation, Position),
    /// Everything before is applied.
    pub(crate) applied: Position,
    /// Objects from records before this are in sled already.
    pub(crate) objects_from: Position,
    /// Whether entries of queues that were never declared are ignored. Not while the journal is replayed: a declaration
    /// may have been moved behind the entries.
    pub(crate) strict: bool,
    pub(crate) checkpoint: Position,
    /// Whether recovery reads the messages of all that waits.
    pub(crate) reads_bodies: bool,
    pending: BTreeMap<Key, Pending>,
    scratch: Vec<u8>,
}

/// An object that changed since the last batch.
#[derive(Debug)]
struct Pending {
    in_sled: bool,
    now: Option<Stored>,
    value: Option<Vec<u8>>,
}

impl State {
    pub(crate) fn new(keyspace: Keyspace, salt: u64, journal: PathBuf) -> Self {
        Self {
            keyspace,
            salt,
            journal,
            queues: Arc::default(),
            live: Live::default(),
            moved_into: BTreeSet::new(),
            replayed: 0,
            incarnation: (Incarnation(0), Position::START),
            applied: Position::START,
            objects_from: Position::START,
            strict: false,
            checkpoint: Position::START,
            reads_bodies: false,
            pending: BTreeMap::new(),
            scratch: Vec::new(),
        }
    }

    /// Applies what became durable since the last time. Unless it `may_write`, it stays in memory.
    pub(crate) fn follow(&mut self, log: &dyn Log, may_write: bool) -> Result<(), StoreError> {
        let to = log.durable();
        while self.applied < to {
            let reached = log.scan(self.applied, to, &mut |at, record| {
                self.apply(at, record)?;
                Ok(if self.is_full() { Seen::Enough } else { Seen::More })
            })?;
            if reached <= self.applied {
                break;
            }
            self.applied = reached;
            self.queues.reach(reached);
            if may_write {
                self.flush()?;
            }
        }
        Ok(())
    }

    /// Applies one record.
    pub(crate) fn apply(&mut self, at: Position, record: &[u8]) -> Result<(), StoreError> {
        self.apply_items(at, record)?.map_err(|error| self.damaged(at, error))
    }

    /// Applies all records of a segment by what they add up to. `read` reads one of them, by its offset.
    pub(crate) fn apply_digest(
        &mut self,
        segment: u32,
        digest: &Digest,
        read: &mut ReadRecord<'_>,
    ) -> Result<(), StoreError> {
        {
            let mut queues = self.queues.lock();
            for Lying { place, offset, bytes, received, .. } in &digest.waiting {
                queues.put(*place, Position { segment, offset: *offset }, *bytes, &mut self.live);
                if *received {
                    queues.receive(*place, segment);
                }
            }
            for (queue, next) in &digest.floors {
                queues.floor(*queue, *next, segment);
            }
            for place in &digest.removed {
                queues.remove(*place, &mut self.live);
            }
            for place in &digest.received {
                queues.receive(*place, segment);
            }
        }
        for Other { offset, said } in &digest.others {
            let at = Position { segment, offset: *offset };
            let applied = match said {
                Said::Record(record) => self.apply_items(at, record)?,
                // It is in sled already, and about no queue.
                Said::Item(_) if at < self.objects_from => continue,
                Said::Item(number) => self.apply_item(at, &read(*offset)?, *number)?,
            };
            applied.map_err(|error| self.damaged(at, error))?;
        }
        Ok(())
    }

    /// Applies one item of a record.
    fn apply_item(
        &mut self,
        at: Position,
        record: &[u8],
        number: u32,
    ) -> Result<Result<(), RecordError>, StoreError> {
        let mut items = match Items::of(record) {
            Ok(items) => items,
            Err(error) => return Ok(Err(error)),
        };
        for index in 0_u32.. {
            match items.next() {
                Ok(Some(Item::Change(change))) if index == number => {
                    return self.apply_change(at, &change).map(Ok);
                }
                Ok(Some(_)) if index < number => {}
                Ok(Some(_) | None) => break,
                Err(error) => return Ok(Err(error)),
            }
        }
        Ok(Err(RecordError::Range))
    }

    /// Whether entries from earlier segments may have been moved into that one.
    pub(crate) fn may_have_moved_into(&self, segment: u32) -> bool {
        segment <= self.replayed || self.moved_into.contains(&segment)
    }

    /// Forgets what was given up.
    pub(crate) fn trim(&mut self, before: u32) {
        self.live.trim(before);
        self.moved_into = self.moved_into.split_off(&before);
    }

    /// The record there makes no sense.
    pub(crate) fn damaged(&self, at: Position, error: RecordError) -> StoreError {
        StoreError::damaged(&path_of(&self.journal, at.segment), at.offset.into(), error.text())
    }

    /// Errors of the record inside, of sled outside.
    fn apply_items(&mut self, at: Position, record: &[u8]) -> Result<Result<(), RecordError>, StoreError> {
        let mut items = match Items::of(record) {
            Ok(items) => items,
            Err(error) => return Ok(Err(error)),
        };
        let size = u32::try_from(record.len() + PREFIX_BYTES).unwrap_or(u32::MAX);
        loop {
            match items.next() {
                Ok(Some(Item::Enqueue { body: _, entries })) => {
                    let share = size / u32::try_from(entries.len()).unwrap_or(u32::MAX).max(1);
                    let mut queues = self.queues.lock();
                    for entry in entries {
                        if self.strict && !queues.is_declared(entry.place.queue) {
                            continue;
                        }
                        let before = queues.put(entry.place, at, share, &mut self.live);
                        if before.is_some_and(|before| before.segment != at.segment) {
                            self.moved_into.insert(at.segment);
                        }
                    }
                }
                Ok(Some(Item::Change(change))) => self.apply_change(at, &change)?,
                Ok(Some(Item::Note(note))) => self.apply_note(at, note),
                Ok(None) => return Ok(Ok(())),
                Err(error) => return Ok(Err(error)),
            }
        }
    }

    fn apply_note(&mut self, at: Position, note: Note) {
        match note {
            Note::Floor { queue, next } => {
                let mut queues = self.queues.lock();
                if !self.strict || queues.is_declared(queue) {
                    queues.floor(queue, next, at.segment);
                }
            }
            Note::Incarnation(incarnation) => {
                if incarnation >= self.incarnation.0 {
                    self.incarnation = (incarnation, at);
                }
            }
        }
    }

    fn apply_change(&mut self, at: Position, change: &Change) -> Result<(), StoreError> {
        match change {
            Change::Receive(place) => self.queues.lock().receive(*place, at.segment),
            Change::Remove(place) => self.queues.lock().remove(*place, &mut self.live),
            Change::DeleteQueue(queue) => return self.delete_queue(*queue, at),
            Change::DeclareQueue(queue) => {
                self.queues.lock().declare(queue.id, topology::shard(&queue.options.name));
            }
            Change::DropSession(client) if at >= self.objects_from => {
                self.delete_all(&dedup::prefix(self.salt, client), at, |_| true)?;
            }
            Change::DeleteExchange(exchange) if at >= self.objects_from => {
                self.delete_bindings(exchange, at)?
            }
            Change::Enqueue { .. }
            | Change::Remember { .. }
            | Change::Forget { .. }
            | Change::RememberPublication { .. }
            | Change::ForgetPublication { .. }
            | Change::Retain { .. }
            | Change::Unretain { .. }
            | Change::PutSession(_)
            | Change::DropSession(_)
            | Change::DeclareExchange(_)
            | Change::DeleteExchange(_)
            | Change::Bind { .. }
            | Change::Unbind(_)
            | Change::BindExchange(_)
            | Change::UnbindExchange(_)
            | Change::PutBan(_)
            | Change::DropBan(_)
            | Change::PutPolicy(_)
            | Change::DropPolicy(_) => {}
        }
        if at < self.objects_from {
            return Ok(());
        }
        match subject::of(self.salt, change) {
            Subject::Put(key) => self.put(key, at, change),
            Subject::Delete(key) => self.delete(key, at),
            Subject::None => Ok(()),
        }
    }

    fn delete_queue(&mut self, queue: QueueId, at: Position) -> Result<(), StoreError> {
        let shard = self.queues.lock().delete(queue, &mut self.live);
        let Some(shard) = shard.filter(|_| at >= self.objects_from) else {
            return Ok(());
        };
        self.delete_all(&topology::bindings_prefix(shard, queue), at, |_| true)?;
        self.delete(topology::queue_key(shard, queue), at)
    }

    fn delete_bindings(&mut self, exchange: &ExchangeName, at: Position) -> Result<(), StoreError> {
        let salt = self.salt;
        self.delete_all(&[kind::BINDING], at, |key| topology::is_bound_to(salt, key, exchange))?;
        let is_its_own = |key: &[u8]| topology::is_at_either_end(salt, key, exchange);
        self.delete_all(&[kind::EXCHANGE_BINDING], at, is_its_own)
    }

    fn put(&mut self, key: Key, at: Position, change: &Change) -> Result<(), StoreError> {
        self.scratch.clear();
        put_changes(&mut self.scratch, std::slice::from_ref(change));
        let bytes = u32::try_from(self.scratch.len()).unwrap_or(u32::MAX);
        let stored = Stored { position: at, bytes };
        let value = value(stored, &self.scratch);
        self.change(key, at, Some((stored, value)))
    }

    /// The object of that key is gone.
    pub(crate) fn delete(&mut self, key: Key, at: Position) -> Result<(), StoreError> {
        self.change(key, at, None)
    }

    fn change(&mut self, key: Key, at: Position, new: Option<(Stored, Vec<u8>)>) -> Result<(), StoreError> {
        let now = self.stored(&key)?;
        if now.is_some_and(|now| now.position > at) {
            return Ok(());
        }
        if let Some(now) = now {
            self.live.subtract(now.position.segment, now.bytes);
        }
        let (stored, value) = new.unzip();
        if let Some(stored) = stored {
            self.live.add(stored.position.segment, stored.bytes);
        }
        match self.pending.get_mut(&key) {
            Some(pending) => {
                pending.now = stored;
                pending.value = value;
            }
            None => {
                self.pending.insert(key, Pending { in_sled: now.is_some(), now: stored, value });
            }
        }
        Ok(())
    }

    /// Where the newest record of an object lies.
    pub(crate) fn stored(&self, key: &[u8]) -> Result<Option<Stored>, StoreError> {
        if let Some(pending) = self.pending.get(key) {
            return Ok(pending.now);
        }
        let Some(value) = self.keyspace.get(key)? else {
            return Ok(None);
        };
        match read_value(&value) {
            Some((stored, _)) => Ok(Some(stored)),
            None => Err(self.keyspace.nonsense()),
        }
    }

    fn delete_all(
        &mut self,
        prefix: &[u8],
        at: Position,
        wanted: impl Fn(&[u8]) -> bool,
    ) -> Result<(), StoreError> {
        let mut keys: Vec<Key> = Vec::new();
        for item in self.keyspace.scan(prefix) {
            keys.push(item?.0.to_vec());
        }
        let later = self.pending.range(prefix.to_vec()..).map(|(key, _)| key);
        keys.extend(later.take_while(|key| key.starts_with(prefix)).cloned());
        for key in keys.into_iter().filter(|key| wanted(key)) {
            self.delete(key, at)?;
        }
        Ok(())
    }

    /// Whether it is time for [`Self::flush`].
    pub(crate) fn is_full(&self) -> bool {
        self.pending.len() >= PENDING_MAX
    }

    /// Brings what is pending into sled. What came and went meanwhile never gets there.
    pub(crate) fn flush(&mut self) -> Result<(), StoreError> {
        let pending = std::mem::take(&mut self.pending);
        let changes: Vec<_> = pending
            .into_iter()
            .filter(|(_, pending)| pending.in_sled || pending.value.is_some())
            .map(|(key, pending)| (key, pending.value))
            .collect();
        if changes.is_empty() { Ok(()) } else { self.keyspace.write(changes, self.meta(false)) }
    }

    /// Makes last what was applied. Only then is journal space given up on its account.
    pub(crate) fn checkpoint(&mut self, clean: bool) -> Result<(), StoreError> {
        self.flush()?;
        self.checkpoint = self.applied;
        self.keyspace.write([], self.meta(clean))?;
        self.keyspace.sync()
    }

    fn meta(&self, clean: bool) -> Meta {
        Meta { store: self.salt, applied: self.applied, checkpoint: self.checkpoint, clean }
    }
}

const PENDING_MAX: usize = 4096;
