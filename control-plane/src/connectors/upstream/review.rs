//! What a server offers against what was approved of it: what is new, changed, renamed or gone, and how. Pure.
//!
//! A definition is in use while the server says exactly what somebody has approved; everything else waits for somebody to look.

use aws_lc_rs::digest;
use serde_json::Value as Json;
use time::OffsetDateTime;

use super::definitions::{Definition, Kind, access, members, same, text, title};

/// One thing that a server offers or has offered.
#[derive(Clone, Debug)]
pub struct Known {
    pub kind: Kind,
    pub name: String,
    pub position: i32,
    /// As the server says it now; `None` where it says nothing of it any more.
    pub found: Option<String>,
    pub found_at: OffsetDateTime,
    /// As it was approved, if it was.
    pub approved: Option<String>,
    pub refused: bool,
    /// Of tools: the class that was chosen; empty for none.
    pub access: String,
    /// Of others than tools: switched off.
    pub off: bool,
}

/// Where a definition stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    InUse,
    New,
    Changed,
    Gone,
    /// Looked at, and not wanted as it is now.
    Refused,
}

impl Known {
    /// One that nobody has seen yet.
    #[must_use]
    pub fn new(definition: &Definition, position: i32, now: OffsetDateTime) -> Self {
        Self {
            kind: definition.kind,
            name: definition.name.clone(),
            position,
            found: Some(definition.json.clone()),
            found_at: now,
            approved: None,
            refused: false,
            access: String::new(),
            off: false,
        }
    }

    #[must_use]
    pub fn state(&self) -> State {
        match (&self.found, &self.approved) {
            (Some(found), Some(approved)) if found == approved => State::InUse,
            (None, _) => State::Gone,
            _ if self.refused => State::Refused,
            (Some(_), None) => State::New,
            (Some(_), Some(_)) => State::Changed,
        }
    }

    /// The newest that is known of it.
    #[must_use]
    pub fn json(&self) -> &str {
        self.found.as_deref().or(self.approved.as_deref()).unwrap_or("{}")
    }

    /// The class that was chosen, else the one that follows from its annotations.
    #[must_use]
    pub fn class(&self) -> String {
        if self.access.is_empty() {
            access(&members(self.json())).as_str().to_owned()
        } else {
            self.access.clone()
        }
    }
}

/// Brings what is known up to what was found. Answers the rows to write; a kind in `unread` is left as it was.
#[must_use]
pub fn reconcile(known: &[Known], found: &[Definition], unread: &[Kind], now: OffsetDateTime) -> Vec<Known> {
    let mut after = Vec::with_capacity(found.len());
    for (position, definition) in (0_i32..).zip(found) {
        let before = known.iter().find(|row| row.kind == definition.kind && row.name == definition.name);
        let Some(before) = before else {
            after.push(Known::new(definition, position, now));
            continue;
        };
        let mut row = Known { position, ..before.clone() };
        // The same in other words keeps the words that were approved.
        if row.approved.as_ref().is_some_and(|approved| same(approved, &definition.json)) {
            row.found.clone_from(&row.approved);
            row.refused = false;
        } else if !row.found.as_ref().is_some_and(|old| same(old, &definition.json)) {
            row.found = Some(definition.json.clone());
            row.found_at = now;
            row.refused = false;
        }
        after.push(row);
    }
    for row in known {
        let still = found.iter().any(|definition| definition.kind == row.kind && definition.name == row.name);
        if still {
            continue;
        }
        if unread.contains(&row.kind) {
            after.push(row.clone());
        } else if row.approved.is_some() {
            let found_at = if row.found.is_some() { now } else { row.found_at };
            after.push(Known { found: None, found_at, refused: false, ..row.clone() });
        }
        // What was never approved leaves without a trace.
    }
    after
}

/// Something to decide on.
#[derive(Clone, Debug)]
pub struct Item {
    /// Names this very content: another one has another key.
    pub key: String,
    pub state: State,
    pub kind: Kind,
    pub name: String,
    /// The name that it had, where it is one that is gone under another name.
    pub renamed_from: Option<String>,
    pub title: String,
    pub description: String,
    pub access: String,
    pub found_at: OffsetDateTime,
    /// How it differs from what was approved.
    pub parts: Vec<Part>,
    /// The newest that is known of it.
    pub json: String,
}

