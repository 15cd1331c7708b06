//! Options: from settings to what each room of the house is started with.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use admin::Admins;
use auth::Anonymous;
use gateway::proxy_protocol::Proxies;
use gateway::proxy_protocol::networks::Networks;
use gateway::{Kind, ListenerOptions, Protocol, SockJsOptions, Web};
use model::grant::Overlapping;
use model::queue::Overflow;
use mqtt::version::Version;
use telemetry::Metrics;
use telemetry::logging::{Format, Levels};

use crate::certificates::Certificates;
use crate::config::Config;
use crate::config::origin::Origin;
use crate::config::quantity::parse_threshold;
use crate::config::settings::Section;
use crate::config::vhosts::of_listener;

/// Which events are logged, and how.
pub(crate) fn logging(config: &Config) -> (Levels, Format) {
    let log = config.settings().section("log");
    // It was checked when it was read; without a level, everything at INFO is logged.
    let levels = log.word("level").parse().unwrap_or_default();
    let format = if log.word("format") == "json" { Format::Json } else { Format::Text };
    (levels, format)
}

pub(crate) fn auth(config: &Config) -> auth::Options {
    let section = config.settings().section("auth");
    auth::Options {
        anonymous: match section.word("anonymous") {
            "always" => Anonymous::Always,
            "never" => Anonymous::Never,
            _ => Anonymous::Loopback,
        },
        guest_loopback: section.truth("guest_loopback"),
        file: section.section("file").text("path").map(PathBuf::from),
        jwt: config.tokens().cloned(),
        certificates: config.settings().named("tls").iter().any(|(_, tls)| tls.word("client_auth") != "none"),
        rules: config.rules().clone(),
        hooks: config.hooks().to_vec(),
    }
}

/// Who may come in at admin listeners.
pub(crate) fn admin(config: &Config) -> admin::Entry {
    let users = config.admins().clone();
    let dev = config.settings().section("node").truth("dev");
    let metrics = match config.settings().section("metrics").word("anonymous") {
        "always" => admin::Anonymous::Always,
        "never" => admin::Anonymous::Never,
        _ => admin::Anonymous::Loopback,
    };
    admin::Entry { guest: dev && users.is_empty(), users: Admins::new(users), metrics }
}

/// What metrics are made of; the broker starts now.
pub(crate) fn measured(config: &Config, certificates: &Certificates) -> admin::Measured {
    let node = config.settings().section("node");
    admin::Measured {
        queues_max: count(config.settings().section("metrics"), "per_object"),
        data_dir: (!node.truth("memory")).then(|| config.data_dir().to_owned()),
        certificates: certificates.all().collect(),
        since: Instant::now(),
    }
}

/// `None`: nothing is stored.
pub(crate) fn storage(config: &Config, metrics: &Arc<Metrics>) -> Option<storage::Options> {
    let node = config.settings().section("node");
    let durability = config.settings().section("durability");
    (!node.truth("memory")).then(|| storage::Options {
        group_records_max: count(durability, "group_max_records"),
        group_bytes_max: count(durability, "group_max_bytes"),
        metrics: Arc::clone(metrics),
        ..storage::Options::new(PathBuf::from(node.word("data_dir")))
    })
}

