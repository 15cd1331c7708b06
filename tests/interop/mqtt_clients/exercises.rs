//! What every client of MQTT must be able to do with our broker, written once for all of them.

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use harness::mqtt::Client as Raw;
use harness::mqtt::packet::Publish;
use harness::mqtt::property::{CORRELATION_DATA, Property, RESPONSE_TOPIC};
use harness::mqtt::version::Version;
use harness::mqtt::write;

use crate::mqtt_clients::driver::{Driver, Hello, Message};
use crate::table::Outcomes;

/// A client, and what belongs to it alone.
pub(crate) struct Scene {
    /// Who is exercised.
    pub(crate) client: Box<dyn Driver>,
    /// Begins its client ids and topics.
    pub(crate) name: String,
    /// The version that it speaks.
    pub(crate) version: &'static str,
    /// Where our own client, the other side, comes in.
    pub(crate) address: SocketAddr,
}

/// A thing to do: its name, and how.
pub(crate) type Exercise = (&'static str, fn(&mut Scene) -> Result<()>);

/// All of them.
pub(crate) const EXERCISES: &[Exercise] = &[
    ("QoS 0", |scene| talk(scene, 0)),
    ("QoS 1", |scene| talk(scene, 1)),
    ("QoS 2", |scene| talk(scene, 2)),
    ("large payload", large),
    ("will", will),
    ("retained", retained),
    ("session at QoS 1", |scene| session(scene, 1)),
    ("session at QoS 2", |scene| session(scene, 2)),
    ("request and response", request),
];

impl Scene {
    /// Runs them; each begins without a connection. One that succeeds has left.
    pub(crate) fn run(&mut self, exercises: &[Exercise]) -> Outcomes {
        let run = |(name, run): &Exercise| {
            let outcome = run(self);
            let gone = if outcome.is_err() { self.client.vanish() } else { Ok(()) };
            (*name, outcome.and(gone))
        };
        exercises.iter().map(run).collect()
    }

    fn topic(&self, rest: &str) -> String {
        format!("{}/{rest}", self.name)
    }

    /// Our own client, which hears what is said under this filter.
    fn listener(&self, filter: &str, qos: u8) -> Result<Raw> {
        let mut raw = self.raw("listener")?;
        let codes = raw.subscribe(filter, qos)?;
        ensure!(codes == [qos], "our own SUBSCRIBE was answered {codes:?}");
        Ok(raw)
    }

    fn raw(&self, what: &str) -> Result<Raw> {
        Ok(Raw::clean(self.address, Version::V5, &format!("{}-{what}", self.name))?)
    }

    fn expect(&mut self, wanted: &Message) -> Result<()> {
        let heard = self.client.take()?;
        ensure!(heard == *wanted, "it heard {} instead of {}", short(&heard), short(wanted));
        Ok(())
    }
}

/// What it says, it hears, and so do others; what others say, it hears: once, in order, with its QoS.
fn talk(scene: &mut Scene, qos: u8) -> Result<()> {
    let topic = scene.topic(&format!("대화/{qos}"));
    let mut raw = scene.listener(&topic, qos)?;
    scene.client.connect(&Hello::clean(&format!("{}-talk{qos}", scene.name)))?;
    scene.client.subscribe(&topic, qos)?;
    let one_by_one = qos == 0 && scene.client.connects_for_each();
    let mut hear = |number| {
        let heard = raw.take().with_context(|| format!("message {number} to another client"))?;
        ensure!((heard.text(), heard.qos) == (spoken(number), qos), "another client heard {heard:?}");
        Ok(())
    };
    for number in 0..EACH {
        scene.client.publish(&Message::new(&topic, spoken(number).as_bytes(), qos))?;
        if one_by_one {
            hear(number)?;
        }
    }
    for number in 0..EACH {
        scene.expect(&Message::new(&topic, spoken(number).as_bytes(), qos))?;
        if !one_by_one {
            hear(number)?;
        }
    }
    for number in 0..EACH {
        raw.publish(&topic, format!("other {number}").as_bytes(), qos)?;
    }
    for number in 0..EACH {
        scene.expect(&Message::new(&topic, format!("other {number}").as_bytes(), qos))?;
    }
    scene.client.leave()
}

fn spoken(number: usize) -> String {
    format!("안녕하세요 {number} 🎉")
}

/// Bytes that are no text, more than one read brings.
fn large(scene: &mut Scene) -> Result<()> {
    let topic = scene.topic("large");
    let bytes = harness::dice::Dice::new(7).bytes(200_000);
    scene.client.connect(&Hello::clean(&format!("{}-large", scene.name)))?;
    scene.client.subscribe(&topic, 1)?;
    scene.client.publish(&Message::new(&topic, &bytes, 1))?;
    scene.expect(&Message::new(&topic, &bytes, 1))?;
    scene.client.leave()
}

/// Others hear its will when it vanishes, and not when it leaves, unless it asks for that.
fn will(scene: &mut Scene) -> Result<()> {
    let topic = scene.topic("will");
    let mut raw = scene.listener(&topic, 1)?;
    let mut hello = Hello::clean(&format!("{}-will", scene.name));
    hello.will = Some(Message::new(&topic, "안녕히".as_bytes(), 1));
    scene.client.connect(&hello)?;
    scene.client.subscribe(&scene.topic("other"), 0)?;
    scene.client.vanish()?;
    let heard = raw.take().context("the will")?;
    ensure!((heard.text().as_str(), heard.qos) == ("안녕히", 1), "the will was {heard:?}");
    scene.client.connect(&hello)?;
    scene.client.subscribe(&scene.topic("other"), 0)?;
    scene.client.leave()?;
    scene.raw("marker")?.publish(&topic, b"marker", 1)?;
    if scene.client.leaves_its_will() {
        // Its goodbye and the marker come by two connections.
        let mut both = [raw.take()?.text(), raw.take()?.text()];
        both.sort_unstable();
        ensure!(both == ["marker", "안녕히"], "it asked for its will, and {both:?} were published");
        return Ok(());
    }
    ensure!(raw.take()?.text() == "marker", "it left, and its will was published");
    Ok(())
}

/// What it retains is there for others, what others retain is there for it, and empty it is gone.
fn retained(scene: &mut Scene) -> Result<()> {
    let topic = scene.topic("retained");
    scene.client.connect(&Hello::clean(&format!("{}-retained", scene.name)))?;
    scene.client.publish(&Message::new(&topic, b"kept", 1).retained())?;
    let heard = scene.listener(&topic, 1)?.take()?;
    ensure!(heard.retain && heard.text() == "kept", "another client heard {heard:?}");
    scene.client.subscribe(&topic, 1)?;
    scene.expect(&Message::new(&topic, b"kept", 1).retained())?;
    scene.client.publish(&Message::new(&topic, b"", 1).retained())?;
    // To those who listen already, it is a message like others.
    scene.expect(&Message::new(&topic, b"", 1))?;
    scene.client.leave()?;
    let mut raw = scene.listener(&topic, 1)?;
    raw.publish(&topic, b"marker", 1)?;
    let heard = raw.take()?;
    ensure!(heard.text() == "marker", "it deleted the retained message, and another client heard {heard:?}");
    Ok(())
}

/// What is said while it is away waits for it, and a clean start ends that.
fn session(scene: &mut Scene, qos: u8) -> Result<()> {
    let topic = scene.topic(&format!("session/{qos}"));
    let id = format!("{}-session{qos}", scene.name);
    let present = scene.client.connect(&Hello::kept(&id))?;
    ensure!(present != Some(true), "there was a session already");
    scene.client.subscribe(&topic, qos)?;
    scene.client.leave()?;
    let mut raw = scene.raw("sender")?;
    for number in 0..EACH {
        raw.publish(&topic, spoken(number).as_bytes(), qos)?;
    }
    let present = scene.client.connect(&Hello::kept(&id))?;
    // 3.1 has no place to say so.
    let may_be_untold = present.is_none() || scene.version == "3.1";
    ensure!(may_be_untold || present == Some(true), "the session was not there any more");
    for number in 0..EACH {
        scene.expect(&Message::new(&topic, spoken(number).as_bytes(), qos))?;
    }
    scene.client.leave()?;
    raw.publish(&topic, b"swept away", 1)?;
    scene.client.connect(&Hello::clean(&id))?;
    scene.client.subscribe(&topic, 1)?;
    raw.publish(&topic, b"marker", 1)?;
    scene.expect(&Message::new(&topic, b"marker", 1))?;
    scene.client.leave()
}

/// 5.0: its request says where the answer goes, and the answer comes with what the request was marked with.
fn request(scene: &mut Scene) -> Result<()> {
    if scene.version != "5.0" {
        return Ok(());
    }
    let (asked, answered) = (scene.topic("ask"), scene.topic("answer"));
    let mut raw = scene.listener(&asked, 1)?;
    scene.client.connect(&Hello::clean(&format!("{}-request", scene.name)))?;
    scene.client.subscribe(&answered, 1)?;
    scene.client.publish(&Message::new(&asked, b"2 + 2", 1).answered_at(&answered, b"no. 4"))?;
    let heard = raw.take()?;
    let answer_to = Property::Text(RESPONSE_TOPIC, answered.clone());
    let mark = Property::Binary(CORRELATION_DATA, b"no. 4".to_vec());
    ensure!(heard.properties.contains(&answer_to), "no response topic: {heard:?}");
    ensure!(heard.properties.contains(&mark), "no correlation data: {heard:?}");
    let id = raw.id();
    let answer = Publish::new(&answered, b"4", 1).with_id(id).with(answer_to).with(mark);
    raw.send(&write::publish(Version::V5, &answer))?;
    raw.expect_ack(write::ack::PUBACK, id)?;
    scene.expect(&Message::new(&answered, b"4", 1).answered_at(&answered, b"no. 4"))?;
    scene.client.leave()
}

fn short(message: &Message) -> String {
    let Message { topic, payload, qos, retain, answer_to } = message;
    let payload = String::from_utf8_lossy(payload.get(..payload.len().min(60)).unwrap_or_default());
    format!("{payload:?} ({topic}, QoS {qos}, RETAIN {retain}, answer to {answer_to:?})")
}

const EACH: usize = 10;
