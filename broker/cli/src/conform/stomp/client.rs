//! A client that says whatever a case wants said, right or wrong.

use std::collections::VecDeque;
use std::time::Duration;

use stomp::version::Version;

use crate::conform::case::{Outcome, Short};
use crate::conform::peer::{Next, Peer};
use crate::conform::stomp::frame::Frame;
use crate::conform::stomp::place::{Place, ensure};

/// One connection.
#[derive(Debug)]
pub(crate) struct Client {
    peer: Peer,
    /// Frames that came while another one was waited for.
    earlier: VecDeque<Frame>,
    version: Version,
    receipts: u32,
}

impl Client {
    /// A connection on which nothing was said.
    pub(crate) fn dial(place: Place<'_>) -> Result<Self, Short> {
        let peer = place.target.peer()?;
        Ok(Self { peer, earlier: VecDeque::new(), version: place.version, receipts: 0 })
    }

    /// How long an answer may take.
    pub(crate) fn patience(&self) -> Duration {
        self.peer.patience
    }

    /// A client that is in.
    pub(crate) fn enter(place: Place<'_>) -> Result<Self, Short> {
        let mut client = Self::dial(place)?;
        client.say(&place.connect_as(), "");
        client.hear("CONNECTED")?;
        Ok(client)
    }

    /// Writes a frame: `head` is command and headers without the last line end.
    pub(crate) fn say(&mut self, head: &str, body: &str) {
        self.raw(format!("{head}\n\n{body}\0").as_bytes());
    }

