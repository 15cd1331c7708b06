//! Socket: bytes from a peer, with patience that ends.

use std::io::{self, ErrorKind as K, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// What came next.
#[derive(Debug, PartialEq, Eq)]
pub enum Next<T> {
    /// This.
    Some(T),
    /// Nothing, for as long as was waited.
    Silence,
    /// The end: the peer closed the connection, or it broke.
    Closed,
}

/// A connection and what was read from it but not yet taken.
#[derive(Debug)]
pub struct Socket {
    stream: TcpStream,
    /// What was read and not yet taken. Whoever cuts something out of it removes it from the front.
    pub buffer: Vec<u8>,
}

impl Socket {
    /// Connects.
    ///
    /// # Errors
    ///
    /// If nobody answers within seconds.
    pub fn dial(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_nodelay(true)?;
        // A peer that does not read must not hang the test.
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self { stream, buffer: Vec::new() })
    }

    /// Our end, as the broker's log names it.
    pub fn name(&self) -> String {
        self.stream.local_addr().map(|address| address.to_string()).unwrap_or_default()
    }

    /// Writes all of it.
    ///
    /// # Errors
    ///
    /// If the peer is gone or does not read.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Reads until `cut` finds something whole at the front of the buffer.
    ///
    /// # Errors
    ///
    /// If `cut` finds something that cannot be.
    pub fn next<T>(
        &mut self,
        within: Duration,
        mut cut: impl FnMut(&mut Vec<u8>) -> io::Result<Option<T>>,
    ) -> io::Result<Next<T>> {
        let end = Instant::now() + within;
        loop {
            if let Some(it) = cut(&mut self.buffer)? {
                return Ok(Next::Some(it));
            }
            match self.fill(end.saturating_duration_since(Instant::now()))? {
                Next::Some(()) => {}
                Next::Silence => return Ok(Next::Silence),
                Next::Closed => return Ok(Next::Closed),
            }
        }
    }

    /// Reads once.
    ///
    /// # Errors
    ///
    /// Only what is neither an end nor a lack of bytes.
    pub fn fill(&mut self, within: Duration) -> io::Result<Next<()>> {
        // Zero would mean for ever.
        self.stream.set_read_timeout(Some(within.max(Duration::from_millis(1))))?;
        let mut chunk = [0; 64 * 1024];
        match self.stream.read(&mut chunk) {
            Ok(0) => Ok(Next::Closed),
            Ok(count) => {
                self.buffer.extend_from_slice(chunk.get(..count).unwrap_or_default());
                Ok(Next::Some(()))
            }
            Err(error) if matches!(error.kind(), K::WouldBlock | K::TimedOut | K::Interrupted) => {
                Ok(Next::Silence)
            }
            Err(error)
                if matches!(error.kind(), K::ConnectionReset | K::ConnectionAborted | K::BrokenPipe) =>
            {
                Ok(Next::Closed)
            }
            Err(error) => Err(error),
        }
    }

    /// Reads whatever comes until the peer closes, and says whether it did.
    ///
    /// # Errors
    ///
    /// As [`Self::fill`].
    pub fn closes(&mut self, within: Duration) -> io::Result<bool> {
        Ok(self.next(within, |buffer| {
            buffer.clear();
            Ok(None::<()>)
        })? == Next::Closed)
    }

    /// Says that nothing more will be written.
    ///
    /// # Errors
    ///
    /// If the peer is gone.
    pub fn finish(&self) -> io::Result<()> {
        self.stream.shutdown(Shutdown::Write)
    }
}

const PATIENCE: Duration = Duration::from_secs(10);
