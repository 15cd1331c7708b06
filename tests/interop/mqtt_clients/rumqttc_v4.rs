//! rumqttc's client of 3.1.1.

use std::time::Duration;

use anyhow::{Result, ensure};
use harness::door::Door;
use rumqttc::{Client, Connection, Event, LastWill, MqttOptions, Outgoing, Packet, Publish, QoS, Transport};

use crate::mqtt_clients::driver::{Hello, Message};
use crate::mqtt_clients::rumqttc::{Dialect, Said, Turn, Wheel, address};

impl Dialect for Client {
    type Wheel = Connection;

    fn start(hello: &Hello, door: Door, port: u16) -> (Self, Connection) {
        let mut options = MqttOptions::new(&hello.id, address(door, port), port);
        if door == Door::Web {
            options.set_transport(Transport::Ws);
        }
        options.set_keep_alive(Duration::from_secs(30));
        options.set_max_packet_size(1024 * 1024, 1024 * 1024);
        options.set_clean_session(!hello.is_kept);
        if let Some(will) = &hello.will {
            let (payload, qos) = (will.payload.clone(), qos(will.qos));
            options.set_last_will(LastWill::new(will.topic.clone(), payload, qos, will.retain));
        }
        Self::new(options, 100)
    }

    fn ask_for(&self, filter: &str, wanted: u8) -> Result<()> {
        Ok(self.subscribe(filter, qos(wanted))?)
    }

    fn say(&self, message: Message) -> Result<()> {
        let Message { topic, payload, qos: wanted, retain, answer_to } = message;
        ensure!(answer_to.is_none(), "3.1.1 cannot say where the answer goes");
        Ok(self.publish(topic, qos(wanted), retain, payload)?)
    }

    fn say_goodbye(&self) -> Result<()> {
        Ok(self.disconnect()?)
    }

    fn granted(wanted: u8) -> String {
        format!("[Success({:?})]", qos(wanted))
    }
}

impl Wheel for Connection {
    fn turn(&mut self, within: Option<Duration>) -> Option<Result<Turn, String>> {
        let event = match within {
            None => self.recv().ok()?,
            Some(within) => self.recv_timeout(within).ok()?,
        };
        Some(event.map(turn).map_err(|error| error.to_string()))
    }
}

fn turn(event: Event) -> Turn {
    let is_leaving = event == Event::Outgoing(Outgoing::Disconnect);
    let said = match event {
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
    };
    Turn { said, is_leaving }
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
