//! Shows what `toolmesh up` is doing: one line per step with the time it took. A terminal gets a spinner and a tick.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

const FRAMES: [char; 10] = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];

/// Writes to standard output. That nobody reads it is no reason to stop, so that failures to write are passed over.
pub(crate) struct Steps {
    terminal: bool,
    shown: bool,
}

impl Steps {
    pub(crate) fn new() -> Self {
        Self { terminal: std::io::stdout().is_terminal(), shown: true }
    }

    /// Shows nothing: for tests, whose own output this would interrupt.
    #[cfg(test)]
    pub(crate) fn silent() -> Self {
        Self { terminal: false, shown: false }
    }

    /// Does a step and shows it.
    pub(crate) async fn run<T, E>(
        &self,
        label: &str,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let start = Instant::now();
        self.begin(label);
        let mut work = std::pin::pin!(work);
        let mut tick = tokio::time::interval(Duration::from_millis(100));
        let mut frame = 0;
        let outcome = loop {
            tokio::select! {
                outcome = &mut work => break outcome,
                _ = tick.tick(), if self.terminal => {
                    self.write(&format!("\r{} {label}", FRAMES[frame % FRAMES.len()]));
                    frame += 1;
                }
            }
        };
        self.end(label, outcome.is_ok(), start.elapsed());
        outcome
    }

    /// One line by itself.
    pub(crate) fn line(&self, text: &str) {
        self.write(&format!("{text}\n"));
    }

    fn begin(&self, label: &str) {
        if !self.terminal {
            self.write(&format!("{label} … "));
        }
    }

    fn end(&self, label: &str, fine: bool, took: Duration) {
        let seconds = took.as_secs_f32();
        let line = match (self.terminal, fine) {
            (true, true) => format!("\r\x1b[2K✓ {label} ({seconds:.1} s)\n"),
            (true, false) => format!("\r\x1b[2K✗ {label} ({seconds:.1} s)\n"),
            (false, true) => format!("done ({seconds:.1} s)\n"),
            (false, false) => format!("failed ({seconds:.1} s)\n"),
        };
        self.write(&line);
    }

    fn write(&self, text: &str) {
        if self.shown {
            let mut out = std::io::stdout().lock();
            let _ = out.write_all(text.as_bytes());
            let _ = out.flush();
        }
    }
}
