//! A crowd: very many messages that wait, ten minutes of a clock that is put forward, and a broker that dies meanwhile.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use model::qos::Qos;
use mqtt::codec::{self, PropertyLimits, Role, Rules};
use mqtt::packet::{Ack, Connect, Filter, Guarantee, Packet, PacketId, Properties, Publish, Subscribe};
use mqtt::reason::Reason;
use mqtt::topic::TopicName;
use mqtt::version::Version;

use crate::asked::number;
use crate::connection::Connection;
use crate::dice::Dice;
use crate::disk::Disk;
use crate::life::Life;
use crate::streams;

#[test]
fn of_twenty_thousand_in_ten_minutes_each_comes_once_at_its_time_or_as_soon_as_the_broker_is_back() {
    // `CROWD=100000` takes five times as long.
    let count = number("CROWD").unwrap_or(20_000) as usize;
    let store = storage::Options::new("");
    let mut dice = Dice::new(1);
    let mut life = Life::start(Disk::new(), &store, &streams::declared(), 0).unwrap();
    let mut publisher = Peer::connect(&life, "publisher");
    let mut listener = Peer::connect(&life, "listener");
    let filters = vec![Filter::plain("t/#".into(), Qos::AtLeastOnce)];
    listener.say(&Packet::Subscribe(Subscribe { id: id_of(1), filters, properties: None }));
    rest(&mut life, &mut [&mut publisher, &mut listener]);
    assert!(matches!(listener.heard[..], [Packet::Connack(_), Packet::Suback(_)]), "{:?}", listener.heard);
    publish_all(&mut life, &mut publisher, count);
    let mut came = vec![false; count];
    let (mut missing, mut up_since_ms) = (count, 0);
    listener.heard.clear();
    while missing > 0 {
        let now_ms = life.now_ms();
        assert!(now_ms < MINUTES_MS + 60_000, "{missing} never came");
        life.pass(Duration::from_millis(STEP_MS));
        if dice.roll(4_000) == 0 {
            // What went to its queue just now may be on the disk or not.
            if dice.percent(70) {
                life.store.write().unwrap();
            }
            let disk = life.disk.crash(&mut dice).unwrap();
            up_since_ms = life.now_ms() + [0, 3_000][dice.roll(2)];
            life = Life::start(disk, &store, &streams::declared(), up_since_ms).unwrap();
            listener = Peer::connect(&life, "listener");
            continue;
        }
        rest(&mut life, &mut [&mut listener]);
        missing -= listener.judge(&mut came, life.now_ms(), up_since_ms);
    }
    // Nothing comes again.
    life.pass(Duration::from_secs(60));
    rest(&mut life, &mut [&mut listener]);
    assert_eq!(listener.judge(&mut came, life.now_ms(), up_since_ms), 0);
}

/// All of them, before any time goes by, as many at once as may be under way.
fn publish_all(life: &mut Life, publisher: &mut Peer, count: usize) {
    for first in (0..count).step_by(UNDER_WAY) {
        publisher.heard.clear();
        for number in first..count.min(first + UNDER_WAY) {
            let user = vec![("x-delay".into(), delay_ms(number).to_string().into())];
            publisher.say(&Packet::Publish(Publish {
                dup: false,
                retain: false,
                delivery: Guarantee::AtLeastOnce(id_of((number - first + 1) as u16)),
                topic: TopicName::parse("t/a".into()).ok(),
                payload: number.to_string().into(),
                properties: Some(Box::new(Properties { user, ..Properties::default() })),
            }));
        }
        rest(life, &mut [&mut *publisher]);
        let is_taken =
            |packet: &&Packet| matches!(packet, Packet::Puback(ack) if ack.reason == Reason::Success);
        let taken = publisher.heard.iter().filter(is_taken).count();
        assert_eq!(taken, UNDER_WAY.min(count - first), "{:?}", publisher.heard);
    }
}

/// A generator that visits milliseconds of ten minutes in a scattered order.
fn delay_ms(number: usize) -> u64 {
    1 + (number as u64 + 1) * 371_137 % MINUTES_MS
}

