//! What an admin says of a tool in place of its connector, of whatever kind that is: its name, title, description and
//! annotations, and arguments that are fixed or have a default of the workspace's own. It survives updates of the connector.
//!
//! Knows how it is checked and what a model then reads; nodes do the same to the tools that they offer.

pub(super) mod store;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json, json};
use toolmesh_proto::access::Access;
use toolmesh_proto::ids::InstallationId;
use toolmesh_proto::{names, v1};

use super::{Installation, Installations};
use crate::accounts::members::{Membership, Permission};
use crate::error::{Error, Result};

const MAX_TITLE: usize = 120;
const MAX_DESCRIPTION: usize = 4_000;
/// One value, in bytes of JSON.
const MAX_VALUE: usize = 16 << 10;
/// Longest wait for one call that can be asked for.
pub const MAX_TIMEOUT: u32 = 600;

/// The annotations that may be said otherwise.
pub const HINTS: [&str; 4] = ["readOnlyHint", "destructiveHint", "idempotentHint", "openWorldHint"];

/// What is said of one tool. What is empty is as the connector has it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Override {
    pub name: String,
    pub title: String,
    pub description: String,
    pub annotations: Map<String, Json>,
    pub arguments: Vec<Argument>,
}

/// What is said of one argument.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Argument {
    pub name: String,
    pub value: Json,
    /// Callers neither see nor set it.
    pub fixed: bool,
}

/// An argument as somebody typed it.
#[derive(Clone, Debug)]
pub struct TypedArgument {
    pub name: String,
    pub text: String,
    pub fixed: bool,
}

/// One argument that a tool takes.
#[derive(Clone, Debug)]
pub struct Property {
    pub name: String,
    pub description: String,
    pub schema: Json,
    pub required: bool,
}

impl Override {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Arguments that the tool no longer has; nodes pass over them.
    #[must_use]
    pub fn gone(&self, tool: &v1::Tool) -> Vec<String> {
        let known = properties(tool);
        let gone =
            self.arguments.iter().filter(|set| !known.iter().any(|property| property.name == set.name));
        gone.map(|set| set.name.clone()).collect()
    }

    pub(super) fn sent(&self, tool: &str) -> v1::ToolOverride {
        let argument = |set: &Argument| v1::ArgumentOverride {
            name: set.name.clone(),
            value_json: set.value.to_string(),
            fixed: set.fixed,
        };
        v1::ToolOverride {
            tool: tool.to_owned(),
            name: self.name.clone(),
            title: self.title.clone(),
            description: self.description.clone(),
            annotations_json: if self.annotations.is_empty() {
                String::new()
            } else {
                Json::Object(self.annotations.clone()).to_string()
            },
            arguments: self.arguments.iter().map(argument).collect(),
        }
    }
}

/// The top-level arguments of a tool.
#[must_use]
pub fn properties(tool: &v1::Tool) -> Vec<Property> {
    let schema: Json = serde_json::from_str(&tool.input_schema_json).unwrap_or_default();
    let required =
        |name: &str| schema["required"].as_array().is_some_and(|all| all.iter().any(|one| one == name));
    let Some(properties) = schema["properties"].as_object() else { return Vec::new() };
    let property = |(name, schema): (&String, &Json)| Property {
        name: name.clone(),
        description: schema["description"].as_str().unwrap_or_default().to_owned(),
        schema: schema.clone(),
        required: required(name),
    };
    properties.iter().map(property).collect()
}

/// Reads a value as somebody typed it: text where the argument is text, JSON otherwise.
///
/// # Errors
/// Says what the argument takes.
pub fn value(property: &Property, typed: &str) -> std::result::Result<Json, String> {
    let kind = property.schema["type"].as_str().unwrap_or_default();
    let value = if kind == "string" {
        Json::from(typed)
    } else {
        match serde_json::from_str(typed.trim()) {
            Ok(value) => value,
            // Without a kind, what is no JSON is text.
            Err(_) if kind.is_empty() => Json::from(typed),
            Err(_) => return Err(format!("This is not JSON. The argument takes {}.", takes(kind))),
        }
    };
    if value.to_string().len() > MAX_VALUE {
        return Err("This is longer than 16 KB.".to_owned());
    }
    // A schema that stands on others of its document cannot be judged alone; the call itself is checked against the whole.
    match jsonschema::validator_for(&property.schema) {
        Ok(validator) if !validator.is_valid(&value) => {
            let why = validator.iter_errors(&value).next().map(|error| error.to_string()).unwrap_or_default();
            let why: String = why.chars().take(200).collect();
            Err(format!("The argument does not take this: {why}."))
        }
        _ => Ok(value),
    }
}

