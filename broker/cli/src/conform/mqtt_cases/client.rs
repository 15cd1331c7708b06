//! A client that does as it is told, and takes nothing for granted.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use ::mqtt::version::Version;

use crate::conform::case::{Outcome, Short, Target};
use crate::conform::mqtt_cases::packet::{Ack, Connack, Packet, Publish, cut};
use crate::conform::mqtt_cases::write::{
    Connect, DISCONNECT, Message, PINGREQ, PUBACK, PUBCOMP, PUBREC, PUBREL, ack, subscribe, unsubscribe,
};
use crate::conform::peer::{Next, Peer};

/// A connection that speaks MQTT.
#[derive(Debug)]
pub(crate) struct Client {
    peer: Peer,
    /// Which.
    pub(crate) version: Version,
    last_id: u16,
    /// Messages that came while an answer was waited for: nothing says which comes first.
    aside: VecDeque<Publish>,
}

impl Client {
    /// Connects, and says nothing.
    ///
    /// # Errors
    ///
    /// Nobody listens.
    pub(crate) fn dial(target: &Target, version: Version) -> Result<Self, Short> {
        Ok(Self { peer: target.peer()?, version, last_id: 0, aside: VecDeque::new() })
    }

    /// A connection on which CONNECT was said; the answer is not read.
    ///
    /// # Errors
    ///
    /// As [`Self::dial`].
    pub(crate) fn knock(target: &Target, version: Version, connect: &Connect) -> Result<Self, Short> {
        let mut client = Self::dial(target, version)?;
        let mut connect = connect.clone();
        if connect.user.is_none() && connect.password.is_none() && connect.wrong_flags == 0 {
            connect.user = target.user.clone().map(String::into_bytes);
            connect.password = target.password.clone().map(String::into_bytes);
        }
        client.send(&connect.bytes());
        Ok(client)
    }

    /// Gets in.
    ///
    /// # Errors
    ///
    /// The answer is another than CONNACK with success.
    pub(crate) fn join(
        target: &Target,
        version: Version,
        connect: &Connect,
    ) -> Result<(Self, Connack), Short> {
        let mut client = Self::knock(target, version, connect)?;
        match client.packet("CONNACK with success")? {
            Packet::Connack(connack) if connack.code == 0 => Ok((client, connack)),
            other => Err(unexpected("CONNACK with success", &other)),
        }
    }

    /// A clean session with a name of its own.
    ///
    /// # Errors
    ///
    /// As [`Self::join`].
    pub(crate) fn clean(target: &Target, version: Version) -> Result<Self, Short> {
        Ok(Self::join(target, version, &Connect::new(version, &target.fresh()))?.0)
    }

    /// A session that outlives the connection, by its name.
    ///
    /// # Errors
    ///
    /// As [`Self::join`], and if the session is there or not there against `present`.
    pub(crate) fn lasting(target: &Target, version: Version, id: &str, present: bool) -> Result<Self, Short> {
        let (client, connack) = Self::join(target, version, &Connect::lasting(version, id))?;
        let present = present && version.has_session_present();
        expect(connack.present == present, || {
            format!("Session Present {}, not {}", u8::from(!present), u8::from(present))
        })?;
        Ok(client)
    }

