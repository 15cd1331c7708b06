//! Peer: a connection that sends any bytes, and waits for what comes with an end to its patience.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// A TCP connection with what came on it.
#[derive(Debug)]
pub(crate) struct Peer {
    stream: TcpStream,
    /// What came and was not taken yet.
    pub(crate) incoming: Vec<u8>,
    /// How long an answer may take.
    pub(crate) patience: Duration,
}

/// What a wait came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Next<T> {
    /// This.
    Some(T),
    /// Nothing, and the connection is still there.
    Silence,
    /// The other side hung up.
    End,
}

impl Peer {
    /// Connects, and says nothing.
    ///
    /// # Errors
    ///
    /// Nobody listens.
    pub(crate) fn dial(address: SocketAddr, patience: Duration) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, patience)?;
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(patience))?;
        Ok(Self { stream, incoming: Vec::new(), patience })
    }

    /// Sends. That the other side has hung up is seen when something is read, not here: it may hang up in the middle of
    /// what breaks its rules.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    /// What `cut` takes from the front of what came, within `within`; `cut` gives `None` where it is not all there yet.
    ///
    /// # Errors
    ///
    /// Those of `cut`.
    pub(crate) fn next<T, E>(
        &mut self,
        within: Duration,
        mut cut: impl FnMut(&mut Vec<u8>) -> Result<Option<T>, E>,
    ) -> Result<Next<T>, E> {
        let give_up_at = Instant::now() + within;
        loop {
            if let Some(found) = cut(&mut self.incoming)? {
                return Ok(Next::Some(found));
            }
            match self.read(give_up_at) {
                Next::Some(()) => {}
                Next::Silence => return Ok(Next::Silence),
                Next::End => return Ok(Next::End),
            }
        }
    }

    /// Hangs up without a word, as a network that fails does.
    pub(crate) fn hang_up(self) {
        let _ = self.stream.shutdown(Shutdown::Both);
    }

    fn read(&mut self, give_up_at: Instant) -> Next<()> {
        let left = give_up_at.saturating_duration_since(Instant::now());
        if left.is_zero() || self.stream.set_read_timeout(Some(left)).is_err() {
            return Next::Silence;
        }
        let mut bytes = [0; 16 * 1024];
        match self.stream.read(&mut bytes) {
            Ok(0) => Next::End,
            Ok(count) => {
                self.incoming.extend_from_slice(bytes.get(..count).unwrap_or_default());
                Next::Some(())
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                Next::Silence
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => Next::Some(()),
            // A reset is an end as well.
            Err(_) => Next::End,
        }
    }
}
