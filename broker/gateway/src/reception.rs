//! From an accepted connection to a session: who are you, what do you speak?

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use engine::{Arrival, Broker};
use model::name::VhostName;
use model::outbox::Wire;
use model::principal::Handshake;
use model::session::Session;
use telemetry::{Complaints, Metrics};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, oneshot, watch};
use transport::carrier::Carrier;
use transport::http;
use transport::http::origins::Origins;
use transport::http::subprotocol::Protocol;
use transport::http::upgrade::Routes;
use transport::linger::{Lent, Patience};
use transport::peer::{Peer, Transport, Visitor};
use transport::proxy_protocol::Proxies;
use transport::sockjs::budget::Budget;
use transport::sockjs::options::Options as SockJsOptions;
use transport::sockjs::{Opened, SockJs};
use transport::stream::Stream;
use transport::tls::acceptor::{Acceptor, HandshakeError, Shaken, Unshaken};
use transport::web::{HttpError, Site, serve_http};

use crate::connection::identity::Identity;
use crate::connection::{Connection, finish};
use crate::detect::{Greeting, Service};
use crate::doorman::Doorman;
use crate::options::{Kind, ListenerOptions, Web};
use crate::rates::Rates;
use crate::visit::Visit;

/// What all connections are made from.
pub(crate) struct House {
    pub(crate) broker: Broker,
    pub(crate) mqtt: Arc<mqtt::Options>,
    pub(crate) stomp: Arc<stomp::options::Options>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) complaints: Arc<Complaints>,
    /// Counts who comes from where.
    pub(crate) doorman: Arc<Doorman>,
    /// How fast clients may publish.
    pub(crate) rates: Arc<Rates>,
    /// A place for each connection, and for each session of a client that polls.
    pub(crate) room: Arc<Semaphore>,
    /// What may wait for clients that poll.
    pub(crate) budget: Arc<Budget>,
    /// For those who have not heard yet that it is over.
    pub(crate) patience: Patience,
}

/// How far the end of the gateway has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    /// Nobody thinks of it.
    Open,
    /// Whoever has not said what he speaks is not waited for.
    Leaving,
    /// All sessions are over: nobody needs to ask anything more.
    Closing,
}

/// One listener's share of that.
pub(crate) struct Reception {
    desk: Arc<Desk>,
    kind: Kind,
    site: Site,
    tls: Option<Acceptor>,
    proxies: Option<Proxies>,
}

/// What a client showed by how it came.
struct Shown {
    handshake: Option<Arc<Handshake>>,
    certificate: Option<Arc<str>>,
}

/// Where sessions begin, whichever way their clients came.
struct Desk {
    house: Arc<House>,
    name: Arc<str>,
    vhost: Option<VhostName>,
}

impl Reception {
    /// For that listener.
    pub(crate) fn new(house: Arc<House>, listener: &ListenerOptions) -> Self {
        let ListenerOptions { name, kind, tls, proxies, vhost, .. } = listener;
        let desk = Arc::new(Desk { house, name: name.as_str().into(), vhost: vhost.clone() });
        let site = match kind {
            Kind::Mqtt | Kind::Stomp => Site {
                routes: Routes { upgrades: Vec::new(), origins: Origins::default() },
                sockjs: Vec::new(),
            },
            Kind::Web(web) | Kind::Auto(web) => site(web, &desk),
        };
        let tls = tls.as_ref().map(|tls| Acceptor::new(Arc::clone(tls), kind.purpose()));
        Self { desk, kind: kind.clone(), site, tls, proxies: proxies.clone() }
    }

    /// Whether clients come by balancers that say who they are.
    pub(crate) const fn is_behind_balancers(&self) -> bool {
        self.proxies.is_some()
    }

