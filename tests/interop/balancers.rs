//! Clients behind a balancer, which says for whom it comes.

use std::time::Duration;

use anyhow::{Result, ensure};
use harness::broker::{Broker, Setup};
use harness::door::Door;
use harness::mqtt::version::Version;
use harness::mqtt::write::Connect;
use harness::socket::Socket;
use harness::wait::SOON;

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

/// With a balancer at these addresses before the door for MQTT.
fn behind(networks: &str, more: &[&str]) -> Result<Broker> {
    let setup = Setup::new().argument(&format!("--set=listener.0.proxy_protocol={networks}"));
    more.iter().fold(setup, |setup, argument| setup.argument(argument)).start()
}
