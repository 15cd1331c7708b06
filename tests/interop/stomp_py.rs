//! stomp.py with what RabbitMQ's queues can do: each feature as a program in the field uses it.

use anyhow::{Context, Result, ensure};
use harness::broker::Broker;
use harness::door::Door;
use harness::script::python;
use serde_json::Value;

use crate::adapter::{Adapter, bytes, hex};

#[test]
fn a_message_that_outlives_its_queues_ttl_is_dead_lettered_and_says_so() -> Result<()> {
    let broker = Broker::new()?;
    let mut client = Client::new(&broker)?;
    client.subscribe("dead", "/queue/dead", "auto", &[])?;
    let short = ["x-message-ttl:150", "x-dead-letter-exchange:", "x-dead-letter-routing-key:dead"];
    client.send("/queue/short", "late", &short)?;
    let dead = client.hear("/queue/dead", "late")?;
    dead.died("short", "expired")?;
    dead.says("x-first-death-queue", "short")?;
    dead.says("x-first-death-reason", "expired")
}

#[test]
fn a_full_queue_drops_its_head_or_refuses_as_it_was_asked_to() -> Result<()> {
    let broker = Broker::new()?;
    let mut client = Client::new(&broker)?;
    for body in ["first", "second", "third"] {
        client.send("/queue/drops", body, &["x-max-length:2", "x-overflow:drop-head"])?;
        if body != "third" {
            client.send("/queue/refuses", body, &["x-max-length:2", "x-overflow:reject-publish"])?;
        }
    }
    let mut refused = Client::new(&broker)?;
    refused
        .program
        .tell(&format!("send /queue/refuses {} - x-max-length:2 x-overflow:reject-publish", hex(b"third")))?;
    refused.program.answer("error")?;
    refused.program.answer("lost")?;
    client.subscribe("drops", "/queue/drops", "auto", &[])?;
    client.hear("/queue/drops", "second")?;
    client.hear("/queue/drops", "third")?;
    client.subscribe("refuses", "/queue/refuses", "auto", &[])?;
    client.hear("/queue/refuses", "first")?;
    client.hear("/queue/refuses", "second")?;
    client.nothing_more()
}

#[test]
fn urgent_messages_go_first() -> Result<()> {
    let broker = Broker::new()?;
    let mut client = Client::new(&broker)?;
    for (body, priority) in [("can wait", "1"), ("at once", "9"), ("soon", "5"), ("at once as well", "9")] {
        client.send("/queue/urgent", body, &["x-max-priority:9", &format!("priority:{priority}")])?;
    }
    client.subscribe("one", "/queue/urgent", "auto", &["x-max-priority:9"])?;
    for (body, priority) in [("at once", "9"), ("at once as well", "9"), ("soon", "5"), ("can wait", "1")] {
        client.hear("/queue/urgent", body)?.says("priority", priority)?;
    }
    Ok(())
}

#[test]
fn a_message_that_is_refused_for_good_is_dead_lettered() -> Result<()> {
    let broker = Broker::new()?;
    let mut client = Client::new(&broker)?;
    client.subscribe("dead", "/queue/dead", "auto", &[])?;
    let arguments = ["x-dead-letter-exchange:", "x-dead-letter-routing-key:dead"];
    client.subscribe("work", "/queue/work", "client-individual", &arguments)?;
    client.send("/queue/work", "poison", &["colour:red", "x-dead-letter-exchange:", arguments[1]])?;
    client.hear("/queue/work", "poison")?;
    client.program.ask("nack 0 requeue:false", "settled")?;
    let dead = client.hear("/queue/dead", "poison")?;
    dead.died("work", "rejected")?;
    dead.says("colour", "red")?;
    client.nothing_more()
}

