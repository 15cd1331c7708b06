//! What `bench` is asked for.

use std::path::PathBuf;
use std::time::Duration;

use bytestring::ByteString;
use clap::{Args, Subcommand};
use model::qos::Qos;
use mqtt::topic::{TopicFilter, check_name};

use crate::bench::conn::Crowd;
use crate::bench::durable::Plan;
use crate::bench::load::Load;
use crate::bench::publisher::{NUMBER, OpenedBy, numbered};
use crate::bench::stamp::{STAMP_BYTES, now_ns};
use crate::client::address::Protocol;
use crate::command::{BrokerArgs, qos, seconds};
use crate::failure::Failure;

/// What to measure.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub(crate) enum What {
    /// Publish as fast as the broker takes it, or at a rate.
    Pub(PubArgs),
    /// Subscribe, and count what `bench pub` sends.
    Sub(SubArgs),
    /// Publish and subscribe: how long each message takes, and whether all arrive.
    Latency(LatencyArgs),
    /// Connect so many a second, and stay.
    Conn(ConnArgs),
    /// Publish and wait until it cannot be lost: 1, 16 and 256 at a time.
    Durable(DurableArgs),
}

/// What all have.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub(crate) struct CommonArgs {
    /// The process of the broker, if it is on this machine: then its CPU and memory are told as well.
    #[arg(long, value_name = "PID")]
    pid: Option<u32>,
    /// Write the report as one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
    /// Say nothing on stderr while it runs.
    #[arg(long)]
    quiet: bool,
    /// How long to wait for each answer while connecting.
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    timeout: Duration,
    // Last: its heading stands above all that follows.
    #[command(flatten)]
    broker: BrokerArgs,
}

/// What is sent.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub(crate) struct SendArgs {
    /// How many publishers.
    #[arg(short = 'n', long, value_name = "N", default_value = "10", value_parser = clap::value_parser!(u16).range(1..))]
    clients: u16,
    /// Where to; %i is the number of the publisher, %m that of its message [default: a topic for each].
    #[arg(short, long, value_name = "DEST")]
    topic: Option<String>,
    /// 0, 1 or 2; in STOMP, 1 and 2 ask for a receipt.
    #[arg(short, long, default_value = "0", value_parser = qos)]
    qos: Qos,
    /// Bytes of each payload; 36 of them say which message it is.
    #[arg(short, long, value_name = "BYTES", default_value = "64", value_parser = size)]
    size: usize,
    /// Messages of each publisher that may be under way, where there is no rate.
    #[arg(short, long, value_name = "N", default_value = "100", value_parser = clap::value_parser!(u16).range(1..))]
    window: u16,
    /// End after so many messages, of all publishers together.
    #[arg(short = 'C', long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// End after so long [default: 10, without --count].
    #[arg(short, long, value_name = "SECONDS", value_parser = seconds)]
    duration: Option<Duration>,
}

/// Arguments of `bench pub`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub(crate) struct PubArgs {
    #[command(flatten)]
    send: SendArgs,
    /// Messages a second, of all publishers together, at their moments whatever the broker does [default: as fast as it goes].
    #[arg(short, long, value_name = "N", value_parser = rate)]
    rate: Option<u32>,
    #[command(flatten)]
    pub(crate) common: CommonArgs,
}

/// Arguments of `bench sub`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub(crate) struct SubArgs {
    /// How many subscribers; each gets all.
    #[arg(short = 'n', long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u16).range(1..))]
    clients: u16,
    /// What to subscribe to; %i is the number of the subscriber, %m any number of a message [default: all that `bench pub` sends by default].
    #[arg(short, long, value_name = "DEST")]
    topic: Option<String>,
    /// The highest QoS; in STOMP, 1 and 2 acknowledge each message.
    #[arg(short, long, default_value = "0", value_parser = qos)]
    qos: Qos,
    /// End after so many messages, of all subscribers together.
    #[arg(short = 'C', long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// End after so long [default: at Ctrl-C, or after --count].
    #[arg(short, long, value_name = "SECONDS", value_parser = seconds)]
    duration: Option<Duration>,
    #[command(flatten)]
    pub(crate) common: CommonArgs,
}

/// Arguments of `bench latency`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub(crate) struct LatencyArgs {
    #[command(flatten)]
    send: SendArgs,
    /// Messages a second, of all publishers together, at their moments whatever the broker does; 0: as fast as the window
    /// allows, which has room again when a message arrives.
    #[arg(short, long, value_name = "N", default_value = "1000")]
    rate: u32,
    #[command(flatten)]
    pub(crate) common: CommonArgs,
}

