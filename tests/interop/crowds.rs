//! How many may come: in all, from one address, of one user, in one second; and how many sessions there may be. Each
//! below, at and beyond the limit, and how it is told, logged and counted.

use std::io::Read;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use harness::admin::Admin;
use harness::broker::{Broker, Setup};
use harness::door::Door;
use harness::mqtt::Client;
use harness::mqtt::packet::Packet;
use harness::mqtt::version::Version;
use harness::mqtt::write::{Connect, DISCONNECT};
use harness::prometheus::Page;
use harness::stomp::{Client as Stomp, Frame};
use harness::wait::{SOON, until};

#[test]
fn no_more_connections_are_taken_than_the_limit() -> Result<()> {
    full("connections = 4", "limits.connections", "connections")
}

#[test]
fn no_more_connections_are_taken_from_one_address_than_the_limit() -> Result<()> {
    full("connections_per_ip = 4\nloopback_free = false", "limits.connections_per_ip", "connections_per_ip")
}

#[test]
fn this_machine_is_not_counted_unless_that_is_wanted() -> Result<()> {
    let broker = limits("connections_per_ip = 1\nconnection_rate = 1")?;
    let all = (0..5).map(|number| client(&broker, &number.to_string()));
    ensure!(all.collect::<Result<Vec<_>>>()?.len() == 5);
    Ok(())
}

#[test]
fn no_more_connections_are_taken_in_a_second_than_the_limit() -> Result<()> {
    let broker = limits("connection_rate = 5\nloopback_free = false")?;
    // What is there to be taken is there after a quiet second.
    std::thread::sleep(Duration::from_millis(1100));
    let begin = Instant::now();
    let sockets: Vec<TcpStream> =
        (0..60).map(|_| TcpStream::connect(broker.at(Door::Mqtt))).collect::<std::io::Result<_>>()?;
    let refused = until("the others to be refused", SOON, || {
        let refused = counted(&broker, "duetmq_connections_refused_total", "connection_rate").ok()?;
        let most = 6.0 + begin.elapsed().as_secs_f64() * 5.0;
        (refused > 0.0 && refused >= sockets.len() as f64 - most).then_some(refused)
    })?;
    ensure!(refused <= 55.0, "only {} were taken", 60.0 - refused);
    ensure!(broker.journal().lines_with(&["conn.refused", "limits.connection_rate", "peer="]).len() > 1);
    Ok(())
}

#[test]
fn no_more_connections_are_taken_of_one_user_than_the_limit() -> Result<()> {
    let config = "[limits]\nconnections_per_user = 2\n";
    let broker = Setup::new().config(config).user("ann").user("bob").start()?;
    let ann = |id: &str, version| login(&broker, "ann", id, version);
    let (_one, code) = ann("one", Version::V5)?;
    ensure!(code == 0, "{code:#04x}");
    let (stomp, answer) = stomp(broker.at(Door::Stomp), "ann")?;
    ensure!(answer.command == "CONNECTED", "{answer:?}");
    for (version, wanted) in [(Version::V5, 0x97), (Version::V311, 3), (Version::V31, 3)] {
        let (mut third, code) = ann("three", version)?;
        ensure!(code == wanted, "{version:?}: {code:#04x}");
        ensure!(third.closes(SOON)?, "{version:?}: stays");
    }
    let (_, answer) = self::stomp(broker.at(Door::Stomp), "ann")?;
    ensure!(answer.command == "ERROR" && answer.text().contains("connections_per_user"), "{answer:?}");
    ensure!(counted(&broker, "duetmq_connections_refused_total", "connections_per_user")? == 4.0);
    broker.journal().wait_for(&["conn.refused", "connections_per_user", "user=ann", "client=three"], SOON)?;
    // Others have places of their own, and whoever comes back to his session takes its old place.
    ensure!(login(&broker, "bob", "four", Version::V5)?.1 == 0);
    let (_again, code) = ann("one", Version::V5)?;
    ensure!(code == 0, "again: {code:#04x}");
    drop(stomp);
    until("a place", SOON, || (ann("three", Version::V5).ok()?.1 == 0).then_some(()))
}

#[test]
fn no_more_sessions_are_made_than_the_limit() -> Result<()> {
    let broker = limits("sessions = 2")?;
    for id in ["one", "two"] {
        let (mut client, _) = Client::connect(broker.at(Door::Mqtt), &Connect::lasting(Version::V5, id))?;
        client.send(&DISCONNECT)?;
        ensure!(client.closes(SOON)?, "{id}: stays");
    }
    for (version, wanted) in [(Version::V5, 0x97), (Version::V311, 3), (Version::V31, 3)] {
        let code = connack(&broker, &Connect::new(version, "three"))?.1;
        ensure!(code == wanted, "{version:?}: {code:#04x}");
    }
    ensure!(counted(&broker, "duetmq_connections_refused_total", "sessions")? == 3.0);
    broker.journal().wait_for(&["conn.refused", "[limits] sessions", "client=three"], SOON)?;
    // STOMP has no sessions, those who have one come back to it, and one that ends makes room.
    Stomp::new(broker.at(Door::Stomp))?;
    let mut clean = Client::clean(broker.at(Door::Mqtt), Version::V311, "one")?;
    clean.send(&DISCONNECT)?;
    ensure!(clean.closes(SOON)?);
    until("room", SOON, || (connack(&broker, &Connect::new(Version::V5, "three")).ok()?.1 == 0).then_some(()))
}

