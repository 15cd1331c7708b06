//! What no client may do: too much, too long, from elsewhere.

use std::time::Duration;

use transport::http::origins::Origins;
use transport::sockjs::options::Options;

use crate::http::{Client, ask, post, session, start_with, timely};

#[tokio::test]
async fn a_request_that_is_too_long_is_refused_before_it_came() {
    let at = start_with(Options { request_bytes_max: 1000, ..Options::default() }).await;
    let path = session("echo");
    post(at, &format!("{path}/xhr"), "").await.is(200, "o\n");
    let mut announced = Client::dial(at).await;
    let head = format!("POST {path}/xhr_send HTTP/1.1\r\nHost: a\r\nContent-Length: 1001\r\n\r\n");
    announced.write(head.as_bytes()).await;
    assert_eq!(announced.answer().await.status, 413);
    let mut chunked = Client::dial(at).await;
    let head = format!("POST {path}/xhr_send HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    chunked.write(format!("{head}3e9\r\n{}\r\n0\r\n\r\n", "x".repeat(1001)).as_bytes()).await;
    assert_eq!(chunked.answer().await.status, 413);
    let fits = format!("[\"{}\"]", "x".repeat(996));
    post(at, &format!("{path}/xhr_send"), &fits).await.is(204, "");
}

#[tokio::test]
async fn whoever_sends_more_than_is_read_has_to_wait() {
    // Nothing is echoed that nobody receives, so nothing more is read.
    let at = start_with(Options { outbound_bytes_max: 2048, ..Options::default() }).await;
    let path = session("echo");
    post(at, &format!("{path}/xhr"), "").await.is(200, "o\n");
    let message = format!("[\"{}\"]", "x".repeat(10_000));
    let mut taken = 0;
    let mut waiting = Client::dial(at).await;
    loop {
        waiting.ask("POST", &format!("{path}/xhr_send"), &[], &message).await;
        match tokio::time::timeout(Duration::from_secs(1), waiting.answer()).await {
            Ok(answer) => answer.is(204, ""),
            Err(_) => break,
        }
        taken += 1;
        assert!(taken < 100, "all is taken, nothing holds the client up");
    }
    // Once somebody receives, all of it arrives, and whoever waited is answered.
    let mut received = 0;
    while received < taken + 1 {
        received += post(at, &format!("{path}/xhr"), "").await.body.matches("xxxx\"").count();
    }
    assert_eq!(received, taken + 1);
    timely(waiting.answer()).await.is(204, "");
}

#[tokio::test]
async fn a_session_belongs_to_the_address_that_opened_it() {
    let elsewhere = "127.0.0.9:0".parse().expect("an address");
    for (bind_address, status) in [(true, 403), (false, 200)] {
        let at = start_with(Options { bind_address, ..Options::default() }).await;
        let path = session("echo");
        post(at, &format!("{path}/xhr"), "").await.is(200, "o\n");
        post(at, &format!("{path}/xhr_send"), "[\"secret\"]").await.is(204, "");
        let mut thief = Client::dial_from(elsewhere, at).await;
        thief.ask("POST", &format!("{path}/xhr"), &[], "").await;
        assert_eq!(thief.answer().await.status, status);
        let mut thief = Client::dial_from(elsewhere, at).await;
        thief.ask("POST", &format!("{path}/xhr_send"), &[], "[\"forged\"]").await;
        assert_eq!(thief.answer().await.status, if bind_address { 404 } else { 204 });
    }
}

#[tokio::test]
async fn what_is_switched_off_is_not_there() {
    let at = start_with(Options { jsonp: false, ..Options::default() }).await;
    assert_eq!(ask(at, "GET", "/echo/a/b/jsonp?c=x", &[], "").await.status, 404);
    assert_eq!(ask(at, "POST", "/echo/a/b/jsonp_send", &[], "").await.status, 404);
    assert_eq!(ask(at, "GET", "/disabled_websocket_echo/a/b/websocket", &[], "").await.status, 404);
    assert_eq!(ask(at, "GET", "/disabled_websocket_echo/websocket", &[], "").await.status, 404);
}

#[tokio::test]
async fn what_is_no_http_ends_the_connection_with_400() {
    let at = start_with(Options { origins: Origins::default(), ..Options::default() }).await;
    for bad in [
        "POST /echo/a/b/xhr HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n",
        "GET /echo HTTP/1.1\r\nHost: a\r\nbad header\r\n\r\n",
        "GET /echo HTTP/9.9\r\n\r\n",
    ] {
        let mut client = Client::dial(at).await;
        client.write(bad.as_bytes()).await;
        let answer = client.rest().await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{bad:?}: {answer}");
    }
    let mut long = Client::dial(at).await;
    long.write(format!("GET /echo HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(9000)).as_bytes()).await;
    assert!(long.rest().await.starts_with("HTTP/1.1 431"));
}
