//! Sessions, queues, exchanges and bindings as bytes.

use std::sync::Arc;

use model::change::{BindingKey, Entry, Place, QueueRecord, Rested, SessionRecord, WillRecord};
use model::durability::Durability;
use model::grant::Grant;
use model::key::{KeyPattern, Level, RoutingKey};
use model::name::{ClientId, Incarnation, QueueId, QueueName, ShareName};
use model::qos::Qos;
use model::queue::{
    Binding, DeadLetter, ExchangeBinding, ExchangeKind, ExchangeOptions, HeaderMatch, MatchMode, Overflow,
    QueueArguments, QueueOptions,
};
use model::time::WallMs;
use smallvec::SmallVec;

use crate::record::author::{put_author, read_author};
use crate::record::message::{put_exchange_name, put_message, read_exchange_name, read_message};
use crate::record::wire::{Reader, RecordError, put_block, put_bool, put_len, put_option, put_str, put_u64};

pub(crate) fn put_place(out: &mut Vec<u8>, place: &Place) {
    put_u64(out, place.queue.0);
    put_u64(out, place.sequence);
}

pub(crate) fn read_place(from: &mut Reader<'_>) -> Result<Place, RecordError> {
    Ok(Place { queue: QueueId(from.u64()?), sequence: from.u64()? })
}

pub(crate) fn put_entry(out: &mut Vec<u8>, entry: &Entry) {
    let Entry { place, qos, retain, subscription_ids, author } = entry;
    put_place(out, place);
    out.push(qos.bits() | u8::from(*retain) << 2 | u8::from(author.is_some()) << 3);
    put_ids(out, subscription_ids);
    if let Some(author) = author {
        put_author(out, author);
    }
}

pub(crate) fn read_entry(from: &mut Reader<'_>) -> Result<Entry, RecordError> {
    let place = read_place(from)?;
    let flags = from.u8()?;
    if flags > 0b1111 {
        return Err(RecordError::Tag);
    }
    let has_author = flags & 0b1000 != 0;
    Ok(Entry {
        place,
        qos: Qos::from_bits(flags & 0b11).ok_or(RecordError::Tag)?,
        retain: flags & 0b100 != 0,
        subscription_ids: read_ids(from)?,
        author: has_author.then(|| read_author(from).map(Arc::new)).transpose()?,
    })
}

/// All of a session but its owner, how far its queue was sent, and how long its will waits once it is published, which older
/// records do not know.
pub(crate) fn put_session(out: &mut Vec<u8>, session: &SessionRecord) {
    let SessionRecord { client, owner: _, queue, expiry_s, disconnected_at, sent_through: _, will } = session;
    put_str(out, client.as_str());
    put_u64(out, queue.0);
    put_u64(out, (*expiry_s).into());
    put_option(out, *disconnected_at, |out, at| put_u64(out, at.0));
    put_option(out, will.as_deref(), |out, will| {
        let WillRecord { message, expiry_ms, delay_s, waits_ms: _ } = will;
        put_block(out, |out| put_message(out, message));
        put_option(out, *expiry_ms, put_u64);
        put_u64(out, (*delay_s).into());
    });
}

pub(crate) fn read_session(from: &mut Reader<'_>) -> Result<SessionRecord, RecordError> {
    Ok(SessionRecord {
        client: ClientId::new(from.str()?),
        owner: None,
        queue: QueueId(from.u64()?),
        expiry_s: from.u32()?,
        disconnected_at: from.option(|from| from.u64().map(WallMs))?,
        sent_through: None,
        will: from.option(|from| read_will(from).map(Box::new))?,
    })
}

fn read_will(from: &mut Reader<'_>) -> Result<WillRecord, RecordError> {
    let length = from.fixed_u32()? as usize;
    Ok(WillRecord {
        message: read_message(from.take(length)?)?,
        expiry_ms: from.option(Reader::u64)?,
        delay_s: from.u32()?,
        waits_ms: 0,
    })
}

