//! SUBSCRIBE and UNSUBSCRIBE.

use model::delivery::Delivery;
use model::durability::Durability;
use model::event::Event;
use model::key::{KeyPattern, Level};
use model::name::{ConsumerId, ExchangeName, QueueName};
use model::queue::{
    DeadLetter, HeaderMatch, MatchMode, Named, Overflow, QueueArguments, QueueDeclaration, QueueOptions,
};
use model::refusal::Refusal;
use model::request::{Replay, Source, Target, Unsubscription};
use model::stream::Start;
use stomp::options::Options;
use stomp::version::Version;

use crate::harness::{Peer, delivery, text, topic};

fn source(peer: &mut Peer, headers: &str) -> (Source, Target) {
    peer.feed(&format!("SUBSCRIBE\n{headers}\n\n\0"));
    let (_, subscription) = peer.subscription();
    assert_eq!(subscription.retained, Replay::Never);
    (subscription.source.unwrap(), subscription.queue)
}

fn queue(name: &str) -> QueueOptions {
    QueueOptions {
        name: QueueName::new(name),
        durable: true,
        exclusive: false,
        auto_delete: false,
        ready_max: None,
        ready_bytes_max: None,
        arguments: None,
    }
}

#[test]
fn a_topic_is_bound_to_a_queue_of_its_own() {
    let mut peer = Peer::online(Version::V1_2);
    let (source, target) = source(&mut peer, "id:0\ndestination:/topic/a.*.#.b*\nfoo:bar");
    assert_eq!(source.exchange, ExchangeName::TOPIC);
    let levels = [Level::Literal("a".into()), Level::One, Level::Many, Level::Literal("b*".into())];
    assert_eq!(source.pattern.levels(), levels);
    assert_eq!(source.arguments, HeaderMatch::default());
    assert_eq!(source.share, None);
    assert_eq!(target, Target::Private);
}

#[test]
fn an_exchange_is_bound_with_its_key() {
    let mut peer = Peer::online(Version::V1_2);
    let (with_key, target) = source(&mut peer, "id:0\ndestination:/exchange/chat.exchange/room.1");
    assert_eq!(with_key.exchange, ExchangeName::new("chat.exchange"));
    assert_eq!(
        with_key.pattern,
        KeyPattern::new(vec![Level::Literal("room".into()), Level::Literal("1".into())])
    );
    assert_eq!(target, Target::Private);
    let (without, _) = source(&mut peer, "id:1\ndestination:/exchange/amq.fanout");
    assert_eq!(without.pattern, KeyPattern::new(vec![Level::Literal("".into())]));
}

#[test]
fn other_headers_are_arguments_of_a_headers_exchange() {
    let mut peer = Peer::online(Version::V1_2);
    let headers = "id:0\ndestination:/exchange/amq.headers\nx-match:any\ncolor:red\ncolor:blue\nsize:\nack:client\nreceipt:1\nprefetch-count:5\nAuthorization:t";
    let (source, _) = source(&mut peer, headers);
    assert_eq!(source.arguments.mode, MatchMode::Any);
    assert_eq!(source.arguments.wanted, [("color".into(), Some("red".into())), ("size".into(), None)]);
    let message = peer.refused("SUBSCRIBE\nid:1\ndestination:/exchange/amq.headers\nx-match:some\n\n\0");
    assert_eq!(message, "Invalid header");
}

#[test]
fn queues_are_made_by_queue_and_found_by_amq_queue() {
    let mut peer = Peer::online(Version::V1_2);
    for (destination, target) in [
        ("/queue/chat.queue", Target::Declare(Box::new(queue("chat.queue").into()))),
        ("chat.queue2", Target::Declare(Box::new(queue("chat.queue2").into()))),
        ("/amq/queue/chat.queue", Target::Existing(QueueName::new("chat.queue"))),
    ] {
        peer.feed(&format!("SUBSCRIBE\nid:{destination}\ndestination:{destination}\n\n\0"));
        let (_, subscription) = peer.subscription();
        assert_eq!(subscription.queue, target);
        assert_eq!(subscription.source, None);
    }
    peer.feed("SUBSCRIBE\nid:9\ndestination:/queue/q\nauto-delete:true\nexclusive:true\n\n\0");
    let options = QueueOptions { auto_delete: true, exclusive: true, ..queue("q") };
    let named = Named { exclusive: true, auto_delete: true, ..Named::default() };
    let target = Target::Declare(Box::new(QueueDeclaration { options, named }));
    assert_eq!(peer.subscription().1.queue, target);
}

