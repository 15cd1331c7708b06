//! Policies: set, listed, shown and cleared while the broker runs, by commands and over HTTP; and in the configuration.

use anyhow::{Result, ensure};
use harness::admin::Admin;
use harness::broker::{Broker, Setup};
use harness::door::Door;
use harness::stomp::Client as Stomp;
use harness::wait::{SOON, until};
use serde_json::{Value, json};

use crate::topology::run;

#[test]
fn what_a_policy_says_holds_at_once_is_shown_everywhere_and_goes_with_it_also_after_a_kill() -> Result<()> {
    let mut broker = Broker::new()?;
    let said = |broker: &Broker, words: &[&str], code, part: &str| -> Result<()> {
        let done = run(broker, words)?;
        let is_said = done.out.contains(part) || done.error.contains(part);
        ensure!(done.code == Some(code) && is_said, "{words:?}: {done:?}, not {code} {part:?}");
        Ok(())
    };
    said(&broker, &["declare", "queue", "jobs.mail"], 0, "declared")?;
    let mut stomp = Stomp::new(broker.at(Door::Stomp))?;
    for number in 0..50 {
        stomp.publish("/amq/queue/jobs.mail", format!("{number}").as_bytes())?;
    }
    let set = ["policy", "set", "short", r"^jobs\.", "-a", "max-length=10", "-a", "message-ttl=3600000"];
    said(&broker, &set, 0, "policy \"short\" holds")?;
    let ready = |broker: &Broker| Some(show(broker, "queues", "jobs.mail").ok()?["messages_ready"].clone());
    until("what is too much has gone", SOON, || ready(&broker).filter(|count| *count == 10))?;
    said(&broker, &["policy", "list"], 0, r#"{"max-length":10,"message-ttl":3600000}"#)?;
    said(&broker, &["list", "policies", "--where", "queues=1", "--json"], 0, r#""name":"short""#)?;
    said(&broker, &["show", "policy", "short"], 0, r"pattern: ^jobs\.")?;
    said(&broker, &["show", "queue", "jobs.mail"], 0, "effective_policy_definition.overflow: drop-head")?;
    said(&broker, &["list", "queues", "--where", "policy=short"], 0, "jobs.mail")?;
    said(&broker, &["explain", "pub", "$queue/jobs.mail"], 0, ", policy short")?;
    said(
        &broker,
        &["explain", "sub", "--protocol", "stomp", "/queue/jobs.new"],
        0,
        "if it does not exist), policy short",
    )?;
    broker.kill();
    broker.start()?;
    said(&broker, &["show", "queue", "jobs.mail"], 0, "policy: short")?;
    said(&broker, &["policy", "clear", "short", "--json"], 0, r#""deleted":true"#)?;
    said(&broker, &["policy", "clear", "short"], 6, "there is no policy \"short\"")?;
    said(&broker, &["policy", "clear", "short", "--idempotently"], 0, "is not there")?;
    let shown = show(&broker, "queues", "jobs.mail")?;
    ensure!(shown["policy"].is_null() && shown["effective_policy_definition"] == json!({}), "{shown}");
    broker.kill();
    broker.start()?;
    said(&broker, &["show", "queue", "jobs.mail"], 0, "policy: -")?;
    let mut stomp = Stomp::new(broker.at(Door::Stomp))?;
    for number in 0..50 {
        stomp.publish("/amq/queue/jobs.mail", format!("{number}").as_bytes())?;
    }
    until("they all stay", SOON, || ready(&broker).filter(|count| *count == 60))?;
    Ok(())
}

#[test]
fn a_policy_that_cannot_be_is_refused_with_the_reason() -> Result<()> {
    let broker = Broker::new()?;
    for (words, code, part) in [
        (&["set", "p", "(", "-a", "max-length=1"][..], 2, "no regular expression"),
        (&["set", "p", "^(?!amq)", "-a", "max-length=1"], 2, "look-around"),
        (&["set", "p", ".*", "-a", "ha-mode=all"], 2, "ha-mode"),
        (&["set", "p", ".*", "{}"], 2, "says nothing"),
        (&["set", "p", ".*", "{"], 2, "no JSON"),
        (&["set", "p", ".*", "-a", "max-length=1", "--apply-to", "exchanges"], 2, "said of queues"),
        (&["set", "p", ".*", "-a", "max-length=1", "--apply-to", "topics"], 2, "queues, exchanges or all"),
        (&["set", "p", ".*", "-a", "alternate-exchange="], 2, "alternate-exchange"),
        (&["set", "p", ".*"], 2, ""),
        (&["set", "p", ".*", "-a", "max-length=1", "-V", "staging"], 6, "virtual host"),
    ] {
        let done = run(&broker, &[&["policy"], words].concat())?;
        ensure!(done.code == Some(code) && done.error.contains(part), "{words:?}: {done:?}");
    }
    let all = Admin::owner(&broker).get("/api/policies")?;
    ensure!(all.status == 200 && all.json()? == json!([]), "{all:?}");
    Ok(())
}

#[test]
fn over_http_a_policy_is_as_in_rabbitmq_and_needs_an_administrator() -> Result<()> {
    let config = "[[admin.user]]\nname = \"ann\"\ntag = \"administrator\"\n[[admin.user]]\nname = \"bob\"\ntag = \"management\"\n";
    let broker = Setup::new().config(config).user("ann").user("bob").start()?;
    let (ann, bob) = (Admin::user(&broker, "ann", "ann"), Admin::user(&broker, "bob", "bob"));
    let at = "/api/policies/%2F/p";
    let body = json!({
        "pattern": "^amq.topic$", "definition": {"alternate-exchange": "lost"}, "priority": 3, "apply-to": "exchanges",
    });
    ensure!(bob.ask("PUT", at, Some(&body))?.status == 403);
    ensure!(ann.ask("PUT", at, Some(&body))?.status == 201);
    ensure!(ann.ask("PUT", at, Some(&body))?.status == 204);
    let shown = bob.get(at)?.json()?;
    let expected = json!({
        "vhost": "/", "name": "p", "pattern": "^amq.topic$", "apply-to": "exchanges", "priority": 3,
        "definition": {"alternate-exchange": "lost"}, "configured": false, "queues": 0, "exchanges": 1,
    });
    ensure!(shown == expected, "{shown}");
    // What is shown of one may be said again.
    ensure!(ann.ask("PUT", at, Some(&shown))?.status == 204);
    let exchange = bob.get("/api/exchanges/%2F/amq.topic")?.json()?;
    ensure!(exchange["policy"] == "p", "{exchange}");
    ensure!(exchange["effective_policy_definition"] == json!({"alternate-exchange": "lost"}), "{exchange}");
    ensure!(exchange["arguments"] == json!({}), "{exchange}");
    ensure!(bob.ask("DELETE", at, None)?.status == 403);
    ensure!(ann.ask("DELETE", at, None)?.status == 204);
    for (method, path) in [("GET", at), ("DELETE", at), ("GET", "/api/policies/other")] {
        ensure!(ann.ask(method, path, None)?.status == 404, "{method} {path}");
    }
    Ok(())
}

#[test]
fn a_policy_of_the_configuration_holds_and_is_not_changed_by_command() -> Result<()> {
    let config = "[[policy]]\nname = \"short\"\npattern = '^jobs'\napply_to = \"queues\"\npriority = 2\n\
                  definition = { max_length = 5, message_ttl = \"1h\", dead_letter_exchange = \"lost\" }\n\
                  [[queue]]\nname = \"jobs\"\n";
    let broker = Setup::new().config(config).start()?;
    let shown = show(&broker, "queues", "jobs")?;
    let expected = json!({
        "max-length": 5, "max-length-bytes": 1 << 30, "overflow": "drop-head", "message-ttl": 3_600_000,
        "dead-letter-exchange": "lost", "delivery-limit": 20,
    });
    ensure!(shown["effective_policy_definition"] == expected, "{shown}");
    for words in [&["policy", "clear", "short"][..], &["policy", "set", "short", ".*", "-a", "max-length=7"]]
    {
        let done = run(&broker, words)?;
        ensure!(done.code == Some(5) && done.error.contains("[[policy]]"), "{words:?}: {done:?}");
    }
    let listed = Admin::owner(&broker).get("/api/policies/%2F/short")?.json()?;
    ensure!(listed["configured"] == true && listed["queues"] == 1, "{listed}");
    Ok(())
}

#[test]
fn a_document_has_policies_and_one_that_says_something_else_changes_nothing() -> Result<()> {
    let broker = Broker::new()?;
    let admin = Admin::owner(&broker);
    let policy = |length: u64| json!({"vhost": "/", "name": "p", "pattern": "^q", "definition": {"max-length": length}});
    let document = |length| json!({"queues": [{"name": "q", "vhost": "/"}], "policies": [policy(length)]});
    let done = admin.ask("POST", "/api/definitions", Some(&document(7)))?.json()?;
    ensure!(done["created"]["policies"] == 1, "{done}");
    let shown = show(&broker, "queues", "q")?;
    ensure!(shown["effective_policy_definition"]["max-length"] == 7, "{shown}");
    let again = admin.ask("POST", "/api/definitions", Some(&document(7)))?.json()?;
    ensure!(again["there"]["policies"] == 1 && again["created"]["policies"] == 0, "{again}");
    let refused = admin.ask("POST", "/api/definitions", Some(&document(8)))?;
    ensure!(refused.status == 400 && refused.reason().contains("policy clear \"p\""), "{refused:?}");
    let exported = admin.get("/api/definitions")?.json()?;
    let expected = json!([{
        "vhost": "/", "name": "p", "pattern": "^q", "apply-to": "all", "priority": 0, "definition": {"max-length": 7},
    }]);
    ensure!(exported["policies"] == expected, "{exported}");
    Ok(())
}

#[test]
fn a_policy_is_of_the_vhost_that_it_names_wherever_it_was_said_and_documents_keep_that() -> Result<()> {
    let config = "[[vhost]]\nname = \"a\"\n[[vhost]]\nname = \"b\"\n\
                  [[policy]]\nname = \"short\"\npattern = '^jobs'\nvhost = \"a\"\ndefinition = { max_length = 5 }\n\
                  [[policy]]\nname = \"all\"\npattern = '^all'\ndefinition = { max_length = 7 }\n";
    let mut broker = Setup::new().config(config).start()?;
    let said = |broker: &Broker, words: &[&str], code, part: &str| -> Result<()> {
        let done = run(broker, words)?;
        let is_said = done.out.contains(part) || done.error.contains(part);
        ensure!(done.code == Some(code) && is_said, "{words:?}: {done:?}, not {code} {part:?}");
        Ok(())
    };
    let holds = |broker: &Broker, vhost: &str, queue: &str| -> Result<Value> {
        let shown = Admin::owner(broker).get(&format!("/api/queues/{vhost}/{queue}"))?.json()?;
        let length = &shown["effective_policy_definition"]["max-length"];
        Ok(json!([shown["policy"], length]))
    };
    for vhost in ["/", "a", "b"] {
        for queue in ["jobs", "all", "other"] {
            said(&broker, &["declare", "queue", queue, "-V", vhost], 0, "declared")?;
        }
    }
    for (vhost, queue, expected) in [
        ("a", "jobs", json!(["short", 5])),
        ("b", "jobs", json!([null, null])),
        ("%2F", "jobs", json!([null, null])),
        ("a", "all", json!(["all", 7])),
        ("b", "all", json!(["all", 7])),
        ("%2F", "all", json!(["all", 7])),
    ] {
        let found = holds(&broker, vhost, queue)?;
        ensure!(found == expected, "{queue} in {vhost}: {found}");
    }
    // Where no policy of the configuration has that name, it is anybody's.
    let set = |vhost: &'static str| ["policy", "set", "short", "^jobs", "-a", "max-length=9", "-V", vhost];
    said(&broker, &set("a"), 5, "[[policy]]")?;
    said(&broker, &set("b"), 0, "holds")?;
    said(&broker, &set("none"), 6, "virtual host")?;
    said(&broker, &["policy", "clear", "all", "-V", "b"], 5, "[[policy]]")?;
    said(&broker, &["policy", "list", "-V", "b"], 0, r#"{"max-length":9}"#)?;
    let body = json!({"pattern": "^other", "definition": {"max-length": 11}});
    let put =
        |vhost: &str| Admin::owner(&broker).ask("PUT", &format!("/api/policies/{vhost}/own"), Some(&body));
    ensure!(put("a")?.status == 201 && put("none")?.status == 404);
    broker.kill();
    broker.start()?;
    for (vhost, queue, expected) in [
        ("b", "jobs", json!(["short", 9])),
        ("a", "other", json!(["own", 11])),
        ("b", "other", json!([null, null])),
    ] {
        ensure!(holds(&broker, vhost, queue)? == expected, "{queue} in {vhost}");
    }

    let document = Admin::owner(&broker).get("/api/definitions")?.json()?;
    let other = Broker::new()?;
    let done = Admin::owner(&other).ask("POST", "/api/definitions", Some(&document))?.json()?;
    // Of those of the configuration, the one for each vhost in each.
    ensure!(done["created"]["policies"] == 6 && done["left_out"] == json!([]), "{done}");
    for (vhost, queue) in
        [("a", "jobs"), ("b", "jobs"), ("%2F", "jobs"), ("a", "other"), ("b", "other"), ("b", "all")]
    {
        let (one, other) = (holds(&broker, vhost, queue)?, holds(&other, vhost, queue)?);
        ensure!(one == other, "{queue} in {vhost}: {one}, {other}");
    }
    said(&other, &["policy", "clear", "short", "-V", "b"], 0, "holds no more")?;
    ensure!(holds(&other, "a", "jobs")? == json!(["short", 5]), "it is of the other one");
    Ok(())
}

fn show(broker: &Broker, what: &str, name: &str) -> Result<Value> {
    Admin::owner(broker).get(&format!("/api/{what}/%2F/{name}"))?.json()
}
