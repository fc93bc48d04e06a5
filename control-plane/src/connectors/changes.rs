//! What is different between two versions of a connector, in the terms of who answers for it. Pure; knows no installation.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json};
use toolmesh_proto::access::Access;
use toolmesh_proto::v1;

use super::installation::known_credentials;

/// The difference.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    pub added: Vec<ToolNote>,
    pub removed: Vec<ToolNote>,
    pub changed: Vec<ToolChange>,
    /// How the API wants its credential is another.
    pub auth: bool,
    /// Credentials that only the newer one asks for.
    pub new_credentials: Vec<String>,
    /// The connector's own base URL, before and after.
    pub base_url: Option<(String, String)>,
}

/// A tool that is only in one of the two.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolNote {
    pub name: String,
    pub description: String,
    pub access: String,
    /// For composites alone.
    pub hidden: bool,
}

/// A tool that is in both.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ToolChange {
    pub name: String,
    /// The name that it had, where it works as a tool did that is gone under that.
    pub renamed_from: Option<String>,
    /// Before and after, as are the following.
    pub access: Option<(String, String)>,
    pub description: Option<(String, String)>,
    /// Method and path.
    pub call: Option<(String, String)>,
    /// What is different about its arguments, a few words each.
    pub arguments: Vec<String>,
    /// Something else about how it is called or its answer read.
    pub otherwise: bool,
}

