//! Explain: the way that a message would take on a broker that runs, or what a subscription would make, as a tree

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::Value;

use super::place::{PlaceArgs, encoded};
use super::tell::{end, print};
use crate::failure::Failure;

/// Tell the way that a message would take, exchange by exchange, binding by binding, with the reason; or what a subscription would
/// make and bind.
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
    /// Of a subscription: what would be made and bound, and the rule that decides. Nothing is.
    #[command(after_help = SUB_EXAMPLES)]
    Sub(SubArgs),
}

#[derive(Debug, Clone, PartialEq, Eq, Args)]
struct PubArgs {
    /// Where: an MQTT topic (chat/room/5, $exchange/NAME/KEY, $queue/NAME), or with --protocol stomp a destination.
    destination: String,
    /// Whose words DESTINATION is in.
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
    /// The virtual host.
    #[arg(short = 'V', long, default_value = "/", value_name = "VHOST")]
    vhost: String,
    /// As a JSON object.
    #[arg(long)]
    json: bool,
    // Last: its heading stands above all that follows.
    #[command(flatten)]
    broker: PlaceArgs,
}

#[derive(Debug, Clone, PartialEq, Eq, Args)]
struct SubArgs {
    /// To what: an MQTT topic filter (chat/room/+, $share/NAME/FILTER, $exchange/NAME/PATTERN), or with --protocol stomp a
    /// destination (/topic/chat.room.*, /queue/NAME).
    destination: String,
    /// Whose words DESTINATION is in.
    #[arg(long, value_enum, default_value = "mqtt")]
    protocol: Protocol,
    /// A header of STOMP's SUBSCRIBE: durable=true, id=1, x-queue-name=jobs, x-max-length=10. May be given several times.
    #[arg(short, long = "property", value_name = "NAME=VALUE")]
    properties: Vec<String>,
    /// The user who would subscribe; otherwise nobody by name.
    #[arg(long = "as", value_name = "USER")]
    by: Option<String>,
    /// The client id of the client that would subscribe.
    #[arg(long, value_name = "ID")]
    client: Option<String>,
    /// The virtual host.
    #[arg(short = 'V', long, default_value = "/", value_name = "VHOST")]
    vhost: String,
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
    end(match args.what {
        What::Pub(args) => publication(args, default).await,
        What::Sub(args) => subscription(args, default).await,
    })
}

async fn publication(
    args: PubArgs,
    default: impl FnOnce() -> Result<PathBuf, String>,
) -> Result<(), Failure> {
    let others = [("content_type", &args.content_type), ("user", &args.by), ("client", &args.client)];
    let query = query(&args.destination, args.protocol, &args.vhost, &args.properties, &others);
    let told = args.broker.place(default)?.get(&format!("/api/v1/explain/pub?{query}")).await?;
    if args.json { print(&format!("{told}\n")) } else { print(&tree(&args.destination, &told)) }
}

async fn subscription(
    args: SubArgs,
    default: impl FnOnce() -> Result<PathBuf, String>,
) -> Result<(), Failure> {
    let others = [("user", &args.by), ("client", &args.client)];
    let query = query(&args.destination, args.protocol, &args.vhost, &args.properties, &others);
    let told = args.broker.place(default)?.get(&format!("/api/v1/explain/sub?{query}")).await?;
    if args.json { print(&format!("{told}\n")) } else { print(&foreseen(&args.destination, &told)) }
}

fn query(
    destination: &str,
    protocol: Protocol,
    vhost: &str,
    headers: &[String],
    others: &[(&str, &Option<String>)],
) -> String {
    let protocol = match protocol {
        Protocol::Mqtt => "mqtt",
        Protocol::Stomp => "stomp",
    };
    let mut query =
        format!("protocol={protocol}&vhost={}&destination={}", encoded(vhost), encoded(destination));
    let headers = headers.iter().map(|pair| ("header", pair));
    let others = others.iter().filter_map(|(name, value)| Some((*name, value.as_ref()?)));
    for (name, value) in headers.chain(others) {
        query.push_str(&format!("&{name}={}", encoded(value)));
    }
    query
}

