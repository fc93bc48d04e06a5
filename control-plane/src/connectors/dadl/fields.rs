//! Reading a mapping key by key: what is there, what is missing, what nobody knows.
//!
//! Owns the messages about wrong kinds of value, repeated keys, merge keys and unknown keys. Knows nothing of what DADL's
//! keys mean.

use std::collections::HashMap;

use super::diagnostic::{Mark, Report, quote};
use super::yaml::{Key, Node, Value};

/// A value and the path that leads to it.
#[derive(Clone, Debug)]
pub(super) struct Field<'a> {
    pub node: &'a Node,
    pub path: String,
}

/// A mapping that is being read. [`Fields::finish`] warns about the keys that nobody asked for.
#[derive(Debug)]
pub(super) struct Fields<'a> {
    pub at: Mark,
    pub path: String,
    entries: &'a [(Key, Node)],
    known: Vec<&'static str>,
}

impl<'a> Field<'a> {
    pub(super) fn error(&self, report: &mut Report, message: impl Into<String>, help: impl Into<String>) {
        report.error(self.node.at, &self.path, message, help);
    }

    pub(super) fn warn(&self, report: &mut Report, message: impl Into<String>, help: impl Into<String>) {
        report.warn(self.node.at, &self.path, message, help);
    }

    /// The value as a mapping.
    pub(super) fn fields(&self, report: &mut Report) -> Option<Fields<'a>> {
        let entries = self.entries(report)?;
        Some(Fields { at: self.node.at, path: self.path.clone(), entries, known: Vec::new() })
    }

    /// The entries of a mapping whose keys are names of the author's choice.
    pub(super) fn children(&self, report: &mut Report) -> Vec<(&'a Key, Field<'a>)> {
        let entries = self.entries(report).unwrap_or_default();
        let child = |(key, node): &'a (Key, Node)| (key, Field { node, path: join(&self.path, &key.name) });
        entries.iter().map(child).collect()
    }

    fn entries(&self, report: &mut Report) -> Option<&'a [(Key, Node)]> {
        let Value::Map(entries) = &self.node.value else {
            let message = format!("must be a mapping, not {}", self.node.kind());
            self.error(report, message, "write `key: value` lines below it");
            return None;
        };
        let mut first: HashMap<&str, Mark> = HashMap::new();
        for (key, _) in entries {
            let path = join(&self.path, &key.name);
            if key.name == "<<" {
                let help = "repeat the keys, or use an alias for the whole value";
                report.error(key.at, &path, "merge keys are not part of YAML 1.2", help);
            } else if let Some(earlier) = first.insert(&key.name, key.at) {
                let message = format!("is there twice, first in line {}", earlier.line);
                report.error(key.at, &path, message, "keep one of the two");
            }
        }
        Some(entries)
    }

    /// The value as text; numbers and booleans count as they are spelled.
    pub(super) fn text(&self, report: &mut Report) -> Option<String> {
        let text = self.node.text();
        if text.is_none() {
            self.error(report, format!("must be a text, not {}", self.node.kind()), "");
        }
        text.map(|text| text.into_owned())
    }

    pub(super) fn boolean(&self, report: &mut Report) -> Option<bool> {
        match &self.node.value {
            Value::Bool(value) => Some(*value),
            Value::String(text) => {
                let message = format!("{} is a text in YAML 1.2, not a boolean", quote(text));
                self.error(report, message, "write true or false");
                None
            }
            _ => {
                self.error(report, format!("must be true or false, not {}", self.node.kind()), "");
                None
            }
        }
    }

    pub(super) fn count(&self, report: &mut Report) -> Option<u32> {
        let number = match &self.node.value {
            Value::Number(value) => value.as_u64().and_then(|n| u32::try_from(n).ok()),
            _ => None,
        };
        if number.is_none() {
            let quoted = matches!(&self.node.value, Value::String(text) if text.parse::<u32>().is_ok());
            let help = if quoted { "write it without quotes" } else { "" };
            self.error(report, "must be a whole number from 0 to 4294967295", help);
        }
        number
    }

    pub(super) fn items(&self, report: &mut Report) -> Vec<Field<'a>> {
        let Value::Seq(items) = &self.node.value else {
            let message = format!("must be a list, not {}", self.node.kind());
            self.error(report, message, "write `- item` lines below it, or [item, item]");
            return Vec::new();
        };
        let child = |(index, node)| Field { node, path: format!("{}[{index}]", self.path) };
        items.iter().enumerate().map(child).collect()
    }

    pub(super) fn texts(&self, report: &mut Report) -> Vec<String> {
        self.items(report).iter().filter_map(|item| item.text(report)).collect()
    }
}

