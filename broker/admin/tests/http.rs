//! The admin listener, seen from a socket.

use std::net::SocketAddr;
use std::sync::Arc;

use admin::{Admins, Door, Entry, Login, Measured, Options, SOCKJS_CLIENT, Spoken, Tag, WebEndpoint, serve};
use engine::Broker;
use model::access::{AccessControl, Admission};
use model::name::UserName;
use model::principal::{Credentials, Permissions, Principal};
use model::refusal::Refusal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

#[tokio::test]
async fn health_answers_with_and_without_dev() {
    for dev in [false, true] {
        let admin = Admin::start(options(dev)).await;
        let answer = admin.get("/healthz").await;
        assert_eq!((answer.status, answer.body.as_str()), (200, "ok"), "dev: {dev}");
        admin.stop().await;
    }
}

#[tokio::test]
async fn the_demo_is_served_in_dev_alone() {
    let admin = Admin::start(options(false)).await;
    for path in ["/", "/demo/", "/demo/chat.html", "/demo/config.json"] {
        let answer = admin.get(path).await;
        assert_eq!(answer.status, 404, "{path}");
        assert!(answer.body.contains("--dev"), "{}", answer.body);
    }
    admin.stop().await;

    let admin = Admin::start(options(true)).await;
    for path in ["/", "/demo"] {
        let answer = admin.get(path).await;
        assert_eq!((answer.status, answer.header("location")), (307, Some("/demo/")), "{path}");
    }
    let answer = admin.get("/demo/").await;
    assert_eq!(answer.status, 200);
    assert!(answer.body.contains("href=\"chat.html\"") && answer.body.contains("href=\"mqtt.html\""));
    admin.stop().await;
}

