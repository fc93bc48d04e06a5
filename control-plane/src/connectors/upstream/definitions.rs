//! What a server offers, one thing at a time: tools, prompts, resources and templates, each as the server sent it.
//!
//! A definition is read whole before anything is made of it. One that two readers could read in two ways (a member twice) is
//! refused, since what is looked through here must be what a client reads.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value as Json};
use toolmesh_proto::access::Access;
use toolmesh_proto::mcp_headers::param_headers;

/// Largest definition, in bytes.
const MAX_DEFINITION: usize = 256 << 10;

/// Longest name or URI, in bytes.
const MAX_NAME: usize = 1_024;

/// The kinds of things that a server offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    Tool,
    Prompt,
    Resource,
    Template,
    /// What it says of itself to models; one, without a name.
    Instructions,
}

impl Kind {
    pub const ALL: [Self; 5] = [Self::Tool, Self::Prompt, Self::Resource, Self::Template, Self::Instructions];

    /// The word in the database and in forms.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tool => "tool",
            Self::Prompt => "prompt",
            Self::Resource => "resource",
            Self::Template => "template",
            Self::Instructions => "instructions",
        }
    }

    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }

    /// The member that names it.
    const fn key(self) -> &'static str {
        match self {
            Self::Tool | Self::Prompt => "name",
            Self::Resource => "uri",
            Self::Template => "uriTemplate",
            Self::Instructions => "",
        }
    }
}

/// One thing that a server offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Definition {
    pub kind: Kind,
    /// Name, URI or template.
    pub name: String,
    /// A JSON object, byte by byte as it was sent.
    pub json: String,
}

impl Definition {
    /// Reads one as it was sent.
    ///
    /// # Errors
    /// Says why it is left out.
    pub fn read(kind: Kind, json: &str) -> Result<Self, String> {
        let word = kind.as_str();
        if json.len() > MAX_DEFINITION {
            return Err(format!(
                "A {word} is left out: its definition is larger than {} KB.",
                MAX_DEFINITION >> 10
            ));
        }
        let value: Json =
            serde_json::from_str(json).map_err(|_| format!("A {word} is left out: it is not valid JSON."))?;
        let name = value.get(kind.key()).and_then(Json::as_str).unwrap_or_default();
        let shown: String = name.chars().filter(|c| !c.is_control()).take(80).collect();
        if name.is_empty() || name.len() > MAX_NAME || name.chars().any(char::is_control) {
            return Err(format!("A {word} is left out: it has no name that can be used ({shown:?})."));
        }
        if has_member_twice(json) {
            return Err(format!(
                "The {word} {shown} is left out: its definition has a member twice, which can be read in two ways."
            ));
        }
        if kind == Kind::Tool
            && value.get("inputSchema").and_then(|schema| schema.get("type")) != Some(&Json::from("object"))
        {
            return Err(format!(
                "The tool {shown} is left out: its input schema does not describe an object."
            ));
        }
        Ok(Self { kind, name: name.to_owned(), json: json.to_owned() })
    }

    /// Why no client can send a tool's arguments as headers the way that it wants them; a sentence for people. Clients of the
    /// stateless revision leave such a tool out. Those before know no such headers, so that it is offered without.
    #[must_use]
    pub fn bad_headers(&self, stateless: bool) -> Option<String> {
        let schema = members(&self.json).remove("inputSchema").filter(|_| self.kind == Kind::Tool)?;
        let bad = param_headers(&schema).err()?;
        let shown: String = self.name.chars().take(80).collect();
        let wants = "wants arguments sent as headers in a way that nobody can follow";
        Some(if stateless {
            format!("The tool {shown} is left out: it {wants}: {bad}.")
        } else {
            format!("The tool {shown} {wants}: {bad}. It is offered without that.")
        })
    }

    /// What a server says of itself to models.
    #[must_use]
    pub fn instructions(text: &str) -> Self {
        let json = serde_json::json!({ "instructions": text }).to_string();
        Self { kind: Kind::Instructions, name: String::new(), json }
    }
}

/// The members of a definition.
#[must_use]
pub fn members(json: &str) -> Map<String, Json> {
    match serde_json::from_str(json) {
        Ok(Json::Object(members)) => members,
        _ => Map::new(),
    }
}

/// A text member; empty where there is none.
#[must_use]
pub fn text(members: &Map<String, Json>, name: &str) -> String {
    members.get(name).and_then(Json::as_str).unwrap_or_default().to_owned()
}

