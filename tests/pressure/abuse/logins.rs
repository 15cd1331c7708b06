//! Abuse of logins: passwords that are guessed by the thousand.

use std::io::Write;
use std::net::TcpStream;

use anyhow::{Result, ensure};
use harness::broker::Setup;
use harness::door::Door;
use harness::mqtt::version::Version;
use harness::mqtt::write::Connect;
use harness::wait::{SOON, until};

use crate::abuse::Scene;

#[test]
fn a_flood_of_wrong_passwords_keeps_nobody_waiting_who_is_in() -> Result<()> {
    // threats.md: a slow hash that holds up all others. Each takes its time, so as many are worked on as there are cores, and 1,024
    // may wait for that.
    let scene = Scene::with("1,500 wrong passwords at once", Setup::new().user("kim"))?;
    let mut sockets = Vec::new();
    for number in 0..1_500 {
        let mut connect = Connect::new(Version::V5, &format!("guess-{number}"));
        connect.login = Some(("kim".to_owned(), number.to_string()));
        let mut socket = TcpStream::connect(scene.broker.at(Door::Mqtt))?;
        socket.write_all(&connect.bytes())?;
        socket.set_nonblocking(true)?;
        sockets.push(socket);
    }
    until("some answers of both kinds", SOON * 12, || {
        let codes: Vec<u8> = sockets.iter().filter_map(answer).collect();
        let count = |code| codes.iter().filter(|found| **found == code).count();
        (count(WRONG) >= 20 && count(BUSY) >= 20).then_some(())
    })?;
    let others = sockets.iter().filter_map(answer).filter(|code| ![WRONG, BUSY].contains(code)).count();
    ensure!(others == 0, "{others} were told something else");
    // Whoever gives up is not waited for.
    drop(sockets);
    scene.end(MEMORY_MIB_MAX, &["conn.refused", "peer=127.0.0.1:", "user=kim", "too many passwords wait"])
}

/// The code of its CONNACK, once that is there.
fn answer(socket: &TcpStream) -> Option<u8> {
    let mut connack = [0; 4];
    let count = socket.peek(&mut connack).unwrap_or_default();
    let [0x20, _, 0, code] = connack else { return None };
    (count == connack.len()).then_some(code)
}

/// Bad user name or password.
const WRONG: u8 = 0x86;

/// Server busy.
const BUSY: u8 = 0x89;

const MEMORY_MIB_MAX: u64 = 200;
