//! YAML 1.2 text as a tree of nodes that remember their place.
//!
//! Owns the limits that keep a hostile document from costing time or memory, and the rules of scalars: `true` and `false`
//! alone are booleans, keys are always strings, there are no merge keys. Knows nothing of DADL.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Number, Value as Json};
use serde_saphyr::options::{DuplicateKeyPolicy, MergeKeyPolicy, NonFiniteFloatPolicy};
use serde_saphyr::{Location, Spanned};

use super::diagnostic::Mark;

/// Containers may nest this deep.
const MAX_DEPTH: usize = 40;
/// Nodes of a document, before aliases are expanded. The largest written by hand has 30,000, one imported from a thousand
/// operations half a million.
const MAX_NODES: usize = 800_000;
/// Nodes that aliases may add.
const MAX_REPLAYED: usize = 250_000;
const MAX_ALIASES: usize = 2_000;

/// A value of the document and where it stands. For an alias this is the place of the definition, since that is the text
/// to change.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub at: Mark,
    pub value: Value,
    /// Where in the source it stands, in bytes: offset and length.
    span: Option<(usize, usize)>,
    /// How the source spells it, for numbers alone: `1.10` is the number 1.1, but may be meant as text.
    spelling: Option<String>,
}

#[derive(Clone, Debug)]
pub(super) enum Value {
    Null,
    Bool(bool),
    Number(Number),
    String(String),
    Seq(Vec<Node>),
    Map(Vec<(Key, Node)>),
}

#[derive(Clone, Debug)]
pub(super) struct Key {
    pub name: String,
    pub at: Mark,
}

/// Text that is not YAML, or is more of it than is read.
#[derive(Debug)]
pub(super) struct Unreadable {
    pub at: Mark,
    pub message: String,
    /// What to write instead; may be empty.
    pub help: &'static str,
}

/// Reads one document.
pub(super) fn parse(source: &str) -> Result<Node, Unreadable> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_events: 4 * MAX_NODES,
            max_nodes: MAX_NODES,
            max_depth: MAX_DEPTH,
            flow_nesting_limit: MAX_DEPTH,
            max_aliases: MAX_ALIASES,
            max_anchors: MAX_ALIASES,
            max_recorded_anchor_events: MAX_REPLAYED,
            max_recorded_anchor_bytes: 16 * 1024 * 1024,
            max_total_scalar_bytes: 16 * 1024 * 1024,
            max_documents: 1,
            enforce_alias_anchor_ratio: false,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: MAX_REPLAYED,
            max_replay_stack_depth: 16,
        },
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        merge_keys: MergeKeyPolicy::AsOrdinary,
        non_finite_float_policy: NonFiniteFloatPolicy::AsString,
        strict_booleans: true,
        underscored_numbers_as_strings: true,
        ignore_binary_tag_for_string: true,
        reject_unsupported_tags: true,
        emit_comments: false,
        with_snippet: false,
    };
    let mut node: Node = serde_saphyr::from_str_with_options(source, options).map_err(|error| {
        let at = error.location().map(mark).unwrap_or_default();
        let message = plain_message(&error);
        Unreadable { at, help: way_out(&message), message }
    })?;
    node.keep_spellings(source);
    Ok(node)
}

/// The parser's sentence in our words, without its own note of the place, which the diagnostic already has.
fn plain_message(error: &serde_saphyr::Error) -> String {
    let text = error.without_snippet().to_string();
    let line = text.lines().next().unwrap_or_default();
    let line = line.strip_prefix("error: ").unwrap_or(line);
    let cut = line.split(" at line ").next().unwrap_or(line).trim();
    if cut.contains("Documents {") {
        return "holds more than one YAML document; keep one per file".to_owned();
    }
    if cut.starts_with("budget breached") || cut.contains("replay") {
        return "is larger, more deeply nested, or repeats more by aliases than is read".to_owned();
    }
    if cut.contains("into string") || cut.contains("expected string scalar") {
        return "a key must be plain text".to_owned();
    }
    cut.chars().take(300).collect()
}

/// What an author most often means where the parser says this; empty where nobody could guess.
fn way_out(message: &str) -> &'static str {
    const WAYS: &[(&str, &str)] = &[
        ("mapping values are not allowed", "put a text that holds `: ` in quotes"),
        ("unexpected character", "put a text that begins with this character in quotes"),
        ("after single-quoted", "write an apostrophe within single quotes as ''"),
        ("after double-quoted", "write a quote within double quotes as \\\""),
        ("tab", "indent with spaces"),
        ("a flow mapping", "put a text that holds braces, brackets or commas in quotes"),
        ("a flow sequence", "put a text that holds braces, brackets or commas in quotes"),
        ("unclosed", "close it, or put the text in quotes"),
        ("a block mapping", "indent the keys of a mapping alike"),
        ("a block collection", "indent the items of a list alike"),
        ("unknown anchor", "write &name where the value stands first, and above this line"),
        ("unsupported tag", "leave the tag out, or put a text that begins with `!` in quotes"),
    ];
    WAYS.iter().find(|(part, _)| message.contains(part)).map_or("", |(_, way)| way)
}

