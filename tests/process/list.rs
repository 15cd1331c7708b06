//! `duetmq list`: who is there and who listens to what, asked of a broker that runs.

use std::fs;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use harness::admin::Admin;
use harness::broker::{Broker, Setup, duetmq_command};
use harness::door::Door;
use harness::mqtt::Client as Mqtt;
use harness::mqtt::version::Version;
use harness::mqtt::write::Connect;
use harness::stomp::{Client as Stomp, Frame};
use serde_json::Value;

use crate::run::{Done, duetmq, duetmq_with, finish};

#[test]
fn sessions_users_and_subscriptions_are_listed_with_what_is_known_of_them() -> Result<()> {
    let broker = Setup::new().user("kim").user("lee").start()?;
    let (mut phone, mut browser) = (phone(&broker, "kim")?, tab(&broker, "kim")?);
    let mut away = phone_named(&broker, "lee", "tablet")?;
    ensure!(phone.subscribe("chat/+", 1)? == [1] && phone.subscribe("$user/queue/news", 2)? == [2]);
    browser.subscribe("0", "/topic/chat.5", "auto")?;
    ensure!(away.subscribe("$share/g/chat/#", 1)? == [1]);
    drop(away);
    phone.publish("chat/5", b"for lee, too", 1)?;
    until_away(&broker, "tablet")?;

    let sessions = items(&list(&broker, &["sessions", "--json"])?)?;
    ensure!(sessions.len() == 3, "{sessions:?}");
    let of =
        |client: Option<&str>| sessions.iter().find(|one| one["client"].as_str() == client).context("one");
    let phone = of(Some("phone of kim"))?;
    ensure!(phone["user"] == "kim" && phone["connected"] == true && phone["protocol"] == "mqtt", "{phone}");
    ensure!(
        phone["subscriptions"] == 2 && phone["expiry_s"] == 3600 && phone["listener"] == "mqtt-1",
        "{phone}"
    );
    ensure!(phone["peer"].as_str().is_some_and(|peer| peer.starts_with("127.0.0.1:")), "{phone}");
    let tablet = of(Some("tablet"))?;
    ensure!(tablet["connected"] == false && tablet["peer"].is_null() && tablet["waiting"] == 1, "{tablet}");
    ensure!(tablet["disconnected_at_ms"].as_u64() > Some(0), "{tablet}");
    let browser = of(None)?;
    ensure!(browser["protocol"] == "stomp" && browser["transport"] == "tcp", "{browser}");
    ensure!(browser["subscriptions"] == 1 && browser["expiry_s"] == 0, "{browser}");

    let here = list(&broker, &["sessions", "--json", "--where", "user=kim", "--where", "protocol=mqtt"])?;
    ensure!(items(&here)? == [phone.clone()], "{here:?}");
    let users = list(&broker, &["users"])?;
    let lines: Vec<Vec<&str>> = users.out.lines().map(|line| line.split_whitespace().collect()).collect();
    ensure!(
        lines == [vec!["USER", "SESSIONS", "CONNECTED"], vec!["kim", "2", "2"], vec!["lee", "1", "0"]],
        "{users:?}"
    );

    let subscriptions = items(&list(&broker, &["subscriptions", "--json"])?)?;
    let mut shown: Vec<&str> = subscriptions.iter().filter_map(|one| one["destination"].as_str()).collect();
    shown.sort_unstable();
    ensure!(shown == ["$share/g/chat/#", "$user/queue/news", "chat/+", "chat/5"], "{shown:?}");
    let hear = |topic: &str| -> Result<Vec<String>> {
        let found = items(&list(&broker, &["subscriptions", "--json", "--to", topic])?)?;
        Ok(found.iter().filter_map(|one| one["destination"].as_str().map(str::to_owned)).collect())
    };
    ensure!(hear("chat/5")?.len() == 3 && hear("chat/6")?.len() == 2 && hear("other")?.is_empty());
    ensure!(
        hear("$user/kim/queue/news")? == ["$user/queue/news"] && hear("$user/lee/queue/news")?.is_empty()
    );
    ensure!(hear("$share/g/chat/#")? == ["$share/g/chat/#"]);
    Ok(())
}

