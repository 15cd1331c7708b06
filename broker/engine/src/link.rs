//! The broker's end of a connection.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytestring::ByteString;
use model::access::{Exchange, Step};
use model::change::{Change, Changeset};
use model::delivery::{Delivery, Outcome};
use model::durability::Durability;
use model::event::Event;
use model::hook::Caller;
use model::name::{ConsumerId, VhostName};
use model::outbox::{By, Hangup};
use model::principal::{Handshake, Principal};
use model::refusal::Refusal;
use model::request::{Close, Open, Request, Settle};
use model::time::WallMs;
use routing::{Owner, Queue, Taken, Wakes};
use smallvec::SmallVec;

use crate::attached::{Attached, Consumers};
use crate::client::Client;
use crate::clock;
use crate::core::Core;
use crate::crowd::{Place, Seat};
use crate::inquiry::Inquiry;
use crate::mailbox::{Mailbox, Note};
use crate::parked::Parked;
use crate::parts::Parts;
use crate::plan;
use crate::presence::Cause;
use crate::publish::Publisher;
use crate::registry::Session;
use crate::settle;
use crate::unfinished::Unfinished;
use crate::users::Own;
use crate::{replay, rights, subscribe, topology};

mod admission;
mod choice;
mod held;
mod hooked;
mod portions;
mod revision;
mod submit;
mod subscriptions;

/// The broker's end of one connection. Dropping it without a [`Request::Close`] means that the connection was lost: its
/// will is published, what it had not settled returns to its queues.
pub struct Link {
    id: u64,
    core: Arc<Core>,
    client: Arc<Client>,
    mailbox: Arc<Mailbox>,
    /// Whom the mailbox wakes: nearly always the same task, which need not be said again.
    waker: Option<Waker>,
    state: State,
    /// How the connection ended, once it did.
    ended: Option<Box<Hangup>>,
    /// Where there is a hook.
    inquiry: Option<Box<Inquiry>>,
    /// What waits while publishers are held.
    parked: Option<Box<Parked>>,
    /// What was too much for one turn.
    unfinished: Option<Box<Unfinished>>,
    /// Its protocol can say that a publish was not possible, and go on.
    says_no: bool,
    /// Its vhost was chosen before anybody knew who it is.
    is_placed: bool,
    /// Consumers that may have something.
    pending: Vec<ConsumerId>,
    /// Commits under way, each of which will leave a note. While there are any, answers queue up behind them.
    under_way: usize,
    /// How many commits there were.
    commits: u64,
    /// The number of the last commit that holds a message at QoS 0: until it is done, others of that kind stay behind it.
    deferred: u64,
    /// There may be more to take than was taken, after so much that is not for this client.
    looks_again: bool,
    /// Others were woken by what was asked, and nobody has looked at that yet.
    has_woken: bool,
    /// Removals that nobody waits for, gathered for one commit per turn.
    removals: Vec<Change>,
    /// Which state of the rules the client was judged by.
    judged_by: u64,
}

/// The question who this is, under way; `T` is what goes along with it.
type Asking<T> = Pin<Box<dyn Future<Output = (T, Answered)> + Send>>;

/// The question, answered.
struct Answered {
    verdict: Result<Step, Refusal>,
    /// As whom the hook knows whoever is in by that.
    caller: Option<Arc<Caller>>,
    /// Who asks on, where the client has to say more.
    exchange: Option<Box<dyn Exchange>>,
}

/// What a client showed by how it came, for whoever will be asked.
#[derive(Default)]
pub(crate) struct Shown {
    pub(crate) handshake: Option<Arc<Handshake>>,
    pub(crate) certificate: Option<ByteString>,
    /// The vhost of the listener it came in by, if that is for one alone.
    pub(crate) vhost: Option<VhostName>,
}

enum State {
    /// Nothing was asked yet. In a box, and hardly ever there: every link is as large as its largest state.
    New(Option<Box<Shown>>),
    /// Somebody is being asked who this is; with what the client asked for.
    Admitting(Asking<Box<Open>>),
    /// The client has to say more.
    Challenged(Box<Open>, Box<dyn Exchange>),
    /// In.
    In(Box<Member>),
    /// Out, or never in.
    Out,
}

