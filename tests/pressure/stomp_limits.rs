//! Each limit of STOMP: below it and at it things work, beyond it they are refused in words.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use harness::broker::{Broker, Setup};
use harness::door::Door;
use harness::stomp::Client;

#[test]
fn at_a_limit_a_frame_passes_and_beyond_it_is_refused() -> Result<()> {
    let broker = Setup::new().config(CONFIG).start()?;
    let with = |more: &str, body: &str| format!("SEND\ndestination:/topic/x\nreceipt:r\n{more}\n{body}\0");
    let headers = |count: usize| with(&"a:b\n".repeat(count - 2), "x");
    let header = |bytes: usize| with(&format!("a:{}\n", "x".repeat(bytes - 2)), "x");
    let head = |bytes: usize| {
        let start = "SEND\ndestination:/topic/x\nreceipt:r\n".len();
        let line = format!("a:{}\n", "x".repeat(117));
        let left = bytes - start - 2 * line.len();
        with(&format!("{line}{line}b:{}\n", "x".repeat(left - 3)), "x")
    };
    let body = |bytes: usize| with("", &"x".repeat(bytes));
    let announced = |bytes: usize| with(&format!("content-length:{bytes}\n"), &"x".repeat(bytes));
    for (what, says, max, frame) in [
        ("headers", "more than 8 headers", 8, &headers as &dyn Fn(usize) -> String),
        ("a header", "longer than 128 bytes", 128, &header),
        ("a head", "longer than 400 bytes", 400, &head),
        ("a body", "longer than 1000 bytes", 1000, &body),
        ("a body with its length", "longer than 1000 bytes", 1000, &announced),
    ] {
        for bytes in [max - 1, max] {
            passes(&broker, &frame(bytes)).with_context(|| format!("{what} of {bytes}"))?;
        }
        refused(&broker, &frame(max + 1), says).with_context(|| format!("{what} of {}", max + 1))?;
    }
    Ok(())
}

#[test]
fn a_key_may_be_as_long_as_the_limit() -> Result<()> {
    let broker = Setup::new().config("[limits]\ntopic_bytes = \"40B\"\n").start()?;
    let send = |key: &str| format!("SEND\ndestination:/topic/{key}\nreceipt:r\n\nx\0");
    let named = |key: &str| format!("SEND\ndestination:/exchange/amq.topic/{key}\nreceipt:r\n\nx\0");
    let subscribe = |key: &str| format!("SUBSCRIBE\nid:1\ndestination:/topic/{key}.#\nreceipt:r\n\n\0");
    let user = |key: &str| format!("SUBSCRIBE\nid:1\ndestination:/user/{key}\nreceipt:r\n\n\0");
    for (what, more, frame) in [
        ("a key", 0, &send as &dyn Fn(&str) -> String),
        ("a key of an exchange", 0, &named),
        ("a pattern", 2, &subscribe),
        ("what is for a user", 0, &user),
    ] {
        for bytes in [39, 40] {
            let key = "k".repeat(bytes - more);
            passes(&broker, &frame(&key)).with_context(|| format!("{what} of {bytes}"))?;
        }
        let says = "longer than the 40 bytes of limits.topic_bytes";
        refused(&broker, &frame(&"k".repeat(41 - more)), says).context(what)?;
    }
    Ok(())
}

