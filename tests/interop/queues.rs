//! Queues with RabbitMQ's arguments: how long, how many, how urgent, and where to what they give up.

use std::time::Duration;

use anyhow::{Result, ensure};
use harness::broker::{Broker, Setup};
use harness::door::Door;
use harness::mqtt::Client as Mqtt;
use harness::mqtt::property::Property;
use harness::mqtt::version::Version;
use harness::socket::Next;
use harness::stomp::{Client, Frame};
use harness::wait::SOON;

const QUIET: Duration = Duration::from_millis(300);

#[test]
fn an_expired_message_goes_to_the_dead_letter_queue_and_says_why() -> Result<()> {
    let broker = Broker::new()?;
    let mut client = Client::new(broker.at(Door::Stomp))?;
    client.subscribe("dead", "/queue/dead", "auto")?;
    let send = send("/queue/short", "late").with("x-message-ttl", "150");
    let send = send.with("x-dead-letter-exchange", "").with("x-dead-letter-routing-key", "dead");
    client.request(send.with("colour", "red"))?;
    let dead = client.expect("MESSAGE")?;
    ensure!(dead.text() == "late", "{dead:?}");
    for (name, value) in [
        ("destination", "/queue/dead"),
        ("subscription", "dead"),
        ("colour", "red"),
        ("x-first-death-queue", "short"),
        ("x-first-death-reason", "expired"),
        ("x-first-death-exchange", ""),
    ] {
        ensure!(dead.header(name) == Some(value), "{name}: {dead:?}");
    }
    let deaths: serde_json::Value = serde_json::from_str(dead.header("x-death").unwrap_or_default())?;
    let first = deaths.get(0).cloned().unwrap_or_default();
    for (name, value) in [("reason", "expired"), ("queue", "short"), ("exchange", "")] {
        ensure!(first.get(name).and_then(|it| it.as_str()) == Some(value), "{name}: {deaths}");
    }
    ensure!(first.get("count").and_then(serde_json::Value::as_u64) == Some(1), "{deaths}");
    ensure!(first.get("routing-keys") == Some(&serde_json::json!(["short"])), "{deaths}");
    Ok(())
}

#[test]
fn the_sooner_of_two_times_to_live_counts() -> Result<()> {
    let broker = Broker::new()?;
    let mut client = Client::new(broker.at(Door::Stomp))?;
    client.subscribe("dead", "/queue/dead", "auto")?;
    let declared = |body: &str| {
        let send = send("/queue/q", body).with("x-message-ttl", "700");
        send.with("x-dead-letter-exchange", "").with("x-dead-letter-routing-key", "dead")
    };
    client.request(declared("the queue's"))?;
    client.request(declared("its own").with("expiration", "100"))?;
    client.request(declared("the queue's again").with("expiration", "60000"))?;
    // The second overtakes the first, which waits longer.
    for body in ["its own", "the queue's", "the queue's again"] {
        let dead = client.expect("MESSAGE")?;
        ensure!(dead.text() == body, "not {body}: {dead:?}");
        ensure!(dead.header("expiration").is_none(), "it would expire again: {dead:?}");
    }
    Ok(())
}

#[test]
fn an_mqtt_message_of_a_bound_queue_expires_and_is_dead_lettered_to_mqtt() -> Result<()> {
    let broker = Setup::new()
        .config(concat!(
            "[[queue]]\nname = \"inbox\"\ndead_letter_exchange = \"amq.topic\"\ndead_letter_key = \"dead.inbox\"\n",
            "[[binding]]\nexchange = \"amq.topic\"\nkey = \"in.#\"\nqueue = \"inbox\"\n",
        ))
        .start()?;
    let mut client = Mqtt::clean(broker.at(Door::Mqtt), Version::V5, "watcher")?;
    client.subscribe("dead/+", 1)?;
    let mut sender = Client::new(broker.at(Door::Stomp))?;
    sender.request(send("/topic/in.a", "x").with("expiration", "100"))?;
    let dead = client.take()?;
    ensure!(dead.topic == "dead/inbox" && dead.payload == b"x", "{dead:?}");
    let reason = Property::Pair("x-first-death-reason".to_owned(), "expired".to_owned());
    ensure!(dead.properties.contains(&reason), "{dead:?}");
    Ok(())
}

