//! From an OpenAPI document to a connector: give the document, pick operations, look at what was written.

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use serde::Deserialize;

use super::OwnPath;
use super::edit::new_view;
use crate::accounts::members::Permission;
use crate::connectors::openapi::Operation;
use crate::connectors::private::{Import, Pick};
use crate::console::App;
use crate::console::forms::Fields;
use crate::console::respond::{Page, page, see_other, with_status};
use crate::console::session::Workspace;
use crate::console::upload::Upload;
use crate::console::view::{Choice, Field, ImportPage, ImportRow, Nav};
use crate::error::{Error, Result};

/// Operations on one page.
const PAGE: usize = 50;
/// Tools that a model chooses from well; more are better found by search.
const MANY: usize = 40;

/// Which operations are shown.
#[derive(Clone, Default, Deserialize)]
pub(in crate::console) struct Filter {
    #[serde(default)]
    q: String,
    #[serde(default)]
    tag: String,
    #[serde(default)]
    access: String,
    #[serde(default)]
    show: String,
    #[serde(default)]
    page: usize,
}

/// A document as a file or by its address.
pub(in crate::console) async fn start(State(app): State<App>, at: Workspace, form: Upload) -> Page {
    at.member.require(Permission::Connectors)?;
    let url = form.get("url").trim().to_owned();
    let pasted = Some(form.get("document")).filter(|text| !text.trim().is_empty());
    let pasted = pasted.map(|text| ("a pasted document".to_owned(), text.to_owned()));
    let file = form.file.clone().or(pasted);
    drop(form);
    let started = match file {
        Some((name, document)) => app.private.import(&at.member, &name, document).await,
        None if url.is_empty() => Err(Error::field("file", "Choose a file, or enter an address below.")),
        None => app.private.import_from(&at.member, &url).await,
    };
    match started {
        Ok(id) => see_other(&at.path(&format!("/own/openapi/{id}"))),
        Err(Error::Field { field, message }) => {
            let mut view = new_view(&at).await?;
            view.url = Field::of(url);
            let wrong = if field == "url" { &mut view.url } else { &mut view.file };
            wrong.error = Some(message);
            with_status(StatusCode::UNPROCESSABLE_ENTITY, &view)
        }
        Err(error) => Err(error.into()),
    }
}

pub(in crate::console) async fn show(
    State(app): State<App>,
    at: Workspace,
    Path(path): Path<OwnPath>,
    Query(filter): Query<Filter>,
) -> Page {
    let import = app.private.opened(&at.member, path.import()?).await?;
    page(&view(&at, &import, &filter, Field::empty()).await?)
}

/// Notes what is picked on the shown page, or for all that fit the filter.
pub(in crate::console) async fn pick(
    State(app): State<App>,
    at: Workspace,
    Path(path): Path<OwnPath>,
    fields: Fields,
) -> Page {
    let import = app.private.opened(&at.member, path.import()?).await?;
    let filter = filter_of(&fields);
    let operations = &import.outline.operations;
    let at_index =
        |text: &str| text.parse::<usize>().ok().and_then(|index| Some((index, operations.get(index)?)));
    let mut picks: Vec<Pick> = Vec::new();
    for (index, operation) in fields.all("shown").filter_map(at_index).take(PAGE) {
        let ticked = fields.all("pick").any(|ticked| ticked == index.to_string());
        let access = ticked.then(|| fields.get(&format!("access.{index}")).to_owned());
        picks.push(Pick { operation: operation.key.clone(), access });
    }
    let all = fields.get("do");
    if matches!(all, "all" | "none") {
        for operation in operations.iter().filter(|operation| fits(operation, &filter, &import)) {
            let known = import.picked.get(&operation.key).unwrap_or(&operation.access);
            let access = (all == "all").then(|| known.clone());
            picks.retain(|pick| pick.operation != operation.key);
            picks.push(Pick { operation: operation.key.clone(), access });
        }
    }
    app.private.pick(&at.member, import.id, &picks).await?;
    if fields.get("do") == "create" {
        return create(&app, &at, &import, &filter, fields.get("name")).await;
    }
    let next = match fields.get("do") {
        "next" => filter.page + 1,
        "previous" => filter.page.saturating_sub(1),
        _ => filter.page,
    };
    see_other(&format!(
        "{}?{}",
        at.path(&format!("/own/openapi/{}", import.id)),
        query(&Filter { page: next, ..filter })
    ))
}