/// A client that is in.
struct Member {
    principal: Principal,
    own: Own,
    publisher: Publisher,
    /// It shows anew who it is.
    renewal: Renewal,
    session: Option<Arc<Session>>,
    consumers: Consumers,
    /// Its place among the connections of its user, where they have a limit.
    _seat: Option<Box<Seat>>,
    /// Its place among the clients of its vhost.
    _place: Option<Place>,
    /// Whether what comes has to be held against what it may read, since not all of it may be for it.
    narrows: bool,
    /// It is not let in any more, and about to be told.
    is_revoked: bool,
}

/// How far a client that is in has come in showing anew who it is.
enum Renewal {
    /// It is not.
    Idle,
    /// Somebody is being asked.
    Asking(Asking<()>),
    /// The client has to say more.
    Challenged(Box<dyn Exchange>),
}

/// What the requests of one turn share.
struct Turn<'a> {
    /// When the first of them wanted to know that: many do not.
    now: Option<WallMs>,
    events: &'a mut Vec<Event>,
    wakes: Wakes,
}

impl<'a> Turn<'a> {
    fn new(events: &'a mut Vec<Event>) -> Self {
        Self { now: None, events, wakes: Wakes::default() }
    }

    fn now(&mut self) -> WallMs {
        *self.now.get_or_insert_with(clock::now)
    }
}

impl Link {
    pub(crate) fn new(client: Arc<Client>, core: Arc<Core>, shown: Shown) -> Self {
        let has_shown = shown.handshake.is_some() || shown.certificate.is_some();
        let inquiry = core.hook.as_ref().map(|hook| Inquiry::new(Arc::clone(hook), client.to_caller()));
        let metrics = &core.home().parts.metrics;
        metrics.connections_opened.increment();
        metrics.connections.increment();
        Self {
            id: client.link,
            core,
            mailbox: Arc::clone(&client.mailbox),
            client,
            waker: None,
            state: State::New(has_shown.then(|| Box::new(shown))),
            inquiry,
            parked: None,
            unfinished: None,
            says_no: false,
            is_placed: false,
            ended: None,
            pending: Vec::new(),
            under_way: 0,
            commits: 0,
            deferred: 0,
            looks_again: false,
            has_woken: false,
            removals: Vec::new(),
            judged_by: 0,
        }
    }

    /// It came in by a listener that is for that vhost alone. To be said before anything is asked.
    #[must_use]
    pub fn at(mut self, vhost: Option<&VhostName>) -> Self {
        if let (State::New(shown), Some(vhost)) = (&mut self.state, vhost) {
            shown.get_or_insert_default().vhost = Some(vhost.clone());
        }
        self
    }

    /// Its number: no other link of this start of the broker has it.
    pub const fn id(&self) -> u64 {
        self.id
    }

    /// Says how the connection ended, for whoever wants to know; dropping the link follows. Without it, the connection was
    /// lost.
    pub fn end(&mut self, hangup: &Hangup) {
        self.ended = Some(Box::new(hangup.clone()));
    }

    /// Hands over the requests of a turn, in order, and leaves `requests` empty. Never waits. Answers that are ready at
    /// once are appended to `events`, others come by [`Link::poll`]; so does what is too much for one turn
    /// ([`Link::is_unfinished`]).
    pub fn ask(&mut self, requests: &mut Vec<Request>, events: &mut Vec<Event>) {
        self.collect(events);
        let mut turn = Turn::new(events);
        // Whoever leaves may come again at once, and then this link does not speak for its session any more.
        let leaves = matches!(requests.last(), Some(Request::Close(_)));
        self.begin_some(requests.drain(..), leaves, &mut turn);
        // After the locks are gone, once for each link that has something now.
        self.end_turn(turn);
        self.collect(events);
    }

    fn handle(&mut self, request: Request, turn: &mut Turn<'_>) {
        match request {
            Request::Open(open) => self.admit(open),
            Request::Proceed(proceed) => self.proceed(proceed, turn),
            Request::Reauthenticate(credentials) => self.reauthenticate(credentials, turn),
            Request::Submit(mut submit) => self.submit_or_park(&mut submit, turn),
            Request::Release(release) => self.release(release, turn),
            Request::Subscribe(subscribe) => self.subscribe(*subscribe, Vec::new(), Vec::new(), turn),
            Request::Unsubscribe(unsubscribe) => self.unsubscribe(*unsubscribe, turn),
            Request::Close(close) => {
                self.commit_removals();
                self.leave(Some(close), &mut turn.wakes);
            }
        }
    }

