//! From which level on clients want log messages.

use serde_json::value::RawValue;

/// Levels of log messages, the lowest first (RFC 5424).
const LEVELS: [&str; 8] = ["debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"];

/// What clients get that have not said what they want: everything.
pub(super) const LOWEST: &str = LEVELS[0];

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

#[cfg(test)]
mod tests {
    use serde_json::value::to_raw_value;

    use super::*;

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
