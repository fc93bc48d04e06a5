//! The time that a server has for one question. It stands still while a person is asked.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

/// Counts down, unless it is held.
#[derive(Debug)]
pub(super) struct Clock {
    whole: Duration,
    state: Mutex<State>,
    /// When the time is over; `None` while it stands still.
    end: watch::Sender<Option<Instant>>,
}

#[derive(Debug)]
struct State {
    holds: usize,
    left: Duration,
    since: Instant,
}

/// Keeps the clock from running for as long as it lives.
#[derive(Debug)]
pub(super) struct Hold<'a>(&'a Clock);

impl Clock {
    pub(super) fn new(whole: Duration) -> Self {
        let since = Instant::now();
        let (end, _) = watch::channel(Some(since + whole));
        Self { whole, state: Mutex::new(State { holds: 0, left: whole, since }), end }
    }

    pub(super) const fn whole(&self) -> Duration {
        self.whole
    }

    pub(super) fn hold(&self) -> Hold<'_> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.holds == 0 {
            state.left = state.left.saturating_sub(state.since.elapsed());
            self.end.send_replace(None);
        }
        state.holds += 1;
        Hold(self)
    }

    /// Ends when the time is over.
    pub(super) async fn ran_out(&self) {
        let mut end = self.end.subscribe();
        loop {
            let at = *end.borrow_and_update();
            let over = async {
                match at {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = over => return,
                changed = end.changed() => if changed.is_err() { return },
            }
        }
    }
}

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.holds -= 1;
        if state.holds == 0 {
            state.since = Instant::now();
            self.0.end.send_replace(Some(state.since + state.left));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_time_in_which_somebody_is_asked_does_not_count() {
        let clock = Clock::new(Duration::from_millis(20));
        let (first, second) = (clock.hold(), clock.hold());
        drop(first);
        let held = tokio::time::timeout(Duration::from_millis(100), clock.ran_out()).await;
        assert!(held.is_err(), "it ran while it was held");
        drop(second);
        clock.ran_out().await;
    }
}
