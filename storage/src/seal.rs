//! Seal: a segment that is full gets its digest, from its records and from what is known of them since.

use std::collections::{BTreeMap, HashMap, HashSet};

use model::change::{Change, Entry, Place};
use model::name::QueueId;

use crate::digest::{Digest, Lying, Other, Said};
use crate::group::PREFIX_BYTES;
use crate::keyspace::Key;
use crate::position::Position;
use crate::queues::Queues;
use crate::record::wire::RecordError;
use crate::record::{Body, Item, Items, put_changes, put_note};
use crate::subject::{self, Subject};

/// Makes the digest of one segment, record by record.
#[derive(Debug)]
pub(crate) struct Seal {
    digest: Digest,
    salt: u64,
    /// What was said last of each object; `None` where more was said later.
    others: Vec<Option<Other>>,
    /// Which of those need not be said if more is said of the object of that key.
    newest: HashMap<Key, usize>,
    floors: BTreeMap<QueueId, u64>,
    /// What has its only place in this segment: nobody else need be told that it is gone.
    own: HashSet<Place>,
    /// Entries from earlier segments were moved here, so an entry may lie in two.
    has_moved: bool,
}

impl Seal {
    /// `salt`: of the store, for the keys of objects.
    pub(crate) fn new(salt: u64, has_moved: bool) -> Self {
        Self {
            digest: Digest::default(),
            salt,
            others: Vec::new(),
            newest: HashMap::new(),
            floors: BTreeMap::new(),
            own: HashSet::new(),
            has_moved,
        }
    }

    /// Takes the next record. `queues`: what is known by now, so what is gone since is left out.
    pub(crate) fn take(&mut self, queues: &Queues, at: Position, record: &[u8]) -> Result<(), RecordError> {
        let size = u32::try_from(record.len() + PREFIX_BYTES).unwrap_or(u32::MAX);
        let mut items = Items::of(record)?;
        let mut number = 0;
        while let Some(item) = items.next()? {
            match item {
                Item::Enqueue { body, entries } => self.enqueue(queues, at, size, body, &entries)?,
                Item::Change(Change::Remove(place)) => {
                    if !self.own.contains(&place) {
                        self.digest.removed.push(place);
                    }
                }
                Item::Change(Change::Receive(place)) => {
                    let spot = queues.spot(place);
                    let says = spot.filter(|spot| spot.received == at.segment);
                    if says.is_some_and(|spot| spot.position.segment != at.segment) {
                        self.digest.received.push(place);
                    }
                }
                Item::Change(change) => {
                    let mut record = Vec::new();
                    put_changes(&mut record, std::slice::from_ref(&change));
                    // Queues must be known also where sled has all objects already.
                    let is_here =
                        record.len() <= RECORD_BYTES_MAX || matches!(change, Change::DeclareQueue(_));
                    let said = if is_here { Said::Record(record) } else { Said::Item(number) };
                    self.say(&change, Other { offset: at.offset, said });
                }
                Item::Note(note) => {
                    let mut record = Vec::new();
                    put_note(&mut record, note);
                    self.others.push(Some(Other { offset: at.offset, said: Said::Record(record) }));
                }
            }
            number += 1;
        }
        Ok(())
    }

    fn enqueue(
        &mut self,
        queues: &Queues,
        at: Position,
        size: u32,
        body: Body<'_>,
        entries: &[Entry],
    ) -> Result<(), RecordError> {
        // As it is counted when the record is applied.
        let bytes = size / u32::try_from(entries.len()).unwrap_or(u32::MAX).max(1);
        let mut gist = None;
        for Entry { place, retain, .. } in entries {
            if !queues.is_declared(place.queue) {
                continue;
            }
            let above = self.floors.entry(place.queue).or_default();
            *above = (*above).max(place.sequence.saturating_add(1));
            if !self.has_moved {
                self.own.insert(*place);
            }
            let Some(spot) = queues.spot(*place).filter(|spot| spot.position == at) else { continue };
            let gist = match &gist {
                Some(gist) => gist,
                None => gist.insert(body.gist()?),
            };
            self.digest.waiting.push(Lying {
                place: *place,
                offset: at.offset,
                bytes,
                received: spot.received == at.segment,
                published_at: gist.published_at,
                expires_at: gist.expires_at,
                size_bytes: u32::try_from(gist.size_bytes).unwrap_or(u32::MAX),
                priority: gist.priority.unwrap_or(0),
                retain: *retain,
            });
        }
        Ok(())
    }

    /// Of an object only what was said last is needed, unless others went with it.
    fn say(&mut self, change: &Change, other: Other) {
        let others_go =
            matches!(change, Change::DropSession(_) | Change::DeleteExchange(_) | Change::DeleteQueue(_));
        if let Subject::Put(key) | Subject::Delete(key) = subject::of(self.salt, change) {
            let earlier =
                if others_go { self.newest.remove(&key) } else { self.newest.insert(key, self.others.len()) };
            if let Some(earlier) = earlier.and_then(|earlier| self.others.get_mut(earlier)) {
                *earlier = None;
            }
        }
        self.others.push(Some(other));
    }

    /// Behind its last record.
    pub(crate) fn finish(mut self) -> Digest {
        self.digest.floors = self.floors.into_iter().collect();
        self.digest.others = self.others.into_iter().flatten().collect();
        self.digest
    }
}

/// What is larger stays where it is.
const RECORD_BYTES_MAX: usize = 4 << 10;
