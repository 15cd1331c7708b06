//! Versioned encodings of changes: what a record of the journal, and a value of sled, is made of.
//!
//! A record is a changeset: a version, a count, and as many items. Numbers are written in as few bytes as they need,
//! texts with their length before them. There is no checksum in here: a group of records has one (`group`).

pub(crate) mod author;
pub(crate) mod ban;
pub(crate) mod message;
pub(crate) mod object;
pub(crate) mod policy;
#[cfg(test)]
mod round_trip;
pub(crate) mod wire;

use std::sync::Arc;

use model::author::Author;
use model::change::{Change, Changeset, Entry, QueueRecord, SessionRecord};
use model::key::RoutingKey;
use model::message::Message;
use model::name::{ClientId, Incarnation, PolicyName, PublicationId, PublisherName, QueueId, UserName};
use model::principal::Principal;
use model::queue::QueueArguments;
use model::time::WallMs;
use smallvec::SmallVec;

use crate::record::author::{put_author, read_author};
use crate::record::ban::{put_ban, put_subject, read_ban, read_subject};
use crate::record::message::{
    Gist, put_exchange_name, put_message, read_exchange_name, read_gist, read_message,
};
use crate::record::object::{
    put_binding, put_binding_key, put_durability, put_entry, put_exchange, put_exchange_binding, put_place,
    put_queue, put_queue_arguments, put_rested, put_session, read_binding, read_binding_key, read_durability,
    read_entry, read_exchange, read_exchange_binding, read_place, read_queue, read_queue_arguments,
    read_rested, read_session,
};
use crate::record::policy::{put_policy, read_policy};
use crate::record::wire::{Reader, RecordError, put_block, put_bool, put_len, put_option, put_str, put_u64};

/// A message that has not been read yet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Body<'a>(&'a [u8]);

impl Body<'_> {
    /// Reads it.
    pub(crate) fn read(self) -> Result<Arc<Message>, RecordError> {
        read_message(self.0)
    }

    /// Reads as much of it as a queue must know.
    pub(crate) fn gist(self) -> Result<Gist, RecordError> {
        read_gist(self.0)
    }
}

/// One thing that a record says. A message's body is left unread: who only counts places has no need of it.
#[derive(Debug)]
pub(crate) enum Item<'a> {
    /// A message takes its places.
    Enqueue {
        /// The message.
        body: Body<'a>,
        /// Its places.
        entries: SmallVec<[Entry; 1]>,
    },
    /// Any other change.
    Change(Change),
    /// The journal's own notes.
    Note(Note),
}

/// What the journal notes for itself, beside what it is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Note {
    /// Every number below `next` was used in that queue, though no entry says so any more.
    Floor {
        /// The queue.
        queue: QueueId,
        /// The lowest number that is free.
        next: u64,
    },
    /// The store was opened for this life.
    Incarnation(Incarnation),
}

/// Writes a changeset as a record.
pub(crate) fn put_changeset(out: &mut Vec<u8>, changeset: &Changeset) {
    put_changes(out, &changeset.changes);
}

/// Writes changes as a record.
pub(crate) fn put_changes(out: &mut Vec<u8>, changes: &[Change]) {
    out.push(VERSION);
    put_len(out, changes.len());
    for (index, change) in changes.iter().enumerate() {
        let before = changes.get(..index).unwrap_or_default();
        put_change(out, change, before);
    }
}

/// Writes a note as a record.
pub(crate) fn put_note(out: &mut Vec<u8>, note: Note) {
    out.push(VERSION);
    put_len(out, 1);
    match note {
        Note::Floor { queue, next } => {
            out.push(tag::FLOOR);
            put_u64(out, queue.0);
            put_u64(out, next);
        }
        Note::Incarnation(incarnation) => {
            out.push(tag::INCARNATION);
            put_u64(out, incarnation.0.into());
        }
    }
}

/// Reads a record, one item after the other.
pub(crate) struct Items<'a> {
    from: Reader<'a>,
    left: usize,
    bodies: SmallVec<[&'a [u8]; 2]>,
}

