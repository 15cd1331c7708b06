//! Subscriptions to keys, durable ones, temporary queues, transactions.

use harness::stomp::Frame;

use crate::case::Case;
use crate::stage::{QUIET, bodies, rest, show, take};
use crate::topology::Topology;

/// See the file.
pub(crate) fn cases() -> Vec<Case> {
    let mut all = vec![
        Case::new(
            "/topic: each subscriber has its own copy; nothing waits for whoever comes later",
            Topology::new(),
            |stage| {
                stage.send("/topic/@a.b", "early", &[])?;
                let mut client = stage.client()?;
                for (id, key) in [("exact", "@a.b"), ("star", "@a.*"), ("hash", "@a.#"), ("other", "@a.c")] {
                    stage.subscribe(&mut client, id, &format!("/topic/{key}"), &[])?;
                }
                stage.send("/topic/@a.b", "1", &[])?;
                let mut came: Vec<String> = rest(&mut client)?
                    .iter()
                    .map(|message| show(message, &["subscription", "destination"]))
                    .collect();
                came.sort();
                stage.see(came.join(" "));
                Ok(())
            },
        ),
        Case::new(
            "/exchange/NAME/KEY: a queue of the subscription's own, gone with it",
            Topology::new().exchange("@x", "direct"),
            |stage| {
                let mut client = stage.client()?;
                stage.subscribe(&mut client, "0", "/exchange/@x/k", &[])?;
                for key in ["k", "other"] {
                    stage.send(&format!("/exchange/@x/{key}"), key, &[])?;
                }
                let came: Vec<String> =
                    rest(&mut client)?.iter().map(|message| show(message, &["destination"])).collect();
                stage.see(came.join(" "));
                Ok(())
            },
        ),
        Case::new(
            "a durable subscription keeps messages while its client is away",
            Topology::new(),
            |stage| {
                let headers = [("durable", "true"), ("auto-delete", "false")];
                let mut client = stage.client()?;
                stage.subscribe(&mut client, "@sub", "/topic/@t", &headers)?;
                drop(client);
                std::thread::sleep(QUIET);
                stage.send("/topic/@t", "1", &[("persistent", "true")])?;
                let mut client = stage.client()?;
                stage.subscribe(&mut client, "@sub", "/topic/@t", &headers)?;
                stage.see(bodies(&rest(&mut client)?));
                Ok(())
            },
        ),
        Case::new("x-queue-name: a subscription's queue that others can reach", Topology::new(), |stage| {
            let mut client = stage.client()?;
            stage.subscribe(&mut client, "0", "/topic/@t", &[("x-queue-name", "@mine")])?;
            stage.send("/topic/@t", "1", &[])?;
            stage.send("/amq/queue/@mine", "2", &[])?;
            stage.see(bodies(&rest(&mut client)?));
            Ok(())
        }),
    ];
    all.extend(replies());
    all.extend(whole());
    all
}

