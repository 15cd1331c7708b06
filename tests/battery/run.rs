//! Plays cases, many at once, and says where the answer was another one.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::Result;
use harness::mqtt::packet::{Packet, cut};
use harness::mqtt::version::Version;
use harness::socket::{Next, Socket};
use harness::websocket::{binary, upgrade};

use crate::cases::Case;
use crate::write::Connect;

/// What carries the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// All at once.
    Tcp,
    /// A few bytes at a time: how bytes arrive changes nothing.
    Pieces,
    /// In two frames: a packet may be cut by them [MQTT-6.0.0-2].
    WebSocket,
}

/// The cases that went another way, in words.
pub(crate) fn run(cases: &[Case], way: Way, address: SocketAddr) -> Result<Vec<String>> {
    let next = AtomicUsize::new(0);
    let broken = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let got = play(case, way, address).unwrap_or_else(|error| format!("{error}"));
                    if got != case.hears {
                        let sent: String =
                            case.sends.iter().take(200).map(|byte| format!("{byte:02x}")).collect();
                        let text = format!(
                            "{way:?} {}\n  sent {sent}\n  expected {}\n  got      {got}",
                            case.name, case.hears
                        );
                        broken.lock().unwrap_or_else(PoisonError::into_inner).push(text);
                    }
                }
            });
        }
    });
    let mut broken = broken.into_inner()?;
    broken.sort();
    Ok(broken)
}

fn play(case: &Case, way: Way, address: SocketAddr) -> io::Result<String> {
    let mut wire = Wire::dial(way, address)?;
    if case.is_in {
        wire.send(&Connect::new(case.version).bytes())?;
        let said = wire.next(case.version)?;
        if said.as_deref() != Some("CONNACK 00") {
            return Ok(format!("not let in: {said:?}"));
        }
    }
    let goes_on = case.hears.ends_with("on");
    let ping: &[u8] = if goes_on { &PINGREQ } else { &[] };
    // A broker that has hung up already may not take all of it.
    let _ = wire.send(&[&case.sends, ping].concat());
    if case.is_cut {
        wire.socket.finish()?;
    }
    if goes_on { goes_on_after(case, &mut wire) } else { ends_after(case, &mut wire) }
}

/// What is heard until the end.
fn ends_after(case: &Case, wire: &mut Wire) -> io::Result<String> {
    let mut heard = Vec::new();
    while let Some(said) = wire.next(case.version)? {
        heard.push(said);
    }
    heard.push("end".to_owned());
    Ok(heard.join(", "))
}

/// What is heard, and whether a ping after it is answered. Answers may wait for the disk, pings do not: so as many packets are
/// waited for as are expected, and then whether more come.
fn goes_on_after(case: &Case, wire: &mut Wire) -> io::Result<String> {
    let mut heard = Vec::new();
    for _ in case.hears.split(", ") {
        heard.extend(wire.next(case.version)?);
    }
    let Some(ping) = heard.iter().rposition(|said| said == "PINGRESP") else {
        return Ok(heard.join(", "));
    };
    heard.remove(ping);
    wire.send(&PINGREQ)?;
    loop {
        match wire.next(case.version)?.as_deref() {
            None => heard.push("end".to_owned()),
            Some("PINGRESP") => heard.push("on".to_owned()),
            Some(said) => {
                heard.push(said.to_owned());
                continue;
            }
        }
        return Ok(heard.join(", "));
    }
}

struct Wire {
    way: Way,
    socket: Socket,
    bytes: Vec<u8>,
    is_over: bool,
}

impl Wire {
    fn dial(way: Way, address: SocketAddr) -> io::Result<Self> {
        let socket = match way {
            Way::Tcp | Way::Pieces => Socket::dial(address)?,
            Way::WebSocket => upgrade(address, "/ws", "mqtt")?.1,
        };
        Ok(Self { way, socket, bytes: Vec::new(), is_over: false })
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self.way {
            Way::Tcp => self.socket.write(bytes),
            Way::Pieces => {
                let mut pieces = bytes.chunks((bytes.len() / PIECES).max(1));
                pieces.try_for_each(|piece| self.socket.write(piece))
            }
            Way::WebSocket => {
                let (one, other) = bytes.split_at(bytes.len() / 2);
                self.socket.write(&[binary(one), binary(other)].concat())
            }
        }
    }

