//! What a client says in a play: frames that mean something more often than not.

use crate::script::Script;

/// Appends the next frame.
pub fn say(script: &mut Script<'_>, to: &mut Vec<u8>) {
    if script.byte().is_multiple_of(16) {
        return to.extend_from_slice(script.bytes());
    }
    to.extend_from_slice(script.pick(COMMANDS).as_bytes());
    to.push(b'\n');
    for _ in 0..script.byte() % 6 {
        to.extend_from_slice(script.pick(HEADERS).as_bytes());
        to.push(b'\n');
    }
    to.push(b'\n');
    if script.byte().is_multiple_of(4) {
        to.extend_from_slice(script.bytes());
    }
    to.push(0);
}

/// Appends a frame that mostly lets a client in.
pub fn connect(script: &mut Script<'_>, to: &mut Vec<u8>) {
    let command = script.pick(&["CONNECT\n", "STOMP\n"]);
    let accept = script.pick(&[
        "accept-version:1.2\n",
        "accept-version:1.1\n",
        "",
        "accept-version:1.0,1.1,1.2\n",
        "accept-version:2.0\n",
    ]);
    let heart_beat = script.pick(&["", "heart-beat:0,0\n", "heart-beat:1000,1000\n", "heart-beat:1,x\n"]);
    let login = script.pick(&["", "login:a\npasscode:b\n", "host:/\n", "host:\n"]);
    to.extend_from_slice(format!("{command}{accept}{heart_beat}{login}\n\0").as_bytes());
}

const COMMANDS: &[&str] = &[
    "SEND",
    "SUBSCRIBE",
    "ACK",
    "NACK",
    "UNSUBSCRIBE",
    "BEGIN",
    "COMMIT",
    "ABORT",
    "SEND",
    "SUBSCRIBE",
    "ACK",
    "DISCONNECT",
    "CONNECT",
    "MESSAGE",
];

const HEADERS: &[&str] = &[
    "destination:/topic/a",
    "destination:/queue/q",
    "destination:/amq/queue/q",
    "destination:/exchange/x/k",
    "destination:/topic/a.*.#",
    "destination:/topic/a%2Fb",
    "destination:큐",
    "destination:/temp-queue/t",
    "id:1",
    "id:2",
    "id:T_1@@session-1@@1",
    "message-id:T_1@@session-1@@1",
    "id:T_1@@session-1@@2",
    "message-id:T_2@@session-1@@1",
    "ack:client",
    "ack:client-individual",
    "ack:auto",
    "transaction:t",
    "transaction:u",
    "receipt:r",
    "receipt:s\\n",
    "durable:true",
    "persistent:true",
    "auto-delete:false",
    "prefetch-count:3",
    "prefetch-count:0",
    "requeue:false",
    "qos:0",
    "priority:9",
    "expiration:1",
    "reply-to:/topic/a",
    "reply-to:/temp-queue/t",
    "x-queue-name:n",
    "content-length:0",
    "content-length:3",
    "x\\c:y\\n",
    "bad\\escape",
    "nocolon",
];
