//! Who is that? CONNECT, from the question to the answer.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use model::access::{AccessControl, Exchange, Step};
use model::durability::Durability;
use model::event::{Ending, Event, Opened};
use model::name::{ClientId, ConsumerId, PublisherName, VhostName};
use model::principal::{Credentials, Permissions, Principal};
use model::refusal::Refusal;
use model::request::{Identity, Open, Proceed, Will};
use model::rights::Action;
use model::time::WallMs;

use super::{Answered, Link, Member, Renewal, Shown, State, Turn};
use crate::attached::Consumers;
use crate::client::Present;
use crate::clock;
use crate::crowd::{Place, Seat};
use crate::inquiry::Entrance;
use crate::presence::Cause;
use crate::publish::{Publisher, Remembered};
use crate::registry::{Arrived, Arriving};
use crate::users::Own;
use crate::{rights, wills};

impl Link {
    pub(super) fn admit(&mut self, mut open: Box<Open>) {
        let State::New(shown) = &mut self.state else { return };
        let Shown { handshake, certificate, vhost } = shown.take().map(|shown| *shown).unwrap_or_default();
        self.choose(&mut open, vhost.as_ref(), certificate.as_deref());
        open.credentials.handshake = handshake;
        open.credentials.certificate = certificate;
        let access = Arc::clone(&self.core.access);
        self.judged_by = access.generation();
        let entrance = self.entrance(&mut open);
        self.state = State::Admitting(Box::pin(async move {
            let answered = ask(&*access, &open.credentials).await;
            pass(entrance, open, answered).await
        }));
    }

    /// The client said more.
    pub(super) fn proceed(&mut self, proceed: Proceed, turn: &mut Turn<'_>) {
        match std::mem::replace(&mut self.state, State::Out) {
            State::Challenged(mut open, exchange) => {
                let entrance = self.entrance(&mut open);
                self.state = State::Admitting(Box::pin(async move {
                    let answered = step(exchange, proceed.data).await;
                    pass(entrance, open, answered).await
                }));
            }
            State::In(mut member) => {
                member.renewal = match member.renewal {
                    Renewal::Challenged(exchange) => {
                        Renewal::Asking(Box::pin(async move { ((), step(exchange, proceed.data).await) }))
                    }
                    other @ (Renewal::Idle | Renewal::Asking(_)) => other,
                };
                self.state = State::In(member);
                self.look(turn);
            }
            other @ (State::New(_) | State::Admitting(_) | State::Out) => self.state = other,
        }
    }

    /// Where there is a hook, it is asked before anybody is let in. It is told by what name the client goes.
    fn entrance(&self, open: &mut Open) -> Option<Entrance> {
        let inquiry = self.inquiry.as_ref()?;
        if let Identity::Session { client, .. } = &mut open.identity {
            client.get_or_insert_with(|| self.made_up());
        }
        let chosen = self.is_placed.then_some(&self.core.name);
        Some(inquiry.entrance(chosen, open.credentials.handshake.clone()))
    }

    /// A client that is in shows anew who it is. Meanwhile all goes on as before.
    pub(super) fn reauthenticate(&mut self, credentials: Box<Credentials>, turn: &mut Turn<'_>) {
        let State::In(member) = &mut self.state else { return };
        let access = Arc::clone(&self.core.access);
        self.judged_by = access.generation();
        member.renewal = Renewal::Asking(Box::pin(async move { ((), ask(&*access, &credentials).await) }));
        self.look(turn);
    }

    /// Most answers are there at once: a connection that is busy need not come to rest first. Others are waited for as ever.
    fn look(&mut self, turn: &mut Turn<'_>) {
        self.poll_admission(&mut Context::from_waker(Waker::noop()), turn.events);
    }

    pub(super) fn poll_admission(&mut self, cx: &mut Context<'_>, events: &mut Vec<Event>) {
        match &mut self.state {
            State::Admitting(asking) => {
                let Poll::Ready((open, answered)) = asking.as_mut().poll(cx) else { return };
                self.answered(open, answered, events);
            }
            State::In(member) => {
                let Renewal::Asking(asking) = &mut member.renewal else { return };
                let Poll::Ready(((), answered)) = asking.as_mut().poll(cx) else { return };
                let event = member.renewed(answered, &self.core.name);
                let is_renewed = matches!(event, Event::Reauthenticated(_));
                if matches!(event, Event::Refused(_)) {
                    self.core.parts.metrics.auth_refused.increment();
                }
                let ending = member.ending().filter(|_| matches!(event, Event::Reauthenticated(_)));
                events.push(event);
                events.extend(ending);
                if is_renewed {
                    // By a newer token it may do something else than before.
                    self.revise(events);
                }
            }
            State::New(_) | State::Challenged(..) | State::Out => {}
        }
    }

