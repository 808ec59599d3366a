//! Signals as a stream of what they mean.

use anyhow::{Context as _, Result};
use api::Command;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    Reload,
    Stop,
}

impl From<Asked> for Command {
    fn from(asked: Asked) -> Self {
        match asked {
            // Nobody waits for the answer to a signal; the log has it.
            Asked::Reload => Self::Reload(tokio::sync::oneshot::channel().0),
            Asked::Stop => Self::Quit,
        }
    }
}

/// SIGHUP, SIGTERM and SIGINT.
pub(crate) struct Signals {
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// From now on these signals no longer end the process.
    pub(crate) fn listen() -> Result<Self> {
        let listen = |kind| signal(kind).context("cannot listen to signals");
        Ok(Self {
            hangup: listen(SignalKind::hangup())?,
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
        })
    }

    /// The next one.
    pub(crate) async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.hangup.recv() => Asked::Reload,
            _ = self.terminate.recv() => Asked::Stop,
            _ = self.interrupt.recv() => Asked::Stop,
        }
    }

    /// The next one that asks to stop.
    pub(crate) async fn next_stop(&mut self) {
        while self.next().await != Asked::Stop {}
    }
}
