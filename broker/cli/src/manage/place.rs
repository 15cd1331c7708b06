//! Place: which broker a command is about, and who asks it

use std::path::PathBuf;

use clap::Args;

use super::ask::Place;
use crate::client::trust::TrustArgs;
use crate::failure::Failure;

/// Which broker, and who asks it.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(next_help_heading = "Broker")]
pub(crate) struct PlaceArgs {
    /// The data directory of the broker; otherwise the one that `duetmq serve` would use here.
    #[arg(short, long, value_name = "DIR", conflicts_with = "admin")]
    data_dir: Option<PathBuf>,
    /// The admin listener of the broker instead, such as http://127.0.0.1:15672 or https://broker.example.org:15671.
    #[arg(long, visible_alias = "url", value_name = "URL")]
    admin: Option<String>,
    /// User name, for --admin.
    #[arg(long, env = "DUETMQ_USER", value_name = "NAME")]
    user: Option<String>,
    /// Password; others on this machine cannot see it in the environment as they can on a command line.
    #[arg(long, env = "DUETMQ_PASSWORD", value_name = "PASSWORD", hide_env_values = true)]
    password: Option<String>,
    #[command(flatten)]
    trust: TrustArgs,
}

/// The same, of commands to which `--user` means somebody else.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(next_help_heading = "Broker")]
pub(crate) struct PlaceBesideUserArgs {
    /// The data directory of the broker; otherwise the one that `duetmq serve` would use here.
    #[arg(short, long, value_name = "DIR", conflicts_with = "admin")]
    data_dir: Option<PathBuf>,
    /// The admin listener of the broker instead, such as http://127.0.0.1:15672.
    #[arg(long, visible_alias = "url", value_name = "URL")]
    admin: Option<String>,
    /// Name of the user who asks, for --admin.
    #[arg(long, env = "DUETMQ_USER", value_name = "NAME")]
    admin_user: Option<String>,
    /// His password; others on this machine cannot see it in the environment as they can on a command line.
    #[arg(long, env = "DUETMQ_PASSWORD", value_name = "PASSWORD", hide_env_values = true)]
    password: Option<String>,
    #[command(flatten)]
    trust: TrustArgs,
}

impl PlaceBesideUserArgs {
    /// As [`PlaceArgs::place`].
    pub(crate) fn place(self, default: impl FnOnce() -> Result<PathBuf, String>) -> Result<Place, Failure> {
        let Self { data_dir, admin, admin_user: user, password, trust } = self;
        PlaceArgs { data_dir, admin, user, password, trust }.place(default)
    }
}

impl PlaceArgs {
    /// Where that is; `default` is the data directory where nothing says so, or why there is none.
    pub(crate) fn place(self, default: impl FnOnce() -> Result<PathBuf, String>) -> Result<Place, Failure> {
        match (self.admin, self.data_dir) {
            (Some(url), _) => {
                let user = self.user.filter(|user| !user.is_empty());
                let login = user.map(|user| (user, self.password.unwrap_or_default()));
                Place::admin(&url, login, |is_secure| self.trust.trust(is_secure))
            }
            (None, Some(directory)) => Ok(Place::Data(directory)),
            (None, None) => Ok(Place::Data(default().map_err(Failure::usage)?)),
        }
    }
}

/// All but letters and digits as `%XX`: right in any place of a URL.
pub(crate) fn encoded(text: &str) -> String {
    let byte = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    };
    text.bytes().map(byte).collect()
}
