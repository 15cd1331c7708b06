//! Session: the contract between a protocol and the rest.

use std::time::Instant;

use bytes::BytesMut;

use crate::delivery::Delivery;
use crate::event::Event;
use crate::outbox::Outbox;

/// One client's side of a protocol. There is no socket, no clock and no await behind it, so a test is a list of calls.
/// Once a session has asked to close, nothing of it is called again.
pub trait Session: Send {
    /// Bytes came in. Whole packets are consumed, the rest is left. After CONNECT nothing more is consumed until the
    /// answer came: the connection calls again after every `notify`, also when no new byte arrived.
    fn receive(&mut self, bytes: &mut BytesMut, now: Instant, out: &mut Outbox);

    /// The broker answered a request, or has news.
    fn notify(&mut self, event: Event, now: Instant, out: &mut Outbox);

    /// Messages to send, never more than `window` allowed. Takes all of them.
    fn deliver(&mut self, deliveries: &mut Vec<Delivery>, now: Instant, out: &mut Outbox);

    /// How many more deliveries the client can take: Receive Maximum, prefetch, or what is left of it. Zero until the
    /// client is in.
    fn window(&self) -> usize;

    /// When `expire` wants to be called, if nothing happens before.
    fn deadline(&self) -> Option<Instant>;

    /// The deadline has passed.
    fn expire(&mut self, now: Instant, out: &mut Outbox);
}
