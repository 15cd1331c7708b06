//! Exchanges, queues and bindings, made, shown and taken away while the broker runs: by commands and over HTTP.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use harness::admin::Admin;
use harness::broker::{Broker, Setup};
use harness::door::Door;
use harness::stomp::Client as Stomp;
use serde_json::{Value, json};

use crate::run::{Done, duetmq};

#[test]
fn what_is_declared_and_bound_by_commands_is_told_in_words_and_as_json() -> Result<()> {
    let broker = Broker::new()?;
    let desk = Desk(&broker);
    let told = |words: &[&str], expected| desk.told(words, &expected);
    let said = |words: &[&str], code, part| desk.said(words, code, part);
    let created =
        |what: &str, name: &str, created: bool| json!({what: name, "vhost": "/", "created": created});
    told(&["declare", "exchange", "chat", "--type", "topic"], created("exchange", "chat", true))?;
    told(&["declare", "exchange", "chat", "--type", "topic"], created("exchange", "chat", false))?;
    said(&["declare", "exchange", "chat", "--type", "fanout"], 2, "kind is topic")?;
    said(
        &["declare", "exchange", "inner", "--internal", "-a", "alternate-exchange=amq.fanout"],
        0,
        "declared",
    )?;
    told(&["declare", "queue", "--name", "jobs", "-a", "x-max-length=5"], created("queue", "jobs", true))?;
    said(&["declare", "queue", "jobs", "-a", "x-max-length=6"], 2, "x-max-length")?;
    said(&["declare", "queue", "other", "-a", "x-queue-type=quorum"], 2, "classic")?;
    said(&["declare", "queue", "other", "-V", "staging"], 6, "virtual host")?;
    said(&["declare", "exchange", "amq.mine"], 5, "amq.mine")?;
    told(&["bind", "chat", "jobs", "--routing-key", "room.*"], line("created", true))?;
    told(&["bind", "chat", "jobs", "--routing-key", "room.*"], line("created", false))?;
    said(&["bind", "chat", "inner", "--destination-type", "exchange", "-k", "#"], 0, "bound")?;
    said(&["declare", "binding", "--source", "chat", "--destination", "jobs", "-k", "a"], 0, "bound")?;
    said(&["bind", "chat", "nobody"], 6, "no queue \"nobody\"")?;
    said(&["bind", "nothing", "jobs"], 6, "no exchange \"nothing\"")?;
    Ok(())
}

#[test]
fn what_there_is_is_shown_and_listed_by_commands() -> Result<()> {
    let broker = Broker::new()?;
    let desk = Desk(&broker);
    desk.prepare()?;
    let said = |words: &[&str], code, part| desk.said(words, code, part);
    let mut stomp = Stomp::new(broker.at(Door::Stomp))?;
    stomp.publish("/exchange/chat/room.5", b"one")?;
    stomp.publish("/exchange/chat/room.6", b"two")?;
    let ready = || -> Result<u64> {
        let shown: Value = serde_json::from_str(&desk.run(&["show", "queue", "jobs", "--json"])?.out)?;
        shown["messages_ready"].as_u64().context("a number")
    };
    harness::wait::until("two messages", Duration::from_secs(10), || {
        ready().ok().filter(|count| *count == 2)
    })?;
    said(&["show", "queue", "jobs"], 0, "arguments.x-max-length: 5")?;
    said(&["show", "exchange", "chat"], 0, "type: topic")?;
    said(&["show", "queue", "nobody"], 6, "no queue")?;
    said(&["show", "overview"], 0, "queues: ")?;
    let names = |what: &str, more: &[&str]| -> Result<Vec<String>> {
        let done = desk.run(&[&["list", what, "--json"], more].concat())?;
        ensure!(done.code == Some(0), "{done:?}");
        let lines = done.out.lines().map(serde_json::from_str).collect::<Result<Vec<Value>, _>>()?;
        let field = if what == "bindings" { "routing_key" } else { "name" };
        Ok(lines.iter().filter_map(|one| one[field].as_str().map(str::to_owned)).collect())
    };
    ensure!(
        names("exchanges", &["--where", "type=topic", "--where", "internal=false"])?.contains(&"chat".into())
    );
    ensure!(names("queues", &[])? == ["jobs"] && names("queues", &["--where", "messages=7"])?.is_empty());
    ensure!(names("bindings", &["--where", "source=chat"])? == ["#", "a", "room.*"]);
    said(&["list", "bindings"], 0, "(default)")?;
    said(&["list", "queues", "--where", "colour=red"], 2, "messages_ready")?;
    Ok(())
}

