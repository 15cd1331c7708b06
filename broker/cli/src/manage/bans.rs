//! Bans: who stays out, and who is made to go, by commands

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use super::place::{PlaceBesideUserArgs, encoded};
use super::tell::{end, print};
use crate::failure::Failure;

/// Keep a client id, a user or an address out, and end its connections; it is kept across restarts.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(after_help = BAN_EXAMPLES)]
pub struct BanArgs {
    #[command(flatten)]
    subject: Subject,
    /// How long: 30s, 10m, 12h, 7d. Without it, until `duetmq unban`.
    #[arg(long = "for", value_name = "TIME", value_parser = seconds)]
    lasts: Option<u64>,
    /// Why: for the list, the log, and the client.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    common: Common,
}

/// Let a client id, a user or an address in again.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(after_help = UNBAN_EXAMPLES)]
pub struct UnbanArgs {
    #[command(flatten)]
    subject: Subject,
    #[command(flatten)]
    common: Common,
}

/// End the connections of a client id, a user or an address. They may come again.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(after_help = KICK_EXAMPLES)]
pub struct KickArgs {
    #[command(flatten)]
    subject: Subject,
    #[command(flatten)]
    common: Common,
}

/// Who.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[group(required = true, multiple = false)]
struct Subject {
    /// A client id.
    #[arg(long, value_name = "ID")]
    client: Option<String>,
    /// A user.
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// An address; of IPv6, all of its /64.
    #[arg(long, value_name = "ADDRESS")]
    ip: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Args)]
struct Common {
    /// The virtual host whose client id it is; users and addresses are the whole broker's.
    #[arg(short = 'V', long, default_value = "/", value_name = "VHOST")]
    vhost: String,
    /// Tell what was done as a JSON object.
    #[arg(long)]
    json: bool,
    // Last: its heading stands above all that follows.
    #[command(flatten)]
    broker: PlaceBesideUserArgs,
}

/// Bans; exit code 0, 1, 2, 5 or 7. `default` is the data directory where the arguments name none, or why there is none.
pub async fn run_ban(args: BanArgs, default: impl FnOnce() -> Result<PathBuf, String>) -> ExitCode {
    end(ban(args, default).await)
}

/// Takes a ban back; the same, and 6 where there is none.
pub async fn run_unban(args: UnbanArgs, default: impl FnOnce() -> Result<PathBuf, String>) -> ExitCode {
    end(unban(args, default).await)
}

/// Ends connections; the same.
pub async fn run_kick(args: KickArgs, default: impl FnOnce() -> Result<PathBuf, String>) -> ExitCode {
    end(kick(args, default).await)
}

impl Subject {
    fn get(&self) -> (&'static str, &str) {
        match (&self.client, &self.user, &self.ip) {
            (Some(client), _, _) => ("client", client),
            (None, Some(user), _) => ("user", user),
            (None, None, ip) => ("ip", ip.as_deref().unwrap_or_default()),
        }
    }
}

async fn ban(args: BanArgs, default: impl FnOnce() -> Result<PathBuf, String>) -> Result<(), Failure> {
    let BanArgs { subject, lasts, reason, common } = args;
    let (kind, name) = subject.get();
    let body = json!({ kind: name, "for_s": lasts, "reason": reason });
    let path = format!("/api/v1/bans?vhost={}", encoded(&common.vhost));
    let answer = common.broker.place(default)?.ask("POST", &path, Some(&body)).await?;
    let how_long = lasts.map_or_else(|| "until unban".to_owned(), |seconds| format!("for {seconds} s"));
    let text = format!("{kind} {name:?} is banned {how_long}; {} ended", connections(&answer.value));
    tell(common.json, &answer.value, &text)
}

async fn unban(args: UnbanArgs, default: impl FnOnce() -> Result<PathBuf, String>) -> Result<(), Failure> {
    let (kind, name) = args.subject.get();
    let path = format!("/api/v1/bans/{kind}/{}?vhost={}", encoded(name), encoded(&args.common.vhost));
    let answer = args.common.broker.place(default)?.ask("DELETE", &path, None).await?;
    tell(args.common.json, &answer.value, &format!("{kind} {name:?} may come in again"))
}

async fn kick(args: KickArgs, default: impl FnOnce() -> Result<PathBuf, String>) -> Result<(), Failure> {
    let (kind, name) = args.subject.get();
    let body = json!({ kind: name });
    let path = format!("/api/v1/kick?vhost={}", encoded(&args.common.vhost));
    let answer = args.common.broker.place(default)?.ask("POST", &path, Some(&body)).await?;
    tell(args.common.json, &answer.value, &format!("{kind} {name:?}: {} ended", connections(&answer.value)))
}

fn connections(answer: &Value) -> String {
    match answer.get("kicked").and_then(Value::as_u64) {
        Some(1) => "1 connection".to_owned(),
        count => format!("{} connections", count.unwrap_or_default()),
    }
}

fn tell(json: bool, value: &Value, text: &str) -> Result<(), Failure> {
    if json { print(&format!("{value}\n")) } else { print(&format!("{text}\n")) }
}

/// `10m`, in seconds.
fn seconds(text: &str) -> Result<u64, String> {
    let wrong = || "a time such as 30s, 10m, 12h or 7d".to_owned();
    let end = text.find(|char: char| !char.is_ascii_digit()).ok_or_else(wrong)?;
    let (number, unit) = text.split_at(end);
    let unit = match unit {
        "s" => 1,
        "m" | "min" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return Err(wrong()),
    };
    let number: u64 = number.parse().map_err(|_| wrong())?;
    number.checked_mul(unit).filter(|seconds| *seconds > 0).ok_or_else(wrong)
}

const BAN_EXAMPLES: &str = "\
Examples:
  duetmq ban --client sensor-7 --for 10m --reason 'it floods'
  duetmq ban --user mallory
  duetmq ban --ip 192.0.2.7 --for 1d
  duetmq list bans

An address that is banned is closed at once; whoever is known by his client id or his name is told: CONNACK 0x8A
(5 in MQTT 3.x), or ERROR. The broker bans by itself what [ban] in its configuration says.

Exit codes: 0 done, 1 no broker answers, 2 usage, 5 refused, 7 no answer in time.";

const UNBAN_EXAMPLES: &str = "\
Examples:
  duetmq unban --client sensor-7
  duetmq unban --ip 192.0.2.7

Exit codes: 0 done, 1 no broker answers, 2 usage, 5 refused, 6 there is no such ban, 7 no answer in time.";

const KICK_EXAMPLES: &str = "\
Examples:
  duetmq kick --client sensor-7               DISCONNECT 0x98, or ERROR; its session and its will are as ever
  duetmq kick --user mallory

Exit codes: 0 done, 1 no broker answers, 2 usage, 5 refused, 7 no answer in time.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_names_its_unit() {
        for (text, wanted) in [("30s", 30), ("10m", 600), ("12h", 43_200), ("7d", 604_800)] {
            assert_eq!(seconds(text), Ok(wanted));
        }
        for text in ["", "10", "m", "0s", "-1s", "1y", "99999999999999999999d", "1.5h"] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }
}
