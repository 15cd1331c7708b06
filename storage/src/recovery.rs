//! sled, then the journal's tail: what the last life left.
//!
//! Of a store that was closed in order, sled has all objects, and the journal is read for the entries only. After
//! anything else the whole journal is applied to sled once more: it changes nothing where sled kept its word. If sled is
//! of no use, it is set aside, and the journal fills a new one.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::{sync::Arc, time::Instant};

use model::author::Author;
use model::ban::Ban;
use model::change::{Change, QueueRecord, SessionRecord};
use model::message::Message;
use model::name::{ClientId, Incarnation, PublicationId, PublisherName, QueueId};
use model::policy::Policy;
use model::qos::Qos;
use model::queue::{Binding, ExchangeBinding, ExchangeOptions};
use model::time::WallMs;
use smallvec::SmallVec;

use crate::apply::State;
use crate::directory::Directory;
use crate::error::StoreError;
use crate::group::Group;
use crate::journal::{Journal, Opened, replay::Shown};
use crate::keyspace::{Key, Keyspace, kind, read_value};
use crate::log::{Log, Seen};
use crate::options::Options;
use crate::position::Position;
use crate::queues::Live;
use crate::record::{Item, Items, Note, put_note};
use crate::retained::RecoveredRetained;
use crate::segment::{Segment, path_of};
use crate::space::{fitting, is_scarce};
use crate::subject::{self, Subject};

/// What was there when the store was opened.
#[derive(Debug)]
pub struct Recovered {
    /// Of this life: one more than of the last one, and durable.
    pub incarnation: Incarnation,
    /// The durable exchanges.
    pub exchanges: Vec<ExchangeOptions>,
    /// The durable queues, with what waits in them.
    pub queues: Vec<RecoveredQueue>,
    /// The bindings of those queues.
    pub bindings: Vec<(QueueId, Binding)>,
    /// The bindings from one durable exchange to another.
    pub exchange_bindings: Vec<ExchangeBinding>,
    /// The sessions that outlive their connections.
    pub sessions: Vec<RecoveredSession>,
    /// The retained messages.
    pub retained: Vec<RecoveredRetained>,
    /// The ids that publishers gave their messages, in the order they came in.
    pub publications: Vec<RecoveredPublication>,
    /// Who stays out.
    pub bans: Vec<Ban>,
    /// What holds by name.
    pub policies: Vec<Policy>,
    /// How it went.
    pub report: RecoveryReport,
}

/// A queue that was there.
#[derive(Debug)]
pub struct RecoveredQueue {
    /// As it was declared.
    pub record: QueueRecord,
    /// Above every number ever used in it, also by entries that are long gone.
    pub next_sequence: u64,
    /// Those with their messages, by number.
    pub entries: Vec<RecoveredEntry>,
    /// Those whose messages were left where they are, in the order of the journal: [`crate::Store::read`] reads them.
    pub unread: Vec<UnreadEntry>,
}

/// An entry that was there, and whose message was not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnreadEntry {
    /// Its number.
    pub sequence: u64,
    /// When the broker took the message in.
    pub published_at: WallMs,
    /// From when on it must not be delivered.
    pub expires_at: Option<WallMs>,
    /// By [`Message::size_bytes`].
    pub size_bytes: u32,
    /// As the message says.
    pub priority: u8,
    /// With which RETAIN flag it is to be delivered.
    pub retain: bool,
}

/// An entry that was there.
#[derive(Debug, Clone)]
pub struct RecoveredEntry {
    /// Its number.
    pub sequence: u64,
    /// Its message; entries of one record share it.
    pub message: Arc<Message>,
    /// With which QoS it is to be delivered.
    pub qos: Qos,
    /// With which RETAIN flag.
    pub retain: bool,
    /// For which subscriptions.
    pub subscription_ids: SmallVec<[u32; 1]>,
    /// Whose message it is, where that is to be asked when it goes on from here.
    pub author: Option<Arc<Author>>,
    /// Whether the client said that it has it (PUBREC).
    pub received: bool,
}

/// A session that was there.
#[derive(Debug)]
pub struct RecoveredSession {
    /// As it was.
    pub record: SessionRecord,
    /// The QoS 2 ids that are not released, in ascending order.
    pub unreleased: Vec<u16>,
}

/// The id of a message that came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecoveredPublication {
    /// Who sent it.
    pub publisher: PublisherName,
    /// What he called it.
    pub id: PublicationId,
    /// When it came in.
    pub at: WallMs,
}

