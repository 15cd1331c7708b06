//! Broker: `duetmq serve` in a process of its own, with a data directory that outlives its deaths.

use std::fs;
use std::io::Write;
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;

use crate::binary::duetmq;
use crate::certificates::Files;
use crate::door::{Door, reserved_address};
use crate::journal::Journal;
use crate::process::Process;
use crate::wait::{SOON, until};

/// How a broker is to be started.
#[derive(Debug, Clone, Default)]
pub struct Setup {
    config: Option<String>,
    arguments: Vec<String>,
    users: Vec<String>,
    acl: Option<String>,
    data: Option<PathBuf>,
    environment: Vec<(&'static str, PathBuf)>,
    certificate: Option<Files>,
}

impl Setup {
    /// All doors, an empty data directory, no configuration.
    pub fn new() -> Self {
        Self::default()
    }

    /// With this text as its configuration file.
    #[must_use]
    pub fn config(mut self, text: &str) -> Self {
        self.config = Some(text.to_owned());
        self
    }

    /// With an argument more.
    #[must_use]
    pub fn argument(mut self, argument: &str) -> Self {
        self.arguments.push(argument.to_owned());
        self
    }

    /// With a user whose password is his name.
    #[must_use]
    pub fn user(mut self, name: &str) -> Self {
        self.users.push(name.to_owned());
        self
    }

    /// With this text as its file of rules, [`Broker::acl`].
    #[must_use]
    pub fn acl(mut self, text: &str) -> Self {
        self.acl = Some(text.to_owned());
        self
    }

    /// In this data directory, which stays when the broker is dropped.
    #[must_use]
    pub fn data(mut self, folder: &Path) -> Self {
        self.data = Some(folder.to_owned());
        self
    }

    /// With all doors by TLS, where it shows this certificate.
    #[must_use]
    pub fn secure(mut self, certificate: &Files) -> Self {
        self.certificate = Some(certificate.clone());
        self
    }

    /// With a path in its environment.
    #[must_use]
    pub fn environment(mut self, name: &'static str, path: &Path) -> Self {
        self.environment.push((name, path.to_owned()));
        self
    }

    /// Starts a broker, and waits until all doors are open.
    ///
    /// # Errors
    ///
    /// If it does not start.
    pub fn start(self) -> Result<Broker> {
        let mut broker = self.prepare()?;
        broker.start()?;
        Ok(broker)
    }

    /// A broker that is not running yet.
    ///
    /// # Errors
    ///
    /// If its folder cannot be made.
    pub fn prepare(self) -> Result<Broker> {
        let folder = tempfile::Builder::new().prefix("duetmq-").tempdir()?;
        if let Some(config) = &self.config {
            fs::write(folder.path().join("duetmq.toml"), config)?;
        }
        if let Some(acl) = &self.acl {
            fs::write(folder.path().join(ACL), acl)?;
        }
        for name in &self.users {
            add_user(&folder.path().join(USERS), name)?;
        }
        let (mut doors, mut reserved) = (Vec::new(), Vec::new());
        for door in Door::ALL {
            let (address, kept) = reserved_address();
            doors.push((door, address));
            reserved.push(kept);
        }
        Ok(Broker {
            process: None,
            journal: Journal::new()?,
            doors,
            _reserved: reserved,
            setup: self,
            folder,
        })
    }
}

/// A broker, running or not.
#[derive(Debug)]
pub struct Broker {
    // First, so that it is dead before its folder is removed.
    process: Option<Process>,
    journal: Journal,
    doors: Vec<(Door, SocketAddr)>,
    /// So that nobody sits there between two of its lives.
    _reserved: Vec<UdpSocket>,
    setup: Setup,
    folder: TempDir,
}

impl Broker {
    /// What [`Setup::start`] does with everything as it comes.
    ///
    /// # Errors
    ///
    /// If it does not start.
    pub fn new() -> Result<Self> {
        Setup::new().start()
    }

    /// Where a door is.
    pub fn at(&self, door: Door) -> SocketAddr {
        let found = self.doors.iter().find(|(known, _)| *known == door);
        found.map(|(_, address)| *address).expect("a broker is started with all doors")
    }

    /// What it wrote, over all its lives.
    pub const fn journal(&self) -> &Journal {
        &self.journal
    }

    /// Where it keeps what lasts.
    pub fn data(&self) -> PathBuf {
        self.setup.data.clone().unwrap_or_else(|| self.folder.path().join("data"))
    }

    /// A folder of the test's own, beside the data.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Its file of rules.
    pub fn acl(&self) -> PathBuf {
        self.folder.path().join(ACL)
    }

    /// Its password file.
    pub fn passwords(&self) -> PathBuf {
        self.folder.path().join(USERS)
    }