#[test]
fn a_consumer_holds_no_more_than_its_prefetch_and_others_get_the_rest() -> Result<()> {
    let broker = Broker::new()?;
    let mut slow = Client::new(&broker)?;
    slow.subscribe("one", "/queue/work", "client-individual", &["prefetch-count:2"])?;
    let mut sender = Client::new(&broker)?;
    for number in 0..6 {
        sender.send("/queue/work", &number.to_string(), &[])?;
    }
    for body in ["0", "1"] {
        slow.hear("/queue/work", body)?;
    }
    let mut quick = Client::new(&broker)?;
    quick.subscribe("one", "/queue/work", "client-individual", &["prefetch-count:1"])?;
    for (number, body) in ["2", "3", "4", "5"].into_iter().enumerate() {
        quick.hear("/queue/work", body)?;
        quick.program.ask(&format!("ack {number}"), "settled")?;
    }
    slow.nothing_more()?;
    // Room for one is room for one.
    sender.send("/queue/work", "6", &[])?;
    quick.hear("/queue/work", "6")?;
    sender.send("/queue/work", "7", &[])?;
    sender.send("/queue/work", "8", &[])?;
    quick.nothing_more()?;
    slow.program.ask("ack 0", "settled")?;
    slow.hear("/queue/work", "7")?;
    slow.nothing_more()
}

#[test]
fn what_comes_again_says_so_and_how_often_it_was_there() -> Result<()> {
    let broker = Broker::new()?;
    let mut lost = Client::new(&broker)?;
    lost.subscribe("one", "/queue/work", "client-individual", &[])?;
    lost.send("/queue/work", "ball", &[])?;
    let first = lost.hear("/queue/work", "ball")?;
    first.says("redelivered", "false")?;
    ensure!(first.header("x-delivery-count").is_none(), "{:?}", first.0);
    drop(lost);
    let mut client = Client::new(&broker)?;
    client.subscribe("one", "/queue/work", "client-individual", &[])?;
    for (number, count) in ["1", "2", "3"].into_iter().enumerate() {
        let again = client.hear("/queue/work", "ball")?;
        again.says("redelivered", "true")?;
        again.says("x-delivery-count", count)?;
        let how = if count == "3" { "ack" } else { "nack" };
        client.program.ask(&format!("{how} {number}"), "settled")?;
    }
    client.nothing_more()
}

#[test]
fn a_durable_subscription_to_a_topic_outlives_its_client_and_the_broker_until_it_is_ended() -> Result<()> {
    let mut broker = Broker::new()?;
    let durable = ["durable:true", "auto-delete:false"];
    let mut reader = Client::new(&broker)?;
    reader.subscribe("news", "/topic/news.#", "client-individual", &durable)?;
    reader.send("/topic/news.here", "here", &["persistent:true"])?;
    reader.hear("/topic/news.here", "here")?;
    reader.program.ask("ack 0", "settled")?;
    reader.program.ask("leave", "left")?;

    let mut sender = Client::new(&broker)?;
    sender.send("/topic/news.away", "while it is away", &["persistent:true"])?;
    broker.kill();
    broker.start()?;
    let mut sender = Client::new(&broker)?;
    sender.send("/topic/news.back", "and after", &["persistent:true"])?;
    let mut reader = Client::new(&broker)?;
    reader.subscribe("news", "/topic/news.#", "client-individual", &durable)?;
    reader.hear("/topic/news.away", "while it is away")?;
    reader.hear("/topic/news.back", "and after")?;
    for number in ["0", "1"] {
        reader.program.ask(&format!("ack {number}"), "settled")?;
    }
    reader.program.ask("unsubscribe news /topic/news.# durable:true", "unsubscribed")?;

    sender.send("/topic/news.late", "for nobody", &["persistent:true"])?;
    reader.subscribe("news", "/topic/news.#", "client-individual", &durable)?;
    reader.nothing_more()
}