#[test]
fn a_durable_topic_subscription_keeps_its_queue() {
    let mut peer = Peer::online(Version::V1_2);
    for header in ["durable", "persistent"] {
        let headers = format!("id:ann/%1\ndestination:/topic/a.b\n{header}:true\nauto-delete:false");
        let (_, target) = source(&mut peer, &headers);
        let named = Named { durable: header == "durable", auto_delete: true, ..Named::default() };
        let options = queue("stomp.ann%2F%251./topic/a.b");
        assert_eq!(target, Target::Declare(Box::new(QueueDeclaration { options, named })));
        peer.feed(&format!("UNSUBSCRIBE\nid:ann/%1\n{header}:true\n\n\0"));
        let id = ConsumerId(if header == "durable" { 1 } else { 2 });
        assert_eq!(peer.unsubscription().1, Unsubscription::Consumer { id, delete_queue: true });
    }
    let (_, target) = source(&mut peer, "id:2\ndestination:/topic/a.b\ndurable:true");
    let auto_delete = QueueOptions { auto_delete: true, ..queue("stomp.2./topic/a.b") };
    let named = Named { durable: true, ..Named::default() };
    assert_eq!(target, Target::Declare(Box::new(QueueDeclaration { options: auto_delete, named })));
    peer.feed("UNSUBSCRIBE\nid:2\n\n\0");
    let kept = Unsubscription::Consumer { id: ConsumerId(3), delete_queue: false };
    assert_eq!(peer.unsubscription().1, kept);
    assert_eq!(peer.refused("SUBSCRIBE\ndestination:/topic/a\ndurable:true\n\n\0"), "Missing Header");
}

#[test]
fn a_queue_behind_a_topic_may_have_a_name() {
    let mut peer = Peer::online(Version::V1_2);
    let (_, target) = source(&mut peer, "id:0\ndestination:/topic/a\nx-queue-name:mine");
    let options = QueueOptions { durable: false, auto_delete: true, ..queue("mine") };
    assert_eq!(target, Target::Declare(Box::new(options.into())));
    let long = format!("SUBSCRIBE\nid:1\ndestination:/topic/a\nx-queue-name:{}\n\n\0", "q".repeat(256));
    assert_eq!(peer.refused(&long), "Invalid header");
}

#[test]
fn ack_and_prefetch_make_the_consumer() {
    let mut peer = Peer::online(Version::V1_2);
    for (headers, acknowledges, prefetch) in [
        ("", false, None),
        ("ack:auto\n", false, None),
        ("ack:client\nprefetch-count:10\n", true, Some(10)),
        ("ack:client-individual\nprefetch-count:0\n", true, None),
        ("ack:client\nprefetch-count:99999999999\n", true, Some(u32::MAX)),
    ] {
        peer.feed(&format!(
            "SUBSCRIBE\nid:{acknowledges}{prefetch:?}{}\ndestination:/topic/a\n{headers}\n\0",
            headers.len()
        ));
        let consumer = peer.subscription().1.consumer.unwrap();
        assert_eq!((consumer.acknowledges, consumer.prefetch), (acknowledges, prefetch), "{headers}");
    }
    for header in ["ack:maybe", "ack:", "prefetch-count:x"] {
        let mut peer = Peer::online(Version::V1_2);
        assert_eq!(
            peer.refused(&format!("SUBSCRIBE\nid:0\ndestination:/topic/a\n{header}\n\n\0")),
            "Invalid header"
        );
    }
}