    /// The number of its process.
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Process::pid)
    }

    /// Starts it (again), in the same directory and at the same addresses, and waits until all doors are open.
    ///
    /// # Errors
    ///
    /// If it ends instead, or takes too long.
    pub fn start(&mut self) -> Result<()> {
        self.launch()?;
        self.wait_open(START_MAX)
    }

    /// Starts it without waiting for anything.
    ///
    /// # Errors
    ///
    /// If the program cannot be run.
    pub fn launch(&mut self) -> Result<()> {
        self.process = Some(Process::start(&mut self.command()?)?);
        Ok(())
    }

    /// Waits until all doors are open.
    ///
    /// # Errors
    ///
    /// If the broker ends instead, or takes longer than `within`.
    pub fn wait_open(&mut self, within: Duration) -> Result<()> {
        let addresses: Vec<SocketAddr> = self.doors.iter().map(|(_, address)| *address).collect();
        let path = self.journal.path().to_owned();
        let process = self.process.as_mut().context("the broker was not started")?;
        let ended = until("the broker's doors to open", within, || {
            let ended = process.ended();
            let open = || addresses.iter().all(|address| TcpStream::connect(address).is_ok());
            (ended.is_some() || open()).then_some(ended)
        })
        .with_context(|| format!("see {}", path.display()))?;
        if let Some(status) = ended {
            bail!("the broker ended with {status}; see {}", path.display());
        }
        Ok(())
    }

    /// The command that starts it.
    ///
    /// # Errors
    ///
    /// If the program or its log is not there.
    pub fn command(&self) -> Result<Command> {
        let mut command = duetmq_command()?;
        command.arg("serve").current_dir(self.folder.path());
        if self.setup.config.is_some() {
            command.arg("--config").arg("duetmq.toml");
        }
        command.arg("--data-dir").arg(self.data());
        for (door, address) in &self.doors {
            command.arg("--listen").arg(door.url(*address, self.setup.certificate.is_some()));
        }
        if let Some(Files { certificate, key }) = &self.setup.certificate {
            command.arg("--set").arg(format!("tls.default.cert={}", certificate.display()));
            command.arg("--set").arg(format!("tls.default.key={}", key.display()));
        }
        if !self.setup.users.is_empty() {
            command.arg("--set").arg(format!("auth.file.path={USERS}"));
        }
        if self.setup.acl.is_some() {
            command.arg("--set").arg(format!("acl.file={ACL}"));
        }
        command.args(&self.setup.arguments);
        command.envs(self.setup.environment.iter().map(|(name, path)| (name, path)));
        command.stdin(Stdio::null()).stdout(self.journal.writer()?).stderr(self.journal.writer()?);
        Ok(command)
    }

    /// Whether the process is there.
    pub fn is_running(&mut self) -> bool {
        self.process.as_mut().is_some_and(|process| process.ended().is_none())
    }

    /// SIGKILL; dead when this returns.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// A signal by name, such as `TERM`.
    ///
    /// # Errors
    ///
    /// If there is no process to get it.
    pub fn signal(&self, name: &str) -> Result<()> {
        self.process.as_ref().context("the broker is not running")?.signal(name)
    }

    /// Waits until it ends by itself.
    ///
    /// # Errors
    ///
    /// If it does not within `within`.
    pub fn wait(&mut self, within: Duration) -> Result<ExitStatus> {
        let status = self.process.as_mut().context("the broker is not running")?.wait(within)?;
        self.process = None;
        Ok(status)
    }

    /// SIGTERM, and the wait for its end.
    ///
    /// # Errors
    ///
    /// If it does not end.
    pub fn stop(&mut self) -> Result<ExitStatus> {
        self.signal("TERM")?;
        self.wait(SOON + SOON)
    }
}

/// The program, without anything of this environment that would configure it.
///
/// # Errors
///
/// If there is none.
pub fn duetmq_command() -> Result<Command> {
    let mut command = Command::new(duetmq()?);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("DUETMQ_") {
            command.env_remove(name);
        }
    }
    Ok(command)
}

fn add_user(file: &Path, name: &str) -> Result<()> {
    let mut command = duetmq_command()?;
    command.args(["passwd", "add", name, "--file"]).arg(file).stdin(Stdio::piped()).stdout(Stdio::null());
    let mut adding = command.spawn()?;
    writeln!(adding.stdin.take().context("a pipe")?, "{name}")?;
    let status = adding.wait()?;
    ensure!(status.success(), "duetmq passwd add {name} ended with {status}");
    Ok(())
}

/// The password file, in the broker's folder.
const USERS: &str = "users";

/// The file of rules, there as well.
const ACL: &str = "acl.toml";

/// Generous, because the machine may be busy compiling; what is promised is measured elsewhere.
const START_MAX: Duration = Duration::from_secs(30);