#[test]
fn what_is_taken_away_by_commands_is_gone_and_told_in_words_and_as_json() -> Result<()> {
    let broker = Broker::new()?;
    let desk = Desk(&broker);
    desk.prepare()?;
    let told = |words: &[&str], expected| desk.told(words, &expected);
    let said = |words: &[&str], code, part| desk.said(words, code, part);
    let mut stomp = Stomp::new(broker.at(Door::Stomp))?;
    stomp.publish("/exchange/chat/room.5", b"one")?;
    stomp.publish("/exchange/chat/room.6", b"two")?;
    let waiting = || desk.shown(&["show", "queue", "jobs"]).ok().filter(|queue| queue["messages"] == 2);
    harness::wait::until("two messages", Duration::from_secs(10), waiting)?;
    said(&["delete", "queue", "jobs", "--if-empty"], 2, "in use")?;
    told(&["purge", "queue", "--name", "jobs"], json!({"queue": "jobs", "vhost": "/", "purged": 2}))?;
    said(&["purge", "jobs"], 0, "0 messages")?;
    told(&["unbind", "chat", "jobs", "--routing-key", "room.*"], line("deleted", true))?;
    said(&["unbind", "chat", "jobs", "--routing-key", "room.*"], 6, "no binding")?;
    said(&["delete", "exchange", "chat", "--if-unused"], 2, "in use")?;
    said(&["delete", "binding", "chat", "jobs", "-k", "a"], 0, "unbound")?;
    said(&["unbind", "chat", "inner", "--destination-type", "exchange", "-k", "#"], 0, "unbound")?;
    let deleted = |what: &str, name: &str, truth: bool| json!({what: name, "vhost": "/", "deleted": truth});
    told(&["delete", "exchange", "chat", "--if-unused"], deleted("exchange", "chat", true))?;
    told(&["delete", "queue", "jobs", "--if-empty", "--if-unused"], deleted("queue", "jobs", true))?;
    said(&["delete", "queue", "jobs"], 6, "no queue")?;
    told(&["delete", "queue", "jobs", "--idempotently"], deleted("queue", "jobs", false))?;
    said(&["delete", "exchange", "amq.topic"], 5, "amq.topic")?;
    said(&["purge", "jobs"], 6, "no queue")
}

#[test]
fn exchanges_and_queues_are_made_and_shown_on_rabbitmqs_paths() -> Result<()> {
    let broker = Broker::new()?;
    let admin = Admin::owner(&broker);
    let ask =
        |method: &str, path: &str, body: Option<Value>, expected| ask(&admin, method, path, body, expected);
    let queue = json!({"durable": true, "auto_delete": false, "arguments": {"x-message-ttl": 60000}});
    ask("PUT", "/queues/%2F/a%2Fb", Some(queue.clone()), 201)?;
    ask("PUT", "/queues/%2F/a%2Fb", Some(queue), 204)?;
    ask("PUT", "/queues/%2F/a%2Fb", Some(json!({"arguments": {"x-message-ttl": 1}})), 400)?;
    ask("PUT", "/queues/%2F/plain", None, 201)?;
    ask("PUT", "/queues/%2F/odd", Some(json!({"arguments": {"x-unheard-of": 1}})), 400)?;
    ask("PUT", "/queues/%2F/mqtt.someone", None, 403)?;
    ask("PUT", "/queues/other/q", None, 404)?;
    let shown = ask("GET", "/queues/%2F/a%2Fb", None, 200)?;
    for (field, value) in [
        ("name", json!("a/b")),
        ("vhost", json!("/")),
        ("type", json!("classic")),
        ("durable", json!(true)),
        ("auto_delete", json!(false)),
        ("exclusive", json!(false)),
        ("arguments", json!({"x-message-ttl": 60000})),
        ("messages", json!(0)),
        ("consumers", json!(0)),
    ] {
        ensure!(shown[field] == value, "{field} of {shown}");
    }
    let exchange =
        json!({"type": "headers", "durable": true, "arguments": {"alternate-exchange": "amq.fanout"}});
    ask("PUT", "/exchanges/%2F/docs", Some(exchange), 201)?;
    let shown = ask("GET", "/exchanges/%2F/docs", None, 200)?;
    ensure!(shown["type"] == "headers" && shown["internal"] == false, "{shown}");
    ensure!(shown["arguments"] == json!({"alternate-exchange": "amq.fanout"}), "{shown}");
    ensure!(ask("GET", "/exchanges/%2F/amq.default", None, 200)?["name"] == "");
    ask("PUT", "/exchanges/%2F/amq.own", None, 403)?;
    Ok(())
}

