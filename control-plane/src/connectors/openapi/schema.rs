//! Schemas of a document as whole JSON Schemas (2020-12) that a node can check with.
//!
//! Only keywords that are well formed are taken over, so that one sloppy line does not cost the connector. References are
//! written out; what closes a loop or grows beyond the budget is cut to its type. Whatever is left out makes a schema accept
//! more, never less.

use std::collections::HashMap;

use serde_json::{Map, Value as Json, json};

use super::refs;
use crate::connectors::dadl;

/// Size of all schemas of one operation, as compact JSON, about.
const MAX_BYTES: usize = 40_000;
/// What a part costs beside its texts.
const PART: usize = 40;
/// Levels of one schema.
const MAX_DEPTH: usize = 12;
const MAX_ENUM: usize = 250;
const MAX_DESCRIPTION: usize = 300;
/// Longest default, as JSON.
const MAX_DEFAULT: usize = 300;
const MAX_PROPERTY_NAME: usize = 200;

const TYPES: &[&str] = &["string", "integer", "number", "boolean", "array", "object", "null"];
const COUNTS: &[&str] = &["minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"];

/// Writes schemas out, for one operation after the other.
pub(super) struct Schemas<'a> {
    root: &'a Json,
    /// Bytes that may still be written for this operation.
    left: usize,
    /// References that are being written out.
    open: Vec<String>,
    /// A part was cut since this was last reset.
    cut: bool,
    /// Why this operation cannot be read, where a reference leads out of the document.
    bad: Option<String>,
    /// Whether a node can check a pattern.
    patterns: HashMap<String, bool>,
}

impl<'a> Schemas<'a> {
    pub(super) fn new(root: &'a Json) -> Self {
        Self { root, left: MAX_BYTES, open: Vec::new(), cut: false, bad: None, patterns: HashMap::new() }
    }

    /// Starts another operation.
    pub(super) fn begin(&mut self) {
        self.left = MAX_BYTES;
        self.open.clear();
        self.bad = None;
    }

    /// What was wrong with a reference of this operation.
    pub(super) fn take_bad(&mut self) -> Option<String> {
        self.bad.take()
    }

