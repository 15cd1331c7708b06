//! Case: what is declared and done, and how both brokers did.

use anyhow::Result;

use crate::peer::Peer;
use crate::stage::Stage;
use crate::topology::Topology;

/// What is done with a broker.
type Play = Box<dyn Fn(&mut Stage<'_>) -> Result<()> + Send + Sync>;

/// Something that is done with both brokers.
pub(crate) struct Case {
    /// What it is about, the heading of its table.
    pub(crate) group: &'static str,
    /// What is done, for people.
    pub(crate) name: &'static str,
    /// What is there before.
    pub(crate) topology: Topology,
    /// Why ours does something else, where it does on purpose.
    pub(crate) reason: Option<&'static str>,
    play: Play,
}

impl Case {
    /// A case in which both are to do the same.
    pub(crate) fn new(
        name: &'static str,
        topology: Topology,
        play: impl Fn(&mut Stage<'_>) -> Result<()> + Send + Sync + 'static,
    ) -> Self {
        Self { group: "", name, topology, reason: None, play: Box::new(play) }
    }

    /// One in which ours differs, and why.
    pub(crate) const fn but(mut self, reason: &'static str) -> Self {
        self.reason = Some(reason);
        self
    }

    /// Under a heading.
    pub(crate) const fn of(mut self, group: &'static str) -> Self {
        self.group = group;
        self
    }

    /// What a broker did; that it failed to do anything is something that was seen as well.
    pub(crate) fn play(&self, peer: &mut Peer, prefix: &str) -> Vec<String> {
        let declared = peer.declare(&self.topology.named(prefix));
        let mut stage = Stage::new(peer, prefix);
        if let Err(error) = declared.and_then(|()| (self.play)(&mut stage)) {
            let text: String = format!("{error:#}").chars().take(300).collect();
            stage.see(format!("failed: {text}"));
        }
        stage.seen()
    }
}

/// A case that was played.
pub(crate) struct Row {
    /// Which.
    pub(crate) case: Case,
    /// What DuetMQ did.
    pub(crate) ours: Vec<String>,
    /// What RabbitMQ did.
    pub(crate) theirs: Vec<String>,
}

/// How a row is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Both did the same.
    Same,
    /// Ours did something else, and says why.
    OnPurpose,
    /// They differ, and nobody said why; or somebody says why they differ, and they do not.
    Wrong,
}

impl Row {
    /// Whether it is as it should be.
    pub(crate) fn verdict(&self) -> Verdict {
        let failed = self.ours.iter().chain(&self.theirs).any(|line| line.starts_with("failed: "));
        match (self.ours == self.theirs, self.case.reason.is_some()) {
            (true, false) if !failed => Verdict::Same,
            (false, true) if !failed => Verdict::OnPurpose,
            (true | false, true | false) => Verdict::Wrong,
        }
    }
}