/// Arguments of `bench conn`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub(crate) struct ConnArgs {
    /// How many clients.
    #[arg(short = 'n', long, value_name = "N", default_value = "1000", value_parser = clap::value_parser!(u32).range(1..))]
    clients: u32,
    /// How many begin to connect in a second, whatever becomes of those before.
    #[arg(long, value_name = "N", default_value = "500", value_parser = rate)]
    ramp: u32,
    /// What each subscribes to; %i is its number [default: nothing].
    #[arg(short, long, value_name = "DEST")]
    topic: Option<String>,
    /// Before the first one comes, others have so many subscriptions, 1,000 each.
    #[arg(long, value_name = "N", default_value = "0")]
    present: u32,
    /// The highest QoS of the subscriptions.
    #[arg(short, long, default_value = "0", value_parser = qos)]
    qos: Qos,
    /// How long they stay once all are in.
    #[arg(short, long, value_name = "SECONDS", default_value = "5", value_parser = seconds)]
    duration: Duration,
    #[command(flatten)]
    pub(crate) common: CommonArgs,
}

/// Arguments of `bench durable`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub(crate) struct DurableArgs {
    /// How many publishers, one run after the other.
    #[arg(short = 'n', long, value_name = "N,…", default_value = "1,16,256", value_delimiter = ',', value_parser = clap::value_parser!(u16).range(1..))]
    clients: Vec<u16>,
    /// Bytes of each payload; 36 of them say which message it is.
    #[arg(short, long, value_name = "BYTES", default_value = "64", value_parser = size)]
    size: usize,
    /// Messages of each publisher that may wait for their acknowledgement.
    #[arg(short, long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u16).range(1..))]
    window: u16,
    /// How long each run takes.
    #[arg(short, long, value_name = "SECONDS", default_value = "5", value_parser = seconds)]
    duration: Duration,
    /// A directory on the broker's disk: how often that can fdatasync in a second is told as well.
    #[arg(long, value_name = "DIR")]
    disk: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) common: CommonArgs,
}

impl SendArgs {
    fn load(self, common: CommonArgs, rate: Option<u32>, opened_by: OpenedBy) -> Result<Load, Failure> {
        let entry = common.broker.entry(self.topic.as_deref().unwrap_or_default(), None, common.timeout)?;
        let run = now_ns();
        let topic = self.topic.unwrap_or_else(|| default_topic(entry.protocol, "%i"));
        let publishers = destinations(&topic, self.clients.into());
        for destination in &publishers {
            if let (Protocol::Mqtt(_), Err(error)) = (entry.protocol, check_name(&numbered(destination, 0))) {
                return Err(Failure::usage(format!("{destination:?} is no topic to publish to: {error}")));
            }
        }
        let duration = self.duration.unwrap_or(if self.count.is_some() { FOR_EVER } else { TEN_SECONDS });
        Ok(Load {
            entry,
            run,
            publishers,
            subscribers: Vec::new(),
            session_expiry_s: None,
            qos: self.qos,
            size: self.size,
            properties: Vec::new(),
            window: self.window.into(),
            opened_by,
            rate: rate.map(f64::from),
            count: self.count,
            duration,
            pid: common.pid,
            quiet: common.quiet,
        })
    }
}

impl PubArgs {
    /// Publishers alone.
    ///
    /// # Errors
    ///
    /// The arguments make no sense.
    pub(crate) fn load(self) -> Result<Load, Failure> {
        // Of QoS 0 nothing tells that it is done.
        let is_told = self.send.qos != Qos::AtMostOnce;
        let opened_by = if is_told { OpenedBy::Acknowledgement } else { OpenedBy::Writing };
        self.send.load(self.common, self.rate, opened_by)
    }
}

impl LatencyArgs {
    /// Publishers, and a subscriber for each.
    ///
    /// # Errors
    ///
    /// The arguments make no sense.
    pub(crate) fn load(self) -> Result<Load, Failure> {
        let rate = Some(self.rate).filter(|rate| *rate > 0);
        let load = self.send.load(self.common, rate, OpenedBy::Arrival)?;
        for destination in &load.publishers {
            check_numbers(load.entry.protocol, destination)?;
        }
        Ok(Load { subscribers: load.publishers.clone(), ..load })
    }
}

