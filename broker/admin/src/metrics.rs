//! Metrics: all that is counted and measured, for Prometheus

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use engine::{Amounts, Inspect};
use telemetry::{Metric, Value};
use transport::tls::Tls;

use crate::answer::refuse;
use crate::exposition::{Exposition, Kind, Labels};

/// What is measured beside the broker.
#[derive(Debug, Clone)]
pub struct Measured {
    /// How many queues have samples of their own, those that hold most.
    pub queues_max: usize,
    /// Where everything is kept; `None`: nowhere.
    pub data_dir: Option<PathBuf>,
    /// What listeners show by TLS.
    pub certificates: Vec<Arc<Tls>>,
    /// When the broker started.
    pub since: Instant,
}

impl Default for Measured {
    fn default() -> Self {
        Self { queues_max: 1000, data_dir: None, certificates: Vec::new(), since: Instant::now() }
    }
}

/// `GET /metrics`.
pub(crate) fn routes(inspect: Inspect, measured: Measured) -> Router {
    Router::new().route("/metrics", get(answer)).with_state((inspect, Arc::new(measured)))
}

async fn answer(State((inspect, measured)): State<(Inspect, Arc<Measured>)>) -> Response {
    // On a thread that may take its time: there may be many queues to look at.
    let text = tokio::task::spawn_blocking(move || page(&inspect.amounts(measured.queues_max), &measured));
    match text.await {
        Ok(text) => ([(header::CONTENT_TYPE, TEXT)], text).into_response(),
        Err(_) => refuse(StatusCode::INTERNAL_SERVER_ERROR, "the broker could not look; see its log"),
    }
}

fn page(amounts: &Amounts, measured: &Measured) -> String {
    let mut page = Exposition::default();
    for metric in amounts.counted.iter().chain(&amounts.stored) {
        counted(&mut page, metric);
    }
    level(&mut page, "build_info", "The broker's version.", &[("version", env!("CARGO_PKG_VERSION"))], 1);
    let up = measured.since.elapsed().as_secs();
    level(&mut page, "uptime_seconds", "Seconds since the broker started.", &[], up);
    for ((protocol, transport), count) in &amounts.connections {
        let labels = [("protocol", *protocol), ("transport", *transport)];
        level(
            &mut page,
            "connections",
            "Connections, by what is spoken and what carries it.",
            &labels,
            *count,
        );
    }
    let sessions = [("connected", amounts.sessions_connected), ("away", amounts.sessions_away)];
    for (state, count) in sessions {
        let help = "Sessions of MQTT, by whether their clients are there.";
        level(&mut page, "sessions", help, &[("state", state)], count);
    }
    let shared = amounts.bindings_shared;
    for (kind, count) in [("plain", amounts.bindings.saturating_sub(shared)), ("shared", shared)] {
        let help = "Bindings of queues to exchanges, those of subscriptions among them.";
        level(&mut page, "bindings", help, &[("kind", kind)], count);
    }
    for (vhost, clients) in &amounts.vhosts {
        level(
            &mut page,
            "vhost_clients",
            "Clients that are in a virtual host.",
            &[("vhost", vhost)],
            *clients,
        );
    }
    let held = amounts.held;
    for (name, help, value) in [
        ("exchanges", "Exchanges, the broker's own among them.", amounts.exchanges),
        ("queues", "Queues, those of sessions and subscriptions among them.", amounts.queues),
        ("retained_messages", "Retained messages.", amounts.retained),
        ("retained_bytes", "Retained messages, in bytes of keys and payloads.", amounts.retained_bytes),
        ("delayed_messages", "Messages that wait for their time.", amounts.delayed),
        ("delayed_bytes", "Messages that wait for their time, in bytes.", amounts.delayed_bytes),
        ("messages_ready", "Messages that wait in queues.", held.ready as u64),
        ("messages_unacked", "Messages that consumers have and did not settle.", held.unacked as u64),
        ("messages_ready_bytes", "Messages that wait, in bytes of keys and payloads.", held.ready_bytes),
        ("consumers", "Consumers of queues.", held.consumers as u64),
    ] {
        level(&mut page, name, help, &[], value);
    }
    for tls in &measured.certificates {
        let help = "When the first certificate of a [tls.NAME] is over, in seconds since 1970.";
        let over = u64::try_from(tls.expires_at()).unwrap_or_default();
        level(&mut page, "tls_certificate_expiry_seconds", help, &[("name", tls.name())], over);
    }
    queues(&mut page, amounts);
    process(&mut page);
    if let Some(directory) = &measured.data_dir {
        let help = "What the data directory takes on the disk.";
        level(&mut page, "storage_bytes", help, &[], taken(directory, DEPTH_MAX));
    }
    page.text()
}

