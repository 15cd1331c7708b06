//! Where frames begin and end, and what stands in them.

use stomp::version::Version;

use crate::conform::case::{Outcome, Short};
use crate::conform::peer::Next;
use crate::conform::stomp::client::{Client, bodies, echo};
use crate::conform::stomp::place::{Place, QUIET, ensure};

/// Lines may end in CR LF.
pub(crate) fn crlf(place: Place<'_>) -> Outcome {
    let topic = place.topic();
    let mut client = Client::dial(place)?;
    client.raw(format!("{}\n\n\0", place.connect_as()).replace('\n', "\r\n").as_bytes());
    client.hear("CONNECTED")?;
    let subscribe = format!("SUBSCRIBE\r\nid:1\r\ndestination:{topic}\r\nreceipt:r\r\n\r\n\0");
    client.raw(subscribe.as_bytes());
    client.hear("RECEIPT")?;
    client.raw(format!("SEND\r\ndestination:{topic}\r\nnote:plain\r\n\r\nbody\0").as_bytes());
    let message = client.hear("MESSAGE")?;
    let note = message.header("note");
    ensure(note.as_deref() == Some("plain") && message.body == b"body", || {
        format!("the line ends became part of it: {message}")
    })
}

/// Line ends after a frame are nothing.
pub(crate) fn line_ends_between(place: Place<'_>) -> Outcome {
    let topic = place.topic();
    let mut client = Client::dial(place)?;
    client.raw(format!("{}\n\n\0\n\n\n", place.connect_as()).as_bytes());
    client.hear("CONNECTED")?;
    client.subscribe("1", &topic, "auto")?;
    client.raw(
        format!("\n\nSEND\ndestination:{topic}\n\none\0\n\nSEND\ndestination:{topic}\n\ntwo\0\n").as_bytes(),
    );
    let messages = client.hear_messages(2)?;
    bodies(&messages, &["one", "two"])
}

/// `send` is no SEND, `Destination` no `destination`.
pub(crate) fn case_sensitive(place: Place<'_>) -> Outcome {
    let topic = place.topic();
    let mut client = Client::enter(place)?;
    client.say(&format!("send\ndestination:{topic}\nreceipt:r"), "x");
    client.refused()?;
    let mut client = Client::enter(place)?;
    client.say(&format!("SEND\nDestination:{topic}\nreceipt:r"), "x");
    client.refused()
}

/// Pieces of a frame may come one by one.
pub(crate) fn pieces(place: Place<'_>) -> Outcome {
    let topic = place.topic();
    let mut client = Client::enter(place)?;
    client.subscribe("1", &topic, "auto")?;
    for byte in format!("SEND\ndestination:{topic}\ncontent-length:4\n\nbody\0").as_bytes() {
        client.raw(&[*byte]);
    }
    let message = client.hear("MESSAGE")?;
    ensure(message.body == b"body", || format!("expected the body \"body\": {message}"))
}

/// With a content-length, NULs are part of the body, and stay so on the way out.
pub(crate) fn nul_in_body(place: Place<'_>) -> Outcome {
    let body = "a\0b\n\0\0c";
    let message = echo(place, &format!("\ncontent-length:{}", body.len()), body)?;
    ensure(message.body == body.as_bytes(), || format!("expected {body:?}; came {message}"))?;
    let length = message.raw("content-length").and_then(|text| text.parse().ok());
    ensure(length == Some(body.len()), || format!("expected content-length:{}: {message}", body.len()))
}

/// Without one, the first NUL ends the body.
pub(crate) fn nul_ends(place: Place<'_>) -> Outcome {
    let topic = place.topic();
    let mut client = Client::enter(place)?;
    client.subscribe("1", &topic, "auto")?;
    client.raw(format!("SEND\ndestination:{topic}\n\none\0SEND\ndestination:{topic}\n\ntwo\0").as_bytes());
    let messages = client.hear_messages(2)?;
    bodies(&messages, &["one", "two"])
}

/// A body that goes on where its NUL should be is no frame.
pub(crate) fn no_nul(place: Place<'_>) -> Outcome {
    let topic = place.topic();
    let mut listener = Client::enter(place)?;
    listener.subscribe("1", &topic, "auto")?;
    let mut client = Client::enter(place)?;
    client.say(&format!("SEND\ndestination:{topic}\ncontent-length:2\nreceipt:r"), "longer");
    client.refused()?;
    let came = listener.messages(QUIET)?;
    ensure(came.is_empty(), || "a frame that does not end in NUL was delivered".into())
}

/// Headers and bodies are UTF-8.
pub(crate) fn utf8(place: Place<'_>) -> Outcome {
    let message = echo(place, "\nname:민수 é €\ncontent-type:text/plain", "안녕 € 🎉")?;
    let name = message.header("name");
    ensure(name.as_deref() == Some("민수 é €"), || format!("the header changed: {message}"))?;
    ensure(message.text() == "안녕 € 🎉", || format!("the body changed: {message}"))
}

/// Escapes are resolved and written again.
pub(crate) fn escapes(place: Place<'_>) -> Outcome {
    let (sent, expected) = match place.version {
        Version::V1_0 | Version::V1_1 => (r"a\cb\nc\\d", "a:b\nc\\d"),
        Version::V1_2 => (r"a\cb\nc\\d\re", "a:b\nc\\d\re"),
    };
    let message = echo(place, &format!("\nke\\cy:{sent}"), "x")?;
    let value = message.header("ke:y");
    ensure(value.as_deref() == Some(expected), || {
        format!("a header that means {:?} = {expected:?} came as {message}", "ke:y")
    })?;
    let line = message.lines.iter().find(|line| line.starts_with("ke\\cy:"));
    ensure(line.is_some_and(|line| line.matches(':').count() == 1), || {
        format!("a colon or line feed of a value is not escaped: {message}")
    })
}

