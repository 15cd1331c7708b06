//! Arguments to commands.

use std::io::{BufReader, IsTerminal, stderr, stdin, stdout};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use bytes::Bytes;
use bytestring::ByteString;
use clap::{ArgGroup, Args};
use model::qos::Qos;
use mqtt::topic::{TopicFilter, check_name};
use mqtt::version::Version;
use tokio::signal::unix::{SignalKind, signal};

use crate::client::address::{Protocol, Scheme, Url};
use crate::client::entry::{Entry, Wanted};
use crate::client::trust::TrustArgs;
use crate::failure::Failure;
use crate::message::Publication;
use crate::output::format::Format;
use crate::pubsub::{publish, subscribe};

/// Which broker, and what it is spoken to.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(next_help_heading = "Connection")]
pub(crate) struct BrokerArgs {
    /// Speak MQTT: 5 (5.0, the default), 4 (3.1.1) or 3 (3.1).
    #[arg(long, value_name = "VERSION", value_parser = ["3", "4", "5"], conflicts_with = "stomp")]
    mqtt: Option<String>,
    /// Speak STOMP; the default where the address is stomp:// or, without an address, where the destination begins with
    /// /topic/, /queue/, /exchange/ or /amq/queue/.
    #[arg(long)]
    stomp: bool,
    /// The broker: mqtt://HOST:PORT, stomp://HOST:PORT or ws://HOST:PORT/PATH, by TLS mqtts://, stomps:// or wss://
    /// [default: mqtt://127.0.0.1:1883, or stomp://127.0.0.1:61613].
    #[arg(short, long, env = "DUETMQ_URL", value_name = "URL")]
    url: Option<String>,
    /// User name.
    #[arg(long, env = "DUETMQ_USER", value_name = "NAME")]
    user: Option<String>,
    /// Password; others on this machine cannot see it in the environment as they can on a command line.
    #[arg(long, env = "DUETMQ_PASSWORD", value_name = "PASSWORD", hide_env_values = true)]
    password: Option<String>,
    /// Client id; without one, the broker makes one up.
    #[arg(short, long, value_name = "ID")]
    id: Option<String>,
    #[command(flatten)]
    trust: TrustArgs,
}

/// Publish messages.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(after_help = PUB_EXAMPLES, group(ArgGroup::new("source").args(["message", "file", "lines"]).required(true)))]
pub struct PubArgs {
    /// An MQTT topic (chat/room/5) or a STOMP destination (/topic/chat.room.5).
    #[arg(short = 't', long = "to", value_name = "DEST")]
    destination: String,
    /// The message; several make several messages.
    #[arg(short, long, value_name = "TEXT", allow_hyphen_values = true)]
    message: Vec<String>,
    /// A file as one message; - is all of standard input as one message.
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// A dash alone: each line of standard input is a message, sent as it comes.
    #[arg(value_name = "-", value_parser = ["-"], hide_possible_values = true)]
    lines: Option<String>,
    /// 0: sent and forgotten; 1 and 2: wait until the broker has taken it. In STOMP, 1 and 2 ask for a receipt.
    #[arg(short, long, default_value = "1", value_parser = qos)]
    qos: Qos,
    /// A user property (MQTT 5) or header (STOMP). content-type, reply-to and correlation-id are what MQTT 5 calls
    /// Content Type, Response Topic and Correlation Data.
    #[arg(short, long = "property", value_name = "NAME=VALUE", value_parser = property)]
    properties: Vec<(String, String)>,
    /// Keep it as the last message of its topic, for those who subscribe later; an empty one deletes it. MQTT only.
    #[arg(short, long)]
    retain: bool,
    /// How long to wait for each answer of the broker.
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    timeout: Duration,
    // Last: its heading stands above all that follows.
    #[command(flatten)]
    broker: BrokerArgs,
}

