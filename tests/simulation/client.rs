//! Client: a correct peer of the broker, as the world sees it.

use std::collections::BTreeSet;

use bytes::BytesMut;

use crate::dice::Dice;
use crate::ledger::Ledger;
use crate::sent::Stamp;

/// It says things when it is asked to, and judges what it hears.
pub(crate) trait Client {
    fn protocol(&self) -> &'static str;

    /// There is a new connection: the first thing is said.
    fn connect(&mut self);

    /// Publishes, or answers something of what it owes.
    fn act(&mut self, dice: &mut Dice, ledger: &mut Ledger);

    /// Answers all that it owes. Whether it has nothing more to wait for.
    fn finish(&mut self, ledger: &mut Ledger) -> bool;

    /// Whether it has said all that must be there before others publish.
    fn is_ready(&self) -> bool;

    /// What it said, for the network to take.
    fn outgoing(&mut self) -> &mut BytesMut;

    /// Bytes came; `is_live`: the broker still has its end of the connection.
    fn receive(&mut self, bytes: &[u8], is_live: bool, ledger: &mut Ledger) -> Result<(), String>;

    /// The broker has taken so many bytes of this connection.
    fn heard(&mut self, taken: u64);

    /// The connection is gone.
    fn lose(&mut self, ledger: &mut Ledger);

    /// The broker has died.
    fn crash(&mut self);

    /// What it was sent as the last message of its place.
    fn kept(&self) -> BTreeSet<Stamp> {
        BTreeSet::new()
    }

    /// When everything has come to rest: whether it is as it should be.
    fn check(&self, ledger: &Ledger) -> Result<(), String>;
}