#[test]
fn a_full_queue_drops_its_head_and_dead_letters_it() -> Result<()> {
    let broker = Broker::new()?;
    let mut client = Client::new(broker.at(Door::Stomp))?;
    for body in ["1", "2", "3"] {
        let send = send("/queue/two", body).with("x-max-length", "2");
        client.request(send.with("x-dead-letter-exchange", "amq.topic"))?;
        if body == "1" {
            client.subscribe("dead", "/topic/two", "auto")?;
        }
    }
    let dead = client.expect("MESSAGE")?;
    ensure!(dead.text() == "1" && dead.header("x-first-death-reason") == Some("maxlen"), "{dead:?}");
    ensure!(dead.header("destination") == Some("/topic/two"), "{dead:?}");
    client.subscribe("0", "/queue/two", "auto")?;
    for body in ["2", "3"] {
        ensure!(client.expect("MESSAGE")?.text() == body, "not {body}");
    }
    Ok(())
}

#[test]
fn a_queue_of_so_many_bytes_drops_as_many_as_it_takes() -> Result<()> {
    let broker = Broker::new()?;
    let mut client = Client::new(broker.at(Door::Stomp))?;
    for body in ["aaaa", "bbbb", "cccc", "dddddddd"] {
        // A message counts with its key, which is one byte.
        client.request(send("/queue/b", body).with("x-max-length-bytes", "15"))?;
    }
    client.subscribe("0", "/queue/b", "auto")?;
    for body in ["cccc", "dddddddd"] {
        ensure!(client.expect("MESSAGE")?.text() == body, "not {body}");
    }
    Ok(())
}

#[test]
fn a_full_queue_that_rejects_tells_the_publisher() -> Result<()> {
    for (overflow, dies) in [("reject-publish", false), ("reject-publish-dlx", true)] {
        let broker = Broker::new()?;
        let mut watcher = Client::new(broker.at(Door::Stomp))?;
        watcher.subscribe("dead", "/queue/dead", "auto")?;
        let mut client = Client::new(broker.at(Door::Stomp))?;
        let asked = |body: &str| {
            let send = send("/queue/one", body).with("x-max-length", "1").with("x-overflow", overflow);
            send.with("x-dead-letter-exchange", "").with("x-dead-letter-routing-key", "dead")
        };
        client.request(asked("fits"))?;
        client.send(&asked("does not"))?;
        let error = client.expect("ERROR")?;
        ensure!(error.header("message").is_some_and(|text| text.contains("full")), "{error:?}");
        let mut client = Client::new(broker.at(Door::Stomp))?;
        client.subscribe("0", "/queue/one", "auto")?;
        ensure!(client.expect("MESSAGE")?.text() == "fits", "{overflow}");
        if dies {
            let dead = watcher.expect("MESSAGE")?;
            ensure!(dead.text() == "does not", "{dead:?}");
            ensure!(dead.header("x-first-death-reason") == Some("maxlen"), "{dead:?}");
        } else {
            ensure!(watcher.next(QUIET)? == Next::Silence, "{overflow} has nothing to dead-letter");
        }
    }
    Ok(())
}

#[test]
fn a_rejected_message_is_dead_lettered_and_may_go_round() -> Result<()> {
    let broker = Broker::new()?;
    let mut client = Client::new(broker.at(Door::Stomp))?;
    // Two queues that are each other's dead-letter queue: a circle, but one that somebody turns.
    for (queue, other) in [("ping", "pong"), ("pong", "ping")] {
        let subscribe = subscribe(queue, &format!("/queue/{queue}"), "client-individual");
        let subscribe = subscribe.with("x-dead-letter-exchange", "");
        client.request(subscribe.with("x-dead-letter-routing-key", other))?;
    }
    client.request(send("/queue/ping", "ball"))?;
    for (turn, queue) in ["ping", "pong", "ping", "pong"].into_iter().enumerate() {
        let message = client.expect("MESSAGE")?;
        ensure!(message.header("subscription") == Some(queue), "{turn}: {message:?}");
        if turn == 3 {
            let deaths: serde_json::Value =
                serde_json::from_str(message.header("x-death").unwrap_or_default())?;
            let count = |at: usize| deaths.get(at).and_then(|death| death.get("count")?.as_u64());
            ensure!((count(0), count(1)) == (Some(2), Some(1)), "{deaths}");
        }
        let id = message.header("ack").unwrap_or_default().to_owned();
        client.request(Frame::new("NACK").with("id", &id).with("requeue", "false"))?;
    }
    Ok(())
}

