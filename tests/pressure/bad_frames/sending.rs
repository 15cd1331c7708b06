//! Frames that say something that means nothing: headers, names, transactions.

use crate::bad_frames::row::{Bad, bad};

/// The rows.
pub(super) fn rows() -> Vec<Bad> {
    [sends(), subscribes(), settles(), transactions()].into_iter().flatten().collect()
}

#[rustfmt::skip]
fn sends() -> Vec<Bad> {
    let mut rows = vec![
        bad("SEND without a destination", "0", "SEND\nreceipt:r7\n\nx\0", "Missing Header", "SEND needs header destination (STOMP 1.0)"),
        bad("SEND without a destination", "1", "SEND\nreceipt:r7\n\nx\0", "Missing Header", "SEND needs header destination (STOMP 1.1)"),
        bad("SEND without a destination", "2", "SEND\nreceipt:r7\n\nx\0", "Missing Header", "SEND needs header destination (STOMP 1.2)"),
        bad("SEND with a destination in capitals", "012", "SEND\nDestination:/topic/bad\nreceipt:r7\n\nx\0", "Missing Header", "destination"),
        bad("SEND with a secret", "2", "SEND\nAuthorization:s3cret\nreceipt:r7\n\nx\0", "Missing Header", "Authorization:***"),
        bad("SEND that is long", "2", format!("SEND\nreceipt:r7\nlong:{}\n\n{}\0", "h".repeat(8000), "b".repeat(100_000)), "Missing Header", "…"),
    ];
    let long = format!("x-dedup-id:{}", "x".repeat(257));
    for (name, header, says) in [
        ("a QoS of 3", "qos:3", "header qos is '3'; expected 0, 1 or 2"),
        ("a QoS in words", "qos:most", "expected 0, 1 or 2"),
        ("a QoS of nothing", "qos:", "expected 0, 1 or 2"),
        ("a QoS below zero", "qos:-1", "expected 0, 1 or 2"),
        ("an expiration in words", "expiration:soon", "header expiration is 'soon'; expected a number"),
        ("an expiration below zero", "expiration:-1", "expected a number"),
        ("half an expiration", "expiration:1.5", "expected a number"),
        ("an expiration beyond all numbers", "expiration:99999999999999999999", "expected a number"),
        ("a priority of 256", "priority:256", "expected 0 to 255"),
        ("a priority in words", "priority:high", "expected a number"),
        ("a priority below zero", "priority:-1", "expected a number"),
        ("a message-id of its own", "message-id:1", "'message-id' is not allowed on 'SEND'"),
        ("an id of no bytes", "x-dedup-id:", "expected 1 to 256 bytes"),
        ("an id of too many bytes", &long, "expected 1 to 256 bytes"),
    ] {
        let frame = format!("SEND\ndestination:/topic/bad\nreceipt:r7\n{header}\n\nx\0");
        rows.push(bad(name, "012", frame, "Invalid header", says));
    }
    for (name, header, says) in [
        ("a queue of some length", "x-max-length:some", "expected a whole number from"),
        ("a queue of a negative length", "x-max-length:-1", "expected a whole number from"),
        ("a queue of some bytes", "x-max-length-bytes:1MB", "expected a whole number from"),
    ] {
        let frame = format!("SEND\ndestination:/queue/bad.new\nreceipt:r7\n{header}\n\nx\0");
        rows.push(bad(name, "2", frame, "Invalid header", says));
    }
    rows
}

