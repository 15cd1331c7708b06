//! When the work is done, not before.

use std::collections::VecDeque;

use bytes::BytesMut;
use bytestring::ByteString;
use model::name::ConsumerId;
use model::request::Ticket;

use crate::encode::{END, command, header};
use crate::escape::Escapes;
use crate::frame::Command;
use crate::headers::Headers;

/// Frames whose work the broker has not finished, in the order they came.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    last: u64,
    waiting: VecDeque<(Ticket, Work)>,
}

/// What is to be done when the broker answers.
#[derive(Debug)]
pub(crate) struct Work {
    /// What was asked.
    pub(crate) kind: Kind,
    /// The receipts that are due then.
    pub(crate) receipts: Vec<ByteString>,
    /// The frame, to be quoted if it is refused.
    pub(crate) command: Command,
    /// Its headers.
    pub(crate) headers: Headers,
}

/// What was asked of the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Publish or settle.
    Submit,
    /// Start that consumer.
    Subscribe(ConsumerId),
    /// End that consumer.
    Unsubscribe(ConsumerId),
    /// All that was asked before; then the client leaves.
    Disconnect,
}

impl Pending {
    /// A ticket that nothing depends on: only a refusal will come back.
    pub(crate) fn ticket(&mut self) -> Ticket {
        self.last += 1;
        Ticket(self.last)
    }

    /// A ticket whose answer is waited for.
    pub(crate) fn wait(&mut self, work: Work) -> Ticket {
        let ticket = self.ticket();
        self.waiting.push_back((ticket, work));
        ticket
    }

    /// The answer came. `None` if nothing waited for it.
    pub(crate) fn answered(&mut self, ticket: Ticket) -> Option<Work> {
        // Nearly always the first one.
        let at = self.waiting.iter().position(|(waiting, _)| *waiting == ticket)?;
        self.waiting.remove(at).map(|(_, work)| work)
    }
}

/// Writes RECEIPT.
pub(crate) fn write(receipt: &str, escapes: Escapes, buf: &mut BytesMut) {
    command(buf, Command::Receipt.as_str());
    header(buf, escapes, "receipt-id", receipt);
    buf.extend_from_slice(b"\n");
    buf.extend_from_slice(END);
}
