//! Hooks over HTTP: what they may do to clients of both protocols, and what a bad one may not.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use harness::broker::{Broker, Setup};
use harness::door::{Door, free_address};
use harness::hook::{Hook, Reply};
use harness::mqtt::Client;
use harness::mqtt::packet::{Packet, Publish};
use harness::mqtt::version::Version;
use harness::mqtt::write::{Connect, publish};
use harness::script::{Script, python};
use harness::stomp::{self, Frame};
use harness::wait::{SOON, until};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use serde_json::{Value, json};

#[test]
fn a_client_comes_in_if_the_hook_lets_it_and_is_known_by_what_the_hook_said() -> Result<()> {
    let hook = Hook::start(|asked| match (&asked["event"], &asked["client"]["id"]) {
        (event, id) if event == "connect" && id == "bad" => deny(0x88, "we are closed, come back tomorrow"),
        (event, _) if event == "connect" => {
            Reply::Json(json!({"result": "allow", "attributes": {"tenant": "acme"}}))
        }
        _ => allow(),
    })?;
    let broker = broker(&hook, "events = [\"connect\", \"publish\"]")?;
    for (version, code) in [(Version::V5, 0x88), (Version::V311, 5), (Version::V31, 5)] {
        let mut client = Client::dial(broker.at(Door::Mqtt), version)?;
        client.send(&Connect::new(version, "bad").bytes())?;
        let packet = client.packet()?;
        ensure!(matches!(&packet, Packet::Connack(connack) if connack.code == code), "{packet:?}");
    }
    let mut client = stomp::Client::dial(broker.at(Door::Stomp))?;
    client.send(
        &Frame::new("CONNECT").with("accept-version", "1.2").with("host", "/").with("client-id", "bad"),
    )?;
    let error = client.expect("ERROR")?;
    ensure!(error.header("message") == Some("we are closed, come back tomorrow"), "{error:?}");
    let mut good = Client::clean(broker.at(Door::Mqtt), Version::V5, "good")?;
    good.publish("a", b"x", 1)?;
    let asked = hook.wait("the publish", |json| json["event"] == "publish")?;
    let client = &asked["client"];
    let shown = |name: &str| client[name].as_str().unwrap_or_default().to_owned();
    ensure!(client["attributes"] == json!({"tenant": "acme"}) && shown("id") == "good", "{asked}");
    ensure!(
        (shown("protocol"), shown("transport"), shown("version"))
            == ("mqtt".into(), "tcp".into(), "5.0".into())
    );
    ensure!(shown("address").starts_with("127.0.0.1:") && client["user"].is_null(), "{asked}");
    Ok(())
}

#[test]
fn a_denied_message_goes_nowhere_and_its_publisher_is_told_why() -> Result<()> {
    let hook = Hook::start(judge)?;
    let broker = broker(&hook, "events = [\"publish\"]")?;
    let mut reader = Client::clean(broker.at(Door::Mqtt), Version::V5, "reader")?;
    reader.subscribe("#", 1)?;
    for (qos, expected) in [(1, 4), (2, 5)] {
        let mut client = Client::clean(broker.at(Door::Mqtt), Version::V5, "five")?;
        client.send(&publish(Version::V5, &Publish::new("deny/a", b"x", qos).with_id(1)))?;
        let packet = client.packet()?;
        ensure!(packet == Packet::Ack { kind: expected, id: 1, reason: 0x97 }, "{packet:?}");
        client.publish("deny/a", b"x", 0)?;
        client.publish("allow/a", b"allowed", qos)?;
        // 3.1.1 has no word for it: acknowledged, and gone.
        let mut client = Client::clean(broker.at(Door::Mqtt), Version::V311, "three")?;
        client.publish("deny/a", b"x", qos)?;
        let message = reader.take()?;
        ensure!(message.payload == b"allowed", "{message:?}");
    }
    let will = Connect::new(Version::V5, "w").will(Publish::new("deny/will", b"x", 1));
    let mut client = Client::dial(broker.at(Door::Mqtt), Version::V5)?;
    client.send(&will.bytes())?;
    let packet = client.packet()?;
    ensure!(matches!(&packet, Packet::Connack(connack) if connack.code == 0x97), "{packet:?}");
    let mut client = stomp::Client::new(broker.at(Door::Stomp))?;
    // With all else of its transaction.
    client.send(&Frame::new("BEGIN").with("transaction", "t"))?;
    for destination in ["/topic/allow.b", "/topic/deny.b"] {
        client.send(&Frame::new("SEND").with("destination", destination).with("transaction", "t"))?;
    }
    client.send(&Frame::new("COMMIT").with("transaction", "t").with("receipt", "never"))?;
    let error = client.expect("ERROR")?;
    ensure!(error.header("message") == Some("not here"), "{error:?}");
    ensure!(error.header("error-code") == Some("access_refused"), "{error:?}");
    // Whoever listens to what is refused to him hears of it there, and stays.
    let mut client = stomp::Client::new(broker.at(Door::Stomp))?;
    client.subscribe("e", "/session/queue/request-error", "auto")?;
    client.send(&Frame::new("SEND").with("destination", "/topic/deny.c").with("client-request-code", "7"))?;
    let told = client.expect("MESSAGE")?;
    ensure!(told.header("error") == Some("not here"), "{told:?}");
    ensure!(told.header("client-request-code") == Some("7"), "{told:?}");
    client.publish("/topic/allow.c", b"after all that")?;
    let message = reader.take()?;
    ensure!(message.payload == b"after all that", "{message:?}");
    Ok(())
}