#[test]
fn who_dies_again_in_the_same_way_is_counted_and_told_as_the_first_time() -> Result<()> {
    // A queue that dead-letters to itself, by another exchange than the one by which the message came at first.
    let broker = Setup::new()
        .config(concat!(
            "[[queue]]\nname = \"work\"\ndead_letter_exchange = \"\"\ndead_letter_key = \"work\"\n",
            "[[binding]]\nexchange = \"amq.topic\"\nqueue = \"work\"\nkey = \"orders.#\"\n",
        ))
        .start()?;
    let mut client = Client::new(broker.at(Door::Stomp))?;
    client.subscribe("0", "/queue/work", "client-individual")?;
    client.request(send("/topic/orders.new", "1"))?;
    for _ in 0..2 {
        let message = client.expect("MESSAGE")?;
        let id = message.header("ack").unwrap_or_default().to_owned();
        client.request(Frame::new("NACK").with("id", &id).with("requeue", "false"))?;
    }
    let message = client.expect("MESSAGE")?;
    let deaths: serde_json::Value = serde_json::from_str(message.header("x-death").unwrap_or_default())?;
    let death = deaths.get(0).cloned().unwrap_or_default();
    ensure!(death["count"] == 2 && death["exchange"] == "amq.topic", "{deaths}");
    ensure!(death["routing-keys"] == serde_json::json!(["orders.new"]), "{deaths}");
    Ok(())
}

#[test]
fn a_queue_that_keeps_nothing_may_be_declared() -> Result<()> {
    let config = "[[queue]]\nname = \"none\"\nmax_length = 0\noverflow = \"drop-head\"\n";
    let broker = Setup::new().config(config).start()?;
    let mut client = Client::new(broker.at(Door::Stomp))?;
    client.publish("/queue/none", b"1")?;
    client.subscribe("0", "/queue/none", "auto")?;
    ensure!(client.next(QUIET)? == Next::Silence, "it was kept");
    Ok(())
}

#[test]
fn a_circle_that_nobody_turns_is_cut() -> Result<()> {
    let broker = Broker::new()?;
    let mut client = Client::new(broker.at(Door::Stomp))?;
    let send = send("/queue/self", "round").with("x-message-ttl", "50");
    client.request(send.with("x-dead-letter-exchange", "").with("x-dead-letter-routing-key", "self"))?;
    std::thread::sleep(Duration::from_millis(400));
    client.subscribe("0", "/queue/self", "auto")?;
    ensure!(client.next(QUIET)? == Next::Silence, "it went round");
    Ok(())
}

#[test]
fn urgent_messages_go_first_and_come_back_to_their_place() -> Result<()> {
    let broker = Broker::new()?;
    let mut client = Client::new(broker.at(Door::Stomp))?;
    for (priority, body) in [("0", "later"), ("5", "b"), ("9", "c"), ("5", "d"), ("200", "e")] {
        let send = send("/queue/urgent", body).with("x-max-priority", "10");
        client.request(send.with("priority", priority))?;
    }
    let take = |client: &mut Client, body: &str| -> Result<Frame> {
        let message = client.expect("MESSAGE")?;
        ensure!(message.text() == body, "not {body}: {message:?}");
        Ok(message)
    };
    client.request(subscribe("0", "/queue/urgent", "client-individual").with("prefetch-count", "2"))?;
    let (first, second) = (take(&mut client, "e")?, take(&mut client, "c")?);
    // Both come back, and nothing less urgent has gone before them.
    client.settle("NACK", &first)?;
    take(&mut client, "e")?;
    client.settle("NACK", &second)?;
    let again = take(&mut client, "c")?;
    ensure!(again.header("x-delivery-count") == Some("1"), "{again:?}");
    client.request(Frame::new("UNSUBSCRIBE").with("id", "0"))?;
    client.subscribe("1", "/queue/urgent", "auto")?;
    for body in ["e", "c", "b", "d", "later"] {
        take(&mut client, body)?;
    }
    Ok(())
}

#[test]
fn deliveries_are_counted_and_limited() -> Result<()> {
    let broker = Broker::new()?;
    let mut client = Client::new(broker.at(Door::Stomp))?;
    client.subscribe("dead", "/queue/dead", "auto")?;
    let subscribe = subscribe("0", "/queue/poison", "client-individual").with("x-delivery-limit", "2");
    let subscribe = subscribe.with("x-dead-letter-exchange", "");
    client.request(subscribe.with("x-dead-letter-routing-key", "dead"))?;
    client.request(send("/queue/poison", "pill"))?;
    for count in [None, Some("1"), Some("2")] {
        let message = client.expect("MESSAGE")?;
        ensure!(message.header("subscription") == Some("0"), "{message:?}");
        ensure!(message.header("x-delivery-count") == count, "{count:?}: {message:?}");
        let again = if count.is_some() { "true" } else { "false" };
        ensure!(message.header("redelivered") == Some(again), "{message:?}");
        client.settle("NACK", &message)?;
    }
    let dead = client.expect("MESSAGE")?;
    ensure!(dead.header("subscription") == Some("dead"), "{dead:?}");
    ensure!(dead.header("x-first-death-reason") == Some("delivery_limit"), "{dead:?}");
    Ok(())
}

