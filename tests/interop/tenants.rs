//! Tokens that say in which vhosts their bearers are: where these come in, and where they do not.

use anyhow::{Context, Result, ensure};
use harness::admin::Admin;
use harness::broker::{Broker, Setup};
use harness::door::Door;
use harness::hook::{Hook, Reply};
use harness::mqtt::Client as Mqtt;
use harness::mqtt::packet::{Connack, Packet, Publish};
use harness::mqtt::version::Version;
use harness::mqtt::write::{Connect, ack, publish};
use harness::stomp::{Client as Stomp, Frame};
use harness::token::{SECRET, config, now_s, signed};
use harness::wait::SOON;
use serde_json::{Value, json};

#[test]
fn who_asks_for_no_vhost_is_in_the_first_that_his_token_names_and_without_one_where_he_was_before()
-> Result<()> {
    let broker = tenants("").start()?;
    let mut watchers = Vec::new();
    for vhost in ["/", "a", "b"] {
        watchers.push((vhost, watch(&broker, vhost)?));
    }
    for (vhosts, expected) in
        [(Some(json!("a")), "a"), (Some(json!(["b", "a"])), "b"), (Some(json!(["/", "a"])), "/"), (None, "/")]
    {
        let token = token(vhosts.as_ref());
        let body = format!("{vhosts:?}");
        stomp(&broker, &token, "/")?.publish("/topic/x", body.as_bytes())?;
        for version in [Version::V5, Version::V311, Version::V31] {
            mqtt(&broker, &token, "kim", version)?.publish("x", body.as_bytes(), 1)?;
        }
        for (vhost, watcher) in &mut watchers {
            for _ in 0..if *vhost == expected { 4 } else { 0 } {
                let came = watcher.take().with_context(|| format!("{body} in {vhost}"))?;
                ensure!(came.text() == body, "{came:?} in {vhost}");
            }
            watcher.publish("x", b"mark", 1)?;
            let mark = watcher.take()?;
            ensure!(mark.text() == "mark", "{mark:?} in {vhost}");
        }
    }
    Ok(())
}

#[test]
fn a_token_for_some_vhosts_is_refused_at_all_others_in_words_and_says_nothing_of_which_there_are()
-> Result<()> {
    let broker = tenants("").start()?;
    let of_a = token(Some(&json!("a")));
    for vhost in ["b", "c"] {
        let words = format!("not allowed to enter virtual host \"{vhost}\": the token is for \"a\"");
        let error = error(&broker, &of_a, vhost)?;
        ensure!(error.contains(&words), "{error}");
        let connack = refused(&broker, &of_a, &format!("{vhost}:kim"), Version::V5)?;
        ensure!(
            connack.code == 0x87 && format!("{connack:?}").contains(&words.replace('"', "\\\"")),
            "{connack:?}"
        );
        ensure!(refused(&broker, &of_a, &format!("{vhost}:"), Version::V311)?.code == 5);
    }
    ensure!(refused(&broker, &of_a, "/:kim", Version::V5)?.code == 0x87, "it asks for / in so many words");
    // Of several, whichever it asks for.
    let of_both = token(Some(&json!(["a", "b"])));
    for vhost in ["a", "b"] {
        let mut watcher = watch(&broker, vhost)?;
        mqtt(&broker, &of_both, &format!("{vhost}:"), Version::V5)?.publish("x", b"1", 1)?;
        stomp(&broker, &of_both, vhost)?.publish("/topic/x", b"2")?;
        ensure!(watcher.take()?.text() == "1" && watcher.take()?.text() == "2");
    }
    // One that is not there, and one that cannot be.
    let gone = error(&broker, &token(Some(&json!("gone"))), "/")?;
    ensure!(gone.contains("virtual host \"gone\" does not exist"), "{gone}");
    let wrong = error(&broker, &token(Some(&json!(7))), "/")?;
    ensure!(wrong.contains("auth.jwt.vhost_claim"), "{wrong}");
    Ok(())
}

