//! A server that keeps failing is left alone for a while, so that it costs nobody time; then one call finds out whether it is
//! back.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// So many failures in a row are enough.
const FAILURES: u32 = 5;
/// How long it is left alone.
const REST: Duration = Duration::from_secs(10);

/// How a server fares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Health {
    Well,
    Open,
    Trying,
}

/// What a call found out about the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Well,
    /// Why, for people.
    Failed(String),
    /// Nothing.
    None,
}

type Tell = Box<dyn Fn(Health, &str) + Send + Sync>;

/// Counts failures of one server.
pub(super) struct Breaker {
    state: Mutex<State>,
    /// Hears of every change.
    tell: Tell,
}

#[derive(Debug)]
enum State {
    Closed {
        failures: u32,
    },
    Open {
        until: Instant,
    },
    /// One call is on its way to find out.
    Trying,
}

/// The right to make one call.
pub(super) struct Pass<'a> {
    breaker: &'a Breaker,
    trial: bool,
    ended: bool,
}

impl std::fmt::Debug for Breaker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Breaker({:?})", self.lock())
    }
}

impl Breaker {
    pub(super) fn new(tell: impl Fn(Health, &str) + Send + Sync + 'static) -> Self {
        Self { state: Mutex::new(State::Closed { failures: 0 }), tell: Box::new(tell) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets a call through, or says when to come again.
    pub(super) fn admit(&self) -> Result<Pass<'_>, Duration> {
        self.admit_at(Instant::now())
    }

    fn admit_at(&self, now: Instant) -> Result<Pass<'_>, Duration> {
        let mut state = self.lock();
        let trial = match *state {
            State::Closed { .. } => false,
            State::Open { until } => match until.saturating_duration_since(now) {
                Duration::ZERO => true,
                left => return Err(left),
            },
            // Whoever tries will know soon.
            State::Trying => return Err(Duration::from_secs(1)),
        };
        if trial {
            *state = State::Trying;
            (self.tell)(Health::Trying, "");
        }
        Ok(Pass { breaker: self, trial, ended: false })
    }

    fn end(&self, trial: bool, verdict: &Verdict) {
        let mut state = self.lock();
        match (verdict, &mut *state) {
            (Verdict::Failed(why), State::Closed { failures }) => {
                *failures += 1;
                if *failures >= FAILURES {
                    *state = State::Open { until: Instant::now() + REST };
                    (self.tell)(Health::Open, why);
                }
            }
            (Verdict::Failed(why), State::Trying) if trial => {
                *state = State::Open { until: Instant::now() + REST };
                (self.tell)(Health::Open, why);
            }
            (Verdict::Well, State::Closed { failures }) => *failures = 0,
            // A call that began before may bring the good news too.
            (Verdict::Well, _) => {
                *state = State::Closed { failures: 0 };
                (self.tell)(Health::Well, "");
            }
            // Nobody knows more than before: the next call tries.
            (Verdict::None, State::Trying) if trial => *state = State::Open { until: Instant::now() },
            (Verdict::None | Verdict::Failed(_), _) => {}
        }
    }
}

impl Pass<'_> {
    pub(super) fn end(mut self, verdict: &Verdict) {
        self.ended = true;
        self.breaker.end(self.trial, verdict);
    }
}

/// A call that is dropped has found out nothing.
impl Drop for Pass<'_> {
    fn drop(&mut self) {
        if !self.ended {
            self.breaker.end(self.trial, &Verdict::None);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn breaker() -> (Breaker, Arc<Mutex<Vec<Health>>>) {
        let told: Arc<Mutex<Vec<Health>>> = Arc::default();
        let hear = Arc::clone(&told);
        (Breaker::new(move |health, _| hear.lock().unwrap().push(health)), told)
    }

    fn call(breaker: &Breaker, verdict: &Verdict) {
        breaker.admit().unwrap().end(verdict);
    }

    #[test]
    fn five_failures_in_a_row_close_the_way_and_one_call_opens_it_again() {
        let (breaker, told) = breaker();
        let failed = Verdict::Failed("it is away".into());
        (0..4).for_each(|_| call(&breaker, &failed));
        call(&breaker, &Verdict::Well);
        (0..5).for_each(|_| call(&breaker, &failed));
        assert!(breaker.admit().is_err_and(|left| left <= REST));

        let trial = breaker.admit_at(Instant::now() + REST).unwrap();
        assert!(breaker.admit().is_err(), "one call at a time tries");
        trial.end(&failed);
        assert!(breaker.admit().is_err());

        breaker.admit_at(Instant::now() + REST).unwrap().end(&Verdict::Well);
        assert!(breaker.admit().is_ok());
        let expected = [Health::Open, Health::Trying, Health::Open, Health::Trying, Health::Well];
        assert_eq!(*told.lock().unwrap(), expected);
    }

    #[test]
    fn a_trial_that_is_given_up_leaves_the_next_call_to_try() {
        let (breaker, _) = breaker();
        (0..5).for_each(|_| call(&breaker, &Verdict::Failed(String::new())));
        drop(breaker.admit_at(Instant::now() + REST).unwrap());
        assert!(breaker.admit().is_ok());
    }
}
