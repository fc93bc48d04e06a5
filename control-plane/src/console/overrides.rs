//! What an admin says of a tool in place of its connector, and how the tools of an installation are offered.

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Map, Value as Json};
use toolmesh_proto::v1;

use super::App;
use super::forms::Fields;
use super::installations::{InstallationPath, offering_refused};
use super::respond::{Page, page, see_other, with_status};
use super::session::Workspace;
use super::view::{Access, ArgumentRow, Choice, Field, HintRow, Nav, OverridePage};
use crate::accounts::members::Permission;
use crate::connectors::Installation;
use crate::connectors::overrides::{HINTS, Override, Property, TypedArgument, preview, properties};
use crate::error::{Error, Result};

/// Arguments that a page shows.
const SHOWN: usize = 100;

#[derive(Deserialize)]
pub(super) struct Which {
    #[serde(default)]
    tool: String,
}

pub(super) async fn show(
    State(app): State<App>,
    at: Workspace,
    Path(path): Path<InstallationPath>,
    Query(which): Query<Which>,
) -> Page {
    if which.tool.is_empty() {
        at.member.require(Permission::Connectors)?;
        let installation = app.installations.get(at.tenant.id, path.id()?).await?;
        return see_other(&at.path(&format!("/connectors/{}#tools", installation.id)));
    }
    page(&view(&app, &at, &path, &which.tool).await?)
}

pub(super) async fn save(
    State(app): State<App>,
    at: Workspace,
    Path(path): Path<InstallationPath>,
    fields: Fields,
) -> Page {
    let (id, tool) = (path.id()?, fields.get("tool"));
    let reset = fields.get("do") == "reset";
    let (set, typed) = if reset { (Override::default(), Vec::new()) } else { typed(&fields) };
    let class = fields.get("access");
    let saved = async {
        app.installations.set_override(&at.member, id, tool, set, typed).await?;
        if !reset && !class.is_empty() {
            app.upstreams.set_class(&at.member, id, tool, class).await?;
        }
        Ok(())
    };
    match saved.await {
        Ok(()) => {
            let said = if reset {
                "The connector has the word again."
            } else {
                "It is saved. Clients see it within a second."
            };
            at.flash(said).await?;
            let tool: String = url::form_urlencoded::byte_serialize(tool.as_bytes()).collect();
            see_other(&at.path(&format!("/connectors/{id}/override?tool={tool}")))
        }
        Err(Error::Field { field, message }) => {
            let view = again(view(&app, &at, &path, tool).await?, &fields, field, message);
            with_status(StatusCode::UNPROCESSABLE_ENTITY, &view)
        }
        Err(error) => Err(error.into()),
    }
}

/// Says whether names have a prefix, and how long a call may take.
pub(super) async fn set_offering(
    State(app): State<App>,
    at: Workspace,
    Path(path): Path<InstallationPath>,
    fields: Fields,
) -> Page {
    at.member.require(Permission::Connectors)?;
    let id = path.id()?;
    let typed = fields.get("timeout").trim();
    let seconds = if typed.is_empty() { Ok(0) } else { typed.parse::<u32>() };
    let saved = match seconds {
        Ok(seconds) => {
            app.installations.set_offering(&at.member, id, fields.get("bare_names") == "true", seconds).await
        }
        Err(_) => Err(Error::field("timeout", "Enter a number of seconds, such as 60, or nothing.")),
    };
    match saved {
        Ok(()) => {
            at.flash("It is saved. Clients see it within a second.").await?;
            see_other(&at.path(&format!("/connectors/{id}#offering")))
        }
        Err(Error::Field { message, .. }) => {
            offering_refused(&app, &at, id, Field::of(typed).refused(message)).await
        }
        Err(error) => Err(error.into()),
    }
}

fn typed(fields: &Fields) -> (Override, Vec<TypedArgument>) {
    let mut annotations = Map::new();
    for hint in HINTS {
        match fields.get(&format!("hint.{hint}")) {
            "true" => drop(annotations.insert(hint.to_owned(), Json::Bool(true))),
            "false" => drop(annotations.insert(hint.to_owned(), Json::Bool(false))),
            _ => {}
        }
    }
    let set = Override {
        name: fields.get("name").to_owned(),
        title: fields.get("title").to_owned(),
        description: fields.get("description").to_owned(),
        annotations,
        arguments: Vec::new(),
    };
    let argument = |index: usize| {
        let fixed = match fields.get(&format!("mode.{index}")) {
            "fixed" => true,
            "default" => false,
            _ => return None,
        };
        let name = fields.get(&format!("argument.{index}")).to_owned();
        Some(TypedArgument { name, text: fields.get(&format!("value.{index}")).to_owned(), fixed })
    };
    (set, (0..SHOWN).filter_map(argument).collect())
}

