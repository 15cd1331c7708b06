//! The broker's end of a session whose client polls.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::sync::watch;
use tokio::time::{Instant, Sleep};

use crate::sockjs::frame::Close;
use crate::sockjs::registry::Sessions;
use crate::sockjs::session::Session;

/// Messages to and from a client that polls. Dropping it ends the session; for a while, whoever asks for it is told so.
#[derive(Debug)]
pub struct Polled {
    session: Arc<Session>,
    name: Box<str>,
    sessions: Arc<Sessions>,
    /// Rings when nobody has come to receive for too long.
    alarm: Option<Pin<Box<Sleep>>>,
    /// Counts this one among those that live.
    alive: watch::Sender<usize>,
}

impl Polled {
    /// For the session that is called `name`.
    pub(crate) fn new(session: Arc<Session>, name: Box<str>, sessions: Arc<Sessions>) -> Self {
        let alive = sessions.alive().clone();
        alive.send_modify(|count| *count += 1);
        Self { session, name, sessions, alarm: None, alive }
    }

    /// The next message; `None` when the client is gone: it has not come back in time, or its connection broke.
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<String>> {
        if let Poll::Ready(message) = self.session.poll_recv(cx) {
            return Poll::Ready(message);
        }
        if self.poll_absence(cx).is_ready() {
            self.session.close(Close::Interrupted);
            return Poll::Ready(None);
        }
        Poll::Pending
    }

    /// Ready when a message may be sent.
    ///
    /// # Errors
    ///
    /// The session is over, also because the client has not come back in time.
    pub fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Poll::Ready(room) = self.session.poll_room(cx) {
            return Poll::Ready(room.map_err(|closed| io::Error::new(io::ErrorKind::BrokenPipe, closed)));
        }
        if self.poll_absence(cx).is_ready() {
            self.session.close(Close::Interrupted);
            let reason = "the SockJS client did not come back for what waits";
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, reason)));
        }
        Poll::Pending
    }

    /// How long the next message should be at most, in bytes, if it may be `bytes` long.
    pub fn step_bytes(&self, bytes: usize) -> usize {
        self.session.step_bytes(bytes)
    }

    /// Sends a message.
    pub fn send(&mut self, message: &str) {
        self.session.push(message);
    }

    /// Ends the session; ready when the client was told. The caller sets a limit to the patience.
    pub fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.session.close(Close::GoAway);
        self.session.poll_told(cx)
    }

    /// Ready when nobody has come to receive for too long.
    fn poll_absence(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let Some(deadline) = self.session.deadline() else { return Poll::Pending };
            if deadline <= Instant::now() {
                return Poll::Ready(());
            }
            let alarm = self.alarm.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
            if alarm.deadline() != deadline {
                alarm.as_mut().reset(deadline);
            }
            ready!(alarm.as_mut().poll(cx));
        }
    }
}

impl Drop for Polled {
    fn drop(&mut self) {
        self.session.close(Close::GoAway);
        self.alive.send_modify(|count| *count -= 1);
        self.sessions.forget_later(&self.name, &self.session);
    }
}
