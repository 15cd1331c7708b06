//! A refusal as ERROR.

use std::borrow::Cow;
use std::fmt::Write;

use bytes::BytesMut;
use bytestring::ByteString;
use model::refusal::Refusal;
use model::time::WallMs;

use crate::ack::AckError;
use crate::decode::DecodeError;
use crate::destination::DestinationError;
use crate::encode::encode;
use crate::escape::Escapes;
use crate::frame::{Command, Frame};
use crate::header_error::HeaderError;
use crate::headers::{Headers, is_secret};
use crate::transaction::TransactionError;
use crate::version::Version;

/// Something that cannot be done for the client. It is told, and the connection ends (STOMP 1.2, "ERROR").
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    /// The `message` header: a few words.
    pub(crate) message: Cow<'static, str>,
    /// What is wrong and what to do about it.
    pub(crate) detail: String,
    /// A word for programs, RabbitMQ's where it has one.
    pub(crate) code: Option<&'static str>,
    /// When the token ended that is not good any more.
    pub(crate) expired_at: Option<WallMs>,
    /// Whether it is about what the client may do: then the rest of what it does need not end.
    pub(crate) is_about_rights: bool,
    /// The subscription it is about.
    subscription: Option<Box<str>>,
    /// The frame it is about.
    about: Option<Box<About>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct About {
    /// The receipt that will not come.
    receipt: Option<ByteString>,
    /// By which the client knows the frame again.
    correlation: Vec<(ByteString, ByteString)>,
    /// The frame.
    quote: String,
}

impl Fault {
    /// A fault that is about no frame yet.
    pub(crate) fn new(message: impl Into<Cow<'static, str>>, detail: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            detail: detail.into(),
            code: None,
            expired_at: None,
            is_about_rights: false,
            subscription: None,
            about: None,
        }
    }

    /// A header that must be there is not.
    pub(crate) fn missing(command: Command, header: &'static str, version: Version) -> Self {
        Self::new("Missing Header", format!("{command} needs header {header} (STOMP {version})."))
    }

    /// The same about that frame: names its receipt and quotes it.
    #[must_use]
    pub(crate) fn about(mut self, command: Command, headers: &Headers, body: &[u8]) -> Self {
        let receipt = headers.get("receipt").cloned();
        let known = |name: &&str| Some((ByteString::from(*name), headers.get(name)?.clone()));
        let correlation = CORRELATION.iter().filter_map(known).collect();
        self.about = Some(Box::new(About { receipt, correlation, quote: quote(command, headers, body) }));
        self
    }

    /// By which the client knows the frame again that it is about.
    pub(crate) fn correlation(&self) -> &[(ByteString, ByteString)] {
        self.about.as_ref().map_or(&[], |about| &about.correlation)
    }

    /// The receipt of the frame that it is about, which will not come.
    pub(crate) fn receipt(&self) -> Option<&ByteString> {
        self.about.as_ref()?.receipt.as_ref()
    }

    /// What is wrong, what to do about it, and the frame.
    pub(crate) fn text(&self) -> String {
        let mut text = format!("{}\n", self.detail);
        if let Some(About { quote, .. }) = self.about.as_deref() {
            // Writing to a String cannot fail.
            let _ = write!(text, "The frame:\n-----\n{quote}\n-----\n");
        }
        text
    }

    /// The same about what could not be read as a frame: names its receipt and quotes it, as far as that can be made out.
    /// What is no command of STOMP is no frame, and not quoted.
    #[must_use]
    pub(crate) fn about_bytes(mut self, raw: &[u8], version: Version) -> Self {
        let head = raw.get(..QUOTE_BYTES_MAX).unwrap_or(raw);
        let head = head.split(|byte| *byte == 0).next().unwrap_or_default();
        let text = String::from_utf8_lossy(head);
        let mut lines = text.lines();
        let Some(command) = lines.next().and_then(|line| Command::parse(line.as_bytes())) else {
            return self;
        };
        let mut quote = format!("{command}\n");
        let mut receipt = None;
        for line in lines.take_while(|line| !line.is_empty()) {
            let (name, value) = line.split_once(':').unwrap_or((line, ""));
            if name == "receipt" && receipt.is_none() {
                let value = ByteString::from(value);
                receipt = Some(Escapes::of(command, version).resolve(&value, &value).unwrap_or(value));
            }
            let line = if is_secret(name.trim()) { format!("{name}:***") } else { cut(line) };
            quote.push_str(&line);
            quote.push('\n');
        }
        self.about = Some(Box::new(About { receipt, correlation: Vec::new(), quote }));
        self
    }

    /// The same about that subscription.
    #[must_use]
    pub(crate) fn of_subscription(mut self, id: Option<&str>) -> Self {
        self.subscription = id.map(Box::from);
        self
    }

    /// Writes the ERROR. `ours` are the versions we speak.
    pub(crate) fn write(&self, version: Version, ours: &[Version], buf: &mut BytesMut) {
        let mut frame = Frame::new(Command::Error).with("message", ByteString::from(&*self.message));
        if let Some(receipt) = self.receipt() {
            frame.headers.push("receipt-id", receipt.clone());
        }
        for (name, value) in self.correlation() {
            frame.headers.push(name.clone(), value.clone());
        }
        if let Some(id) = &self.subscription {
            frame.headers.push("subscription", &**id);
        }
        if let Some(code) = self.code {
            frame.headers.push("error-code", code);
        }
        if let Some(at) = self.expired_at {
            frame.headers.push("expired-at", at.to_string());
        }
        frame.headers.push("content-type", "text/plain");
        frame.headers.push("version", Version::list(ours));
        encode(&frame.with_body(self.text()), version, buf);
    }
}