/// An escape that is not defined is a fatal protocol error.
pub(crate) fn undefined_escape(place: Place<'_>) -> Outcome {
    for escape in ["\\t", "\\0", "\\N"] {
        let mut client = Client::enter(place)?;
        let head = format!("SEND\ndestination:{}\nnote:a{escape}b\nreceipt:r", place.topic());
        client.say(&head, "x");
        match client.next(client.patience())? {
            Next::End => {}
            Next::Some(frame) if frame.command == "ERROR" => client.end()?,
            Next::Some(frame) => return Err(Short::failed(format!("{escape} was taken: {frame}"))),
            Next::Silence => return Err(Short::failed(format!("{escape} was not refused"))),
        }
    }
    Ok(())
}

/// 1.0 has no escapes: values pass as they are.
pub(crate) fn no_escapes(place: Place<'_>) -> Outcome {
    let message = echo(place, "\nnote:a\\nb:c\\td", "x")?;
    let note = message.raw("note");
    ensure(note == Some("a\\nb:c\\td"), || format!("expected note:a\\nb:c\\td as it was sent: {message}"))
}

/// Blanks around a value are part of it.
pub(crate) fn untrimmed(place: Place<'_>) -> Outcome {
    let message = echo(place, "\nnote:  two blanks each side  ", "x")?;
    let note = message.raw("note");
    ensure(note == Some("  two blanks each side  "), || format!("the value was trimmed: {message}"))?;
    let padded = message.lines.iter().find(|line| line.contains(": ") && !line.starts_with("note:"));
    ensure(padded.is_none(), || format!("a value was padded: {message}"))
}

/// The examples of 1.0 write a blank behind the colon.
pub(crate) fn padded(place: Place<'_>) -> Outcome {
    let topic = place.topic();
    let mut client = Client::enter(place)?;
    client.done(&format!("SUBSCRIBE\ndestination: {topic}\nack: auto"), "")?;
    client.done(&format!("SEND\ndestination: {topic}"), "x")?;
    let message = client.hear("MESSAGE")?;
    let destination = message.raw("destination").map(str::trim);
    ensure(destination == Some(&topic), || format!("the blank became part of the destination: {message}"))
}

/// Of a repeated header, the first one counts.
pub(crate) fn first_counts(place: Place<'_>) -> Outcome {
    let (topic, other) = (place.topic(), place.topic());
    let mut client = Client::enter(place)?;
    client.subscribe("1", &topic, "auto")?;
    let head = format!("SEND\ndestination:{topic}\ndestination:{other}\nfoo:World\nfoo:Hello");
    client.done(&head, "x")?;
    let message = client.hear("MESSAGE")?;
    let value = message.header("foo");
    ensure(value.as_deref() == Some("World"), || format!("foo is World: {message}"))
}

/// A header line without a colon is no header.
pub(crate) fn no_colon(place: Place<'_>) -> Outcome {
    let mut client = Client::enter(place)?;
    let head = format!("SEND\ndestination:{}\nno colon here\nreceipt:r", place.topic());
    client.say(&head, "x");
    client.refused()
}

/// Frames of the broker that may have no body have none.
pub(crate) fn no_body(place: Place<'_>) -> Outcome {
    let mut client = Client::dial(place)?;
    client.say(&place.connect_as(), "");
    let connected = client.hear("CONNECTED")?;
    let receipt = client.done(&format!("SEND\ndestination:{}", place.topic()), "x")?;
    let found = [connected, receipt].into_iter().find(|frame| !frame.body.is_empty());
    found.map_or(Ok(()), |frame| Err(Short::failed(format!("a frame with a body: {frame}"))))
}

/// A content-type passes; a body without one is any bytes.
pub(crate) fn content_type(place: Place<'_>) -> Outcome {
    let topic = place.topic();
    let mut client = Client::enter(place)?;
    client.subscribe("1", &topic, "auto")?;
    client.done(&format!("SEND\ndestination:{topic}\ncontent-type:application/json;charset=utf-8"), "{}")?;
    let message = client.hear("MESSAGE")?;
    let kind = message.header("content-type");
    ensure(kind.as_deref() == Some("application/json;charset=utf-8"), || {
        format!("the content-type changed: {message}")
    })?;
    let blob = [b'a', 0xff, 0x80, 0, b'z'];
    let mut bytes = format!("SEND\ndestination:{topic}\ncontent-length:{}\n\n", blob.len()).into_bytes();
    bytes.extend(blob);
    bytes.push(0);
    client.raw(&bytes);
    let message = client.hear("MESSAGE")?;
    ensure(message.body == blob, || format!("expected {blob:?}; came {:?}", message.body))
}

/// A frame that is too large gets an ERROR, then the end.
pub(crate) fn limits(place: Place<'_>) -> Outcome {
    let mut client = Client::enter(place)?;
    let mut head = format!("SEND\ndestination:{}", place.topic());
    for number in 0..HEADERS {
        head.push_str(&format!("\nheader-{number}:{number}"));
    }
    head.push_str("\nreceipt:r");
    client.say(&head, "x");
    match client.next(client.patience())? {
        Next::Some(frame) if frame.command == "RECEIPT" => {
            Err(Short::NotApplicable(format!("the broker takes a frame of {HEADERS} headers")))
        }
        Next::Some(frame) if frame.command == "ERROR" => client.end_of_errors(),
        Next::Some(frame) => Err(Short::failed(format!("expected ERROR; came {frame}"))),
        Next::Silence => Err(Short::failed("neither RECEIPT nor ERROR nor the end came")),
        Next::End => Err(Short::failed("the broker closed without an ERROR")),
    }
}

/// More than any broker known to us takes.
const HEADERS: usize = 5_000;
