//! The headers in which an MCP server is shown keys: rows of a form, when it is added and later.

use axum::extract::{Path, State};

use super::super::App;
use super::super::forms::Fields;
use super::super::installations::{InstallationPath, headers_refused};
use super::super::respond::{Page, see_other};
use super::super::session::Workspace;
use super::super::view::{Field, HeaderFields};
use crate::connectors::Installation;
use crate::connectors::installation::shown_headers;
use crate::connectors::upstream::{HEADER_FIELDS, Looked, MOST_HEADERS, SecretHeader, VALUE_FIELDS};
use crate::error::Error;

/// Empty rows below those that are filled in.
const SPARE: usize = 2;

/// So many rows, the first with what there is: each header's name, and whether a value is stored for it.
pub(super) fn rows(filled: &[(&str, bool)], count: usize) -> Vec<HeaderFields> {
    let keys = HEADER_FIELDS.into_iter().zip(VALUE_FIELDS).take(count);
    let row = |(at, (header_key, value_key)): (usize, (&str, &str))| {
        let (name, stored) = filled.get(at).copied().unwrap_or_default();
        HeaderFields {
            number: at + 1,
            header_key: header_key.to_owned(),
            value_key: value_key.to_owned(),
            header: Field::of(name),
            value: Field::empty(),
            stored,
        }
    };
    keys.enumerate().map(row).collect()
}

/// The rows of an installation that is shown headers; nothing for another.
pub(in crate::console) fn of_installation(installation: &Installation) -> Vec<HeaderFields> {
    let stored = |name: &str| installation.credentials.iter().any(|one| one.name == name);
    let shown = shown_headers(&installation.connector);
    let filled: Vec<_> = shown.into_iter().map(|(header, name)| (header, stored(name))).collect();
    if filled.is_empty() { Vec::new() } else { rows(&filled, MOST_HEADERS.min(filled.len() + SPARE)) }
}

/// What was typed into the rows.
pub(super) fn typed(fields: &Fields) -> Vec<SecretHeader> {
    let keys = HEADER_FIELDS.into_iter().zip(VALUE_FIELDS);
    let row =
        |(header, value)| SecretHeader { name: fields.get(header).to_owned(), value: fields.secret(value) };
    keys.map(row).collect()
}

/// The field of a row by its name in the form.
pub(super) fn field<'a>(rows: &'a mut [HeaderFields], key: &str) -> Option<&'a mut Field> {
    rows.iter_mut().find_map(|row| match key {
        key if row.header_key == key => Some(&mut row.header),
        key if row.value_key == key => Some(&mut row.value),
        _ => None,
    })
}

/// Shows the server other headers, and looks whether it takes them.
pub(in crate::console) async fn set_headers(
    State(app): State<App>,
    at: Workspace,
    Path(path): Path<InstallationPath>,
    fields: Fields,
) -> Page {
    let id = path.id()?;
    let here = at.path(&format!("/connectors/{id}"));
    at.visitor.require_recent(&here)?;
    match app.upstreams.set_headers(&at.member, id, typed(&fields)).await {
        Ok(()) => match app.upstreams.refresh(&at.member, id).await? {
            Looked::Failed(why) => at.warn(format!("The headers are saved. {why}")).await?,
            Looked::Well { .. } => at.flash("The headers are saved, and the server takes them.").await?,
            Looked::Busy => at.flash("The headers are saved.").await?,
        },
        Err(Error::Field { field: wrong, message }) => {
            let typed = |rows: &mut [HeaderFields]| {
                for row in rows.iter_mut() {
                    row.header.value = fields.get(&row.header_key).to_owned();
                }
                if let Some(wrong) = field(rows, wrong) {
                    wrong.error = Some(message);
                }
            };
            return headers_refused(&app, &at, id, typed).await;
        }
        Err(error) => return Err(error.into()),
    }
    see_other(&here)
}