#[test]
fn the_listener_comes_before_the_token_and_a_vhost_keeps_its_own_list_of_users() -> Result<()> {
    let listed = "[[vhost]]\nname = \"listed\"\nusers = [\"ann\"]\n";
    // Of the doors, STOMP's is the second.
    let broker = tenants(listed).argument("--set").argument("listener.1.vhost=b").start()?;
    let mut watcher = watch(&broker, "b")?;
    stomp(&broker, &token(Some(&json!(["a", "b"]))), "/")?.publish("/topic/x", b"1")?;
    ensure!(watcher.take()?.text() == "1");
    for host in ["/", "a"] {
        let error = error(&broker, &token(Some(&json!("a"))), host)?;
        ensure!(
            error.contains("the token is for \"a\"") || error.contains("does not exist"),
            "{host}: {error}"
        );
    }
    let connack = refused(&broker, &token(Some(&json!("listed"))), "kim", Version::V5)?;
    ensure!(connack.code == 0x87 && format!("{connack:?}").contains("vhost.users"), "{connack:?}");
    Ok(())
}

#[test]
fn who_comes_where_his_token_says_has_the_rights_and_the_session_that_he_has_there() -> Result<()> {
    let rules = "[[rule]]\nallow = [\"connect\"]\nvhosts = [\"*\"]\n\
                 [[rule]]\nallow = [\"publish\", \"subscribe\"]\ntopics = [\"in/a\"]\nvhosts = [\"a\"]\n\
                 [[rule]]\nallow = [\"publish\", \"subscribe\"]\ntopics = [\"home\"]\n";
    let hook = Hook::start(|_| Reply::Json(json!({"result": "allow"})))?;
    let hooked = format!("[[hook]]\nurl = \"{}\"\nevents = [\"connect\"]\n", hook.url());
    let broker = tenants(&hooked).acl(rules).start()?;
    let of_a = token(Some(&json!("a")));
    let lasting =
        Connect { login: Some(("kim".into(), of_a.clone())), ..Connect::lasting(Version::V5, "kim") };
    let (mut client, _) = Mqtt::connect(broker.at(Door::Mqtt), &lasting)?;
    ensure!(client.subscribe("in/a", 1)? == [1] && client.subscribe("home", 1)? == [0x87]);
    client.send(&publish(Version::V5, &Publish::new("home", b"x", 1).with_id(9)))?;
    let packet = client.packet()?;
    ensure!(matches!(packet, Packet::Ack { kind: ack::PUBACK, reason: 0x87, .. }), "{packet:?}");
    drop(client);
    let (_, connack) = Mqtt::connect(broker.at(Door::Mqtt), &lasting)?;
    ensure!(connack.session_present, "{connack:?}");
    let sessions = |vhost: &str| -> Result<Value> {
        Ok(Admin::owner(&broker).get(&format!("/api/v1/sessions?vhost={vhost}"))?.json()?["items"].clone())
    };
    ensure!(sessions("a")?.as_array().is_some_and(|all| all.len() == 1), "{}", sessions("a")?);
    ensure!(sessions("%2F")? == json!([]), "{}", sessions("%2F")?);
    ensure!(hook.asked().iter().all(|asked| asked.json["client"]["vhost"] == "a"), "{:?}", hook.asked());
    ensure!(!hook.asked().is_empty(), "the hook was not asked");
    Ok(())
}

#[test]
fn a_newer_token_for_another_vhost_does_not_take_the_place_of_the_one_before() -> Result<()> {
    let broker = tenants("").start()?;
    let mut client = stomp(&broker, &token(Some(&json!("a"))), "/")?;
    client.subscribe("e", "/session/queue/request-error", "auto")?;
    let send = |token: &str| {
        let frame = Frame::new("SEND").with("destination", "/topic/x");
        frame.with("Authorization", &format!("Bearer {token}")).body(b"x")
    };
    client.send(&send(&token(Some(&json!("b")))))?;
    let told = client.expect("MESSAGE")?;
    ensure!(told.header("error-code") == Some("access_refused"), "{told:?}");
    ensure!(told.header("error").is_some_and(|why| why.contains("the token is for \"b\"")), "{told:?}");
    for good in [token(Some(&json!(["b", "a"]))), token(None)] {
        client.request(send(&good))?;
    }
    Ok(())
}

