//! Members of a workspace: the list, one of them, and how they go.

use std::collections::{HashMap, HashSet};

use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::Deserialize;
use time::OffsetDateTime;
use toolmesh_proto::ids::UserId;

use super::App;
use super::forms::Fields;
use super::invitations::invitable;
use super::respond::{Page, page, see_other, with_status};
use super::session::{Workspace, person};
use super::view::{
    FarewellPage, Field, HandOverPage, InvitationRow, InviteForm, Loss, MayChange, MemberPage, MemberRow,
    MembersPage, Moment, Nav, Role as ViewRole, Suspended, Tabs,
};
use crate::accounts::factors::requirement;
use crate::accounts::members::{self, Member, Permission, Role};
use crate::accounts::{groups, invitations, keys};
use crate::error::{Error, Result};

#[derive(Deserialize)]
pub(super) struct MemberPath {
    user: String,
}

impl MemberPath {
    /// What is no id belongs to no member.
    fn id(&self) -> Result<UserId> {
        self.user.parse().map_err(|_| Error::NotFound)
    }
}

pub(super) async fn list(State(app): State<App>, at: Workspace) -> Page {
    at.member.require(Permission::Members)?;
    page(&view(&app, &at, InviteForm::new(invitable(&at.member))).await?)
}

pub(super) async fn show(State(app): State<App>, at: Workspace, Path(path): Path<MemberPath>) -> Page {
    at.member.require(Permission::Members)?;
    let member = members::one(&app.db, &at.member, path.id()?).await?;
    let mut known = Known::of(&app, &at).await?;
    let (may, why_not) = may_change(&app, &at, &member).await?;
    let roles = Role::ALL.into_iter().filter(|role| at.member.role.covers(*role));
    let shell = at.shell(&member.name, Nav::Members).await?;
    let prove = at.prove(&format!("/members/{}", member.user_id));
    let roles = roles.map(|role| ViewRole::parse(role.as_str())).collect();
    page(&MemberPage { shell, row: row(member, &at, &mut known), roles, may, why_not, prove })
}

pub(super) async fn set_role(
    State(app): State<App>,
    at: Workspace,
    Path(path): Path<MemberPath>,
    fields: Fields,
) -> Page {
    let user = path.id()?;
    at.visitor.require_recent(&at.path(&format!("/members/{user}")))?;
    app.accounts.set_role(at.doer(), user, fields.get("role").parse()?).await?;
    at.flash("The role is saved.").await?;
    let back = if user == at.user.id { String::new() } else { format!("/members/{user}") };
    see_other(&at.path(&back))
}

/// What stops working when a member is removed.
pub(super) async fn remove_preview(
    State(app): State<App>,
    at: Workspace,
    Path(path): Path<MemberPath>,
) -> Page {
    let member = members::one(&app.db, &at.member, path.id()?).await?;
    let here = remove_path(&at, member.user_id);
    at.visitor.require_recent(&here)?;
    let you = member.user_id == at.user.id;
    let title = if you { format!("Leave {}", at.tenant.name) } else { format!("Remove {}", member.name) };
    page(&FarewellPage {
        lede: if you {
            "You lose this workspace and its tools at once.".to_owned()
        } else {
            format!("{} loses this workspace and its tools within a second.", member.email)
        },
        losses: losses(&app, &at, &member).await?,
        after: "Past calls stay in the audit log. A new invitation brings back the membership, but none of this.",
        button: if you { "Leave the workspace".to_owned() } else { title.clone() },
        action: here,
        back: if you { at.path("") } else { at.path(&format!("/members/{}", member.user_id)) },
        shell: at.shell(&title, if you { Nav::Overview } else { Nav::Members }).await?,
    })
}

/// Where the page stands that lists what stops working.
fn remove_path(at: &Workspace, user: UserId) -> String {
    if user == at.user.id { at.path("/leave") } else { at.path(&format!("/members/{user}/remove")) }
}

/// The same, of oneself: everybody may leave.
pub(super) async fn leave_preview(State(app): State<App>, at: Workspace) -> Page {
    let path = MemberPath { user: at.user.id.to_string() };
    remove_preview(State(app), at, Path(path)).await
}

