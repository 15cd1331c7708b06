//! Names in both protocols: none that is legal in one is lost or taken for another one in the other.

use anyhow::{Context, Result, ensure};
use harness::broker::Broker;
use harness::door::Door;
use harness::mqtt::Client as Mqtt;
use harness::mqtt::version::Version;
use harness::socket::Next;
use harness::stomp::Client as Stomp;
use harness::wait::SOON;

#[test]
fn a_topic_comes_back_from_each_version_of_stomp_as_it_went() -> Result<()> {
    let broker = Broker::new()?;
    let long = "긴/이름 ".repeat(60);
    let deep = "a/".repeat(100);
    let topics = [
        "plain",
        "a.b/c.d",
        "/",
        "//",
        "a/",
        "/a",
        ".",
        "..",
        "%",
        "%2F",
        "%2f/%25",
        "100%/x",
        "a b/ c ",
        "a:b",
        "back\\slash",
        "\\n\\c\\\\",
        "line\nfeed",
        "carriage\rreturn",
        "line end\r\n",
        "ends in \r",
        "tab\t\u{1}\u{7f}",
        "a*b/*",
        "방/오 🎉/\u{feff}",
        "~!@^&()-_=[]{};'\",<>?|`",
        "a$/$b",
        &long,
        &deep,
    ];
    for version in ["1.0", "1.1", "1.2"] {
        let (mut stomp, _) = Stomp::connect(broker.at(Door::Stomp), version)?;
        stomp.subscribe("all", "/topic/#", "auto")?;
        let mut mqtt = Mqtt::clean(broker.at(Door::Mqtt), Version::V5, "mqtt")?;
        mqtt.subscribe("#", 1)?;
        for topic in topics {
            let about = || format!("{version}: {topic:?}");
            mqtt.publish(topic, b"there", 1)?;
            ensure!(mqtt.take()?.topic == topic, "{}: MQTT alone", about());
            let there = destination(&mut stomp).with_context(about)?;
            // As it was said in this version, it is said again.
            stomp.socket.write(&[b"SEND\n", there.as_slice(), b"\n\nback\0"].concat())?;
            let back = mqtt.take().with_context(about)?;
            ensure!(back.topic == topic, "{}: it came back as {:?}", about(), back.topic);
            ensure!(destination(&mut stomp)? == there, "{}: it has two names", about());
        }
        mqtt.send(&[0xe0, 0])?;
    }
    Ok(())
}

#[test]
fn a_name_of_stomp_is_one_topic_however_it_is_written() -> Result<()> {
    let broker = Broker::new()?;
    let mut mqtt = Mqtt::clean(broker.at(Door::Mqtt), Version::V5, "mqtt")?;
    mqtt.subscribe("#", 1)?;
    let mut stomp = Stomp::new(broker.at(Door::Stomp))?;
    for (destinations, topic) in [
        (&["/topic/a.b", "/topic/%61.b", "/topic/a%2Eb", "/exchange/amq.topic/a.b"][..], "a/b"),
        (&["/topic/a%2Fb", "/topic/a%2fb", "/exchange/amq.topic/a%2Fb"], "a.b"),
        (&["/topic/%EB%B0%A9.1", "/topic/방.1"], "방/1"),
        (&["/topic/100%", "/topic/100%25"], "100%"),
        (&["/topic/%2541"], "%41"),
        (&["/topic/a%0Ab", "/topic/a\nb"], "a\nb"),
    ] {
        for destination in destinations {
            stomp.publish(destination, b"x")?;
            let came = mqtt.take().with_context(|| (*destination).to_owned())?;
            ensure!(came.topic == topic, "{destination:?} came as {:?} instead of {topic:?}", came.topic);
        }
    }
    Ok(())
}

