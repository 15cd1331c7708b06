//! Clients behind a balancer, which says for whom it comes.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use harness::admin::Admin;
use harness::broker::{Broker, Setup};
use harness::door::Door;
use harness::mqtt::version::Version;
use harness::mqtt::write::Connect;
use harness::socket::{Next, Socket};
use harness::wait::{SOON, until};
use serde_json::json;

#[test]
fn who_comes_by_a_balancer_is_the_client_that_it_names() -> Result<()> {
    let broker = behind("127.0.0.0/8", &["--set=auth.anonymous=always"])?;
    let four = b"PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n";
    let six = [
        b"\r\n\r\n\0\r\nQUIT\n\x21\x21\x00\x28".as_slice(),
        &[0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
        &[0; 16],
        // Two ports, and something beside the addresses.
        &[0, 7, 0, 8, 4, 0, 1, 7],
    ]
    .concat();
    for (name, header, peer) in [
        ("by-1", &four[..], "peer=192.0.2.1:56324"),
        ("by-2", &six, "peer=[2001:db8::1]:7"),
        // The balancer itself: a health check.
        ("by-unknown", b"PROXY UNKNOWN\r\n", "peer=127.0.0.1:"),
    ] {
        let mut socket = Socket::dial(broker.at(Door::Mqtt))?;
        // In one write, and in two: what is behind the header is not taken with it.
        socket.write(&[header, &Connect::new(Version::V5, name).bytes()].concat())?;
        broker.journal().wait_for(&["conn.open", &format!("client={name}"), peer], SOON)?;
    }
    Ok(())
}

#[test]
fn an_address_behind_a_balancer_is_not_this_machine() -> Result<()> {
    let broker = behind("127.0.0.1", &[])?;
    let mut socket = Socket::dial(broker.at(Door::Mqtt))?;
    let connect = Connect::new(Version::V5, "stranger").bytes();
    socket.write(&[b"PROXY TCP4 192.0.2.1 198.51.100.1 1 2\r\n", &connect[..]].concat())?;
    // By default, who shows nothing is let in from this machine alone.
    broker.journal().wait_for(&["conn.refused", "peer=192.0.2.1:1", "a user name is needed"], SOON)?;
    Ok(())
}

#[test]
fn guest_is_let_in_from_this_machine_alone_by_either_protocol() -> Result<()> {
    let both = ["--set=listener.1.proxy_protocol=127.0.0.1", "--set=auth.anonymous=always"];
    let broker = behind("127.0.0.1", &both)?;
    let _mqtt = knock(&broker, "mqtt", ELSEWHERE)?;
    broker.journal().wait_for(&["conn.refused", "peer=192.0.2.1:1", GUEST_STAYS_OUT], SOON)?;
    let _stomp = knock(&broker, "stomp", ELSEWHERE_BY_STOMP)?;
    broker.journal().wait_for(&["conn.refused", "peer=192.0.2.2:1", "user=guest", GUEST_STAYS_OUT], SOON)?;
    for protocol in ["mqtt", "stomp"] {
        let _open = knock(&broker, protocol, HERE)?;
        let proto = format!("proto={protocol}");
        broker.journal().wait_for(&["conn.open", &proto, "peer=127.0.0.1:", "user=guest"], SOON)?;
    }
    // And not even from here where that is said.
    let closed = behind("127.0.0.1", &[&both[..], &["--set=auth.guest_loopback=false"]].concat())?;
    for protocol in ["mqtt", "stomp"] {
        let mut socket = knock(&closed, protocol, HERE)?;
        ensure!(socket.closes(SOON)?, "{protocol}: guest stays");
    }
    closed.journal().wait_for(&["conn.refused", "peer=127.0.0.1:", GUEST_STAYS_OUT], SOON)?;
    Ok(())
}

/// As `guest` with the password `guest`, behind that header.
fn knock(broker: &Broker, protocol: &str, header: &[u8]) -> Result<Socket> {
    let (door, hello) = if protocol == "mqtt" {
        let mut connect = Connect::new(Version::V5, "guests");
        connect.login = Some(("guest".to_owned(), "guest".to_owned()));
        (Door::Mqtt, connect.bytes())
    } else {
        let frame = b"CONNECT\naccept-version:1.2\nhost:/\nlogin:guest\npasscode:guest\n\n\0";
        (Door::Stomp, frame.to_vec())
    };
    let mut socket = Socket::dial(broker.at(door))?;
    socket.write(&[header, &hello].concat())?;
    Ok(socket)
}

const HERE: &[u8] = b"PROXY UNKNOWN\r\n";
const ELSEWHERE: &[u8] = b"PROXY TCP4 192.0.2.1 198.51.100.1 1 2\r\n";
const ELSEWHERE_BY_STOMP: &[u8] = b"PROXY TCP4 192.0.2.2 198.51.100.1 1 2\r\n";
const GUEST_STAYS_OUT: &str = "guest is let in from this machine alone";

#[test]
fn who_is_no_balancer_is_refused_and_so_is_what_begins_without_a_header() -> Result<()> {
    let strict = behind("192.0.2.0/24", &[])?;
    let mut socket = Socket::dial(strict.at(Door::Mqtt))?;
    socket.write(b"PROXY TCP4 192.0.2.1 198.51.100.1 1 2\r\n")?;
    ensure!(socket.closes(SOON)?, "a stranger stays");
    strict.journal().wait_for(&["conn.refused", "peer=127.0.0.1:", "for balancers alone"], SOON)?;

    let broker = behind("127.0.0.1", &[])?;
    for (said, why) in [
        (Connect::new(Version::V5, "plain").bytes().as_slice(), "no PROXY header came"),
        (b"GET / HTTP/1.1\r\n\r\n", "no PROXY header came"),
        (b"PROXY TCP4 192.0.2.1 198.51.100.1 1\r\n", "cannot be taken"),
        (b"\r\n\r\n\0\r\nQUIT\n\x21\x12\x00\x00", "not TCP"),
        (b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff", "longer than 4096 bytes"),
    ] {
        let mut socket = Socket::dial(broker.at(Door::Mqtt))?;
        socket.write(said)?;
        ensure!(socket.closes(SOON)?, "{why}: stays");
        broker.journal().wait_for(&["conn.refused", why], SOON)?;
    }
    Ok(())
}

#[test]
fn a_header_may_have_4096_bytes() -> Result<()> {
    let broker = behind("127.0.0.1", &["--set=auth.anonymous=always"])?;
    for (bytes, fits) in [(4095, true), (4096, true), (4097, false)] {
        // What is beside the addresses, in one field that nobody here knows (2.2).
        let (addresses, field) = ([192, 0, 2, 1, 198, 51, 100, 1, 0, 7, 0, 8], bytes - 16 - 12 - 3);
        let (length, value) = (u16::try_from(bytes - 16)?.to_be_bytes(), u16::try_from(field)?.to_be_bytes());
        let header =
            [&b"\r\n\r\n\0\r\nQUIT\n\x21\x11"[..], &length, &addresses, &[0xe0], &value, &vec![b'x'; field]]
                .concat();
        ensure!(header.len() == bytes, "{} bytes were made", header.len());
        let name = format!("by-{bytes}");
        let mut socket = Socket::dial(broker.at(Door::Mqtt))?;
        socket.write(&[header, Connect::new(Version::V5, &name).bytes()].concat())?;
        if fits {
            broker.journal().wait_for(&["conn.open", &format!("client={name}"), "peer=192.0.2.1:7"], SOON)?;
        } else {
            ensure!(socket.closes(SOON)?, "{bytes}: stays");
            broker.journal().wait_for(&["conn.refused", "longer than 4096 bytes"], SOON)?;
        }
    }
    Ok(())
}

#[test]
fn who_says_no_header_in_time_is_cut_off() -> Result<()> {
    let broker = behind("127.0.0.1", &["--set=limits.proxy_header=300ms"])?;
    for beginning in [&b""[..], b"PROXY TCP4 192.0.2.1", b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x0f\xf0"] {
        let mut socket = Socket::dial(broker.at(Door::Mqtt))?;
        socket.write(beginning)?;
        ensure!(socket.closes(SOON)?, "{} stays", beginning.escape_ascii());
    }
    broker.journal().wait_for(&["conn.refused", "no PROXY header within 300ms"], SOON)?;
    // Others are not kept waiting by them.
    let waits: Vec<Socket> =
        (0..50).map(|_| Socket::dial(broker.at(Door::Mqtt))).collect::<Result<_, _>>()?;
    let mut socket = Socket::dial(broker.at(Door::Mqtt))?;
    socket.write(&[b"PROXY UNKNOWN\r\n", &Connect::new(Version::V5, "quick").bytes()[..]].concat())?;
    broker.journal().wait_for(&["conn.open", "client=quick"], Duration::from_secs(20))?;
    drop(waits);
    Ok(())
}

#[test]
fn an_address_that_is_banned_stays_out_behind_a_balancer_and_nobody_else_does() -> Result<()> {
    let broker = behind("127.0.0.1", &["--set=auth.anonymous=always"])?;
    let mut here = came(&broker, "PROXY TCP4 192.0.2.1 198.51.100.1 1 2", "here")?.context("refused")?;
    let mut other = came(&broker, "PROXY TCP4 192.0.2.2 198.51.100.1 1 2", "other")?.context("refused")?;
    let ban = |ip: &str| -> Result<()> {
        let answer = Admin::owner(&broker).ask("POST", "/api/v1/bans", Some(&json!({ "ip": ip })))?;
        ensure!(answer.status == 201, "{answer:?}");
        Ok(())
    };
    ban("192.0.2.1")?;
    ensure!(here.closes(SOON)?, "who was there already stays");
    // The balancer's own address keeps nobody out who comes by it.
    ban("127.0.0.1")?;
    for header in [
        "PROXY TCP4 192.0.2.1 198.51.100.1 3 4",
        // The same one, as a balancer that listens on IPv6 writes it.
        "PROXY TCP6 ::ffff:192.0.2.1 ::ffff:198.51.100.1 3 4",
    ] {
        ensure!(came(&broker, header, "again")?.is_none(), "{header}: is let in");
    }
    broker.journal().wait_for(&["conn.refused", "peer=192.0.2.1:3", "duetmq list bans"], SOON)?;
    let header = "PROXY TCP4 192.0.2.3 198.51.100.1 1 2";
    ensure!(came(&broker, header, "third")?.is_some(), "another one stays out");
    other.write(&[0xc0, 0])?;
    ensure!(!matches!(other.fill(SOON)?, Next::Closed), "another one had to go");
    Ok(())
}

#[test]
fn who_guesses_behind_a_balancer_is_banned_and_the_balancer_is_not() -> Result<()> {
    let config = "[limits]\nloopback_free = false\n[ban]\nauth_failures = \"3/1m -> 1h\"\n";
    let setup = Setup::new().config(config).argument("--set=listener.0.proxy_protocol=127.0.0.1");
    let broker = setup.argument("--set=auth.anonymous=always").user("ann").start()?;
    let mut guess = Connect::new(Version::V5, "guess");
    guess.login = Some(("ann".to_owned(), "wrong".to_owned()));
    let guess = guess.bytes();
    for _ in 0..3 {
        let mut socket = Socket::dial(broker.at(Door::Mqtt))?;
        socket.write(&[b"PROXY TCP4 192.0.2.1 198.51.100.1 1 2\r\n", &guess[..]].concat())?;
        ensure!(socket.closes(SOON)?, "a guess is let in");
    }
    broker.journal().wait_for(&["ban.made", "192.0.2.1", "3 logins failed"], SOON)?;
    ensure!(came(&broker, "PROXY TCP4 192.0.2.1 198.51.100.1 1 2", "a")?.is_none(), "is let in");
    ensure!(came(&broker, "PROXY TCP4 192.0.2.2 198.51.100.1 1 2", "b")?.is_some(), "another one stays out");
    let bans = Admin::owner(&broker).get("/api/v1/bans")?.json()?;
    let bans = bans["items"].as_array().context("items")?;
    ensure!(bans.len() == 1 && bans[0]["name"] == "192.0.2.1", "{bans:?}");
    Ok(())
}

#[test]
fn behind_a_balancer_each_client_is_counted_by_its_own_address() -> Result<()> {
    let config = "[limits]\nloopback_free = false\nconnections_per_ip = 2\n";
    let setup = Setup::new().config(config).argument("--set=listener.0.proxy_protocol=127.0.0.1");
    let broker = setup.argument("--set=auth.anonymous=always").start()?;
    let mut places = Vec::new();
    // Twice as many as may come from one address, all by one balancer.
    for address in 1..=2 {
        for place in 1..=2 {
            let header = format!("PROXY TCP4 192.0.2.{address} 198.51.100.1 {place} 2");
            let client = format!("client-{address}-{place}");
            places.push(came(&broker, &header, &client)?.with_context(|| client)?);
        }
    }
    let third = "PROXY TCP4 192.0.2.1 198.51.100.1 3 2";
    ensure!(came(&broker, third, "third")?.is_none(), "is let in");
    broker.journal().wait_for(&["conn.refused", "peer=192.0.2.1:3", "limits.connections_per_ip"], SOON)?;
    // A place that is given back is there for the next one.
    drop(places.remove(0));
    until("a place", SOON, || came(&broker, third, "third").ok()?.map(drop))
}

/// A client of that name behind such a header, once it is let in; `None`: the connection is closed before it is told anything.
fn came(broker: &Broker, header: &str, client: &str) -> Result<Option<Socket>> {
    let mut socket = Socket::dial(broker.at(Door::Mqtt))?;
    let connect = Connect::new(Version::V5, client).bytes();
    socket.write(&[header.as_bytes(), b"\r\n", &connect[..]].concat())?;
    match socket.fill(SOON)? {
        Next::Some(()) => {
            // CONNACK.
            ensure!(socket.buffer.first() == Some(&0x20), "{:?}", socket.buffer);
            ensure!(socket.buffer.get(3) == Some(&0), "{:?}", socket.buffer);
            socket.buffer.clear();
            Ok(Some(socket))
        }
        Next::Closed => Ok(None),
        Next::Silence => anyhow::bail!("{client}: neither let in nor closed"),
    }
}

/// With a balancer at these addresses before the door for MQTT.
fn behind(networks: &str, more: &[&str]) -> Result<Broker> {
    let setup = Setup::new().argument(&format!("--set=listener.0.proxy_protocol={networks}"));
    more.iter().fold(setup, |setup, argument| setup.argument(argument)).start()
}
