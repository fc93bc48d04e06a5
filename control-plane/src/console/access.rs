//! How a workspace is used from outside: whether writing needs a permission of its own, and what waits while a node is cut off.

use axum::extract::State;

use super::App;
use super::forms::Fields;
use super::respond::{Page, page, see_other};
use super::session::Workspace;
use super::view::{AccessPage, Nav, Tabs};
use crate::tenants::access;

pub(super) async fn show(State(app): State<App>, at: Workspace) -> Page {
    let access = access::get(&app.db, &at.member).await?;
    page(&AccessPage {
        shell: at.shell("Access", Nav::Settings).await?,
        tabs: Tabs::settings(at.path("/settings"), "/access"),
        writes_need_scope: access.writes_need_scope,
        strict_when_cut_off: access.strict_when_cut_off,
    })
}

pub(super) async fn save(State(app): State<App>, at: Workspace, fields: Fields) -> Page {
    let needed = fields.get("writes_need_scope") == "true";
    access::set_writes_need_scope(&app.db, &at.member, needed).await?;
    let said = if needed {
        "Writing needs its own permission now. Clients ask for it at the first call that needs it."
    } else {
        "One permission covers all tools now."
    };
    at.flash(said).await?;
    see_other(&at.path("/settings/access"))
}

/// `POST /w/{slug}/settings/access/cut-off`.
pub(super) async fn save_cut_off(State(app): State<App>, at: Workspace, fields: Fields) -> Page {
    let strict = fields.get("strict_when_cut_off") == "true";
    access::set_strict_when_cut_off(&app.db, &at.member, strict).await?;
    let said = if strict {
        "Hard-to-undo tools wait from now on while a node is cut off."
    } else {
        "All tools go on while a node is cut off."
    };
    at.flash(said).await?;
    see_other(&at.path("/settings/access"))
}
