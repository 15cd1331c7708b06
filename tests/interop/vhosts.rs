//! Virtual hosts: the same names in two of them never meet, and who may be in which.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use harness::admin::Admin;
use harness::broker::{Broker, Setup, duetmq_command};
use harness::certificates::Files;
use harness::door::Door;
use harness::mqtt::Client as Mqtt;
use harness::mqtt::packet::{Connack, Packet, Publish};
use harness::mqtt::version::Version;
use harness::mqtt::write::{Connect, ack, publish};
use harness::socket::Next;
use harness::stomp::{Client as Stomp, Frame};
use serde_json::Value;

#[test]
fn in_every_kind_of_exchange_a_message_stays_in_its_vhost_over_both_protocols() -> Result<()> {
    let broker = two()?;
    let mut heard = Vec::new();
    for vhost in BOTH {
        let mut stomp = stomp(&broker, vhost)?;
        for (id, destination) in DESTINATIONS.into_iter().enumerate() {
            stomp.request(wants_headers(
                Frame::new("SUBSCRIBE").with("id", &id.to_string()).with("destination", destination),
                destination,
            ))?;
        }
        let mut mqtt = mqtt(&broker, vhost, "same")?;
        for filter in ["chat/+", "$exchange/amq.direct/k", "$share/g/work/#", "$user/queue/news"] {
            ensure!(mqtt.subscribe(filter, 1)? == [1], "{filter}");
        }
        heard.push((vhost, stomp, mqtt));
    }
    // First all of one, then all of the other, then the marks.
    for vhost in ["a", "b", "a", "b"] {
        let mut sender = stomp(&broker, vhost)?;
        for destination in DESTINATIONS {
            let destination = destination.replace("/user/", "/user/kim/");
            let send = Frame::new("SEND").with("destination", &destination).with("colour", "red");
            sender.request(send.with("persistent", "true").body(vhost.as_bytes()))?;
        }
        let mut sender = mqtt_as(&broker, &Connect::new(Version::V5, "sender"), Some((vhost, "kim")))?.0;
        for topic in ["work/1", "$user/kim/queue/news"] {
            sender.publish(topic, vhost.as_bytes(), 1)?;
        }
    }
    for (vhost, stomp, mqtt) in &mut heard {
        for _ in 0..2 * DESTINATIONS.len() {
            let message = stomp.expect("MESSAGE")?;
            ensure!(message.text() == *vhost, "in {vhost}: {message:?}");
        }
        // chat/1, the direct exchange, and the two of its own kind.
        for _ in 0..2 * 4 {
            let message = mqtt.take()?;
            ensure!(message.text() == *vhost, "in {vhost}: {message:?}");
        }
        ensure!(matches!(stomp.next(QUIET)?, Next::Silence), "nothing more comes in {vhost}");
        ensure!(matches!(mqtt.next(QUIET)?, Next::Silence), "nothing more comes in {vhost}");
    }
    Ok(())
}

#[test]
fn what_is_retained_in_one_vhost_is_not_there_in_another() -> Result<()> {
    let broker = two()?;
    let mut sender = mqtt(&broker, "a", "sender")?;
    sender.send(&publish(Version::V5, &Publish::new("kept", b"a", 1).with_id(1).retained()))?;
    sender.expect_ack(ack::PUBACK, 1)?;
    for vhost in ["b", "/"] {
        let mut client = mqtt(&broker, vhost, "late")?;
        client.subscribe("#", 1)?;
        ensure!(matches!(client.next(QUIET)?, Next::Silence), "nothing is retained in {vhost}");
    }
    let mut client = mqtt(&broker, "a", "late")?;
    client.subscribe("#", 1)?;
    ensure!(client.take()?.text() == "a");
    // Nor is it taken away from there.
    let mut other = mqtt(&broker, "b", "sender")?;
    other.send(&publish(Version::V5, &Publish::new("kept", b"", 1).with_id(1).retained()))?;
    other.expect_ack(ack::PUBACK, 1)?;
    let mut client = mqtt(&broker, "a", "later")?;
    client.subscribe("kept", 1)?;
    ensure!(client.take()?.text() == "a");
    Ok(())
}