#[test]
fn bindings_are_made_shown_and_ended_on_rabbitmqs_paths() -> Result<()> {
    let broker = Broker::new()?;
    let admin = Admin::owner(&broker);
    let ask =
        |method: &str, path: &str, body: Option<Value>, expected| ask(&admin, method, path, body, expected);
    ask("PUT", "/queues/%2F/a%2Fb", None, 201)?;
    ask("PUT", "/queues/%2F/plain", None, 201)?;
    ask("PUT", "/exchanges/%2F/docs", Some(json!({"type": "headers"})), 201)?;
    let between = "/bindings/%2F/e/docs/q/a%2Fb";
    let arguments = json!({"x-match": "any", "format": "pdf", "pages": 5});
    ask("POST", between, Some(json!({"routing_key": "", "arguments": arguments})), 201)?;
    ask("POST", between, Some(json!({"routing_key": "k.*"})), 201)?;
    ask("POST", between, Some(json!({"routing_key": "k.*"})), 204)?;
    ask("POST", "/bindings/%2F/e/docs/e/amq.fanout", Some(json!({})), 201)?;
    ask("POST", "/bindings/%2F/e/docs/q/nobody", Some(json!({})), 404)?;
    ask("POST", "/bindings/%2F/e/docs/x/a", Some(json!({})), 404)?;
    ask("POST", "/bindings/%2F/e/amq.default/q/plain", Some(json!({"routing_key": "x"})), 400)?;
    let all = ask("GET", between, None, 200)?;
    let keys: Vec<&str> =
        all.as_array().context("a list")?.iter().filter_map(|one| one["properties_key"].as_str()).collect();
    ensure!(keys.len() == 2 && keys[1] == "k.*" && keys[0].starts_with('~'), "{keys:?}");
    ensure!(ask("GET", &format!("{between}/{}", keys[0]), None, 200)?["arguments"]["pages"] == "5");
    ensure!(ask("GET", "/queues/%2F/a%2Fb/bindings", None, 200)?.as_array().map(Vec::len) == Some(3));
    ensure!(
        ask("GET", "/exchanges/%2F/docs/bindings/source", None, 200)?.as_array().map(Vec::len) == Some(3)
    );
    let onward = ask("GET", "/exchanges/%2F/amq.fanout/bindings/destination", None, 200)?;
    ensure!(onward[0]["destination_type"] == "exchange" && onward[0]["source"] == "docs", "{onward}");
    for key in keys {
        ask("DELETE", &format!("{between}/{key}"), None, 204)?;
        ask("DELETE", &format!("{between}/{key}"), None, 404)?;
    }
    ask("DELETE", "/exchanges/%2F/docs?if-unused=true", None, 400)?;
    ask("DELETE", "/exchanges/%2F/docs?if_unused=true", None, 400)?;
    ask("DELETE", "/exchanges/%2F/docs", None, 204)?;
    ask("DELETE", "/exchanges/%2F/docs", None, 404)?;
    ask("DELETE", "/exchanges/%2F/amq.topic", None, 403)?;
    ensure!(ask("DELETE", "/queues/%2F/plain/contents", None, 200)?["purged"] == 0);
    ask("DELETE", "/queues/%2F/plain?if-unused=true&if-empty=true", None, 204)?;
    ask("POST", "/queues", None, 405)?;
    ask("GET", "/queues/%2F/plain", None, 404)?;
    Ok(())
}

