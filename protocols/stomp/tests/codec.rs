//! The codec, from outside: frames in, frames out, and what is refused.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests; clippy knows only the tests themselves"
)]

use bytes::BytesMut;
use proptest::prelude::*;
use stomp::decode::{DecodeError, Decoder, Limits, decode};
use stomp::encode::encode;
use stomp::frame::{Command, Frame};
use stomp::headers::Headers;
use stomp::version::Version;

use Version::{V1_0, V1_1, V1_2};

#[test]
fn a_frame_is_command_headers_and_body() {
    // STOMP 1.2, "STOMP Frames"
    good(
        V1_2,
        b"SEND\ndestination:/queue/a\n\nhello\0",
        Command::Send,
        &[("destination", "/queue/a")],
        b"hello",
    );
    good(V1_2, b"SEND\n\n\0", Command::Send, &[], b"");
    good(V1_2, b"SEND\na:\n\n\0", Command::Send, &[("a", "")], b"");
    good(
        V1_2,
        "SEND\n이름:값\n\n안녕하세요!\0".as_bytes(),
        Command::Send,
        &[("이름", "값")],
        "안녕하세요!".as_bytes(),
    );
    for command in ["MESSAGE", "ERROR", "SEND"] {
        assert_eq!(one(V1_2, format!("{command}\n\nx\0").as_bytes()).unwrap().body, "x");
    }
    for command in
        ["ACK", "NACK", "RECEIPT", "SUBSCRIBE", "UNSUBSCRIBE", "BEGIN", "COMMIT", "ABORT", "DISCONNECT"]
    {
        assert_eq!(one(V1_2, format!("{command}\n\n\0").as_bytes()).unwrap().command.as_str(), command);
    }
    for command in ["CONNECT", "STOMP", "CONNECTED"] {
        assert_eq!(one(V1_2, format!("{command}\n\n\0").as_bytes()).unwrap().command.as_str(), command);
    }
}

#[test]
fn lines_may_end_in_crlf() {
    // STOMP 1.2, "STOMP Frames"; tolerated before.
    for version in Version::ALL {
        good(version, b"SEND\r\na:b\r\n\r\nx\r\n\0", Command::Send, &[("a", "b")], b"x\r\n");
        good(version, b"SEND\r\na:b\n\r\nx\0", Command::Send, &[("a", "b")], b"x");
    }
}

#[test]
fn blank_lines_and_nuls_between_frames_are_no_frames() {
    good(V1_2, b"\n\r\n\0\n\nSEND\n\nx\0", Command::Send, &[], b"x");
    let mut bytes = BytesMut::from(&b"\n\r\n\0"[..]);
    assert_eq!(decode(&mut bytes, &Limits::default(), V1_2), Ok(None));
    assert!(bytes.is_empty());
}

#[test]
fn content_length_governs() {
    // STOMP 1.2, "Header content-length"
    good(V1_2, b"SEND\ncontent-length:3\n\na\0b\0", Command::Send, &[("content-length", "3")], b"a\0b");
    good(V1_2, b"SEND\ncontent-length:0\n\n\0", Command::Send, &[("content-length", "0")], b"");
    good(V1_2, b"SEND\ncontent-length:01\n\n\n\0", Command::Send, &[("content-length", "01")], b"\n");
    let twice = [("content-length", "1"), ("content-length", "9")];
    good(V1_2, b"SEND\ncontent-length:1\ncontent-length:9\n\nx\0", Command::Send, &twice, b"x");
}

#[test]
fn values_are_trimmed_in_1_0_only() {
    // STOMP 1.2, "Value Encoding"; the examples of 1.0 pad.
    good(
        V1_0,
        b"SEND\ndestination: /queue/a\ncontent-length: 1\n\nx\0",
        Command::Send,
        &[("destination", "/queue/a"), ("content-length", "1")],
        b"x",
    );
    good(V1_1, b"SEND\na:  b \n\n\0", Command::Send, &[("a", "  b ")], b"");
    good(V1_2, b"SEND\na:  b \n\n\0", Command::Send, &[("a", "  b ")], b"");
}

#[test]
fn escapes_are_resolved_as_the_version_says() {
    // "Value Encoding" of 1.1 and 1.2
    good(V1_2, b"SEND\na\\cb:\\\\n\\n\\r\\c\n\n\0", Command::Send, &[("a:b", "\\n\n\r:")], b"");
    good(V1_1, b"SEND\na:\\n\\c\\\\\\r\n\n\0", Command::Send, &[("a", "\n:\\\r")], b"");
    good(V1_0, b"SEND\na:\\n\\t\\\n\n\0", Command::Send, &[("a", "\\n\\t\\")], b"");
    good(V1_2, b"SEND\na:b:c\n\n\0", Command::Send, &[("a", "b:c")], b"");
    for version in Version::ALL {
        good(version, b"CONNECT\nlogin:a\\t\\c\n\n\0", Command::Connect, &[("login", "a\\t\\c")], b"");
        good(version, b"CONNECTED\nsession:a\\n\n\n\0", Command::Connected, &[("session", "a\\n")], b"");
    }
    good(V1_1, b"SEND\na:b\rc\n\n\0", Command::Send, &[("a", "b\rc")], b"");
}

