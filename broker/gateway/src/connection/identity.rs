//! Whose connection it is, as far as it is known: for the log.

use std::sync::Arc;
use std::time::Instant;

use model::event::Event;
use model::name::{ClientId, UserName};
use model::outbox::{By, Hangup};
use model::request::Request;
use telemetry::Complaints;
use transport::peer::Peer;

/// Who is at the other end: known from the start, or learned from what the session asks and hears.
#[derive(Debug)]
pub(crate) struct Identity {
    id: u64,
    protocol: &'static str,
    listener: Arc<str>,
    complaints: Arc<Complaints>,
    standing: Standing,
    client: Option<ClientId>,
    user: Option<UserName>,
}

/// How far a client came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// It has not said who it is.
    Unknown,
    /// It has; whether it may enter is being looked up.
    Asking,
    /// It was asked to say more.
    Challenged,
    /// It was let in.
    In,
}

impl Identity {
    /// A connection that has not said anything: the number of its link, what it speaks and by which listener it came. Where it
    /// comes from its carrier knows.
    pub(crate) const fn new(
        id: u64,
        protocol: &'static str,
        listener: Arc<str>,
        complaints: Arc<Complaints>,
    ) -> Self {
        let standing = Standing::Unknown;
        Self { id, protocol, listener, complaints, standing, client: None, user: None }
    }

    /// Whether the client was let in.
    pub(crate) fn is_in(&self) -> bool {
        self.standing == Standing::In
    }

    /// Whether the client is being looked up.
    pub(crate) fn is_asking(&self) -> bool {
        self.standing == Standing::Asking
    }

    /// Overhears what the session asks.
    pub(crate) fn asks(&mut self, requests: &[Request]) {
        if matches!(self.standing, Standing::Asking | Standing::In) {
            return;
        }
        if let Some(Request::Proceed(_)) = requests.first() {
            self.standing = Standing::Asking;
        }
        if let Some(Request::Open(open)) = requests.first() {
            // Copies: what the client sent may lie in a read buffer.
            self.client = open.credentials.client.as_ref().map(|client| ClientId::new(client.as_str()));
            self.user = open.credentials.user.as_ref().map(|user| UserName::new(user));
            self.standing = Standing::Asking;
        }
    }

    /// Overhears what the session is told.
    pub(crate) fn hears(&mut self, event: &Event, peer: Peer) {
        if self.standing == Standing::In {
            return;
        }
        if let Event::Challenged(_) = event {
            self.standing = Standing::Challenged;
        }
        if let Event::Opened(opened) = event {
            // By now it is known who that is, whatever the client called itself.
            self.user = opened.user.clone().or(self.user.take());
            self.client = opened.client.clone().or(self.client.take());
            self.standing = Standing::In;
            tracing::info!(
                id = self.id,
                proto = self.protocol,
                peer = %peer.address,
                listener = &*self.listener,
                client = self.client(),
                user = self.user(),
                "conn.open"
            );
        }
    }

    /// The client publishes faster than it may.
    pub(crate) fn log_slowed(&self, peer: Peer) {
        if let Some(withheld) = self.complaints.may_complain(Instant::now()) {
            tracing::warn!(
                id = self.id,
                peer = %peer.address,
                client = self.client(),
                user = self.user(),
                withheld,
                "client.slowed: it publishes faster than limits.publish_rate and its like allow, and is read more slowly"
            );
        }
    }

    /// The client asked for more than it may have.
    pub(crate) fn log_limit(&self, limit: &'static str, peer: Peer) {
        if let Some(withheld) = self.complaints.may_complain(Instant::now()) {
            tracing::warn!(
                id = self.id,
                peer = %peer.address,
                client = self.client(),
                user = self.user(),
                limit,
                withheld,
                "client.limit"
            );
        }
    }

    /// The connection ended.
    pub(crate) fn log_end(&self, hangup: &Hangup, peer: Peer) {
        if self.is_in() {
            tracing::info!(
                id = self.id,
                proto = self.protocol,
                peer = %peer.address,
                listener = &*self.listener,
                client = self.client(),
                user = self.user(),
                reason = &*hangup.reason,
                by = by(hangup.by),
                "conn.close"
            );
        } else if hangup.by == By::Broker {
            if let Some(withheld) = self.complaints.may_complain(Instant::now()) {
                tracing::warn!(
                    id = self.id,
                    proto = self.protocol,
                    peer = %peer.address,
                    listener = &*self.listener,
                    client = self.client(),
                    user = self.user(),
                    reason = &*hangup.reason,
                    withheld,
                    "conn.refused"
                );
            }
        } else {
            tracing::debug!(
                id = self.id,
                proto = self.protocol,
                peer = %peer.address,
                listener = &*self.listener,
                reason = &*hangup.reason,
                by = by(hangup.by),
                "conn.close"
            );
        }
    }

    fn client(&self) -> Option<&str> {
        self.client.as_ref().map(ClientId::as_str)
    }

    fn user(&self) -> Option<&str> {
        self.user.as_ref().map(UserName::as_str)
    }
}

const fn by(by: By) -> &'static str {
    match by {
        By::Client => "client",
        By::Broker => "broker",
        By::Network => "network",
        By::Timeout => "timeout",
    }
}