impl<'a> Items<'a> {
    /// The items of `record`.
    pub(crate) fn of(record: &'a [u8]) -> Result<Self, RecordError> {
        let mut from = Reader::new(record);
        if from.u8()? != VERSION {
            return Err(RecordError::Version);
        }
        let left = from.count()?;
        Ok(Self { from, left, bodies: SmallVec::new() })
    }

    /// The next item; `None` at the end, which must be the record's.
    pub(crate) fn next(&mut self) -> Result<Option<Item<'a>>, RecordError> {
        let Some(left) = self.left.checked_sub(1) else {
            return self.from.end().map(|()| None);
        };
        self.left = left;
        let tag = self.from.u8()?;
        self.read(tag).map(Some)
    }

    fn read(&mut self, tag: u8) -> Result<Item<'a>, RecordError> {
        let from = &mut self.from;
        Ok(Item::Change(match tag {
            tag::ENQUEUE => return self.read_enqueue(),
            tag::RECEIVE => Change::Receive(read_place(from)?),
            tag::REMOVE => Change::Remove(read_place(from)?),
            tag::REMEMBER => Change::Remember { client: ClientId::new(from.str()?), id: from.u16()? },
            tag::FORGET => Change::Forget { client: ClientId::new(from.str()?), id: from.u16()? },
            tag::REMEMBER_PUBLICATION => Change::RememberPublication {
                publisher: PublisherName::new(from.str()?),
                id: PublicationId::new(from.str()?),
                at: WallMs(from.u64()?),
            },
            tag::FORGET_PUBLICATION => Change::ForgetPublication {
                publisher: PublisherName::new(from.str()?),
                id: PublicationId::new(from.str()?),
            },
            tag::RETAIN | tag::RETAIN_ENQUEUED | tag::RETAIN_OF | tag::RETAIN_ENQUEUED_OF => {
                return self.read_retained(tag).map(Item::Change);
            }
            tag::UNRETAIN => {
                Change::Unretain { exchange: read_exchange_name(from)?, key: RoutingKey::new(from.text()?) }
            }
            tag::PUT_SESSION | tag::PUT_SESSION_OF | tag::PUT_SESSION_AWAY | tag::PUT_SESSION_LATER => {
                Change::PutSession(Box::new(read_session_of(tag, from)?))
            }
            tag::DROP_SESSION => Change::DropSession(ClientId::new(from.str()?)),
            tag::PUT_BAN => Change::PutBan(Box::new(read_ban(from)?)),
            tag::DROP_BAN => Change::DropBan(Box::new(read_subject(from)?)),
            tag::PUT_POLICY | tag::PUT_POLICY_OF_AGE => {
                let mut policy = read_policy(from)?;
                policy.definition.age_max_ms =
                    (tag == tag::PUT_POLICY_OF_AGE).then(|| from.u64()).transpose()?;
                Change::PutPolicy(Box::new(policy))
            }
            tag::DROP_POLICY => Change::DropPolicy(PolicyName::new(from.str()?)),
            tag::DECLARE_EXCHANGE => Change::DeclareExchange(Box::new(read_exchange(from)?)),
            tag::DECLARE_EXCHANGE_WITH => {
                let mut exchange = read_exchange(from)?;
                exchange.internal = from.bool()?;
                exchange.alternate = from.option(read_exchange_name)?;
                Change::DeclareExchange(Box::new(exchange))
            }
            tag::DELETE_EXCHANGE => Change::DeleteExchange(read_exchange_name(from)?),
            tag::DECLARE_QUEUE
            | tag::DECLARE_QUEUE_WITH
            | tag::DECLARE_QUEUE_RESTED
            | tag::DECLARE_QUEUE_SINGLE
            | tag::DECLARE_QUEUE_LEVEL
            | tag::DECLARE_STREAM => Change::DeclareQueue(Box::new(read_declared(tag, from)?)),
            tag::DELETE_QUEUE => Change::DeleteQueue(QueueId(from.u64()?)),
            tag::BIND => Change::Bind { queue: QueueId(from.u64()?), binding: Box::new(read_binding(from)?) },
            tag::UNBIND => Change::Unbind(Box::new(read_binding_key(from)?)),
            tag::BIND_EXCHANGE => Change::BindExchange(Box::new(read_exchange_binding(from)?)),
            tag::UNBIND_EXCHANGE => Change::UnbindExchange(Box::new(read_exchange_binding(from)?)),
            tag::FLOOR => {
                return Ok(Item::Note(Note::Floor { queue: QueueId(from.u64()?), next: from.u64()? }));
            }
            tag::INCARNATION => return Ok(Item::Note(Note::Incarnation(Incarnation(from.u32()?)))),
            _ => return Err(RecordError::Tag),
        }))
    }

    /// A retained message. Whose it is, older records do not say.
    fn read_retained(&mut self, tag: u8) -> Result<Change, RecordError> {
        let body = if matches!(tag, tag::RETAIN_ENQUEUED | tag::RETAIN_ENQUEUED_OF) {
            let index = self.from.u32()? as usize;
            self.bodies.get(index).copied().ok_or(RecordError::Range)?
        } else {
            let length = self.from.fixed_u32()? as usize;
            self.from.take(length)?
        };
        let is_said = matches!(tag, tag::RETAIN_OF | tag::RETAIN_ENQUEUED_OF);
        let author = is_said.then(|| read_author(&mut self.from).map(Arc::new)).transpose()?;
        Ok(Change::Retain { message: read_message(body)?, author })
    }

    fn read_enqueue(&mut self) -> Result<Item<'a>, RecordError> {
        let length = self.from.fixed_u32()? as usize;
        let body = self.from.take(length)?;
        self.bodies.push(body);
        let count = self.from.count()?;
        let mut entries = SmallVec::new();
        for _ in 0..count {
            entries.push(read_entry(&mut self.from)?);
        }
        Ok(Item::Enqueue { body: Body(body), entries })
    }
}

