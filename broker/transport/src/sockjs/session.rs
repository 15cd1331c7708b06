//! A session that outlives its polls.
//!
//! It lies between two sides: requests that come and go (one that receives at a time, and those that send), and the one
//! that reads and writes it for the broker.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::sockjs::budget::{Budget, Share};
use crate::sockjs::frame::{Close, Messages, OPEN};
use crate::sockjs::options::Options;

/// A session of a client that polls.
#[derive(Debug)]
pub(crate) struct Session {
    /// Who may use it, if not everybody who knows its name.
    pub(crate) owner: Option<IpAddr>,
    /// As whom the certificate of its first request named it: no other one may use it.
    pub(crate) certificate: Option<Arc<str>>,
    outbound_bytes_max: usize,
    disconnect_delay: Duration,
    state: Mutex<State>,
    /// Whoever sends waits here for room.
    room: Notify,
}

#[derive(Debug)]
struct State {
    is_told_open: bool,
    closed: Option<Close>,
    /// Whether a client got the last frame.
    is_told_closed: bool,
    outbound: Messages,
    outbound_share: Share,
    inbound: VecDeque<String>,
    inbound_bytes: usize,
    inbound_share: Share,
    receiver: Receiver,
    /// The broker's side.
    broker: Option<Waker>,
}

#[derive(Debug)]
enum Receiver {
    /// Nobody has asked since then.
    Absent(Instant),
    /// Somebody asks, and waits for a frame if there is a waker.
    Present(Option<Waker>),
}

impl Session {
    /// Of a client that comes from `owner`, if that is to be kept to, by that certificate.
    pub(crate) fn new(
        options: &Options,
        budget: &Arc<Budget>,
        owner: Option<IpAddr>,
        certificate: Option<Arc<str>>,
    ) -> Self {
        let share = || Share::new(Arc::clone(budget));
        Self {
            owner,
            certificate,
            outbound_bytes_max: options.outbound_bytes_max,
            disconnect_delay: options.disconnect_delay,
            state: Mutex::new(State {
                is_told_open: false,
                closed: None,
                is_told_closed: false,
                outbound: Messages::default(),
                outbound_share: share(),
                inbound: VecDeque::new(),
                inbound_bytes: 0,
                inbound_share: share(),
                receiver: Receiver::Absent(Instant::now()),
                broker: None,
            }),
            room: Notify::new(),
        }
    }

    /// Somebody wants to receive; `false` if somebody does already.
    pub(crate) fn attach(&self) -> bool {
        let mut state = self.lock();
        let is_free = matches!(state.receiver, Receiver::Absent(_));
        if is_free {
            state.receiver = Receiver::Present(None);
        }
        is_free
    }

    /// The next frame for whoever receives, and whether it is the last one. Behind the last one, nobody receives any more.
    pub(crate) fn poll_frame(&self, cx: &mut Context<'_>) -> Poll<(String, bool)> {
        let mut state = self.lock();
        if !state.is_told_open {
            state.is_told_open = true;
            return Poll::Ready((OPEN.to_owned(), false));
        }
        if !state.outbound.is_empty() {
            let frame = state.outbound.take();
            state.outbound_share.set(0);
            state.wake_broker();
            return Poll::Ready((frame, false));
        }
        if let Some(close) = state.closed {
            state.is_told_closed = true;
            state.receiver = Receiver::Absent(Instant::now());
            state.wake_broker();
            return Poll::Ready((close.frame().to_owned(), true));
        }
        state.receiver = Receiver::Present(Some(cx.waker().clone()));
        Poll::Pending
    }

    /// Whoever received goes in good order, and will be back.
    pub(crate) fn detach(&self) {
        let mut state = self.lock();
        state.receiver = Receiver::Absent(Instant::now());
        // So that it waits for the right time.
        state.wake_broker();
    }

    /// Whoever received was cut off. What he did not get is lost, so the session is over.
    pub(crate) fn interrupt(&self) {
        self.detach();
        self.close(Close::Interrupted);
    }

    /// Takes messages from the client, when there is room. What one request brings stays together.
    ///
    /// # Errors
    ///
    /// The session is over.
    pub(crate) async fn put(&self, messages: Vec<String>) -> Result<(), Closed> {
        let mut messages = Some(messages);
        loop {
            let room = self.room.notified();
            if self.try_put(&mut messages)? {
                // There may be room for whoever waits behind.
                self.room.notify_one();
                return Ok(());
            }
            room.await;
        }
    }