#[test]
fn after_twenty_returns_a_message_goes_to_the_dead_letters_and_the_log_says_so() -> Result<()> {
    let broker = Broker::new()?;
    let mut client = Client::new(broker.at(Door::Stomp))?;
    client.subscribe("dead", "/queue/dead", "auto")?;
    let with = |subscribe: Frame| {
        subscribe.with("x-dead-letter-exchange", "").with("x-dead-letter-routing-key", "dead")
    };
    client.request(with(subscribe("with", "/queue/with", "client-individual")))?;
    client.request(send("/queue/with", "pill"))?;
    give_back(&mut client, "with", 21)?;
    let dead = client.expect("MESSAGE")?;
    ensure!(dead.header("subscription") == Some("dead") && dead.text() == "pill", "{dead:?}");
    ensure!(dead.header("x-first-death-reason") == Some("delivery_limit"), "{dead:?}");
    broker.journal().wait_for(&["queue.poison", "queue=with", "to the dead letters"], SOON)?;
    Ok(())
}

#[test]
fn where_there_are_no_dead_letters_a_message_may_come_back_for_ever_and_the_log_says_so_once() -> Result<()> {
    let broker = Broker::new()?;
    let mut client = Client::new(broker.at(Door::Stomp))?;
    // Nobody said that this one may lose a message: a consumer may give back for as long as it likes.
    let ask = subscribe("without", "/queue/without", "client-individual");
    client.request(ask.with("x-message-ttl", "600000"))?;
    client.request(send("/queue/without", "pill"))?;
    give_back(&mut client, "without", 60)?;
    let message = client.expect("MESSAGE")?;
    ensure!(message.header("subscription") == Some("without"), "{message:?}");
    let log = broker.journal().text();
    let told = log.lines().filter(|line| line.contains("queue.poison")).count();
    ensure!(told == 1 && log.contains("queue=without"), "{told} complaints");
    Ok(())
}

#[test]
fn the_limit_of_returns_is_the_configurations_or_none() -> Result<()> {
    for (max, returns) in [(0, 60), (2, 3)] {
        let mut broker = Setup::new().config(&format!("[limits]\nredeliveries = {max}\n")).start()?;
        let mut client = Client::new(broker.at(Door::Stomp))?;
        let ask = subscribe("0", "/queue/q", "client-individual").with("x-dead-letter-exchange", "");
        client.request(ask.with("x-dead-letter-routing-key", "dead"))?;
        // It holds for queues that were there before a restart as well.
        broker.kill();
        broker.start()?;
        let mut client = Client::new(broker.at(Door::Stomp))?;
        client.request(subscribe("0", "/queue/q", "client-individual"))?;
        client.subscribe("dead", "/queue/dead", "auto")?;
        client.request(send("/queue/q", "pill"))?;
        give_back(&mut client, "0", returns)?;
        let last = client.expect("MESSAGE")?;
        let expected = if max == 0 { "0" } else { "dead" };
        ensure!(last.header("subscription") == Some(expected), "{max}: {last:?}");
    }
    Ok(())
}

#[test]
fn a_letter_that_consumers_gave_back_too_often_may_come_back_for_another_try() -> Result<()> {
    // Work, and a second queue in which a message waits before it is tried again.
    let broker = Setup::new()
        .config(concat!(
            "[limits]\nredeliveries = 1\n",
            "[[queue]]\nname = \"work\"\ndead_letter_exchange = \"\"\ndead_letter_key = \"later\"\n",
            "[[queue]]\nname = \"later\"\ndead_letter_exchange = \"\"\ndead_letter_key = \"work\"\nmessage_ttl = \"100ms\"\n",
        ))
        .start()?;
    let mut client = Client::new(broker.at(Door::Stomp))?;
    client.subscribe("0", "/queue/work", "client-individual")?;
    client.request(send("/queue/work", "hard"))?;
    for _ in 0..3 {
        give_back(&mut client, "0", 2)?;
    }
    ensure!(client.expect("MESSAGE")?.text() == "hard", "it is there for a fourth try");
    Ok(())
}