#[test]
fn what_is_not_done_is_refused_and_not_ignored() {
    for header in ["x-queue-mode:lazy", "selector:a = 1", "x-queue-type:quorum", "x-message-ttl:soon"] {
        for frame in [
            format!("SUBSCRIBE\nid:0\ndestination:/queue/a\n{header}\n\n\0"),
            format!("SUBSCRIBE\nid:0\ndestination:/topic/a\n{header}\n\n\0"),
            format!("SEND\ndestination:/queue/a\n{header}\n\n\0"),
        ] {
            assert_eq!(Peer::online(Version::V1_2).refused(&frame), "Invalid header", "{frame}");
        }
    }
    let mut peer = Peer::online(Version::V1_2);
    peer.feed("SUBSCRIBE\nid:0\ndestination:/queue/a\nx-queue-type:classic\n\n\0");
    peer.subscription();
}

#[test]
fn queue_arguments_are_read_from_headers() {
    let headers = concat!(
        "x-message-ttl:1\nx-expires:2\nx-max-length:3\nx-max-length-bytes:4\nx-overflow:reject-publish-dlx\n",
        "x-dead-letter-exchange:dlx\nx-dead-letter-routing-key:a.b\nx-max-priority:5\nx-delivery-limit:6\n",
        "x-message-ttl:9\nx-queue-type:classic\nx-durability:os",
    );
    let key = |text: &str| Some(model::key::RoutingKey::from(text));
    let arguments = QueueArguments {
        message_ttl_ms: Some(1),
        expires_ms: Some(2),
        overflow: Some(Overflow::RejectPublishDlx),
        dead_letter: Some(DeadLetter { exchange: ExchangeName::new("dlx"), key: key("a/b") }),
        priority_max: Some(5),
        delivery_limit: Some(6),
        single_active: false,
        durability: Some(Durability::Os),
        stream: false,
        age_max_ms: None,
    };
    let named = Named { stream: true, ..Named::default() };
    let wanted = QueueOptions { ready_max: Some(3), ready_bytes_max: Some(4), ..queue("q") };
    let wanted = wanted.with(|all| *all = arguments.clone());
    let mut peer = Peer::online(Version::V1_2);
    peer.feed(&format!("SUBSCRIBE\nid:0\ndestination:/queue/q\n{headers}\n\n\0"));
    assert_eq!(
        peer.subscription().1.queue,
        Target::Declare(Box::new(QueueDeclaration { options: wanted.clone(), named }))
    );
    peer.feed(&format!("SEND\ndestination:/queue/q\n{headers}\n\n\0"));
    let publish = peer.publish();
    // Of SEND it is the message that is to outlive so much, and not all that will come into the queue.
    let wanted = wanted.with(|all| all.durability = None);
    assert_eq!(publish.declare.as_deref(), Some(&QueueDeclaration { options: wanted, named }));
    let own = [("x-durability".into(), "os".into())];
    assert_eq!(publish.properties.unwrap().headers, own, "all others are no part of the message");
    // A queue of a subscription's own may be bounded as well.
    peer.feed(&format!("SUBSCRIBE\nid:1\ndestination:/topic/q\n{headers}\n\n\0"));
    let Target::Declare(own) = peer.subscription().1.queue else { panic!("a queue of its own") };
    assert!(own.options.exclusive && own.options.auto_delete && !own.options.durable);
    assert_eq!(own.options.arguments.as_deref(), Some(&arguments));
    // The keys of the default exchange are names of queues: their dots are plain dots.
    let headers = "x-dead-letter-exchange:\nx-dead-letter-routing-key:a.b";
    peer.feed(&format!("SUBSCRIBE\nid:2\ndestination:/queue/r\n{headers}\n\n\0"));
    let Target::Declare(other) = peer.subscription().1.queue else { panic!("a queue") };
    let to = other.options.arguments.unwrap().dead_letter.unwrap();
    assert_eq!((to.exchange, to.key), (ExchangeName::DEFAULT, key("a.b")));
}

