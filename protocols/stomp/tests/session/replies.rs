//! `reply-to:/temp-queue/…`: what is asked of the broker, what others see, what comes back.

use model::key::RoutingKey;
use model::name::{ConsumerId, ExchangeName, QueueName};
use model::properties::{Properties, ReplyTo};
use model::request::{Operation, Request, Subscription, Target, Unsubscription};
use stomp::frame::Command;
use stomp::options::Options;
use stomp::version::Version;

use crate::harness::{Peer, delivery, from};

#[test]
fn a_new_name_in_reply_to_makes_a_queue_before_the_message_is_sent_and_an_old_one_does_not() {
    for version in [Version::V1_0, Version::V1_1, Version::V1_2] {
        let mut peer = Peer::online(version);
        let (subscription, first) = ask(&mut peer, "/temp-queue/answers");
        let subscription = subscription.expect("a queue");
        let Target::Replies(queue) = subscription.queue else { panic!("{:?}", subscription.queue) };
        assert!(QueueName::is_for_replies(queue.as_str()) && queue.as_str().len() > 32, "{queue}");
        assert!(subscription.source.is_none());
        assert!(!subscription.consumer.expect("a consumer").acknowledges, "sent is settled");
        let address = |queue: &QueueName| ReplyTo::Address {
            exchange: ExchangeName::DEFAULT,
            key: RoutingKey::from(queue.as_str()),
        };
        assert_eq!(first, address(&queue));
        // The same name is the same queue; another one is another.
        let (again, second) = ask(&mut peer, "/temp-queue/answers");
        assert!(again.is_none());
        assert_eq!(second, first);
        let (other, third) = ask(&mut peer, "/temp-queue/other");
        assert!(other.is_some());
        assert_ne!(third, first);
        // And nobody else has it.
        let (_, of_another) = ask(&mut Peer::online(version), "/temp-queue/answers");
        assert_ne!(of_another, first);
    }
}

#[test]
fn replies_come_under_the_name_that_the_client_gave() {
    let mut peer = Peer::online(Version::V1_2);
    let (consumer, key) = wait_at(&mut peer, "/temp-queue/답");
    let reply = from(ExchangeName::DEFAULT, &key, "42", None);
    peer.deliver(vec![delivery(consumer, 1, &reply.into())]);
    let message = peer.frame();
    assert_eq!(message.command, Command::Message);
    assert_eq!(message.header("subscription").unwrap(), "/temp-queue/답");
    assert_eq!(message.header("destination").unwrap(), &format!("/reply-queue/{key}"));
    assert!(message.header("ack").is_none(), "it is settled");
}

#[test]
fn who_receives_the_request_sees_where_he_can_send_the_reply() {
    let mut responder = Peer::online(Version::V1_2);
    let consumer = responder.subscribe("id:0\ndestination:/queue/work");
    let key = RoutingKey::from("amq.gen-0123");
    let reply_to = Some(ReplyTo::Address { exchange: ExchangeName::DEFAULT, key: key.clone() });
    let properties = Properties { reply_to: reply_to.clone(), ..Properties::default() };
    let request = from(ExchangeName::DEFAULT, "work", "?", Some(properties));
    responder.deliver(vec![delivery(consumer, 1, &request.into())]);
    let address = responder.frame().header("reply-to").unwrap().clone();
    assert_eq!(address, "/reply-queue/amq.gen-0123");
    responder.feed(&format!("SEND\ndestination:{address}\nx-message-ttl:5\n\n!\0"));
    let reply = responder.publish();
    assert_eq!((reply.exchange, reply.key), (ExchangeName::DEFAULT, key));
    assert!(reply.declare.is_none(), "a queue that is gone is not made again");
    // He may hand the request on.
    responder.feed(&format!("SEND\ndestination:/queue/b\nreply-to:{address}\n\n?\0"));
    assert_eq!(responder.publish().properties.unwrap().reply_to, reply_to);
}

#[test]
fn unsubscribe_with_its_name_ends_it_and_the_next_use_makes_another() {
    let mut peer = Peer::online(Version::V1_2);
    let (consumer, key) = wait_at(&mut peer, "/temp-queue/a");
    peer.feed("UNSUBSCRIBE\nid:/temp-queue/a\n\n\0");
    let (_, ending) = peer.unsubscription();
    assert_eq!(ending, Unsubscription::Consumer { id: consumer, delete_queue: false });
    assert_ne!(wait_at(&mut peer, "/temp-queue/a").1, key);
}