    /// Ready when events arrived, which are appended, or when [`Link::take`] has something that it had not before.
    /// Registers the waker otherwise.
    pub fn poll(&mut self, cx: &mut Context<'_>, events: &mut Vec<Event>) -> Poll<()> {
        if !self.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            self.mailbox.readiness.register(cx.waker());
            self.waker = Some(cx.waker().clone());
        }
        self.poll_admission(cx, events);
        self.poll_inquiry(cx, events);
        self.poll_parked(events);
        let was_unfinished = self.poll_unfinished(events);
        let known = self.pending.len();
        self.mark_pending();
        self.collect(events);
        let looks_again = std::mem::take(&mut self.looks_again);
        if events.is_empty() && self.pending.len() == known && !looks_again && !was_unfinished {
            Poll::Pending
        } else {
            Poll::Ready(())
        }
    }

    /// Appends at most `max` deliveries.
    pub fn take(&mut self, max: usize, deliveries: &mut Vec<Delivery>) {
        self.mark_pending();
        if max == 0 || self.pending.is_empty() {
            return;
        }
        let mut taken = Taken::default();
        let known = deliveries.len();
        let end = known.saturating_add(max);
        // Once, unless some of them are not for this client: then there is room for others.
        for _ in 0..WITHHELD_ROUNDS_MAX {
            let before = deliveries.len();
            self.take_some(end - before, deliveries, &mut taken);
            if !self.withhold(before, deliveries) {
                self.count_taken(deliveries.get(known..).unwrap_or_default(), taken);
                return self.commit_removals();
            }
        }
        self.looks_again = true;
        self.count_taken(deliveries.get(known..).unwrap_or_default(), taken);
        self.commit_removals();
    }

    fn take_some(&mut self, max: usize, deliveries: &mut Vec<Delivery>, taken: &mut Taken) {
        self.mark_pending();
        let State::In(member) = &self.state else { return };
        if max == 0 || self.pending.is_empty() || member.is_revoked {
            return;
        }
        let now = clock::now();
        let mut turn = 0;
        let known = deliveries.len();
        let mut fed: SmallVec<[Arc<Queue>; 1]> = SmallVec::new();
        let mut absent: SmallVec<[Arc<Queue>; 1]> = SmallVec::new();
        // Lent by the caller: an idle link holds no list.
        std::mem::swap(deliveries, &mut taken.deliveries);
        let end = known.saturating_add(max);
        while let (Some(id), true) = (self.pending.get(turn), taken.deliveries.len() < end) {
            let left = end - taken.deliveries.len();
            let more = member.consumers.get(*id).is_some_and(|attached| {
                let more = attached.queue.take(attached.key, left, now, taken);
                if attached.queue.feed().is_open() {
                    fed.push(Arc::clone(&attached.queue));
                }
                if std::mem::take(&mut taken.absent) {
                    absent.push(Arc::clone(&attached.queue));
                }
                more
            });
            if more {
                turn += 1;
            } else {
                self.pending.swap_remove(turn);
            }
        }
        // Whoever was first this time is last the next time.
        if turn > 0 {
            self.pending.rotate_left(1);
        }
        std::mem::swap(deliveries, &mut taken.deliveries);
        for queue in absent {
            plan::fetch(&self.core.parts, &queue);
        }
        let mut wakes = Wakes::default();
        for queue in fed {
            replay::go_on(&self.core.parts, &queue, now, &mut wakes);
        }
    }

    /// Takes away what is not for this client, as if it had it. Whether there was any.
    fn withhold(&mut self, known: usize, deliveries: &mut Vec<Delivery>) -> bool {
        let State::In(member) = &self.state else { return false };
        if !member.narrows {
            return false;
        }
        let permissions = &member.publisher.permissions;
        let before = deliveries.len();
        let mut wakes = Wakes::default();
        let mut turn = 0;
        deliveries.retain(|delivery| {
            turn += 1;
            let Some(consumer) = member.consumers.get(delivery.consumer) else { return true };
            // Of a queue that others read too nothing is lost: there the name of the queue decides.
            let is_own = !matches!(consumer.queue.owner(), Owner::Nobody);
            let is_hidden = turn > known && is_own && rights::hide(permissions, &delivery.message);
            if is_hidden {
                let settle =
                    Settle { consumer: delivery.consumer, tag: delivery.tag, outcome: Outcome::Accepted };
                // What is accepted goes nowhere else.
                let _ = settle::settle(&self.core.parts, consumer, settle, &mut self.removals, &mut wakes);
            }
            !is_hidden
        });
        wakes.flush();
        deliveries.len() < before
    }

    /// How many requests wait for the disk, for their turn, for a hook, or for whoever knows who the client is.
    pub fn backlog(&self) -> usize {
        let renews = matches!(&self.state, State::In(member) if matches!(member.renewal, Renewal::Asking(_)));
        self.under_way
            + usize::from(renews)
            + self.inquiry.as_ref().map_or(0, |inquiry| inquiry.backlog())
            + self.unfinished.as_ref().map_or(0, |unfinished| unfinished.len())
    }

    fn count_taken(&mut self, deliveries: &[Delivery], mut taken: Taken) {
        let metrics = &self.core.parts.metrics;
        if !deliveries.is_empty() {
            metrics.messages_delivered.add(deliveries.len() as u64);
            let bytes: usize = deliveries.iter().map(|delivery| delivery.message.payload.len()).sum();
            metrics.publish_bytes_sent.add(bytes as u64);
        }
        let again = deliveries.iter().filter(|delivery| delivery.attempts > 0).count();
        if again > 0 {
            metrics.messages_redelivered.add(again as u64);
            self.complain_of_poison(deliveries);
        }
        if !taken.removed.is_empty() {
            // For one commit with the others of this turn.
            self.removals.extend(taken.removed.drain(..).map(Change::Remove));
        }
        if taken.expired + taken.dropped + taken.dead.len() > 0 {
            plan::clear_away(&self.core.parts, &mut taken);
        }
    }

    /// A message that came back so often will come back again, and nobody may notice: its queue does not say where else it
    /// could go.
    fn complain_of_poison(&self, deliveries: &[Delivery]) {
        let parts = &self.core.parts;
        let (State::In(member), Some(limit)) = (&self.state, parts.vhost.options.redeliveries_max) else {
            return;
        };
        let is_poison = |delivery: &&Delivery| delivery.attempts == limit.saturating_add(1);
        for delivery in deliveries.iter().filter(is_poison) {
            let Some(Attached { queue, .. }) = member.consumers.get(delivery.consumer) else { continue };
            let declared = || queue.arguments().is_some_and(|arguments| arguments.delivery_limit.is_some());
            let is_told = queue.governed().map_or_else(declared, |terms| terms.delivery_limit.is_some());
            if matches!(queue.owner(), Owner::Nobody) && !is_told && parts.vhost.may_complain(clock::now()) {
                tracing::warn!(
                    queue = queue.options().name.as_str(),
                    attempts = delivery.attempts,
                    message = %delivery.message.id,
                    "queue.poison: a message comes back again and again; give its queue a dead-letter exchange"
                );
            }
        }
    }

    fn mark_pending(&mut self) {
        // A queue marks a consumer once until it was taken from. One that left and came again under its old name may be
        // mentioned twice: the second time there is nothing to take.
        self.mailbox.readiness.drain(&mut self.pending);
    }

    fn collect(&mut self, events: &mut Vec<Event>) {
        // Asked several times for each message: nearly always there are none.
        if self.mailbox.has_notes() {
            self.collect_notes(events);
        }
    }

    fn collect_notes(&mut self, events: &mut Vec<Event>) {
        let mut is_behind = false;
        for note in self.mailbox.empty() {
            match note {
                Note::Revise => is_behind = true,
                Note::Done(event) => {
                    self.under_way -= 1;
                    events.extend(event);
                }
                Note::News(event) => events.push(event),
            }
        }
        if is_behind {
            self.revise(events);
        }
    }

    /// Answers, behind whatever is still on its way to the disk.
    fn answer(&mut self, event: Event, turn: &mut Turn<'_>) {
        if self.under_way == 0 {
            turn.events.push(event);
        } else {
            self.commit(Changeset::default(), Durability::Memory, |_, _| (), Some(event));
        }
    }

    /// Persist as `level` says, then show, then acknowledge.
    fn commit(
        &mut self,
        mut changeset: Changeset,
        level: Durability,
        show: impl FnOnce(&Arc<Parts>, &mut Wakes) + Send + 'static,
        event: Option<Event>,
    ) {
        // What the client settled before stands before it, in the same record: it costs no write of its own.
        if !self.removals.is_empty() {
            let mut changes = SmallVec::from_vec(std::mem::take(&mut self.removals));
            changes.append(&mut changeset.changes);
            changeset = Changeset { changes };
        }
        self.under_way += 1;
        self.commits += 1;
        let (parts, mailbox) = (Arc::clone(&self.core.parts), Arc::clone(&self.mailbox));
        self.core.parts.durable.commit_then(changeset, level, move || {
            let mut wakes = Wakes::default();
            show(&parts, &mut wakes);
            wakes.flush();
            mailbox.post(Note::Done(event));
        });
    }

    fn commit_removals(&mut self) {
        if !self.removals.is_empty() {
            let changes = SmallVec::from_vec(std::mem::take(&mut self.removals));
            self.core.parts.durable.commit_soon(Changeset { changes });
        }
    }

    /// The client is in.
    fn settle_down(&mut self, member: Member) {
        let metrics = &self.core.parts.metrics;
        metrics.clients_admitted.increment();
        metrics.clients.increment();
        metrics.clients_peak.reach(metrics.clients.value());
        if member.session.is_none() {
            metrics.clients_without_session.increment();
        }
        self.state = State::In(Box::new(member));
    }

    fn leave(&mut self, close: Option<Close>, wakes: &mut Wakes) {
        let State::In(member) = std::mem::replace(&mut self.state, State::Out) else { return };
        if let Some(inquiry) = self.inquiry.take() {
            inquiry.say_good_bye(close.is_some());
        }
        let parts = &self.core.parts;
        parts.metrics.clients.decrement();
        if member.session.is_none() {
            parts.metrics.clients_without_session.decrement();
        }
        for (id, attached) in member.consumers.iter() {
            if id != ConsumerId::SESSION || member.session.is_none() {
                self.core.tell_cancelled(subscribe::leave(parts, attached, false, wakes));
            }
        }
        for queue in &member.publisher.owned {
            self.core.tell_cancelled(topology::delete_queue(parts, queue));
        }
        if let Some(session) = &member.session {
            let now = (clock::instant(), clock::now());
            self.core.registry.close(parts, session, self.id, close, now, wakes);
        }
    }
}

