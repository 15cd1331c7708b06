//! What is no frame, and frames that are not for a broker.

use crate::bad_frames::row::{Bad, bad};

/// The rows.
pub(super) fn rows() -> Vec<Bad> {
    [heads(), bodies(), escapes(), lengths()].into_iter().flatten().collect()
}

#[rustfmt::skip]
fn heads() -> Vec<Bad> {
    vec![
        // Commands.
        bad("a second CONNECT", "012", "CONNECT\naccept-version:1.2\nhost:/\npasscode:s3cret\n\n\0", "Already connected", "open another one"),
        bad("a STOMP behind CONNECT", "012", "STOMP\naccept-version:1.2\nhost:/\n\n\0", "Already connected", "one CONNECT"),
        bad("a MESSAGE", "012", "MESSAGE\ndestination:/topic/bad\nmessage-id:1\nsubscription:0\nreceipt:r7\n\nx\0", "Illegal command", "MESSAGE is a frame of servers"),
        bad("a RECEIPT", "012", "RECEIPT\nreceipt-id:1\n\n\0", "Illegal command", "RECEIPT is a frame of servers"),
        bad("a CONNECTED", "012", "CONNECTED\nversion:1.2\n\n\0", "Illegal command", "CONNECTED is a frame of servers"),
        bad("an ERROR", "012", "ERROR\nmessage:you too\n\n\0", "Illegal command", "ERROR is a frame of servers"),
        bad("an unknown command", "012", "JUMP\n\n\0", "Bad command", "JUMP"),
        bad("small letters", "012", "send\ndestination:/topic/bad\n\nx\0", "Bad command", "capitals"),
        bad("a blank behind a command", "012", "SEND \ndestination:/topic/bad\n\nx\0", "Bad command", "without blanks"),
        bad("a blank before a command", "012", " SEND\ndestination:/topic/bad\n\nx\0", "Bad command", "without blanks"),
        bad("a colon behind a command", "12", "SEND:\ndestination:/topic/bad\n\nx\0", "Bad command", "SEND:"),
        bad("a command in two words", "12", "UN SUBSCRIBE\nid:0\n\n\0", "Bad command", "UN SUBSCRIBE"),
        bad("a letter too many", "12", "SENDD\ndestination:/topic/bad\n\nx\0", "Bad command", "SENDD"),
        bad("a control character", "12", b"\x01SEND\ndestination:/topic/bad\n\nx\0", "Bad command", "SEND"),
        bad("a command that is no text", "12", b"S\xffND\ndestination:/topic/bad\n\nx\0", "Bad command", "is not a STOMP command"),
        bad("a command of 33 bytes", "012", "S".repeat(33), "Bad command", "longer than 32"),
        bad("a NUL in a command", "012", "SE\0ND\n", "Malformed frame", "NUL"),
        bad("a carriage return within a command", "12", "SE\rND\n\n\0", "Bad command", "is not a STOMP command"),
        // Headers.
        bad("a NUL within the headers", "012", "SEND\ndestination:/topic/bad\nreceipt:r7\n\0", "Malformed frame", "NUL stands before the blank line"),
        bad("a header without a colon", "012", "SEND\ndestination:/topic/bad\nreceipt:r7\nnothing\n\nx\0", "Malformed frame", "\"nothing\" has no colon"),
        bad("a line with a blank", "012", "SEND\ndestination:/topic/bad\n \nx\n\n\0", "Malformed frame", "no colon"),
        bad("a header without a name", "012", "SEND\ndestination:/topic/bad\nreceipt:r7\n:value\n\nx\0", "Malformed frame", "has no name"),
        bad("a colon and nothing else", "012", "SEND\ndestination:/topic/bad\nreceipt:r7\n:\n\nx\0", "Malformed frame", "has no name"),
        bad("a name that is no text", "012", b"SEND\ndestination:/topic/bad\nn\xff:v\n\nx\0", "Malformed frame", "not UTF-8"),
        bad("a value that is no text", "012", b"SEND\ndestination:/topic/bad\nn:\xc3\x28\n\nx\0", "Malformed frame", "not UTF-8"),
        bad("a character in too many bytes", "12", b"SEND\ndestination:/topic/bad\nn:\xc0\xaf\n\nx\0", "Malformed frame", "not UTF-8"),
        bad("half of a pair of UTF-16", "12", b"SEND\ndestination:/topic/bad\nn:\xed\xa0\x80\n\nx\0", "Malformed frame", "not UTF-8"),
        bad("a character beyond Unicode", "12", b"SEND\ndestination:/topic/bad\nn:\xf4\x90\x80\x80\n\nx\0", "Malformed frame", "not UTF-8"),
        bad("a carriage return in a value", "2", "SEND\ndestination:/topic/bad\nreceipt:r7\nn:a\rb\n\nx\0", "Malformed frame", "carriage return inside"),
        bad("a carriage return in a name", "2", "SEND\ndestination:/topic/bad\nreceipt:r7\nn\rn:v\n\nx\0", "Malformed frame", "carriage return inside"),
        bad("two carriage returns at the end of a line", "2", "SEND\ndestination:/topic/bad\nn:v\r\r\n\nx\0", "Malformed frame", "carriage return inside"),
    ]
}

