//! What is written is what is read, whatever it is; and no bytes at all make the reader panic.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use bytestring::ByteString;
use model::author::{Author, Footing};
use model::ban::{self, Ban, Subject};
use model::change::{
    BindingKey, Change, Changeset, Entry, Place, QueueRecord, Rested, SessionRecord, WillRecord,
};
use model::durability::Durability;
use model::grant::Grant;
use model::key::{KeyPattern, Level, RoutingKey};
use model::message::Message;
use model::name::{
    ClientId, ExchangeName, Incarnation, MessageId, NodeId, PolicyName, PublicationId, PublisherName,
    QueueId, QueueName, ShareName, UserName,
};
use model::policy::{AppliesTo, Policy, PolicyDefinition};
use model::principal::Principal;
use model::properties::{Properties, ReplyTo};
use model::qos::Qos;
use model::queue::{
    Binding, DeadLetter, ExchangeBinding, ExchangeKind, ExchangeOptions, HeaderMatch, MatchMode, Overflow,
    QueueArguments, QueueOptions,
};
use model::time::WallMs;
use model::wire_cache::WireCache;
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::select;
use smallvec::SmallVec;

use crate::record::message::{put_message, read_gist};
use crate::record::wire::RecordError;
use crate::record::{Item, Items, Note, put_changes, put_changeset, put_note};

proptest! {
    #[test]
    fn every_change_is_read_as_it_was_written(changes in vec(change(), 0..5)) {
        let changeset = Changeset { changes: changes.into() };
        let mut record = Vec::new();
        put_changeset(&mut record, &changeset);
        let read = read(&record).unwrap();
        prop_assert_eq!(format!("{:?}", changeset.changes), format!("{:?}", read));
        // Whatever is missing is missed, and whatever is too much is noticed.
        for cut in 0..record.len() {
            prop_assert!(self::read(&record[..cut]).is_err());
        }
        record.push(0);
        prop_assert_eq!(self::read(&record).unwrap_err(), RecordError::Long);
    }

    #[test]
    fn the_gist_of_a_message_is_what_it_says(message in message()) {
        let mut bytes = Vec::new();
        put_message(&mut bytes, &message);
        let gist = read_gist(&bytes).unwrap();
        prop_assert_eq!(gist.size_bytes, message.size_bytes());
        prop_assert_eq!((gist.published_at, gist.expires_at), (message.published_at, message.expires_at));
        prop_assert_eq!(gist.priority, message.properties.as_ref().and_then(|properties| properties.priority));
    }

    #[test]
    fn no_bytes_make_the_reader_panic(changes in vec(change(), 1..3), flips in vec(any::<(u16, u8)>(), 1..8)) {
        let mut record = Vec::new();
        put_changes(&mut record, &changes);
        for (at, bits) in flips {
            let at = usize::from(at) % record.len();
            record[at] ^= bits;
        }
        let _ = read(&record);
    }

    #[test]
    fn noise_makes_no_record(noise in vec(any::<u8>(), 0..200)) {
        let _ = read(&noise);
    }
}

#[test]
fn a_message_that_waits_and_is_retained_is_written_once() {
    let message = plain(&[7; 1000]);
    let changes = [
        Change::Enqueue { message: Arc::clone(&message), entries: SmallVec::new() },
        Change::Retain { message: Arc::clone(&message), author: None },
        Change::Retain { message, author: Some(Arc::new(kim())) },
    ];
    let mut record = Vec::new();
    put_changes(&mut record, &changes);
    assert!(record.len() < 1100, "{}", record.len());
    assert_eq!(format!("{changes:?}"), format!("{:?}", read(&record).unwrap().as_slice()));
}

#[test]
fn notes_are_read_as_they_were_written() {
    for note in [Note::Floor { queue: QueueId(u64::MAX), next: 7 }, Note::Incarnation(Incarnation(3))] {
        let mut record = Vec::new();
        put_note(&mut record, note);
        let item = Items::of(&record).unwrap().next().unwrap();
        assert!(matches!(item, Some(Item::Note(read)) if read == note));
    }
}

#[test]
fn what_was_retained_before_authors_were_kept_has_none() {
    let changes = [Change::Retain { message: plain(b"x"), author: None }];
    let mut record = Vec::new();
    put_changes(&mut record, &changes);
    // A version, a count, and the number that such a change has had from the first.
    assert_eq!(record[..3], [1, 1, 6]);
    assert_eq!(format!("{changes:?}"), format!("{:?}", read(&record).unwrap().as_slice()));
}