    /// Sends any bytes.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.peer.send(bytes);
    }

    /// Sends a message as it is; nothing is waited for.
    pub(crate) fn say(&mut self, message: &Message) {
        self.send(&message.bytes(self.version));
    }

    /// A packet id that was not used on this connection.
    pub(crate) fn id(&mut self) -> u16 {
        self.last_id += 1;
        self.last_id
    }

    /// The next packet, silence or end.
    ///
    /// # Errors
    ///
    /// What came is no packet that a server may send.
    pub(crate) fn next(&mut self, within: Duration) -> Result<Next<Packet>, Short> {
        if let Some(message) = self.aside.pop_front() {
            return Ok(Next::Some(Packet::Publish(message)));
        }
        self.read(within)
    }

    /// The next packet with its length in bytes.
    ///
    /// # Errors
    ///
    /// What came is no packet that a server may send.
    pub(crate) fn sized(&mut self, within: Duration) -> Result<Next<(Packet, usize)>, Short> {
        let version = self.version;
        self.peer.next(within, |incoming| {
            let before = incoming.len();
            Ok(cut(incoming, version)?.map(|packet| (packet, before - incoming.len())))
        })
    }

    fn read(&mut self, within: Duration) -> Result<Next<Packet>, Short> {
        let version = self.version;
        self.peer.next(within, |incoming| cut(incoming, version))
    }

    /// The next packet.
    ///
    /// # Errors
    ///
    /// None comes; `wanted` says what it was to be.
    pub(crate) fn packet(&mut self, wanted: &str) -> Result<Packet, Short> {
        let next = self.next(self.peer.patience)?;
        came(next, wanted)
    }

    /// The next packet that is no message; messages before it are kept for later.
    ///
    /// # Errors
    ///
    /// As [`Self::packet`].
    pub(crate) fn answer(&mut self, wanted: &str) -> Result<Packet, Short> {
        loop {
            let next = self.read(self.peer.patience)?;
            match came(next, wanted)? {
                Packet::Publish(message) => self.aside.push_back(message),
                other => return Ok(other),
            }
        }
    }

    /// The next packet, which is a message.
    ///
    /// # Errors
    ///
    /// Something else comes, or nothing.
    pub(crate) fn message(&mut self) -> Result<Publish, Short> {
        match self.packet("PUBLISH")? {
            Packet::Publish(publish) => Ok(publish),
            other => Err(unexpected("PUBLISH", &other)),
        }
    }

    /// The next packet, which is a message with this payload.
    ///
    /// # Errors
    ///
    /// Something else comes, or nothing.
    pub(crate) fn expect_message(&mut self, payload: &[u8]) -> Result<Publish, Short> {
        let message = self.message()?;
        expect(message.payload == payload, || {
            format!("the message {:?} came, not {:?}", shown(&message.payload), shown(payload))
        })?;
        Ok(message)
    }

    /// As [`Self::expect_message`], and goes through the handshake that it asks for.
    ///
    /// # Errors
    ///
    /// Something else comes, or nothing.
    pub(crate) fn take(&mut self, payload: &[u8]) -> Result<Publish, Short> {
        let message = self.expect_message(payload)?;
        match message.qos {
            0 => {}
            1 => self.send(&ack(PUBACK, message.id)),
            _ => {
                self.send(&ack(PUBREC, message.id));
                self.expect_ack(PUBREL, message.id)?;
                self.send(&ack(PUBCOMP, message.id));
            }
        }
        Ok(message)
    }

    /// The next packet, which is this acknowledgement. A server that answers QoS 2 as if it were QoS 1 is told so once, by
    /// the case about that; here it only means that nothing can be shown.
    ///
    /// # Errors
    ///
    /// Something else comes, or nothing.
    pub(crate) fn ack(&mut self, first: u8, id: u16) -> Result<Ack, Short> {
        let wanted = format!("{} {id}", name(first));
        match self.answer(&wanted)? {
            Packet::Ack(ack) if ack.first == first && ack.id == id => Ok(ack),
            Packet::Ack(ack) if (first, ack.first) == (PUBREC, PUBACK) && ack.id == id => Err(
                Short::NotApplicable("the server answers QoS 2 with PUBACK, so it has no QoS 2".to_owned()),
            ),
            other => Err(unexpected(&wanted, &other)),
        }
    }

    /// As [`Self::ack`], and it says success.
    ///
    /// # Errors
    ///
    /// Something else comes, or nothing.
    pub(crate) fn expect_ack(&mut self, first: u8, id: u16) -> Outcome {
        let ack = self.ack(first, id)?;
        expect(ack.code < 0x80, || format!("{} refuses with {:#04x}", name(first), ack.code))
    }

    /// Sends a message and goes through the handshake of its QoS.
    ///
    /// # Errors
    ///
    /// An answer is another, or missing.
    pub(crate) fn publish(&mut self, message: Message) -> Outcome {
        let id = if message.qos > 0 { self.id() } else { 0 };
        let qos = message.qos;
        self.say(&Message { id, ..message });
        match qos {
            0 => Ok(()),
            1 => self.expect_ack(PUBACK, id),
            _ => {
                self.expect_ack(PUBREC, id)?;
                self.send(&ack(PUBREL, id));
                self.expect_ack(PUBCOMP, id)
            }
        }
    }

    /// Publishes this text to this topic with this QoS.
    ///
    /// # Errors
    ///
    /// As [`Self::publish`].
    pub(crate) fn tell(&mut self, topic: &str, payload: &[u8], qos: u8) -> Outcome {
        self.publish(Message::new(topic, payload, qos, 0))
    }

    /// Asks for filters, with properties of the packet, and gives the codes of the answer.
    ///
    /// # Errors
    ///
    /// Another answer comes, or none.
    pub(crate) fn ask(&mut self, filters: &[(&str, u8)], properties: &[u8]) -> Result<Vec<u8>, Short> {
        let id = self.id();
        let filters: Vec<(&[u8], u8)> =
            filters.iter().map(|(filter, options)| (filter.as_bytes(), *options)).collect();
        self.send(&subscribe(self.version, id, properties, &filters));
        match self.answer("SUBACK")? {
            Packet::Suback(suback) if suback.id == id => Ok(suback.codes),
            other => Err(unexpected(&format!("SUBACK {id}"), &other)),
        }
    }

    /// Subscribes with these options.
    ///
    /// # Errors
    ///
    /// It is not granted as asked.
    pub(crate) fn subscribe(&mut self, filter: &str, options: u8) -> Outcome {
        self.subscribe_with(filter, options, &[])
    }

    /// Subscribes with these options and properties.
    ///
    /// # Errors
    ///
    /// It is not granted as asked.
    pub(crate) fn subscribe_with(&mut self, filter: &str, options: u8, properties: &[u8]) -> Outcome {
        let codes = self.ask(&[(filter, options)], properties)?;
        if let [granted] = codes[..]
            && granted < options & 3
        {
            return Err(Short::NotApplicable(format!("the server grants QoS {granted} at most, as it may")));
        }
        expect(codes == [options & 3], || format!("SUBACK says {codes:02x?} to QoS {}", options & 3))
    }

    /// Unsubscribes, and gives the codes of the answer.
    ///
    /// # Errors
    ///
    /// Another answer comes, or none.
    pub(crate) fn unsubscribe(&mut self, filters: &[&str]) -> Result<Vec<u8>, Short> {
        let id = self.id();
        let filters: Vec<&[u8]> = filters.iter().map(|filter| filter.as_bytes()).collect();
        self.send(&unsubscribe(self.version, id, &filters));
        match self.answer("UNSUBACK")? {
            Packet::Unsuback(unsuback) if unsuback.id == id => Ok(unsuback.codes),
            other => Err(unexpected(&format!("UNSUBACK {id}"), &other)),
        }
    }

    /// The server answers PINGREQ, and has nothing else to say before that.
    ///
    /// # Errors
    ///
    /// Otherwise.
    pub(crate) fn quiet(&mut self) -> Outcome {
        self.send(PINGREQ);
        match self.answer("PINGRESP")? {
            Packet::Pingresp => {}
            other => return Err(unexpected("nothing but PINGRESP", &other)),
        }
        match self.aside.pop_front() {
            None => Ok(()),
            Some(message) => Err(unexpected("nothing but PINGRESP", &Packet::Publish(message))),
        }
    }

    /// Says goodbye, and waits until the server has hung up: what it does then is done.
    ///
    /// # Errors
    ///
    /// The server stays, or says something.
    pub(crate) fn leave(mut self) -> Outcome {
        self.send(DISCONNECT);
        let said = self.closed()?;
        expect(said.iter().all(|packet| matches!(packet, Packet::Publish(_))), || {
            format!("after DISCONNECT the server says {said:?}")
        })
    }

    /// Hangs up without a word.
    pub(crate) fn vanish(self) {
        self.peer.hang_up();
    }

    /// The server hangs up; what it said until then.
    ///
    /// # Errors
    ///
    /// It does not.
    pub(crate) fn closed(&mut self) -> Result<Vec<Packet>, Short> {
        self.closed_within(self.peer.patience)
    }

    /// As [`Self::closed`], within this time.
    ///
    /// # Errors
    ///
    /// It does not.
    pub(crate) fn closed_within(&mut self, within: Duration) -> Result<Vec<Packet>, Short> {
        let give_up_at = Instant::now() + within;
        let mut said = Vec::new();
        loop {
            match self.next(give_up_at.saturating_duration_since(Instant::now()))? {
                Next::Some(packet) => said.push(packet),
                Next::End => return Ok(said),
                Next::Silence if said.is_empty() => {
                    return Err(Short::failed("the connection stayed open"));
                }
                Next::Silence => {
                    return Err(Short::failed(format!(
                        "the connection stayed open, and the server said {said:?}"
                    )));
                }
            }
        }
    }

    /// The server hangs up, and says nothing before but, in 5.0, DISCONNECT with one of these codes.
    ///
    /// # Errors
    ///
    /// Otherwise.
    pub(crate) fn refused(&mut self, codes: &[u8]) -> Outcome {
        let said = self.closed()?;
        let is_fine = match said.as_slice() {
            [] => true,
            [Packet::Disconnect { code, .. }] => codes.contains(code),
            [Packet::Connack(connack)] => codes.contains(&connack.code) && !connack.present,
            _ => false,
        };
        expect(is_fine, || {
            format!(
                "the server says {said:?} before it closes; allowed are the codes {codes:02x?}, or nothing"
            )
        })
    }
}

fn came(next: Next<Packet>, wanted: &str) -> Result<Packet, Short> {
    match next {
        Next::Some(packet) => Ok(packet),
        Next::Silence => Err(Short::failed(format!("no {wanted} came"))),
        Next::End => Err(Short::failed(format!("the connection was closed where {wanted} was expected"))),
    }
}

/// A failure, where it does not hold.
///
/// # Errors
///
/// That one.
pub(crate) fn expect(holds: bool, otherwise: impl FnOnce() -> String) -> Outcome {
    if holds { Ok(()) } else { Err(Short::failed(otherwise())) }
}

/// Something else came.
pub(crate) fn unexpected(wanted: &str, came: &Packet) -> Short {
    Short::failed(format!("expected {wanted}, and {came:?} came"))
}

fn shown(payload: &[u8]) -> String {
    String::from_utf8_lossy(payload).chars().take(80).collect()
}

fn name(first: u8) -> &'static str {
    match first {
        PUBACK => "PUBACK",
        PUBREC => "PUBREC",
        PUBREL => "PUBREL",
        _ => "PUBCOMP",
    }
}
