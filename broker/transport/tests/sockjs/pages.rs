//! What is there before a session: greeting, info, the iframe page; and who may ask.

use transport::http::origins::Origins;
use transport::sockjs::options::Options;

use crate::http::{Client, ask, get, post, session, start, start_with};

#[tokio::test]
async fn a_greeting_stands_at_the_path() {
    let at = start().await;
    for path in ["/echo", "/echo/"] {
        let answer = get(at, path).await;
        answer.is(200, "Welcome to SockJS!\n");
        assert_eq!(answer.content_type(), "text/plain;charset=utf-8");
        assert_eq!(answer.header("set-cookie"), None);
    }
}

#[tokio::test]
async fn anything_else_is_not_found() {
    let at = start().await;
    for path in [
        "/a",
        "/a.html",
        "//",
        "///",
        "/a/a",
        "/a/a/",
        "/a/",
        "/iframe.htm",
        "/IFRAME.HTML",
        "/iframe-/.html",
    ] {
        assert_eq!(get(at, &format!("/echo{path}")).await.status, 404, "{path}");
    }
    for path in ["//", "/a./a", "/a/a.", "/./.", "", "///", "/a/b/c"] {
        assert_eq!(get(at, &format!("/echo{path}/xhr")).await.status, 404, "{path}");
        assert_eq!(post(at, &format!("/echo{path}/xhr"), "").await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn info_says_what_there_is_and_is_never_cached() {
    let at = start().await;
    let info = ask(at, "GET", "/echo/info", &[("Origin", "test")], "").await;
    assert_eq!(info.status, 200);
    assert_eq!(info.content_type(), "application/json;charset=utf-8");
    assert_eq!(info.header("set-cookie"), None);
    info.is_never_cached();
    info.allows(Some("test"));
    let expected = "{\"websocket\":true,\"cookie_needed\":false,\"origins\":[\"*:*\"],\"entropy\":";
    let entropy =
        |body: &str| body.strip_prefix(expected).and_then(|rest| rest.strip_suffix('}')?.parse::<u32>().ok());
    let first = entropy(&info.body).expect("32 bits");
    let second = entropy(&get(at, "/echo/info").await.body).expect("32 bits");
    assert_ne!(first, second);
    assert!(get(at, "/disabled_websocket_echo/info").await.body.contains("\"websocket\":false"));
    assert!(get(at, "/cookie_needed_echo/info").await.body.contains("\"cookie_needed\":true"));
}

#[tokio::test]
async fn the_iframe_page_is_as_it_must_be_and_is_cached() {
    let at = start().await;
    let first = get(at, "/echo/iframe.html").await;
    assert_eq!(first.body, IFRAME);
    let tag = first.header("etag").expect("a tag").to_owned();
    for path in
        ["iframe-a.html", "iframe-.html", "iframe-0.1.2.html", "iframe-0.1.2abc-dirty.2144.html?t=qwe"]
    {
        let page = get(at, &format!("/echo/{path}")).await;
        page.is(200, IFRAME);
        assert_eq!(page.content_type(), "text/html;charset=utf-8");
        assert_eq!((page.header("etag"), page.header("set-cookie")), (Some(&*tag), None));
        page.is_cached_for_a_year();
    }
    let known = ask(at, "GET", "/echo/iframe.html", &[("If-None-Match", &tag)], "").await;
    known.is(304, "");
    assert_eq!(known.header("content-type"), None);
}

#[tokio::test]
async fn options_are_answered_for_a_year() {
    let at = start().await;
    for (path, methods) in [
        ("/echo/info", "GET, OPTIONS"),
        ("/echo/abc/abc/xhr", "POST, OPTIONS"),
        ("/echo/abc/abc/xhr_send", "POST, OPTIONS"),
        ("/echo/abc/abc/xhr_streaming", "POST, OPTIONS"),
    ] {
        for origin in ["test", "null"] {
            let headers = [("Origin", origin), ("Access-Control-Request-Method", methods)];
            let answer = ask(at, "OPTIONS", path, &headers, "").await;
            answer.is(204, "");
            answer.is_cached_for_a_year();
            answer.allows(Some(origin));
            assert_eq!(answer.header("access-control-max-age"), Some("31536000"));
            assert_eq!(answer.header("access-control-allow-methods"), Some(methods));
            assert_eq!(answer.header("access-control-allow-headers"), None);
        }
    }
}

#[tokio::test]
async fn headers_that_are_asked_for_are_allowed() {
    let at = start().await;
    let path = format!("{}/xhr", session("echo"));
    let asked = |headers: &'static str| {
        let path = path.clone();
        async move {
            let headers = [("Origin", "test"), ("Access-Control-Request-Headers", headers)];
            let answer = ask(at, "OPTIONS", &path, &headers, "").await;
            answer.allows(Some("test"));
            answer.header("access-control-allow-headers").map(str::to_owned)
        }
    };
    assert_eq!(asked("a, b, c").await.as_deref(), Some("a, b, c"));
    assert_eq!(asked("").await, None);
}

#[tokio::test]
async fn another_method_is_told_the_right_ones() {
    let at = start().await;
    for (method, path, allowed) in [
        ("POST", "/echo", "GET"),
        ("POST", "/echo/info", "GET, OPTIONS"),
        ("GET", "/echo/a/b/xhr", "POST, OPTIONS"),
        ("GET", "/echo/a/b/xhr_send", "POST, OPTIONS"),
        ("GET", "/echo/a/b/jsonp_send", "POST"),
        ("POST", "/echo/a/b/eventsource", "GET, OPTIONS"),
        ("POST", "/echo/a/b/websocket", "GET"),
        ("POST", "/echo/websocket", "GET"),
    ] {
        let answer = ask(at, method, path, &[], "").await;
        answer.is(405, "");
        assert_eq!((answer.header("allow"), answer.header("content-type")), (Some(allowed), None), "{path}");
    }
}

#[tokio::test]
async fn a_page_of_a_foreign_origin_gets_nothing() {
    let origins = Origins::new(vec!["https://friend.example".to_owned()]);
    let at = start_with(Options { origins, ..Options::default() }).await;
    for (method, path) in [
        ("GET", "/echo/info"),
        ("OPTIONS", "/echo/info"),
        ("POST", "/echo/a/b/xhr"),
        ("POST", "/echo/a/b/xhr_streaming"),
        ("POST", "/echo/a/b/xhr_send"),
        ("GET", "/echo/a/b/eventsource"),
        ("GET", "/echo/a/b/htmlfile?c=x"),
        ("GET", "/echo/a/b/jsonp?c=x"),
        ("POST", "/echo/a/b/jsonp_send"),
        ("GET", "/echo/a/b/websocket"),
        ("GET", "/echo/websocket"),
    ] {
        let answer = ask(at, method, path, &[("Origin", "https://evil.example")], "").await;
        assert_eq!(answer.status, 403, "{path}");
        assert!(answer.body.contains("https://evil.example"), "{answer:?}");
        assert_eq!(answer.header("access-control-allow-origin"), None, "{path}");
    }
    for origin in ["https://friend.example", "http://localhost:3000"] {
        let answer = ask(at, "GET", "/echo/info", &[("Origin", origin)], "").await;
        assert_eq!(answer.status, 200);
        answer.allows(Some(origin));
    }
}

#[tokio::test]
async fn a_script_of_a_foreign_page_gets_nothing_though_it_sends_no_origin() {
    let at = start_with(Options::default()).await;
    for path in ["/echo/a/b/jsonp?c=x", "/echo/a/b/htmlfile?c=x"] {
        let referer = ask(at, "GET", path, &[("Referer", "https://evil.example/page")], "").await;
        assert_eq!(referer.status, 403, "{path}");
        let silent = ask(at, "GET", path, &[("Sec-Fetch-Site", "cross-site")], "").await;
        assert_eq!(silent.status, 403, "{path}");
    }
    let ours = [("Referer", "http://localhost:3000/page"), ("Sec-Fetch-Site", "same-site")];
    ask(at, "GET", "/echo/a/b/jsonp?c=x", &ours, "").await.is(200, "/**/x(\"o\");\r\n");
}

#[tokio::test]
async fn only_pages_that_may_connect_have_our_frame_in_them() {
    let origins = Origins::new(vec!["https://friend.example".to_owned()]);
    let at = start_with(Options { origins, ..Options::default() }).await;
    let expected = "frame-ancestors 'self' http://localhost:* https://localhost:* https://friend.example";
    assert_eq!(get(at, "/echo/iframe.html").await.header("content-security-policy"), Some(expected));
    let at = start().await;
    assert_eq!(get(at, "/echo/iframe.html").await.header("content-security-policy"), None);
}

#[tokio::test]
async fn a_connection_is_kept_between_requests_in_both_versions_of_http() {
    let at = start().await;
    let mut client = Client::dial(at).await;
    for _ in 0..3 {
        client.ask("GET", "/echo", &[], "").await;
        let answer = client.answer().await;
        answer.is(200, "Welcome to SockJS!\n");
        assert_eq!(answer.header("connection"), None);
    }
    let mut old = Client::dial_old(at).await;
    for _ in 0..2 {
        old.ask("GET", "/echo", &[("Connection", "Keep-Alive")], "").await;
        let answer = old.answer().await;
        answer.is(200, "Welcome to SockJS!\n");
        assert_eq!(answer.header("transfer-encoding"), None);
        assert_eq!(answer.header("connection").map(str::to_lowercase).as_deref(), Some("keep-alive"));
    }
    old.ask("GET", "/echo", &[], "").await;
    old.answer().await.is(200, "Welcome to SockJS!\n");
    assert_eq!(old.rest().await, "");
}

const IFRAME: &str = "<!DOCTYPE html>\n<html>\n<head>\n  <meta http-equiv=\"X-UA-Compatible\" content=\"IE=edge\" />\n  \
    <meta http-equiv=\"Content-Type\" content=\"text/html; charset=UTF-8\" />\n  \
    <script src=\"/sockjs.min.js\"></script>\n  <script>\n    document.domain = document.domain;\n    \
    SockJS.bootstrap_iframe();\n  </script>\n</head>\n<body>\n  <h2>Don't panic!</h2>\n  \
    <p>This is a SockJS hidden iframe. It's used for cross domain magic.</p>\n</body>\n</html>\n";
