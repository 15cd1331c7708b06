//! A report: what a load came to, for people and for programs.

use model::qos::Qos;
use serde_json::{Map, Value, json};

use crate::bench::load::{Load, Outcome};
use crate::bench::probe::Probe;
use crate::bench::tally::Times;
use crate::client::address::Protocol;

/// What came of a load, in one line each, and as JSON.
#[derive(Debug, Default)]
pub(crate) struct Report {
    lines: Vec<(String, String)>,
    values: Map<String, Value>,
    /// What should not have happened, in words.
    pub(crate) broken: Vec<String>,
}

impl Report {
    /// Of that load.
    pub(crate) fn of(what: &str, load: &Load, outcome: &Outcome) -> Self {
        let mut report = Self::default();
        report.head(what, load);
        let seconds = outcome.took.as_secs_f64();
        report.value("seconds", "took", format!("{seconds:.2} s"), json!(seconds));
        let sent: u64 = outcome.sent.iter().map(|sent| sent.sent).sum();
        let received: u64 = outcome.got.iter().map(|got| got.numbers.received).sum();
        if !outcome.sent.is_empty() {
            report.rate("sent", sent, seconds);
            report.acknowledged(load, outcome, sent, seconds);
        }
        if !load.subscribers.is_empty() {
            report.rate("received", received, seconds);
            report.arrived(load, outcome);
        }
        report.times("acknowledgement", "until acknowledged", &outcome.acknowledgements());
        report.times("arrival", "until received", &outcome.arrivals());
        if load.rate.is_some() {
            report.times("late", "sent late by", &outcome.late());
        }
        if let Some((before, after)) = &outcome.probes {
            report.cost(before, after, sent + received, "message sent or received");
        }
        report
    }

    fn head(&mut self, what: &str, load: &Load) {
        let protocol = protocol(load.entry.protocol);
        let qos = load.qos as u8;
        let parts = [(load.publishers.len(), "publisher"), (load.subscribers.len(), "subscriber")];
        let parts = parts.iter().filter(|(count, _)| *count > 0).map(|(count, name)| plural(*count, name));
        let mut line = vec![format!("{protocol}, {}", load.entry.address)];
        line.extend(parts);
        line.push(format!("QoS {qos}"));
        if !load.publishers.is_empty() {
            line.push(format!("{} bytes", load.size));
            line.push(match load.rate {
                Some(rate) => format!("{rate}/s"),
                None => format!("window {}", load.window),
            });
        }
        self.value(
            "run",
            what,
            line.join(", "),
            json!({
                "bench": what,
                "protocol": protocol,
                "address": load.entry.address.to_string(),
                "publishers": load.publishers.len(),
                "subscribers": load.subscribers.len(),
                "qos": qos,
                "size": load.size,
                "rate": load.rate,
                "window": load.window,
            }),
        );
    }

    fn acknowledged(&mut self, load: &Load, outcome: &Outcome, sent: u64, seconds: f64) {
        if load.qos == Qos::AtMostOnce {
            return;
        }
        let acknowledged: u64 = outcome.sent.iter().map(|sent| sent.acknowledged).sum();
        let declined: u64 = outcome.sent.iter().map(|sent| sent.declined).sum();
        self.rate("acknowledged", acknowledged, seconds);
        self.fault("declined", declined);
        self.fault("unacknowledged", sent - acknowledged - declined);
    }

    fn arrived(&mut self, load: &Load, outcome: &Outcome) {
        let numbers = || outcome.got.iter().map(|got| &got.numbers);
        let lost: u64 = if load.publishers.is_empty() {
            numbers().map(|numbers| numbers.missing()).sum()
        } else {
            let expected = load.expected(&outcome.sent);
            expected.iter().zip(numbers()).map(|(of, numbers)| of.saturating_sub(numbers.distinct())).sum()
        };
        self.fault("lost", lost);
        let doubled: u64 = numbers().map(|numbers| numbers.doubled).sum();
        if load.qos == Qos::AtLeastOnce {
            // As the protocol allows.
            self.value("doubled", "doubled", doubled.to_string(), json!(doubled));
        } else {
            self.fault("doubled", doubled);
        }
        self.fault("reordered", numbers().map(|numbers| numbers.reordered).sum());
        let foreign: u64 = numbers().map(|numbers| numbers.foreign).sum();
        if foreign > 0 {
            self.value("foreign", "of others", foreign.to_string(), json!(foreign));
        }
    }

    /// How many there were of something.
    pub(crate) fn rate(&mut self, name: &str, count: u64, seconds: f64) {
        let rate = count as f64 / seconds.max(f64::EPSILON);
        self.values.insert(format!("{name}_per_second"), json!(rate));
        self.value(name, name, format!("{count:<12} {rate:.0}/s"), json!(count));
    }

    /// Something that should be 0.
    pub(crate) fn fault(&mut self, name: &str, count: u64) {
        if count > 0 {
            self.broken.push(format!("{count} {name}"));
        }
        self.value(name, name, count.to_string(), json!(count));
    }

    /// How long something took, if there is any of it.
    pub(crate) fn times(&mut self, name: &str, shown: &str, times: &Times) {
        if times.count() > 0 {
            self.value(name, shown, times.line(), times.json());
        }
    }

    /// What that cost the broker.
    pub(crate) fn cost(&mut self, before: &Probe, after: &Probe, many: u64, of: &str) {
        let micros = after.cpu.saturating_sub(before.cpu).as_secs_f64() * 1e6 / many.max(1) as f64;
        self.value("broker_cpu_us", "broker's CPU", format!("{micros:.2} µs for each {of}"), json!(micros));
        let memory = format!("{} KB before, {} KB after", before.resident_kb, after.resident_kb);
        let both = json!([before.resident_kb, after.resident_kb]);
        self.value("broker_resident_kb", "broker's memory", memory, both);
    }

    /// Something else.
    pub(crate) fn value(&mut self, name: &str, shown: &str, text: String, value: Value) {
        self.lines.push((shown.to_owned(), text));
        self.values.insert(name.to_owned(), value);
    }

    /// A line for each.
    pub(crate) fn text(&self) -> String {
        self.lines.iter().map(|(name, text)| format!("{name:<20}{text}\n")).collect()
    }

    /// One object.
    pub(crate) fn json(&self) -> Value {
        Value::Object(self.values.clone())
    }
}

/// What is spoken, for people.
pub(crate) fn protocol(protocol: Protocol) -> String {
    match protocol {
        Protocol::Mqtt(version) => format!("MQTT {version}"),
        Protocol::Stomp => "STOMP".to_owned(),
    }
}

/// So many of them.
pub(crate) fn plural(count: usize, name: &str) -> String {
    if count == 1 { format!("1 {name}") } else { format!("{count} {name}s") }
}