    fn answered(&mut self, open: Box<Open>, answered: Answered, events: &mut Vec<Event>) {
        self.state = State::Out;
        let mut turn = Turn::new(events);
        if let (Some(inquiry), Some(caller)) = (&mut self.inquiry, answered.caller) {
            inquiry.meet(caller);
        }
        let entered = match (answered.verdict, answered.exchange) {
            (Ok(Step::Proven { principal, permissions, data }), _) => {
                let name = remembered_as(&principal, &open.credentials);
                self.enter(
                    *open,
                    Known { principal, permissions, name, proof: data, seat: None, place: None },
                    &mut turn,
                )
            }
            (Ok(Step::Challenge(data)), Some(exchange)) => {
                self.state = State::Challenged(open, exchange);
                turn.events.push(Event::Challenged(data));
                Ok(())
            }
            (Ok(Step::Challenge(_)), None) => Err(UNASKED),
            (Err(refusal), _) => Err(refusal),
        };
        if let Err(refusal) = entered {
            self.core.parts.metrics.auth_refused.increment();
            self.count_failure(&refusal, turn.now());
            self.client.note_denied(&self.core.parts, &refusal, turn.now());
            turn.events.push(Event::Refused(refusal));
        } else if let State::In(member) = &self.state
            && let Some(ending) = member.ending()
        {
            // Opened may still wait for the disk.
            self.answer(ending, &mut turn);
        }
        turn.wakes.flush();
    }

    fn enter(&mut self, open: Open, mut known: Known, turn: &mut Turn<'_>) -> Result<(), Refusal> {
        let client = match &open.identity {
            Identity::Session { client, .. } => client.as_ref(),
            Identity::Connection => open.credentials.client.as_ref(),
        };
        self.confine(open.vhost.as_deref(), client, &known.principal, &mut known.permissions)?;
        let parts = Arc::clone(&self.core.parts);
        if self.core.is_stopping() {
            return Err(Refusal::ShuttingDown);
        }
        if self.core.pressure.now().refuse() {
            return Err(Refusal::Busy("memory is short ([limits] memory_refuse); try again later"));
        }
        // MQTT 3.x has no acknowledgement that says no.
        self.says_no = !open.version.starts_with('3');
        // It was not to be had: told to those only who have shown who they are.
        if let Some(name) = open.vhost {
            return Err(Refusal::NoVhost(name));
        }
        tracing::debug!(
            link = self.id,
            vhost = %self.core.name,
            user = known.principal.user.as_ref().map(tracing::field::display),
            "link.admitted"
        );
        self.core.check_bans(client, known.principal.user.as_ref(), turn.now())?;
        if self.is_behind_the_rules() {
            let revised = self.core.access.revise(&known.principal, client, Some(&known.permissions))?;
            known.permissions = revised.unwrap_or(known.permissions);
        }
        rights::connect(&known.permissions)?;
        let replaces = self.replaces(&open.identity, &known.principal);
        let place = parts.vhost.room.enter(replaces);
        known.place = Some(place.inspect_err(|_| parts.metrics.refused_per_vhost.increment())?);
        known.seat = self.seat(&known.principal, replaces)?;
        match open.identity {
            Identity::Connection => {
                let connection = self.client.connection;
                let opened = Opened {
                    client: None,
                    session_present: false,
                    unreleased: Vec::new(),
                    connection: connection.to_string(),
                    user: known.principal.user.clone(),
                    proof: known.proof,
                };
                self.settle_down(Member {
                    own: Own::new(connection, known.principal.user.clone()),
                    publisher: Publisher::new(
                        Some(self.id),
                        None,
                        known.principal.user.clone(),
                        known.name,
                        known.permissions,
                    )
                    .calling(open.credentials.client.clone()),
                    principal: known.principal,
                    renewal: Renewal::Idle,
                    session: None,
                    consumers: Consumers::default(),
                    _seat: known.seat,
                    _place: known.place,
                    narrows: false,
                    is_revoked: false,
                });
                self.arrive(None, turn);
                turn.events.push(Event::Opened(Box::new(opened)));
                Ok(())
            }
            Identity::Session { client, clean_start, expiry_s } => {
                let client = client.unwrap_or_else(|| self.made_up());
                self.resume(client, clean_start, expiry_s, open.will, known, turn)
            }
        }
    }