#[test]
fn what_no_queue_took_is_listed_with_the_reason() -> Result<()> {
    let tag = "[[admin.user]]\nname = \"kim\"\ntag = \"monitoring\"\n";
    let broker = Setup::new().user("kim").config(tag).start()?;
    let mut phone = phone(&broker, "kim")?;
    let mut stomp = tab(&broker, "kim")?;
    phone.publish("nobody/here", b"is there anybody?", 1)?;
    stomp.request(
        Frame::new("SEND").with("destination", "/exchange/amq.direct/k").with("kind", "x").body(b"y"),
    )?;

    let kept = items(&list(&broker, &["unroutable", "--json"])?)?;
    ensure!(kept.len() == 2, "{kept:?}");
    let (newest, first) = (&kept[0], &kept[1]);
    ensure!(newest["exchange"] == "amq.direct" && newest["key"] == "k", "{newest}");
    ensure!(newest["cause"] == "nothing is bound to the exchange" && newest["payload"] == "y", "{newest}");
    ensure!(newest["headers"] == serde_json::json!([["kind", "x"]]), "{newest}");
    ensure!(first["key"] == "nobody/here" && first["client"] == "phone of kim", "{first}");
    ensure!(first["user"] == "kim" && first["payload_bytes"] == 17 && first["qos"] == 1, "{first}");
    let table = list(&broker, &["unroutable"])?;
    ensure!(table.out.lines().count() == 3 && table.out.contains("is there anybody?"), "{table:?}");
    let direct = list(&broker, &["unroutable", "--json", "--where", "exchange=amq.direct"])?;
    ensure!(items(&direct)? == [newest.clone()], "{direct:?}");
    let nobody = Admin::nobody(&broker).get("/api/v1/unroutable?limit=1")?;
    ensure!(nobody.status == 401, "{nobody:?}");
    // Who may look at everything but messages may not look at these.
    let kim = Admin::user(&broker, "kim", "kim").get("/api/v1/unroutable?limit=1")?;
    ensure!(kim.status == 403 && kim.body.contains("management"), "{kim:?}");
    let owner = Admin::owner(&broker).get("/api/v1/unroutable?limit=1")?.json()?;
    ensure!(owner["items"] == serde_json::json!([newest]) && owner["next"] == "2", "{owner}");
    Ok(())
}

