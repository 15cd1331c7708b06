//! Priorities.

use anyhow::Result;
use serde_json::{Value, json};

use crate::case::Case;
use crate::stage::{QUIET, Stage, take};
use crate::topology::Topology;

/// See the file.
pub(crate) fn cases() -> Vec<Case> {
    let urgent = |more: Value| {
        let mut all = json!({ "x-max-priority": 5 });
        for (name, value) in more.as_object().into_iter().flatten() {
            all[name.as_str()] = value.clone();
        }
        Topology::new().queue_with("@q", all)
    };
    let mixed: &[(&str, Option<&str>)] = &[
        ("a1", Some("1")),
        ("b5", Some("5")),
        ("c3", Some("3")),
        ("d5", Some("5")),
        ("e", None),
        ("f1", Some("1")),
    ];
    vec![
        Case::new("the more urgent first, else in order; none is 0", urgent(json!({})), move |stage| {
            send(stage, mixed)?;
            stage.drain(&["@q"], &[])
        }),
        Case::new("above x-max-priority is as x-max-priority", urgent(json!({})), |stage| {
            send(stage, &[("a5", Some("5")), ("b9", Some("9")), ("c255", Some("255")), ("d4", Some("4"))])?;
            stage.drain(&["@q"], &[])
        }),
        Case::new(
            "a queue without x-max-priority has its order",
            Topology::new().queue("@q"),
            move |stage| {
                send(stage, mixed)?;
                stage.drain(&["@q"], &["priority"])
            },
        ),
        Case::new("what comes back is in its place among its priority", urgent(json!({})), move |stage| {
            send(stage, mixed)?;
            let mut client = stage.consumer("@q", "3")?;
            let came = [take(&mut client)?, take(&mut client)?, take(&mut client)?];
            stage.see(crate::stage::bodies(&came));
            drop(client);
            std::thread::sleep(QUIET);
            stage.drain(&["@q"], &["redelivered"])
        }),
        Case::new(
            "a more urgent one overtakes while another is with a consumer",
            urgent(json!({})),
            |stage| {
                send(stage, &[("a1", Some("1")), ("b1", Some("1"))])?;
                let mut client = stage.consumer("@q", "1")?;
                let first = take(&mut client)?;
                send(stage, &[("c5", Some("5"))])?;
                client.settle("ACK", &first)?;
                let second = take(&mut client)?;
                stage.see(crate::stage::bodies(&[first, second]));
                Ok(())
            },
        ),
        Case::new("one too many in a queue of priorities", urgent(json!({ "x-max-length": 2 })), |stage| {
            send(stage, &[("a1", Some("1")), ("b5", Some("5")), ("c3", Some("3"))])?;
            stage.drain(&["@q"], &[])
        }),
        Case::new("expiry in a queue of priorities", urgent(json!({ "x-message-ttl": 300 })), |stage| {
            send(stage, &[("a1", Some("1")), ("b5", Some("5"))])?;
            std::thread::sleep(std::time::Duration::from_millis(900));
            send(stage, &[("c3", Some("3"))])?;
            stage.drain(&["@q"], &[])
        }),
    ]
}

fn send(stage: &Stage<'_>, messages: &[(&str, Option<&str>)]) -> Result<()> {
    let mut client = stage.client()?;
    for (body, priority) in messages {
        let headers: Vec<(&str, &str)> = priority.iter().map(|priority| ("priority", *priority)).collect();
        client.request(stage.message("/amq/queue/@q", body, &headers))?;
    }
    Ok(())
}
