//! Client certificates in a browser, which has them in its store: NSS, as on every Linux.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use harness::broker::{Broker, Setup};
use harness::certificates::{Authority, Files};
use harness::door::Door;
use harness::script::{Script, node};
use harness::wait::SOON;
use serde_json::{Value, json};

#[test]
fn a_browser_with_a_certificate_is_whom_it_names_where_one_is_required() -> Result<()> {
    let scene = Scene::new("required")?;
    scene.has_certificate()?;
    let seen = scene.talk(&[])?;
    ensure!(seen == heard(), "{seen}");
    scene.is_in("device-7")
}

#[test]
fn a_browser_with_a_certificate_is_whom_it_names_where_one_is_optional() -> Result<()> {
    let scene = Scene::new("optional")?;
    scene.has_certificate()?;
    let seen = scene.talk(&[])?;
    ensure!(seen == heard(), "{seen}");
    scene.is_in("device-7")
}

#[test]
fn a_browser_without_a_certificate_shows_who_it_is_otherwise_where_one_is_optional() -> Result<()> {
    let scene = Scene::new("optional")?;
    let seen = scene.talk(&["--guest"])?;
    ensure!(seen == heard(), "{seen}");
    scene.is_in("guest")
}

#[test]
fn a_browser_without_a_certificate_gets_nowhere_where_one_is_required() -> Result<()> {
    let scene = Scene::new("required")?;
    let seen = scene.talk(&["--guest"])?;
    let visited = seen.get("visited").and_then(Value::as_str).context("visited")?;
    // In TLS 1.3 a client hears of it behind its own handshake, so the browser has several names for it.
    ensure!(visited.contains("net::ERR_"), "{seen}");
    ensure!(seen.get("heard") == Some(&json!({ "bare": "refused" })), "{seen}");
    scene.broker.journal().wait_for(&["conn.refused", "peer sent no certificates"], SOON)?;
    ensure!(scene.broker.journal().lines_with(&["conn.open"]).is_empty(), "somebody came in");
    Ok(())
}

fn heard() -> Value {
    json!({ "visited": "200", "heard": { "mqtt": "by MQTT", "stomp": "by STOMP", "sockjs": "by SockJS" } })
}

/// A broker by TLS that asks for certificates, and the home of somebody who has a browser.
struct Scene {
    authority: Authority,
    broker: Broker,
}

impl Scene {
    fn new(asked: &str) -> Result<Self> {
        let authority = Authority::new()?;
        let broker = Setup::new()
            .secure(&authority.server()?)
            .argument(&format!("--set=tls.default.client_auth={asked}"))
            .argument(&format!("--set=tls.default.client_ca={}", authority.file().display()))
            .start()?;
        let scene = Self { authority, broker };
        let store = scene.broker.folder().join(".pki/nssdb");
        fs::create_dir_all(&store)?;
        run("certutil", &scene.store(&["-N", "--empty-password"]))?;
        let file = scene.authority.file();
        run("certutil", &scene.store(&["-A", "-n", "a test", "-t", "C,,", "-i", text(&file)?]))?;
        Ok(scene)
    }

    /// Arguments of NSS's programs, for the store.
    fn store(&self, arguments: &[&str]) -> Vec<String> {
        let store = format!("sql:{}", self.broker.folder().join(".pki/nssdb").display());
        let arguments = arguments.iter().map(|argument| (*argument).to_owned());
        arguments.chain(["-d".to_owned(), store]).collect()
    }

    /// The browser has one.
    fn has_certificate(&self) -> Result<()> {
        let Files { certificate, key } = self.authority.client("device-7", &[])?;
        let both = certificate.with_extension("p12");
        let packed =
            ["pkcs12", "-export", "-passout", "pass:x", "-in", text(&certificate)?, "-inkey", text(&key)?];
        run("openssl", &[&packed[..], &["-out", text(&both)?]].concat())?;
        run("pk12util", &self.store(&["-i", text(&both)?, "-W", "x", "-K", ""]))
    }

    /// What the browser becomes, and what its pages hear.
    fn talk(&self, more: &[&str]) -> Result<Value> {
        let mut command = node("certificates.js")?;
        command.arg("--port").arg(self.broker.at(Door::Web).port().to_string());
        command.arg("--home").arg(self.broker.folder()).args(more);
        let mut browser = Script::start("the browser", command)?;
        let seen = browser.json(Duration::from_secs(240))?;
        ensure!(browser.end(Duration::from_secs(20))?.success(), "the browser script failed");
        Ok(seen)
    }

    /// The log knows all three ways as that user's.
    fn is_in(&self, user: &str) -> Result<()> {
        for proto in ["mqtt-wss", "stomp-wss", "stomp-sockjs-tls"] {
            let words = ["conn.open", &format!("proto={proto}"), &format!("user={user}")];
            self.broker.journal().wait_for(&words, SOON)?;
        }
        Ok(())
    }
}

fn run(program: &str, arguments: &[impl AsRef<std::ffi::OsStr>]) -> Result<()> {
    let output = Command::new(program).args(arguments).output();
    let output = output.with_context(|| format!("no {program}; run tests/prepare once"))?;
    ensure!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().context("a path")
}
