//! RabbitMQ as Debian has it, in a process of its own: on this machine alone, on free ports, in a folder of its own.

use std::fs::{self, OpenOptions};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use harness::door::free_address;
use harness::process::Process;
use harness::wait::until;
use serde_json::Value;
use tempfile::TempDir;

use crate::http::ask;

/// A running RabbitMQ.
#[derive(Debug)]
pub(crate) struct Rabbit {
    // First, so that they are dead before their folder is removed.
    server: Option<Process>,
    _names: Process,
    pub(crate) stomp: SocketAddr,
    pub(crate) management: SocketAddr,
    names_at: SocketAddr,
    distribution: SocketAddr,
    folder: TempDir,
}

impl Rabbit {
    /// Whether it is installed.
    pub(crate) fn is_there() -> bool {
        Path::new(PROGRAM).exists()
    }

    /// Starts it.
    ///
    /// # Errors
    ///
    /// If it does not start.
    pub(crate) fn start() -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("rabbitmq-").tempdir()?;
        let [amqp, stomp, management, names_at, distribution] = [(); 5].map(|()| free_address());
        let config = format!(
            "listeners.tcp.default = {amqp}\nstomp.listeners.tcp.1 = {stomp}\n\
             stomp.default_user = guest\nstomp.default_pass = guest\n\
             management.tcp.ip = {}\nmanagement.tcp.port = {}\n\
             disk_free_limit.absolute = 100MB\nloopback_users.guest = true\n",
            management.ip(),
            management.port()
        );
        fs::write(folder.path().join("rabbitmq.conf"), config)?;
        fs::write(folder.path().join("enabled_plugins"), "[rabbitmq_management,rabbitmq_stomp].\n")?;
        let port = names_at.port().to_string();
        let mut command = Command::new("epmd");
        command.args(["-port", &port, "-address", "127.0.0.1"]);
        let names = Process::start(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()))?;
        let mut rabbit =
            Self { server: None, _names: names, stomp, management, names_at, distribution, folder };
        rabbit.launch()?;
        Ok(rabbit)
    }

    /// Stops it in order, and starts it again in the same folder.
    ///
    /// # Errors
    ///
    /// If it does not stop or start.
    pub(crate) fn restart(&mut self) -> Result<()> {
        self.stop()?;
        self.launch()
    }

    /// Its version.
    ///
    /// # Errors
    ///
    /// If it does not say.
    pub(crate) fn version(&self) -> Result<String> {
        let overview = ask(self.management, "GET", "/api/overview", &Value::Null)?;
        let version = overview.body["rabbitmq_version"].as_str();
        Ok(version.context("an overview with the version")?.to_owned())
    }

    fn stop(&mut self) -> Result<()> {
        let Some(mut server) = self.server.take() else { return Ok(()) };
        // The program is a shell script that becomes Erlang; that one writes down its number.
        let number = fs::read_to_string(self.folder.path().join("pid"))?;
        let status = Command::new("sh").arg("-c").arg(format!("kill -TERM {}", number.trim())).status()?;
        ensure!(status.success(), "RabbitMQ cannot be told to stop");
        server.wait(START_MAX)?;
        Ok(())
    }

    fn launch(&mut self) -> Result<()> {
        let at = |name: &str| self.folder.path().join(name);
        let log = OpenOptions::new().create(true).append(true).open(at("log"))?;
        let mut command = Command::new(PROGRAM);
        command
            .env("HOME", self.folder.path())
            .env("ERL_EPMD_PORT", self.names_at.port().to_string())
            .env("ERL_EPMD_ADDRESS", "127.0.0.1")
            .env("RABBITMQ_NODENAME", "beside@localhost")
            .env("RABBITMQ_DIST_PORT", self.distribution.port().to_string())
            .env("RABBITMQ_CONFIG_FILE", at("rabbitmq"))
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", at("enabled_plugins"))
            .env("RABBITMQ_MNESIA_BASE", at("data"))
            .env("RABBITMQ_LOG_BASE", at("logs"))
            .env("RABBITMQ_PID_FILE", at("pid"))
            .env("RABBITMQ_LOGS", "-")
            .env("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", "-kernel inet_dist_use_interface {127,0,0,1}")
            .current_dir(self.folder.path());
        let output = log.try_clone()?;
        let mut server = Process::start(command.stdin(Stdio::null()).stdout(output).stderr(log))?;
        let doors = [self.stomp, self.management];
        let ended = until("RabbitMQ's doors to open", START_MAX, || {
            let ended = server.ended();
            let open = || doors.iter().all(|door| TcpStream::connect(door).is_ok());
            (ended.is_some() || open()).then_some(ended)
        });
        self.server = Some(server);
        match ended {
            Ok(None) => Ok(()),
            Ok(Some(status)) => bail!("RabbitMQ ended with {status}: {}", self.log()),
            Err(error) => Err(error.context(self.log())),
        }
    }

    fn log(&self) -> String {
        let text = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines.get(lines.len().saturating_sub(20)..).unwrap_or_default().join("\n")
    }
}

impl Drop for Rabbit {
    fn drop(&mut self) {
        // In order where it goes: killed, the script would leave Erlang behind.
        if let Err(error) = self.stop() {
            eprintln!("RabbitMQ was not stopped: {error:#}");
        }
    }
}

/// The program itself: what Debian puts in front of it changes to another user first.
const PROGRAM: &str = "/usr/lib/rabbitmq/bin/rabbitmq-server";

/// Erlang takes its time, and the machine may be busy.
const START_MAX: Duration = Duration::from_secs(120);
