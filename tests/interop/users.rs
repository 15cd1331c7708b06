//! What is for a user, or for one of his sessions: over both protocols, and between them.

use anyhow::{Context, Result, ensure};
use harness::admin::Admin;
use harness::broker::{Broker, Setup};
use harness::door::Door;
use harness::mqtt::Client as Mqtt;
use harness::mqtt::property::{self, Property};
use harness::mqtt::version::Version;
use harness::mqtt::write::{Connect, DISCONNECT};
use harness::stomp::{Client as Stomp, Frame};
use harness::wait::{SOON, until};
use serde_json::Value;

#[test]
fn all_sessions_of_a_user_hear_what_is_for_him_over_both_protocols_and_nobody_else_does() -> Result<()> {
    let broker = kim_and_lee()?;
    let (mut tab, _) = tab_of("kim", &broker)?;
    let (mut other_tab, _) = tab_of("kim", &broker)?;
    let mut phone = phone_of("kim", &broker)?;
    let (mut lee, _) = tab_of("lee", &broker)?;
    let mut nobody = Stomp::new(broker.at(Door::Stomp))?;
    for stomp in [&mut tab, &mut other_tab, &mut lee, &mut nobody] {
        stomp.subscribe("0", "/user/queue/news", "auto")?;
    }
    ensure!(phone.subscribe("$user/queue/news", 1)? == [1]);

    let mut service = Stomp::new(broker.at(Door::Stomp))?;
    service.publish("/user/kim/queue/news", "안녕".as_bytes())?;
    let mut mqtt_service = Mqtt::clean(broker.at(Door::Mqtt), Version::V5, "service")?;
    mqtt_service.publish("$user/kim/queue/news", b"by mqtt", 1)?;
    for stomp in [&mut tab, &mut other_tab] {
        for text in ["안녕", "by mqtt"] {
            let message = stomp.expect("MESSAGE")?;
            ensure!(message.text() == text, "{message:?}");
            ensure!(message.header("destination") == Some("/user/queue/news"), "{message:?}");
        }
    }
    for text in ["안녕", "by mqtt"] {
        let message = phone.take()?;
        ensure!(message.text() == text && message.topic == "$user/queue/news", "{message:?}");
    }
    nothing_before_the_mark(&mut service, &mut lee)?;
    nothing_before_the_mark(&mut service, &mut nobody)
}

#[test]
fn one_session_hears_what_is_for_it_alone() -> Result<()> {
    let broker = kim_and_lee()?;
    let (mut tab, name) = tab_of("kim", &broker)?;
    let (mut other_tab, _) = tab_of("kim", &broker)?;
    let mut phone = phone_of("kim", &broker)?;
    for stomp in [&mut tab, &mut other_tab] {
        stomp.subscribe("0", "/session/queue/errors", "auto")?;
    }
    ensure!(phone.subscribe("$session/queue/errors", 1)? == [1]);
    // To myself, and by a service that knows the session.
    tab.publish("/session/queue/errors", b"mine")?;
    let mut service = Mqtt::clean(broker.at(Door::Mqtt), Version::V5, "service")?;
    service.publish(&format!("$session/{name}/queue/errors"), b"yours", 1)?;
    for text in ["mine", "yours"] {
        let message = tab.expect("MESSAGE")?;
        ensure!(message.text() == text, "{message:?}");
        ensure!(message.header("destination") == Some("/session/queue/errors"), "{message:?}");
    }
    phone.publish("$session/queue/errors", b"phone's", 1)?;
    let message = phone.take()?;
    ensure!(message.text() == "phone's" && message.topic == "$session/queue/errors", "{message:?}");
    nothing_before_the_mark(&mut Stomp::new(broker.at(Door::Stomp))?, &mut other_tab)?;
    Ok(())
}