/// One respect in which two definitions differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    pub what: String,
    pub before: String,
    pub after: String,
    /// Both are JSON, over several lines.
    pub json: bool,
}

/// All that is known, as something to decide on or to look at. A tool that is gone and one that is new and works the same are
/// one that was renamed.
#[must_use]
pub fn items(known: &[Known]) -> Vec<Item> {
    let mut gone: Vec<&Known> = known.iter().filter(|row| row.state() == State::Gone).collect();
    let mut items = Vec::new();
    for row in known.iter().filter(|row| row.state() != State::Gone) {
        let before = if row.state() == State::New { take_twin(&mut gone, row) } else { None };
        items.push(item(row, before));
    }
    items.extend(gone.into_iter().map(|row| item(row, None)));
    items
}

fn item(row: &Known, renamed: Option<&Known>) -> Item {
    let now = members(row.json());
    let before = renamed.and_then(|old| old.approved.as_deref()).or(row.approved.as_deref());
    let parts = match (before, &row.found) {
        (Some(before), Some(found)) => differences(before, found),
        _ => Vec::new(),
    };
    let from = renamed.map(|old| old.name.clone());
    let description = if row.kind == Kind::Instructions { "instructions" } else { "description" };
    Item {
        key: key(row, from.as_deref()),
        state: row.state(),
        kind: row.kind,
        name: row.name.clone(),
        title: title(&now),
        description: text(&now, description),
        access: renamed.map_or_else(|| row.class(), Known::class),
        renamed_from: from,
        found_at: row.found_at,
        parts,
        json: row.json().to_owned(),
    }
}

fn key(row: &Known, from: Option<&str>) -> String {
    let mut hash = digest::Context::new(&digest::SHA256);
    let parts = [
        row.kind.as_str(),
        &row.name,
        from.unwrap_or_default(),
        row.found.as_deref().unwrap_or_default(),
        row.approved.as_deref().unwrap_or_default(),
    ];
    for part in parts {
        hash.update(&part.len().to_be_bytes());
        hash.update(part.as_bytes());
    }
    hex::encode(&hash.finish().as_ref()[..12])
}

/// Takes the row that is gone and worked as this new one does.
fn take_twin<'a>(gone: &mut Vec<&'a Known>, new: &Known) -> Option<&'a Known> {
    if !matches!(new.kind, Kind::Tool | Kind::Prompt) {
        return None;
    }
    let works = if new.kind == Kind::Tool { "inputSchema" } else { "arguments" };
    let now = members(new.json());
    let twin = |old: &&Known| {
        let before = members(old.json());
        let says_something =
            now.get(works).and_then(|schema| schema.get("properties").or(Some(schema))).is_some_and(|all| {
                all.as_object()
                    .map(serde_json::Map::len)
                    .or_else(|| all.as_array().map(Vec::len))
                    .unwrap_or_default()
                    > 0
            });
        let alike = before.get(works) == now.get(works);
        old.kind == new.kind
            && alike
            && (says_something || before.get("description") == now.get("description"))
    };
    // The one that reads the same is the better twin.
    let reads_same = |old: &&Known| members(old.json()).get("description") == now.get("description");
    let at =
        gone.iter().position(|old| twin(old) && reads_same(old)).or_else(|| gone.iter().position(twin))?;
    Some(gone.remove(at))
}

/// In what two definitions differ.
#[must_use]
pub fn differences(before: &str, after: &str) -> Vec<Part> {
    let (before, after) = (members(before), members(after));
    let mut names: Vec<&String> =
        before.keys().chain(after.keys().filter(|name| !before.contains_key(*name))).collect();
    names.sort_by_key(|name| rank(name));
    let part = |name: &String| {
        let (old, new) = (before.get(name), after.get(name));
        if old == new {
            return None;
        }
        let is_text = |value: Option<&Json>| value.is_none_or(Json::is_string);
        let json = !(is_text(old) && is_text(new));
        let show = |value: Option<&Json>| match value {
            None => String::new(),
            Some(Json::String(text)) if !json => text.clone(),
            Some(value) => serde_json::to_string_pretty(value).unwrap_or_default(),
        };
        Some(Part { what: words(name), before: show(old), after: show(new), json })
    };
    names.into_iter().filter_map(part).collect()
}