    pub(super) const fn root(&self) -> &'a Json {
        self.root
    }

    /// A schema, whole.
    pub(super) fn write(&mut self, schema: &Json) -> Map<String, Json> {
        self.part(schema, 0)
    }

    fn part(&mut self, schema: &Json, depth: usize) -> Map<String, Json> {
        let Some(object) = schema.as_object() else {
            return if schema == &Json::Bool(false) { keyword("not", json!({})) } else { Map::new() };
        };
        let Some(reference) = refs::of(schema) else { return self.plain(object, depth) };
        if self.open.iter().any(|open| open == reference) || self.open.len() > MAX_DEPTH {
            return self.cut_off(reference);
        }
        let target = match refs::target(self.root, reference) {
            Ok(target) => target,
            Err(refs::BadRef(reason)) => {
                self.bad.get_or_insert(reason);
                return Map::new();
            }
        };
        self.open.push(reference.to_owned());
        let mut written = self.part(target, depth);
        self.open.pop();
        // Beside a reference, OpenAPI 3.1 allows a description that is meant for this place.
        if let Some(own) = object.get("description").and_then(Json::as_str) {
            written.insert("description".to_owned(), json!(super::one_line(own, MAX_DESCRIPTION)));
        }
        written
    }

    /// What stands where a loop closes: the type, if it says one.
    fn cut_off(&mut self, reference: &str) -> Map<String, Json> {
        self.cut = true;
        self.left = self.left.saturating_sub(PART);
        let target = refs::target(self.root, reference).ok();
        let kind = target.and_then(|target| target.get("type")).and_then(Json::as_str);
        kind.filter(|kind| TYPES.contains(kind)).map(|kind| keyword("type", json!(kind))).unwrap_or_default()
    }

    fn plain(&mut self, from: &Map<String, Json>, depth: usize) -> Map<String, Json> {
        let mut to = Map::new();
        let nullable = from.get("nullable") == Some(&Json::Bool(true));
        if let Some(kind) = types(from.get("type"), nullable) {
            to.insert("type".to_owned(), kind);
        }
        if self.left == 0 || depth > MAX_DEPTH {
            self.cut = true;
            self.left = self.left.saturating_sub(PART);
            return to;
        }
        self.left = self.left.saturating_sub(PART);
        texts(from, &mut to);
        values(from, nullable, &mut to);
        self.pay(&mut to);
        numbers(from, &mut to);
        self.pattern(from, &mut to);
        self.object(from, &mut to, depth);
        self.list(from, &mut to, depth);
        self.combined(from, &mut to, depth, nullable);
        to
    }

    /// Counts the texts and values of a part, and leaves out what does not fit any more.
    fn pay(&mut self, to: &mut Map<String, Json>) {
        for word in ["enum", "default", "description"] {
            let Some(cost) = to.get(word).map(|value| value.to_string().len()) else { continue };
            match self.left.checked_sub(cost) {
                Some(left) => self.left = left,
                None => drop(to.remove(word)),
            }
        }
    }

    fn pattern(&mut self, from: &Map<String, Json>, to: &mut Map<String, Json>) {
        let Some(pattern) = from.get("pattern").and_then(Json::as_str).filter(|p| p.len() <= 1000) else {
            return;
        };
        let usable = match self.patterns.get(pattern) {
            Some(known) => *known,
            None => {
                let usable = dadl::is_usable_schema(&json!({ "pattern": pattern }));
                self.patterns.insert(pattern.to_owned(), usable);
                usable
            }
        };
        if usable {
            to.insert("pattern".to_owned(), json!(pattern));
        }
    }

    fn object(&mut self, from: &Map<String, Json>, to: &mut Map<String, Json>, depth: usize) {
        let mut names = Vec::new();
        if let Some(properties) = from.get("properties").and_then(Json::as_object) {
            let mut written = Map::new();
            for (name, schema) in properties {
                // What the API alone sets is not for callers.
                if name.len() > MAX_PROPERTY_NAME || self.is_read_only(schema) {
                    continue;
                }
                if self.left == 0 {
                    self.cut = true;
                    break;
                }
                self.left = self.left.saturating_sub(name.len());
                written.insert(name.clone(), Json::Object(self.part(schema, depth + 1)));
                names.push(name.clone());
            }
            to.insert("properties".to_owned(), Json::Object(written));
        }
        if let Some(required) = from.get("required").and_then(Json::as_array) {
            let known = |name: &&str| names.iter().any(|n| n == name) || !from.contains_key("properties");
            let mut required: Vec<&str> = required.iter().filter_map(Json::as_str).filter(known).collect();
            required.dedup();
            if !required.is_empty() {
                to.insert("required".to_owned(), json!(required));
            }
        }
        match from.get("additionalProperties") {
            // Names by pattern are not taken over, so that what is not named may still be there.
            Some(Json::Bool(false)) if !from.contains_key("patternProperties") && !self.cut => {
                to.insert("additionalProperties".to_owned(), json!(false));
            }
            Some(schema @ Json::Object(_)) => {
                let schema = self.part(schema, depth + 1);
                if !schema.is_empty() && !from.contains_key("patternProperties") {
                    to.insert("additionalProperties".to_owned(), Json::Object(schema));
                }
            }
            _ => {}
        }
    }

    fn is_read_only(&self, schema: &Json) -> bool {
        let schema = refs::follow(self.root, schema).unwrap_or(schema);
        schema.get("readOnly") == Some(&Json::Bool(true))
    }

    fn list(&mut self, from: &Map<String, Json>, to: &mut Map<String, Json>, depth: usize) {
        if let Some(items @ Json::Object(_)) = from.get("items") {
            let items = self.part(items, depth + 1);
            to.insert("items".to_owned(), Json::Object(items));
        } else if to.get("type") == Some(&json!("array")) {
            to.insert("items".to_owned(), json!({}));
        }
        if from.get("uniqueItems") == Some(&Json::Bool(true)) {
            to.insert("uniqueItems".to_owned(), json!(true));
        }
    }

    /// `allOf`, `anyOf` and `oneOf` as they are. Where a branch was cut it accepts more, so that more than one of `oneOf` may
    /// fit; `anyOf` says that. `not` would accept less, so that it stays only where nothing was cut.
    fn combined(
        &mut self,
        from: &Map<String, Json>,
        to: &mut Map<String, Json>,
        depth: usize,
        nullable: bool,
    ) {
        for word in ["allOf", "anyOf", "oneOf"] {
            let Some(branches) = from.get(word).and_then(Json::as_array).filter(|b| !b.is_empty()) else {
                continue;
            };
            let before = std::mem::take(&mut self.cut);
            let mut written: Vec<Map<String, Json>> =
                branches.iter().take(50).map(|branch| self.part(branch, depth + 1)).collect();
            let cut = std::mem::replace(&mut self.cut, before) || branches.len() > 50;
            self.cut |= cut;
            if nullable && word != "allOf" && !to.contains_key("type") {
                written.push(keyword("type", json!("null")));
            }
            let alone = if written.len() == 1 { written.pop() } else { None };
            if let Some(only) = alone {
                for (key, value) in only {
                    to.entry(key).or_insert(value);
                }
            } else if word != "allOf" && branches.len() > 50 {
                // Not all branches are known.
            } else {
                let word = if word == "oneOf" && cut { "anyOf" } else { word };
                to.insert(word.to_owned(), json!(written));
            }
        }
        if let Some(not) = from.get("not").filter(|not| not.is_object()) {
            let before = std::mem::take(&mut self.cut);
            let written = self.part(not, depth + 1);
            let cut = std::mem::replace(&mut self.cut, before);
            // An empty `not` would refuse everything, and an incomplete one too much.
            if !cut && written.len() == not.as_object().map_or(0, Map::len) && !written.is_empty() {
                to.insert("not".to_owned(), Json::Object(written));
            }
        }
    }
}

