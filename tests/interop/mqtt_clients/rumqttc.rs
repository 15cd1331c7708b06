//! rumqttc, in the two versions that it has clients for: a thread turns its wheel, and tells what came.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use harness::door::Door;

use crate::mqtt_clients::driver::{Driver, Hello, Message};

/// A client of one version.
pub(crate) trait Dialect: Sized {
    /// What has to be turned for anything to happen.
    type Wheel: Wheel;
    /// A client that connects as soon as its wheel is turned.
    fn start(hello: &Hello, door: Door, port: u16) -> (Self, Self::Wheel);
    /// Asks for a subscription.
    fn ask_for(&self, filter: &str, qos: u8) -> Result<()>;
    /// Asks for a message to be published.
    fn say(&self, message: Message) -> Result<()>;
    /// Asks to leave.
    fn say_goodbye(&self) -> Result<()>;
    /// How a SUBACK that grants `qos` reads.
    fn granted(qos: u8) -> String;
}

/// Events, one by one.
pub(crate) trait Wheel: Send + 'static {
    /// Waits for the next one, for ever without `within`; `None`: none came, or none will.
    fn turn(&mut self, within: Option<Duration>) -> Option<Result<Turn, String>>;
}

/// What an event comes to.
#[derive(Debug, Default)]
pub(crate) struct Turn {
    /// It was this that happened, if it is something that we wait for.
    pub(crate) said: Option<Said>,
    /// DISCONNECT is out: what breaks now ends well.
    pub(crate) is_leaving: bool,
}

/// What happened.
#[derive(Debug, PartialEq)]
pub(crate) enum Said {
    /// CONNACK, with Session Present.
    Connected(bool),
    /// SUBACK, as it reads.
    Subscribed(String),
    /// It is done with, at this QoS.
    Published(u8),
    /// A message came.
    Message(Message),
    /// The connection ended as it should.
    Left,
    /// It did not.
    Broken(String),
}

/// A client, connected or not.
pub(crate) struct Rumqttc<D> {
    door: Door,
    port: u16,
    online: Option<Online<D>>,
}

impl<D: Dialect> Rumqttc<D> {
    /// At this port, behind which is that door.
    pub(crate) const fn new(door: Door, port: u16) -> Self {
        Self { door, port, online: None }
    }

    fn online(&mut self) -> Result<&mut Online<D>> {
        self.online.as_mut().context("not connected")
    }
}

impl<D: Dialect> Driver for Rumqttc<D> {
    fn connect(&mut self, hello: &Hello) -> Result<Option<bool>> {
        let mut online = Online::<D>::new(hello, self.door, self.port);
        let said = online.answer(|said| matches!(said, Said::Connected(_)))?;
        self.online = Some(online);
        let Said::Connected(present) = said else { bail!("it says {said:?}") };
        Ok(Some(present))
    }

    fn subscribe(&mut self, filter: &str, qos: u8) -> Result<()> {
        let online = self.online()?;
        online.client.ask_for(filter, qos)?;
        let said = online.answer(|said| matches!(said, Said::Subscribed(_)))?;
        ensure!(said == Said::Subscribed(D::granted(qos)), "granted was {said:?}");
        Ok(())
    }

    fn publish(&mut self, message: &Message) -> Result<()> {
        let online = self.online()?;
        online.client.say(message.clone())?;
        online.answer(|said| *said == Said::Published(message.qos)).map(drop)
    }

    fn take(&mut self) -> Result<Message> {
        self.online()?.take()
    }

    fn leave(&mut self) -> Result<()> {
        let mut online = self.online.take().context("not connected")?;
        online.client.say_goodbye()?;
        online.answer(|said| *said == Said::Left).map(drop)
    }

    fn vanish(&mut self) -> Result<()> {
        self.online = None;
        Ok(())
    }
}

struct Online<D> {
    client: D,
    said: Receiver<Said>,
    aside: Vec<Message>,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl<D: Dialect> Online<D> {
    fn new(hello: &Hello, door: Door, port: u16) -> Self {
        let (client, wheel) = D::start(hello, door, port);
        let (sender, said) = channel();
        let is_over = Arc::new(AtomicBool::new(false));
        let over = is_over.clone();
        let thread = Some(std::thread::spawn(move || turn(wheel, &sender, &over)));
        Self { client, said, aside: Vec::new(), is_over, thread }
    }

    fn answer(&mut self, is_wanted: impl Fn(&Said) -> bool) -> Result<Said> {
        loop {
            let said = self.said.recv_timeout(PATIENCE).context("it says nothing")?;
            if is_wanted(&said) {
                return Ok(said);
            }
            let Said::Message(message) = said else { bail!("it says {said:?}") };
            self.aside.push(message);
        }
    }

    fn take(&mut self) -> Result<Message> {
        if !self.aside.is_empty() {
            return Ok(self.aside.remove(0));
        }
        let said = self.answer(|said| matches!(said, Said::Message(_)))?;
        let Said::Message(message) = said else { bail!("it says {said:?}") };
        Ok(message)
    }
}

impl<D> Drop for Online<D> {
    fn drop(&mut self) {
        // With its wheel the thread drops the socket, without a word to the broker.
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn turn(mut wheel: impl Wheel, sender: &Sender<Said>, over: &AtomicBool) {
    let mut is_leaving = false;
    // A wait that is given up while it connects would begin a second connection.
    let mut next = wheel.turn(None);
    while !over.load(Ordering::Relaxed) {
        let said = match next {
            Some(Ok(turn)) => {
                is_leaving |= turn.is_leaving;
                turn.said
            }
            Some(Err(_)) if is_leaving => Some(Said::Left),
            Some(Err(error)) => Some(Said::Broken(error)),
            None => None,
        };
        let is_end = matches!(said, Some(Said::Left | Said::Broken(_)));
        if said.is_some_and(|said| sender.send(said).is_err()) || is_end {
            return;
        }
        next = wheel.turn(Some(Duration::from_millis(300)));
    }
}

/// How it finds the broker: it has one field for a host name, and for an address in which the port stands too.
pub(crate) fn address(door: Door, port: u16) -> String {
    if door == Door::Web { format!("ws://127.0.0.1:{port}/mqtt") } else { "127.0.0.1".to_owned() }
}

const PATIENCE: Duration = Duration::from_secs(20);
