//! Conn: clients that come, so many a second, and stay for a while.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytestring::ByteString;
use model::qos::Qos;
use serde_json::json;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::bench::meter::{Meter, count};
use crate::bench::others::Others;
use crate::bench::probe::Probe;
use crate::bench::report::{Report, protocol};
use crate::bench::tally::Times;
use crate::client::Client;
use crate::client::entry::{Entry, Wanted};
use crate::failure::Failure;

/// Who is to come.
#[derive(Debug, Clone)]
pub(crate) struct Crowd {
    /// How to get in; the client id is what those of all clients begin with.
    pub(crate) entry: Entry,
    /// Another number for each run.
    pub(crate) run: u64,
    /// What each subscribes to; of no one else's, nothing.
    pub(crate) destinations: Vec<Option<ByteString>>,
    /// Of the subscriptions.
    pub(crate) qos: Qos,
    /// How many subscriptions of others are there before the first one comes.
    pub(crate) present: u32,
    /// How many begin to connect in a second.
    pub(crate) ramp: f64,
    /// How long all of them stay, once the last one is in.
    pub(crate) hold: Duration,
    /// The broker's process, if it is on this machine and its cost is wanted.
    pub(crate) pid: Option<u32>,
    /// Nothing is told meanwhile.
    pub(crate) quiet: bool,
}

/// What became of one of them.
#[derive(Debug)]
struct Visit {
    /// From the moment it was due to come until it was in, and subscribed; `None`: it never was.
    entered: Option<Duration>,
    failure: Option<Failure>,
}

impl Crowd {
    /// Lets them come, stay and go.
    ///
    /// # Errors
    ///
    /// The broker's process is not there, or the others are not let in, or one of them goes. What becomes of the clients is in
    /// the report.
    pub(crate) async fn run(
        &self,
        stop: impl Future<Output = ()>,
    ) -> Result<(Report, Option<Failure>), Failure> {
        tokio::pin!(stop);
        let entry = Entry { client_id: Some(self.begin()), ..self.entry.clone() };
        let mut others = tokio::select! {
            others = Others::settle(&entry, self.present) => others?,
            () = &mut stop => return Ok(self.report(Duration::ZERO, Vec::new(), 0, None)),
        };
        let before = self.pid.map(Probe::take).transpose()?;
        let meter = Arc::new(Meter::default());
        let (leaving, leave) = watch::channel(false);
        let lost = Arc::new(AtomicU64::new(0));
        let start = Instant::now();
        let every = Duration::from_secs_f64(1.0 / self.ramp);
        let visits: Vec<_> = self
            .destinations
            .iter()
            .enumerate()
            .map(|(number, destination)| {
                let due = start + every.mul_f64(number as f64);
                let visit = visit(
                    self.entry(number),
                    destination.clone().map(|destination| self.wanted(destination)),
                    due,
                    (Arc::clone(&meter), Arc::clone(&lost)),
                    leave.clone(),
                );
                tokio::spawn(visit)
            })
            .collect();
        let many = self.destinations.len() as u64;
        let held = async {
            meter.arrival(many, self.entry.patience + every.mul_f64(many as f64)).await;
            let took = start.elapsed();
            let inside = self.pid.map(Probe::take).transpose();
            tokio::time::sleep(self.hold).await;
            (took, inside)
        };
        let stayed = tokio::select! {
            stayed = held => Some(stayed),
            never = meter.tell(["begun", "in", ""]), if !self.quiet => match never {},
            () = &mut stop => None,
        };
        let _ = leaving.send(true);
        let (took, inside) = stayed.unwrap_or_else(|| (start.elapsed(), Ok(None)));
        let mut done = Vec::new();
        for visit in visits {
            done.extend(visit.await);
        }
        if let Some(failure) = others.left() {
            return Err(failure);
        }
        let probes = before.zip(inside?);
        Ok(self.report(took, done, lost.load(Ordering::Relaxed), probes))
    }

    /// What all client ids begin with.
    fn begin(&self) -> String {
        self.entry.client_id.clone().unwrap_or_else(|| format!("bench-{:08x}", self.run))
    }

    fn entry(&self, number: usize) -> Entry {
        Entry { client_id: Some(format!("{}-{number}", self.begin())), ..self.entry.clone() }
    }

    fn wanted(&self, destination: ByteString) -> Wanted {
        Wanted { destinations: vec![destination], qos: self.qos, properties: Vec::new(), one_by_one: false }
    }

    fn report(
        &self,
        took: Duration,
        visits: Vec<Visit>,
        lost: u64,
        probes: Option<(Probe, Probe)>,
    ) -> (Report, Option<Failure>) {
        let mut report = Report::default();
        let (many, ramp) = (self.destinations.len(), self.ramp);
        let subscribed = self.destinations.iter().flatten().count();
        let protocol = protocol(self.entry.protocol);
        let present = match self.present {
            0 => String::new(),
            present => format!(", {present} subscriptions before"),
        };
        let head = format!(
            "{protocol}, {}, {many} clients, {ramp} a second, {subscribed} subscribed{present}",
            self.entry.address
        );
        let value = json!({
            "bench": "conn",
            "protocol": protocol,
            "address": self.entry.address.to_string(),
            "clients": many,
            "ramp": ramp,
            "subscribed": subscribed,
            "present": self.present,
        });
        report.value("run", "conn", head, value);
        let seconds = took.as_secs_f64();
        report.value("seconds", "took", format!("{seconds:.2} s"), json!(seconds));
        let mut times = Times::new();
        visits.iter().filter_map(|visit| visit.entered).for_each(|entered| times.record(entered));
        report.rate("connected", times.count(), seconds);
        report.fault("refused", many as u64 - times.count());
        report.fault("dropped", lost);
        report.times("connect", "until in", &times);
        if let Some((before, inside)) = probes {
            report.cost(&before, &inside, times.count(), "connection");
            let grown =
                inside.resident_kb.saturating_sub(before.resident_kb) as f64 / times.count().max(1) as f64;
            report.value("kb_per_connection", "each takes", format!("{grown:.1} KB"), json!(grown));
        }
        (report, visits.into_iter().find_map(|visit| visit.failure))
    }
}

async fn visit(
    entry: Entry,
    wanted: Option<Wanted>,
    due: Instant,
    (meter, lost): (Arc<Meter>, Arc<AtomicU64>),
    mut leave: watch::Receiver<bool>,
) -> Visit {
    tokio::select! {
        () = tokio::time::sleep_until(due) => {}
        _ = leave.wait_for(|leave| *leave) => return Visit { entered: None, failure: None },
    }
    count(&meter.sent);
    let entered = async {
        let mut client = Client::enter(&entry).await?;
        if let Some(wanted) = &wanted {
            client.subscribe(wanted).await?;
        }
        Ok(client)
    };
    let client = entered.await;
    // Whether in or not: nobody waits for it any more.
    count(&meter.received);
    let mut client = match client {
        Ok(client) => client,
        Err(failure) => return Visit { entered: None, failure: Some(failure) },
    };
    let entered = Some(due.elapsed());
    count(&meter.acknowledged);
    let stays = async {
        loop {
            match client.next().await {
                Ok(message) => client.settle(&message),
                Err(failure) => return failure,
            }
        }
    };
    let failure = tokio::select! {
        failure = stays => {
            count(&lost);
            Some(failure)
        }
        _ = leave.wait_for(|leave| *leave) => None,
    };
    Visit { entered, failure }
}
