//! What is refused, and in which word.

use harness::socket::Next;
use harness::stomp::Frame;
use harness::wait::SOON;
use serde_json::json;

use crate::case::Case;
use crate::topology::Topology;

/// See the file.
pub(crate) fn cases() -> Vec<Case> {
    [names(), arguments(), values_and_ends(), frames()].into_iter().flatten().collect()
}

fn names() -> Vec<Case> {
    let limited = || Topology::new().queue_with("@q", json!({ "x-max-length": 5, "x-message-ttl": 60000 }));
    let none = Topology::new;
    vec![
        asked("SEND to an exchange that does not exist", none(), "SEND", "/exchange/@missing/k", &[]),
        asked(
            "SUBSCRIBE to an exchange that does not exist",
            none(),
            "SUBSCRIBE",
            "/exchange/@missing/k",
            &[],
        ),
        asked(
            "SUBSCRIBE to /amq/queue/NAME that does not exist",
            none(),
            "SUBSCRIBE",
            "/amq/queue/@missing",
            &[],
        ),
        asked(
            "SUBSCRIBE to /reply-queue/NAME that does not exist",
            none(),
            "SUBSCRIBE",
            "/reply-queue/@missing",
            &[],
        ),
        asked("a name with more levels", none(), "SEND", "/topic/a/b", &[]),
        asked("an unknown prefix", none(), "SEND", "/sub/a", &[]),
        asked(
            "a queue with the same arguments is accepted",
            limited(),
            "SUBSCRIBE",
            "/queue/@q",
            &[("x-max-length", "5"), ("x-message-ttl", "60000")],
        ),
        asked(
            "another x-max-length",
            limited(),
            "SUBSCRIBE",
            "/queue/@q",
            &[("x-max-length", "6"), ("x-message-ttl", "60000")],
        ),
        asked(
            "another x-message-ttl",
            limited(),
            "SUBSCRIBE",
            "/queue/@q",
            &[("x-max-length", "5"), ("x-message-ttl", "1")],
        ),
        asked(
            "an argument that the queue has not",
            limited(),
            "SUBSCRIBE",
            "/queue/@q",
            &[("x-max-length", "5"), ("x-message-ttl", "60000"), ("x-max-priority", "3")],
        ),
    ]
}

fn arguments() -> Vec<Case> {
    let limited = || Topology::new().queue_with("@q", json!({ "x-max-length": 5, "x-message-ttl": 60000 }));
    let none = Topology::new;
    vec![
        asked(
            "durable:false for a durable queue",
            none().queue("@q"),
            "SUBSCRIBE",
            "/queue/@q",
            &[("durable", "false")],
        )
        .but("It is the durability that differs; RabbitMQ sees first that it would be exclusive"),
        asked(
            "auto-delete:true for one that is not",
            none().queue("@q"),
            "SUBSCRIBE",
            "/queue/@q",
            &[("auto-delete", "true")],
        ),
        asked("a queue with arguments, asked for without any", limited(), "SUBSCRIBE", "/queue/@q", &[])
            .but("Whoever asks nothing of a queue takes it as it is"),
        asked(
            "an x-max-length that is no number",
            none(),
            "SUBSCRIBE",
            "/queue/@q",
            &[("x-max-length", "many")],
        )
        .but("It is said which header has which wrong value"),
        asked("a negative x-message-ttl", none(), "SUBSCRIBE", "/queue/@q", &[("x-message-ttl", "-1")])
            .but("The same"),
        asked(
            "an expiration that is no number",
            none().queue("@q"),
            "SEND",
            "/amq/queue/@q",
            &[("expiration", "soon")],
        )
        .but("The same"),
        Case::new("ACK of a message that was acknowledged before", none().queue("@q"), |stage| {
            stage.send("/amq/queue/@q", "1", &[])?;
            let mut client = stage.consumer("@q", "1")?;
            let message = crate::stage::take(&mut client)?;
            let ack = Frame::new("ACK").with("id", message.header("ack").unwrap_or_default());
            client.request(ack.clone())?;
            let answer = stage.ask(&mut client, &ack)?;
            stage.see(answer);
            Ok(())
        })
        .but("An ERROR, not first a RECEIPT and then an ERROR"),
    ]
}

fn values_and_ends() -> Vec<Case> {
    let none = Topology::new;
    vec![Case::new("an ERROR of the routing core ends the connection", none(), |stage| {
        let mut client = stage.client()?;
        stage.ask(&mut client, &stage.frame("SUBSCRIBE", "/amq/queue/@missing", &[("id", "0")]))?;
        let mut ended = false;
        for _ in 0..3 {
            ended |= client.next(SOON)? == Next::Closed;
            if ended {
                break;
            }
        }
        stage.see(if ended { "closed" } else { "open" });
        Ok(())
    })]
}

fn frames() -> Vec<Case> {
    let one = || Topology::new().queue("@q");
    vec![
        asked("user-id of somebody else", one(), "SEND", "/amq/queue/@q", &[("user-id", "somebody")])
            .but("It proves nothing, as the user properties of MQTT do not: a headers exchange goes by the user who was let in"),
        asked("message-id on SEND", one(), "SEND", "/amq/queue/@q", &[("message-id", "m")]),
        asked("an ack mode that is none", one(), "SUBSCRIBE", "/amq/queue/@q", &[("ack", "perhaps")])
            .but("The header and its value are named"),
        asked(
            "x-queue-type: quorum",
            Topology::new(),
            "SUBSCRIBE",
            "/queue/@q",
            &[("x-queue-type", "quorum")],
        )
        .but("There are no quorum queues, and it is said instead of making another one"),
        Case::new("a subscription id twice", one(), |stage| {
            let mut client = stage.client()?;
            for _ in 0..2 {
                let frame = stage.frame("SUBSCRIBE", "/amq/queue/@q", &[("id", "0")]);
                let answer = stage.ask(&mut client, &frame)?;
                stage.see(if answer == "accepted" { "accepted" } else { "refused" });
            }
            Ok(())
        }),
        Case::new("UNSUBSCRIBE of an id that is none", Topology::new(), |stage| {
            let mut client = stage.client()?;
            let answer = stage.ask(&mut client, &Frame::new("UNSUBSCRIBE").with("id", "none"))?;
            stage.see(if answer == "accepted" { "accepted" } else { "refused" });
            Ok(())
        }),
        Case::new("COMMIT of a transaction that is none, BEGIN twice", Topology::new(), |stage| {
            for (first, second) in [("BEGIN", "BEGIN"), ("COMMIT", "COMMIT")] {
                let mut client = stage.client()?;
                client.send(&Frame::new(first).with("transaction", "t"))?;
                let answer = stage.ask(&mut client, &Frame::new(second).with("transaction", "t"));
                let accepted = answer.is_ok_and(|answer| answer == "accepted");
                stage.see(format!("{second}: {}", if accepted { "accepted" } else { "refused" }));
            }
            Ok(())
        })
        .but("A transaction has one beginning, as STOMP says"),
    ]
}

/// One frame with a receipt, and what the broker says to it.
fn asked(
    name: &'static str,
    topology: Topology,
    command: &'static str,
    destination: &'static str,
    headers: &'static [(&'static str, &'static str)],
) -> Case {
    Case::new(name, topology, move |stage| {
        let mut client = stage.client()?;
        let frame = match command {
            "SEND" => stage.message(destination, "x", headers),
            other => stage.frame(other, destination, headers).with("id", "0"),
        };
        let answer = stage.ask(&mut client, &frame)?;
        stage.see(answer);
        Ok(())
    })
}
