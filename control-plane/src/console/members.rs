//! Members of a workspace, and invitations into it.

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use serde::Deserialize;
use time::OffsetDateTime;
use toolmesh_proto::ids::{InvitationId, UserId};

use super::App;
use super::forms::Fields;
use super::respond::{Page, login_address, page, see_other, with_status};
use super::session::{LoggedIn, Visitor, Workspace, person};
use super::view::{
    Field, InvitationPage, InvitationRow, InvitationState, InviteForm, MemberRow, MembersPage, Moment, Nav,
    Role as ViewRole,
};
use crate::accounts::factors::requirement;
use crate::accounts::invitations::{self, Inviter};
use crate::accounts::members::{self, Membership, Permission, Role};
use crate::error::{Error, Result};
use crate::tenants;

#[derive(Deserialize)]
pub(super) struct MemberPath {
    user: String,
}

#[derive(Deserialize)]
pub(super) struct InvitationPath {
    id: String,
}

#[derive(Deserialize)]
pub(super) struct Token {
    #[serde(default)]
    token: String,
}

pub(super) async fn list(State(app): State<App>, at: Workspace) -> Page {
    at.member.require(Permission::Members)?;
    page(&view(&app, &at, InviteForm::new(invitable(&at.member))).await?)
}

pub(super) async fn invite(State(app): State<App>, at: Workspace, fields: Fields) -> Page {
    let email = fields.get("email");
    let inviter = Inviter { user: &at.user, workspace: &at.tenant.name, console_origin: &app.console_origin };
    let role = fields.get("role").parse();
    let sent = match role {
        Ok(role) => invitations::invite(&app.db, &app.mailer, &at.member, inviter, email, role).await,
        Err(error) => Err(error),
    };
    match sent {
        Ok(()) => {
            at.flash(format!("An invitation is on its way to {}.", email.trim())).await?;
            see_other(&at.path("/members"))
        }
        Err(Error::Field { message, .. }) => {
            let mut form = InviteForm::new(invitable(&at.member));
            form.email = Field::of(email).refused(message);
            form.role = ViewRole::parse(fields.get("role"));
            with_status(StatusCode::UNPROCESSABLE_ENTITY, &view(&app, &at, form).await?)
        }
        Err(error) => Err(error.into()),
    }
}

/// Removes a member; anybody may remove themselves.
pub(super) async fn remove(
    State(app): State<App>,
    at: Workspace,
    Path(path): Path<MemberPath>,
    _fields: Fields,
) -> Page {
    let user: UserId = path.user.parse().map_err(|_| Error::NotFound)?;
    let back = if at.member.may(Permission::Members) { "/members" } else { "" };
    at.visitor.require_recent(&at.path(back))?;
    members::remove(&app.db, &at.member, user).await?;
    if user == at.user.id {
        return see_other("/workspaces");
    }
    at.flash("The member is removed. Their keys and connections no longer work.").await?;
    see_other(&at.path("/members"))
}

pub(super) async fn set_role(
    State(app): State<App>,
    at: Workspace,
    Path(path): Path<MemberPath>,
    fields: Fields,
) -> Page {
    let user: UserId = path.user.parse().map_err(|_| Error::NotFound)?;
    members::set_role(&app.db, &at.member, user, fields.get("role").parse()?).await?;
    at.flash("The role is changed.").await?;
    see_other(&at.path("/members"))
}

pub(super) async fn revoke_invitation(
    State(app): State<App>,
    at: Workspace,
    Path(path): Path<InvitationPath>,
    _fields: Fields,
) -> Page {
    let id: InvitationId = path.id.parse().map_err(|_| Error::NotFound)?;
    invitations::revoke(&app.db, &at.member, id).await?;
    at.flash("The invitation is withdrawn.").await?;
    see_other(&at.path("/members"))
}

/// The page behind the link of an invitation.
pub(super) async fn invitation(State(app): State<App>, visitor: Visitor, Query(query): Query<Token>) -> Page {
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

fn dead(focus: super::view::Focus) -> InvitationPage {
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

/// Roles that may be given by invitation.
fn invitable(by: &Membership) -> Vec<ViewRole> {
    let mut roles = givable(by);
    roles.retain(|role| *role != ViewRole::Owner);
    roles
}

async fn view(app: &App, at: &Workspace, invite: InviteForm) -> Result<MembersPage> {
    let now = OffsetDateTime::now_utc();
    let mut tx = app.db.tenant(at.tenant.id).await?;
    let members = members::list(&mut tx).await?;
    let factors = requirement::holders(&mut tx).await?;
    let pending = invitations::store::pending(&mut tx).await?;
    drop(tx);
    let seen = crate::audit::last_calls(&app.db, &at.member).await?;
    let owners = members.iter().filter(|m| m.role == Role::Owner).count();
    let row = |member: members::Member| {
        let above = !at.member.role.covers(member.role) || (member.role == Role::Owner && owners < 2);
        MemberRow {
            user_id: member.user_id.to_string(),
            person: person(&member.name, &member.email),
            role: ViewRole::parse(member.role.as_str()),
            joined: Moment::new(member.created_at, now),
            second_factor: factors.contains(&member.user_id),
            last_seen: seen.get(&member.user_id).map(|at| Moment::new(*at, now)),
            you: member.user_id == at.user.id,
            roles: if above { Vec::new() } else { givable(&at.member) },
            removable: !above,
        }
    };
    let invitation = |i: invitations::Invitation| InvitationRow {
        id: i.id.to_string(),
        role: ViewRole::parse(i.role.as_str()),
        by: person(&i.invited_by, &i.invited_by_email),
        sent: Moment::new(i.created_at, now),
        expires: Moment::new(i.expires_at, now),
        expired: i.expires_at < now,
        email: i.email,
    };
    Ok(MembersPage {
        shell: at.shell("Members", Nav::Members).await?,
        members: members.into_iter().map(row).collect(),
        invitations: pending.into_iter().map(invitation).collect(),
        invite,
    })
}

/// Roles that may be given to a member, the smallest first.
fn givable(by: &Membership) -> Vec<ViewRole> {
    let roles = Role::ALL.into_iter().rev().filter(|role| by.role.covers(*role));
    roles.map(|role| ViewRole::parse(role.as_str())).collect()
}
