//! Changes, short to write; and a store in a directory of its own.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use model::author::{Author, Footing};
use model::ban::{self, Ban, Subject};
use model::change::{BindingKey, Change, Changeset, Entry, Place, QueueRecord, SessionRecord};
use model::grant::Grant;
use model::key::{KeyPattern, RoutingKey};
use model::message::Message;
use model::name::{
    ClientId, ExchangeName, Incarnation, MessageId, NodeId, PolicyName, PublicationId, PublisherName,
    QueueId, QueueName, UserName,
};
use model::policy::{AppliesTo, Policy, PolicyDefinition};
use model::principal::Principal;
use model::qos::Qos;
use model::queue::{Binding, ExchangeBinding, ExchangeKind, ExchangeOptions, HeaderMatch, QueueOptions};
use model::time::WallMs;
use model::wire_cache::WireCache;
use smallvec::smallvec;
use storage::{Completion, Options, Recovered, Store, Urgency};

/// Small files, so that they are left and given up all the time.
pub(crate) fn options(directory: &Path) -> Options {
    Options {
        segment_bytes: 64 << 10,
        reads_bodies: true,
        group_bytes_max: 16 << 10,
        surplus_bytes_max: 64 << 10,
        apply_wait: Duration::from_millis(1),
        soon_write_wait_max: Duration::from_millis(2),
        soon_sync_wait_max: Duration::from_millis(10),
        ..Options::new(directory)
    }
}

/// sled is left alone until the store is closed.
pub(crate) fn without_follower(directory: &Path) -> Options {
    // Nor is it waited for.
    let surplus_bytes_max = 1 << 30;
    Options { apply_wait: Duration::from_secs(3600), surplus_bytes_max, ..options(directory) }
}

pub(crate) fn open(options: Options) -> (Store, Recovered) {
    Store::open(options, Box::new(|error| panic!("{error}"))).unwrap()
}

/// Commits, and waits until it is on disk.
pub(crate) fn commit(store: &Store, changes: impl IntoIterator<Item = Change>) {
    let (done, wait) = crossbeam_channel::bounded(1);
    store.commit(changeset(changes), Urgency::Now, Some(Box::new(Send(done))));
    wait.recv().unwrap();
}

pub(crate) fn changeset(changes: impl IntoIterator<Item = Change>) -> Changeset {
    Changeset { changes: changes.into_iter().collect() }
}

pub(crate) struct Send(pub(crate) crossbeam_channel::Sender<()>);

impl Completion for Send {
    fn committed(self: Box<Self>) {
        self.0.send(()).unwrap();
    }
}

pub(crate) fn message(number: u64, key: &str, payload: Vec<u8>) -> Arc<Message> {
    Arc::new(Message {
        id: MessageId { node: NodeId(0), incarnation: Incarnation(1), number },
        exchange: ExchangeName::TOPIC,
        key: RoutingKey::from(key),
        payload: Bytes::from(payload),
        qos: Qos::AtLeastOnce,
        retain: false,
        persistent: true,
        publisher: None,
        published_at: WallMs(number),
        expires_at: None,
        properties: None,
        wire: WireCache::default(),
    })
}

pub(crate) fn place(queue: u64, sequence: u64) -> Place {
    Place { queue: QueueId(queue), sequence }
}

pub(crate) fn entry(place: Place) -> Entry {
    Entry { place, qos: Qos::AtLeastOnce, retain: false, subscription_ids: smallvec![3], author: None }
}

pub(crate) fn enqueue(message: &Arc<Message>, places: &[Place]) -> Change {
    Change::Enqueue {
        message: Arc::clone(message),
        entries: places.iter().map(|place| entry(*place)).collect(),
    }
}

/// `author`: a user who came in by a password.
pub(crate) fn retain(message: Arc<Message>, author: Option<&str>) -> Change {
    let by =
        |name| Author { user: Some(UserName::new(name)), client: None, footing: Some(Footing::Password) };
    Change::Retain { message, author: author.map(by).map(Arc::new) }
}

pub(crate) fn queue_name(id: u64) -> QueueName {
    QueueName::new(&format!("queue {id}"))
}

pub(crate) fn declare(id: u64) -> Change {
    let options = QueueOptions {
        name: queue_name(id),
        durable: true,
        exclusive: false,
        auto_delete: false,
        ready_max: None,
        ready_bytes_max: None,
        arguments: None,
    };
    Change::DeclareQueue(Box::new(QueueRecord { id: QueueId(id), options, rested: None }))
}

/// An exchange; some names are of internal ones with an alternate.
pub(crate) fn exchange(name: &str) -> Change {
    let is_special = !name.starts_with("amq.");
    Change::DeclareExchange(Box::new(ExchangeOptions {
        name: ExchangeName::new(name),
        kind: ExchangeKind::Topic,
        durable: true,
        auto_delete: false,
        internal: is_special,
        alternate: is_special.then(|| ExchangeName::new("alternate")),
    }))
}