fn takes(kind: &str) -> &str {
    match kind {
        "integer" => "a whole number",
        "number" => "a number",
        "boolean" => "true or false",
        "array" => "a list, such as [\"a\", \"b\"]",
        "object" => "an object, such as {\"a\": 1}",
        other => other,
    }
}

/// A tool as models read it with what is said of it.
#[must_use]
pub fn preview(installation: &Installation, tool: &v1::Tool, set: &Override) -> Json {
    let mut definition = definition(tool);
    let mut text = |name: &str, value: &str| {
        if !value.is_empty() {
            definition.insert(name.to_owned(), value.into());
        }
    };
    text("title", &set.title);
    text("description", &set.description);
    text("name", &installation.public_name(&tool.name, &set.name));
    if !set.annotations.is_empty() {
        let annotations = definition.entry("annotations").or_insert_with(|| json!({}));
        if let Some(annotations) = annotations.as_object_mut() {
            annotations.extend(set.annotations.clone());
        }
    }
    let schema = definition.get_mut("inputSchema").and_then(Json::as_object_mut);
    if let Some(schema) = schema {
        set.arguments.iter().for_each(|argument| apply(schema, argument));
    }
    Json::Object(definition)
}

fn definition(tool: &v1::Tool) -> Map<String, Json> {
    if let Some(v1::tool::Call::Upstream(call)) = &tool.call {
        return super::upstream::definitions::members(&call.definition_json);
    }
    let hints = Access::parse(&tool.access).hints();
    let made = json!({
        "name": tool.name, "title": tool.title, "description": tool.description,
        "inputSchema": serde_json::from_str::<Json>(&tool.input_schema_json).unwrap_or_default(),
        "annotations": {
            "readOnlyHint": hints.read_only, "destructiveHint": hints.destructive, "openWorldHint": hints.open_world,
        },
    });
    match made {
        Json::Object(made) => made,
        _ => Map::new(),
    }
}

/// What becomes of a schema when one argument is fixed or has another default.
fn apply(schema: &mut Map<String, Json>, argument: &Argument) {
    let Some(properties) = schema.get_mut("properties").and_then(Json::as_object_mut) else { return };
    if argument.fixed {
        properties.shift_remove(&argument.name);
    } else if let Some(property) = properties.get_mut(&argument.name).and_then(Json::as_object_mut) {
        property.insert("default".to_owned(), argument.value.clone());
    }
    // What is fixed or has a default need not be given.
    if let Some(required) = schema.get_mut("required").and_then(Json::as_array_mut) {
        required.retain(|name| name.as_str() != Some(&argument.name));
    }
}

impl Installations {
    /// Says something of a tool in place of its connector; with nothing to say, the connector has the word again.
    ///
    /// # Errors
    /// `NotFound` for a tool that there is not; a field error for what cannot be said.
    pub async fn set_override(
        &self,
        by: &Membership,
        id: InstallationId,
        tool: &str,
        set: Override,
        typed: Vec<TypedArgument>,
    ) -> Result<()> {
        by.require(Permission::Connectors)?;
        let mut tx = self.db.tenant(by.tenant).await?;
        let installation = self.load(&mut tx, id).await?;
        let known =
            installation.connector.tools.iter().find(|known| known.name == tool).ok_or(Error::NotFound)?;
        let mut set = check(&installation, known, set)?;
        set.arguments = arguments(known, typed)?;
        if set.is_empty() {
            store::delete(&mut tx, id, tool).await?;
        } else {
            store::set(&mut tx, id, tool, &set, by.user).await?;
        }
        tx.commit_change().await?;
        Ok(())
    }

    /// Says whether the tools' names have a prefix, and how long a call may take.
    ///
    /// # Errors
    /// A field error for a time that is too long.
    pub async fn set_offering(
        &self,
        by: &Membership,
        id: InstallationId,
        bare_names: bool,
        timeout_seconds: u32,
    ) -> Result<()> {
        by.require(Permission::Connectors)?;
        if timeout_seconds > MAX_TIMEOUT {
            let text = "A call waits for ten minutes at most. Enter up to 600 seconds, or nothing.";
            return Err(Error::field("timeout", text));
        }
        let mut tx = self.db.tenant(by.tenant).await?;
        self.load(&mut tx, id).await?;
        store::set_offering(&mut tx, id, bare_names, timeout_seconds.cast_signed()).await?;
        tx.commit_change().await?;
        Ok(())
    }
}

