//! OpenAPI 3.0 and 3.1, and Swagger 2.0: from a document to DADL text that an admin can read and edit.
//!
//! Owns the reading of such documents: what operations there are, what each takes, how the API wants its credential and where
//! it is. Knows no database, no tenant and no HTTP; like `dadl`, it is a pure function of its input, and bounded: a hostile
//! document costs no more than an honest one of its size. The result is text, so that nothing about an imported connector is
//! hidden from who answers for it; `dadl` compiles it like any other.
//!
//! Where the two languages differ, this is what holds:
//! - A reference is written out where it stands, so that every tool's schema is whole. A loop is cut where it closes, and
//!   what would grow too large is cut where it does: what is cut accepts more, never less.
//! - An object as a JSON or form body becomes one argument per property; any other body is one argument.
//! - A default says what the API assumes; it is told, not sent. A required parameter that has one possible value is sent.
//! - Names that clients refuse are replaced, and kept as `x-name`. A cookie is a parameter marked `x-cookie`.

mod access;
mod body;
mod names;
mod operations;
mod params;
mod prose;
mod refs;
mod schema;
mod security;
mod servers;
mod source;
mod swagger;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_hostile;
#[cfg(test)]
mod tests_security;
mod write;

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use url::Url;

/// Largest document that is read, in bytes.
pub const MAX_SOURCE: usize = 16 * 1024 * 1024;

/// Most operations of a document.
pub const MAX_OPERATIONS: usize = 5_000;

/// Why a document is not read, as a sentence for who gave it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refused(pub String);

/// A document that was read.
#[derive(Debug)]
pub struct Document {
    root: Json,
    /// Swagger 2.0, whose operations are rewritten as those of OpenAPI when they are read.
    swagger: bool,
    /// Where it came from; relative server addresses start there.
    url: Option<Url>,
}

/// What a document offers, small enough to be kept and shown.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outline {
    pub title: String,
    pub version: String,
    pub description: String,
    /// `OpenAPI 3.1` or `Swagger 2.0`.
    pub format: String,
    /// Empty where each installation names its own.
    pub base_url: String,
    pub operations: Vec<Operation>,
}

/// One operation of a document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operation {
    /// `GET /pets/{id}`; unique in the document.
    pub key: String,
    /// The name of its tool.
    pub name: String,
    pub summary: String,
    pub tags: Vec<String>,
    /// The guess: `read`, `write`, `admin` or `dangerous`.
    pub access: String,
    pub deprecated: bool,
    /// Why it cannot be a tool.
    pub problem: Option<String>,
}

/// DADL text, and what its reader should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Generated {
    pub dadl: String,
    pub notes: Vec<String>,
}

impl Document {
    /// Reads a document: JSON or YAML, as `source` begins. `url` is where it was fetched.
    ///
    /// # Errors
    /// When it is too large, not readable, or not such a document; the sentence says why and what to do.
    pub fn read(source: &str, url: Option<Url>) -> Result<Self, Refused> {
        let root = source::parse(source)?;
        let swagger = version(&root)?;
        if !root.get("paths").is_some_and(Json::is_object) {
            return Err(Refused("The document has no `paths`, so it describes no operation.".to_owned()));
        }
        Ok(Self { root, swagger, url })
    }

    /// What it offers.
    ///
    /// # Errors
    /// When it has more operations than are read, or none.
    pub fn outline(&self) -> Result<Outline, Refused> {
        let text = |pointer: &str| self.root.pointer(pointer).and_then(Json::as_str).unwrap_or_default();
        let operations = operations::outline(self)?;
        let kind = if self.swagger { "Swagger" } else { "OpenAPI" };
        let number = if self.swagger { text("/swagger") } else { text("/openapi") };
        Ok(Outline {
            title: one_line(text("/info/title"), 120),
            version: one_line(text("/info/version"), 40),
            description: one_line(text("/info/description"), 300),
            format: format!("{kind} {}", number.chars().take(10).collect::<String>()),
            base_url: servers::base_url(self).url,
            operations,
        })
    }

    /// Writes a connector with the operations that were picked, each with its access class.
    ///
    /// # Errors
    /// When nothing was picked that can be a tool.
    pub fn generate(&self, name: &str, picked: &HashMap<String, String>) -> Result<Generated, Refused> {
        write::write(self, name, picked)
    }
}

/// The name that a connector gets where nobody chose one, from its title.
#[must_use]
pub fn suggested_name(title: &str) -> String {
    names::connector(title)
}

/// Whether it is Swagger 2.0 rather than OpenAPI 3.
fn version(root: &Json) -> Result<bool, Refused> {
    // A version may stand unquoted in YAML, as a number.
    let said = |key: &str| match root.get(key) {
        Some(Json::String(text)) => Some(text.clone()),
        Some(Json::Number(number)) => Some(number.to_string()),
        _ => None,
    };
    match (said("openapi"), said("swagger")) {
        (Some(version), _) if version.starts_with("3.") => Ok(false),
        (None, Some(version)) if version.starts_with("2") => Ok(true),
        (Some(version), _) | (None, Some(version)) => {
            let version: String = version.chars().take(20).collect();
            Err(Refused(format!("Version {version:?} is not read. Use OpenAPI 3.0 or 3.1, or Swagger 2.0.")))
        }
        (None, None) => Err(Refused(
            "This is not an OpenAPI document: it begins with neither `openapi:` nor `swagger:`.".to_owned(),
        )),
    }
}

/// Text for a page or a model: one line, without what hides or reorders, cut between words.
fn one_line(text: &str, most: usize) -> String {
    let clean = super::dadl::clean_text(&prose::plain(text));
    let words = clean.split_whitespace().collect::<Vec<_>>().join(" ");
    cut(&words, most)
}

fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let head: String = text.chars().take(most.saturating_sub(1)).collect();
    let end = head.rfind(' ').filter(|end| *end > most / 2).unwrap_or(head.len());
    format!("{}…", head.get(..end).unwrap_or(&head).trim_end())
}
