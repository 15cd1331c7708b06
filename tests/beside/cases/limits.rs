//! Overflow: what a full queue does.

use serde_json::json;

use crate::case::Case;
use crate::stage::take;
use crate::topology::Topology;

/// See the file.
pub(crate) fn cases() -> Vec<Case> {
    [by_length(), what_counts()].into_iter().flatten().collect()
}

fn by_length() -> Vec<Case> {
    [when_full(), when_none_may_wait()].into_iter().flatten().collect()
}

fn when_full() -> Vec<Case> {
    let limited = |arguments| Topology::new().queue_with("@q", arguments);
    let dead = |overflow: &str| {
        limited(json!({ "x-max-length": 2, "x-overflow": overflow, "x-dead-letter-exchange": "",
            "x-dead-letter-routing-key": "@dead" }))
        .queue("@dead")
    };
    let fill = |topology, name| {
        Case::new(name, topology, |stage| {
            for body in ["1", "2", "3", "4"] {
                let mut client = stage.client()?;
                let answer = stage.ask(&mut client, &stage.message("/amq/queue/@q", body, &[]))?;
                if answer != "accepted" {
                    stage.see(format!("{body} {answer}"));
                }
            }
            stage.drain(&["@q"], &[])
        })
    };
    vec![
        fill(limited(json!({ "x-max-length": 2 })), "x-max-length alone drops the oldest"),
        fill(limited(json!({ "x-max-length": 2, "x-overflow": "drop-head" })), "drop-head drops the oldest"),
        fill(
            limited(json!({ "x-max-length": 2, "x-overflow": "reject-publish" })),
            "reject-publish tells the publisher",
        )
        .but("Refused in words: the queue is full"),
        Case::new("reject-publish has no dead letters", dead("reject-publish"), |stage| {
            for body in ["1", "2", "3"] {
                let mut client = stage.client()?;
                stage.ask(&mut client, &stage.message("/amq/queue/@q", body, &[]))?;
            }
            stage.drain(&["@q", "@dead"], &["x-first-death-reason"])
        }),
        Case::new("reject-publish-dlx has the new one as dead letter", dead("reject-publish-dlx"), |stage| {
            for body in ["1", "2", "3"] {
                let mut client = stage.client()?;
                stage.ask(&mut client, &stage.message("/amq/queue/@q", body, &[]))?;
            }
            stage.drain(&["@q", "@dead"], &["x-first-death-reason"])
        }),
        fill(limited(json!({ "x-max-length": 0 })), "x-max-length 0 keeps nothing that nobody waits for"),
        Case::new(
            "x-max-length 0 with a consumer who is ready: delivered",
            limited(json!({ "x-max-length": 0 })),
            |stage| {
                let mut client = stage.client()?;
                stage.subscribe(&mut client, "0", "/amq/queue/@q", &[])?;
                stage.send("/amq/queue/@q", "1", &[])?;
                let came = crate::stage::bodies(&crate::stage::rest(&mut client)?);
                stage.see(came);
                Ok(())
            },
        )
        .but("A consumer takes from the queue, nothing is handed to it past the queue: where nothing may wait there is nothing to take"),
        Case::new("what is with a consumer does not count", limited(json!({ "x-max-length": 2 })), |stage| {
            stage.send_all("/amq/queue/@q", &["1", "2"])?;
            let mut client = stage.consumer("@q", "2")?;
            take(&mut client)?;
            take(&mut client)?;
            stage.send_all("/amq/queue/@q", &["3", "4"])?;
            stage.drain(&["@q"], &[])
        }),
    ]
}

fn when_none_may_wait() -> Vec<Case> {
    let limited = |arguments| Topology::new().queue_with("@q", arguments);
    vec![
        Case::new("what comes back to a full queue", limited(json!({ "x-max-length": 2 })), |stage| {
            stage.send_all("/amq/queue/@q", &["1", "2"])?;
            let mut client = stage.consumer("@q", "1")?;
            take(&mut client)?;
            stage.send_all("/amq/queue/@q", &["3"])?;
            drop(client);
            std::thread::sleep(crate::stage::QUIET);
            stage.drain(&["@q"], &[])
        })
        .but("What the queue had taken on is not lost because a consumer went; the next message that is published makes room"),
        Case::new(
            "x-max-length-bytes counts bodies",
            limited(json!({ "x-max-length-bytes": 10 })),
            |stage| {
                stage.send_all("/amq/queue/@q", &["aaaa", "bbbb", "cc", "dddd", "e"])?;
                stage.drain(&["@q"], &[])
            },
        )
        .but("The limit bounds memory: keys and headers count as well"),
    ]
}

fn what_counts() -> Vec<Case> {
    let limited = |arguments| Topology::new().queue_with("@q", arguments);
    vec![
        Case::new(
            "x-max-length-bytes: one that is larger than the queue",
            limited(json!({ "x-max-length-bytes": 10 })),
            |stage| {
                stage.send_all("/amq/queue/@q", &["aaaa", "bbbbbbbbbbbbbbb"])?;
                stage.drain(&["@q"], &[])
            },
        ),
        Case::new(
            "both limits: whichever comes first",
            limited(json!({ "x-max-length": 3, "x-max-length-bytes": 10 })),
            |stage| {
                stage.send_all("/amq/queue/@q", &["a", "b", "c", "d"])?;
                stage.drain(&["@q"], &[])?;
                stage.send_all("/amq/queue/@q", &["aaaaa", "bbbbb", "ccccc"])?;
                stage.drain(&["@q"], &[])
            },
        )
        .but("As above: 5 bytes of body and 6 of key"),
    ]
}
