//! The bytes between a client and a broker, and the beat that keeps them flowing.

use std::io;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout};
use transport::stream::Stream;
use transport::ws_client::WebSocketClient;

use crate::client::address::Protocol;
use crate::client::entry::Entry;
use crate::failure::Failure;

/// A connection with its buffers. Whatever waits here may be cancelled: nothing is lost or sent twice.
#[derive(Debug)]
pub(crate) struct Wire {
    link: Link,
    /// What came and is not read yet.
    pub(crate) incoming: BytesMut,
    /// What is to be sent.
    pub(crate) outgoing: BytesMut,
    beat: Beat,
    heard_at: Instant,
    said_at: Instant,
}

#[derive(Debug)]
enum Link {
    Tcp(Stream),
    WebSocket(Box<WebSocketClient>),
}

/// What both sides promised about silence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Beat {
    /// What we say when we have nothing to say.
    pub(crate) bytes: &'static [u8],
    /// How long we may be silent; `None`: for ever.
    pub(crate) ours: Option<Duration>,
    /// How long the broker may be; `None`: for ever.
    pub(crate) theirs: Option<Duration>,
}

impl Wire {
    /// Connects.
    ///
    /// # Errors
    ///
    /// Nobody is there, or is not to be believed, or does not speak WebSocket.
    pub(crate) async fn open(entry: &Entry) -> Result<Self, Failure> {
        let Entry { address, protocol, trust, .. } = entry;
        let unreachable = |error: io::Error| {
            Failure::runtime(format!("cannot reach {address}: {error}; is the broker running there?"))
        };
        let stream = TcpStream::connect((address.host.as_str(), address.port)).await.map_err(unreachable)?;
        // Packets are small and wait for answers.
        stream.set_nodelay(true).map_err(unreachable)?;
        let stream = if address.is_secure {
            let wanted = match (&address.websocket, protocol) {
                (Some(_), _) => &["http/1.1"][..],
                (None, Protocol::Mqtt(_)) => &["mqtt"],
                (None, Protocol::Stomp) => &[],
            };
            trust.shake(stream, &address.host, wanted).await.map_err(Failure::runtime)?
        } else {
            Stream::Plain(stream)
        };
        let link = match &address.websocket {
            None => Link::Tcp(stream),
            Some(_) => {
                let (subprotocols, is_text): (&[&str], bool) = match protocol {
                    Protocol::Mqtt(_) => (&["mqtt"], false),
                    Protocol::Stomp => (&["v12.stomp", "v11.stomp", "v10.stomp"], true),
                };
                let url = address.to_string();
                let websocket = WebSocketClient::connect(stream, &url, subprotocols, is_text).await;
                Link::WebSocket(Box::new(websocket.map_err(Failure::runtime)?))
            }
        };
        let now = Instant::now();
        let (incoming, outgoing) = (BytesMut::new(), BytesMut::new());
        Ok(Self { link, incoming, outgoing, beat: Beat::default(), heard_at: now, said_at: now })
    }

    /// From now on, this was promised.
    pub(crate) fn promise(&mut self, beat: Beat) {
        self.beat = beat;
    }

    /// Sends what is to be sent, then waits until something more came. Says and expects what was promised meanwhile.
    ///
    /// # Errors
    ///
    /// The connection ended, or fell silent.
    pub(crate) async fn exchange(&mut self) -> Result<(), Failure> {
        loop {
            self.flush().await.map_err(lost)?;
            let speak_at = self.beat.ours.map(|ours| self.said_at + ours);
            let give_up_at = self.beat.theirs.map(|theirs| self.heard_at + theirs);
            tokio::select! {
                read = self.link.read(&mut self.incoming) => {
                    if read.map_err(lost)? == 0 {
                        return Err(Failure::runtime("the broker closed the connection"));
                    }
                    self.heard_at = Instant::now();
                    return Ok(());
                }
                () = until(give_up_at) => {
                    return Err(Failure::runtime("the broker fell silent; the connection is given up"));
                }
                () = until(speak_at) => self.outgoing.extend_from_slice(self.beat.bytes),
            }
        }
    }

    /// Sends what is to be sent.
    ///
    /// # Errors
    ///
    /// Trouble with the network.
    pub(crate) async fn flush(&mut self) -> io::Result<()> {
        if !self.outgoing.is_empty() {
            self.said_at = Instant::now();
        }
        self.link.write(&mut self.outgoing).await
    }

    /// Sends the rest and hangs up; waits until the broker has hung up too, for at most a second.
    pub(crate) async fn close(mut self) {
        let farewell = async {
            // The connection is over either way.
            let _ = self.flush().await;
            match &mut self.link {
                Link::WebSocket(websocket) => websocket.close().await,
                Link::Tcp(stream) => {
                    let _ = stream.shutdown().await;
                    while matches!(stream.read_buf(&mut self.incoming).await, Ok(1..)) {
                        self.incoming.clear();
                    }
                }
            }
        };
        let _ = timeout(FAREWELL_MAX, farewell).await;
    }
}

impl Link {
    async fn read(&mut self, buf: &mut BytesMut) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => {
                buf.reserve(READ_BYTES);
                stream.read_buf(buf).await
            }
            Self::WebSocket(websocket) => websocket.read(buf).await,
        }
    }

    async fn write(&mut self, bytes: &mut BytesMut) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => {
                while !bytes.is_empty() {
                    stream.write_buf(bytes).await?;
                }
                stream.flush().await
            }
            Self::WebSocket(websocket) => websocket.write(bytes).await,
        }
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

fn lost(error: io::Error) -> Failure {
    Failure::runtime(format!("the connection was lost: {error}"))
}

const READ_BYTES: usize = 16 * 1024;
const FAREWELL_MAX: Duration = Duration::from_secs(1);
