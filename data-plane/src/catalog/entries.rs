//! The tools of an installation as clients meet them: under which names, and what stands in the list of tools.

use std::collections::HashMap;
use std::sync::Arc;

use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value};
use toolmesh_proto::{names, v1};

use super::connector::{Call, Tool};
use super::installation::{Exposure, Installation};
use super::mirrored::{self, Mirrored};
use super::presets::Presets;
use super::tenant::BundleError;
use crate::members::Members;

/// A tool under the name that clients call.
#[derive(Debug)]
pub struct ToolEntry {
    pub name: String,
    /// Another name, without a prefix, that stands in the list instead.
    pub alias: Option<String>,
    pub installation: Arc<Installation>,
    pub tool: Arc<Tool>,
    pub enabled: bool,
    /// Whether it stands in the list of tools, for whoever may use it.
    pub listed: bool,
    /// Its entry in `tools/list`.
    pub listing: Box<RawValue>,
    /// The same for revisions before 2026-07-28, where it is another.
    pub older: Option<Box<RawValue>>,
    pub presets: Presets,
    /// Arguments that clients of revision 2026-07-28 repeat in headers.
    pub mirrored: Vec<Mirrored>,
    /// What an admin says in place of the connector.
    said: Option<Box<Said>>,
}

#[derive(Debug)]
struct Said {
    name: String,
    title: String,
    description: String,
    schema: Box<RawValue>,
}

impl ToolEntry {
    /// The name after the prefix.
    #[must_use]
    pub fn own_name(&self) -> &str {
        self.said.as_ref().map_or(&self.tool.name, |said| &said.name)
    }

    #[must_use]
    pub fn title(&self) -> &str {
        self.said.as_ref().map_or(&self.tool.title, |said| &said.title)
    }

    #[must_use]
    pub fn description(&self) -> &str {
        self.said.as_ref().map_or(&self.tool.description, |said| &said.description)
    }

    /// The schema of the arguments that callers give.
    #[must_use]
    pub fn schema(&self) -> &RawValue {
        self.said.as_ref().map_or(&self.tool.schema, |said| &said.schema)
    }

    /// Makes the tool stand in the list under another name.
    pub(super) fn set_alias(&mut self, alias: &str) {
        for listing in [Some(&mut self.listing), self.older.as_mut()].into_iter().flatten() {
            if let Some(mut members) = Members::read(listing.get()) {
                members.set_value("name", &alias);
                *listing = members.write();
            }
        }
        self.alias = Some(alias.to_owned());
    }
}

/// The tools of an installation, in its connector's order. One whose name is taken, or cannot be served, cannot be called and
/// is named among the faults; the others are served.
pub(super) fn entries(
    installation: &Arc<Installation>,
    sent: &v1::Installation,
    taken: &HashMap<String, usize>,
    faults: &mut Vec<BundleError>,
) -> Vec<ToolEntry> {
    let overrides: HashMap<&str, &v1::ToolOverride> =
        sent.overrides.iter().map(|one| (one.tool.as_str(), one)).collect();
    let mut own: HashMap<String, usize> = HashMap::new();
    let mut entries = Vec::new();
    for tool in &installation.connector.tools {
        let said = overrides.get(tool.name.as_str()).copied();
        let mut entry = entry(installation, sent, tool, said, faults);
        let fresh =
            !taken.contains_key(&entry.name) && own.insert(entry.name.clone(), entries.len()).is_none();
        if !fresh || [names::DISCOVER_TOOLS, names::EXECUTE_CODE].contains(&entry.name.as_str()) {
            faults.push(BundleError::Twice(entry.name.clone()));
            // It keeps its place, which search counts by.
            (entry.enabled, entry.listed) = (false, false);
        }
        entries.push(entry);
    }
    entries
}