#[test]
fn one_client_id_is_a_client_in_each_vhost_with_a_session_and_a_will_of_its_own() -> Result<()> {
    let broker = two()?;
    let mut watchers = Vec::new();
    for vhost in BOTH {
        let mut watcher = mqtt(&broker, vhost, "watcher")?;
        watcher.subscribe("will/#", 1)?;
        watchers.push((vhost, watcher));
    }
    let lasting = Connect::lasting(Version::V5, "same").will(Publish::new("will/a", b"a", 1));
    let (mut first, _) = mqtt_as(&broker, &lasting, Some(("a", "kim")))?;
    first.subscribe("mine", 1)?;
    let (mut second, connack) = mqtt_as(&broker, &Connect::lasting(Version::V5, "same"), Some(("b", "kim")))?;
    ensure!(!connack.session_present, "the other's session is not this one's");
    // The first is still there: nothing was taken over.
    first.publish("ping", b"1", 1)?;
    let mut sender = mqtt(&broker, "b", "sender")?;
    sender.publish("mine", b"b", 1)?;
    ensure!(matches!(first.next(QUIET)?, Next::Silence), "what is published in b is not for a");
    ensure!(matches!(second.next(QUIET)?, Next::Silence), "b has not subscribed");
    drop(first);
    for (vhost, watcher) in &mut watchers {
        match *vhost {
            "a" => ensure!(watcher.take()?.text() == "a"),
            _ => ensure!(matches!(watcher.next(QUIET)?, Next::Silence), "the will is not for {vhost}"),
        }
    }
    let (_, connack) = mqtt_as(&broker, &Connect::lasting(Version::V5, "same"), Some(("a", "kim")))?;
    ensure!(connack.session_present, "its own is still there");
    Ok(())
}

#[test]
fn dead_letters_and_ids_of_publications_stay_in_their_vhost() -> Result<()> {
    let broker = two()?;
    let mut graves = Vec::new();
    for vhost in BOTH {
        let mut grave = stomp(&broker, vhost)?;
        grave.subscribe("0", "/exchange/amq.fanout", "auto")?;
        graves.push((vhost, grave));
    }
    for vhost in BOTH {
        let mut client = stomp(&broker, vhost)?;
        client.request(
            Frame::new("SUBSCRIBE")
                .with("id", "0")
                .with("destination", "/queue/jobs")
                .with("ack", "client-individual")
                .with("x-dead-letter-exchange", "amq.fanout"),
        )?;
        // The same id in both, and twice in each.
        for _ in 0..2 {
            client.request(
                Frame::new("SEND")
                    .with("destination", "/queue/jobs")
                    .with("x-dedup-id", "1")
                    .with("persistent", "true")
                    .body(vhost.as_bytes()),
            )?;
        }
        let message = client.expect("MESSAGE")?;
        ensure!(message.text() == vhost, "{message:?}");
        client.send(
            &Frame::new("NACK")
                .with("id", message.header("ack").context("an ack header")?)
                .with("requeue", "false"),
        )?;
        ensure!(matches!(client.next(QUIET)?, Next::Silence), "once in each vhost");
    }
    for (vhost, grave) in &mut graves {
        let letter = grave.expect("MESSAGE")?;
        ensure!(letter.text() == *vhost, "in {vhost}: {letter:?}");
        ensure!(matches!(grave.next(QUIET)?, Next::Silence), "one letter in {vhost}");
    }
    Ok(())
}

