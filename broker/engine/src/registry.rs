//! Sessions: takeover, resume, expiry.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use model::access::AccessControl;
use model::change::{Change, SessionRecord, WillRecord};
use model::event::{Event, Farewell};
use model::name::{ClientId, ConsumerId, QueueId, QueueName, UserName};
use model::principal::{Permissions, Principal};
use model::queue::QueueOptions;
use model::refusal::Refusal;
use model::request::Close;
use model::time::WallMs;
use routing::{ConsumerOptions, Owner, Queue, Settles, Wakes};

use crate::attached::Attached;
use crate::mailbox::{Mailbox, Note};
use crate::numbers::SessionName;
use crate::parts::Parts;
use crate::timers::{Asked, Due};
use crate::unreleased::Unreleased;
use crate::wills::{self, Aftermath, DueWill};
use crate::{expiry, topology};

/// All sessions of MQTT clients, with a connection or without.
///
/// What happens to a session is handed to the journal before the lock of all sessions is given back: of two connections
/// of one client, the one that came later also stands later in the journal.
pub(crate) struct Registry {
    sessions: Mutex<HashMap<ClientId, Arc<Session>>>,
    access: Arc<dyn AccessControl>,
}

/// One client's session.
pub(crate) struct Session {
    pub(crate) client: ClientId,
    state: Mutex<State>,
}

/// What a session is right now.
pub(crate) struct State {
    /// As whom its client made it: nobody else takes it over. `None`: the store does not know.
    owner: Option<Principal>,
    pub(crate) queue: Arc<Queue>,
    /// Whether the journal knows it.
    pub(crate) recorded: bool,
    /// How many subscriptions it has.
    pub(crate) subscriptions: usize,
    /// QoS 2 ids that came in and were not released yet.
    pub(crate) unreleased: Unreleased,
    attached: Option<Attachment>,
    expiry_s: u32,
    disconnected_at: Option<WallMs>,
    will: Option<Box<WillRecord>>,
    /// What its client was allowed at last; `None`: the store does not know.
    pub(crate) permissions: Option<Permissions>,
    /// Raised whenever a connection comes or goes: timers of an earlier life mean nothing.
    life: u64,
    /// The timers of this life.
    due: Vec<Asked>,
}

/// A session, as others see it.
pub(crate) struct Look {
    pub(crate) user: Option<UserName>,
    pub(crate) queue: Arc<Queue>,
    /// In seconds, as MQTT counts them.
    pub(crate) expiry_s: u32,
    pub(crate) disconnected_at: Option<WallMs>,
    pub(crate) subscriptions: usize,
}

struct Attachment {
    link: u64,
    mailbox: Arc<Mailbox>,
    consumer: Attached,
}

impl Attachment {
    /// What the client had not settled waits again.
    fn leave(&self, parts: &Parts, wakes: &mut Wakes) {
        self.consumer.queue.detach(self.consumer.key, wakes);
        expiry::watch(parts, &self.consumer.queue);
    }
}

/// A client that wants in.
pub(crate) struct Arriving<'a> {
    pub(crate) client: ClientId,
    pub(crate) principal: &'a Principal,
    pub(crate) permissions: &'a Permissions,
    pub(crate) clean_start: bool,
    pub(crate) expiry_s: u32,
    pub(crate) will: Option<Box<WillRecord>>,
    pub(crate) link: u64,
    pub(crate) mailbox: &'a Arc<Mailbox>,
}

/// A client that got in.
pub(crate) struct Arrived {
    pub(crate) session: Arc<Session>,
    /// What the session is called.
    pub(crate) name: SessionName,
    pub(crate) consumer: Attached,
    pub(crate) present: bool,
    pub(crate) unreleased: Vec<u16>,
    /// What must last before the client is told, and the will of the connection that was taken over, where it is due.
    pub(crate) aftermath: Aftermath,
}

