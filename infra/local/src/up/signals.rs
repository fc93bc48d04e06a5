//! Ctrl-C and SIGTERM. The first asks for an orderly stop, the second for one at once.
//!
//! SIGHUP is left alone, so that `nohup` works; a terminal that closes ends this program, and the guards the children.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

/// What the person at the terminal wants.
pub(super) struct Signals {
    /// Stop in order.
    pub(super) stop: CancellationToken,
    /// Stop at once.
    pub(super) now: CancellationToken,
    _listener: AbortOnDropHandle<()>,
}

impl Signals {
    pub(super) fn listen() -> io::Result<Self> {
        let interrupt = signal(SignalKind::interrupt())?;
        let terminate = signal(SignalKind::terminate())?;
        let (stop, now) = (CancellationToken::new(), CancellationToken::new());
        let listener = tokio::spawn(pass_on(interrupt, terminate, stop.clone(), now.clone()));
        Ok(Self { stop, now, _listener: AbortOnDropHandle::new(listener) })
    }
}

async fn pass_on(
    mut interrupt: Signal,
    mut terminate: Signal,
    stop: CancellationToken,
    now: CancellationToken,
) {
    for token in [stop, now] {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        token.cancel();
    }
}
