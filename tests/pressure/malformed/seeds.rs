//! What clients say when they are well, and what chance makes of it.

use std::fs;

use anyhow::{Context, Result};
use harness::binary::root;
use harness::dice::Dice;
use harness::mqtt::packet::Publish;
use harness::mqtt::property::{CONTENT_TYPE, Property};
use harness::mqtt::version::Version;
use harness::mqtt::write::{Connect, DISCONNECT, ack, publish, subscribe, unsubscribe};

use crate::hello::client_hello;

/// Whole conversations, from the client's side.
pub(crate) type Seeds = Vec<Vec<u8>>;

pub(crate) fn mqtt() -> Result<Seeds> {
    let mut seeds = corpus("mqtt_decode")?;
    for version in Version::ALL {
        let message = |qos| Publish::new("a/b", b"payload", qos).with_id(7);
        let connect = Connect::lasting(version, "client").will(Publish::new("will", b"gone", 1));
        let mut rich = Publish { retain: true, ..message(1) };
        if version == Version::V5 {
            rich.properties = vec![
                Property::Text(CONTENT_TYPE, "text/plain".into()),
                Property::Pair("k".into(), "v".into()),
            ];
        }
        let said = [
            subscribe(version, 1, &[("a/+", 2), ("$share/g/a/#", 1)], &[]),
            publish(version, &message(0)),
            publish(version, &rich),
            publish(version, &message(2)),
            ack::bytes(ack::PUBREL, 7).to_vec(),
            unsubscribe(version, 2, &["a/+"]),
            vec![0xc0, 0],
            DISCONNECT.to_vec(),
        ];
        seeds.push([connect.bytes(), said.concat()].concat());
        seeds.extend(said.map(|packet| [Connect::new(version, "").bytes(), packet].concat()));
    }
    Ok(seeds)
}

pub(crate) fn stomp() -> Result<Seeds> {
    let mut seeds = corpus("stomp_decode")?;
    for version in ["1.0", "1.1", "1.2", "1.0,1.1,1.2"] {
        let connect = format!("CONNECT\naccept-version:{version}\nhost:/\nheart-beat:1000,1000\n\n\0\n");
        for said in SAID {
            seeds.push(format!("{connect}{said}").into_bytes());
        }
        seeds.push(format!("{connect}{}", SAID.concat()).into_bytes());
    }
    Ok(seeds)
}

pub(crate) fn websocket_stomp() -> Result<Seeds> {
    let head = upgrade("/ws", "v12.stomp, v11.stomp");
    let frames = |said: Vec<u8>| [&head[..], &framed(1, &said), &framed(8, &[3, 0xe8])].concat();
    Ok(stomp()?.into_iter().map(frames).collect())
}

pub(crate) fn websocket_mqtt() -> Result<Seeds> {
    let head = upgrade("/ws", "mqtt");
    let frames = |said: Vec<u8>| [&head[..], &framed(2, &said), &framed(9, b"ping")].concat();
    Ok(mqtt()?.into_iter().map(frames).collect())
}

pub(crate) fn sockjs() -> Seeds {
    let mut seeds = Vec::new();
    let json = r#"["CONNECT\naccept-version:1.2\nhost:/\n\n\u0000"]"#;
    seeds.push([upgrade("/stomp/000/s1/websocket", ""), framed(1, json.as_bytes())].concat());
    for transport in ["xhr", "xhr_send", "xhr_streaming", "jsonp_send", "iframe.html", "info"] {
        let head = format!("POST /stomp/000/s{transport}/{transport} HTTP/1.1\r\nHost: localhost\r\n");
        seeds.push(format!("{head}Content-Length: {}\r\n\r\n{json}", json.len()).into_bytes());
        seeds.push(format!("{head}Transfer-Encoding: chunked\r\n\r\n5\r\n[\"a\"]\r\n0\r\n\r\n").into_bytes());
    }
    for target in
        ["/stomp/info", "/stomp/000/s/eventsource", "/stomp/000/s/htmlfile?c=x", "/stomp/000/s/jsonp?c=x"]
    {
        seeds.push(
            format!("GET {target} HTTP/1.1\r\nHost: localhost\r\nCookie: JSESSIONID=x\r\n\r\n").into_bytes(),
        );
    }
    seeds
}

