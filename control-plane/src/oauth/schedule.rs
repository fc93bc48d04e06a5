//! When signing keys come and go. Pure: times in, steps out.
//!
//! A key is published a day or more before it signs, signs for thirty days, and is kept until the last token that it signed has
//! expired, and an hour more. The newest key that may sign does; a key whose successor is late goes on.

use time::{Duration, OffsetDateTime};
use toolmesh_proto::claims::ACCESS_TOKEN_SECONDS;

const SIGNS_FOR: Duration = Duration::days(30);

/// From being published to the first signature, at least: whoever keeps our keys for a day has it by then.
pub(super) const LEAD: Duration = Duration::hours(24);

/// The next key is published this long before the one that signs should stop.
const AHEAD: Duration = Duration::hours(48);

/// From the last signature to being dropped.
const KEPT_FOR: Duration = Duration::seconds(ACCESS_TOKEN_SECONDS + 3600);

/// The times of one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Times {
    pub published_at: OffsetDateTime,
    pub sign_from: OffsetDateTime,
    pub sign_until: OffsetDateTime,
    pub retire_at: OffsetDateTime,
}

impl Times {
    pub(super) fn starting(published_at: OffsetDateTime, sign_from: OffsetDateTime) -> Self {
        Self { published_at, sign_from, ..Self::ending(sign_from + SIGNS_FOR) }
    }

    fn ending(sign_until: OffsetDateTime) -> Self {
        let retire_at = sign_until + KEPT_FOR;
        Self { published_at: sign_until, sign_from: sign_until, sign_until, retire_at }
    }

    fn until(self, sign_until: OffsetDateTime) -> Self {
        Self { published_at: self.published_at, sign_from: self.sign_from, ..Self::ending(sign_until) }
    }
}

/// What is to be done now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// Make a key with these times.
    pub publish: Option<Times>,
    /// Give the key at this place these times: its successor is known.
    pub hand_over: Option<(usize, Times)>,
    /// Drop the keys at these places.
    pub retire: Vec<usize>,
}

impl Plan {
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Which of the keys signs at a moment.
pub(super) fn signer(keys: &[Times], now: OffsetDateTime) -> Option<usize> {
    let ready = (0..keys.len()).filter(|at| keys[*at].sign_from <= now).max_by_key(|at| keys[*at].sign_from);
    // With clocks far apart, the first there is.
    ready.or_else(|| (0..keys.len()).min_by_key(|at| keys[*at].sign_from))
}

/// What is due. With `early`, the next key is made now, whatever the time.
pub(super) fn plan(keys: &[Times], now: OffsetDateTime, early: bool) -> Plan {
    let Some(last) = (0..keys.len()).max_by_key(|at| keys[*at].sign_from) else {
        return Plan { publish: Some(Times::starting(now, now)), ..Plan::default() };
    };
    let mut keys = keys.to_vec();
    let mut plan = Plan::default();
    if early || keys[last].sign_until - AHEAD <= now {
        let sign_from = if early { now + LEAD } else { keys[last].sign_until.max(now + LEAD) };
        keys[last] = keys[last].until(sign_from);
        plan.publish = Some(Times::starting(now, sign_from));
        plan.hand_over = Some((last, keys[last]));
    }
    plan.retire = (0..keys.len()).filter(|at| *at != last && keys[*at].retire_at <= now).collect();
    plan
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start() -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp(1_800_000_000).unwrap()
    }

    fn carry_out(keys: &mut Vec<Times>, now: OffsetDateTime) -> Plan {
        let plan = plan(keys, now, false);
        if let Some((at, times)) = plan.hand_over {
            keys[at] = times;
        }
        let mut at = 0;
        keys.retain(|_| {
            at += 1;
            !plan.retire.contains(&(at - 1))
        });
        keys.extend(plan.publish);
        plan
    }

    #[test]
    fn through_half_a_year_every_token_meets_its_key_and_nobody_a_key_they_could_not_know() {
        let (mut keys, mut now) = (Vec::new(), start());
        let (mut signers, mut most) = (Vec::new(), 0);
        // Seen an hour ago: who signed, with a token that lives ten minutes more than the hour at most.
        while now < start() + Duration::days(185) {
            carry_out(&mut keys, now);
            most = most.max(keys.len());
            let signs = keys[signer(&keys, now).unwrap()];
            if signers.last() != Some(&signs.sign_from) {
                assert!(signers.is_empty() || now - signs.published_at >= LEAD, "published too late");
                signers.push(signs.sign_from);
            }
            // What was signed up to ten minutes ago still verifies.
            let ago = now - Duration::seconds(ACCESS_TOKEN_SECONDS);
            assert!(
                signers
                    .iter()
                    .rev()
                    .find(|from| **from <= ago)
                    .is_none_or(|from| { keys.iter().any(|key| key.sign_from == *from) })
            );
            now += Duration::minutes(10);
        }
        assert_eq!(signers.len(), 7, "thirty days each");
        assert_eq!(most, 2, "the old one and its successor");
    }

    #[test]
    fn a_plane_that_slept_for_months_goes_on_with_the_old_key_until_the_new_one_is_known() {
        let mut keys = vec![Times::starting(start(), start())];
        let late = start() + Duration::days(100);
        let plan = carry_out(&mut keys, late);
        assert!(plan.retire.is_empty());
        assert_eq!(keys.len(), 2);
        assert_eq!(signer(&keys, late), Some(0));
        assert_eq!(keys[0].sign_until, late + LEAD);
        assert_eq!(signer(&keys, late + LEAD), Some(1));
        assert_eq!(keys[0].retire_at, late + LEAD + KEPT_FOR);
    }

    #[test]
    fn nothing_is_due_twice() {
        let mut keys = Vec::new();
        for days in [0, 28, 29, 30, 31] {
            let now = start() + Duration::days(days);
            carry_out(&mut keys, now);
            assert!(plan(&keys, now, false).is_empty(), "day {days}");
        }
        assert_eq!(keys.len(), 1, "the first is gone");
    }
}