#[tokio::test]
async fn pages_learn_where_the_web_listeners_are() {
    let admin = Admin::start(options(true)).await;
    let answer = admin.get("/demo/config.json").await;
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(
        answer.body,
        r#"{"login":true,"mqtt":{"path":"/mqtt","port":4002,"sockjs":null,"tls":true},"stomp":{"path":"/ws","port":4001,"sockjs":"/chat","tls":false}}"#
    );
    admin.stop().await;

    let nowhere = Options { dev: true, ..Options::default() };
    let admin = Admin::start(nowhere).await;
    assert_eq!(admin.get("/demo/config.json").await.body, r#"{"login":false,"mqtt":null,"stomp":null}"#);
    admin.stop().await;
}

#[tokio::test]
async fn every_answer_is_strict() {
    let admin = Admin::start(options(true)).await;
    for path in ["/healthz", "/", "/demo/", "/demo/rooms.js", "/demo/config.json", "/nothing", "/demo/../x"] {
        let answer = admin.get(path).await;
        let policy = answer.header("content-security-policy").unwrap_or_default();
        assert!(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self';"), "{path}");
        assert!(!policy.contains("unsafe") && policy.contains("frame-ancestors 'none'"), "{path}: {policy}");
        for place in ["ws://*:4001", "wss://*:4002", "http://*:4001", "https://*:4002"] {
            assert!(policy.contains(place), "{path}: {policy}");
        }
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{path}");
        assert_eq!(answer.header("cache-control"), Some("no-cache"), "{path}");
        assert_eq!(answer.header("cross-origin-resource-policy"), Some("same-origin"), "{path}");
    }
    // The page of SockJS's iframe transports is another origin's, and loads this file.
    let client = admin.get(SOCKJS_CLIENT).await;
    assert_eq!(client.header("cross-origin-resource-policy"), Some("cross-origin"));
    admin.stop().await;
}

#[tokio::test]
async fn every_file_that_a_page_names_is_there() {
    let admin = Admin::start(options(true)).await;
    let licences =
        ["sockjs", "sockjs-parts", "stompjs", "mqttjs"].map(|name| format!("vendor/LICENSE-{name}"));
    let mut names = licences.to_vec();
    for page in ["", "chat.html", "mqtt.html"] {
        let page = admin.get(&format!("/demo/{page}")).await;
        assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
        names.extend(page.between("src=\"", "\""));
        names.extend(page.between("href=\"", "\""));
    }
    for script in SCRIPTS {
        names.extend(admin.get(&format!("/demo/{script}")).await.between("from \"./", "\""));
    }
    assert!(names.len() > 15, "{names:?}");
    for name in names {
        let answer = admin.get(&format!("/demo/{}", name.trim_start_matches("./"))).await;
        assert_eq!(answer.status, 200, "{name}");
        let media_type = answer.header("content-type").unwrap_or_default();
        match name.rsplit('.').next() {
            Some("js") => assert!(media_type.starts_with("text/javascript"), "{name}: {media_type}"),
            Some("css") => assert!(media_type.starts_with("text/css"), "{name}: {media_type}"),
            Some("svg") => assert_eq!(media_type, "image/svg+xml", "{name}"),
            _ => assert!(media_type.starts_with("text/"), "{name}: {media_type}"),
        }
    }
    admin.stop().await;
}

#[tokio::test]
async fn pages_hold_nothing_that_the_policy_would_block() {
    let admin = Admin::start(options(true)).await;
    for page in ["", "chat.html", "mqtt.html"] {
        let page = admin.get(&format!("/demo/{page}")).await;
        assert!(!page.body.contains("<script>") && !page.body.contains("<style"));
        assert!(!page.body.contains(" style=") && !page.body.contains(" onclick="));
    }
    for script in SCRIPTS {
        let script = admin.get(&format!("/demo/{script}")).await;
        // What others say reaches the page as text and as nothing else.
        for door in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("] {
            assert!(!script.body.contains(door), "{door}");
        }
    }
    admin.stop().await;
}

#[tokio::test]
async fn both_languages_have_every_word() {
    let admin = Admin::start(options(true)).await;
    let words = admin.get("/demo/words.js").await.body;
    let (english, korean) = words.split_once("  ko: {").expect("two languages");
    let korean = korean.split_once("};").expect("the end of the words").0;
    let keys = |part: &str| -> Vec<String> {
        part.lines()
            .filter_map(|line| line.strip_prefix("    ")?.split_once(": \""))
            .map(|(key, _)| key.into())
            .collect()
    };
    assert_eq!(keys(english), keys(korean));
    assert!(keys(english).len() > 40);
    for page in ["", "chat.html", "mqtt.html"] {
        let page = admin.get(&format!("/demo/{page}")).await;
        for key in page.between("data-word=\"", "\"") {
            assert!(keys(english).contains(&key), "{key}");
        }
    }
    admin.stop().await;
}

#[tokio::test]
async fn a_name_is_enough_for_a_token_that_is_soon_over() {
    let admin = Admin::start(options(true)).await;
    for (asked, told) in [
        (r#"{"name":"kim"}"#, r#"{"name":"kim","seconds":60,"token":"kim for 60 s"}"#),
        (r#"{"name":" 김철수 ","seconds":2}"#, r#"{"name":"김철수","seconds":2,"token":"김철수 for 2 s"}"#),
    ] {
        let answer = admin.log_in(OWN, asked).await;
        assert_eq!((answer.status, answer.body.as_str()), (200, told));
        assert_eq!(answer.header("content-type"), Some("application/json"));
    }
    let long = format!(r#"{{"name":"{}"}}"#, "x".repeat(31));
    for wrong in ["", "kim", "{}", r#"{"name":""}"#, r#"{"name":"a\nb"}"#, r#"{"name":5}"#, &long] {
        assert_eq!(admin.log_in(OWN, wrong).await.status, 400, "{wrong}");
    }
    for seconds in ["0", "61", "-1", "1.5", "\"9\"", "null"] {
        let wrong = format!(r#"{{"name":"kim","seconds":{seconds}}}"#);
        assert_eq!(admin.log_in(OWN, &wrong).await.status, 400, "{wrong}");
    }
    let huge = format!(r#"{{"name":"kim","more":"{}"}}"#, "x".repeat(2000));
    assert_eq!(admin.log_in(OWN, &huge).await.status, 413);
    admin.stop().await;
}

#[tokio::test]
async fn no_page_but_ours_gets_a_token() {
    let admin = Admin::start(options(true)).await;
    let json = "content-type: application/json\r\n";
    for (head, status) in [
        // A program of this machine says nothing of an origin.
        (format!("host: localhost:7\r\n{json}"), 200),
        (format!("host: [::1]:7\r\norigin: http://[::1]:7\r\n{json}"), 200),
        (format!("host: localhost:7\r\norigin: http://localhost:8\r\n{json}"), 403),
        (format!("host: localhost:7\r\norigin: http://evil.example\r\n{json}"), 403),
        (format!("host: localhost:7\r\norigin: null\r\n{json}"), 403),
        (format!("host: localhost:7\r\norigin: http://\u{e9}\r\n{json}"), 403),
        // A name that somebody else made to mean this machine.
        (format!("host: evil.example:7\r\norigin: http://evil.example:7\r\n{json}"), 403),
        (format!("host: localhost.evil.example\r\n{json}"), 403),
        // What a form can send, without being asked first.
        ("host: localhost:7\r\ncontent-type: text/plain\r\n".to_owned(), 415),
        ("host: localhost:7\r\n".to_owned(), 415),
    ] {
        assert_eq!(admin.log_in(&head, r#"{"name":"kim"}"#).await.status, status, "{head}");
    }
    // By GET there is none: an address is no request.
    assert_eq!(admin.get("/demo/login").await.status, 405);
    admin.stop().await;

    for options in [options(false), Options { login: None, ..options(true) }] {
        let admin = Admin::start(options).await;
        assert_eq!(admin.log_in(OWN, r#"{"name":"kim"}"#).await.status, 404);
        admin.stop().await;
    }
}

#[tokio::test]
async fn who_is_there_is_told_as_json_and_what_is_wrong_too() {
    let admin = Admin::start(options(false)).await;
    for path in [
        "/api/v1/sessions",
        "/api/v1/users",
        "/api/v1/users/kim/sessions",
        "/api/v1/subscriptions?limit=10&after=session-1-2&user=a%20b",
        "/api/v1/destinations/chat%2Froom%2F5/subscribers",
    ] {
        let answer = admin.look(path).await;
        assert_eq!(answer.header("content-type"), Some("application/json"), "{path}");
        assert_eq!((answer.status, &*answer.body), (200, "{\"items\":[],\"next\":null}\n"), "{path}");
    }
    for (path, status) in [
        ("/api/v1/sessions?unknown=1", 400),
        ("/api/v1/users?limit=10001", 400),
        ("/api/v1/sessions/session-1-1", 404),
    ] {
        let answer = admin.look(path).await;
        assert!(
            answer.status == status && answer.body.starts_with("{\"error\":\""),
            "{path} {}",
            answer.body
        );
    }
    assert_eq!(admin.get("/api/v1/users").await.status, 401);
    admin.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_never_finishes_does_not_hold_the_broker_up() {
    let admin = Admin::start(options(true)).await;
    let mut slow = TcpStream::connect(admin.at).await.expect("connect");
    slow.write_all(b"GET /healthz HTTP/1.1\r\n").await.expect("write");
    // The first answer shows that the listener has seen the slow one, which came before.
    assert_eq!(admin.get("/healthz").await.status, 200);
    admin.stop().await;
}

/// How one of our pages asks.
const OWN: &str = "host: localhost:15672\r\norigin: http://localhost:15672\r\ncontent-type: application/json; charset=utf-8\r\n";

/// Those that are ours.
const SCRIPTS: [&str; 8] =
    ["index.js", "words.js", "page.js", "login.js", "messages.js", "rooms.js", "chat.js", "mqtt.js"];

fn options(dev: bool) -> Options {
    Options {
        dev,
        mqtt_ws: Some(WebEndpoint { port: 4002, path: "/mqtt".into(), sockjs: None, tls: true }),
        stomp_ws: Some(WebEndpoint {
            port: 4001,
            path: "/ws".into(),
            sockjs: Some("/chat".into()),
            tls: false,
        }),
        entry: Entry {
            users: Admins::new([("boss".to_owned(), Tag::Administrator)].into()),
            ..Entry::default()
        },
        measured: Measured::default(),
        spoken: Spoken::default(),
        login: Some(Login::new(|name, term| Some(format!("{name} for {} s", term.as_secs())))),
    }
}

/// One that lets everybody in who says his name twice.
fn broker() -> Broker {
    struct Twice;
    impl AccessControl for Twice {
        fn admit<'a>(&'a self, credentials: &'a Credentials) -> Admission<'a> {
            Box::pin(async {
                match (&credentials.user, &credentials.password) {
                    (Some(user), Some(password)) if user.as_bytes() == &password[..] => {
                        let principal = Principal { user: Some(UserName::new(user)) };
                        Ok((principal, Permissions::everything()))
                    }
                    _ => Err(Refusal::BadCredentials("say it twice")),
                }
            })
        }
    }
    Broker::start(engine::Options::default(), None, Arc::new(Twice), Arc::default()).expect("a broker")
}

struct Admin {
    at: SocketAddr,
    stop: oneshot::Sender<()>,
    served: JoinHandle<std::io::Result<()>>,
}

impl Admin {
    async fn start(options: Options) -> Self {
        let listener = Door::bind(SocketAddr::from(([127, 0, 0, 1], 0)), None, None).expect("bind");
        let at = listener.address().expect("address");
        let (stop, stopped) = oneshot::channel::<()>();
        let served = tokio::spawn(serve(listener, options, broker(), async {
            let _ = stopped.await;
        }));
        Self { at, stop, served }
    }

    async fn get(&self, path: &str) -> Answer {
        self.ask(format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")).await
    }

    /// As a user with a tag.
    async fn look(&self, path: &str) -> Answer {
        let boss = "authorization: Basic Ym9zczpib3Nz";
        self.ask(format!("GET {path} HTTP/1.1\r\nhost: b\r\n{boss}\r\nconnection: close\r\n\r\n")).await
    }

    async fn log_in(&self, head: &str, body: &str) -> Answer {
        let length = body.len();
        self.ask(format!(
            "POST /demo/login HTTP/1.1\r\n{head}content-length: {length}\r\nconnection: close\r\n\r\n{body}"
        ))
        .await
    }

    async fn ask(&self, request: String) -> Answer {
        let mut stream = TcpStream::connect(self.at).await.expect("connect");
        stream.write_all(request.as_bytes()).await.expect("write");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("read");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a whole answer");
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        Answer { status, head: head.into(), body: body.into() }
    }

    async fn stop(self) {
        self.stop.send(()).expect("still serving");
        self.served.await.expect("no panic").expect("an orderly end");
    }
}

struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    fn between(&self, start: &str, end: &str) -> Vec<String> {
        self.body.split(start).skip(1).filter_map(|rest| Some(rest.split_once(end)?.0.to_owned())).collect()
    }
}
