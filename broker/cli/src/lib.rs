//! Commands for people: what they ask of a broker from outside, in either protocol.
//!
//! | file | what it is for |
//! | --- | --- |
//! | `failure` | why a command ends before its time, and its exit code |
//! | `message` | a message, whatever the protocol |
//! | `output` | messages as lines, by a format or as JSON |
//! | `client` | a small MQTT and STOMP client |
//! | `pubsub` | pub and sub |
//! | `command` | arguments to commands |
//! | `manage` | what a broker that runs tells of itself, and is told to have |
//! | `cert` | certificates to try TLS with, and what is in one |
//! | `bench` | how fast a broker is, and whether all arrives |
//! | `conform` | what a specification asks, case by case |
//!
//! Nothing but `manage` knows our broker: the other commands work against any broker that speaks the protocols.

mod bench;
mod cert;
mod client;
mod command;
mod conform;
mod failure;
mod manage;
mod message;
mod output;
#[cfg(test)]
mod peer;
mod pubsub;

pub use bench::{BenchArgs, run_bench};
pub use cert::{CertArgs, run_cert};
pub use command::{PubArgs, SubArgs, run_pub, run_sub};
pub use conform::{ConformArgs, run_conform};
pub use manage::bans::{BanArgs, KickArgs, UnbanArgs, run_ban, run_kick, run_unban};
pub use manage::definitions::{ExportArgs, ImportArgs, run_export, run_import};
pub use manage::explain::{ExplainArgs, run_explain};
pub use manage::list::{ListArgs, run_list};
pub use manage::policies::{PolicyArgs, run_policy};
pub use manage::replay::{ReplayArgs, run_replay};
pub use manage::show::{ShowArgs, run_show};
pub use manage::topology::{
    BindArgs, DeclareArgs, DeleteArgs, PurgeArgs, run_bind, run_declare, run_delete, run_purge, run_unbind,
};
