//! Pub: one message, or one for each line of standard input.

use std::io::{self, BufRead};
use std::path::PathBuf;
use std::thread;

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::client::Client;
use crate::client::entry::Entry;
use crate::failure::Failure;
use crate::message::Publication;

/// What to publish, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Job {
    /// How to get in.
    pub(crate) entry: Entry,
    /// All of a message but its payload.
    pub(crate) template: Publication,
    /// The payloads.
    pub(crate) source: Source,
}

/// Where payloads come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// The command line: one message each.
    Texts(Vec<String>),
    /// A file as one message.
    File(PathBuf),
    /// All of standard input as one message.
    Input,
    /// Each line of standard input, as it comes.
    Lines,
}

/// Publishes everything, in order, each message after the broker has taken the one before.
///
/// # Errors
///
/// The first thing that went wrong; what was published before that is published.
pub(crate) async fn run(job: Job, input: impl BufRead + Send + 'static) -> Result<(), Failure> {
    let Job { entry, template, source } = job;
    let payloads: Vec<Bytes> = match source {
        Source::Texts(texts) => texts.into_iter().map(Bytes::from).collect(),
        Source::File(path) => {
            let content = std::fs::read(&path)
                .map_err(|error| Failure::runtime(format!("cannot read {}: {error}", path.display())))?;
            vec![content.into()]
        }
        Source::Input => {
            let mut content = Vec::new();
            let mut input = input;
            input.read_to_end(&mut content).map_err(unreadable)?;
            vec![content.into()]
        }
        Source::Lines => return publish_lines(&entry, &template, lines(input)).await,
    };
    let mut client = Client::enter(&entry).await?;
    for payload in payloads {
        client.publish(&Publication { payload, ..template.clone() }).await?;
    }
    client.leave().await
}

async fn publish_lines(
    entry: &Entry,
    template: &Publication,
    mut lines: mpsc::Receiver<io::Result<Vec<u8>>>,
) -> Result<(), Failure> {
    let mut client = Client::enter(entry).await?;
    loop {
        let line = tokio::select! {
            line = lines.recv() => line,
            // Whoever types takes his time: meanwhile the connection is kept alive, and its end is noticed.
            ended = client.next() => {
                ended?;
                continue;
            }
        };
        let Some(line) = line else { return client.leave().await };
        let payload = line.map_err(unreadable)?.into();
        client.publish(&Publication { payload, ..template.clone() }).await?;
    }
}

