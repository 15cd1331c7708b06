//! The destination that was shown last, as it was written.

use bytes::BytesMut;
use model::message::Message;
use model::name::ExchangeName;

use crate::destination::{Destinations, ShownBy};
use crate::escape::Escapes;

/// A client is sent messages of one destination again and again: the last one, ready to be copied.
#[derive(Debug)]
pub(super) struct Shown {
    exchange: ExchangeName,
    key: String,
    by: Option<ShownBy>,
    /// Empty before there was any.
    written: Vec<u8>,
}

impl Default for Shown {
    fn default() -> Self {
        Self { exchange: ExchangeName::DEFAULT, key: String::new(), by: None, written: Vec::new() }
    }
}

impl Shown {
    /// Writes the destination of `message`: see [`Destinations::write`]. `destinations` and `escapes` are the same each time.
    pub(super) fn write(
        &mut self,
        message: &Message,
        by: Option<ShownBy>,
        (destinations, escapes): (&Destinations, Escapes),
        buf: &mut BytesMut,
    ) {
        let Message { exchange, key, .. } = message;
        let is_same = self.key == key.as_str() && self.exchange == *exchange && self.by == by;
        if is_same && !self.written.is_empty() {
            return buf.extend_from_slice(&self.written);
        }
        let start = buf.len();
        destinations.write(exchange, key, by, escapes, buf);
        // Copies, into room that is there: the message's own may be part of something larger.
        self.written.clear();
        self.written.extend_from_slice(buf.get(start..).unwrap_or_default());
        self.key.clear();
        self.key.push_str(key.as_str());
        self.exchange.clone_from(exchange);
        self.by = by;
    }
}