fn replies() -> Vec<Case> {
    vec![
        Case::new(
            "/temp-queue in reply-to: an answer comes without a SUBSCRIBE",
            Topology::new().queue("@work"),
            |stage| {
                let mut asks = stage.client()?;
                asks.request(stage.message(
                    "/amq/queue/@work",
                    "question",
                    &[("reply-to", "/temp-queue/answers")],
                ))?;
                let mut works = stage.consumer("@work", "1")?;
                let question = take(&mut works)?;
                let to = question.header("reply-to").unwrap_or_default().to_owned();
                stage.see(if to.starts_with("/reply-queue/") {
                    "reply-to is /reply-queue/…"
                } else {
                    "no reply queue"
                });
                works.request(Frame::new("SEND").with("destination", &to).body(b"answer"))?;
                let answer = take(&mut asks)?;
                stage.see(show(&answer, &["subscription"]));
                Ok(())
            },
        ),
        Case::new(
            "the same /temp-queue name is the same queue, another is another",
            Topology::new().queue("@work"),
            |stage| {
                let mut asks = stage.client()?;
                for name in ["a", "a", "b"] {
                    let reply = format!("/temp-queue/{name}");
                    asks.request(stage.message("/amq/queue/@work", name, &[("reply-to", &reply)]))?;
                }
                let mut works = stage.client()?;
                stage.subscribe(&mut works, "0", "/amq/queue/@work", &[])?;
                let came = rest(&mut works)?;
                let to = |at: usize| {
                    came.get(at).and_then(|message| message.header("reply-to").map(ToOwned::to_owned))
                };
                stage.see(format!("a = a: {}, a = b: {}", to(0) == to(1), to(0) == to(2)));
                Ok(())
            },
        ),
        Case::new("a reply queue is its connection's alone", Topology::new().queue("@work"), |stage| {
            let mut asks = stage.client()?;
            asks.request(stage.message(
                "/amq/queue/@work",
                "question",
                &[("reply-to", "/temp-queue/answers")],
            ))?;
            let mut other = stage.consumer("@work", "1")?;
            let question = take(&mut other)?;
            let to = question.header("reply-to").unwrap_or_default().to_owned();
            let frame = Frame::new("SUBSCRIBE").with("destination", &to).with("id", "spy");
            let answer = stage.ask(&mut other, &frame)?;
            stage.see(answer);
            Ok(())
        }),
        Case::new("SUBSCRIBE and SEND to /temp-queue are refused", Topology::new(), |stage| {
            for frame in [
                stage.frame("SUBSCRIBE", "/temp-queue/x", &[("id", "0")]),
                stage.message("/temp-queue/x", "1", &[]),
            ] {
                let mut client = stage.client()?;
                let answer = stage.ask(&mut client, &frame)?;
                stage.see(if answer.starts_with("refused") { "refused" } else { "accepted" });
            }
            Ok(())
        }),
    ]
}

fn whole() -> Vec<Case> {
    let one = || Topology::new().queue("@q");
    vec![
        Case::new("a transaction: nothing before COMMIT, then all; nothing after ABORT", one(), |stage| {
            let mut client = stage.client()?;
            for (transaction, end) in [("t1", "COMMIT"), ("t2", "ABORT")] {
                client.send(&Frame::new("BEGIN").with("transaction", transaction))?;
                for body in ["1", "2"] {
                    client.send(&stage.message("/amq/queue/@q", body, &[("transaction", transaction)]))?;
                }
                stage.drain(&["@q"], &[])?;
                client.request(Frame::new(end).with("transaction", transaction))?;
                stage.drain(&["@q"], &[])?;
            }
            Ok(())
        }),
        Case::new("properties and headers come as they were sent", one(), |stage| {
            let headers = [
                ("content-type", "application/json"),
                ("content-encoding", "gzip"),
                ("correlation-id", "c:1"),
                ("priority", "4"),
                ("reply-to", "/queue/r"),
                ("timestamp", "1700000000"),
                ("type", "t"),
                ("app-id", "a"),
                ("amqp-message-id", "m"),
                ("persistent", "true"),
                ("colour", "빨강"),
                ("empty", ""),
            ];
            stage.send("/amq/queue/@q", "1", &headers)?;
            stage.drain(&["@q"], &headers.map(|(name, _)| name))
        }),
        Case::new(
            "a key of 255 bytes, and one of 256",
            Topology::new().exchange("@x", "fanout").queue("@q").bind("@x", "@q", ""),
            |stage| {
                for length in [255, 256] {
                    let mut client = stage.client()?;
                    let destination = format!("/exchange/@x/{}", "k".repeat(length));
                    let answer =
                        stage.ask(&mut client, &stage.message(&destination, &length.to_string(), &[]));
                    stage.see(answer.unwrap_or_else(|_| "the connection is closed".to_owned()));
                }
                stage.drain(&["@q"], &[])
            },
        ),
        Case::new("of a repeated header the first counts", one(), |stage| {
            stage.send("/amq/queue/@q", "1", &[("k", "first"), ("k", "second")])?;
            stage.drain(&["@q"], &["k"])
        }),
        Case::new("receipt and transaction of SEND", one(), |stage| {
            let mut client = stage.client()?;
            client.send(&Frame::new("BEGIN").with("transaction", "t"))?;
            client.send(&stage.message("/amq/queue/@q", "1", &[("transaction", "t"), ("receipt", "r")]))?;
            client.send(&Frame::new("COMMIT").with("transaction", "t"))?;
            rest(&mut client)?;
            stage.drain(&["@q"], &["receipt", "transaction"])
        })
        .but("They are for the broker, and not handed on"),
    ]
}