#[test]
fn there_are_only_so_many() {
    let options = Options { temporary_queues_max: 2, ..Options::default() };
    let mut peer = Peer::online_with(Version::V1_2, options, "");
    wait_at(&mut peer, "/temp-queue/a");
    wait_at(&mut peer, "/temp-queue/b");
    assert!(ask(&mut peer, "/temp-queue/a").0.is_none(), "one that is there may be used");
    let refused = peer.refused("SEND\ndestination:/queue/work\nreply-to:/temp-queue/c\n\n?\0");
    assert_eq!(refused, "Too many temporary queues");

    let options = Options { subscriptions_max: 1, ..Options::default() };
    let mut peer = Peer::online_with(Version::V1_2, options, "");
    peer.subscribe("id:0\ndestination:/topic/a");
    let refused = peer.refused("SEND\ndestination:/queue/work\nreply-to:/temp-queue/a\n\n?\0");
    assert_eq!(refused, "Too many subscriptions");
}

#[test]
fn a_temporary_queue_is_named_in_reply_to_and_nowhere_else() {
    for (frame, message) in [
        ("SUBSCRIBE\nid:0\ndestination:/temp-queue/a\n", "Unsupported destination"),
        ("SUBSCRIBE\nid:/temp-queue/a\ndestination:/topic/a\n", "Invalid header"),
        ("SEND\ndestination:/temp-queue/a\n", "Unsupported destination"),
        ("SEND\ndestination:/queue/a\nreply-to:/temp-queue/\n", "Invalid destination"),
        ("SEND\ndestination:/queue/a\nreply-to:/temp-queue/a/b\n", "Invalid destination"),
        ("UNSUBSCRIBE\nid:/temp-queue/a\n", "Subscription not found"),
    ] {
        assert_eq!(Peer::online(Version::V1_2).refused(&format!("{frame}\n\0")), message, "{frame}");
    }
    let long = "x".repeat(1024);
    let refused = Peer::online(Version::V1_2)
        .refused(&format!("SEND\ndestination:/queue/a\nreply-to:/temp-queue/{long}\n\n\0"));
    assert_eq!(refused, "Invalid header");
}

#[test]
fn in_a_transaction_the_queue_is_there_at_once() {
    let mut peer = Peer::online(Version::V1_2);
    peer.feed("BEGIN\ntransaction:t\n\n\0SEND\ndestination:/queue/work\nreply-to:/temp-queue/a\ntransaction:t\n\n?\0");
    let (_, subscription) = peer.subscription();
    let Target::Replies(queue) = subscription.queue else { panic!("{:?}", subscription.queue) };
    peer.feed("COMMIT\ntransaction:t\n\n\0");
    let key = RoutingKey::from(queue.as_str());
    let address = ReplyTo::Address { exchange: ExchangeName::DEFAULT, key };
    assert_eq!(peer.publish().properties.unwrap().reply_to, Some(address));
}

/// Sends a request whose reply is to come there: the queue that was made first, if one was, and what others see.
#[track_caller]
fn ask(peer: &mut Peer, name: &str) -> (Option<Subscription>, ReplyTo) {
    peer.feed(&format!("SEND\ndestination:/queue/work\nreply-to:{name}\n\n?\0"));
    let mut requests = peer.requests();
    let Some(Request::Submit(mut submit)) = requests.pop() else { panic!("no submit") };
    let Some(Operation::Publish(publish)) = submit.operations.pop() else { panic!("no publish") };
    let subscription = requests.pop().map(|request| {
        let Request::Subscribe(mut subscribe) = request else { panic!("{request:?}") };
        subscribe.subscriptions.remove(0)
    });
    assert!(requests.is_empty());
    (subscription, publish.properties.unwrap().reply_to.unwrap())
}

/// The consumer and the key of a temporary queue that is new.
#[track_caller]
fn wait_at(peer: &mut Peer, name: &str) -> (ConsumerId, String) {
    let (subscription, _) = ask(peer, name);
    let subscription = subscription.expect("a queue");
    let Target::Replies(queue) = subscription.queue else { panic!("{:?}", subscription.queue) };
    (subscription.consumer.expect("a consumer").id, queue.to_string())
}
