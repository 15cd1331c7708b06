//! Users and their passwords: the commands, and what a broker makes of them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};
use harness::broker::{Broker, Setup};
use harness::door::Door;
use harness::wait::until;

use crate::run::{Done, duetmq, duetmq_with, finish};

#[test]
fn a_user_is_added_verified_listed_and_removed() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = &folder.path().join("users").display().to_string();
    let passwd = |action: &[&str], input: &str| {
        duetmq_with(&[&["passwd"][..], action, &["--file", file]].concat(), &[], input)
    };
    let code = |done: Done, expected: i32| {
        ensure!(done.code == Some(expected), "{done:?}");
        Ok(done)
    };
    code(passwd(&["add", "bob", "--iterations", "4096"], "bob's\n")?, 0)?;
    code(passwd(&["add", "alice"], "pass word\r\n")?, 0)?;
    ensure!(fs::metadata(file)?.permissions().mode() & 0o777 == 0o600);
    let text = fs::read_to_string(file)?;
    ensure!(
        !text.contains("bob's")
            && text.lines().next().unwrap_or_default().starts_with("bob:SCRAM-SHA-256$4096:")
    );
    ensure!(code(passwd(&["list"], "")?, 0)?.out == "alice\nbob\n");
    code(passwd(&["verify", "alice"], "pass word\n")?, 0)?;
    let wrong = code(passwd(&["verify", "alice"], "password\n")?, 5)?;
    ensure!(wrong.error.contains("not the password"), "{wrong:?}");
    code(passwd(&["add", "alice", "--iterations", "4096"], "another")?, 0)?;
    code(passwd(&["verify", "alice"], "another")?, 0)?;
    code(passwd(&["rm", "bob"], "")?, 0)?;
    let gone = code(passwd(&["rm", "bob"], "")?, 6)?;
    ensure!(gone.error.contains("no user \"bob\""), "{gone:?}");
    ensure!(code(passwd(&["list"], "")?, 0)?.out == "alice\n");
    for (action, input) in [
        (&["add", "a:b"][..], "x"),
        (&["add", ""], "x"),
        (&["add", "#a"], "x"),
        (&["add", "carol"], "\n"),
        (&["add", "carol", "--iterations", "100"], "x"),
        // Never from an argument.
        (&["add", "carol", "secret"], "x"),
    ] {
        code(passwd(action, input)?, 2)?;
    }
    Ok(())
}

#[test]
fn the_file_is_found_in_the_configuration() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("users").display().to_string();
    let around = [("DUETMQ_AUTH__FILE__PATH", file.as_str())];
    let done = duetmq_with(&["passwd", "add", "alice", "--iterations", "4096"], &around, "x")?;
    ensure!(done.code == Some(0) && fs::exists(&file)?, "{done:?}");
    let done = duetmq(&["passwd", "list"])?;
    ensure!(done.code == Some(2) && done.error.contains("auth.file.path"), "{done:?}");
    Ok(())
}

#[test]
fn a_password_file_that_cannot_be_used_keeps_the_broker_from_starting() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("users");
    let refused = |expected: &[&str]| {
        let broker = Setup::new().argument("--set").argument(&format!("auth.file.path={}", file.display()));
        let done = finish(broker.prepare()?.command()?, "")?;
        ensure!(done.code == Some(2), "{done:?}");
        for word in expected.iter().chain(&["auth.file.path", "users"]) {
            ensure!(done.error.contains(word), "{word} in {done:?}");
        }
        Ok(())
    };
    refused(&["No such file"])?;
    add(&file, "alice", "secret")?;
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644))?;
    refused(&["mode 0644", "chmod 600"])?;
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600))?;
    fs::write(&file, format!("{}bob:secret\n", fs::read_to_string(&file)?))?;
    refused(&["line 2", "SCRAM-SHA-256$iterations"])
}

#[test]
fn a_user_comes_in_by_either_protocol_and_nobody_else_does() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("users");
    add(&file, "alice", "secret")?;
    let set = [format!("auth.file.path={}", file.display()), "auth.anonymous=never".to_owned()];
    let setup = set.iter().fold(Setup::new(), |setup, set| setup.argument("--set").argument(set));
    let broker = setup.start()?;
    enters(&broker, "alice", "secret", true)?;
    enters(&broker, "guest", "guest", true)?;
    enters(&broker, "alice", "guest", false)?;
    enters(&broker, "bob", "secret", false)?;
    // The file may change under the running broker.
    add(&file, "bob", "secret")?;
    until("bob to be known", Duration::from_secs(30), || enters(&broker, "bob", "secret", true).ok())?;
    // What cannot be read changes nothing.
    fs::write(&file, "half a line")?;
    broker.journal().wait_for(&["users.not_read"], Duration::from_secs(30))?;
    enters(&broker, "alice", "secret", true)
}

fn add(file: &Path, user: &str, password: &str) -> Result<()> {
    let file = file.display().to_string();
    let done = duetmq_with(&["passwd", "add", user, "--file", &file, "--iterations", "4096"], &[], password)?;
    ensure!(done.code == Some(0), "{done:?}");
    Ok(())
}

fn enters(broker: &Broker, user: &str, password: &str, expected: bool) -> Result<()> {
    for (door, scheme, topic) in [(Door::Mqtt, "mqtt", "a"), (Door::Stomp, "stomp", "/topic/a")] {
        let url = format!("{scheme}://{user}:{password}@{}", broker.at(door));
        let done = duetmq(&["pub", "-u", &url, "-t", topic, "-m", "x"])?;
        ensure!((done.code == Some(0)) == expected, "{url}: {done:?}");
        ensure!(expected || done.error.contains("wrong user name or password"), "{url}: {done:?}");
    }
    Ok(())
}