#[rustfmt::skip]
fn subscribes() -> Vec<Bad> {
    let mut rows = vec![
        bad("SUBSCRIBE without a destination", "012", "SUBSCRIBE\nid:0\nreceipt:r7\n\n\0", "Missing Header", "SUBSCRIBE needs header destination"),
        bad("SUBSCRIBE with an id in use", "012", "SUBSCRIBE\nid:0\ndestination:/topic/bad\n\n\0SUBSCRIBE\nid:0\ndestination:/topic/bad.b\nreceipt:r7\n\n\0", "Duplicated subscription identifier", "id '0' goes on already"),
        bad("SUBSCRIBE without an id, twice", "012", "SUBSCRIBE\ndestination:/topic/bad\n\n\0SUBSCRIBE\ndestination:/topic/bad\nreceipt:r7\n\n\0", "Duplicated subscription identifier", "goes on already"),
        bad("SUBSCRIBE with an id that is too long", "012", format!("SUBSCRIBE\nid:{}\ndestination:/topic/bad\nreceipt:r7\n\n\0", "i".repeat(1025)), "Invalid header", "longer than 1024 bytes"),
        bad("SUBSCRIBE that is durable and has no id", "012", "SUBSCRIBE\ndestination:/topic/bad\ndurable:true\nauto-delete:false\nreceipt:r7\n\n\0", "Missing Header", "id to be durable"),
        bad("UNSUBSCRIBE that names nothing", "012", "UNSUBSCRIBE\nreceipt:r7\n\n\0", "Missing Header", "UNSUBSCRIBE needs header id"),
        bad("UNSUBSCRIBE of an id that is not there", "012", "UNSUBSCRIBE\nid:7\nreceipt:r7\n\n\0", "Subscription not found", "id '7'"),
        bad("UNSUBSCRIBE of a destination that is not there", "012", "UNSUBSCRIBE\ndestination:/topic/bad\nreceipt:r7\n\n\0", "Subscription not found", "destination '/topic/bad'"),
        bad("UNSUBSCRIBE by the destination of what has an id", "012", "SUBSCRIBE\nid:0\ndestination:/topic/bad\n\n\0UNSUBSCRIBE\ndestination:/topic/bad\nreceipt:r7\n\n\0", "Subscription not found", "without id"),
        bad("UNSUBSCRIBE twice", "012", "SUBSCRIBE\nid:0\ndestination:/topic/bad\n\n\0UNSUBSCRIBE\nid:0\n\n\0UNSUBSCRIBE\nid:0\nreceipt:r7\n\n\0", "Subscription not found", "id '0'"),
    ];
    for (name, destination, header, says) in [
        ("ack in other words", "/topic/bad", "ack:maybe", "header ack is 'maybe'; expected auto, client or client-individual"),
        ("ack of nothing", "/topic/bad", "ack:", "expected auto, client or client-individual"),
        ("ack in capitals", "/topic/bad", "ack:AUTO", "expected auto, client or client-individual"),
        ("ack with a blank", "/topic/bad", "ack:client ", "expected auto, client or client-individual"),
        ("a window in words", "/topic/bad", "prefetch-count:many", "header prefetch-count is 'many'; expected a number"),
        ("a window below zero", "/topic/bad", "prefetch-count:-1", "expected a number"),
        ("a QoS of 3", "/topic/bad", "qos:3", "header qos is '3'; expected 0, 1 or 2"),
        ("a QoS with a blank", "/topic/bad", "qos: 1", "expected 0, 1 or 2"),
        ("QoS 1 that waits for nothing", "/topic/bad", "qos:1\nack:auto", "qos:1 waits for ACK"),
        ("QoS 0 that waits", "/topic/bad", "qos:0\nack:client", "qos:0 waits for no ACK"),
        ("retained messages of a queue", "/queue/bad.kept", "retained:true", "nothing is retained in a queue"),
        ("a selector", "/topic/bad", "selector:price > 5", "selector"),
        ("headers that match somehow", "/exchange/amq.headers", "x-match:some", "expected all, any, all-with-x or any-with-x"),
    ] {
        let frame = format!("SUBSCRIBE\nid:0\ndestination:{destination}\nreceipt:r7\n{header}\n\n\0");
        rows.push(bad(name, if name == "a QoS with a blank" { "12" } else { "012" }, frame, "Invalid header", says));
    }
    rows
}