/// Removes a member; anybody may remove themselves.
pub(super) async fn remove(
    State(app): State<App>,
    at: Workspace,
    Path(path): Path<MemberPath>,
    _fields: Fields,
) -> Page {
    let user = path.id()?;
    at.visitor.require_recent(&remove_path(&at, user))?;
    app.accounts.remove_member(at.doer(), user).await?;
    if user == at.user.id {
        at.flash(format!("You have left {}.", at.tenant.name)).await?;
        return see_other("/workspaces");
    }
    at.flash("The member is removed. Their keys and connections no longer work.").await?;
    see_other(&at.path("/members"))
}

pub(super) async fn leave(State(app): State<App>, at: Workspace, fields: Fields) -> Page {
    let path = MemberPath { user: at.user.id.to_string() };
    remove(State(app), at, Path(path), fields).await
}

/// What stops working while a member is suspended.
pub(super) async fn suspend_preview(
    State(app): State<App>,
    at: Workspace,
    Path(path): Path<MemberPath>,
) -> Page {
    at.member.require(Permission::Members)?;
    let member = members::one(&app.db, &at.member, path.id()?).await?;
    let here = at.path(&format!("/members/{}/suspend", member.user_id));
    at.visitor.require_recent(&here)?;
    let title = format!("Suspend {}", member.name);
    page(&FarewellPage {
        lede: format!(
            "{} can use neither the tools nor the console until they are let in again.",
            member.email
        ),
        losses: losses(&app, &at, &member).await?,
        after: "All of it works again when they are let in again, except the invitations, which are withdrawn.",
        button: title.clone(),
        action: here,
        back: at.path(&format!("/members/{}", member.user_id)),
        shell: at.shell(&title, Nav::Members).await?,
    })
}

pub(super) async fn suspend(
    State(app): State<App>,
    at: Workspace,
    Path(path): Path<MemberPath>,
    _fields: Fields,
) -> Page {
    let user = path.id()?;
    at.visitor.require_recent(&at.path(&format!("/members/{user}/suspend")))?;
    app.accounts.suspend_member(at.doer(), user).await?;
    at.flash("The member is suspended. Nothing of theirs works until they are let in again.").await?;
    see_other(&at.path(&format!("/members/{user}")))
}

pub(super) async fn resume(
    State(app): State<App>,
    at: Workspace,
    Path(path): Path<MemberPath>,
    _fields: Fields,
) -> Page {
    let user = path.id()?;
    at.visitor.require_recent(&at.path(&format!("/members/{user}")))?;
    app.accounts.resume_member(at.doer(), user).await?;
    at.flash("The member is in again. Their keys and connections work as before.").await?;
    see_other(&at.path(&format!("/members/{user}")))
}

pub(super) async fn hand_over_form(
    State(app): State<App>,
    at: Workspace,
    Path(path): Path<MemberPath>,
) -> Page {
    at.member.require(Permission::Ownership)?;
    at.visitor.require_recent(&at.path(&format!("/members/{}/owner", path.id()?)))?;
    let member = members::one(&app.db, &at.member, path.id()?).await?;
    page(&hand_over_view(&at, &member, Field::empty()).await?)
}

pub(super) async fn hand_over(
    State(app): State<App>,
    at: Workspace,
    Path(path): Path<MemberPath>,
    fields: Fields,
) -> Page {
    let user = path.id()?;
    at.visitor.require_recent(&at.path(&format!("/members/{user}/owner")))?;
    match app.accounts.hand_over(at.doer(), user, fields.get("confirm")).await {
        Ok(()) => {
            at.flash("The workspace is handed over. You are an admin of it now.").await?;
            see_other(&at.path("/members"))
        }
        Err(Error::Field { message, .. }) => {
            let member = members::one(&app.db, &at.member, user).await?;
            let typed = Field::of(fields.get("confirm")).refused(message);
            with_status(StatusCode::UNPROCESSABLE_ENTITY, &hand_over_view(&at, &member, typed).await?)
        }
        Err(error) => Err(error.into()),
    }
}

async fn hand_over_view(at: &Workspace, member: &Member, confirm: Field) -> Result<HandOverPage> {
    Ok(HandOverPage {
        shell: at.shell("Hand the workspace over", Nav::Members).await?,
        user_id: member.user_id.to_string(),
        person: person(&member.name, &member.email),
        confirm,
    })
}

