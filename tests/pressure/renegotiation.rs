//! What a client can ask for behind a TLS handshake: another one, and new keys. `openssl s_client` does.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use harness::broker::{Broker, Setup};
use harness::certificates::Authority;
use harness::door::Door;
use harness::script::Script;
use harness::wait::SOON;

#[test]
fn a_second_handshake_is_refused_by_an_alert() -> Result<()> {
    // threats.md: a handshake costs the server much more than the client. In TLS 1.2 a client may ask for another one, and a server
    // refuse it (RFC 5246, 7.2.2). TLS 1.3 has no such thing: `tls_floods` in broker/transport.
    let scene = Scene::new()?;
    let mut client = scene.client("-tls1_2")?;
    client.tell("R")?;
    hear(&mut client, &["RENEGOTIATING"])?;
    // One ClientHello, and no ServerHello.
    hear(&mut client, &[">>> TLS 1.2", "ClientHello"])?;
    let answer = hear(&mut client, &["<<< TLS 1.2"])?;
    ensure!(answer.contains("Alert") && answer.contains("no_renegotiation"), "{answer}");
    client.end(SOON)?;
    Ok(())
}

#[test]
fn who_asks_for_new_keys_again_and_again_is_cut_off_and_named_in_the_log() -> Result<()> {
    // threats.md: CVE-2026-39304 of ActiveMQ.
    let scene = Scene::new()?;
    let mut client = scene.client("-tls1_3")?;
    let mut asked = 0;
    // Each waits for the one before: of what comes at once, s_client looks at the first letter.
    while client.tell("K").is_ok() && hear(&mut client, &[">>> TLS 1.3", "KeyUpdate"]).is_ok() {
        asked += 1;
        ensure!(asked < 5_000, "it goes on");
    }
    ensure!(asked >= AT_ONCE_MAX, "cut off after {asked}");
    let words = ["conn.close", "by=broker", "peer=127.0.0.1:", "user=guest", "TooManyKeyUpdateRequests"];
    scene.broker.journal().wait_for(&words, SOON)?;
    Ok(())
}

/// A broker with TLS.
struct Scene {
    authority: Authority,
    broker: Broker,
}

impl Scene {
    fn new() -> Result<Self> {
        let authority = Authority::new()?;
        let broker = Setup::new().secure(&authority.server()?).start()?;
        Ok(Self { authority, broker })
    }

    /// `openssl s_client`, which shows what passes and takes commands; as a client of STOMP that is in, and may stay.
    fn client(&self, version: &str) -> Result<Script> {
        let mut command = Command::new("sh");
        // What it complains of comes the same way as the rest.
        command.args(["-c", "exec openssl s_client -msg \"$@\" 2>&1", "s_client", version]);
        command.arg("-connect").arg(self.broker.at(Door::Stomp).to_string());
        command.arg("-CAfile").arg(self.authority.file());
        let mut client = Script::start("openssl s_client", command)?;
        hear(&mut client, &["Verify return code: 0 (ok)"])
            .context("is openssl installed? see tests/prepare")?;
        client.tell("CONNECT\naccept-version:1.2\nhost:/\nlogin:guest\npasscode:guest\n\n\0")?;
        hear(&mut client, &["CONNECTED"])?;
        Ok(client)
    }
}

/// The next line with these words. Which record something is in is not asked.
fn hear(client: &mut Script, words: &[&str]) -> Result<String> {
    loop {
        let line = client.line(PATIENCE).with_context(|| format!("{words:?}"))?;
        if !line.contains("RecordHeader") && words.iter().all(|word| line.contains(word)) {
            return Ok(line);
        }
    }
}

/// How many new keys a client may have in one go.
const AT_ONCE_MAX: u32 = 32;

/// For a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(60);
