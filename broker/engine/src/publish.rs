//! Authorise, resolve, hand over.

use std::sync::Arc;

use bytes::Bytes;
use model::author::Author;
use model::durability::Durability;
use model::key::RoutingKey;
use model::message::Message;
use model::name::{ClientId, ExchangeName, MessageId, PublisherName, QueueId, QueueName, UserName};
use model::principal::Permissions;
use model::qos::Qos;
use model::queue::QueueDeclaration;
use model::refusal::Refusal;
use model::request::Publish;
use model::rights::Action;
use model::time::WallMs;
use model::wire_cache::WireCache;
use routing::{Owner, Queue, Route, RouteCache, Sender, Wakes};

use crate::clock;
use crate::levels::Wanted;
use crate::numbers::MessageIds;
use crate::parts::Parts;
use crate::plan::{self, Plan};
use crate::{replay, rights, topology};

/// Whoever publishes, and what is kept for him between two messages.
pub(crate) struct Publisher {
    /// Its link; `None` for what the broker itself publishes.
    link: Option<u64>,
    /// The queues that are its link's own because it made them.
    pub(crate) owned: Vec<Arc<Queue>>,
    pub(crate) client: Option<ClientId>,
    /// What it calls itself, where it has no session.
    called: Option<ClientId>,
    /// For whom the broker publishes, where it does that for somebody.
    behalf: Option<Arc<Author>>,
    /// What it publishes was published before, and waited.
    is_again: bool,
    pub(crate) user: Option<UserName>,
    /// Under which name the ids of its publications are remembered.
    name: Remembered,
    pub(crate) permissions: Permissions,
    pub(crate) cache: RouteCache,
    pub(crate) ids: MessageIds,
    /// Publishers send to the same queue again and again: the last one that was asked for, as it was asked for.
    declared: Option<(Arc<QueueDeclaration>, QueueId)>,
    /// How many places in queues his messages took since that was set back.
    pub(crate) handed_over: usize,
}

/// As whom the publications of a publisher are remembered, if he ever gives one an id: hardly anybody does, so the name is not
/// made before.
pub(crate) enum Remembered {
    /// As somebody of that name.
    As(PublisherName),
    /// As that user, by whichever connection.
    User(UserName),
    /// As that client, who is no user.
    Client(ClientId),
}

impl From<PublisherName> for Remembered {
    fn from(name: PublisherName) -> Self {
        Self::As(name)
    }
}

impl Publisher {
    pub(crate) fn new(
        link: Option<u64>,
        client: Option<ClientId>,
        user: Option<UserName>,
        name: impl Into<Remembered>,
        permissions: Permissions,
    ) -> Self {
        let name = name.into();
        let (cache, ids) = (RouteCache::new(), MessageIds::default());
        let (called, behalf, owned, declared) = (None, None, Vec::new(), None);
        let (handed_over, is_again) = (0, false);
        Self {
            link,
            owned,
            client,
            called,
            behalf,
            is_again,
            user,
            name,
            permissions,
            cache,
            ids,
            declared,
            handed_over,
        }
    }

    /// Under which name the ids of its publications are remembered.
    pub(crate) fn name(&self) -> PublisherName {
        match &self.name {
            Remembered::As(name) => name.clone(),
            Remembered::User(user) => PublisherName::new(&format!("user {user}")),
            Remembered::Client(client) => PublisherName::new(&format!("client {client}")),
        }
    }

    /// The same, by what it calls itself.
    pub(crate) fn calling(self, called: Option<ClientId>) -> Self {
        Self { called, ..self }
    }

    /// The same, for him who left that to be published.
    pub(crate) fn for_author(self, behalf: Option<Arc<Author>>) -> Self {
        Self { behalf, ..self }
    }

    /// The same, for what was published before, and waited: it is counted already, and who published it need not be there.
    pub(crate) fn again(self) -> Self {
        Self { is_again: true, ..self }
    }

    /// The next message is that of this session, or of an author without one.
    pub(crate) fn speak_for(&mut self, session: Option<ClientId>, author: Option<&Arc<Author>>) {
        self.client = session;
        self.called = author.and_then(|author| author.client.clone());
        self.user = author.and_then(|author| author.user.clone());
        self.behalf = author.cloned();
    }