    /// For whom a balancer comes. `None` if nothing comes of it: then the log knows.
    pub(crate) async fn announced(&self, stream: &mut TcpStream, balancer: SocketAddr) -> Option<SocketAddr> {
        let from = Visitor::new(balancer);
        match self.proxies.as_ref()?.receive(stream, balancer).await {
            Ok(client) => Some(client),
            Err(error) if error.is_passing_by() => self.pass_by(&from, &error.to_string()),
            Err(error) => self.refuse(&from, &error.to_string()),
        }
    }

    /// Ready when no session of a client that polls is left.
    pub(crate) async fn emptied(&self) {
        self.site.emptied().await;
    }

    /// Finds out what the peer speaks, and gives it a session. `None` if there is nothing to be done for it: then it was
    /// told, as far as it can be, and so was the log.
    pub(crate) async fn receive(
        &self,
        stream: TcpStream,
        mut from: Visitor,
        stage: &mut watch::Receiver<Stage>,
    ) -> Option<Connection> {
        let accepted_at = Instant::now();
        let greeted = tokio::select! {
            greeted = tokio::time::timeout(GREETING_WAIT_MAX, self.greeted(stream, &mut from)) => greeted,
            // Whoever has not said yet what he speaks cannot be told anything.
            _ = stage.wait_for(|stage| *stage >= Stage::Leaving) => return None,
        };
        let (stream, greeting, bytes) = match greeted {
            Ok(Ok(greeted)) => greeted,
            Ok(Err(told)) => {
                if let Some(told) = told {
                    self.desk.house.patience.linger(told).await;
                }
                return None;
            }
            Err(_) => return self.refuse(&from, "said nothing that could be recognised within 10 s"),
        };
        match greeting.service(&self.kind) {
            Ok(Service::Mqtt) => Some(self.desk.tcp(Protocol::Mqtt, stream, from, accepted_at)),
            Ok(Service::Stomp) => Some(self.desk.tcp(Protocol::Stomp, stream, from, accepted_at)),
            Ok(Service::Http) => self.serve(stream, &from, stage).await,
            Err(reason) => {
                let shown = bytes.get(..SHOWN_BYTES_MAX).unwrap_or(&bytes).escape_ascii();
                let _: Option<()> = self.refuse(&from, &format!("{reason}; the first bytes are \"{shown}\""));
                turn_away(Carrier::tcp(stream, &from), greeting, &self.desk.house.patience).await;
                None
            }
        }
    }

