//! Bench: how fast a broker is, whichever it is, and whether all that it was given arrives

mod arguments;
mod conn;
mod durable;
mod load;
mod meter;
mod others;
mod probe;
mod publisher;
mod report;
mod stamp;
mod subscriber;
mod tally;

use std::io::{Write, stderr, stdout};
use std::process::ExitCode;

use clap::Args;
use serde_json::Value;

use crate::bench::arguments::What;
use crate::bench::load::Load;
use crate::bench::report::Report;
use crate::command::{end, stop};
use crate::failure::Failure;

/// Measure a broker.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(after_help = EXAMPLES, arg_required_else_help = true)]
pub struct BenchArgs {
    #[command(subcommand)]
    what: What,
}

/// What a run comes to.
struct Told {
    text: String,
    json: Value,
    broken: Vec<String>,
    failure: Option<Failure>,
}

/// Measures, and reports on stdout; exit code 0, 1, 2, 5, 7 or 8 (something was lost, came twice or out of order).
pub async fn run_bench(args: BenchArgs) -> ExitCode {
    let is_json = match &args.what {
        What::Pub(args) => args.common.json,
        What::Sub(args) => args.common.json,
        What::Latency(args) => args.common.json,
        What::Conn(args) => args.common.json,
        What::Durable(args) => args.common.json,
    };
    let told = match measure(args.what).await {
        Ok(told) => told,
        Err(failure) => return end(Err(failure)),
    };
    let text = if is_json { format!("{:#}\n", told.json) } else { told.text };
    // Whoever reads it may have seen enough before the end.
    let _ = stdout().write_all(text.as_bytes());
    if !told.broken.is_empty() {
        let _ = writeln!(stderr(), "duetmq: {}", told.broken.join(", "));
    }
    match told.failure {
        Some(failure) => end(Err(failure)),
        None if told.broken.is_empty() => ExitCode::SUCCESS,
        None => ExitCode::from(BROKEN),
    }
}

async fn measure(what: What) -> Result<Told, Failure> {
    match what {
        What::Pub(args) => run("pub", args.load()?).await,
        What::Sub(args) => run("sub", args.load()?).await,
        What::Latency(args) => run("latency", args.load()?).await,
        What::Conn(args) => {
            let (report, failure) = args.crowd()?.run(stop()).await?;
            Ok(told(&report, failure))
        }
        What::Durable(args) => {
            let found = args.plan()?.run(stop()).await?;
            let broken = found.runs.iter().flat_map(|(_, report)| report.broken.clone()).collect();
            Ok(Told { text: found.text(), json: found.json(), broken, failure: found.failure })
        }
    }
}

async fn run(what: &str, load: Load) -> Result<Told, Failure> {
    let outcome = load.run(stop()).await?;
    Ok(told(&Report::of(what, &load, &outcome), outcome.failure().cloned()))
}

fn told(report: &Report, failure: Option<Failure>) -> Told {
    Told { text: report.text(), json: report.json(), broken: report.broken.clone(), failure }
}

/// The exit code where something was lost, came twice or out of order.
const BROKEN: u8 = 8;

const EXAMPLES: &str = "\
Examples:
  duetmq bench latency                                        1,000 messages a second for 10 s, MQTT 5, QoS 0
  duetmq bench latency --rate 0 -q 1 --pid $(pidof mosquitto)  as fast as it goes, with the CPU that each message costs
  duetmq bench latency -u stomp://127.0.0.1:61613 -r 5000
  duetmq bench pub -q 1 -n 50 -C 100000 & duetmq bench sub -q 1 -C 100000
  duetmq bench conn -n 10000 --ramp 2000 -t 'home/%i' --pid $(pidof duetmq)
  duetmq bench durable --disk /var/lib/duetmq -d 10

Works with any broker that speaks MQTT 3.1, 3.1.1, 5.0 or STOMP, over TCP or WebSocket.

Exit codes: 0 all arrived, 1 failed, 2 usage, 5 not let in or not allowed, 7 no answer in time, 8 something was lost, came
twice (but at QoS 1, which allows it) or out of order.";