fn read(record: &[u8]) -> Result<Vec<Change>, RecordError> {
    let mut changes = Vec::new();
    let mut items = Items::of(record)?;
    while let Some(item) = items.next()? {
        changes.push(match item {
            Item::Enqueue { body, entries } => Change::Enqueue { message: body.read()?, entries },
            Item::Change(change) => change,
            Item::Note(_) => return Err(RecordError::Tag),
        });
    }
    Ok(changes)
}

fn change() -> impl Strategy<Value = Change> {
    let id = || any::<u64>().prop_map(QueueId);
    prop_oneof![
        (message(), vec(entry(), 0..4))
            .prop_map(|(message, entries)| Change::Enqueue { message, entries: entries.into() }),
        place().prop_map(Change::Receive),
        place().prop_map(Change::Remove),
        (text(), any::<u16>())
            .prop_map(|(client, id)| Change::Remember { client: ClientId::new(&client), id }),
        (text(), any::<u16>()).prop_map(|(client, id)| Change::Forget { client: ClientId::new(&client), id }),
        (text(), text(), any::<u64>()).prop_map(|(publisher, id, at)| Change::RememberPublication {
            publisher: PublisherName::new(&publisher),
            id: PublicationId::new(&id),
            at: WallMs(at),
        }),
        (text(), text()).prop_map(|(publisher, id)| Change::ForgetPublication {
            publisher: PublisherName::new(&publisher),
            id: PublicationId::new(&id),
        }),
        (message(), of(author()))
            .prop_map(|(message, author)| Change::Retain { message, author: author.map(Arc::new) }),
        (exchange_name(), text())
            .prop_map(|(exchange, key)| Change::Unretain { exchange, key: RoutingKey::new(key) }),
        session().prop_map(|session| Change::PutSession(Box::new(session))),
        text().prop_map(|client| Change::DropSession(ClientId::new(&client))),
        ban().prop_map(|ban| Change::PutBan(Box::new(ban))),
        subject().prop_map(|subject| Change::DropBan(Box::new(subject))),
        policy().prop_map(|policy| Change::PutPolicy(Box::new(policy))),
        text().prop_map(|name| Change::DropPolicy(PolicyName::new(&name))),
        exchange().prop_map(|exchange| Change::DeclareExchange(Box::new(exchange))),
        exchange_name().prop_map(Change::DeleteExchange),
        queue().prop_map(|queue| Change::DeclareQueue(Box::new(queue))),
        id().prop_map(Change::DeleteQueue),
        (id(), binding()).prop_map(|(queue, binding)| Change::Bind { queue, binding: Box::new(binding) }),
        (id(), binding()).prop_map(|(queue_id, binding)| {
            let Binding { exchange, pattern, arguments, queue, share, grant: _ } = binding;
            Change::Unbind(Box::new(BindingKey { exchange, pattern, arguments, share, queue, queue_id }))
        }),
        exchange_binding().prop_map(|binding| Change::BindExchange(Box::new(binding))),
        exchange_binding().prop_map(|binding| Change::UnbindExchange(Box::new(binding))),
    ]
}

fn author() -> impl Strategy<Value = Author> {
    let all = [Footing::Password, Footing::Token, Footing::TokenWithRules, Footing::Unlisted];
    (of(text()), of(text()), of(select(all.to_vec()))).prop_map(|(user, client, footing)| Author {
        user: user.map(|user| UserName::new(&user)),
        client: client.map(|client| ClientId::new(&client)),
        footing,
    })
}

fn plain(payload: &[u8]) -> Arc<Message> {
    Arc::new(Message {
        id: MessageId::default(),
        exchange: ExchangeName::TOPIC,
        key: RoutingKey::from("a"),
        payload: Bytes::copy_from_slice(payload),
        qos: Qos::AtLeastOnce,
        retain: true,
        persistent: true,
        publisher: None,
        published_at: WallMs(0),
        expires_at: None,
        properties: None,
        wire: WireCache::default(),
    })
}

fn kim() -> Author {
    Author { user: Some(UserName::new("kim")), client: None, footing: Some(Footing::Password) }
}

fn ban() -> impl Strategy<Value = Ban> {
    let by = select(vec![ban::Author::Hand, ban::Author::Failures, ban::Author::Flapping]);
    (subject(), of(any::<u64>()), any::<u64>(), by, text()).prop_map(|(subject, until, since, by, reason)| {
        Ban { subject, until: until.map(WallMs), since: WallMs(since), by, reason: reason.to_string().into() }
    })
}

