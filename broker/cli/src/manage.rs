//! Manage: what a broker that runs tells of itself

mod ask;
mod table;

use std::io::{self, Write, stderr, stdout};
use std::path::PathBuf;
use std::process::ExitCode;

use ask::Place;
use clap::{Args, ValueEnum};
use serde_json::Value;

use crate::failure::Failure;

/// Which broker, and who asks it.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(next_help_heading = "Broker")]
struct PlaceArgs {
    /// The data directory of the broker; otherwise the one that `duetmq serve` would use here.
    #[arg(short, long, value_name = "DIR", conflicts_with = "admin")]
    data_dir: Option<PathBuf>,
    /// The admin listener of the broker instead, such as http://127.0.0.1:15672.
    #[arg(long, visible_alias = "url", value_name = "URL")]
    admin: Option<String>,
    /// User name, for --admin.
    #[arg(long, env = "DUETMQ_USER", value_name = "NAME")]
    user: Option<String>,
    /// Password; others on this machine cannot see it in the environment as they can on a command line.
    #[arg(long, env = "DUETMQ_PASSWORD", value_name = "PASSWORD", hide_env_values = true)]
    password: Option<String>,
}

impl PlaceArgs {
    fn place(self, default: impl FnOnce() -> Result<PathBuf, String>) -> Result<Place, Failure> {
        match (self.admin, self.data_dir) {
            (Some(url), _) => {
                let user = self.user.filter(|user| !user.is_empty());
                Place::admin(&url, user.map(|user| (user, self.password.unwrap_or_default())))
            }
            (None, Some(directory)) => Ok(Place::Data(directory)),
            (None, None) => Ok(Place::Data(default().map_err(Failure::usage)?)),
        }
    }
}

/// List who is there, and who listens to what, on a broker of this machine that runs.
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
    /// The last messages that no queue took, and why (routing.unroutable_keep), the newest first.
    Unroutable,
}

/// Lists, as the arguments say; exit code 0, 1, 2, 5 or 7. `default` is the data directory where they name none, or why there
/// is none.
pub async fn run_list(args: ListArgs, default: impl FnOnce() -> Result<PathBuf, String>) -> ExitCode {
    let Err(failure) = list(args, default).await else { return ExitCode::SUCCESS };
    // Whoever closed stderr does not want to know.
    let _ = stderr().write_all(format!("duetmq: {failure}\n").as_bytes());
    failure.code.into()
}

async fn list(args: ListArgs, default: impl FnOnce() -> Result<PathBuf, String>) -> Result<(), Failure> {
    let (path, columns) = match (args.what, &args.destination) {
        (What::Sessions, None) => ("/api/v1/sessions".to_owned(), table::SESSIONS),
        (What::Users, None) => ("/api/v1/users".to_owned(), table::USERS),
        (What::Subscriptions, None) => ("/api/v1/subscriptions".to_owned(), table::SUBSCRIPTIONS),
        (What::Unroutable, None) => ("/api/v1/unroutable".to_owned(), table::UNROUTABLE),
        (What::Subscriptions, Some(topic)) => {
            (format!("/api/v1/destinations/{}/subscribers", encoded(topic)), table::SUBSCRIPTIONS)
        }
        (What::Sessions | What::Users | What::Unroutable, Some(_)) => {
            return Err(Failure::usage("--to is about subscriptions: duetmq list subscriptions --to TOPIC"));
        }
    };
    let place = args.broker.place(default)?;
    let wheres: String =
        args.wheres.iter().map(|(name, value)| format!("&{}={}", encoded(name), encoded(value))).collect();
    let mut after = None;
    let mut all = Vec::new();
    loop {
        let behind = after.map(|after: String| format!("&after={}", encoded(&after))).unwrap_or_default();
        let mut page = place.get(&format!("{path}?limit={PAGE}{behind}{wheres}")).await?;
        let items = page.get_mut("items").and_then(Value::as_array_mut).map(std::mem::take);
        let items = items.ok_or_else(|| Failure::runtime("what answers there is no broker of ours"))?;
        if args.json {
            let lines: String = items.iter().map(|item| format!("{item}\n")).collect();
            print(&lines)?;
        } else {
            all.extend(items);
        }
        match page.get("next").and_then(Value::as_str) {
            Some(next) => after = Some(next.to_owned()),
            None => break,
        }
    }
    if args.json { Ok(()) } else { print(&(table::lines(columns, &all).join("\n") + "\n")) }
}

fn print(text: &str) -> Result<(), Failure> {
    match stdout().write_all(text.as_bytes()) {
        // Whoever reads it has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other.map_err(|error| Failure::runtime(format!("standard output: {error}"))),
    }
}

fn field(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("FIELD=VALUE, such as user=kim")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// All but letters and digits as `%XX`: right in any place of a URL.
fn encoded(text: &str) -> String {
    let byte = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    };
    text.bytes().map(byte).collect()
}

/// How many items are asked for at once.
const PAGE: usize = 5000;

const LIST_EXAMPLES: &str = "\
Examples:
  duetmq list sessions                        who is there, and whose session waits for him
  duetmq list sessions --where user=kim --where connected=true
  duetmq list subscriptions --to chat/room/5  who hears what is sent there
  duetmq list unroutable                      what no queue took of late, and why
  duetmq list users --json -d /var/lib/duetmq
  duetmq list sessions --admin http://127.0.0.1:15672 --user alice    with DUETMQ_PASSWORD in the environment

It asks the broker by the socket admin.sock in its data directory, which its owner alone may open. An admin listener
wants a user with a tag ([[admin.user]]).

Exit codes: 0 listed, 1 no broker answers, 2 usage, 5 refused, 7 no answer in time.";