    /// The connection behind all that comes before what it is for, and what that begins with.
    ///
    /// # Errors
    ///
    /// Nothing comes of it; and the connection, where the peer is to hear why.
    async fn greeted(
        &self,
        stream: TcpStream,
        from: &mut Visitor,
    ) -> Result<(Stream, Greeting, Vec<u8>), Option<Stream>> {
        let mut stream = match &self.tls {
            None => Stream::Plain(stream),
            Some(tls) => match tls.accept(stream).await {
                Ok(Shaken { stream, name }) => {
                    from.certificate = name;
                    stream
                }
                Err(Unshaken { error, told }) => {
                    self.unshaken(from, &error);
                    return Err(told);
                }
            },
        };
        from.is_secure = stream.is_secure();
        match stream.look(Greeting::read).await {
            Ok(Some((greeting, bytes))) => Ok((stream, greeting, bytes)),
            Ok(None) => Err(self.pass_by(from, "closed before it said anything")),
            // What the network does not do by itself.
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                Err(self.refuse(from, &format!("after the TLS handshake: {error}")))
            }
            Err(error) => Err(self.pass_by(from, &error.to_string())),
        }
    }

    async fn serve(
        &self,
        stream: Stream,
        from: &Visitor,
        stage: &mut watch::Receiver<Stage>,
    ) -> Option<Connection> {
        let closing = async {
            let _ = stage.wait_for(|stage| *stage >= Stage::Closing).await;
        };
        let (give_back, mut given_back) = oneshot::channel();
        let lent = Lent::new(stream, move |stream| {
            // It is waited for below.
            let _ = give_back.send(stream);
        });
        let upgraded = match serve_http(lent, from, &self.site, closing).await {
            Ok(upgraded) => upgraded,
            Err(error @ HttpError::Silent) => self.pass_by(from, &error.to_string()),
            Err(error) => self.refuse(from, &error.to_string()),
        };
        let Some(upgraded) = upgraded else {
            // At a stop nobody was told anything: who asks nothing is left without a word.
            let is_stop = *stage.borrow() >= Stage::Closing;
            if let (Ok(stream), false) = (given_back.try_recv(), is_stop) {
                self.desk.house.patience.linger(stream).await;
            }
            return None;
        };
        let protocol = upgraded.protocol;
        let handshake = handshake(&upgraded.handshake);
        let message_bytes_max = self.desk.house.message_bytes_max(protocol);
        let carrier = Carrier::websocket(upgraded, from, message_bytes_max).await;
        let shown = Shown { handshake: Some(handshake), certificate: from.certificate.clone() };
        Some(self.desk.start(protocol, carrier, Instant::now(), shown))
    }

    fn unshaken(&self, from: &Visitor, error: &HandshakeError) {
        let metrics = &self.desk.house.metrics;
        metrics.tls_handshakes_failed.increment();
        if error.is_late() {
            metrics.refused_handshakes.increment();
        }
        let _: Option<()> = if error.is_passing_by() {
            self.pass_by(from, &error.to_string())
        } else {
            self.refuse(from, &error.to_string())
        };
    }

    /// Something that a health check or a scanner does all day.
    fn pass_by<T>(&self, from: &Visitor, reason: &str) -> Option<T> {
        tracing::debug!(peer = %from.address, listener = &*self.desk.name, reason, "conn.refused");
        None
    }

    fn refuse<T>(&self, from: &Visitor, reason: &str) -> Option<T> {
        if let Some(withheld) = self.desk.house.complaints.may_complain(Instant::now()) {
            tracing::warn!(peer = %from.address, listener = &*self.desk.name, reason, withheld, "conn.refused");
        }
        None
    }
}

impl Desk {
    fn tcp(&self, protocol: Protocol, stream: Stream, from: Visitor, accepted_at: Instant) -> Connection {
        let carrier = Carrier::tcp(stream, &from);
        self.start(protocol, carrier, accepted_at, Shown { handshake: None, certificate: from.certificate })
    }

    /// A client that polls. It has no connection of its own, so it gets a place and a task of its own.
    fn open(&self, opened: Opened) -> bool {
        let Ok(place) = Arc::clone(&self.house.room).try_acquire_owned() else { return false };
        let Opened { polled, protocol, handshake: request, from } = opened;
        let carrier = Carrier::polled(polled, &from, protocol);
        let shown = Shown { handshake: Some(handshake(&request)), certificate: from.certificate };
        let connection = self.start(protocol, carrier, Instant::now(), shown).taking((place, None));
        tokio::spawn(Visit::Here(Box::new(connection)));
        true
    }

    fn start(&self, protocol: Protocol, carrier: Carrier, accepted_at: Instant, shown: Shown) -> Connection {
        let (house, peer) = (&self.house, carrier.peer());
        let address = Some(peer.address.ip());
        let session: Box<dyn Session> = match protocol {
            Protocol::Mqtt => Box::new(mqtt::Session::new(Arc::clone(&house.mqtt), address, accepted_at)),
            Protocol::Stomp => {
                Box::new(stomp::session::Session::new(Arc::clone(&house.stomp), address, accepted_at))
            }
        };
        let protocol = label(protocol, peer);
        let (address, listener) = (Some(peer.address), Arc::clone(&self.name));
        let Shown { handshake, certificate } = shown;
        let certificate = certificate.as_deref().map(Into::into);
        let arrival = Arrival { address, protocol, listener, handshake, certificate };
        let link = house.broker.connect(arrival).at(self.vhost.as_ref());
        let complaints = Arc::clone(&house.complaints);
        let identity = Identity::new(link.id(), protocol, Arc::clone(&self.name), complaints);
        let pace = house.rates.pace();
        let (metrics, patience) = (Arc::clone(&house.metrics), house.patience.clone());
        Connection::new(carrier, session, link, identity, pace, metrics, patience)
    }
}

