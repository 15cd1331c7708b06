//! Arguments, wiring, wait.

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use server::arguments::{Arguments, Command, KeepArgs, ServeArgs};
use server::config::{Config, Surroundings};
use server::failure::{Code, Failure, tell};
use server::keep::Way;

fn main() -> ExitCode {
    let around = Surroundings::here();
    let done = match Arguments::parse().command {
        Some(Command::Serve(arguments)) => serve(&arguments, &around),
        Some(Command::Check(arguments)) => check(&arguments, &around),
        Some(Command::Passwd(arguments)) => server::passwd::run(&arguments, &around),
        Some(Command::Acl(arguments)) => match server::acl::run(&arguments, &around) {
            Ok(false) => return Code::Refused.into(),
            answer => answer.map(drop),
        },
        Some(Command::Fsck(arguments)) => server::fsck::run(&arguments, || {
            data_dir(&around).map_err(|text| Failure { code: Code::Usage, text })
        }),
        Some(Command::Backup(arguments)) => keep(Way::There, &arguments, &around),
        Some(Command::Restore(arguments)) => keep(Way::Back, &arguments, &around),
        Some(Command::Guarantees(arguments)) => {
            server::guarantees::run(&arguments);
            Ok(())
        }
        Some(Command::Cert(arguments)) => return cli::run_cert(arguments),
        Some(Command::Pub(arguments)) => return ask(cli::run_pub(arguments)),
        Some(Command::Sub(arguments)) => return ask(cli::run_sub(arguments)),
        Some(Command::List(arguments)) => return ask(cli::run_list(arguments, || data_dir(&around))),
        Some(Command::Show(arguments)) => return ask(cli::run_show(arguments, || data_dir(&around))),
        Some(Command::Declare(arguments)) => return ask(cli::run_declare(arguments, || data_dir(&around))),
        Some(Command::Delete(arguments)) => return ask(cli::run_delete(arguments, || data_dir(&around))),
        Some(Command::Bind(arguments)) => return ask(cli::run_bind(arguments, || data_dir(&around))),
        Some(Command::Unbind(arguments)) => return ask(cli::run_unbind(arguments, || data_dir(&around))),
        Some(Command::Purge(arguments)) => return ask(cli::run_purge(arguments, || data_dir(&around))),
        Some(Command::Replay(arguments)) => return ask(cli::run_replay(arguments, || data_dir(&around))),
        Some(Command::Policy(arguments)) => return ask(cli::run_policy(arguments, || data_dir(&around))),
        Some(Command::Ban(arguments)) => return ask(cli::run_ban(arguments, || data_dir(&around))),
        Some(Command::Unban(arguments)) => return ask(cli::run_unban(arguments, || data_dir(&around))),
        Some(Command::Kick(arguments)) => return ask(cli::run_kick(arguments, || data_dir(&around))),
        Some(Command::Export(arguments)) => return ask(cli::run_export(arguments, || data_dir(&around))),
        Some(Command::Import(arguments)) => return ask(cli::run_import(arguments, || data_dir(&around))),
        Some(Command::Explain(arguments)) => return ask(cli::run_explain(arguments, || data_dir(&around))),
        Some(Command::Bench(arguments)) => {
            // Each connection is one.
            server::files::raise();
            return ask(cli::run_bench(arguments));
        }
        Some(Command::Conform(arguments)) => return cli::run_conform(&arguments),
        None => return alone(&around),
    };
    report(done)
}

/// No command: somebody who tries it out gets a broker, a script gets told.
fn alone(around: &Surroundings) -> ExitCode {
    let is_person = io::stdin().is_terminal() && io::stderr().is_terminal();
    match around.file() {
        None if is_person => {
            let dev = ServeArgs { dev: true, ..ServeArgs::default() };
            return report(serve(&dev, around));
        }
        Some(file) if is_person => {
            tell(&format!("{} is there; `duetmq serve` runs the broker with it\n", file.display()))
        }
        Some(_) | None => {}
    }
    tell(&Arguments::command().render_help().to_string());
    Code::Usage.into()
}

fn serve(arguments: &ServeArgs, around: &Surroundings) -> Result<(), Failure> {
    server::wiring::run(&load(arguments, around)?, (arguments.clone(), around.clone()))
}

fn check(arguments: &ServeArgs, around: &Surroundings) -> Result<(), Failure> {
    let text = load(arguments, around)?.print();
    // Whoever reads it may have seen enough before the end.
    let _ = io::stdout().write_all(text.as_bytes());
    Ok(())
}

fn keep(way: Way, arguments: &KeepArgs, around: &Surroundings) -> Result<(), Failure> {
    server::keep::run(way, arguments, || data_dir(around).map_err(|text| Failure { code: Code::Usage, text }))
}

/// Where `duetmq serve` would keep its data here.
fn data_dir(around: &Surroundings) -> Result<PathBuf, String> {
    let config = load(&ServeArgs::default(), around).map_err(|failure| failure.text)?;
    Ok(config.data_dir().to_owned())
}

/// Runs a command that asks a broker; it tells its troubles itself.
fn ask(command: impl Future<Output = ExitCode>) -> ExitCode {
    match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(command),
        Err(error) => report(Err(Failure { code: Code::Other, text: error.to_string() })),
    }
}

fn load(arguments: &ServeArgs, around: &Surroundings) -> Result<Config, Failure> {
    Config::load(arguments, around).map_err(|errors| {
        let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
        Failure { code: Code::Usage, text: lines.join("\n") }
    })
}

fn report(done: Result<(), Failure>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            tell(&failure.to_string());
            failure.code.into()
        }
    }
}
