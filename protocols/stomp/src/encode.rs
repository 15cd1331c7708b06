//! Frames to bytes, bodies shared.

use std::fmt::{Display, Write};

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
        plain_header(buf, "content-length", frame.body.len());
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

/// Writes one header of ours, whose name and value need no escapes.
pub fn plain_header(buf: &mut BytesMut, name: &str, value: impl Display) {
    // Writing to a BytesMut cannot fail: it grows.
    let _ = writeln!(buf, "{name}:{value}");
}

/// What ends every frame: the NUL, and the line feed that RabbitMQ sends too, because some clients read lines.
pub const END: &[u8] = b"\0\n";
