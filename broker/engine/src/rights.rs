//! Rights: whatever a client wants to do is held against its rules here, and nowhere else

use model::key::{KeyPattern, RoutingKey};
use model::message::Message;
use model::name::{ExchangeName, QueueName};
use model::principal::Permissions;
use model::queue::{DeadLetter, ExchangeKind, QueueOptions};
use model::reach::Reach;
use model::refusal::Refusal;
use model::request::{Source, Target};
use model::rights::Action;
use routing::Router;

/// Whether he may come in at all.
pub(crate) fn connect(permissions: &Permissions) -> Result<(), Refusal> {
    match permissions.keep_from_all(Action::Connect) {
        Some(right) => Err(Refusal::forbidden("connect", "here", right)),
        None => Ok(()),
    }
}

/// Whether somebody may publish there, and have it kept, if it is to `retain`: topics that start with `$` are the broker's own.
/// Where replies are waited for, anybody may answer: nobody can guess such a name.
pub(crate) fn publish(
    permissions: &Permissions,
    (exchange, key): (&ExchangeName, &RoutingKey),
    retain: bool,
    action: &'static str,
) -> Result<(), Refusal> {
    if key.is_reserved() && *exchange == ExchangeName::TOPIC {
        return Err(Refusal::Denied { action, target: key.to_string() });
    }
    if let Some(right) = permissions.keep_from(Action::Publish, exchange, key)
        && !is_reply(exchange, key)
    {
        return Err(Refusal::forbidden(action, key, right));
    }
    match permissions.keep_from(Action::Retain, exchange, key).filter(|_| retain) {
        Some(right) => Err(Refusal::forbidden("have a message retained at", key, right)),
        None => Ok(()),
    }
}

fn is_reply(exchange: &ExchangeName, key: &RoutingKey) -> bool {
    *exchange == ExchangeName::DEFAULT && key.as_str().starts_with(QueueName::FOR_REPLIES)
}

/// Whether somebody may read that: a source by its pattern, of which something must be allowed, and everything where it is
/// shared, since others of the share would miss the rest; a queue that others may have as well by its name. Says whether
/// what comes has to be looked at one by one, since not all of it is for him.
pub(crate) fn subscribe(
    router: &Router,
    permissions: &Permissions,
    source: Option<&Source>,
    queue: &Target,
) -> Result<bool, Refusal> {
    let is_narrowed = match source {
        Some(Source { exchange, pattern, share, .. }) => {
            read(router, permissions, (exchange, pattern), share.is_some())?
        }
        None => false,
    };
    let name = match queue {
        Target::Session | Target::Private | Target::Replies(_) => return Ok(is_narrowed),
        Target::Declare(declaration) => &declaration.options.name,
        Target::Existing(name) => name,
    };
    consume(permissions, name)?;
    // What is bound to it comes to all who consume it.
    let is_changed =
        source.is_some() || (matches!(queue, Target::Declare(_)) && router.queue(name).is_none());
    if is_changed { configure(permissions, name).map(|()| is_narrowed) } else { Ok(is_narrowed) }
}

/// The same of a source alone.
pub(crate) fn read(
    router: &Router,
    permissions: &Permissions,
    (exchange, pattern): (&ExchangeName, &KeyPattern),
    is_shared: bool,
) -> Result<bool, Refusal> {
    if !permissions.restrict(Action::Subscribe) {
        return Ok(false);
    }
    match reach(router, permissions, exchange, pattern) {
        Reach::Part(right) if is_shared => Err(Refusal::forbidden("subscribe to", pattern, right)),
        Reach::Nothing(right) => Err(Refusal::forbidden("subscribe to", pattern, right)),
        Reach::Part(_) => Ok(true),
        Reach::All => Ok(false),
    }
}

/// Whether somebody may take from that queue.
pub(crate) fn consume(permissions: &Permissions, name: &QueueName) -> Result<(), Refusal> {
    let key = RoutingKey::from(name.as_str());
    match permissions.keep_from(Action::Consume, &ExchangeName::DEFAULT, &key) {
        Some(right) => Err(Refusal::forbidden("consume queue", name, right)),
        None => Ok(()),
    }
}

/// Whether something of such a source may be read, as far as its pattern tells.
pub(crate) fn may_read(permissions: &Permissions, source: &Source) -> bool {
    match permissions.reach(Action::Subscribe, &source.exchange, &source.pattern) {
        Reach::All => true,
        Reach::Part(_) => source.share.is_none(),
        Reach::Nothing(_) => false,
    }
}

fn reach<'p>(
    router: &Router,
    permissions: &'p Permissions,
    exchange: &ExchangeName,
    pattern: &KeyPattern,
) -> Reach<'p> {
    let action = Action::Subscribe;
    let kind = (*exchange != ExchangeName::TOPIC).then(|| router.exchange(exchange)).flatten();
    match kind.map(|options| options.kind) {
        // Whatever the key is, it comes.
        Some(ExchangeKind::Fanout | ExchangeKind::Headers) => permissions.reach_all(action, exchange),
        // There, `*` and `#` are characters like others.
        Some(ExchangeKind::Direct) => {
            let pattern = KeyPattern::exact(&pattern.to_key());
            permissions.reach(action, exchange, &pattern)
        }
        Some(ExchangeKind::Topic) | None => permissions.reach(action, exchange, pattern),
    }
}

/// Whether somebody may make, bind or delete that queue.
pub(crate) fn configure(permissions: &Permissions, name: &QueueName) -> Result<(), Refusal> {
    let key = RoutingKey::from(name.as_str());
    match permissions.keep_from(Action::Configure, &ExchangeName::DEFAULT, &key) {
        Some(right) => Err(Refusal::forbidden("configure queue", name, right)),
        None => Ok(()),
    }
}

/// Whoever makes a queue that sends messages to an exchange must be allowed to send them there himself.
pub(crate) fn dead_letter(permissions: &Permissions, options: &QueueOptions) -> Result<(), Refusal> {
    let to = options.arguments.as_ref().and_then(|arguments| arguments.dead_letter.as_ref());
    let Some(DeadLetter { exchange, key }) = to else { return Ok(()) };
    if let Some(key) = key {
        return publish(permissions, (exchange, key), false, "dead-letter to");
    }
    // Then with any key at all.
    match permissions.reach_all(Action::Publish, exchange).denied_by() {
        Some(right) => Err(Refusal::forbidden("dead-letter to exchange", exchange, right)),
        None => Ok(()),
    }
}

/// Whether such a message is kept from a subscriber, however wide his subscription is. What was sent to his queue by its name
/// is for him.
pub(crate) fn hide(permissions: &Permissions, message: &Message) -> bool {
    message.exchange != ExchangeName::DEFAULT
        && permissions.keep_from(Action::Subscribe, &message.exchange, &message.key).is_some()
}