#[test]
fn a_transaction_counts_after_a_restart_if_it_was_committed_and_only_then() -> Result<()> {
    let mut broker = Broker::new()?;
    let mut client = Client::new(&broker)?;
    client.send("/queue/in", "job", &["persistent:true"])?;
    client.send("/queue/in", "open job", &["persistent:true"])?;
    client.subscribe("in", "/queue/in", "client-individual", &[])?;
    client.hear("/queue/in", "job")?;
    client.hear("/queue/in", "open job")?;
    // One is taken and answered in one step, the other one is not.
    for (transaction, number, answer) in [("done", 0, "answer"), ("open", 1, "open answer")] {
        client.program.ask(&format!("begin {transaction}"), "begun")?;
        let send = format!("send /queue/out {} {transaction} persistent:true", hex(answer.as_bytes()));
        client.program.ask(&send, "sent")?;
        client.program.tell(&format!("ack {number} transaction:{transaction}"))?;
    }
    client.program.tell("commit done")?;
    // The receipt of an ACK in a transaction comes with its COMMIT.
    client.program.answer("settled")?;
    client.program.answer("committed")?;
    broker.kill();
    broker.start()?;

    let mut client = Client::new(&broker)?;
    client.subscribe("out", "/queue/out", "auto", &[])?;
    client.hear("/queue/out", "answer")?;
    client.subscribe("in", "/queue/in", "auto", &[])?;
    client.hear("/queue/in", "open job")?.says("redelivered", "true")?;
    client.nothing_more()
}

/// stomp.py, connected as 1.2.
pub(crate) struct Client {
    pub(crate) program: Adapter,
}

impl Client {
    pub(crate) fn new(broker: &Broker) -> Result<Self> {
        let mut command = python("stomp_client.py")?;
        command.args(["1.2", "tcp", &broker.at(Door::Stomp).port().to_string()]);
        let mut program = Adapter::start("stomp.py", command)?;
        program.ask("connect 0 stays", "connected")?;
        Ok(Self { program })
    }

    /// With more headers, each `name:value`.
    pub(crate) fn subscribe(&mut self, id: &str, destination: &str, ack: &str, more: &[&str]) -> Result<()> {
        let line = format!("subscribe {id} {destination} {ack} {}", more.join(" "));
        self.program.ask(&line, "subscribed").map(drop)
    }

    pub(crate) fn send(&mut self, destination: &str, body: &str, more: &[&str]) -> Result<()> {
        let line = format!("send {destination} {} - {}", hex(body.as_bytes()), more.join(" "));
        self.program.ask(&line, "sent").map(drop)
    }

    /// The next message is this one.
    pub(crate) fn hear(&mut self, destination: &str, body: &str) -> Result<Heard> {
        let said = self.program.message()?;
        let payload = bytes(said["payload"].as_str().context("no payload")?)?;
        let text = String::from_utf8_lossy(&payload);
        ensure!(
            said["destination"] == destination && text == body,
            "instead of {body:?} came {text:?}: {said}"
        );
        Ok(Heard(said["headers"].clone()))
    }

    /// What is sent now is what comes next: nothing was on its way before it.
    pub(crate) fn nothing_more(&mut self) -> Result<()> {
        self.subscribe("marker", "/topic/marker", "auto", &[])?;
        self.send("/topic/marker", "marker", &[])?;
        self.hear("/topic/marker", "marker")?;
        self.program.ask("unsubscribe marker /topic/marker", "unsubscribed").map(drop)
    }
}

/// The headers of a message.
pub(crate) struct Heard(Value);

impl Heard {
    fn header(&self, name: &str) -> Option<&str> {
        self.0[name].as_str()
    }

    pub(crate) fn says(&self, name: &str, value: &str) -> Result<()> {
        ensure!(self.header(name) == Some(value), "{name} is not {value:?}: {}", self.0);
        Ok(())
    }

    /// It died once, there and of that.
    pub(crate) fn died(&self, queue: &str, reason: &str) -> Result<()> {
        let deaths: Value = serde_json::from_str(self.header("x-death").context("no x-death")?)?;
        let [death] = deaths.as_array().context("no array")?.as_slice() else { anyhow::bail!("{deaths}") };
        ensure!(death["queue"] == queue && death["reason"] == reason && death["count"] == 1, "{death}");
        Ok(())
    }
}
