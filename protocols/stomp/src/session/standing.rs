//! What a client showed of itself: its token, known again, and for how long it is good.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use bytestring::ByteString;
use model::event::Ending;
use model::name::ClientId;
use model::principal::Credentials;

use crate::frame::Frame;

/// A client's standing.
#[derive(Debug)]
pub(super) struct Standing {
    client: Option<ClientId>,
    address: Option<IpAddr>,
    /// The last token that was good.
    token: Option<Fingerprint>,
    /// The frame that came with another one, which is being looked at.
    held: Option<Box<(Frame, Fingerprint)>>,
    ending: Option<Ending>,
    /// Whether the client was told that it has come.
    told: bool,
}

/// Enough of a token to know it again. The key of the hash is secret, and what is known again was good for this client: a
/// chance in 2^64 gains nothing.
#[derive(Debug)]
struct Fingerprint {
    key: RandomState,
    hash: u64,
}

impl Fingerprint {
    fn new(token: &str) -> Self {
        let key = RandomState::new();
        let hash = key.hash_one(token);
        Self { key, hash }
    }

    fn is_of(&self, token: &str) -> bool {
        self.key.hash_one(token) == self.hash
    }
}

impl Standing {
    /// Of a client that came with that token.
    pub(super) fn new(client: Option<ClientId>, address: Option<IpAddr>, token: Option<&str>) -> Self {
        Self { client, address, token: token.map(Fingerprint::new), held: None, ending: None, told: false }
    }

    /// Holds a frame that comes with another token than the last good one, until it is known whether that is good, and says
    /// what to ask. The token need not be newer: that is for whoever can read it.
    pub(super) fn hold(&mut self, frame: &mut Frame) -> Option<Box<Credentials>> {
        let token = frame.headers.token()?;
        if self.token.as_ref().is_some_and(|known| known.is_of(token)) {
            return None;
        }
        let (fingerprint, token) = (Fingerprint::new(token), ByteString::from(token));
        let frame = std::mem::replace(frame, Frame::new(frame.command));
        self.held = Some(Box::new((frame, fingerprint)));
        let (client, address) = (self.client.clone(), self.address);
        Some(Box::new(Credentials { token: Some(token), client, address, ..Credentials::default() }))
    }

    /// Whether a frame is held.
    pub(super) const fn is_held(&self) -> bool {
        self.held.is_some()
    }

    /// The frame that was held; its token is remembered if it is good.
    pub(super) fn release(&mut self, is_good: bool) -> Option<Frame> {
        let (frame, fingerprint) = *self.held.take()?;
        if is_good {
            self.token = Some(fingerprint);
        }
        Some(frame)
    }

    /// What it showed ends then.
    pub(super) const fn ends(&mut self, ending: Ending) {
        self.ending = Some(ending);
        self.told = false;
    }

    /// When something is due: the end, then the end of the time after it.
    pub(super) fn deadline(&self, grace: Duration) -> Option<Instant> {
        let ending = self.ending?;
        if self.told { ending.until.checked_add(grace) } else { Some(ending.until) }
    }

    /// What has come: the end, once, and whether the time after it is over too.
    pub(super) fn ended(&mut self, grace: Duration, now: Instant) -> Option<(Ending, bool)> {
        let ending = self.ending.filter(|ending| ending.until <= now)?;
        let is_over = now.saturating_duration_since(ending.until) >= grace;
        let is_news = !self.told || is_over;
        self.told = true;
        is_news.then_some((ending, is_over))
    }
}
