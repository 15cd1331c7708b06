//! Stage: where a case is played with one broker, and what was seen there.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use harness::socket::Next;
use harness::stomp::{Client, Frame};
use harness::wait::SOON;
use serde_json::Value;

use crate::http::Answer;
use crate::peer::Peer;

/// One broker, one case.
#[derive(Debug)]
pub(crate) struct Stage<'a> {
    /// The broker.
    pub(crate) peer: &'a mut Peer,
    prefix: &'a str,
    seen: Vec<String>,
}

impl<'a> Stage<'a> {
    /// Nothing seen yet; `prefix` stands for every `@`.
    pub(crate) const fn new(peer: &'a mut Peer, prefix: &'a str) -> Self {
        Self { peer, prefix, seen: Vec::new() }
    }

    /// All that was seen, without what names the case.
    pub(crate) fn seen(self) -> Vec<String> {
        self.seen.iter().map(|line| line.replace(self.prefix, "").replace('@', "")).collect()
    }

    /// Adds a line.
    pub(crate) fn see(&mut self, line: impl Into<String>) {
        self.seen.push(line.into());
    }

    /// With the case's prefix.
    pub(crate) fn name(&self, text: &str) -> String {
        text.replace('@', self.prefix)
    }

    /// A new connection.
    ///
    /// # Errors
    ///
    /// If it is not let in.
    pub(crate) fn client(&self) -> Result<Client> {
        Ok(Client::new(self.peer.stomp())?)
    }

    /// SEND with headers and a body.
    pub(crate) fn message(&self, destination: &str, body: &str, headers: &[(&str, &str)]) -> Frame {
        self.frame("SEND", destination, headers).body(body.as_bytes())
    }

    /// A frame with a destination and more headers.
    pub(crate) fn frame(&self, command: &str, destination: &str, headers: &[(&str, &str)]) -> Frame {
        let frame = Frame::new(command).with("destination", &self.name(destination));
        headers.iter().fold(frame, |frame, (name, value)| frame.with(name, &self.name(value)))
    }

    /// Sends, on a connection of its own, and waits until the broker has it.
    ///
    /// # Errors
    ///
    /// If it is refused.
    pub(crate) fn send(&self, destination: &str, body: &str, headers: &[(&str, &str)]) -> Result<()> {
        self.client()?.request(self.message(destination, body, headers))?;
        Ok(())
    }

    /// Sends several to one place.
    ///
    /// # Errors
    ///
    /// If one is refused.
    pub(crate) fn send_all(&self, destination: &str, bodies: &[&str]) -> Result<()> {
        let mut client = self.client()?;
        for body in bodies {
            client.request(self.message(destination, body, &[]))?;
        }
        Ok(())
    }

    /// Subscribes, as `id`, and waits until the subscription stands.
    ///
    /// # Errors
    ///
    /// If it is refused.
    pub(crate) fn subscribe(
        &self,
        client: &mut Client,
        id: &str,
        destination: &str,
        headers: &[(&str, &str)],
    ) -> Result<()> {
        client.request(self.frame("SUBSCRIBE", destination, headers).with("id", id))?;
        Ok(())
    }

    /// A connection that consumes a queue that exists, and settles each message by itself.
    ///
    /// # Errors
    ///
    /// If it is refused.
    pub(crate) fn consumer(&self, queue: &str, prefetch: &str) -> Result<Client> {
        let mut client = self.client()?;
        let headers = [("ack", "client-individual"), ("prefetch-count", prefetch)];
        self.subscribe(&mut client, "0", &format!("/amq/queue/{queue}"), &headers)?;
        Ok(client)
    }

    /// Asks with a receipt: `accepted`, or the word for why not.
    ///
    /// # Errors
    ///
    /// If nothing comes.
    pub(crate) fn ask(&self, client: &mut Client, frame: &Frame) -> Result<String> {
        client.send(&frame.clone().with("receipt", "asked"))?;
        loop {
            let answer = match client.next(SOON)? {
                Next::Some(answer) => answer,
                Next::Closed => return Ok("refused: the connection is closed without a word".to_owned()),
                Next::Silence => bail!("no answer"),
            };
            match answer.command.as_str() {
                "RECEIPT" => return Ok("accepted".to_owned()),
                "ERROR" => return Ok(refusal(&answer)),
                "MESSAGE" => {}
                other => bail!("{other} came"),
            }
        }
    }

