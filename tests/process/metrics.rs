//! `GET /metrics`: what Prometheus reads of a broker that runs.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use harness::admin::Admin;
use harness::broker::{Broker, Setup};
use harness::door::Door;
use harness::mqtt::Client as Mqtt;
use harness::mqtt::version::Version;
use harness::prometheus::Page;
use harness::stomp::{Client as Stomp, Frame};

#[test]
fn what_happens_is_counted_under_the_names_that_are_documented() -> Result<()> {
    let broker = Broker::new()?;
    let admin = Admin::nobody(&broker);
    let before = page(&admin)?;
    let mut mqtt = Mqtt::clean(broker.at(Door::Mqtt), Version::V5, "meter")?;
    let mut stomp = Stomp::new(broker.at(Door::Stomp))?;
    ensure!(mqtt.subscribe("a/b", 1)? == [1]);
    let odd = "/queue/odd \\ \"name\" 한국";
    for number in 0..5 {
        stomp.publish(odd, format!("{number}").as_bytes())?;
    }
    mqtt.publish("a/b", b"heard", 1)?;
    mqtt.publish("nobody/hears", b"", 1)?;
    let refused = duetmq_pub(&broker)?;
    ensure!(refused == Some(5), "{refused:?}");
    let after = harness::wait::until("everything to be counted", Duration::from_secs(10), || {
        let page = page(&admin).ok()?;
        (page.value("duetmq_messages_received_total", &[])? >= 7.0).then_some(page)
    })?;

    let value = |name: &str, labels: &[(&str, &str)]| {
        after.value(name, labels).with_context(|| format!("{name} {labels:?} in {after:?}"))
    };
    ensure!(value("duetmq_build_info", &[("version", env!("CARGO_PKG_VERSION"))])? == 1.0);
    for protocol in ["mqtt", "stomp"] {
        ensure!(value("duetmq_connections", &[("protocol", protocol), ("transport", "tcp")])? == 1.0);
    }
    ensure!(value("duetmq_messages_unroutable_total", &[])? >= 1.0);
    ensure!(value("duetmq_auth_attempts_total", &[("result", "failure")])? >= 1.0);
    ensure!(value("duetmq_auth_attempts_total", &[("result", "success")])? >= 2.0);
    ensure!(value("duetmq_sessions", &[("state", "connected")])? == 1.0);
    // The name is whatever a client chose, and comes back as it was.
    let queue = [("queue", "odd \\ \"name\" 한국"), ("vhost", "/")];
    ensure!(value("duetmq_queue_messages_ready", &queue)? == 5.0);
    ensure!(value("duetmq_messages_ready", &[])? >= 5.0);
    ensure!(value("duetmq_memory_bytes", &[("kind", "resident")])? > 1e6);
    ensure!(value("duetmq_storage_bytes", &[])? > 1e4);
    ensure!(value("duetmq_packets_total", &[("dir", "in")])? >= 10.0);
    ensure!(value("duetmq_bytes_sent_total", &[])? > 100.0);
    let commits = |page: &Page| -> Result<f64> {
        let family = page.0.get("duetmq_storage_commit_seconds").context("commits")?;
        ensure!(family.kind == "histogram");
        let count = family.samples.iter().find(|(name, _, _)| name.ends_with("_count"));
        Ok(count.context("a count")?.2)
    };
    ensure!(commits(&after)? > commits(&before)?);
    // What only grows is a counter, and has not shrunk.
    for (name, family) in after.0.iter().filter(|(_, family)| family.kind == "counter") {
        for (_, labels, value) in &family.samples {
            let labels: Vec<(&str, &str)> =
                labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            ensure!(before.value(name, &labels).is_none_or(|before| before <= *value), "{name} {labels:?}");
        }
    }
    // The socket says the same.
    ensure!(page(&Admin::owner(&broker))?.0.keys().eq(after.0.keys()));
    Ok(())
}

#[test]
fn the_fullest_queues_have_numbers_of_their_own_and_no_more_than_are_asked_for() -> Result<()> {
    let broker = Setup::new().argument("--set").argument("metrics.per_object=2").start()?;
    let mut stomp = Stomp::new(broker.at(Door::Stomp))?;
    for (queue, messages) in [("one", 1), ("three", 3), ("two", 2), ("four", 4)] {
        for _ in 0..messages {
            let send =
                Frame::new("SEND").with("destination", &format!("/queue/{queue}")).with("receipt", "r");
            stomp.send(&send)?;
            stomp.expect("RECEIPT")?;
        }
    }
    let page = page(&Admin::nobody(&broker))?;
    let ready = page.0.get("duetmq_queue_messages_ready").context("queues")?;
    let shown: Vec<(&str, f64)> = ready
        .samples
        .iter()
        .filter_map(|(_, labels, value)| {
            Some((labels.iter().find(|(name, _)| name == "queue")?.1.as_str(), *value))
        })
        .collect();
    ensure!(shown == [("four", 4.0), ("three", 3.0)], "{shown:?}");
    ensure!(page.value("duetmq_queues_not_listed", &[]) == Some(2.0));
    Ok(())
}

#[test]
fn whoever_may_not_look_is_asked_to_log_in() -> Result<()> {
    let status = |broker: &Broker, host: &str| -> Result<u16> {
        Ok(Admin::nobody(broker).with("host", host).get("/metrics")?.status)
    };
    let open = Broker::new()?;
    // By a name that leads here, a page of another site would ask.
    ensure!(status(&open, "localhost")? == 200 && status(&open, "rebound.example")? == 401);
    drop(open);
    let always = Setup::new().argument("--set").argument("metrics.anonymous=always").start()?;
    ensure!(status(&always, "rebound.example")? == 200);
    drop(always);
    let never =
        Setup::new().argument("--dev").argument("--set").argument("metrics.anonymous=never").start()?;
    ensure!(status(&never, "localhost")? == 401);
    ensure!(Admin::user(&never, "guest", "guest").get("/metrics")?.status == 200);
    ensure!(Admin::owner(&never).get("/metrics")?.status == 200);
    Ok(())
}

fn page(admin: &Admin) -> Result<Page> {
    let answer = admin.get("/metrics")?;
    ensure!(answer.status == 200, "{answer:?}");
    ensure!(answer.header("content-type") == Some("text/plain; version=0.0.4; charset=utf-8"), "{answer:?}");
    Page::parse(&answer.body).with_context(|| answer.body.clone())
}

/// A login that is refused.
fn duetmq_pub(broker: &Broker) -> Result<Option<i32>> {
    let url = format!("mqtt://nobody:wrong@{}", broker.at(Door::Mqtt));
    Ok(crate::run::duetmq(&["pub", "-u", &url, "-t", "a", "-m", "x"])?.code)
}