fn put_change(out: &mut Vec<u8>, change: &Change, before: &[Change]) {
    match change {
        Change::Enqueue { message, entries } => {
            out.push(tag::ENQUEUE);
            put_block(out, |out| put_message(out, message));
            put_len(out, entries.len());
            for entry in entries {
                put_entry(out, entry);
            }
        }
        Change::Receive(place) => {
            out.push(tag::RECEIVE);
            put_place(out, place);
        }
        Change::Remove(place) => {
            out.push(tag::REMOVE);
            put_place(out, place);
        }
        Change::Remember { .. }
        | Change::Forget { .. }
        | Change::RememberPublication { .. }
        | Change::ForgetPublication { .. } => put_id(out, change),
        Change::Retain { message, author } => put_retain(out, message, author.as_deref(), before),
        Change::Unretain { exchange, key } => {
            out.push(tag::UNRETAIN);
            put_exchange_name(out, exchange);
            put_str(out, key.as_str());
        }
        Change::PutSession(session) => put_session_of(out, session),
        Change::DropSession(client) => {
            out.push(tag::DROP_SESSION);
            put_str(out, client.as_str());
        }
        Change::PutBan(ban) => {
            out.push(tag::PUT_BAN);
            put_ban(out, ban);
        }
        Change::DropBan(subject) => {
            out.push(tag::DROP_BAN);
            put_subject(out, subject);
        }
        Change::PutPolicy(policy) => {
            let age = policy.definition.age_max_ms;
            out.push(if age.is_some() { tag::PUT_POLICY_OF_AGE } else { tag::PUT_POLICY });
            put_policy(out, policy);
            if let Some(age) = age {
                put_u64(out, age);
            }
        }
        Change::DropPolicy(name) => {
            out.push(tag::DROP_POLICY);
            put_str(out, name.as_str());
        }
        Change::DeclareExchange(_)
        | Change::DeleteExchange(_)
        | Change::DeclareQueue(_)
        | Change::DeleteQueue(_)
        | Change::Bind { .. }
        | Change::Unbind(_)
        | Change::BindExchange(_)
        | Change::UnbindExchange(_) => put_topology(out, change),
    }
}

