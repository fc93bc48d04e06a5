//! When a call is worth a second request, and when that may leave.

use std::time::Duration;

use http::header::{HeaderName, RETRY_AFTER};
use http::{HeaderMap, StatusCode};
use time::OffsetDateTime;
use time::format_description::well_known::{Rfc2822, Rfc3339};
use toolmesh_proto::v1;
use toolmesh_proto::v1::retry::Backoff;

use crate::execute::outbound::{OutboundError, Reply};

/// Longest wait between two requests that follows from counting alone.
const LONGEST: Duration = Duration::from_secs(60);
/// What a limit's reset is called where the connector does not say.
const RESETS: [HeaderName; 2] =
    [HeaderName::from_static("x-ratelimit-reset"), HeaderName::from_static("ratelimit-reset")];

/// The rule of a call that may be sent again.
#[derive(Clone, Debug)]
pub struct Retry {
    statuses: Vec<u16>,
    pub most: u32,
    initial: Duration,
    backoff: Backoff,
    retry_after: Option<HeaderName>,
    remaining: Option<HeaderName>,
}

impl Retry {
    /// Reads a rule; what is malformed in it has no effect, since not to retry is always right.
    #[must_use]
    pub fn compile(rule: &v1::Retry) -> Self {
        let header = |name: &str| HeaderName::from_bytes(name.as_bytes()).ok();
        Self {
            statuses: rule.statuses.iter().filter_map(|status| u16::try_from(*status).ok()).collect(),
            most: rule.max_retries.min(10),
            initial: Duration::from_millis(rule.initial_millis.into()),
            backoff: rule.backoff(),
            retry_after: header(&rule.retry_after_header),
            remaining: header(&rule.remaining_header),
        }
    }

    /// Whether an answer with this status says "not now".
    #[must_use]
    pub fn names(&self, status: StatusCode) -> bool {
        self.statuses.contains(&status.as_u16())
    }

    /// How long to wait before the next request; `None` where another one is no use. `made` counts the retries so far.
    #[must_use]
    pub fn wait(&self, made: u32, sent: &Result<Reply, OutboundError>) -> Option<Duration> {
        if made >= self.most {
            return None;
        }
        match sent {
            Ok(reply) if self.names(reply.status) => {
                Some(self.told(&reply.headers).unwrap_or_else(|| self.counted(made)))
            }
            Err(OutboundError::ConnectionRefused | OutboundError::Unreachable | OutboundError::Broken) => {
                Some(self.counted(made))
            }
            Ok(_) | Err(_) => None,
        }
    }

    /// How long to wait before another request, where an answer says that the limit of calls is used up.
    #[must_use]
    pub fn pause(&self, headers: &HeaderMap) -> Option<Duration> {
        let spent = self.remaining.as_ref().is_some_and(|name| text(headers, name) == Some("0"));
        spent.then(|| self.told(headers)).flatten()
    }

    /// The wait that the API asks for.
    fn told(&self, headers: &HeaderMap) -> Option<Duration> {
        let now = OffsetDateTime::now_utc();
        let own = self.retry_after.as_ref().and_then(|name| until(headers, name, now));
        let spent = self.remaining.as_ref().is_some_and(|name| text(headers, name) == Some("0"));
        own.or_else(|| until(headers, &RETRY_AFTER, now))
            .or_else(|| RESETS.iter().filter(|_| spent).find_map(|name| until(headers, name, now)))
    }

    fn counted(&self, made: u32) -> Duration {
        let times = match self.backoff {
            Backoff::Fixed => 1,
            Backoff::Linear => made.saturating_add(1),
            Backoff::Exponential | Backoff::Unspecified => 1_u32.checked_shl(made).unwrap_or(u32::MAX),
        };
        self.initial.saturating_mul(times).min(LONGEST)
    }
}

