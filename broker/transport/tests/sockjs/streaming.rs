//! Answers that stream: xhr_streaming, eventsource, htmlfile.

use std::net::SocketAddr;

use crate::http::{Client, post, session, start};

#[tokio::test]
async fn xhr_streaming_begins_with_a_prelude_and_ends_after_its_share() {
    let at = start().await;
    let path = session("echo");
    let (mut client, head_type) = stream(at, "POST", &format!("{path}/xhr_streaming")).await;
    assert_eq!(head_type, "application/javascript;charset=utf-8");
    assert_eq!(client.chunk().await, Some("h".repeat(2048) + "\n"));
    assert_eq!(client.chunk().await.as_deref(), Some("o\n"));
    let message = format!("[\"{}\"]", "x".repeat(128));
    for _ in 0..31 {
        post(at, &format!("{path}/xhr_send"), &message).await.is(204, "");
        assert_eq!(client.chunk().await, Some(format!("a{message}\n")));
    }
    // 4096 bytes are over; what comes now waits for the next request.
    assert_eq!(client.chunk().await, None);
    post(at, &format!("{path}/xhr_send"), "[\"next\"]").await.is(204, "");
    post(at, &format!("{path}/xhr"), "").await.is(200, "a[\"next\"]\n");
}

#[tokio::test]
async fn eventsource_sends_events() {
    let at = start().await;
    let path = session("echo");
    let (mut client, head_type) = stream(at, "GET", &format!("{path}/eventsource")).await;
    assert_eq!(head_type, "text/event-stream");
    assert_eq!(client.chunk().await.as_deref(), Some("\r\n"));
    assert_eq!(client.chunk().await.as_deref(), Some("data: o\r\n\r\n"));
    post(at, &format!("{path}/xhr_send"), "[\"  \\u0000\\n\\r \"]").await.is(204, "");
    assert_eq!(client.chunk().await.as_deref(), Some("data: a[\"  \\u0000\\n\\r \"]\r\n\r\n"));
    let long = format!("[\"{}\"]", "x".repeat(4096));
    post(at, &format!("{path}/xhr_send"), &long).await.is(204, "");
    assert_eq!(client.chunk().await, Some(format!("data: a{long}\r\n\r\n")));
    assert_eq!(client.chunk().await, None);
}

#[tokio::test]
async fn htmlfile_calls_the_frame_around_it() {
    let at = start().await;
    let path = session("echo");
    let (mut client, head_type) = stream(at, "GET", &format!("{path}/htmlfile?c=%63allback")).await;
    assert_eq!(head_type, "text/html;charset=utf-8");
    let head = client.chunk().await.expect("a head");
    assert!(head.len() > 1024, "{}", head.len());
    assert_eq!(head.trim(), HTML_HEAD);
    assert_eq!(client.chunk().await.as_deref(), Some("<script>\np(\"o\");\n</script>\r\n"));
    post(at, &format!("{path}/xhr_send"), "[\"x</script>\"]").await.is(204, "");
    let wrapped = "<script>\np(\"a[\\\"x\\u003c/script>\\\"]\");\n</script>\r\n";
    assert_eq!(client.chunk().await.as_deref(), Some(wrapped));
    post(at, &format!("{path}/xhr_send"), &format!("[\"{}\"]", "x".repeat(4096))).await.is(204, "");
    assert!(client.chunk().await.is_some());
    assert_eq!(client.chunk().await, None);
}

#[tokio::test]
async fn http_1_0_gets_no_chunks_and_the_end_of_the_connection() {
    let at = start().await;
    let mut client = Client::dial_old(at).await;
    let path = format!("{}/xhr_streaming", session("close"));
    client.ask("POST", &path, &[("Connection", "Keep-Alive")], "").await;
    let head = client.head().await;
    assert_eq!(head.status, 200);
    assert_eq!((head.header("transfer-encoding"), head.header("content-length")), (None, None));
    assert_eq!(client.rest().await, format!("{}\no\nc[3000,\"Go away!\"]\n", "h".repeat(2048)));
}

#[tokio::test]
async fn after_a_stream_its_connection_serves_on() {
    let at = start().await;
    let (mut client, _) = stream(at, "POST", &format!("{}/xhr_streaming", session("close"))).await;
    while client.chunk().await.is_some() {}
    client.ask("GET", "/echo", &[], "").await;
    client.answer().await.is(200, "Welcome to SockJS!\n");
}

/// Begins an answer that streams.
async fn stream(at: SocketAddr, method: &str, path: &str) -> (Client, String) {
    let mut client = Client::dial(at).await;
    client.ask(method, path, &[("Origin", "test")], "").await;
    let head = client.head().await;
    assert_eq!(head.status, 200);
    assert_eq!(head.header("transfer-encoding"), Some("chunked"));
    head.is_never_cached();
    head.allows(Some("test"));
    let content_type = head.content_type();
    (client, content_type)
}

const HTML_HEAD: &str = "<!doctype html>\n<html><head>\n  \
    <meta http-equiv=\"X-UA-Compatible\" content=\"IE=edge\" />\n  \
    <meta http-equiv=\"Content-Type\" content=\"text/html; charset=UTF-8\" />\n\
    </head><body><h2>Don't panic!</h2>\n  <script>\n    document.domain = document.domain;\n    \
    var c = parent.callback;\n    c.start();\n    function p(d) {c.message(d);};\n    \
    window.onload = function() {c.stop();};\n  </script>";
