//! Arguments: what the command line may say.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// A message broker: MQTT and STOMP on one routing core, durable by default.
#[derive(Debug, Parser)]
#[command(name = "duetmq", version, after_help = EXAMPLES)]
pub struct Arguments {
    /// What to do; on a terminal, without a configuration, `serve --dev`.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the broker.
    #[command(after_help = SERVE_EXAMPLES)]
    Serve(ServeArgs),
    /// Check the configuration, and print every value that holds with its origin.
    #[command(after_help = CHECK_EXAMPLES)]
    Check(ServeArgs),
    /// Manage the users of a password file.
    #[command(after_help = PASSWD_EXAMPLES)]
    Passwd(PasswdArgs),
    /// Say who may do what, and which rule decides.
    #[command(after_help = ACL_EXAMPLES)]
    Acl(AclArgs),
    /// Check a store while no broker has it open; with --repair, put aside what is damaged.
    #[command(after_help = FSCK_EXAMPLES)]
    Fsck(FsckArgs),
    /// Copy a store to a directory, whether a broker has it open or not.
    #[command(after_help = BACKUP_EXAMPLES)]
    Backup(KeepArgs),
    /// Put a backup where a broker is to find it.
    #[command(after_help = RESTORE_EXAMPLES)]
    Restore(KeepArgs),
    /// Make certificates to try TLS with, or show what is in one.
    Cert(cli::CertArgs),
    /// Print what is safe when, with the tests that show it.
    #[command(after_help = GUARANTEES_EXAMPLES)]
    Guarantees(GuaranteesArgs),
    /// Publish messages.
    Pub(cli::PubArgs),
    /// Subscribe, and print what comes.
    Sub(cli::SubArgs),
    /// List who is there, who listens to what, who is banned, and which exchanges, queues, bindings and policies there are.
    List(cli::ListArgs),
    /// Show one exchange, queue, policy or session, or how much there is of everything.
    Show(cli::ShowArgs),
    /// Declare an exchange, a queue or a binding.
    Declare(cli::DeclareArgs),
    /// Delete an exchange, a queue or a binding.
    Delete(cli::DeleteArgs),
    /// Draw a line from an exchange to a queue, or to another exchange.
    Bind(cli::BindArgs),
    /// Take such a line away.
    Unbind(cli::BindArgs),
    /// Take all messages that wait out of a queue.
    Purge(cli::PurgeArgs),
    /// Read what is in a queue without taking it, a stream from any offset or moment; or publish it again.
    Replay(cli::ReplayArgs),
    /// Say what holds for queues and exchanges by their names.
    Policy(cli::PolicyArgs),
    /// Keep a client id, a user or an address out.
    Ban(cli::BanArgs),
    /// Let a client id, a user or an address in again.
    Unban(cli::UnbanArgs),
    /// End the connections of a client id, a user or an address.
    Kick(cli::KickArgs),
    /// Write all exchanges, queues and bindings to a file.
    Export(cli::ExportArgs),
    /// Declare what a file of definitions has, ours or RabbitMQ's.
    Import(cli::ImportArgs),
    /// Explain the way that a message would take, or what a subscription would make.
    Explain(cli::ExplainArgs),
    /// Measure a broker: rate, latency, what is lost.
    Bench(cli::BenchArgs),
    /// Run our conformance cases against a broker.
    Conform(cli::ConformArgs),
}