/// How recovery went.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct RecoveryReport {
    /// How long it took.
    pub seconds: f64,
    /// Journal files read.
    pub segments: usize,
    /// Entries that wait.
    pub entries: usize,
    /// Bytes of an unfinished write that were cut off at the end.
    pub cut_bytes: u64,
    /// Whether sled was of no use, and was filled again from the journal.
    pub state_rebuilt: bool,
}

/// Reads everything.
pub(crate) fn recover(
    options: &Options,
    directory: &Directory,
) -> Result<(State, Journal, Recovered), StoreError> {
    let start = Instant::now();
    let mut rebuilt = false;
    let found = match attempt(options, directory, Home::Disk) {
        Err(Trouble::Unusable(why)) => {
            let aside = directory.set_state_aside()?;
            // From the journal, which has everything.
            tracing::warn!(why, set_aside = %aside.display(), "store.state_rebuilt");
            rebuilt = true;
            attempt(options, directory, Home::Disk)
        }
        found => found,
    };
    let found = match found {
        Err(Trouble::Unusable(why)) if is_scarce(&options.directory) => {
            // Not even an empty one can be made. The journal has what is needed to serve, and to drain what waits.
            tracing::warn!(why, "store.state_in_memory: the disk is full; the next start makes it anew");
            attempt(options, directory, Home::Memory)
        }
        found => found,
    };
    let (state, journal, mut recovered) = match found {
        Ok(found) => found,
        Err(Trouble::Fatal(error)) => return Err(error),
        Err(Trouble::Unusable(why)) => {
            // It was empty, so it is the disk: full, or failing.
            let (path, source) = (directory.state(), std::io::Error::other(why));
            return Err(StoreError::Io { doing: "make a new state in", path, source });
        }
    };
    recovered.report.state_rebuilt |= rebuilt;
    recovered.report.seconds = start.elapsed().as_secs_f64();
    let RecoveryReport { seconds, segments, entries, cut_bytes, state_rebuilt } = recovered.report;
    let seconds = format_args!("{seconds:.3}");
    tracing::info!(%seconds, segments, entries, cut_bytes, state_rebuilt, "store.open");
    Ok((state, journal, recovered))
}

/// Why an attempt failed.
enum Trouble {
    /// sled is of no use; without it, it may go.
    Unusable(String),
    /// Nothing helps.
    Fatal(StoreError),
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        if matches!(error, StoreError::State { .. }) {
            Self::Unusable(error.to_string())
        } else {
            Self::Fatal(error)
        }
    }
}

/// Where the state is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Home {
    Disk,
    Memory,
}

fn attempt(
    options: &Options,
    directory: &Directory,
    home: Home,
) -> Result<(State, Journal, Recovered), Trouble> {
    // sled panics on some kinds of damage. What it leaves behind is dropped with everything else.
    catch_unwind(AssertUnwindSafe(|| {
        let (mut state, journal, opened, rebuilt) = replay(options, directory, home)?;
        let recovered = load(&mut state, &journal, Some((&journal, &opened.digested)));
        if !opened.verifier.finish()? {
            return Err(Trouble::Unusable(
                "it was filled from a digest that is not of its segment".to_owned(),
            ));
        }
        let mut recovered = recovered?;
        recovered.report.segments = opened.segments;
        recovered.report.cut_bytes = opened.cut_bytes;
        recovered.report.state_rebuilt = rebuilt;
        // Where there is no room for it, it would be waited for.
        if !is_scarce(&options.directory) {
            journal.begin_file()?;
        }
        recovered.incarnation = begin_life(&mut state, &journal)?;
        Ok((state, journal, recovered))
    }))
    .unwrap_or_else(|_| Err(Trouble::Unusable("sled panicked".to_owned())))
}