impl Changes {
    #[must_use]
    pub fn between(old: &v1::Connector, new: &v1::Connector) -> Self {
        let tools = |connector: &v1::Connector| -> BTreeMap<String, v1::Tool> {
            connector.tools.iter().map(|tool| (tool.name.clone(), tool.clone())).collect()
        };
        let (before, after) = (tools(old), tools(new));
        let only_in =
            |these: &BTreeMap<String, v1::Tool>, others: &BTreeMap<String, v1::Tool>| -> Vec<v1::Tool> {
                these.values().filter(|tool| !others.contains_key(&tool.name)).cloned().collect()
            };
        let (mut removed, mut added) = (only_in(&before, &after), only_in(&after, &before));
        let renamed = renamed(&removed, &added);
        removed.retain(|tool| renamed.iter().all(|(old, _)| old.name != tool.name));
        added.retain(|tool| renamed.iter().all(|(_, new)| new.name != tool.name));
        let renamed = renamed.iter().filter_map(|(old, new)| ToolChange::between(old, new));
        let both = before.values().filter_map(|tool| Some((tool, after.get(&tool.name)?)));
        let changed = both.filter_map(|(old, new)| ToolChange::between(old, new));
        let known = known_credentials(old);
        Self {
            added: added.iter().map(ToolNote::of).collect(),
            removed: removed.iter().map(ToolNote::of).collect(),
            changed: changed.chain(renamed).collect(),
            auth: old.auth != new.auth,
            new_credentials: known_credentials(new)
                .into_iter()
                .filter(|name| !known.contains(name))
                .collect(),
            base_url: different(&old.base_url, &new.base_url),
        }
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Tools that begin switched off: new ones that do more than read, and known ones that do more than before. What is for
    /// composites alone is judged with them: switched off it would break those that were on.
    #[must_use]
    pub fn to_switch_off(&self) -> Vec<String> {
        let shown = self.added.iter().filter(|tool| !tool.hidden);
        let added = shown.filter(|tool| Access::parse(&tool.access) != Access::Read);
        let raised = self.changed.iter().filter(|tool| {
            tool.access.as_ref().is_some_and(|(before, after)| {
                Access::parse(after) != Access::Read && Access::parse(after) > Access::parse(before)
            })
        });
        added.map(|tool| tool.name.clone()).chain(raised.map(|tool| tool.name.clone())).collect()
    }
}

impl ToolNote {
    fn of(tool: &v1::Tool) -> Self {
        Self {
            name: tool.name.clone(),
            description: tool.description.clone(),
            access: word(&tool.access).to_owned(),
            hidden: tool.hidden,
        }
    }
}

impl ToolChange {
    /// `None` where nothing is different.
    fn between(old: &v1::Tool, new: &v1::Tool) -> Option<Self> {
        if old == new {
            return None;
        }
        let mut change = Self {
            name: new.name.clone(),
            renamed_from: (old.name != new.name).then(|| old.name.clone()),
            access: different(word(&old.access), word(&new.access)),
            description: different(&old.description, &new.description),
            call: different(&call(old), &call(new)),
            arguments: arguments(&old.input_schema_json, &new.input_schema_json),
            otherwise: false,
        };
        let told = change.access.is_some()
            || change.renamed_from.is_some()
            || change.description.is_some()
            || change.call.is_some()
            || !change.arguments.is_empty();
        change.otherwise = !told;
        Some(change)
    }
}

/// What is gone under one name and new under another, and works the same: one call with the same arguments. Where more than two
/// do, nobody knows which is which.
fn renamed(removed: &[v1::Tool], added: &[v1::Tool]) -> Vec<(v1::Tool, v1::Tool)> {
    let same = |one: &v1::Tool, other: &v1::Tool| {
        one.call.is_some() && one.call == other.call && one.input_schema_json == other.input_schema_json
    };
    let only = |tool: &v1::Tool, among: &[v1::Tool]| {
        let mut alike = among.iter().filter(|other| same(tool, other));
        let first = alike.next().cloned();
        first.filter(|_| alike.next().is_none())
    };
    let pair = |new: &v1::Tool| {
        let old = only(new, removed)?;
        only(&old, added).map(|new| (old, new))
    };
    added.iter().filter_map(pair).collect()
}

fn word(access: &str) -> &str {
    if access.is_empty() { "write" } else { access }
}

fn different(old: &str, new: &str) -> Option<(String, String)> {
    (old != new).then(|| (old.to_owned(), new.to_owned()))
}

fn call(tool: &v1::Tool) -> String {
    match &tool.call {
        Some(v1::tool::Call::Rest(call)) => format!("{} {}", call.method, call.path),
        _ => String::new(),
    }
}

/// Differences of two input schemas, by argument.
fn arguments(old: &str, new: &str) -> Vec<String> {
    let read = |text: &str| serde_json::from_str::<Json>(text).unwrap_or_default();
    let (old, new) = (read(old), read(new));
    let empty = Map::new();
    let properties =
        |schema: &Json| schema.get("properties").and_then(Json::as_object).unwrap_or(&empty).clone();
    let required = |schema: &Json, name: &str| {
        let list = schema.get("required").and_then(Json::as_array);
        list.is_some_and(|list| list.iter().any(|item| item.as_str() == Some(name)))
    };
    let (before, after) = (properties(&old), properties(&new));
    let mut notes = Vec::new();
    for (name, schema) in &after {
        let must = if required(&new, name) { ", required" } else { "" };
        match before.get(name) {
            None => notes.push(format!("new: {name}{must}")),
            Some(known) if required(&old, name) != required(&new, name) => {
                notes.push(format!(
                    "{name} is {}",
                    if must.is_empty() { "now optional" } else { "now required" }
                ));
                if known != schema {
                    notes.push(format!("{name} is described otherwise"));
                }
            }
            Some(known) if known != schema => notes.push(format!("{name} is described otherwise")),
            Some(_) => {}
        }
    }
    notes.extend(before.keys().filter(|name| !after.contains_key(*name)).map(|name| format!("gone: {name}")));
    notes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connectors::dadl;

    fn connector(tools: &str, auth: &str) -> v1::Connector {
        let source = format!(
            "spec: https://dadl.ai/spec/dadl-spec-v0.2.md\nbackend:\n  name: x\n  type: rest\n  base_url: https://x.example.com\n  \
             description: An API.\n  auth: {auth}\n  tools: {tools}\n"
        );
        dadl::compile(&source, "x.dadl").unwrap_or_else(|errors| panic!("{errors}")).connector
    }

    const LIST: &str = "list: {method: GET, path: /l, access: read, description: Lists., params: {q: {type: string, in: query}}}";

    #[test]
    fn the_same_connector_has_no_changes() {
        let one = connector(&format!("{{{LIST}}}"), "{type: none}");
        assert!(Changes::between(&one, &one).is_empty());
    }

    #[test]
    fn tools_that_come_go_and_change_are_told_apart() {
        let old = connector(
            &format!("{{{LIST}, gone: {{method: GET, path: /g, access: read, description: Goes.}}}}"),
            "{type: none}",
        );
        let new = connector(
            "{list: {method: POST, path: /l2, access: write, description: Other., params: {q: {type: string, in: query, required: true}, \
             n: {type: integer, in: query}}}, make: {method: POST, path: /m, access: write, description: Makes.}, \
             look: {method: GET, path: /k, access: read, description: Looks.}}",
            "{type: bearer, credential: token}",
        );
        let changes = Changes::between(&old, &new);
        let names = |tools: &[ToolNote]| tools.iter().map(|tool| tool.name.clone()).collect::<Vec<_>>();
        assert_eq!(
            (names(&changes.added), names(&changes.removed)),
            (vec!["look".into(), "make".into()], vec!["gone".into()])
        );
        let list = &changes.changed[0];
        assert_eq!(list.access, Some(("read".into(), "write".into())));
        assert_eq!(list.call, Some(("GET /l".into(), "POST /l2".into())));
        assert_eq!(list.arguments, ["q is now required", "new: n"]);
        assert!(changes.auth);
        assert_eq!(changes.new_credentials, ["token"]);
        // What writes is not on by itself, be it new or only newly so.
        assert_eq!(changes.to_switch_off(), ["make", "list"]);
    }

    /// A composite that moves onto calls of its own goes on working.
    #[test]
    fn what_is_for_composites_alone_stays_on_when_it_is_new() {
        let old = connector(&format!("{{{LIST}}}"), "{type: none}");
        let raw = "_make: {method: POST, path: /m, access: write, description: Makes.}";
        let changes = Changes::between(&old, &connector(&format!("{{{LIST}, {raw}}}"), "{type: none}"));
        assert_eq!(changes.added.len(), 1);
        assert!(changes.to_switch_off().is_empty(), "{changes:?}");
    }

    #[test]
    fn a_tool_that_is_gone_and_one_that_works_the_same_are_one_that_was_renamed() {
        let old = connector(&format!("{{{LIST}}}"), "{type: none}");
        let find = LIST.replace("list:", "find:").replace("Lists.", "Finds.");
        let changes = Changes::between(&old, &connector(&format!("{{{find}}}"), "{type: none}"));
        assert!(changes.added.is_empty() && changes.removed.is_empty(), "{changes:?}");
        let found = &changes.changed[0];
        assert_eq!((found.name.as_str(), found.renamed_from.as_deref()), ("find", Some("list")));
        assert_eq!(found.description, Some(("Lists.".into(), "Finds.".into())));
        // Of two that work the same, nobody knows which it is.
        let seek = find.replace("find:", "seek:");
        let changes = Changes::between(&old, &connector(&format!("{{{find}, {seek}}}"), "{type: none}"));
        assert_eq!((changes.added.len(), changes.removed.len(), changes.changed.len()), (2, 1, 0));
    }
}