impl House {
    /// How long a message may be that holds the largest packet and a few small ones besides, in bytes.
    fn message_bytes_max(&self, protocol: Protocol) -> usize {
        let packet = match protocol {
            Protocol::Mqtt => usize::try_from(self.mqtt.packet_max).unwrap_or(usize::MAX),
            Protocol::Stomp => {
                let limits = &self.stomp.limits;
                limits.head_bytes_max.saturating_add(limits.body_bytes_max)
            }
        };
        packet.saturating_add(MESSAGE_BYTES_MORE)
    }
}

/// What is spoken and what carries it, as logs, metrics and views say it.
const fn label(protocol: Protocol, peer: Peer) -> &'static str {
    match (protocol, peer.transport, peer.is_secure) {
        (Protocol::Mqtt, Transport::Tcp, false) => "mqtt",
        (Protocol::Mqtt, Transport::Tcp, true) => "mqtt-tls",
        (Protocol::Mqtt, Transport::WebSocket, false) => "mqtt-ws",
        (Protocol::Mqtt, Transport::WebSocket, true) => "mqtt-wss",
        (Protocol::Mqtt, Transport::SockJs, false) => "mqtt-sockjs",
        (Protocol::Mqtt, Transport::SockJs, true) => "mqtt-sockjs-tls",
        (Protocol::Stomp, Transport::Tcp, false) => "stomp",
        (Protocol::Stomp, Transport::Tcp, true) => "stomp-tls",
        (Protocol::Stomp, Transport::WebSocket, false) => "stomp-ws",
        (Protocol::Stomp, Transport::WebSocket, true) => "stomp-wss",
        (Protocol::Stomp, Transport::SockJs, false) => "stomp-sockjs",
        (Protocol::Stomp, Transport::SockJs, true) => "stomp-sockjs-tls",
    }
}

/// Says why not, where whoever is at the other end can read it.
async fn turn_away(carrier: Carrier, greeting: Greeting, patience: &Patience) {
    let mut wire = Wire::default();
    wire.buf().extend_from_slice(greeting.good_bye().as_bytes());
    finish(carrier, wire, patience).await;
}

fn site(web: &Web, desk: &Arc<Desk>) -> Site {
    let upgrades = vec![(web.ws_path.clone(), Protocol::Stomp), (web.mqtt_path.clone(), Protocol::Mqtt)];
    let origins = Origins::new(web.origins.clone());
    let sockjs = web.sockjs.iter().map(|options| {
        let options = SockJsOptions {
            origins: origins.clone(),
            request_bytes_max: desk.house.message_bytes_max(options.protocol),
            ..options.clone()
        };
        let clerk = Arc::clone(desk);
        let open = Box::new(move |opened| clerk.open(opened));
        SockJs::new(options, Arc::clone(&desk.house.budget), open)
    });
    let sockjs = sockjs.collect();
    Site { routes: Routes { upgrades, origins }, sockjs }
}

/// A copy: what the client sent lies in a read buffer.
fn handshake(request: &http::Handshake) -> Arc<Handshake> {
    let headers = request.headers.iter();
    Arc::new(Handshake {
        path: request.path.as_str().into(),
        query: request.query.as_deref().map(Into::into),
        headers: headers
            .map(|(name, value)| (name.as_str().into(), Bytes::copy_from_slice(value.as_bytes())))
            .collect(),
    })
}

/// As long as a client may take to log in.
const GREETING_WAIT_MAX: Duration = Duration::from_secs(10);

/// How much of what a stranger said is shown in the log.
const SHOWN_BYTES_MAX: usize = 32;

/// A WebSocket message may hold the largest packet and a few small ones besides.
const MESSAGE_BYTES_MORE: usize = 64 * 1024;