#[test]
fn sys_topics_and_events_tell_of_their_own_vhost() -> Result<()> {
    let config = format!("{CONFIG}[node]\nsys_interval = \"1s\"\n");
    let rules = "[[rule]]\nallow = [\"connect\", \"publish\", \"subscribe\"]\nvhosts = [\"*\"]\n\
                 [[rule]]\nallow = [\"subscribe\"]\ntopics = [\"$events/#\", \"$SYS/#\"]\nvhosts = [\"*\"]\n";
    let broker = Setup::new().config(&config).user("kim").acl(rules).start()?;
    let mut watcher = mqtt(&broker, "b", "watcher")?;
    watcher.subscribe("$SYS/broker/clients/connected", 0)?;
    watcher.subscribe("$SYS/broker/publish/messages/received", 0)?;
    watcher.subscribe("$events/#", 0)?;
    let mut others = Vec::new();
    for number in 0..5 {
        let mut other = mqtt(&broker, "a", &format!("other-{number}"))?;
        other.publish("x", b"x", 1)?;
        others.push(other);
    }
    let mut counted = mqtt(&broker, "a", "counted")?;
    counted.subscribe("$SYS/broker/clients/connected", 0)?;
    loop {
        let said = counted.take()?;
        if said.text() == "6" {
            break;
        }
    }
    // By now b's would have been told as well.
    let mut last = mqtt(&broker, "b", "last")?;
    last.publish("x", b"x", 1)?;
    let (mut connected, mut published) = (String::new(), String::new());
    while (connected.as_str(), published.as_str()) != ("2", "1") {
        let said = watcher.take()?;
        match said.topic.as_str() {
            "$SYS/broker/clients/connected" => connected = said.text(),
            "$SYS/broker/publish/messages/received" => published = said.text(),
            event => ensure!(event.starts_with("$events/") && !said.text().contains("other-"), "{said:?}"),
        }
        for number in [&connected, &published] {
            ensure!(number.parse::<u32>().unwrap_or(0) <= 2, "those of a are not counted: {said:?}");
        }
    }
    let mut topics = mqtt(&broker, "b", "topics")?;
    topics.subscribe("$SYS/#", 0)?;
    topics.publish("x", b"x", 1)?;
    while let Next::Some(packet) = topics.next(QUIET)? {
        let text = format!("{packet:?}");
        ensure!(
            !text.contains("$SYS/broker/bytes/") && !text.contains("heap"),
            "of the whole broker: {text}"
        );
    }
    Ok(())
}

#[test]
fn what_is_in_a_vhost_outlives_kill_minus_nine_and_an_orderly_restart() -> Result<()> {
    let mut broker = two()?;
    for vhost in BOTH {
        let mut client = stomp(&broker, vhost)?;
        client.publish("/queue/jobs", vhost.as_bytes())?;
        let mut client = mqtt(&broker, vhost, "sender")?;
        client
            .send(&publish(Version::V5, &Publish::new("kept", vhost.as_bytes(), 1).with_id(1).retained()))?;
        client.expect_ack(ack::PUBACK, 1)?;
        let (mut session, _) = mqtt_as(&broker, &Connect::lasting(Version::V5, "s"), Some((vhost, "kim")))?;
        session.subscribe("later", 1)?;
        drop(session);
        client.publish("later", vhost.as_bytes(), 1)?;
    }
    for end in ["kill -9", "an orderly stop"] {
        if end == "kill -9" {
            broker.kill();
        } else {
            broker.stop()?;
        }
        broker.start()?;
        for vhost in BOTH {
            let mut client = stomp(&broker, vhost)?;
            client.subscribe("0", "/queue/jobs", "client-individual")?;
            let message = client.expect("MESSAGE")?;
            ensure!(message.text() == vhost, "after {end}, in {vhost}: {message:?}");
            let mut client = mqtt(&broker, vhost, "late")?;
            client.subscribe("kept", 1)?;
            ensure!(client.take()?.text() == vhost, "after {end}");
            let connect = Connect::lasting(Version::V5, "s");
            let (mut session, connack) = mqtt_as(&broker, &connect, Some((vhost, "kim")))?;
            ensure!(connack.session_present, "after {end}, in {vhost}");
            if end == "kill -9" {
                ensure!(session.take()?.text() == vhost, "after {end}");
            }
        }
    }
    Ok(())
}

