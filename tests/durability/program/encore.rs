//! After all is over and the broker has stopped and started in order: what was settled does not come back.

use std::time::Duration;

use anyhow::Result;
use harness::mqtt::Client as Mqtt;
use harness::mqtt::write::Connect;
use harness::socket::Next;
use harness::stomp::{Client as Stomp, Frame};

use crate::scene::Scene;
use crate::{readers, subscriber};

/// Everybody who listened comes once more, and must hear nothing.
pub(crate) fn listen(scene: &Scene) -> Result<()> {
    for part in subscriber::LASTING {
        let name = part.name;
        let (mut client, connack) = Mqtt::connect(scene.mqtt, &Connect::lasting(part.version(), name))?;
        if !connack.session_present {
            scene.complain(format!("{name}: its session was gone in the end"));
        }
        while let Next::Some(packet) = client.next(PATIENCE)? {
            scene.complain(format!("{name} had settled everything, and got {packet:?}"));
        }
    }
    for queue in ["/queue/crash", "/queue/work", "/queue/auto"] {
        let mut client = Stomp::new(scene.stomp)?;
        client.send(&Frame::new("SUBSCRIBE").with("id", "0").with("destination", queue))?;
        while let Next::Some(frame) = client.next(PATIENCE)? {
            scene.complain(format!("{queue}: everything was settled, and here is {frame:?}"));
        }
    }
    Ok(readers::read_again(scene)?)
}

const PATIENCE: Duration = Duration::from_millis(500);
