//! A client as others see it: who it is, where it comes from, what it listens to

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytestring::ByteString;
use model::ban::{Subject, network};
use model::hook::Caller;
use model::key::KeyPattern;
use model::name::{ClientId, ConsumerId, ExchangeName, QueueName, ShareName, UserName, VhostName};
use model::personal;
use model::principal::Handshake;
use model::qos::Qos;
use model::refusal::Refusal;
use model::request::{Subscription, Target};
use model::time::WallMs;
use serde::Serialize;

use crate::mailbox::Mailbox;
use crate::numbers::SessionName;
use crate::parts::Parts;

/// A connection, before anyone knows who it is.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// Where it comes from; `None` for a socket of this machine that has no address.
    pub address: Option<SocketAddr>,
    /// What it speaks, for logs, metrics and views; behind a `-` what carries it, if that is not plain TCP: `mqtt`, `mqtt-tls`, `stomp-ws`.
    pub protocol: &'static str,
    /// The listener it came in by.
    pub listener: Arc<str>,
    /// The HTTP request that it began with, for those who decide about it; let go once that is done.
    pub handshake: Option<Arc<Handshake>>,
    /// As whom the certificate names it that it showed by TLS; let go as well.
    pub certificate: Option<ByteString>,
}

/// One connection. Its link tells it what happens; others look.
pub(crate) struct Client {
    pub(crate) link: u64,
    /// Names the connection, among all of all lives of the broker.
    pub(crate) connection: SessionName,
    /// As it arrived.
    pub(crate) address: Option<SocketAddr>,
    protocol: &'static str,
    listener: Arc<str>,
    pub(crate) mailbox: Arc<Mailbox>,
    state: Mutex<State>,
}

/// How far it came.
#[derive(Default)]
enum State {
    /// Nobody knows who it is.
    #[default]
    New,
    /// In.
    Present(Present),
    /// It was in, and that it left has been told.
    Gone,
}

/// A client that is in.
#[derive(Debug, Clone)]
pub(crate) struct Present {
    pub(crate) user: Option<UserName>,
    /// `None` for a client without a session of its own (STOMP).
    pub(crate) client: Option<ClientId>,
    /// What its session is called.
    pub(crate) session: SessionName,
    pub(crate) since: WallMs,
    /// What consumers of its own take from. What the session's queue is bound to is not here: the router has it.
    pub(crate) listening: BTreeMap<ConsumerId, Listening>,
}

/// A subscription, as others see it.
#[derive(Debug, Clone)]
pub(crate) struct Listening {
    /// The exchange and the keys, as they were asked for; `None`: a queue, as it is.
    pub(crate) source: Option<(ExchangeName, KeyPattern)>,
    pub(crate) share: Option<ShareName>,
    /// The queue, where it has a name that the client knows.
    pub(crate) queue: Option<QueueName>,
    pub(crate) qos: Qos,
}

/// Who a connection is, for programs that read it.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct About {
    /// What `/session/…` and `$session/…` name: a session keeps it over connections.
    pub(crate) session: String,
    /// Another one for each connection.
    pub(crate) connection: String,
    /// The client id; `None` in STOMP.
    pub(crate) client: Option<String>,
    /// `None` for an anonymous client.
    pub(crate) user: Option<String>,
    /// `mqtt` or `stomp`.
    pub(crate) protocol: &'static str,
    /// What carries it: `tcp`, `ws`, `sockjs`.
    pub(crate) transport: &'static str,
    /// The listener it came in by.
    pub(crate) listener: String,
    /// Where it comes from.
    pub(crate) peer: Option<SocketAddr>,
    /// Milliseconds since 1970.
    pub(crate) connected_at_ms: u64,
}

impl Client {
    pub(crate) fn new(
        link: u64,
        connection: SessionName,
        arrival: Arrival,
        mailbox: Arc<Mailbox>,
    ) -> Arc<Self> {
        // What it showed is none of this: that is let go once somebody has decided.
        let Arrival { address, protocol, listener, .. } = arrival;
        Arc::new(Self { link, connection, address, protocol, listener, mailbox, state: Mutex::default() })
    }

    /// It was let in.
    pub(crate) fn enter(&self, present: Present) {
        *self.lock() = State::Present(present);
    }

    /// It left. Who it was, for the first one who says so, and for nobody else.
    pub(crate) fn leave(&self) -> Option<Present> {
        let mut state = self.lock();
        match std::mem::replace(&mut *state, State::Gone) {
            State::Present(present) => Some(present),
            State::New | State::Gone => None,
        }
    }

