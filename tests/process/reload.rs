//! What is read again on SIGHUP, while clients are connected.

use std::fs;
use std::path::Path;

use anyhow::{Result, ensure};
use harness::admin::Admin;
use harness::broker::{Broker, Setup};
use harness::certificates::Authority;
use harness::door::{Door, free_address};
use harness::mqtt::Client;
use harness::mqtt::version::Version;
use harness::mqtt::write::Connect;
use harness::wait::{SOON, until};

const RULES: &str =
    "[[rule]]\nallow = [\"connect\", \"publish\", \"retain\", \"subscribe\", \"consume\", \"configure\"]\n";

#[test]
fn sighup_reads_everything_again_and_drops_nobody() -> Result<()> {
    let authority = Authority::new()?;
    let files = authority.server()?;
    let setup = Setup::new().config("[log]\nlevel = \"info\"\n").acl(RULES).user("kim");
    let secure = [
        format!("--listen=mqtts://{}", free_address()),
        format!("--set=tls.default.cert={}", files.certificate.display()),
        format!("--set=tls.default.key={}", files.key.display()),
    ];
    let broker = secure.iter().fold(setup, |setup, argument| setup.argument(argument)).start()?;
    let mut kim = login(&broker, "kim")?;
    ensure!(kim.subscribe("a", 1)? == [1]);
    // Nothing has changed, and it is read all the same: so one sees that it was heard.
    let read = || ["users.read", "rules.read", "tls.read", "config.read"].map(|event| count(&broker, event));
    let before = read();
    broker.signal("HUP")?;
    until("everything to be read", SOON, || {
        let now = read();
        (0..now.len()).all(|at| now[at] > before[at]).then_some(())
    })?;
    ensure!(broker.journal().lines_with(&["WARN", "config.read"]).is_empty(), "nothing needs a restart");

    // Rules of the configuration, who may look after the broker, what is logged; and what holds later.
    let config = "[log]\nlevel = \"debug\"\n[[access.deny]]\nfilter = \"a\"\n\
        [[admin.user]]\nname = \"kim\"\ntag = \"monitoring\"\n[limits]\nretained = 7\n[mqtt]\nreceive_max = 9\n";
    ensure!(Admin::user(&broker, "kim", "kim").get("/api/v1/sessions")?.status == 403);
    change(&broker, config)?;
    let line = broker.journal().wait_for(&["WARN", "config.read"], SOON)?;
    for words in ["log.level", "access.deny", "admin.user", "restart=\"limits.retained, mqtt.receive_max\""] {
        ensure!(line.contains(words), "{words}: {line}");
    }
    broker.journal().wait_for(&["subscription.revoked", "access.deny"], SOON)?;
    ensure!(kim.subscribe("a", 1)? == [0x87] && kim.subscribe("b", 1)? == [1]);
    ensure!(Admin::user(&broker, "kim", "kim").get("/api/v1/sessions")?.status == 200);
    drop(login(&broker, "later")?);
    broker.journal().wait_for(&["DEBUG", "link.open"], SOON)?;
    // What it was before: then nothing waits for a restart any more.
    change(&broker, "[log]\nlevel = \"info\"\n")?;
    broker.journal().wait_for(&["INFO", "config.read", "access.deny"], SOON)?;
    ensure!(kim.subscribe("a", 1)? == [1]);
    Ok(())
}

#[test]
fn what_cannot_be_used_changes_nothing() -> Result<()> {
    let mut broker =
        Setup::new().config("[[access.deny]]\nfilter = \"a\"\n").acl(RULES).user("kim").start()?;
    let mut kim = login(&broker, "kim")?;
    change(&broker, "[limits]\nretaind = 7\n[[access.deny]]\nfilter = \"a/#/b\"\n")?;
    broker.journal().wait_for(&["ERROR", "config.not_read", "duetmq.toml:2", "did you mean"], SOON)?;
    fs::write(broker.acl(), "[[rule]]\nallow = [\"everything\"]\n")?;
    fs::write(broker.passwords(), "half a li")?;
    broker.signal("HUP")?;
    for event in ["rules.not_read", "users.not_read"] {
        broker.journal().wait_for(&["ERROR", event], SOON)?;
    }
    ensure!(kim.subscribe("a", 1)? == [0x87] && kim.subscribe("b", 1)? == [1]);
    login(&broker, "other")?.publish("b", b"x", 1)?;
    ensure!(broker.is_running(), "it is gone");
    Ok(())
}

#[test]
fn another_file_of_rules_is_taken_and_looked_at_from_then_on() -> Result<()> {
    let broker = Setup::new().user("kim").start()?;
    let mut kim = login(&broker, "kim")?;
    ensure!(kim.subscribe("a", 1)? == [1]);
    let other = broker.folder().join("other.toml");
    let shown = other.display();
    fs::write(&other, RULES)?;
    change(&broker, &format!("[acl]\nfile = \"{shown}\"\n"))?;
    broker.journal().wait_for(&["config.read", "acl.file"], SOON)?;
    ensure!(kim.subscribe("$SYS/#", 0)? == [0]);
    let new = other.with_extension("new");
    fs::write(&new, format!("[[rule]]\ndeny = [\"subscribe\"]\ntopics = [\"b\"]\n{RULES}"))?;
    fs::rename(new, &other)?;
    broker.journal().wait_for(&["rules.read", "rules=2"], SOON)?;
    ensure!(kim.subscribe("b", 1)? == [0x87]);
    Ok(())
}

/// Another configuration, and SIGHUP.
fn change(broker: &Broker, config: &str) -> Result<()> {
    let file: &Path = &broker.folder().join("duetmq.toml");
    fs::write(file, config)?;
    broker.signal("HUP")
}

fn count(broker: &Broker, event: &str) -> usize {
    broker.journal().lines_with(&[event]).len()
}

/// A client of kim's.
fn login(broker: &Broker, id: &str) -> Result<Client> {
    let login = Some(("kim".to_owned(), "kim".to_owned()));
    Ok(Client::connect(broker.at(Door::Mqtt), &Connect { login, ..Connect::new(Version::V5, id) })?.0)
}
