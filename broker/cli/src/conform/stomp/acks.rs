//! ACK and NACK: what is consumed, and what comes again.

use std::time::Duration;

use crate::conform::case::{Outcome, Short};
use crate::conform::stomp::client::{Client, bodies};
use crate::conform::stomp::frame::Frame;
use crate::conform::stomp::place::{Place, QUIET, ensure};

/// What was not acknowledged when the connection was lost comes again, in order.
pub(crate) fn lost_connection(place: Place<'_>) -> Outcome {
    let queue = place.queue();
    let (client, _) = three(place, &queue, "client")?;
    drop(client);
    bodies(&left(place, &queue)?, &["m1", "m2", "m3"])
}

/// In `client` mode, an ACK means all that was sent to the subscription before.
pub(crate) fn cumulative(place: Place<'_>) -> Outcome {
    let queue = place.queue();
    let (mut client, messages) = three(place, &queue, "client")?;
    client.settle("ACK", nth(&messages, 1)?, "")?;
    drop(client);
    bodies(&left(place, &queue)?, &["m3"])
}

/// In `client` mode, an ACK means nothing of other subscriptions.
pub(crate) fn within_its_subscription(place: Place<'_>) -> Outcome {
    let (one, two) = (place.queue(), place.queue());
    let mut client = Client::enter(place)?;
    client.subscribe("1", &one, "client")?;
    client.subscribe("2", &two, "client")?;
    client.send(&one, "first")?;
    client.hear("MESSAGE")?;
    client.send(&two, "second")?;
    let second = client.hear("MESSAGE")?;
    client.settle("ACK", &second, "")?;
    drop(client);
    bodies(&left(place, &two)?, &[])?;
    bodies(&left(place, &one)?, &["first"])
}

/// In `client-individual` mode, an ACK means its message alone.
pub(crate) fn individual(place: Place<'_>) -> Outcome {
    let queue = place.queue();
    let (mut client, messages) = three(place, &queue, "client-individual")?;
    client.settle("ACK", nth(&messages, 1)?, "")?;
    drop(client);
    bodies(&left(place, &queue)?, &["m1", "m3"])
}

/// In `client-individual` mode, a NACK means its message alone: those before it are still on loan.
pub(crate) fn individual_nack(place: Place<'_>) -> Outcome {
    let queue = place.queue();
    let (mut client, messages) = three(place, &queue, "client-individual")?;
    client.settle("NACK", nth(&messages, 1)?, "")?;
    let again = texts(&client.messages(QUIET)?);
    ensure(!again.iter().any(|text| text == "m1" || text == "m3"), || {
        format!("NACK of m2 alone brought back {again:?}")
    })?;
    drop(client);
    let left = texts(&left(place, &queue)?);
    ensure(["m1", "m3"].into_iter().all(|text| left.iter().any(|found| found == text)), || {
        format!("m1 and m3 were neither ACKed nor NACKed; only {left:?} came again")
    })
}

/// In `client` mode, a NACK means all that was sent to the subscription before. What then becomes of them is the broker's
/// choice, but it is the same for all of them.
pub(crate) fn cumulative_nack(place: Place<'_>) -> Outcome {
    let queue = place.queue();
    let (mut client, messages) = three(place, &queue, "client")?;
    client.settle("NACK", nth(&messages, 1)?, "")?;
    let mut again = texts(&client.messages(QUIET)?);
    if again.is_empty() {
        drop(client);
        again = texts(&left(place, &queue)?);
    }
    let [first, second] = ["m1", "m2"].map(|text| again.iter().any(|found| found == text));
    ensure(first == second, || format!("NACK of m2 means m1 as well; came again: {again:?}"))
}

/// What was acknowledged does not come again.
pub(crate) fn consumed(place: Place<'_>) -> Outcome {
    let queue = place.queue();
    let (mut client, messages) = three(place, &queue, "client")?;
    client.settle("ACK", nth(&messages, 2)?, "")?;
    drop(client);
    bodies(&left(place, &queue)?, &[])
}

/// An ACK in a transaction counts when that is committed.
pub(crate) fn ack_in_transaction(place: Place<'_>) -> Outcome {
    let (kept, dropped) = (place.queue(), place.queue());
    for (queue, end) in [(&kept, "ABORT"), (&dropped, "COMMIT")] {
        let (mut client, messages) = three(place, queue, "client")?;
        client.done("BEGIN\ntransaction:t", "")?;
        client.settle_later("ACK", nth(&messages, 2)?, "\ntransaction:t")?;
        client.done(&format!("{end}\ntransaction:t"), "")?;
        drop(client);
    }
    bodies(&left(place, &dropped)?, &[])?;
    bodies(&left(place, &kept)?, &["m1", "m2", "m3"])
}

/// ACK without the header that names a message is refused.
pub(crate) fn ack_without_name(place: Place<'_>) -> Outcome {
    let mut client = Client::enter(place)?;
    client.say("ACK\nreceipt:r", "");
    client.refused()
}

/// NACK without the header that names a message is refused.
pub(crate) fn nack_without_name(place: Place<'_>) -> Outcome {
    let mut client = Client::enter(place)?;
    client.say("NACK\nreceipt:r", "");
    client.refused()
}

/// A subscription to `queue` that has got m1, m2 and m3.
fn three(place: Place<'_>, queue: &str, mode: &str) -> Result<(Client, Vec<Frame>), Short> {
    let mut client = Client::enter(place)?;
    client.subscribe("1", queue, mode)?;
    for body in ["m1", "m2", "m3"] {
        client.send(queue, body)?;
    }
    let messages = client.hear_messages(3)?;
    bodies(&messages, &["m1", "m2", "m3"])?;
    Ok((client, messages))
}

/// What another client finds in `queue`, once the broker has seen that the one before is gone.
fn left(place: Place<'_>, queue: &str) -> Result<Vec<Frame>, Short> {
    let mut client = Client::enter(place)?;
    client.subscribe("1", queue, "auto")?;
    client.messages(GONE)
}

fn nth(messages: &[Frame], at: usize) -> Result<&Frame, Short> {
    messages.get(at).ok_or_else(|| Short::failed("a message is missing"))
}

fn texts(messages: &[Frame]) -> Vec<String> {
    messages.iter().map(Frame::text).collect()
}

/// A broker may take a moment to see that a connection is gone.
const GONE: Duration = Duration::from_millis(1_500);