/// What came in, or may come in again.
fn put_id(out: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Remember { client, id } => {
            out.push(tag::REMEMBER);
            put_str(out, client.as_str());
            put_u64(out, (*id).into());
        }
        Change::Forget { client, id } => {
            out.push(tag::FORGET);
            put_str(out, client.as_str());
            put_u64(out, (*id).into());
        }
        Change::RememberPublication { publisher, id, at } => {
            out.push(tag::REMEMBER_PUBLICATION);
            put_str(out, publisher.as_str());
            put_str(out, id.as_str());
            put_u64(out, at.0);
        }
        Change::ForgetPublication { publisher, id } => {
            out.push(tag::FORGET_PUBLICATION);
            put_str(out, publisher.as_str());
            put_str(out, id.as_str());
        }
        Change::Enqueue { .. }
        | Change::Receive(_)
        | Change::Remove(_)
        | Change::Retain { .. }
        | Change::Unretain { .. }
        | Change::PutSession(_)
        | Change::DropSession(_)
        | Change::PutBan(_)
        | Change::DropBan(_)
        | Change::PutPolicy(_)
        | Change::DropPolicy(_)
        | Change::DeclareExchange(_)
        | Change::DeleteExchange(_)
        | Change::DeclareQueue(_)
        | Change::DeleteQueue(_)
        | Change::Bind { .. }
        | Change::Unbind(_)
        | Change::BindExchange(_)
        | Change::UnbindExchange(_) => {}
    }
}

/// A session; later kinds of records say more of it than the first.
fn read_session_of(tag: u8, from: &mut Reader<'_>) -> Result<SessionRecord, RecordError> {
    let read_user = |from: &mut Reader<'_>| from.option(|from| from.str().map(UserName::new));
    let mut session = read_session(from)?;
    match tag {
        tag::PUT_SESSION_OF => session.owner = Some(Principal { user: read_user(from)? }),
        tag::PUT_SESSION_AWAY => {
            session.owner = from.option(read_user)?.map(|user| Principal { user });
            session.sent_through = Some(from.u64()?);
        }
        tag::PUT_SESSION_LATER => {
            session.owner = from.option(read_user)?.map(|user| Principal { user });
            session.sent_through = from.option(Reader::u64)?;
            session.will.as_mut().ok_or(RecordError::Tag)?.waits_ms = from.u64()?;
        }
        _ => {}
    }
    Ok(session)
}

fn put_session_of(out: &mut Vec<u8>, session: &SessionRecord) {
    let put_user = |out: &mut Vec<u8>, owner: &Principal| {
        put_option(out, owner.user.as_ref(), |out, user| put_str(out, user.as_str()));
    };
    if let Some(will) = session.will.as_ref().filter(|will| will.waits_ms > 0) {
        out.push(tag::PUT_SESSION_LATER);
        put_session(out, session);
        put_option(out, session.owner.as_ref(), put_user);
        put_option(out, session.sent_through, put_u64);
        return put_u64(out, will.waits_ms);
    }
    match (&session.owner, session.sent_through) {
        (None, None) => {
            out.push(tag::PUT_SESSION);
            put_session(out, session);
        }
        (Some(owner), None) => {
            out.push(tag::PUT_SESSION_OF);
            put_session(out, session);
            put_user(out, owner);
        }
        (owner, Some(sent_through)) => {
            out.push(tag::PUT_SESSION_AWAY);
            put_session(out, session);
            put_option(out, owner.as_ref(), put_user);
            put_u64(out, sent_through);
        }
    }
}

/// The body is written once, also when a message is both waiting and retained.
fn put_retain(out: &mut Vec<u8>, message: &Arc<Message>, author: Option<&Author>, before: &[Change]) {
    let same = before
        .iter()
        .filter_map(|change| if let Change::Enqueue { message, .. } = change { Some(message) } else { None })
        .position(|enqueued| Arc::ptr_eq(enqueued, message));
    out.push(match (same, author) {
        (Some(_), None) => tag::RETAIN_ENQUEUED,
        (Some(_), Some(_)) => tag::RETAIN_ENQUEUED_OF,
        (None, None) => tag::RETAIN,
        (None, Some(_)) => tag::RETAIN_OF,
    });
    match same {
        Some(index) => put_len(out, index),
        None => put_block(out, |out| put_message(out, message)),
    }
    if let Some(author) = author {
        put_author(out, author);
    }
}

