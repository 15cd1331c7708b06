//! Policies: what holds for queues and exchanges by their names, set and cleared by commands

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::arguments::read_pairs;
use super::place::{PlaceArgs, encoded};
use super::table;
use super::tell::{end, print};
use crate::failure::{Code, Failure};

/// Say what holds for queues and exchanges by their names: limits, times to live, dead letters, what messages outlive.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(after_help = EXAMPLES)]
pub struct PolicyArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
enum What {
    /// Have a policy hold, in the place of one that has its name.
    #[command(after_help = EXAMPLES)]
    Set(SetArgs),
    /// Take a policy away: what it held back holds again as it was declared.
    #[command(after_help = EXAMPLES)]
    Clear(ClearArgs),
    /// List policies; the one that holds before the others comes first.
    #[command(after_help = EXAMPLES)]
    List(ListPoliciesArgs),
}

#[derive(Debug, Clone, PartialEq, Eq, Args)]
struct SetArgs {
    /// Its name.
    name: String,
    /// A regular expression: it holds for names in which this finds something, such as '^jobs\.' or '.*'.
    pattern: String,
    /// What holds, such as max-length=1000 or dead-letter-exchange=lost; may be given several times.
    #[arg(short = 'a', long = "define", visible_alias = "argument", value_name = "WORD=VALUE")]
    define: Vec<String>,
    /// All of it as one JSON object, as rabbitmqctl has it.
    #[arg(value_name = "JSON", conflicts_with = "define", required_unless_present = "define")]
    definition: Option<String>,
    /// Of all that match a name, the one of the highest priority holds, alone.
    #[arg(long, default_value_t = 0, allow_negative_numbers = true)]
    priority: i32,
    /// What it is for: queues, exchanges or all.
    #[arg(long, default_value = "all", value_name = "WHAT")]
    apply_to: String,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Clone, PartialEq, Eq, Args)]
struct ClearArgs {
    /// Its name.
    name: String,
    /// It is no failure if there is none.
    #[arg(long)]
    idempotently: bool,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Clone, PartialEq, Eq, Args)]
struct ListPoliciesArgs {
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Clone, PartialEq, Eq, Args)]
struct Common {
    /// The virtual host.
    #[arg(short = 'V', long, default_value = "/", value_name = "VHOST")]
    vhost: String,
    /// As JSON: what was done, or each policy, one a line.
    #[arg(long)]
    json: bool,
    // Last: its heading stands above all that follows.
    #[command(flatten)]
    broker: PlaceArgs,
}

/// Sets, clears, lists; exit code 0, 1, 2, 5, 6 or 7. `default` is the data directory where the arguments name none, or why there
/// is none.
pub async fn run_policy(args: PolicyArgs, default: impl FnOnce() -> Result<PathBuf, String>) -> ExitCode {
    end(match args.what {
        What::Set(args) => set(args, default).await,
        What::Clear(args) => clear(args, default).await,
        What::List(args) => list(args.common, default).await,
    })
}

async fn set(args: SetArgs, default: impl FnOnce() -> Result<PathBuf, String>) -> Result<(), Failure> {
    let SetArgs { name, pattern, define, definition, priority, apply_to, common } = args;
    let definition = match definition {
        Some(text) => serde_json::from_str(&text)
            .map_err(|error| Failure::usage(format!("{text}: the definition is no JSON: {error}")))?,
        None => read_pairs("--define", &define)?,
    };
    let body = json!({
        "pattern": pattern,
        "definition": definition,
        "priority": priority,
        "apply-to": apply_to,
    });
    let Common { vhost, json, broker } = common;
    let path = format!("/api/policies/{}/{}", encoded(&vhost), encoded(&name));
    let is_new = broker.place(default)?.ask("PUT", &path, Some(&body)).await?.is_new;
    tell(
        json,
        &json!({ "policy": name, "vhost": vhost, "created": is_new }),
        &format!("policy {name:?} holds"),
    )
}

async fn clear(args: ClearArgs, default: impl FnOnce() -> Result<PathBuf, String>) -> Result<(), Failure> {
    let ClearArgs { name, idempotently, common: Common { vhost, json, broker } } = args;
    let path = format!("/api/policies/{}/{}", encoded(&vhost), encoded(&name));
    let cleared = match broker.place(default)?.ask("DELETE", &path, None).await {
        Ok(_) => true,
        Err(failure) if idempotently && failure.code == Code::NotFound => false,
        Err(failure) => return Err(failure),
    };
    let text = if cleared { "holds no more" } else { "is not there" };
    let value = json!({ "policy": name, "vhost": vhost, "deleted": cleared });
    tell(json, &value, &format!("policy {name:?} {text}"))
}

async fn list(common: Common, default: impl FnOnce() -> Result<PathBuf, String>) -> Result<(), Failure> {
    let Common { vhost, json, broker } = common;
    let all = broker.place(default)?.get(&format!("/api/policies/{}", encoded(&vhost))).await?;
    let all = all.as_array().ok_or_else(|| Failure::runtime("what answers there is no broker of ours"))?;
    if json {
        let lines: String = all.iter().map(|item| format!("{item}\n")).collect();
        return print(&lines);
    }
    print(&(table::lines(table::POLICIES, all).join("\n") + "\n"))
}

fn tell(json: bool, value: &Value, text: &str) -> Result<(), Failure> {
    if json { print(&format!("{value}\n")) } else { print(&format!("{text}\n")) }
}

const EXAMPLES: &str = "\
Examples:
  duetmq policy set short '^jobs\\.' -a max-length=1000 -a overflow=reject-publish
  duetmq policy set letters '.*' -a dead-letter-exchange=lost --apply-to queues --priority 5
  duetmq policy set ttl '^mqtt\\.' '{\"message-ttl\": 3600000}'
  duetmq policy set history '^room-' -a max-age=7D
  duetmq policy list
  duetmq policy clear short
  duetmq show queue jobs.mail                 which policy holds for it, and what holds by it

Words: max-length, max-length-bytes, overflow, message-ttl, expires, dead-letter-exchange, dead-letter-routing-key,
delivery-limit, durability; of streams max-age, of exchanges alternate-exchange. Of a policy and what a queue was declared with, the smaller
limit holds. It takes effect at once, also on what waits; cleared, the old limits hold again.

Exit codes: 0 done, 1 failed, 2 usage or a policy that cannot be, 5 refused, 6 not found, 7 no answer in time.";