#[test]
fn what_a_hook_rewrites_arrives_rewritten_across_the_protocols() -> Result<()> {
    let hook = Hook::start(judge)?;
    let broker = broker(
        &hook,
        "events = [\"publish\"]\npayload = \"text\"\ndestinations = [\"rewrite/#\", \"$queue/jobs\"]",
    )?;
    let mut stomp = stomp::Client::new(broker.at(Door::Stomp))?;
    stomp.subscribe("1", "/topic/rewritten.*", "auto")?;
    let mut mqtt = Client::clean(broker.at(Door::Mqtt), Version::V5, "mqtt")?;
    mqtt.subscribe("rewritten/+", 1)?;
    mqtt.publish("rewrite/a", "안녕".as_bytes(), 1)?;
    stomp.publish("/topic/rewrite.b", b"hello")?;
    for (topic, text) in [("rewritten/a", "<안녕>"), ("rewritten/b", "<hello>")] {
        let message = mqtt.take()?;
        ensure!(message.topic == topic && message.payload == text.as_bytes(), "{message:?}");
        let frame = stomp.expect("MESSAGE")?;
        ensure!(frame.text().contains(text) && frame.header("seen") == Some("yes"), "{frame:?}");
        ensure!(frame.header("content-type") == Some("text/x-seen"), "{frame:?}");
    }
    // A queue that is sent to is another one then, and that is made as this one would have been.
    stomp.publish("/queue/jobs", b"job")?;
    stomp.subscribe("2", "/amq/queue/jobs-of-all", "auto")?;
    ensure!(stomp.expect("MESSAGE")?.text().contains("job"));
    // What is kept is what was rewritten.
    mqtt.send(&publish(Version::V5, &Publish { retain: true, ..Publish::new("rewrite/kept", b"k", 0) }))?;
    let seen = mqtt.take()?;
    ensure!(seen.topic == "rewritten/kept", "{seen:?}");
    let mut late = Client::clean(broker.at(Door::Mqtt), Version::V311, "late")?;
    late.subscribe("rewritten/#", 0)?;
    let message = late.take()?;
    ensure!(message.retain && message.payload == b"<k>", "{message:?}");
    // Nobody asks about other places.
    mqtt.publish("elsewhere", b"x", 1)?;
    ensure!(hook.asked().iter().all(|asked| asked.json["message"]["destination"] != "elsewhere"));
    ensure!(hook.connections() <= 2, "{} connections", hook.connections());
    Ok(())
}

