//! RabbitMQ and DuetMQ side by side: the same declarations and messages on both, and a table of what came of them.

mod case;
mod cases;
mod http;
mod peer;
mod rabbit;
mod stage;
mod table;
mod topology;

use std::process::ExitCode;
use std::thread;

use anyhow::{Result, anyhow};

use crate::case::{Case, Row, Verdict};
use crate::peer::Peer;
use crate::rabbit::Rabbit;

fn main() -> Result<ExitCode> {
    let mut write = false;
    let mut words = Vec::new();
    for argument in std::env::args().skip(1) {
        match argument.as_str() {
            "--help" | "-h" => {
                println!("{HELP}");
                return Ok(ExitCode::SUCCESS);
            }
            "--write" => write = true,
            flag if flag.starts_with('-') => {
                eprintln!("{flag}: not known\n\n{HELP}");
                return Ok(ExitCode::from(2));
            }
            word => words.push(word.to_lowercase()),
        }
    }
    if write && !words.is_empty() {
        eprintln!("--write is for the whole table, without WORDs");
        return Ok(ExitCode::from(2));
    }
    if !Rabbit::is_there() {
        println!("RabbitMQ is not installed: nothing was compared (apt-get install rabbitmq-server)");
        return Ok(ExitCode::SUCCESS);
    }
    let (rows, version) = play(cases::chosen(&words))?;
    let wrong: Vec<&Row> = rows.iter().filter(|row| row.verdict() == Verdict::Wrong).collect();
    let text = table::written(&rows, &version);
    println!("{text}");
    for row in &wrong {
        println!(
            "DIFFERENT: {}: {}\n  RabbitMQ: {}\n  DuetMQ:   {}",
            row.case.group,
            row.case.name,
            row.theirs.join("; "),
            row.ours.join("; ")
        );
    }
    if write && wrong.is_empty() {
        table::put(&text)?;
    }
    println!("{} cases, {} different without a reason", rows.len(), wrong.len());
    Ok(if wrong.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Both at once, each by itself.
fn play(cases: Vec<(String, Case)>) -> Result<(Vec<Row>, String)> {
    let each = |peer: &mut Peer| -> Vec<Vec<String>> {
        cases.iter().map(|(prefix, case)| case.play(peer, prefix)).collect()
    };
    let (ours, theirs, version) = thread::scope(|scope| -> Result<_> {
        let ours = scope.spawn(|| Peer::ours().map(|mut peer| each(&mut peer)));
        let mut rabbit = Peer::theirs()?;
        let theirs = each(&mut rabbit);
        let ours = ours.join().map_err(|_| anyhow!("a case panicked"))??;
        Ok((ours, theirs, rabbit.version()?))
    })?;
    let rows = cases.into_iter().zip(ours).zip(theirs);
    let rows = rows.map(|(((_, case), ours), theirs)| Row { case, ours, theirs }).collect();
    Ok((rows, version))
}

const HELP: &str = "\
cargo run -p tests --bin beside_rabbitmq -- [--write] [WORD…]

Plays every case with RabbitMQ and with DuetMQ, both started for it on free ports of this machine, and prints what came of it.
Ends with 1 if they differ and no reason is given. A case is played if its name or its heading contains one of the WORDs.

  --write    puts the table into docs/routing.md";
