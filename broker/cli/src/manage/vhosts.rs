//! Vhosts: made, limited and deleted by commands

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::ask::Answer;
use super::place::{PlaceArgs, encoded};
use super::tell::print;
use crate::failure::Failure;

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub(crate) struct VhostArgs {
    /// Its name.
    #[arg(value_name = "NAME")]
    name: String,
    /// The most clients that are in at a time. Where one of the limits is given, the other is as it says here.
    #[arg(long, value_name = "NUMBER")]
    max_connections: Option<u64>,
    /// The most queues that are nobody's own.
    #[arg(long, value_name = "NUMBER")]
    max_queues: Option<u64>,
    /// Tell what was done as a JSON object.
    #[arg(long)]
    json: bool,
    // Last: its heading stands above all that follows.
    #[command(flatten)]
    broker: PlaceArgs,
}

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub(crate) struct DeleteVhostArgs {
    /// Its name.
    #[arg(value_name = "NAME")]
    name: String,
    /// Also if there is something in it: its clients are cut off, its messages are gone.
    #[arg(long)]
    force: bool,
    /// Tell what was done as a JSON object.
    #[arg(long)]
    json: bool,
    // Last: its heading stands above all that follows.
    #[command(flatten)]
    broker: PlaceArgs,
}

pub(crate) async fn declare(
    args: VhostArgs,
    default: impl FnOnce() -> Result<PathBuf, String>,
) -> Result<(), Failure> {
    let VhostArgs { name, max_connections, max_queues, json, broker } = args;
    let limits = [("max-connections", max_connections), ("max-queues", max_queues)];
    let limits: serde_json::Map<_, _> =
        limits.into_iter().filter_map(|(name, most)| Some((name.to_owned(), most?.into()))).collect();
    let body = if limits.is_empty() { json!({}) } else { json!({ "limits": limits }) };
    let path = format!("/api/vhosts/{}", encoded(&name));
    let Answer { is_new, .. } = broker.place(default)?.ask("PUT", &path, Some(&body)).await?;
    let text = format!("vhost {name:?} {}", if is_new { "declared" } else { "is there" });
    print(&if json {
        format!("{}\n", json!({ "vhost": name, "created": is_new }))
    } else {
        format!("{text}\n")
    })
}

pub(crate) async fn delete(
    args: DeleteVhostArgs,
    default: impl FnOnce() -> Result<PathBuf, String>,
) -> Result<(), Failure> {
    let DeleteVhostArgs { name, force, json, broker } = args;
    let path = format!("/api/vhosts/{}{}", encoded(&name), if force { "?force=true" } else { "" });
    broker.place(default)?.ask("DELETE", &path, None).await?;
    let told = json!({ "vhost": name, "deleted": true });
    print(&if json { format!("{told}\n") } else { format!("vhost {name:?} deleted\n") })
}