async fn create(app: &App, at: &Workspace, import: &Import, filter: &Filter, name: &str) -> Page {
    match app.private.finish(&at.member, import.id, name).await {
        Ok((id, notes)) => {
            let notes: Vec<String> = notes.into_iter().take(5).collect();
            let text = format!("The connector is written. Look at it, then enable it. {}", notes.join(" "));
            at.flash(text.trim()).await?;
            see_other(&at.path(&format!("/own/{id}")))
        }
        Err(Error::Field { message, .. }) => {
            let import = app.private.opened(&at.member, import.id).await?;
            let name = Field::of(name).refused(message);
            with_status(StatusCode::UNPROCESSABLE_ENTITY, &view(at, &import, filter, name).await?)
        }
        Err(error) => Err(error.into()),
    }
}

fn filter_of(fields: &Fields) -> Filter {
    Filter {
        q: fields.get("q").to_owned(),
        tag: fields.get("tag").to_owned(),
        access: fields.get("filter").to_owned(),
        show: fields.get("show").to_owned(),
        page: fields.get("page").parse().unwrap_or_default(),
    }
}

fn query(filter: &Filter) -> String {
    url::form_urlencoded::Serializer::new(String::new())
        .append_pair("q", &filter.q)
        .append_pair("tag", &filter.tag)
        .append_pair("access", &filter.access)
        .append_pair("show", &filter.show)
        .append_pair("page", &filter.page.to_string())
        .finish()
}

fn fits(operation: &Operation, filter: &Filter, import: &Import) -> bool {
    let class = import.picked.get(&operation.key).unwrap_or(&operation.access);
    let words = filter.q.to_lowercase();
    let text = format!("{} {} {}", operation.key, operation.name, operation.summary).to_lowercase();
    words.split_whitespace().all(|word| text.contains(word))
        && (filter.tag.is_empty() || operation.tags.contains(&filter.tag))
        && (filter.access.is_empty() || *class == filter.access)
        && (filter.show != "picked" || import.picked.contains_key(&operation.key))
}

async fn view(at: &Workspace, import: &Import, filter: &Filter, name: Field) -> Result<ImportPage> {
    let outline = &import.outline;
    let found: Vec<(usize, &Operation)> = outline
        .operations
        .iter()
        .enumerate()
        .filter(|(_, operation)| fits(operation, filter, import))
        .collect();
    let pages = found.len().div_ceil(PAGE).max(1);
    let number = filter.page.min(pages - 1);
    let rows = found.iter().skip(number * PAGE).take(PAGE).map(|(index, operation)| ImportRow {
        index: *index,
        name: operation.name.clone(),
        summary: operation.summary.clone(),
        key: operation.key.clone(),
        tags: operation.tags.join(", "),
        deprecated: operation.deprecated,
        problem: operation.problem.clone(),
        picked: import.picked.contains_key(&operation.key),
        access: crate::connectors::private::CLASSES
            .iter()
            .map(|class| {
                Choice::new(*class, *class, import.picked.get(&operation.key).unwrap_or(&operation.access))
            })
            .collect(),
    });
    let suggested = crate::connectors::openapi::suggested_name(&outline.title);
    Ok(ImportPage {
        shell: at.shell("Pick operations", Nav::Catalog).await?,
        id: import.id.to_string(),
        title: if outline.title.is_empty() { import.origin.clone() } else { outline.title.clone() },
        origin: import.origin.clone(),
        format: outline.format.clone(),
        base_url: outline.base_url.clone(),
        rows: rows.collect(),
        found: found.len(),
        all: outline.operations.len(),
        picked: import.picked.len(),
        many: import.picked.len() > MANY,
        page: number,
        pages,
        q: filter.q.clone(),
        tag: filter.tag.clone(),
        tags: tags(outline, &filter.tag),
        access: filter.access.clone(),
        classes: std::iter::once(("", "Any access"))
            .chain(crate::connectors::private::CLASSES.iter().map(|class| (*class, *class)))
            .map(|(value, label)| Choice::new(value, label, &filter.access))
            .collect(),
        show: filter.show.clone(),
        name: if name.value.is_empty() && name.error.is_none() { Field::of(suggested) } else { name },
    })
}

/// The groups of a document, with how many operations each has; as many as a list can show.
fn tags(outline: &crate::connectors::openapi::Outline, current: &str) -> Vec<Choice> {
    let mut counts: std::collections::BTreeMap<&str, usize> = std::collections::BTreeMap::new();
    for tag in outline.operations.iter().flat_map(|operation| &operation.tags) {
        *counts.entry(tag).or_default() += 1;
    }
    let all = Choice::new("", format!("All groups ({})", outline.operations.len()), current);
    let each = counts
        .into_iter()
        .take(500)
        .map(|(tag, count)| Choice::new(tag, format!("{tag} ({count})"), current));
    std::iter::once(all).chain(each).collect()
}
