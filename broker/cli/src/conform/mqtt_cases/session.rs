//! Sessions: what is kept of a client that is away, and for how long.

use std::thread::sleep;
use std::time::{Duration, Instant};

use ::mqtt::version::Version;

use crate::conform::case::{Outcome, Target};
use crate::conform::mqtt_cases::client::{Client, expect};
use crate::conform::mqtt_cases::row::{Row, row};
use crate::conform::mqtt_cases::write::{Connect, Message, PINGREQ, framed, prop};

pub(crate) const ROWS: &[Row] = &[
    row(
        "a_clean_start_ends_the_session_of_before",
        "3.1.2-4 3.1.4-4 3.2.2-2",
        "3.1.2-6 3.1.4-3 3.2.2-1",
        clean_start,
    ),
    row(
        "a_session_goes_on_where_it_was_left",
        "3.1.2-5 3.1.2-23 3.2.2-3 4.5.0-1",
        "3.1.2-4 3.1.2-5 3.2.2-2 4.1.0-1 4.5.0-1",
        goes_on,
    ),
    row("a_new_session_is_told_so", "3.1.2-6 3.2.2-3", "3.1.2-4 3.2.2-3", new_session),
    row("a_session_belongs_to_its_client_id", "3.1.3-2", "3.1.3-2", by_id),
    row("a_session_without_expiry_ends_with_its_connection", "4.1.0-2", "3.1.2-6", ends),
    row("a_session_ends_when_its_time_is_over", "4.1.0-2", "", expires),
    row("a_session_does_not_end_while_connected", "4.1.0-1", "4.1.0-2", not_while_connected),
    row("disconnect_may_change_the_session_expiry", "3.1.2-23 4.1.0-2", "", changed_in_disconnect),
    row("retained_messages_outlive_sessions", "3.1.2-4", "3.1.2-7", retained_stay),
    row("a_silent_client_is_given_up", "3.1.2-22 3.2.2-22", "3.1.2-24", silent),
    row("pings_keep_a_connection", "3.1.2-22 3.12.4-1", "3.1.2-24 3.12.4-1", pings),
    row("keep_alive_0_is_no_limit", "3.1.2-22", "3.1.2-24", no_limit),
];

fn clean_start(target: &Target, version: Version) -> Outcome {
    let (id, topic) = (target.fresh(), target.fresh());
    let mut client = Client::lasting(target, version, &id, false)?;
    client.subscribe(&topic, 1)?;
    client.leave()?;
    let mut writer = Client::clean(target, version)?;
    writer.tell(&topic, b"missed", 1)?;
    let (mut client, connack) = Client::join(target, version, &Connect::new(version, &id))?;
    expect(!connack.present, || "Session Present 1 after a clean start".to_owned())?;
    writer.tell(&topic, b"nobody", 1)?;
    client.quiet()?;
    client.leave()?;
    let mut client = Client::lasting(target, version, &id, false)?;
    client.quiet()?;
    client.leave()?;
    forget(target, version, &id)
}

fn goes_on(target: &Target, version: Version) -> Outcome {
    let (id, topic) = (target.fresh(), target.fresh());
    let mut client = Client::lasting(target, version, &id, false)?;
    client.subscribe(&topic, 2)?;
    client.leave()?;
    let mut writer = Client::clean(target, version)?;
    for (payload, qos) in [(&b"one"[..], 1), (b"two", 2)] {
        writer.tell(&topic, payload, qos)?;
    }
    let mut client = Client::lasting(target, version, &id, true)?;
    client.take(b"one")?;
    client.take(b"two")?;
    client.quiet()?;
    // The subscription is still there.
    writer.tell(&topic, b"three", 0)?;
    client.take(b"three")?;
    client.vanish();
    let mut client = Client::lasting(target, version, &id, true)?;
    client.quiet()?;
    client.leave()?;
    forget(target, version, &id)
}

fn new_session(target: &Target, version: Version) -> Outcome {
    let id = target.fresh();
    Client::lasting(target, version, &id, false)?.leave()?;
    Client::lasting(target, version, &id, true)?.leave()?;
    forget(target, version, &id)
}

fn by_id(target: &Target, version: Version) -> Outcome {
    let (one, two, topic) = (target.fresh(), target.fresh(), target.fresh());
    let mut client = Client::lasting(target, version, &one, false)?;
    client.subscribe(&topic, 1)?;
    client.leave()?;
    let mut other = Client::lasting(target, version, &two, false)?;
    other.tell(&topic, b"for one", 1)?;
    other.quiet()?;
    other.leave()?;
    let mut client = Client::lasting(target, version, &one, true)?;
    client.take(b"for one")?;
    client.leave()?;
    forget(target, version, &one)?;
    forget(target, version, &two)
}

fn ends(target: &Target, version: Version) -> Outcome {
    let (id, topic) = (target.fresh(), target.fresh());
    let (mut client, _) = Client::join(target, version, &Connect::new(version, &id))?;
    client.subscribe(&topic, 1)?;
    client.leave()?;
    Client::lasting(target, version, &id, false)?.leave()?;
    forget(target, version, &id)
}

