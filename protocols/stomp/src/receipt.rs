//! When the work is done, not before.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use bytestring::ByteString;
use model::name::ConsumerId;
use model::request::Ticket;

use crate::encode::{END, command, own_header};
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
    /// What is told to the client if no queue takes it.
    pub(crate) mandatory: Vec<Mandatory>,
}

/// A SEND with `mandatory:true`.
#[derive(Debug)]
pub(crate) struct Mandatory {
    /// Its place among the operations that were asked for.
    pub(crate) operation: u32,
    /// Its headers.
    pub(crate) headers: Headers,
    /// What was sent.
    pub(crate) body: Bytes,
}

impl Work {
    /// Those that no queue took.
    pub(crate) fn returned(&self, unrouted: &[u32]) -> Vec<&Mandatory> {
        self.mandatory.iter().filter(|one| unrouted.contains(&one.operation)).collect()
    }

    /// Whether that receipt tells of one of `returned`: its own, or that of the COMMIT.
    pub(crate) fn tells_of(&self, returned: &[&Mandatory], receipt: &ByteString) -> bool {
        let of_commit = self.command == Command::Commit && self.headers.get("receipt") == Some(receipt);
        !returned.is_empty()
            && (of_commit || returned.iter().any(|one| one.headers.get("receipt") == Some(receipt)))
    }
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
    write_with(receipt, false, escapes, buf);
}

/// The same; `is_unroutable`: no queue took what the frame sent, and it asked to hear of that.
pub(crate) fn write_with(receipt: &str, is_unroutable: bool, escapes: Escapes, buf: &mut BytesMut) {
    command(buf, Command::Receipt.as_str());
    own_header(buf, escapes, "receipt-id", receipt);
    if is_unroutable {
        own_header(buf, escapes, "unroutable", "true");
    }
    buf.extend_from_slice(b"\n");
    buf.extend_from_slice(END);
}