/// The store does all that it can, and everybody hears all that there is.
fn rest(life: &mut Life, peers: &mut [&mut Peer]) {
    let inside = life.handle();
    let _inside = inside.enter();
    let mut quiet = 0;
    // What the engine looked after may be something for the store, and what the store did, for the engine.
    while quiet < 3 {
        let mut is_quiet = true;
        let now = life.now();
        for peer in &mut *peers {
            is_quiet &= !peer.connection.says_something() && !peer.connection.is_called();
            peer.connection.arrive(usize::MAX, now);
            while peer.connection.is_called() {
                peer.connection.turn(now, 1000);
            }
            is_quiet &= peer.hear() == 0;
        }
        let store = &mut life.store;
        store.write().and_then(|()| store.sync()).expect("the disk is well");
        while store.read().expect("the disk is well") {
            is_quiet = false;
        }
        while store.complete() {
            is_quiet = false;
        }
        life.look_around();
        quiet = if is_quiet { quiet + 1 } else { 0 };
    }
}

/// A client, as far as the engine needs one.
struct Peer {
    connection: Connection,
    incoming: BytesMut,
    heard: Vec<Packet>,
}

impl Peer {
    fn connect(life: &Life, name: &str) -> Self {
        let inside = life.handle();
        let _inside = inside.enter();
        let options = mqtt::Options { inflight_max: 1000, ..mqtt::Options::default() };
        let session = mqtt::Session::new(Arc::new(options), None, life.now());
        let connection = Connection::new(0, Box::new(session), life.connect("mqtt"));
        let mut peer = Self { connection, incoming: BytesMut::new(), heard: Vec::new() };
        peer.say(&Packet::Connect(Box::new(Connect {
            version: Version::V5,
            is_bridge: false,
            clean_start: false,
            keep_alive_s: 0,
            client_id: name.into(),
            will: None,
            user: None,
            password: None,
            properties: Some(Box::new(Properties {
                session_expiry_s: Some(u32::MAX),
                ..Properties::default()
            })),
        })));
        peer
    }

    fn say(&mut self, packet: &Packet) {
        codec::encode(packet, Version::V5, &mut self.connection.up);
    }

    /// What came; how many packets that were.
    fn hear(&mut self) -> usize {
        self.incoming.extend_from_slice(&self.connection.down.split());
        let rules = Rules {
            version: Some(Version::V5),
            role: Role::Client,
            packet_max: 1 << 20,
            properties: PropertyLimits::default(),
        };
        let before = self.heard.len();
        while let Some(packet) = codec::decode(&mut self.incoming, &rules).expect("MQTT") {
            if let Packet::Publish(Publish { delivery: Guarantee::AtLeastOnce(id), .. }) = &packet {
                let id = *id;
                self.say(&Packet::Puback(Ack::success(id)));
            }
            self.heard.push(packet);
        }
        self.heard.len() - before
    }

    /// Whether what came may be, now that it is that time; how many came for the first time.
    fn judge(&mut self, came: &mut [bool], now_ms: u64, up_since_ms: u64) -> usize {
        let mut new = 0;
        for packet in self.heard.drain(..) {
            let Packet::Publish(publish) = packet else {
                assert!(matches!(&packet, Packet::Connack(connack) if connack.session_present), "{packet:?}");
                continue;
            };
            let number: usize = String::from_utf8_lossy(&publish.payload).parse().expect("a number");
            let due_ms = delay_ms(number);
            assert!(now_ms >= due_ms, "{number} came at {now_ms}, due at {due_ms}");
            assert!(publish.dup || !came[number], "{number} came twice, and was said to be new");
            if !came[number] {
                let late_ms = now_ms - due_ms.max(up_since_ms);
                assert!(late_ms <= LATE_MS, "{number} came {late_ms} ms late");
                new += 1;
            }
            came[number] = true;
        }
        new
    }
}

fn id_of(id: u16) -> PacketId {
    PacketId::new(id).expect("never zero")
}

const MINUTES_MS: u64 = 600_000;
const UNDER_WAY: usize = 60;
/// So much goes by at a time.
const STEP_MS: u64 = 8;
/// What is promised while the broker runs.
const LATE_MS: u64 = 10;
