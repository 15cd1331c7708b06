//! RECEIPT and ERROR.

use stomp::version::Version;

use crate::conform::case::{Outcome, Short};
use crate::conform::peer::Next;
use crate::conform::stomp::client::{Client, bodies};
use crate::conform::stomp::frame::Frame;
use crate::conform::stomp::place::{Place, QUIET, ensure};

/// Every frame that asks for a receipt gets one, with its value.
pub(crate) fn receipts(place: Place<'_>) -> Outcome {
    let (topic, queue) = (place.topic(), place.queue());
    let mut client = Client::enter(place)?;
    client.subscribe("1", &topic, "auto")?;
    client.subscribe("2", &queue, "client")?;
    client.send(&queue, "x")?;
    let message = client.hear("MESSAGE")?;
    client.done("BEGIN\ntransaction:a", "")?;
    client.done("COMMIT\ntransaction:a", "")?;
    client.done("BEGIN\ntransaction:b", "")?;
    client.done("ABORT\ntransaction:b", "")?;
    client.settle("ACK", &message, "")?;
    if place.version != Version::V1_0 {
        client.send(&queue, "y")?;
        let message = client.hear("MESSAGE")?;
        client.settle("NACK", &message, "")?;
    }
    client.done("UNSUBSCRIBE\nid:1", "")?;
    client.done("DISCONNECT", "")?;
    Ok(())
}

/// The RECEIPT of DISCONNECT comes before the end.
pub(crate) fn disconnect(place: Place<'_>) -> Outcome {
    let topic = place.topic();
    let mut listener = Client::enter(place)?;
    listener.subscribe("1", &topic, "auto")?;
    let mut client = Client::enter(place)?;
    client.say(&format!("SEND\ndestination:{topic}"), "last words");
    client.say("DISCONNECT\nreceipt:77", "");
    let receipt = client.hear("RECEIPT")?;
    ensure(receipt.header("receipt-id").as_deref() == Some("77"), || format!("expected 77: {receipt}"))?;
    bodies(&listener.hear_messages(1)?, &["last words"])
}

/// A receipt says that the frame was carried out: what was sent before it is there.
pub(crate) fn after_the_work(place: Place<'_>) -> Outcome {
    let queue = place.queue();
    let mut client = Client::enter(place)?;
    let expected: Vec<String> = (0..SENT).map(|number| format!("m{number}")).collect();
    for body in &expected {
        client.say(&format!("SEND\ndestination:{queue}"), body);
    }
    client.send(&queue, "end")?;
    let mut other = Client::enter(place)?;
    other.subscribe("1", &queue, "auto")?;
    let found = other.hear_messages(expected.len() + 1)?;
    let expected: Vec<&str> = expected.iter().map(String::as_str).chain(["end"]).collect();
    bodies(&found, &expected)
}

/// Frames that the broker has received are carried out, although the client has left.
pub(crate) fn after_the_client(place: Place<'_>) -> Outcome {
    let topic = place.topic();
    let mut listener = Client::enter(place)?;
    listener.subscribe("1", &topic, "auto")?;
    let mut client = Client::enter(place)?;
    let expected: Vec<String> = (0..SENT).map(|number| format!("m{number}")).collect();
    let mut bytes = Vec::new();
    for body in &expected {
        bytes.extend_from_slice(format!("SEND\ndestination:{topic}\n\n{body}\0").as_bytes());
    }
    client.raw(&bytes);
    drop(client);
    let found = listener.hear_messages(expected.len())?;
    bodies(&found, &expected.iter().map(String::as_str).collect::<Vec<_>>())
}

/// After an ERROR comes the end.
pub(crate) fn error_then_end(place: Place<'_>) -> Outcome {
    let (mut client, _) = wrong(place)?;
    client.end()
}

/// ERROR has a `message`.
pub(crate) fn error_message(place: Place<'_>) -> Outcome {
    let (_, error) = wrong(place)?;
    let message = error.header("message").unwrap_or_default();
    ensure(!message.is_empty(), || format!("no message header: {error}"))
}

/// ERROR names the receipt of the frame that it is about, and no RECEIPT comes.
pub(crate) fn error_names_receipt(place: Place<'_>) -> Outcome {
    let (mut client, error) = wrong(place)?;
    let receipt = error.header("receipt-id");
    ensure(receipt.as_deref() == Some("wrong-1"), || format!("expected receipt-id:wrong-1: {error}"))?;
    match client.next(QUIET)? {
        Next::Some(frame) => Err(Short::failed(format!("after the ERROR came {frame}"))),
        Next::Silence | Next::End => Ok(()),
    }
}

/// ERROR with a body says how long it is.
pub(crate) fn error_length(place: Place<'_>) -> Outcome {
    let error = wrong_in_words(place)?;
    let length = error.raw("content-length").and_then(|text| text.parse().ok());
    ensure(length == Some(error.body.len()), || format!("expected content-length: {error}"))
}

/// ERROR with a body says what it is; it is UTF-8.
pub(crate) fn error_type(place: Place<'_>) -> Outcome {
    let error = wrong_in_words(place)?;
    let kind = error.header("content-type").unwrap_or_default();
    ensure(kind.contains('/'), || format!("expected a content-type: {error}"))?;
    ensure(std::str::from_utf8(&error.body).is_ok(), || format!("the body is not UTF-8: {error}"))
}

/// A frame that no broker can carry out, and the ERROR about it.
fn wrong(place: Place<'_>) -> Result<(Client, Frame), Short> {
    let mut client = Client::enter(place)?;
    client.say("COMMIT\ntransaction:never\nreceipt:wrong-1", "");
    let error = client.hear("ERROR")?;
    Ok((client, error))
}

/// The same, where ERROR has a body.
fn wrong_in_words(place: Place<'_>) -> Result<Frame, Short> {
    let (_, error) = wrong(place)?;
    if error.body.is_empty() { Err(Short::NotApplicable("ERROR has no body".into())) } else { Ok(error) }
}

/// Enough that not all of it is one read.
const SENT: usize = 200;