fn keyword(name: &str, value: Json) -> Map<String, Json> {
    Map::from_iter([(name.to_owned(), value)])
}

/// The type or types that are known, with null where the document allows it.
fn types(said: Option<&Json>, nullable: bool) -> Option<Json> {
    let known = |word: &str| match word {
        "file" => Some("string"),
        other => TYPES.iter().find(|known| **known == other).copied(),
    };
    let mut words: Vec<&str> = match said? {
        Json::String(word) => vec![known(word)?],
        Json::Array(words) => words.iter().map(|word| known(word.as_str()?)).collect::<Option<_>>()?,
        _ => return None,
    };
    if nullable && !words.contains(&"null") {
        words.push("null");
    }
    words.dedup();
    match words.as_slice() {
        [] => None,
        [one] => Some(json!(one)),
        several => Some(json!(several)),
    }
}

fn texts(from: &Map<String, Json>, to: &mut Map<String, Json>) {
    if let Some(text) = from.get("description").and_then(Json::as_str) {
        let text = super::one_line(text, MAX_DESCRIPTION);
        if !text.is_empty() {
            to.insert("description".to_owned(), json!(text));
        }
    }
    if let Some(format) = from.get("format").and_then(Json::as_str)
        && format.len() <= 40
    {
        to.insert("format".to_owned(), json!(super::one_line(format, 40)));
    }
}

fn values(from: &Map<String, Json>, nullable: bool, to: &mut Map<String, Json>) {
    if let Some(values) = from.get("enum").and_then(Json::as_array)
        && (1..=MAX_ENUM).contains(&values.len())
    {
        let mut values = values.clone();
        if nullable && !values.contains(&Json::Null) {
            values.push(Json::Null);
        }
        to.insert("enum".to_owned(), Json::Array(values));
    }
    if let Some(value) = from.get("const") {
        to.insert("const".to_owned(), value.clone());
    }
    if let Some(default) = from.get("default")
        && !default.is_null()
        && default.to_string().len() <= MAX_DEFAULT
    {
        to.insert("default".to_owned(), default.clone());
    }
}

fn numbers(from: &Map<String, Json>, to: &mut Map<String, Json>) {
    for word in COUNTS {
        if let Some(count) = from.get(*word).and_then(Json::as_u64) {
            to.insert((*word).to_owned(), json!(count));
        }
    }
    if let Some(step) = from.get("multipleOf").filter(|step| step.as_f64().is_some_and(|step| step > 0.0)) {
        to.insert("multipleOf".to_owned(), step.clone());
    }
    for (bound, exclusive) in [("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")] {
        let value = from.get(bound).filter(|value| value.is_number());
        match (value, from.get(exclusive)) {
            // OpenAPI 3.0 marks the bound itself as excluded.
            (Some(value), Some(Json::Bool(true))) => {
                to.insert(exclusive.to_owned(), value.clone());
            }
            (value, own) => {
                if let Some(value) = value {
                    to.insert(bound.to_owned(), value.clone());
                }
                if let Some(own) = own.filter(|own| own.is_number()) {
                    to.insert(exclusive.to_owned(), own.clone());
                }
            }
        }
    }
}