#[test]
fn lists_are_whole_or_in_pages_as_rabbitmqs_are() -> Result<()> {
    let broker = Broker::new()?;
    let admin = Admin::owner(&broker);
    let ask =
        |method: &str, path: &str, body: Option<Value>, expected| ask(&admin, method, path, body, expected);
    let page = ask("GET", "/exchanges?page=2&page_size=3", None, 200)?;
    ensure!(page["items"].as_array().map(Vec::len) == Some(3) && page["total_count"] == 7, "{page}");
    ensure!(page["page_count"] == 3 && page["page"] == 2, "{page}");
    let named = ask("GET", "/exchanges/%2F?page=1&name=head", None, 200)?;
    ensure!(named["items"][0]["name"] == "amq.headers" && named["filtered_count"] == 1, "{named}");
    ensure!(ask("GET", "/exchanges", None, 200)?.as_array().map(Vec::len) == Some(7));
    ask("GET", "/exchanges?sort=name", None, 400)?;
    ensure!(ask("GET", "/vhosts", None, 200)?[0]["name"] == "/");
    Ok(())
}

#[test]
fn bodies_are_bounded_and_what_is_no_json_is_told() -> Result<()> {
    let broker = Broker::new()?;
    let admin = Admin::owner(&broker);
    let path = "/api/queues/%2F/q";
    let large = format!("{{\"arguments\": {{\"x\": \"{}\"}}}}", "x".repeat(100_000));
    ensure!(admin.send("PUT", path, large.as_bytes())?.status == 413);
    for wrong in ["{", "[1]", "5", "{\"durable\": 5}", "{\"arguments\": \"x\"}", "\u{0}"] {
        let answer = admin.send("PUT", path, wrong.as_bytes())?;
        ensure!(answer.status == 400 && !answer.reason().is_empty(), "{wrong}: {answer:?}");
    }
    let deep = format!("{{\"arguments\": {}{}}}", "[".repeat(10_000), "]".repeat(10_000));
    ensure!(admin.send("PUT", path, deep.as_bytes())?.status == 400);
    ensure!(admin.get(path)?.status == 404);
    Ok(())
}

#[test]
fn what_was_answered_is_there_after_a_crash() -> Result<()> {
    let mut broker = Broker::new()?;
    for words in [
        &["declare", "exchange", "chat", "-t", "topic"][..],
        &["declare", "exchange", "passing", "--durable", "false"],
        &["declare", "queue", "jobs", "-a", "x-max-length=5"],
        &["declare", "queue", "gone"],
        &["bind", "chat", "jobs", "-k", "room.*"],
        &["bind", "chat", "gone", "-k", "#"],
        &["bind", "chat", "amq.fanout", "--destination-type", "exchange", "-k", "x"],
        &["delete", "queue", "gone"],
    ] {
        ensure!(run(&broker, words)?.code == Some(0), "{words:?}");
    }
    let before = Admin::owner(&broker).get("/api/definitions")?.json()?;
    broker.kill();
    broker.start()?;
    let mut expected = before;
    expected["exchanges"].as_array_mut().context("a list")?.retain(|one| one["name"] != "passing");
    let after = Admin::owner(&broker).get("/api/definitions")?.json()?;
    ensure!(after == expected, "{after}\n{expected}");
    ensure!(after["bindings"].as_array().map(Vec::len) == Some(2), "{after}");
    Ok(())
}

