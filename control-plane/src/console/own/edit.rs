//! Writing a connector: upload, editor, check and save. What does not compile is shown with its errors, and nothing that was
//! typed is lost.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;

use super::OwnPath;
use super::present::lint;
use crate::accounts::members::Permission;
use crate::console::App;
use crate::console::respond::{Page, PageError, page, see_other, with_status};
use crate::console::session::Workspace;
use crate::console::upload::Upload;
use crate::console::view::{EditorPage, Field, Nav, OwnNewPage};
use crate::error::{Error, Result};

/// What the editor begins with.
const TEMPLATE: &str = include_str!("template.dadl");

pub(in crate::console) async fn new_form(State(_app): State<App>, at: Workspace) -> Page {
    at.member.require(Permission::Connectors)?;
    page(&new_view(&at).await?)
}

pub(super) async fn new_view(at: &Workspace) -> Result<OwnNewPage> {
    let shell = at.shell("Add a connector", Nav::Catalog).await?;
    Ok(OwnNewPage { shell, dadl: Field::empty(), file: Field::empty(), url: Field::empty() })
}

/// A DADL file: saved if it compiles, else opened in the editor.
pub(in crate::console) async fn upload(State(app): State<App>, at: Workspace, form: Upload) -> Page {
    at.member.require(Permission::Connectors)?;
    let Some((_, source)) = form.file.clone().filter(|(_, text)| !text.contains('\0')) else {
        let mut view = new_view(&at).await?;
        let why = if form.file.is_some() { "This file is not text." } else { "Choose a file." };
        view.dadl = view.dadl.refused(why);
        return with_status(StatusCode::UNPROCESSABLE_ENTITY, &view);
    };
    drop(form);
    match app.private.create(&at.member, &source).await {
        Ok(id) => {
            at.flash("The connector is saved. Look at what it can do, then enable it.").await?;
            see_other(&at.path(&format!("/own/{id}")))
        }
        Err(Error::Field { message, .. }) => refused(&app, &at, None, source, &message).await,
        Err(error) => Err(error.into()),
    }
}

pub(in crate::console) async fn blank(State(_app): State<App>, at: Workspace) -> Page {
    at.member.require(Permission::Connectors)?;
    page(&EditorPage::new(at.shell("Write a connector", Nav::Catalog).await?, None, TEMPLATE.to_owned()))
}

/// Checks or saves a new connector.
pub(in crate::console) async fn create(State(app): State<App>, at: Workspace, form: Upload) -> Page {
    submit(&app, &at, None, form).await
}

pub(in crate::console) async fn form(
    State(app): State<App>,
    at: Workspace,
    Path(path): Path<OwnPath>,
) -> Page {
    let id = path.id()?;
    let (connector, ..) = app.private.get(&at.member, id).await?;
    let (_, source) = app.private.source(&at.member, id, None).await?;
    let shell = at.shell(&format!("Edit {}", connector.title), Nav::Catalog).await?;
    let checked = app.private.check(source.clone(), "connector.dadl").await?;
    let mut view = EditorPage::new(shell, Some(id.to_string()), source);
    view.lint = Some(lint(&checked, ""));
    page(&view.marked())
}

/// Checks or saves a new version.
pub(in crate::console) async fn save(
    State(app): State<App>,
    at: Workspace,
    Path(path): Path<OwnPath>,
    form: Upload,
) -> Page {
    let id = path.id()?;
    // Another workspace's connector is not found, even where the text is only checked.
    app.private.get(&at.member, id).await?;
    submit(&app, &at, Some(id), form).await
}

async fn submit(
    app: &App,
    at: &Workspace,
    id: Option<toolmesh_proto::ids::PrivateConnectorId>,
    form: Upload,
) -> std::result::Result<Response, PageError> {
    at.member.require(Permission::Connectors)?;
    // Browsers send line ends of their own kind.
    let source = form.get("source").replace("\r\n", "\n");
    let checking = form.get("do") == "check";
    drop(form);
    if checking {
        let checked = app.private.check(source.clone(), "connector.dadl").await?;
        let mut view =
            EditorPage::new(at.shell("Checked", Nav::Catalog).await?, id.map(|id| id.to_string()), source);
        view.lint = Some(lint(&checked, ""));
        return page(&view.marked());
    }
    let saved = match id {
        None => app.private.create(&at.member, &source).await.map(|id| (id, 1)),
        Some(id) => app.private.save(&at.member, id, &source).await.map(|number| (id, number)),
    };
    match saved {
        Ok((id, number)) => {
            let then = match number {
                1 => "Enable it, and members can use it.",
                _ => "Installations keep theirs until you update them.",
            };
            at.flash(format!("Version {number} is saved. {then}")).await?;
            see_other(&at.path(&format!("/own/{id}")))
        }
        Err(Error::Field { message, .. }) => refused(app, at, id, source, &message).await,
        Err(error) => Err(error.into()),
    }
}

/// The editor with what was typed and what is wrong with it.
async fn refused(
    app: &App,
    at: &Workspace,
    id: Option<toolmesh_proto::ids::PrivateConnectorId>,
    source: String,
    message: &str,
) -> std::result::Result<Response, PageError> {
    let checked = app.private.check(source.clone(), "connector.dadl").await?;
    let mut view =
        EditorPage::new(at.shell("Not saved", Nav::Catalog).await?, id.map(|id| id.to_string()), source);
    view.error = checked.is_ok().then(|| message.to_owned());
    view.lint = Some(lint(&checked, ""));
    with_status(StatusCode::UNPROCESSABLE_ENTITY, &view.marked())
}
