//! What an admin says of a tool in place of its connector.

use askama::Template;

use super::parts::{Access, Choice, Field};
use super::shell::Shell;

/// One argument of the tool.
#[derive(Clone, Debug)]
pub struct ArgumentRow {
    /// Its place among the arguments, which the form's names end in.
    pub index: usize,
    pub name: String,
    pub description: String,
    /// `string`, `integer` …; empty where it may be anything.
    pub kind: String,
    pub required: bool,
    /// `caller`, `default`, `fixed`.
    pub modes: Vec<Choice>,
    pub value: Field,
    /// The values that it takes, where they are few.
    pub values: Vec<String>,
}

impl ArgumentRow {
    /// What stands in the empty field for its value.
    #[must_use]
    pub fn example(&self) -> &'static str {
        match self.kind.as_str() {
            "string" => "Value",
            "integer" => "A whole number",
            "number" => "A number",
            "boolean" => "true or false",
            _ => "Value as JSON",
        }
    }
}

/// One annotation.
#[derive(Clone, Debug)]
pub struct HintRow {
    pub name: &'static str,
    pub label: &'static str,
    /// As the connector has it, yes, no.
    pub choices: Vec<Choice>,
}

/// GET and POST /w/{slug}/connectors/{id}/override?tool=.
#[derive(Template)]
#[template(path = "override.html")]
pub struct OverridePage {
    pub shell: Shell,
    pub id: String,
    pub installation: String,
    /// The connector's own name.
    pub tool: String,
    pub public_name: String,
    /// What stands before the name.
    pub prefix: String,
    pub own_title: String,
    pub own_description: String,
    pub access: Access,
    /// The access classes, where it is a tool of another MCP server.
    pub classes: Vec<Choice>,
    pub name: Field,
    pub title: Field,
    pub description: Field,
    pub hints: Vec<HintRow>,
    pub arguments: Vec<ArgumentRow>,
    /// Arguments that something was said of and that are gone.
    pub gone: Vec<String>,
    pub is_set: bool,
    /// What a model reads, as JSON over several lines.
    pub preview: String,
    pub error: Option<String>,
}

impl OverridePage {
    #[must_use]
    pub fn path(&self, rest: &str) -> String {
        self.shell.path(&format!("/connectors/{}{rest}", self.id))
    }
}
