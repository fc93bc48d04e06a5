//! Waiting for the thing itself: asked again until it is there or the deadline has passed.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// How long a test waits for what should come soon, where nothing more exact is promised.
pub const SOON: Duration = Duration::from_secs(10);

/// How long starting a whole system may take: initdb and all migrations on a busy machine.
pub const START: Duration = Duration::from_secs(120);

/// Between two questions: short at first, then a part of the time that has passed. Who asks for a minute stays below the
/// limits that nodes set on how often somebody may.
const SHORTEST_PAUSE: Duration = Duration::from_millis(15);
const LONGEST_PAUSE: Duration = Duration::from_millis(250);
const PART: u32 = 20;

/// Asks `probe` until it answers `Some`, and fails with `what` when `limit` has passed.
///
/// # Errors
/// At the deadline, or when the probe itself fails.
pub async fn eventually<T, F, Fut>(what: &str, limit: Duration, mut probe: F) -> Result<T>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<Option<T>>>,
{
    let start = Instant::now();
    loop {
        if let Some(found) = probe().await? {
            return Ok(found);
        }
        if start.elapsed() > limit {
            bail!("waited {limit:?} in vain: {what}");
        }
        tokio::time::sleep((start.elapsed() / PART).clamp(SHORTEST_PAUSE, LONGEST_PAUSE)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_wait_ends_at_its_deadline_and_says_for_what_it_waited() {
        let waited =
            eventually("rain", Duration::from_millis(30), || async { Ok(None::<()>) }).await.unwrap_err();
        assert!(waited.to_string().contains("rain"));
    }

    #[tokio::test]
    async fn a_wait_returns_what_it_found() -> Result<()> {
        let mut asked = 0;
        let found = eventually("the third", SOON, || {
            asked += 1;
            let now = asked;
            async move { Ok((now == 3).then_some(now)) }
        })
        .await?;
        assert_eq!(found, 3);
        Ok(())
    }
}
