//! Abuse of TLS: handshakes that stall where they cost most.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Result, ensure};
use harness::broker::Setup;
use harness::certificates::Authority;
use harness::door::free_address;
use harness::wait::{SOON, until};

use crate::abuse::Scene;
use crate::hello::client_hello;

#[test]
fn two_thousand_tls_handshakes_that_stall_are_ended() -> Result<()> {
    // threats.md: slowloris, TLS handshake stall. A handshake has 5 s, here 3.
    let (authority, address) = (Authority::new()?, free_address());
    let files = authority.server()?;
    let setup = Setup::new()
        .config("[limits]\ntls_handshake = \"3s\"\n")
        .argument(&format!("--listen=mqtts://{address}"))
        .argument(&format!("--set=tls.default.cert={}", files.certificate.display()))
        .argument(&format!("--set=tls.default.key={}", files.key.display()));
    let scene = Scene::with("2,000 stalled TLS handshakes", setup)?;
    let hello = client_hello();
    let mut sockets = Vec::new();
    for number in 0..2_000 {
        let mut socket = TcpStream::connect(address)?;
        // Nothing; a byte; half a ClientHello; all of it, so that the broker has agreed on a key and signed before nothing comes.
        let said = [0, 1, hello.len() / 2, hello.len()][number % 4];
        socket.write_all(hello.get(..said).unwrap_or_default())?;
        if said == hello.len() {
            socket.set_read_timeout(Some(SOON * 3))?;
            let mut answer = [0; 6];
            socket.read_exact(&mut answer)?;
            // A record of a handshake, with a ServerHello (RFC 8446, 4.1.3).
            ensure!(matches!(answer, [22, 3, 3, _, _, 2]), "{number}: {answer:02x?}");
        }
        socket.set_nonblocking(true)?;
        // What keeps it alive, as far as anybody can tell from outside: the rest, or a record that is long in coming.
        let rest = match hello.get(said..) {
            Some(rest) if !rest.is_empty() => rest.to_vec(),
            _ => [&[23, 3, 3, 0x40, 0][..], &[7; 1000]].concat(),
        };
        sockets.push((socket, rest.into_iter()));
    }
    until("the end of all handshakes", SOON * 6, || {
        sockets.retain_mut(|(socket, rest)| {
            let _ = rest.next().map(|byte| socket.write(&[byte]));
            still_open(socket)
        });
        std::thread::sleep(Duration::from_millis(300));
        sockets.is_empty().then_some(())
    })?;
    scene.end(MEMORY_MIB_MAX, &["conn.refused", "peer=127.0.0.1:", "limits.tls_handshake"])
}

fn still_open(socket: &mut TcpStream) -> bool {
    loop {
        match socket.read(&mut [0; 4096]) {
            Ok(0) => return false,
            Ok(_) => {}
            Err(error) => return error.kind() == std::io::ErrorKind::WouldBlock,
        }
    }
}

/// With 2,000 connections and no more than is promised for each of them.
const MEMORY_MIB_MAX: u64 = 250;
