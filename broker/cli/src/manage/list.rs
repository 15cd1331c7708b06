//! List: sessions, users, subscriptions, exchanges, queues, bindings and policies, as tables or as JSON

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use serde_json::Value;

use super::ask::Place;
use super::place::{PlaceArgs, encoded};
use super::table;
use super::tell::{end, print};
use crate::failure::Failure;

/// List who is there, who listens to what, who is banned, what waits for its time, and which virtual hosts, exchanges, queues, bindings and policies there are, on a broker that runs.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(after_help = LIST_EXAMPLES)]
pub struct ListArgs {
    /// What to list.
    #[arg(value_enum)]
    what: What,
    /// Only what has this field so: user=kim, connected=true, protocol=mqtt; user= is nobody. May be given several times.
    #[arg(short, long = "where", value_name = "FIELD=VALUE", value_parser = field)]
    wheres: Vec<(String, String)>,
    /// Of subscriptions, only those that hear what is sent there: an MQTT topic (chat/room/5), $queue/NAME, $user/NAME/…
    #[arg(short = 't', long = "to", value_name = "TOPIC")]
    destination: Option<String>,
    /// The virtual host.
    #[arg(short = 'V', long, default_value = "/", value_name = "VHOST")]
    vhost: String,
    /// Each as a JSON object, one a line.
    #[arg(long)]
    json: bool,
    // Last: its heading stands above all that follows.
    #[command(flatten)]
    broker: PlaceArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum What {
    /// Sessions, of clients that are there or away.
    Sessions,
    /// Users that have a session.
    Users,
    /// Subscriptions.
    Subscriptions,
    /// Exchanges.
    Exchanges,
    /// Queues, those of sessions and subscriptions among them.
    Queues,
    /// Bindings.
    Bindings,
    /// Policies: what holds by name; the one that holds before the others comes first.
    Policies,
    /// Who stays out, until when, and why.
    Bans,
    /// Virtual hosts, with how much there is in each.
    Vhosts,
    /// Messages that wait for their time (x-delay), the first that is due first.
    Delayed,
    /// The last messages that no queue took, and why (routing.unroutable_keep), the newest first; over HTTP GET /api/v1/unroutable.
    Unroutable,
}

/// Lists, as the arguments say; exit code 0, 1, 2, 5 or 7. `default` is the data directory where they name none, or why there
/// is none.
pub async fn run_list(args: ListArgs, default: impl FnOnce() -> Result<PathBuf, String>) -> ExitCode {
    end(list(args, default).await)
}

async fn list(args: ListArgs, default: impl FnOnce() -> Result<PathBuf, String>) -> Result<(), Failure> {
    let vhost = encoded(&args.vhost);
    let (path, columns) = match (args.what, &args.destination) {
        (What::Sessions, None) => ("/api/v1/sessions".to_owned(), table::SESSIONS),
        (What::Users, None) => ("/api/v1/users".to_owned(), table::USERS),
        (What::Subscriptions, None) => ("/api/v1/subscriptions".to_owned(), table::SUBSCRIPTIONS),
        (What::Bans, None) => ("/api/v1/bans".to_owned(), table::BANS),
        (What::Delayed, None) => ("/api/v1/delayed".to_owned(), table::DELAYED),
        (What::Unroutable, None) => ("/api/v1/unroutable".to_owned(), table::UNROUTABLE),
        (What::Subscriptions, Some(topic)) => {
            (format!("/api/v1/destinations/{}/subscribers", encoded(topic)), table::SUBSCRIPTIONS)
        }
        (What::Exchanges, None) => (format!("/api/exchanges/{vhost}"), table::EXCHANGES),
        (What::Queues, None) => (format!("/api/queues/{vhost}"), table::QUEUES),
        (What::Bindings, None) => (format!("/api/bindings/{vhost}"), table::BINDINGS),
        (What::Vhosts, None) => ("/api/vhosts".to_owned(), table::VHOSTS),
        (What::Policies, None) => (format!("/api/policies/{vhost}"), table::POLICIES),
        (
            What::Sessions
            | What::Users
            | What::Exchanges
            | What::Queues
            | What::Bindings
            | What::Policies
            | What::Bans
            | What::Vhosts
            | What::Delayed
            | What::Unroutable,
            Some(_),
        ) => {
            return Err(Failure::usage("--to is about subscriptions: duetmq list subscriptions --to TOPIC"));
        }
    };
    let place = args.broker.place(default)?;
    let mut all = Vec::new();
    let show = |items: Vec<Value>| {
        if args.json {
            let lines: String = items.iter().map(|item| format!("{item}\n")).collect();
            return print(&lines);
        }
        all.extend(items);
        Ok(())
    };
    match args.what {
        What::Sessions
        | What::Users
        | What::Subscriptions
        | What::Bans
        | What::Delayed
        | What::Unroutable => own(&place, &format!("{path}?vhost={vhost}"), &args.wheres, show).await?,
        What::Exchanges | What::Queues | What::Bindings | What::Policies | What::Vhosts => {
            numbered(&place, &path, &args.wheres, show).await?
        }
    }
    if args.json { Ok(()) } else { print(&(table::lines(columns, &all).join("\n") + "\n")) }
}

/// Pages of our own API, each of which says behind what the next one begins; it chooses by field itself.
async fn own(
    place: &Place,
    path: &str,
    wheres: &[(String, String)],
    mut show: impl FnMut(Vec<Value>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let wheres: String =
        wheres.iter().map(|(name, value)| format!("&{}={}", encoded(name), encoded(value))).collect();
    let mut behind = String::new();
    loop {
        let page = place.get(&format!("{path}&limit={PAGE}{behind}{wheres}")).await?;
        show(items(&page)?)?;
        match page.get("next").and_then(Value::as_str) {
            Some(next) => behind = format!("&after={}", encoded(next)),
            None => return Ok(()),
        }
    }
}

/// Pages of RabbitMQ's API, which have numbers.
async fn numbered(
    place: &Place,
    path: &str,
    wheres: &[(String, String)],
    mut show: impl FnMut(Vec<Value>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut number = 1;
    loop {
        let page = place.get(&format!("{path}?page={number}&page_size={NUMBERED_PAGE}")).await?;
        let mut items = items(&page)?;
        if let Some(first) = items.first() {
            let unknown = wheres.iter().find(|(name, _)| first.get(name).is_none());
            if let (Some((name, _)), Some(fields)) = (unknown, first.as_object()) {
                let known: Vec<&str> = fields.keys().map(String::as_str).collect();
                let known = known.join(", ");
                return Err(Failure::usage(format!("there is no field {name:?}; there are {known}")));
            }
        }
        items.retain(|item| wheres.iter().all(|(name, wanted)| is(item, name, wanted)));
        show(items)?;
        if page.get("page_count").and_then(Value::as_u64).is_none_or(|count| number >= count) {
            return Ok(());
        }
        number += 1;
    }
}

/// Whether a field is what somebody wrote; null is written as nothing.
fn is(item: &Value, name: &str, wanted: &str) -> bool {
    match item.get(name) {
        Some(Value::String(text)) => text == wanted,
        Some(Value::Null) | None => wanted.is_empty(),
        Some(other @ (Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_))) => {
            let shown = other.to_string();
            shown == wanted
        }
    }
}

fn items(page: &Value) -> Result<Vec<Value>, Failure> {
    let items = page.get("items").and_then(Value::as_array);
    items.cloned().ok_or_else(|| Failure::runtime("what answers there is no broker of ours"))
}

fn field(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("FIELD=VALUE, such as user=kim")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// How many items are asked for at once.
const PAGE: usize = 5000;
/// The most that such a page has.
const NUMBERED_PAGE: usize = 500;

const LIST_EXAMPLES: &str = "\
Examples:
  duetmq list sessions                        who is there, and whose session waits for him
  duetmq list sessions --where user=kim --where connected=true
  duetmq list subscriptions --to chat/room/5  who hears what is sent there
  duetmq list bans                            who stays out, until when, and why
  duetmq list delayed                         what waits for its time, and when it is due
  duetmq list unroutable                      what no queue took of late, and why
  duetmq list queues --where durable=true     what waits, and who takes
  duetmq list queues --vhost shop             the same in another virtual host
  duetmq list vhosts                          which there are, and how much is in each
  duetmq list policies                        what holds by name, and for how many
  duetmq list users --json -d /var/lib/duetmq
  duetmq list sessions --admin http://127.0.0.1:15672 --user alice    with DUETMQ_PASSWORD in the environment

It asks the broker by the socket admin.sock in its data directory, which its owner alone may open. An admin listener
wants a user with a tag ([[admin.user]]).

Exit codes: 0 listed, 1 no broker answers, 2 usage, 5 refused, 7 no answer in time.";