#[test]
fn a_queue_goes_when_nobody_uses_it() -> Result<()> {
    let broker = Broker::new()?;
    let mut client = Client::new(broker.at(Door::Stomp))?;
    let asked = || subscribe("0", "/queue/brief", "auto").with("x-expires", "300");
    client.request(asked())?;
    std::thread::sleep(Duration::from_millis(700));
    // Consumed is used, however long it takes.
    client.request(send("/amq/queue/brief", "while consumed"))?;
    ensure!(client.expect("MESSAGE")?.text() == "while consumed", "it went under its consumer");
    client.request(Frame::new("UNSUBSCRIBE").with("id", "0"))?;
    let end = std::time::Instant::now() + SOON;
    loop {
        let mut other = Client::new(broker.at(Door::Stomp))?;
        other.send(&subscribe("1", "/amq/queue/brief", "auto").with("receipt", "r"))?;
        let answer = other.frame()?;
        if answer.command == "ERROR" {
            ensure!(answer.header("error-code") == Some("not_found"), "{answer:?}");
            return Ok(());
        }
        ensure!(std::time::Instant::now() < end, "it stays");
        drop(other);
        // Longer than the queue lives: looking at it was a use.
        std::thread::sleep(Duration::from_millis(600));
    }
}

#[test]
fn what_was_asked_of_a_queue_holds_after_kill_minus_nine() -> Result<()> {
    let mut broker = Broker::new()?;
    let mut client = Client::new(broker.at(Door::Stomp))?;
    let asked = |body: &str, priority: &str| {
        let send = send("/queue/kept", body).with("persistent", "true").with("priority", priority);
        let send = send.with("x-max-priority", "4").with("x-max-length", "2");
        send.with("x-dead-letter-exchange", "").with("x-dead-letter-routing-key", "dead")
    };
    client.publish("/queue/dead", b"first")?;
    client.request(asked("a", "1"))?;
    client.request(asked("b", "2"))?;
    broker.kill();
    broker.start()?;
    let mut client = Client::new(broker.at(Door::Stomp))?;
    client.subscribe("dead", "/queue/dead", "auto")?;
    ensure!(client.expect("MESSAGE")?.text() == "first", "it was persistent");
    // It still has its arguments: the head, which is the most urgent one, makes room.
    client.request(asked("c", "0").with("expiration", "100"))?;
    for (body, why) in [("b", "maxlen"), ("c", "expired")] {
        let dead = client.expect("MESSAGE")?;
        ensure!(dead.text() == body, "not {body}: {dead:?}");
        ensure!(dead.header("x-first-death-reason") == Some(why), "{dead:?}");
    }
    client.subscribe("kept", "/queue/kept", "auto")?;
    ensure!(client.expect("MESSAGE")?.text() == "a", "what was there before");
    Ok(())
}

#[test]
fn a_queue_that_is_another_than_asked_for_is_refused() -> Result<()> {
    let broker = Broker::new()?;
    let mut client = Client::new(broker.at(Door::Stomp))?;
    client.request(send("/queue/q", "x").with("x-message-ttl", "60000").with("x-max-length", "5"))?;
    // Whoever says nothing takes it as it is; whoever says the same is right.
    client.request(send("/queue/q", "x"))?;
    client.request(send("/queue/q", "x").with("x-message-ttl", "60000").with("durable", "true"))?;
    for (name, value, current) in [
        ("x-message-ttl", "5", "'60000'"),
        ("x-max-length", "6", "'5'"),
        ("x-max-priority", "5", "none"),
        ("x-expires", "1000", "none"),
        ("x-dead-letter-exchange", "amq.topic", "none"),
        ("x-overflow", "reject-publish", "'drop-head'"),
        ("durable", "false", "'true'"),
        ("auto-delete", "true", "'false'"),
        ("x-single-active-consumer", "true", "'false'"),
    ] {
        let mut client = Client::new(broker.at(Door::Stomp))?;
        client.send(&send("/queue/q", "x").with(name, value).with("receipt", "r"))?;
        let error = client.expect("ERROR")?;
        ensure!(error.header("error-code") == Some("precondition_failed"), "{error:?}");
        let wanted = format!("inequivalent arg '{name}': received '{value}' but current is {current}");
        ensure!(error.header("message").is_some_and(|text| text.contains(&wanted)), "{wanted}: {error:?}");
    }
    Ok(())
}