#[test]
fn no_more_queues_are_made_than_the_limit() -> Result<()> {
    let broker = limits("queues = 2")?;
    let mut client = Stomp::new(broker.at(Door::Stomp))?;
    for queue in ["/queue/one", "/queue/two", "/queue/one"] {
        client.publish(queue, b"x")?;
    }
    // A subscription's own queue is none of these.
    client.subscribe("0", "/topic/t", "auto")?;
    client.send(&Frame::new("SEND").with("destination", "/queue/three").with("receipt", "r").body(b"x"))?;
    let error = client.frame()?;
    ensure!(error.command == "ERROR" && error.text().contains("[limits] queues"), "{error:?}");
    broker.journal().wait_for(&["client.limit", "[limits] queues"], SOON)?;
    let deleted = Admin::owner(&broker).ask("DELETE", "/api/queues/%2F/one", None)?;
    ensure!(deleted.status == 204, "{deleted:?}");
    Stomp::new(broker.at(Door::Stomp))?.publish("/queue/three", b"x")?;
    let fourth = Admin::owner(&broker).ask("PUT", "/api/queues/%2F/four", Some(&serde_json::json!({})))?;
    ensure!(fourth.status == 400 && fourth.reason().contains("[limits] queues"), "{fourth:?}");
    Ok(())
}

#[test]
fn what_a_limit_refuses_is_logged_with_its_client_and_counted() -> Result<()> {
    let broker = limits("subscriptions = 1\nretained = 1")?;
    let mut greedy = client(&broker, "greedy")?;
    ensure!(greedy.subscribe("a", 1)? == [1] && greedy.subscribe("b", 1)? == [0x97]);
    broker.journal().wait_for(&["client.limit", "client=greedy", "[limits] subscriptions"], SOON)?;
    let reached = page(&broker)?.value("duetmq_limits_reached_total", &[]).context("a count")?;
    ensure!(reached == 1.0, "{reached}");
    Ok(())
}

/// Four are taken, the fifth is closed at once, and there is room again when one has gone.
fn full(config: &str, logged: &str, label: &str) -> Result<()> {
    let broker = limits(config)?;
    let mut here = Vec::new();
    until("four places", SOON, || {
        while here.len() < 4 {
            here.push(client(&broker, &here.len().to_string()).ok()?);
        }
        Some(())
    })?;
    let before = counted(&broker, "duetmq_connections_refused_total", label)?;
    for door in [Door::Mqtt, Door::Stomp, Door::Web] {
        let mut fifth = TcpStream::connect(broker.at(door))?;
        fifth.set_read_timeout(Some(SOON))?;
        ensure!(fifth.read(&mut [0])? == 0, "{door:?}: it is told something");
    }
    ensure!(counted(&broker, "duetmq_connections_refused_total", label)? == before + 3.0);
    broker.journal().wait_for(&["conn.refused", logged, "peer="], SOON)?;
    here.pop();
    until("a place", SOON, || client(&broker, "again").ok())?;
    Ok(())
}

fn limits(limits: &str) -> Result<Broker> {
    Setup::new().config(&format!("[limits]\n{limits}\n")).start()
}

fn client(broker: &Broker, id: &str) -> Result<Client> {
    Ok(Client::clean(broker.at(Door::Mqtt), Version::V5, id)?)
}

fn login(broker: &Broker, user: &str, id: &str, version: Version) -> Result<(Client, u8)> {
    let mut connect = Connect::new(version, id);
    connect.login = Some((user.to_owned(), user.to_owned()));
    connack(broker, &connect)
}

fn connack(broker: &Broker, connect: &Connect) -> Result<(Client, u8)> {
    let mut client = Client::dial(broker.at(Door::Mqtt), connect.version)?;
    client.send(&connect.bytes())?;
    let packet = client.packet()?;
    let Packet::Connack(connack) = packet else { anyhow::bail!("{packet:?}") };
    Ok((client, connack.code))
}

fn stomp(address: SocketAddr, user: &str) -> Result<(Stomp, Frame)> {
    let mut client = Stomp::dial(address)?;
    let connect = Frame::new("CONNECT").with("accept-version", "1.2").with("host", "localhost");
    client.send(&connect.with("login", user).with("passcode", user))?;
    let answer = client.frame()?;
    Ok((client, answer))
}

fn counted(broker: &Broker, family: &str, limit: &str) -> Result<f64> {
    page(broker)?.value(family, &[("limit", limit)]).with_context(|| format!("no {family} of {limit}"))
}

fn page(broker: &Broker) -> Result<Page> {
    let answer = Admin::nobody(broker).get("/metrics")?;
    Page::parse(&answer.body)
}