/// What is said about the configuration; stronger than the environment, which is stronger than the file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub struct ServeArgs {
    /// The configuration; otherwise what DUETMQ_CONFIG names, ./duetmq.toml, or /etc/duetmq/duetmq.toml.
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// For development: also serve the demo pages, on http://127.0.0.1:15672/.
    #[arg(long)]
    pub dev: bool,
    /// Store nothing: nothing survives the end of the process.
    #[arg(long)]
    pub memory: bool,
    /// Where everything that lasts is kept.
    #[arg(short, long, value_name = "DIR")]
    pub data_dir: Option<String>,
    /// Listen here, instead of the default or configured places: mqtt://, stomp://, ws://, auto://,
    /// http:// (admin); by TLS with [tls.default]: mqtts://, stomps://, wss://, auto+tls://, https://.
    #[arg(long, value_name = "URL")]
    pub listen: Vec<String>,
    /// Any key of the configuration, such as mqtt.max_packet=64KiB or listener.0.bind=0.0.0.0:1883.
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// What to log: error, warn, info, debug, trace or off, and target=level after commas.
    #[arg(long, value_name = "LEVEL")]
    pub log_level: Option<String>,
    /// How to log: text or json.
    #[arg(long, value_name = "FORMAT")]
    pub log_format: Option<String>,
}

/// Which store is to be checked.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct FsckArgs {
    /// The data directory; otherwise the one that `duetmq serve` would use here.
    pub data_dir: Option<PathBuf>,
    /// Move what is damaged to quarantine/ in the data directory, and keep all that is sound.
    #[arg(long)]
    pub repair: bool,
}

/// Where a backup is, and where the data.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct KeepArgs {
    /// The directory of the backup.
    pub dir: PathBuf,
    /// The data directory; otherwise the one that `duetmq serve` would use here.
    #[arg(short, long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
}

/// How guarantees are printed.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct GuaranteesArgs {
    /// A JSON object a line.
    #[arg(long)]
    pub json: bool,
}

/// What is to be done with a password file.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct PasswdArgs {
    /// What to do.
    #[command(subcommand)]
    pub action: PasswdAction,
    /// The password file; otherwise what auth.file.path of the configuration names.
    #[arg(short, long, value_name = "FILE", global = true)]
    pub file: Option<PathBuf>,
}

/// A question about rules.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct AclArgs {
    /// What to do.
    #[command(subcommand)]
    pub action: AclAction,
}

/// What to do with rules. No broker is asked: the configuration and the file of rules are read as they are.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum AclAction {
    /// Whether a user may do something, and by which rule. Exchanges are taken for topic exchanges.
    Test(AclTestArgs),
}

/// Who may do what?
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct AclTestArgs {
    /// The user; `-` is nobody by name, or whoever the token names.
    pub user: String,
    /// What he would do.
    #[arg(value_parser = ["connect", "publish", "retain", "subscribe", "consume", "configure"])]
    pub action: String,
    /// A topic, a filter, or a queue as $queue/NAME; none to connect.
    pub topic: Option<String>,
    /// The client that he would do it with.
    #[arg(long, value_name = "ID")]
    pub client: Option<String>,
    /// The signed token that he would show, in a file, or `-` for stdin: with its rules. Lists of keys at a URL are not fetched.
    #[arg(long, value_name = "FILE", conflicts_with = "claim")]
    pub token: Option<PathBuf>,
    /// The rules that his token would bring along, as auth.jwt.acl_claim has them.
    #[arg(long, value_name = "JSON")]
    pub claim: Option<String>,
    /// The virtual host that he would do it in; otherwise the one that his token puts him in, or `/`.
    #[arg(short = 'V', long, value_name = "VHOST")]
    pub vhost: Option<String>,
    /// For programs: an object.
    #[arg(long)]
    pub json: bool,
    /// The configuration; otherwise the one that `duetmq serve` would use here.
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// What to do with a password file. A password is asked for on a terminal, and otherwise read from stdin, one line.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum PasswdAction {
    /// Give a user a password, whether he is new or not.
    Add {
        /// The user.
        user: String,
        /// How often the password is hashed: more makes guessing slower, and each login.
        #[arg(
            long,
            value_name = "COUNT",
            default_value_t = auth::ITERATIONS,
            value_parser = clap::value_parser!(u32).range(i64::from(auth::ITERATIONS_MIN)..=i64::from(auth::ITERATIONS_MAX))
        )]
        iterations: u32,
    },
    /// Remove a user. Whoever is in stays in.
    Rm {
        /// The user.
        user: String,
    },
    /// Say whether that is the password of a user.
    Verify {
        /// The user.
        user: String,
    },
    /// Print the names of all users.
    List,
}

