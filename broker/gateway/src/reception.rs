//! From an accepted connection to a session: who are you, what do you speak?

use std::sync::Arc;
use std::time::{Duration, Instant};

use engine::{Arrival, Broker};
use model::outbox::Wire;
use model::session::Session;
use telemetry::Metrics;
use tokio::net::TcpStream;
use transport::carrier::Carrier;
use transport::http::subprotocol::Protocol;
use transport::http::upgrade::Routes;
use transport::http::{HttpError, serve_http};
use transport::peer::{Peer, Transport};

use crate::complaints::Complaints;
use crate::connection::identity::Identity;
use crate::connection::{Connection, finish};
use crate::detect::{Greeting, Service, sniff};
use crate::options::{Kind, Web};

/// What all connections are made from.
pub(crate) struct House {
    pub(crate) broker: Broker,
    pub(crate) mqtt: Arc<mqtt::Options>,
    pub(crate) stomp: Arc<stomp::options::Options>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) complaints: Arc<Complaints>,
}

/// One listener's share of that.
pub(crate) struct Reception {
    house: Arc<House>,
    name: Arc<str>,
    kind: Kind,
    routes: Routes,
}

impl Reception {
    /// For the listener that is called `name`.
    pub(crate) fn new(house: Arc<House>, name: &str, kind: Kind) -> Self {
        let routes = match &kind {
            Kind::Mqtt | Kind::Stomp => Routes { upgrades: Vec::new(), origins: Vec::new() },
            Kind::Web(web) | Kind::Auto(web) => routes(web),
        };
        Self { house, name: name.into(), kind, routes }
    }

    /// Finds out what the peer speaks, and gives it a session. `None` if there is nothing to be done for it: then it was
    /// told, as far as it can be, and so was the log.
    pub(crate) async fn receive(&self, stream: TcpStream, peer: Peer) -> Option<Connection> {
        let accepted_at = Instant::now();
        let sniffed = tokio::time::timeout(GREETING_WAIT_MAX, sniff(&stream)).await;
        let (greeting, bytes) = match sniffed {
            Ok(Ok(Some(found))) => found,
            Ok(Ok(None)) => return self.pass_by(peer, "closed before it said anything"),
            Ok(Err(error)) => return self.pass_by(peer, &error.to_string()),
            Err(_) => return self.refuse(peer, "said nothing that could be recognised within 10 s"),
        };
        match greeting.service(&self.kind) {
            Ok(Service::Mqtt) => self.start(Protocol::Mqtt, Carrier::tcp(stream).ok()?, accepted_at),
            Ok(Service::Stomp) => self.start(Protocol::Stomp, Carrier::tcp(stream).ok()?, accepted_at),
            Ok(Service::Http) => self.upgrade(stream, peer, accepted_at).await,
            Err(reason) => {
                let shown = bytes.get(..SHOWN_BYTES_MAX).unwrap_or(&bytes).escape_ascii();
                self.refuse(peer, &format!("{reason}; the first bytes are \"{shown}\""));
                turn_away(stream, greeting).await;
                None
            }
        }
    }

    async fn upgrade(&self, stream: TcpStream, peer: Peer, accepted_at: Instant) -> Option<Connection> {
        let upgraded = match serve_http(stream, &self.routes).await {
            Ok(upgraded) => upgraded,
            Err(error @ HttpError::Silent) => return self.pass_by(peer, &error.to_string()),
            Err(error) => return self.refuse(peer, &error.to_string()),
        };
        let protocol = upgraded.protocol;
        let message_bytes_max = match protocol {
            Protocol::Mqtt => usize::try_from(self.house.mqtt.packet_max).unwrap_or(usize::MAX),
            Protocol::Stomp => {
                let limits = &self.house.stomp.limits;
                limits.head_bytes_max.saturating_add(limits.body_bytes_max)
            }
        };
        let message_bytes_max = message_bytes_max.saturating_add(MESSAGE_BYTES_MORE);
        let carrier = Carrier::websocket(upgraded, message_bytes_max).await.ok()?;
        self.start(protocol, carrier, accepted_at)
    }

    fn start(&self, protocol: Protocol, carrier: Carrier, accepted_at: Instant) -> Option<Connection> {
        let (house, peer) = (&self.house, carrier.peer());
        let address = Some(peer.address.ip());
        let session: Box<dyn Session> = match protocol {
            Protocol::Mqtt => Box::new(mqtt::Session::new(Arc::clone(&house.mqtt), address, accepted_at)),
            Protocol::Stomp => {
                Box::new(stomp::session::Session::new(Arc::clone(&house.stomp), address, accepted_at))
            }
        };
        let protocol = match (protocol, peer.transport) {
            (Protocol::Mqtt, Transport::Tcp) => "mqtt",
            (Protocol::Mqtt, Transport::WebSocket) => "mqtt-ws",
            (Protocol::Stomp, Transport::Tcp) => "stomp",
            (Protocol::Stomp, Transport::WebSocket) => "stomp-ws",
        };
        let link = house.broker.connect(&Arrival { address, protocol, listener: Arc::clone(&self.name) });
        let complaints = Arc::clone(&house.complaints);
        let identity = Identity::new(link.id(), protocol, peer, Arc::clone(&self.name), complaints);
        Some(Connection::new(carrier, session, link, identity, Arc::clone(&house.metrics)))
    }

    /// Something that a health check or a scanner does all day.
    fn pass_by(&self, peer: Peer, reason: &str) -> Option<Connection> {
        tracing::debug!(peer = %peer.address, listener = &*self.name, reason, "conn.refused");
        None
    }

    fn refuse(&self, peer: Peer, reason: &str) -> Option<Connection> {
        if let Some(withheld) = self.house.complaints.may_complain(Instant::now()) {
            tracing::warn!(peer = %peer.address, listener = &*self.name, reason, withheld, "conn.refused");
        }
        None
    }
}

/// Says why not, where whoever is at the other end can read it.
async fn turn_away(stream: TcpStream, greeting: Greeting) {
    let Ok(mut carrier) = Carrier::tcp(stream) else { return };
    let mut wire = Wire::default();
    wire.buf().extend_from_slice(greeting.good_bye().as_bytes());
    finish(&mut carrier, &mut wire).await;
}

fn routes(web: &Web) -> Routes {
    let upgrades = vec![(web.ws_path.clone(), Protocol::Stomp), (web.mqtt_path.clone(), Protocol::Mqtt)];
    Routes { upgrades, origins: web.origins.clone() }
}

/// As long as a client may take to log in.
const GREETING_WAIT_MAX: Duration = Duration::from_secs(10);

/// How much of what a stranger said is shown in the log.
const SHOWN_BYTES_MAX: usize = 32;

/// A WebSocket message may hold the largest packet and a few small ones besides.
const MESSAGE_BYTES_MORE: usize = 64 * 1024;
