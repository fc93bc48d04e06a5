//! From text to a tree: JSON or YAML, with limits. Knows nothing of OpenAPI.

use serde_json::Value as Json;
use serde_saphyr::options::{DuplicateKeyPolicy, MergeKeyPolicy, NonFiniteFloatPolicy};

use super::{MAX_SOURCE, Refused};

/// Nodes of a YAML document. A document of 10 MB with 1,000 operations has half a million.
const MAX_NODES: usize = 2_000_000;
/// Nodes that aliases may add.
const MAX_REPLAYED: usize = 200_000;
const MAX_DEPTH: usize = 100;

pub(super) fn parse(source: &str) -> Result<Json, Refused> {
    let source = source.strip_prefix('\u{feff}').unwrap_or(source);
    if source.len() > MAX_SOURCE {
        let (size, most) = (source.len() / (1024 * 1024), MAX_SOURCE / (1024 * 1024));
        return Err(Refused(format!("The document has {size} MB; at most {most} MB are read.")));
    }
    let first = source.trim_start().chars().next();
    let root = match first {
        None => return Err(Refused("The document is empty.".to_owned())),
        Some('<') => {
            return Err(Refused(
                "This is a web page, not an OpenAPI document. Use the address of the JSON or YAML file itself."
                    .to_owned(),
            ));
        }
        Some('{') => json(source)?,
        Some(_) => yaml(source)?,
    };
    if root.is_object() { Ok(root) } else { Err(Refused("The document is not a mapping.".to_owned())) }
}

fn json(source: &str) -> Result<Json, Refused> {
    match serde_json::from_str(source) {
        Ok(root) => Ok(root),
        // YAML may begin with a brace too.
        Err(error) => yaml(source).map_err(|_| {
            let text = error.to_string();
            let reason = text.split(" at line ").next().unwrap_or(&text);
            Refused(format!(
                "The document is not JSON: {reason}, in line {}, column {}.",
                error.line(),
                error.column()
            ))
        }),
    }
}

fn yaml(source: &str) -> Result<Json, Refused> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_events: 4 * MAX_NODES,
            max_nodes: MAX_NODES,
            max_depth: MAX_DEPTH,
            flow_nesting_limit: MAX_DEPTH,
            max_aliases: 20_000,
            max_anchors: 20_000,
            max_recorded_anchor_events: MAX_REPLAYED,
            max_recorded_anchor_bytes: 16 * 1024 * 1024,
            max_total_scalar_bytes: 64 * 1024 * 1024,
            max_documents: 1,
            enforce_alias_anchor_ratio: false,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: MAX_REPLAYED,
            max_replay_stack_depth: 16,
        },
        duplicate_keys: DuplicateKeyPolicy::LastWins,
        merge_keys: MergeKeyPolicy::Merge,
        non_finite_float_policy: NonFiniteFloatPolicy::AsString,
        strict_booleans: true,
        underscored_numbers_as_strings: true,
        ignore_binary_tag_for_string: true,
        emit_comments: false,
        with_snippet: false,
    };
    serde_saphyr::from_str_with_options(source, options).map_err(|error| {
        let place = error.location().map(|at| format!(", in line {}, column {}", at.line(), at.column()));
        let text = error.without_snippet().to_string();
        let line = text.lines().next().unwrap_or_default();
        let reason = line.strip_prefix("error: ").unwrap_or(line);
        let reason = reason.split(" at line ").next().unwrap_or(reason).trim();
        let reason = if reason.starts_with("budget breached") || reason.contains("replay") {
            "it is larger, more deeply nested, or repeats more by aliases than is read".to_owned()
        } else {
            reason.chars().take(200).collect()
        };
        Refused(format!("The document is not YAML or JSON: {reason}{}.", place.unwrap_or_default()))
    })
}
