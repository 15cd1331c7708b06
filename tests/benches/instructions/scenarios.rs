//! Scenarios: what is counted, and what it is counted for.

use anyhow::{Result, ensure};
use model::qos::Qos;
use mqtt::version::Version;

use crate::floor::{Connection, Floor, Protocol};
use crate::words;

/// Something that happens again and again.
pub(crate) struct Scenario {
    /// What the baseline calls it.
    pub(crate) name: &'static str,
    /// What happens, in words.
    pub(crate) about: &'static str,
    /// Lets it happen so many times.
    pub(crate) run: fn(u64) -> Result<()>,
    /// How often it happens in the shorter run of the two; the longer one has five times as much.
    pub(crate) count: u64,
}

pub(crate) const ALL: &[Scenario] = &[
    Scenario {
        name: "mqtt_qos0",
        about: "message, 3.1.1, QoS 0, 50 at once, 10 pairs",
        run: |count| pairs(count, &BULK),
        count: 2_000,
    },
    Scenario {
        name: "mqtt_qos1",
        about: "the same, QoS 1 in and out",
        run: |count| pairs(count, &Pairs { qos: Qos::AtLeastOnce, ..BULK }),
        count: 2_000,
    },
    Scenario {
        name: "mqtt_qos2",
        about: "the same, QoS 2 in and out",
        run: |count| pairs(count, &Pairs { qos: Qos::ExactlyOnce, ..BULK }),
        count: 2_000,
    },
    Scenario {
        name: "mqtt5_qos0",
        about: "message, 5.0, QoS 0, 50 at once, 10 pairs",
        run: |count| pairs(count, &Pairs { version: Version::V5, ..BULK }),
        count: 2_000,
    },
    Scenario {
        name: "mqtt5_qos1",
        about: "the same, QoS 1 in and out",
        run: |count| pairs(count, &Pairs { version: Version::V5, qos: Qos::AtLeastOnce, ..BULK }),
        count: 2_000,
    },
    Scenario {
        name: "lone_qos0",
        about: "message, 3.1.1, QoS 0, one at a time, 10 pairs",
        run: |count| pairs(count, &Pairs { batch: 1, ..BULK }),
        count: 1_000,
    },
    Scenario {
        name: "lone_qos1",
        about: "the same, QoS 1 in and out",
        run: |count| pairs(count, &Pairs { batch: 1, qos: Qos::AtLeastOnce, ..BULK }),
        count: 1_000,
    },
    Scenario {
        name: "fan_out",
        about: "delivery, QoS 0, 50 messages at once to 100 clients",
        run: fan_out,
        count: 10_000,
    },
    Scenario {
        name: "fan_in",
        about: "message, QoS 0, 50 at once from each of 50 clients to one",
        run: fan_in,
        count: 5_000,
    },
    Scenario {
        name: "topics",
        about: "message, QoS 0, one at a time, 10,000 filters, another topic each",
        run: topics,
        count: 2_000,
    },
    Scenario {
        name: "stomp_topic",
        about: "message, SEND to /topic, ack:auto, 50 at once",
        run: stomp_topic,
        count: 2_000,
    },
    Scenario {
        name: "stomp_queue",
        about: "message, SEND to /queue with receipt, ack:client, 50 at once",
        run: stomp_queue,
        count: 2_000,
    },
    Scenario {
        name: "stomp_to_mqtt",
        about: "message, SEND to an MQTT subscriber, QoS 0, 50 at once",
        run: stomp_to_mqtt,
        count: 2_000,
    },
    Scenario {
        name: "mqtt_to_stomp",
        about: "message, PUBLISH to a STOMP subscriber, 50 at once",
        run: mqtt_to_stomp,
        count: 2_000,
    },
    Scenario {
        name: "connect",
        about: "client that connects, subscribes and leaves, 3.1.1",
        run: connect,
        count: 200,
    },
];

/// How publishers and subscribers, two by two, speak to each other.
struct Pairs {
    version: Version,
    qos: Qos,
    /// How many messages are said at once.
    batch: u16,
}

/// So many of what came before make a batch.
const BATCH: u16 = 50;

const BULK: Pairs = Pairs { version: Version::V311, qos: Qos::AtMostOnce, batch: BATCH };

