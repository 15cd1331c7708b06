//! Sub: a line for each message, as it comes.

use std::io::{ErrorKind, Write};
use std::time::{Duration, SystemTime};

use tokio::time::{Instant, sleep_until};

use crate::client::Client;
use crate::client::entry::{Entry, Wanted};
use crate::failure::Failure;
use crate::output::format::Format;

/// What to listen to, and how to show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Job {
    /// How to get in.
    pub(crate) entry: Entry,
    /// What is wanted.
    pub(crate) wanted: Wanted,
    /// How many messages; `None`: until told to stop.
    pub(crate) count: Option<u64>,
    /// How long to wait for all of them; `None`: for ever.
    pub(crate) timeout: Option<Duration>,
    /// How to write them.
    pub(crate) format: Format,
    /// Whether a terminal shows them.
    pub(crate) for_eyes: bool,
}

/// Writes messages to `out` until there were enough, or until `stop` is done. A message is acknowledged when its line has
/// been written.
///
/// # Errors
///
/// The first thing that went wrong, or that there were not enough messages in time.
pub(crate) async fn run(
    job: Job,
    out: &mut impl Write,
    stop: impl Future<Output = ()>,
) -> Result<(), Failure> {
    let give_up_at = job.timeout.map(|timeout| Instant::now() + timeout);
    let late = async {
        match give_up_at {
            Some(at) => sleep_until(at).await,
            None => std::future::pending().await,
        }
    };
    tokio::pin!(stop, late);
    let mut client = tokio::select! {
        client = enter(&job) => client?,
        () = &mut stop => return Ok(()),
    };
    let mut seen = 0;
    while job.count.is_none_or(|count| seen < count) {
        let received = tokio::select! {
            received = client.next() => received?,
            () = &mut stop => break,
            () = &mut late => {
                client.leave().await?;
                return Err(too_few(&job, seen));
            }
        };
        let line = job.format.line(&received, SystemTime::now(), job.for_eyes);
        match out.write_all(&line).and_then(|()| out.flush()) {
            Ok(()) => {}
            // Whoever reads has had enough, as `head` does. The message is not acknowledged: nobody saw it.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => break,
            Err(error) => return Err(Failure::runtime(format!("cannot write the message: {error}"))),
        }
        client.settle(&received);
        seen += 1;
    }
    client.leave().await
}

async fn enter(job: &Job) -> Result<Client, Failure> {
    let mut client = Client::enter(&job.entry).await?;
    client.subscribe(&job.wanted).await?;
    Ok(client)
}