/// All of an exchange but what few have: whether it is internal, and its alternate.
pub(crate) fn put_exchange(out: &mut Vec<u8>, exchange: &ExchangeOptions) {
    let ExchangeOptions { name, kind, durable, auto_delete, internal: _, alternate: _ } = exchange;
    put_exchange_name(out, name);
    out.push(match kind {
        ExchangeKind::Direct => 0,
        ExchangeKind::Topic => 1,
        ExchangeKind::Fanout => 2,
        ExchangeKind::Headers => 3,
    });
    put_bool(out, *durable);
    put_bool(out, *auto_delete);
}

pub(crate) fn read_exchange(from: &mut Reader<'_>) -> Result<ExchangeOptions, RecordError> {
    Ok(ExchangeOptions {
        name: read_exchange_name(from)?,
        kind: match from.u8()? {
            0 => ExchangeKind::Direct,
            1 => ExchangeKind::Topic,
            2 => ExchangeKind::Fanout,
            3 => ExchangeKind::Headers,
            _ => return Err(RecordError::Tag),
        },
        durable: from.bool()?,
        auto_delete: from.bool()?,
        internal: false,
        alternate: None,
    })
}

/// All of a queue but what few queues have: its arguments, see [`put_queue_arguments`], and how far it had come.
pub(crate) fn put_queue(out: &mut Vec<u8>, queue: &QueueRecord) {
    let QueueRecord { id, options, rested: _ } = queue;
    let QueueOptions { name, durable, exclusive, auto_delete, ready_max, ready_bytes_max, arguments: _ } =
        options;
    put_u64(out, id.0);
    put_str(out, name.as_str());
    put_bool(out, *durable);
    put_bool(out, *exclusive);
    put_bool(out, *auto_delete);
    put_option(out, *ready_max, put_u64);
    put_option(out, *ready_bytes_max, put_u64);
}

pub(crate) fn read_queue(from: &mut Reader<'_>) -> Result<QueueRecord, RecordError> {
    Ok(QueueRecord {
        id: QueueId(from.u64()?),
        options: QueueOptions {
            name: QueueName::new(from.str()?),
            durable: from.bool()?,
            exclusive: from.bool()?,
            auto_delete: from.bool()?,
            ready_max: from.option(Reader::u64)?,
            ready_bytes_max: from.option(Reader::u64)?,
            arguments: None,
        },
        rested: None,
    })
}

/// How far a queue had come.
pub(crate) fn put_rested(out: &mut Vec<u8>, rested: Rested) {
    let Rested { life, sent_through } = rested;
    put_u64(out, life.0.into());
    put_u64(out, sent_through);
}

pub(crate) fn read_rested(from: &mut Reader<'_>) -> Result<Rested, RecordError> {
    Ok(Rested { life: Incarnation(from.u32()?), sent_through: from.u64()? })
}

pub(crate) fn put_overflow(out: &mut Vec<u8>, overflow: Overflow) {
    out.push(match overflow {
        Overflow::DropHead => 0,
        Overflow::RejectPublish => 1,
        Overflow::RejectPublishDlx => 2,
        Overflow::DropNew => 3,
    });
}

pub(crate) fn read_overflow(from: &mut Reader<'_>) -> Result<Overflow, RecordError> {
    match from.u8()? {
        0 => Ok(Overflow::DropHead),
        1 => Ok(Overflow::RejectPublish),
        2 => Ok(Overflow::RejectPublishDlx),
        3 => Ok(Overflow::DropNew),
        _ => Err(RecordError::Tag),
    }
}