pub(crate) fn engine(config: &Config) -> engine::Options {
    let (node, limits) = (config.settings().section("node"), config.settings().section("limits"));
    let durability = config.settings().section("durability");
    let routing = config.settings().section("routing");
    engine::Options {
        session_queue_messages_max: limits.number("session_queue_messages"),
        session_queue_bytes_max: limits.number("session_queue_bytes"),
        session_queue_overflow: match limits.word("session_queue_overflow") {
            "drop-oldest" => Overflow::DropHead,
            "reject-publish" => Overflow::RejectPublish,
            _ => Overflow::DropNew,
        },
        session_queue_age_max: limits.number_if_set("session_queue_age").map(Duration::from_millis),
        queues_max: count(limits, "queues"),
        queue_messages_max: limits.number("queue_messages"),
        queue_bytes_max: limits.number("queue_bytes"),
        resident: engine::Resident {
            messages_max: limits.number("resident_messages"),
            bytes_max: limits.number("resident_bytes"),
        },
        pool: Arc::new(engine::Pool::new(limits.number_if_set("resident_bytes_total").unwrap_or_else(
            || engine::memory_limit_bytes().map_or(RESIDENT_BYTES_USUAL, |bytes| bytes / RESIDENT_PART),
        ))),
        redeliveries_max: u32::try_from(limits.number("redeliveries")).ok().filter(|max| *max > 0),
        connections_per_user_max: limits
            .number_if_set("connections_per_user")
            .map(|max| usize::try_from(max).unwrap_or(usize::MAX)),
        bans: engine::BanRules {
            auth_failures: threshold(config, "auth_failures"),
            flapping: threshold(config, "flapping"),
            loopback_free: limits.truth("loopback_free"),
        },
        sessions_max: count(limits, "sessions"),
        subscriptions_max: count(limits, "subscriptions"),
        retained_max: count(limits, "retained"),
        retained_bytes_max: limits.number("retained_bytes"),
        delayed_max: limits.number("delayed_messages"),
        delayed_bytes_max: limits.number("delayed_bytes"),
        levels: config.levels().clone(),
        policies: config.policies().to_vec(),
        publications_window: Duration::from_millis(durability.number("dedup_window")),
        publications_per_publisher_max: count(durability, "dedup_max"),
        publications_max: count(durability, "dedup_total_max"),
        unroutable_keep: count(routing, "unroutable_keep"),
        watermarks: engine::Watermarks {
            disk_free_bytes: limits.number("disk_free"),
            disk_free_percent: limits.number("disk_free_percent"),
            memory_hold_percent: limits.number("memory_hold"),
            memory_refuse_percent: limits.number("memory_refuse"),
            hold_max: Duration::from_millis(limits.number("hold_max")),
        },
        overlapping: match config.settings().section("mqtt").word("overlapping") {
            "each" => Overlapping::Each,
            _ => Overlapping::Merge,
        },
        sys_interval: Duration::from_secs(node.number("sys_interval")),
        node: node.word("name").to_owned(),
        events: config.settings().section("events").truth("enabled"),
        host_names: node.texts("host_names").to_vec(),
        vhost_in_user: config.settings().section("mqtt").truth("vhost_in_username"),
        vhosts_by_certificate: config.vhosts().by_certificate.clone(),
    }
}

/// `None`: off.
fn threshold(config: &Config, key: &str) -> Option<engine::Threshold> {
    let (count, within, lasts) = parse_threshold(config.settings().section("ban").word(key))?;
    let (within, banned_for) = (Duration::from_millis(within), Duration::from_millis(lasts));
    Some(engine::Threshold { count, within, banned_for })
}

pub(crate) fn mqtt(config: &Config) -> mqtt::Options {
    let section = config.settings().section("mqtt");
    let limits = config.settings().section("limits");
    let version = |text: &String| match text.as_str() {
        "3.1" => Version::V31,
        "3.1.1" => Version::V311,
        _ => Version::V5,
    };
    mqtt::Options {
        versions: section.texts("versions").iter().map(version).collect(),
        token_grace: token_grace(config),
        connect_timeout: Duration::from_millis(section.number("connect_timeout")),
        receive_maximum: narrow(section, "receive_max"),
        inflight_max: narrow(section, "inflight_max"),
        packet_max: narrow(section, "max_packet"),
        topic_alias_max: narrow(section, "topic_alias_max"),
        topic_alias_max_out: narrow(section, "topic_alias_max_out"),
        keep_alive_max_s: narrow(section, "keep_alive_max"),
        idle_max: idle_max(section),
        session_expiry_max_s: narrow(section, "session_expiry_max"),
        session_expiry_v3_s: narrow(section, "session_expiry_v3"),
        topic_bytes_max: count(limits, "topic_bytes"),
        topic_levels_max: count(section, "max_topic_levels"),
        subscriptions_per_packet: count(section, "subscriptions_per_packet"),
        client_id_bytes_max: count(section, "max_client_id"),
        properties: mqtt::codec::PropertyLimits {
            user: narrow(limits, "user_properties"),
            user_bytes: narrow(limits, "user_property_bytes"),
            bytes: narrow(limits, "properties_bytes"),
        },
        redirect: redirect(section),
        exchange: config.plain(),
    }
}

/// How long a client may stay whose token has expired.
fn token_grace(config: &Config) -> Duration {
    Duration::from_millis(config.settings().section("auth").section("jwt").number("grace"))
}

