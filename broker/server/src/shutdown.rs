//! Shutdown: a signal to an orderly stop.

use std::io::{self, IsTerminal};
use std::process;

use tokio::signal::unix::{Signal, SignalKind, signal};

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

    /// Waits for a reason to stop, and names it.
    pub(crate) async fn stop(&mut self) -> &'static str {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return "SIGTERM",
                _ = self.interrupt.recv() => return "SIGINT",
                _ = self.hang_up.recv() => {
                    // The terminal is gone, and who sat there with it. Otherwise somebody wants files opened anew.
                    if io::stdin().is_terminal() {
                        return "SIGHUP";
                    }
                    tracing::info!(signal = "SIGHUP", why = "the configuration is read at start only; files of users, keys and rules are looked at every second",
                        "signal.ignored");
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