/// A number that the parser reads by older rules than those of YAML 1.2: a leading zero says nothing, `0b11` is a text.
fn by_the_rules(number: &Number, spelling: &str) -> Option<Value> {
    let digits = spelling.trim_start_matches(['+', '-']);
    if digits.starts_with("0b") || digits.starts_with("0B") {
        return Some(Value::String(spelling.to_owned()));
    }
    let whole = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let missed = whole && !number.is_i64() && !number.is_u64();
    let plain = spelling.trim_start_matches('+');
    let read = plain.parse::<i64>().map(Number::from).or_else(|_| plain.parse::<u64>().map(Number::from));
    read.ok().filter(|_| missed).map(Value::Number)
}

fn mark(location: Location) -> Mark {
    let limit = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
    Mark { line: limit(location.line()), column: limit(location.column()) }
}

impl Node {
    /// A scalar as it is spelled in the source: `1.10` stays `1.10`. `None` for null, lists and mappings.
    pub(super) fn text(&self) -> Option<Cow<'_, str>> {
        match &self.value {
            Value::String(text) => Some(Cow::Borrowed(text)),
            Value::Bool(value) => Some(Cow::Owned(value.to_string())),
            Value::Number(value) => {
                let spelling = self.spelling.as_deref().map(Cow::Borrowed);
                Some(spelling.unwrap_or_else(|| Cow::Owned(value.to_string())))
            }
            Value::Null | Value::Seq(_) | Value::Map(_) => None,
        }
    }

    pub(super) fn is_null(&self) -> bool {
        matches!(self.value, Value::Null)
    }

    /// Keys of a mapping that start with a character.
    pub(super) fn keys_with_prefix(&self, prefix: char) -> Vec<&str> {
        let Value::Map(entries) = &self.value else { return Vec::new() };
        entries.iter().map(|(key, _)| key.name.as_str()).filter(|name| name.starts_with(prefix)).collect()
    }

    /// What kind of value this is, for a message.
    pub(super) fn kind(&self) -> &'static str {
        match self.value {
            Value::Null => "nothing",
            Value::Bool(_) => "a boolean",
            Value::Number(_) => "a number",
            Value::String(_) => "a text",
            Value::Seq(_) => "a list",
            Value::Map(_) => "a mapping",
        }
    }

    /// The same value as JSON; of keys that repeat, the last one counts.
    pub(super) fn to_json(&self) -> Json {
        match &self.value {
            Value::Null => Json::Null,
            Value::Bool(value) => Json::Bool(*value),
            Value::Number(value) => Json::Number(value.clone()),
            Value::String(text) => Json::String(text.clone()),
            Value::Seq(items) => Json::Array(items.iter().map(Self::to_json).collect()),
            Value::Map(entries) => {
                Json::Object(entries.iter().map(|(key, node)| (key.name.clone(), node.to_json())).collect())
            }
        }
    }

    fn keep_spellings(&mut self, source: &str) {
        match &mut self.value {
            Value::Number(number) => {
                let range = self.span.and_then(|(start, length)| Some(start..start.checked_add(length)?));
                let Some(spelling) = range.and_then(|range| source.get(range)) else { return };
                self.spelling = Some(spelling.to_owned());
                if let Some(value) = by_the_rules(number, spelling) {
                    self.value = value;
                }
            }
            Value::Seq(items) => items.iter_mut().for_each(|item| item.keep_spellings(source)),
            Value::Map(entries) => entries.iter_mut().for_each(|(_, node)| node.keep_spellings(source)),
            Value::Null | Value::Bool(_) | Value::String(_) => {}
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Value>::deserialize(deserializer)?;
        let span = spanned.defined.span();
        let bytes = span.byte_offset().zip(span.byte_len());
        let span = bytes.and_then(|(o, l)| Some((usize::try_from(o).ok()?, usize::try_from(l).ok()?)));
        Ok(Self { at: mark(spanned.defined), value: spanned.value, span, spelling: None })
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_i128<E>(self, value: i128) -> Result<Value, E> {
        Ok(Value::String(value.to_string()))
    }

    fn visit_u128<E>(self, value: u128) -> Result<Value, E> {
        Ok(Value::String(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or_else(|| Value::String(value.to_string()), Value::Number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::String(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Value, E> {
        Ok(Value::String(text))
    }

    fn visit_bytes<E: de::Error>(self, _: &[u8]) -> Result<Value, E> {
        Err(E::custom("binary values are not read; write text"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Value::Seq(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = map.next_key::<Spanned<String>>()? {
            let key = Key { at: mark(key.defined), name: key.value };
            entries.push((key, map.next_value()?));
        }
        Ok(Value::Map(entries))
    }
}
