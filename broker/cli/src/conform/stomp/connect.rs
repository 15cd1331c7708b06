//! From CONNECT to CONNECTED.

use stomp::version::Version;

use crate::conform::case::{Outcome, Short};
use crate::conform::peer::Next;
use crate::conform::stomp::client::Client;
use crate::conform::stomp::place::{Place, ensure};

/// CONNECTED comes, with its headers.
pub(crate) fn connected(place: Place<'_>) -> Outcome {
    let mut client = Client::dial(place)?;
    client.say(&place.connect_as(), "");
    let frame = client.hear("CONNECTED")?;
    if place.version == Version::V1_0 {
        return ensure(frame.raw("session").is_some(), || format!("no session header in {frame}"));
    }
    let version = frame.raw("version");
    ensure(version == Some(place.version.as_str()), || format!("expected version {}: {frame}", place.version))
}

/// STOMP does what CONNECT does.
pub(crate) fn stomp(place: Place<'_>) -> Outcome {
    let mut client = Client::dial(place)?;
    client.say(&place.connect_as().replacen("CONNECT", "STOMP", 1), "");
    let frame = client.hear("CONNECTED")?;
    let version = frame.raw("version");
    ensure(version == Some(place.version.as_str()), || format!("expected version {}: {frame}", place.version))
}

/// A client that names no version speaks 1.0.
pub(crate) fn no_version(place: Place<'_>) -> Outcome {
    let mut client = Client::dial(place)?;
    client.say(&place.connect(), "");
    match client.next(client.patience())? {
        Next::Some(frame) if frame.command == "CONNECTED" => {
            let version = frame.raw("version");
            ensure(matches!(version, None | Some("1.0")), || format!("not 1.0, which is meant: {frame}"))
        }
        Next::Some(frame) if frame.command == "ERROR" => {
            Err(Short::NotApplicable("the broker does not speak 1.0".into()))
        }
        Next::Some(frame) => Err(Short::failed(format!("expected CONNECTED; came {frame}"))),
        Next::Silence | Next::End => Err(Short::failed("neither CONNECTED nor ERROR came")),
    }
}

/// Of a list of versions, the highest that both know.
pub(crate) fn highest(place: Place<'_>) -> Outcome {
    let (list, expected) = match place.version {
        Version::V1_0 => ("1.0,2.0", "1.0"),
        Version::V1_1 => ("1.0,1.1,2.0", "1.1"),
        Version::V1_2 => ("1.0,1.1,1.2,2.0", "1.2"),
    };
    let mut client = Client::dial(place)?;
    client.say(&format!("{}\naccept-version:{list}", place.connect()), "");
    let frame = client.hear("CONNECTED")?;
    ensure(frame.raw("version") == Some(expected), || format!("of {list}, {expected} is the one: {frame}"))
}

/// No common version: ERROR, and, since 1.2, the end.
pub(crate) fn no_common_version(place: Place<'_>) -> Outcome {
    let mut client = Client::dial(place)?;
    client.say(&format!("{}\naccept-version:9.8,9.9", place.connect()), "");
    client.hear("ERROR")?;
    match place.version {
        Version::V1_0 | Version::V1_1 => Ok(()),
        Version::V1_2 => client.end(),
    }
}

/// A client that is not let in is told so, and the connection ends.
pub(crate) fn rejected(place: Place<'_>) -> Outcome {
    let mut client = Client::dial(place)?;
    client.say(&place.connect_as_stranger(), "");
    match client.next(client.patience())? {
        Next::Some(frame) if frame.command == "CONNECTED" => {
            Err(Short::NotApplicable("the broker lets everybody in".into()))
        }
        Next::Some(frame) if frame.command == "ERROR" => client.end(),
        Next::Some(frame) => Err(Short::failed(format!("expected ERROR; came {frame}"))),
        Next::Silence => Err(Short::failed("neither ERROR nor the end came")),
        Next::End => Err(Short::failed("the broker closed without saying why")),
    }
}

/// `server` is a name, perhaps a version, perhaps comments.
pub(crate) fn server(place: Place<'_>) -> Outcome {
    let mut client = Client::dial(place)?;
    client.say(&place.connect_as(), "");
    let frame = client.hear("CONNECTED")?;
    let Some(server) = frame.raw("server") else {
        return Err(Short::NotApplicable("CONNECTED has no server header".into()));
    };
    let name = server.split(['/', ' ']).next().unwrap_or_default();
    ensure(!name.is_empty(), || format!("server:{server} does not begin with a name"))
}

/// CONNECT has no escapes: a backslash is a backslash.
pub(crate) fn unescaped(place: Place<'_>) -> Outcome {
    let mut client = Client::dial(place)?;
    client.say(&format!("{}\nx-conform:C\\temp\\", place.connect_as()), "");
    client.hear("CONNECTED")?;
    Ok(())
}

/// Clients that come and go at once do no harm.
pub(crate) fn rapid(place: Place<'_>) -> Outcome {
    for round in 0..ROUNDS {
        let mut client = Client::dial(place)?;
        client.say(&place.connect_as(), "");
        // Every other one does not even wait for the answer.
        if round % 2 == 0 {
            client.hear("CONNECTED")?;
            client.say("DISCONNECT", "");
        }
    }
    let mut client = Client::enter(place)?;
    client.send(&place.topic(), "still there")
}

const ROUNDS: u32 = 60;
