//! What is sent again says so, and what was never sent does not: over the end of the broker, killed, or stopped as it should be.

use anyhow::{Result, ensure};
use harness::broker::Broker;
use harness::door::Door;
use harness::mqtt::Client;
use harness::mqtt::packet::Publish;
use harness::mqtt::property::{Property, RECEIVE_MAXIMUM};
use harness::mqtt::version::Version;
use harness::mqtt::write::Connect;
use harness::stomp::{Client as Stomp, Frame};

#[test]
fn what_came_while_a_client_was_away_is_new_to_it_however_the_broker_ended() -> Result<()> {
    // [MQTT-3.3.1-1], [MQTT-3.3.1-3], [MQTT-4.4.0-1]
    for end in [End::Killed, End::Stopped] {
        for version in [Version::V311, Version::V5] {
            let mut broker = Broker::new()?;
            let connect = Connect::lasting(version, "sleeper").will(Publish::new("gone", b"sleeper", 1));
            let (mut sleeper, _) = Client::connect(broker.at(Door::Mqtt), &connect)?;
            sleeper.subscribe("to/sleeper", 2)?;
            let mut sender = Client::clean(broker.at(Door::Mqtt), version, "sender")?;
            sender.subscribe("gone", 1)?;
            for (qos, text) in [(1, "sent 1"), (2, "sent 2")] {
                sender.publish("to/sleeper", text.as_bytes(), qos)?;
                ensure!(sleeper.publication()?.text() == text, "it did not come");
            }
            drop(sleeper);
            // Together with the will it is noted that the client is gone, and how far it came.
            ensure!(sender.take()?.topic == "gone", "no will");
            for (qos, text) in [(1, "new 1"), (2, "new 2")] {
                sender.publish("to/sleeper", text.as_bytes(), qos)?;
            }
            // Twice: the second time all that is known of it comes from the restart before.
            for _ in 0..2 {
                end.of(&mut broker)?;
            }
            let (mut sleeper, _) = Client::connect(broker.at(Door::Mqtt), &connect)?;
            expect(&mut sleeper, &[("sent 1", true), ("sent 2", true), ("new 1", false), ("new 2", false)])?;
        }
    }
    Ok(())
}

#[test]
fn of_a_client_that_was_there_a_stop_knows_what_was_sent_and_a_crash_does_not() -> Result<()> {
    // [MQTT-3.3.1-1]: what may have been sent before is sent as such.
    for (end, is_second_new) in [(End::Killed, false), (End::Stopped, true)] {
        let mut broker = Broker::new()?;
        let connect = Connect::lasting(Version::V5, "slow").with(Property::Number(RECEIVE_MAXIMUM, 1));
        let (mut slow, _) = Client::connect(broker.at(Door::Mqtt), &connect)?;
        slow.subscribe("to/slow", 1)?;
        let mut sender = Client::clean(broker.at(Door::Mqtt), Version::V5, "sender")?;
        for text in ["first", "second"] {
            sender.publish("to/slow", text.as_bytes(), 1)?;
        }
        ensure!(slow.publication()?.text() == "first", "the first did not come");
        end.of(&mut broker)?;
        let (mut slow, _) = Client::connect(broker.at(Door::Mqtt), &connect)?;
        expect(&mut slow, &[("first", true), ("second", !is_second_new)])?;
    }
    Ok(())
}

#[test]
fn of_a_queue_a_stop_knows_what_was_sent_and_a_crash_does_not() -> Result<()> {
    let ends = [
        (&[End::Stopped][..], false),
        (&[End::Stopped, End::Stopped], false),
        (&[End::Killed], true),
        // What was not known once is never known.
        (&[End::Killed, End::Stopped], true),
        // Of the life that was killed nobody said anything; what an earlier one said does not count.
        (&[End::Stopped, End::Killed], true),
    ];
    for (ends, is_last_again) in ends {
        let mut broker = Broker::new()?;
        let mut client = Stomp::new(broker.at(Door::Stomp))?;
        for body in ["first", "second"] {
            client.publish("/queue/jobs", body.as_bytes())?;
        }
        client.send(&consumer())?;
        ensure!(client.expect("MESSAGE")?.text() == "first", "the first did not come");
        for end in ends {
            end.of(&mut broker)?;
        }
        let mut client = Stomp::new(broker.at(Door::Stomp))?;
        client.send(&consumer())?;
        for (body, again) in [("first", true), ("second", is_last_again)] {
            let message = client.expect("MESSAGE")?;
            ensure!(message.text() == body, "{message:?} in place of {body}");
            let redelivered = message.header("redelivered") == Some("true");
            ensure!(redelivered == again, "{ends:?}: {message:?}");
            client.settle("ACK", &message)?;
        }
    }
    Ok(())
}

/// How a life of the broker ends; the next one follows at once.
#[derive(Debug, Clone, Copy)]
enum End {
    Killed,
    Stopped,
}

impl End {
    fn of(self, broker: &mut Broker) -> Result<()> {
        match self {
            Self::Killed => broker.kill(),
            Self::Stopped => ensure!(broker.stop()?.success(), "it did not stop as it should"),
        }
        broker.start()
    }
}

/// Takes these messages, the one after the other.
fn expect(client: &mut Client, texts: &[(&str, bool)]) -> Result<()> {
    for (text, dup) in texts {
        let came = client.take()?;
        ensure!(came.text() == *text && came.dup == *dup, "{came:?} in place of {text}, DUP {dup}");
    }
    Ok(())
}

/// Subscribes to the queue, for one message at a time.
fn consumer() -> Frame {
    let subscribe = Frame::new("SUBSCRIBE").with("id", "0").with("destination", "/queue/jobs");
    subscribe.with("ack", "client-individual").with("prefetch-count", "1")
}