/// Whole seconds to wait, as an answer says them in any of the usual headers.
#[must_use]
pub fn seconds_to_wait(headers: &HeaderMap) -> Option<u64> {
    let wait = until(headers, &RETRY_AFTER, OffsetDateTime::now_utc())?;
    Some(wait.as_secs() + u64::from(wait.subsec_nanos() > 0))
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

/// A wait in seconds, or a moment: an HTTP date, an ISO date, seconds or milliseconds since 1970.
fn until(headers: &HeaderMap, name: &HeaderName, now: OffsetDateTime) -> Option<Duration> {
    let text = text(headers, name)?;
    let moment = match text.parse::<f64>() {
        Ok(number) if !number.is_finite() || number < 0.0 => return None,
        Ok(number) if number > 1e11 => OffsetDateTime::from_unix_timestamp((number / 1000.0) as i64).ok()?,
        Ok(number) if number > 1e9 => OffsetDateTime::from_unix_timestamp(number as i64).ok()?,
        Ok(seconds) => return Duration::try_from_secs_f64(seconds).ok(),
        Err(_) => {
            OffsetDateTime::parse(text, &Rfc2822).or_else(|_| OffsetDateTime::parse(text, &Rfc3339)).ok()?
        }
    };
    // A moment that has passed is now.
    Some(Duration::try_from(moment - now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::HeaderValue;
    use time::macros::datetime;

    use super::*;

    fn rule(backoff: Backoff) -> Retry {
        Retry::compile(&v1::Retry {
            statuses: vec![429, 503],
            max_retries: 3,
            initial_millis: 100,
            backoff: backoff.into(),
            retry_after_header: "x-wait".into(),
            remaining_header: "x-left".into(),
        })
    }

    fn reply(status: u16, headers: &[(&'static str, &str)]) -> Result<Reply, OutboundError> {
        let headers = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap()));
        let status = StatusCode::from_u16(status).unwrap();
        Ok(Reply { status, headers: headers.collect(), body: Bytes::new() })
    }

    #[test]
    fn waits_grow_as_the_rule_says() {
        let waits = |backoff| {
            (0..4)
                .map(|made| rule(backoff).wait(made, &reply(503, &[])).map(|w| w.as_millis()))
                .collect::<Vec<_>>()
        };
        assert_eq!(waits(Backoff::Exponential), [Some(100), Some(200), Some(400), None]);
        assert_eq!(waits(Backoff::Linear), [Some(100), Some(200), Some(300), None]);
        assert_eq!(waits(Backoff::Fixed), [Some(100), Some(100), Some(100), None]);
    }

    #[test]
    fn only_what_the_rule_names_and_what_broke_on_the_way_is_sent_again() {
        let rule = rule(Backoff::Fixed);
        assert!(rule.wait(0, &reply(200, &[])).is_none());
        assert!(rule.wait(0, &reply(500, &[])).is_none());
        assert!(rule.wait(0, &Err(OutboundError::Broken)).is_some());
        assert!(rule.wait(0, &Err(OutboundError::Timeout(Duration::from_secs(1)))).is_none());
    }

    #[test]
    fn an_api_says_how_long_to_wait_in_many_ways() {
        let now = datetime!(2026-01-01 00:00:00 UTC);
        let wait = |value: &str| {
            let headers: HeaderMap =
                [(RETRY_AFTER, HeaderValue::from_str(value).unwrap())].into_iter().collect();
            until(&headers, &RETRY_AFTER, now).map(|wait| wait.as_secs())
        };
        assert_eq!(wait("7"), Some(7));
        assert_eq!(wait("Thu, 01 Jan 2026 00:00:09 GMT"), Some(9));
        assert_eq!(wait("2026-01-01T00:00:05Z"), Some(5));
        assert_eq!(wait("2026-01-01T00:00:05.000000Z"), Some(5));
        assert_eq!(wait("1767225603"), Some(3));
        assert_eq!(wait("1767225604000"), Some(4));
        assert_eq!(wait("Wed, 31 Dec 2025 00:00:00 GMT"), Some(0));
        for bad in ["", "soon", "-1", "NaN", "inf"] {
            assert_eq!(wait(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_apis_word_goes_before_our_own_count() {
        let rule = rule(Backoff::Fixed);
        let wait = |headers: &[(&'static str, &str)]| rule.wait(0, &reply(429, headers)).unwrap().as_millis();
        assert_eq!(wait(&[("retry-after", "2")]), 2000);
        assert_eq!(wait(&[("retry-after", "2"), ("x-wait", "3")]), 3000);
        assert_eq!(wait(&[("x-ratelimit-reset", "4")]), 100, "only once the limit is spent");
        assert_eq!(wait(&[("x-ratelimit-reset", "4"), ("x-left", "0")]), 4000);
        let pause = |headers: &[(&'static str, &str)]| rule.pause(&reply(200, headers).unwrap().headers);
        assert_eq!(pause(&[("x-left", "0"), ("x-ratelimit-reset", "3")]), Some(Duration::from_secs(3)));
        assert_eq!(pause(&[("x-left", "1"), ("x-ratelimit-reset", "3")]), None);
    }
}