    /// Writes bytes.
    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        self.peer.send(bytes);
    }

    /// Writes a frame with a receipt, and waits for it.
    pub(crate) fn done(&mut self, head: &str, body: &str) -> Result<Frame, Short> {
        self.receipts += 1;
        let receipt = format!("done-{}", self.receipts);
        self.say(&format!("{head}\nreceipt:{receipt}"), body);
        let asked = head.lines().next().unwrap_or_default();
        loop {
            let frame = match self.read(self.patience())? {
                Next::Some(frame) => frame,
                Next::Silence => return Err(Short::failed(format!("no RECEIPT for {asked}"))),
                Next::End => {
                    return Err(Short::failed(format!("the broker closed at {asked}, without a word")));
                }
            };
            match &*frame.command {
                "RECEIPT" if frame.raw("receipt-id") == Some(&receipt) => return Ok(frame),
                "ERROR" => return Err(Short::failed(format!("{asked} was answered by {frame}"))),
                _ => self.earlier.push_back(frame),
            }
        }
    }

    /// The next frame, if one comes within that time.
    pub(crate) fn next(&mut self, within: Duration) -> Result<Next<Frame>, Short> {
        match self.earlier.pop_front() {
            Some(frame) => Ok(Next::Some(frame)),
            None => self.read(within),
        }
    }

    fn read(&mut self, within: Duration) -> Result<Next<Frame>, Short> {
        let version = self.version;
        self.peer.next(within, |bytes| Frame::cut(bytes, version).map_err(Short::failed))
    }

    /// The next bytes, frames or not.
    pub(crate) fn bytes(&mut self, within: Duration) -> Result<Next<Vec<u8>>, Short> {
        self.peer.next(within, |bytes| Ok((!bytes.is_empty()).then(|| std::mem::take(bytes))))
    }

    /// The next frame, which must be of that command.
    pub(crate) fn hear(&mut self, command: &str) -> Result<Frame, Short> {
        match self.next(self.patience())? {
            Next::Some(frame) if frame.command == command => Ok(frame),
            Next::Some(frame) => Err(Short::failed(format!("expected {command}; came {frame}"))),
            Next::Silence => Err(Short::failed(format!("expected {command}; nothing came"))),
            Next::End => Err(Short::failed(format!("expected {command}; the broker closed"))),
        }
    }

    /// Messages until nothing comes for that time.
    pub(crate) fn messages(&mut self, quiet: Duration) -> Result<Vec<Frame>, Short> {
        let mut found = Vec::new();
        loop {
            match self.next(quiet)? {
                Next::Some(frame) if frame.command == "MESSAGE" => found.push(frame),
                Next::Some(frame) => return Err(Short::failed(format!("expected MESSAGE; came {frame}"))),
                Next::Silence => return Ok(found),
                Next::End => return Err(Short::failed("the broker closed the connection")),
            }
        }
    }

    /// So many messages, in the order they come.
    pub(crate) fn hear_messages(&mut self, count: usize) -> Result<Vec<Frame>, Short> {
        let mut found = Vec::with_capacity(count);
        while found.len() < count {
            found.push(self.hear("MESSAGE")?);
        }
        Ok(found)
    }

    /// The end of the connection, nothing before it.
    pub(crate) fn end(&mut self) -> Outcome {
        match self.next(self.patience())? {
            Next::End => Ok(()),
            Next::Some(frame) => Err(Short::failed(format!("expected the end; came {frame}"))),
            Next::Silence => Err(Short::failed(format!(
                "the connection is still open {} s later",
                self.patience().as_secs()
            ))),
        }
    }

    /// The end, where a broker may complain of each piece of what it has read.
    pub(crate) fn end_of_errors(&mut self) -> Outcome {
        for _ in 0..COMPLAINTS {
            match self.next(self.patience())? {
                Next::Some(frame) if frame.command == "ERROR" => {}
                Next::Some(frame) => return Err(Short::failed(format!("expected the end; came {frame}"))),
                Next::Silence => return Err(Short::failed("the connection is still open")),
                Next::End => return Ok(()),
            }
        }
        Err(Short::failed("ERRORs come, and no end"))
    }

    /// The frame that was said last must not be carried out: ERROR comes, or the end, and no RECEIPT.
    pub(crate) fn refused(&mut self) -> Outcome {
        match self.next(self.patience())? {
            Next::End => Ok(()),
            Next::Some(frame) if frame.command == "ERROR" => Ok(()),
            Next::Some(frame) => Err(Short::failed(format!("it was not refused: {frame}"))),
            Next::Silence => Err(Short::failed("it was not refused: neither ERROR nor the end came")),
        }
    }

    /// Subscribes, and waits until it holds.
    pub(crate) fn subscribe(&mut self, id: &str, destination: &str, ack: &str) -> Outcome {
        self.done(&format!("SUBSCRIBE\nid:{id}\ndestination:{destination}\nack:{ack}"), "")?;
        Ok(())
    }

    /// Sends, and waits until it is done.
    pub(crate) fn send(&mut self, destination: &str, body: &str) -> Outcome {
        self.done(&format!("SEND\ndestination:{destination}"), body)?;
        Ok(())
    }

    /// ACK or NACK of a message, as the version names it; `more`: header lines, each with a line end before it.
    pub(crate) fn settle(&mut self, command: &str, message: &Frame, more: &str) -> Outcome {
        let id = self.settling(message)?;
        self.done(&format!("{command}\n{id}{more}"), "")?;
        Ok(())
    }

    /// The same without a receipt: that of an ACK in a transaction may come at its COMMIT.
    pub(crate) fn settle_later(&mut self, command: &str, message: &Frame, more: &str) -> Outcome {
        let id = self.settling(message)?;
        self.say(&format!("{command}\n{id}{more}"), "");
        Ok(())
    }

    fn settling(&self, message: &Frame) -> Result<String, Short> {
        let raw = |name: &str| {
            message.raw(name).ok_or_else(|| Short::failed(format!("MESSAGE without {name}: {message}")))
        };
        Ok(match self.version {
            Version::V1_0 => format!("message-id:{}", raw("message-id")?),
            Version::V1_1 => {
                format!("subscription:{}\nmessage-id:{}", raw("subscription")?, raw("message-id")?)
            }
            Version::V1_2 => format!("id:{}", raw("ack")?),
        })
    }

    /// Leaves, and waits until the broker has seen it.
    pub(crate) fn leave(mut self) -> Outcome {
        self.done("DISCONNECT", "")?;
        Ok(())
    }
}

/// Subscribes a new client to a topic, sends one message with `more` header lines (each with a line end before it), and
/// hears it.
pub(crate) fn echo(place: Place<'_>, more: &str, body: &str) -> Result<Frame, Short> {
    let topic = place.topic();
    let mut client = Client::enter(place)?;
    client.subscribe("1", &topic, "auto")?;
    client.done(&format!("SEND\ndestination:{topic}{more}"), body)?;
    client.hear("MESSAGE")
}

/// The bodies of `messages` are these, in this order.
pub(crate) fn bodies(messages: &[Frame], expected: &[&str]) -> Outcome {
    let found: Vec<String> = messages.iter().map(Frame::text).collect();
    ensure(found == expected, || format!("expected the messages {expected:?}; came {found:?}"))
}

/// More than the reads that one frame can come by.
const COMPLAINTS: usize = 1_000;