/// Brings the state to the end of the journal.
fn replay(
    options: &Options,
    directory: &Directory,
    home: Home,
) -> Result<(State, Journal, Opened, bool), Trouble> {
    let keyspace = match home {
        Home::Disk => Keyspace::open(&directory.state(), options.cache_bytes)?,
        Home::Memory => Keyspace::in_memory(),
    };
    let meta = keyspace.meta()?;
    if meta.is_none() && !keyspace.is_empty() {
        return Err(Trouble::Unusable("it is of another version".to_owned()));
    }
    if meta.is_some_and(|meta| meta.store != directory.store().0) {
        return Err(Trouble::Unusable("it belongs to another store".to_owned()));
    }
    let mut state = State::new(keyspace, directory.store().0, directory.journal());
    state.reads_bodies = options.reads_bodies;
    if let Some(meta) = meta {
        state.objects_from = if meta.clean { meta.applied } else { Position::START };
        state.checkpoint = meta.checkpoint;
    }
    let mut records = 0_u64;
    let mut through = Position::START;
    let mut show = |shown: Shown<'_>| {
        records += 1;
        match shown {
            Shown::Record(at, record) => state.apply(at, record)?,
            Shown::Digest(heading, digest, read) => {
                through = through.max(heading.through);
                state.apply_digest(heading.segment, digest, read)?;
            }
        }
        if state.is_full() { state.flush() } else { Ok(()) }
    };
    let segment_bytes = fitting(&options.directory, options.segment_bytes);
    let (journal, opened) =
        Journal::open(&directory.journal(), directory.store(), segment_bytes, &options.space, &mut show)?;
    let tail = journal.durable();
    if through.max(meta.map_or(Position::START, |meta| meta.checkpoint)) > tail {
        let file = path_of(&directory.journal(), tail.segment);
        let what = "the journal ends here, and it once was longer";
        return Err(Trouble::Fatal(StoreError::damaged(&file, tail.offset.into(), what)));
    }
    if let Some(meta) = meta {
        if meta.applied > tail {
            return Err(Trouble::Unusable("it is ahead of the journal".to_owned()));
        }
        let oldest = journal.segments().first().map_or(1, |segment| segment.id);
        if oldest > 1 && meta.checkpoint.segment < oldest {
            return Err(Trouble::Unusable("it is older than the journal".to_owned()));
        }
    }
    state.applied = tail;
    state.replayed = tail.segment;
    state.queues.reach(tail);
    state.flush()?;
    Ok((state, journal, opened, meta.is_none() && records > 0))
}

/// Reads everything of a journal that is no file of ours, into a state in memory.
pub(crate) fn recover_from(log: &dyn Log, options: &Options) -> Result<(State, Recovered), StoreError> {
    let mut state = State::new(Keyspace::in_memory(), 0, options.directory.clone());
    state.reads_bodies = options.reads_bodies;
    let tail = log.durable();
    log.scan(Position::START, tail, &mut |at, record| {
        state.apply(at, record)?;
        Ok(Seen::More)
    })?;
    state.applied = tail;
    state.replayed = tail.segment;
    state.queues.reach(tail);
    state.flush()?;
    let mut recovered = load(&mut state, log, None)?;
    recovered.incarnation = begin_life(&mut state, log)?;
    Ok((state, recovered))
}

/// One more life, and a state that is not closed in order any more.
fn begin_life(state: &mut State, journal: &dyn Log) -> Result<Incarnation, StoreError> {
    let incarnation = Incarnation(state.incarnation.0.0.saturating_add(1));
    let mut group = Group::new();
    group.push(|out| put_note(out, Note::Incarnation(incarnation)));
    journal.append(&mut group)?;
    journal.sync()?;
    state.checkpoint(false)?;
    Ok(incarnation)
}

/// Where digests are, and the segments of which they are true.
type Digests<'a> = Option<(&'a Journal, &'a [u32])>;

fn load(state: &mut State, log: &dyn Log, digests: Digests<'_>) -> Result<Recovered, StoreError> {
    state.queues.lock().purge(&mut state.live);
    state.strict = true;
    // Counted anew: where sled had the objects already, nobody has counted them yet.
    state.live = Live::default();
    for (_, places) in state.queues.lock().iter() {
        for (_, spot) in places.spots.iter() {
            state.live.add(spot.position.segment, spot.bytes);
        }
    }
    let mut objects = Objects::default();
    let mut orphans: Vec<Key> = Vec::new();
    for kind in KINDS {
        for item in state.keyspace.scan(&[kind]) {
            let (key, value) = item?;
            let Some((stored, record)) = read_value(&value) else {
                return Err(state.keyspace.nonsense());
            };
            state.live.add(stored.position.segment, stored.bytes);
            let change = match record {
                Some(record) => find(state, record, &key, stored.position)?,
                None => find(state, &log.read(stored.position)?, &key, stored.position)?,
            };
            if !objects.take(state, change) {
                orphans.push(key.to_vec());
            }
        }
    }
    for key in orphans {
        state.delete(key, state.applied)?;
    }
    objects.publications.sort_by_key(|publication| publication.at);
    let mut entries = read_entries(state, log, digests)?;
    let count = entries.values().map(|(read, unread)| read.len() + unread.len()).sum();
    let queues = objects.queues.into_iter().map(|record| {
        let (read, unread) = entries.remove(&record.id).unwrap_or_default();
        let next_sequence = state.queues.lock().next(record.id);
        RecoveredQueue { next_sequence, entries: read, unread, record }
    });
    let queues = queues.collect();
    let mut unreleased = objects.unreleased;
    let sessions = objects.sessions.into_iter().map(|record| RecoveredSession {
        unreleased: unreleased.remove(&record.client).unwrap_or_default(),
        record,
    });
    Ok(Recovered {
        incarnation: state.incarnation.0,
        exchanges: objects.exchanges,
        queues,
        bindings: objects.bindings,
        exchange_bindings: objects.exchange_bindings,
        sessions: sessions.collect(),
        retained: objects.retained,
        publications: objects.publications,
        bans: objects.bans,
        policies: objects.policies,
        report: RecoveryReport { entries: count, ..RecoveryReport::default() },
    })
}