impl Session {
    /// The state, if `link` still speaks for this session; `None` once another connection took it over.
    pub(crate) fn state_for(&self, link: u64) -> Option<MutexGuard<'_, State>> {
        let state = self.lock();
        state.attached.as_ref().is_some_and(|attached| attached.link == link).then_some(state)
    }

    /// Its queue, and the link that speaks for it.
    pub(crate) fn at(&self) -> (QueueId, Option<u64>) {
        let state = self.lock();
        (state.queue.id(), state.attached.as_ref().map(|attached| attached.link))
    }

    /// What it is like right now.
    pub(crate) fn look(&self) -> Look {
        let state = self.lock();
        Look {
            user: state.owner.as_ref().and_then(|owner| owner.user.clone()),
            queue: Arc::clone(&state.queue),
            expiry_s: state.expiry_s,
            disconnected_at: state.disconnected_at,
            subscriptions: state.subscriptions,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Whether the session is still there when its connection is not.
    pub(crate) const fn outlives_its_connection(&self) -> bool {
        self.expiry_s > 0
    }

    /// How long a will waits: no longer than the session lives (MQTT 5.0, 3.1.3.2.2).
    fn will_delay(&self) -> Duration {
        let delay_s = self.will.as_ref().map_or(0, |will| will.delay_s.min(self.expiry_s));
        Duration::from_secs(delay_s.into())
    }

    fn record(&self, client: &ClientId) -> Change {
        Change::PutSession(Box::new(SessionRecord {
            client: client.clone(),
            owner: self.owner.clone(),
            queue: self.queue.id(),
            expiry_s: self.expiry_s,
            disconnected_at: self.disconnected_at,
            // While it has a connection, that changes with every message.
            sent_through: self.disconnected_at.map(|_| self.queue.sent_through()),
            will: self.will.clone(),
        }))
    }
}

impl Registry {
    /// Without any session.
    pub(crate) fn new(access: Arc<dyn AccessControl>) -> Self {
        Self { sessions: Mutex::default(), access }
    }

    /// The will that is due, if its owner may still publish it.
    pub(crate) fn still_allowed(
        &self,
        parts: &Parts,
        owner: Option<&Principal>,
        known: Option<&Permissions>,
        will: Option<Box<WillRecord>>,
    ) -> Option<DueWill> {
        wills::still_allowed(parts, &*self.access, owner, known, will?)
    }

    /// Lets a client in: ends the connection it had, resumes its session or makes a new one (MQTT 5.0, 3.1.4). `commit` is
    /// to hand to the journal what has to last of that. The answer is the link whose session it was until now.
    pub(crate) fn open(
        &self,
        parts: &Parts,
        arriving: Arriving<'_>,
        wakes: &mut Wakes,
        commit: impl FnOnce(Arrived),
    ) -> Result<Option<u64>, Refusal> {
        let mut sessions = self.lock();
        let mut aftermath = Aftermath::default();
        let mut old = sessions.get(&arriving.client).map(Arc::clone);
        let mut taken_over = None;
        if let Some(session) = &old {
            let mut state = session.lock();
            if state.owner.as_ref().is_some_and(|owner| owner != arriving.principal) {
                // As if it were nobody's: who it belongs to is not told. It stays as it is.
                return Err(Refusal::Denied {
                    action: "use the client id",
                    target: arriving.client.to_string(),
                });
            }
            forget_timers(parts, &mut state);
            if let Some(attached) = state.attached.take() {
                taken_over = Some(attached.link);
                attached.mailbox.post(Note::News(Event::Closing(Farewell::TakenOver)));
                attached.leave(parts, wakes);
            }
            let ends = arriving.clean_start || state.expiry_s == 0;
            // A will that waits is cancelled by the client's return, unless its session ends now (3.1.2.5, 3.1.3.2.2).
            let will = state.will.take();
            let will = will.filter(|will| ends || (state.disconnected_at.is_none() && will.delay_s == 0));
            aftermath.will =
                self.still_allowed(parts, state.owner.as_ref(), state.permissions.as_ref(), will);
            if ends {
                drop(state);
                self.end(parts, &mut sessions, session, &mut aftermath);
                old = None;
            }
        }
        let present = old.is_some();
        let session = match old {
            Some(session) => session,
            None => self.make(parts, &mut sessions, &arriving)?,
        };
        let (name, consumer, unreleased) = {
            let mut state = session.lock();
            let name = SessionName::OfQueue(state.queue.id());
            let consumer = attach(&state.queue, &arriving, wakes)?;
            state.attached = Some(Attachment {
                link: arriving.link,
                mailbox: Arc::clone(arriving.mailbox),
                consumer: consumer.clone(),
            });
            state.life += 1;
            state.owner = Some(arriving.principal.clone());
            state.permissions = Some(arriving.permissions.clone());
            state.disconnected_at = None;
            state.expiry_s = arriving.expiry_s;
            state.will = arriving.will;
            state.recorded |= parts.durable.is_persistent() && (state.expiry_s > 0 || state.will.is_some());
            if state.recorded {
                aftermath.changeset.changes.push(state.record(&session.client));
            }
            (name, consumer, state.unreleased.all())
        };
        commit(Arrived { session, name, consumer, present, unreleased, aftermath });
        Ok(taken_over)
    }

    fn make(
        &self,
        parts: &Parts,
        sessions: &mut HashMap<ClientId, Arc<Session>>,
        arriving: &Arriving<'_>,
    ) -> Result<Arc<Session>, Refusal> {
        if sessions.len() >= parts.vhost.options.sessions_max {
            parts.metrics.refused_sessions.increment();
            return Err(Refusal::LimitReached("sessions of all clients ([limits] sessions)"));
        }
        let options = QueueOptions {
            name: queue_name(&arriving.client),
            durable: arriving.expiry_s > 0,
            exclusive: true,
            auto_delete: false,
            ready_max: None,
            ready_bytes_max: None,
            arguments: None,
        };
        let owner = Owner::Session(arriving.client.clone());
        let (queue, _) = topology::declare_queue(parts, options, owner)?;
        let session = Arc::new(Session {
            client: arriving.client.clone(),
            state: Mutex::new(State {
                owner: None,
                queue,
                recorded: false,
                subscriptions: 0,
                unreleased: Unreleased::default(),
                attached: None,
                expiry_s: arriving.expiry_s,
                disconnected_at: None,
                will: None,
                permissions: None,
                life: 0,
                due: Vec::new(),
            }),
        });
        sessions.insert(arriving.client.clone(), Arc::clone(&session));
        parts.metrics.sessions.increment();
        Ok(session)
    }

    /// The connection of `link` is gone. What that means is handed to the journal.
    pub(crate) fn close(
        &self,
        parts: &Arc<Parts>,
        session: &Arc<Session>,
        link: u64,
        close: Option<Close>,
        now: (Instant, WallMs),
        wakes: &mut Wakes,
    ) {
        let mut aftermath = Aftermath::default();
        let mut sessions = self.lock();
        let Some(mut state) = session.state_for(link) else { return };
        if let Some(attached) = state.attached.take() {
            attached.leave(parts, wakes);
        }
        state.life += 1;
        state.disconnected_at = Some(now.1);
        if let Some(close) = close {
            state.expiry_s = close.expiry_s.unwrap_or(state.expiry_s);
            if close.discard_will {
                state.will = None;
            }
        }
        let delay = state.will_delay();
        let will = state.will.take_if(|_| delay.is_zero());
        aftermath.will = self.still_allowed(parts, state.owner.as_ref(), state.permissions.as_ref(), will);
        if state.expiry_s == 0 {
            drop(state);
            self.end(parts, &mut sessions, session, &mut aftermath);
        } else {
            if state.recorded {
                aftermath.changeset.changes.push(state.record(&session.client));
            }
            schedule(parts, &session.client, &mut state, Duration::ZERO, now.0);
            drop(state);
        }
        wills::settle(parts, aftermath);
    }

    /// Whether there is a connection that speaks for the session of `client`, which is that principal's.
    pub(crate) fn is_connected(&self, client: &ClientId, principal: &Principal) -> bool {
        let session = self.lock().get(client).map(Arc::clone);
        session.is_some_and(|session| {
            let state = session.lock();
            state.attached.is_some() && state.owner.as_ref() == Some(principal)
        })
    }

    /// All of them, in no order.
    pub(crate) fn all(&self) -> Vec<Arc<Session>> {
        self.lock().values().map(Arc::clone).collect()
    }

    /// A session's time is up, or that of its will has come, unless its client came back meanwhile.
    pub(crate) fn expire(&self, parts: &Arc<Parts>, client: &ClientId, life: u64, ends: bool) {
        let mut sessions = self.lock();
        let Some(session) = sessions.get(client).map(Arc::clone) else { return };
        let mut state = session.lock();
        if state.life != life {
            return;
        }
        // Whichever comes first, the delay or the end of the session (MQTT 5.0, 3.1.3.2.2).
        let will = state.will.take();
        let will = self.still_allowed(parts, state.owner.as_ref(), state.permissions.as_ref(), will);
        let mut aftermath = Aftermath { will, ..Aftermath::default() };
        if ends {
            drop(state);
            parts.metrics.sessions_expired.increment();
            self.end(parts, &mut sessions, &session, &mut aftermath);
        } else {
            if state.recorded {
                aftermath.changeset.changes.push(state.record(&session.client));
            }
            drop(state);
        }
        wills::settle(parts, aftermath);
    }

    /// A session as the store remembers it.
    pub(crate) fn restore(
        &self,
        parts: &Parts,
        record: SessionRecord,
        queue: Arc<Queue>,
        unreleased: Vec<u16>,
        now: (Instant, WallMs),
    ) -> Aftermath {
        let subscriptions = parts.vhost.router.bindings_of(&queue.options().name).len();
        // Whoever was connected when the broker was killed lost the connection then; when that was, nobody knows.
        let disconnected_at = record.disconnected_at.unwrap_or(now.1);
        let mut state = State {
            owner: record.owner,
            queue,
            recorded: true,
            subscriptions,
            unreleased: unreleased.into_iter().collect(),
            attached: None,
            expiry_s: record.expiry_s,
            disconnected_at: Some(disconnected_at),
            will: record.will,
            permissions: None,
            life: 1,
            due: Vec::new(),
        };
        // What is left of its time: a restart gives no more of it, and takes none.
        let gone = now.1.since(disconnected_at);
        let delay = state.will_delay();
        let will = state.will.take_if(|_| delay <= gone);
        let will = self.still_allowed(parts, state.owner.as_ref(), state.permissions.as_ref(), will);
        let mut aftermath = Aftermath { will, ..Aftermath::default() };
        aftermath.changeset.changes.push(state.record(&record.client));
        schedule(parts, &record.client, &mut state, gone, now.0);
        let session = Arc::new(Session { client: record.client.clone(), state: Mutex::new(state) });
        self.lock().insert(record.client, session);
        parts.metrics.sessions.increment();
        aftermath
    }

    fn end(
        &self,
        parts: &Parts,
        sessions: &mut HashMap<ClientId, Arc<Session>>,
        session: &Arc<Session>,
        aftermath: &mut Aftermath,
    ) {
        let mut state = session.lock();
        forget_timers(parts, &mut state);
        topology::delete_queue(parts, &state.queue);
        if state.recorded {
            aftermath.changeset.changes.push(Change::DropSession(session.client.clone()));
        }
        if sessions.remove(&session.client).is_some() {
            parts.metrics.sessions.decrement();
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ClientId, Arc<Session>>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Asks for what will be due in this life of a session, if its client, who has been away for `gone`, stays away.
fn schedule(parts: &Parts, client: &ClientId, state: &mut State, gone: Duration, now: Instant) {
    let (timers, life) = (&parts.vhost.timers, state.life);
    if state.will.is_some() {
        let when = now + state.will_delay().saturating_sub(gone);
        state.due.push(timers.at(when, Due::Will { client: client.clone(), life }));
    }
    if state.expiry_s < u32::MAX {
        let when = now + Duration::from_secs(state.expiry_s.into()).saturating_sub(gone);
        state.due.push(timers.at(when, Due::Expire { client: client.clone(), life }));
    }
}

fn forget_timers(parts: &Parts, state: &mut State) {
    for asked in state.due.drain(..) {
        parts.vhost.timers.cancel(asked);
    }
}

fn attach(queue: &Arc<Queue>, arriving: &Arriving<'_>, wakes: &mut Wakes) -> Result<Attached, Refusal> {
    let options = ConsumerOptions {
        id: ConsumerId::SESSION,
        settles: Settles::ByQos,
        prefetch: None,
        link: arriving.link,
    };
    let key = queue.attach(options, &arriving.mailbox.readiness, wakes)?;
    Ok(Attached { queue: Arc::clone(queue), key })
}

/// The name of a session's own queue.
fn queue_name(client: &ClientId) -> QueueName {
    QueueName::new(&[topology::SESSION_QUEUES, client.as_str()].concat())
}