#[test]
fn a_vhost_is_chosen_by_who_runs_the_broker_then_by_the_client_and_another_one_is_refused() -> Result<()> {
    let broker = Setup::new()
        .config(CONFIG)
        .user("kim")
        // Of the doors, STOMP's is the second.
        .argument("--set")
        .argument("listener.1.vhost=a")
        .start()?;
    let mut at_a = mqtt(&broker, "a", "watcher")?;
    at_a.subscribe("x", 1)?;
    let mut at_home = mqtt(&broker, "/", "watcher")?;
    at_home.subscribe("x", 1)?;
    // Whatever the client says that stands for "the one I came to".
    for host in ["/", "localhost", "a"] {
        let mut client = Stomp::dial(broker.at(Door::Stomp))?;
        client.send(&connect_frame(host))?;
        client.expect("CONNECTED")?;
        client.publish("/topic/x", host.as_bytes())?;
        ensure!(at_a.take()?.text() == host);
    }
    for host in ["b", "c"] {
        let mut client = Stomp::dial(broker.at(Door::Stomp))?;
        client.send(&connect_frame(host))?;
        let error = client.expect("ERROR")?;
        ensure!(
            error.text().contains("virtual host") || format!("{error:?}").contains("virtual host"),
            "{error:?}"
        );
    }
    // Elsewhere it is the client's to choose: by its user name, or not at all.
    let mut plain = mqtt_as(&broker, &Connect::new(Version::V311, "plain"), None)?.0;
    plain.publish("x", b"plain", 1)?;
    ensure!(at_home.take()?.text() == "plain");
    for user in ["c:kim", ":kim", "a:b:kim"] {
        let connect =
            Connect { login: Some((user.to_owned(), "kim".to_owned())), ..Connect::new(Version::V5, "x") };
        let mut client = Mqtt::dial(broker.at(Door::Mqtt), Version::V5)?;
        client.send(&connect.bytes())?;
        ensure!(refusal(&mut client)? == 0x87, "{user}");
    }
    // Who has not shown who he is does not learn which there are.
    for vhost in ["a", "c"] {
        let login = Some((format!("{vhost}:kim"), "wrong".to_owned()));
        let mut client = Mqtt::dial(broker.at(Door::Mqtt), Version::V5)?;
        client.send(&Connect { login, ..Connect::new(Version::V5, "x") }.bytes())?;
        ensure!(refusal(&mut client)? == 0x86, "{vhost}");
    }
    ensure!(matches!(at_home.next(QUIET)?, Next::Silence), "nothing of a came here");
    Ok(())
}

#[test]
fn a_certificate_says_which_vhost_its_client_is_in() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = |name: &str| folder.path().join(name);
    let made = duetmq_command()?.args(["cert", "dev", "--client", "device-7"]).arg(folder.path()).output()?;
    ensure!(made.status.success(), "{made:?}");
    let broker = Setup::new()
        .config("[[vhost]]\nname = \"shop\"\ncertificates = [\"device-7\"]\n\n[[vhost]]\nname = \"other\"\n")
        .secure(&Files { certificate: path("server.pem"), key: path("server.key") })
        .argument("--set=tls.default.client_auth=optional")
        .argument(&format!("--set=tls.default.client_ca={}", path("ca.pem").display()))
        .start()?;
    let retained = |vhost: &str| -> Result<Value> {
        Ok(Admin::owner(&broker).get(&format!("/api/vhosts/{vhost}"))?.json()?["retained"].clone())
    };
    let publishes = |user: &[&str]| -> Result<bool> {
        let url = format!("mqtts://localhost:{}", broker.at(Door::Mqtt).port());
        let mut command = duetmq_command()?;
        command.args(["pub", "-u", &url, "-t", "kept", "-m", "x", "--retain", "-q", "1"]).args(user);
        command.arg("--cafile").arg(path("ca.pem"));
        command.arg("--tls-cert").arg(path("client-device-7.pem"));
        command.arg("--tls-key").arg(path("client-device-7.key"));
        Ok(command.output()?.status.success())
    };
    ensure!(publishes(&[])?);
    ensure!(retained("shop")? == 1 && retained("%2F")? == 0);
    ensure!(!publishes(&["--user", "other:device-7"])?, "it asks for another one");
    ensure!(publishes(&["--user", "shop:device-7"])?, "and for its own");
    ensure!(retained("other")? == 0);
    Ok(())
}