/// The change of a record that puts the object of that key: the last one, should there be several.
fn find(state: &State, record: &[u8], key: &[u8], at: Position) -> Result<Change, StoreError> {
    let mut found = None;
    let mut items = Items::of(record).map_err(|error| state.damaged(at, error))?;
    while let Some(item) = items.next().map_err(|error| state.damaged(at, error))? {
        if let Item::Change(change) = item
            && matches!(subject::of(state.salt, &change), Subject::Put(subject) if subject == key)
        {
            found = Some(change);
        }
    }
    found.ok_or_else(|| state.keyspace.nonsense())
}

/// Objects as they are read from sled, each kind by itself.
#[derive(Default)]
struct Objects {
    exchanges: Vec<ExchangeOptions>,
    queues: Vec<QueueRecord>,
    bindings: Vec<(QueueId, Binding)>,
    exchange_bindings: Vec<ExchangeBinding>,
    sessions: Vec<SessionRecord>,
    unreleased: HashMap<ClientId, Vec<u16>>,
    retained: Vec<RecoveredRetained>,
    publications: Vec<RecoveredPublication>,
    bans: Vec<Ban>,
    policies: Vec<Policy>,
}

/// Of which there are objects; what belongs to something comes behind it.
const KINDS: [u8; 10] = [
    kind::EXCHANGE,
    kind::EXCHANGE_BINDING,
    kind::QUEUE,
    kind::BINDING,
    kind::SESSION,
    kind::DEDUP,
    kind::RETAINED,
    kind::PUBLICATION,
    kind::BAN,
    kind::POLICY,
];

impl Objects {
    /// `false`: it belongs to something that does not exist.
    fn take(&mut self, state: &State, change: Change) -> bool {
        match change {
            Change::DeclareExchange(exchange) => self.exchanges.push(*exchange),
            Change::DeclareQueue(queue) => self.queues.push(*queue),
            Change::Bind { queue, binding } => {
                if !state.queues.lock().is_declared(queue) {
                    return false;
                }
                self.bindings.push((queue, *binding));
            }
            Change::BindExchange(binding) => self.exchange_bindings.push(*binding),
            Change::PutSession(session) => self.sessions.push(*session),
            Change::Remember { client, id } => self.unreleased.entry(client).or_default().push(id),
            Change::Retain { message, author } => self.retained.push(RecoveredRetained { message, author }),
            Change::RememberPublication { publisher, id, at } => {
                self.publications.push(RecoveredPublication { publisher, id, at });
            }
            Change::PutBan(ban) => self.bans.push(*ban),
            Change::PutPolicy(policy) => self.policies.push(*policy),
            Change::Enqueue { .. }
            | Change::Receive(_)
            | Change::Remove(_)
            | Change::Forget { .. }
            | Change::ForgetPublication { .. }
            | Change::Unretain { .. }
            | Change::DropSession(_)
            | Change::DeleteExchange(_)
            | Change::DeleteQueue(_)
            | Change::Unbind(_)
            | Change::UnbindExchange(_)
            | Change::DropBan(_)
            | Change::DropPolicy(_) => {}
        }
        true
    }
}

/// What waits, by queue: with messages, and without.
type Waiting = HashMap<QueueId, (Vec<RecoveredEntry>, Vec<UnreadEntry>)>;