pub(crate) fn session(client: &str, queue: u64, expiry_s: u32) -> Change {
    Change::PutSession(Box::new(SessionRecord {
        client: ClientId::new(client),
        owner: Some(Principal { user: Some(UserName::new("alice")) }),
        queue: QueueId(queue),
        expiry_s,
        disconnected_at: None,
        sent_through: None,
        will: None,
    }))
}

pub(crate) fn bind(exchange: &str, queue: u64, key: &str, qos: Qos) -> Change {
    Change::Bind {
        queue: QueueId(queue),
        binding: Box::new(Binding {
            exchange: ExchangeName::new(exchange),
            pattern: KeyPattern::exact(&RoutingKey::from(key)),
            arguments: HeaderMatch::default(),
            queue: queue_name(queue),
            share: None,
            grant: Grant { qos, ..Grant::default() },
        }),
    }
}

pub(crate) fn unbind(exchange: &str, queue: u64, key: &str) -> Change {
    Change::Unbind(Box::new(BindingKey {
        exchange: ExchangeName::new(exchange),
        pattern: KeyPattern::exact(&RoutingKey::from(key)),
        arguments: HeaderMatch::default(),
        share: None,
        queue: queue_name(queue),
        queue_id: QueueId(queue),
    }))
}

pub(crate) fn bind_exchange(from: &str, to: &str, key: &str) -> Change {
    Change::BindExchange(Box::new(exchange_binding(from, to, key)))
}

pub(crate) fn unbind_exchange(from: &str, to: &str, key: &str) -> Change {
    Change::UnbindExchange(Box::new(exchange_binding(from, to, key)))
}

fn exchange_binding(from: &str, to: &str, key: &str) -> ExchangeBinding {
    ExchangeBinding {
        exchange: ExchangeName::new(from),
        pattern: KeyPattern::exact(&RoutingKey::from(key)),
        arguments: HeaderMatch::default(),
        to: ExchangeName::new(to),
    }
}

pub(crate) fn remember(client: &str, id: u16) -> Change {
    Change::Remember { client: ClientId::new(client), id }
}

pub(crate) fn forget(client: &str, id: u16) -> Change {
    Change::Forget { client: ClientId::new(client), id }
}

/// What a crash would leave: a copy of the files as they are. sled must be at rest, or be left out.
pub(crate) fn copy(from: &Path, to: &Path, with_state: bool) {
    fs::create_dir_all(to.join("journal")).unwrap();
    fs::copy(from.join("format"), to.join("format")).unwrap();
    if with_state {
        copy_files(&from.join("state"), &to.join("state"));
    }
    // Digests first: they know of no more than is in the files then.
    for entry in fs::read_dir(from.join("journal")).unwrap() {
        let name = entry.unwrap().file_name();
        if name.to_string_lossy().ends_with(".dig") {
            let _ = fs::copy(from.join("journal").join(&name), to.join("journal").join(&name));
        }
    }
    // Files come and go meanwhile: in ascending order, until there is no new one.
    let mut last = String::new();
    loop {
        let mut names: Vec<_> = fs::read_dir(from.join("journal"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.ends_with(".seg") && *name >= last)
            .collect();
        names.sort();
        let newest = names.last().cloned().unwrap_or_default();
        for name in names {
            // Given up since: what is alive of it is in one of the next.
            let _ = fs::copy(from.join("journal").join(&name), to.join("journal").join(&name));
        }
        if newest == last {
            return;
        }
        last = newest;
    }
}

fn copy_files(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_files(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// A publisher's message came in.
pub(crate) fn sent(publisher: &str, id: u64, at: u64) -> Change {
    let (publisher, id) = (PublisherName::new(publisher), publication(id));
    Change::RememberPublication { publisher, id, at: WallMs(at) }
}

pub(crate) fn unsent(publisher: &str, id: u64) -> Change {
    Change::ForgetPublication { publisher: PublisherName::new(publisher), id: publication(id) }
}

fn publication(id: u64) -> PublicationId {
    PublicationId::new(&"i".repeat(1 + id as usize * 13))
}

/// Somebody stays out.
pub(crate) fn banned(client: &str, until: u64) -> Change {
    let subject = Subject::Client(ClientId::new(client));
    let (until, since) = (Some(WallMs(until)), WallMs(7));
    Change::PutBan(Box::new(Ban { subject, until, since, by: ban::Author::Hand, reason: "it floods".into() }))
}

/// Something holds for queues of some names.
pub(crate) fn governed(name: &str, ready_max: u64) -> Change {
    let definition = PolicyDefinition { ready_max: Some(ready_max), ..PolicyDefinition::default() };
    let (name, pattern) = (PolicyName::new(name), "^q".into());
    Change::PutPolicy(Box::new(Policy {
        name,
        pattern,
        applies_to: AppliesTo::Queues,
        priority: -1,
        definition,
    }))
}

pub(crate) fn ungoverned(name: &str) -> Change {
    Change::DropPolicy(PolicyName::new(name))
}

pub(crate) fn let_in(client: &str) -> Change {
    Change::DropBan(Box::new(Subject::Client(ClientId::new(client))))
}