async fn view(app: &App, at: &Workspace, path: &InstallationPath, tool: &str) -> Result<OverridePage> {
    at.member.require(Permission::Connectors)?;
    let installation = app.installations.get(at.tenant.id, path.id()?).await?;
    let known =
        installation.connector.tools.iter().find(|known| known.name == tool).ok_or(Error::NotFound)?;
    let set = installation.overrides.get(tool).cloned().unwrap_or_default();
    let class = if known.access.is_empty() { "write" } else { &known.access };
    let classes = ["read", "write", "admin", "dangerous"].map(|word| Choice::new(word, word, class));
    let shell = at.shell(&format!("Change {tool}"), Nav::Connectors).await?;
    let rows = properties(known).into_iter().take(SHOWN).enumerate();
    Ok(OverridePage {
        shell,
        id: installation.id.to_string(),
        installation: installation.name.clone(),
        tool: tool.to_owned(),
        public_name: installation.public_name(tool, &set.name),
        prefix: if installation.bare_names { String::new() } else { format!("{}_", installation.name) },
        own_title: known.title.clone(),
        own_description: known.description.clone(),
        access: Access::new(class),
        classes: if installation.connector.server.is_some() { classes.into() } else { Vec::new() },
        name: Field::of(set.name.clone()),
        title: Field::of(set.title.clone()),
        description: Field::of(set.description.clone()),
        hints: hints(&set),
        arguments: rows.map(|(index, property)| argument(index, &property, &set)).collect(),
        gone: set.gone(known),
        is_set: !set.is_empty(),
        preview: shown(&installation, known, &set),
        error: None,
    })
}

fn shown(installation: &Installation, tool: &v1::Tool, set: &Override) -> String {
    serde_json::to_string_pretty(&preview(installation, tool, set)).unwrap_or_default()
}

fn hints(set: &Override) -> Vec<HintRow> {
    let label = |name: &str| match name {
        "readOnlyHint" => "Only reads",
        "destructiveHint" => "Destroys",
        "idempotentHint" => "Twice is as once",
        _ => "Reaches the open world",
    };
    let row = |name: &'static str| {
        let current = match set.annotations.get(name).and_then(Json::as_bool) {
            Some(true) => "true",
            Some(false) => "false",
            None => "",
        };
        let choices = [("", "As the connector says"), ("true", "Yes"), ("false", "No")];
        HintRow {
            name,
            label: label(name),
            choices: choices.map(|(value, label)| Choice::new(value, label, current)).into(),
        }
    };
    HINTS.map(row).into()
}

fn argument(index: usize, property: &Property, set: &Override) -> ArgumentRow {
    let said = set.arguments.iter().find(|argument| argument.name == property.name);
    let current = match said {
        None => "caller",
        Some(argument) if argument.fixed => "fixed",
        Some(_) => "default",
    };
    let text = match said.map(|argument| &argument.value) {
        None => String::new(),
        Some(Json::String(text)) if property.schema["type"] == "string" => text.clone(),
        Some(value) => value.to_string(),
    };
    let modes = [("caller", "The caller gives it"), ("default", "Default"), ("fixed", "Fixed, hidden")];
    let values = property.schema["enum"].as_array().map(Vec::as_slice).unwrap_or_default();
    ArgumentRow {
        index,
        name: property.name.clone(),
        description: property.description.chars().take(300).collect(),
        kind: property.schema["type"].as_str().unwrap_or_default().to_owned(),
        required: property.required,
        modes: modes.map(|(value, label)| Choice::new(value, label, current)).into(),
        value: Field::of(text),
        values: values
            .iter()
            .take(20)
            .map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned))
            .collect(),
    }
}

/// The page again with what was typed.
fn again(mut view: OverridePage, fields: &Fields, field: &str, message: String) -> OverridePage {
    view.name.value = fields.get("name").to_owned();
    view.title.value = fields.get("title").to_owned();
    view.description.value = fields.get("description").to_owned();
    for hint in &mut view.hints {
        let typed = fields.get(&format!("hint.{}", hint.name));
        hint.choices.iter_mut().for_each(|choice| choice.chosen = choice.value == typed);
    }
    let class = fields.get("access");
    view.classes.iter_mut().for_each(|choice| choice.chosen = choice.value == class);
    for row in &mut view.arguments {
        let mode = fields.get(&format!("mode.{}", row.index));
        row.modes.iter_mut().for_each(|choice| choice.chosen = choice.value == mode);
        row.value.value = fields.get(&format!("value.{}", row.index)).to_owned();
    }
    let named = message.split_once(": ").map(|(name, why)| (name.to_owned(), why.to_owned()));
    match (field, named) {
        ("name", _) => view.name.error = Some(message),
        ("title", _) => view.title.error = Some(message),
        ("description", _) => view.description.error = Some(message),
        ("arguments", Some((name, why))) => match view.arguments.iter_mut().find(|row| row.name == name) {
            Some(row) => row.value.error = Some(why),
            None => view.error = Some(message),
        },
        _ => view.error = Some(message),
    }
    view
}
