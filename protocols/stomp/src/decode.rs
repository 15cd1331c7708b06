//! Bytes to frames, within limits.

use bytes::{Buf, Bytes, BytesMut};
use bytestring::ByteString;

use crate::escape::{Escapes, UndefinedEscape};
use crate::frame::{Command, Frame};
use crate::headers::{Headers, usual_name};
use crate::version::Version;

/// How large a frame may be; beyond it, it is refused before it is complete (STOMP 1.2, "Size Limits"). Bytes, line ends
/// not counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// The first line.
    pub command_bytes_max: usize,
    /// How many headers, repeated ones counted.
    pub headers_max: usize,
    /// One header, name and value.
    pub line_bytes_max: usize,
    /// All up to the body.
    pub head_bytes_max: usize,
    /// The body.
    pub body_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            command_bytes_max: 32,
            headers_max: 128,
            line_bytes_max: 8 * 1024,
            head_bytes_max: 32 * 1024,
            body_bytes_max: 1024 * 1024,
        }
    }
}

impl Limits {
    /// The same, with a body no larger than `body_bytes_max`.
    #[must_use]
    pub fn with_body(&self, body_bytes_max: usize) -> Self {
        Self { body_bytes_max: self.body_bytes_max.min(body_bytes_max), ..self.clone() }
    }
}

/// Cuts one frame out of `bytes`, of either side. `None`: it is not complete, and nothing but blank lines was consumed.
///
/// `version` decides about escapes; before it is agreed, 1.2 is right for both sides. Who decodes a stream that may come
/// in many small pieces keeps a [`Decoder`] instead, which looks at no byte twice.
///
/// # Errors
///
/// The peer broke the protocol or a limit. The position in `bytes` means nothing any more: close.
pub fn decode(bytes: &mut BytesMut, limits: &Limits, version: Version) -> Result<Option<Frame>, DecodeError> {
    Decoder::default().decode(bytes, limits, version)
}

/// How far the frame at the front of a stream was looked at.
#[derive(Debug, Default)]
pub struct Decoder {
    /// Where the line starts that is not complete.
    line_start: usize,
    /// How many lines are before it.
    lines: usize,
    /// What the first `content-length` says.
    content_length: Option<usize>,
    /// Up to the body, the blank line included; zero until it is found.
    head_bytes: usize,
    /// How much of the body is known to hold no NUL.
    body_scanned: usize,
    /// The head that could not be parsed: it is no longer in the stream.
    broken: Bytes,
}

impl Decoder {
    /// As [`decode`], but going on where the last call stopped: between two calls that consume nothing, bytes may only be
    /// added at the end.
    ///
    /// # Errors
    ///
    /// As [`decode`].
    pub fn decode(
        &mut self,
        bytes: &mut BytesMut,
        limits: &Limits,
        version: Version,
    ) -> Result<Option<Frame>, DecodeError> {
        if self.lines == 0 && self.line_start == 0 {
            skip_blank(bytes);
        }
        if self.head_bytes == 0 && !self.find_head(bytes, limits, version)? {
            return Ok(None);
        }
        let Some(body_bytes) = self.find_body(bytes, limits)? else { return Ok(None) };
        let head_bytes = self.head_bytes;
        let headers = self.lines.saturating_sub(1);
        *self = Self::default();
        let mut frame = bytes.split_to(head_bytes + body_bytes + 1).freeze();
        let head = frame.split_to(head_bytes);
        frame.truncate(body_bytes);
        parse(head, headers, frame, version).map(Some).map_err(|(error, head)| {
            self.broken = head;
            error
        })
    }

    /// After an error: the frame that it is about, as far as it is there. `rest` is what is left of the stream.
    pub fn broken<'a>(&'a self, rest: &'a [u8]) -> &'a [u8] {
        if self.broken.is_empty() { rest } else { &self.broken }
    }

    /// Goes on to the blank line that ends the head; whether it is there.
    fn find_head(&mut self, bytes: &[u8], limits: &Limits, version: Version) -> Result<bool, DecodeError> {
        loop {
            let rest = bytes.get(self.line_start..).unwrap_or_default();
            let end = memchr::memchr2(b'\n', 0, rest);
            let (line, after) = rest.split_at(end.unwrap_or(rest.len()));
            self.check_sizes(line, limits)?;
            match after.first() {
                None => return Ok(false),
                Some(0) => return Err(DecodeError::NulInHead),
                Some(_) => self.line_start += line.len() + 1,
            }
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if self.lines == 0 {
                // At once, not after the head: whoever speaks another protocol may never send a blank line.
                Command::parse(line).ok_or_else(|| DecodeError::UnknownCommand(printable(line)))?;
            } else if line.is_empty() {
                self.head_bytes = self.line_start;
                return Ok(true);
            } else if self.lines > limits.headers_max {
                return Err(DecodeError::TooManyHeaders { max: limits.headers_max });
            } else if let Some(value) = line.strip_prefix(b"content-length:")
                && self.content_length.is_none()
            {
                self.content_length = Some(content_length(value, limits, version)?);
            }
            self.lines += 1;
        }
    }