#[test]
fn subscriptions_are_denied_or_changed_and_their_end_is_told() -> Result<()> {
    let hook = Hook::start(judge)?;
    let broker = broker(&hook, "events = [\"subscribe\", \"unsubscribe\", \"disconnect\"]")?;
    let mut mqtt = Client::clean(broker.at(Door::Mqtt), Version::V5, "mqtt")?;
    ensure!(mqtt.subscribe("deny/a", 1)? == [0x97]);
    ensure!(mqtt.subscribe("allow/a", 2)? == [2]);
    ensure!(mqtt.subscribe("rewrite/a", 2)? == [1]);
    let mut three = Client::clean(broker.at(Door::Mqtt), Version::V311, "three")?;
    ensure!(three.subscribe("deny/a", 1)? == [0x80]);
    let mut stomp = stomp::Client::new(broker.at(Door::Stomp))?;
    stomp.subscribe("r", "/topic/rewrite.a", "auto")?;
    stomp.subscribe("q", "/queue/mine", "auto")?;
    three.publish("rewrite/a", b"not this one", 1)?;
    three.publish("rewritten/a", b"this one", 1)?;
    ensure!(mqtt.take()?.payload == b"this one");
    ensure!(stomp.expect("MESSAGE")?.text().contains("this one"));
    // By the name that the client knows.
    mqtt.send(&harness::mqtt::write::unsubscribe(Version::V5, 77, &["rewrite/a"]))?;
    let packet = mqtt.packet()?;
    ensure!(packet == Packet::Unsuback { id: 77, codes: vec![0] }, "{packet:?}");
    for id in ["r", "q"] {
        stomp.request(Frame::new("UNSUBSCRIBE").with("id", id))?;
    }
    for filter in ["rewrite/a", "$queue/mine"] {
        hook.wait(filter, |json| json["event"] == "unsubscribe" && json["subscription"]["filter"] == filter)?;
    }
    stomp.request(Frame::new("DISCONNECT"))?;
    drop(mqtt);
    let left = |protocol: &'static str| {
        move |json: &Value| json["event"] == "disconnect" && json["client"]["protocol"] == protocol
    };
    ensure!(hook.wait("STOMP's good-bye", left("stomp"))?["orderly"] == true);
    ensure!(hook.wait("the loss of MQTT's", left("mqtt"))?["orderly"] == false);
    let mut denied = stomp::Client::new(broker.at(Door::Stomp))?;
    denied.send(&Frame::new("SUBSCRIBE").with("id", "1").with("destination", "/topic/deny.a"))?;
    ensure!(denied.expect("ERROR")?.header("message") == Some("not here"));
    Ok(())
}

#[test]
fn order_is_kept_while_a_hook_takes_its_time_and_nobody_else_waits() -> Result<()> {
    let hook = Hook::start(|asked| {
        let text = asked["message"]["text"].as_str().unwrap_or_default();
        let number: u64 = text.parse().unwrap_or_default();
        Reply::Later(Duration::from_millis(number * 7 % 13), json!({"result": "allow"}))
    })?;
    let more = "events = [\"publish\"]\npayload = \"text\"\ndestinations = [\"slow/#\"]\ntimeout = \"60s\"";
    let broker = broker(&hook, more)?;
    let mut reader = Client::clean(broker.at(Door::Mqtt), Version::V5, "reader")?;
    reader.subscribe("+/order", 0)?;
    let mut mqtt = Client::clean(broker.at(Door::Mqtt), Version::V5, "mqtt")?;
    let mut stomp = stomp::Client::new(broker.at(Door::Stomp))?;
    for number in 0..150_u16 {
        // Every third one is not asked about, and waits all the same.
        let topic = if number % 3 == 2 { "quick/order" } else { "slow/order" };
        let text = number.to_string();
        // Fewer than a client may have unanswered.
        let qos = u8::from(number % 4 == 0);
        mqtt.send(&publish(Version::V5, &Publish::new(topic, text.as_bytes(), qos).with_id(number + 1)))?;
        let destination = format!("/topic/{}", topic.replace('/', "."));
        stomp.send(
            &Frame::new("SEND").with("destination", &destination).with("from", "stomp").body(text.as_bytes()),
        )?;
    }
    // Somebody whose messages are not asked about.
    let begun = Instant::now();
    let mut other = Client::clean(broker.at(Door::Mqtt), Version::V5, "other")?;
    other.publish("other/x", b"x", 1)?;
    ensure!(begun.elapsed() < SOON);
    let (mut of_mqtt, mut of_stomp) = (0, 0);
    for _ in 0..300 {
        let message = reader.publication()?;
        let number: u16 = String::from_utf8_lossy(&message.payload).parse()?;
        let is_stomp = format!("{:?}", message.properties).contains("stomp");
        let next = if is_stomp { &mut of_stomp } else { &mut of_mqtt };
        ensure!(number == *next, "{number} instead of {next}, from STOMP: {is_stomp}");
        *next += 1;
    }
    // The hook was asked in that order as well.
    let mut last = [None, None];
    for asked in hook.asked() {
        let number: usize = asked.json["message"]["text"].as_str().context("a text")?.parse()?;
        let last = &mut last[usize::from(asked.json["client"]["protocol"] == "stomp")];
        ensure!(*last < Some(number), "{number} behind {last:?}");
        *last = Some(number);
    }
    Ok(())
}

