//! BEGIN to COMMIT, as one list.

use std::time::{Duration, Instant};

use bytes::Bytes;
use bytestring::ByteString;
use model::delivery::Outcome;
use model::properties::Properties;
use model::request::Publish;

use crate::ack::Unsettled;
use crate::headers::Headers;
use crate::options::Options;

/// The transactions of a connection: a few, so they are looked for one by one.
#[derive(Debug, Default)]
pub(crate) struct Transactions(Vec<Transaction>);

/// What was asked between BEGIN and COMMIT.
#[derive(Debug)]
pub(crate) struct Transaction {
    /// What to do at COMMIT.
    pub(crate) steps: Vec<Step>,
    /// The receipts to send then, in the order they were asked for.
    pub(crate) receipts: Vec<ByteString>,
    /// Of each step that its sender wants to hear of if no queue takes it: its place and its headers.
    pub(crate) mandatory: Vec<(usize, Headers)>,
    name: ByteString,
    since: Instant,
    frames: usize,
    bytes: usize,
}

/// One thing to do at COMMIT.
#[derive(Debug)]
pub(crate) enum Step {
    /// SEND.
    Publish(Publish),
    /// ACK or NACK of one message.
    Settle {
        /// Which message.
        unsettled: Unsettled,
        /// How.
        outcome: Outcome,
    },
}

impl Step {
    /// Lets go of the read buffer, which may be much larger than what is kept of it; says how much is kept.
    fn detach(&mut self) -> usize {
        let Self::Publish(publish) = self else { return SETTLE_BYTES };
        publish.payload = Bytes::copy_from_slice(&publish.payload);
        publish.key = publish.key.detached();
        if let Some(properties) = &mut publish.properties {
            properties.detach();
        }
        let headers = publish.properties.as_deref().map_or(0, size_bytes);
        publish.payload.len() + publish.key.as_str().len() + headers + size_of::<Publish>()
    }
}

fn size_bytes(properties: &Properties) -> usize {
    let headers: usize =
        properties.headers.iter().map(|(name, value)| name.len() + value.len() + PAIR_BYTES).sum();
    size_of::<Properties>() + headers
}

impl Transactions {
    /// BEGIN.
    ///
    /// # Errors
    ///
    /// One of that name is open, or too many are.
    pub(crate) fn begin(
        &mut self,
        name: &str,
        now: Instant,
        options: &Options,
    ) -> Result<(), TransactionError> {
        if self.find(name).is_ok() {
            return Err(TransactionError::Open(name.into()));
        }
        if self.0.len() >= options.transactions_max {
            return Err(TransactionError::TooMany { max: options.transactions_max });
        }
        self.0.push(Transaction {
            steps: Vec::new(),
            receipts: Vec::new(),
            mandatory: Vec::new(),
            name: name.into(),
            since: now,
            frames: 0,
            bytes: 0,
        });
        Ok(())
    }

    /// The open one of that name.
    ///
    /// # Errors
    ///
    /// There is none.
    pub(crate) fn find(&mut self, name: &str) -> Result<&mut Transaction, TransactionError> {
        let found = self.0.iter_mut().find(|transaction| transaction.name == name);
        found.ok_or_else(|| TransactionError::Unknown(name.into()))
    }

    /// COMMIT or ABORT: what was asked.
    ///
    /// # Errors
    ///
    /// There is none of that name.
    pub(crate) fn take(&mut self, name: &str) -> Result<Transaction, TransactionError> {
        let at = self.0.iter().position(|transaction| transaction.name == name);
        at.map(|at| self.0.remove(at)).ok_or_else(|| TransactionError::Unknown(name.into()))
    }

    /// When the oldest one has been open for too long.
    pub(crate) fn deadline(&self, timeout: Duration) -> Option<Instant> {
        // They are in the order of their BEGINs.
        self.0.first().map(|transaction| transaction.since + timeout)
    }

    /// The oldest one, if it has been open for too long.
    pub(crate) fn expired(&self, timeout: Duration, now: Instant) -> Option<&ByteString> {
        let oldest = self.0.first()?;
        (oldest.since + timeout <= now).then_some(&oldest.name)
    }
}

impl Transaction {
    /// The step that is added next wants to hear of it if no queue takes it. Counted with the bytes of the transaction.
    pub(crate) fn remember_mandatory(&mut self, headers: &Headers) {
        let copy = |text: &ByteString| ByteString::from(&**text);
        let headers: Headers = headers.iter().map(|(name, value)| (copy(name), copy(value))).collect();
        let bytes: usize = headers.iter().map(|(name, value)| name.len() + value.len() + PAIR_BYTES).sum();
        self.bytes += bytes;
        self.mandatory.push((self.steps.len(), headers));
    }

    /// Adds one frame's steps; an ACK of many messages is one frame.
    ///
    /// # Errors
    ///
    /// The transaction has grown too large.
    pub(crate) fn add(
        &mut self,
        steps: impl IntoIterator<Item = Step>,
        receipt: Option<&ByteString>,
        options: &Options,
    ) -> Result<(), TransactionError> {
        self.frames += 1;
        for mut step in steps {
            self.bytes += step.detach();
            self.steps.push(step);
        }
        if let Some(receipt) = receipt {
            self.bytes += receipt.len() + PAIR_BYTES;
            self.receipts.push(ByteString::from(&**receipt));
        }
        if self.frames > options.transaction_frames_max {
            return Err(TransactionError::TooManyFrames { max: options.transaction_frames_max });
        }
        if self.bytes > options.transaction_bytes_max {
            return Err(TransactionError::TooLarge { max: options.transaction_bytes_max });
        }
        Ok(())
    }
}

/// What a settlement takes in memory, roughly.
const SETTLE_BYTES: usize = size_of::<Step>();
/// What a header takes beside its text, roughly.
const PAIR_BYTES: usize = 2 * size_of::<ByteString>();

/// Why a transaction cannot go on. The client gets an ERROR; all that was asked in open ones is dropped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TransactionError {
    /// "Different transactions MUST use different transaction identifiers" (STOMP 1.2, "BEGIN").
    #[error("transaction '{0}' is open already; COMMIT or ABORT it first.")]
    Open(String),
    /// Never begun, or ended.
    #[error("transaction '{0}' is not open; BEGIN it first.")]
    Unknown(String),
    /// A limit.
    #[error("more than {max} transactions are open at once.")]
    TooMany {
        /// How many may be.
        max: usize,
    },
    /// A limit.
    #[error("the transaction has more than {max} frames; COMMIT earlier.")]
    TooManyFrames {
        /// How many it may have.
        max: usize,
    },
    /// A limit.
    #[error("the transaction holds more than {max} bytes; COMMIT earlier.")]
    TooLarge {
        /// How many it may hold.
        max: usize,
    },
}
