//! Retained messages while the disk is slow to answer.

use model::qos::Qos;
use model::request::{Request, Submit, Ticket};

use crate::client::{Client, publish, retained, start, texts};

fn submit(client: &mut Client, key: &str, text: &str, qos: Qos) {
    let operations = retained(key, text, qos).into_iter().collect();
    client.ask(Request::Submit(Submit { ticket: Ticket(5), answer: qos > Qos::AtMostOnce, operations }));
}

#[tokio::test]
async fn the_message_that_was_published_last_is_the_one_that_is_kept() {
    let directory = tempfile::tempdir().unwrap();
    let (broker, _store) = start(directory.path());
    let mut client = Client::open(&broker, "pub", true, 0).await;
    let mut other = Client::open(&broker, "other", true, 0).await;
    for round in 0..20 {
        let key = format!("lamp/{round}");
        submit(&mut client, &key, "older", Qos::AtLeastOnce);
        submit(if round % 2 == 0 { &mut client } else { &mut other }, &key, "newer", Qos::AtMostOnce);
        client.event().await;
        let mut sub = Client::open(&broker, &format!("sub{round}"), true, 0).await;
        sub.subscribe(&key, Qos::AtLeastOnce).await;
        assert_eq!(texts(&sub.take()), ["newer"]);
    }
}

#[tokio::test]
async fn a_subscriber_gets_what_is_being_retained_while_it_comes() {
    let directory = tempfile::tempdir().unwrap();
    let (broker, _store) = start(directory.path());
    let mut client = Client::open(&broker, "pub", true, 0).await;
    for (round, expiry_s) in [(0, 0), (1, 3600), (2, 0), (3, 3600)] {
        let key = format!("lamp/{round}");
        let mut sub = Client::open(&broker, &format!("sub{round}"), true, expiry_s).await;
        client.submit(retained(&key, "off", Qos::AtLeastOnce)).await.unwrap();
        // On its way to the disk when the subscription is made: it is found, and nothing older.
        submit(&mut client, &key, "on", Qos::AtLeastOnce);
        sub.subscribe(&key, Qos::AtLeastOnce).await;
        assert_eq!(texts(&sub.wait().await), ["on"]);
        client.event().await;
        assert_eq!(texts(&sub.take()), [""; 0]);
    }
}

#[tokio::test]
async fn what_is_published_after_a_subscription_comes_after_what_was_retained() {
    let directory = tempfile::tempdir().unwrap();
    let (broker, _store) = start(directory.path());
    let mut client = Client::open(&broker, "pub", true, 0).await;
    for (round, qos) in [Qos::AtMostOnce, Qos::AtLeastOnce].into_iter().cycle().take(10).enumerate() {
        let key = format!("lamp/{round}");
        client.submit(retained(&key, "off", Qos::AtLeastOnce)).await.unwrap();
        let mut sub = Client::open(&broker, &format!("sub{round}"), true, 3600).await;
        sub.begin_to_subscribe(&key, Qos::AtLeastOnce);
        submit(&mut client, &key, "on", qos);
        let mut got = Vec::new();
        while got.len() < 2 {
            got.extend(texts(&sub.wait().await));
        }
        assert_eq!(got, ["off", "on"]);
        if qos > Qos::AtMostOnce {
            client.event().await;
        }
        drop(sub);
    }
}

#[tokio::test]
async fn messages_at_qos_0_keep_their_order_though_one_is_retained() {
    let directory = tempfile::tempdir().unwrap();
    let (broker, _store) = start(directory.path());
    let mut client = Client::open(&broker, "pub", true, 0).await;
    let mut sub = Client::open(&broker, "sub", true, 0).await;
    sub.subscribe("lamp", Qos::AtMostOnce).await;
    submit(&mut client, "lamp", "1", Qos::AtLeastOnce);
    submit(&mut client, "lamp", "2", Qos::AtMostOnce);
    let operations = [model::request::Operation::Publish(publish("lamp", "3", Qos::AtMostOnce, None))];
    let operations = operations.into_iter().collect();
    client.ask(Request::Submit(Submit { ticket: Ticket(5), answer: false, operations }));
    let mut got = Vec::new();
    while got.len() < 3 {
        got.extend(texts(&sub.wait().await));
    }
    assert_eq!(got, ["1", "2", "3"]);
}