#[test]
fn what_the_configuration_declares_is_in_the_vhost_that_it_names() -> Result<()> {
    let config = format!(
        "{CONFIG}[[queue]]\nname = \"q\"\nvhost = \"a\"\n\n[[exchange]]\nname = \"x\"\nvhost = \"a\"\n\n\
                          [[binding]]\nexchange = \"x\"\nqueue = \"q\"\nkey = \"k\"\nvhost = \"a\"\n"
    );
    let broker = Setup::new().config(&config).user("kim").start()?;
    stomp(&broker, "a")?.publish("/exchange/x/k", b"1")?;
    let status = |vhost: &str| {
        Ok::<_, anyhow::Error>(Admin::owner(&broker).get(&format!("/api/queues/{vhost}/q"))?.status)
    };
    ensure!(status("a")? == 200 && status("b")? == 404 && status("%2F")? == 404);
    ensure!(Admin::owner(&broker).get("/api/queues/a/q")?.json()?["messages"] == 1);
    Ok(())
}

#[test]
fn rights_are_per_vhost() -> Result<()> {
    let rules = "[[rule]]\nallow = [\"connect\"]\nusers = [\"kim\", \"lee\"]\nvhosts = [\"a\", \"/\"]\n\
                 [[rule]]\nallow = [\"publish\"]\ntopics = [\"x/#\"]\nusers = [\"kim\"]\nvhosts = [\"a\"]\n\
                 [[rule]]\nallow = [\"subscribe\"]\ntopics = [\"#\"]\n";
    let broker = Setup::new().config(CONFIG).user("kim").user("lee").acl(rules).start()?;
    for (vhost, user, code) in
        [("a", "kim", 0), ("a", "lee", 0), ("/", "kim", 0), ("b", "kim", 0x87), ("b", "lee", 0x87)]
    {
        let login = Some((format!("{vhost}:{user}"), user.to_owned()));
        let mut client = Mqtt::dial(broker.at(Door::Mqtt), Version::V5)?;
        client.send(&Connect { login, ..Connect::new(Version::V5, user) }.bytes())?;
        let found = refusal(&mut client)?;
        ensure!(found == code, "{user} in {vhost}: {found:#x}");
    }
    let publishes = |vhost: &str, user: &str| -> Result<u8> {
        let mut client = mqtt_as(&broker, &Connect::new(Version::V5, "p"), Some((vhost, user)))?.0;
        client.send(&publish(Version::V5, &Publish::new("x/1", b"1", 1).with_id(1)))?;
        puback(&mut client)
    };
    ensure!(publishes("a", "kim")? != 0x87, "a rule says so");
    ensure!(publishes("/", "kim")? == 0x87, "the rule is about another vhost");
    ensure!(publishes("a", "lee")? == 0x87, "the rule is for somebody else");
    // What a rule allows that does not say where, it allows in the default one.
    let subscribes = |vhost: &str| -> Result<Vec<u8>> {
        let mut client = mqtt_as(&broker, &Connect::new(Version::V5, "s"), Some((vhost, "kim")))?.0;
        Ok(client.subscribe("y", 1)?)
    };
    ensure!(subscribes("/")? == [1] && subscribes("a")? == [0x87]);
    Ok(())
}

