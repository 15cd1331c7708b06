//! What cannot be the first frame of a client. What begins like another protocol is told apart before STOMP sees it, but in a
//! WebSocket.

use crate::bad_frames::row::{Bad, bad};

/// The rows.
#[rustfmt::skip]
pub(super) fn rows() -> Vec<Bad> {
    let mut rows = vec![
        // Another frame.
        bad("SEND before CONNECT", "-", "SEND\ndestination:/topic/bad\nreceipt:r7\n\nx\0", "Illegal command", "log in using CONNECT first"),
        bad("SUBSCRIBE before CONNECT", "-", "SUBSCRIBE\nid:0\ndestination:/topic/bad\nreceipt:r7\n\n\0", "Illegal command", "log in"),
        bad("UNSUBSCRIBE before CONNECT", "-", "UNSUBSCRIBE\nid:0\n\n\0", "Illegal command", "log in"),
        bad("BEGIN before CONNECT", "-", "BEGIN\ntransaction:t\n\n\0", "Illegal command", "log in"),
        bad("COMMIT before CONNECT", "-", "COMMIT\ntransaction:t\n\n\0", "Illegal command", "log in"),
        bad("ABORT before CONNECT", "-", "ABORT\ntransaction:t\n\n\0", "Illegal command", "log in"),
        bad("ACK before CONNECT", "-", "ACK\nid:0\n\n\0", "Illegal command", "log in"),
        bad("NACK before CONNECT", "-", "NACK\nid:0\n\n\0", "Illegal command", "log in"),
        bad("DISCONNECT before CONNECT", "-", "DISCONNECT\nreceipt:r7\n\n\0", "Illegal command", "log in"),
        bad("MESSAGE before CONNECT", "-", "MESSAGE\nmessage-id:1\n\n\0", "Illegal command", "log in"),
        bad("RECEIPT before CONNECT", "-", "RECEIPT\nreceipt-id:1\n\n\0", "Illegal command", "log in"),
        bad("ERROR before CONNECT", "-", "ERROR\nmessage:x\n\n\0", "Illegal command", "log in"),
        bad("CONNECTED before CONNECT", "-", "CONNECTED\nversion:1.2\n\n\0", "Illegal command", "log in"),
        // No frame of STOMP.
        bad("an unknown command", "-", "HELLO\n\n\0", "Bad command", "HELLO"),
        bad("a command in small letters", "-", "connect\naccept-version:1.2\nhost:/\n\n\0", "Bad command", "capitals"),
        bad("a command in mixed letters", "-", "Connect\naccept-version:1.2\nhost:/\n\n\0", "Bad command", "Connect"),
        bad("a blank behind the command", "w", "CONNECT \naccept-version:1.2\nhost:/\n\n\0", "Bad command", "without blanks"),
        bad("a blank before the command", "-", " CONNECT\naccept-version:1.2\nhost:/\n\n\0", "Bad command", "without blanks"),
        bad("a tabulator behind the command", "-", "CONNECT\t\naccept-version:1.2\nhost:/\n\n\0", "Bad command", "CONNECT"),
        bad("a byte order mark", "-", "\u{feff}CONNECT\naccept-version:1.2\nhost:/\n\n\0", "Bad command", "CONNECT"),
        bad("two commands in one", "-", "CONNECTSTOMP\n\n\0", "Bad command", "CONNECTSTOMP"),
        bad("a request of HTTP", "w", "GET / HTTP/1.1\r\nHost: x\r\nAuthorization: s3cret\r\n\r\n", "Bad command", "GET /"),
        bad("a command that does not end", "-", "C".repeat(33), "Bad command", "longer than 32 bytes"),
        bad("a headless frame", "-", "accept-version:1.2\nhost:/\n\n\0", "Bad command", "accept-version"),
        bad("a CONNECT of MQTT", "w", b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00", "Malformed frame", "NUL"),
        // Versions.
        bad("a version of the future", "-", "CONNECT\naccept-version:2.0\nhost:/\n\n\0", "Version mismatch", "1.0,1.1,1.2"),
        bad("an empty list of versions", "-", "CONNECT\naccept-version:\nhost:/\n\n\0", "Version mismatch", "1.0,1.1,1.2"),
        bad("half a version", "-", "CONNECT\naccept-version:1\nhost:/\n\n\0", "Version mismatch", "1.0,1.1,1.2"),
        bad("several unknown versions", "-", "CONNECT\naccept-version:1.3,9.9\nhost:/\n\n\0", "Version mismatch", "1.0,1.1,1.2"),
        bad("versions parted by something else", "-", "CONNECT\naccept-version:1.1;1.2\nhost:/\n\n\0", "Version mismatch", "1.0,1.1,1.2"),
        bad("a version in words", "-", "STOMP\naccept-version:one.two\nhost:/\n\n\0", "Version mismatch", "1.0,1.1,1.2"),
        bad("of repeated lists of versions the first counts", "-", "CONNECT\naccept-version:2.0\naccept-version:1.2\nhost:/\n\n\0", "Version mismatch", "1.0,1.1,1.2"),
        // Who, and where.
        bad("an unknown virtual host", "-", "CONNECT\naccept-version:1.2\nhost:nowhere.example\n\n\0", "virtual host", "node.host_names"),
        bad("a wrong passcode", "-", "CONNECT\naccept-version:1.2\nhost:/\nlogin:guest\npasscode:s3cret\n\n\0", "Bad CONNECT", "Access refused for user 'guest'"),
        bad("an unknown user", "-", "CONNECT\naccept-version:1.1\nhost:/\nlogin:nobody\npasscode:s3cret\n\n\0", "Bad CONNECT", "Access refused for user 'nobody'"),
        bad("a login without a passcode", "-", "CONNECT\naccept-version:1.0\nlogin:guest\n\n\0", "Bad CONNECT", "Access refused"),
        bad("a client-id that is too long", "-", format!("CONNECT\naccept-version:1.2\nhost:/\nclient-id:{}\n\n\0", "x".repeat(257)), "Invalid header", "client-id"),
        // Form.
        bad("a body", "-", "CONNECT\naccept-version:1.2\nhost:/\n\nbody\0", "Malformed frame", "has a body"),
        bad("a body with its length", "-", "CONNECT\naccept-version:1.2\nhost:/\ncontent-length:4\n\nbody\0", "Malformed frame", "has a body"),
        bad("a header without a colon", "-", "CONNECT\naccept-version\n\n\0", "Malformed frame", "no colon"),
        bad("a header without a name", "-", "CONNECT\n:1.2\n\n\0", "Malformed frame", "no name"),
        bad("a NUL within the headers", "-", "CONNECT\naccept-version:1.2\0", "Malformed frame", "NUL"),
        bad("a header that is no text", "-", b"CONNECT\naccept-version:1.2\nlogin:\xff\xfe\n\n\0", "Malformed frame", "not UTF-8"),
        bad("a length in words", "-", "CONNECT\naccept-version:1.2\nhost:/\ncontent-length:none\n\n\0", "Bad content-length", "not a number"),
        bad("a length below zero", "-", "CONNECT\naccept-version:1.2\nhost:/\ncontent-length:-1\n\n\0", "Bad content-length", "not a number"),
        bad("a body too long for who is not in", "-", "CONNECT\naccept-version:1.2\nhost:/\ncontent-length:65537\n\n", "Frame too large", "65536"),
        bad("too much without a length", "-", format!("CONNECT\naccept-version:1.2\nhost:/\n\n{}", "x".repeat(65_537)), "Frame too large", "65536"),
        bad("too many headers", "-", format!("CONNECT\n{}\n\0", "a:b\n".repeat(129)), "Frame too large", "128 headers"),
        bad("a header that is too long", "-", format!("CONNECT\npasscode:{}\n\n\0", "s3cret".repeat(1400)), "Frame too large", "8192"),
        bad("headers that are too long together", "-", format!("CONNECT\n{}\n\0", format!("a:{}\n", "x".repeat(8000)).repeat(5)), "Frame too large", "32768"),
        bad("a secret beside an error", "-", "CONNECT\naccept-version:1.2\nhost:/\npasscode:s3cret\nX-Auth-Token:s3cret\nheart-beat:x\n\n\0", "Invalid header", "passcode:***"),
        bad("a secret in what cannot be read", "-", "CONNECT\npasscode:s3cret\nnothing\n\n\0", "Malformed frame", "passcode:***"),
    ];
    for (name, value) in [
        ("heart-beats in words", "often,seldom"),
        ("one heart-beat", "1000"),
        ("three heart-beats", "1,2,3"),
        ("a heart-beat below zero", "-1,0"),
        ("half a heart-beat", "1.5,0"),
        ("a heart-beat that is too large", "4294967296,0"),
        ("a heart-beat of nothing", ","),
        ("a heart-beat with a sign", "+1,1"),
    ] {
        let frame = format!("CONNECT\naccept-version:1.2\nhost:/\nheart-beat:{value}\n\n\0");
        rows.push(bad(name, "-", frame, "Invalid header", "10000,10000"));
    }
    rows
}
