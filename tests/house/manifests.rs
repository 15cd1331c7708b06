//! What the manifests ask for, and what they may ask for.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use harness::binary::root;
use serde_json::Value;

/// Every crate with the crates of ours it may use: the table of docs/architecture.md.
pub(crate) const FLOORS: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("telemetry", &[]),
    ("transport", &[]),
    ("mqtt", &["model"]),
    ("stomp", &["model"]),
    ("routing", &["model"]),
    ("storage", &["model", "telemetry"]),
    ("auth", &["model", "transport"]),
    ("engine", &["model", "telemetry", "routing", "storage"]),
    ("cli", &["model", "mqtt", "stomp", "transport"]),
    ("gateway", &["model", "telemetry", "transport", "mqtt", "stomp", "engine"]),
    ("cluster", &["model", "telemetry", "storage", "engine"]),
    ("admin", &["model", "telemetry", "transport", "engine"]),
    (
        "server",
        &[
            "model",
            "telemetry",
            "transport",
            "mqtt",
            "stomp",
            "routing",
            "storage",
            "auth",
            "engine",
            "cli",
            "gateway",
            "cluster",
            "admin",
        ],
    ),
    ("tests", &["server", "cli", "mqtt", "stomp", "model", "telemetry", "engine", "storage"]),
    ("benches", &["model", "telemetry", "mqtt", "stomp", "routing", "storage", "engine"]),
];

/// Packages that have a home, and are found only there. deny.toml says the same of those that others could bring in.
pub(crate) const ALONE: &[(&str, &[&str])] = &[
    ("sled", &["storage"]),
    ("crc32c", &["storage"]),
    ("crossbeam-epoch", &["storage"]),
    ("tokio-tungstenite", &["transport"]),
    ("rustls", &["transport"]),
    ("tokio-rustls", &["transport"]),
    ("rustls-native-certs", &["transport"]),
    ("x509-parser", &["transport"]),
    ("tracing-subscriber", &["telemetry"]),
    ("jsonwebtoken", &["auth"]),
    ("axum", &["admin"]),
    ("hyper", &["transport", "admin"]),
    ("hyper-util", &["transport", "admin"]),
    ("http-body-util", &["transport", "admin"]),
    ("clap", &["cli", "server"]),
    ("toml", &["server"]),
    ("async-nats", &["cluster"]),
    ("rumqttd", &["tests"]),
    ("rumqttc", &["tests"]),
    ("criterion", &["benches"]),
];

/// Of these, not even packages of others may bring one in: as in deny.toml.
pub(crate) const BANNED: &[(&str, &[&str])] = &[
    ("sled", &["storage"]),
    ("crc32c", &["storage"]),
    ("tokio-tungstenite", &["transport"]),
    ("jsonwebtoken", &["auth"]),
    // rumqttd reads a configuration that nobody writes.
    ("toml", &["server", "config"]),
    ("rumqttd", &["tests"]),
    ("rumqttc", &["tests"]),
    ("openssl", &[]),
    ("native-tls", &[]),
    ("reqwest", &[]),
];

/// No runtime, socket, file, thread or clock in here.
pub(crate) const PURE: &[&str] = &["model", "mqtt", "stomp", "routing"];

/// A crate and what it asks for, in any section.
#[derive(Debug)]
pub(crate) struct Manifest {
    pub(crate) name: String,
    pub(crate) uses: Vec<String>,
}

impl Manifest {
    /// Of every member, as cargo reads them.
    pub(crate) fn all() -> Result<Vec<Self>> {
        let metadata = metadata(&["--no-deps"])?;
        list(&metadata, "packages")?.iter().map(read).collect()
    }
}

/// A package that we are built from, ours or not.
#[derive(Debug)]
pub(crate) struct Package {
    pub(crate) name: String,
    /// As its authors wrote it.
    pub(crate) licence: String,
    /// `registry+…`, `git+…`; ours have none.
    pub(crate) source: Option<String>,
    /// Who depends on it, for any reason.
    pub(crate) used_by: Vec<String>,
}

impl Package {
    /// Every package in the lock file that some member needs.
    pub(crate) fn all() -> Result<Vec<Self>> {
        // Packages for other systems may never have been downloaded.
        let host = host()?;
        let metadata = metadata(&["--filter-platform", &host])?;
        let packages = list(&metadata, "packages")?;
        let nodes = list(metadata.get("resolve").context("no graph")?, "nodes")?;
        let name_of = |id: &str| packages.iter().find(|package| text(package, "id") == Some(id));
        let used_by = |id: &str| {
            let users = nodes.iter().filter(|node| {
                let needs = node.get("dependencies").and_then(Value::as_array);
                needs.is_some_and(|needs| needs.iter().any(|need| need.as_str() == Some(id)))
            });
            let users = users.filter_map(|node| name_of(text(node, "id")?));
            users.filter_map(|user| text(user, "name")).map(ToOwned::to_owned).collect()
        };
        let package = |package: &Value| {
            let id = text(package, "id").context("no id")?;
            Ok(Self {
                name: text(package, "name").context("no name")?.to_owned(),
                licence: text(package, "license").unwrap_or_default().to_owned(),
                source: text(package, "source").map(ToOwned::to_owned),
                used_by: used_by(id),
            })
        };
        packages.iter().map(package).collect()
    }

    /// Whether one of the licences it offers is one we may use: `MIT OR Apache-2.0`, `(MIT OR Apache-2.0) AND Unicode-3.0`.
    pub(crate) fn is_usable(&self) -> bool {
        let plain = self.licence.replace(['(', ')'], "").replace('/', " OR ");
        // Without its brackets `(A OR B) AND C` is read as `A OR (B AND C)`, which is close enough while both are common.
        let mut ways = plain.split(" OR ").map(|way| way.split(" AND ").map(str::trim));
        ways.any(|mut way| way.all(|licence| LICENCES.contains(&licence)))
    }
}

fn metadata(more: &[&str]) -> Result<Value> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["metadata", "--format-version", "1", "--offline"]).args(more).current_dir(root());
    let output = command.output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(serde_json::from_slice(&output.stdout)?)
}

fn host() -> Result<String> {
    let output = Command::new("rustc").arg("-vV").output()?;
    let said = String::from_utf8(output.stdout)?;
    let host = said.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc names no host")?.to_owned())
}

fn list<'a>(value: &'a Value, name: &str) -> Result<&'a Vec<Value>> {
    value.get(name).and_then(Value::as_array).with_context(|| format!("no {name}"))
}

fn text<'a>(value: &'a Value, name: &str) -> Option<&'a str> {
    value.get(name).and_then(Value::as_str)
}

fn read(package: &Value) -> Result<Manifest> {
    let dependencies = list(package, "dependencies")?;
    let uses = dependencies.iter().filter_map(|dependency| text(dependency, "name")).map(ToOwned::to_owned);
    Ok(Manifest { name: text(package, "name").context("no name")?.to_owned(), uses: uses.collect() })
}

/// As in deny.toml.
const LICENCES: &[&str] = &[
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "ISC",
    "MIT",
    "MIT-0",
    "MPL-2.0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];