/// The frame as people may see it: secrets hidden, long parts cut.
fn quote(command: Command, headers: &Headers, body: &[u8]) -> String {
    let mut text = format!("{command}\n");
    for (name, value) in headers {
        let value = if is_secret(name) { "***" } else { value };
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{}:{}", cut(name), cut(value));
        if text.len() > QUOTE_BYTES_MAX {
            text.push_str("…\n");
            break;
        }
    }
    if !body.is_empty() {
        let start = body.get(..QUOTE_BODY_BYTES_MAX);
        text.push('\n');
        text.push_str(&String::from_utf8_lossy(start.unwrap_or(body)).replace('\0', "\u{fffd}"));
        if start.is_some_and(|start| start.len() < body.len()) {
            text.push('…');
        }
    }
    text
}

/// The start of a value, on one line.
fn cut(text: &str) -> String {
    let start: String = text
        .chars()
        .take(QUOTE_VALUE_CHARS_MAX)
        .map(|char| if char.is_control() { ' ' } else { char })
        .collect();
    if start.len() < text.len() { start + "…" } else { start }
}

/// Headers by which clients know an answer again, besides `receipt`.
const CORRELATION: [&str; 2] = ["client-request-code", "correlation-id"];

/// How much of a frame is quoted: enough to recognise it by.
const QUOTE_BYTES_MAX: usize = 1024;
const QUOTE_BODY_BYTES_MAX: usize = 256;
const QUOTE_VALUE_CHARS_MAX: usize = 256;