/// Subscribe, and print a line for each message.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(after_help = SUB_EXAMPLES)]
pub struct SubArgs {
    /// An MQTT topic filter (chat/room/+) or a STOMP destination (/topic/chat.room.*); may be given several times.
    #[arg(short = 't', long = "to", value_name = "DEST", required = true)]
    destinations: Vec<String>,
    /// The highest QoS to receive with. In STOMP, 0 is ack:auto; 1 and 2 acknowledge each message.
    #[arg(short, long, default_value = "2", value_parser = qos)]
    qos: Qos,
    /// A user property (MQTT 5) or header (STOMP) of the subscription.
    #[arg(short, long = "property", value_name = "NAME=VALUE", value_parser = property)]
    properties: Vec<(String, String)>,
    /// End after this many messages.
    #[arg(short = 'C', long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// How to write a message: %t topic, %p payload, %x payload in hexadecimal, %l length, %q QoS, %r retain, %I time of
    /// arrival, %P properties, %j all as JSON, %% a percent sign, \n, \t.
    #[arg(long, value_name = "FORMAT", default_value = "%t %p", conflicts_with = "json")]
    format: String,
    /// Write each message as a JSON object; a payload that is no text is in payload_base64.
    #[arg(long)]
    json: bool,
    /// Begin each line with the time of arrival.
    #[arg(long, conflicts_with = "json")]
    stamp: bool,
    /// Take up the session of this client id, and leave it behind: messages wait in it. MQTT only; needs --id.
    #[arg(long, requires = "id", overrides_with = "clean")]
    no_clean: bool,
    /// A new session, which ends with the connection: the default.
    #[arg(long)]
    clean: bool,
    /// How long the session waits for us, with --no-clean [default: a day].
    #[arg(long, value_name = "SECONDS", requires = "no_clean")]
    session_expiry: Option<u32>,
    /// Fail (exit code 7) if --count messages did not come by then.
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    timeout: Option<Duration>,
    // Last: its heading stands above all that follows.
    #[command(flatten)]
    broker: BrokerArgs,
}

/// Publishes, as the arguments say; exit code 0, 1, 2, 5 or 7.
pub async fn run_pub(args: PubArgs) -> ExitCode {
    end(match args.job() {
        Ok(job) => publish::run(job, BufReader::new(stdin())).await,
        Err(failure) => Err(failure),
    })
}

/// Subscribes, as the arguments say, until enough messages came or a signal says stop; exit code 0, 1, 2, 5 or 7.
pub async fn run_sub(args: SubArgs) -> ExitCode {
    end(match args.job(stdout().is_terminal()) {
        Ok(job) => subscribe::run(job, &mut stdout(), stop()).await,
        Err(failure) => Err(failure),
    })
}

/// Tells a failure.
pub(crate) fn end(result: Result<(), Failure>) -> ExitCode {
    let Err(failure) = result else { return ExitCode::SUCCESS };
    // Whoever closed stderr does not want to know.
    let _ = std::io::Write::write_all(&mut stderr(), format!("duetmq: {failure}\n").as_bytes());
    failure.code.into()
}

/// Ctrl-C, or a polite kill.
pub(crate) async fn stop() {
    match (signal(SignalKind::interrupt()), signal(SignalKind::terminate())) {
        (Ok(mut interrupt), Ok(mut terminate)) => {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        }
        // Without handlers, signals end the process as they always did.
        (Err(_), _) | (_, Err(_)) => std::future::pending().await,
    }
}

impl PubArgs {
    fn job(self) -> Result<publish::Job, Failure> {
        let entry = self.broker.entry(&self.destination, None, self.timeout)?;
        let is_stomp = entry.protocol == Protocol::Stomp;
        if is_stomp && self.retain {
            return Err(Failure::usage("STOMP has no retained messages; use --mqtt 5 with a topic"));
        }
        check_topic(entry.protocol, &self.destination)?;
        check_properties(entry.protocol, &self.properties)?;
        let source = match (self.file, self.lines) {
            (Some(file), _) if file.as_os_str() == "-" => publish::Source::Input,
            (Some(file), _) => publish::Source::File(file),
            (None, Some(_)) => publish::Source::Lines,
            (None, None) => publish::Source::Texts(self.message),
        };
        let template = Publication {
            destination: self.destination.into(),
            payload: Bytes::new(),
            qos: self.qos,
            retain: self.retain,
            properties: pairs(self.properties),
        };
        Ok(publish::Job { entry, template, source })
    }
}

