//! What is remembered of a client that is in.

use std::sync::Arc;
use std::time::Instant;

use bytestring::ByteString;
use model::name::QueueName;
use model::outbox::Outbox;
use model::queue::QueueDeclaration;
use model::request::{Operation, Request, Submit};
use smallvec::SmallVec;

use crate::ack::Subscriptions;
use crate::arguments::{is_about_a_queue, sent_queue};
use crate::destination::{Address, DestinationError};
use crate::escape::Escapes;
use crate::frame::Frame;
use crate::header_error::HeaderError;
use crate::headers::Headers;
use crate::heart_beat::HeartBeat;
use crate::options::Options;
use crate::receipt::{self, Kind, Mandatory, Pending, Work};
use crate::session::shown::Shown;
use crate::session::standing::Standing;
use crate::session::temporary::Temporary;
use crate::transaction::Transactions;
use crate::version::Version;

/// A client that is in.
#[derive(Debug)]
pub(super) struct Online {
    /// The settings of all sessions.
    pub(super) options: Arc<Options>,
    /// What was agreed.
    pub(super) version: Version,
    /// Names the connection.
    pub(super) connection: String,
    /// Silence, measured.
    pub(super) heart_beat: HeartBeat,
    /// What the broker has not answered.
    pub(super) pending: Pending,
    /// What the client listens to.
    pub(super) subscriptions: Subscriptions,
    /// What it has begun.
    pub(super) transactions: Transactions,
    /// What it showed of itself, and for how long that is good.
    pub(super) standing: Standing,
    /// Where it waits for replies.
    pub(super) temporary: Temporary,
    /// Publishers send to the same place again and again: the last one, taken apart.
    last_address: Option<(ByteString, Address)>,
    /// And the queue that is asked for there, where it is one and no header says what it is to be like.
    last_queue: Option<Arc<QueueDeclaration>>,
    /// The destination of the last message that it was sent.
    pub(super) shown: Shown,
}

impl Online {
    /// A client that has just been let in.
    pub(super) fn new(
        options: Arc<Options>,
        version: Version,
        connection: String,
        heart_beat: HeartBeat,
        standing: Standing,
    ) -> Self {
        Self {
            options,
            version,
            connection,
            heart_beat,
            pending: Pending::default(),
            subscriptions: Subscriptions::default(),
            transactions: Transactions::default(),
            standing,
            temporary: Temporary::default(),
            last_address: None,
            last_queue: None,
            shown: Shown::default(),
        }
    }

    /// The escapes of its version.
    pub(super) const fn escapes(&self) -> Escapes {
        Escapes::of_version(self.version)
    }

    /// Where `destination` of SEND leads.
    ///
    /// # Errors
    ///
    /// Nowhere.
    pub(super) fn address(&mut self, destination: &ByteString) -> Result<Address, DestinationError> {
        if let Some((text, address)) = &self.last_address
            && text == destination
        {
            return Ok(address.clone());
        }
        let address = self.options.destinations.address(destination)?;
        // A copy: the slice would keep the whole read buffer.
        self.last_address = Some((ByteString::from(&**destination), address.clone()));
        Ok(address)
    }

    /// The queue of that name as SEND with those headers asks for it.
    ///
    /// # Errors
    ///
    /// A header has a value that means nothing.
    pub(super) fn declaration(
        &mut self,
        name: QueueName,
        headers: &Headers,
    ) -> Result<Arc<QueueDeclaration>, HeaderError> {
        if headers.iter().any(|(name, _)| is_about_a_queue(name)) {
            return sent_queue(name, headers).map(Arc::new);
        }
        if let Some(last) = self.last_queue.as_ref().filter(|last| last.options.name == name) {
            return Ok(Arc::clone(last));
        }
        let declaration = Arc::new(sent_queue(name, headers)?);
        self.last_queue = Some(Arc::clone(&declaration));
        Ok(declaration)
    }

    /// Sends the receipt that a frame asked for, if it asked.
    pub(super) fn receipt(&self, frame: &Frame, out: &mut Outbox) {
        if let Some(receipt) = frame.header("receipt") {
            receipt::write(receipt, self.escapes(), out.wire.buf());
            out.wire.count_packet();
        }
    }

    /// What is to be done when the work of `frame` is done. Takes its headers.
    pub(super) fn work(kind: Kind, receipts: Vec<ByteString>, frame: &mut Frame) -> Work {
        Work {
            kind,
            receipts,
            command: frame.command,
            headers: std::mem::take(&mut frame.headers),
            mandatory: Vec::new(),
        }
    }

    /// Asks for `operations` together, and for an answer if receipts depend on it. Nothing to do and nobody waiting: nothing
    /// is asked.
    pub(super) fn submit(
        &mut self,
        operations: SmallVec<[Operation; 1]>,
        receipts: Vec<ByteString>,
        mandatory: Vec<Mandatory>,
        frame: &mut Frame,
        out: &mut Outbox,
    ) {
        if operations.is_empty() && receipts.is_empty() {
            return;
        }
        // Whoever wants to hear what is refused is told of which frame: so long it is remembered.
        let answer =
            !receipts.is_empty() || !mandatory.is_empty() || self.subscriptions.hears_errors().is_some();
        let ticket = if answer {
            self.pending.wait(Work { mandatory, ..Self::work(Kind::Submit, receipts, frame) })
        } else {
            self.pending.ticket()
        };
        out.requests.push(Request::Submit(Submit { ticket, answer, operations }));
    }

    /// When something is due by itself.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let transactions = self.transactions.deadline(self.options.transaction_timeout);
        let end = self.standing.deadline(self.options.token_grace);
        [self.heart_beat.deadline(), transactions, end].into_iter().flatten().min()
    }
}

/// The receipts that a frame by itself asks for.
pub(super) fn receipts_of(frame: &Frame) -> Vec<ByteString> {
    frame.header("receipt").cloned().into_iter().collect()
}
