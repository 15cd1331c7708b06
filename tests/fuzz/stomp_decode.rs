//! The decoder of STOMP: how the bytes are cut changes nothing, and what it reads can be written and read again.

use bytes::BytesMut;
use stomp::decode::{DecodeError, Decoder, Limits, decode};
use stomp::encode::encode;
use stomp::escape::Escapes;
use stomp::frame::Frame;
use stomp::headers::Headers;
use stomp::version::Version;

use crate::script::Script;

/// The first byte chooses version and limits, the second how the stream is cut; the rest is the stream.
pub fn run(data: &[u8]) {
    let mut script = Script::new(data);
    let setup = script.byte();
    let cut = usize::from(script.byte()) + 1;
    let version = Version::ALL[usize::from(setup & 3) % 3];
    let limits = if setup & 4 == 0 { Limits::default() } else { SMALL };
    let stream = script.rest();
    let whole = read(&limits, version, [stream].into_iter());
    let cut_up = read(&limits, version, stream.chunks(cut));
    assert_eq!(cut_up.frames, whole.frames, "cut into pieces of {cut}");
    assert_eq!(cut_up.left_bytes, whole.left_bytes, "cut into pieces of {cut}");
    match (&cut_up.end, &whole.end) {
        // Which of two limits is passed first depends on how much of the line is there.
        (Some(one), Some(other)) => {
            assert!(one == other || (is_size(one) && is_size(other)), "{one} or {other}")
        }
        (one, other) => assert_eq!(one, other, "cut into pieces of {cut}"),
    }
    for frame in whole.frames {
        again(frame, version);
    }
}

/// What a stream turned out to be.
struct Heard {
    frames: Vec<Frame>,
    end: Option<DecodeError>,
    /// What is left of it, while nothing is wrong: half a frame.
    left_bytes: Option<usize>,
}

fn read<'a>(limits: &Limits, version: Version, pieces: impl Iterator<Item = &'a [u8]>) -> Heard {
    let mut decoder = Decoder::default();
    let mut unread = BytesMut::new();
    let mut frames = Vec::new();
    for piece in pieces {
        unread.extend_from_slice(piece);
        loop {
            let once = decode(&mut unread.clone(), limits, version);
            let read = decoder.decode(&mut unread, limits, version);
            assert_eq!(once, read, "a decoder that remembers, and one that does not");
            match read {
                Ok(None) => break,
                Ok(Some(frame)) => frames.push(frame),
                Err(error) => return Heard { frames, end: Some(error), left_bytes: None },
            }
        }
    }
    Heard { frames, end: None, left_bytes: Some(unread.len()) }
}

fn is_size(error: &DecodeError) -> bool {
    matches!(
        error,
        DecodeError::CommandTooLong { .. }
            | DecodeError::TooManyHeaders { .. }
            | DecodeError::LineTooLong { .. }
            | DecodeError::HeadTooLong { .. }
            | DecodeError::BodyTooLong { .. }
    )
}

/// Writes the frame and reads it again, as far as the version can say it. What is counted when it is written is not compared.
fn again(mut frame: Frame, version: Version) {
    let mut bytes = BytesMut::new();
    encode(&frame, version, &mut bytes);
    let written = bytes.clone();
    let escapes = Escapes::of(frame.command, version);
    let sayable = uncounted(&frame.headers);
    let sayable = sayable.iter().map(|(name, value)| {
        let value = said(value, escapes);
        // In 1.0 blanks before a value are padding.
        let value = if version == Version::V1_0 { value.trim_start_matches(' ').to_owned() } else { value };
        // Behind a name stands a colon, so that it keeps its end.
        let name = if escapes == Escapes::Off { name.replace('\r', " ") } else { name.to_string() };
        (name, value)
    });
    frame.headers = sayable.collect();
    let read = decode(&mut bytes, &WIDE, version);
    let Ok(Some(mut read)) = read else { panic!("{frame:?} as {written:?} is read as {read:?}") };
    read.headers = uncounted(&read.headers);
    assert_eq!(read, frame, "as {written:?}");
}

/// A carriage return that has no escape becomes a blank, or goes with the line end.
fn said(text: &str, escapes: Escapes) -> String {
    match escapes {
        Escapes::Off => text.replace('\r', " "),
        Escapes::WithoutCr => text.strip_suffix('\r').unwrap_or(text).to_owned(),
        Escapes::All => text.to_owned(),
    }
}

fn uncounted(headers: &Headers) -> Headers {
    headers.iter().filter(|(name, _)| name != "content-length").cloned().collect()
}

const SMALL: Limits = Limits {
    command_bytes_max: 12,
    headers_max: 3,
    line_bytes_max: 20,
    head_bytes_max: 50,
    body_bytes_max: 10,
};

const WIDE: Limits = Limits {
    command_bytes_max: usize::MAX,
    headers_max: usize::MAX,
    line_bytes_max: usize::MAX,
    head_bytes_max: usize::MAX,
    body_bytes_max: usize::MAX,
};
