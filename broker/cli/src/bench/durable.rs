//! Durable: what it costs a publisher to wait until his messages cannot be lost.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use bytestring::ByteString;
use model::qos::Qos;
use serde_json::{Value, json};

use crate::bench::load::Load;
use crate::bench::publisher::OpenedBy;
use crate::bench::report::{Report, protocol};
use crate::client::Client;
use crate::client::address::Protocol;
use crate::client::entry::Entry;
use crate::failure::Failure;

/// What is to be measured.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// All that its runs share; publishers, QoS and destinations come with each.
    pub(crate) load: Load,
    /// How many publishers there are in each run.
    pub(crate) publishers: Vec<usize>,
    /// A directory on the disk whose own rate is to stand beside it.
    pub(crate) disk: Option<std::path::PathBuf>,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Found {
    /// `fdatasync` a second, if that was asked for.
    pub(crate) syncs_per_second: Option<f64>,
    /// A report for each run, with its row of the table.
    pub(crate) runs: Vec<(String, Report)>,
    /// What went wrong first.
    pub(crate) failure: Option<Failure>,
}

impl Plan {
    /// Runs all of it. Where a run fails, those behind it are left out.
    ///
    /// # Errors
    ///
    /// The directory cannot be written to, or a client is not let in.
    pub(crate) async fn run(&self, stop: impl Future<Output = ()>) -> Result<Found, Failure> {
        let mut found = Found { syncs_per_second: None, runs: Vec::new(), failure: None };
        if let Some(directory) = &self.disk {
            found.syncs_per_second = Some(syncs_per_second(directory)?);
        }
        tokio::pin!(stop);
        for qos in self.levels() {
            for many in &self.publishers {
                let load = self.load_of(*qos, *many);
                let mut is_stopped = false;
                let outcome = load
                    .run(async {
                        stop.as_mut().await;
                        is_stopped = true;
                    })
                    .await?;
                self.forget(&load).await?;
                let report = Report::of("durable", &load, &outcome);
                let acknowledgements = outcome.acknowledgements();
                let rate = acknowledgements.count() as f64 / outcome.took.as_secs_f64();
                let cpu = report.json().get("broker_cpu_us").and_then(Value::as_f64);
                let cpu = cpu.map_or_else(String::new, |micros| format!("{micros:>10.2}"));
                let row = format!(
                    "{:<20}{many:>6}{rate:>12.0}{:>10}{:>10}{:>10}{cpu}",
                    self.named(*qos),
                    acknowledgements.at_percent(50.0),
                    acknowledgements.at_percent(99.0),
                    acknowledgements.at_percent(99.9),
                );
                found.failure = outcome.failure().cloned();
                found.runs.push((row, report));
                if is_stopped || found.failure.is_some() {
                    return Ok(found);
                }
            }
        }
        Ok(found)
    }

    /// STOMP has one way to be sure, MQTT has two.
    fn levels(&self) -> &'static [Qos] {
        match self.load.entry.protocol {
            Protocol::Mqtt(_) => &[Qos::AtLeastOnce, Qos::ExactlyOnce],
            Protocol::Stomp => &[Qos::AtLeastOnce],
        }
    }

    fn named(&self, qos: Qos) -> String {
        match self.load.entry.protocol {
            Protocol::Mqtt(_) => format!("{}, QoS {}", protocol(self.load.entry.protocol), qos as u8),
            Protocol::Stomp => "STOMP, receipts".to_owned(),
        }
    }

    /// One consumer takes what all publishers send, from a session or a queue that would outlive it.
    fn load_of(&self, qos: Qos, many: usize) -> Load {
        let destination = match self.load.entry.protocol {
            Protocol::Mqtt(_) => ByteString::from(format!("duetmq-bench/durable/{:08x}", self.load.run)),
            // Always the same: a queue of STOMP stays.
            Protocol::Stomp => ByteString::from_static("/queue/duetmq-bench"),
        };
        let properties = match self.load.entry.protocol {
            Protocol::Mqtt(_) => Vec::new(),
            Protocol::Stomp => vec![("persistent".into(), "true".into())],
        };
        Load {
            publishers: vec![destination.clone(); many],
            subscribers: vec![destination],
            session_expiry_s: Some(SESSION_S),
            qos,
            properties,
            opened_by: OpenedBy::Acknowledgement,
            ..self.load.clone()
        }
    }

    /// Ends the session that was left behind, as a new one under its name does.
    async fn forget(&self, load: &Load) -> Result<(), Failure> {
        match self.load.entry.protocol {
            Protocol::Stomp => Ok(()),
            Protocol::Mqtt(_) => {
                let entry = Entry { session_expiry_s: None, ..load.named("sub", 0) };
                Client::enter(&entry).await?.leave().await
            }
        }
    }
}

impl Found {
    /// A row for each run.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        if let Some(rate) = self.syncs_per_second {
            text.push_str(&format!("the disk alone: {rate:.0} fdatasync a second\n"));
        }
        let cpu = if self.runs.iter().any(|(_, report)| report.json().get("broker_cpu_us").is_some()) {
            "    CPU µs"
        } else {
            ""
        };
        text.push_str(&format!(
            "{:<20}{:>6}{:>12}{:>10}{:>10}{:>10}{cpu}\n",
            "", "by", "acked/s", "p50 µs", "p99 µs", "p99.9 µs"
        ));
        for (row, _) in &self.runs {
            text.push_str(row);
            text.push('\n');
        }
        text
    }

    /// One object.
    pub(crate) fn json(&self) -> Value {
        let runs: Vec<Value> = self.runs.iter().map(|(_, report)| report.json()).collect();
        json!({ "bench": "durable", "fdatasync_per_second": self.syncs_per_second, "runs": runs })
    }
}

/// How often 4 KiB at the end of a file can be written and synced in a second, one after the other.
fn syncs_per_second(directory: &Path) -> Result<f64, Failure> {
    let path = directory.join(format!("duetmq-bench-{}", std::process::id()));
    let measured = (|| {
        let mut file = File::create_new(&path)?;
        let (start, mut count) = (Instant::now(), 0_u32);
        while start.elapsed() < SYNC_FOR {
            file.write_all(&[0x5A; 4096])?;
            file.sync_data()?;
            count += 1;
        }
        Ok(f64::from(count) / start.elapsed().as_secs_f64())
    })();
    // Gone or never made: there is nothing else to do about it.
    let _ = std::fs::remove_file(&path);
    measured.map_err(|error: std::io::Error| {
        Failure::runtime(format!("cannot measure the disk of {}: {error}", directory.display()))
    })
}

const SYNC_FOR: Duration = Duration::from_secs(2);

/// Long enough for any run; brokers forget it by themselves if this command is killed.
const SESSION_S: u32 = 3600;
