//! An MQTT client that sends what it is told and shows all that comes.

pub mod bytes;
pub mod packet;
pub mod property;
pub mod version;
pub mod write;

use std::collections::VecDeque;
use std::io::{self, Error};
use std::net::SocketAddr;
use std::time::Duration;

use crate::mqtt::packet::{Connack, Packet, Publish, cut};
use crate::mqtt::version::Version;
use crate::mqtt::write::{Connect, ack, publish, subscribe};
use crate::socket::{Next, Socket};
use crate::wait::SOON;

/// A connection that speaks MQTT.
#[derive(Debug)]
pub struct Client {
    /// What carries it.
    pub socket: Socket,
    version: Version,
    last_id: u16,
    /// Messages that came while an acknowledgement was waited for, in their order.
    aside: VecDeque<Publish>,
}

impl Client {
    /// Connects, and says nothing yet.
    ///
    /// # Errors
    ///
    /// If nobody answers.
    pub fn dial(address: SocketAddr, version: Version) -> io::Result<Self> {
        Ok(Self { socket: Socket::dial(address)?, version, last_id: 0, aside: VecDeque::new() })
    }

    /// Connects and gets in.
    ///
    /// # Errors
    ///
    /// If the broker does not say CONNACK with success.
    pub fn connect(address: SocketAddr, connect: &Connect) -> io::Result<(Self, Connack)> {
        let mut client = Self::dial(address, connect.version)?;
        client.send(&connect.bytes())?;
        let packet = client.packet()?;
        if let Packet::Connack(connack) = &packet
            && connack.code == 0
        {
            return Ok((client, connack.clone()));
        }
        Err(unexpected("a good CONNACK", &packet))
    }

    /// A clean session of that name.
    ///
    /// # Errors
    ///
    /// As [`Self::connect`].
    pub fn clean(address: SocketAddr, version: Version, id: &str) -> io::Result<Self> {
        Ok(Self::connect(address, &Connect::new(version, id))?.0)
    }

    /// Sends any bytes.
    ///
    /// # Errors
    ///
    /// If the peer is gone.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.socket.write(bytes)
    }

    /// The next packet, silence or end.
    ///
    /// # Errors
    ///
    /// If what came is no packet.
    pub fn next(&mut self, within: Duration) -> io::Result<Next<Packet>> {
        if let Some(publish) = self.aside.pop_front() {
            return Ok(Next::Some(Packet::Publish(publish)));
        }
        self.read(within)
    }

    fn read(&mut self, within: Duration) -> io::Result<Next<Packet>> {
        let version = self.version;
        self.socket.next(within, |buffer| cut(buffer, version))
    }

    /// The next packet.
    ///
    /// # Errors
    ///
    /// If none comes.
    pub fn packet(&mut self) -> io::Result<Packet> {
        came(self.next(SOON)?)
    }

    /// The next packet that is no PUBLISH: messages may come at any time, and are kept for later.
    fn answer(&mut self) -> io::Result<Packet> {
        loop {
            let packet = came(self.read(SOON)?)?;
            let Packet::Publish(publish) = packet else { return Ok(packet) };
            self.aside.push_back(publish);
        }
    }

    /// The next PUBLISH, which must be the next packet.
    ///
    /// # Errors
    ///
    /// If something else comes, or nothing.
    pub fn publication(&mut self) -> io::Result<Publish> {
        let packet = self.packet()?;
        if let Packet::Publish(publish) = packet {
            return Ok(publish);
        }
        Err(unexpected("PUBLISH", &packet))
    }

    /// Asks for a topic filter, and gives the codes of SUBACK.
    ///
    /// # Errors
    ///
    /// If another answer comes.
    pub fn subscribe(&mut self, filter: &str, options: u8) -> io::Result<Vec<u8>> {
        let id = self.id();
        self.send(&subscribe(self.version, id, &[(filter, options)], &[]))?;
        let packet = self.answer()?;
        if let Packet::Suback { id: of, codes, .. } = &packet
            && *of == id
        {
            return Ok(codes.clone());
        }
        Err(unexpected(&format!("SUBACK {id}"), &packet))
    }

    /// Publishes, and goes through the handshake of its QoS.
    ///
    /// # Errors
    ///
    /// If other answers come, or a refusal.
    pub fn publish(&mut self, topic: &str, payload: &[u8], qos: u8) -> io::Result<()> {
        let id = if qos > 0 { self.id() } else { 0 };
        let message = Publish::new(topic, payload, qos).with_id(id);
        self.send(&publish(self.version, &message))?;
        match qos {
            0 => Ok(()),
            1 => self.expect_ack(ack::PUBACK, id),
            _ => {
                self.expect_ack(ack::PUBREC, id)?;
                self.send(&ack::bytes(ack::PUBREL, id))?;
                self.expect_ack(ack::PUBCOMP, id)
            }
        }
    }

    /// Takes the next PUBLISH and the handshake that belongs to it.
    ///
    /// # Errors
    ///
    /// If other packets come than that and more messages.
    pub fn take(&mut self) -> io::Result<Publish> {
        let publish = self.publication()?;
        match publish.qos {
            0 => {}
            1 => self.send(&ack::bytes(ack::PUBACK, publish.id))?,
            _ => {
                self.send(&ack::bytes(ack::PUBREC, publish.id))?;
                self.expect_ack(ack::PUBREL, publish.id)?;
                self.send(&ack::bytes(ack::PUBCOMP, publish.id))?;
            }
        }
        Ok(publish)
    }

    /// The next packet but for messages is this acknowledgement, with success.
    ///
    /// # Errors
    ///
    /// If it is not.
    pub fn expect_ack(&mut self, kind: u8, id: u16) -> io::Result<()> {
        let packet = self.answer()?;
        if let Packet::Ack { kind: came, id: of, reason } = packet
            && (came, of) == (kind, id)
            && reason < 0x80
        {
            return Ok(());
        }
        Err(unexpected(&format!("{} {id}", ack::name(kind)), &packet))
    }

    /// Whether the broker closes the connection, whatever it says before.
    ///
    /// # Errors
    ///
    /// If the connection fails in another way.
    pub fn closes(&mut self, within: Duration) -> io::Result<bool> {
        self.socket.closes(within)
    }

    /// A packet id that was not used before on this connection.
    pub fn id(&mut self) -> u16 {
        self.last_id = self.last_id.checked_add(1).unwrap_or(1);
        self.last_id
    }
}

fn came(next: Next<Packet>) -> io::Result<Packet> {
    match next {
        Next::Some(packet) => Ok(packet),
        Next::Silence => Err(Error::other(format!("nothing came in {SOON:?}"))),
        Next::Closed => Err(Error::other("the broker closed the connection")),
    }
}

fn unexpected(wanted: &str, packet: &Packet) -> Error {
    Error::other(format!("instead of {wanted} came {packet:?}"))
}