fn entry(
    installation: &Arc<Installation>,
    sent: &v1::Installation,
    tool: &Arc<Tool>,
    said: Option<&v1::ToolOverride>,
    faults: &mut Vec<BundleError>,
) -> ToolEntry {
    let own = said.map(|said| said.name.as_str()).filter(|name| !name.is_empty()).unwrap_or(&tool.name);
    let name = public_name(installation, own);
    let mut usable = true;
    let mut fault = |what| {
        faults.push(BundleError::Malformed(what, name.clone()));
        usable = false;
    };
    let presets = said.map(|said| Presets::compile(&said.arguments)).transpose();
    let presets = presets.ok().flatten().unwrap_or_else(|| {
        // A preset that cannot be read might be one that callers must not set.
        if said.is_some() {
            fault("argument of");
        }
        Presets::default()
    });
    let mut mirrored = Vec::new();
    let schema = schema(tool, &presets, &mut mirrored);
    let rewritten = schema.is_some();
    let said_whole = (said.is_some() || rewritten).then(|| {
        Box::new(Said {
            name: own.to_owned(),
            title: pick(said.map(|said| &said.title), &tool.title),
            description: pick(said.map(|said| &said.description), &tool.description),
            schema: schema.unwrap_or_else(|| tool.schema.clone()),
        })
    });
    let annotations: Map<String, Value> = match said.map(|said| said.annotations_json.as_str()) {
        None | Some("") => Map::new(),
        Some(text) => serde_json::from_str(text).unwrap_or_else(|_| {
            fault("annotations of");
            Map::new()
        }),
    };
    let mut entry = ToolEntry {
        enabled: !sent.disabled_tools.contains(&tool.name),
        listed: !tool.hidden
            && (installation.exposure != Exposure::Code || sent.promoted_tools.contains(&tool.name)),
        alias: None,
        installation: Arc::clone(installation),
        tool: Arc::clone(tool),
        listing: crate::members::empty(),
        older: None,
        presets,
        mirrored,
        said: said_whole,
        name: name.clone(),
    };
    match listing(&entry, said, rewritten, annotations) {
        Some((listing, older)) => (entry.listing, entry.older) = (listing, older),
        None => fault("tool"),
    }
    if !usable {
        (entry.enabled, entry.listed) = (false, false);
    }
    entry
}

fn pick(said: Option<&String>, own: &str) -> String {
    said.filter(|text| !text.is_empty()).map_or_else(|| own.to_owned(), Clone::clone)
}

/// The name of a tool or prompt that clients are told.
pub(super) fn public_name(installation: &Installation, own: &str) -> String {
    if installation.bare_names {
        names::bare_name(&installation.name, own)
    } else {
        names::tool_name(&installation.name, own)
    }
}

/// The schema that callers see, where it is not the tool's own.
fn schema(tool: &Tool, presets: &Presets, mirrored: &mut Vec<Mirrored>) -> Option<Box<RawValue>> {
    let preset = if presets.is_empty() { None } else { presets.shown(&tool.schema) };
    let annotated = matches!(tool.call, Call::Upstream(_)) && tool.schema.get().contains("x-mcp-header");
    if !annotated {
        return preset.and_then(|schema| to_raw_value(&schema).ok());
    }
    let mut schema = preset.clone().or_else(|| serde_json::from_str(tool.schema.get()).ok())?;
    let (good, cleaned) = mirrored::clean(&mut schema);
    *mirrored = good;
    if cleaned || preset.is_some() { to_raw_value(&schema).ok() } else { None }
}

/// The tool's entries in the list: for the newest revision, and for older ones where that is another.
fn listing(
    entry: &ToolEntry,
    said: Option<&v1::ToolOverride>,
    rewritten: bool,
    annotations: Map<String, Value>,
) -> Option<(Box<RawValue>, Option<Box<RawValue>>)> {
    let mut members = match &entry.tool.call {
        Call::Upstream(definition) => Members::read(definition.get())?,
        Call::Rest(_) | Call::Composite(_) => Members::read(own_listing(entry)?.get())?,
    };
    members.set_value("name", &entry.name);
    if rewritten || !members.has("inputSchema") {
        members.set("inputSchema", entry.schema().to_owned());
    }
    let mut hints: Members = members.read_as("annotations").unwrap_or_default();
    if let Some(said) = said {
        if !said.title.is_empty() {
            members.set_value("title", &said.title);
            if hints.has("title") {
                hints.set_value("title", &said.title);
            }
        }
        if !said.description.is_empty() {
            members.set_value("description", &said.description);
        }
    }
    for (name, value) in annotations {
        hints.set_value(&name, &value);
    }
    if said.is_some() && !hints.is_empty() {
        members.set_value("annotations", &hints);
    }
    let listing = members.write();
    // Up to 2025-11-25 a result is an object.
    let other: Option<Members> = members.read_as("outputSchema");
    let object = other.is_some_and(|schema| schema.read_as::<String>("type").as_deref() == Some("object"));
    let older = (members.has("outputSchema") && !object).then(|| {
        members.remove("outputSchema");
        members.write()
    });
    Some((listing, older))
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Listing<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    title: &'a str,
    description: &'a str,
    input_schema: &'a RawValue,
    annotations: Annotations<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Annotations<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    title: &'a str,
    read_only_hint: bool,
    destructive_hint: bool,
    open_world_hint: bool,
}

fn own_listing(entry: &ToolEntry) -> Option<Box<RawValue>> {
    let hints = entry.tool.access.hints();
    let listing = Listing {
        name: &entry.name,
        title: entry.title(),
        description: entry.description(),
        input_schema: entry.schema(),
        annotations: Annotations {
            title: entry.title(),
            read_only_hint: hints.read_only,
            destructive_hint: hints.destructive,
            open_world_hint: hints.open_world,
        },
    };
    to_raw_value(&listing).ok()
}