    fn check_sizes(&self, line: &[u8], limits: &Limits) -> Result<(), DecodeError> {
        // A carriage return at the end of what came so far may be half of a line end.
        let line_bytes = line.strip_suffix(b"\r").unwrap_or(line).len();
        if self.lines == 0 && line_bytes > limits.command_bytes_max {
            return Err(DecodeError::CommandTooLong { max: limits.command_bytes_max });
        }
        if line_bytes > limits.line_bytes_max {
            return Err(DecodeError::LineTooLong { max: limits.line_bytes_max });
        }
        if self.line_start + line_bytes > limits.head_bytes_max {
            return Err(DecodeError::HeadTooLong { max: limits.head_bytes_max });
        }
        Ok(())
    }

    /// The size of the body, once the NUL behind it is there.
    fn find_body(&mut self, bytes: &[u8], limits: &Limits) -> Result<Option<usize>, DecodeError> {
        let body = bytes.get(self.head_bytes..).unwrap_or_default();
        if let Some(length) = self.content_length {
            return match body.get(length) {
                None => Ok(None),
                Some(0) => Ok(Some(length)),
                Some(_) => Err(DecodeError::NoNulAfterBody { content_length: length }),
            };
        }
        let unknown = body.get(self.body_scanned..).unwrap_or_default();
        let end = memchr::memchr(0, unknown);
        self.body_scanned += end.unwrap_or(unknown.len());
        if self.body_scanned > limits.body_bytes_max {
            return Err(DecodeError::BodyTooLong { max: limits.body_bytes_max });
        }
        Ok(end.map(|_| self.body_scanned))
    }
}

/// Heart-beats, the line ends that may follow a frame, and the NULs that some clients send after them.
fn skip_blank(bytes: &mut BytesMut) {
    let blank = bytes.iter().position(|byte| !matches!(byte, b'\n' | b'\r' | 0)).unwrap_or(bytes.len());
    if blank > 0 {
        bytes.advance(blank);
    }
}

/// Digits and nothing else: no sign, no blanks. What is too large for a number is too large for us.
fn content_length(value: &[u8], limits: &Limits, version: Version) -> Result<usize, DecodeError> {
    let value = match version {
        Version::V1_0 => value.trim_ascii_start(),
        Version::V1_1 | Version::V1_2 => value,
    };
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return Err(DecodeError::BadContentLength(printable(value)));
    }
    let number = value
        .iter()
        .fold(0_usize, |sum, digit| sum.saturating_mul(10).saturating_add(usize::from(digit - b'0')));
    if number > limits.body_bytes_max {
        return Err(DecodeError::BodyTooLong { max: limits.body_bytes_max });
    }
    Ok(number)
}

/// An error comes with the head that it is about, if that is text.
fn parse(head: Bytes, count: usize, body: Bytes, version: Version) -> Result<Frame, (DecodeError, Bytes)> {
    let head = ByteString::try_from(head).map_err(|_| (DecodeError::NotUtf8, Bytes::new()))?;
    parse_text(&head, count, body, version).map_err(|error| (error, head.into_bytes()))
}

fn parse_text(head: &ByteString, count: usize, body: Bytes, version: Version) -> Result<Frame, DecodeError> {
    let mut rest = &**head;
    let first = next_line(&mut rest);
    let command = Command::parse(first.as_bytes())
        .ok_or_else(|| DecodeError::UnknownCommand(printable(first.as_bytes())))?;
    // Nearly no head has anything to resolve or to refuse: looked for once, not in each name and value.
    let is_plain = memchr::memchr2(b'\\', b'\r', head.as_bytes()).is_none();
    let escapes = if is_plain { Escapes::Off } else { Escapes::of(command, version) };
    let mut headers = Headers::with_capacity(count);
    for _ in 0..count {
        let line = next_line(&mut rest);
        let (name, value) =
            split_at_byte(line, b':').ok_or_else(|| DecodeError::NoColon(printable(line.as_bytes())))?;
        if name.is_empty() {
            return Err(DecodeError::NoName);
        }
        if escapes == Escapes::All && line.contains('\r') {
            return Err(DecodeError::CarriageReturn(printable(line.as_bytes())));
        }
        let value = match version {
            // The examples of 1.0 pad their values; later versions forbid to trim.
            Version::V1_0 => value.trim_start_matches(' '),
            Version::V1_1 | Version::V1_2 => value,
        };
        let name = match usual_name(name) {
            Some(usual) => ByteString::from_static(usual),
            None => escapes.resolve(head, name)?,
        };
        headers.push(name, escapes.resolve(head, value)?);
    }
    let body = if command.may_have_body() { body } else { no_body(command, body, version)? };
    Ok(Frame { command, headers, body })
}

