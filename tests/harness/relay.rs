//! Relay: what a Spring server says to its broker, frame by frame, on behalf of its web clients.
//!
//! Its `StompBrokerRelayMessageHandler` keeps one connection of its own, by which the application speaks, and one for each web
//! client, on which it hands on what the client says, with other credentials and with `/user/…` resolved to a queue of the
//! session's own.

use std::io::{self, Error};
use std::net::SocketAddr;
use std::time::Duration;

use crate::socket::Next;
use crate::stomp::{Client, Frame};
use crate::wait::SOON;

/// A Spring server, as its broker sees it.
#[derive(Debug)]
pub struct Relay {
    broker: SocketAddr,
    /// Its own connection.
    pub system: Client,
    /// What the broker said to its CONNECT.
    pub connected: Frame,
}

impl Relay {
    /// Connects, and subscribes to what servers tell each other about users.
    ///
    /// # Errors
    ///
    /// If the broker does not let it in.
    pub fn start(broker: SocketAddr) -> io::Result<Self> {
        // No host: only a configured virtual host is sent.
        let connect = Frame::new("CONNECT")
            .with("accept-version", "1.1,1.2")
            .with("login", "guest")
            .with("passcode", "guest")
            .with("heart-beat", "10000,10000");
        let (mut system, connected) = enter(broker, &connect)?;
        let subscribe = Frame::new("SUBSCRIBE").with("id", "0").with("destination", UNRESOLVED);
        answered(&mut system, subscribe, "0")?;
        Ok(Self { broker, system, connected })
    }

    /// A web client comes in with these headers in its CONNECT; `session` is what Spring calls its WebSocket.
    ///
    /// # Errors
    ///
    /// If the broker does not let it in.
    pub fn join(&self, session: &str, headers: &[(&str, &str)]) -> io::Result<WebClient> {
        let mut connect = Frame::new("CONNECT");
        for (name, value) in headers.iter().filter(|(name, _)| !["login", "passcode"].contains(name)) {
            connect = connect.with(name, value);
        }
        let connect = connect.with("login", "guest").with("passcode", "guest");
        let (client, connected) = enter(self.broker, &connect)?;
        Ok(WebClient { session: session.to_owned(), client, connected })
    }

    /// The application says something, as `convertAndSend` does.
    ///
    /// # Errors
    ///
    /// If the broker is gone.
    pub fn send(&mut self, destination: &str, body: &str) -> io::Result<()> {
        self.system.send(&said(destination, body))
    }

    /// The application says something to one user's session, as `convertAndSendToUser` does.
    ///
    /// # Errors
    ///
    /// If the broker is gone.
    pub fn send_to_user(&mut self, session: &str, destination: &str, body: &str) -> io::Result<()> {
        let frame = Frame::new("SEND").with("destination", &translated(destination, session));
        let frame = frame.with("content-type", "application/json").with("simpOrigDestination", destination);
        self.system.send(&frame.body(body.as_bytes()))
    }
}

/// A web client, as the broker sees it: a connection of the relay.
#[derive(Debug)]
pub struct WebClient {
    session: String,
    /// The relay's connection for it.
    pub client: Client,
    /// What the broker said to its CONNECT.
    pub connected: Frame,
}

impl WebClient {
    /// Subscribes, and waits for the RECEIPT, before which Spring sends nothing there.
    ///
    /// # Errors
    ///
    /// If it does not come.
    pub fn subscribe(&mut self, id: &str, destination: &str) -> io::Result<()> {
        let destination = translated(destination, &self.session);
        let subscribe = Frame::new("SUBSCRIBE").with("id", id).with("destination", &destination);
        answered(&mut self.client, subscribe, &format!("sub-{id}"))
    }

    /// Says something by its own connection.
    ///
    /// # Errors
    ///
    /// If the broker is gone.
    pub fn send(&mut self, destination: &str, body: &str) -> io::Result<()> {
        self.client.send(&said(destination, body))
    }

    /// The next MESSAGE: the destination that the client is shown, and the body.
    ///
    /// # Errors
    ///
    /// If something else comes, or nothing.
    pub fn hear(&mut self) -> io::Result<(String, String)> {
        let message = self.client.expect("MESSAGE")?;
        let shown = message.header("simpOrigDestination").or(message.header("destination"));
        Ok((shown.unwrap_or_default().to_owned(), message.text()))
    }

    /// Leaves as a client does that asks for a receipt: the relay keeps the connection until the RECEIPT has come and the
    /// broker has closed.
    ///
    /// # Errors
    ///
    /// If something else comes before, or the broker does not close.
    pub fn leave(mut self) -> io::Result<()> {
        answered(&mut self.client, Frame::new("DISCONNECT"), "bye")?;
        if self.client.closes(SOON)? { Ok(()) } else { Err(Error::other("the broker stays")) }
    }

    /// Its WebSocket is gone: the relay says DISCONNECT and closes at once.
    ///
    /// # Errors
    ///
    /// If the broker is gone before.
    pub fn vanish(mut self) -> io::Result<()> {
        self.client.send(&Frame::new("DISCONNECT"))
    }

    /// Whether nothing comes for so long.
    ///
    /// # Errors
    ///
    /// If what comes is no frame.
    pub fn hears_nothing(&mut self, within: Duration) -> io::Result<bool> {
        Ok(self.client.next(within)? == Next::Silence)
    }
}

fn enter(broker: SocketAddr, connect: &Frame) -> io::Result<(Client, Frame)> {
    let mut client = Client::dial(broker)?;
    client.send(connect)?;
    let connected = client.expect("CONNECTED")?;
    Ok((client, connected))
}

/// Sends it with a receipt, which must come next.
fn answered(client: &mut Client, frame: Frame, receipt: &str) -> io::Result<()> {
    client.send(&frame.with("receipt", receipt))?;
    let answer = client.expect("RECEIPT")?;
    if answer.header("receipt-id") == Some(receipt) {
        return Ok(());
    }
    Err(Error::other(format!("{answer:?} is not the receipt {receipt}")))
}

/// What Spring always sends with a message.
fn said(destination: &str, body: &str) -> Frame {
    let frame = Frame::new("SEND").with("destination", destination).with("content-type", "application/json");
    frame.body(body.as_bytes())
}

/// `/user/queue/x` is the session's own queue (`DefaultUserDestinationResolver`); all else stays as it is.
fn translated(destination: &str, session: &str) -> String {
    match destination.strip_prefix("/user") {
        Some(rest) => format!("{rest}-user{session}"),
        None => destination.to_owned(),
    }
}

/// Where servers ask each other for users that they do not know.
const UNRESOLVED: &str = "/topic/unresolved-user";