/// How long a 3.x client may be silent that promised nothing.
fn idle_max(section: &Section) -> Option<Duration> {
    let idle_max_s = section.number("idle_max");
    (idle_max_s < u64::from(u32::MAX)).then(|| Duration::from_secs(idle_max_s))
}

fn redirect(section: &Section) -> Option<mqtt::Redirect> {
    let when = match section.word("redirect") {
        "temporary" => mqtt::When::Temporary,
        "permanent" => mqtt::When::Permanent,
        "at_shutdown" => mqtt::When::AtShutdown,
        _ => return None,
    };
    Some(mqtt::Redirect { reference: section.text("server_reference")?.into(), when })
}

pub(crate) fn stomp(config: &Config) -> stomp::options::Options {
    let section = config.settings().section("stomp");
    let duration = |key| Duration::from_millis(section.number(key));
    let version = |text: &String| match text.as_str() {
        "1.0" => stomp::version::Version::V1_0,
        "1.1" => stomp::version::Version::V1_1,
        _ => stomp::version::Version::V1_2,
    };
    stomp::options::Options {
        versions: section.texts("versions").iter().map(version).collect(),
        limits: stomp::decode::Limits {
            headers_max: count(section, "max_headers"),
            line_bytes_max: count(section, "max_header"),
            head_bytes_max: count(section, "max_head"),
            body_bytes_max: count(section, "max_body"),
            ..stomp::decode::Limits::default()
        },
        login_body_bytes_max: count(section, "max_login_body"),
        connect_timeout: duration("connect_timeout"),
        strict: section.truth("strict"),
        tokens: config.tokens().is_some(),
        token_grace: token_grace(config),
        error_queue: section.word("error_queue").to_owned(),
        destinations: config.destinations().clone(),
        host_names: config.settings().section("node").texts("host_names").to_vec(),
        heart_beat_min: duration("heart_beat_min"),
        heart_beat_tolerance: section.ratio("heart_beat_tolerance"),
        subscriptions_max: count(config.settings().section("limits"), "subscriptions"),
        temporary_queues_max: count(section, "temporary_queues"),
        transactions_max: count(section, "transactions"),
        transaction_frames_max: count(section, "transaction_frames"),
        transaction_bytes_max: count(section, "transaction_bytes"),
        transaction_timeout: duration("transaction_timeout"),
        ..stomp::options::Options::default()
    }
}

pub(crate) fn gateway(config: &Config, certificates: &Certificates) -> gateway::Options {
    let listeners = config.settings().sections("listener").iter().filter_map(|section| {
        let (kind, tls, proxies) = (kind(section)?, certificates.of(section), proxies(config, section));
        Some(ListenerOptions {
            name: section.word("name").to_owned(),
            kind,
            bind: bind(section),
            tls,
            proxies,
            vhost: of_listener(section),
        })
    });
    let limits = config.settings().section("limits");
    gateway::Options {
        listeners: listeners.collect(),
        connections_max: count(limits, "connections"),
        crowding: gateway::Crowding {
            per_address_max: narrow(limits, "connections_per_ip"),
            per_second_max: narrow(limits, "connection_rate"),
            loopback_free: limits.truth("loopback_free"),
        },
        publish_rates: gateway::PublishRates {
            client: rate(limits, "publish_rate", "publish_rate_bytes"),
            user: rate(limits, "publish_rate_user", "publish_rate_user_bytes"),
        },
        sockjs_bytes_max: count(limits, "sockjs_waiting"),
    }
}

fn rate(limits: &Section, messages: &str, bytes: &str) -> gateway::Rate {
    gateway::Rate { messages_max: limits.number_if_set(messages), bytes_max: limits.number_if_set(bytes) }
}

/// What a listener for clients is for; `None`: it is for people.
pub(crate) fn kind(section: &Section) -> Option<Kind> {
    let web = || {
        let paths = section.section("paths");
        Web {
            ws_path: paths.word("ws").to_owned(),
            mqtt_path: paths.word("mqtt").to_owned(),
            origins: section.texts("origins").to_vec(),
            sockjs: sockjs(section),
        }
    };
    match section.word("protocol") {
        "mqtt" => Some(Kind::Mqtt),
        "stomp" => Some(Kind::Stomp),
        "web" => Some(Kind::Web(web())),
        "auto" => Some(Kind::Auto(web())),
        _ => None,
    }
}

