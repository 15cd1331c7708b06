//! rumqttc's client of 5.0.

use std::time::Duration;

use anyhow::Result;
use harness::door::Door;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{LastWill, Packet, Publish, PublishProperties};
use rumqttc::v5::{Client, Connection, Event, MqttOptions};
use rumqttc::{Outgoing, Transport};

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
        options.set_max_packet_size(Some(1024 * 1024));
        options.set_clean_start(!hello.is_kept);
        if hello.is_kept {
            options.set_session_expiry_interval(Some(3600));
        }
        if let Some(will) = &hello.will {
            let (payload, qos) = (will.payload.clone(), qos(will.qos));
            options.set_last_will(LastWill::new(will.topic.clone(), payload, qos, will.retain, None));
        }
        Self::new(options, 100)
    }

    fn ask_for(&self, filter: &str, wanted: u8) -> Result<()> {
        Ok(self.subscribe(filter, qos(wanted))?)
    }

    fn say(&self, message: Message) -> Result<()> {
        let Message { topic, payload, qos: wanted, retain, answer_to } = message;
        let properties = PublishProperties {
            response_topic: answer_to.as_ref().map(|(topic, _)| topic.clone()),
            correlation_data: answer_to.map(|(_, correlation)| correlation.into()),
            ..PublishProperties::default()
        };
        Ok(self.publish_with_properties(topic, qos(wanted), retain, payload, properties)?)
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
    let properties = publish.properties.unwrap_or_default();
    let correlation = properties.correlation_data.unwrap_or_default().to_vec();
    Message {
        topic: String::from_utf8_lossy(&publish.topic).into_owned(),
        payload: publish.payload.to_vec(),
        qos: publish.qos as u8,
        retain: publish.retain,
        answer_to: properties.response_topic.map(|topic| (topic, correlation)),
    }
}

const fn qos(qos: u8) -> QoS {
    match qos {
        0 => QoS::AtMostOnce,
        1 => QoS::AtLeastOnce,
        _ => QoS::ExactlyOnce,
    }
}