fn check(installation: &Installation, tool: &v1::Tool, set: Override) -> Result<Override> {
    let trim = |text: String| text.trim().replace("\r\n", "\n");
    let Override { name, title, description, annotations, .. } = set;
    let (name, title, description) = (trim(name), trim(title), trim(description));
    let set = Override {
        name: if name == tool.name { String::new() } else { name },
        title: if title == tool.title { String::new() } else { title },
        description: if description == trim(tool.description.clone()) { String::new() } else { description },
        annotations,
        arguments: Vec::new(),
    };
    check_name(installation, tool, &set.name)?;
    if set.title.chars().count() > MAX_TITLE {
        return Err(Error::field("title", "Use up to 120 characters."));
    }
    if set.description.chars().count() > MAX_DESCRIPTION {
        return Err(Error::field(
            "description",
            "Use up to 4,000 characters: models read all of it in every conversation.",
        ));
    }
    if let Some(bad) = [("title", &set.title), ("description", &set.description)]
        .into_iter()
        .find(|(_, text)| text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\t')))
    {
        return Err(Error::field(bad.0, "This has characters that nobody sees. Type it again."));
    }
    Ok(set)
}

fn check_name(installation: &Installation, tool: &v1::Tool, name: &str) -> Result<()> {
    if name.is_empty() {
        return Ok(());
    }
    let fits = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    let most = names::MAX_TOOL_NAME - installation.name.len() - 1;
    if !fits || name.len() > most {
        let text = format!("Use up to {most} letters, digits, underscores and hyphens, such as find_orders.");
        return Err(Error::field("name", text));
    }
    if installation.bare_names && [names::DISCOVER_TOOLS, names::EXECUTE_CODE].contains(&name) {
        return Err(Error::field("name", "ToolMesh itself has a tool of this name. Choose another."));
    }
    let called = |other: &v1::Tool| {
        let set = installation
            .overrides
            .get(&other.name)
            .map(|set| set.name.as_str())
            .filter(|name| !name.is_empty());
        set.unwrap_or(&other.name) == name
    };
    match installation.connector.tools.iter().any(|other| other.name != tool.name && called(other)) {
        true => {
            Err(Error::field("name", format!("Another tool here is called {name}. Choose another name.")))
        }
        false => Ok(()),
    }
}

fn arguments(tool: &v1::Tool, typed: Vec<TypedArgument>) -> Result<Vec<Argument>> {
    let known = properties(tool);
    let mut set = Vec::new();
    for typed in typed {
        // One that is gone by now is dropped.
        let Some(property) = known.iter().find(|property| property.name == typed.name) else { continue };
        let value = value(property, &typed.text)
            .map_err(|why| Error::field("arguments", format!("{}: {why}", property.name)))?;
        set.push(Argument { name: typed.name, value, fixed: typed.fixed });
    }
    Ok(set)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tool() -> v1::Tool {
        v1::Tool {
            name: "find".into(),
            description: "Finds.".into(),
            input_schema_json: r#"{"type":"object","required":["q","region"],"properties":{
                "q":{"type":"string"},"region":{"type":"string","enum":["eu","us"]},"limit":{"type":"integer","maximum":50}}}"#
                .into(),
            ..v1::Tool::default()
        }
    }

    fn property(name: &str) -> Property {
        properties(&tool()).into_iter().find(|property| property.name == name).unwrap()
    }

    #[test]
    fn a_value_is_what_the_argument_takes() {
        assert_eq!(value(&property("q"), "12").unwrap(), json!("12"));
        assert_eq!(value(&property("limit"), " 12 ").unwrap(), json!(12));
        assert!(value(&property("limit"), "many").unwrap_err().contains("whole number"));
        assert!(value(&property("limit"), "51").is_err());
        assert!(value(&property("region"), "asia").is_err());
        assert!(value(&property("q"), &"x".repeat(20_000)).is_err());
    }

    #[test]
    fn what_is_fixed_is_hidden_and_what_has_a_default_need_not_be_given() {
        let mut schema = serde_json::from_str::<Map<String, Json>>(&tool().input_schema_json).unwrap();
        apply(&mut schema, &Argument { name: "region".into(), value: json!("eu"), fixed: true });
        apply(&mut schema, &Argument { name: "q".into(), value: json!("open"), fixed: false });
        assert_eq!(schema["required"], json!([]));
        assert_eq!(schema["properties"]["q"]["default"], "open");
        assert!(schema["properties"].get("region").is_none());
    }

    #[test]
    fn an_argument_that_is_gone_is_told() {
        let argument = |name: &str| Argument { name: name.into(), value: json!(1), fixed: true };
        let set = Override { arguments: vec![argument("limit"), argument("old")], ..Override::default() };
        assert_eq!(set.gone(&tool()), ["old"]);
    }
}