fn policy() -> impl Strategy<Value = Policy> {
    let applies_to = select(vec![AppliesTo::Queues, AppliesTo::Exchanges, AppliesTo::All]);
    let numbers = (of(any::<u64>()), of(any::<u64>()), of(any::<u64>()), of(any::<u64>()), of(any::<u32>()));
    let words = (of(overflow()), of(exchange_name()), of(text()), of(durability()), of(exchange_name()));
    let numbers = (numbers, of(any::<u64>()));
    (text(), text(), applies_to, any::<i32>(), numbers, words).prop_map(
        |(name, pattern, applies_to, priority, numbers, words)| {
            let ((ready_max, ready_bytes_max, message_ttl_ms, expires_ms, delivery_limit), age_max_ms) =
                numbers;
            let (overflow, dead_letter_exchange, key, durability, alternate) = words;
            let definition = PolicyDefinition {
                ready_max,
                ready_bytes_max,
                age_max_ms,
                overflow,
                message_ttl_ms,
                expires_ms,
                dead_letter_exchange,
                dead_letter_key: key.map(|key| key.to_string().into()),
                delivery_limit,
                durability,
                alternate,
            };
            let (name, pattern) = (PolicyName::new(&name), pattern.to_string().into());
            Policy { name, pattern, applies_to, priority, definition }
        },
    )
}

fn subject() -> impl Strategy<Value = Subject> {
    prop_oneof![
        text().prop_map(|name| Subject::Client(ClientId::new(&name))),
        text().prop_map(|name| Subject::User(UserName::new(&name))),
        any::<IpAddr>().prop_map(Subject::ip),
    ]
}

fn text() -> impl Strategy<Value = ByteString> {
    "\\PC{0,12}".prop_map(ByteString::from)
}

fn exchange_name() -> impl Strategy<Value = ExchangeName> {
    prop_oneof![
        Just(ExchangeName::TOPIC),
        Just(ExchangeName::DEFAULT),
        text().prop_map(|text| ExchangeName::new(&text))
    ]
}

fn qos() -> impl Strategy<Value = Qos> {
    select(vec![Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce])
}

fn ids() -> impl Strategy<Value = SmallVec<[u32; 1]>> {
    vec(any::<u32>(), 0..3).prop_map(SmallVec::from)
}

fn place() -> impl Strategy<Value = Place> {
    any::<(u64, u64)>().prop_map(|(queue, sequence)| Place { queue: QueueId(queue), sequence })
}

fn entry() -> impl Strategy<Value = Entry> {
    let entry = (place(), qos(), any::<bool>(), ids(), of(author()));
    entry.prop_map(|(place, qos, retain, subscription_ids, author)| Entry {
        place,
        qos,
        retain,
        subscription_ids,
        author: author.map(Arc::new),
    })
}

fn message() -> impl Strategy<Value = Arc<Message>> {
    let body = (exchange_name(), text(), vec(any::<u8>(), 0..50), qos(), of(properties()));
    let rest = any::<(u16, u32, u64, bool, bool, u64, Option<u64>)>();
    (body, rest, of(text())).prop_map(|(body, rest, publisher)| {
        let (exchange, key, payload, qos, properties) = body;
        let (node, incarnation, number, retain, persistent, published_at, expires_at) = rest;
        Arc::new(Message {
            id: MessageId { node: NodeId(node), incarnation: Incarnation(incarnation), number },
            exchange,
            key: RoutingKey::new(key),
            payload: Bytes::from(payload),
            qos,
            retain,
            persistent,
            publisher: publisher.map(|client| ClientId::new(&client)),
            published_at: WallMs(published_at),
            expires_at: expires_at.map(WallMs),
            properties: properties.map(Box::new),
            wire: WireCache::default(),
        })
    })
}

fn properties() -> impl Strategy<Value = Properties> {
    let reply_to = prop_oneof![
        (exchange_name(), text())
            .prop_map(|(exchange, key)| ReplyTo::Address { exchange, key: RoutingKey::new(key) }),
        text().prop_map(ReplyTo::Text),
    ];
    let first = (of(text()), any::<Option<bool>>(), of(reply_to));
    let rest = (of(vec(any::<u8>(), 0..9)), any::<Option<u8>>(), vec((text(), text()), 0..3));
    (first, rest).prop_map(|((content_type, payload_is_text, reply_to), (correlation, priority, headers))| {
        Properties {
            content_type,
            payload_is_text,
            reply_to,
            correlation: correlation.map(Bytes::from),
            priority,
            headers,
        }
    })
}