#[test]
fn what_is_anothers_or_the_brokers_own_is_refused_by_either_door() -> Result<()> {
    let broker = Broker::new()?;
    for destination in
        ["/user/kim/queue/x", "/session/session-1-1/queue/x", "/exchange/$user/kim.queue.x", "/user/"]
    {
        let mut stomp = Stomp::new(broker.at(Door::Stomp))?;
        stomp.send(&Frame::new("SUBSCRIBE").with("id", "0").with("destination", destination))?;
        let error = stomp.expect("ERROR")?;
        ensure!(error.header("message").is_some_and(|text| !text.is_empty()), "{destination}: {error:?}");
    }
    for destination in ["/topic/$events.client.connected", "/exchange/$user/kim.x", "/user/kim"] {
        let mut stomp = Stomp::new(broker.at(Door::Stomp))?;
        stomp.send(&Frame::new("SEND").with("destination", destination).body(b"x"))?;
        stomp.expect("ERROR")?;
    }
    let mut mqtt = Mqtt::clean(broker.at(Door::Mqtt), Version::V5, "five")?;
    ensure!(mqtt.subscribe("$user/kim/queue/x", 1)? == [0x87]);
    ensure!(mqtt.subscribe("$session/session-1-1/x", 1)? == [0x87]);
    let mut old = Mqtt::clean(broker.at(Door::Mqtt), Version::V311, "four")?;
    ensure!(old.subscribe("$user/kim/queue/x", 1)? == [0x80]);
    // A wildcard at the first level is not about what is somebody's own.
    ensure!(mqtt.subscribe("#", 1)? == [1] && mqtt.subscribe("+/kim/#", 1)? == [1]);
    let mut service = Stomp::new(broker.at(Door::Stomp))?;
    service.publish("/user/kim/queue/x", b"secret")?;
    service.publish("/topic/mark", b"mark")?;
    ensure!(mqtt.take()?.topic == "mark", "a wildcard heard what is somebody's own");
    Ok(())
}

#[test]
fn prefixes_are_renamed_by_the_configuration() -> Result<()> {
    let config = "[stomp]\nuser_prefix = \"/session/\"\nsession_prefix = \"/only-me/\"\n";
    let broker = Setup::new().config(config).user("kim").start()?;
    let (mut tab, name) = tab_of("kim", &broker)?;
    tab.subscribe("0", "/session/queue/x", "auto")?;
    tab.subscribe("1", "/only-me/queue/x", "auto")?;
    let mut service = Stomp::new(broker.at(Door::Stomp))?;
    service.publish("/session/kim/queue/x", b"user")?;
    service.publish(&format!("/only-me/{name}/queue/x"), b"session")?;
    for (text, destination) in [("user", "/session/queue/x"), ("session", "/only-me/queue/x")] {
        let message = tab.expect("MESSAGE")?;
        ensure!(message.text() == text && message.header("destination") == Some(destination), "{message:?}");
    }
    Ok(())
}

#[test]
fn a_rule_denies_what_is_for_somebody_under_his_name() -> Result<()> {
    let config = "[[access.deny]]\nfilter = \"$user/lee/#\"\nactions = [\"publish\"]\nuser = \"kim\"\n\
                  [[access.deny]]\nfilter = \"$user/+/queue/secret\"\nactions = [\"subscribe\"]\n";
    let broker = Setup::new().config(config).user("kim").user("lee").start()?;
    let mut phone = phone_of("kim", &broker)?;
    ensure!(phone.subscribe("$user/queue/secret", 1)? == [0x87]);
    ensure!(phone.subscribe("$user/queue/news", 1)? == [1]);
    let (mut kim, _) = tab_of("kim", &broker)?;
    kim.publish("/user/kim/queue/news", b"mine")?;
    ensure!(phone.take()?.text() == "mine");
    kim.send(&Frame::new("SEND").with("destination", "/user/lee/queue/news").body(b"x"))?;
    kim.expect("ERROR")?;
    Ok(())
}

