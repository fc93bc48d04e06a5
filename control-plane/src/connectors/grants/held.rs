//! A token that is kept: whether it can still be used, how long, and when it should be replaced.

use time::OffsetDateTime;

use super::store::GrantRow;
use super::subject::Subject;
use crate::credentials::envelope::Sealed;

/// A token is handed out only while it has so long to live.
const LEAST_LIFE: time::Duration = time::Duration::seconds(3);
/// A token without a known end is asked for again so often, and used so long without an answer.
const UNENDING_REFRESH: u32 = 600;
const UNENDING_LIFE: u32 = 86_400;

/// A token of the row that can still be used.
pub(super) struct Held {
    pub(super) sealed: Sealed,
    pub(super) version: u32,
    /// It should be replaced by now.
    pub(super) is_due: bool,
    pub(super) left: Option<u32>,
    pub(super) refresh_after: u32,
}

impl Held {
    pub(super) fn of(row: &GrantRow, subject: &Subject, now: OffsetDateTime) -> Option<Self> {
        let sealed = row.access().filter(|_| row.access_basis.as_deref() == Some(&*subject.access_basis))?;
        let version = u32::try_from(row.version).unwrap_or(u32::MAX);
        let Some(expires_at) = row.expires_at else {
            return Some(Self {
                sealed,
                version,
                is_due: false,
                left: None,
                refresh_after: UNENDING_REFRESH,
            });
        };
        let left = expires_at - now;
        if left < LEAST_LIFE {
            return None;
        }
        let seconds = |span: time::Duration| u32::try_from(span.whole_seconds()).unwrap_or(0);
        let whole = row.obtained_at.map(|at| seconds(expires_at - at));
        let (left, refresh_after) = lives(whole, Some(seconds(left)), subject.auth.refresh_before_seconds);
        Some(Self { sealed, version, is_due: refresh_after == 0, left: Some(left), refresh_after })
    }

    pub(super) fn lives(&self) -> (u32, u32) {
        (self.left.unwrap_or(UNENDING_LIFE), self.refresh_after)
    }
}

/// How long a token is used and after how long it should be replaced, of its whole life and what is left of it. One that lives
/// shorter than it should be replaced ahead is replaced after two thirds of its life.
pub(super) fn lives(whole: Option<u32>, left: Option<u32>, refresh_before: u32) -> (u32, u32) {
    let Some((whole, left)) = whole.zip(left) else { return (UNENDING_LIFE, UNENDING_REFRESH) };
    let ahead = refresh_before.min(whole / 3);
    (left, left.saturating_sub(ahead))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_replaced_ahead_of_its_end_and_a_short_one_after_two_thirds_of_its_life() {
        assert_eq!(lives(Some(3600), Some(3600), 30), (3600, 3570));
        assert_eq!(lives(Some(3600), Some(20), 30), (20, 0));
        assert_eq!(lives(Some(12), Some(12), 30), (12, 8));
        assert_eq!(lives(None, None, 30), (UNENDING_LIFE, UNENDING_REFRESH));
    }
}
