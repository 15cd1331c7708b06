//! Conform: our cases against any broker, and a report of what they show.

mod case;
mod mqtt_cases;
mod peer;
mod report;
mod runner;
mod stomp;

use std::io::{self, Write};
use std::net::ToSocketAddrs;
use std::process::ExitCode;
use std::time::Duration;

use ::stomp::version::Version as StompVersion;
use clap::Args;
use mqtt::version::Version;

use crate::client::address::{Protocol, Scheme, Url};
use crate::conform::case::{Case, Target};
use crate::conform::report::Report;
use crate::failure::Failure;

/// Run our conformance cases against a broker.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(after_help = EXAMPLES)]
pub struct ConformArgs {
    /// The broker: mqtt://HOST:PORT or stomp://HOST:PORT.
    #[arg(value_name = "URL")]
    url: String,
    /// Show what MQTT asks for, in this version: 3.1, 3.1.1 or 5 [default for mqtt://: 5].
    #[arg(long, value_name = "VERSION", value_parser = ["3.1", "3.1.1", "5"], conflicts_with = "stomp")]
    mqtt: Option<String>,
    /// Show what STOMP asks for, in this version: 1.0, 1.1 or 1.2 [default for stomp://: 1.2].
    #[arg(long, value_name = "VERSION", value_parser = ["1.0", "1.1", "1.2"])]
    stomp: Option<String>,
    /// Only cases and statements whose name contains this text; may be given several times.
    #[arg(long, value_name = "TEXT")]
    only: Vec<String>,
    /// Write the report as one JSON object.
    #[arg(long)]
    json: bool,
    /// How many cases run at the same time.
    #[arg(long, value_name = "N", default_value = "32", value_parser = clap::value_parser!(u16).range(1..=256))]
    parallel: u16,
    /// How long each answer may take.
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = clap::value_parser!(u16).range(1..=60))]
    patience: u16,
}

/// Runs the cases; exit code 0 (nothing failed), 8 (something did), 1 or 2.
pub fn run_conform(args: &ConformArgs) -> ExitCode {
    match args.report() {
        Ok(report) => {
            let text = if args.json { report.json() } else { report.text() };
            // Whoever reads it may have seen enough before the end.
            let _ = io::stdout().write_all(text.as_bytes());
            if report.is_good() { ExitCode::SUCCESS } else { ExitCode::from(NOT_CONFORMING) }
        }
        Err(failure) => {
            let _ = writeln!(io::stderr(), "duetmq: {failure}");
            failure.code.into()
        }
    }
}

impl ConformArgs {
    fn report(&self) -> Result<Report, Failure> {
        let url = Url::parse(&self.url)?;
        let (name, protocol, cases) = self.cases(&url)?;
        let cases: Vec<Case> = cases.into_iter().filter(|case| self.is_wanted(case)).collect();
        if cases.is_empty() {
            return Err(Failure::usage("no case has such a name"));
        }
        let address = url.resolve(protocol);
        if address.websocket.is_some() {
            return Err(Failure::usage("the cases begin at TCP; name an mqtt:// or stomp:// address"));
        }
        let unreachable = |why: String| Failure::runtime(format!("cannot reach {address}: {why}"));
        let found = (address.host.as_str(), address.port).to_socket_addrs();
        let socket = found.map_err(|error| unreachable(error.to_string()))?.next();
        let socket = socket.ok_or_else(|| unreachable("the name has no address".to_owned()))?;
        let target = Target::new(socket, Duration::from_secs(self.patience.into()), url.user, url.password);
        target.dial().map_err(|error| unreachable(error.to_string()))?;
        let results = runner::run(&cases, &target, self.parallel.into());
        Ok(Report::new(name, address.to_string(), results))
    }

    /// What is shown, what is spoken, and the cases for it.
    fn cases(&self, url: &Url) -> Result<(String, Protocol, Vec<Case>), Failure> {
        let is_stomp = self.stomp.is_some() || url.scheme == Scheme::Stomp && self.mqtt.is_none();
        if is_stomp {
            let version = match self.stomp.as_deref() {
                Some("1.0") => StompVersion::V1_0,
                Some("1.1") => StompVersion::V1_1,
                Some(_) | None => StompVersion::V1_2,
            };
            return Ok((format!("STOMP {version}"), Protocol::Stomp, stomp::cases(version)));
        }
        let version = match self.mqtt.as_deref() {
            Some("3.1") => Version::V31,
            Some("3.1.1") => Version::V311,
            Some(_) | None => Version::V5,
        };
        Ok((format!("MQTT {version}"), Protocol::Mqtt(version), mqtt_cases::cases(version)))
    }

    fn is_wanted(&self, case: &Case) -> bool {
        let contains = |text: &String| {
            case.name.contains(text.as_str()) || case.statements.iter().any(|id| id.contains(text.as_str()))
        };
        self.only.is_empty() || self.only.iter().any(contains)
    }
}

const NOT_CONFORMING: u8 = 8;

const EXAMPLES: &str = "\
Examples:
  duetmq conform mqtt://127.0.0.1:1883                     what MQTT 5.0 asks of a broker, statement by statement
  duetmq conform mqtt://127.0.0.1:1883 --mqtt 3.1.1 --json
  duetmq conform mqtt://127.0.0.1:1883 --mqtt 3.1          the same for MQIsdp, under the numbers of 3.1.1
  duetmq conform mqtt://127.0.0.1:1883 --only 3.3.1        the statements about the flags of PUBLISH
  duetmq conform stomp://127.0.0.1:61613 --stomp 1.1       what STOMP 1.1 asks; docs/protocols/stomp.md numbers it

The cases use client ids, topics and queues of their own (conform...), and leave sessions and retained messages as they
found them; queues of STOMP cases stay where the broker keeps queues that nobody uses. A statement passes if every case
that shows it passes.

Exit codes: 0 nothing failed, 1 no connection, 2 usage, 8 a statement failed.";