    /// Whose it is what is kept of his; `None`: the broker's own.
    fn author(&self, parts: &Parts) -> Option<Arc<Author>> {
        let by_itself = || {
            self.link?;
            let permissions = Some(&self.permissions);
            Some(parts.authors.of(self.user.as_ref(), self.called.as_ref(), permissions))
        };
        self.behalf.clone().or_else(by_itself)
    }

    /// What it calls itself, where it has no session.
    pub(crate) const fn called(&self) -> Option<&ClientId> {
        self.called.as_ref()
    }

    /// Whether that is what he asked for last, and the queue that he got is where the message goes.
    fn has_declared(&mut self, parts: &Parts, publish: &Publish, wanted: &Arc<QueueDeclaration>) -> bool {
        let Self { client, cache, declared, .. } = self;
        let Some((_, queue)) = declared.as_ref().filter(|(last, _)| Arc::ptr_eq(last, wanted)) else {
            return false;
        };
        let Publish { exchange, key, .. } = publish;
        let sender = Sender { session: client.as_ref(), ..Sender::default() };
        let routes = parts.vhost.router.resolve(exchange, key, None, sender, cache);
        routes.is_ok_and(|routes| routes.fixed().iter().any(|route| route.queue.id() == *queue))
    }

    /// Makes the queue that a message is for, if there is none.
    fn declare(&mut self, parts: &Parts, wanted: &Arc<QueueDeclaration>) -> Result<(), Refusal> {
        let declaration = QueueDeclaration::clone(wanted);
        rights::dead_letter(&self.permissions, &declaration.options)?;
        let name = &declaration.options.name;
        if self.permissions.restrict(Action::Configure) && parts.vhost.router.queue(name).is_none() {
            rights::configure(&self.permissions, name)?;
        }
        let owner = match self.link {
            Some(link) if declaration.options.exclusive => Owner::Link(link),
            Some(_) | None => Owner::Nobody,
        };
        let asks_for_more = declaration.options.arguments.is_some();
        let (queue, new) = topology::declare_queue(parts, declaration, owner)?;
        // One that is asked for more is held against the rules each time, and one that expires is used each time.
        let expires = queue.arguments().is_some_and(|arguments| arguments.expires_ms.is_some());
        self.declared = (!asks_for_more && !expires).then(|| (Arc::clone(wanted), queue.id()));
        if new && matches!(queue.owner(), Owner::Link(_)) {
            self.owned.push(queue);
        }
        Ok(())
    }
}

/// Publishes a message that nothing holds back, straight to its queues; or plans it, where it has to be on disk first,
/// or where `in_turn` says that it must not overtake others. One that is to be retained is published under
/// [`crate::vhost::Vhost::retaining`]. What is to be published stays where it is until a message is made of it: it is large, and each
/// step on its way would be a copy.
pub(crate) fn publish(
    parts: &Arc<Parts>,
    publisher: &mut Publisher,
    publish: &mut Publish,
    in_turn: bool,
    now: WallMs,
    wakes: &mut Wakes,
) -> Result<Published, Refusal> {
    let author = admit(parts, publisher, publish, now)?;
    let Publisher { client, called, is_again, user, cache, ids, handed_over, .. } = publisher;
    let sender =
        Sender { session: client.as_ref(), client: client.as_ref().or(called.as_ref()), user: user.as_ref() };
    let routes = parts.vhost.router.resolve(
        &publish.exchange,
        &publish.key,
        publish.properties.as_deref(),
        sender,
        cache,
    )?;
    if routes.is_internal() {
        return Err(Refusal::Internal(publish.exchange.clone()));
    }
    let targets = routes.pick();
    *handed_over += targets.len();
    check_owners(publish, &targets)?;
    let id = ids.next(&parts.numbers);
    if publish.delay_ms > 0 {
        return delay(parts, publish, (id, client.clone(), author), in_turn, now, wakes);
    }
    let retain = publish.retain;
    let has_feed = !retain && targets.iter().any(|route| !route.queue.feed().is_idle());
    let waits = has_feed && replay::ahead(parts, &targets, (&publish.exchange, &publish.key), now, wakes);
    let in_turn = in_turn || waits;
    let streams = targets.iter().any(|route| route.queue.is_stream());
    let wanted = wanted(parts, publish, streams);
    let lasting = (publish.persistent || streams)
        && targets.iter().any(|route| wanted.is_written(publish.persistent, publish.qos, route));
    let key = routes.key().cloned();
    let message = Arc::new(to_message(publish, key, client.clone(), id, now));
    count(parts, &message, *is_again);
    let routed = !targets.is_empty();
    if !routed {
        parts.metrics.messages_unroutable.increment();
        parts.vhost.unroutable.keep(&message, user.as_ref(), &parts.vhost.router);
    }
    let is_direct = !lasting && !retain && !in_turn;
    // Where several get it, one that refuses must do so before the first has it.
    let refuses = |route: &&Route| plan::refuses(&route.queue);
    if is_direct && (message.qos == Qos::AtMostOnce || targets.len() < 2 || !targets.iter().any(refuses)) {
        for route in targets {
            plan::push(parts, &message, route, wakes)?;
        }
        return Ok(Published::Shown { routed });
    }
    let waits = waits || (streams && lasting);
    let plan = Plan::new(Arc::clone(&message), retain, wanted).by(author).must_wait(waits).patient(*is_again);
    let plan = reserve_all(plan, parts, &targets)?;
    if is_direct {
        plan.show(parts, wakes);
        return Ok(Published::Shown { routed });
    }
    Ok(Published::Planned(plan))
}