#[test]
fn who_may_be_in_some_vhosts_alone_does_not_look_after_the_broker() -> Result<()> {
    let broker = tenants("[[admin.user]]\nname = \"kim\"\ntag = \"administrator\"\n").start()?;
    for (vhosts, status) in [(None, 200), (Some(json!("a")), 403), (Some(json!(["/", "a", "b"])), 403)] {
        let shown = format!("Bearer {}", token(vhosts.as_ref()));
        let answer = Admin::nobody(&broker).with("authorization", &shown).get("/api/queues/b")?;
        ensure!(answer.status == status, "{vhosts:?}: {answer:?}");
        ensure!(status == 200 || answer.reason().contains("vhost_claim"), "{answer:?}");
    }
    Ok(())
}

/// Vhosts a and b, tokens that may say which, and a user whose password is his name.
fn tenants(more: &str) -> Setup {
    let tokens = config("vhost_claim = \"vhost\"\n");
    Setup::new()
        .config(&format!("[[vhost]]\nname = \"a\"\n[[vhost]]\nname = \"b\"\n{more}{tokens}"))
        .user("lee")
}

fn token(vhosts: Option<&Value>) -> String {
    let mut claims = json!({"sub": "kim", "exp": now_s() + 3600});
    if let Some(vhosts) = vhosts {
        claims["vhost"] = vhosts.clone();
    }
    signed(&claims, SECRET)
}

/// Somebody without a token who hears what is published there.
fn watch(broker: &Broker, vhost: &str) -> Result<Mqtt> {
    let login = Some((format!("{vhost}:lee"), "lee".to_owned()));
    let connect = Connect { login, ..Connect::new(Version::V5, "watcher") };
    let (mut watcher, _) = Mqtt::connect(broker.at(Door::Mqtt), &connect)?;
    watcher.subscribe("x", 1)?;
    Ok(watcher)
}

fn stomp(broker: &Broker, token: &str, host: &str) -> Result<Stomp> {
    let mut client = Stomp::dial(broker.at(Door::Stomp))?;
    client.send(&hello(token, host))?;
    client.expect("CONNECTED")?;
    Ok(client)
}

/// What a STOMP client is told that is not let in.
fn error(broker: &Broker, token: &str, host: &str) -> Result<String> {
    let mut client = Stomp::dial(broker.at(Door::Stomp))?;
    client.send(&hello(token, host))?;
    Ok(client.expect("ERROR")?.text())
}

fn hello(token: &str, host: &str) -> Frame {
    let frame = Frame::new("CONNECT").with("accept-version", "1.2").with("host", host);
    frame.with("Authorization", &format!("Bearer {token}"))
}

fn with_token(token: &str, user: &str, version: Version) -> Connect {
    Connect { login: Some((user.to_owned(), token.to_owned())), ..Connect::new(version, "kim") }
}

fn mqtt(broker: &Broker, token: &str, user: &str, version: Version) -> Result<Mqtt> {
    Ok(Mqtt::connect(broker.at(Door::Mqtt), &with_token(token, user, version))?.0)
}

fn refused(broker: &Broker, token: &str, user: &str, version: Version) -> Result<Connack> {
    let mut client = Mqtt::dial(broker.at(Door::Mqtt), version)?;
    client.send(&with_token(token, user, version).bytes())?;
    let packet = client.packet()?;
    let Packet::Connack(connack) = packet else { anyhow::bail!("{packet:?}") };
    ensure!(client.closes(SOON)?, "it may stay");
    Ok(connack)
}
