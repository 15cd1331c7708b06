//! Doors: where clients and people come in, opened all or none.

use std::net::SocketAddr;
use std::sync::Arc;

use admin::{Door, Login, Spoken, WebEndpoint};
use engine::Broker;
use gateway::{Gateway, Kind, Web};
use telemetry::Metrics;

use crate::banner::Open;
use crate::certificates::Certificates;
use crate::config::Config;
use crate::config::settings::Section;
use crate::failure::{Code, Failure};
use crate::words::Doorkeepers;
use crate::{files, options};

/// Every place that is listened on. Nobody is let in yet.
pub(crate) struct Doors {
    /// For clients.
    pub(crate) gateway: Gateway,
    /// For people.
    pub(crate) admins: Vec<Door>,
    /// What the pages for people need to know.
    pub(crate) admin: admin::Options,
    /// All of them, in the order of the configuration, with the ports that they have now.
    pub(crate) open: Vec<Open>,
}

impl Doors {
    /// Listens everywhere.
    ///
    /// # Errors
    ///
    /// The first address that cannot be had.
    pub(crate) fn open(
        config: &Config,
        certificates: &Certificates,
        broker: Broker,
        metrics: Arc<Metrics>,
    ) -> Result<Self, Failure> {
        let (mqtt, stomp) = (Arc::new(options::mqtt(config)), Arc::new(options::stomp(config)));
        // Those for people come first: a door of SockJS may say where their listener is.
        let mut for_people = Vec::new();
        for section in config.settings().sections("listener") {
            if options::kind(section).is_none() {
                let door = Door::bind(
                    options::bind(section),
                    certificates.of(section),
                    options::proxies(config, section),
                );
                let door = door.map_err(|error| cannot(&error))?;
                let address = door.address().map_err(|error| cannot(&error))?;
                for_people.push((door, section, address));
            }
        }
        let mut clients = options::gateway(config, certificates);
        clients.connections_max = files::connections_max(clients.connections_max);
        if let Some((_, section, address)) = for_people.first() {
            options::serve_sockjs_client(config, (*address, section.text("tls").is_some()), &mut clients);
        }
        let spoken = Spoken::new(Doorkeepers { mqtt: Arc::clone(&mqtt), stomp: Arc::clone(&stomp) });
        let gateway = Gateway::bind(&clients, broker, mqtt, stomp, metrics).map_err(|e| cannot(&e))?;
        let mut client_addresses = gateway.local_addrs().map_err(|error| cannot(&error))?.into_iter();
        let (mut admins, mut open) = (Vec::new(), Vec::new());
        let mut for_people = for_people.into_iter();
        for section in config.settings().sections("listener") {
            let address = if options::kind(section).is_some() {
                client_addresses.next()
            } else {
                for_people.next().map(|(door, _, address)| {
                    admins.push(door);
                    address
                })
            };
            open.extend(address.map(|address| describe(section, address)));
        }
        let admin = admin_options(config, certificates, &open, spoken);
        Ok(Self { gateway, admins, admin, open })
    }
}

fn cannot(error: &dyn std::error::Error) -> Failure {
    Failure::new(Code::Bind, error.to_string())
}

fn describe(section: &Section, address: SocketAddr) -> Open {
    let web = match options::kind(section) {
        Some(Kind::Web(web) | Kind::Auto(web)) => Some(web),
        Some(Kind::Mqtt | Kind::Stomp) | None => None,
    };
    Open {
        name: section.word("name").to_owned(),
        protocol: section.word("protocol").to_owned(),
        address,
        is_secure: section.text("tls").is_some(),
        sockjs: web.iter().flat_map(|web| web.sockjs.iter().map(|sockjs| sockjs.path.clone())).collect(),
        paths: web.map(|Web { ws_path, mqtt_path, .. }| (ws_path, mqtt_path)),
    }
}

/// The demo pages find the WebSocket listeners by what is said here: STOMP on the first one and MQTT on the last one, as
/// RabbitMQ's users expect.
fn admin_options(
    config: &Config,
    certificates: &Certificates,
    open: &[Open],
    spoken: Spoken,
) -> admin::Options {
    let sections = config.settings().sections("listener").iter();
    let mut web = sections.zip(open).filter_map(|(section, one)| {
        let (ws, mqtt) = one.paths.as_ref()?;
        Some((one, section.section("paths"), ws, mqtt))
    });
    let first = web.clone().next();
    let endpoint = |one: &Open, path: &str, sockjs: &[String]| WebEndpoint {
        port: one.address.port(),
        path: path.to_owned(),
        sockjs: sockjs.first().cloned(),
        tls: one.is_secure,
    };
    admin::Options {
        dev: config.settings().section("node").truth("dev"),
        mqtt_ws: web.next_back().map(|(one, paths, _, mqtt)| endpoint(one, mqtt, paths.texts("sockjs_mqtt"))),
        stomp_ws: first.map(|(one, paths, ws, _)| endpoint(one, ws, paths.texts("sockjs"))),
        entry: options::admin(config),
        measured: options::measured(config, certificates),
        spoken,
        login: config.issuer().cloned().map(|issuer| Login::new(move |user, term| issuer.sign(user, term))),
    }
}