fn upgrade(path: &str, protocol: &str) -> Vec<u8> {
    format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Sec-WebSocket-Protocol: {protocol}\r\nOrigin: http://localhost\r\n\r\n"
    )
    .into_bytes()
}

/// Headers of balancers, both versions, with MQTT behind them.
pub(crate) fn proxied() -> Result<Seeds> {
    let behind = mqtt()?;
    let ports = [0, 7, 0, 8];
    let second = |command: u8, family: u8, addresses: &[u8]| {
        let block = [addresses, &ports, &[4, 0, 1, 7]].concat();
        let length = (block.len() as u16).to_be_bytes();
        [b"\r\n\r\n\0\r\nQUIT\n", &[command, family][..], &length, &block].concat()
    };
    let headers = [
        b"PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n".to_vec(),
        b"PROXY TCP6 2001:db8::1 2001:db8::2 1 65535\r\n".to_vec(),
        b"PROXY UNKNOWN\r\n".to_vec(),
        second(0x21, 0x11, &[192, 0, 2, 1, 198, 51, 100, 1]),
        second(0x21, 0x21, &[7; 32]),
        second(0x20, 0, &[]),
    ];
    let mixed = headers.iter().cycle().zip(&behind).map(|(header, said)| [&header[..], said].concat());
    let mixed = mixed.collect::<Seeds>();
    Ok([headers.to_vec(), mixed].concat())
}

/// What begins a handshake, whole and in two records, and what may come behind it.
pub(crate) fn tls() -> Seeds {
    let hello = client_hello();
    let record =
        |kind: u8, data: &[u8]| [&[kind, 3, 3][..], &(data.len() as u16).to_be_bytes(), data].concat();
    let message = hello.get(5..).unwrap_or_default();
    let (one, other) = message.split_at(message.len() / 3);
    let split = [record(22, one), record(22, other)].concat();
    // Change cipher spec, an alert, what looks like data, and a Finished that is none.
    let more =
        [record(20, &[1]), record(21, &[1, 0]), record(23, &[7; 64]), record(22, &[20, 0, 0, 4, 1, 2, 3, 4])];
    let mut seeds = vec![hello.clone(), split.clone()];
    seeds.extend(more.iter().map(|more| [&hello[..], more].concat()));
    seeds.extend(more.iter().map(|more| [&split[..], more].concat()));
    seeds.push([hello, more.concat()].concat());
    seeds
}

