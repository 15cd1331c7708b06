//! How sessions end, and who is told what.

use std::time::{Duration, Instant};

use transport::http::origins::Origins;
use transport::sockjs::options::Options;

use crate::http::{Client, get, post, session, start, start_with, timely};

#[tokio::test]
async fn a_closed_session_says_so_to_whoever_asks() {
    let at = start().await;
    let path = session("close");
    post(at, &format!("{path}/xhr"), "").await.is(200, "o\n");
    for _ in 0..3 {
        post(at, &format!("{path}/xhr"), "").await.is(200, "c[3000,\"Go away!\"]\n");
    }
    post(at, &format!("{path}/xhr_send"), "[\"x\"]").await.is(404, "there is no such session\n");
    let path = session("close");
    get(at, &format!("{path}/jsonp?c=x")).await.is(200, "/**/x(\"o\");\r\n");
    for _ in 0..2 {
        get(at, &format!("{path}/jsonp?c=x")).await.is(200, "/**/x(\"c[3000,\\\"Go away!\\\"]\");\r\n");
    }
}

#[tokio::test]
async fn a_stream_ends_with_its_session() {
    let at = start().await;
    let path = format!("{}/xhr_streaming", session("close"));
    let mut first = Client::dial(at).await;
    first.ask("POST", &path, &[], "").await;
    assert!(first.answer().await.body.ends_with("\no\nc[3000,\"Go away!\"]\n"));
    let mut second = Client::dial(at).await;
    second.ask("POST", &path, &[], "").await;
    assert!(second.answer().await.body.ends_with("h\nc[3000,\"Go away!\"]\n"));
}

#[tokio::test]
async fn only_one_receives_at_a_time() {
    let at = start().await;
    let path = session("echo");
    let mut first = Client::dial(at).await;
    first.ask("POST", &format!("{path}/xhr_streaming"), &[], "").await;
    first.head().await;
    first.chunk().await;
    assert_eq!(first.chunk().await.as_deref(), Some("o\n"));
    let refusal = "c[2010,\"Another connection still open\"]\n";
    post(at, &format!("{path}/xhr"), "").await.is(200, refusal);
    let second = post(at, &format!("{path}/xhr_streaming"), "").await;
    assert!(second.body.ends_with(refusal), "{second:?}");
    // The first one does not notice.
    post(at, &format!("{path}/xhr_send"), "[\"x\"]").await.is(204, "");
    assert_eq!(first.chunk().await.as_deref(), Some("a[\"x\"]\n"));
}

#[tokio::test]
async fn whoever_is_cut_off_while_he_receives_loses_his_session() {
    let at = start().await;
    for transport in ["xhr", "xhr_streaming"] {
        let path = session("echo");
        post(at, &format!("{path}/xhr"), "").await.is(200, "o\n");
        let mut first = Client::dial(at).await;
        first.ask("POST", &format!("{path}/{transport}"), &[], "").await;
        if transport == "xhr_streaming" {
            first.head().await;
        }
        // Until it is there, another one would be the first.
        tokio::time::sleep(Duration::from_millis(200)).await;
        drop(first);
        let told = async {
            loop {
                let answer = post(at, &format!("{path}/xhr"), "").await;
                if answer.body != "c[2010,\"Another connection still open\"]\n" {
                    return answer;
                }
            }
        };
        timely(told).await.is(200, "c[1002,\"Connection interrupted\"]\n");
        post(at, &format!("{path}/xhr_send"), "[\"x\"]").await.is(404, "there is no such session\n");
    }
}

#[tokio::test]
async fn a_session_that_nobody_polls_is_over_in_time_and_then_forgotten() {
    let at = quick().await;
    let path = session("echo");
    post(at, &format!("{path}/xhr"), "").await.is(200, "o\n");
    let gone = async {
        while post(at, &format!("{path}/xhr_send"), "[\"x\"]").await.status != 404 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timely(gone).await;
    // Whoever comes too late is told; much later, the name is free.
    let free = async {
        while post(at, &format!("{path}/xhr"), "").await.body != "o\n" {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    timely(free).await;
}

#[tokio::test]
async fn a_session_that_is_polled_outlives_any_delay() {
    let at = quick().await;
    let path = session("echo");
    post(at, &format!("{path}/xhr"), "").await.is(200, "o\n");
    for round in 0..8 {
        // A poll that waits counts as presence, and gets a sign of life: that is far longer than the delay.
        let answer = post(at, &format!("{path}/xhr"), "").await;
        answer.is(200, "h\n");
        let message = format!("[\"{round}\"]");
        post(at, &format!("{path}/xhr_send"), &message).await.is(204, "");
        post(at, &format!("{path}/xhr"), "").await.is(200, &format!("a{message}\n"));
    }
}

#[tokio::test]
async fn a_stream_with_nothing_to_say_beats() {
    let at = quick().await;
    let mut client = Client::dial(at).await;
    client.ask("POST", &format!("{}/xhr_streaming", session("echo")), &[], "").await;
    client.head().await;
    client.chunk().await;
    assert_eq!(client.chunk().await.as_deref(), Some("o\n"));
    let begun = Instant::now();
    for _ in 0..3 {
        assert_eq!(client.chunk().await.as_deref(), Some("h\n"));
    }
    assert!(begun.elapsed() >= 3 * HEART_BEAT, "{:?}", begun.elapsed());
}

/// With times that a test can wait for. A machine that is busy may be late by less than the delay.
async fn quick() -> std::net::SocketAddr {
    let origins = Origins::new(vec!["*".to_owned()]);
    let options = Options { origins, heart_beat: HEART_BEAT, disconnect_delay: DELAY, ..Options::default() };
    start_with(options).await
}

const HEART_BEAT: Duration = Duration::from_millis(400);
const DELAY: Duration = Duration::from_millis(1500);