fn pairs(count: u64, how: &Pairs) -> Result<()> {
    let mut floor = Floor::new()?;
    let mut pairs = Vec::new();
    for number in 0..10 {
        let topic = format!("bench/pair/{number}");
        let publisher = mqtt_client(&mut floor, &format!("publisher-{number}"), how);
        let mut subscriber = mqtt_client(&mut floor, &format!("subscriber-{number}"), how);
        floor.turn(&mut subscriber, &words::subscribe(std::slice::from_ref(&topic), how.qos, how.version));
        subscriber.heard.clear();
        let said = words::batch(&words::publish(&topic, how.qos, how.version)?, how.batch, how.qos);
        pairs.push((publisher, subscriber, said));
    }
    let known: u64 = pairs.iter().map(|(_, subscriber, _)| subscriber.packets).sum();
    let mut sent = 0;
    while sent < count {
        for (publisher, subscriber, said) in &mut pairs {
            floor.turn(publisher, said);
            floor.turn(subscriber, b"");
            converse(&mut floor, publisher);
            converse(&mut floor, subscriber);
            sent += u64::from(how.batch);
        }
    }
    let heard = pairs.iter().map(|(_, subscriber, _)| subscriber.packets).sum::<u64>() - known;
    // At QoS 2 a subscriber hears PUBREL as well.
    all_came(sent * if how.qos == Qos::ExactlyOnce { 2 } else { 1 }, heard)
}

/// Until neither has anything to say.
fn converse(floor: &mut Floor, client: &mut Connection) {
    while !client.heard.is_empty() {
        let answers = words::answers(&mut client.heard);
        if !answers.is_empty() {
            floor.turn(client, &answers);
        }
    }
}

fn fan_out(count: u64) -> Result<()> {
    let mut floor = Floor::new()?;
    let mut publisher = mqtt_client(&mut floor, "publisher", &BULK);
    let mut subscribers = listeners(&mut floor, 100, |_| "bench/fan".to_owned());
    let said = words::batch(&words::publish("bench/fan", Qos::AtMostOnce, BULK.version)?, BATCH, BULK.qos);
    let known = heard(&subscribers);
    let mut sent = 0;
    while sent < count {
        floor.turn(&mut publisher, &said);
        for subscriber in &mut subscribers {
            floor.turn(subscriber, b"");
        }
        sent += u64::from(BATCH) * 100;
    }
    all_came(sent, heard(&subscribers) - known)
}

fn fan_in(count: u64) -> Result<()> {
    let mut floor = Floor::new()?;
    let mut subscriber = listeners(&mut floor, 1, |_| "bench/+/in".to_owned());
    let mut publishers = Vec::new();
    for number in 0..50 {
        let publish = words::publish(&format!("bench/{number}/in"), Qos::AtMostOnce, BULK.version)?;
        let publisher = mqtt_client(&mut floor, &format!("publisher-{number}"), &BULK);
        publishers.push((publisher, words::batch(&publish, BATCH, BULK.qos)));
    }
    let known = heard(&subscriber);
    let mut sent = 0;
    while sent < count {
        for (publisher, said) in &mut publishers {
            floor.turn(publisher, said);
            sent += u64::from(BATCH);
        }
        for subscriber in &mut subscriber {
            floor.turn(subscriber, b"");
        }
    }
    all_came(sent, heard(&subscriber) - known)
}

/// Each of 100 clients has a hundred filters, seven of ten of them exact; each topic finds one.
fn topics(count: u64) -> Result<()> {
    let mut floor = Floor::new()?;
    let mut publisher = mqtt_client(&mut floor, "publisher", &BULK);
    let mut subscribers = Vec::new();
    for client in 0..100 {
        let mut subscriber = mqtt_client(&mut floor, &format!("subscriber-{client}"), &BULK);
        let filter = |number: u64| match number % 10 {
            7 | 8 => format!("bench/{client}/+/{number}"),
            9 => format!("bench/{client}/{number}/#"),
            _ => format!("bench/{client}/{number}/{number}"),
        };
        let filters: Vec<String> = (0..100).map(filter).collect();
        floor.turn(&mut subscriber, &words::subscribe(&filters, BULK.qos, BULK.version));
        subscribers.push(subscriber);
    }
    let mut said = Vec::new();
    for number in 0..10_000 {
        // Far from the one before it.
        let (client, number) = (number * 37 % 100, number / 100);
        said.push((
            client,
            words::publish(&format!("bench/{client}/{number}/{number}"), BULK.qos, BULK.version)?,
        ));
    }
    let known = heard(&subscribers);
    let mut sent = 0;
    for (client, said) in said.iter().cycle() {
        if sent == count {
            break;
        }
        floor.turn(&mut publisher, said);
        if let Some(subscriber) = subscribers.get_mut(*client) {
            floor.turn(subscriber, b"");
        }
        sent += 1;
    }
    all_came(sent, heard(&subscribers) - known)
}

