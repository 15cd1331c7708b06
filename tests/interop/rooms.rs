//! The rooms of the demo's pages in a browser: made, found, joined and left, over either protocol and each transport.

use std::time::Duration;

use anyhow::{Result, ensure};
use harness::broker::Setup;
use harness::door::Door;
use harness::script::{Script, node};
use serde_json::json;

#[test]
fn a_room_that_one_page_makes_is_found_by_all_and_heard_by_those_who_join() -> Result<()> {
    let broker = Setup::new().argument("--dev").start()?;
    let mut command = node("rooms.js")?;
    command.arg("--port").arg(broker.at(Door::Admin).port().to_string());
    let mut browser = Script::start("the browser", command)?;
    let seen = browser.json(Duration::from_secs(180))?;
    ensure!(browser.end(Duration::from_secs(20))?.success(), "the browser script failed");
    let lunch = json!([{ "from": "Mina", "body": "김밥 어때요?" }]);
    let five = json!([{ "from": "Alex", "body": "Is everybody out for lunch?" }]);
    let expected = json!({
        "transports": ["websocket", "xhr-polling", "xhr-streaming"],
        "lunch": [lunch, lunch, lunch],
        "unread": "1",
        "five": [five, five],
        "left": { "title": "점심", "state": "connected" },
        "again": "row outside",
        "out": "out",
        "complaints": [],
    });
    ensure!(seen == expected, "{seen}");
    Ok(())
}