/// Reads what waits, in the order of the journal: only segments that have something, each record once. Of those that have a
/// digest only what the digest does not say.
fn read_entries(state: &State, log: &dyn Log, digests: Digests<'_>) -> Result<Waiting, StoreError> {
    let has_digest = |segment: u32| {
        let (journal, digested) = digests.filter(|_| !state.reads_bodies)?;
        digested.binary_search(&segment).is_ok().then_some(journal)
    };
    let mut wanted: Vec<Position> = Vec::new();
    for (_, places) in state.queues.lock().iter() {
        let spots = places.spots.iter().map(|(_, spot)| spot);
        let read = spots.filter(|spot| has_digest(spot.position.segment).is_none() || spot.received != 0);
        wanted.extend(read.map(|spot| spot.position));
    }
    wanted.sort_unstable();
    wanted.dedup();
    let mut entries = Waiting::new();
    for segment in log.segments() {
        if let Some(journal) = has_digest(segment.id) {
            take_unread(state, journal, segment.id, &mut entries)?;
        }
        let start = wanted.partition_point(|at| at.segment < segment.id);
        let mut here = wanted.iter().skip(start).take_while(|at| at.segment == segment.id).peekable();
        if here.peek().is_none() {
            continue;
        }
        let from = Position { segment: segment.id, offset: Segment::FIRST };
        let to = Position { segment: segment.id, offset: segment.used };
        log.scan(from, to, &mut |at, record| {
            if here.peek() == Some(&&at) {
                here.next();
                read_record(state, at, record, &mut entries)?;
            }
            Ok(if here.peek().is_none() { Seen::Enough } else { Seen::More })
        })?;
    }
    for (entries, unread) in entries.values_mut() {
        unread.shrink_to_fit();
        entries.sort_unstable_by_key(|entry| entry.sequence);
    }
    Ok(entries)
}

/// What waits in a segment and need not be read, by its digest.
fn take_unread(state: &State, log: &Journal, segment: u32, out: &mut Waiting) -> Result<(), StoreError> {
    let digest = log.digest(segment)?;
    let queues = state.queues.lock();
    for near in digest.waiting.chunk_by(|one, other| one.place.queue == other.place.queue) {
        let Some(queue) = near.first().map(|lying| lying.place.queue) else { continue };
        let unread = &mut out.entry(queue).or_default().1;
        for lying in near {
            let at = Position { segment, offset: lying.offset };
            if queues.spot(lying.place).is_some_and(|spot| spot.position == at && spot.received == 0) {
                unread.push(UnreadEntry {
                    sequence: lying.place.sequence,
                    published_at: lying.published_at,
                    expires_at: lying.expires_at,
                    size_bytes: lying.size_bytes,
                    priority: lying.priority,
                    retain: lying.retain,
                });
            }
        }
    }
    Ok(())
}

fn read_record(state: &State, at: Position, record: &[u8], out: &mut Waiting) -> Result<(), StoreError> {
    let mut items = Items::of(record).map_err(|error| state.damaged(at, error))?;
    while let Some(item) = items.next().map_err(|error| state.damaged(at, error))? {
        let Item::Enqueue { body, mut entries } = item else {
            continue;
        };
        // Whether the client has it, for those that lie here.
        let mut received: SmallVec<[bool; 1]> = SmallVec::new();
        {
            let queues = state.queues.lock();
            entries.retain(|entry| {
                let spot = queues.spot(entry.place).filter(|spot| spot.position == at);
                received.extend(spot.map(|spot| spot.received != 0));
                spot.is_some()
            });
        }
        if entries.is_empty() {
            continue;
        }
        let mut message = None;
        let gist = body.gist().map_err(|error| state.damaged(at, error))?;
        for (entry, received) in entries.into_iter().zip(received) {
            let (read, unread) = out.entry(entry.place.queue).or_default();
            if let (false, false, Ok(size_bytes)) =
                (state.reads_bodies, received, u32::try_from(gist.size_bytes))
            {
                unread.push(UnreadEntry {
                    sequence: entry.place.sequence,
                    published_at: gist.published_at,
                    expires_at: gist.expires_at,
                    size_bytes,
                    priority: gist.priority.unwrap_or(0),
                    retain: entry.retain,
                });
                continue;
            }
            let shared = match &message {
                Some(message) => Arc::clone(message),
                None => Arc::clone(message.insert(body.read().map_err(|error| state.damaged(at, error))?)),
            };
            read.push(RecoveredEntry {
                sequence: entry.place.sequence,
                message: shared,
                qos: entry.qos,
                retain: entry.retain,
                subscription_ids: entry.subscription_ids,
                author: entry.author,
                received,
            });
        }
    }
    Ok(())
}