    /// Whoever guesses passwords is kept out after a while.
    fn count_failure(&self, refusal: &Refusal, now: WallMs) {
        let is_guess =
            matches!(refusal, Refusal::BadCredentials(_) | Refusal::NotProven(_) | Refusal::BadToken(_));
        let address = self.client.address.filter(|_| is_guess);
        let home = self.core.home();
        let ban = address.and_then(|peer| home.bans.failed(&home.parts, peer.ip(), now));
        if let Some(ban) = ban {
            self.core.kick_everywhere(&ban.subject);
        }
    }

    /// A place among the connections of its user, where they have a limit. Who comes back to a session that has a connection
    /// takes the place of that.
    fn seat(&self, principal: &Principal, replaces: bool) -> Result<Option<Box<Seat>>, Refusal> {
        let (Some(crowd), Some(user)) = (&self.core.crowd, &principal.user) else { return Ok(None) };
        let seat = crowd.enter(user, replaces);
        seat.map(Some).inspect_err(|_| self.core.parts.metrics.refused_per_user.increment())
    }

    /// Whether it comes back to a session that has a connection.
    fn replaces(&self, identity: &Identity, principal: &Principal) -> bool {
        match identity {
            Identity::Session { client: Some(client), .. } => {
                self.core.registry.is_connected(client, principal)
            }
            Identity::Session { client: None, .. } | Identity::Connection => false,
        }
    }

    fn resume(
        &mut self,
        client: ClientId,
        clean_start: bool,
        expiry_s: u32,
        will: Option<Box<Will>>,
        known: Known,
        turn: &mut Turn<'_>,
    ) -> Result<(), Refusal> {
        let parts = Arc::clone(&self.core.parts);
        let will = will
            .map(|will| wills::keep(&parts, Some(client.clone()), &known.permissions, *will))
            .transpose()?;
        let (core, mailbox, name) = (Arc::clone(&self.core), Arc::clone(&self.mailbox), client.clone());
        let (link, mailbox) = (self.id, &mailbox);
        let principal = known.principal.clone();
        let client_id = client.clone();
        let permissions = known.permissions.clone();
        let arriving = Arriving {
            client: client_id,
            principal: &principal,
            permissions: &permissions,
            clean_start,
            expiry_s,
            will,
            link,
            mailbox,
        };
        let events = &mut *turn.events;
        let settle_in = |arrived| self.settle_in(client, known, arrived, events);
        let taken_over = core.registry.open(&parts, arriving, &mut turn.wakes, settle_in)?;
        let before = taken_over.and_then(|link| core.links().get(&link).map(Arc::clone));
        if let Some(before) = before
            && let Some(present) = before.leave()
        {
            // The old end is told before the new beginning.
            let why = (Cause::Takeover, "another connection took the session over");
            core.presence.disconnected(&parts, &before, &present, why, &mut turn.wakes);
        }
        self.arrive(Some(name), turn);
        Ok(())
    }

    /// The client is in: others may know.
    fn arrive(&self, client: Option<ClientId>, turn: &mut Turn<'_>) {
        let State::In(member) = &self.state else { return };
        let flapping =
            client.as_ref().and_then(|client| self.core.bans.arrived(&self.core.parts, client, turn.now()));
        let (user, session) = (member.principal.user.clone(), member.own.session());
        let listening = Default::default();
        self.client.enter(Present { user, client, session, since: turn.now(), listening });
        self.core.presence.connected(&self.core.parts, &self.client, &mut turn.wakes);
        if let Some(ban) = flapping {
            self.core.kick_everywhere(&ban.subject);
        }
    }

    fn settle_in(&mut self, client: ClientId, known: Known, arrived: Arrived, events: &mut Vec<Event>) {
        let parts = Arc::clone(&self.core.parts);
        let Arrived { session, name, consumer, present, unreleased, mut aftermath } = arrived;
        let opened = Opened {
            client: Some(client.clone()),
            session_present: present,
            unreleased,
            connection: name.to_string(),
            user: known.principal.user.clone(),
            proof: known.proof,
        };
        // What waits may have been subscribed to under other rules.
        let narrows = present && known.permissions.restrict(Action::Subscribe);
        self.settle_down(Member {
            own: Own::new(name, known.principal.user.clone()),
            publisher: Publisher::new(
                Some(self.id),
                Some(client),
                known.principal.user.clone(),
                known.name,
                known.permissions,
            ),
            principal: known.principal,
            renewal: Renewal::Idle,
            session: Some(session),
            consumers: Consumers::one(ConsumerId::SESSION, consumer),
            _seat: known.seat,
            _place: known.place,
            narrows,
            is_revoked: false,
        });
        if narrows {
            self.prune(events);
        }
        let opened = Event::Opened(Box::new(opened));
        let _retaining = wills::retaining(&parts, aftermath.will.as_ref());
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
        self.commit(aftermath.changeset, Durability::Disk, show, Some(opened));
    }