pub(crate) fn admin() -> Seeds {
    let login =
        "Host: localhost\r\nAuthorization: Basic Z3Vlc3Q6Z3Vlc3Q=\r\nContent-Type: application/json\r\n";
    let mut seeds = Vec::new();
    for target in [
        "/healthz",
        "/metrics",
        "/api/v1/sessions?limit=5&user=",
        "/api/queues/%2F/a?x=1",
        "/api/definitions",
    ] {
        seeds.push(format!("GET {target} HTTP/1.1\r\n{login}\r\n").into_bytes());
    }
    for (method, target, body) in [
        ("PUT", "/api/queues/%2F/a", r#"{"durable":true,"arguments":{"x-max-length":5}}"#),
        ("PUT", "/api/exchanges/%2F/e", r#"{"type":"topic","internal":false}"#),
        ("POST", "/api/bindings/%2F/e/e/q/a", r#"{"routing_key":"a.*","arguments":{}}"#),
        ("POST", "/api/v1/kick", r#"{"client":"a"}"#),
        (
            "POST",
            "/api/definitions",
            r#"{"queues":[{"name":"a","vhost":"/","durable":true,"arguments":{}}]}"#,
        ),
        ("DELETE", "/api/queues/%2F/a?if-empty=true", ""),
    ] {
        let length = body.len();
        seeds.push(
            format!("{method} {target} HTTP/1.1\r\n{login}Content-Length: {length}\r\n\r\n{body}")
                .into_bytes(),
        );
    }
    seeds
}

/// A frame of WebSocket, masked.
fn framed(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x80 | opcode];
    match u16::try_from(payload.len()) {
        Ok(length) if length < 126 => frame.push(0x80 | payload.len() as u8),
        Ok(length) => {
            frame.push(0x80 | 126);
            frame.extend(length.to_be_bytes());
        }
        Err(_) => {
            frame.push(0x80 | 127);
            frame.extend((payload.len() as u64).to_be_bytes());
        }
    }
    let mask = [0x12, 0x34, 0x56, 0x78];
    frame.extend(mask);
    frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

/// One of them, as chance changed it; now and then nothing but chance.
pub(crate) fn changed(seeds: &Seeds, dice: &mut Dice) -> Vec<u8> {
    if dice.chance(5) {
        let count = dice.below(300) as usize;
        return dice.bytes(count);
    }
    let mut input = pick(seeds, dice).to_vec();
    for _ in 0..=dice.below(4) {
        change(&mut input, seeds, dice);
    }
    input.truncate(BYTES_MAX);
    input
}

fn change(input: &mut Vec<u8>, seeds: &Seeds, dice: &mut Dice) {
    let at = dice.below(input.len() as u64 + 1) as usize;
    let end = (at + dice.below(16) as usize).min(input.len());
    match dice.below(8) {
        0 => {
            if let Some(byte) = input.get_mut(at) {
                *byte ^= 1 << dice.below(8);
            }
        }
        1 => {
            if let Some(byte) = input.get_mut(at) {
                *byte = ODD[dice.below(ODD.len() as u64) as usize];
            }
        }
        2 => drop(input.drain(at..end)),
        3 => {
            let again = input.get(at..end).unwrap_or_default().to_vec();
            input.splice(at..at, again);
        }
        4 => {
            let count = dice.below(12) as usize;
            input.splice(at..at, dice.bytes(count));
        }
        5 => input.truncate(at),
        6 => {
            let other = pick(seeds, dice);
            let from = dice.below(other.len() as u64 + 1) as usize;
            input.splice(at.., other.get(from..).unwrap_or_default().iter().copied());
        }
        // What is announced, and what comes: a longer length, or a shorter one.
        _ => {
            if let Some(byte) = input.get_mut(at) {
                *byte = byte.wrapping_add(1 + 253 * dice.below(2) as u8);
            }
        }
    }
}

fn pick<'a>(seeds: &'a Seeds, dice: &mut Dice) -> &'a [u8] {
    seeds.get(dice.below(seeds.len() as u64) as usize).map_or(&[], Vec::as_slice)
}

fn corpus(target: &str) -> Result<Seeds> {
    let folder = root().join("tests/fuzz/corpus").join(target);
    let mut paths = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
        paths.push(entry?.path());
    }
    paths.sort();
    paths.iter().map(|path| Ok(fs::read(path)?)).collect()
}

/// Bytes that mean something somewhere.
const ODD: [u8; 12] = [0, 1, 0x0a, 0x0d, b':', b'\\', b'/', 0x7f, 0x80, 0xc0, 0xfe, 0xff];

/// The longest input.
const BYTES_MAX: usize = 16 << 10;

const SAID: [&str; 9] = [
    "SUBSCRIBE\nid:0\ndestination:/topic/a.*\nack:client\n\n\0",
    "SUBSCRIBE\nid:1\ndestination:/queue/q\nack:client-individual\nprefetch-count:5\n\n\0",
    "SEND\ndestination:/queue/q\nreceipt:r\ncontent-length:4\npriority:5\nexpiration:1000\n\nbody\0",
    "SEND\ndestination:/topic/a.b\nreply-to:/temp-queue/t\nx:a\\nb\\cc\n\nbody\0",
    "BEGIN\ntransaction:t\n\n\0SEND\ndestination:/queue/q\ntransaction:t\n\nx\0COMMIT\ntransaction:t\n\n\0",
    "ACK\nid:1\nmessage-id:1\nsubscription:1\n\n\0",
    "SEND\ndestination:/exchange/amq.headers/k\nx-dedup-id:1\n\n\0",
    "UNSUBSCRIBE\nid:0\n\n\0",
    "DISCONNECT\nreceipt:bye\n\n\0",
];
