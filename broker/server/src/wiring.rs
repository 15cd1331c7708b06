//! Wiring: builds the house, ground floor first, and takes it down in order.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use auth::Guard;
use engine::{Broker, Definitions, Premises, VhostError};
use model::name::ExchangeName;
use model::queue::{ExchangeKind, ExchangeOptions};
use storage::{Recovered, Store, VhostPlaces};
use telemetry::Metrics;
use telemetry::logging::{Dial, Format};
use tokio::net::UnixListener;
use tokio::runtime::Builder;
use tokio::sync::watch;
use tokio::task::spawn_blocking;

use crate::arguments::ServeArgs;
use crate::banner::{Banner, Open};
use crate::certificates::Certificates;
use crate::config::{Config, Surroundings};
use crate::doors::Doors;
use crate::failure::{Code, Failure};
use crate::reload::Reload;
use crate::shutdown::{Signals, Wanted};
use crate::watch::Watch;
use crate::{options, store};

/// Runs the broker until a signal stops it. `started`: what it was told to read its configuration from.
///
/// # Errors
///
/// What kept it from starting.
pub fn run(config: &Config, started: (ServeArgs, Surroundings)) -> Result<(), Failure> {
    let (levels, format) = options::logging(config);
    let other = |error: &dyn std::error::Error| Failure::new(Code::Other, error.to_string());
    let dial = telemetry::logging::start(levels, format).map_err(|error| other(&error))?;
    keep_to_ourselves();
    let runtime = Builder::new_multi_thread()
        .enable_all()
        .on_thread_start(gateway::worker_is_free)
        .on_thread_park(gateway::worker_is_free)
        .build()
        .map_err(|error| other(&error))?;
    let done = runtime.block_on(live(config, format, started, dial));
    // Tasks that wait for nobody any more are not waited for either.
    runtime.shutdown_background();
    done
}

/// Whatever this process makes is its owner's alone: messages of strangers lie in it, and the library that keeps the state
/// would let others read them.
fn keep_to_ourselves() {
    rustix::process::umask(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);
}

async fn live(
    config: &Config,
    format: Format,
    started: (ServeArgs, Surroundings),
    dial: Dial,
) -> Result<(), Failure> {
    // Before anything is opened: without all that it goes by, nobody is let in.
    let guard = Guard::new(options::auth(config));
    let guard = Arc::new(guard.map_err(|error| Failure::new(Code::Usage, error.to_string()))?);
    let certificates = Certificates::read(config)?;
    let mut signals = Signals::new().map_err(|error| Failure::new(Code::Other, error.to_string()))?;
    let metrics = Arc::new(Metrics::default());
    let store = tokio::select! {
        store = open_store(config, &metrics) => store?,
        // Whatever was being read is read again at the next start.
        signal = signals.stop() => {
            tracing::info!(signal, "stop.while_starting");
            return Ok(());
        }
    };
    let broker = tokio::select! {
        built = build(config, Arc::clone(&guard), store, Arc::clone(&metrics)) => built?,
        signal = signals.stop() => {
            tracing::info!(signal, "stop.while_starting");
            return Ok(());
        }
    };
    let (watched, whole) = (broker.clone(), broker.clone());
    // Before the doors: where they are open, it is there.
    let local = socket(config);
    let Doors { gateway, admins, admin, open } = Doors::open(config, &certificates, broker, metrics)?;
    announce(config, format, &open);

    let who = admin.entry.users.clone();
    let mut reload = Reload::new(started, config.clone(), Arc::clone(&guard), watched.clone(), who, dial);
    tokio::spawn(certificates.keep(reload.watched()));
    let watch = Watch::new(config, Arc::clone(&guard), reload.watched());
    tokio::spawn(watch.keep(watched.clone()));
    tokio::spawn(async move {
        loop {
            guard.fetch_keys().await;
            tokio::time::sleep(USERS_EVERY).await;
        }
    });
    let (stop, stopped) = watch::channel(false);
    for door in admins {
        tokio::spawn(admin::serve(door, admin.clone(), watched.clone(), until(stopped.clone())));
    }
    // It goes with what is left of the broker.
    let admin::Options { measured, spoken, .. } = admin;
    let _socket = local.map(|(socket, listener)| {
        tokio::spawn(admin::serve_socket(listener, measured, spoken, watched, until(stopped.clone())));
        socket
    });
    let serving = gateway.run(until(stopped));
    let stopping = async {
        let signal = loop {
            match signals.next().await {
                Wanted::Stop(signal) => break signal,
                Wanted::Reload => reload.now().await,
            }
        };
        tracing::info!(signal, "stop.begin");
        signals.end_at_next();
        // Nobody listens any more only if serving ended by itself.
        let _ = stop.send(true);
        tokio::time::sleep(PATIENCE).await;
        tracing::warn!(seconds = PATIENCE.as_secs(), "stop.out_of_patience");
    };
    tokio::select! {
        () = serving => {}
        () = stopping => {}
    }
    close(whole).await;
    tracing::info!("stop.end");
    Ok(())
}

/// Where `duetmq list` asks. A broker without it is a broker all the same.
fn socket(config: &Config) -> Option<(admin::Socket, UnixListener)> {
    let node = config.settings().section("node");
    let path = (!node.truth("memory")).then(|| config.data_dir().join("admin.sock"))?;
    let bound = admin::Socket::bind(&path);
    bound
        .inspect_err(|error| {
            tracing::warn!(path = %path.display(), %error, "admin.no_socket: `duetmq list` needs --admin URL");
        })
        .ok()
}

