//! Brokers that say what a test tells them to.

use bytes::BytesMut;
use mqtt::codec::{self, PropertyLimits, Role, Rules};
use mqtt::packet::{Connack, Connect, Packet};
use mqtt::reason::Reason;
use mqtt::version::Version;
use stomp::decode::{self, Limits};
use stomp::encode;
use stomp::frame::{Command, Frame};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use transport::tls_client::Trust;

use crate::client::address::{Address, Protocol};
use crate::client::entry::Entry;

/// A listener for one client.
pub(crate) struct Door(TcpListener);

impl Door {
    pub(crate) async fn open() -> Self {
        Self(TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port"))
    }

    /// How a client gets in here.
    pub(crate) fn entry(&self, protocol: Protocol) -> Entry {
        let port = self.0.local_addr().expect("bound").port();
        Entry {
            address: Address { host: "127.0.0.1".into(), port, websocket: None, is_secure: false },
            trust: Trust::default(),
            protocol,
            user: None,
            password: None,
            client_id: None,
            session_expiry_s: None,
            patience: std::time::Duration::from_secs(5),
        }
    }

    pub(crate) async fn accept(&self) -> TcpStream {
        self.0.accept().await.expect("a client").0
    }

    /// An MQTT client that knocks, with what it said.
    pub(crate) async fn mqtt(&self, version: Version) -> (MqttPeer, Connect) {
        let mut peer = MqttPeer { stream: self.accept().await, buf: BytesMut::new(), version: None };
        let Packet::Connect(connect) = peer.hear().await else { panic!("no CONNECT") };
        peer.version = Some(version);
        (peer, *connect)
    }

    /// A STOMP client that knocks, with what it said.
    pub(crate) async fn stomp_connect(&self) -> (StompPeer, Frame) {
        let mut peer = StompPeer { stream: self.accept().await, buf: BytesMut::new() };
        let connect = peer.hear(Command::Connect).await;
        (peer, connect)
    }

    /// A STOMP client that was let in with `version`, with what it said.
    pub(crate) async fn stomp(&self, version: &str) -> (StompPeer, Frame) {
        let (mut peer, connect) = self.stomp_connect().await;
        peer.say(&Frame::new(Command::Connected).with("version", version)).await;
        (peer, connect)
    }
}

/// A broker's end of an MQTT connection.
pub(crate) struct MqttPeer {
    stream: TcpStream,
    buf: BytesMut,
    version: Option<Version>,
}

impl MqttPeer {
    /// The next packet of the client.
    pub(crate) async fn hear(&mut self) -> Packet {
        let rules = Rules {
            version: self.version,
            role: Role::Server,
            packet_max: 1 << 20,
            properties: PropertyLimits::default(),
        };
        loop {
            if let Some(packet) = codec::decode(&mut self.buf, &rules).expect("valid MQTT") {
                return packet;
            }
            let read = self.stream.read_buf(&mut self.buf).await.expect("readable");
            assert!(read > 0, "the client hung up");
        }
    }

    pub(crate) async fn say(&mut self, packet: &Packet) {
        let mut bytes = BytesMut::new();
        codec::encode(packet, self.version.expect("CONNECT came"), &mut bytes);
        self.stream.write_all(&bytes).await.expect("written");
    }

    /// Come in.
    pub(crate) async fn welcome(&mut self) {
        self.say(&connack(Reason::Success)).await;
    }

    /// An orderly end, as the client should make it.
    pub(crate) async fn part(&mut self) {
        assert_eq!(self.hear().await, Packet::Pingreq);
        self.say(&Packet::Pingresp).await;
        assert!(matches!(self.hear().await, Packet::Disconnect(_)));
        assert_eq!(self.stream.read_buf(&mut self.buf).await.expect("readable"), 0);
    }
}

pub(crate) fn connack(reason: Reason) -> Packet {
    Packet::Connack(Box::new(Connack { session_present: false, reason, properties: None }))
}

/// A broker's end of a STOMP connection.
pub(crate) struct StompPeer {
    stream: TcpStream,
    buf: BytesMut,
}

impl StompPeer {
    /// The next frame of the client, which must be this one.
    pub(crate) async fn hear(&mut self, command: Command) -> Frame {
        loop {
            let version = stomp::version::Version::V1_2;
            let decoded = decode::decode(&mut self.buf, &Limits::default(), version);
            if let Some(frame) = decoded.expect("valid STOMP") {
                assert_eq!(frame.command, command, "{frame:?}");
                return frame;
            }
            let read = self.stream.read_buf(&mut self.buf).await.expect("readable");
            assert!(read > 0, "the client hung up before {command}");
        }
    }

    pub(crate) async fn say(&mut self, frame: &Frame) {
        let mut bytes = BytesMut::new();
        encode::encode(frame, stomp::version::Version::V1_2, &mut bytes);
        self.stream.write_all(&bytes).await.expect("written");
    }

    /// Done, as far as the client asked to be told.
    pub(crate) async fn receipt(&mut self, frame: &Frame) {
        let id = frame.header("receipt").expect("a receipt is asked for").clone();
        self.say(&Frame::new(Command::Receipt).with("receipt-id", id)).await;
    }

    /// An orderly end, as the client should make it.
    pub(crate) async fn part(&mut self) {
        let disconnect = self.hear(Command::Disconnect).await;
        self.receipt(&disconnect).await;
        assert_eq!(self.stream.read_buf(&mut self.buf).await.expect("readable"), 0);
    }
}