#[test]
fn only_line_ends_are_tolerated_where_no_body_may_be() {
    // STOMP 1.2, "Body"; STOMP 1.0: "The body of the SUBSCRIBE command is ignored."
    good(V1_2, b"CONNECT\n\n\r\n\n\0", Command::Connect, &[], b"");
    good(V1_0, b"SUBSCRIBE\n\nbody\0", Command::Subscribe, &[], b"");
}

#[test]
fn several_frames_leave_one_after_the_other() {
    let mut bytes = BytesMut::from(&b"BEGIN\n\n\0\nCOMMIT\n\n\0ABO"[..]);
    let limits = Limits::default();
    assert_eq!(decode(&mut bytes, &limits, V1_2).unwrap().unwrap().command, Command::Begin);
    assert_eq!(decode(&mut bytes, &limits, V1_2).unwrap().unwrap().command, Command::Commit);
    assert_eq!(decode(&mut bytes, &limits, V1_2), Ok(None));
    assert_eq!(&bytes[..], b"ABO");
}

#[test]
fn unknown_commands_are_refused() {
    for line in [
        "send",
        "Send",
        " SEND",
        "SEND ",
        "SENDX",
        "SEN",
        "S",
        "GET / HTTP/1.1",
        "NOACK",
        "CONNECT\t",
        "MESSAGE:",
        "a:b",
        "\u{feff}SEND",
        "SEND\rX",
        "SUBSCRIBED",
        "RECEIPTS",
        "한국어",
    ] {
        bad(V1_2, format!("{line}\n\n\0"), |error| matches!(error, DecodeError::UnknownCommand(_)));
    }
    // At once, without waiting for a blank line that may never come.
    bad(V1_2, "GET / HTTP/1.1\r\n", |error| matches!(error, DecodeError::UnknownCommand(_)));
    bad(V1_2, b"\x10\x0e\x00\x04MQTT\x04\x02\n", |error| matches!(error, DecodeError::NulInHead));
}

#[test]
fn malformed_headers_are_refused() {
    for version in Version::ALL {
        for line in ["nocolon", "no colon here", " ", "a", "\r\r", "a\\c"] {
            bad(version, format!("SEND\n{line}\n\nx\0"), |error| matches!(error, DecodeError::NoColon(_)));
        }
        for line in [":", ":value", "::"] {
            bad(version, format!("SEND\n{line}\n\nx\0"), |error| *error == DecodeError::NoName);
        }
        for bytes in [
            &b"SEND\0"[..],
            b"SEND\n\0",
            b"SEND\na:b\0",
            b"SEND\na:b\n\0",
            b"SEND\na:\0\n\n\0",
            b"DISCONNECT\nreceipt:77\n\0",
        ] {
            bad(version, bytes, |error| *error == DecodeError::NulInHead);
        }
        for bytes in [
            &b"SEND\na:\xff\n\n\0"[..],
            b"SEND\na:\xc3\n\n\0",
            b"SEND\n\xed\xa0\x80:b\n\n\0",
            b"SEND\na:\xc0\x80\n\n\0",
        ] {
            bad(version, bytes, |error| *error == DecodeError::NotUtf8);
        }
    }
    for line in ["a:b\rc", "a\rb:c", "a:\r\r", "\ra:b"] {
        bad(V1_2, format!("SEND\n{line}\n\nx\0"), |error| matches!(error, DecodeError::CarriageReturn(_)));
    }
}

#[test]
fn undefined_escapes_are_fatal() {
    // STOMP 1.2, "Value Encoding"
    for version in [V1_1, V1_2] {
        for line in [
            "a:\\t",
            "a:\\",
            "\\:b",
            "a:\\N",
            "a:\\0",
            "a:\\x41",
            "\\t:b",
            "a:x\\\\\\",
            "a:\\ ",
            "a:\\:",
            "a:\\안",
        ] {
            bad(version, format!("SEND\n{line}\n\nx\0"), |error| {
                matches!(error, DecodeError::UndefinedEscape(_))
            });
        }
    }
}