/// The order in which differences are read.
fn rank(name: &str) -> usize {
    const ORDER: [&str; 6] = ["name", "title", "description", "annotations", "inputSchema", "outputSchema"];
    ORDER.iter().position(|known| *known == name).unwrap_or(ORDER.len())
}

fn words(name: &str) -> String {
    match name {
        "name" => "Name",
        "title" => "Title",
        "description" => "Description",
        "annotations" => "Annotations",
        "inputSchema" => "Input schema",
        "outputSchema" => "Output schema",
        "instructions" => "Instructions",
        other => other,
    }
    .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tool(name: &str, description: &str, property: &str) -> Definition {
        let json = format!(
            r#"{{"name":"{name}","description":"{description}","inputSchema":{{"type":"object","properties":{{"{property}":{{}}}}}}}}"#
        );
        Definition::read(Kind::Tool, &json).unwrap()
    }

    fn now() -> OffsetDateTime {
        OffsetDateTime::now_utc()
    }

    fn approved(found: &[Definition]) -> Vec<Known> {
        let mut rows = reconcile(&[], found, &[], now());
        rows.iter_mut().for_each(|row| row.approved.clone_from(&row.found));
        rows
    }

    fn states(rows: &[Known]) -> Vec<(String, State)> {
        rows.iter().map(|row| (row.name.clone(), row.state())).collect()
    }

    #[test]
    fn what_is_new_changed_or_gone_waits_and_the_rest_is_in_use() {
        let known = approved(&[tool("a", "One.", "x"), tool("b", "Two.", "y"), tool("c", "Three.", "z")]);
        let after = reconcile(
            &known,
            &[tool("a", "One.", "x"), tool("b", "Other.", "y"), tool("d", "Four.", "w")],
            &[],
            now(),
        );
        let of = |name: &str| after.iter().find(|row| row.name == name).unwrap().state();
        assert_eq!(
            [of("a"), of("b"), of("c"), of("d")],
            [State::InUse, State::Changed, State::Gone, State::New]
        );
        // It comes back as it was.
        let back = reconcile(
            &after,
            &[tool("a", "One.", "x"), tool("b", "Two.", "y"), tool("c", "Three.", "z")],
            &[],
            now(),
        );
        assert!(back.iter().all(|row| row.state() == State::InUse), "{:?}", states(&back));
    }

    #[test]
    fn what_was_refused_stays_refused_until_it_changes_again() {
        let mut known = reconcile(&[], &[tool("a", "One.", "x")], &[], now());
        known[0].refused = true;
        assert_eq!(reconcile(&known, &[tool("a", "One.", "x")], &[], now())[0].state(), State::Refused);
        assert_eq!(reconcile(&known, &[tool("a", "Two.", "x")], &[], now())[0].state(), State::New);
    }

    #[test]
    fn a_list_that_could_not_be_read_changes_nothing() {
        let known = approved(&[tool("a", "One.", "x")]);
        assert_eq!(reconcile(&known, &[], &[Kind::Tool], now())[0].state(), State::InUse);
    }

    #[test]
    fn a_tool_that_is_gone_and_one_that_works_the_same_are_one_that_was_renamed() {
        let known = approved(&[tool("a", "One.", "x"), tool("b", "Two.", "y")]);
        let after = reconcile(&known, &[tool("c", "One.", "x"), tool("d", "Else.", "q")], &[], now());
        let items = items(&after);
        let renamed = items.iter().find(|item| item.name == "c").unwrap();
        assert_eq!(renamed.renamed_from.as_deref(), Some("a"));
        assert_eq!(renamed.parts[0].what, "Name");
        let states: Vec<_> = items.iter().map(|item| (item.name.as_str(), item.state)).collect();
        assert_eq!(states, [("c", State::New), ("d", State::New), ("b", State::Gone)]);
    }

    #[test]
    fn differences_are_told_part_by_part_and_another_content_has_another_key() {
        let known = approved(&[tool("a", "One.", "x")]);
        let changed = reconcile(&known, &[tool("a", "Two.", "y")], &[], now());
        let item = items(&changed).pop().unwrap();
        let parts: Vec<_> = item.parts.iter().map(|part| part.what.as_str()).collect();
        assert_eq!(parts, ["Description", "Input schema"]);
        assert!(item.parts[1].json && item.parts[1].after.contains('\n'));
        let again = reconcile(&known, &[tool("a", "Three.", "y")], &[], now());
        assert_ne!(items(&again)[0].key, item.key);
    }
}
