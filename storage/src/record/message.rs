//! A message and its properties as bytes: all of it but its encoded forms.

use std::sync::Arc;

use bytestring::ByteString;
use model::key::RoutingKey;
use model::message::Message;
use model::name::{ClientId, ExchangeName, Incarnation, MessageId, NodeId};
use model::properties::{Properties, ReplyTo};
use model::qos::Qos;
use model::time::WallMs;
use model::wire_cache::WireCache;

use crate::record::wire::{Reader, RecordError, put_bool, put_len, put_option, put_slice, put_str, put_u64};

pub(crate) fn put_message(out: &mut Vec<u8>, message: &Message) {
    let Message {
        id,
        exchange,
        key,
        payload,
        qos,
        retain,
        persistent,
        publisher,
        published_at,
        expires_at,
        properties,
        wire: _,
    } = message;
    put_u64(out, id.node.0.into());
    put_u64(out, id.incarnation.0.into());
    put_u64(out, id.number);
    put_exchange_name(out, exchange);
    put_str(out, key.as_str());
    out.push(qos.bits() | u8::from(*retain) << 2 | u8::from(*persistent) << 3);
    put_option(out, publisher.as_ref(), |out, client| put_str(out, client.as_str()));
    put_u64(out, published_at.0);
    put_option(out, *expires_at, |out, at| put_u64(out, at.0));
    put_option(out, properties.as_deref(), put_properties);
    put_slice(out, payload);
}

pub(crate) fn read_message(bytes: &[u8]) -> Result<Arc<Message>, RecordError> {
    let mut from = Reader::new(bytes);
    let id =
        MessageId { node: NodeId(from.u16()?), incarnation: Incarnation(from.u32()?), number: from.u64()? };
    let exchange = read_exchange_name(&mut from)?;
    let key = RoutingKey::new(from.text()?);
    let flags = from.u8()?;
    if flags > 0b1111 {
        return Err(RecordError::Tag);
    }
    let message = Message {
        id,
        exchange,
        key,
        qos: Qos::from_bits(flags & 0b11).ok_or(RecordError::Tag)?,
        retain: flags & 0b100 != 0,
        persistent: flags & 0b1000 != 0,
        publisher: from.option(|from| from.str().map(ClientId::new))?,
        published_at: WallMs(from.u64()?),
        expires_at: from.option(|from| from.u64().map(WallMs))?,
        properties: from.option(|from| read_properties(from).map(Box::new))?,
        payload: from.bytes()?,
        wire: WireCache::default(),
    };
    from.end()?;
    Ok(Arc::new(message))
}

/// What a queue must know of a message that it does not hold, read without making one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Gist {
    /// By [`Message::size_bytes`].
    pub(crate) size_bytes: usize,
    pub(crate) published_at: WallMs,
    pub(crate) expires_at: Option<WallMs>,
    pub(crate) priority: Option<u8>,
}

pub(crate) fn read_gist(bytes: &[u8]) -> Result<Gist, RecordError> {
    let mut from = Reader::new(bytes);
    from.u16()?;
    from.u32()?;
    from.u64()?;
    read_exchange_name(&mut from)?;
    let key = from.str()?.len();
    from.u8()?;
    from.option(|from| from.str().map(drop))?;
    let published_at = WallMs(from.u64()?);
    let expires_at = from.option(|from| from.u64().map(WallMs))?;
    let properties = from.option(read_properties)?;
    let size_bytes = key + from.slice()?.len();
    from.end()?;
    let priority = properties.and_then(|properties| properties.priority);
    Ok(Gist { size_bytes, published_at, expires_at, priority })
}

/// The names that are always there cost one byte, and nothing to copy.
pub(crate) fn put_exchange_name(out: &mut Vec<u8>, name: &ExchangeName) {
    match KNOWN.iter().position(|known| known == name) {
        Some(index) => out.push(index as u8 + 1),
        None => {
            out.push(0);
            put_str(out, name.as_str());
        }
    }
}

pub(crate) fn read_exchange_name(from: &mut Reader<'_>) -> Result<ExchangeName, RecordError> {
    match from.u8()? {
        0 => from.str().map(ExchangeName::new),
        index => KNOWN.get(usize::from(index) - 1).cloned().ok_or(RecordError::Tag),
    }
}

fn put_properties(out: &mut Vec<u8>, properties: &Properties) {
    let Properties { content_type, payload_is_text, reply_to, correlation, priority, headers } = properties;
    put_option(out, content_type.as_ref(), |out, text| put_str(out, text));
    put_option(out, *payload_is_text, put_bool);
    put_option(out, reply_to.as_ref(), |out, to| match to {
        ReplyTo::Address { exchange, key } => {
            out.push(0);
            put_exchange_name(out, exchange);
            put_str(out, key.as_str());
        }
        ReplyTo::Text(text) => {
            out.push(1);
            put_str(out, text);
        }
    });
    put_option(out, correlation.as_ref(), |out, bytes| put_slice(out, bytes));
    put_option(out, *priority, |out, priority| out.push(priority));
    put_len(out, headers.len());
    for (name, value) in headers {
        put_str(out, name);
        put_str(out, value);
    }
}

fn read_properties(from: &mut Reader<'_>) -> Result<Properties, RecordError> {
    Ok(Properties {
        content_type: from.option(Reader::text)?,
        payload_is_text: from.option(Reader::bool)?,
        reply_to: from.option(|from| match from.u8()? {
            0 => Ok(ReplyTo::Address {
                exchange: read_exchange_name(from)?,
                key: RoutingKey::new(from.text()?),
            }),
            1 => from.text().map(ReplyTo::Text),
            _ => Err(RecordError::Tag),
        })?,
        correlation: from.option(Reader::bytes)?,
        priority: from.option(Reader::u8)?,
        headers: read_headers(from)?,
    })
}

fn read_headers(from: &mut Reader<'_>) -> Result<Vec<(ByteString, ByteString)>, RecordError> {
    let count = from.count()?;
    let mut headers = Vec::new();
    for _ in 0..count {
        headers.push((from.text()?, from.text()?));
    }
    Ok(headers)
}

/// Never reordered: the index is on disk.
static KNOWN: [ExchangeName; 5] = [
    ExchangeName::DEFAULT,
    ExchangeName::TOPIC,
    ExchangeName::DIRECT,
    ExchangeName::FANOUT,
    ExchangeName::HEADERS,
];