#[test]
fn at_a_limit_of_the_connection_things_work_and_beyond_it_are_refused() -> Result<()> {
    let broker = Setup::new().config(CONFIG).start()?;
    let begin =
        |count: usize| (0..count).map(|number| format!("BEGIN\ntransaction:{number}\n\n\0")).collect();
    let frames = |count: usize| {
        let send = "SEND\ndestination:/topic/x\ntransaction:t\n\nx\0";
        format!("BEGIN\ntransaction:t\n\n\0{}", send.repeat(count))
    };
    let subscribe = |count: usize| {
        (0..count)
            .map(|number| format!("SUBSCRIBE\nid:{number}\ndestination:/topic/{number}\n\n\0"))
            .collect()
    };
    for (what, says, max, frames) in [
        ("transactions", "more than 3 transactions", 3, &begin as &dyn Fn(usize) -> String),
        ("frames in a transaction", "more than 5 frames", 5, &frames),
        ("subscriptions", "subscriptions", 4, &subscribe),
    ] {
        let end = "SEND\ndestination:/topic/x\nreceipt:r\n\nx\0";
        for count in [max - 1, max] {
            passes(&broker, &format!("{}{end}", frames(count))).with_context(|| format!("{count} {what}"))?;
        }
        refused(&broker, &frames(max + 1), says).with_context(|| format!("{} {what}", max + 1))?;
    }
    // What ended makes room.
    let mut again = subscribe(4);
    again.push_str("UNSUBSCRIBE\nid:0\nreceipt:gone\n\n\0");
    let mut client = Client::new(broker.at(Door::Stomp))?;
    client.socket.write(again.as_bytes())?;
    client.expect("RECEIPT")?;
    client.subscribe("4", "/topic/4", "auto")?;
    Ok(())
}

#[test]
fn a_transaction_that_holds_too_many_bytes_or_stays_open_too_long_is_refused() -> Result<()> {
    let broker = Setup::new().config(CONFIG).start()?;
    let send = format!("SEND\ndestination:/topic/x\ntransaction:t\n\n{}\0", "x".repeat(900));
    let commit = "COMMIT\ntransaction:t\nreceipt:r\n\n\0";
    passes(&broker, &format!("BEGIN\ntransaction:t\n\n\0{send}{commit}"))?;
    refused(&broker, &format!("BEGIN\ntransaction:t\n\n\0{}", send.repeat(3)), "more than 2048 bytes")?;
    refused(&broker, "BEGIN\ntransaction:t\n\n\0", "was open for more than 1 s")
}

#[test]
fn before_a_client_is_in_a_body_may_be_as_long_as_a_limit_of_its_own() -> Result<()> {
    let broker = Setup::new().config("[stomp]\nmax_login_body = \"1000B\"\n").start()?;
    for (bytes, says) in [(999, "CONNECT"), (1000, "CONNECT"), (1001, "longer than 1000 bytes")] {
        for length in [String::new(), format!("content-length:{bytes}\n")] {
            let mut client = Client::dial(broker.at(Door::Stomp))?;
            let frame = format!("SEND\ndestination:/topic/x\n{length}\n{}\0", "x".repeat(bytes));
            // It may be closed before all is written.
            let _ = client.socket.write(frame.as_bytes());
            let error = client.expect("ERROR")?;
            ensure!(error.text().contains(says), "{bytes}: {error:?} {}", error.text());
        }
    }
    // Who is in is not held to it.
    passes(&broker, &format!("SEND\ndestination:/topic/x\nreceipt:r\n\n{}\0", "x".repeat(1001)))
}

/// The receipt comes.
fn passes(broker: &Broker, frames: &str) -> Result<()> {
    let mut client = Client::new(broker.at(Door::Stomp))?;
    client.socket.write(frames.as_bytes())?;
    let receipt = client.expect("RECEIPT")?;
    ensure!(receipt.header("receipt-id") == Some("r"), "{receipt:?}");
    Ok(())
}

/// An ERROR says that, and the connection ends.
fn refused(broker: &Broker, frames: &str, says: &str) -> Result<()> {
    let mut client = Client::new(broker.at(Door::Stomp))?;
    // It may be closed before all is written.
    let _ = client.socket.write(frames.as_bytes());
    let error = client.expect("ERROR")?;
    ensure!(error.text().contains(says), "does not say {says:?}: {error:?} {}", error.text());
    ensure!(client.closes(Duration::from_secs(10))?, "no close after ERROR");
    Ok(())
}

const CONFIG: &str = r#"
[limits]
subscriptions = 4
[stomp]
max_headers = 8
max_header = "128B"
max_head = "400B"
max_body = "1000B"
transactions = 3
transaction_frames = 5
transaction_bytes = "2KiB"
transaction_timeout = "1s"
"#;
