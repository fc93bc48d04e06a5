//! Latencies in buckets that grow with the value, as HDR histograms have them: at most 1.6 % off, at any length.

use std::time::Duration;

/// Buckets per power of two; the precision is one in so many.
const STEPS: u64 = 64;
const STEP_BITS: u32 = STEPS.trailing_zeros();

/// Counts of latencies.
#[derive(Debug, Clone, Default)]
pub struct Histogram {
    counts: Vec<u64>,
    total: u64,
}

impl Histogram {
    /// Adds one latency.
    pub fn add(&mut self, latency: Duration) {
        let bucket = bucket(u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX));
        if self.counts.len() <= bucket {
            self.counts.resize(bucket + 1, 0);
        }
        self.counts[bucket] += 1;
        self.total += 1;
    }

    /// Adds what another has counted.
    pub fn merge(&mut self, other: &Self) {
        if self.counts.len() < other.counts.len() {
            self.counts.resize(other.counts.len(), 0);
        }
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine += theirs;
        }
        self.total += other.total;
    }

    /// How many latencies were added.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.total
    }

    /// The latency that so many of a hundred do not exceed; zero where nothing was added.
    #[must_use]
    pub fn percentile(&self, percent: f64) -> Duration {
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a rank"
        )]
        let rank = ((self.total as f64) * percent / 100.0).ceil() as u64;
        let mut passed = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            passed += count;
            if passed >= rank.max(1) {
                return Duration::from_nanos(upper(bucket));
            }
        }
        Duration::ZERO
    }
}

fn bucket(nanos: u64) -> usize {
    let magnitude = u64::BITS - nanos.leading_zeros();
    let shift = magnitude.saturating_sub(STEP_BITS + 1);
    let bucket = u64::from(shift) * STEPS + (nanos >> shift);
    usize::try_from(bucket).unwrap_or(usize::MAX)
}

/// The largest value that falls into a bucket.
fn upper(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < 2 * STEPS {
        return bucket;
    }
    let shift = bucket / STEPS - 1;
    let lowest = (bucket - shift * STEPS) << shift;
    lowest + ((1 << shift) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_latency_is_read_back_within_two_percent() {
        for nanos in (0..60).map(|bit| 1_u64 << bit).chain([7, 127, 128, 129, 1_000_003, 123_456_789_012]) {
            let mut histogram = Histogram::default();
            histogram.add(Duration::from_nanos(nanos));
            let read = u64::try_from(histogram.percentile(50.0).as_nanos()).unwrap();
            assert!(read >= nanos && read - nanos <= nanos / 50 + 1, "{nanos} is read as {read}");
        }
    }

    #[test]
    fn percentiles_of_a_thousand_are_where_they_belong() {
        let mut halves = [Histogram::default(), Histogram::default()];
        for millis in 1..=1000_u64 {
            halves[usize::from(millis % 2 == 0)].add(Duration::from_millis(millis));
        }
        let [mut all, even] = halves;
        all.merge(&even);
        assert_eq!(all.total(), 1000);
        for (percent, millis) in [(50.0, 500.0), (99.0, 990.0), (100.0, 1000.0)] {
            let read = all.percentile(percent).as_secs_f64() * 1000.0;
            assert!((read - millis).abs() / millis < 0.02, "p{percent} is read as {read}");
        }
        assert_eq!(Histogram::default().percentile(99.0), Duration::ZERO);
    }
}
