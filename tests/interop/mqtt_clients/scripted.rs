//! A client in a program of its own: Python, JavaScript or C.

use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::adapter::{Adapter, bytes, hex};
use crate::mqtt_clients::driver::{Driver, Hello, Message};

/// Starts the program for each client that was not there before.
pub(crate) struct Scripted {
    name: String,
    command: Box<dyn Fn() -> Result<Command> + Send>,
    adapter: Option<Adapter>,
}

impl Scripted {
    /// With what starts the program.
    pub(crate) fn new(name: &str, command: impl Fn() -> Result<Command> + Send + 'static) -> Self {
        Self { name: name.to_owned(), command: Box::new(command), adapter: None }
    }

    fn ask(&mut self, line: &str, event: &str) -> Result<Value> {
        self.adapter.as_mut().context("not connected")?.ask(line, event)
    }
}

impl Driver for Scripted {
    fn connect(&mut self, hello: &Hello) -> Result<Option<bool>> {
        if self.adapter.is_none() {
            self.adapter = Some(Adapter::start(&self.name, (self.command)()?)?);
        }
        let session = if hello.is_kept { "keep" } else { "clean" };
        let mut line = format!("connect {} {session}", hello.id);
        if let Some(will) = &hello.will {
            line.push(' ');
            line.push_str(&words(will));
        }
        Ok(self.ask(&line, "connected")?["present"].as_bool())
    }

    fn subscribe(&mut self, filter: &str, qos: u8) -> Result<()> {
        let said = self.ask(&format!("subscribe {filter} {qos}"), "subscribed")?;
        anyhow::ensure!(said["qos"] == qos, "granted was {said}");
        Ok(())
    }

    fn publish(&mut self, message: &Message) -> Result<()> {
        self.ask(&format!("publish {}", words(message)), "published").map(drop)
    }

    fn take(&mut self) -> Result<Message> {
        let said = self.adapter.as_mut().context("not connected")?.message()?;
        let text = |name: &str| said[name].as_str().with_context(|| format!("no {name}: {said}"));
        let answer_to = match said["response_topic"].as_str() {
            Some(topic) => Some((topic.to_owned(), bytes(text("correlation")?)?)),
            None => None,
        };
        Ok(Message {
            topic: text("topic")?.to_owned(),
            payload: bytes(text("payload")?)?,
            qos: u8::try_from(said["qos"].as_u64().context("no qos")?)?,
            retain: said["retain"].as_bool().context("no retain")?,
            answer_to,
        })
    }

    fn leave(&mut self) -> Result<()> {
        self.ask("leave", "left").map(drop)
    }

    fn vanish(&mut self) -> Result<()> {
        self.adapter = None;
        Ok(())
    }
}

/// A message in a line: topic, payload, QoS, RETAIN, and perhaps where the answer goes.
fn words(message: &Message) -> String {
    let Message { topic, payload, qos, retain, answer_to } = message;
    let mut words = format!("{topic} {} {qos} {}", hex(payload), u8::from(*retain));
    if let Some((topic, correlation)) = answer_to {
        words.push_str(&format!(" {topic} {}", hex(correlation)));
    }
    words
}
