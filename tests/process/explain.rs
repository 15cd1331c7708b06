//! `duetmq explain sub`: what a subscription would make and bind, asked of a broker that runs.

use anyhow::{Context, Result, ensure};
use harness::admin::Admin;
use harness::broker::{Broker, Setup};
use harness::door::Door;
use harness::mqtt::Client as Mqtt;
use harness::mqtt::version::Version;
use harness::stomp::{Client as Stomp, Frame};
use serde_json::{Value, json};

use crate::run::{Done, duetmq};

const CONFIG: &str = "\
[[access.deny]]
user = \"kim\"
filter = \"secret/#\"
actions = [\"subscribe\"]
code = 0x87

[[exchange]]
name = \"reports\"
type = \"headers\"

[[stomp.prefix]]
prefix = \"/sub/\"
keep = false
";

#[test]
fn what_a_subscription_would_make_is_told_and_nothing_is_made() -> Result<()> {
    let broker = Setup::new().user("kim").config(CONFIG).argument("--dev").start()?;
    let before = Admin::owner(&broker).get("/api/queues")?.json()?;
    let jobs = told(&broker, &["--protocol", "stomp", "/queue/jobs"])?;
    let made = json!({
        "name": "jobs", "named": "made by this name if it does not exist", "exists": false, "is_made": true,
        "durable": true, "exclusive": false, "auto_delete": false,
    });
    ensure!(jobs["queue"] == made && jobs["binding"].is_null() && jobs["refused"].is_null(), "{jobs}");
    let never = told(&broker, &["--protocol", "stomp", "/amq/queue/jobs"])?;
    ensure!(never["queue"]["is_made"] == false && never["queue"]["exists"] == false, "{never}");
    ensure!(
        never["refused"].as_str().is_some_and(|why| why.contains("queue \"jobs\" does not exist")),
        "{never}"
    );
    let own = told(&broker, &["--protocol", "stomp", "/topic/chat.room.*"])?;
    ensure!(own["queue"]["name"].is_null() && own["queue"]["exclusive"] == true, "{own}");
    ensure!(own["binding"]["exchange"] == "amq.topic" && own["binding"]["pattern"] == "chat/room/+", "{own}");
    let lasting = ["--protocol", "stomp", "/topic/news", "-p", "durable=true", "-p", "id=1"];
    let lasting = told(&broker, &lasting)?;
    ensure!(
        lasting["queue"]["name"] == "stomp.1./topic/news" && lasting["queue"]["durable"] == true,
        "{lasting}"
    );
    let headers = told(&broker, &["--protocol", "stomp", "/exchange/reports", "-p", "format=pdf"])?;
    let asked = json!([["x-match", "all"], ["format", "pdf"]]);
    ensure!(headers["binding"]["kind"] == "headers" && headers["binding"]["arguments"] == asked, "{headers}");
    let missing = told(&broker, &["$exchange/none/x"])?;
    ensure!(missing["refused"].as_str().is_some_and(|why| why.contains("no exchange")), "{missing}");
    let after = Admin::owner(&broker).get("/api/queues")?.json()?;
    ensure!(before == after, "{before} became {after}");
    Ok(())
}

#[test]
fn what_is_there_is_told_of_a_subscription_as_is_the_rule_that_denies_it() -> Result<()> {
    let broker = Setup::new().user("kim").config(CONFIG).argument("--dev").start()?;
    let mut phone = Mqtt::clean(broker.at(Door::Mqtt), Version::V5, "phone")?;
    ensure!(phone.subscribe("chat/+", 1)? == [1]);
    let mut stomp = Stomp::new(broker.at(Door::Stomp))?;
    stomp.subscribe("0", "/queue/jobs", "auto")?;
    let same = told(&broker, &["chat/+", "--client", "phone"])?;
    ensure!(same["queue"]["name"] == "mqtt.phone" && same["queue"]["exists"] == true, "{same}");
    ensure!(same["binding"]["exists"] == true, "{same}");
    let other = told(&broker, &["chat/x", "--client", "phone"])?;
    ensure!(other["binding"]["exists"] == false && other["access"]["allowed"] == true, "{other}");
    for destination in ["/queue/jobs", "/amq/queue/jobs"] {
        let jobs = told(&broker, &["--protocol", "stomp", destination])?;
        ensure!(jobs["queue"]["exists"] == true && jobs["refused"].is_null(), "{jobs}");
    }
    let differs = told(&broker, &["--protocol", "stomp", "/queue/jobs", "-p", "x-max-length=5"])?;
    ensure!(differs["refused"].as_str().is_some_and(|why| why.contains("x-max-length")), "{differs}");

    let mut reader = Stomp::new(broker.at(Door::Stomp))?;
    reader.request(Frame::new("SEND").with("destination", "/queue/story").with("x-queue-type", "stream"))?;
    let read = told(&broker, &["$stream/story/last=5"])?;
    ensure!(read["queue"]["name"] == "story" && read["queue"]["exists"] == true, "{read}");
    ensure!(read["refused"].is_null() && read["binding"].is_null(), "{read}");
    let offset = &["--protocol", "stomp", "/amq/queue/jobs", "-p", "x-stream-offset=first"][..];
    for wrong in [&["$stream/jobs"][..], &["$stream/nobody"], offset] {
        let refused = told(&broker, wrong)?;
        let why = refused["refused"].as_str().context("refused")?;
        ensure!(why.contains("no stream") || why.contains("nobody"), "{refused}");
    }

    let denied = told(&broker, &["secret/a", "--as", "kim"])?;
    ensure!(denied["access"]["allowed"] == false && denied["access"]["rule"] == "secret/#", "{denied}");
    let through = told(&broker, &["--protocol", "stomp", "/topic/secret.a", "--as", "kim"])?;
    ensure!(through["access"] == denied["access"], "{through}");
    let personal = told(&broker, &["$user/queue/news", "--as", "kim"])?;
    ensure!(personal["binding"]["pattern"] == "kim/queue/news", "{personal}");
    let tree = explain(&broker, "sub", &["secret/a", "--as", "kim"])?;
    ensure!(tree.out.contains("not allowed by rule secret/# for kim"), "{tree:?}");
    let nobody = Admin::nobody(&broker).get("/api/v1/explain/sub?destination=a")?;
    ensure!(nobody.status == 401, "{nobody:?}");
    for wrong in
        [&["a/#/b"][..], &["$queue/jobs"], &["a", "-p", "x=y"], &["--protocol", "stomp", "/temp-queue/x"]]
    {
        let done = explain(&broker, "sub", wrong)?;
        ensure!(done.code == Some(2) && !done.error.is_empty(), "{wrong:?}: {done:?}");
    }
    Ok(())
}

#[test]
fn prefixes_of_the_configuration_are_explained_as_the_door_for_stomp_reads_them() -> Result<()> {
    let broker = Setup::new().config(CONFIG).argument("--dev").start()?;
    let mut stomp = Stomp::new(broker.at(Door::Stomp))?;
    stomp.subscribe("0", "/sub/chat/5", "auto")?;
    let sub = told(&broker, &["--protocol", "stomp", "/sub/chat/5"])?;
    ensure!(sub["binding"]["pattern"] == "chat/5", "{sub}");
    let done = explain(&broker, "pub", &["--protocol", "stomp", "/sub/chat/5", "--json"])?;
    let publish: Value = serde_json::from_str(&done.out)?;
    ensure!(publish["key"] == "chat/5" && publish["queues"].as_array().map(Vec::len) == Some(1), "{publish}");
    let without = Setup::new().argument("--dev").start()?;
    let done = explain(&without, "pub", &["--protocol", "stomp", "/sub/chat/5"])?;
    ensure!(done.code == Some(2) && done.error.contains("/sub/chat/5"), "{done:?}");
    Ok(())
}

#[test]
fn a_topic_is_explained_as_the_door_for_mqtt_reads_it() -> Result<()> {
    let config = "[routing]\nmqtt_exchange = \"plain\"\n";
    let broker = Setup::new().config(config).argument("--dev").start()?;
    let mut phone = Mqtt::clean(broker.at(Door::Mqtt), Version::V5, "phone")?;
    ensure!(phone.subscribe("chat/+", 1)? == [1]);
    let done = explain(&broker, "pub", &["chat/5", "--json"])?;
    let way: Value = serde_json::from_str(&done.out)?;
    ensure!(way["exchange"] == "plain" && way["key"] == "chat/5", "{way}");
    ensure!(way["queues"][0]["client"] == "phone", "{way}");
    for wrong in ["chat/+", "$SYS/broker/uptime", "$exchange/"] {
        let done = explain(&broker, "pub", &[wrong])?;
        ensure!(done.code == Some(2) && !done.error.is_empty(), "{wrong}: {done:?}");
    }
    Ok(())
}

fn told(broker: &Broker, arguments: &[&str]) -> Result<Value> {
    let done = explain(broker, "sub", &[arguments, &["--json"]].concat())?;
    ensure!(done.code == Some(0), "{done:?}");
    Ok(serde_json::from_str(&done.out)?)
}

fn explain(broker: &Broker, what: &str, arguments: &[&str]) -> Result<Done> {
    let data = broker.data().display().to_string();
    duetmq(&[&["explain", what][..], arguments, &["-d", &data]].concat())
}