/// How often deliveries are taken in place of those that are not for this client, before others on the worker have
/// their turn.
const WITHHELD_ROUNDS_MAX: usize = 16;
impl Link {
    /// Tells that the client is gone, unless that has been told: a session that was taken over is, when it happens.
    fn tell_end(&self, wakes: &mut Wakes) {
        let Some(present) = self.client.leave() else { return };
        let lost = Hangup { by: By::Network, reason: "connection lost".into() };
        let hangup = self.ended.as_deref().unwrap_or(&lost);
        let is_stopped = hangup.by == By::Broker && self.core.is_stopping();
        let cause = if is_stopped { Cause::Shutdown } else { Cause::Connection(hangup.by) };
        let why = (cause, &*hangup.reason);
        self.core.presence.disconnected(&self.core.parts, &self.client, &present, why, wakes);
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.commit_removals();
        let mut wakes = Wakes::default();
        self.leave(None, &mut wakes);
        self.tell_end(&mut wakes);
        wakes.flush();
        if self.parked.is_some() {
            self.core.pressure.leave(self.id);
        }
        self.core.links().remove(&self.id);
        let metrics = &self.core.home().parts.metrics;
        metrics.connections_closed.increment();
        metrics.connections.decrement();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What an idle client costs here beside its session and its queue.
    #[test]
    fn a_link_is_small() {
        let (link, member) = (size_of::<Link>(), size_of::<Member>());
        assert!(link <= 208, "{link}");
        assert!(member <= 288, "{member}");
    }
}
