//! STOMP, from the client's side.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use model::qos::Qos;
use stomp::decode::{Decoder, Limits};
use stomp::encode;
use stomp::frame::{Command, Frame};
use stomp::version::Version;

use crate::client::entry::{Entry, Wanted};
use crate::client::error::{doubt, in_time};
use crate::client::wire::{Beat, Wire};
use crate::failure::Failure;
use crate::message::{Publication, Received, SettleBy};

mod pipeline;

/// One connection.
#[derive(Debug)]
pub(crate) struct StompClient {
    wire: Wire,
    decoder: Decoder,
    version: Version,
    patience: Duration,
    receipts: u64,
    /// What was published and has no receipt, by the receipt's number: what it goes by.
    under_way: HashMap<u64, u64>,
    /// Whether messages are to be acknowledged.
    acknowledges: bool,
    /// Messages that came while something else was waited for.
    early: VecDeque<Frame>,
}

impl StompClient {
    /// CONNECT to CONNECTED.
    pub(crate) async fn enter(entry: &Entry) -> Result<Self, Failure> {
        let patience = entry.patience;
        in_time(patience, "the broker's CONNECTED", async {
            let wire = Wire::open(entry).await?;
            let mut client = Self {
                wire,
                decoder: Decoder::default(),
                version: Version::V1_2,
                patience,
                receipts: 0,
                under_way: HashMap::new(),
                acknowledges: false,
                early: VecDeque::new(),
            };
            client.send(&connect(entry));
            let answer = client.frame().await.map_err(|failure| doubt(&failure, entry, "STOMP"))?;
            if answer.command == Command::Connected {
                client.connected(&answer)?;
                Ok(client)
            } else if answer.command == Command::Error {
                Err(judge("not let in", &answer))
            } else {
                Err(Failure::runtime(format!("the broker answered CONNECT with {}", answer.command)))
            }
        })
        .await
    }

    fn connected(&mut self, answer: &Frame) -> Result<(), Failure> {
        let version = answer.header("version").map_or("1.0", |version| version.as_ref());
        self.version = Version::choose(Some(version), &Version::ALL)
            .ok_or_else(|| Failure::runtime(format!("the broker speaks STOMP {version}, which we do not")))?;
        let beats = answer.header("heart-beat").map_or("0,0", |beats| beats.as_ref());
        let mut beats = beats.split(',').map(|beat| beat.trim().parse::<u64>().unwrap_or(0));
        let (sends_ms, wants_ms) = (beats.next().unwrap_or(0), beats.next().unwrap_or(0));
        let agreed = |theirs_ms| (theirs_ms > 0).then(|| Duration::from_millis(HEART_BEAT_MS.max(theirs_ms)));
        // Early on our side and patient on the other: "there should be an error margin" (STOMP 1.2, "Heart-beating").
        self.wire.promise(Beat {
            bytes: b"\n",
            ours: agreed(wants_ms).map(|every| every * 4 / 5),
            theirs: agreed(sends_ms).map(|every| every * 2),
        });
        Ok(())
    }

    /// SEND, to its receipt where one is asked for.
    pub(crate) async fn publish(&mut self, publication: &Publication) -> Result<(), Failure> {
        let frame = send_frame(publication);
        if publication.qos == Qos::AtMostOnce {
            self.send(&frame);
            return self.wire.flush().await.map_err(|error| Failure::runtime(error.to_string()));
        }
        self.acknowledged(frame, &format!("not published to {}", publication.destination)).await
    }

    /// SUBSCRIBE, to the receipt of the last one.
    pub(crate) async fn subscribe(&mut self, wanted: &Wanted) -> Result<(), Failure> {
        self.acknowledges = wanted.qos != Qos::AtMostOnce;
        for (index, destination) in wanted.destinations.iter().enumerate() {
            let mut frame = Frame::new(Command::Subscribe)
                .with("id", index.to_string())
                .with("destination", destination.clone())
                .with("ack", if self.acknowledges { "client-individual" } else { "auto" });
            if wanted.one_by_one {
                frame.headers.push("prefetch-count", "1");
            }
            for (name, value) in &wanted.properties {
                frame.headers.push(name.clone(), value.clone());
            }
            self.acknowledged(frame, &format!("not subscribed to {destination}")).await?;
        }
        Ok(())
    }

    /// The next MESSAGE.
    pub(crate) async fn next(&mut self) -> Result<Received, Failure> {
        loop {
            let frame = match self.early.pop_front() {
                Some(frame) => frame,
                None => self.frame().await?,
            };
            if frame.command == Command::Message {
                return Ok(received(frame, self.version, self.acknowledges));
            }
            if frame.command == Command::Error {
                return Err(judge("the connection ended", &frame));
            }
        }
    }

    /// ACK.
    pub(crate) fn settle(&mut self, received: &Received) {
        if let SettleBy::Ack(headers) = &received.settle_by {
            let mut frame = Frame::new(Command::Ack);
            for (name, value) in headers {
                frame.headers.push(*name, value.clone());
            }
            self.send(&frame);
        }
    }

