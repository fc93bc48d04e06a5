//! Where clients find the tools of an installation: in their list, or from code.

use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue};

use super::App;
use super::forms::Fields;
use super::installations::{InstallationPath, tool_row};
use super::respond::{Page, page, see_other};
use super::session::Workspace;
use super::view::{Choice, ExposureView};
use crate::connectors::exposure::{Exposure, MOST_LISTED, listed};
use crate::connectors::{Installation, Installations};
use crate::error::{Error, Result};

pub(super) async fn set(
    State(app): State<App>,
    at: Workspace,
    Path(path): Path<InstallationPath>,
    fields: Fields,
) -> Page {
    let exposure = Exposure::parse(fields.get("exposure")).ok_or(Error::NotFound)?;
    let after = app.installations.set_exposure(&at.member, path.id()?, exposure).await?;
    at.flash(match exposure {
        Exposure::Direct => "Its tools stand in the list of every client.",
        Exposure::Code => "Its tools are found with discover_tools and called in execute_code.",
        Exposure::Both => "Its tools stand in the list, and code can call them too.",
    })
    .await?;
    see_other(&at.path(&format!("/connectors/{}#exposure", after.id)))
}

pub(super) async fn promote(
    State(app): State<App>,
    at: Workspace,
    Path(path): Path<InstallationPath>,
    headers: HeaderMap,
    fields: Fields,
) -> Page {
    let (tool, promoted) = (fields.get("tool"), fields.get("promoted") == "true");
    let after = app.installations.set_promoted(&at.member, path.id()?, tool, promoted).await?;
    if !headers.contains_key("hx-request") {
        return see_other(&at.path(&format!("/connectors/{}#tool-{tool}", after.id)));
    }
    let row = after.tools().into_iter().find(|row| row.tool == tool).ok_or(Error::NotFound)?;
    with_new_count(page(&tool_row(&at, &after, row)))
}

/// A fragment after which the count of what clients are shown is another; the page asks for it again.
pub(super) fn with_new_count(page: Page) -> Page {
    page.map(|mut response| {
        response.headers_mut().insert("hx-trigger", HeaderValue::from_static("listed"));
        response
    })
}

/// What the page of an installation says of it.
pub(super) async fn view(
    installations: &Installations,
    at: &Workspace,
    installation: &Installation,
) -> Result<ExposureView> {
    let all = installations.list(at.tenant.id).await?;
    let current = installation.exposure.as_str();
    let label = |exposure| match exposure {
        Exposure::Direct => "In the list of tools",
        Exposure::Code => "From code",
        Exposure::Both => "Both",
    };
    let choice = |exposure: Exposure| Choice::new(exposure.as_str(), label(exposure), current);
    Ok(ExposureView {
        choices: Exposure::ALL.into_iter().map(choice).collect(),
        listed: listed(&all),
        most: MOST_LISTED,
        if_direct: if_direct(all, installation),
    })
}

/// How long the list would be with all tools of an installation in it.
fn if_direct(mut all: Vec<Installation>, installation: &Installation) -> usize {
    for one in all.iter_mut().filter(|one| one.id == installation.id) {
        one.exposure = Exposure::Direct;
    }
    listed(&all)
}

/// What is said when a connector has been enabled; `connects` for one that needs somebody's account.
pub(super) fn enabled(title: &str, made: &Installation, connects: bool) -> String {
    let next = if connects { "Connect it to an account next." } else { "Its tools are ready to use." };
    match made.exposure {
        Exposure::Direct | Exposure::Both => format!("{title} is enabled. {next}"),
        Exposure::Code => format!(
            "{title} is enabled. {next} With its {} tools the list would hold more than {MOST_LISTED}, among which models choose \
             badly, so clients find them with discover_tools and call them in execute_code.",
            made.tools_on()
        ),
    }
}
