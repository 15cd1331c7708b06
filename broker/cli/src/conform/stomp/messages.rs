//! SEND, SUBSCRIBE, MESSAGE, UNSUBSCRIBE.

use stomp::version::Version;

use crate::conform::case::{Outcome, Short};
use crate::conform::stomp::client::{Client, bodies, echo};
use crate::conform::stomp::place::{Place, QUIET, ensure};

/// Headers of the application arrive with the message.
pub(crate) fn user_headers(place: Place<'_>) -> Outcome {
    let message = echo(place, "\ncolour:blue\nx-note:with blanks\nempty:", "x")?;
    let found = ["colour", "x-note", "empty"].map(|name| message.header(name));
    let expected = ["blue", "with blanks", ""].map(|value| Some(value.to_owned()));
    ensure(found == expected, || format!("a header of the application is missing or changed: {message}"))
}

/// A SEND without destination is refused, and so is such a SUBSCRIBE.
pub(crate) fn without_destination(place: Place<'_>) -> Outcome {
    for head in ["SEND\nreceipt:r", "SUBSCRIBE\nid:1\nreceipt:r"] {
        let mut client = Client::enter(place)?;
        client.say(head, "");
        client.refused()?;
    }
    Ok(())
}

/// A SEND without destination gets an ERROR, then the end.
pub(crate) fn send_without_destination(place: Place<'_>) -> Outcome {
    let mut client = Client::enter(place)?;
    client.say("SEND\nreceipt:r", "x");
    client.hear("ERROR")?;
    client.end()
}

/// A SUBSCRIBE without destination gets an ERROR, then the end.
pub(crate) fn subscribe_without_destination(place: Place<'_>) -> Outcome {
    let mut client = Client::enter(place)?;
    client.say("SUBSCRIBE\nid:1\nreceipt:r", "");
    client.hear("ERROR")?;
    client.end()
}

/// MESSAGE says where it was sent, with which subscription it came, and what it is called.
pub(crate) fn names_itself(place: Place<'_>) -> Outcome {
    let topic = place.topic();
    let mut client = Client::enter(place)?;
    client.subscribe("one", &topic, "auto")?;
    client.subscribe("two", &topic, "auto")?;
    client.send(&topic, "a")?;
    client.send(&topic, "b")?;
    let messages = client.hear_messages(4)?;
    let mut seen = Vec::new();
    for message in &messages {
        let destination = message.header("destination");
        ensure(destination.as_deref() == Some(&topic), || format!("sent to {topic}: {message}"))?;
        let Some(id) = message.header("message-id") else {
            return Err(Short::failed(format!("no message-id: {message}")));
        };
        let Some(subscription) = message.header("subscription") else {
            return Err(Short::failed(format!("no subscription: {message}")));
        };
        seen.push((subscription, message.text(), id));
    }
    for subscription in ["one", "two"] {
        let own: Vec<_> = seen.iter().filter(|(name, ..)| name == subscription).collect();
        let (texts, ids): (Vec<&str>, Vec<&str>) = own.iter().map(|(_, text, id)| (&**text, &**id)).unzip();
        ensure(texts == ["a", "b"], || format!("subscription {subscription} got {texts:?}"))?;
        ensure(ids.first() != ids.last(), || format!("two messages of one message-id: {ids:?}"))?;
    }
    Ok(())
}

/// MESSAGE with a body says how long it is.
pub(crate) fn message_length(place: Place<'_>) -> Outcome {
    let message = echo(place, "", "four")?;
    let length = message.raw("content-length");
    ensure(length == Some("4"), || format!("expected content-length:4: {message}"))
}

/// Only a message that waits for its ACK has an `ack` header for it.
pub(crate) fn ack_header(place: Place<'_>) -> Outcome {
    for mode in ["client", "client-individual"] {
        let topic = place.topic();
        let mut client = Client::enter(place)?;
        client.subscribe("1", &topic, mode)?;
        client.send(&topic, "x")?;
        let message = client.hear("MESSAGE")?;
        ensure(message.raw("ack").is_some(), || format!("no ack header in ack:{mode}: {message}"))?;
        client.settle("ACK", &message, "")?;
    }
    Ok(())
}

/// The three modes of `ack` are taken; in 1.0 there are two.
pub(crate) fn ack_modes(place: Place<'_>) -> Outcome {
    let modes: &[&str] = match place.version {
        Version::V1_0 => &["auto", "client"],
        Version::V1_1 | Version::V1_2 => &["auto", "client", "client-individual"],
    };
    let mut client = Client::enter(place)?;
    for mode in modes {
        client.subscribe(mode, &place.topic(), mode)?;
    }
    Ok(())
}

/// Without `ack`, a message is consumed when it is sent to the client.
pub(crate) fn auto_is_the_default(place: Place<'_>) -> Outcome {
    let queue = place.queue();
    let mut client = Client::enter(place)?;
    client.done(&format!("SUBSCRIBE\nid:1\ndestination:{queue}"), "")?;
    client.send(&queue, "x")?;
    client.hear("MESSAGE")?;
    client.leave()?;
    let mut next = Client::enter(place)?;
    next.subscribe("1", &queue, "auto")?;
    let came = next.messages(QUIET)?;
    ensure(came.is_empty(), || "a message that was sent in auto mode came again".into())
}

/// After UNSUBSCRIBE nothing comes; other subscriptions go on.
pub(crate) fn unsubscribed(place: Place<'_>) -> Outcome {
    let (topic, other) = (place.topic(), place.topic());
    let mut client = Client::enter(place)?;
    client.subscribe("1", &topic, "auto")?;
    client.subscribe("2", &other, "auto")?;
    client.send(&topic, "before")?;
    bodies(&client.hear_messages(1)?, &["before"])?;
    client.done("UNSUBSCRIBE\nid:1", "")?;
    client.send(&topic, "after")?;
    client.send(&other, "other")?;
    bodies(&client.messages(QUIET)?, &["other"])
}

/// A subscription without id ends by its destination.
pub(crate) fn unsubscribed_by_destination(place: Place<'_>) -> Outcome {
    let topic = place.topic();
    let mut client = Client::enter(place)?;
    client.done(&format!("SUBSCRIBE\ndestination:{topic}"), "")?;
    client.send(&topic, "before")?;
    bodies(&client.hear_messages(1)?, &["before"])?;
    client.done(&format!("UNSUBSCRIBE\ndestination:{topic}"), "")?;
    client.send(&topic, "after")?;
    bodies(&client.messages(QUIET)?, &[])
}

/// The body of SUBSCRIBE is ignored.
pub(crate) fn body_of_subscribe(place: Place<'_>) -> Outcome {
    let topic = place.topic();
    let mut client = Client::enter(place)?;
    client.done(&format!("SUBSCRIBE\nid:1\ndestination:{topic}"), "what is this")?;
    client.send(&topic, "x")?;
    bodies(&client.hear_messages(1)?, &["x"])
}

/// UNSUBSCRIBE of nothing is refused.
pub(crate) fn unsubscribe_without_name(place: Place<'_>) -> Outcome {
    let mut client = Client::enter(place)?;
    client.say("UNSUBSCRIBE\nreceipt:r", "");
    client.refused()
}