    /// The next packet but for messages, in words; `None`: the end. A CONNACK of two bytes is none of 5.0, whatever was spoken.
    fn next(&mut self, version: Version) -> io::Result<Option<String>> {
        loop {
            let speaks = match self.bytes.as_slice() {
                [0x20, 2, ..] => Version::V311,
                [0x20, _, ..] => Version::V5,
                _ => version,
            };
            match cut(&mut self.bytes, speaks)? {
                // What others publish is not the sequence's business.
                Some(Packet::Publish(_)) => continue,
                Some(packet) => return Ok(Some(said(&packet))),
                None if !self.is_over => self.fill()?,
                None if self.bytes.is_empty() => return Ok(None),
                None => return Err(io::Error::other("half a packet")),
            }
        }
    }

    fn fill(&mut self) -> io::Result<()> {
        let way = self.way;
        let next = self.socket.next(PATIENCE, |buffer| match way {
            Way::Tcp | Way::Pieces if buffer.is_empty() => Ok(None),
            Way::Tcp | Way::Pieces => Ok(Some(Some(std::mem::take(buffer)))),
            Way::WebSocket => message(buffer),
        })?;
        match next {
            Next::Some(Some(bytes)) => self.bytes.extend(bytes),
            Next::Some(None) | Next::Closed => self.is_over = true,
            Next::Silence => return Err(io::Error::other(format!("silence for {PATIENCE:?}"))),
        }
        Ok(())
    }
}

/// A message of the broker's in one frame, or `None` inside for its good-bye (RFC 6455, 5.2, 5.5.1).
fn message(buffer: &mut Vec<u8>) -> io::Result<Option<Option<Vec<u8>>>> {
    let (size, head) = match buffer.as_slice() {
        [0x88, ..] => return Ok(Some(None)),
        [0x82, short @ 0..=125, ..] => (usize::from(*short), 2),
        [0x82, 126, high, low, ..] => (usize::from(*high) << 8 | usize::from(*low), 4),
        [0x82, 126, ..] | [] | [0x82] => return Ok(None),
        other => return Err(io::Error::other(format!("no short binary message: {other:02x?}"))),
    };
    if buffer.len() < head + size {
        return Ok(None);
    }
    Ok(Some(Some(buffer.drain(..head + size).skip(head).collect())))
}

/// A packet in words: its name, its id, its codes in hex. An acknowledgement that is no error is `ok`: whether somebody else
/// subscribes to the topic is not the sequence's business.
fn said(packet: &Packet) -> String {
    let codes = |codes: &[u8]| codes.iter().map(|code| format!(" {code:02x}")).collect::<String>();
    match packet {
        Packet::Connack(connack) if connack.session_present => {
            format!("CONNACK {:02x} present", connack.code)
        }
        Packet::Connack(connack) => format!("CONNACK {:02x}", connack.code),
        Packet::Publish(publish) => format!("PUBLISH {}", publish.topic),
        Packet::Ack { kind, id, reason } => {
            let name = ["PUBACK", "PUBREC", "PUBREL", "PUBCOMP"][usize::from(kind - 4)];
            if *reason < 0x80 { format!("{name} {id} ok") } else { format!("{name} {id} {reason:02x}") }
        }
        Packet::Suback { id, codes: of, .. } => format!("SUBACK {id}{}", codes(of)),
        Packet::Unsuback { id, codes: of } => format!("UNSUBACK {id}{}", codes(of)),
        Packet::Pingresp => "PINGRESP".to_owned(),
        Packet::Disconnect { reason, .. } => format!("DISCONNECT {reason:02x}"),
    }
}

const CLIENTS: usize = 24;

/// About how many.
const PIECES: usize = 30;

const PINGREQ: [u8; 2] = [0xc0, 0];

/// Only a failure takes that long.
const PATIENCE: Duration = Duration::from_secs(30);
