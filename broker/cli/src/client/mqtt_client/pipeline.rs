//! MQTT without waiting: many messages under way at once.

use model::qos::Qos;
use mqtt::codec;
use mqtt::packet::{Ack, Guarantee, Packet};
use mqtt::reason::Reason;

use super::{MqttClient, judge, received, rules};
use crate::failure::Failure;
use crate::message::{Heard, Publication};

impl MqttClient {
    /// PUBLISH; from QoS 1 on, `tag` comes back with its last acknowledgement.
    pub(crate) fn post(&mut self, publication: &Publication, tag: u64) -> Result<(), Failure> {
        let mut id = self.next_id();
        while self.under_way.contains_key(&id) {
            id = self.next_id();
        }
        self.write(publication, id)?;
        self.posts = true;
        if publication.qos != Qos::AtMostOnce {
            self.under_way.insert(id, tag);
        }
        Ok(())
    }

    /// How many more may be under way (MQTT 5.0, 4.9).
    pub(crate) fn room(&self) -> usize {
        usize::from(self.receive_maximum).saturating_sub(self.under_way.len())
    }

    /// What came already: the next message, which is acknowledged by that, or acknowledgement.
    pub(crate) fn hear(&mut self) -> Result<Option<Heard>, Failure> {
        loop {
            let packet = match self.early.pop_front() {
                Some(publish) => Packet::Publish(publish),
                None => {
                    let decoded = codec::decode(&mut self.wire.incoming, &rules(self.version));
                    match decoded
                        .map_err(|error| Failure::runtime(format!("the broker sent no MQTT: {error}")))?
                    {
                        Some(packet) => packet,
                        None => return Ok(None),
                    }
                }
            };
            if let Some(heard) = self.take(packet)? {
                return Ok(Some(heard));
            }
        }
    }

    fn take(&mut self, packet: Packet) -> Result<Option<Heard>, Failure> {
        match packet {
            Packet::Publish(publish) => {
                let is_new = match publish.delivery {
                    Guarantee::AtMostOnce | Guarantee::AtLeastOnce(_) => true,
                    Guarantee::ExactlyOnce(id) => self.unreleased.insert(id),
                };
                let message = received(publish);
                self.settle(&message);
                Ok(is_new.then_some(Heard::Message(message)))
            }
            Packet::Puback(ack) | Packet::Pubcomp(ack) => Ok(self.acknowledge(&ack)),
            Packet::Pubrec(ack) if ack.reason.is_error() => Ok(self.acknowledge(&ack)),
            Packet::Pubrec(ack) => {
                self.send(&Packet::Pubrel(Ack::success(ack.id)));
                Ok(None)
            }
            Packet::Pubrel(ack) => {
                self.unreleased.remove(&ack.id);
                self.send(&Packet::Pubcomp(Ack::success(ack.id)));
                Ok(None)
            }
            Packet::Disconnect(disconnect) => {
                let why = (disconnect.reason, disconnect.properties.as_deref());
                Err(judge("the broker ended the connection", why.0, why.1, ""))
            }
            Packet::Connect(_)
            | Packet::Connack(_)
            | Packet::Subscribe(_)
            | Packet::Suback(_)
            | Packet::Unsubscribe(_)
            | Packet::Unsuback(_)
            | Packet::Pingreq
            | Packet::Pingresp
            | Packet::Auth(_) => Ok(None),
        }
    }

    fn acknowledge(&mut self, ack: &Ack) -> Option<Heard> {
        let tag = self.under_way.remove(&ack.id)?;
        // Without an id that it knows, the broker has nothing to complete: what it took is taken (MQTT 5.0, 3.7.2.1).
        if ack.reason.is_error() && ack.reason != Reason::PacketIdentifierNotFound {
            let declined = judge("a message was not taken", ack.reason, ack.properties.as_deref(), "");
            return Some(Heard::Declined(declined.text));
        }
        Some(Heard::Acknowledged(tag))
    }

    /// Sends what is to be sent, then waits until something more came; may be cancelled.
    pub(crate) async fn exchange(&mut self) -> Result<(), Failure> {
        self.wire.exchange().await
    }

    /// Sends what is to be sent.
    pub(crate) async fn flush(&mut self) -> Result<(), Failure> {
        self.wire.flush().await.map_err(|error| Failure::runtime(error.to_string()))
    }
}
