//! Case: what a client sends, and what it hears.

use harness::mqtt::version::Version;

/// A sequence with its answer.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    /// Version, table, row.
    pub(crate) name: String,
    /// What the client speaks.
    pub(crate) version: Version,
    /// Whether a good CONNECT goes before; else this is the first that is said.
    pub(crate) is_in: bool,
    /// What is sent, at once.
    pub(crate) sends: Vec<u8>,
    /// Whether the client says no more after it: what came is all there is of its packet.
    pub(crate) is_cut: bool,
    /// What is heard: each packet as [`crate::run::said`] writes it, then `on` if the connection goes on, or `end`.
    pub(crate) hears: String,
}

/// Makes the cases of a table.
pub(crate) struct Table {
    name: &'static str,
    version: Version,
    made: Vec<Case>,
}

impl Table {
    pub(crate) const fn new(name: &'static str, version: Version) -> Self {
        Self { name, version, made: Vec::new() }
    }

    pub(crate) fn done(self) -> Vec<Case> {
        self.made
    }

    pub(crate) fn is_5(&self) -> bool {
        self.version == Version::V5
    }

    /// Whatever is heard.
    pub(crate) fn add(&mut self, row: impl AsRef<str>, is_in: bool, sends: Vec<u8>, hears: &str) {
        let name = format!("{:?} {}: {}", self.version, self.name, row.as_ref());
        let hears = hears.to_owned();
        self.made.push(Case { name, version: self.version, is_in, sends, is_cut: false, hears });
    }

    /// A client that is in says something legal: these packets come, and it stays in.
    pub(crate) fn good(&mut self, row: impl AsRef<str>, sends: Vec<u8>, hears: &str) {
        let hears = if hears.is_empty() { "on".to_owned() } else { format!("{hears}, on") };
        self.add(row, true, sends, &hears);
    }

    /// A client that is in says something illegal: in 5.0 DISCONNECT with this code, in 3.x only the end (4.13.1; 3.1.1, 4.8).
    pub(crate) fn bad(&mut self, row: impl AsRef<str>, sends: Vec<u8>, code: u8) {
        let hears = if self.is_5() { format!("DISCONNECT {code:02x}, end") } else { "end".to_owned() };
        self.add(row, true, sends, &hears);
    }

    /// A first packet that lets the client in.
    pub(crate) fn admitted(&mut self, row: impl AsRef<str>, sends: Vec<u8>) {
        self.add(row, false, sends, "CONNACK 00, on");
    }

    /// A first packet that does not: in 5.0 CONNACK with this code; in 3.x the end (3.1.4-1).
    pub(crate) fn refused(&mut self, row: impl AsRef<str>, sends: Vec<u8>, code: u8) {
        let hears = if self.is_5() { format!("CONNACK {code:02x}, end") } else { "end".to_owned() };
        self.add(row, false, sends, &hears);
    }

    /// A first packet that is in order, from somebody whom the broker does not know (3.2.2.2; 3.1.1, 3.2.2.3).
    pub(crate) fn unknown(&mut self, row: impl AsRef<str>, sends: Vec<u8>) {
        self.add(row, false, sends, if self.is_5() { "CONNACK 86, end" } else { "CONNACK 04, end" });
    }

    /// The case that was made last, to say more of it.
    pub(crate) fn last(&mut self) -> Option<&mut Case> {
        self.made.last_mut()
    }

    /// A packet that stops in the middle, and so does its client.
    pub(crate) fn cut(&mut self, row: impl AsRef<str>, is_in: bool, sends: Vec<u8>) {
        self.add(row, is_in, sends, "end");
        if let Some(case) = self.last() {
            case.is_cut = true;
        }
    }
}
