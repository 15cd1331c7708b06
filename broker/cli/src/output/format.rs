//! A format: how `sub` writes a message.

use std::fmt::Write as _;
use std::time::SystemTime;

use crate::failure::Failure;
use crate::message::Received;
use crate::output::{json, stamp};

/// A text with fields, such as `%t %p`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Format(Vec<Piece>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Destination,
    Payload,
    Hex,
    Length,
    Qos,
    Retain,
    Stamp,
    Properties,
    Json,
}

impl Format {
    /// Reads `%t` topic or destination, `%p` payload as it is, `%x` payload in hexadecimal, `%l` its length in bytes,
    /// `%q` QoS, `%r` retain (0 or 1), `%I` the time of arrival, `%P` properties, `%j` everything as JSON, `%%`; and the
    /// escapes `\n`, `\t`, `\\`.
    ///
    /// # Errors
    ///
    /// Names the field that does not exist.
    pub(crate) fn parse(text: &str) -> Result<Self, Failure> {
        let mut pieces = Vec::new();
        let mut plain = String::new();
        let mut chars = text.chars();
        while let Some(char) = chars.next() {
            let piece = match (char, if matches!(char, '%' | '\\') { chars.next() } else { None }) {
                ('%', Some('t')) => Piece::Destination,
                ('%', Some('p')) => Piece::Payload,
                ('%', Some('x')) => Piece::Hex,
                ('%', Some('l')) => Piece::Length,
                ('%', Some('q')) => Piece::Qos,
                ('%', Some('r')) => Piece::Retain,
                ('%', Some('I')) => Piece::Stamp,
                ('%', Some('P')) => Piece::Properties,
                ('%', Some('j')) => Piece::Json,
                ('%', other) if other != Some('%') => {
                    let field = other.map_or_else(String::new, String::from);
                    return Err(Failure::usage(format!("--format has no field %{field}; {FIELDS}")));
                }
                (char, escaped) => {
                    match (char, escaped) {
                        ('\\', Some('n')) => plain.push('\n'),
                        ('\\', Some('t')) => plain.push('\t'),
                        ('%', _) | ('\\', Some('\\')) => plain.push(char),
                        (char, escaped) => plain.extend([char].into_iter().chain(escaped)),
                    }
                    continue;
                }
            };
            if !plain.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut plain)));
            }
            pieces.push(piece);
        }
        if !plain.is_empty() {
            pieces.push(Piece::Text(plain));
        }
        Ok(Self(pieces))
    }

    /// Everything, as JSON.
    pub(crate) fn json() -> Self {
        Self(vec![Piece::Json])
    }

    /// The same behind the time of arrival.
    #[must_use]
    pub(crate) fn stamped(mut self) -> Self {
        self.0.splice(0..0, [Piece::Stamp, Piece::Text(" ".into())]);
        self
    }

    /// The line for `message`, its end included. `for_eyes`: control characters of the message are shown, not done,
    /// because whoever may publish must not be able to command the reader's terminal.
    pub(crate) fn line(&self, message: &Received, at: SystemTime, for_eyes: bool) -> Vec<u8> {
        let mut line = Vec::with_capacity(message.destination.len() + message.payload.len() + 2);
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => line.extend_from_slice(text.as_bytes()),
                Piece::Destination => put(&mut line, message.destination.as_bytes(), for_eyes),
                Piece::Payload => put(&mut line, &message.payload, for_eyes),
                Piece::Hex => line.extend_from_slice(hex(&message.payload).as_bytes()),
                Piece::Length => line.extend_from_slice(message.payload.len().to_string().as_bytes()),
                Piece::Qos => line.extend(message.qos.map(|qos| b'0' + qos.bits())),
                Piece::Retain => line.push(b'0' + u8::from(message.retain)),
                Piece::Stamp => line.extend_from_slice(stamp::rfc3339(at).as_bytes()),
                Piece::Properties => put(&mut line, properties(message).as_bytes(), for_eyes),
                Piece::Json => line.extend_from_slice(json::object(message, at).as_bytes()),
            }
        }
        line.push(b'\n');
        line
    }
}

fn put(line: &mut Vec<u8>, bytes: &[u8], for_eyes: bool) {
    if !for_eyes {
        return line.extend_from_slice(bytes);
    }
    for char in String::from_utf8_lossy(bytes).chars() {
        if char.is_control() && !matches!(char, '\n' | '\t') {
            line.extend(char.escape_unicode().map(|char| char as u8));
        } else {
            line.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn properties(message: &Received) -> String {
    let pairs: Vec<String> =
        message.properties.iter().map(|(name, value)| format!("{name}={value}")).collect();
    pairs.join(" ")
}

const FIELDS: &str = "there are %t %p %x %l %q %r %I %P %j and %%";

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use bytes::Bytes;
    use model::qos::Qos;

    use super::*;
    use crate::message::SettleBy;

    #[test]
    fn each_field_says_its_part() {
        check("%t %p", b"a/b hi\n");
        check("%x %l %q %r", b"6869 2 1 1\n");
        check("%I", b"1970-01-01T00:00:00.000Z\n");
        check("[%P]", b"[k=v k=w]\n");
        check("100%% %p\\t\\n\\\\", b"100% hi\t\n\\\n");
        check("", b"\n");
        check("\\x", b"\\x\n");
    }

    #[test]
    fn an_unknown_field_is_named() {
        for (text, field) in [("%t %z", "%z"), ("%", "%;")] {
            let failure = Format::parse(text).expect_err("no such field");
            assert!(failure.text.contains(field), "{failure}");
        }
    }

    #[test]
    fn stamped_lines_begin_with_the_time() {
        let line = Format::parse("%p").expect("a format").stamped().line(&message(b"x"), UNIX_EPOCH, false);
        assert_eq!(line, b"1970-01-01T00:00:00.000Z x\n");
    }

    #[test]
    fn bytes_pass_as_they_are_except_to_a_terminal() {
        let format = Format::parse("%p").expect("a format");
        let nasty = message(b"\x1b]0;x\x07\xff\tok");
        assert_eq!(format.line(&nasty, UNIX_EPOCH, false), b"\x1b]0;x\x07\xff\tok\n");
        let shown = String::from_utf8(format.line(&nasty, UNIX_EPOCH, true)).expect("text");
        assert_eq!(shown, "\\u{1b}]0;x\\u{7}\u{fffd}\tok\n");
    }

    #[track_caller]
    fn check(format: &str, expected: &[u8]) {
        let format = Format::parse(format).expect("a format");
        let line = format.line(&message(b"hi"), UNIX_EPOCH, false);
        assert_eq!(line, expected, "{}", String::from_utf8_lossy(&line));
    }

    fn message(payload: &'static [u8]) -> Received {
        Received {
            destination: "a/b".into(),
            payload: Bytes::from_static(payload),
            qos: Some(Qos::AtLeastOnce),
            retain: true,
            redelivered: false,
            properties: vec![("k".into(), "v".into()), ("k".into(), "w".into())],
            settle_by: SettleBy::Nothing,
        }
    }
}
