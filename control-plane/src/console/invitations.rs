//! Inviting people, and accepting an invitation.

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use serde::Deserialize;
use toolmesh_proto::ids::InvitationId;

use super::App;
use super::forms::Fields;
use super::members::view;
use super::respond::{Page, login_address, page, see_other, with_status};
use super::session::{LoggedIn, Visitor, Workspace};
use super::view::{Field, Focus, InvitationPage, InvitationState, InviteForm, Role as ViewRole};
use crate::accounts::invitations::{self, Inviter, Judged, Verdict};
use crate::accounts::members::{Membership, Role};
use crate::error::{Error, Result};
use crate::tenants;

#[derive(Deserialize)]
pub(super) struct InvitationPath {
    id: String,
}

impl InvitationPath {
    fn id(&self) -> Result<InvitationId> {
        self.id.parse().map_err(|_| Error::NotFound)
    }
}

#[derive(Deserialize)]
pub(super) struct Token {
    #[serde(default)]
    token: String,
}

fn inviter<'a>(app: &'a App, at: &'a Workspace) -> Inviter<'a> {
    Inviter { user: &at.user, workspace: &at.tenant.name, console_origin: &app.console_origin }
}

pub(super) async fn invite(State(app): State<App>, at: Workspace, fields: Fields) -> Page {
    let typed = fields.get("email");
    let made = match fields.get("role").parse() {
        Ok(role) => {
            invitations::invite(&app.db, &app.mailer, &at.member, inviter(&app, &at), typed, role).await
        }
        Err(error) => Err(error),
    };
    let mut form = InviteForm::new(invitable(&at.member));
    form.role = ViewRole::parse(fields.get("role"));
    match made {
        Ok(judged) if judged.iter().all(|one| one.verdict == Verdict::Sent) => {
            at.flash(sent(&judged)).await?;
            return see_other(&at.path("/members"));
        }
        Ok(judged) => {
            form.sent = sent(&judged);
            form.problems = judged.into_iter().filter_map(problem).collect();
            let left: Vec<_> = form.problems.iter().map(|(address, _)| address.as_str()).collect();
            form.email = Field::of(left.join("\n"));
        }
        Err(Error::Field { message, .. }) => form.email = Field::of(typed).refused(message),
        Err(error) => return Err(error.into()),
    }
    with_status(StatusCode::UNPROCESSABLE_ENTITY, &view(&app, &at, form).await?)
}

fn sent(judged: &[Judged]) -> String {
    let sent: Vec<_> = judged.iter().filter(|one| one.verdict == Verdict::Sent).collect();
    match sent.as_slice() {
        [] => String::new(),
        [one] => format!("An invitation is on its way to {}. It works for seven days.", one.address),
        many => format!("Invitations are on their way to {} people. They work for seven days.", many.len()),
    }
}

fn problem(judged: Judged) -> Option<(String, String)> {
    match judged.verdict {
        Verdict::Sent => None,
        Verdict::AlreadyMember => Some((judged.address, "is a member already".to_owned())),
        Verdict::NotSent(why) => Some((judged.address, why)),
    }
}

pub(super) async fn resend(
    State(app): State<App>,
    at: Workspace,
    Path(path): Path<InvitationPath>,
    _fields: Fields,
) -> Page {
    let email = invitations::resend(&app.db, &app.mailer, &at.member, inviter(&app, &at), path.id()?).await?;
    at.flash(format!("A new invitation is on its way to {email}. The old link is dead.")).await?;
    see_other(&at.path("/members"))
}

pub(super) async fn revoke(
    State(app): State<App>,
    at: Workspace,
    Path(path): Path<InvitationPath>,
    _fields: Fields,
) -> Page {
    invitations::revoke(&app.db, &at.member, path.id()?).await?;
    at.flash("The invitation is withdrawn.").await?;
    see_other(&at.path("/members"))
}

/// The page behind the link of an invitation.
pub(super) async fn show(State(app): State<App>, visitor: Visitor, Query(query): Query<Token>) -> Page {
    let focus = visitor.focus("Invitation").await?;
    let offer = match invitations::offer(&app.db, &query.token).await {
        Ok(offer) => offer,
        Err(Error::Gone(_)) => return with_status(StatusCode::GONE, &dead(focus)),
        Err(error) => return Err(error.into()),
    };
    let tenant = tenants::by_id(&app.db, offer.tenant).await?;
    let back = format!("/invitation?token={}", query.token);
    let state = match &visitor.user {
        None => InvitationState::NeedsLogin {
            login: login_address(&back),
            signup: login_address(&back).replacen("/login", "/signup", 1),
        },
        Some(user) if user.email == offer.invitation.email => InvitationState::Ready,
        Some(_) => InvitationState::OtherAddress,
    };
    page(&InvitationPage {
        focus,
        token: query.token,
        workspace: tenant.name,
        invited_by: offer.invitation.invited_by,
        email: offer.invitation.email,
        role: ViewRole::parse(offer.invitation.role.as_str()),
        state,
    })
}

pub(super) async fn accept(State(app): State<App>, who: LoggedIn, fields: Fields) -> Page {
    match invitations::accept(&app.db, fields.get("token"), &who.user).await {
        Ok(tenant) => see_other(&format!("/w/{}", tenants::by_id(&app.db, tenant).await?.slug)),
        Err(Error::Gone(_)) => with_status(StatusCode::GONE, &dead(who.visitor.focus("Invitation").await?)),
        Err(error) => Err(error.into()),
    }
}

fn dead(focus: Focus) -> InvitationPage {
    InvitationPage {
        focus,
        token: String::new(),
        workspace: String::new(),
        invited_by: String::new(),
        email: String::new(),
        role: ViewRole::Member,
        state: InvitationState::Dead,
    }
}

/// Roles that may be given by invitation, the smallest first.
pub(super) fn invitable(by: &Membership) -> Vec<ViewRole> {
    let roles = Role::ALL.into_iter().rev().filter(|role| *role != Role::Owner && by.role.covers(*role));
    roles.map(|role| ViewRole::parse(role.as_str())).collect()
}