#[test]
fn what_was_said_before_good_bye_is_done_and_a_slow_hook_makes_nobody_silent() -> Result<()> {
    let hook = Hook::start(|_| Reply::Later(Duration::from_secs(3), json!({"result": "allow"})))?;
    let broker = broker(&hook, "events = [\"publish\"]\ndestinations = [\"slow/#\"]\ntimeout = \"60s\"")?;
    let mut reader = Client::clean(broker.at(Door::Mqtt), Version::V5, "reader")?;
    reader.subscribe("#", 0)?;
    let mut quick = Client::clean(broker.at(Door::Mqtt), Version::V5, "quick")?;
    quick.publish("slow/a", b"first", 0)?;
    quick.publish("b", b"second", 0)?;
    quick.send(&[0xe0, 0])?;
    ensure!(quick.closes(SOON)?);
    // More than the broker reads while it waits, by a client that has to be heard of every 1.5 s.
    let mut busy = Client::connect(
        broker.at(Door::Mqtt),
        &Connect { keep_alive_s: 1, ..Connect::new(Version::V5, "busy") },
    )?
    .0;
    busy.publish("slow/c", b"third", 0)?;
    for _ in 0..200 {
        busy.publish("d", &[b'x'; 2000], 0)?;
    }
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_millis(2600) {
        std::thread::sleep(Duration::from_millis(300));
        busy.send(&[0xc0, 0])?;
    }
    busy.publish("e", b"still here", 0)?;
    let mut seen = Vec::new();
    while seen.len() < 4 {
        let message = reader.publication()?;
        if message.topic != "d" {
            seen.push(String::from_utf8(message.payload)?);
        }
    }
    let place = |text: &str| seen.iter().position(|one| one == text);
    ensure!(place("first") < place("second") && place("third") < place("still here"), "{seen:?}");
    ensure!(place("first").is_some() && place("third").is_some(), "{seen:?}");
    Ok(())
}

