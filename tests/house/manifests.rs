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
    ("auth", &["model"]),
    ("engine", &["model", "telemetry", "routing", "storage"]),
    ("cli", &["model", "mqtt", "stomp", "transport"]),
    ("gateway", &["model", "telemetry", "transport", "mqtt", "stomp", "engine"]),
    ("cluster", &["model", "telemetry", "storage", "engine"]),
    ("admin", &["model", "telemetry", "engine"]),
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
    ("tests", &["server", "cli", "mqtt", "model", "telemetry"]),
];

/// Packages that have a home, and are found only there. deny.toml says the same of those that others could bring in.
pub(crate) const ALONE: &[(&str, &[&str])] = &[
    ("sled", &["storage"]),
    ("crc32c", &["storage"]),
    ("crossbeam-epoch", &["storage"]),
    ("tokio-tungstenite", &["transport"]),
    ("rustls", &["transport"]),
    ("tokio-rustls", &["transport"]),
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
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let output = Command::new(cargo)
            .args(["metadata", "--no-deps", "--format-version", "1", "--offline"])
            .current_dir(root())
            .output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let metadata: Value = serde_json::from_slice(&output.stdout)?;
        let packages = metadata.get("packages").and_then(Value::as_array).context("no packages")?;
        packages.iter().map(read).collect()
    }
}

fn read(package: &Value) -> Result<Manifest> {
    let name = |value: &Value| value.get("name").and_then(Value::as_str).map(ToOwned::to_owned);
    let dependencies = package.get("dependencies").and_then(Value::as_array).context("no dependencies")?;
    Ok(Manifest {
        name: name(package).context("no name")?,
        uses: dependencies.iter().filter_map(name).collect(),
    })
}