#[test]
fn the_way_of_a_message_is_told_and_nothing_is_published() -> Result<()> {
    let config = "\
[[access.deny]]
user = \"kim\"
filter = \"secret/#\"
actions = [\"publish\"]
code = 0x87
";
    let broker = Setup::new().user("kim").config(config).start()?;
    let mut phone = phone(&broker, "kim")?;
    let mut stomp = tab(&broker, "kim")?;
    ensure!(phone.subscribe("chat/+", 1)? == [1] && phone.subscribe("chat/x/y", 1)? == [1]);
    stomp.subscribe("0", "/queue/jobs", "auto")?;
    let explain = |arguments: &[&str]| -> Result<Done> {
        let data = broker.data().display().to_string();
        duetmq(&[&["explain", "pub"][..], arguments, &["-d", &data]].concat())
    };
    let one: Value = serde_json::from_str(&explain(&["chat/5", "--json"])?.out)?;
    ensure!(one["queues"][0]["client"] == "phone of kim" && one["queues"][1].is_null(), "{one}");
    let step = &one["steps"][0];
    ensure!(step["exchange"] == "amq.topic" && step["matched"][0]["pattern"] == "chat/+", "{one}");
    ensure!(step["nearest"][0]["why"] == "level 2 is \"5\", not \"x\"", "{one}");
    ensure!(one["access"]["allowed"] == true, "{one}");
    let same = explain(&["--protocol", "stomp", "/topic/chat.5", "--json"])?;
    ensure!(serde_json::from_str::<Value>(&same.out)? == one, "{same:?}");

    let tree = explain(&["chat/5"])?;
    ensure!(tree.code == Some(0) && tree.out.contains("+ \"chat/+\" -> queue mqtt.phone of kim"), "{tree:?}");
    let jobs = explain(&["$queue/jobs"])?;
    ensure!(jobs.out.contains("=> queue jobs: 1 consuming, 0 waiting"), "{jobs:?}");
    let denied = explain(&["secret/a", "--as", "kim"])?;
    ensure!(denied.out.contains("not allowed by rule "), "{denied:?}");
    let allowed = explain(&["secret/a", "--as", "lee"])?;
    ensure!(allowed.out.contains("access: allowed for lee") && allowed.out.contains("no queue gets it"));
    let missing = explain(&["$exchange/none/x"])?;
    ensure!(missing.code == Some(0) && missing.out.contains("refused: "), "{missing:?}");
    let wrong = explain(&["a", "-p", "novalue"])?;
    ensure!(wrong.code == Some(2) && wrong.error.contains("NAME=VALUE"), "{wrong:?}");
    let nothing = items(&list(&broker, &["unroutable", "--json"])?)?;
    ensure!(nothing.is_empty(), "{nothing:?}");
    Ok(())
}

#[test]
fn people_get_a_table_and_the_admin_listener_answers_the_same() -> Result<()> {
    let broker = Setup::new().argument("--dev").start()?;
    let _mqtt = Mqtt::clean(broker.at(Door::Mqtt), Version::V311, "\u{9b}31m red")?;
    let mut stomp = Stomp::new(broker.at(Door::Stomp))?;
    stomp.subscribe("0", "/queue/jobs", "auto")?;
    let socket = list(&broker, &["sessions"])?;
    let heading: Vec<&str> = socket.out.lines().next().unwrap_or_default().split_whitespace().collect();
    ensure!(
        heading == ["SESSION", "CLIENT", "USER", "PROTOCOL", "PEER", "CONNECTED", "SUBSCRIPTIONS", "WAITING"]
    );
    ensure!(socket.out.lines().count() == 3 && socket.out.contains("\\u{9b}31m red"), "{socket:?}");
    let admin = format!("http://{}", broker.at(Door::Admin));
    let login = [("DUETMQ_USER", "guest"), ("DUETMQ_PASSWORD", "guest")];
    let listener = duetmq_with(&["list", "sessions", "--admin", &admin], &login, "")?;
    ensure!(listener.code == Some(0) && listener.out == socket.out, "{listener:?}");
    let nobody = duetmq(&["list", "sessions", "--admin", &admin])?;
    ensure!(nobody.code == Some(5) && nobody.error.contains("log in"), "{nobody:?}");
    let wrong = duetmq(&["list", "sessions", "--url", &admin, "--user", "guest", "--password", "x"])?;
    ensure!(wrong.code == Some(5) && wrong.error.contains("wrong user name or password"), "{wrong:?}");
    let jobs = list(&broker, &["subscriptions", "--to", "$queue/jobs"])?;
    ensure!(jobs.out.lines().count() == 2 && jobs.out.contains("$queue/jobs"), "{jobs:?}");
    Ok(())
}

#[test]
fn the_socket_is_its_owners_alone_goes_with_the_broker_and_comes_back_after_a_crash() -> Result<()> {
    let mut broker = Broker::new()?;
    let socket = broker.data().join("admin.sock");
    let mode = fs::metadata(&socket)?;
    ensure!(mode.file_type().is_socket() && mode.permissions().mode() & 0o777 == 0o600, "{mode:?}");
    broker.kill();
    let left = list(&broker, &["sessions"])?;
    ensure!(left.code == Some(1) && left.error.contains("has ended"), "{left:?}");
    broker.start()?;
    ensure!(list(&broker, &["sessions"])?.code == Some(0));
    broker.stop()?;
    ensure!(!socket.exists(), "the socket stays");
    let none = list(&broker, &["sessions"])?;
    let data = broker.data().display().to_string();
    ensure!(
        none.code == Some(1) && none.error.contains("no broker runs") && none.error.contains(&data),
        "{none:?}"
    );
    Ok(())
}

#[test]
fn what_cannot_be_listed_is_told_with_what_can() -> Result<()> {
    let broker = Broker::new()?;
    let wrong = list(&broker, &["sessions", "--where", "usr=kim"])?;
    ensure!(
        wrong.code == Some(2) && wrong.error.contains("\"usr\"") && wrong.error.contains("user"),
        "{wrong:?}"
    );
    for arguments in [
        &["list"][..],
        &["list", "clouds"],
        &["list", "sessions", "--where", "kim"],
        &["list", "users", "--to", "chat"],
        &["list", "users", "--admin", "ftp://h"],
        &["list", "users", "--admin", "h", "-d", "d"],
    ] {
        let done = duetmq(arguments)?;
        ensure!(done.code == Some(2) && !done.error.is_empty(), "{arguments:?}: {done:?}");
    }
    // Where nothing is said, the broker is the one that `duetmq serve` would be here.
    let mut here = duetmq_command()?;
    here.args(["list", "users"]).env("DUETMQ_NODE__DATA_DIR", broker.data());
    ensure!(finish(here, "")?.code == Some(0));
    Ok(())
}

#[test]
fn long_lists_come_in_pages_that_leave_nobody_out_and_name_nobody_twice() -> Result<()> {
    let broker = Broker::new()?;
    let _clients =
        (0..12).map(|_| Stomp::new(broker.at(Door::Stomp))).collect::<std::io::Result<Vec<_>>>()?;
    let admin = Admin::owner(&broker);
    let mut names = Vec::new();
    let mut after = String::new();
    let mut pages = 0;
    loop {
        let page = admin.get(&format!("/api/v1/sessions?limit=5{after}"))?.json()?;
        let items = page["items"].as_array().context("items")?;
        ensure!(items.len() <= 5, "{page}");
        names.extend(items.iter().filter_map(|one| one["session"].as_str().map(str::to_owned)));
        pages += 1;
        let Some(next) = page["next"].as_str() else { break };
        after = format!("&after={next}");
    }
    let all = names.len();
    names.sort_unstable();
    names.dedup();
    ensure!(pages == 3 && all == 12 && names.len() == 12, "{pages} pages with {all}: {names:?}");
    // One of them, and what there is none of.
    let one = admin.get(&format!("/api/v1/sessions/{}", names[0]))?;
    ensure!(
        one.status == 200 && one.body.contains("\"subscriptions\":[]") && one.body.contains(&names[0]),
        "{one:?}"
    );
    ensure!(admin.get("/api/v1/sessions/session-9-9")?.status == 404);
    ensure!(admin.get("/api/v1/sessions?limit=0")?.status == 400);
    Ok(())
}

fn list(broker: &Broker, arguments: &[&str]) -> Result<Done> {
    let data = broker.data().display().to_string();
    duetmq(&[&["list"][..], arguments, &["-d", &data]].concat())
}

fn items(done: &Done) -> Result<Vec<Value>> {
    ensure!(done.code == Some(0), "{done:?}");
    Ok(done.out.lines().map(serde_json::from_str).collect::<Result<_, _>>()?)
}

/// Once the broker has seen that its connection is gone.
fn until_away(broker: &Broker, client: &str) -> Result<()> {
    let query = format!("/api/v1/sessions?connected=false&client={client}");
    harness::wait::until("a client to be away", Duration::from_secs(10), || {
        Admin::owner(broker).get(&query).ok()?.body.contains(client).then_some(())
    })
}

fn phone(broker: &Broker, user: &str) -> Result<Mqtt> {
    phone_named(broker, user, &format!("phone of {user}"))
}

/// An MQTT client whose session stays for an hour.
fn phone_named(broker: &Broker, user: &str, name: &str) -> Result<Mqtt> {
    let login = Some((user.to_owned(), user.to_owned()));
    let connect = Connect { login, ..Connect::lasting(Version::V5, name) };
    Ok(Mqtt::connect(broker.at(Door::Mqtt), &connect)?.0)
}

fn tab(broker: &Broker, user: &str) -> Result<Stomp> {
    let mut stomp = Stomp::dial(broker.at(Door::Stomp))?;
    let connect = Frame::new("CONNECT").with("accept-version", "1.2").with("host", "/");
    stomp.send(&connect.with("login", user).with("passcode", user))?;
    stomp.expect("CONNECTED")?;
    Ok(stomp)
}