fn stomp_topic(count: u64) -> Result<()> {
    let mut floor = Floor::new()?;
    let mut publisher = stomp_client(&mut floor, false);
    let mut subscriber = stomp_client(&mut floor, false);
    floor.turn(&mut subscriber, &words::stomp_subscribe("/topic/bench.stomp", "auto"));
    let said = words::stomp_send("/topic/bench.stomp", "").repeat(usize::from(BATCH));
    one_way(count, &mut floor, &mut publisher, &mut subscriber, &said)
}

fn stomp_queue(count: u64) -> Result<()> {
    let mut floor = Floor::new()?;
    let mut publisher = stomp_client(&mut floor, false);
    let mut subscriber = stomp_client(&mut floor, true);
    floor.turn(&mut subscriber, &words::stomp_subscribe("/queue/bench", "client"));
    subscriber.heard.clear();
    let said = words::stomp_send("/queue/bench", "receipt:r-1\n").repeat(usize::from(BATCH));
    let known = (publisher.packets, subscriber.packets);
    let mut sent = 0;
    while sent < count {
        floor.turn(&mut publisher, &said);
        floor.turn(&mut subscriber, b"");
        if let Some(ack) = words::stomp_acknowledges(&mut subscriber.heard) {
            floor.turn(&mut subscriber, &ack);
        }
        sent += u64::from(BATCH);
    }
    all_came(sent, publisher.packets - known.0)?;
    all_came(sent, subscriber.packets - known.1)
}

fn stomp_to_mqtt(count: u64) -> Result<()> {
    let mut floor = Floor::new()?;
    let mut publisher = stomp_client(&mut floor, false);
    let mut subscriber = mqtt_client(&mut floor, "subscriber", &BULK);
    floor.turn(&mut subscriber, &words::subscribe(&["bench/across".to_owned()], BULK.qos, BULK.version));
    let said = words::stomp_send("/topic/bench.across", "").repeat(usize::from(BATCH));
    one_way(count, &mut floor, &mut publisher, &mut subscriber, &said)
}

fn mqtt_to_stomp(count: u64) -> Result<()> {
    let mut floor = Floor::new()?;
    let mut publisher = mqtt_client(&mut floor, "publisher", &BULK);
    let mut subscriber = stomp_client(&mut floor, false);
    floor.turn(&mut subscriber, &words::stomp_subscribe("/topic/bench.across", "auto"));
    let said = words::batch(&words::publish("bench/across", BULK.qos, BULK.version)?, BATCH, BULK.qos);
    one_way(count, &mut floor, &mut publisher, &mut subscriber, &said)
}

fn one_way(
    count: u64,
    floor: &mut Floor,
    publisher: &mut Connection,
    subscriber: &mut Connection,
    said: &[u8],
) -> Result<()> {
    let known = subscriber.packets;
    let mut sent = 0;
    while sent < count {
        floor.turn(publisher, said);
        floor.turn(subscriber, b"");
        sent += u64::from(BATCH);
    }
    all_came(sent, subscriber.packets - known)
}

fn connect(count: u64) -> Result<()> {
    let mut floor = Floor::new()?;
    for number in 0..count {
        let mut client = mqtt_client(&mut floor, &format!("client-{number}"), &BULK);
        floor.turn(&mut client, &words::subscribe(&[format!("bench/{number}")], BULK.qos, BULK.version));
        // CONNACK, SUBACK.
        all_came(2, client.packets)?;
        floor.turn(&mut client, &DISCONNECT);
    }
    Ok(())
}

fn mqtt_client(floor: &mut Floor, name: &str, how: &Pairs) -> Connection {
    let mut client = floor.connect(Protocol::Mqtt, how.qos != Qos::AtMostOnce);
    floor.turn(&mut client, &words::connect(name, how.version));
    client.heard.clear();
    client
}

fn stomp_client(floor: &mut Floor, looks: bool) -> Connection {
    let mut client = floor.connect(Protocol::Stomp, looks);
    floor.turn(&mut client, words::STOMP_CONNECT);
    client.heard.clear();
    client
}

fn listeners(floor: &mut Floor, count: usize, filter: impl Fn(usize) -> String) -> Vec<Connection> {
    let listener = |number| {
        let mut listener = mqtt_client(floor, &format!("subscriber-{number}"), &BULK);
        floor.turn(&mut listener, &words::subscribe(&[filter(number)], BULK.qos, BULK.version));
        listener
    };
    (0..count).map(listener).collect()
}

fn heard(clients: &[Connection]) -> u64 {
    clients.iter().map(|client| client.packets).sum()
}

fn all_came(expected: u64, came: u64) -> Result<()> {
    ensure!(came == expected, "{came} packets came where {expected} should have");
    Ok(())
}

const DISCONNECT: [u8; 2] = [0xE0, 0];
