//! Explain: the way that a message would take on a broker that runs, as a tree

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::Value;
use stomp::destination::Destinations;

use super::place::{PlaceArgs, encoded};
use super::tell::{end, print};
use crate::failure::Failure;

/// Tell the way that a message would take: exchange by exchange, binding by binding, with the reason.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct ExplainArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
enum What {
    /// Of a message that would be published. Nothing is.
    #[command(after_help = EXAMPLES)]
    Pub(PubArgs),
}

#[derive(Debug, Clone, PartialEq, Eq, Args)]
struct PubArgs {
    /// Where: an MQTT topic (chat/room/5, $exchange/NAME/KEY, $queue/NAME), or with --protocol stomp a destination.
    destination: String,
    /// Whose words DEST is in; a destination with the prefixes that a broker has by default.
    #[arg(long, value_enum, default_value = "mqtt")]
    protocol: Protocol,
    /// A user property or STOMP header that it would have. May be given several times.
    #[arg(short, long = "property", value_name = "NAME=VALUE")]
    properties: Vec<String>,
    /// Its content type.
    #[arg(long, value_name = "TYPE")]
    content_type: Option<String>,
    /// The user who would publish it; otherwise nobody by name.
    #[arg(long = "as", value_name = "USER")]
    by: Option<String>,
    /// The client id of the client that would publish it.
    #[arg(long, value_name = "ID")]
    client: Option<String>,
    /// As a JSON object.
    #[arg(long)]
    json: bool,
    // Last: its heading stands above all that follows.
    #[command(flatten)]
    broker: PlaceArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Protocol {
    Mqtt,
    Stomp,
}

/// Explains, as the arguments say; exit code 0, 1, 2, 5 or 7. `default` is the data directory where they name none, or why there
/// is none.
pub async fn run_explain(args: ExplainArgs, default: impl FnOnce() -> Result<PathBuf, String>) -> ExitCode {
    let What::Pub(args) = args.what;
    end(explain(args, default).await)
}

async fn explain(args: PubArgs, default: impl FnOnce() -> Result<PathBuf, String>) -> Result<(), Failure> {
    let mut query = match args.protocol {
        Protocol::Mqtt => format!("destination={}", encoded(&args.destination)),
        Protocol::Stomp => {
            let address = Destinations::default().address(&args.destination);
            let address = address.map_err(|error| Failure::usage(error.to_string()))?;
            let (exchange, key) = (address.exchange.to_string(), address.key);
            format!("exchange={}&key={}", encoded(&exchange), encoded(key.as_str()))
        }
    };
    let headers = args.properties.iter().map(|pair| ("header", pair));
    let others = [("content_type", &args.content_type), ("user", &args.by), ("client", &args.client)];
    let others = others.iter().filter_map(|(name, value)| Some((*name, value.as_ref()?)));
    for (name, value) in headers.chain(others) {
        query.push_str(&format!("&{name}={}", encoded(value)));
    }
    let place = args.broker.place(default)?;
    let told = place.get(&format!("/api/v1/explain/pub?{query}")).await?;
    if args.json { print(&format!("{told}\n")) } else { print(&tree(&args.destination, &told)) }
}

/// The answer for people.
fn tree(destination: &str, told: &Value) -> String {
    let mut text = format!("{}\n", clean(destination));
    let mut line = |indent: usize, words: String| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{:indent$}{words}", "");
    };
    let access = &told["access"];
    let who = access["user"].as_str().map_or_else(|| "anybody without a name".to_owned(), clean);
    let verdict = if access["allowed"] == true { "allowed" } else { "not allowed" };
    let rule = access["rule"].as_str().map(|rule| format!(" by rule {}", clean(rule))).unwrap_or_default();
    line(2, format!("access: {verdict}{rule} for {who}: {}", field(access, "why")));
    if let Some(refused) = told["refused"].as_str() {
        line(2, format!("refused: {}", clean(refused)));
    }
    if told["exchange"] == "" {
        line(2, format!("the default exchange, queue {:?}", field(told, "key")));
    }
    for step in items(told, "steps") {
        let from = step["from"].as_str().map(|from| format!(", from {}", clean(from))).unwrap_or_default();
        line(
            2,
            format!(
                "{} exchange {}{from}, key {:?}",
                field(step, "kind"),
                field(step, "exchange"),
                field(told, "key")
            ),
        );
        for tried in items(step, "matched") {
            let withheld = if tried["withheld"] == true { "; withheld: No Local" } else { "" };
            line(4, format!("+ {} ({}{withheld})", binding(tried), field(tried, "why")));
        }
        let nearest = items(step, "nearest");
        for tried in nearest {
            line(4, format!("- {} ({})", binding(tried), field(tried, "why")));
        }
        let more = step["missed"].as_u64().unwrap_or_default().saturating_sub(nearest.len() as u64);
        if more > 0 {
            line(4, format!("- {more} more that do not match"));
        }
        if let Some(alternate) = step["alternate"].as_str() {
            line(4, format!("nothing matches: on to the alternate exchange {}", clean(alternate)));
        }
    }
    let queues = items(told, "queues");
    if queues.is_empty() {
        line(2, "no queue gets it".to_owned());
    }
    for queue in queues {
        let client =
            queue["client"].as_str().map(|id| format!(" of client {}", clean(id))).unwrap_or_default();
        let (consumers, waiting) = (&queue["consumers"], &queue["waiting"]);
        line(
            2,
            format!("=> queue {}{client}: {consumers} consuming, {waiting} waiting", field(queue, "queue")),
        );
    }
    text
}

fn binding(tried: &Value) -> String {
    let mut text = format!("{:?}", field(tried, "pattern"));
    let pair = |pair: &Value| match pair[1].as_str() {
        Some(value) => format!("{}={}", field_at(pair, 0), clean(value)),
        None => field_at(pair, 0),
    };
    let arguments: Vec<String> = items(tried, "arguments").iter().map(pair).collect();
    if !arguments.is_empty() {
        text = format!("[{}]", arguments.join(" "));
    }
    if let Some(share) = tried["share"].as_str() {
        text.push_str(&format!(", share {}: one of", clean(share)));
    }
    let names: Vec<String> = items(tried, "queues").iter().filter_map(Value::as_str).map(clean).collect();
    match tried["to"].as_str() {
        Some(exchange) => text + " -> exchange " + &clean(exchange),
        None => text + " -> queue " + &names.join(", "),
    }
}

fn items<'v>(value: &'v Value, field: &str) -> &'v [Value] {
    value[field].as_array().map_or(&[], Vec::as_slice)
}

fn field(value: &Value, field: &str) -> String {
    clean(value[field].as_str().unwrap_or_default())
}

fn field_at(value: &Value, at: usize) -> String {
    clean(value[at].as_str().unwrap_or_default())
}

/// Without what a terminal would obey: clients choose their names.
fn clean(text: &str) -> String {
    text.chars().map(|char| if char.is_control() { '\u{fffd}' } else { char }).collect()
}

const EXAMPLES: &str = "\
Examples:
  duetmq explain pub chat/room/5
  duetmq explain pub chat/room/5 --as kim     whether the rules let kim publish there
  duetmq explain pub '$exchange/reports/x' -p format=pdf -p kind=report
  duetmq explain pub --protocol stomp /topic/chat.room.5 --json

It asks the broker by the socket admin.sock in its data directory, which its owner alone may open. Nothing is published.

Exit codes: 0 explained, 1 no broker answers, 2 usage, 5 refused, 7 no answer in time.";