impl SubArgs {
    fn job(self, for_eyes: bool) -> Result<subscribe::Job, Failure> {
        let expiry = self.no_clean.then(|| self.session_expiry.unwrap_or(DAY_S));
        let first = self.destinations.first().map_or("", String::as_str);
        let entry = self.broker.entry(first, expiry, PATIENCE)?;
        check_properties(entry.protocol, &self.properties)?;
        for destination in &self.destinations {
            check_filter(entry.protocol, destination)?;
        }
        if entry.protocol == Protocol::Stomp && self.no_clean {
            return Err(Failure::usage(
                "STOMP has no sessions; a durable subscription is -p durable:true, see the broker's manual",
            ));
        }
        let format = if self.json { Format::json() } else { Format::parse(&self.format)? };
        Ok(subscribe::Job {
            entry,
            wanted: Wanted {
                destinations: self.destinations.into_iter().map(ByteString::from).collect(),
                qos: self.qos,
                properties: pairs(self.properties),
                one_by_one: self.count.is_some(),
            },
            count: self.count,
            timeout: self.timeout,
            format: if self.stamp { format.stamped() } else { format },
            for_eyes,
        })
    }
}

impl BrokerArgs {
    /// How to get in; where nothing else says which protocol is meant, `destination` does.
    ///
    /// # Errors
    ///
    /// The arguments contradict each other.
    pub(crate) fn entry(
        self,
        destination: &str,
        session_expiry_s: Option<u32>,
        patience: Duration,
    ) -> Result<Entry, Failure> {
        // An empty variable is the usual way to unset one.
        let url = self.url.filter(|url| !url.is_empty()).map(|url| Url::parse(&url)).transpose()?;
        let scheme = url.as_ref().map(|url| url.scheme);
        let mqtt = Protocol::Mqtt(match self.mqtt.as_deref() {
            Some("3") => Version::V31,
            Some("4") => Version::V311,
            Some(_) | None => Version::V5,
        });
        let protocol = match (self.stomp, self.mqtt.is_some(), scheme) {
            (true, _, Some(Scheme::Mqtt)) => {
                return Err(Failure::usage("--stomp and mqtt:// contradict each other"));
            }
            (_, true, Some(Scheme::Stomp)) => {
                return Err(Failure::usage("--mqtt and stomp:// contradict each other"));
            }
            (true, _, _) | (false, false, Some(Scheme::Stomp)) => Protocol::Stomp,
            (false, true, _) | (false, false, Some(Scheme::Mqtt)) => mqtt,
            (false, false, Some(Scheme::WebSocket) | None) => {
                let is_stomp = STOMP_PREFIXES.iter().any(|prefix| destination.starts_with(prefix));
                if is_stomp { Protocol::Stomp } else { mqtt }
            }
        };
        let url = match (url, protocol) {
            (Some(url), _) => url,
            (None, Protocol::Mqtt(_)) => Url::parse("mqtt://127.0.0.1")?,
            (None, Protocol::Stomp) => Url::parse("stomp://127.0.0.1")?,
        };
        Ok(Entry {
            trust: self.trust.trust(url.is_secure)?,
            address: url.resolve(protocol),
            protocol,
            user: self.user.filter(|user| !user.is_empty()).or(url.user),
            password: self.password.filter(|password| !password.is_empty()).or(url.password),
            client_id: self.id,
            session_expiry_s,
            patience,
        })
    }
}

fn check_topic(protocol: Protocol, text: &str) -> Result<(), Failure> {
    match protocol {
        Protocol::Stomp => Ok(()),
        Protocol::Mqtt(_) => check_name(text)
            .map_err(|error| Failure::usage(format!("{text:?} is no topic to publish to: {error}"))),
    }
}