/// The list, with the form that invites.
pub(super) async fn view(app: &App, at: &Workspace, invite: InviteForm) -> Result<MembersPage> {
    let now = OffsetDateTime::now_utc();
    let mut tx = app.db.tenant(at.tenant.id).await?;
    let members = members::list(&mut tx).await?;
    let pending = invitations::store::pending(&mut tx).await?;
    drop(tx);
    let mut known = Known::of(app, at).await?;
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
        tabs: Tabs::people(at.path(""), "/members"),
        members: members.into_iter().map(|member| row(member, at, &mut known)).collect(),
        invitations: pending.into_iter().map(invitation).collect(),
        invite,
    })
}

/// What is known of all members, beside their memberships.
struct Known {
    seen: HashMap<UserId, OffsetDateTime>,
    groups: HashMap<UserId, Vec<String>>,
    /// Who has a second factor.
    factors: HashSet<UserId>,
}

impl Known {
    async fn of(app: &App, at: &Workspace) -> Result<Self> {
        let mut tx = app.db.tenant(at.tenant.id).await?;
        let factors = requirement::holders(&mut tx).await?;
        drop(tx);
        let seen = crate::audit::last_calls(&app.db, &at.member).await?;
        Ok(Self { seen, groups: groups_of(app, at).await?, factors })
    }
}

fn row(member: Member, at: &Workspace, known: &mut Known) -> MemberRow {
    let now = OffsetDateTime::now_utc();
    MemberRow {
        user_id: member.user_id.to_string(),
        person: person(&member.name, &member.email),
        role: ViewRole::parse(member.role.as_str()),
        joined: Moment::new(member.created_at, now),
        second_factor: known.factors.contains(&member.user_id),
        last_seen: known.seen.get(&member.user_id).map(|at| Moment::new(*at, now)),
        you: member.user_id == at.user.id,
        suspended: member
            .suspended_at
            .map(|since| Suspended { at: Moment::new(since, now), by: member.suspended_by }),
        groups: known.groups.remove(&member.user_id).unwrap_or_default(),
    }
}

/// The names of each member's groups.
async fn groups_of(app: &App, at: &Workspace) -> Result<HashMap<UserId, Vec<String>>> {
    let all = groups::list(&app.db, &at.member).await?;
    let memberships = groups::memberships(&app.db, &at.member).await?;
    let mut named: HashMap<UserId, Vec<String>> = HashMap::new();
    for group in all {
        for member in memberships.iter().filter(|member| member.group_id == group.id) {
            named.entry(member.user_id).or_default().push(group.name.clone());
        }
    }
    Ok(named)
}

/// What the viewer may do with a member, and else why not.
async fn may_change(app: &App, at: &Workspace, member: &Member) -> Result<(MayChange, Option<&'static str>)> {
    let nothing = MayChange::default();
    if !at.member.role.covers(member.role) {
        return Ok((nothing, Some("Only an owner may change or remove an owner.")));
    }
    let mut tx = app.db.tenant(at.tenant.id).await?;
    let active = |m: &Member| m.role == Role::Owner && m.suspended_at.is_none();
    let owners = members::list(&mut tx).await?.iter().filter(|m| active(m)).count();
    if active(member) && owners < 2 {
        return Ok((nothing, Some("This is the last owner. Make somebody else an owner first.")));
    }
    let (you, suspended) = (member.user_id == at.user.id, member.suspended_at.is_some());
    let hand_over = at.member.may(Permission::Ownership) && !you && !suspended && member.role != Role::Owner;
    Ok((MayChange { role: true, suspend: !you && !suspended, remove: true, hand_over }, None))
}

/// What of a member's stops working without the membership.
async fn losses(app: &App, at: &Workspace, member: &Member) -> Result<Vec<Loss>> {
    let user = member.user_id;
    let now = OffsetDateTime::now_utc();
    let keys = keys::list(&app.db, &at.member).await?.into_iter();
    let keys = keys.filter(|key| key.is_of(user) && !key.has_ended(now));
    let keys = keys.map(|key| format!("{} ({}…{})", key.name, key.prefix, key.last4)).collect();
    let mut tx = app.db.tenant(at.tenant.id).await?;
    let offered = invitations::store::open_by(&mut tx, user).await?;
    drop(tx);
    let groups = groups::names_of(&app.db, at.member.tenant, user).await?;
    let clients = app.oauth.clients_of(at.tenant.id, user).await?;
    let all = [
        ("Clients that are connected", clients),
        ("API keys", keys),
        ("Groups they are in", groups),
        ("Invitations they made, which are withdrawn", offered),
    ];
    Ok(all
        .into_iter()
        .filter(|(_, names)| !names.is_empty())
        .map(|(what, names)| Loss { what, names })
        .collect())
}