fn queues(page: &mut Exposition, amounts: &Amounts) {
    for held in &amounts.fullest {
        let labels = [("vhost", held.vhost.as_str()), ("queue", held.queue.as_str())];
        let stats = held.stats;
        for (name, help, value) in [
            ("queue_messages_ready", "Messages that wait in a queue.", stats.ready as u64),
            ("queue_messages_unacked", "Messages of a queue that consumers have.", stats.unacked as u64),
            ("queue_bytes", "What waits in a queue, in bytes of keys and payloads.", stats.ready_bytes),
            ("queue_consumers", "Consumers of a queue.", stats.consumers as u64),
        ] {
            level(page, name, help, &labels, value);
        }
    }
    let listed = amounts.fullest.len() as u64;
    let help = "Queues that have no samples of their own, for others hold more (metrics.per_object).";
    level(page, "queues_not_listed", help, &[], amounts.queues.saturating_sub(listed));
}

/// What is counted as it happens, under its name or a better known one.
fn counted(page: &mut Exposition, Metric { name, about, value }: &Metric) {
    let (name, help, labels): (&str, &str, Labels<'_>) = match *name {
        // They are here by label, or counted elsewhere.
        "connections" | "sessions" | "retained" => return,
        "clients_admitted" => ("auth_attempts", AUTH, &[("result", "success")]),
        "auth_refused" => ("auth_attempts", AUTH, &[("result", "failure")]),
        "refused_connections" => ("connections_refused", REFUSED, &[("limit", "connections")]),
        "refused_per_address" => ("connections_refused", REFUSED, &[("limit", "connections_per_ip")]),
        "refused_rate" => ("connections_refused", REFUSED, &[("limit", "connection_rate")]),
        "refused_banned" => ("connections_refused", REFUSED, &[("limit", "ban")]),
        "refused_per_user" => ("connections_refused", REFUSED, &[("limit", "connections_per_user")]),
        "refused_per_vhost" => ("connections_refused", REFUSED, &[("limit", "vhost.max_connections")]),
        "refused_handshakes" => ("connections_refused", REFUSED, &[("limit", "tls_handshake")]),
        "refused_sessions" => ("connections_refused", REFUSED, &[("limit", "sessions")]),
        "packets_received" => ("packets", PACKETS, &[("dir", "in")]),
        "packets_sent" => ("packets", PACKETS, &[("dir", "out")]),
        "duplicates_suppressed" => ("messages_duplicate_suppressed", about, &[]),
        "commit_us" => ("storage_commit_us", COMMIT, &[]),
        "commit_records" => ("storage_commit_batch", about, &[]),
        "clients_peak" => ("clients_max", about, &[]),
        other => (other, about, &[]),
    };
    match value {
        Value::Count(count) => {
            page.number(&format!("{PREFIX}{name}_total"), Kind::Counter, help, labels, *count);
        }
        Value::Level(now) => level(page, name, help, labels, *now),
        Value::Spread(spread) => match name.strip_suffix("_us") {
            Some(name) => page.spread(&format!("{PREFIX}{name}_seconds"), help, spread, 1e6),
            None => page.spread(&format!("{PREFIX}{name}"), help, spread, 1.0),
        },
    }
}

fn level(page: &mut Exposition, name: &str, help: &str, labels: Labels<'_>, value: u64) {
    page.number(&format!("{PREFIX}{name}"), Kind::Gauge, help, labels, value);
}

/// What the system says of this process, where it says anything.
fn process(page: &mut Exposition) {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    for (field, kind) in [("VmRSS:", "resident"), ("VmHWM:", "resident_max")] {
        let line = status.lines().find_map(|line| line.strip_prefix(field));
        let bytes = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
        if let Some(kilobytes) = bytes {
            let help = "Memory of the process: what it has, and the most that it had.";
            level(page, "memory_bytes", help, &[("kind", kind)], kilobytes.saturating_mul(1024));
        }
    }
    if let Ok(files) = fs::read_dir("/proc/self/fd") {
        let help = "Files and sockets that the process has open.";
        level(page, "open_files", help, &[], files.count() as u64);
    }
}

/// What all files below `directory` take, in bytes; what goes meanwhile does not count.
fn taken(directory: &Path, depth: usize) -> u64 {
    let Ok(entries) = fs::read_dir(directory) else { return 0 };
    let size = |entry: fs::DirEntry| {
        let Ok(metadata) = entry.metadata() else { return 0 };
        if metadata.is_dir() {
            if depth == 0 { 0 } else { taken(&entry.path(), depth - 1) }
        } else {
            metadata.blocks() * 512
        }
    };
    entries.filter_map(Result::ok).map(size).sum()
}

const PREFIX: &str = "duetmq_";
const AUTH: &str = "Logins, by how they ended.";
const REFUSED: &str = "Connections that were not let in, by the limit that was reached.";
const PACKETS: &str = "Packets and frames, of any kind, from clients and to them.";
const COMMIT: &str = "How long a group commit took, from write to synced.";
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
/// The data directory is not deeper.
const DEPTH_MAX: usize = 4;