#[rustfmt::skip]
fn bodies() -> Vec<Bad> {
    vec![
        bad("SUBSCRIBE with a body", "12", "SUBSCRIBE\nid:0\ndestination:/topic/bad\nreceipt:r7\n\nbody\0", "Malformed frame", "SUBSCRIBE has a body"),
        bad("UNSUBSCRIBE with a body", "12", "UNSUBSCRIBE\nid:0\nreceipt:r7\n\nbody\0", "Malformed frame", "UNSUBSCRIBE has a body"),
        bad("BEGIN with a body", "12", "BEGIN\ntransaction:t\nreceipt:r7\n\nbody\0", "Malformed frame", "BEGIN has a body"),
        bad("COMMIT with a body", "12", "COMMIT\ntransaction:t\nreceipt:r7\n\nbody\0", "Malformed frame", "COMMIT has a body"),
        bad("ABORT with a body", "12", "ABORT\ntransaction:t\nreceipt:r7\n\nbody\0", "Malformed frame", "ABORT has a body"),
        bad("ACK with a body", "12", "ACK\nid:0\nmessage-id:0\nreceipt:r7\n\nbody\0", "Malformed frame", "ACK has a body"),
        bad("NACK with a body", "12", "NACK\nid:0\nmessage-id:0\nreceipt:r7\n\nbody\0", "Malformed frame", "NACK has a body"),
        bad("DISCONNECT with a body", "12", "DISCONNECT\nreceipt:r7\n\nbody\0", "Malformed frame", "DISCONNECT has a body"),
        bad("BEGIN with a body of one NUL", "12", "BEGIN\ntransaction:t\ncontent-length:1\n\n\0\0", "Malformed frame", "BEGIN has a body"),
        // Lengths that are not true.
        bad("more than content-length says", "012", "SEND\ndestination:/topic/bad\nreceipt:r7\ncontent-length:2\n\nhello\0", "Bad content-length", "no NUL follows the 2 bytes"),
        bad("a body where content-length says none", "012", "SEND\ndestination:/topic/bad\nreceipt:r7\ncontent-length:0\n\nx\0", "Bad content-length", "no NUL follows the 0 bytes"),
        bad("of two lengths the first counts", "012", "SEND\ndestination:/topic/bad\nreceipt:r7\ncontent-length:1\ncontent-length:5\n\nhello\0", "Bad content-length", "no NUL follows the 1 bytes"),
        // Sizes.
        bad("a body that is announced too large", "012", "SEND\ndestination:/topic/bad\nreceipt:r7\ncontent-length:1048577\n\n", "Frame too large", "1048576"),
        bad("a length beyond all numbers", "012", "SEND\ndestination:/topic/bad\nreceipt:r7\ncontent-length:99999999999999999999999999\n\n", "Frame too large", "1048576"),
        bad("a body that grows too large", "2", format!("SEND\ndestination:/topic/bad\nreceipt:r7\n\n{}", "x".repeat((1 << 20) + 1)), "Frame too large", "1048576"),
        bad("129 headers", "012", format!("SEND\ndestination:/topic/bad\nreceipt:r7\n{}\nx\0", "a:b\n".repeat(127)), "Frame too large", "128 headers"),
        bad("a header of 8,193 bytes", "012", format!("SEND\ndestination:/topic/bad\nreceipt:r7\na:{}\n\nx\0", "x".repeat(8191)), "Frame too large", "8192"),
        bad("a header that never ends", "2", format!("SEND\ndestination:/topic/bad\nreceipt:r7\na:{}", "x".repeat(9000)), "Frame too large", "8192"),
        bad("headers of 32 KiB", "012", format!("SEND\ndestination:/topic/bad\nreceipt:r7\n{}\nx\0", format!("a:{}\n", "x".repeat(8000)).repeat(5)), "Frame too large", "32768"),
    ]
}

fn escapes() -> Vec<Bad> {
    let mut rows = Vec::new();
    for (name, header) in [
        ("an escaped t", "n:a\\tb"),
        ("an escaped zero", "n:a\\0b"),
        ("an escaped colon", "n:a\\:b"),
        ("an escaped capital", "n:a\\Nb"),
        ("an escaped x", "n:a\\x0a"),
        ("an escaped u", "n:\\u0041"),
        ("an escaped blank", "n:a\\ b"),
        ("an escaped quotation mark", "n:\\\"a\\\""),
        ("a backslash at the end", "n:a\\"),
        ("a backslash that is escaped, and one that is not", "n:a\\\\\\"),
        ("an escaped t in a name", "n\\t:v"),
        ("a backslash at the end of a name", "n\\:v"),
        ("an escaped t in the destination", "destination:/topic/bad\\t"),
    ] {
        let frame = format!("SEND\ndestination:/topic/bad\nreceipt:r7\n{header}\n\nx\0");
        rows.push(bad(name, "12", frame, "Undefined escape", "are defined"));
    }
    rows
}

fn lengths() -> Vec<Bad> {
    let mut rows = Vec::new();
    for (name, versions, length) in [
        ("a length in letters", "012", "abc"),
        ("a length of nothing", "012", ""),
        ("a length below zero", "012", "-1"),
        ("a length with a sign", "012", "+1"),
        ("a length with a point", "012", "1.0"),
        ("a length in hexadecimal", "012", "0x1"),
        ("a length with an exponent", "012", "1e0"),
        ("a blank before a length", "12", " 1"),
        ("a blank behind a length", "012", "1 "),
        ("a length in other digits", "012", "１"),
        ("two lengths in one", "012", "1,1"),
    ] {
        let frame = format!("SEND\ndestination:/topic/bad\nreceipt:r7\ncontent-length:{length}\n\nx\0");
        rows.push(bad(name, versions, frame, "Bad content-length", "is not a number"));
    }
    rows
}
