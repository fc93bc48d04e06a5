//! Whether a workspace asks its members for a second factor.

use axum::extract::State;
use axum::http::StatusCode;
use time::OffsetDateTime;

use super::App;
use super::forms::Fields;
use super::respond::{Page, page, see_other, sentence, with_status};
use super::session::{Workspace, person};
use super::view::{Choice, Moment, Nav, RuleState, SecondFactorRulePage, Tabs};
use crate::accounts::factors::requirement::{self, Grace};
use crate::accounts::members::{self, Permission};
use crate::error::{Error, Result};

pub(super) async fn show(State(app): State<App>, at: Workspace) -> Page {
    at.member.require(Permission::Settings)?;
    page(&view(&app, &at).await?)
}

pub(super) async fn save(State(app): State<App>, at: Workspace, fields: Fields) -> Page {
    at.member.require(Permission::Settings)?;
    match set(&app, &at, &fields).await {
        Ok(text) => {
            at.flash(text).await?;
            see_other(&at.path("/settings/second-factor"))
        }
        Err(error @ (Error::Refused(_) | Error::Field { .. })) => {
            let mut view = view(&app, &at).await?;
            view.error = Some(sentence(&error));
            with_status(StatusCode::UNPROCESSABLE_ENTITY, &view)
        }
        Err(error) => Err(error.into()),
    }
}

async fn set(app: &App, at: &Workspace, fields: &Fields) -> Result<&'static str> {
    if fields.get("rule") == "off" {
        requirement::lift(&app.db, &at.member).await?;
        return Ok("A second factor is no longer required.");
    }
    let grace: Grace = fields.get("grace").parse()?;
    let workspace = requirement::Workspace { name: &at.tenant.name, console_origin: &app.console_origin };
    requirement::require(&app.db, &app.mailer, &at.member, workspace, grace).await?;
    Ok(match grace {
        Grace::None => "A second factor is required from now on.",
        Grace::Week | Grace::Month => {
            "A second factor will be required. Members who have none are told by mail."
        }
    })
}

async fn view(app: &App, at: &Workspace) -> Result<SecondFactorRulePage> {
    let now = OffsetDateTime::now_utc();
    let mut tx = app.db.tenant(at.tenant.id).await?;
    let rule = requirement::rule(&mut tx).await?;
    let holders = requirement::holders(&mut tx).await?;
    let members = members::list(&mut tx).await?;
    drop(tx);
    let all = members.len();
    let without = members.into_iter().filter(|member| !holders.contains(&member.user_id));
    let choice = |grace: Grace| Choice::new(grace.as_str(), label(grace), Grace::Week.as_str());
    Ok(SecondFactorRulePage {
        shell: at.shell("Second factor", Nav::Settings).await?,
        tabs: Tabs::settings(at.path("/settings"), "/second-factor"),
        error: None,
        rule: rule.map(|rule| RuleState {
            in_force: rule.required_from <= now,
            from: Moment::new(rule.required_from, now),
            set: Moment::new(rule.set_at, now),
            by: rule.set_by,
        }),
        you_have_one: holders.contains(&at.user.id),
        without: without.map(|member| person(&member.name, &member.email)).collect(),
        members: all,
        grace: Grace::ALL.map(choice).to_vec(),
    })
}

const fn label(grace: Grace) -> &'static str {
    match grace {
        Grace::None => "Now",
        Grace::Week => "In 7 days",
        Grace::Month => "In 30 days",
    }
}