/// What a subscription would come to, for people.
fn foreseen(destination: &str, told: &Value) -> String {
    let mut text = format!("{}\n  {}\n", clean(destination), access(&told["access"]));
    let mut line = |words: String| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  {words}");
    };
    if let Some(refused) = told["refused"].as_str() {
        line(format!("refused: {}", clean(refused)));
    }
    let queue = &told["queue"];
    let name = queue["name"].as_str().map_or_else(String::new, |name| format!(" {}", clean(name)));
    let becomes = match (queue["exists"] == true, queue["is_made"] == true) {
        (true, _) => "exists",
        (false, true) => "would be made",
        (false, false) => "does not exist",
    };
    line(format!("queue{name}: {becomes} ({}){}", field(queue, "named"), by_policy(queue)));
    let known = ["durable", "exclusive", "auto_delete"].map(|name| Some((name, queue[name].as_bool()?)));
    if known.iter().any(Option::is_some) {
        let words = known.iter().flatten().map(|(name, is)| match (*name, *is) {
            (name, true) => name.replace('_', "-"),
            (name, false) => format!("not {}", name.replace('_', "-")),
        });
        line(format!("  {}", words.collect::<Vec<_>>().join(", ")));
    }
    let bound = &told["binding"];
    if bound.is_null() {
        line("no binding: it takes what the queue has".to_owned());
    } else {
        let share = bound["share"].as_str().map(|share| format!(", share {}", clean(share)));
        let becomes = if bound["exists"] == true { "is bound" } else { "would be bound" };
        line(format!(
            "{becomes}: {} exchange {}, pattern {}{}",
            bound["kind"].as_str().unwrap_or("no"),
            field(bound, "exchange"),
            asks(bound),
            share.unwrap_or_default()
        ));
    }
    text
}

/// Whether the rules allow it.
fn access(access: &Value) -> String {
    let who = access["user"].as_str().map_or_else(|| "anybody without a name".to_owned(), clean);
    let verdict = if access["allowed"] == true { "allowed" } else { "not allowed" };
    let rule = access["rule"].as_str().map(|rule| format!(" by rule {}", clean(rule))).unwrap_or_default();
    format!("access: {verdict}{rule} for {who}: {}", field(access, "why"))
}

/// The answer for people.
fn tree(destination: &str, told: &Value) -> String {
    let mut text = format!("{}\n", clean(destination));
    let mut line = |indent: usize, words: String| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{:indent$}{words}", "");
    };
    line(2, access(&told["access"]));
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
            let by = by_policy(step);
            line(4, format!("nothing matches: on to the alternate exchange {}{by}", clean(alternate)));
        }
    }
    let queues = items(told, "queues");
    if queues.is_empty() {
        line(2, "no queue gets it".to_owned());
    }
    for queue in queues {
        let client =
            queue["client"].as_str().map(|id| format!(" of client {}", clean(id))).unwrap_or_default();
        let (consumers, waiting, level) =
            (&queue["consumers"], &queue["waiting"], field(queue, "durability"));
        line(
            2,
            format!(
                "=> queue {}{client}: {consumers} consuming, {waiting} waiting, {level}{}",
                field(queue, "queue"),
                by_policy(queue)
            ),
        );
    }
    text
}

/// Which policy holds for it, or says so.
fn by_policy(told: &Value) -> String {
    told["policy"].as_str().map(|policy| format!(", policy {}", clean(policy))).unwrap_or_default()
}

/// What a binding asks of keys, or of headers.
fn asks(bound: &Value) -> String {
    let pair = |pair: &Value| match pair[1].as_str() {
        Some(value) => format!("{}={}", field_at(pair, 0), clean(value)),
        None => field_at(pair, 0),
    };
    let arguments: Vec<String> = items(bound, "arguments").iter().map(pair).collect();
    if arguments.is_empty() {
        return format!("{:?}", field(bound, "pattern"));
    }
    format!("[{}]", arguments.join(" "))
}

fn binding(tried: &Value) -> String {
    let mut text = asks(tried);
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
The same over HTTP: GET /api/v1/explain/pub.

Exit codes: 0 explained, 1 no broker answers, 2 usage, 5 refused, 7 no answer in time.";

const SUB_EXAMPLES: &str = "\
Examples:
  duetmq explain sub 'chat/room/+' --as kim
  duetmq explain sub --protocol stomp /queue/jobs
  duetmq explain sub --protocol stomp /topic/news -p durable=true -p id=1 --json

It asks the broker by the socket admin.sock in its data directory, which its owner alone may open. Nothing is made and nobody subscribes.
The same over HTTP: GET /api/v1/explain/sub.

Exit codes: 0 explained, 1 no broker answers, 2 usage, 5 refused, 7 no answer in time.";
