//! `duetmq pub` and `duetmq sub`, over both protocols and across them.

use std::process::{Child, Stdio};

use anyhow::{Context, Result, ensure};
use harness::broker::{Broker, Setup, duetmq_command};
use harness::door::Door;

use crate::run::{duetmq, duetmq_with};

#[test]
fn what_pub_says_sub_prints_whatever_protocol_either_speaks() -> Result<()> {
    let broker = Broker::new()?;
    let mqtt = format!("mqtt://{}", broker.at(Door::Mqtt));
    let stomp = format!("stomp://{}", broker.at(Door::Stomp));
    let web = format!("ws://{}/ws", broker.at(Door::Web));
    let topic = "chat/room/5";
    let destination = "/topic/chat.room.5";
    let ways = [
        vec!["--mqtt", "3", "-u", &mqtt, "-t", topic],
        vec!["--mqtt", "4", "-u", &mqtt, "-t", topic],
        vec!["--mqtt", "5", "-u", &mqtt, "-t", topic],
        vec!["--mqtt", "5", "-u", &web, "-t", topic],
        vec!["--stomp", "-u", &stomp, "-t", destination],
        vec!["--stomp", "-u", &web, "-t", destination],
    ];
    let subscribers: Vec<Child> =
        ways.iter().map(|way| subscriber(way, ways.len())).collect::<Result<_>>()?;
    let said = |number: usize| format!("안녕하세요 {number}");
    broker_has(&broker, ways.len())?;
    for (number, way) in ways.iter().enumerate() {
        let text = said(number);
        let arguments = [&["pub"][..], way, &["-m", &text]].concat();
        let done = duetmq(&arguments)?;
        ensure!(done.code == Some(0), "{done:?}");
    }
    for (way, child) in ways.iter().zip(subscribers) {
        let output = child.wait_with_output()?;
        let printed = String::from_utf8_lossy(&output.stdout);
        ensure!(output.status.success(), "{way:?}: {} {printed}", output.status);
        let expected: Vec<String> = (0..ways.len()).map(said).collect();
        ensure!(printed.lines().eq(expected.iter().map(String::as_str)), "{way:?}: {printed}");
    }
    Ok(())
}

#[test]
fn each_line_of_the_input_is_a_message() -> Result<()> {
    let broker = Broker::new()?;
    let mqtt = format!("mqtt://{}", broker.at(Door::Mqtt));
    let child = subscriber(&["-u", &mqtt, "-t", "lines/#"], 3)?;
    broker_has(&broker, 1)?;
    let done = duetmq_with(&["pub", "-u", &mqtt, "-t", "lines/a", "-q", "2", "-"], &[], "하나\n둘\n셋\n")?;
    ensure!(done.code == Some(0), "{done:?}");
    let output = child.wait_with_output()?;
    ensure!(String::from_utf8_lossy(&output.stdout).lines().eq(["하나", "둘", "셋"]), "{output:?}");
    Ok(())
}

#[test]
fn a_command_says_by_its_exit_code_what_went_wrong() -> Result<()> {
    let broker = Setup::new().config("[auth]\nanonymous = \"never\"\n").start()?;
    let nobody = harness::door::free_address();
    for (door, scheme, to) in [(Door::Mqtt, "mqtt", "a/b"), (Door::Stomp, "stomp", "/topic/a.b")] {
        let url = format!("{scheme}://{}", broker.at(door));
        let wrong =
            duetmq(&["pub", "-u", &url, "--user", "guest", "--password", "wrong", "-t", to, "-m", "x"])?;
        ensure!(wrong.code == Some(5), "{wrong:?}");
        let right =
            duetmq(&["pub", "-u", &url, "--user", "guest", "--password", "guest", "-t", to, "-m", "x"])?;
        ensure!(right.code == Some(0), "{right:?}");
        let away = duetmq(&["pub", "-u", &format!("{scheme}://{nobody}"), "-t", to, "-m", "x"])?;
        ensure!(away.code == Some(1) && away.error.contains(&nobody.to_string()), "{away:?}");
        let login = [("DUETMQ_USER", "guest"), ("DUETMQ_PASSWORD", "guest"), ("DUETMQ_URL", url.as_str())];
        let late = duetmq_with(&["sub", "-t", to, "--count", "1", "--timeout", "1"], &login, "")?;
        ensure!(late.code == Some(7), "{late:?}");
    }
    Ok(())
}

/// A subscriber that ends after that many messages, and prints only their payloads.
fn subscriber(way: &[&str], count: usize) -> Result<Child> {
    let mut command = duetmq_command()?;
    command.arg("sub").args(way).args(["--count", &count.to_string(), "--format", "%p", "--timeout", "30"]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
    command.spawn().context("cannot run duetmq sub")
}

/// Subscribers say nothing when they are subscribed: so we ask, with a message each of them would count.
fn broker_has(broker: &Broker, subscribers: usize) -> Result<()> {
    harness::wait::until("the subscribers to come in", harness::wait::SOON, || {
        (broker.journal().lines_with(&["conn.open"]).len() >= subscribers).then_some(())
    })?;
    // The subscription follows the connection at once, but not together with it.
    std::thread::sleep(std::time::Duration::from_millis(300));
    Ok(())
}