/// The arguments of a queue, but whether one consumer takes all, its durability, and what only streams have: the tag says that.
pub(crate) fn put_queue_arguments(out: &mut Vec<u8>, arguments: &QueueArguments) {
    let QueueArguments {
        message_ttl_ms,
        expires_ms,
        overflow,
        dead_letter,
        priority_max,
        delivery_limit,
        single_active: _,
        durability: _,
        stream: _,
        age_max_ms: _,
    } = arguments;
    put_option(out, *message_ttl_ms, put_u64);
    put_option(out, *expires_ms, put_u64);
    put_option(out, *overflow, put_overflow);
    put_option(out, dead_letter.as_ref(), |out, DeadLetter { exchange, key }| {
        put_exchange_name(out, exchange);
        put_option(out, key.as_ref(), |out, key| put_str(out, key.as_str()));
    });
    put_option(out, *priority_max, |out, max| out.push(max));
    put_option(out, *delivery_limit, |out, limit| put_u64(out, limit.into()));
}

pub(crate) fn read_queue_arguments(from: &mut Reader<'_>) -> Result<QueueArguments, RecordError> {
    Ok(QueueArguments {
        message_ttl_ms: from.option(Reader::u64)?,
        expires_ms: from.option(Reader::u64)?,
        overflow: from.option(read_overflow)?,
        dead_letter: from.option(|from| {
            Ok(DeadLetter {
                exchange: read_exchange_name(from)?,
                key: from.option(|from| from.text().map(RoutingKey::new))?,
            })
        })?,
        priority_max: from.option(Reader::u8)?,
        delivery_limit: from.option(Reader::u32)?,
        single_active: false,
        durability: None,
        stream: false,
        age_max_ms: None,
    })
}

pub(crate) fn put_durability(out: &mut Vec<u8>, level: Durability) {
    out.push(level_bits(level));
}

pub(crate) fn read_durability(from: &mut Reader<'_>) -> Result<Durability, RecordError> {
    level_of(from.u8()?)
}

/// What was not said before there were levels is 0.
const fn level_bits(level: Durability) -> u8 {
    match level {
        Durability::Disk => 0,
        Durability::Os => 1,
        Durability::Memory => 2,
    }
}

const fn level_of(bits: u8) -> Result<Durability, RecordError> {
    match bits {
        0 => Ok(Durability::Disk),
        1 => Ok(Durability::Os),
        2 => Ok(Durability::Memory),
        _ => Err(RecordError::Tag),
    }
}

pub(crate) fn put_binding(out: &mut Vec<u8>, binding: &Binding) {
    let Binding { exchange, pattern, arguments, queue, share, grant } = binding;
    put_exchange_name(out, exchange);
    put_pattern(out, pattern);
    put_arguments(out, arguments);
    put_str(out, queue.as_str());
    put_share(out, share.as_ref());
    let Grant { qos, subscription_ids, no_local, retain_as_published, durability } = grant;
    let flags = qos.bits() | u8::from(*no_local) << 2 | u8::from(*retain_as_published) << 3;
    out.push(flags | level_bits(*durability) << 4);
    put_ids(out, subscription_ids);
}

pub(crate) fn read_binding(from: &mut Reader<'_>) -> Result<Binding, RecordError> {
    Ok(Binding {
        exchange: read_exchange_name(from)?,
        pattern: read_pattern(from)?,
        arguments: read_arguments(from)?,
        queue: QueueName::new(from.str()?),
        share: read_share(from)?,
        grant: read_grant(from)?,
    })
}

fn read_grant(from: &mut Reader<'_>) -> Result<Grant, RecordError> {
    let flags = from.u8()?;
    Ok(Grant {
        qos: Qos::from_bits(flags & 0b11).ok_or(RecordError::Tag)?,
        no_local: flags & 0b100 != 0,
        retain_as_published: flags & 0b1000 != 0,
        durability: level_of(flags >> 4)?,
        subscription_ids: read_ids(from)?,
    })
}

pub(crate) fn put_binding_key(out: &mut Vec<u8>, key: &BindingKey) {
    let BindingKey { exchange, pattern, arguments, share, queue, queue_id } = key;
    put_exchange_name(out, exchange);
    put_pattern(out, pattern);
    put_arguments(out, arguments);
    put_share(out, share.as_ref());
    put_str(out, queue.as_str());
    put_u64(out, queue_id.0);
}