/// A queue, with what that tag says is there of it.
fn read_declared(tag: u8, from: &mut Reader<'_>) -> Result<QueueRecord, RecordError> {
    let mut queue = read_queue(from)?;
    match tag {
        tag::DECLARE_QUEUE_WITH => queue.options.arguments = Some(Box::new(read_queue_arguments(from)?)),
        tag::DECLARE_QUEUE_RESTED => {
            queue.options.arguments = from.option(|from| read_queue_arguments(from).map(Box::new))?;
            queue.rested = Some(read_rested(from)?);
        }
        tag::DECLARE_QUEUE_SINGLE => {
            let arguments = QueueArguments { single_active: true, ..read_queue_arguments(from)? };
            queue.options.arguments = Some(Box::new(arguments));
            queue.rested = from.option(read_rested)?;
        }
        tag::DECLARE_QUEUE_LEVEL => {
            let arguments = read_queue_arguments(from)?;
            let (single_active, durability) = (from.bool()?, Some(read_durability(from)?));
            let arguments = QueueArguments { single_active, durability, ..arguments };
            queue.options.arguments = Some(Box::new(arguments));
            queue.rested = from.option(read_rested)?;
        }
        tag::DECLARE_STREAM => {
            let arguments = read_queue_arguments(from)?;
            let (age_max_ms, durability) = (from.option(Reader::u64)?, from.option(read_durability)?);
            let arguments = QueueArguments { stream: true, age_max_ms, durability, ..arguments };
            queue.options.arguments = Some(Box::new(arguments));
            queue.rested = from.option(read_rested)?;
        }
        _ => {}
    }
    Ok(queue)
}

fn put_topology(out: &mut Vec<u8>, change: &Change) {
    match change {
        Change::DeclareExchange(exchange) if !exchange.internal && exchange.alternate.is_none() => {
            out.push(tag::DECLARE_EXCHANGE);
            put_exchange(out, exchange);
        }
        Change::DeclareExchange(exchange) => {
            out.push(tag::DECLARE_EXCHANGE_WITH);
            put_exchange(out, exchange);
            put_bool(out, exchange.internal);
            put_option(out, exchange.alternate.as_ref(), put_exchange_name);
        }
        Change::DeleteExchange(name) => {
            out.push(tag::DELETE_EXCHANGE);
            put_exchange_name(out, name);
        }
        Change::DeclareQueue(queue) => put_declared(out, queue),
        Change::DeleteQueue(queue) => {
            out.push(tag::DELETE_QUEUE);
            put_u64(out, queue.0);
        }
        Change::Bind { queue, binding } => {
            out.push(tag::BIND);
            put_u64(out, queue.0);
            put_binding(out, binding);
        }
        Change::Unbind(key) => {
            out.push(tag::UNBIND);
            put_binding_key(out, key);
        }
        Change::BindExchange(binding) => {
            out.push(tag::BIND_EXCHANGE);
            put_exchange_binding(out, binding);
        }
        Change::UnbindExchange(binding) => {
            out.push(tag::UNBIND_EXCHANGE);
            put_exchange_binding(out, binding);
        }
        Change::Enqueue { .. }
        | Change::Receive(_)
        | Change::Remove(_)
        | Change::Remember { .. }
        | Change::Forget { .. }
        | Change::RememberPublication { .. }
        | Change::ForgetPublication { .. }
        | Change::Retain { .. }
        | Change::Unretain { .. }
        | Change::PutSession(_)
        | Change::DropSession(_)
        | Change::PutBan(_)
        | Change::DropBan(_)
        | Change::PutPolicy(_)
        | Change::DropPolicy(_) => {}
    }
}