    fn try_put(&self, messages: &mut Option<Vec<String>>) -> Result<bool, Closed> {
        let mut state = self.lock();
        if state.closed.is_some() {
            return Err(Closed);
        }
        if state.inbound_bytes >= INBOUND_BYTES_MAX {
            return Ok(false);
        }
        for message in messages.take().into_iter().flatten() {
            state.inbound_bytes += message.len();
            state.inbound.push_back(message);
        }
        let bytes = state.inbound_bytes;
        state.inbound_share.set(bytes);
        state.wake_broker();
        Ok(true)
    }

    /// The next message for the broker; `None` if there will be no more.
    pub(crate) fn poll_recv(&self, cx: &mut Context<'_>) -> Poll<Option<String>> {
        let mut state = self.lock();
        if let Some(message) = state.inbound.pop_front() {
            let was_full = state.inbound_bytes >= INBOUND_BYTES_MAX;
            state.inbound_bytes -= message.len();
            let bytes = state.inbound_bytes;
            state.inbound_share.set(bytes);
            if state.inbound.is_empty() {
                // An idle session holds no list.
                state.inbound = VecDeque::new();
            }
            if was_full && bytes < INBOUND_BYTES_MAX {
                self.room.notify_one();
            }
            return Poll::Ready(Some(message));
        }
        if state.closed.is_some() {
            return Poll::Ready(None);
        }
        state.broker = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Whether a message for the client may be added now.
    pub(crate) fn poll_room(&self, cx: &mut Context<'_>) -> Poll<Result<(), Closed>> {
        let mut state = self.lock();
        if state.closed.is_some() {
            return Poll::Ready(Err(Closed));
        }
        let is_spent = state.outbound_share.is_spent();
        let bytes_max = if is_spent { SMALL_BYTES } else { self.outbound_bytes_max };
        if state.outbound.is_empty() || state.outbound.len() < bytes_max {
            return Poll::Ready(Ok(()));
        }
        state.broker = Some(cx.waker().clone());
        Poll::Pending
    }

    /// How many bytes a message should have at most: few, where all sessions together hold too much.
    pub(crate) fn step_bytes(&self, bytes: usize) -> usize {
        if self.lock().outbound_share.is_spent() { bytes.min(SMALL_BYTES) } else { bytes }
    }

    /// Adds a message for the client.
    pub(crate) fn push(&self, message: &str) {
        let mut state = self.lock();
        if state.closed.is_some() {
            return;
        }
        state.outbound.push(message);
        let bytes = state.outbound.len();
        state.outbound_share.set(bytes);
        state.wake_receiver();
    }

    /// Ends the session; the first reason stands.
    pub(crate) fn close(&self, reason: Close) {
        let mut state = self.lock();
        if state.closed.is_some() {
            return;
        }
        state.closed = Some(reason);
        if reason == Close::Interrupted {
            state.outbound.take();
            state.outbound_share.set(0);
        }
        state.wake_receiver();
        state.wake_broker();
        // Whoever waits to send must hear of it, and so must those behind him.
        self.room.notify_waiters();
        self.room.notify_one();
    }

    /// Ready when the client knows that the session is over, or cannot be told.
    pub(crate) fn poll_told(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        if state.is_told_closed || state.closed == Some(Close::Interrupted) {
            return Poll::Ready(());
        }
        state.broker = Some(cx.waker().clone());
        Poll::Pending
    }

    /// When the session is to be given up, if nobody comes to receive.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match self.lock().receiver {
            Receiver::Absent(since) => Some(since + self.disconnect_delay),
            Receiver::Present(_) => None,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn wake_broker(&mut self) {
        if let Some(waker) = self.broker.take() {
            waker.wake();
        }
    }

    fn wake_receiver(&mut self) {
        if let Receiver::Present(waker) = &mut self.receiver
            && let Some(waker) = waker.take()
        {
            waker.wake();
        }
    }
}

/// The session is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the SockJS session is over")]
pub(crate) struct Closed;

/// From so many bytes on that the broker has not read, whoever sends has to wait.
const INBOUND_BYTES_MAX: usize = 64 * 1024;

/// How much a session may hold, in bytes, where all together hold too much.
const SMALL_BYTES: usize = 4096;

#[cfg(test)]
mod tests;