pub(crate) fn read_binding_key(from: &mut Reader<'_>) -> Result<BindingKey, RecordError> {
    Ok(BindingKey {
        exchange: read_exchange_name(from)?,
        pattern: read_pattern(from)?,
        arguments: read_arguments(from)?,
        share: read_share(from)?,
        queue: QueueName::new(from.str()?),
        queue_id: QueueId(from.u64()?),
    })
}

pub(crate) fn put_exchange_binding(out: &mut Vec<u8>, binding: &ExchangeBinding) {
    let ExchangeBinding { exchange, pattern, arguments, to } = binding;
    put_exchange_name(out, exchange);
    put_pattern(out, pattern);
    put_arguments(out, arguments);
    put_exchange_name(out, to);
}

pub(crate) fn read_exchange_binding(from: &mut Reader<'_>) -> Result<ExchangeBinding, RecordError> {
    Ok(ExchangeBinding {
        exchange: read_exchange_name(from)?,
        pattern: read_pattern(from)?,
        arguments: read_arguments(from)?,
        to: read_exchange_name(from)?,
    })
}

/// What tells one binding of a queue from another.
pub(crate) fn put_source(
    out: &mut Vec<u8>,
    exchange: &model::name::ExchangeName,
    pattern: &KeyPattern,
    arguments: &HeaderMatch,
    share: Option<&ShareName>,
) {
    put_exchange_name(out, exchange);
    put_pattern(out, pattern);
    put_arguments(out, arguments);
    put_share(out, share);
}

fn put_pattern(out: &mut Vec<u8>, pattern: &KeyPattern) {
    put_len(out, pattern.levels().len());
    for level in pattern.levels() {
        match level {
            Level::One => out.push(0),
            Level::Many => out.push(1),
            Level::Literal(text) => {
                out.push(2);
                put_str(out, text);
            }
        }
    }
}

fn read_pattern(from: &mut Reader<'_>) -> Result<KeyPattern, RecordError> {
    let count = from.count()?;
    let mut levels = Vec::new();
    for _ in 0..count {
        levels.push(match from.u8()? {
            0 => Level::One,
            1 => Level::Many,
            2 => Level::Literal(from.str()?.into()),
            _ => return Err(RecordError::Tag),
        });
    }
    Ok(KeyPattern::new(levels))
}

fn put_arguments(out: &mut Vec<u8>, arguments: &HeaderMatch) {
    let HeaderMatch { mode, wanted } = arguments;
    out.push(match mode {
        MatchMode::All => 0,
        MatchMode::Any => 1,
        MatchMode::AllWithX => 2,
        MatchMode::AnyWithX => 3,
    });
    put_len(out, wanted.len());
    for (name, value) in wanted {
        put_str(out, name);
        put_option(out, value.as_ref(), |out, value| put_str(out, value));
    }
}

fn read_arguments(from: &mut Reader<'_>) -> Result<HeaderMatch, RecordError> {
    let mode = match from.u8()? {
        0 => MatchMode::All,
        1 => MatchMode::Any,
        2 => MatchMode::AllWithX,
        3 => MatchMode::AnyWithX,
        _ => return Err(RecordError::Tag),
    };
    let count = from.count()?;
    let mut wanted = Vec::new();
    for _ in 0..count {
        wanted.push((from.text()?, from.option(Reader::text)?));
    }
    Ok(HeaderMatch { mode, wanted })
}

fn put_share(out: &mut Vec<u8>, share: Option<&ShareName>) {
    put_option(out, share, |out, share| put_str(out, share.as_str()));
}

fn read_share(from: &mut Reader<'_>) -> Result<Option<ShareName>, RecordError> {
    from.option(|from| from.str().map(ShareName::new))
}

fn put_ids(out: &mut Vec<u8>, ids: &[u32]) {
    put_len(out, ids.len());
    for id in ids {
        put_u64(out, (*id).into());
    }
}

fn read_ids(from: &mut Reader<'_>) -> Result<SmallVec<[u32; 1]>, RecordError> {
    let count = from.count()?;
    (0..count).map(|_| from.u32()).collect()
}