/// A door for each path of SockJS.
fn sockjs(listener: &Section) -> Vec<SockJsOptions> {
    let (paths, section) = (listener.section("paths"), listener.section("sockjs"));
    let doors = [("sockjs", Protocol::Stomp), ("sockjs_mqtt", Protocol::Mqtt)].into_iter();
    let doors = doors.flat_map(|(key, protocol)| paths.texts(key).iter().map(move |path| (path, protocol)));
    let doors = doors.map(|(path, protocol)| SockJsOptions {
        path: path.clone(),
        protocol,
        websocket: section.truth("websocket"),
        jsonp: section.truth("jsonp"),
        cookie: section.truth("cookie"),
        bind_address: section.truth("bind_address"),
        client_url: section.word("client_url").to_owned(),
        heart_beat: Duration::from_millis(section.number("heart_beat")),
        disconnect_delay: Duration::from_millis(section.number("disconnect_delay")),
        stream_bytes: count(section, "max_stream"),
        outbound_bytes_max: count(section, "max_waiting"),
        ..SockJsOptions::default()
    });
    doors.collect()
}

/// For developers, the page of the iframe transports takes the client library from the demo's own pages at `people`, so that
/// nothing has to come from the internet; unless the configuration says where it is, or one of the two is for more than this
/// machine: by what name others reach it is not known here.
pub(crate) fn serve_sockjs_client(
    config: &Config,
    (people, by_tls): (SocketAddr, bool),
    clients: &mut gateway::Options,
) {
    let scheme = if by_tls { "https" } else { "http" };
    let is_ours = config.settings().section("node").truth("dev") && people.ip().is_loopback();
    let sections = config.settings().sections("listener").iter().filter(|section| kind(section).is_some());
    for (section, listener) in sections.zip(&mut clients.listeners) {
        let is_default = section.section("sockjs").given("client_url").origin == Origin::Default;
        if !(is_ours && is_default && listener.bind.ip().is_loopback()) {
            continue;
        }
        if let Kind::Web(web) | Kind::Auto(web) = &mut listener.kind {
            for door in &mut web.sockjs {
                door.client_url = format!("{scheme}://{people}{}", admin::SOCKJS_CLIENT);
            }
        }
    }
}

/// The balancers before a listener, if there are any.
pub(crate) fn proxies(config: &Config, listener: &Section) -> Option<Proxies> {
    let texts = listener.texts("proxy_protocol");
    // They were checked when they were read.
    let networks = Networks::parse(texts.iter().map(String::as_str)).unwrap_or_default();
    let wait_max = Duration::from_millis(config.settings().section("limits").number("proxy_header"));
    (!texts.is_empty()).then_some(Proxies { networks, wait_max })
}

/// Where a listener is.
pub(crate) fn bind(section: &Section) -> SocketAddr {
    // It was checked when it was read; no address of ours is ever taken by chance.
    section.word("bind").parse().unwrap_or(SocketAddr::from(([127, 0, 0, 1], 0)))
}

/// A number that the schema keeps within the bounds of its type; the largest one stands for no end.
fn narrow<T: TryFrom<u64> + Bounded>(section: &Section, key: &str) -> T {
    T::try_from(section.number(key)).unwrap_or(T::MAX)
}

fn count(section: &Section, key: &str) -> usize {
    narrow(section, key)
}

trait Bounded {
    const MAX: Self;
}

impl Bounded for u16 {
    const MAX: Self = Self::MAX;
}

impl Bounded for u32 {
    const MAX: Self = Self::MAX;
}

impl Bounded for usize {
    const MAX: Self = Self::MAX;
}

