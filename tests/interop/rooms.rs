//! The rooms of the demo's pages in a browser: made, found, joined and left, over either protocol and each transport.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, ensure};
use harness::broker::Setup;
use harness::door::Door;
use harness::script::{Script, node};
use serde_json::{Value, json};

#[test]
fn a_room_that_one_page_makes_is_found_by_all_and_heard_by_those_who_join() -> Result<()> {
    let seen = play("rooms.js", &[])?;
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

#[test]
fn what_is_written_to_somebody_reaches_all_tabs_of_both_and_nobody_else() -> Result<()> {
    let seen = play("private.js", &["private-alex.png", "private-mina-phone.png"])?;
    let conversation = json!([
        { "from": "Alex", "body": "Just for you, Mina." },
        { "from": "Mina", "body": "고마워요, Alex!" },
        { "from": "Mina", "body": "MQTT로도 저예요." },
    ]);
    let expected = json!({
        "conversation": [conversation, conversation, conversation, conversation],
        // Each was told once that its own was sent: by a message to its own session, so Mina's other tabs were not.
        "notes": [0, 1, 1, 1],
        "others": ["5"],
        "complaints": [],
    });
    ensure!(seen == expected, "{seen}");
    Ok(())
}

#[test]
fn a_token_that_ends_in_the_middle_of_a_conversation_is_renewed_without_a_new_connection() -> Result<()> {
    let mut seen = play("renewal.js", &["token-renewed-mina.png"])?;
    let expired_at = seen.as_object_mut().and_then(|seen| seen.remove("expiredAt"));
    ensure!(expired_at.as_ref().is_some_and(|at| at.as_str().is_some_and(|at| at.ends_with('Z'))), "{seen}");
    let conversation = json!([
        { "from": "Alex", "body": "Are you still there, Mina?" },
        { "from": "Mina", "body": "네, 토큰이 끝나도 여기 있어요." },
        { "from": "Alex", "body": "Good, and the connection is the same." },
    ]);
    let said = "SEND /topic/chat.room.5";
    let expected = json!({
        "withToken": { "CONNECT": true, "SUBSCRIBE": true, "SEND": true },
        "told": "token_expired",
        "dropped": "token_expired",
        // It was said twice, each time with another token, and heard once.
        "isOfTheFrame": [said, said],
        "tokens": 2,
        "heardBefore": 1,
        "noted": true,
        "connections": [1, 1, 1],
        "states": ["connected"],
        "elsewhere": 0,
        "leaked": 0,
        "conversation": [conversation, conversation, conversation],
        "complaints": [],
    });
    ensure!(seen == expected, "{seen}");
    Ok(())
}

#[test]
fn a_page_finds_another_transport_and_comes_back_to_a_broker_that_was_restarted() -> Result<()> {
    // No WebSocket is to be had; and the key that signs tokens is another one after the restart.
    let setup = Setup::new().argument("--dev").argument("--set=listener.2.sockjs.websocket=false");
    let mut broker = setup.start()?;
    let mut command = node("comeback.js")?;
    command.arg("--port").arg(broker.at(Door::Admin).port().to_string());
    let mut browser = Script::start("the browser", command)?;
    let seen = browser.json(Duration::from_secs(240))?;
    ensure!(seen == json!({ "transport": "xhr-streaming", "said": ["여기 있어요."] }), "{seen}");
    broker.kill();
    broker.start()?;
    let seen = browser.json(Duration::from_secs(240))?;
    let said = ["여기 있어요.", "다시 왔어요."];
    ensure!(seen == json!({ "transport": "xhr-streaming", "said": said }), "{seen}");
    ensure!(browser.end(Duration::from_secs(20))?.success(), "the browser script failed");
    Ok(())
}

/// What that script prints of the demo's pages, and its pictures: they go where DUETMQ_PICTURES says.
fn play(script: &str, pictures: &[&str]) -> Result<Value> {
    // However slow this machine is, nobody is cut off who is about to show a newer token.
    let broker = Setup::new().argument("--dev").argument("--set=auth.jwt.grace=5m").start()?;
    let folder =
        std::env::var_os("DUETMQ_PICTURES").map_or_else(|| broker.folder().to_owned(), PathBuf::from);
    let mut command = node(script)?;
    command.arg("--port").arg(broker.at(Door::Admin).port().to_string());
    if !pictures.is_empty() {
        command.arg("--pictures").arg(&folder);
    }
    let mut browser = Script::start("the browser", command)?;
    let seen = browser.json(Duration::from_secs(240))?;
    ensure!(browser.end(Duration::from_secs(20))?.success(), "the browser script failed");
    for picture in pictures {
        let size = std::fs::metadata(folder.join(picture))?.len();
        ensure!(size > 20_000, "{picture} has {size} bytes");
    }
    Ok(seen)
}
