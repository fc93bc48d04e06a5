//! A JSON object of which only the outermost members are looked at: their values stay what they were, byte by byte, and in
//! their order.
//!
//! For what other servers say and we pass on: a rule rewrites a member, and nothing else of it changes.

use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::ser::SerializeMap as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};

/// An object's members.
#[derive(Clone, Debug, Default)]
pub struct Members(Vec<(String, Box<RawValue>)>);

impl Members {
    /// Reads an object; `None` for anything else.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    #[must_use]
    pub fn get(&self, name: &str) -> Option<&RawValue> {
        self.0.iter().find(|(own, _)| own == name).map(|(_, value)| &**value)
    }

    /// A member that is read, if it is of that form.
    #[must_use]
    pub fn read_as<'a, T: Deserialize<'a>>(&'a self, name: &str) -> Option<T> {
        serde_json::from_str(self.get(name)?.get()).ok()
    }

    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Sets a member in its place; a new one comes last.
    pub fn set(&mut self, name: &str, value: Box<RawValue>) {
        match self.0.iter_mut().find(|(own, _)| own == name) {
            Some((_, old)) => *old = value,
            None => self.0.push((name.to_owned(), value)),
        }
    }

    /// The same with a value that is yet to be written.
    pub fn set_value(&mut self, name: &str, value: &impl Serialize) {
        if let Ok(value) = to_raw_value(value) {
            self.set(name, value);
        }
    }

    pub fn remove(&mut self, name: &str) {
        self.0.retain(|(own, _)| own != name);
    }

    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &RawValue)> {
        self.0.iter().map(|(name, value)| (name.as_str(), &**value))
    }

    /// As JSON.
    #[must_use]
    pub fn write(&self) -> Box<RawValue> {
        to_raw_value(self).unwrap_or_else(|_| empty())
    }
}

/// `{}`.
#[must_use]
pub fn empty() -> Box<RawValue> {
    to_raw_value(&Value::Object(serde_json::Map::new())).unwrap_or_default()
}

impl Serialize for Members {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Members;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
        let mut members = Members::default();
        // Of a member that is there twice the last counts, as everywhere in JavaScript.
        while let Some((name, value)) = map.next_entry::<String, Box<RawValue>>()? {
            members.set(&name, value);
        }
        Ok(members)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_changed_keeps_every_byte_and_its_place() {
        let text = r#"{"b":1.50,"a":{"x" : 9007199254740993},"c":"é","b2":[1,  2]}"#;
        let mut members = Members::read(text).unwrap();
        assert_eq!(members.write().get(), text);
        members.set_value("a", &"new");
        members.remove("c");
        members.set_value("d", &true);
        assert_eq!(members.write().get(), r#"{"b":1.50,"a":"new","b2":[1,  2],"d":true}"#);
        assert_eq!(members.read_as::<f64>("b"), Some(1.5));
        for other in ["[]", "1", "null", "{", ""] {
            assert!(Members::read(other).is_none(), "{other}");
        }
    }
}
