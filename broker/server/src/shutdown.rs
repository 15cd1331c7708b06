//! Shutdown: a signal to an orderly stop, or to read files again

use std::io::{self, IsTerminal};
use std::process;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// An orderly stop; by which signal.
    Stop(&'static str),
    /// That files are read again.
    Reload,
}

/// The signals that concern the broker. While this exists, none of them ends the process by itself.
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
    /// Only so that it is not fatal: a file that has reached its size limit is told by the write that failed.
    _file_size: Signal,
}

impl Signals {
    /// To be called within a tokio runtime, before anything is opened that must be closed in order. A write to a closed
    /// pipe needs nothing here: Rust's runtime has the signal ignored.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
            _file_size: signal(SignalKind::from_raw(SIGXFSZ))?,
        })
    }

    /// Waits for what somebody wants.
    pub(crate) async fn next(&mut self) -> Wanted {
        tokio::select! {
            _ = self.terminate.recv() => Wanted::Stop("SIGTERM"),
            _ = self.interrupt.recv() => Wanted::Stop("SIGINT"),
            // The terminal is gone, and who sat there with it. Otherwise somebody wants files read anew.
            _ = self.hang_up.recv() => if io::stdin().is_terminal() { Wanted::Stop("SIGHUP") } else { Wanted::Reload },
        }
    }

    /// Waits for a reason to stop, and names it, while there is nothing to be read again.
    pub(crate) async fn stop(&mut self) -> &'static str {
        loop {
            match self.next().await {
                Wanted::Stop(signal) => return signal,
                Wanted::Reload => {
                    tracing::info!(
                        signal = "SIGHUP",
                        why = "the broker is starting or stopping",
                        "signal.ignored"
                    );
                }
            }
        }
    }

    /// From now on, the next signal to stop ends the process at once.
    pub(crate) fn end_at_next(mut self) {
        tokio::spawn(async move {
            let name = self.stop().await;
            tracing::warn!(signal = name, "stop.at_once");
            process::exit(1);
        });
    }
}

/// The number of `SIGXFSZ` on Linux, but for MIPS, and on macOS.
const SIGXFSZ: i32 = 25;
