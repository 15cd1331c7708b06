//! Header escapes, by version.

use bytes::BytesMut;
use bytestring::ByteString;
use model::scan::has_any;

use crate::frame::Command;
use crate::version::Version;

/// Which escapes the headers of a frame have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Escapes {
    /// None: every frame of 1.0, and CONNECT and CONNECTED of all versions. A line feed cannot be written; it becomes a
    /// blank, so that no value can pose as another header.
    Off,
    /// `\n`, `\c`, `\\` are written (STOMP 1.1, "Value Encoding"). `\r` is read too, because Spring writes it.
    WithoutCr,
    /// `\r` is written as well (STOMP 1.2, "Value Encoding").
    All,
}

impl Escapes {
    /// Those of a frame of that command in a session of that version.
    pub const fn of(command: Command, version: Version) -> Self {
        if matches!(command, Command::Connect | Command::Stomp | Command::Connected) {
            return Self::Off;
        }
        Self::of_version(version)
    }

    /// Those of every frame but CONNECT and CONNECTED.
    pub const fn of_version(version: Version) -> Self {
        match version {
            Version::V1_0 => Self::Off,
            Version::V1_1 => Self::WithoutCr,
            Version::V1_2 => Self::All,
        }
    }

    /// Resolves the escapes of `part`, a slice of `head`; without any, the result shares the buffer.
    ///
    /// # Errors
    ///
    /// An undefined escape: a fatal protocol error.
    pub fn resolve(self, head: &ByteString, part: &str) -> Result<ByteString, UndefinedEscape> {
        if self == Self::Off || memchr::memchr(b'\\', part.as_bytes()).is_none() {
            return Ok(head.slice_ref(part));
        }
        let mut plain = String::with_capacity(part.len());
        let mut chars = part.chars();
        while let Some(char) = chars.next() {
            if char != '\\' {
                plain.push(char);
                continue;
            }
            match chars.next() {
                Some('n') => plain.push('\n'),
                Some('c') => plain.push(':'),
                Some('r') => plain.push('\r'),
                Some('\\') => plain.push('\\'),
                other => return Err(UndefinedEscape(other)),
            }
        }
        Ok(plain.into())
    }

    /// Writes a value so that [`Self::resolve`] reads it back.
    pub fn write(self, text: &str, buf: &mut BytesMut) {
        if is_plain(text) {
            return buf.extend_from_slice(text.as_bytes());
        }
        let mut rest = text.as_bytes();
        while let Some(at) = rest.iter().position(|byte| self.instead_of(*byte).is_some()) {
            let (plain, special) = rest.split_at(at);
            buf.extend_from_slice(plain);
            let Some((byte, after)) = special.split_first() else { break };
            buf.extend_from_slice(self.instead_of(*byte).unwrap_or_default());
            rest = after;
        }
        buf.extend_from_slice(rest);
    }

    /// Writes a name. Where there are no escapes, a colon would end it; it becomes an underscore.
    pub fn write_name(self, name: &str, buf: &mut BytesMut) {
        match self {
            Self::Off if name.contains(':') => self.write(&name.replace(':', "_"), buf),
            Self::Off | Self::WithoutCr | Self::All => self.write(name, buf),
        }
    }

    /// What stands for a byte that cannot stand for itself. NUL has no escape and ends frames for many readers.
    const fn instead_of(self, byte: u8) -> Option<&'static [u8]> {
        match (self, byte) {
            (_, 0) | (Self::Off, b'\n' | b'\r') => Some(b" "),
            (Self::WithoutCr | Self::All, b'\n') => Some(b"\\n"),
            (Self::WithoutCr | Self::All, b':') => Some(b"\\c"),
            (Self::WithoutCr | Self::All, b'\\') => Some(b"\\\\"),
            (Self::All, b'\r') => Some(b"\\r"),
            (Self::Off | Self::WithoutCr | Self::All, _) => None,
        }
    }
}

/// Whether all bytes of a text stand for themselves in every version: nearly every text is like that.
fn is_plain(text: &str) -> bool {
    !has_any(text.as_bytes(), SPECIAL)
}

/// The bytes that do not stand for themselves in every version.
pub(crate) const SPECIAL: [u8; 5] = [0, b'\n', b'\r', b':', b'\\'];

/// A backslash before something that no escape has; nothing at all at the end of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UndefinedEscape(pub Option<char>);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_version_has_its_own_escapes() {
        // STOMP 1.1 and 1.2, "Value Encoding"
        check(Escapes::Off, "a\\b:c", "a\\b:c");
        check(Escapes::WithoutCr, "a\\b:c\nd\re", "a\\\\b\\cc\\nd\re");
        check(Escapes::All, "a\\b:c\nd\re", "a\\\\b\\cc\\nd\\re");
        check(Escapes::All, "안녕", "안녕");
    }

    #[test]
    fn what_has_no_escape_becomes_a_blank() {
        let mut buf = BytesMut::new();
        Escapes::Off.write("a\nb\rc\0d", &mut buf);
        Escapes::Off.write_name("x:y", &mut buf);
        assert_eq!(&buf[..], b"a b c dx_y");
    }

    #[test]
    fn connect_and_connected_have_none() {
        for command in [Command::Connect, Command::Stomp, Command::Connected] {
            assert_eq!(Escapes::of(command, Version::V1_2), Escapes::Off);
        }
        assert_eq!(Escapes::of(Command::Send, Version::V1_2), Escapes::All);
        assert_eq!(Escapes::of(Command::Send, Version::V1_0), Escapes::Off);
    }

    #[track_caller]
    fn check(escapes: Escapes, plain: &str, written: &str) {
        let mut buf = BytesMut::new();
        escapes.write(plain, &mut buf);
        assert_eq!(std::str::from_utf8(&buf).unwrap(), written);
        let head = ByteString::from(written);
        assert_eq!(escapes.resolve(&head, &head).unwrap(), plain);
    }
}