const EXAMPLES: &str = "\
Examples:
  duetmq serve --dev                          try it: MQTT 1883, STOMP 61613, demo http://127.0.0.1:15672/
  duetmq serve -c /etc/duetmq/duetmq.toml     run it
  duetmq check -c duetmq.toml                 what holds, and where it comes from
  duetmq sub -t 'chat/room/+'                 in one window, and in another:
  duetmq pub -t chat/room/5 -m hello
  duetmq list sessions                        who is there
  duetmq declare queue jobs                   and bind it: duetmq bind amq.topic jobs -k 'room.*'";

const SERVE_EXAMPLES: &str = "\
Examples:
  duetmq serve --dev --memory                 nothing is stored
  duetmq serve -d /var/lib/duetmq --listen mqtt://0.0.0.0:1883 --listen stomp://127.0.0.1:61613
  duetmq serve --set auth.anonymous=never --log-level info,engine=debug --log-format json
  DUETMQ_LISTENER__0__BIND=0.0.0.0:1883 duetmq serve

Exit codes: 0 stopped as asked, 1 failed, 2 usage or configuration, 3 cannot listen, 4 data directory in use,
65 store damaged, 74 disk failed.";

const CHECK_EXAMPLES: &str = "\
Examples:
  duetmq check                                the configuration that `duetmq serve` would use here
  duetmq check --set log.level=debug
  duetmq check > duetmq.toml                  every key with its value, as a file to start from

Exit codes: 0 fine, 2 not.";

const ACL_EXAMPLES: &str = "\
Examples:
  duetmq acl test kim subscribe 'room/#'      partly  acl.toml:14: what it denies is left out of what comes
  duetmq acl test kim publish a/b --client phone --json
  duetmq acl test - connect                   somebody without a user name
  duetmq acl test - publish a/b --token kim.jwt         whoever that token names, with the rules that it brings along
  duetmq acl test kim publish a/kim/x --claim '[{\"allow\": [\"publish\"], \"topics\": [\"a/%u/#\"]}]'

Exit codes: 0 allowed, or partly; 2 usage, or a file that cannot be used; 5 denied.";

const FSCK_EXAMPLES: &str = "\
Examples:
  duetmq fsck                                 every byte of the journal is read; damage is named and counted
  duetmq fsck --repair /var/lib/duetmq        what is damaged goes to /var/lib/duetmq/quarantine/; nothing is deleted

Exit codes: 0 sound, or repaired; 4 a broker has the data directory open; 6 no store there; 65 damaged; 74 disk failed.";

const BACKUP_EXAMPLES: &str = "\
Examples:
  duetmq backup /backup/monday -d /var/lib/duetmq     a moment of the store, while it goes on

Exit codes: 0 done, and every byte checked; 2 the directory is not empty; 6 no store there; 65 damaged; 74 disk failed.";

const RESTORE_EXAMPLES: &str = "\
Examples:
  duetmq restore /backup/monday -d /var/lib/duetmq    into a directory that is empty, or not there

Exit codes: 0 done, and every byte checked; 2 the directory is not empty; 6 no backup there; 65 damaged; 74 disk failed.";

const GUARANTEES_EXAMPLES: &str = "\
Examples:
  duetmq guarantees                           docs/guarantees.md, as text
  duetmq guarantees --json | jq .text";

const PASSWD_EXAMPLES: &str = "\
Examples:
  duetmq passwd add alice --file /etc/duetmq/passwd
  printf '%s\\n' \"$SECRET\" | duetmq passwd add alice -f passwd
  duetmq passwd list -f passwd

A broker that uses the file sees the change within a second or two.

Exit codes: 0 done, or right; 1 failed; 2 usage, or a file that cannot be used; 5 wrong password; 6 no such user.";
