//! A session between its two sides, without a socket.

use std::task::Waker;

use super::*;

#[test]
fn open_comes_first_then_all_that_waits_then_the_end() {
    let session = session(64 * 1024, &budget());
    assert!(session.attach());
    session.push("one");
    assert_eq!(frame(&session).as_deref(), Some("o"));
    session.push("two");
    assert_eq!(frame(&session).as_deref(), Some("a[\"one\",\"two\"]"));
    assert_eq!(frame(&session), None);
    session.push("three");
    session.close(Close::GoAway);
    // What was sent before the end arrives before it.
    assert_eq!(frame(&session).as_deref(), Some("a[\"three\"]"));
    assert_eq!(frame(&session).as_deref(), Some(Close::GoAway.frame()));
    assert!(session.attach(), "whoever was told receives no more");
}

#[test]
fn one_receives_at_a_time() {
    let session = session(64 * 1024, &budget());
    assert!(session.attach());
    assert!(!session.attach());
    session.detach();
    assert!(session.attach());
}

#[test]
fn beyond_its_bound_there_is_no_room_until_somebody_polls() {
    let budget = budget();
    let session = session(2000, &budget);
    session.push(&"x".repeat(2000));
    assert!(!has_room(&session));
    assert!(budget.used() >= 2000);
    session.attach();
    frame(&session);
    assert!(frame(&session).is_some_and(|frame| frame.len() > 2000));
    assert!(has_room(&session));
    assert_eq!(budget.used(), 0);
}

#[test]
fn where_all_hold_too_much_each_goes_on_in_small_steps() {
    let budget = budget();
    let (greedy, other) = (session(1 << 20, &budget), session(1 << 20, &budget));
    greedy.push(&"x".repeat(BUDGET_BYTES));
    assert!(budget.is_spent());
    assert_eq!(other.step_bytes(48 * 1024), SMALL_BYTES);
    assert!(has_room(&other), "it holds nothing yet");
    other.push(&"x".repeat(SMALL_BYTES));
    assert!(!has_room(&other));
    drop(greedy);
    assert!(has_room(&other));
}

#[test]
fn an_interruption_loses_what_waits_and_says_so() {
    let budget = budget();
    let session = session(64 * 1024, &budget);
    session.attach();
    frame(&session);
    session.push("lost");
    session.interrupt();
    assert_eq!(budget.used(), 0);
    assert!(session.attach());
    assert_eq!(frame(&session).as_deref(), Some(Close::Interrupted.frame()));
    // The broker's side reads what had come, and then hears of it.
    assert_eq!(session.poll_recv(&mut context()), Poll::Ready(None));
    assert!(matches!(session.poll_room(&mut context()), Poll::Ready(Err(Closed))));
}

#[tokio::test]
async fn what_a_client_sent_is_read_in_order_even_behind_the_end() {
    let budget = budget();
    let session = session(64 * 1024, &budget);
    session.put(vec!["1".to_owned(), "2".to_owned()]).await.expect("open");
    session.put(vec!["3".to_owned()]).await.expect("open");
    session.close(Close::GoAway);
    assert_eq!(session.put(vec!["4".to_owned()]).await, Err(Closed));
    for expected in ["1", "2", "3"] {
        assert_eq!(session.poll_recv(&mut context()), Poll::Ready(Some(expected.to_owned())));
    }
    assert_eq!(session.poll_recv(&mut context()), Poll::Ready(None));
    assert_eq!(budget.used(), 0);
}

#[tokio::test(start_paused = true)]
async fn all_who_wait_to_send_get_their_turn() {
    let session = Arc::new(session(64 * 1024, &budget()));
    session.put(vec!["x".repeat(INBOUND_BYTES_MAX)]).await.expect("open");
    let senders: Vec<_> = (0..10)
        .map(|_| {
            let session = Arc::clone(&session);
            tokio::spawn(async move { session.put(vec!["small".to_owned()]).await })
        })
        .collect();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(matches!(session.poll_recv(&mut context()), Poll::Ready(Some(_))));
    for sender in senders {
        let sent = tokio::time::timeout(Duration::from_secs(1), sender).await;
        sent.expect("in time").expect("no panic").expect("open");
    }
}

#[tokio::test(start_paused = true)]
async fn the_time_without_a_receiver_counts_from_the_last_one() {
    let session = session(64 * 1024, &budget());
    let begun = Instant::now();
    assert_eq!(session.deadline(), Some(begun + Duration::from_secs(5)));
    session.attach();
    assert_eq!(session.deadline(), None);
    tokio::time::sleep(Duration::from_secs(60)).await;
    session.detach();
    assert_eq!(session.deadline(), Some(begun + Duration::from_secs(65)));
}

fn session(outbound_bytes_max: usize, budget: &Arc<Budget>) -> Session {
    Session::new(&Options { outbound_bytes_max, ..Options::default() }, budget, None, None)
}

fn budget() -> Arc<Budget> {
    Arc::new(Budget::new(BUDGET_BYTES))
}

fn frame(session: &Session) -> Option<String> {
    match session.poll_frame(&mut context()) {
        Poll::Ready((frame, _)) => Some(frame),
        Poll::Pending => None,
    }
}

fn has_room(session: &Session) -> bool {
    session.poll_room(&mut context()).is_ready()
}

fn context() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

const BUDGET_BYTES: usize = 100_000;
