//! What a client says that goes to very many is done in portions, between which others have their turn: nothing of it is lost,
//! doubled or out of order.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Wake, Waker};

use engine::Broker;
use model::qos::Qos;
use model::request::{Close, Operation, Request, Submit, Ticket};

use crate::client::{Client, publish, start_without_store, texts};

#[tokio::test]
async fn what_goes_to_very_many_is_handed_over_in_portions_and_in_its_order() {
    let broker = start_without_store(Arc::default());
    let mut subscribers = crowd(&broker).await;
    let mut publisher = Client::open(&broker, "pub", true, 0).await;
    let mut requests: Vec<Request> = (0..MESSAGES).map(said).collect();
    publisher.link.ask(&mut requests, &mut publisher.events);
    assert!(requests.is_empty(), "the link has them");
    assert!(publisher.link.is_unfinished() && publisher.link.is_held_up());
    let mut got: Vec<Vec<String>> = subscribers.iter_mut().map(|one| texts(&one.take())).collect();
    let first = got.first().map_or(0, Vec::len);
    assert!((1..MESSAGES).contains(&first), "{first} of them at once");

    // Somebody else is not behind all of it, and what the client says next is.
    let mut other = Client::open(&broker, "other", true, 0).await;
    other.subscribe("other", Qos::AtMostOnce).await;
    assert_eq!(other.publish("other", "meanwhile", Qos::AtMostOnce, None).await, Ok(true));
    assert_eq!(texts(&other.take()), ["meanwhile"]);
    publisher.link.ask(&mut vec![said(MESSAGES)], &mut publisher.events);

    let mut portions = 1;
    while publisher.link.is_unfinished() {
        publisher.poll().await;
        portions += 1;
        assert!(portions < 1_000, "there is an end to it");
    }
    assert!(portions > 3, "{portions}");
    assert!(!publisher.link.is_held_up() && publisher.link.backlog() == 0);
    let expected: Vec<String> = (0..=MESSAGES).map(|number| number.to_string()).collect();
    for (subscriber, got) in subscribers.iter_mut().zip(&mut got) {
        got.extend(texts(&subscriber.take()));
        assert_eq!(*got, expected);
    }
}

#[tokio::test]
async fn no_more_are_woken_at_once_than_others_can_wait_for() {
    let broker = start_without_store(Arc::default());
    let mut subscribers = crowd(&broker).await;
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(Arc::clone(&woken));
    for subscriber in &mut subscribers {
        let _ = subscriber.link.poll(&mut Context::from_waker(&waker), &mut subscriber.events);
    }
    let before = woken.0.load(Ordering::Relaxed);
    let count = || woken.0.load(Ordering::Relaxed) - before;
    let mut publisher = Client::open(&broker, "pub", true, 0).await;
    publisher.link.ask(&mut vec![said(0)], &mut publisher.events);
    let mut counts = vec![count()];
    while publisher.link.is_unfinished() {
        publisher.poll().await;
        counts.push(count());
    }
    assert!(counts.len() > 2, "{counts:?}");
    let last = counts.iter().scan(0, |before, now| Some(now - std::mem::replace(before, *now)));
    assert!(last.max().is_some_and(|most| most <= 128), "{counts:?}");
    assert_eq!(count(), subscribers.len());
}

#[tokio::test]
async fn whoever_leaves_has_said_all_before() {
    let broker = start_without_store(Arc::default());
    let mut subscribers = crowd(&broker).await;
    let mut publisher = Client::open(&broker, "pub", true, 0).await;
    let mut requests: Vec<Request> = (0..MESSAGES).map(said).collect();
    requests.push(Request::Close(Close { discard_will: true, expiry_s: None }));
    publisher.link.ask(&mut requests, &mut publisher.events);
    // Its next connection is there before anybody has looked again.
    let _again = Client::open(&broker, "pub", true, 0).await;
    for subscriber in &mut subscribers {
        assert_eq!(subscriber.take().len(), MESSAGES);
    }
}

/// As the end of a connection finds it that is lost.
#[tokio::test]
async fn what_was_said_before_a_connection_was_lost_is_finished() {
    let broker = start_without_store(Arc::default());
    let mut subscribers = crowd(&broker).await;
    let mut publisher = Client::open(&broker, "pub", true, 0).await;
    let mut requests: Vec<Request> = (0..MESSAGES).map(said).collect();
    publisher.link.ask(&mut requests, &mut publisher.events);
    assert!(publisher.link.is_busy());
    publisher.link.finish().await;
    for subscriber in &mut subscribers {
        assert_eq!(subscriber.take().len(), MESSAGES);
    }
}

async fn crowd(broker: &Broker) -> Vec<Client> {
    let mut crowd = Vec::new();
    for number in 0..300 {
        let mut one = Client::open(broker, &format!("sub-{number}"), true, 0).await;
        one.subscribe("a", Qos::AtMostOnce).await;
        crowd.push(one);
    }
    crowd
}

fn said(number: usize) -> Request {
    let publish = Operation::Publish(publish("a", &number.to_string(), Qos::AtMostOnce, None));
    Request::Submit(Submit { ticket: Ticket(2), answer: false, operations: [publish].into_iter().collect() })
}

#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// To 300 clients each: several times what is handed over in one turn.
const MESSAGES: usize = 40;
