//! The client library of SockJS in a browser, over each of its transports.

use std::time::Duration;

use anyhow::{Result, ensure};
use harness::broker::Setup;
use harness::door::{Door, free_address};
use harness::script::{Script, node};
use harness::wait::SOON;
use serde_json::{Value, json};

#[test]
fn over_each_transport_a_thousand_messages_pass_each_way_in_order() -> Result<()> {
    let pages = free_address().port();
    let broker = Setup::new()
        .argument(&format!("--set=listener.2.origins=http://localhost:{pages}"))
        .argument(&format!("--set=listener.2.sockjs.client_url=http://localhost:{pages}/sockjs.min.js"))
        .start()?;
    let mut command = node("sockjs.js")?;
    command.arg("--broker").arg(broker.at(Door::Web).to_string());
    command.arg("--port").arg(pages.to_string()).arg("--transports").arg(TRANSPORTS.join(","));
    let mut browser = Script::start("the browser", command)?;
    for transport in TRANSPORTS {
        let came = browser.json(Duration::from_secs(120))?;
        let expected = json!({
            "transport": transport,
            "outcome": "done",
            "received": 1000,
            "inOrder": true,
            "transports": [transport],
            "complaints": [],
        });
        ensure!(came == expected, "{came}");
    }
    // A page that is not listed gets nowhere, and the log says which it was.
    let refused = browser.json(Duration::from_secs(60))?;
    ensure!(refused.get("refused").and_then(Value::as_str) == Some("closed with 1002"), "{refused}");
    ensure!(browser.end(Duration::from_secs(20))?.success(), "the browser script failed");
    let complaint = format!("origin http://stranger.localhost:{pages} is not allowed");
    broker.journal().wait_for(&["conn.refused", &complaint], SOON)?;
    Ok(())
}

/// All that work in this browser: the others are those of Internet Explorer.
const TRANSPORTS: [&str; 9] = [
    "websocket",
    "xhr-streaming",
    "xhr-polling",
    "eventsource",
    "htmlfile",
    "jsonp-polling",
    "iframe-eventsource",
    "iframe-htmlfile",
    "iframe-xhr-polling",
];
