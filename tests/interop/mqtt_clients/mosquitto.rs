//! mosquitto_sub listens, mosquitto_pub speaks.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use harness::process::Process;

use crate::adapter::bytes;
use crate::mqtt_clients::driver::{Driver, Hello, Message};

/// A process that listens, from the first subscription on, and one for each message that is published.
pub(crate) struct Mosquitto {
    version: &'static str,
    port: u16,
    hello: Option<Hello>,
    /// Whether a session of before may wait for it.
    was_there: bool,
    listening: Option<(Process, Receiver<String>)>,
    aside: Vec<String>,
}

impl Mosquitto {
    /// In this version, at this port.
    pub(crate) fn new(version: &'static str, port: u16) -> Self {
        let version = match version {
            "3.1" => "mqttv31",
            "3.1.1" => "mqttv311",
            _ => "mqttv5",
        };
        Self { version, port, hello: None, was_there: false, listening: None, aside: Vec::new() }
    }

    fn command(&self, program: &str, id: &str) -> Command {
        // Output that waits in a buffer would look like silence.
        let mut command = Command::new("stdbuf");
        command.args(["-oL", program, "-V", self.version, "-h", "127.0.0.1", "-i", id]);
        command.arg("-p").arg(self.port.to_string());
        command
    }

    /// Starts mosquitto_sub with what it is to ask for.
    fn listen(&mut self, asked: &[&str]) -> Result<()> {
        let hello = self.hello.clone().context("not connected")?;
        let mut command = self.command("mosquitto_sub", &hello.id);
        command.args(asked).args(["-d", "-F", FORMAT]);
        if hello.is_kept {
            command.arg("-c");
            if self.version == "mqttv5" {
                command.args(["-x", "3600"]);
            }
        }
        if let Some(will) = &hello.will {
            let payload = String::from_utf8(will.payload.clone())?;
            command.args(["--will-topic", &will.topic, "--will-payload", &payload, "--will-qos"]);
            command.arg(will.qos.to_string());
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut process = Process::start(&mut command).context(MISSING)?;
        let output = process.child().stdout.take().context("stdout is piped")?;
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        self.listening = Some((process, lines));
        Ok(())
    }

    /// The next line that `wanted` wants; messages are kept for later.
    fn line(&mut self, wanted: impl Fn(&str) -> bool) -> Result<String> {
        let (_, lines) = self.listening.as_ref().context("it listens to nothing")?;
        loop {
            let line = lines.recv_timeout(PATIENCE).context("mosquitto_sub says nothing more")?;
            if wanted(&line) {
                return Ok(line);
            }
            if line.starts_with(MESSAGE) {
                self.aside.push(line);
            }
        }
    }
}

impl Driver for Mosquitto {
    fn connect(&mut self, hello: &Hello) -> Result<Option<bool>> {
        self.hello = Some(hello.clone());
        if hello.is_kept && self.was_there {
            // It does not come without something to ask for; nobody ever says anything there.
            self.listen(&["-t", "nothing"])?;
            self.line(|line| line.starts_with("Subscribed (mid: "))?;
        }
        self.was_there = hello.is_kept;
        Ok(None)
    }

    fn subscribe(&mut self, filter: &str, qos: u8) -> Result<()> {
        let qos = qos.to_string();
        self.listen(&["-t", filter, "-q", &qos])?;
        let granted = self.line(|line| line.starts_with("Subscribed (mid: "))?;
        ensure!(granted.ends_with(&format!(": {qos}")), "granted was {granted}");
        Ok(())
    }

    fn publish(&mut self, message: &Message) -> Result<()> {
        let id = &self.hello.as_ref().context("not connected")?.id;
        let mut command = self.command("mosquitto_pub", &format!("{id}-pub"));
        command.args(["-t", &message.topic, "-q", &message.qos.to_string()]);
        command.arg(if message.payload.is_empty() { "-n" } else { "-s" });
        if message.retain {
            command.arg("-r");
        }
        if let Some((topic, correlation)) = &message.answer_to {
            let correlation = String::from_utf8(correlation.clone())?;
            command.args(["-D", "publish", "response-topic", topic]);
            command.args(["-D", "publish", "correlation-data", &correlation]);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = command.spawn().context(MISSING)?;
        process.stdin.take().context("stdin is piped")?.write_all(&message.payload)?;
        let output = process.wait_with_output()?;
        ensure!(output.status.success(), "mosquitto_pub: {output:?}");
        Ok(())
    }

    fn take(&mut self) -> Result<Message> {
        let line = if self.aside.is_empty() {
            self.line(|line| line.starts_with(MESSAGE))?
        } else {
            self.aside.remove(0)
        };
        let words: Vec<&str> = line.trim_end().split('|').collect();
        let &[_, topic, payload, qos, retain, answer_to, correlation] = words.as_slice() else {
            anyhow::bail!("mosquitto_sub says {line}");
        };
        Ok(Message {
            topic: topic.to_owned(),
            payload: bytes(payload)?,
            qos: qos.parse()?,
            retain: retain == "1",
            answer_to: (!answer_to.is_empty()).then(|| (answer_to.to_owned(), correlation.into())),
        })
    }

    fn leave(&mut self) -> Result<()> {
        if let Some((mut process, _)) = self.listening.take() {
            process.signal("TERM")?;
            process.wait(PATIENCE)?;
        }
        Ok(())
    }

    fn vanish(&mut self) -> Result<()> {
        self.listening = None;
        Ok(())
    }

    fn connects_for_each(&self) -> bool {
        true
    }

    /// `mosquitto_sub` ends on SIGTERM with DISCONNECT 0x04 in 5.0, if it has a will.
    fn leaves_its_will(&self) -> bool {
        self.version == "mqttv5"
    }
}

/// Topic, payload in hexadecimal digits, QoS, RETAIN, Response Topic, Correlation Data.
const FORMAT: &str = "message|%t|%x|%q|%r|%R|%D";
const MESSAGE: &str = "message|";
const MISSING: &str = "mosquitto's clients are missing; run tests/prepare once";
const PATIENCE: Duration = Duration::from_secs(20);
