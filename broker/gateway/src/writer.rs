//! Chunks out in one vectored write.

use std::io::{self, IoSlice};
use std::task::{Context, Poll, ready};

use model::outbox::Wire;
use transport::carrier::Carrier;

/// What a call of [`write`] came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Written {
    /// How many bytes were written.
    pub(crate) bytes: usize,
    /// Whether they and all before them are out of our hands. Otherwise the task is woken when to call again.
    pub(crate) done: bool,
}

/// Writes what waits, as much as the network takes now.
pub(crate) fn write(carrier: &mut Carrier, wire: &mut Wire, cx: &mut Context<'_>) -> io::Result<Written> {
    let mut bytes = 0;
    while !wire.is_empty() {
        let written = if let Some(only) = wire.only() {
            carrier.poll_write(cx, &[IoSlice::new(only)])
        } else {
            let mut slices = [IoSlice::new(&[]); SLICES];
            let used = wire.peek(&mut slices);
            carrier.poll_write(cx, slices.get(..used).unwrap_or_default())
        };
        match written {
            Poll::Pending => return Ok(Written { bytes, done: false }),
            Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
            Poll::Ready(Ok(count)) => {
                wire.advance(count);
                bytes += count;
            }
            Poll::Ready(Err(error)) => return Err(error),
        }
    }
    match carrier.poll_flush(cx) {
        Poll::Pending => Ok(Written { bytes, done: false }),
        Poll::Ready(outcome) => outcome.map(|()| Written { bytes, done: true }),
    }
}

/// Writes all that is left, then closes.
pub(crate) fn poll_finish(
    carrier: &mut Carrier,
    wire: &mut Wire,
    cx: &mut Context<'_>,
) -> Poll<io::Result<()>> {
    if !wire.is_empty() && !write(carrier, wire, cx)?.done {
        return Poll::Pending;
    }
    ready!(carrier.poll_flush(cx))?;
    carrier.poll_close(cx)
}

/// How many chunks go out in one call.
const SLICES: usize = 16;