    /// DISCONNECT, to its receipt: then all that was sent before has been processed.
    pub(crate) async fn leave(mut self) -> Result<(), Failure> {
        let done = self.acknowledged(Frame::new(Command::Disconnect), "not finished").await;
        self.wire.close().await;
        done
    }

    fn send(&mut self, frame: &Frame) {
        encode::encode(frame, self.version, &mut self.wire.outgoing);
    }

    /// Sends `frame` with a receipt and waits for it.
    async fn acknowledged(&mut self, frame: Frame, otherwise: &str) -> Result<(), Failure> {
        self.receipts += 1;
        let receipt = format!("r{}", self.receipts);
        self.send(&frame.with("receipt", receipt.clone()));
        in_time(self.patience, "the broker's RECEIPT", async {
            loop {
                let frame = self.frame().await?;
                if frame.command == Command::Receipt
                    && frame.header("receipt-id").is_some_and(|id| *id == *receipt)
                {
                    return Ok(());
                }
                if frame.command == Command::Error {
                    return Err(judge(otherwise, &frame));
                }
                if frame.command == Command::Message {
                    self.early.push_back(frame);
                }
            }
        })
        .await
    }

    async fn frame(&mut self) -> Result<Frame, Failure> {
        loop {
            let decoded = self.decoder.decode(&mut self.wire.incoming, &LIMITS, self.version);
            match decoded.map_err(|error| Failure::runtime(format!("the broker sent no STOMP: {error}")))? {
                Some(frame) => return Ok(frame),
                None => self.wire.exchange().await?,
            }
        }
    }
}

fn connect(entry: &Entry) -> Frame {
    let mut frame = Frame::new(Command::Connect)
        .with("accept-version", Version::list(&Version::ALL))
        // The name of the default virtual host, which brokers that have several insist on.
        .with("host", "/")
        .with("heart-beat", format!("{HEART_BEAT_MS},{HEART_BEAT_MS}"));
    let rest = [("login", &entry.user), ("passcode", &entry.password), ("client-id", &entry.client_id)];
    for (name, value) in rest {
        if let Some(value) = value {
            frame.headers.push(name, value.as_str());
        }
    }
    frame
}

fn send_frame(publication: &Publication) -> Frame {
    let mut frame = Frame::new(Command::Send)
        .with("destination", publication.destination.clone())
        .with_body(publication.payload.clone());
    for (name, value) in &publication.properties {
        frame.headers.push(name.clone(), value.clone());
    }
    frame
}

fn received(frame: Frame, version: Version, acknowledges: bool) -> Received {
    let get = |name: &str| frame.header(name).cloned();
    let by = |name, header: &str| get(header).map(|value| (name, value));
    let (message_id, subscription) = (by("message-id", "message-id"), by("subscription", "subscription"));
    let acknowledge_by: Vec<_> = match version {
        Version::V1_0 => message_id.into_iter().collect(),
        Version::V1_1 => message_id.into_iter().chain(subscription).collect(),
        Version::V1_2 => by("id", "ack").into_iter().collect(),
    };
    let properties = frame.headers.iter().filter(|(name, _)| !OURS.contains(&name.as_ref())).cloned();
    Received {
        destination: get("destination").unwrap_or_default(),
        qos: None,
        retain: false,
        redelivered: frame.headers.is_true("redelivered"),
        properties: properties.collect(),
        settle_by: if acknowledges { SettleBy::Ack(acknowledge_by) } else { SettleBy::Nothing },
        payload: frame.body,
    }
}

/// ERROR ends the connection; whoever is not let in, or not allowed to do what he asked for, gets to know that it is that.
fn judge(otherwise: &str, frame: &Frame) -> Failure {
    let message = frame.header("message").map_or("ERROR without a message", |message| message.as_ref());
    let body = String::from_utf8_lossy(&frame.body);
    let mut text = format!("{otherwise}: {message}");
    // Some brokers repeat the message in the body, and quote the frame that they were sent: we know that one.
    let details = body.lines().take_while(|line| !line.starts_with("The frame:") && !line.starts_with("---"));
    for line in details.filter(|line| !line.is_empty() && line.trim_end_matches('.') != message) {
        text.push('\n');
        text.push_str(line);
    }
    let words = text.to_lowercase();
    if DENIED.iter().any(|denied| words.contains(denied)) {
        Failure::refused(text)
    } else {
        Failure::runtime(text)
    }
}

/// Headers that are told in other ways.
const OURS: [&str; 5] = ["destination", "subscription", "ack", "content-length", "redelivered"];
/// How brokers say that somebody may not; the protocol has no code for it.
const DENIED: [&str; 3] = ["access refused", "not allowed", "denied"];
const HEART_BEAT_MS: u64 = 10_000;
/// What a broker that was chosen by its user may send.
const LIMITS: Limits = Limits {
    command_bytes_max: 32,
    headers_max: 1024,
    line_bytes_max: 64 * 1024,
    head_bytes_max: 1024 * 1024,
    body_bytes_max: 256 * 1024 * 1024,
};
