//! Clients that others wrote, for STOMP: each in each of its versions over each of its transports through every exercise.

pub(crate) mod exercises;

use std::process::Command;

use anyhow::Result;
use harness::broker::Broker;
use harness::door::Door;
use harness::script::{node, python, ruby};

use crate::stomp_clients::exercises::{EXERCISES, Scene};
use crate::table::{Way, everybody};

/// A client: its name, the doors it can come in by, and the program that is told what to do. All of them speak all versions.
struct Client {
    name: &'static str,
    doors: &'static [Door],
    program: fn() -> Result<Command>,
}

const CLIENTS: &[Client] = &[
    Client { name: "stomp.py", doors: &[Door::Stomp], program: || python("stomp_client.py") },
    Client { name: "stompjs", doors: &[Door::Stomp, Door::Web], program: || node("stomp_client.js") },
    Client { name: "Ruby's stomp", doors: &[Door::Stomp], program: || ruby("stomp_client.rb") },
];

const VERSIONS: [&str; 3] = ["1.0", "1.1", "1.2"];

#[test]
fn clients_that_others_wrote_do_every_exercise_in_every_version_on_every_transport() -> Result<()> {
    let broker = Broker::new()?;
    let mut ways = Vec::new();
    for client in CLIENTS {
        for version in VERSIONS {
            for &door in client.doors {
                let transport = if door == Door::Web { "WebSocket" } else { "TCP" };
                let (program, port, address) =
                    (client.program, broker.at(door).port(), broker.at(Door::Stomp));
                let name = format!("{} {version} over {transport}", client.name);
                ways.push(Way::new(name.clone(), move |number| {
                    let name = format!("{name} ({number})");
                    let program = Box::new(program);
                    let mut scene =
                        Scene { name, program, version, door, port, address, number, client: None };
                    scene.run(EXERCISES)
                }));
            }
        }
    }
    everybody(ways)
}