/// Whether it may be published at all, and makes the queue that it is for; and whose it is, if it is to be kept or to wait.
fn admit(
    parts: &Parts,
    publisher: &mut Publisher,
    publish: &Publish,
    now: WallMs,
) -> Result<Option<Arc<Author>>, Refusal> {
    Refusal::unless_over(&publisher.permissions, clock::wall_now)?;
    let place = (&publish.exchange, &publish.key);
    rights::publish(&publisher.permissions, place, publish.retain, "publish to")?;
    if let Some(wanted) = &publish.declare
        && !publisher.has_declared(parts, publish, wanted)
    {
        publisher.declare(parts, wanted)?;
    }
    let is_kept = publish.retain && !publish.payload.is_empty();
    if is_kept {
        check_retained(parts, publish, now, publisher.is_again)?;
    }
    Ok(if is_kept || publish.delay_ms > 0 { publisher.author(parts) } else { None })
}

/// Whether a client may send to the queue that it names: only its subscriptions decide what comes into a session's own.
fn check_owners(publish: &Publish, targets: &[&Route]) -> Result<(), Refusal> {
    let is_own = |route: &&Route| matches!(route.queue.owner(), Owner::Session(_));
    if publish.exchange == ExchangeName::DEFAULT && targets.iter().any(is_own) {
        return Err(Refusal::Exclusive(QueueName::new(publish.key.as_str())));
    }
    Ok(())
}

fn count(parts: &Parts, message: &Message, is_again: bool) {
    if is_again {
        return;
    }
    parts.metrics.messages_received.increment();
    parts.metrics.publish_bytes_received.add(message.payload.len() as u64);
}

/// Has a message wait until it is due: then it is published, and where it goes is asked.
fn delay(
    parts: &Arc<Parts>,
    publish: &mut Publish,
    (id, client, author): (MessageId, Option<ClientId>, Option<Arc<Author>>),
    in_turn: bool,
    now: WallMs,
    wakes: &mut Wakes,
) -> Result<Published, Refusal> {
    let level = Some(wanted(parts, publish, false).alone());
    let level = level.filter(|_| publish.persistent && parts.durable.is_persistent());
    let lasts = level > Some(Durability::Memory);
    // The clock counts whole milliseconds: one more, and nothing is early.
    let due = WallMs(now.0.saturating_add(publish.delay_ms).saturating_add(1));
    let message = Arc::new(to_message(publish, None, client, id, due));
    let with = (&parts.durable, &parts.numbers);
    let reserved = parts.vhost.delayed.reserve(with, Arc::clone(&message), author, lasts)?;
    count(parts, &message, false);
    parts.metrics.messages_delayed.increment();
    let plan = Plan::delayed(message, reserved, level);
    if lasts || in_turn {
        return Ok(Published::Planned(plan));
    }
    plan.show(parts, wakes);
    Ok(Published::Shown { routed: true })
}

fn reserve_all(mut plan: Plan, parts: &Arc<Parts>, targets: &[&Route]) -> Result<Plan, Refusal> {
    for route in targets {
        if let Err(refusal) = plan.reserve(parts, route) {
            plan.give_up();
            return Err(refusal);
        }
    }
    Ok(plan)
}

/// What is said of it; of what is to outlive nothing, that is not asked, unless it goes to `streams`.
fn wanted(parts: &Parts, publish: &Publish, streams: bool) -> Wanted {
    if !publish.persistent && !streams {
        return Wanted::default();
    }
    let Publish { exchange, key, properties, .. } = publish;
    Wanted::new(&parts.vhost.options.levels, exchange, key, properties.as_deref())
}