fn too_few(job: &Job, seen: u64) -> Failure {
    let wanted = job.count.map_or_else(String::new, |count| format!(" of {count}"));
    let seconds = job.timeout.unwrap_or_default().as_secs_f32();
    Failure::timeout(format!("{seen}{wanted} messages came within {seconds} s"))
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use model::qos::Qos;
    use mqtt::packet::{Ack, Guarantee, Packet, PacketId, Publish, Suback};
    use mqtt::reason::Reason;
    use mqtt::topic::TopicName;
    use mqtt::version::Version;
    use stomp::frame::{Command, Frame};

    use super::*;
    use crate::client::address::Protocol;
    use crate::failure::Code;
    use crate::peer::{Door, MqttPeer, StompPeer};

    const MQTT: Protocol = Protocol::Mqtt(Version::V5);

    #[tokio::test]
    async fn each_message_is_a_line_and_is_acknowledged_after_it() {
        let door = Door::open().await;
        let job = job(door.entry(MQTT), "a/+", 2);
        let broker = async {
            let mut peer = subscribed(&door, Version::V5).await;
            peer.say(&message("a/x", "one", Guarantee::AtLeastOnce(id(7)))).await;
            assert_eq!(peer.hear().await, Packet::Puback(Ack::success(id(7))));
            peer.say(&message("a/y", "two", Guarantee::AtMostOnce)).await;
            peer.part().await;
        };
        let mut out = Vec::new();
        let (result, ()) = tokio::join!(run(job, &mut out, pending()), broker);
        assert_eq!((result, &out[..]), (Ok(()), &b"a/x one\na/y two\n"[..]));
    }

    #[tokio::test]
    async fn at_qos_2_a_repeated_message_is_one_line_and_the_id_is_released_before_the_end() {
        // MQTT 5.0, 4.3.3
        let door = Door::open().await;
        let job = job(door.entry(MQTT), "a", 2);
        let broker = async {
            let mut peer = subscribed(&door, Version::V5).await;
            let first = message("a", "one", Guarantee::ExactlyOnce(id(1)));
            for _ in 0..2 {
                peer.say(&first).await;
                assert_eq!(peer.hear().await, Packet::Pubrec(Ack::success(id(1))));
            }
            peer.say(&Packet::Pubrel(Ack::success(id(1)))).await;
            assert_eq!(peer.hear().await, Packet::Pubcomp(Ack::success(id(1))));
            // Released: the same id is another message now.
            peer.say(&message("a", "two", Guarantee::ExactlyOnce(id(1)))).await;
            assert_eq!(peer.hear().await, Packet::Pubrec(Ack::success(id(1))));
            assert_eq!(peer.hear().await, Packet::Pingreq);
            peer.say(&Packet::Pingresp).await;
            peer.say(&Packet::Pubrel(Ack::success(id(1)))).await;
            assert_eq!(peer.hear().await, Packet::Pubcomp(Ack::success(id(1))));
            assert!(matches!(peer.hear().await, Packet::Disconnect(_)));
        };
        let mut out = Vec::new();
        let (result, ()) = tokio::join!(run(job, &mut out, pending()), broker);
        assert_eq!((result, &out[..]), (Ok(()), &b"a one\na two\n"[..]));
    }

    #[tokio::test]
    async fn a_kept_session_is_asked_for_and_its_messages_may_come_before_the_answer() {
        let door = Door::open().await;
        let mut job = job(door.entry(MQTT), "a", 1);
        job.entry.session_expiry_s = Some(60);
        job.entry.client_id = Some("shop".into());
        let broker = async {
            let (mut peer, connect) = door.mqtt(Version::V5).await;
            assert!(!connect.clean_start && connect.client_id == "shop");
            assert_eq!(connect.properties.expect("properties").session_expiry_s, Some(60));
            peer.welcome().await;
            peer.say(&message("a", "waited", Guarantee::AtMostOnce)).await;
            grant(&mut peer, Reason::Success).await;
            peer.part().await;
        };
        let mut out = Vec::new();
        let (result, ()) = tokio::join!(run(job, &mut out, pending()), broker);
        assert_eq!((result, &out[..]), (Ok(()), &b"a waited\n"[..]));
    }

    #[tokio::test]
    async fn a_refused_filter_is_named() {
        let door = Door::open().await;
        let job = job(door.entry(MQTT), "secret/#", 1);
        let broker = async {
            let (mut peer, _) = door.mqtt(Version::V5).await;
            peer.welcome().await;
            grant(&mut peer, Reason::NotAuthorized).await;
        };
        let mut out = Vec::new();
        let (result, ()) = tokio::join!(run(job, &mut out, pending()), broker);
        let failure = result.expect_err("refused");
        assert_eq!(failure.code, Code::Refused);
        assert_eq!(failure.text, "not subscribed to secret/#: Not authorized (0x87)");
    }

    #[tokio::test]
    async fn a_signal_ends_it_in_an_orderly_way_and_too_few_messages_are_a_timeout() {
        for (stops, code) in [(true, None), (false, Some(Code::Timeout))] {
            let door = Door::open().await;
            let mut job = job(door.entry(MQTT), "a", 3);
            job.timeout = Some(Duration::from_millis(if stops { 60_000 } else { 100 }));
            let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
            let broker = async {
                let mut peer = subscribed(&door, Version::V5).await;
                if stops {
                    // Once a message is acknowledged, the client is past its beginning, which a signal cuts short.
                    peer.say(&message("a", "one", Guarantee::AtLeastOnce(id(7)))).await;
                    assert_eq!(peer.hear().await, Packet::Puback(Ack::success(id(7))));
                    stop.send(()).expect("still running");
                    peer.part().await;
                } else {
                    peer.part().await;
                    drop(stop);
                }
            };
            let stopped = async {
                if stopped.await.is_err() {
                    pending::<()>().await;
                }
            };
            let mut out = Vec::new();
            let (result, ()) = tokio::join!(run(job, &mut out, stopped), broker);
            assert_eq!(result.err().map(|failure| failure.code), code);
        }
    }

    #[tokio::test]
    async fn in_stomp_each_version_is_acknowledged_in_its_way() {
        // STOMP 1.0 and 1.1: message-id, 1.1 with subscription; 1.2: id, from the ack header
        let headers = |frame: &Frame| -> Vec<String> {
            frame.headers.iter().map(|(name, value)| format!("{name}:{value}")).collect()
        };
        assert_eq!(headers(&stomp_ack("1.0").await), ["message-id:m1"]);
        assert_eq!(headers(&stomp_ack("1.1").await), ["message-id:m1", "subscription:0"]);
        assert_eq!(headers(&stomp_ack("1.2").await), ["id:a1"]);
    }

    async fn stomp_ack(version: &str) -> Frame {
        let door = Door::open().await;
        let mut job = job(door.entry(Protocol::Stomp), "/queue/q", 1);
        job.format = Format::parse("%t %p [%P]").expect("a format");
        let broker = async {
            let (mut peer, _) = door.stomp(version).await;
            let subscribe = peer.hear(Command::Subscribe).await;
            assert_eq!(subscribe.header("ack").expect("ack"), "client-individual");
            peer.receipt(&subscribe).await;
            say_message(&mut peer).await;
            let ack = peer.hear(Command::Ack).await;
            peer.part().await;
            ack
        };
        let mut out = Vec::new();
        let (result, ack) = tokio::join!(run(job, &mut out, pending()), broker);
        assert_eq!((result, &out[..]), (Ok(()), &b"/queue/q hi [message-id=m1 k=v]\n"[..]));
        ack
    }

    #[tokio::test]
    async fn in_stomp_at_qos_0_nothing_is_acknowledged() {
        let door = Door::open().await;
        let mut job = job(door.entry(Protocol::Stomp), "/topic/t", 1);
        job.wanted.qos = Qos::AtMostOnce;
        let broker = async {
            let (mut peer, _) = door.stomp("1.2").await;
            let subscribe = peer.hear(Command::Subscribe).await;
            assert_eq!(subscribe.header("ack").expect("ack"), "auto");
            peer.receipt(&subscribe).await;
            say_message(&mut peer).await;
            peer.part().await;
        };
        let mut out = Vec::new();
        let (result, ()) = tokio::join!(run(job, &mut out, pending()), broker);
        assert_eq!(result, Ok(()));
    }

    async fn say_message(peer: &mut StompPeer) {
        let message = Frame::new(Command::Message)
            .with("subscription", "0")
            .with("message-id", "m1")
            .with("ack", "a1")
            .with("destination", "/queue/q")
            .with("k", "v");
        peer.say(&message.with_body("hi")).await;
    }

    async fn subscribed(door: &Door, version: Version) -> MqttPeer {
        let (mut peer, _) = door.mqtt(version).await;
        peer.welcome().await;
        grant(&mut peer, Reason::GrantedQos2).await;
        peer
    }

    async fn grant(peer: &mut MqttPeer, reason: Reason) {
        let packet = peer.hear().await;
        let Packet::Subscribe(subscribe) = packet else { panic!("no SUBSCRIBE: {packet:?}") };
        let reasons = vec![reason; subscribe.filters.len()];
        peer.say(&Packet::Suback(Suback { id: subscribe.id, reasons, properties: None })).await;
    }

    fn message(topic: &str, payload: &'static str, delivery: Guarantee) -> Packet {
        Packet::Publish(Publish {
            dup: false,
            retain: false,
            delivery,
            topic: Some(TopicName::parse(topic.into()).expect("a topic")),
            payload: payload.into(),
            properties: None,
        })
    }

    fn id(id: u16) -> PacketId {
        PacketId::new(id).expect("not zero")
    }

    fn job(entry: Entry, destination: &str, count: u64) -> Job {
        Job {
            entry,
            wanted: Wanted {
                destinations: vec![destination.into()],
                qos: Qos::ExactlyOnce,
                properties: Vec::new(),
                one_by_one: true,
            },
            count: Some(count),
            timeout: None,
            format: Format::parse("%t %p").expect("a format"),
            for_eyes: false,
        }
    }
}
