//! How long a run may go on: processor time over all its slices, and the time on the clock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};

/// Most processor time of a run.
pub(super) const COMPUTE: Duration = Duration::from_secs(3);

/// The time of one run. Asked by the interpreter every few thousand steps, on the thread that runs it.
#[derive(Debug)]
pub(super) struct Meter {
    deadline: Instant,
    /// Nanoseconds of the slices that are over.
    spent: AtomicU64,
    /// The thread's own clock when the present slice began.
    began: AtomicU64,
}

/// What is used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Up {
    Computed,
    Late,
}

impl Meter {
    pub(super) const fn new(deadline: Instant) -> Self {
        Self { deadline, spent: AtomicU64::new(0), began: AtomicU64::new(0) }
    }

    /// A slice begins on this thread.
    pub(super) fn begin(&self) {
        self.began.store(thread_nanos(), Ordering::Relaxed);
    }

    /// The slice that began on this thread ends.
    pub(super) fn end(&self) {
        let slice = thread_nanos().saturating_sub(self.began.load(Ordering::Relaxed));
        self.spent.fetch_add(slice, Ordering::Relaxed);
    }

    /// Whether anything is used up; asked within a slice.
    pub(super) fn up(&self) -> Option<Up> {
        let slice = thread_nanos().saturating_sub(self.began.load(Ordering::Relaxed));
        let spent = Duration::from_nanos(self.spent.load(Ordering::Relaxed).saturating_add(slice));
        if spent >= COMPUTE {
            return Some(Up::Computed);
        }
        (Instant::now() >= self.deadline).then_some(Up::Late)
    }

    /// Processor time of the slices that are over.
    pub(super) fn computed(&self) -> Duration {
        Duration::from_nanos(self.spent.load(Ordering::Relaxed))
    }
}

/// How long this thread has computed. A busy machine makes code slow; that is not held against it.
fn thread_nanos() -> u64 {
    let Ok(time) = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID) else { return 0 };
    u64::try_from(Duration::from(time).as_nanos()).unwrap_or(u64::MAX)
}
