//! When a broker does not start, and how it says so.

use std::net::TcpListener;

use anyhow::{Context, Result, ensure};
use harness::broker::{Broker, Setup};
use harness::door::Door;

use crate::run::{duetmq, finish};

#[test]
fn a_port_in_use_is_exit_code_3_and_names_who_has_it() -> Result<()> {
    let broker = Setup::new().prepare()?;
    let taken = TcpListener::bind(broker.at(Door::Stomp))?;
    let done = finish(broker.command()?, "")?;
    let said = &done.error;
    ensure!(done.code == Some(3), "{done:?}");
    ensure!(said.contains(&broker.at(Door::Stomp).to_string()), "{said}");
    ensure!(said.contains(&format!("pid {}", std::process::id())), "not named: {said}");
    drop(taken);
    Ok(())
}

#[test]
fn a_data_directory_in_use_is_exit_code_4_and_names_who_has_it() -> Result<()> {
    let first = Broker::new()?;
    let second = Setup::new().data(&first.data()).prepare()?;
    let done = finish(second.command()?, "")?;
    let said = &done.error;
    ensure!(done.code == Some(4), "{done:?}");
    ensure!(said.contains(&first.data().display().to_string()), "{said}");
    let pid = first.pid().context("it runs")?;
    ensure!(said.contains(&format!("pid {pid}")), "not named: {said}");
    Ok(())
}

#[test]
fn a_mistake_in_the_configuration_is_exit_code_2_with_its_line_and_what_was_meant() -> Result<()> {
    let folder = tempfile::tempdir()?;
    for (text, expected) in [
        ("[node]\n\nnaem = \"x\"\n", [":3:", "naem", "\"name\""]),
        ("[[listner]]\nprotocol = \"mqtt\"\n", [":1:", "listner", "\"listener\""]),
        ("[[listener]]\nprotocol = \"mqqt\"\nbind = \":1\"\n", [":2:", "mqqt", "mqtt"]),
        ("[[listener]]\nprotocol = \"mqtt\"\nbind = \"here\"\n", [":3:", "here", "bind"]),
        ("[limits]\nretained = \"many\"\n", [":2:", "many", "number"]),
        ("[node]\nname = \"x\n", [":2", "", ""]),
    ] {
        let path = folder.path().join("duetmq.toml");
        std::fs::write(&path, text)?;
        let path = path.display().to_string();
        for command in ["serve", "check"] {
            let done = duetmq(&[command, "--config", &path])?;
            ensure!(done.code == Some(2), "{done:?}");
            ensure!(done.error.contains(&format!("{path}{}", expected[0])), "no place: {}", done.error);
            ensure!(expected.iter().all(|word| done.error.contains(word)), "{expected:?}: {}", done.error);
        }
    }
    let done = duetmq(&["serve", "--config", "/does/not/exist.toml"])?;
    ensure!(done.code == Some(2) && done.error.contains("/does/not/exist.toml"), "{done:?}");
    let done = duetmq(&["serve", "--listen", "mqqt://:1"])?;
    ensure!(done.code == Some(2) && done.error.contains("mqtt"), "{done:?}");
    Ok(())
}

#[test]
fn an_exchange_that_cannot_be_behind_plain_topics_is_exit_code_2_and_says_why() -> Result<()> {
    let declared = |more: &str| format!("[[exchange]]\nname = \"x\"\n{more}\n");
    for (name, exchange, expected) in [
        ("x", declared("type = \"headers\""), "is a headers exchange"),
        ("x", declared("type = \"topic\"\ndurable = false"), "is not durable"),
        ("x", declared("type = \"topic\"\nauto_delete = true"), "auto_delete"),
        ("x", declared("type = \"topic\"\ninternal = true"), "is internal"),
        ("amq.direct", String::new(), "is a direct exchange"),
        ("amq.other", String::new(), "does not exist"),
        ("$user", String::new(), "is the broker's own"),
    ] {
        let config = format!("{exchange}[routing]\nmqtt_exchange = \"{name}\"\n");
        let done = finish(Setup::new().config(&config).prepare()?.command()?, "")?;
        let said = &done.error;
        ensure!(done.code == Some(2), "{name}: {done:?}");
        ensure!(said.contains("routing.mqtt_exchange") && said.contains(expected), "{expected}: {said}");
    }
    Ok(())
}

#[test]
fn an_argument_that_is_not_known_is_exit_code_2() -> Result<()> {
    for arguments in
        [vec!["serv"], vec!["serve", "--lisen", "x"], vec!["pub"], vec!["sub", "-q", "3", "-t", "x"]]
    {
        let done = duetmq(&arguments)?;
        ensure!(done.code == Some(2) && !done.error.is_empty(), "{arguments:?}: {done:?}");
    }
    Ok(())
}