#[rustfmt::skip]
fn settles() -> Vec<Bad> {
    let mut rows = Vec::new();
    for (versions, version, header) in [("0", "1.0", "message-id"), ("1", "1.1", "message-id"), ("2", "1.2", "id")] {
        for command in ["ACK", "NACK"] {
            let frame = |header: &str| format!("{command}\nreceipt:r7\nsubscription:0\n{header}\n\n\0");
            let missing = match (command, version) {
                ("ACK", "1.0") => "ACK needs header message-id (STOMP 1.0)",
                ("ACK", "1.1") => "ACK needs header message-id (STOMP 1.1)",
                ("ACK", _) => "ACK needs header id (STOMP 1.2)",
                (_, "1.2") => "NACK needs header id (STOMP 1.2)",
                _ => "NACK needs header message-id",
            };
            let other = if version == "1.2" { "message-id:1" } else { "id:1" };
            rows.push(bad("settling nothing", versions, frame("x:y"), "Missing Header", missing));
            rows.push(bad("settling by the header of another version", versions, frame(other), "Missing Header", missing));
            let said = "it was never sent here, or is settled already";
            for (name, id) in [
                ("settling a number", "1"),
                ("settling no message", ""),
                ("settling what only looks like an id", "T_0@@session-1-1@@1"),
                ("settling an id without its parts", "@@@@"),
                ("settling an id with a number that is none", "T_0@@x@@many"),
            ] {
                rows.push(bad(name, versions, frame(&format!("{header}:{id}")), "Unknown message", said));
            }
            let frame = frame(&format!("{header}:1\ntransaction:none"));
            rows.push(bad("settling in a transaction that is not open", versions, frame, "Bad transaction", "'none' is not open"));
        }
    }
    rows
}

#[rustfmt::skip]
fn transactions() -> Vec<Bad> {
    let many: String = (0..17).map(|number| format!("BEGIN\ntransaction:{number}\n\n\0")).collect();
    let frames = "SEND\ndestination:/topic/bad\ntransaction:t\n\nx\0".repeat(1001);
    let bytes = format!("SEND\ndestination:/topic/bad\ntransaction:t\n\n{}\0", "x".repeat(1_000_000)).repeat(9);
    vec![
        bad("BEGIN without a name", "012", "BEGIN\nreceipt:r7\n\n\0", "Missing transaction", "BEGIN needs header transaction"),
        bad("COMMIT without a name", "012", "COMMIT\nreceipt:r7\n\n\0", "Missing transaction", "COMMIT needs header transaction"),
        bad("ABORT without a name", "012", "ABORT\nreceipt:r7\n\n\0", "Missing transaction", "ABORT needs header transaction"),
        bad("BEGIN of an open one", "012", "BEGIN\ntransaction:t\n\n\0BEGIN\ntransaction:t\nreceipt:r7\n\n\0", "Bad transaction", "'t' is open already"),
        bad("COMMIT of one that is not open", "012", "COMMIT\ntransaction:t\nreceipt:r7\n\n\0", "Bad transaction", "'t' is not open"),
        bad("ABORT of one that is not open", "012", "ABORT\ntransaction:t\nreceipt:r7\n\n\0", "Bad transaction", "'t' is not open"),
        bad("COMMIT twice", "012", "BEGIN\ntransaction:t\n\n\0COMMIT\ntransaction:t\n\n\0COMMIT\ntransaction:t\nreceipt:r7\n\n\0", "Bad transaction", "'t' is not open"),
        bad("COMMIT behind ABORT", "012", "BEGIN\ntransaction:t\n\n\0SEND\ndestination:/topic/bad\ntransaction:t\n\nx\0ABORT\ntransaction:t\n\n\0COMMIT\ntransaction:t\nreceipt:r7\n\n\0", "Bad transaction", "'t' is not open"),
        bad("SEND in one that is not open", "012", "SEND\ndestination:/topic/bad\ntransaction:t\nreceipt:r7\n\nx\0", "Bad transaction", "'t' is not open"),
        bad("SEND in one of another case", "012", "BEGIN\ntransaction:t\n\n\0SEND\ndestination:/topic/bad\ntransaction:T\nreceipt:r7\n\nx\0", "Bad transaction", "'T' is not open"),
        bad("a wrong SEND in an open one", "012", "BEGIN\ntransaction:t\n\n\0SEND\ndestination:/topic/bad\ntransaction:t\n\nx\0SEND\ntransaction:t\nreceipt:r7\n\nx\0", "Missing Header", "destination"),
        bad("17 transactions", "2", many, "Too many transactions", "more than 16 transactions"),
        bad("1,001 frames in one", "2", format!("BEGIN\ntransaction:t\n\n\0{frames}"), "Transaction too large", "more than 1000 frames"),
        bad("9 MB in one", "2", format!("BEGIN\ntransaction:t\n\n\0{bytes}"), "Transaction too large", "more than 8388608 bytes"),
    ]
}
