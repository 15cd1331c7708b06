//! What a session hands back: bytes to write, requests to make, perhaps a reason to close.

use std::borrow::Cow;
use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use crate::request::Request;

/// Collected while a session works; the connection empties it.
#[derive(Debug, Default)]
pub struct Outbox {
    /// To be written, in order.
    pub wire: Wire,
    /// To be asked, in order.
    pub requests: Vec<Request>,
    /// How many packets, or frames, the session has taken in since somebody counted them.
    pub received: u64,
    /// Set once: write what is there, then close.
    pub close: Option<Hangup>,
}

impl Outbox {
    /// Ends the connection. The first reason stands.
    pub fn hang_up(&mut self, by: By, reason: impl Into<Cow<'static, str>>) {
        if self.close.is_none() {
            self.close = Some(Hangup { by, reason: reason.into() });
        }
    }
}

/// Why a connection ends; what the log line of its end says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hangup {
    /// Who ended it.
    pub by: By,
    /// Why, for people.
    pub reason: Cow<'static, str>,
}

/// Who ended a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum By {
    /// The client said good-bye.
    Client,
    /// The broker: a refusal, a violated protocol, a takeover, a stop.
    Broker,
    /// Nobody: the network did.
    Network,
    /// Nobody: nothing was heard of the client for longer than it had promised.
    Timeout,
}

/// Bytes to write: small ones are gathered in one buffer, large ones are passed on without a copy.
#[derive(Debug, Default)]
pub struct Wire {
    chunks: VecDeque<Bytes>,
    tail: BytesMut,
    chunk_bytes: usize,
    packets: u64,
}

/// From this size on, in bytes, a shared chunk is chained instead of copied (measured: docs/performance.md).
pub const CHAIN_MIN: usize = 4096;

impl Wire {
    /// Where small things are written to.
    pub fn buf(&mut self) -> &mut BytesMut {
        &mut self.tail
    }

    /// Adds bytes that others may share: copies them if they are small, chains them if not.
    pub fn put_shared(&mut self, bytes: &Bytes) {
        if bytes.len() < CHAIN_MIN {
            self.tail.extend_from_slice(bytes);
            return;
        }
        self.seal();
        self.chunk_bytes += bytes.len();
        self.chunks.push_back(bytes.clone());
    }

    /// A packet, or a frame, has been written as a whole.
    pub fn count_packet(&mut self) {
        self.packets += 1;
    }

    /// How many there were since they were taken last.
    pub const fn packets(&self) -> u64 {
        self.packets
    }

    /// How many there were since this was asked last.
    pub fn take_packets(&mut self) -> u64 {
        std::mem::take(&mut self.packets)
    }

    /// All that waits, in bytes.
    pub fn len(&self) -> usize {
        self.chunk_bytes + self.tail.len()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What is to be written, where it lies in one piece.
    pub fn only(&self) -> Option<&[u8]> {
        self.chunks.is_empty().then_some(&self.tail[..])
    }

    /// Fills `slices` with what is next to be written; returns how many it used.
    pub fn peek<'a>(&'a self, slices: &mut [std::io::IoSlice<'a>]) -> usize {
        let parts = self.chunks.iter().map(|chunk| &chunk[..]).chain([&self.tail[..]]);
        let mut used = 0;
        for (slot, part) in slices.iter_mut().zip(parts.filter(|part| !part.is_empty())) {
            *slot = std::io::IoSlice::new(part);
            used += 1;
        }
        used
    }

    /// The first `count` bytes are written.
    ///
    /// # Panics
    ///
    /// If there were not that many.
    pub fn advance(&mut self, mut count: usize) {
        while let Some(chunk) = self.chunks.front_mut() {
            if count < chunk.len() {
                self.chunk_bytes -= count;
                bytes::Buf::advance(chunk, count);
                return;
            }
            count -= chunk.len();
            self.chunk_bytes -= chunk.len();
            self.chunks.pop_front();
        }
        if count == self.tail.len() {
            // Keeps the allocation for the next turn.
            self.tail.clear();
        } else {
            bytes::Buf::advance(&mut self.tail, count);
        }
    }

    /// Lets go of the buffer if nothing is in it: an idle connection holds none.
    pub fn release(&mut self) {
        if self.is_empty() {
            self.tail = BytesMut::new();
            self.chunks = VecDeque::new();
        }
    }

    fn seal(&mut self) {
        if !self.tail.is_empty() {
            let sealed = self.tail.split().freeze();
            self.chunk_bytes += sealed.len();
            self.chunks.push_back(sealed);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::IoSlice;

    use super::*;

    #[test]
    fn bytes_leave_in_the_order_they_came() {
        let mut wire = Wire::default();
        wire.buf().extend_from_slice(b"head");
        wire.put_shared(&Bytes::from(vec![b'x'; CHAIN_MIN]));
        wire.put_shared(&Bytes::from_static(b"tail"));
        assert_eq!(wire.len(), 4 + CHAIN_MIN + 4);
        let mut seen = Vec::new();
        while !wire.is_empty() {
            let count = {
                let mut slices = [IoSlice::new(&[]); 2];
                let used = wire.peek(&mut slices);
                let bytes: Vec<u8> = slices[..used].iter().flat_map(|slice| slice.to_vec()).collect();
                // Cuts anywhere.
                let count = bytes.len().min(1000);
                seen.extend_from_slice(&bytes[..count]);
                count
            };
            wire.advance(count);
        }
        assert!(seen.starts_with(b"headxx") && seen.ends_with(b"xtail"));
        assert_eq!(seen.len(), CHAIN_MIN + 8);
    }
}