    /// Calls `look` with the client as it is, if it is in.
    pub(crate) fn with<T>(&self, look: impl FnOnce(&mut Present) -> T) -> Option<T> {
        match &mut *self.lock() {
            State::Present(present) => Some(look(present)),
            State::New | State::Gone => None,
        }
    }

    /// Whether that is who it is, as far as it is known.
    pub(crate) fn is(&self, subject: &Subject) -> bool {
        match subject {
            Subject::Ip(address) => self.address.is_some_and(|peer| network(peer.ip()) == *address),
            Subject::Client(client) => {
                self.with(|present| present.client.as_ref() == Some(client)).unwrap_or_default()
            }
            Subject::User(user) => {
                self.with(|present| present.user.as_ref() == Some(user)).unwrap_or_default()
            }
        }
    }

    /// As a hook is told of it, before anybody knows who it is.
    pub(crate) fn to_caller(&self) -> Caller {
        Caller {
            connection: self.connection.to_string().into(),
            client: None,
            user: None,
            protocol: self.protocol,
            version: "",
            listener: Arc::clone(&self.listener),
            vhost: VhostName::DEFAULT,
            address: self.address,
            attributes: Vec::new(),
        }
    }

    /// The client as `present` says it is.
    pub(crate) fn about(&self, present: &Present) -> About {
        let (protocol, transport) = self.protocol();
        About {
            session: present.session.to_string(),
            connection: self.connection.to_string(),
            client: present.client.as_ref().map(ToString::to_string),
            user: present.user.as_ref().map(ToString::to_string),
            protocol,
            transport,
            listener: self.listener.to_string(),
            peer: self.address,
            connected_at_ms: present.since.0,
        }
    }

    /// A rule has denied it something: it is counted, and told now and then.
    pub(crate) fn note_denied(&self, parts: &Parts, refusal: &Refusal, now: WallMs) {
        let Refusal::Forbidden { rule, .. } = refusal else { return };
        parts.metrics.access_denied.increment();
        if !parts.vhost.may_tell_denied(now) {
            return;
        }
        let (user, client) =
            self.with(|present| (present.user.clone(), present.client.clone())).unwrap_or_default();
        let (user, client) =
            (user.as_ref().map(tracing::field::display), client.as_ref().map(tracing::field::display));
        let address = self.address.map(tracing::field::display);
        tracing::warn!(client, user, address, %rule, reason = %refusal, "access.denied");
    }

    /// `mqtt` and `tcp`; `stomp` and `ws`.
    pub(crate) fn protocol(&self) -> (&'static str, &'static str) {
        self.protocol.split_once('-').unwrap_or((self.protocol, "tcp"))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Listening {
    /// What `subscription` asks for.
    pub(crate) fn of(subscription: &Subscription) -> Self {
        let source = subscription.source.as_ref();
        let queue = match &subscription.queue {
            Target::Session | Target::Private => None,
            Target::Declare(declaration) => Some(declaration.options.name.clone()),
            Target::Existing(name) => Some(name.clone()),
            // Whoever knows the rest of its name may answer in place of others.
            Target::Replies(_) => Some(QueueName::new(QueueName::FOR_REPLIES)),
        };
        Self {
            source: source.map(|source| (source.exchange.clone(), source.pattern.clone())),
            share: source.and_then(|source| source.share.clone()),
            queue,
            qos: source.map_or(Qos::ExactlyOnce, |source| source.grant.qos),
        }
    }

    /// As MQTT writes it, for both protocols: `chat/+`, `$queue/jobs`, `$user/queue/x`, `$exchange/x/k`.
    pub(crate) fn destination(&self) -> String {
        let share = self.share.as_ref().map(|share| format!("$share/{share}/")).unwrap_or_default();
        match (&self.source, &self.queue) {
            (Some((exchange, pattern)), _) => format!("{share}{}", spelled(exchange, &pattern.to_string())),
            (None, Some(queue)) => format!("$queue/{queue}"),
            (None, None) => String::new(),
        }
    }
}

/// A key, or a pattern, of an exchange, as MQTT writes it.
pub(crate) fn spelled(exchange: &ExchangeName, text: &str) -> String {
    match exchange.as_str() {
        "amq.topic" => text.to_owned(),
        "" => format!("$queue/{text}"),
        name if personal::is_personal(exchange) => format!("{name}/{text}"),
        name => format!("$exchange/{name}/{text}"),
    }
}