#[test]
fn a_stream_is_declared_and_read_from_where_a_header_says_and_messages_say_their_offset() {
    let mut peer = Peer::online(Version::V1_2);
    let stream = "x-queue-type:stream\nx-max-age:7D\nx-stream-offset:last=50";
    peer.feed(&format!("SUBSCRIBE\nid:0\ndestination:/queue/s\n{stream}\n\n\0"));
    let subscription = peer.subscription().1;
    let consumer = subscription.consumer.unwrap();
    assert_eq!(consumer.start, Some(Start::Last(50)));
    let Target::Declare(asked) = subscription.queue else { panic!("a queue") };
    let arguments = asked.options.arguments.unwrap();
    assert_eq!((arguments.stream, arguments.age_max_ms), (true, Some(7 * 86_400_000)));
    let message = topic("a", "x");
    peer.deliver(vec![Delivery { offset: Some(17), ..delivery(consumer.id, 0, &message) }]);
    assert_eq!(&**peer.frame().header("x-stream-offset").unwrap(), "17");
    // One that is bound to keys stays as well.
    let named = "x-queue-name:n\nx-queue-type:stream";
    peer.feed(&format!("SUBSCRIBE\nid:1\ndestination:/topic/a\n{named}\n\n\0"));
    let Target::Declare(asked) = peer.subscription().1.queue else { panic!("a queue") };
    assert!(asked.options.durable && !asked.options.auto_delete && !asked.options.exclusive);
    for wrong in ["x-stream-offset:-50", "x-max-age:7", "x-queue-type:quorum", "x-stream-filter:a"] {
        let frame = format!("SUBSCRIBE\nid:0\ndestination:/queue/s\n{wrong}\n\n\0");
        assert_eq!(Peer::online(Version::V1_2).refused(&frame), "Invalid header", "{wrong}");
    }
}

#[test]
fn the_receipt_comes_when_the_subscription_holds() {
    let mut peer = Peer::online(Version::V1_2);
    peer.feed("SUBSCRIBE\nid:0\ndestination:/topic/a\nreceipt:s\n\n\0");
    let (ticket, _) = peer.subscription();
    assert!(peer.frames().is_empty());
    peer.notify(Event::Subscribed { ticket, results: vec![Ok(model::qos::Qos::ExactlyOnce)] });
    assert_eq!(peer.receipts(), ["s"]);
    peer.feed("UNSUBSCRIBE\nid:0\nreceipt:u\n\n\0");
    let (ticket, _) = peer.unsubscription();
    assert!(peer.frames().is_empty());
    peer.notify(Event::Unsubscribed { ticket, existed: vec![true] });
    assert_eq!(peer.receipts(), ["u"]);
}

#[test]
fn a_refused_subscription_is_an_error_without_receipt() {
    let mut peer = Peer::online(Version::V1_2);
    peer.feed("SUBSCRIBE\nid:0\ndestination:/amq/queue/x\nreceipt:s\n\n\0");
    let (ticket, _) = peer.subscription();
    peer.notify(Event::Subscribed { ticket, results: vec![Err(Refusal::NoQueue(QueueName::new("x")))] });
    let frames = peer.frames();
    assert_eq!(frames.len(), 1);
    assert_eq!(frames[0].header("receipt-id").unwrap(), "s");
    assert!(text(&frames[0]).contains("in STOMP use /queue/x, which makes it"));
    assert!(!peer.is_open());
}