#[test]
fn an_argument_that_means_nothing_is_refused_with_what_it_may_be() -> Result<()> {
    let broker = Broker::new()?;
    for (name, value, may) in [
        ("x-message-ttl", "soon", "a whole number from 0 to 4294967295"),
        ("x-message-ttl", "-1", "a whole number"),
        ("x-expires", "0", "a whole number from 1"),
        ("x-max-length", "", "a whole number from 0"),
        ("x-max-length-bytes", "1k", "a whole number"),
        ("x-max-priority", "256", "a whole number from 0 to 255"),
        ("x-overflow", "drop-tail", "drop-head, reject-publish or reject-publish-dlx"),
        ("x-dead-letter-routing-key", "k", "x-dead-letter-exchange beside it"),
        ("x-delivery-limit", "many", "a whole number"),
        ("x-queue-type", "quorum", "classic"),
        ("x-single-active-consumer", "yes", "true or false"),
        ("x-queue-mode", "lazy", "not supported"),
        ("durable", "yes", "true or false"),
        ("auto-delete", "1", "true or false"),
    ] {
        for frame in [
            send("/queue/bad", "x").with(name, value),
            subscribe("0", "/queue/bad", "auto").with(name, value),
        ] {
            let mut client = Client::new(broker.at(Door::Stomp))?;
            client.send(&frame)?;
            let error = client.expect("ERROR")?;
            let said = error.text();
            ensure!(said.contains(name) && said.contains(value) && said.contains(may), "{said}");
        }
    }
    Ok(())
}

#[test]
fn a_queue_that_is_not_durable_goes_with_the_connection_that_made_it_by_sending() -> Result<()> {
    let broker = Broker::new()?;
    let mut client = Client::new(broker.at(Door::Stomp))?;
    client.request(send("/queue/mine", "x").with("durable", "false"))?;
    let mut other = Client::new(broker.at(Door::Stomp))?;
    other.send(&subscribe("0", "/amq/queue/mine", "auto"))?;
    let error = other.expect("ERROR")?;
    ensure!(error.header("error-code") == Some("resource_locked"), "{error:?}");
    client.request(Frame::new("DISCONNECT"))?;
    ensure!(client.closes(SOON)?, "DISCONNECT");
    let end = std::time::Instant::now() + SOON;
    loop {
        let mut other = Client::new(broker.at(Door::Stomp))?;
        other.send(&subscribe("0", "/amq/queue/mine", "auto"))?;
        let error = other.expect("ERROR")?;
        if error.header("error-code") == Some("not_found") {
            return Ok(());
        }
        ensure!(std::time::Instant::now() < end, "{error:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_slow_consumer_with_a_prefetch_of_one_holds_nobody_up() -> Result<()> {
    let broker = Broker::new()?;
    let mut slow = Client::new(broker.at(Door::Stomp))?;
    slow.request(subscribe("0", "/queue/work", "client-individual").with("prefetch-count", "1"))?;
    let mut quick = Client::new(broker.at(Door::Stomp))?;
    quick.subscribe("0", "/queue/work", "auto")?;
    let mut sender = Client::new(broker.at(Door::Stomp))?;
    for number in 0..50 {
        sender.request(send("/queue/work", &number.to_string()))?;
    }
    let held = slow.expect("MESSAGE")?.text();
    for number in (0..50).map(|number| number.to_string()).filter(|number| *number != held) {
        let message = quick.expect("MESSAGE")?;
        ensure!(message.text() == number, "not {number} beside {held}: {message:?}");
    }
    ensure!(slow.next(QUIET)? == Next::Silence, "more than its prefetch");
    Ok(())
}

/// Takes a message and gives it back, so many times.
fn give_back(client: &mut Client, subscription: &str, times: u32) -> Result<()> {
    for time in 0..times {
        let message = client.expect("MESSAGE")?;
        ensure!(message.header("subscription") == Some(subscription), "{time}: {message:?}");
        client.settle("NACK", &message)?;
    }
    Ok(())
}

fn send(destination: &str, body: &str) -> Frame {
    let mut frame = Frame::new("SEND").with("destination", destination);
    frame.body = body.as_bytes().to_vec();
    frame
}

fn subscribe(id: &str, destination: &str, ack: &str) -> Frame {
    Frame::new("SUBSCRIBE").with("id", id).with("destination", destination).with("ack", ack)
}