#[test]
fn content_length_is_digits_and_true() {
    for value in ["", "x", "-1", "+1", " 1", "1 ", "1.0", "0x1", "1,1", "1\\c", "\u{ff11}", "1e3"] {
        bad(V1_2, format!("SEND\ncontent-length:{value}\n\nx\0"), |error| {
            matches!(error, DecodeError::BadContentLength(_))
        });
    }
    bad(V1_0, "SEND\ncontent-length: \n\nx\0", |error| matches!(error, DecodeError::BadContentLength(_)));
    for value in ["0", "1", "2"] {
        bad(V1_2, format!("SEND\ncontent-length:{value}\n\nxyz\0"), |error| {
            matches!(error, DecodeError::NoNulAfterBody { .. })
        });
    }
    for value in ["1048577", "4294967296", "18446744073709551616", "99999999999999999999999999999999"] {
        bad(V1_2, format!("SEND\ncontent-length:{value}\n"), |error| {
            matches!(error, DecodeError::BodyTooLong { .. })
        });
    }
}

#[test]
fn frames_without_body_have_none() {
    // STOMP 1.2, "Body"
    for command in [
        "ACK",
        "NACK",
        "RECEIPT",
        "SUBSCRIBE",
        "UNSUBSCRIBE",
        "BEGIN",
        "COMMIT",
        "ABORT",
        "DISCONNECT",
        "CONNECT",
        "STOMP",
        "CONNECTED",
    ] {
        bad(V1_2, format!("{command}\n\nx\0"), |error| matches!(error, DecodeError::Body(_)));
        bad(V1_1, format!("{command}\ncontent-length:2\n\n\n \0"), |error| {
            matches!(error, DecodeError::Body(_))
        });
    }
}

#[test]
fn any_frame_may_say_that_it_has_no_body() {
    // STOMP 1.2, "Header content-length"
    for command in ["SUBSCRIBE", "BEGIN", "ACK", "DISCONNECT", "CONNECT", "SEND", "RECEIPT"] {
        let mut bytes = BytesMut::from(format!("{command}\ncontent-length:0\n\n\0").as_bytes());
        let frame = decode(&mut bytes, &Limits::default(), V1_2).unwrap().unwrap();
        assert!(frame.command.as_str() == command && frame.body.is_empty() && bytes.is_empty());
    }
}

#[test]
fn limits_hold_before_the_frame_is_complete() {
    // STOMP 1.2, "Size Limits"
    let limits = Limits {
        command_bytes_max: 5,
        headers_max: 2,
        line_bytes_max: 8,
        head_bytes_max: 20,
        body_bytes_max: 4,
    };
    let check = |bytes: &[u8], expected: DecodeError| {
        assert_eq!(decode(&mut BytesMut::from(bytes), &limits, V1_2), Err(expected));
    };
    check(b"SUBSCR", DecodeError::CommandTooLong { max: 5 });
    check(b"SEND\nabcdefghi", DecodeError::LineTooLong { max: 8 });
    check(b"SEND\nabcdefg:i\n", DecodeError::LineTooLong { max: 8 });
    check(b"SEND\na:b\nc:d\ne:f\n", DecodeError::TooManyHeaders { max: 2 });
    check(b"SEND\nabcd:efg\nabcd:efg", DecodeError::HeadTooLong { max: 20 });
    check(b"SEND\n\nabcde", DecodeError::BodyTooLong { max: 4 });
    check(b"SEND\ncl:1\n\nabcde\0", DecodeError::BodyTooLong { max: 4 });
    let just = b"SEND\r\na:234567\r\nc:d\r\n\r\nabcd\0";
    let limits = Limits { head_bytes_max: 40, ..limits };
    assert!(decode(&mut BytesMut::from(&just[..]), &limits, V1_2).unwrap().is_some());
    assert_eq!(Limits::default().with_body(7).body_bytes_max, 7);
}

#[test]
fn content_length_is_written_for_every_body() {
    let frame =
        Frame::new(Command::Send).with("content-length", "99").with("destination", "a:b").with_body("a\0b");
    assert_eq!(written(&frame, V1_2), b"SEND\ndestination:a\\cb\ncontent-length:3\n\na\0b\0\n");
    assert_eq!(written(&frame, V1_0), b"SEND\ndestination:a:b\ncontent-length:3\n\na\0b\0\n");
    let frame = Frame::new(Command::Connect).with("login", "a\\b:c\nd");
    assert_eq!(written(&frame, V1_2), b"CONNECT\nlogin:a\\b:c d\n\n\0\n");
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z]{1,6}", "[\\\\:\n\r a가-힣]{1,6}", "\\PC{1,6}"]
}