#[test]
fn nothing_is_left_behind_however_a_session_ends() -> Result<()> {
    let mut broker = kim_and_lee()?;
    let before = overview(&broker)?;
    ensure!(before["sessions"] == 0 && before["bindings"] == 0, "{before}");
    let at = broker.at(Door::Mqtt);
    for round in 0..2 {
        let mut tabs = Vec::new();
        for user in ["kim", "lee", "kim"] {
            let (mut tab, _) = tab_of(user, &broker)?;
            for (id, destination) in
                [("0", "/user/queue/news"), ("1", "/session/queue/errors"), ("2", "/user/topic/*")]
            {
                tab.subscribe(id, destination, "auto")?;
            }
            tabs.push(tab);
        }
        let mut phone = phone_of("kim", &broker)?;
        // One that comes twice, and one that stays for a second.
        let twice = Connect::new(Version::V5, "twice");
        let (mut first, _) = Mqtt::connect(at, &twice)?;
        let brief = Connect { clean: false, ..Connect::new(Version::V5, "brief") };
        let brief = brief.with(Property::Number(property::SESSION_EXPIRY, 1));
        let (mut brief, _) = Mqtt::connect(at, &brief)?;
        for mqtt in [&mut phone, &mut first, &mut brief] {
            ensure!(mqtt.subscribe("$user/queue/news", 1)? == [1]);
            ensure!(mqtt.subscribe("$session/#", 1)? == [1]);
        }
        let mut service = Stomp::new(broker.at(Door::Stomp))?;
        for destination in ["/user/kim/queue/news", "/user/lee/topic/x", "/user/nobody/queue/news"] {
            service.publish(destination, b"news")?;
        }
        let during = overview(&broker)?;
        ensure!(during["queues"].as_u64() > before["queues"].as_u64(), "{during}");
        ensure!(during["bindings"] == 15 && during["sessions"] == 7, "{during}");
        let (second, _) = Mqtt::connect(at, &twice)?;
        if round == 1 {
            // The end of all of them at once.
            broker.kill();
            broker.start()?;
        }
        // Each goes in a way of its own.
        let mut ways = tabs.into_iter();
        if let (Some(mut says_so), Some(mut errs)) = (ways.next(), ways.next()) {
            let _ = says_so.send(&Frame::new("DISCONNECT"));
            let _ = errs.send(&Frame::new("SUBSCRIBE"));
            let _ = phone.send(&DISCONNECT);
        }
        drop((ways, phone, second, brief, service));
        until("everything to be as before", SOON, || (overview(&broker).ok()? == before).then_some(()))
            .with_context(|| format!("{} instead of {before}", overview(&broker).unwrap_or_default()))?;
    }
    Ok(())
}

/// How many there are of everything.
fn overview(broker: &Broker) -> Result<Value> {
    Admin::owner(broker).get("/api/v1/overview")?.json()
}

/// What is published now is the first that `other` hears.
fn nothing_before_the_mark(service: &mut Stomp, other: &mut Stomp) -> Result<()> {
    other.subscribe("mark", "/topic/mark", "auto")?;
    service.publish("/topic/mark", b"mark")?;
    let first = other.expect("MESSAGE")?;
    ensure!(first.text() == "mark", "somebody else heard {first:?}");
    Ok(())
}

/// A broker that knows two users.
fn kim_and_lee() -> Result<Broker> {
    Setup::new().user("kim").user("lee").start()
}

/// A STOMP client of that user, with the name of its session.
fn tab_of(user: &str, broker: &Broker) -> Result<(Stomp, String)> {
    let mut stomp = Stomp::dial(broker.at(Door::Stomp))?;
    let connect = Frame::new("CONNECT").with("accept-version", "1.2").with("host", "/");
    stomp.send(&connect.with("login", user).with("passcode", user))?;
    let connected = stomp.expect("CONNECTED")?;
    let name = connected.header("session").unwrap_or_default().to_owned();
    Ok((stomp, name))
}

/// An MQTT client of that user.
fn phone_of(user: &str, broker: &Broker) -> Result<Mqtt> {
    let login = Some((user.to_owned(), user.to_owned()));
    let connect = Connect { login, ..Connect::new(Version::V5, &format!("phone of {user}")) };
    Ok(Mqtt::connect(broker.at(Door::Mqtt), &connect)?.0)
}