/// A thread of its own, because reading a terminal cannot be given up: it must not keep the process from ending.
fn lines(input: impl BufRead + Send + 'static) -> mpsc::Receiver<io::Result<Vec<u8>>> {
    let (sender, receiver) = mpsc::channel(LINES_AHEAD_MAX);
    thread::spawn(move || {
        for line in input.split(b'\n') {
            if sender.blocking_send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

fn unreadable(error: io::Error) -> Failure {
    Failure::runtime(format!("cannot read standard input: {error}"))
}

const LINES_AHEAD_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Write as _};
    use std::time::Duration;

    use bytestring::ByteString;
    use model::qos::Qos;
    use mqtt::packet::{Ack, Guarantee, Packet, Properties, Publish};
    use mqtt::reason::Reason;
    use mqtt::version::Version;
    use stomp::frame::{Command, Frame};

    use super::*;
    use crate::client::address::Protocol;
    use crate::failure::Code;
    use crate::peer::{Door, MqttPeer, connack};

    const MQTT: Protocol = Protocol::Mqtt(Version::V5);

    #[tokio::test]
    async fn a_message_is_published_once_the_broker_has_taken_it() {
        let door = Door::open().await;
        let mut job = job(door.entry(MQTT), "a/b", &["hi"]);
        job.template.retain = true;
        job.template.properties = vec![pair("k", "v"), pair("content-type", "text/plain")];
        let broker = async {
            let (mut peer, connect) = door.mqtt(Version::V5).await;
            assert!(connect.clean_start && connect.client_id.is_empty());
            peer.welcome().await;
            let publish = hear_publish(&mut peer).await;
            assert_eq!((publish.retain, &publish.payload[..]), (true, &b"hi"[..]));
            let properties = publish.properties.expect("properties");
            assert_eq!(properties.content_type.as_deref(), Some("text/plain"));
            assert_eq!(properties.user, [pair("k", "v")]);
            let Guarantee::AtLeastOnce(id) = publish.delivery else { panic!("not QoS 1") };
            peer.say(&Packet::Puback(Ack::success(id))).await;
            peer.part().await;
        };
        assert_eq!(tokio::join!(run(job, Cursor::new("")), broker).0, Ok(()));
    }

    #[tokio::test]
    async fn at_qos_2_the_whole_handshake_is_made() {
        // MQTT 5.0, 4.3.3; 3.1.1 the same
        let door = Door::open().await;
        let mut job = job(door.entry(Protocol::Mqtt(Version::V311)), "a", &["x"]);
        job.template.qos = Qos::ExactlyOnce;
        let broker = async {
            let (mut peer, _) = door.mqtt(Version::V311).await;
            peer.welcome().await;
            let Guarantee::ExactlyOnce(id) = hear_publish(&mut peer).await.delivery else {
                panic!("not QoS 2")
            };
            peer.say(&Packet::Pubrec(Ack::success(id))).await;
            assert_eq!(peer.hear().await, Packet::Pubrel(Ack::success(id)));
            peer.say(&Packet::Pubcomp(Ack::success(id))).await;
            peer.part().await;
        };
        assert_eq!(tokio::join!(run(job, Cursor::new("")), broker).0, Ok(()));
    }

    #[tokio::test]
    async fn a_refusal_is_told_with_its_code_and_the_brokers_words() {
        let door = Door::open().await;
        let job = job(door.entry(MQTT), "secret", &["x"]);
        let broker = async {
            let (mut peer, _) = door.mqtt(Version::V5).await;
            peer.welcome().await;
            let id = hear_publish(&mut peer).await.delivery.id().expect("an id");
            let words = Properties { reason_string: Some("rule 7".into()), ..Properties::default() };
            let properties = Some(Box::new(words));
            peer.say(&Packet::Puback(Ack { id, reason: Reason::NotAuthorized, properties })).await;
        };
        let failure = tokio::join!(run(job, Cursor::new("")), broker).0.expect_err("refused");
        assert_eq!(failure.code, Code::Refused);
        assert_eq!(failure.text, "not published to secret: Not authorized (0x87): rule 7");
    }

    #[tokio::test]
    async fn whoever_is_not_let_in_gets_a_code_of_its_own() {
        for version in [Version::V31, Version::V311, Version::V5] {
            let door = Door::open().await;
            let job = job(door.entry(Protocol::Mqtt(version)), "a", &["x"]);
            let broker = async {
                let (mut peer, connect) = door.mqtt(version).await;
                assert_eq!(
                    (connect.version, connect.client_id.is_empty()),
                    (version, version != Version::V31)
                );
                peer.say(&connack(Reason::BadUserNameOrPassword)).await;
            };
            let failure = tokio::join!(run(job, Cursor::new("")), broker).0.expect_err("refused");
            assert_eq!(failure.code, Code::Refused, "{failure}");
        }
    }

    #[tokio::test]
    async fn silence_is_a_timeout_and_a_hang_up_is_not() {
        let door = Door::open().await;
        let mut silent = job(door.entry(MQTT), "a", &["x"]);
        silent.entry.patience = Duration::from_millis(50);
        let failure = run(silent, Cursor::new("")).await.expect_err("nobody answers");
        assert_eq!(failure.code, Code::Timeout);
        assert_eq!(failure.text, "the broker's CONNACK did not come within 0.05 s");

        let door = Door::open().await;
        let job = job(door.entry(MQTT), "a", &["x"]);
        let broker = async { drop(door.mqtt(Version::V5).await) };
        let failure = tokio::join!(run(job, Cursor::new("")), broker).0.expect_err("hung up");
        assert_eq!(failure.code, Code::Runtime);
        assert!(failure.text.ends_with("speak MQTT 5.0?"), "{failure}");
    }

    #[tokio::test]
    async fn several_texts_are_several_messages_and_each_line_is_one() {
        let texts = Source::Texts(vec!["a".into(), "b".into()]);
        assert_eq!(payloads(texts, "not read").await, ["a", "b"]);
        assert_eq!(payloads(Source::Lines, "a\nb b\n\nc").await, ["a", "b b", "", "c"]);
        assert_eq!(payloads(Source::Input, "a\nb\n").await, ["a\nb\n"]);
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        file.write_all(b"x\ny").expect("written");
        assert_eq!(payloads(Source::File(file.path().into()), "").await, ["x\ny"]);
    }

    #[tokio::test]
    async fn in_stomp_a_message_is_published_once_its_receipt_came() {
        let door = Door::open().await;
        let mut job = job(door.entry(Protocol::Stomp), "/topic/a.b", &["안녕"]);
        job.entry.user = Some("ann".into());
        job.template.properties = vec![pair("k", "v:w")];
        let broker = async {
            let (mut peer, connect) = door.stomp("1.2").await;
            assert_eq!(connect.header("login").expect("login"), "ann");
            let send = peer.hear(Command::Send).await;
            assert_eq!(send.header("destination").expect("destination"), "/topic/a.b");
            assert_eq!(send.header("k").expect("k"), "v:w");
            assert_eq!(&send.body[..], "안녕".as_bytes());
            peer.receipt(&send).await;
            peer.part().await;
        };
        assert_eq!(tokio::join!(run(job, Cursor::new("")), broker).0, Ok(()));
    }

    #[tokio::test]
    async fn in_stomp_whoever_is_not_let_in_gets_a_code_of_its_own() {
        let body = "Access refused for user 'bob'\n";
        for (message, body, code) in
            [("Bad CONNECT", body, Code::Refused), ("Supported versions are 1.0", "", Code::Runtime)]
        {
            let door = Door::open().await;
            let job = job(door.entry(Protocol::Stomp), "/topic/a", &["x"]);
            let broker = async {
                let (mut peer, _) = door.stomp_connect().await;
                peer.say(&Frame::new(Command::Error).with("message", message).with_body(body)).await;
            };
            let failure = tokio::join!(run(job, Cursor::new("")), broker).0.expect_err("refused");
            assert_eq!(failure.code, code);
            assert_eq!(failure.text, format!("not let in: {message}\n{body}").trim_end());
        }
    }

    #[tokio::test]
    async fn in_stomp_an_error_is_told_in_the_brokers_words() {
        let door = Door::open().await;
        let job = job(door.entry(Protocol::Stomp), "/topic/a", &["x"]);
        let broker = async {
            let (mut peer, _) = door.stomp("1.2").await;
            peer.hear(Command::Send).await;
            let error = Frame::new(Command::Error).with("message", "not allowed to SEND /topic/a");
            let body = "not allowed to SEND /topic/a.\nrule 7\nThe frame:\n-----\nSEND\n";
            peer.say(&error.with_body(body)).await;
        };
        let failure = tokio::join!(run(job, Cursor::new("")), broker).0.expect_err("refused");
        assert_eq!(failure.code, Code::Refused);
        assert_eq!(failure.text, "not published to /topic/a: not allowed to SEND /topic/a\nrule 7");
    }

    async fn payloads(source: Source, input: &'static str) -> Vec<String> {
        let door = Door::open().await;
        let job = Job { source, ..job(door.entry(MQTT), "a", &[]) };
        let broker = async {
            let (mut peer, _) = door.mqtt(Version::V5).await;
            peer.welcome().await;
            let mut payloads = Vec::new();
            while let Packet::Publish(publish) = peer.hear().await {
                let id = publish.delivery.id().expect("QoS 1");
                payloads.push(String::from_utf8(publish.payload.to_vec()).expect("text"));
                peer.say(&Packet::Puback(Ack::success(id))).await;
            }
            // That was the PINGREQ of the farewell.
            peer.say(&Packet::Pingresp).await;
            assert!(matches!(peer.hear().await, Packet::Disconnect(_)));
            payloads
        };
        let (result, payloads) = tokio::join!(run(job, Cursor::new(input)), broker);
        assert_eq!(result, Ok(()));
        payloads
    }

    async fn hear_publish(peer: &mut MqttPeer) -> Publish {
        let packet = peer.hear().await;
        let Packet::Publish(publish) = packet else { panic!("no PUBLISH: {packet:?}") };
        publish
    }

    fn job(entry: Entry, destination: &str, texts: &[&str]) -> Job {
        let template = Publication {
            destination: destination.into(),
            payload: Bytes::new(),
            qos: Qos::AtLeastOnce,
            retain: false,
            properties: Vec::new(),
        };
        Job { entry, template, source: Source::Texts(texts.iter().map(ToString::to_string).collect()) }
    }

    fn pair(name: &str, value: &str) -> (ByteString, ByteString) {
        (name.into(), value.into())
    }
}
