//! Who is that? CONNECT, from the question to the answer.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::task::{Context, Poll};

use model::event::{Event, Opened};
use model::name::{ClientId, ConsumerId, PublisherName};
use model::principal::{Credentials, Permissions, Principal};
use model::refusal::Refusal;
use model::request::{Identity, Open, Will};

use super::{Answered, Link, Member, State, Turn};
use crate::clock;
use crate::publish::Publisher;
use crate::registry::{Arrived, Arriving};
use crate::wills;

impl Link {
    pub(super) fn admit(&mut self, open: Open) {
        if !matches!(self.state, State::New) {
            return;
        }
        let access = Arc::clone(&self.core.access);
        self.state = State::Admitting(Box::pin(async move {
            let verdict = access.admit(&open.credentials).await;
            Answered { open, verdict }
        }));
    }

    pub(super) fn poll_admission(&mut self, cx: &mut Context<'_>, events: &mut Vec<Event>) {
        let State::Admitting(asking) = &mut self.state else { return };
        let Poll::Ready(Answered { open, verdict }) = asking.as_mut().poll(cx) else { return };
        self.state = State::Out;
        let mut turn = Turn { now: clock::wall_now(), events, wakes: Default::default() };
        let entered =
            verdict.and_then(|(principal, permissions)| self.enter(open, &principal, permissions, &mut turn));
        if let Err(refusal) = entered {
            self.core.parts.metrics.auth_refused.increment();
            turn.events.push(Event::Refused(refusal));
        }
        turn.wakes.flush();
    }

    fn enter(
        &mut self,
        open: Open,
        principal: &Principal,
        permissions: Permissions,
        turn: &mut Turn<'_>,
    ) -> Result<(), Refusal> {
        let parts = Arc::clone(&self.core.parts);
        if self.core.is_stopping() {
            return Err(Refusal::ShuttingDown);
        }
        if let Some(name) =
            open.vhost.filter(|name| name != "/" && !parts.vhost.options.host_names.contains(name))
        {
            return Err(Refusal::NoVhost(name));
        }
        tracing::debug!(
            link = self.id,
            user = principal.user.as_ref().map(tracing::field::display),
            "link.admitted"
        );
        let name = remembered_as(principal, &open.credentials);
        match open.identity {
            Identity::Connection => {
                self.state = State::In(Box::new(Member {
                    publisher: Publisher::new(None, name, permissions),
                    session: None,
                    consumers: Default::default(),
                }));
                let connection = parts.numbers.link_name(self.id);
                let opened =
                    Opened { client: None, session_present: false, unreleased: Vec::new(), connection };
                turn.events.push(Event::Opened(Box::new(opened)));
                Ok(())
            }
            Identity::Session { client, clean_start, expiry_s } => {
                let client = client.unwrap_or_else(|| self.made_up());
                let rights = Rights { name, permissions };
                self.resume(client, clean_start, expiry_s, open.will, rights, turn)
            }
        }
    }

    fn resume(
        &mut self,
        client: ClientId,
        clean_start: bool,
        expiry_s: u32,
        will: Option<Box<Will>>,
        rights: Rights,
        turn: &mut Turn<'_>,
    ) -> Result<(), Refusal> {
        let parts = Arc::clone(&self.core.parts);
        let will = will
            .map(|will| wills::keep(&parts, Some(client.clone()), &rights.permissions, *will))
            .transpose()?;
        let (core, mailbox) = (Arc::clone(&self.core), Arc::clone(&self.mailbox));
        let (link, mailbox) = (self.id, &mailbox);
        let arriving = Arriving { client: client.clone(), clean_start, expiry_s, will, link, mailbox };
        let events = &mut *turn.events;
        let settle_in = |arrived| self.settle_in(client, rights, arrived, events);
        core.registry.open(&parts, arriving, &mut turn.wakes, settle_in)
    }

    fn settle_in(&mut self, client: ClientId, rights: Rights, arrived: Arrived, events: &mut Vec<Event>) {
        let parts = Arc::clone(&self.core.parts);
        let Arrived { session, consumer, present, unreleased, mut aftermath } = arrived;
        let Rights { name, permissions } = rights;
        self.state = State::In(Box::new(Member {
            publisher: Publisher::new(Some(client.clone()), name, permissions),
            session: Some(session),
            consumers: [(ConsumerId::SESSION, consumer)].into(),
        }));
        let connection = parts.numbers.link_name(self.id);
        let opened = Opened { client: Some(client), session_present: present, unreleased, connection };
        let opened = Event::Opened(Box::new(opened));
        let _retaining = wills::retaining(&parts, aftermath.will.as_deref());
        let will = aftermath.will.and_then(|will| wills::plan(&parts, &will));
        if aftermath.changeset.is_empty() && will.is_none() {
            return events.push(opened);
        }
        if let Some(will) = &will {
            will.record(&parts, &mut aftermath.changeset);
        }
        let show = move |parts: &_, wakes: &mut _| {
            if let Some(will) = will {
                will.show(parts, wakes);
            }
        };
        self.commit(aftermath.changeset, show, Some(opened));
    }

    /// An id for a client that has none: nobody else can guess it.
    fn made_up(&self) -> ClientId {
        let number = RandomState::new().hash_one(self.id);
        ClientId::new(&format!("duet-{number:016x}-{}", self.id))
    }
}

/// What a client may do, and as whom.
struct Rights {
    name: PublisherName,
    permissions: Permissions,
}

/// Under which name the ids of a client's publications are remembered: its user's; of a client without one, what it calls
/// itself. All the others share one.
fn remembered_as(principal: &Principal, credentials: &Credentials) -> PublisherName {
    match (&principal.user, &credentials.client) {
        (Some(user), _) => PublisherName::new(&format!("user {user}")),
        (None, Some(client)) => PublisherName::new(&format!("client {client}")),
        (None, None) => PublisherName::known("anonymous"),
    }
}