impl<'a> Fields<'a> {
    /// The value of a key that this version knows; a key without a value counts as absent.
    pub(super) fn get(&mut self, name: &'static str) -> Option<Field<'a>> {
        self.known.push(name);
        let found = self.entries.iter().find(|(key, _)| key.name == name);
        let (_, node) = found.filter(|(_, node)| !node.is_null())?;
        Some(Field { node, path: join(&self.path, name) })
    }

    /// The value of a key that belongs elsewhere, for a message that says so; it does not count as known otherwise.
    pub(super) fn take(&mut self, name: &'static str) -> Option<Field<'a>> {
        let field = self.get(name);
        if field.is_none() {
            self.known.pop();
        }
        field
    }

    pub(super) fn need(&mut self, name: &'static str, report: &mut Report, help: &str) -> Option<Field<'a>> {
        let field = self.get(name);
        if field.is_none() {
            report.error(self.at, &join(&self.path, name), "is missing", help);
        }
        field
    }

    pub(super) fn text(&mut self, name: &'static str, report: &mut Report) -> Option<String> {
        self.get(name)?.text(report)
    }

    pub(super) fn boolean(&mut self, name: &'static str, report: &mut Report) -> Option<bool> {
        self.get(name)?.boolean(report)
    }

    pub(super) fn count(&mut self, name: &'static str, report: &mut Report) -> Option<u32> {
        self.get(name)?.count(report)
    }

    pub(super) fn texts(&mut self, name: &'static str, report: &mut Report) -> Vec<String> {
        self.get(name).map(|field| field.texts(report)).unwrap_or_default()
    }

    /// One of a few words; another one is an error, since nobody could say what it asks for.
    pub(super) fn word(
        &mut self,
        name: &'static str,
        words: &[&'static str],
        report: &mut Report,
    ) -> Option<&'static str> {
        let field = self.get(name)?;
        let text = field.text(report)?;
        let found = words.iter().find(|word| **word == text).copied();
        if found.is_none() {
            field.error(report, format!("{} is not known", quote(&text)), one_of(words));
        }
        found
    }

    /// Marks keys as known that carry no meaning for the compiler.
    pub(super) fn skip(&mut self, names: &[&'static str]) {
        self.known.extend_from_slice(names);
    }

    /// Warns about keys that nobody asked for.
    pub(super) fn finish(self, report: &mut Report) {
        self.finish_except(&[], report);
    }

    /// Refuses keys that nobody asked for: what they demand cannot be met.
    pub(super) fn finish_closed(self, report: &mut Report) {
        for (key, _) in self.entries.iter().filter(|(key, _)| !self.known.contains(&key.name.as_str())) {
            let help = one_of(&self.known);
            report.error(key.at, &join(&self.path, &key.name), "is not known", help);
        }
    }

    /// Warns about keys that nobody asked for, apart from some.
    pub(super) fn finish_except(self, hidden: &[&str], report: &mut Report) {
        for (key, _) in self.entries {
            let name = key.name.as_str();
            if self.known.contains(&name) || hidden.contains(&name) || name == "<<" {
                continue;
            }
            let near = self.known.iter().find(|known| is_near(known, &key.name));
            let help = near.map(|near| format!("did you mean `{near}`?")).unwrap_or_default();
            report.warn(key.at, &join(&self.path, &key.name), "is not a known key and has no effect", help);
        }
    }
}

/// `write one of a, b`.
pub(super) fn one_of(words: &[&str]) -> String {
    format!("write one of {}", words.join(", "))
}

pub(super) fn join(path: &str, name: &str) -> String {
    let name: String = name.chars().take(80).collect();
    if path.is_empty() { name } else { format!("{path}.{name}") }
}

/// Whether two words differ by one typing slip: a letter missing, added, replaced, or two swapped.
pub(super) fn is_near(a: &str, b: &str) -> bool {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    if a.len().abs_diff(b.len()) > 1 || a.len() < 3 {
        return false;
    }
    let head = a.iter().zip(&b).take_while(|(x, y)| x == y).count();
    let (a, b) = (&a[head..], &b[head..]);
    let tail = a.iter().rev().zip(b.iter().rev()).take_while(|(x, y)| x == y).count();
    let (a, b) = (&a[..a.len() - tail], &b[..b.len() - tail]);
    let swapped = a.len() == 2 && b.len() == 2 && a[0] == b[1] && a[1] == b[0];
    swapped || (a.len() <= 1 && b.len() <= 1)
}