#[test]
fn a_wildcard_is_the_same_pattern_in_both_protocols() -> Result<()> {
    let broker = Broker::new()?;
    let topics = ["a", "a/b", "a/b/c", "/a", "a/", "a//c", "b/b", "x.y/z", "$exchange/amq.direct/a"];
    for (filter, pattern, expected) in [
        ("a", "a", &["a"][..]),
        ("a/+", "a.*", &["a/b", "a/"]),
        ("a/#", "a.#", &["a", "a/b", "a/b/c", "a/", "a//c"]),
        ("+/b", "*.b", &["a/b", "b/b"]),
        ("+/+", "*.*", &["a/b", "/a", "a/", "b/b", "x.y/z"]),
        ("/+", ".*", &["/a"]),
        ("a/+/c", "a.*.c", &["a/b/c", "a//c"]),
        ("x.y/+", "x%2Fy.*", &["x.y/z"]),
        ("#", "#", &["a", "a/b", "a/b/c", "/a", "a/", "a//c", "b/b", "x.y/z"]),
    ] {
        let mut mqtt = Mqtt::clean(broker.at(Door::Mqtt), Version::V5, "subscriber")?;
        mqtt.subscribe(filter, 1)?;
        mqtt.subscribe("end", 1)?;
        let mut stomp = Stomp::new(broker.at(Door::Stomp))?;
        stomp.subscribe("pattern", &format!("/topic/{pattern}"), "auto")?;
        if filter != "#" {
            stomp.subscribe("end", "/topic/end", "auto")?;
        }
        let mut publisher = Mqtt::clean(broker.at(Door::Mqtt), Version::V5, "publisher")?;
        for topic in topics.iter().chain(&["end"]) {
            publisher.publish(topic, topic.as_bytes(), 1)?;
        }
        let (mut there, mut here) = (Vec::new(), Vec::new());
        while there.last().is_none_or(|last| last != "end") {
            there.push(mqtt.take()?.text());
        }
        // The two subscriptions are two queues: the end may overtake.
        while here.len() < there.len() {
            here.push(
                stomp.expect("MESSAGE").with_context(|| format!("{pattern} got only {here:?}"))?.text(),
            );
        }
        there.retain(|topic| topic != "end");
        here.retain(|topic| topic != "end");
        ensure!(there == expected, "{filter} got {there:?}");
        ensure!(here == expected, "{pattern} got {here:?}");
    }
    Ok(())
}

#[test]
fn a_topic_too_long_for_stomp_is_heard_under_its_whole_name_and_never_cut() -> Result<()> {
    let broker = Broker::new()?;
    let topic = format!("long/{}", "x".repeat(5_000));
    let mut stomp = Stomp::new(broker.at(Door::Stomp))?;
    stomp.subscribe("all", "/topic/long.*", "auto")?;
    let mut mqtt = Mqtt::clean(broker.at(Door::Mqtt), Version::V5, "mqtt")?;
    mqtt.subscribe("long/+", 1)?;
    mqtt.publish(&topic, b"there", 1)?;
    ensure!(mqtt.take()?.topic == topic, "MQTT alone");
    let message = stomp.expect("MESSAGE")?;
    let destination = message.header("destination").context("no destination")?;
    ensure!(destination == format!("/topic/{}", topic.replace('/', ".")), "{destination}");
    stomp.send(&harness::stomp::Frame::new("SEND").with("destination", destination).body(b"back"))?;
    let error = stomp.expect("ERROR")?;
    ensure!(error.text().contains("1024"), "{error:?}");
    mqtt.publish("long/end", b"end", 1)?;
    ensure!(mqtt.take()?.text() == "end", "a SEND that was refused came");
    Ok(())
}

/// The line of the next MESSAGE that says where it was sent, with the escapes of the version.
fn destination(stomp: &mut Stomp) -> Result<Vec<u8>> {
    let next = stomp.socket.next(SOON, |buffer| {
        let Some(end) = buffer.iter().position(|byte| *byte == 0) else { return Ok(None) };
        Ok(Some(buffer.drain(..=end).collect::<Vec<u8>>()))
    })?;
    let Next::Some(frame) = next else { anyhow::bail!("instead of a frame came {next:?}") };
    let text = String::from_utf8_lossy(&frame).into_owned();
    ensure!(text.trim_start().starts_with("MESSAGE\n"), "instead of MESSAGE came {text:?}");
    let mut lines = frame.split(|byte| *byte == b'\n');
    let line = lines.find(|line| line.starts_with(b"destination:"));
    Ok(line.with_context(|| format!("no destination: {text:?}"))?.to_vec())
}
