//! Whatever comes, however it is cut: the same answers, and never a panic.

use model::session::Session as _;
use proptest::prelude::*;
use stomp::options::Options;
use stomp::version::Version;

use crate::harness::Peer;

/// Everything a client can say, with headers that mean something more often than not.
fn frames() -> impl Strategy<Value = String> {
    let command = prop::sample::select(vec![
        "SEND",
        "SEND",
        "SUBSCRIBE",
        "SUBSCRIBE",
        "UNSUBSCRIBE",
        "ACK",
        "NACK",
        "BEGIN",
        "COMMIT",
        "ABORT",
        "DISCONNECT",
        "CONNECT",
        "MESSAGE",
        "nonsense",
    ]);
    let header = prop::sample::select(vec![
        "destination:/topic/a",
        "destination:/queue/q",
        "destination:/amq/queue/q",
        "destination:/exchange/x/k",
        "destination:/topic/a/b",
        "destination:큐",
        "id:1",
        "id:2",
        "id:T_1@@session-1@@1",
        "ack:client",
        "ack:client-individual",
        "transaction:t",
        "transaction:u",
        "receipt:r",
        "durable:true",
        "auto-delete:false",
        "prefetch-count:3",
        "requeue:false",
        "qos:0",
        "priority:9",
        "expiration:1",
        "content-length:0",
        "x\\c:y\\n",
        "bad\\escape",
        "nocolon",
    ]);
    let frame =
        (command, prop::collection::vec(header, 0..5), prop::option::weighted(0.3, "[a-z가\\x00]{0,5}"));
    let frame = frame.prop_map(|(command, headers, body)| {
        let headers: String = headers.iter().map(|header| format!("{header}\n")).collect();
        format!("{command}\n{headers}\n{}\0", body.unwrap_or_default())
    });
    prop::collection::vec(frame, 0..12).prop_map(|frames| frames.concat())
}

proptest! {
    #[test]
    fn cutting_the_input_anywhere_changes_nothing(
        stream in frames(),
        version in prop::sample::select(Version::ALL.to_vec()),
        cuts in prop::collection::vec(1..30_usize, 1..50),
    ) {
        let run = |sizes: &[usize]| {
            let mut peer = Peer::online(version);
            let mut rest = stream.as_bytes();
            let mut sizes = sizes.iter().cycle();
            while !rest.is_empty() && peer.is_open() {
                let (piece, after) = rest.split_at((*sizes.next().unwrap()).min(rest.len()));
                peer.bytes.extend_from_slice(piece);
                peer.feed("");
                rest = after;
            }
            (format!("{:?}", peer.requests()), peer.raw(), peer.out.close.is_some())
        };
        prop_assert_eq!(run(&cuts), run(&[usize::MAX]));
    }

    #[test]
    fn any_bytes_end_in_silence_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut peer = Peer::greeting(Options::default());
        peer.bytes.extend_from_slice(&bytes);
        peer.feed("");
        let is_error = peer.raw().starts_with(b"ERROR\n");
        prop_assert_eq!(is_error, !peer.is_open());
        prop_assert_eq!(peer.session.window(), 0);
    }
}
