//! Definitions: exchanges, queues and bindings into a file, and out of one

use std::fs;
use std::io::{Read, Write, stderr, stdin};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde_json::Value;

use super::place::{PlaceArgs, encoded};
use super::table;
use super::tell::{end, print};
use crate::failure::Failure;

/// Write all exchanges, queues and bindings that somebody declared to a file, as RabbitMQ's definitions.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(after_help = EXPORT_EXAMPLES)]
pub struct ExportArgs {
    /// The file; - is standard output.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Of this virtual host alone; otherwise of all of them, each item with the name of its own.
    #[arg(short = 'V', long, value_name = "VHOST")]
    vhost: Option<String>,
    /// As one line, and not for people.
    #[arg(long)]
    json: bool,
    // Last: its heading stands above all that follows.
    #[command(flatten)]
    broker: PlaceArgs,
}

/// Declare what a file of definitions has, ours or RabbitMQ's: all of it, or nothing where something contradicts what is there.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(after_help = IMPORT_EXAMPLES)]
pub struct ImportArgs {
    /// The file; - is standard input.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Into this virtual host, where the file does not name one; what names another one is left out.
    #[arg(short = 'V', long, value_name = "VHOST")]
    vhost: Option<String>,
    /// Only tell what would be done.
    #[arg(long)]
    dry_run: bool,
    /// Do nothing if anything would have to be left out.
    #[arg(long)]
    strict: bool,
    /// Tell what was done as a JSON object.
    #[arg(long)]
    json: bool,
    // Last: its heading stands above all that follows.
    #[command(flatten)]
    broker: PlaceArgs,
}

/// Exports; exit code 0, 1, 2, 5 or 7. `default` is the data directory where the arguments name none, or why there is none.
pub async fn run_export(args: ExportArgs, default: impl FnOnce() -> Result<PathBuf, String>) -> ExitCode {
    end(export(args, default).await)
}

/// Imports; the same.
pub async fn run_import(args: ImportArgs, default: impl FnOnce() -> Result<PathBuf, String>) -> ExitCode {
    end(import(args, default).await)
}

async fn export(args: ExportArgs, default: impl FnOnce() -> Result<PathBuf, String>) -> Result<(), Failure> {
    let value = args.broker.place(default)?.get(&path(args.vhost.as_deref())).await?;
    let text = if args.json { value.to_string() } else { format!("{value:#}") } + "\n";
    if args.file.as_os_str() == "-" {
        return print(&text);
    }
    let failed = |error: std::io::Error| Failure::runtime(format!("{}: {error}", args.file.display()));
    // Under another name until it is whole: half an export is worth less than none.
    let mut unready = args.file.clone().into_os_string();
    unready.push(".new");
    fs::write(&unready, text).map_err(failed)?;
    fs::rename(&unready, &args.file).map_err(failed)
}

async fn import(args: ImportArgs, default: impl FnOnce() -> Result<PathBuf, String>) -> Result<(), Failure> {
    let name = args.file.display().to_string();
    let mut bytes = Vec::new();
    let read = if name == "-" {
        stdin().lock().take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)
    } else {
        fs::File::open(&args.file).and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes))
    };
    read.map_err(|error| Failure::usage(format!("{name}: {error}")))?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(Failure::usage(format!("{name}: definitions have 64 MiB at most")));
    }
    let document: Value = serde_json::from_slice(&bytes)
        .map_err(|error| Failure::usage(format!("{name}: no JSON: {error}")))?;
    let path = path(args.vhost.as_deref());
    let path = format!("{path}?dry_run={}&strict={}", args.dry_run, args.strict);
    let report = args.broker.place(default)?.ask("POST", &path, Some(&document)).await?.value;
    if args.json {
        return print(&format!("{report}\n"));
    }
    let count = |when: &str, what: &str| report.pointer(&format!("/{when}/{what}")).and_then(Value::as_u64);
    let line = |when: &str| {
        let parts = ["vhosts", "exchanges", "queues", "bindings", "policies"]
            .iter()
            .map(|what| (what, count(when, what).unwrap_or_default()))
            // Most brokers have one, and that is always there.
            .filter(|(what, count)| **what != "vhosts" || (when == "created" && *count > 0));
        parts.map(|(what, count)| format!("{count} {what}")).collect::<Vec<_>>().join(", ")
    };
    let verb = if args.dry_run { "would make" } else { "made" };
    print(&format!("{verb} {}; there already: {}\n", line("created"), line("there")))?;
    for item in report.get("left_out").and_then(Value::as_array).into_iter().flatten() {
        let field = |name: &str| table::clean(item.get(name).and_then(Value::as_str).unwrap_or_default());
        let text = format!("left out: {} {:?}: {}\n", field("kind"), field("name"), field("reason"));
        // Whoever closed stderr does not want to know.
        let _ = stderr().write_all(text.as_bytes());
    }
    Ok(())
}

fn path(vhost: Option<&str>) -> String {
    vhost
        .map_or_else(|| "/api/definitions".to_owned(), |vhost| format!("/api/definitions/{}", encoded(vhost)))
}

/// What the broker takes.
const FILE_BYTES_MAX: u64 = 64 << 20;

const EXPORT_EXAMPLES: &str = "\
Examples:
  duetmq export definitions.json
  duetmq export shop.json --vhost shop
  duetmq export - --admin http://127.0.0.1:15672 --user alice | jq .queues

Queues that belong to a session or a connection, and messages, are not among it.

Exit codes: 0 written, 1 failed, 2 usage, 5 refused, 7 no answer in time.";

const IMPORT_EXAMPLES: &str = "\
Examples:
  rabbitmqctl export_definitions definitions.json
  duetmq import definitions.json --dry-run
  duetmq import definitions.json

Users, permissions, operator policies, parameters and quorum queues are left out and named on
standard error, each with all that leads to it; with --strict, nothing is done then.

Exit codes: 0 done, 1 failed, 2 usage, or something contradicts what is there, 5 refused, 7 no answer in time.";