#[test]
fn changes_are_for_those_who_may_make_them() -> Result<()> {
    let users = "[[admin.user]]\nname = \"watcher\"\ntag = \"monitoring\"\n[[admin.user]]\nname = \"keeper\"\ntag = \"management\"\n[[admin.user]]\nname = \"boss\"\ntag = \"administrator\"\n";
    let setup = ["watcher", "keeper", "boss"].into_iter().fold(Setup::new().config(users), Setup::user);
    let broker = setup.start()?;
    let status = |user: &str, method: &str, path: &str, body: Option<Value>| -> Result<u16> {
        Ok(Admin::user(&broker, user, user).ask(method, path, body.as_ref())?.status)
    };
    ensure!(status("watcher", "PUT", "/api/queues/%2F/q", None)? == 403);
    ensure!(status("watcher", "GET", "/api/queues", None)? == 200);
    ensure!(status("keeper", "PUT", "/api/queues/%2F/q", None)? == 201);
    ensure!(status("keeper", "POST", "/api/definitions", Some(json!({})))? == 403);
    ensure!(status("boss", "POST", "/api/definitions", Some(json!({})))? == 200);
    ensure!(status("watcher", "GET", "/api/definitions", None)? == 200);
    ensure!(Admin::nobody(&broker).ask("DELETE", "/api/queues/%2F/q", None)?.status == 401);
    // The command shows who asks.
    let admin = format!("http://{}", broker.at(Door::Admin));
    let login = ["--admin", &admin, "--user", "keeper", "--password", "keeper"];
    let done = duetmq(&[&["delete", "queue", "q"][..], &login].concat())?;
    ensure!(done.code == Some(0), "{done:?}");
    let login = ["--admin", &admin, "--user", "watcher", "--password", "watcher"];
    let done = duetmq(&[&["declare", "queue", "q"][..], &login].concat())?;
    ensure!(done.code == Some(5) && done.error.contains("management"), "{done:?}");
    Ok(())
}

/// Asks below `/api`; a refusal says why.
fn ask(admin: &Admin, method: &str, path: &str, body: Option<Value>, expected: u16) -> Result<Value> {
    let answer = admin.ask(method, &format!("/api{path}"), body.as_ref())?;
    ensure!(answer.status == expected, "{method} {path}: {answer:?}");
    if expected >= 400 && expected != 405 {
        ensure!(!answer.reason().is_empty() && answer.json()?["error"].is_string(), "{answer:?}");
    }
    if answer.body.is_empty() { Ok(Value::Null) } else { answer.json() }
}

pub(crate) fn run(broker: &Broker, words: &[&str]) -> Result<Done> {
    let data = broker.data().display().to_string();
    duetmq(&[words, &["-d", &data]].concat())
}

/// Whoever looks after a broker by commands.
struct Desk<'a>(&'a Broker);

impl Desk<'_> {
    fn run(&self, words: &[&str]) -> Result<Done> {
        run(self.0, words)
    }

    /// What a command says as JSON.
    fn shown(&self, words: &[&str]) -> Result<Value> {
        let done = self.run(&[words, &["--json"]].concat())?;
        ensure!(done.code == Some(0), "{words:?}: {done:?}");
        serde_json::from_str(&done.out).with_context(|| format!("{done:?}"))
    }

    #[track_caller]
    fn told(&self, words: &[&str], expected: &Value) -> Result<()> {
        let value = self.shown(words)?;
        ensure!(value == *expected, "{words:?}: {value}");
        Ok(())
    }

    fn said(&self, words: &[&str], code: i32, part: &str) -> Result<()> {
        let done = self.run(words)?;
        let text = if code == 0 { &done.out } else { &done.error };
        ensure!(done.code == Some(code) && text.contains(part), "{words:?}: {done:?}");
        Ok(())
    }

    /// A topic exchange that leads to a queue, by two keys, and to another exchange.
    fn prepare(&self) -> Result<()> {
        for words in [
            &["declare", "exchange", "chat", "--type", "topic"][..],
            &["declare", "exchange", "inner", "--internal"],
            &["declare", "queue", "jobs", "-a", "x-max-length=5"],
            &["bind", "chat", "jobs", "-k", "room.*"],
            &["bind", "chat", "jobs", "-k", "a"],
            &["bind", "chat", "inner", "--destination-type", "exchange", "-k", "#"],
        ] {
            self.said(words, 0, "")?;
        }
        Ok(())
    }
}

/// The binding from `chat` to `jobs`, as a command tells it.
fn line(done: &str, truth: bool) -> Value {
    json!({
            "source": "chat", "destination": "jobs", "destination_type": "queue", "routing_key": "room.*",
            "arguments": {}, "vhost": "/", done: truth,
    })
}
