//! A queue that holds little of what waits in it delivers like one that holds everything.

use std::sync::Arc;
use std::time::Duration;

use engine::{Options, Pool, Resident};
use model::delivery::{Delivery, Outcome};
use model::qos::Qos;

use crate::client::{Client, crash, start_limited, texts};

#[tokio::test]
async fn everything_comes_in_order_and_goes_on_where_a_crash_left_it() {
    let directory = tempfile::tempdir().unwrap();
    let (broker, store) = start_limited(storage::Options::new(directory.path()), little());
    let mut ann = Client::open(&broker, "ann", true, 3600).await;
    ann.subscribe("a", Qos::ExactlyOnce).await;
    drop(ann);
    let mut bob = Client::open(&broker, "bob", true, 0).await;
    for number in 0..300 {
        let qos = [Qos::AtLeastOnce, Qos::ExactlyOnce][number % 2];
        assert_eq!(bob.publish("a", &number.to_string(), qos, None).await, Ok(true));
    }
    let mut ann = Client::open(&broker, "ann", false, 3600).await;
    let first = some(&mut ann, 120).await;
    assert_eq!(texts(&first), numbers(0..120));
    assert!(first.iter().all(|delivery| delivery.attempts == 0), "sent before");
    // What is published now comes behind all that waits.
    for number in 300..320 {
        assert_eq!(bob.publish("a", &number.to_string(), Qos::AtLeastOnce, None).await, Ok(true));
    }
    for delivery in &first[..50] {
        ann.settle(delivery, Outcome::Accepted);
    }
    for delivery in first[50..60].iter().filter(|delivery| delivery.qos == Qos::ExactlyOnce) {
        ann.settle(delivery, Outcome::Received);
    }
    // An answer behind them: they are on the disk.
    assert_eq!(ann.publish("nobody/listens", "-", Qos::AtLeastOnce, None).await, Ok(false));
    // The rest comes in the old order when its client comes again.
    drop(ann);
    let mut ann = Client::open(&broker, "ann", false, 3600).await;
    let again = some(&mut ann, 270).await;
    assert_eq!(texts(&again), numbers(50..320));
    check_attempts(&again, 70);
    let copy = crash(directory.path());
    drop((ann, bob, broker));
    store.close();

    let (broker, _store) = start_limited(storage::Options::new(copy.path()), little());
    let mut ann = Client::open(&broker, "ann", false, 3600).await;
    let rest = some(&mut ann, 270).await;
    assert_eq!(texts(&rest), numbers(50..320));
    // Nobody knows what of it was sent before the crash.
    check_attempts(&rest, 270);
    let received = rest.iter().filter(|delivery| delivery.stage == model::delivery::Stage::Received);
    assert_eq!(texts(&received.cloned().collect::<Vec<_>>()), ["51", "53", "55", "57", "59"]);
    for delivery in &rest {
        ann.settle(delivery, Outcome::Accepted);
    }
    assert_eq!(ann.publish("a", "last", Qos::AtLeastOnce, None).await, Ok(true));
    assert_eq!(texts(&some(&mut ann, 1).await), ["last"]);
}

#[tokio::test]
async fn what_expires_unread_is_counted_and_the_rest_comes() {
    let directory = tempfile::tempdir().unwrap();
    let (broker, _store) = start_limited(storage::Options::new(directory.path()), little());
    let mut ann = Client::open(&broker, "ann", true, 3600).await;
    ann.subscribe("a", Qos::AtLeastOnce).await;
    drop(ann);
    let mut bob = Client::open(&broker, "bob", true, 0).await;
    for number in 0..100 {
        let expiry_ms = (number % 2 == 0).then_some(1);
        let publish = model::request::Publish {
            expiry_ms,
            ..crate::client::publish("a", &number.to_string(), Qos::AtLeastOnce, None)
        };
        assert_eq!(bob.submit(vec![model::request::Operation::Publish(publish)]).await, Ok(true));
    }
    tokio::time::sleep(Duration::from_millis(20)).await;
    let mut ann = Client::open(&broker, "ann", false, 3600).await;
    let odd: Vec<String> = (0..50).map(|number| (2 * number + 1).to_string()).collect();
    assert_eq!(texts(&some(&mut ann, 50).await), odd);
}

#[tokio::test]
async fn where_all_queues_hold_what_they_may_everything_comes_in_order_all_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let pool = Arc::new(Pool::new(16 << 10));
    let options = Options { pool: Arc::clone(&pool), ..Options::default() };
    let (broker, _store) = start_limited(storage::Options::new(directory.path()), options);
    let names = ["ann", "ben", "cid", "dan"];
    for name in names {
        Client::open(&broker, name, true, 3600).await.subscribe("a", Qos::AtLeastOnce).await;
    }
    let mut bob = Client::open(&broker, "bob", true, 0).await;
    for number in 0..200_u32 {
        let text = format!("{number}{}", " ".repeat(400));
        assert_eq!(bob.publish("a", &text, Qos::AtLeastOnce, None).await, Ok(true));
    }
    // Each has a little more than it counted for, and one message at least.
    assert!(pool.bytes() < 40 << 10, "{}", pool.bytes());
    for name in names {
        let mut client = Client::open(&broker, name, false, 3600).await;
        let texts: Vec<String> =
            texts(&some(&mut client, 200).await).iter().map(|text| text.trim().to_owned()).collect();
        assert_eq!(texts, numbers(0..200));
    }
}

/// Of each queue eight messages.
fn little() -> Options {
    Options { resident: Resident { messages_max: 8, bytes_max: 1 << 20 }, ..Options::default() }
}

/// The first of them, so many, were delivered before.
#[track_caller]
fn check_attempts(deliveries: &[Delivery], again: usize) {
    let attempted = deliveries.iter().map(|delivery| delivery.attempts > 0);
    assert!(attempted.eq((0..deliveries.len()).map(|at| at < again)), "the first {again} come again");
}

fn numbers(numbers: std::ops::Range<u32>) -> Vec<String> {
    numbers.map(|number| number.to_string()).collect()
}

/// Waits for so many deliveries, and that there are no more at once.
async fn some(client: &mut Client, count: usize) -> Vec<Delivery> {
    let mut all = Vec::new();
    while all.len() < count {
        let before = all.len();
        for _ in 0..1000 {
            client.link.take(count - before, &mut all);
            if all.len() > before {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert!(all.len() > before, "{} of {count} came", all.len());
    }
    all
}