fn session() -> impl Strategy<Value = SessionRecord> {
    let will = (message(), any::<Option<u64>>(), any::<u32>(), of(any::<u64>())).prop_map(
        |(message, expiry_ms, delay_s, waits_ms)| {
            Box::new(WillRecord { message, expiry_ms, delay_s, waits_ms: waits_ms.unwrap_or_default() })
        },
    );
    let owner = of(of(text()));
    let rest = any::<(u64, u32, Option<u64>, Option<u64>)>();
    (text(), owner, rest, of(will)).prop_map(|(client, owner, rest, will)| {
        let (queue, expiry_s, disconnected_at, sent_through) = rest;
        SessionRecord {
            client: ClientId::new(&client),
            owner: owner.map(|user| Principal { user: user.map(|user| UserName::new(&user)) }),
            queue: QueueId(queue),
            expiry_s,
            disconnected_at: disconnected_at.map(WallMs),
            sent_through,
            will,
        }
    })
}

fn exchange() -> impl Strategy<Value = ExchangeOptions> {
    let kinds = vec![ExchangeKind::Direct, ExchangeKind::Topic, ExchangeKind::Fanout, ExchangeKind::Headers];
    (exchange_name(), select(kinds), any::<(bool, bool, bool)>(), of(exchange_name())).prop_map(
        |(name, kind, (durable, auto_delete, internal), alternate)| ExchangeOptions {
            name,
            kind,
            durable,
            auto_delete,
            internal,
            alternate,
        },
    )
}

fn queue() -> impl Strategy<Value = QueueRecord> {
    let rest = any::<(u64, bool, bool, bool, Option<u64>, Option<u64>)>();
    let rested = any::<Option<(u32, u64)>>().prop_map(|rested| {
        rested.map(|(life, sent_through)| Rested { life: Incarnation(life), sent_through })
    });
    (text(), rest, of(queue_arguments()), rested).prop_map(|(name, rest, arguments, rested)| {
        let (id, durable, exclusive, auto_delete, ready_max, ready_bytes_max) = rest;
        let options = QueueOptions {
            name: QueueName::new(&name),
            durable,
            exclusive,
            auto_delete,
            ready_max,
            ready_bytes_max,
            arguments: arguments.map(Box::new),
        };
        QueueRecord { id: QueueId(id), options, rested }
    })
}

fn queue_arguments() -> impl Strategy<Value = QueueArguments> {
    let dead_letter = (exchange_name(), of(text()))
        .prop_map(|(exchange, key)| DeadLetter { exchange, key: key.map(RoutingKey::new) });
    let rest = any::<(Option<u64>, Option<u64>, Option<u8>, Option<u32>, bool, bool, Option<u64>)>();
    let all = (of(overflow()), of(dead_letter), of(durability()), rest);
    all.prop_map(|(overflow, dead_letter, durability, rest)| {
        let (message_ttl_ms, expires_ms, priority_max, delivery_limit, single_active, stream, age_max_ms) =
            rest;
        QueueArguments {
            message_ttl_ms,
            expires_ms,
            overflow,
            dead_letter,
            priority_max,
            delivery_limit,
            single_active: single_active && !stream,
            durability,
            stream,
            age_max_ms: age_max_ms.filter(|_| stream),
        }
    })
}

fn overflow() -> impl Strategy<Value = Overflow> {
    select(vec![Overflow::DropHead, Overflow::RejectPublish, Overflow::RejectPublishDlx, Overflow::DropNew])
}

fn durability() -> impl Strategy<Value = Durability> {
    select(vec![Durability::Disk, Durability::Os, Durability::Memory])
}

fn exchange_binding() -> impl Strategy<Value = ExchangeBinding> {
    (binding(), exchange_name()).prop_map(|(binding, to)| {
        let Binding { exchange, pattern, arguments, .. } = binding;
        ExchangeBinding { exchange, pattern, arguments, to }
    })
}

fn binding() -> impl Strategy<Value = Binding> {
    let level = prop_oneof![
        Just(Level::One),
        Just(Level::Many),
        text().prop_map(|text| Level::Literal((*text).into()))
    ];
    let modes = vec![MatchMode::All, MatchMode::Any, MatchMode::AllWithX, MatchMode::AnyWithX];
    let arguments = (select(modes), vec((text(), of(text())), 0..3))
        .prop_map(|(mode, wanted)| HeaderMatch { mode, wanted });
    let grant = (qos(), ids(), durability(), any::<(bool, bool)>());
    let grant = grant.prop_map(|(qos, subscription_ids, durability, rest)| {
        let (no_local, retain_as_published) = rest;
        Grant { qos, subscription_ids, no_local, retain_as_published, durability }
    });
    let first = (exchange_name(), vec(level, 0..4), arguments);
    (first, text(), of(text()), grant).prop_map(|((exchange, levels, arguments), queue, share, grant)| {
        Binding {
            exchange,
            pattern: KeyPattern::new(levels),
            arguments,
            queue: QueueName::new(&queue),
            share: share.map(|share| ShareName::new(&share)),
            grant,
        }
    })
}