    /// An id for a client that has none: nobody else can guess it.
    fn made_up(&self) -> ClientId {
        let number = RandomState::new().hash_one(self.id);
        ClientId::new(&format!("duet-{number:016x}-{}", self.id))
    }
}

/// Whoever has shown who he is.
struct Known {
    principal: Principal,
    permissions: Permissions,
    /// As whom his publications are remembered.
    name: Remembered,
    /// What he is told at the end of it.
    proof: Option<Bytes>,
    /// His place, where there is a limit.
    seat: Option<Box<Seat>>,
    /// His place in the vhost.
    place: Option<Place>,
}

/// Under which name the ids of a client's publications are remembered: its user's; of a client without one, what it calls
/// itself. All the others share one.
fn remembered_as(principal: &Principal, credentials: &Credentials) -> Remembered {
    match (&principal.user, &credentials.client) {
        (Some(user), _) => Remembered::User(user.clone()),
        (None, Some(client)) => Remembered::Client(client.clone()),
        (None, None) => Remembered::As(PublisherName::ANONYMOUS),
    }
}

impl Member {
    /// Nothing but what it may do changes: as somebody else one comes in by another connection.
    fn renewed(&mut self, answered: Answered, vhost: &VhostName) -> Event {
        self.renewal = Renewal::Idle;
        match (answered.verdict, answered.exchange) {
            (Ok(Step::Proven { principal, .. }), _) if principal != self.principal => {
                Event::Refused(OTHER_USER)
            }
            (Ok(Step::Proven { permissions, data, .. }), _) => {
                if let Err(refusal) = Refusal::unless_elsewhere(&permissions, vhost) {
                    return Event::Refused(refusal);
                }
                // What is older and still good shortens nothing.
                let terms = [self.publisher.permissions.term(), permissions.term()];
                let longest = terms.into_iter().flatten().max_by_key(|term| term.until);
                self.publisher.permissions = match longest {
                    Some(term) => permissions.for_term(term),
                    None => permissions,
                };
                Event::Reauthenticated(data)
            }
            (Ok(Step::Challenge(data)), Some(exchange)) => {
                self.renewal = Renewal::Challenged(exchange);
                Event::Challenged(data)
            }
            (Ok(Step::Challenge(_)), None) => Event::Refused(UNASKED),
            (Err(refusal), _) => Event::Refused(refusal),
        }
    }

    /// The end of what it may do, for its session, which has a clock of its own.
    fn ending(&self) -> Option<Event> {
        let term = self.publisher.permissions.term()?;
        let until = clock::instant().checked_add(term.until.since(clock::wall_now()))?;
        Some(Event::Expires(Ending { at: term.expires_at, until }))
    }
}

/// The first question: a password, or the first step of an exchange.
async fn ask(access: &dyn AccessControl, credentials: &Credentials) -> Answered {
    let Some(proof) = &credentials.proof else {
        let admitted = access.admit(credentials).await;
        let proven = |(principal, permissions)| Step::Proven { principal, permissions, data: None };
        return Answered { verdict: admitted.map(proven), exchange: None, caller: None };
    };
    match access.begin(&proof.method, credentials) {
        Ok(exchange) => step(exchange, proof.data.clone()).await,
        Err(refusal) => Answered { verdict: Err(refusal), exchange: None, caller: None },
    }
}

async fn step(mut exchange: Box<dyn Exchange>, data: Option<Bytes>) -> Answered {
    let verdict = exchange.step(data.as_deref()).await;
    Answered { verdict, exchange: Some(exchange), caller: None }
}

/// Past the hook, once the client has shown who it is.
async fn pass(
    entrance: Option<Entrance>,
    mut open: Box<Open>,
    mut answered: Answered,
) -> (Box<Open>, Answered) {
    if let (Some(entrance), Ok(Step::Proven { principal, permissions, .. })) = (entrance, &answered.verdict) {
        match entrance.pass(&mut open, principal, permissions).await {
            Ok(caller) => answered.caller = Some(caller),
            Err(refusal) => answered.verdict = Err(refusal),
        }
    }
    (open, answered)
}

const OTHER_USER: Refusal = Refusal::NotProven("as another user than before; connect anew for that");
const UNASKED: Refusal = Refusal::NotProven("nothing was to be asked");
