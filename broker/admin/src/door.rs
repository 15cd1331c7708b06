//! Door: who comes in at an admin listener, by TLS where it has that

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use engine::Broker;
use telemetry::Complaints;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use transport::linger::{Lent, Patience};
use transport::proxy_protocol::Proxies;
use transport::stream::Stream;
use transport::tcp::{self, BindError};
use transport::tls::acceptor::{Acceptor, Unshaken};
use transport::tls::{Purpose, Tls};

/// Where people and programs come in that look after the broker.
pub struct Door {
    listener: TcpListener,
    tls: Option<Acceptor>,
    proxies: Option<Proxies>,
    /// Those that have not shaken hands yet: none of them keeps others waiting.
    entering: JoinSet<Option<(Stream, SocketAddr)>>,
    patience: Patience,
    complaints: Arc<Complaints>,
    /// Who knows which addresses stay out.
    broker: Option<Broker>,
}

impl Door {
    /// Listens on `address`; port 0 takes a free one. To be called within a tokio runtime.
    ///
    /// # Errors
    ///
    /// Says which address it was, and if somebody else listens there, who.
    pub fn bind(
        address: SocketAddr,
        tls: Option<Arc<Tls>>,
        proxies: Option<Proxies>,
    ) -> Result<Self, BindError> {
        let listener = tcp::bind(address)?;
        let tls = tls.map(|tls| Acceptor::new(tls, Purpose::Web));
        let patience = Patience::new(LINGERING_MAX);
        let (entering, complaints) = (JoinSet::new(), Arc::default());
        Ok(Self { listener, tls, proxies, entering, patience, complaints, broker: None })
    }

    /// Whoever comes from an address that `broker` keeps out is closed, as at every other door.
    pub(crate) fn guarded_by(self, broker: Broker) -> Self {
        Self { broker: Some(broker), ..self }
    }

    /// Where it is, with the port that it has now.
    ///
    /// # Errors
    ///
    /// As `getsockname(2)`.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    fn lend(&self, stream: Stream) -> Lent {
        let patience = self.patience.clone();
        Lent::new(stream, |stream| part(stream, patience))
    }
}

impl Listener for Door {
    type Io = Lent;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Lent, SocketAddr) {
        loop {
            let (tls, proxies) = (self.tls.clone(), self.proxies.clone());
            if tls.is_none() && proxies.is_none() {
                let (stream, address) = next(&self.listener).await;
                if is_kept_out(self.broker.as_ref(), address, &self.complaints) {
                    continue;
                }
                return (self.lend(stream.into()), address);
            }
            let has_room = self.entering.len() < ENTERING_MAX;
            tokio::select! {
                Some(entered) = self.entering.join_next() => {
                    if let Ok(Some((stream, address))) = entered {
                        return (self.lend(stream), address);
                    }
                }
                (stream, address) = next(&self.listener), if has_room => {
                    let (broker, patience) = (self.broker.clone(), self.patience.clone());
                    let complaints = Arc::clone(&self.complaints);
                    self.entering.spawn(enter(tls, proxies, broker, stream, address, patience, complaints));
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.address()
    }
}

/// Waits for the next connection.
async fn next(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match tcp::accept(listener).await {
            Ok(accepted) => return accepted,
            Err(error) if tcp::concerns_one_peer(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "admin.accept_paused");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn enter(
    tls: Option<Acceptor>,
    proxies: Option<Proxies>,
    broker: Option<Broker>,
    mut stream: TcpStream,
    mut address: SocketAddr,
    patience: Patience,
    complaints: Arc<Complaints>,
) -> Option<(Stream, SocketAddr)> {
    let refuse = |address: SocketAddr, is_passing_by: bool, reason: &dyn std::fmt::Display| {
        if is_passing_by {
            tracing::debug!(peer = %address, %reason, "admin.closed");
        } else if let Some(withheld) = complaints.may_complain(Instant::now()) {
            tracing::warn!(peer = %address, %reason, withheld, "admin.closed");
        }
    };
    if let Some(proxies) = proxies {
        match proxies.receive(&mut stream, address).await {
            Ok(client) => address = client,
            Err(error) => {
                refuse(address, error.is_passing_by(), &error);
                return None;
            }
        }
    }
    if is_kept_out(broker.as_ref(), address, &complaints) {
        return None;
    }
    let Some(tls) = tls else { return Some((stream.into(), address)) };
    match tls.accept(stream).await {
        Ok(shaken) => Some((shaken.stream, address)),
        Err(Unshaken { error, told }) => {
            refuse(address, error.is_passing_by(), &error);
            if let Some(told) = told {
                part(told, patience);
            }
            None
        }
    }
}

/// Whoever asked last may not have heard the answer. Nobody waits for that: not who comes next, and not who stops the broker.
fn part(stream: Stream, patience: Patience) {
    tokio::spawn(async move { patience.linger(stream).await });
}

/// Whether whoever comes from there stays out; then the log knows.
fn is_kept_out(broker: Option<&Broker>, address: SocketAddr, complaints: &Complaints) -> bool {
    let Some(broker) = broker.filter(|broker| broker.keeps_out(address.ip())) else { return false };
    broker.count_kept_out();
    if let Some(withheld) = complaints.may_complain(Instant::now()) {
        tracing::warn!(peer = %address, reason = BANNED, withheld, "admin.closed");
    }
    true
}

/// Where a request comes from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CameFrom(pub(crate) SocketAddr);

impl Connected<IncomingStream<'_, Door>> for CameFrom {
    fn connect_info(stream: IncomingStream<'_, Door>) -> Self {
        Self(*stream.remote_addr())
    }
}

const BANNED: &str = "its address is banned (duetmq list bans)";

/// How many may be shaking hands; more wait to be accepted.
const ENTERING_MAX: usize = 256;

/// The most connections that are over and whose clients may not have heard it.
const LINGERING_MAX: usize = 256;

const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