fn check_filter(protocol: Protocol, text: &str) -> Result<(), Failure> {
    match protocol {
        Protocol::Stomp => Ok(()),
        Protocol::Mqtt(_) => TopicFilter::parse(text, usize::MAX)
            .map(drop)
            .map_err(|error| Failure::usage(format!("{text:?} is no topic filter: {error}"))),
    }
}

fn check_properties(protocol: Protocol, properties: &[(String, String)]) -> Result<(), Failure> {
    match protocol {
        Protocol::Mqtt(version) if !version.has_properties() && !properties.is_empty() => {
            Err(Failure::usage(format!("MQTT {version} has no properties; leave out -p, or use --mqtt 5")))
        }
        Protocol::Mqtt(_) | Protocol::Stomp => Ok(()),
    }
}

fn pairs(properties: Vec<(String, String)>) -> Vec<(ByteString, ByteString)> {
    properties.into_iter().map(|(name, value)| (name.into(), value.into())).collect()
}

/// A QoS as an argument.
pub(crate) fn qos(text: &str) -> Result<Qos, String> {
    let bits = text.parse().ok();
    bits.and_then(Qos::from_bits).ok_or_else(|| "QoS is 0, 1 or 2".into())
}

fn property(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.into(), value.into())),
        Some(_) | None => Err("write NAME=VALUE".into()),
    }
}

