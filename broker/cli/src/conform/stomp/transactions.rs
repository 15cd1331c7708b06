//! BEGIN, COMMIT, ABORT.

use crate::conform::case::Outcome;
use crate::conform::stomp::client::{Client, bodies};
use crate::conform::stomp::place::{Place, QUIET};

/// What is sent in a transaction comes at its COMMIT, in order.
pub(crate) fn commit(place: Place<'_>) -> Outcome {
    let topic = place.topic();
    let mut client = Client::enter(place)?;
    client.subscribe("1", &topic, "auto")?;
    client.done("BEGIN\ntransaction:t", "")?;
    client.say(&format!("SEND\ndestination:{topic}\ntransaction:t"), "m1");
    client.say(&format!("SEND\ndestination:{topic}\ntransaction:t"), "m2");
    bodies(&client.messages(QUIET)?, &[])?;
    client.done("COMMIT\ntransaction:t", "")?;
    bodies(&client.hear_messages(2)?, &["m1", "m2"])
}

/// What is sent in a transaction that is aborted never comes.
pub(crate) fn abort(place: Place<'_>) -> Outcome {
    let topic = place.topic();
    let mut client = Client::enter(place)?;
    client.subscribe("1", &topic, "auto")?;
    client.done("BEGIN\ntransaction:t", "")?;
    client.say(&format!("SEND\ndestination:{topic}\ntransaction:t"), "dropped");
    client.done("ABORT\ntransaction:t", "")?;
    client.send(&topic, "plain")?;
    bodies(&client.messages(QUIET)?, &["plain"])
}

/// DISCONNECT aborts what was begun, and so does a connection that is lost.
pub(crate) fn abandoned(place: Place<'_>) -> Outcome {
    let topic = place.topic();
    let mut listener = Client::enter(place)?;
    listener.subscribe("1", &topic, "auto")?;
    for orderly in [true, false] {
        let mut client = Client::enter(place)?;
        client.done("BEGIN\ntransaction:t", "")?;
        client.say(&format!("SEND\ndestination:{topic}\ntransaction:t"), "dropped");
        if orderly {
            client.leave()?;
        } else {
            // So that the broker has seen the SEND before it sees the end.
            client.send(&topic, "plain")?;
        }
    }
    bodies(&listener.messages(QUIET)?, &["plain"])
}

/// Two transactions of one connection do not mix.
pub(crate) fn two(place: Place<'_>) -> Outcome {
    let topic = place.topic();
    let mut client = Client::enter(place)?;
    client.subscribe("1", &topic, "auto")?;
    for (transaction, body) in [("a", "dropped"), ("b", "kept")] {
        client.done(&format!("BEGIN\ntransaction:{transaction}"), "")?;
        client.say(&format!("SEND\ndestination:{topic}\ntransaction:{transaction}"), body);
    }
    client.done("ABORT\ntransaction:a", "")?;
    client.done("COMMIT\ntransaction:b", "")?;
    bodies(&client.messages(QUIET)?, &["kept"])
}

/// BEGIN without a name is refused.
pub(crate) fn begin_without_name(place: Place<'_>) -> Outcome {
    refused(place, "BEGIN")
}

/// COMMIT without a name is refused, and so is one of a transaction that was never begun.
pub(crate) fn commit_without_name(place: Place<'_>) -> Outcome {
    refused(place, "COMMIT")?;
    refused(place, "COMMIT\ntransaction:never")
}

/// ABORT without a name is refused, and so is one of a transaction that was never begun.
pub(crate) fn abort_without_name(place: Place<'_>) -> Outcome {
    refused(place, "ABORT")?;
    refused(place, "ABORT\ntransaction:never")
}

fn refused(place: Place<'_>, head: &str) -> Outcome {
    let mut client = Client::enter(place)?;
    client.say(&format!("{head}\nreceipt:r"), "");
    client.refused()
}