#[test]
fn an_id_is_wanted_only_where_the_configuration_is_strict() {
    // STOMP 1.2, "SUBSCRIBE id Header"; many clients leave it out.
    for version in Version::ALL {
        let mut peer = Peer::online(version);
        peer.subscribe("destination:/topic/a");
    }
    let strict = || Options { strict: true, ..Options::default() };
    for version in [Version::V1_1, Version::V1_2] {
        let mut peer = Peer::online_with(version, strict(), "");
        peer.feed("SUBSCRIBE\ndestination:/subscribe/chat/room/5\n\n\0");
        let error = peer.error();
        assert_eq!(error.header("message").unwrap(), "SUBSCRIBE needs header id (STOMP 1.1+)");
        assert!(text(&error).contains("destination:/subscribe/chat/room/5"));
    }
    Peer::online_with(Version::V1_0, strict(), "").subscribe("destination:/topic/a");
}

#[test]
fn a_name_is_used_once_at_a_time() {
    // STOMP 1.2, "SUBSCRIBE id Header"
    let mut peer = Peer::online(Version::V1_2);
    peer.subscribe("id:0\ndestination:/topic/a");
    peer.subscribe("destination:/topic/a");
    peer.feed("UNSUBSCRIBE\nid:0\n\n\0");
    peer.unsubscription();
    peer.subscribe("id:0\ndestination:/topic/b");
    let message = peer.refused("SUBSCRIBE\nid:0\ndestination:/topic/c\n\n\0");
    assert_eq!(message, "Duplicated subscription identifier");
}

#[test]
fn without_id_a_subscription_ends_by_its_destination() {
    let mut peer = Peer::online(Version::V1_1);
    let id = peer.subscribe("destination:/queue/a");
    peer.feed("UNSUBSCRIBE\ndestination:/queue/a\n\n\0");
    assert_eq!(peer.unsubscription().1, Unsubscription::Consumer { id, delete_queue: false });
    assert_eq!(peer.refused("UNSUBSCRIBE\ndestination:/queue/a\n\n\0"), "Subscription not found");
    let mut peer = Peer::online(Version::V1_1);
    peer.subscribe("id:0\ndestination:/queue/a");
    assert_eq!(peer.refused("UNSUBSCRIBE\ndestination:/queue/a\n\n\0"), "Subscription not found");
    assert_eq!(Peer::online(Version::V1_1).refused("UNSUBSCRIBE\nid:7\n\n\0"), "Subscription not found");
    assert_eq!(Peer::online(Version::V1_1).refused("UNSUBSCRIBE\n\n\0"), "Missing Header");
}

#[test]
fn what_was_on_its_way_still_arrives_until_the_end_is_confirmed() {
    let mut peer = Peer::online(Version::V1_2);
    let consumer = peer.subscribe("id:0\ndestination:/topic/a");
    peer.feed("UNSUBSCRIBE\nid:0\n\n\0");
    let (ticket, _) = peer.unsubscription();
    peer.deliver(vec![delivery(consumer, 0, &topic("a", "x"))]);
    assert_eq!(peer.frames().len(), 1);
    peer.notify(Event::Unsubscribed { ticket, existed: vec![true] });
    peer.deliver(vec![delivery(consumer, 0, &topic("a", "x"))]);
    assert!(peer.frames().is_empty() && peer.is_open());
}

#[test]
fn a_lost_queue_ends_the_connection() {
    let mut peer = Peer::online(Version::V1_2);
    let consumer = peer.subscribe("id:s:1\ndestination:/queue/a");
    peer.notify(Event::ConsumerCancelled(consumer));
    let error = peer.error();
    assert_eq!(error.header("message").unwrap(), "Server cancelled subscription");
    assert_eq!(error.header("subscription").unwrap(), "s:1");
}

#[test]
fn subscriptions_have_a_limit() {
    let options = Options { subscriptions_max: 1, ..Options::default() };
    let mut peer = Peer::online_with(Version::V1_2, options, "");
    peer.subscribe("id:0\ndestination:/topic/a");
    assert_eq!(peer.refused("SUBSCRIBE\nid:1\ndestination:/topic/a\n\n\0"), "Too many subscriptions");
    let long = format!("SUBSCRIBE\nid:{}\ndestination:/topic/a\n\n\0", "i".repeat(1025));
    assert_eq!(Peer::online(Version::V1_2).refused(&long), "Invalid header");
}
