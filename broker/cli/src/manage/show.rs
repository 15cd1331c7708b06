//! Show: one thing with all that is known of it

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use serde_json::Value;

use super::place::{PlaceArgs, encoded};
use super::table;
use super::tell::{end, print};
use crate::failure::Failure;

/// Show one exchange, queue, policy, session or virtual host with all that is known of it, or how much there is of everything.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(after_help = EXAMPLES)]
pub struct ShowArgs {
    /// What to show.
    #[arg(value_enum)]
    what: What,
    /// Its name.
    #[arg(value_name = "NAME", required_if_eq_any([("what", "exchange"), ("what", "queue"), ("what", "policy"), ("what", "session"), ("what", "vhost")]))]
    name: Option<String>,
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
enum What {
    /// An exchange.
    Exchange,
    /// A queue.
    Queue,
    /// A policy.
    Policy,
    /// A session, with its subscriptions.
    Session,
    /// A virtual host, with how much there is in it.
    Vhost,
    /// How many there are of everything.
    Overview,
}

/// Shows; exit code 0, 1, 2, 5, 6 or 7. `default` is the data directory where the arguments name none, or why there is none.
pub async fn run_show(args: ShowArgs, default: impl FnOnce() -> Result<PathBuf, String>) -> ExitCode {
    end(show(args, default).await)
}

async fn show(args: ShowArgs, default: impl FnOnce() -> Result<PathBuf, String>) -> Result<(), Failure> {
    let name = encoded(args.name.as_deref().unwrap_or_default());
    let vhost = encoded(&args.vhost);
    let path = match args.what {
        What::Exchange => format!("/api/exchanges/{vhost}/{name}"),
        What::Queue => format!("/api/queues/{vhost}/{name}"),
        What::Policy => format!("/api/policies/{vhost}/{name}"),
        What::Session => format!("/api/v1/sessions/{name}?vhost={vhost}"),
        What::Vhost => format!("/api/vhosts/{name}"),
        What::Overview if args.name.is_some() => {
            return Err(Failure::usage("there is one overview: duetmq show overview"));
        }
        What::Overview => format!("/api/v1/overview?vhost={vhost}"),
    };
    let value = args.broker.place(default)?.get(&path).await?;
    if args.json { print(&format!("{value}\n")) } else { print(&(fields("", &value).join("\n") + "\n")) }
}

/// A line for each field, those of objects inside by their path.
fn fields(path: &str, value: &Value) -> Vec<String> {
    match value {
        Value::Object(all) if path.is_empty() || !all.is_empty() => all
            .iter()
            .flat_map(|(name, value)| {
                let dot = if path.is_empty() { "" } else { "." };
                fields(&format!("{path}{dot}{}", table::clean(name)), value)
            })
            .collect(),
        Value::Array(all) if !all.is_empty() => all
            .iter()
            .enumerate()
            .flat_map(|(index, value)| fields(&format!("{path}[{index}]"), value))
            .collect(),
        Value::String(text) => vec![format!("{path}: {}", table::clean(text))],
        Value::Null => vec![format!("{path}: -")],
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            vec![format!("{path}: {value}")]
        }
    }
}

const EXAMPLES: &str = "\
Examples:
  duetmq show queue jobs
  duetmq show exchange chat --json
  duetmq show policy short
  duetmq show overview

Exit codes: 0 shown, 1 failed, 2 usage, 5 refused, 6 not found, 7 no answer in time.";

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_line_says_one_thing() {
        let value = json!({"a": "x\u{1b}[31m", "b": {"c": 5, "d": {}}, "e": [1, {"f": null}], "g": []});
        let lines = fields("", &value);
        assert_eq!(lines, ["a: x\\u{1b}[31m", "b.c: 5", "b.d: {}", "e[0]: 1", "e[1].f: -", "g: []"]);
    }
}