#[test]
fn a_hook_that_does_not_answer_as_it_should_is_no_answer() -> Result<()> {
    let huge = format!("HTTP/1.1 200 OK\r\ncontent-length: 9000000\r\n\r\n{}", " ".repeat(9_000_000));
    let status = |line: &str| format!("HTTP/1.1 {line}\r\ncontent-length: 0\r\n\r\n");
    let body = |body: &str| format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    let redirect = "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n";
    let cases = [
        ("silence", None),
        ("closed", Some(String::new())),
        ("500", Some(status("500 Oops"))),
        ("403", Some(status("403 Forbidden"))),
        ("200 and nothing", Some(status("200 OK"))),
        ("redirect", Some(redirect.to_owned())),
        ("huge", Some(huge)),
        ("no HTTP", Some("hello".repeat(100))),
        ("no JSON", Some(body("<html>yes</html>"))),
        ("no answer", Some(body("{}"))),
        ("a typing error", Some(body(r#"{"result": "allow", "mesage": {"text": "y"}}"#))),
        ("no place", Some(body(r#"{"result": "allow", "message": {"destination": "$SYS/x"}}"#))),
        ("something else", Some(body(r#"{"result": "allow", "subscription": {"qos": 1}}"#))),
    ];
    for (name, reply) in cases {
        let reply = reply.map_or(Reply::Silence, |text| Reply::Bytes(text.into_bytes()));
        let hook = Hook::start(move |_| reply.clone())?;
        let deny = section(&hook, "events = [\"publish\"]\ndestinations = [\"deny/#\"]\ntimeout = \"300ms\"");
        let allow = section(
            &hook,
            "events = [\"publish\"]\ndestinations = [\"allow/#\"]\ntimeout = \"300ms\"\non_error = \"allow\"",
        );
        let broker = Setup::new().config(&format!("{deny}{allow}")).start()?;
        let mut client = Client::clean(broker.at(Door::Mqtt), Version::V5, "client")?;
        client.subscribe("#", 0)?;
        client.send(&publish(Version::V5, &Publish::new("deny/a", b"x", 1).with_id(1)))?;
        let packet = client.packet()?;
        ensure!(packet == Packet::Ack { kind: 4, id: 1, reason: 0x80 }, "{name}: {packet:?}");
        client.publish("allow/a", b"as it was", 1)?;
        let message = client.take()?;
        ensure!(message.payload == b"as it was", "{name}: {message:?}");
        // It is no ban: in 3.x the client may try again on another connection, in STOMP likewise.
        let mut three = Client::clean(broker.at(Door::Mqtt), Version::V311, "three")?;
        three.send(&publish(Version::V311, &Publish::new("deny/a", b"x", 1).with_id(1)))?;
        ensure!(three.closes(SOON)?, "{name}");
        let mut stomp = stomp::Client::new(broker.at(Door::Stomp))?;
        stomp.send(&Frame::new("SEND").with("destination", "/topic/deny.a"))?;
        let error = stomp.expect("ERROR")?;
        ensure!(error.header("error-code") == Some("resource_error"), "{name}: {error:?}");
    }
    Ok(())
}

#[test]
fn a_dead_hook_does_not_make_everybody_wait_and_is_asked_again_when_it_is_back() -> Result<()> {
    let address = free_address();
    // It takes connections, and says nothing.
    let dead = std::net::TcpListener::bind(address)?;
    let text = format!(
        "[[hook]]\nurl = \"http://{address}/\"\nevents = [\"publish\"]\ntimeout = \"1s\"\non_error = \"allow\"\n"
    );
    let broker = Setup::new().config(&text).start()?;
    let mut client = Client::clean(broker.at(Door::Mqtt), Version::V5, "client")?;
    let begun = Instant::now();
    for number in 0..100 {
        client.publish("a", &[number], 1)?;
    }
    // Five times a second, and a try or two in between; not a hundred.
    ensure!(begun.elapsed() < Duration::from_secs(40), "{:?}", begun.elapsed());
    drop(dead);
    let hook = start_at(address)?;
    until("a question", Duration::from_secs(60), || {
        client.publish("a", b"x", 1).ok()?;
        std::thread::sleep(Duration::from_millis(50));
        (!hook.asked().is_empty()).then_some(())
    })
}

#[test]
fn a_question_says_who_asks_and_shows_of_a_handshake_what_it_may() -> Result<()> {
    let hook = Hook::start(|_| allow())?;
    let more = "events = [\"connect\"]\nsecret = \"0123456789abcdef\"\nheaders = [\"Cookie\"]";
    let broker = broker(&hook, more)?;
    let upgrade = concat!(
        "GET /ws?token=secret HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\ncookie: session=1\r\n",
        "x-other: hidden\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
        "sec-websocket-protocol: v12.stomp\r\n\r\n"
    );
    let mut socket = std::net::TcpStream::connect(broker.at(Door::Web))?;
    std::io::Write::write_all(&mut socket, upgrade.as_bytes())?;
    let frame = Frame::new("CONNECT").with("accept-version", "1.2").with("host", "/");
    std::io::Write::write_all(&mut socket, &harness::websocket::binary(&frame.bytes()))?;
    hook.wait("the question", |json| json["event"] == "connect")?;
    let asked = hook.asked().pop().context("a question")?;
    ensure!(
        asked.json["handshake"] == json!({"path": "/ws", "headers": [["cookie", "session=1"]]}),
        "{asked:?}"
    );
    ensure!(asked.json["client"]["transport"] == "ws", "{asked:?}");
    let header = |name: &str| {
        let line = asked.head.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")));
        line.map(str::to_owned).with_context(|| format!("{name} in {}", asked.head))
    };
    ensure!(header("duetmq-event")? == "connect" && header("content-type")? == "application/json");
    let signature = header("duetmq-signature")?;
    ensure!(signature.starts_with("sha256=") && signature.len() == 7 + 64, "{signature}");
    ensure!(header("duetmq-timestamp")?.parse::<u64>()? > 1_600_000_000);
    Ok(())
}

/// What places that begin with a word get.

#[test]
fn a_hook_is_asked_by_tls_if_somebody_known_has_certified_it() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let at = |name: &str| folder.path().join(name);
    let authority = certified(folder.path())?;
    let mut command = python("tls_hook.py")?;
    command.arg(at("server.pem")).arg(at("key.pem"));
    let mut hook = Script::start("the hook", command)?;
    let port = hook.json(SOON)?["port"].as_u64().context("a port")?;
    let section = |host: &str, place: &str, more: &str| {
        format!(
            "[[hook]]\nurl = \"https://{host}:{port}/hook\"\nevents = [\"publish\"]\npayload = \"text\"\ndestinations = [\"{place}/#\"]\n{more}\n"
        )
    };
    let known = format!("ca_file = {:?}", authority.display().to_string());
    // By its name alone, and not by what the operating system knows.
    let hooks = [
        section("localhost", "known", &known),
        section("127.0.0.1", "named_otherwise", &known),
        section("localhost", "unknown", ""),
    ];
    let broker = Setup::new().config(&hooks.concat()).start()?;
    let mut client = Client::clean(broker.at(Door::Mqtt), Version::V5, "client")?;
    let mut ack = |topic: &str, text: &[u8]| {
        client.send(&publish(Version::V5, &Publish::new(topic, text, 1).with_id(1)))?;
        let packet = client.packet()?;
        let Packet::Ack { kind: 4, reason, .. } = packet else { anyhow::bail!("{packet:?}") };
        Ok(reason)
    };
    // Nobody subscribes: 0x10.
    for (text, reason) in [("yes", 0x10), ("no", 0x97), ("yes, please", 0x10)] {
        let got = ack("known/a", text.as_bytes())?;
        ensure!(got == reason, "{text}: {got:#x}");
        let asked = hook.json(SOON)?;
        ensure!(asked["question"]["message"]["text"] == text, "{asked}");
        ensure!(asked["host"] == format!("localhost:{port}") && asked["connections"] == 1, "{asked}");
    }
    for topic in ["named_otherwise/a", "unknown/a"] {
        let got = ack(topic, b"yes")?;
        ensure!(got == 0x80, "{topic}: {got:#x}");
    }
    // Neither of them was told anything.
    ensure!(ack("known/a", b"last")? == 0x10);
    let asked = hook.json(SOON)?;
    ensure!(asked["question"]["message"]["text"] == "last" && asked["connections"] == 1, "{asked}");
    Ok(())
}

/// Makes somebody who certifies, and what a server on this machine needs to be believed by those who know him. His own certificate
/// is in the file that comes back.
fn certified(folder: &Path) -> Result<PathBuf> {
    let mut authority = CertificateParams::new(Vec::new())?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.distinguished_name.push(DnType::CommonName, "an authority of tests");
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;
    let key = KeyPair::generate()?;
    let server = CertificateParams::new(vec!["localhost".to_owned()])?.signed_by(&key, &authority)?;
    let known = folder.join("known.pem");
    fs::write(&known, authority.pem())?;
    fs::write(folder.join("server.pem"), server.pem())?;
    fs::write(folder.join("key.pem"), key.serialize_pem())?;
    Ok(known)
}

fn judge(asked: &Value) -> Reply {
    let place = asked["message"]["destination"].as_str().or(asked["subscription"]["filter"].as_str());
    let place = place.unwrap_or_default();
    if place == "$queue/jobs" {
        return Reply::Json(json!({"result": "allow", "message": {"destination": "$queue/jobs-of-all"}}));
    }
    match place.split_once('/') {
        Some(("deny", _)) => deny(0x97, "not here"),
        Some(("rewrite", rest)) if asked["event"] == "publish" => Reply::Json(json!({
            "result": "allow",
            "message": {
                "destination": format!("rewritten/{rest}"),
                "text": format!("<{}>", asked["message"]["text"].as_str().unwrap_or_default()),
                "content_type": "text/x-seen",
                "headers": [["seen", "yes"]],
            },
        })),
        Some(("rewrite", rest)) => Reply::Json(json!({
            "result": "allow",
            "subscription": if asked["subscription"]["qos"].is_null() {
                json!({"filter": format!("rewritten/{rest}")})
            } else {
                json!({"filter": format!("rewritten/{rest}"), "qos": 1})
            },
        })),
        _ => allow(),
    }
}

fn allow() -> Reply {
    Reply::Json(json!({"result": "allow"}))
}

fn deny(code: u8, text: &str) -> Reply {
    Reply::Json(json!({"result": "deny", "code": code, "text": text}))
}

fn start_at(address: SocketAddr) -> Result<Hook> {
    until("the port", SOON, || Hook::start_at(address, |_| allow()).ok())
}

fn broker(hook: &Hook, more: &str) -> Result<Broker> {
    Setup::new().config(&section(hook, more)).start()
}

fn section(hook: &Hook, more: &str) -> String {
    format!("[[hook]]\nurl = \"{}\"\n{more}\n", hook.url())
}