fn expires(target: &Target, version: Version) -> Outcome {
    let id = target.fresh();
    let connect = |expiry_s| {
        let properties = prop::u32(prop::SESSION_EXPIRY, expiry_s);
        Connect { clean: false, properties, ..Connect::new(version, &id) }
    };
    let (client, _) = Client::join(target, version, &connect(1))?;
    client.leave()?;
    sleep(Duration::from_millis(2500));
    let (client, connack) = Client::join(target, version, &connect(u32::MAX))?;
    expect(!connack.present, || "a session of one second is there after two and a half".to_owned())?;
    client.leave()?;
    // For ever is longer than that, and no overflow.
    sleep(Duration::from_millis(1500));
    let (client, connack) = Client::join(target, version, &connect(0))?;
    expect(connack.present, || "a session that never expires is gone".to_owned())?;
    client.leave()
}

fn not_while_connected(target: &Target, version: Version) -> Outcome {
    let (id, topic) = (target.fresh(), target.fresh());
    let properties = prop::u32(prop::SESSION_EXPIRY, 1);
    let connect = Connect { clean: false, properties, ..Connect::new(version, &id) };
    let (mut client, _) = Client::join(target, version, &connect)?;
    client.subscribe(&topic, 1)?;
    sleep(Duration::from_millis(2500));
    client.tell(&topic, b"still there", 0)?;
    client.expect_message(b"still there")?;
    client.vanish();
    let (mut client, connack) = Client::join(target, version, &connect)?;
    expect(connack.present == version.has_session_present(), || {
        "the session ended while its client was there".to_owned()
    })?;
    client.tell(&topic, b"still subscribed", 0)?;
    client.expect_message(b"still subscribed")?;
    client.leave()?;
    forget(target, version, &id)
}

fn changed_in_disconnect(target: &Target, version: Version) -> Outcome {
    let id = target.fresh();
    for (before, after, is_there) in [(600, 0, false), (1, 600, true)] {
        let properties = prop::u32(prop::SESSION_EXPIRY, before);
        let connect = Connect { clean: false, properties, ..Connect::new(version, &id) };
        let (mut client, _) = Client::join(target, version, &connect)?;
        client.send(&framed(0xe0, &[&[0, 5], &prop::u32(prop::SESSION_EXPIRY, after)]));
        client.closed()?;
        if is_there {
            sleep(Duration::from_millis(2500));
        }
        let (client, connack) = Client::join(target, version, &connect)?;
        expect(connack.present == is_there, || {
            format!(
                "with {before} s in CONNECT and {after} s in DISCONNECT, Session Present is {}",
                connack.present
            )
        })?;
        client.leave()?;
        forget(target, version, &id)?;
    }
    Ok(())
}

fn retained_stay(target: &Target, version: Version) -> Outcome {
    let (id, topic) = (target.fresh(), target.fresh());
    let (mut client, _) = Client::join(target, version, &Connect::new(version, &id))?;
    client.publish(Message::new(&topic, b"kept", 1, 0).retained())?;
    client.leave()?;
    forget(target, version, &id)?;
    let mut client = Client::clean(target, version)?;
    client.subscribe(&topic, 0)?;
    client.expect_message(b"kept")?;
    client.publish(Message::new(&topic, b"", 1, 0).retained())
}

fn silent(target: &Target, version: Version) -> Outcome {
    let topic = target.fresh();
    let connect = Connect { keep_alive_s: 2, ..Connect::new(version, &target.fresh()) };
    let (mut client, connack) = Client::join(target, version, &connect)?;
    let keep_alive_s = connack.properties.number(prop::SERVER_KEEP_ALIVE).unwrap_or(2);
    let keep_alive = Duration::from_secs(keep_alive_s.into());
    // What the server sends does not count.
    client.subscribe(&topic, 0)?;
    let started = Instant::now();
    let mut writer = Client::clean(target, version)?;
    sleep(Duration::from_millis(1000));
    writer.tell(&topic, b"no sign of life", 0)?;
    client.closed_within(keep_alive * 3 / 2 + GRACE)?;
    let took = started.elapsed();
    expect(took >= keep_alive, || format!("the client was given up after {took:?} of {keep_alive:?}"))
}

fn pings(target: &Target, version: Version) -> Outcome {
    let connect = Connect { keep_alive_s: 2, ..Connect::new(version, &target.fresh()) };
    let (mut client, _) = Client::join(target, version, &connect)?;
    // Longer in all than the server's patience with silence.
    for _ in 0..4 {
        sleep(Duration::from_secs(1));
        client.quiet()?;
    }
    Ok(())
}

fn no_limit(target: &Target, version: Version) -> Outcome {
    let connect = Connect { keep_alive_s: 0, ..Connect::new(version, &target.fresh()) };
    let (mut client, _) = Client::join(target, version, &connect)?;
    sleep(Duration::from_secs(3));
    client.send(PINGREQ);
    client.packet("PINGRESP").map(drop)
}

/// Ends a session, so that the run leaves nothing behind.
pub(crate) fn forget(target: &Target, version: Version, id: &str) -> Outcome {
    Client::join(target, version, &Connect::new(version, id))?.0.leave()
}

/// Over the time and a half: for a machine that is busy.
const GRACE: Duration = Duration::from_millis(1500);
