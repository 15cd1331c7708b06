//! Sessions that poll: xhr and jsonp.

use crate::http::{Client, ask, get, post, session, start};

#[tokio::test]
async fn a_session_opens_sends_and_receives() {
    let at = start().await;
    let path = session("echo");
    let opened = ask(at, "POST", &format!("{path}/xhr"), &[("Origin", "test")], "").await;
    opened.is(200, "o\n");
    assert_eq!(opened.content_type(), "application/javascript;charset=utf-8");
    opened.allows(Some("test"));
    opened.is_never_cached();
    let sent = ask(at, "POST", &format!("{path}/xhr_send"), &[("Origin", "test")], "[\"x\"]").await;
    sent.is(204, "");
    assert_eq!(sent.content_type(), "text/plain;charset=utf-8");
    sent.allows(Some("test"));
    sent.is_never_cached();
    post(at, &format!("{path}/xhr"), "").await.is(200, "a[\"x\"]\n");
    let other = post(at, &format!("{}/xhr", session("echo")), "").await;
    other.allows(None);
}

#[tokio::test]
async fn a_session_is_known_by_its_name_alone() {
    let at = start().await;
    let path = session("echo");
    post(at, &format!("{path}/xhr"), "").await.is(200, "o\n");
    post(at, &format!("{path}/xhr_send"), "[\"a\"]").await.is(204, "");
    post(at, &format!("{}/xhr", path.replace("/000/", "/999/")), "").await.is(200, "a[\"a\"]\n");
    for name in ["/_/_/xhr", "/1/1/xhr", "/abcdefgh_i-j%20/abcdefg_i-j%20/xhr"] {
        post(at, &format!("/echo{name}"), "").await.is(200, "o\n");
    }
}

#[tokio::test]
async fn messages_come_in_order_and_together() {
    let at = start().await;
    let path = session("echo");
    post(at, &format!("{path}/xhr"), "").await.is(200, "o\n");
    post(at, &format!("{path}/xhr_send"), "[\"1\",\"2\"]").await.is(204, "");
    post(at, &format!("{path}/xhr_send"), "[]").await.is(204, "");
    post(at, &format!("{path}/xhr_send"), "[\"3\"]").await.is(204, "");
    let mut got = String::new();
    while got.matches('"').count() < 6 {
        got.push_str(&post(at, &format!("{path}/xhr"), "").await.body);
    }
    let digits: String = got.chars().filter(char::is_ascii_digit).collect();
    assert_eq!(digits, "123", "{got}");
}

#[tokio::test]
async fn a_poll_waits_for_what_comes() {
    let at = start().await;
    let path = session("echo");
    post(at, &format!("{path}/xhr"), "").await.is(200, "o\n");
    let mut waiting = Client::dial(at).await;
    waiting.ask("POST", &format!("{path}/xhr"), &[], "").await;
    post(at, &format!("{path}/xhr_send"), "[\"late\"]").await.is(204, "");
    waiting.answer().await.is(200, "a[\"late\"]\n");
    // The same connection may ask again.
    waiting.ask("POST", &format!("{path}/xhr_send"), &[], "[\"again\"]").await;
    waiting.answer().await.is(204, "");
    waiting.ask("POST", &format!("{path}/xhr"), &[], "").await;
    waiting.answer().await.is(200, "a[\"again\"]\n");
}

#[tokio::test]
async fn what_cannot_be_sent_is_refused_in_the_words_of_sockjs() {
    let at = start().await;
    post(at, "/echo/000/nobody/xhr_send", "[\"x\"]").await.is(404, "there is no such session\n");
    post(at, "/echo/000/nobody/jsonp_send", "[\"x\"]").await.is(404, "there is no such session\n");
    let path = session("echo");
    post(at, &format!("{path}/xhr"), "").await.is(200, "o\n");
    let send = format!("{path}/xhr_send");
    for broken in ["[\"x", "{}", "[1]", "\"x\"", "x"] {
        post(at, &send, broken).await.is(500, "Broken JSON encoding.");
    }
    post(at, &send, "").await.is(500, "Payload expected.");
    post(at, &send, "[\"a\"]").await.is(204, "");
    post(at, &format!("{path}/xhr"), "").await.is(200, "a[\"a\"]\n");
}

#[tokio::test]
async fn any_content_type_will_do() {
    let at = start().await;
    let path = session("echo");
    post(at, &format!("{path}/xhr"), "").await.is(200, "o\n");
    for content_type in
        ["text/plain", "T", "application/json", "application/xml", "", "text/xml; charset=utf-8"]
    {
        let headers = [("Content-Type", content_type)];
        ask(at, "POST", &format!("{path}/xhr_send"), &headers, "[\"a\"]").await.is(204, "");
        post(at, &format!("{path}/xhr"), "").await.is(200, "a[\"a\"]\n");
    }
}