/// Reads what there is, on a thread that may wait.
async fn open_store(
    config: &Config,
    metrics: &Arc<Metrics>,
) -> Result<Option<(Arc<Store>, Recovered)>, Failure> {
    let Some(options) = options::storage(config, metrics) else { return Ok(None) };
    match spawn_blocking(|| store::open(options)).await {
        Ok(opened) => opened.map(Some),
        Err(panic) => Err(Failure::new(Code::Other, format!("the store could not be opened: {panic}"))),
    }
}

async fn build(
    config: &Config,
    guard: Arc<Guard>,
    store: Option<(Arc<Store>, Recovered)>,
    metrics: Arc<Metrics>,
) -> Result<Broker, Failure> {
    let premises = options::storage(config, &metrics).map(|storage| Premises {
        places: VhostPlaces::of(&storage.directory),
        storage,
        on_failure: store::end,
    });
    let broker = Broker::start(options::engine(config), store, guard, metrics).map_err(|refusal| {
        Failure::new(Code::Other, format!("what the store remembers cannot be: {refusal}"))
    })?;
    let broker = broker.with_vhosts(premises, furniture(config.plain()));
    broker.vhosts().open_all().await.map_err(|error| vhost_failure(config, &error))?;
    for (name, limits) in &config.vhosts().all {
        broker
            .vhosts()
            .put(name.clone(), Some(*limits))
            .await
            .map_err(|error| vhost_failure(config, &error))?;
    }
    for (name, definitions) in config.definitions() {
        // Each of them was made above.
        let vhost = broker.within(name).unwrap_or_else(|| broker.clone());
        vhost.declare(definitions).map_err(|refusal| {
            Failure::new(Code::Usage, format!("the configuration declares what cannot be: {refusal}"))
        })?;
    }
    for vhost in broker.vhosts().names().iter().filter_map(|name| broker.within(name)) {
        declare_plain(&vhost, config.plain())?;
    }
    Ok(broker)
}

fn vhost_failure(config: &Config, error: &VhostError) -> Failure {
    match error {
        VhostError::Store(error) => store::open_failure(config.data_dir(), error),
        VhostError::Remembers(..)
        | VhostError::Default
        | VhostError::Unknown(_)
        | VhostError::InUse(_)
        | VhostError::TooMany
        | VhostError::ShuttingDown => Failure::new(Code::Other, error.to_string()),
    }
}

/// The exchange behind plain MQTT topics is there before any client is, in every vhost.
fn declare_plain(broker: &Broker, name: ExchangeName) -> Result<(), Failure> {
    let cannot = |why: &str| {
        let place =
            if broker.vhost().is_default() { String::new() } else { format!(" of {:?}", broker.vhost()) };
        let text =
            format!("routing.mqtt_exchange: exchange {name:?}{place} {why}; name a durable topic exchange");
        Failure::new(Code::Usage, text)
    };
    if name == ExchangeName::DEFAULT || name.as_str().starts_with('$') {
        return Err(cannot("is the broker's own"));
    }
    if let Some(there) = broker.inspect().exchange(&name) {
        return match there.kind {
            "topic" if !there.durable => Err(cannot("is not durable")),
            "topic" if there.auto_delete => Err(cannot("goes with its last binding (auto_delete)")),
            "topic" if there.internal => Err(cannot("is internal: clients cannot publish to it")),
            "topic" => Ok(()),
            kind => Err(cannot(&format!("is a {kind} exchange"))),
        };
    }
    broker.declare(&furniture(name.clone())).map_err(|refusal| cannot(&format!("does not exist ({refusal})")))
}

/// What is in a vhost from the beginning: the exchange behind plain MQTT topics.
fn furniture(plain: ExchangeName) -> Definitions {
    let is_there = plain == ExchangeName::TOPIC;
    let plain = ExchangeOptions {
        name: plain,
        kind: ExchangeKind::Topic,
        durable: true,
        auto_delete: false,
        internal: false,
        alternate: None,
    };
    let exchanges = if is_there { Vec::new() } else { vec![plain] };
    Definitions { exchanges, ..Definitions::default() }
}

/// For people on stderr; where lines are for programs, only there.
fn announce(config: &Config, format: Format, open: &[Open]) {
    let node = config.settings().section("node");
    let auth = options::auth(config);
    let banner = Banner {
        name: node.word("name"),
        dev: node.truth("dev"),
        data_dir: (!node.truth("memory")).then(|| node.word("data_dir")),
        levels: config.levels(),
        auth: &auth,
        listeners: open,
    };
    match format {
        Format::Text => {
            // Whoever closed stderr does not want to know.
            let _ = io::stderr().write_all(banner.text().as_bytes());
        }
        Format::Json => {
            for Open { name, protocol, address, .. } in open {
                tracing::info!(listener = %name, proto = %protocol, bind = %address, "listener.open");
            }
            for warning in banner.warnings() {
                tracing::warn!(text = warning, "server.warning");
            }
        }
    }
    let data_dir = banner.data_dir.unwrap_or("none");
    tracing::info!(
        name = banner.name,
        version = env!("CARGO_PKG_VERSION"),
        pid = std::process::id(),
        data_dir,
        durability = if banner.data_dir.is_some() { banner.levels.usual().as_str() } else { "memory" },
        "server.ready"
    );
}

/// What was committed is written and synced before this is over.
async fn close(broker: Broker) {
    if let Err(panic) = spawn_blocking(move || broker.close()).await {
        tracing::error!(%panic, "store.not_closed");
    }
}

/// Ready once the stop was asked for, or nobody is left who could ask.
async fn until(mut stopped: watch::Receiver<bool>) {
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

/// How often these files are looked at.
const USERS_EVERY: Duration = Duration::from_secs(1);

/// How long clients may take to be told and to go; what is left of ten seconds is for the store.
const PATIENCE: Duration = Duration::from_secs(8);
