//! Frames to bytes, bodies shared.

use bytes::{BufMut, BytesMut};

use crate::escape::Escapes;
use crate::frame::Frame;
use crate::version::Version;

/// Writes a frame of either side. `content-length` is counted here, whatever the headers say; it is left out where there
/// is no body. What a version cannot express is replaced, see [`Escapes`].
pub fn encode(frame: &Frame, version: Version, buf: &mut BytesMut) {
    let escapes = Escapes::of(frame.command, version);
    command(buf, frame.command.as_str());
    for (name, value) in &frame.headers {
        if name != "content-length" {
            header(buf, escapes, name, value);
        }
    }
    if !frame.body.is_empty() {
        number_header(buf, "content-length", frame.body.len() as u64);
    }
    buf.put_u8(b'\n');
    buf.extend_from_slice(&frame.body);
    buf.extend_from_slice(END);
}

/// Writes the first line.
pub fn command(buf: &mut BytesMut, command: &str) {
    buf.extend_from_slice(command.as_bytes());
    buf.put_u8(b'\n');
}

/// Writes one header, escaped.
pub fn header(buf: &mut BytesMut, escapes: Escapes, name: &str, value: &str) {
    escapes.write_name(name, buf);
    buf.put_u8(b':');
    escapes.write(value, buf);
    buf.put_u8(b'\n');
}

/// Writes one header of ours, whose name needs no escapes.
pub fn own_header(buf: &mut BytesMut, escapes: Escapes, name: &'static str, value: &str) {
    buf.extend_from_slice(name.as_bytes());
    buf.put_u8(b':');
    escapes.write(value, buf);
    buf.put_u8(b'\n');
}

/// Writes one header of ours whose value is a number, which needs no escapes.
pub fn number_header(buf: &mut BytesMut, name: &str, value: u64) {
    buf.extend_from_slice(name.as_bytes());
    buf.put_u8(b':');
    number(buf, value);
    buf.put_u8(b'\n');
}

/// Writes a number in digits. Every MESSAGE has two or three of them, and what formats anything takes several times as long.
pub fn number(buf: &mut BytesMut, value: u64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    let mut rest = value;
    for slot in digits.iter_mut().rev() {
        // The remainder is below ten.
        *slot = b'0' + u8::try_from(rest % 10).unwrap_or(0);
        rest /= 10;
        at -= 1;
        if rest == 0 {
            break;
        }
    }
    buf.extend_from_slice(digits.get(at..).unwrap_or_default());
}

/// What ends every frame: the NUL, and the line feed that RabbitMQ sends too, because some clients read lines.
pub const END: &[u8] = b"\0\n";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_written_as_people_write_it() {
        for value in [0, 7, 10, 99, 100, 4096, 65_535, 1_000_000, u64::MAX - 1, u64::MAX] {
            let mut buf = BytesMut::new();
            number_header(&mut buf, "content-length", value);
            assert_eq!(std::str::from_utf8(&buf), Ok(format!("content-length:{value}\n").as_str()));
        }
    }
}
