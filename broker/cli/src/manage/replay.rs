//! Replay: what is in a queue, read again from somewhere on, and nothing is taken from it

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, UNIX_EPOCH};

use clap::{Args, ValueEnum};
use model::stream::Start;
use model::time::WallMs;
use serde_json::{Value, json};

use super::ask::Place;
use super::place::{PlaceArgs, encoded};
use super::table::clean;
use super::tell::{end, print};
use crate::failure::Failure;
use crate::output::stamp::rfc3339;

/// Read what is in a queue again, without taking it: a stream, dead letters, any queue; or publish it again.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(after_help = EXAMPLES)]
pub struct ReplayArgs {
    /// The queue.
    queue: String,
    /// Where to start: first, last, last=COUNT, an offset, or a time as 2026-01-31T10:00:00Z.
    #[arg(long, value_name = "START", default_value = "first", value_parser = start)]
    from: Start,
    /// Publish each message again, there: an MQTT topic, or with --protocol stomp a destination. Without it, they are printed.
    #[arg(long, value_name = "DEST")]
    to: Option<String>,
    /// Whose words DEST is in [default: STOMP's, if it begins with a slash].
    #[arg(long, value_enum, requires = "to")]
    protocol: Option<Protocol>,
    /// At most so many; otherwise all that there are when it begins.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// The virtual host.
    #[arg(short = 'V', long, default_value = "/", value_name = "VHOST")]
    vhost: String,
    /// A JSON object for each message; with --to, one that says what was done.
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

/// Replays; exit code 0, 1, 2, 5, 6 or 7. `default` is the data directory where the arguments name none, or why there is none.
pub async fn run_replay(args: ReplayArgs, default: impl FnOnce() -> Result<PathBuf, String>) -> ExitCode {
    end(replay(args, default).await)
}

async fn replay(args: ReplayArgs, default: impl FnOnce() -> Result<PathBuf, String>) -> Result<(), Failure> {
    let ReplayArgs { queue, from, to, protocol, count, vhost, json, broker } = args;
    let at = At { path: format!("/api/v1/streams/{}", encoded(&queue)), vhost: encoded(&vhost) };
    let place = broker.place(default)?;
    let left = count.unwrap_or(u64::MAX);
    match to {
        None => show(&place, &at, from, left, json).await,
        Some(to) => {
            let is_stomp = protocol.map_or(to.starts_with('/'), |protocol| protocol == Protocol::Stomp);
            let protocol = if is_stomp { "stomp" } else { "mqtt" };
            let (published, unrouted) = publish(&place, &at, from, left, (&to, protocol)).await?;
            if json {
                let told = json!({ "published": published, "unrouted": unrouted });
                return print(&format!("{told}\n"));
            }
            let lost = match unrouted {
                0 => String::new(),
                count => format!("; no queue took {count} of them"),
            };
            print(&format!("{published} messages of {queue:?} published to {to:?}{lost}\n"))
        }
    }
}

/// Which queue, for a request.
struct At {
    path: String,
    vhost: String,
}

async fn show(place: &Place, at: &At, mut from: Start, mut left: u64, json: bool) -> Result<(), Failure> {
    // What comes while it is read is not read: or it might never end.
    let mut newest = None;
    loop {
        let limit = left.min(PORTION);
        let At { path, vhost } = at;
        let query = format!("{path}?vhost={vhost}&from={}&limit={limit}", encoded(&from.to_string()));
        let answer = place.get(&query).await?;
        let through = *newest.get_or_insert(answer["newest"].as_u64().unwrap_or(u64::MAX));
        for item in answer["items"].as_array().into_iter().flatten() {
            if item["offset"].as_u64().is_none_or(|offset| offset > through) {
                return Ok(());
            }
            print(&if json { format!("{item}\n") } else { line(item) })?;
            left -= 1;
        }
        match answer["next"].as_u64().filter(|next| left > 0 && *next <= through) {
            Some(next) => from = Start::Offset(next),
            None => return Ok(()),
        }
    }
}

async fn publish(
    place: &Place,
    at: &At,
    mut from: Start,
    mut left: u64,
    (to, protocol): (&str, &str),
) -> Result<(u64, u64), Failure> {
    let path = format!("{}/replay?vhost={}", at.path, at.vhost);
    let (mut published, mut unrouted, mut through) = (0, 0, None);
    loop {
        let body = json!({
            "from": from.to_string(), "to": to, "protocol": protocol, "limit": left.min(PORTION), "through": through,
        });
        let answer =
            place.ask("POST", &path, Some(&body)).await.map_err(|failure| so_far(failure, published))?;
        let done = answer.value["published"].as_u64().unwrap_or(0);
        published += done;
        left -= done.min(left);
        unrouted += answer.value["unrouted"].as_u64().unwrap_or(0);
        through = through.or(answer.value["through"].as_u64());
        match answer.value["next"].as_u64().filter(|_| left > 0) {
            Some(next) => from = Start::Offset(next),
            None => return Ok((published, unrouted)),
        }
    }
}

/// Whoever goes on has to know how much was done.
fn so_far(failure: Failure, published: u64) -> Failure {
    if published == 0 {
        return failure;
    }
    Failure { text: format!("{} ({published} messages were published before)", failure.text), ..failure }
}

/// Offset, time, topic and payload.
fn line(item: &Value) -> String {
    let at = UNIX_EPOCH + Duration::from_millis(item["at_ms"].as_u64().unwrap_or(0));
    let key = item["key"].as_str().unwrap_or_default();
    let topic = match item["exchange"].as_str().unwrap_or_default() {
        "amq.topic" => key.to_owned(),
        "" => format!("$queue/{key}"),
        name => format!("$exchange/{name}/{key}"),
    };
    let payload = match (item["payload"].as_str(), item["payload_base64"].as_str()) {
        (Some(text), _) => clean(text),
        (None, bytes) => format!("base64:{}", bytes.unwrap_or_default()),
    };
    format!("{} {} {} {payload}\n", item["offset"], rfc3339(at), clean(&topic))
}

fn start(text: &str) -> Result<Start, String> {
    let start = Start::parse(text).or_else(|| WallMs::parse(text).map(Start::At));
    start.ok_or_else(|| Start::EXPECTED.to_owned())
}

/// So many are asked for at once.
const PORTION: u64 = 500;

const EXAMPLES: &str = "\
Examples:
  duetmq replay chat                                all that is in the stream, an offset and a time before each
  duetmq replay chat --from last=50
  duetmq replay chat --from 2026-01-31T10:00:00Z --json
  duetmq replay failed --to /queue/jobs             dead letters back to where they came from; they stay here, too
  duetmq replay chat --from 1200 --count 100 --to archive/chat

Nothing is taken, and nobody who reads or consumes the queue notices. What comes in meanwhile is left out.

Exit codes: 0 done, 1 no broker answers, 2 usage, 5 refused, 6 there is no such queue, 7 no answer in time.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_where_and_when_and_what() {
        let item = json!({"offset": 7, "at_ms": 1_769_853_600_123_u64, "exchange": "amq.topic", "key": "a/b", "payload": "x\ny"});
        assert_eq!(line(&item), "7 2026-01-31T10:00:00.123Z a/b x\\ny\n");
        let item = json!({"offset": 8, "at_ms": 0, "exchange": "", "key": "jobs", "payload_base64": "/wA="});
        assert_eq!(line(&item), "8 1970-01-01T00:00:00.000Z $queue/jobs base64:/wA=\n");
    }

    #[test]
    fn a_start_may_be_a_time_alone() {
        assert_eq!(start("2026-01-31T10:00:00Z"), Ok(Start::At(WallMs(1_769_853_600_000))));
        assert_eq!((start("last=5"), start("12")), (Ok(Start::Last(5)), Ok(Start::Offset(12))));
        assert!(start("yesterday").is_err());
    }
}