#[test]
fn a_vhost_may_name_its_users_and_has_limits_of_its_own() -> Result<()> {
    let config = "[[vhost]]\nname = \"shop\"\nusers = [\"kim\"]\nmax_connections = 2\nmax_queues = 1\n";
    let broker = Setup::new().config(config).user("kim").user("lee").start()?;
    let code = |id: &str, user: &str| -> Result<(Mqtt, u8)> {
        let login = Some((format!("shop:{user}"), user.to_owned()));
        let mut client = Mqtt::dial(broker.at(Door::Mqtt), Version::V5)?;
        client.send(&Connect { login, ..Connect::new(Version::V5, id) }.bytes())?;
        let code = refusal(&mut client)?;
        Ok((client, code))
    };
    ensure!(code("l", "lee")?.1 == 0x87, "not on the list");
    let (_first, accepted) = code("1", "kim")?;
    ensure!(accepted == 0);
    let (mut second, accepted) = code("2", "kim")?;
    ensure!(accepted == 0);
    ensure!(code("3", "kim")?.1 == 0x97, "one too many: quota exceeded");
    let (_again, accepted) = code("2", "kim")?;
    ensure!(accepted == 0, "in place of the one before");
    ensure!(second.closes(Duration::from_secs(10))?);
    drop(_first);
    // Its place is free again, once the broker has seen that.
    let mut stomp = harness::wait::until("a place", Duration::from_secs(30), || {
        let mut client = Stomp::dial(broker.at(Door::Stomp)).ok()?;
        let frame = connect_frame("shop").with("login", "kim").with("passcode", "kim");
        client.send(&frame).ok()?;
        client.expect("CONNECTED").ok().map(|_| client)
    })?;
    stomp.publish("/queue/one", b"1")?;
    let second = Frame::new("SEND").with("destination", "/queue/two").with("receipt", "r");
    stomp.send(&second.body(b"2"))?;
    let error = stomp.expect("ERROR")?;
    ensure!(format!("{error:?} {}", error.text()).contains("limit reached"), "{error:?}");
    // Elsewhere there is no such limit.
    let mut stomp = Stomp::dial(broker.at(Door::Stomp))?;
    stomp.send(&connect_frame("/").with("login", "lee").with("passcode", "lee"))?;
    stomp.expect("CONNECTED")?;
    stomp.publish("/queue/one", b"1")?;
    stomp.publish("/queue/two", b"2")?;
    Ok(())
}

/// Where a message may go, and be taken from.
const DESTINATIONS: [&str; 7] = [
    "/topic/chat.1",
    "/queue/jobs",
    "/exchange/amq.direct/k",
    "/exchange/amq.topic/more.1",
    "/exchange/amq.fanout",
    "/exchange/amq.headers/k",
    "/user/queue/mine",
];

const BOTH: [&str; 2] = ["a", "b"];
const CONFIG: &str = "[[vhost]]\nname = \"a\"\n\n[[vhost]]\nname = \"b\"\n\n";

/// Only a failure to come at once is seen by this; that nothing comes at all is what the marks before it show.
const QUIET: Duration = Duration::from_millis(300);

fn two() -> Result<Broker> {
    Setup::new().config(CONFIG).user("kim").start()
}

fn connect_frame(host: &str) -> Frame {
    Frame::new("CONNECT").with("accept-version", "1.2").with("host", host)
}

fn wants_headers(frame: Frame, destination: &str) -> Frame {
    if destination == "/exchange/amq.headers/k" { frame.with("colour", "red") } else { frame }
}

fn stomp(broker: &Broker, vhost: &str) -> Result<Stomp> {
    let mut client = Stomp::dial(broker.at(Door::Stomp))?;
    client.send(&connect_frame(vhost).with("login", "kim").with("passcode", "kim"))?;
    client.expect("CONNECTED").with_context(|| format!("in {vhost}"))?;
    Ok(client)
}

fn mqtt(broker: &Broker, vhost: &str, id: &str) -> Result<Mqtt> {
    Ok(mqtt_as(broker, &Connect::new(Version::V5, id), Some((vhost, "kim")))?.0)
}

/// In a vhost, as somebody whose password is his name; `None`: as nobody, wherever that is.
fn mqtt_as(broker: &Broker, connect: &Connect, who: Option<(&str, &str)>) -> Result<(Mqtt, Connack)> {
    let login = who.map(|(vhost, user)| (format!("{vhost}:{user}"), user.to_owned()));
    let connect = Connect { login, ..connect.clone() };
    Ok(Mqtt::connect(broker.at(Door::Mqtt), &connect)?)
}

/// The code of CONNACK.
fn refusal(client: &mut Mqtt) -> Result<u8> {
    let packet = client.packet()?;
    let Packet::Connack(connack) = packet else { anyhow::bail!("{packet:?}") };
    Ok(connack.code)
}

/// The reason of the next acknowledgement.
fn puback(client: &mut Mqtt) -> Result<u8> {
    let packet = client.packet()?;
    let Packet::Ack { reason, .. } = packet else { anyhow::bail!("{packet:?}") };
    Ok(reason)
}