    /// Takes all that is in these queues, and sees for each what it was: bodies, with those headers.
    ///
    /// # Errors
    ///
    /// If a queue is not there.
    pub(crate) fn drain(&mut self, queues: &[&str], headers: &[&str]) -> Result<()> {
        let mut client = self.client()?;
        for queue in queues {
            self.subscribe(&mut client, queue, &format!("/amq/queue/{queue}"), &[])?;
        }
        let all = rest(&mut client)?;
        // Told, not only left: else the broker may give the next message to a consumer that is gone.
        for queue in queues {
            client.request(Frame::new("UNSUBSCRIBE").with("id", queue))?;
        }
        for queue in queues {
            let of_queue = all.iter().filter(|message| message.header("subscription") == Some(queue));
            let shown: Vec<String> = of_queue.map(|message| show(message, headers)).collect();
            self.see(format!("{queue}: {}", listed(&shown)));
        }
        Ok(())
    }

    /// The deaths of the first message in a queue, latest first, as JSON; it is taken away.
    ///
    /// # Errors
    ///
    /// If there is none.
    pub(crate) fn deaths(&self, queue: &str) -> Result<Vec<Value>> {
        let name = self.name(queue);
        // It may be under way still.
        std::thread::sleep(QUIET);
        let deaths = match self.peer.look(&name)? {
            Some(message) => message["properties"]["headers"]["x-death"].clone(),
            None => {
                let mut client = self.consumer(queue, "1")?;
                let message = take(&mut client)?;
                let id = message.header("ack").unwrap_or_default();
                client.request(Frame::new("ACK").with("id", id))?;
                serde_json::from_str(message.header("x-death").unwrap_or("[]"))?
            }
        };
        Ok(deaths.as_array().cloned().unwrap_or_default())
    }

    /// Whether there is a queue of that name.
    ///
    /// # Errors
    ///
    /// If the broker cannot be asked.
    pub(crate) fn is_there(&self, queue: &str) -> Result<bool> {
        Ok(self.api("GET", &format!("/api/queues/%2F/{queue}"), &Value::Null)?.status == 200)
    }

    /// Asks the HTTP API.
    ///
    /// # Errors
    ///
    /// If there is no answer.
    pub(crate) fn api(&self, method: &str, path: &str, body: &Value) -> Result<Answer> {
        self.peer.api(method, &self.name(path), body)
    }
}

/// All that comes until nothing more does.
///
/// # Errors
///
/// If the connection fails.
pub(crate) fn rest(client: &mut Client) -> Result<Vec<Frame>> {
    let mut all = Vec::new();
    let end = Instant::now() + SOON;
    while let Next::Some(frame) = client.next(QUIET)? {
        all.push(frame);
        if Instant::now() > end {
            bail!("it does not end");
        }
    }
    Ok(all)
}

/// The next message's body.
///
/// # Errors
///
/// If none comes.
pub(crate) fn take(client: &mut Client) -> Result<Frame> {
    Ok(client.expect("MESSAGE")?)
}

/// A body and the headers asked for; one that is not there is not shown.
pub(crate) fn show(message: &Frame, headers: &[&str]) -> String {
    let pairs: Vec<String> = headers
        .iter()
        .filter_map(|name| message.header(name).map(|value| format!("{name}={value}")))
        .collect();
    let body = if message.command == "ERROR" { refusal(message) } else { message.text() };
    if pairs.is_empty() { body } else { format!("{body} ({})", pairs.join(", ")) }
}

/// Bodies in a line; a dash for none.
pub(crate) fn listed(shown: &[String]) -> String {
    if shown.is_empty() { "nothing".to_owned() } else { shown.join(" ") }
}

/// Bodies of messages in a line.
pub(crate) fn bodies(frames: &[Frame]) -> String {
    listed(&frames.iter().map(|frame| show(frame, &[])).collect::<Vec<_>>())
}

/// RabbitMQ's word for why not: its `message`, our `error-code`.
fn refusal(error: &Frame) -> String {
    let word = error.header("error-code").or_else(|| error.header("message"));
    format!("refused: {}", word.unwrap_or_default())
}

/// How long nothing comes when nothing more will.
pub(crate) const QUIET: Duration = Duration::from_millis(600);