/// Cuts a line off the front, without its end.
fn next_line<'a>(rest: &mut &'a str) -> &'a str {
    let (line, after) = split_at_byte(rest, b'\n').unwrap_or((rest, ""));
    *rest = after;
    line.strip_suffix('\r').unwrap_or(line)
}

/// What is before the first such byte, and what is behind it. Faster than [`str::split_once`] where that is near.
fn split_at_byte(text: &str, ascii: u8) -> Option<(&str, &str)> {
    let at = memchr::memchr(ascii, text.as_bytes())?;
    Some((text.get(..at)?, text.get(at + 1..)?))
}

/// What becomes of the body of a frame that may have none. Line ends are the habit of people who type; in 1.0 the body of
/// SUBSCRIBE "is ignored".
fn no_body(command: Command, body: Bytes, version: Version) -> Result<Bytes, DecodeError> {
    let is_blank = body.iter().all(|byte| matches!(byte, b'\n' | b'\r'));
    if is_blank || version == Version::V1_0 {
        return Ok(Bytes::new());
    }
    Err(DecodeError::Body(command))
}

/// As much as a message for people should repeat.
fn printable(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes.get(..QUOTED_BYTES_MAX).unwrap_or(bytes));
    text.chars().map(|char| if char.is_control() { '\u{fffd}' } else { char }).collect()
}

/// Enough to recognise a line by.
const QUOTED_BYTES_MAX: usize = 64;

/// Why bytes are no frame. All of them are fatal: the peer gets an ERROR with this text, then the connection ends.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The first line is no command of any version.
    #[error("{0:?} is not a STOMP command; commands are written in capitals, without blanks")]
    UnknownCommand(String),
    /// The first line is longer than any command.
    #[error("the command is longer than {max} bytes; is this STOMP?")]
    CommandTooLong {
        /// In bytes.
        max: usize,
    },
    /// More headers than allowed.
    #[error("more than {max} headers")]
    TooManyHeaders {
        /// How many are allowed.
        max: usize,
    },
    /// One header is too long.
    #[error("a header is longer than {max} bytes")]
    LineTooLong {
        /// In bytes.
        max: usize,
    },
    /// All headers together are too long.
    #[error("command and headers are longer than {max} bytes")]
    HeadTooLong {
        /// In bytes.
        max: usize,
    },
    /// The body is too long.
    #[error("the body is longer than {max} bytes")]
    BodyTooLong {
        /// In bytes.
        max: usize,
    },
    /// A NUL before the blank line.
    #[error("a NUL stands before the blank line that ends the headers")]
    NulInHead,
    /// Commands and headers are UTF-8 (STOMP 1.2, "Value Encoding").
    #[error("command and headers are not UTF-8")]
    NotUtf8,
    /// `header = header-name ":" header-value`.
    #[error("the header line {0:?} has no colon")]
    NoColon(String),
    /// `header-name = 1*<any OCTET except CR or LF or ":">`.
    #[error("a header has no name")]
    NoName,
    /// A carriage return that no line feed follows (STOMP 1.2, "Augmented BNF").
    #[error("the header line {0:?} has a carriage return inside; write \\r")]
    CarriageReturn(String),
    /// "Undefined escape sequences MUST be treated as a fatal protocol error" (STOMP 1.2, "Value Encoding").
    #[error("undefined escape {} in a header; \\\\, \\n, \\c and \\r are defined", escape_text(.0))]
    UndefinedEscape(Option<char>),
    /// A size is written in digits.
    #[error("content-length {0:?} is not a number")]
    BadContentLength(String),
    /// "The frame still needs to be terminated with a NULL octet" (STOMP 1.2, "Header content-length").
    #[error("no NUL follows the {content_length} bytes that content-length announced")]
    NoNulAfterBody {
        /// In bytes.
        content_length: usize,
    },
    /// "All other frames MUST NOT have a body" (STOMP 1.2, "Body").
    #[error("{0} has a body; only SEND, MESSAGE and ERROR may have one")]
    Body(Command),
}

impl From<UndefinedEscape> for DecodeError {
    fn from(escape: UndefinedEscape) -> Self {
        Self::UndefinedEscape(escape.0)
    }
}

fn escape_text(char: &Option<char>) -> String {
    char.map_or_else(|| "\\ at the end".into(), |char| format!("\\{}", char.escape_default()))
}
