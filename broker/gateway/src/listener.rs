//! Accept, limit, drain.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use engine::Broker;
use telemetry::Metrics;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use transport::linger::Patience;
use transport::peer::Visitor;
use transport::sockjs::budget::Budget;
use transport::tcp::{self, BindError};

use crate::connection::{Connection, Places};
use crate::doorman::{Crowded, Doorman};
use crate::options::Options;
use crate::rates::Rates;
use crate::reception::{House, Reception, Stage};
use crate::visit::Visit;

/// All listeners. Nobody is accepted before [`Gateway::run`].
pub struct Gateway {
    doors: Vec<(TcpListener, Arc<Reception>)>,
    house: Arc<House>,
    connections_max: u32,
}

impl Gateway {
    /// Listens on every address, or on none. To be called within a tokio runtime.
    ///
    /// # Errors
    ///
    /// Names the first address that cannot be had, and who has it.
    pub fn bind(
        options: &Options,
        broker: Broker,
        mqtt: Arc<mqtt::Options>,
        stomp: Arc<stomp::options::Options>,
        metrics: Arc<Metrics>,
    ) -> Result<Self, BindError> {
        let connections_max = u32::try_from(options.connections_max).unwrap_or(u32::MAX).max(1);
        let room = Arc::new(Semaphore::new(connections_max as usize));
        let budget = Arc::new(Budget::new(options.sockjs_bytes_max));
        // Those who are on their way out keep a tenth of the places at most from those who come.
        let patience = Patience::new((connections_max as usize / 10).clamp(1, LINGERING_MAX));
        let complaints = Arc::default();
        let doorman = Doorman::new(options.crowding.clone());
        let rates = Rates::new(options.publish_rates);
        let house =
            House { broker, mqtt, stomp, metrics, complaints, doorman, rates, room, budget, patience };
        let house = Arc::new(house);
        let doors = options.listeners.iter().map(|listener| {
            let socket = tcp::bind(listener.bind)?;
            let reception = Reception::new(Arc::clone(&house), listener);
            Ok((socket, Arc::new(reception)))
        });
        let doors = doors.collect::<Result<_, _>>()?;
        Ok(Self { doors, house, connections_max })
    }

    /// Where it listens, in the order of the options; ports that the system chose are in it.
    ///
    /// # Errors
    ///
    /// As `getsockname(2)`.
    pub fn local_addrs(&self) -> io::Result<Vec<SocketAddr>> {
        self.doors.iter().map(|(socket, _)| socket.local_addr()).collect()
    }

    /// Serves until `shutdown` is ready. Then nobody is accepted any more, the broker says good-bye to every client, and
    /// those that are on their way out have five seconds.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let (stage, watched) = watch::channel(Stage::Open);
        let mut accepting = JoinSet::new();
        let mut receptions = Vec::new();
        for (socket, reception) in self.doors {
            receptions.push(Arc::clone(&reception));
            let door = Door { reception, house: Arc::clone(&self.house), stage: watched.clone() };
            accepting.spawn(door.accept_all(socket));
        }
        shutdown.await;
        accepting.shutdown().await;
        stage.send_replace(Stage::Leaving);
        self.house.broker.shutdown(DRAIN_MAX).await;
        // Clients that poll hear of it when they poll again, and the connections by which they do are kept until then.
        let emptied = async {
            for reception in &receptions {
                reception.emptied().await;
            }
        };
        let _ = tokio::time::timeout(POLLS_MAX, emptied).await;
        stage.send_replace(Stage::Closing);
        // Every connection gives its place back when its last bytes are out.
        let _ = tokio::time::timeout(DRAIN_MAX, self.house.room.acquire_many(self.connections_max)).await;
    }
}

/// What every connection of a listener needs until it has a session.
#[derive(Clone)]
struct Door {
    reception: Arc<Reception>,
    house: Arc<House>,
    stage: watch::Receiver<Stage>,
}

impl Door {
    /// A place among all, and one among those of its address; `None` where there is none, and then the log knows.
    fn admit(&self, address: SocketAddr) -> Option<Places> {
        let (now, metrics) = (Instant::now(), &self.house.metrics);
        let from = address.ip();
        let (reason, refused) = if self.house.broker.keeps_out(from) {
            (BANNED, &metrics.refused_banned)
        } else {
            match self.house.doorman.enter(from, now) {
                Ok(place) => match Arc::clone(&self.house.room).try_acquire_owned() {
                    Ok(permit) => return Some((permit, Some(place))),
                    Err(_) => (FULL, &metrics.refused_connections),
                },
                Err(crowded @ Crowded::Address) => (crowded.reason(), &metrics.refused_per_address),
                Err(crowded @ Crowded::Rate) => (crowded.reason(), &metrics.refused_rate),
            }
        };
        refused.increment();
        if let Some(withheld) = self.house.complaints.may_complain(now) {
            tracing::warn!(peer = %address, reason, withheld, "conn.refused");
        }
        None
    }

    /// A balancer came: it is the client behind it who is counted.
    fn receive_behind(&self, mut stream: TcpStream, balancer: SocketAddr) {
        // Until it is known who that is, it has a place all the same.
        let Ok(place) = Arc::clone(&self.house.room).try_acquire_owned() else {
            self.house.metrics.refused_connections.increment();
            if let Some(withheld) = self.house.complaints.may_complain(Instant::now()) {
                tracing::warn!(peer = %balancer, reason = FULL, withheld, "conn.refused");
            }
            return;
        };
        let door = self.clone();
        tokio::spawn(Visit::Coming(Box::pin(async move {
            let client = Box::pin(door.reception.announced(&mut stream, balancer)).await;
            drop(place);
            let client = client?;
            let places = door.admit(client)?;
            receive(stream, Visitor::new(client), door, places).await
        })));
    }

    async fn accept_all(self, socket: TcpListener) {
        loop {
            match tcp::accept(&socket).await {
                Ok((stream, address)) => {
                    if self.reception.is_behind_balancers() {
                        self.receive_behind(stream, address);
                    } else if let Some(places) = self.admit(address) {
                        tokio::spawn(serve(stream, Visitor::new(address), self.clone(), places));
                    }
                }
                Err(error) if tcp::concerns_one_peer(&error) => {
                    tracing::debug!(%error, "accept.failed");
                }
                Err(error) => {
                    // No file descriptors or no memory: accepting on would only burn the processor that others need to
                    // end.
                    tracing::warn!(%error, "accept.paused");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

/// One connection, from its first byte to its last.
fn serve(stream: TcpStream, from: Visitor, door: Door, places: Places) -> Visit {
    Visit::Coming(Box::pin(receive(stream, from, door, places)))
}

/// In its box before it is handed out, with its places: nobody keeps room for it beside that.
async fn receive(stream: TcpStream, from: Visitor, door: Door, places: Places) -> Option<Box<Connection>> {
    let Door { reception, mut stage, .. } = door;
    let connection = reception.receive(stream, from, &mut stage).await?;
    Some(Box::new(connection.taking(places)))
}

const BANNED: &str = "its address is banned (duetmq list bans)";

const FULL: &str = "there are as many connections as there may be (limits.connections)";

const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The most connections that are over and whose clients may not have heard it.
const LINGERING_MAX: usize = 1024;

/// How long a stop waits for clients to be told.
const DRAIN_MAX: Duration = Duration::from_secs(5);

/// How long a stop waits for clients that poll to ask once more.
const POLLS_MAX: Duration = Duration::from_secs(2);