impl SubArgs {
    /// Subscribers alone.
    ///
    /// # Errors
    ///
    /// The arguments make no sense.
    pub(crate) fn load(self) -> Result<Load, Failure> {
        let common = self.common;
        let entry = common.broker.entry(self.topic.as_deref().unwrap_or_default(), None, common.timeout)?;
        let topic = self.topic.unwrap_or_else(|| default_topic(entry.protocol, "#"));
        let subscribers = destinations(&topic, self.clients.into());
        for filter in &subscribers {
            check_filter(entry.protocol, filter)?;
            check_numbers(entry.protocol, filter)?;
        }
        Ok(Load {
            entry,
            run: now_ns(),
            publishers: Vec::new(),
            subscribers,
            session_expiry_s: None,
            qos: self.qos,
            size: STAMP_BYTES,
            properties: Vec::new(),
            window: 0,
            opened_by: OpenedBy::Arrival,
            rate: None,
            count: self.count,
            duration: self.duration.unwrap_or(FOR_EVER),
            pid: common.pid,
            quiet: common.quiet,
        })
    }
}

impl ConnArgs {
    /// Who is to come.
    ///
    /// # Errors
    ///
    /// The arguments make no sense.
    pub(crate) fn crowd(self) -> Result<Crowd, Failure> {
        let common = self.common;
        let entry = common.broker.entry(self.topic.as_deref().unwrap_or_default(), None, common.timeout)?;
        let many = usize::try_from(self.clients).unwrap_or(usize::MAX);
        let destinations = match &self.topic {
            None => vec![None; many],
            Some(topic) => {
                let destinations = destinations(topic, many);
                for filter in &destinations {
                    check_filter(entry.protocol, filter)?;
                }
                destinations.into_iter().map(Some).collect()
            }
        };
        Ok(Crowd {
            entry,
            run: now_ns(),
            destinations,
            qos: self.qos,
            present: self.present,
            ramp: self.ramp.into(),
            hold: self.duration,
            pid: common.pid,
            quiet: common.quiet,
        })
    }
}

impl DurableArgs {
    /// All runs.
    ///
    /// # Errors
    ///
    /// The arguments make no sense.
    pub(crate) fn plan(self) -> Result<Plan, Failure> {
        let common = self.common;
        let entry = common.broker.entry("", None, common.timeout)?;
        let load = Load {
            entry,
            run: now_ns(),
            publishers: Vec::new(),
            subscribers: Vec::new(),
            session_expiry_s: None,
            qos: Qos::AtLeastOnce,
            size: self.size,
            properties: Vec::new(),
            window: self.window.into(),
            opened_by: OpenedBy::Acknowledgement,
            rate: None,
            count: None,
            duration: self.duration,
            pid: common.pid,
            quiet: common.quiet,
        };
        let publishers = self.clients.into_iter().map(usize::from).collect();
        Ok(Plan { load, publishers, disk: self.disk })
    }
}

fn default_topic(protocol: Protocol, last: &str) -> String {
    match protocol {
        Protocol::Mqtt(_) => format!("duetmq-bench/{last}"),
        Protocol::Stomp => format!("/topic/duetmq-bench.{last}"),
    }
}

fn destinations(pattern: &str, many: usize) -> Vec<ByteString> {
    (0..many).map(|number| pattern.replace("%i", &number.to_string()).into()).collect()
}

fn check_filter(protocol: Protocol, text: &str) -> Result<(), Failure> {
    match (protocol, TopicFilter::parse(text, usize::MAX)) {
        (Protocol::Mqtt(_), Err(error)) => {
            Err(Failure::usage(format!("{text:?} is no topic filter: {error}")))
        }
        (Protocol::Mqtt(_), Ok(_)) | (Protocol::Stomp, _) => Ok(()),
    }
}

/// Subscribers have a wildcard where `%m` stands: for a level, and in STOMP of a topic.
fn check_numbers(protocol: Protocol, text: &str) -> Result<(), Failure> {
    let (begin, between): (_, &[char]) = match protocol {
        Protocol::Mqtt(_) => ("", &['/']),
        Protocol::Stomp => ("/topic/", &['/', '.']),
    };
    let is_level = text.split(between).all(|level| level == NUMBER || !level.contains(NUMBER));
    if !text.contains(NUMBER) || (is_level && text.starts_with(begin)) {
        return Ok(());
    }
    Err(Failure::usage(format!(
        "{text:?}: subscribers have a wildcard where {NUMBER} stands, so it is a level of its own, in STOMP of a /topic/"
    )))
}

fn size(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(size) if (STAMP_BYTES..=SIZE_MAX).contains(&size) => Ok(size),
        _ => Err(format!("{STAMP_BYTES} to {SIZE_MAX} bytes")),
    }
}

fn rate(text: &str) -> Result<u32, String> {
    text.parse().ok().filter(|rate| *rate > 0).ok_or_else(|| "how many a second, 1 or more".to_owned())
}

/// The largest payload that any version of MQTT has a length for, less what stands before it.
const SIZE_MAX: usize = 268_000_000;
const TEN_SECONDS: Duration = Duration::from_secs(10);
/// Ten years.
const FOR_EVER: Duration = Duration::from_secs(315_360_000);
