//! rumqttc, 3.1.1: a thread turns its wheel, and tells what came.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rumqttc::{Client, Connection, Event, LastWill, MqttOptions, Outgoing, Packet, Publish, QoS};

use crate::mqtt_clients::driver::{Driver, Hello, Message};

/// A client, connected or not.
pub(crate) struct Rumqttc {
    port: u16,
    online: Option<Online>,
}

impl Rumqttc {
    /// At this port.
    pub(crate) const fn new(port: u16) -> Self {
        Self { port, online: None }
    }

    fn online(&mut self) -> Result<&mut Online> {
        self.online.as_mut().context("not connected")
    }
}

impl Driver for Rumqttc {
    fn connect(&mut self, hello: &Hello) -> Result<Option<bool>> {
        let mut options = MqttOptions::new(&hello.id, "127.0.0.1", self.port);
        options.set_keep_alive(Duration::from_secs(30));
        options.set_max_packet_size(1024 * 1024, 1024 * 1024);
        options.set_clean_session(!hello.is_kept);
        if let Some(will) = &hello.will {
            let (payload, qos) = (will.payload.clone(), qos(will.qos));
            options.set_last_will(LastWill::new(will.topic.clone(), payload, qos, will.retain));
        }
        let mut online = Online::new(options);
        let said = online.answer(|said| matches!(said, Said::Connected(_)))?;
        self.online = Some(online);
        let Said::Connected(present) = said else { bail!("it says {said:?}") };
        Ok(Some(present))
    }

    fn subscribe(&mut self, filter: &str, wanted: u8) -> Result<()> {
        let online = self.online()?;
        online.client.subscribe(filter, qos(wanted))?;
        let said = online.answer(|said| matches!(said, Said::Subscribed(_)))?;
        ensure!(said == Said::Subscribed(format!("[Success({:?})]", qos(wanted))), "granted was {said:?}");
        Ok(())
    }

    fn publish(&mut self, message: &Message) -> Result<()> {
        let online = self.online()?;
        let Message { topic, payload, qos: wanted, retain, answer_to } = message.clone();
        ensure!(answer_to.is_none(), "3.1.1 cannot say where the answer goes");
        online.client.publish(topic, qos(wanted), retain, payload)?;
        online.answer(|said| *said == Said::Published(wanted)).map(drop)
    }

    fn take(&mut self) -> Result<Message> {
        self.online()?.take()
    }

    fn leave(&mut self) -> Result<()> {
        let mut online = self.online.take().context("not connected")?;
        online.client.disconnect()?;
        online.answer(|said| *said == Said::Left).map(drop)
    }

    fn vanish(&mut self) -> Result<()> {
        self.online = None;
        Ok(())
    }
}

/// What happened.
#[derive(Debug, PartialEq)]
enum Said {
    Connected(bool),
    Subscribed(String),
    /// It is done with, at this QoS.
    Published(u8),
    Message(Message),
    Left,
    Broken(String),
}

struct Online {
    client: Client,
    said: Receiver<Said>,
    aside: Vec<Message>,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Online {
    fn new(options: MqttOptions) -> Self {
        let (client, connection) = Client::new(options, 100);
        let (sender, said) = channel();
        let is_over = Arc::new(AtomicBool::new(false));
        let over = is_over.clone();
        let thread = Some(std::thread::spawn(move || turn(connection, &sender, &over)));
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

impl Drop for Online {
    fn drop(&mut self) {
        // With its connection the thread drops the socket, without a word to the broker.
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn turn(mut connection: Connection, sender: &Sender<Said>, over: &AtomicBool) {
    let mut is_leaving = false;
    // A wait that is given up while it connects would begin a second connection.
    let mut next = connection.recv().map_err(drop);
    while !over.load(Ordering::Relaxed) {
        let said = match next {
            Ok(Ok(event)) => {
                is_leaving |= event == Event::Outgoing(Outgoing::Disconnect);
                said(event)
            }
            Ok(Err(_)) if is_leaving => Some(Said::Left),
            Ok(Err(error)) => Some(Said::Broken(error.to_string())),
            Err(()) => None,
        };
        let is_end = matches!(said, Some(Said::Left | Said::Broken(_)));
        if said.is_some_and(|said| sender.send(said).is_err()) || is_end {
            return;
        }
        next = connection.recv_timeout(Duration::from_millis(300)).map_err(drop);
    }
}

fn said(event: Event) -> Option<Said> {
    match event {
        Event::Incoming(Packet::ConnAck(connack)) => Some(Said::Connected(connack.session_present)),
        Event::Incoming(Packet::SubAck(suback)) => {
            Some(Said::Subscribed(format!("{:?}", suback.return_codes)))
        }
        Event::Incoming(Packet::PubAck(_)) => Some(Said::Published(1)),
        Event::Incoming(Packet::PubComp(_)) => Some(Said::Published(2)),
        // QoS 0 has no packet id, and is done with when it is out.
        Event::Outgoing(Outgoing::Publish(0)) => Some(Said::Published(0)),
        Event::Incoming(Packet::Publish(publish)) => Some(Said::Message(message(publish))),
        Event::Incoming(_) | Event::Outgoing(_) => None,
    }
}

fn message(publish: Publish) -> Message {
    Message {
        topic: publish.topic,
        payload: publish.payload.to_vec(),
        qos: publish.qos as u8,
        retain: publish.retain,
        answer_to: None,
    }
}

const fn qos(qos: u8) -> QoS {
    match qos {
        0 => QoS::AtMostOnce,
        1 => QoS::AtLeastOnce,
        _ => QoS::ExactlyOnce,
    }
}

const PATIENCE: Duration = Duration::from_secs(20);