#[tokio::test]
async fn what_browsers_garble_travels_escaped() {
    let at = start().await;
    let path = session("echo");
    post(at, &format!("{path}/xhr"), "").await.is(200, "o\n");
    let sent = "[\"\\u0000\\n\\r \\u200c\\u2028\\ufff0 안녕 😀 \\\" \\\\\"]";
    post(at, &format!("{path}/xhr_send"), sent).await.is(204, "");
    post(at, &format!("{path}/xhr"), "").await.is(200, &format!("a{sent}\n"));
    // As characters on their way in, escaped on their way out.
    post(at, &format!("{path}/xhr_send"), "[\"\u{200c}\u{2028}\u{ffff}\"]").await.is(204, "");
    post(at, &format!("{path}/xhr"), "").await.is(200, "a[\"\\u200c\\u2028\\uffff\"]\n");
}

#[tokio::test]
async fn jsonp_calls_a_function_of_the_page() {
    let at = start().await;
    let path = session("echo");
    let opened = get(at, &format!("{path}/jsonp?c=%63allback")).await;
    opened.is(200, "/**/callback(\"o\");\r\n");
    assert_eq!(opened.content_type(), "application/javascript;charset=utf-8");
    assert_eq!(opened.header("x-content-type-options"), Some("nosniff"));
    opened.is_never_cached();
    let form = [("Content-Type", "application/x-www-form-urlencoded")];
    let send = format!("{path}/jsonp_send");
    let sent = ask(at, "POST", &send, &form, "d=%5B%22x%22%5D").await;
    sent.is(200, "ok");
    assert_eq!(sent.content_type(), "text/plain;charset=utf-8");
    sent.is_never_cached();
    get(at, &format!("{path}/jsonp?c=x")).await.is(200, "/**/x(\"a[\\\"x\\\"]\");\r\n");
    ask(at, "POST", &send, &form, "d=%5B%5D").await.is(200, "ok");
    ask(at, "POST", &send, &[("Content-Type", "text/plain")], "[\"%61bc</script>\"]").await.is(200, "ok");
    get(at, &format!("{path}/jsonp?callback=x.y-1"))
        .await
        .is(200, "/**/x.y-1(\"a[\\\"%61bc\\u003c/script>\\\"]\");\r\n");
    ask(at, "POST", &send, &form, "d=%5B%22x").await.is(500, "Broken JSON encoding.");
    for nothing in ["", "d=", "p=p"] {
        ask(at, "POST", &send, &form, nothing).await.is(500, "Payload expected.");
    }
}

#[tokio::test]
async fn a_callback_must_be_a_plain_name() {
    let at = start().await;
    for transport in ["jsonp", "htmlfile"] {
        let path = format!("/echo/a/a/{transport}");
        get(at, &path).await.is(500, "\"callback\" parameter required\n");
        let long = "x".repeat(200);
        for callback in ["%20", "*", "abc(", "abc%28", "%ED%95%9C", &long] {
            get(at, &format!("{path}?c={callback}")).await.is(500, "invalid \"callback\" parameter\n");
        }
    }
}

#[tokio::test]
async fn the_cookie_is_set_where_it_is_wanted_and_echoed() {
    let at = start().await;
    for (method, transport) in [
        ("POST", "xhr"),
        ("POST", "xhr_streaming"),
        ("GET", "eventsource"),
        ("GET", "htmlfile?c=x"),
        ("GET", "jsonp?c=x"),
    ] {
        let path = format!("{}/{transport}", session("cookie_needed_echo"));
        let mut client = Client::dial(at).await;
        client.ask(method, &path, &[], "").await;
        assert_eq!(client.head().await.header("set-cookie"), Some("JSESSIONID=dummy; path=/"), "{path}");
        let path = format!("{}/{transport}", session("cookie_needed_echo"));
        let mut client = Client::dial(at).await;
        client.ask(method, &path, &[("Cookie", "a=b; JSESSIONID=abcdef")], "").await;
        assert_eq!(client.head().await.header("set-cookie"), Some("JSESSIONID=abcdef; path=/"), "{path}");
        let mut client = Client::dial(at).await;
        client.ask(method, &format!("{}/{transport}", session("echo")), &[], "").await;
        assert_eq!(client.head().await.header("set-cookie"), None);
    }
}
