//! From which level on older clients want log messages. Each says so once, and not with every call, so this node keeps it; on a
//! node that has not heard it, a client gets them all.

use std::time::Duration;

use serde_json::value::RawValue;

use crate::peer::Owner;

/// Levels of log messages, the lowest first (RFC 5424).
const LEVELS: [&str; 8] = ["debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"];

/// Most clients whose level is kept, and for how long without a call of theirs.
const CLIENTS: u64 = 50_000;
const KEPT: Duration = Duration::from_secs(24 * 60 * 60);

/// How severe a level is, if it is one.
pub(super) fn rank(name: &str) -> Option<usize> {
    LEVELS.iter().position(|level| *level == name)
}

/// All, for a sentence.
pub(super) fn listed() -> String {
    LEVELS.join(", ")
}

/// The level in the params of `logging/setLevel`.
pub(super) fn read(params: Option<&RawValue>) -> Option<&'static str> {
    #[derive(serde::Deserialize)]
    struct Params {
        level: String,
    }
    let Params { level } = serde_json::from_str(params?.get()).ok()?;
    LEVELS.into_iter().find(|known| *known == level)
}

/// The levels that clients set.
#[derive(Clone, Debug)]
pub struct Levels(moka::sync::Cache<(Owner, String), &'static str>);

impl Default for Levels {
    fn default() -> Self {
        Self(moka::sync::Cache::builder().max_capacity(CLIENTS).time_to_idle(KEPT).build())
    }
}

impl Levels {
    /// Keeps the level of a client: one of the caller's, told apart by `scope`.
    pub(super) fn set(&self, owner: Owner, scope: String, level: &'static str) {
        self.0.insert((owner, scope), level);
    }

    /// The lowest level that a client wants.
    pub(super) fn of(&self, owner: Owner, scope: String) -> &'static str {
        self.0.get(&(owner, scope)).unwrap_or(LEVELS[0])
    }
}

#[cfg(test)]
mod tests {
    use serde_json::value::to_raw_value;
    use toolmesh_proto::ids::TenantId;

    use super::*;
    use crate::catalog::samples;

    #[test]
    fn a_client_gets_what_it_wants_and_everything_until_it_says_so() {
        let (levels, subject) = (Levels::default(), samples::USER.parse().unwrap());
        let owner = Owner { tenant: TenantId::new(), subject };
        levels.set(owner, "s-1".into(), "error");
        assert_eq!(levels.of(owner, "s-1".into()), "error");
        assert_eq!(levels.of(owner, "s-2".into()), "debug");
        assert_eq!(levels.of(Owner { tenant: TenantId::new(), subject }, "s-1".into()), "debug");
    }

    #[test]
    fn only_the_protocols_own_levels_are_levels() {
        let of = |params: serde_json::Value| read(Some(&to_raw_value(&params).unwrap()));
        assert_eq!(of(serde_json::json!({"level": "warning"})), Some("warning"));
        for bad in
            [serde_json::json!({"level": "loud"}), serde_json::json!({"level": 1}), serde_json::json!({})]
        {
            assert_eq!(of(bad.clone()), None, "{bad}");
        }
        assert_eq!(read(None), None);
        assert!(rank("error") > rank("info") && rank("loud").is_none());
    }
}
