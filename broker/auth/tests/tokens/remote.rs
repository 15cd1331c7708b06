//! Keys that are on another server, which is not always there.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use auth::{Algorithm, Guard, JwksList, JwksSource, JwtOptions, Options};
use model::refusal::Refusal;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::issuer::Issuer;
use crate::{alice, options, refused, user};

#[tokio::test]
async fn a_list_is_fetched_and_a_new_key_is_found_while_old_ones_hold() {
    let (old, new) = (Issuer::new(Algorithm::ES256), Issuer::new(Algorithm::ES256));
    let server = Server::start(&list(&[old.jwk(Some("old"))])).await;
    let guard = server.guard(Duration::from_secs(3600));
    let (by_old, by_new) = (old.token(&alice(), Some("old")), new.token(&alice(), Some("new")));
    // Nobody need have fetched it before.
    assert_eq!(user(&guard, &by_old).await, Ok("alice".to_owned()));
    assert_eq!(server.asked(), 1);
    // The issuer has a new key. The first token that names it has the list fetched, if that was not done just now.
    server.answers(&list(&[old.jwk(Some("old")), new.jwk(Some("new"))]));
    until(async || user(&guard, &by_new).await.is_ok()).await;
    assert_eq!(user(&guard, &by_old).await, Ok("alice".to_owned()));
    // Whatever comes instead of a list changes nothing, and nor does silence.
    for broken in [
        "HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n".to_owned(),
        http("{}"),
        http("garbage"),
        String::new(),
    ] {
        server.answers_with(&broken);
        refused(user(&guard, &new.token(&alice(), Some("made up"))).await, "no key of auth.jwt");
        assert!(user(&guard, &by_old).await.is_ok() && user(&guard, &by_new).await.is_ok());
    }
}

#[tokio::test]
async fn names_that_somebody_makes_up_have_it_fetched_now_and_then() {
    let issuer = Issuer::new(Algorithm::ES256);
    let server = Server::start(&list(&[issuer.jwk(Some("known"))])).await;
    let guard = server.guard(Duration::from_secs(3600));
    let begun = Instant::now();
    for number in 0..200 {
        let token = issuer.token(&alice(), Some(&format!("made up {number}")));
        refused(user(&guard, &token).await, "no key of auth.jwt");
    }
    let most = 1 + begun.elapsed().as_secs() / 5;
    assert!(server.asked() as u64 <= most, "{} times, and {most} at most", server.asked());
    // Whoever names a key that is known asks for nothing.
    let before = server.asked();
    for _ in 0..20 {
        assert!(user(&guard, &issuer.token(&alice(), Some("known"))).await.is_ok());
    }
    assert_eq!(server.asked(), before);
}

#[tokio::test]
async fn it_is_fetched_again_by_itself_and_what_is_not_in_it_any_more_is_gone() {
    let (old, new) = (Issuer::new(Algorithm::RS256), Issuer::new(Algorithm::RS256));
    let server = Server::start(&list(&[old.jwk(Some("k"))])).await;
    let guard = server.guard(Duration::from_secs(1));
    guard.fetch_keys().await;
    let (by_old, by_new) = (old.token(&alice(), Some("k")), new.token(&alice(), Some("k")));
    assert!(user(&guard, &by_old).await.is_ok());
    server.answers(&list(&[new.jwk(Some("k"))]));
    until(async || {
        guard.fetch_keys().await;
        user(&guard, &by_new).await.is_ok()
    })
    .await;
    refused(user(&guard, &by_old).await, "its signature is wrong");
}

#[tokio::test]
async fn until_there_is_a_list_nobody_is_let_in_and_each_is_told_to_come_again() {
    let issuer = Issuer::new(Algorithm::ES256);
    let server = Server::start("").await;
    let guard = server.guard(Duration::from_secs(1));
    let token = issuer.token(&alice(), Some("k"));
    assert!(matches!(user(&guard, &token).await, Err(Refusal::Busy(_))));
    server.answers(&list(&[issuer.jwk(Some("k"))]));
    until(async || {
        guard.fetch_keys().await;
        user(&guard, &token).await.is_ok()
    })
    .await;
}

#[test]
fn an_address_that_cannot_be_trusted_is_refused_at_start() {
    for (url, why) in [
        ("http://id.example.org/keys", "use https://"),
        ("nonsense", "it must begin with http"),
        ("https://", "no address"),
    ] {
        let error =
            guard(url, Duration::from_secs(60)).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(error.starts_with("auth.jwt.jwks.0: ") && error.contains(why), "{error}");
    }
}

/// Tries for a generous while.
async fn until(mut is_done: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !is_done().await {
        assert!(begun.elapsed() < Duration::from_secs(60), "not within a minute");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn list(keys: &[serde_json::Value]) -> String {
    json!({ "keys": keys }).to_string()
}

fn http(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

fn guard(url: &str, every: Duration) -> Result<Guard, auth::GuardError> {
    let source = JwksSource::Url { url: url.to_owned(), authorities: None, every };
    let lists = vec![JwksList { source, algorithms: vec![Algorithm::ES256, Algorithm::RS256] }];
    Guard::new(Options { jwt: Some(JwtOptions { lists, ..options(Vec::new()) }), ..Options::default() })
}

/// Answers every request with what it was told last.
struct Server {
    port: u16,
    answer: Arc<Mutex<String>>,
    asked: Arc<AtomicUsize>,
}

impl Server {
    async fn start(body: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let answer = Arc::new(Mutex::new(http(body)));
        let asked = Arc::new(AtomicUsize::new(0));
        let (shown, count) = (Arc::clone(&answer), Arc::clone(&asked));
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut buf = [0; 4096];
                // What is asked for fits, and comes at once.
                let _ = stream.read(&mut buf).await;
                count.fetch_add(1, Ordering::SeqCst);
                let answer = shown.lock().unwrap().clone();
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        Self { port, answer, asked }
    }

    fn guard(&self, every: Duration) -> Guard {
        guard(&format!("http://127.0.0.1:{}/keys", self.port), every).unwrap()
    }

    fn answers(&self, body: &str) {
        self.answers_with(&http(body));
    }

    fn answers_with(&self, answer: &str) {
        answer.clone_into(&mut self.answer.lock().unwrap());
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}