/// Of the memory that the process may take, keys and payloads of what waits: an eighth, which is about a third where messages
/// are small.
const RESIDENT_PART: u64 = 8;
/// Where nobody says how much that is.
const RESIDENT_BYTES_USUAL: u64 = 1 << 30;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments::ServeArgs;
    use crate::config::Surroundings;

    #[test]
    fn the_defaults_of_the_configuration_are_those_of_the_rooms() {
        // This one is a part of the memory that the machine has.
        let arguments =
            ServeArgs { set: vec!["limits.resident_bytes_total=1GiB".to_owned()], ..ServeArgs::default() };
        let config = Config::load(&arguments, &Surroundings::default()).expect("no configuration is one");
        same(&auth(&config), &auth::Options::default());
        same(&storage(&config, &Arc::default()), &Some(storage::Options::new("duetmq-data")));
        same(&engine(&config), &engine::Options::default());
        same(&mqtt(&config), &mqtt::Options::default());
        same(&stomp(&config), &stomp::options::Options::default());
    }

    #[test]
    fn listeners_become_what_the_gateway_listens_on_and_admin_is_not_its_business() {
        let url = ["mqtt://:1", "stomp://:2", "http://:3", "auto://:4", "ws://0.0.0.0:5/chat"];
        let arguments = ServeArgs {
            listen: url.map(str::to_owned).to_vec(),
            set: vec!["listener.4.origins=http://a,http://b".to_owned()],
            ..ServeArgs::default()
        };
        let config =
            Config::load(&arguments, &Surroundings::default()).unwrap_or_else(|errors| panic!("{errors:?}"));
        let web = |ws: &str, origins: &[&str]| Web {
            ws_path: ws.to_owned(),
            origins: origins.iter().map(|origin| (*origin).to_owned()).collect(),
            ..Web::default()
        };
        let expected = [
            ("mqtt-1", Kind::Mqtt, "127.0.0.1:1"),
            ("stomp-1", Kind::Stomp, "127.0.0.1:2"),
            ("auto-1", Kind::Auto(web("/ws", &[])), "127.0.0.1:4"),
            ("web-1", Kind::Web(web("/chat", &["http://a", "http://b"])), "0.0.0.0:5"),
        ]
        .map(|(name, kind, bind)| ListenerOptions {
            name: name.to_owned(),
            kind,
            bind: bind.parse().expect("an address"),
            tls: None,
            proxies: None,
            vhost: None,
        });
        same(&gateway(&config, &Certificates::default()).listeners, &expected.to_vec());
    }

    #[test]
    fn for_developers_nothing_of_sockjs_comes_from_the_internet() {
        let ours = "http://127.0.0.1:7/demo/vendor/sockjs.min.js";
        let theirs = SockJsOptions::default().client_url;
        let check = |flags: &[&str], dev, people: &str, expected: &str| {
            let set = flags.iter().map(|flag| (*flag).to_owned()).collect();
            let arguments =
                ServeArgs { listen: vec!["ws://:5".to_owned()], set, dev, ..ServeArgs::default() };
            let config = Config::load(&arguments, &Surroundings::default()).expect("a configuration");
            let mut clients = gateway(&config, &Certificates::default());
            let (scheme, place) = people.split_once("://").expect("a URL");
            let people = (place.parse().expect("an address"), scheme == "https");
            serve_sockjs_client(&config, people, &mut clients);
            let Some(Kind::Web(web)) = clients.listeners.first().map(|one| &one.kind) else { panic!("web") };
            assert_eq!(web.sockjs.first().map(|door| door.client_url.as_str()), Some(expected), "{flags:?}");
        };
        check(&[], true, "http://127.0.0.1:7", ours);
        check(&[], true, "https://127.0.0.1:7", &ours.replace("http:", "https:"));
        check(&[], false, "http://127.0.0.1:7", &theirs);
        check(&["listener.0.sockjs.client_url=/own.js"], true, "http://127.0.0.1:7", "/own.js");
        // Whoever comes from elsewhere cannot load it from an address of this machine's own.
        check(&["listener.0.bind=0.0.0.0:5"], true, "http://127.0.0.1:7", &theirs);
        check(&[], true, "http://0.0.0.0:7", &theirs);
    }

    #[track_caller]
    fn same<T: std::fmt::Debug>(ours: &T, theirs: &T) {
        assert_eq!(format!("{ours:#?}"), format!("{theirs:#?}"));
    }

    #[test]
    fn every_key_reaches_the_room_it_is_for() {
        let arguments = ServeArgs {
            set: EVERYTHING.iter().map(|one| (*one).to_owned()).collect(),
            ..ServeArgs::default()
        };
        let config =
            Config::load(&arguments, &Surroundings::default()).unwrap_or_else(|errors| panic!("{errors:?}"));
        let shown = format!(
            "{:?} {:?} {:?} {:?} {:?} {:?} {:?}",
            logging(&config).1,
            auth(&config),
            storage(&config, &Arc::default()),
            engine(&config),
            mqtt(&config),
            stomp(&config),
            gateway(&config, &Certificates::default())
        );
        for number in
            (10..=44).filter(|number| ![12, 14, 16, 21, 24, 29, 32, 33, 34, 36, 37, 40].contains(number))
        {
            assert!(shown.contains(&format!(": {number}")), "{number} in {shown}");
        }
        for number in [12, 14, 16, 21, 33, 34, 36, 37, 40, 47] {
            assert!(shown.contains(&format!(": {}", number * 1024)), "{number} KiB in {shown}");
        }
        for text in [
            "Json",
            "anonymous: Always",
            "guest_loopback: false",
            "file: Some(\"users\")",
            "\"broker\", \"other\"",
            "levels: Levels { usual: Os, rules: [] }",
            "overlapping: Each",
            "topic_alias_max_out: 45",
            "versions: [V5]",
            "session_expiry_max_s: 4294967295",
            "unroutable_keep: 52",
            "PropertyLimits { user: 50, user_bytes: 51, bytes: 1023 }",
            "reference: \"there:1\", when: AtShutdown",
            "session_expiry_v3_s: 2073600",
            "key_bytes_max: 25",
            "idle_max: Some(53s)",
            "connect_timeout: 2.9s",
            "token_grace: 4.7s",
            "versions: [V1_1]",
            "strict: true",
            "error_queue: \"mine\"",
            "heart_beat_tolerance: 3.2",
        ] {
            assert!(shown.contains(text), "{text} in {shown}");
        }
    }

    /// Each number once, so that it can be found again.
    const EVERYTHING: &[&str] = &[
        "log.level=trace",
        "log.format=json",
        "auth.anonymous=always",
        "auth.guest_loopback=false",
        "auth.file.path=users",
        "durability.level=os",
        "durability.group_max_records=11",
        "durability.group_max_bytes=12KiB",
        "durability.dedup_window=42s",
        "durability.dedup_max=43",
        "durability.dedup_total_max=44",
        "limits.connections=10",
        "limits.session_queue_messages=13",
        "limits.session_queue_bytes=14KiB",
        "limits.session_queue_overflow=drop-oldest",
        "limits.session_queue_age=46s",
        "limits.queue_messages=15",
        "limits.queue_bytes=16KiB",
        "limits.subscriptions=17",
        "limits.redeliveries=48",
        "limits.retained=18",
        "limits.retained_bytes=47KiB",
        "limits.delayed_messages=54",
        "limits.delayed_bytes=55KiB",
        "limits.user_properties=50",
        "limits.user_property_bytes=51",
        "limits.properties_bytes=1023",
        "node.host_names=broker,other",
        "routing.unroutable_keep=52",
        "routing.mqtt_exchange=other",
        "mqtt.versions=5",
        "mqtt.redirect=at_shutdown",
        "mqtt.server_reference=there:1",
        "mqtt.receive_max=19",
        "mqtt.inflight_max=20",
        "mqtt.max_packet=21KiB",
        "mqtt.topic_alias_max=22",
        "mqtt.topic_alias_max_out=45",
        "mqtt.overlapping=each",
        "mqtt.keep_alive_max=23s",
        "mqtt.session_expiry_max=never",
        "mqtt.session_expiry_v3=24d",
        "limits.topic_bytes=25",
        "mqtt.idle_max=53s",
        "mqtt.max_topic_levels=26",
        "mqtt.subscriptions_per_packet=27",
        "mqtt.max_client_id=28",
        "mqtt.connect_timeout=2900ms",
        "stomp.versions=1.1",
        "stomp.strict=true",
        "stomp.error_queue=mine",
        "auth.jwt.grace=4700ms",
        "stomp.connect_timeout=30s",
        "stomp.heart_beat_min=31s",
        "stomp.heart_beat_tolerance=3.2",
        "stomp.max_body=33KiB",
        "stomp.max_login_body=34KiB",
        "stomp.max_headers=35",
        "stomp.max_header=36KiB",
        "stomp.max_head=37KiB",
        "stomp.temporary_queues=47",
        "stomp.transactions=38",
        "stomp.transaction_frames=39",
        "stomp.transaction_bytes=40KiB",
        "stomp.transaction_timeout=41s",
    ];
}