/// Seconds as an argument, with or without a fraction.
pub(crate) fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().map_err(|_| "a number of seconds".to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

/// Destinations that look like this are never meant as MQTT topics, where no address says otherwise.
const STOMP_PREFIXES: [&str; 4] = ["/topic/", "/queue/", "/exchange/", "/amq/queue/"];
const DAY_S: u32 = 86_400;
const PATIENCE: Duration = Duration::from_secs(10);

const PUB_EXAMPLES: &str = "\
Examples:
  duetmq pub -t chat/room/5 -m 'hello'                     MQTT 5, done when the broker has taken it
  duetmq pub -t /topic/chat.room.5 -m 'hello'              the same room over STOMP
  duetmq pub -t jobs/image -f cat.png -p content-type=image/png
  tail -f app.log | duetmq pub -t logs/app -               a message for each line
  duetmq pub -t door/state -r -m open                      kept for those who come later
  duetmq pub -u ws://127.0.0.1:15675/mqtt -t a/b -m x      over WebSocket
  duetmq pub -u mqtts://localhost --cafile ca.pem -t a/b -m x      by TLS

Exit codes: 0 published, 1 failed, 2 usage, 5 not let in or not allowed, 7 no answer in time.";

const SUB_EXAMPLES: &str = "\
Examples:
  duetmq sub -t 'chat/room/+'                              until Ctrl-C
  duetmq sub -t /queue/jobs --count 1 --format %p          take one message from a STOMP queue
  duetmq sub -t '#' --json                                 everything, for a program
  duetmq sub -t 'sensor/#' --format '%I %t %x'
  duetmq sub -t orders -i shop --no-clean                  messages wait while this is not running
  duetmq sub --stomp -u ws://127.0.0.1:15674/ws -t /topic/chat.room.5

Exit codes: 0 done, 1 failed, 2 usage, 5 not let in or not allowed, 7 too few messages in time.";

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::failure::Code;
    use crate::pubsub::publish::Source;

    #[derive(Debug, Parser)]
    enum Line {
        Pub(PubArgs),
        Sub(SubArgs),
    }

    #[test]
    fn the_protocol_follows_from_flag_address_and_destination() {
        let v5 = Protocol::Mqtt(Version::V5);
        check("pub -t a -m x", v5, "127.0.0.1:1883");
        check("pub -t /topic/a -m x", Protocol::Stomp, "127.0.0.1:61613");
        check("sub -t /queue/a", Protocol::Stomp, "127.0.0.1:61613");
        check("pub -t /topics -m x", v5, "127.0.0.1:1883");
        check("pub --mqtt 5 -t /topic/a -m x", v5, "127.0.0.1:1883");
        check("pub --mqtt 4 -t a -m x", Protocol::Mqtt(Version::V311), "127.0.0.1:1883");
        check("sub --mqtt 3 -t a", Protocol::Mqtt(Version::V31), "127.0.0.1:1883");
        check("sub --stomp -t a", Protocol::Stomp, "127.0.0.1:61613");
        check("sub -u mqtt://h:1 -t /topic/a", v5, "h:1");
        check("sub -u stomp://h -t a", Protocol::Stomp, "h:61613");
        check("sub -u ws://h:1/mqtt -t a", v5, "ws://h:1/mqtt");
        check("sub -u ws://h -t /topic/a", Protocol::Stomp, "ws://h:15674/ws");
        check("sub --stomp -u ws://h:1/ws -t a", Protocol::Stomp, "ws://h:1/ws");
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        refused("pub --stomp -u mqtt://h -t a -m x", "contradict");
        refused("sub --mqtt 5 -u stomp://h -t a", "contradict");
        refused("pub --mqtt 4 -p k=v -t a -m x", "--mqtt 5");
        refused("pub -r -t /topic/a -m x", "retained");
        refused("sub -i me --no-clean -t /queue/a", "durable:true");
        refused("sub -t a/#/b", "topic filter");
        refused("pub -t a/+ -m x", "wildcard");
        refused("sub -t a --format %z", "%z");
        for line in [
            "pub -t a",
            "pub -m x",
            "sub",
            "pub -t a -m x -f y",
            "pub -t a -m x -",
            "pub -t a -q 3 -m x",
            "pub -t a -p k -m x",
            "pub -t a -m x --timeout -1",
            "sub -t a --no-clean",
            "sub -t a --session-expiry 5",
            "sub -t a --json --format %p",
            "sub -t a --count 0",
            "sub --mqtt 6 -t a",
            "sub --mqtt 5 --stomp -t a",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }

    #[test]
    fn payloads_come_from_texts_a_file_or_standard_input() {
        let source = |line: &str| match parse(line).expect(line) {
            Line::Pub(args) => args.job().expect(line).source,
            Line::Sub(_) => panic!("not pub"),
        };
        assert_eq!(source("pub -t a -m x -m -y"), Source::Texts(vec!["x".into(), "-y".into()]));
        assert_eq!(source("pub -t a -f b.png"), Source::File("b.png".into()));
        assert_eq!(source("pub -t a -f -"), Source::Input);
        assert_eq!(source("pub -t a -"), Source::Lines);
    }

    #[test]
    fn a_session_is_kept_for_a_day_unless_said_otherwise() {
        let expiry = |line: &str| match parse(line).expect(line) {
            Line::Sub(args) => args.job(false).expect(line).entry.session_expiry_s,
            Line::Pub(_) => panic!("not sub"),
        };
        assert_eq!(expiry("sub -t a"), None);
        assert_eq!(expiry("sub -t a -i me --clean"), None);
        assert_eq!(expiry("sub -t a -i me --no-clean"), Some(86_400));
        assert_eq!(expiry("sub -t a -i me --no-clean --session-expiry 5"), Some(5));
    }

    #[test]
    fn the_arguments_are_sound() {
        use clap::CommandFactory;
        Line::command().debug_assert();
    }

    fn parse(line: &str) -> Result<Line, clap::Error> {
        Line::try_parse_from(["duetmq"].into_iter().chain(line.split(' ')))
    }

    fn entry(line: &str) -> Result<Entry, Failure> {
        match parse(line).expect(line) {
            Line::Pub(args) => args.job().map(|job| job.entry),
            Line::Sub(args) => args.job(false).map(|job| job.entry),
        }
    }

    #[track_caller]
    fn check(line: &str, protocol: Protocol, address: &str) {
        let entry = entry(line).expect(line);
        assert_eq!((entry.protocol, entry.address.to_string().as_str()), (protocol, address), "{line}");
    }

    #[track_caller]
    fn refused(line: &str, why: &str) {
        let failure = entry(line).expect_err(line);
        assert_eq!(failure.code, Code::Usage);
        assert!(failure.text.contains(why), "{failure}");
    }
}