fn frame() -> impl Strategy<Value = Frame> {
    let command = prop_oneof![Just(Command::Send), Just(Command::Message), Just(Command::Ack)];
    let headers = prop::collection::vec((text(), text()), 0..6);
    (command, headers, prop::collection::vec(any::<u8>(), 0..40)).prop_map(|(command, headers, body)| {
        let body = if command.may_have_body() { body } else { Vec::new() };
        Frame { command, headers: Headers::from_iter(headers), body: body.into() }
    })
}

proptest! {
    #[test]
    fn what_is_encoded_decodes_to_the_same(frame in frame()) {
        let bytes = written(&frame, V1_2);
        let mut back = one(V1_2, &bytes).unwrap();
        back.headers = back.headers.iter().filter(|(name, _)| name != "content-length").cloned().collect();
        prop_assert_eq!(back, frame);
    }

    #[test]
    fn cutting_the_input_anywhere_changes_nothing(
        frames in prop::collection::vec(frame(), 1..4),
        crlf in any::<bool>(),
        cuts in prop::collection::vec(1..20_usize, 1..200),
    ) {
        let mut stream: Vec<u8> = frames.iter().flat_map(|frame| written(frame, V1_2)).collect();
        if crlf {
            stream.extend_from_slice(b"\r\n\r\nSEND\r\ncontent-length:2\r\n\r\n\0\0\0\r\nSEND\r\n\r\nx\0");
        }
        let whole = all(&stream, &[stream.len()]);
        prop_assert_eq!(whole.len(), frames.len() + if crlf { 2 } else { 0 });
        prop_assert_eq!(all(&stream, &cuts), whole);
    }

    #[test]
    fn any_bytes_give_frames_or_an_error(
        bytes in prop::collection::vec(prop_oneof![Just(b'\n'), Just(0), Just(b':'), Just(b'\\'), any::<u8>()], 0..60),
        cuts in prop::collection::vec(1..9_usize, 1..60),
        version in prop::sample::select(Version::ALL.to_vec()),
    ) {
        let mut stream = b"SEND\n".to_vec();
        stream.extend_from_slice(&bytes);
        let mut buffer = BytesMut::from(&stream[..]);
        let whole = decode(&mut buffer, &Limits::default(), version);
        let mut decoder = Decoder::default();
        let mut pieces = BytesMut::new();
        let mut result = Ok(None);
        for piece in pieces_of(&stream, &cuts) {
            pieces.extend_from_slice(piece);
            result = decoder.decode(&mut pieces, &Limits::default(), version);
            if !matches!(result, Ok(None)) {
                break;
            }
        }
        prop_assert_eq!(result, whole);
    }
}

fn written(frame: &Frame, version: Version) -> Vec<u8> {
    let mut bytes = BytesMut::new();
    encode(frame, version, &mut bytes);
    bytes.to_vec()
}

fn one(version: Version, bytes: &[u8]) -> Result<Frame, DecodeError> {
    decode(&mut BytesMut::from(bytes), &Limits::default(), version).map(|frame| frame.expect("a whole frame"))
}

fn pieces_of<'a>(stream: &'a [u8], cuts: &'a [usize]) -> impl Iterator<Item = &'a [u8]> {
    let mut rest = stream;
    let mut cuts = cuts.iter().cycle();
    std::iter::from_fn(move || {
        let (piece, after) = rest.split_at((*cuts.next().unwrap()).min(rest.len()));
        rest = after;
        (!piece.is_empty()).then_some(piece)
    })
}

fn all(stream: &[u8], cuts: &[usize]) -> Vec<Frame> {
    let mut decoder = Decoder::default();
    let mut bytes = BytesMut::new();
    let mut frames = Vec::new();
    for piece in pieces_of(stream, cuts) {
        bytes.extend_from_slice(piece);
        while let Some(frame) = decoder.decode(&mut bytes, &Limits::default(), V1_2).unwrap() {
            frames.push(frame);
        }
    }
    frames
}

#[track_caller]
fn good(version: Version, bytes: &[u8], command: Command, headers: &[(&str, &str)], body: &[u8]) {
    let expected = Frame {
        command,
        headers: headers.iter().map(|(name, value)| (*name, *value)).collect(),
        body: body.to_vec().into(),
    };
    assert_eq!(one(version, bytes), Ok(expected), "{}", String::from_utf8_lossy(bytes));
}

#[track_caller]
fn bad(version: Version, bytes: impl AsRef<[u8]>, is_expected: impl Fn(&DecodeError) -> bool) {
    let bytes = bytes.as_ref();
    match decode(&mut BytesMut::from(bytes), &Limits::default(), version) {
        Err(error) if is_expected(&error) => {}
        other => panic!("{version} {:?}: {other:?}", String::from_utf8_lossy(bytes)),
    }
}
