//! The same room in a browser: two pages over STOMP and one over MQTT.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use harness::broker::{Broker, Setup};
use harness::certificates::Authority;
use harness::door::Door;
use harness::script::{Script, node};
use harness::wait::SOON;
use serde_json::Value;

/// With DUETMQ_PICTURES, a folder, the pictures of the pages go there: `DUETMQ_PICTURES=$PWD/docs/images`.
#[test]
fn three_pages_in_one_room_show_the_same_six_messages() -> Result<()> {
    show(&Setup::new().argument("--dev").start()?, "http")
}

#[test]
fn three_pages_in_one_room_show_the_same_by_tls() -> Result<()> {
    let authority = Authority::new()?;
    let broker = Setup::new().argument("--dev").secure(&authority.server()?).start()?;
    show(&broker, "https")?;
    for proto in ["proto=stomp-sockjs-tls", "proto=mqtt-wss"] {
        broker.journal().wait_for(&["conn.open", proto], SOON)?;
    }
    Ok(())
}

fn show(broker: &Broker, scheme: &str) -> Result<()> {
    let pictures =
        std::env::var_os("DUETMQ_PICTURES").map_or_else(|| broker.folder().to_owned(), PathBuf::from);
    let mut command = node("browser.js")?;
    command.arg("--port").arg(broker.at(Door::Admin).port().to_string()).arg("--pictures").arg(&pictures);
    command.arg("--scheme").arg(scheme);
    let mut browser = Script::start("the browser", command)?;
    let seen = browser.json(Duration::from_secs(240))?;
    ensure!(browser.end(Duration::from_secs(20))?.success(), "the browser script failed");
    let complaints = seen.get("complaints").and_then(Value::as_array).context("complaints")?;
    ensure!(complaints.is_empty(), "the pages complain: {complaints:?}");
    let pages = seen.get("shown").and_then(Value::as_array).context("shown")?;
    ensure!(pages.len() == 3, "{} pages", pages.len());
    for page in pages {
        check(page).with_context(|| page.to_string())?;
    }
    for picture in ["room-stomp-mina.png", "room-mqtt-jun.png", "room-stomp-alex.png"] {
        let size = std::fs::metadata(pictures.join(picture))?.len();
        ensure!(size > 20_000, "{picture} has {size} bytes");
    }
    Ok(())
}

fn check(page: &Value) -> Result<()> {
    let messages = page.get("messages").and_then(Value::as_array).context("messages")?;
    ensure!(messages.len() == 6, "{} messages", messages.len());
    for (message, (from, body)) in messages.iter().zip(SAID) {
        ensure!(message.get("from").and_then(Value::as_str) == Some(from), "{message} is not from {from}");
        ensure!(message.get("body").and_then(Value::as_str) == Some(body), "{message} is not {body:?}");
    }
    Ok(())
}

/// What `tests/node/browser.js` has them say.
const SAID: [(&str, &str); 6] = [
    ("Mina", "안녕하세요! 방 5에 오신 것을 환영해요"),
    ("Jun", "반가워요! 저는 MQTT 5로 들어왔어요."),
    ("Alex", "Hello from a third window!"),
    ("Mina", "STOMP로 말하고 있어요."),
    ("Jun", "메시지가 바로 오네요."),
    ("Alex", "One room, two protocols."),
];