/// Whether there is room for one more retained message, or for another one in place of the old. One that takes less than the
/// old one always has it.
fn check_retained(parts: &Parts, publish: &Publish, now: WallMs, is_again: bool) -> Result<(), Refusal> {
    let Parts { vhost, metrics, .. } = parts;
    let old = vhost.retained(&publish.exchange).and_then(|retained| retained.size_of(&publish.key));
    let (count, bytes) = vhost.retained_size();
    let new_bytes = (publish.key.as_str().len() + publish.payload.len()) as u64;
    let old_bytes = old.unwrap_or(0) as u64;
    let options = &vhost.options;
    let limit = if old.is_none() && count >= options.retained_max as u64 {
        "retained messages ([limits] retained)"
    } else if new_bytes > old_bytes && bytes - old_bytes + new_bytes > options.retained_bytes_max {
        "bytes of retained messages ([limits] retained_bytes)"
    } else {
        return Ok(());
    };
    if !is_again {
        metrics.messages_dropped.increment();
    }
    if vhost.may_complain(now) {
        tracing::warn!(limit, "retained.full: new messages are refused; see messages_dropped");
    }
    Err(Refusal::LimitReached(limit))
}

/// Publishes what the broker says of itself: now or never to those who listen, and kept for those who come later.
pub(crate) fn announce(
    parts: &Arc<Parts>,
    publisher: &mut Publisher,
    mut publish: Publish,
    now: WallMs,
    wakes: &mut Wakes,
) {
    // As with any message that is retained: whoever subscribes meets it once.
    let _retaining = parts.vhost.retaining();
    let message = Arc::new(to_message(&mut publish, None, None, publisher.ids.next(&parts.numbers), now));
    parts.vhost.system.set(Arc::clone(&message), None);
    spread(parts, publisher, &message, wakes);
}

/// Publishes what the broker tells of what happens, to those who listen. Whoever is behind loses some of it, as his queue
/// says; nobody is held up.
pub(crate) fn tell(
    parts: &Arc<Parts>,
    publisher: &mut Publisher,
    mut publish: Publish,
    now: WallMs,
    wakes: &mut Wakes,
) {
    let message = Arc::new(to_message(&mut publish, None, None, publisher.ids.next(&parts.numbers), now));
    spread(parts, publisher, &message, wakes);
}

fn spread(parts: &Arc<Parts>, publisher: &mut Publisher, message: &Arc<Message>, wakes: &mut Wakes) {
    let cache = &mut publisher.cache;
    let Ok(routes) =
        parts.vhost.router.resolve(&message.exchange, &message.key, None, Sender::default(), cache)
    else {
        return;
    };
    for route in routes.targets() {
        // A full queue has counted what it does not take.
        let _ = plan::push(parts, message, route, wakes);
    }
}

/// What became of a publish that was not refused.
pub(crate) enum Published {
    /// Done.
    Shown { routed: bool },
    /// To be committed, then shown.
    Planned(Plan),
}

/// Takes out of `publish` what the message holds. `key`: the same one as the message's, in memory that is shared, if there is one.
pub(crate) fn to_message(
    publish: &mut Publish,
    key: Option<RoutingKey>,
    publisher: Option<ClientId>,
    id: MessageId,
    now: WallMs,
) -> Message {
    // A message at rest must not hold on to the buffer it was read into: that is many times its size.
    let key = key.unwrap_or_else(|| publish.key.detached());
    let payload = if publish.payload.len() > SHARE_MIN {
        std::mem::take(&mut publish.payload)
    } else {
        Bytes::copy_from_slice(&publish.payload)
    };
    let mut properties = publish.properties.take();
    if let Some(properties) = &mut properties {
        properties.detach();
    }
    Message {
        id,
        exchange: std::mem::replace(&mut publish.exchange, ExchangeName::DEFAULT),
        key,
        payload,
        qos: publish.qos,
        retain: publish.retain,
        persistent: publish.persistent,
        publisher,
        published_at: now,
        expires_at: publish.expiry_ms.map(|ms| WallMs(now.0.saturating_add(ms))),
        properties,
        wire: WireCache::default(),
    }
}

/// From this size on, in bytes, a payload shares its read buffer of 64 KiB instead of being copied.
const SHARE_MIN: usize = 16 << 10;