impl From<&Refusal> for Fault {
    fn from(refusal: &Refusal) -> Self {
        let (code, advice) = match refusal {
            Refusal::BadCredentials(_) | Refusal::NotProven(_) | Refusal::NoMethod { .. } => {
                ("access_refused", "Check login and passcode.")
            }
            Refusal::BadToken(_) => ("token_refused", "Show one that is signed for this broker."),
            Refusal::Expired { .. } => {
                ("token_expired", "Fetch a new one, and send it in header Authorization.")
            }
            Refusal::Denied { .. } | Refusal::Forbidden { .. } => {
                ("access_refused", "Ask who runs the broker for the right to do this.")
            }
            Refusal::Vetoed { .. } => ("access_refused", "A hook of the broker's decides about this."),
            Refusal::NoExchange(_) | Refusal::NoQueue(_) | Refusal::NoBinding(_) => {
                ("not_found", "Check the name.")
            }
            Refusal::Exclusive(_) => {
                ("resource_locked", "Use a queue of your own, or one that is not exclusive.")
            }
            Refusal::Internal(_) => ("access_refused", "Send to an exchange that leads there."),
            Refusal::InUse { .. } => ("precondition_failed", "Wait until nobody uses it."),
            Refusal::Inequivalent { .. } => {
                ("precondition_failed", "Ask for the same options, or delete it first.")
            }
            Refusal::AtOdds { .. } => ("precondition_failed", "Leave the header out."),
            Refusal::NoStream(_) => ("precondition_failed", "Check the name, or declare it as a stream."),
            Refusal::LimitReached(_) => {
                ("resource_error", "Use less, or raise the limit in the configuration.")
            }
            Refusal::Busy(_) => ("resource_error", "Try again in a while."),
            Refusal::Banned { .. } => ("access_refused", "Ask who runs the broker, or wait until then."),
            Refusal::NoVhost(_) => (
                "not_found",
                "Leave out the header host, make that virtual host, or name this broker so (node.host_names).",
            ),
            Refusal::Invalid(_) => ("precondition_failed", "Correct the frame."),
            Refusal::ShuttingDown => ("connection_forced", "Connect again when it is back."),
        };
        let message = refusal.to_string();
        let expired_at = if let Refusal::Expired { at } = refusal { Some(*at) } else { None };
        let is_about_rights = matches!(
            refusal,
            Refusal::NotProven(_)
                | Refusal::BadToken(_)
                | Refusal::Expired { .. }
                | Refusal::Denied { .. }
                | Refusal::Forbidden { .. }
                | Refusal::Vetoed { .. }
        );
        let fault = Self::new(message.clone(), format!("{message}.\n{advice}"));
        Self { code: Some(code), expired_at, is_about_rights, ..fault }
    }
}

impl From<DecodeError> for Fault {
    fn from(error: DecodeError) -> Self {
        let message = match error {
            DecodeError::UnknownCommand(_) | DecodeError::CommandTooLong { .. } => "Bad command",
            DecodeError::TooManyHeaders { .. }
            | DecodeError::LineTooLong { .. }
            | DecodeError::HeadTooLong { .. }
            | DecodeError::BodyTooLong { .. } => "Frame too large",
            DecodeError::UndefinedEscape(_) => "Undefined escape",
            DecodeError::BadContentLength(_) | DecodeError::NoNulAfterBody { .. } => "Bad content-length",
            DecodeError::NulInHead
            | DecodeError::NotUtf8
            | DecodeError::NoColon(_)
            | DecodeError::NoName
            | DecodeError::CarriageReturn(_)
            | DecodeError::Body(_) => "Malformed frame",
        };
        Self::new(message, format!("{error}."))
    }
}

impl From<DestinationError> for Fault {
    fn from(error: DestinationError) -> Self {
        Self::new(error.summary(), error.to_string())
    }
}

impl From<HeaderError> for Fault {
    fn from(error: HeaderError) -> Self {
        Self::new(error.summary(), error.to_string())
    }
}

impl From<AckError> for Fault {
    fn from(error: AckError) -> Self {
        Self { code: Some("precondition_failed"), ..Self::new("Unknown message", error.to_string()) }
    }
}

impl From<TransactionError> for Fault {
    fn from(error: TransactionError) -> Self {
        let message = match error {
            TransactionError::Open(_) | TransactionError::Unknown(_) => "Bad transaction",
            TransactionError::TooMany { .. } => "Too many transactions",
            TransactionError::TooManyFrames { .. } | TransactionError::TooLarge { .. } => {
                "Transaction too large"
            }
        };
        Self::new(message, error.to_string())
    }
}
