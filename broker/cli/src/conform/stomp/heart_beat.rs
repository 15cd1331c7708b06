//! Heart-beats, both ways.

use std::time::{Duration, Instant};

use crate::conform::case::{Outcome, Short};
use crate::conform::peer::Next;
use crate::conform::stomp::client::Client;
use crate::conform::stomp::place::{Place, ensure};

/// `heart-beat` of CONNECTED is two numbers.
pub(crate) fn two_numbers(place: Place<'_>) -> Outcome {
    agree(place, 1_000, 1_000).map(drop)
}

/// Who says nothing of heart-beats gets none, and may be silent.
pub(crate) fn none_asked(place: Place<'_>) -> Outcome {
    let mut client = Client::enter(place)?;
    // What CONNECTED may be followed by is no beat.
    client.bytes(Duration::from_millis(200))?;
    match client.bytes(Duration::from_secs(4))? {
        Next::Silence => client.send(&place.topic(), "still there"),
        Next::Some(bytes) => Err(Short::failed(format!("nobody asked for beats; came {bytes:?}"))),
        Next::End => Err(Short::failed("the broker closed on a client that promised nothing")),
    }
}

/// The broker sends something at least as often as was agreed, from CONNECTED on.
pub(crate) fn server_beats(place: Place<'_>) -> Outcome {
    let mut interval = Duration::ZERO;
    let mut clients = Vec::new();
    // Several at once: there is a broker whose first beat is late on every other connection.
    for _ in 0..CONNECTIONS {
        let (mut client, [server_sends, _]) = agree(place, 0, 1_000)?;
        let connected_at = Instant::now();
        interval = agreed(server_sends, 1_000)?;
        client.bytes(BEHIND_CONNECTED)?;
        clients.push((client, connected_at));
    }
    for _ in 0..3 {
        for (client, heard_at) in &mut clients {
            let left = (*heard_at + interval + SLACK).saturating_duration_since(Instant::now());
            match client.bytes(left.max(Duration::from_millis(1)))? {
                Next::Some(_) => *heard_at = Instant::now(),
                Next::Silence => {
                    let silence_ms = heard_at.elapsed().as_millis();
                    let why = format!("agreed on {interval:?}; silence for {silence_ms} ms");
                    return Err(Short::failed(why));
                }
                Next::End => return Err(Short::failed("the broker closed the connection")),
            }
        }
    }
    Ok(())
}

/// What the broker sends when it has nothing to say is a line end, whenever that is.
pub(crate) fn line_end(place: Place<'_>) -> Outcome {
    let (mut client, [server_sends, _]) = agree(place, 0, 1_000)?;
    let interval = agreed(server_sends, 1_000)?;
    client.bytes(BEHIND_CONNECTED)?;
    match client.bytes(interval * 3)? {
        Next::Some(bytes) => {
            let is_line_end = bytes.iter().all(|byte| matches!(byte, b'\n' | b'\r'));
            ensure(is_line_end && bytes.contains(&b'\n'), || format!("a beat is a line end; came {bytes:?}"))
        }
        Next::Silence => Err(Short::failed(format!("agreed on {interval:?}; no beat came in three of them"))),
        Next::End => Err(Short::failed("the broker closed the connection")),
    }
}

/// A client that beats as it promised is not cut off, a little late or not; its beat is any data.
pub(crate) fn client_beats(place: Place<'_>) -> Outcome {
    let (mut client, [_, server_wants]) = agree(place, 1_000, 0)?;
    let interval = agreed(1_000, server_wants)?;
    let late = interval + interval / 10;
    for round in 0..4 {
        let until = Instant::now() + late;
        // What the broker may say meanwhile does not matter here.
        while let Next::Some(_) = client.bytes(until.saturating_duration_since(Instant::now()))? {}
        match client.bytes(Duration::from_millis(1))? {
            Next::Some(_) | Next::Silence if round % 2 == 0 => client.raw(b"\n"),
            Next::Some(_) | Next::Silence => {
                client.say(&format!("SEND\ndestination:{}", place.topic()), "alive")
            }
            Next::End => {
                return Err(Short::failed(format!(
                    "cut off; {interval:?} were agreed, it beat every {late:?}"
                )));
            }
        }
    }
    client.send(&place.topic(), "still there")
}

/// A client that offers and wants so much, and what the broker answers, in milliseconds.
fn agree(place: Place<'_>, can_send_ms: u64, wants_ms: u64) -> Result<(Client, [u64; 2]), Short> {
    let mut client = Client::dial(place)?;
    client.say(&format!("{}\nheart-beat:{can_send_ms},{wants_ms}", place.connect_as()), "");
    let connected = client.hear("CONNECTED")?;
    let Some(text) = connected.raw("heart-beat") else {
        return Err(Short::NotApplicable("CONNECTED has no heart-beat header".into()));
    };
    let numbers = text.split_once(',').and_then(|(one, two)| Some([one.parse().ok()?, two.parse().ok()?]));
    let numbers = numbers.ok_or_else(|| Short::failed(format!("two numbers, not {text:?}")))?;
    Ok((client, numbers))
}

/// The larger of the two; none if one says zero.
fn agreed(one_ms: u64, two_ms: u64) -> Result<Duration, Short> {
    let interval = Duration::from_millis(one_ms.max(two_ms));
    if one_ms == 0 || two_ms == 0 {
        return Err(Short::NotApplicable("the broker has no heart-beats this way".into()));
    }
    if interval > INTERVAL_MAX {
        return Err(Short::NotApplicable(format!(
            "the broker beats every {interval:?}, too seldom to wait for"
        )));
    }
    Ok(interval)
}

/// How many connections are looked at together.
const CONNECTIONS: usize = 6;
/// A line end that follows CONNECTED at once is no beat.
const BEHIND_CONNECTED: Duration = Duration::from_millis(50);
/// What a busy machine may be late by.
const SLACK: Duration = Duration::from_millis(300);
/// How long a beat is waited for.
const INTERVAL_MAX: Duration = Duration::from_secs(8);