/// What people call it: its title, wherever the revision of the protocol has it.
#[must_use]
pub fn title(members: &Map<String, Json>) -> String {
    let annotated = || members.get("annotations").and_then(|a| a.get("title")).and_then(Json::as_str);
    members.get("title").and_then(Json::as_str).or_else(annotated).unwrap_or_default().to_owned()
}

/// The access class that follows from a tool's own annotations. They are a server's word about itself, so that what says
/// nothing counts as writing.
#[must_use]
pub fn access(members: &Map<String, Json>) -> Access {
    let hint = |name: &str| members.get("annotations").and_then(|a| a.get(name)).and_then(Json::as_bool);
    match (hint("readOnlyHint"), hint("destructiveHint")) {
        (Some(true), _) => Access::Read,
        (_, Some(true)) => Access::Dangerous,
        _ => Access::Write,
    }
}

/// Whether two definitions say the same; the order of their members means nothing.
#[must_use]
pub fn same(a: &str, b: &str) -> bool {
    a == b
        || matches!((serde_json::from_str::<Json>(a), serde_json::from_str::<Json>(b)), (Ok(a), Ok(b)) if a == b)
}

fn has_member_twice(json: &str) -> bool {
    let mut reader = serde_json::Deserializer::from_str(json);
    Once.deserialize(&mut reader).is_err()
}

/// Reads any JSON in which no object has a member twice.
#[derive(Clone, Copy)]
struct Once;

impl<'de> DeserializeSeed<'de> for Once {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Once {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON without a member twice")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element_seed(self)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let mut seen = std::collections::HashSet::new();
        while let Some(name) = members.next_key::<String>()? {
            members.next_value_seed(self)?;
            if !seen.insert(name) {
                return Err(serde::de::Error::custom("a member twice"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tool_that_wants_headers_nobody_can_send_is_left_out_where_the_revision_has_them() {
        let tool = |header: &str| {
            let properties = serde_json::json!({ "q": { "type": "string", "x-mcp-header": header } });
            let schema = serde_json::json!({ "type": "object", "properties": properties });
            Definition::read(
                Kind::Tool,
                &serde_json::json!({ "name": "a", "inputSchema": schema }).to_string(),
            )
            .unwrap()
        };
        assert_eq!(tool("Region").bad_headers(true), None);
        assert!(tool("My Region").bad_headers(true).unwrap().contains("is left out"));
        assert!(tool("My Region").bad_headers(false).unwrap().contains("offered without"));
    }

    #[test]
    fn a_definition_is_kept_as_it_was_sent_and_one_that_can_be_read_in_two_ways_is_left_out() {
        let sent = r#"{ "name":"a", "x-vendor": 1.50, "inputSchema":{"type":"object"} }"#;
        assert_eq!(Definition::read(Kind::Tool, sent).unwrap().json, sent);
        for bad in [
            r#"{"name":"a","description":"one","description":"two","inputSchema":{"type":"object"}}"#,
            r#"{"name":"a","inputSchema":{"type":"object","properties":{"x":{},"x":{}}}}"#,
            r#"{"name":"","inputSchema":{"type":"object"}}"#,
            r#"{"name":"a\nb","inputSchema":{"type":"object"}}"#,
            r#"{"name":"a","inputSchema":{"type":"string"}}"#,
            r#"{"name":"a"}"#,
            r#"["name"]"#,
        ] {
            assert!(Definition::read(Kind::Tool, bad).unwrap_err().contains("left out"), "{bad}");
        }
        assert!(Definition::read(Kind::Template, r#"{"uriTemplate":"a://{b}"}"#).is_ok());
    }

    #[test]
    fn the_order_of_members_is_no_difference_and_a_value_is() {
        assert!(same(r#"{"a":1,"b":{"c":[1,2]}}"#, r#"{ "b": {"c":[1,2]}, "a": 1 }"#));
        assert!(!same(r#"{"a":[1,2]}"#, r#"{"a":[2,1]}"#));
    }

    #[test]
    fn what_says_nothing_of_itself_counts_as_writing() {
        let of = |annotations: &str| access(&members(&format!(r#"{{"annotations":{annotations}}}"#)));
        assert_eq!(of(r#"{"readOnlyHint":true}"#), Access::Read);
        assert_eq!(of(r#"{"destructiveHint":true}"#), Access::Dangerous);
        assert_eq!(of(r#"{"readOnlyHint":"true"}"#), Access::Write);
        assert_eq!(access(&Map::new()), Access::Write);
    }
}
