//! Adding the workspace to a client.

use axum::extract::{Query, State};
use serde::Deserialize;

use super::App;
use super::respond::{Page, page};
use super::session::Workspace;
use super::view::{AddPage, Nav};

#[derive(Deserialize)]
pub(super) struct Choice {
    #[serde(default)]
    client: String,
}

pub(super) async fn show(State(app): State<App>, at: Workspace, Query(choice): Query<Choice>) -> Page {
    let installations = app.installations.list(at.tenant.id).await?;
    let tools = installations.iter().flat_map(|i| i.tools()).filter(|tool| tool.enabled).count();
    page(&AddPage::new(at.shell("Add to ChatGPT", Nav::Add).await?, &choice.client, tools))
}