fn put_declared(out: &mut Vec<u8>, queue: &QueueRecord) {
    let said = queue.options.arguments.as_deref();
    if let Some(arguments) = said.filter(|said| said.stream) {
        out.push(tag::DECLARE_STREAM);
        put_queue(out, queue);
        put_queue_arguments(out, arguments);
        put_option(out, arguments.age_max_ms, put_u64);
        put_option(out, arguments.durability, put_durability);
        return put_option(out, queue.rested, put_rested);
    }
    if let Some((arguments, level)) = said.and_then(|said| Some((said, said.durability?))) {
        out.push(tag::DECLARE_QUEUE_LEVEL);
        put_queue(out, queue);
        put_queue_arguments(out, arguments);
        put_bool(out, arguments.single_active);
        put_durability(out, level);
        return put_option(out, queue.rested, put_rested);
    }
    match (&queue.options.arguments, queue.rested) {
        (Some(arguments), rested) if arguments.single_active => {
            out.push(tag::DECLARE_QUEUE_SINGLE);
            put_queue(out, queue);
            put_queue_arguments(out, arguments);
            put_option(out, rested, put_rested);
        }
        (arguments, Some(rested)) => {
            out.push(tag::DECLARE_QUEUE_RESTED);
            put_queue(out, queue);
            put_option(out, arguments.as_deref(), put_queue_arguments);
            put_rested(out, rested);
        }
        (None, None) => {
            out.push(tag::DECLARE_QUEUE);
            put_queue(out, queue);
        }
        (Some(arguments), None) => {
            out.push(tag::DECLARE_QUEUE_WITH);
            put_queue(out, queue);
            put_queue_arguments(out, arguments);
        }
    }
}

/// The layout of a record, as its first byte.
const VERSION: u8 = 1;

/// Never reused: they are on disk.
mod tag {
    pub(super) const ENQUEUE: u8 = 1;
    pub(super) const RECEIVE: u8 = 2;
    pub(super) const REMOVE: u8 = 3;
    pub(super) const REMEMBER: u8 = 4;
    pub(super) const FORGET: u8 = 5;
    pub(super) const RETAIN: u8 = 6;
    pub(super) const UNRETAIN: u8 = 7;
    pub(super) const PUT_SESSION: u8 = 8;
    pub(super) const DROP_SESSION: u8 = 9;
    pub(super) const DECLARE_EXCHANGE: u8 = 10;
    pub(super) const DELETE_EXCHANGE: u8 = 11;
    pub(super) const DECLARE_QUEUE: u8 = 12;
    pub(super) const DELETE_QUEUE: u8 = 13;
    pub(super) const BIND: u8 = 14;
    pub(super) const UNBIND: u8 = 15;
    pub(super) const RETAIN_ENQUEUED: u8 = 16;
    pub(super) const FLOOR: u8 = 17;
    pub(super) const INCARNATION: u8 = 18;
    pub(super) const DECLARE_QUEUE_WITH: u8 = 20;
    pub(super) const PUT_SESSION_OF: u8 = 30;
    pub(super) const REMEMBER_PUBLICATION: u8 = 40;
    pub(super) const FORGET_PUBLICATION: u8 = 41;
    pub(super) const PUT_SESSION_AWAY: u8 = 50;
    pub(super) const PUT_SESSION_LATER: u8 = 54;
    pub(super) const DECLARE_QUEUE_RESTED: u8 = 51;
    pub(super) const DECLARE_QUEUE_SINGLE: u8 = 52;
    pub(super) const DECLARE_QUEUE_LEVEL: u8 = 53;
    pub(super) const DECLARE_EXCHANGE_WITH: u8 = 60;
    pub(super) const BIND_EXCHANGE: u8 = 61;
    pub(super) const UNBIND_EXCHANGE: u8 = 62;
    pub(super) const DECLARE_STREAM: u8 = 70;
    pub(super) const PUT_BAN: u8 = 75;
    pub(super) const DROP_BAN: u8 = 76;
    pub(super) const RETAIN_OF: u8 = 90;
    pub(super) const RETAIN_ENQUEUED_OF: u8 = 91;
    pub(super) const PUT_POLICY: u8 = 100;
    pub(super) const DROP_POLICY: u8 = 101;
    pub(super) const PUT_POLICY_OF_AGE: u8 = 102;
}
