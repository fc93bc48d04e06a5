//! Invitations into a workspace: a mail with a link that only its addressee can use, once, for seven days.

pub mod store;

use secrecy::ExposeSecret as _;
use time::{Duration, OffsetDateTime};
use toolmesh_proto::ids::{InvitationId, TenantId};

use super::members::{self, Membership, Permission, Role};
use super::{Email, User};
use crate::credentials::token::{self, Token};
use crate::db::Db;
use crate::error::{Error, Result};
use crate::mail::{InvitationMail, Mailer, Message};

const LIFE: Duration = Duration::days(7);

/// Open invitations of one workspace at a time; keeps a stolen session from mailing the world.
const MAX_OPEN: i64 = 200;

/// A pending invitation, as the members page shows it.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Invitation {
    #[sqlx(try_from = "uuid::Uuid")]
    pub id: InvitationId,
    pub email: String,
    #[sqlx(try_from = "String")]
    pub role: Role,
    pub invited_by: String,
    pub invited_by_email: String,
    pub created_at: OffsetDateTime,
    pub expires_at: OffsetDateTime,
}

/// What the addressee is shown before accepting.
#[derive(Clone, Debug)]
pub struct Offer {
    pub tenant: TenantId,
    pub invitation: Invitation,
}

/// Who invites, as the mail tells it.
pub struct Inviter<'a> {
    pub user: &'a User,
    pub workspace: &'a str,
    pub console_origin: &'a str,
}

/// Invites an address; a second invitation of the same address replaces the first.
///
/// # Errors
/// `Forbidden` without [`Permission::Members`] or for a role that may do more than one's own; a field error for a wrong address, one that is a member already, or too many open ones.
pub async fn invite(
    db: &Db,
    mailer: &Mailer,
    by: &Membership,
    inviter: Inviter<'_>,
    email: &str,
    role: Role,
) -> Result<()> {
    by.require(Permission::Members)?;
    if role == Role::Owner {
        return Err(Error::field("role", "Invite as something else; an owner can be made afterwards."));
    }
    by.require_covers(role)?;
    let email = Email::parse(email)?;
    let token = Token::new("")?;
    let mut tx = db.tenant(by.tenant).await?;
    if members::list(&mut tx).await?.iter().any(|member| member.email == email.as_str()) {
        return Err(Error::field("email", "This person is a member already."));
    }
    store::revoke_by_email(&mut tx, email.as_str()).await?;
    if store::count_open(&mut tx).await? >= MAX_OPEN {
        return Err(Error::field("email", "There are 200 open invitations. Revoke some first."));
    }
    let expires_at = OffsetDateTime::now_utc() + LIFE;
    store::insert(&mut tx, email.as_str(), role, &token.hash, by.user, expires_at).await?;
    tx.commit().await?;
    // The tenant's id comes first, so that the link finds its tenant before there is a tenant transaction.
    let secret = token.secret.expose_secret();
    let link = format!("{}/invitation?token={}.{secret}", inviter.console_origin, by.tenant.uuid().simple());
    mailer.send(Message::invitation(InvitationMail {
        to: email.as_str(),
        workspace: inviter.workspace,
        role: role.with_article(),
        by_name: &inviter.user.name,
        by_email: &inviter.user.email,
        link,
    })?);
    Ok(())
}

/// What a link offers, while it is good.
///
/// # Errors
/// When the link is unknown, used, revoked or expired.
pub async fn offer(db: &Db, link_token: &str) -> Result<Offer> {
    let (tenant, hash) = split(link_token)?;
    let mut tx = db.tenant(tenant).await?;
    let invitation = store::open(&mut tx, &hash).await?.ok_or_else(dead)?;
    Ok(Offer { tenant, invitation })
}

/// Makes the addressee a member.
///
/// # Errors
/// As for `offer`; `Refused` when it was sent to another address.
pub async fn accept(db: &Db, link_token: &str, user: &User) -> Result<TenantId> {
    let (tenant, hash) = split(link_token)?;
    let mut tx = db.tenant(tenant).await?;
    let invitation = store::open(&mut tx, &hash).await?.ok_or_else(dead)?;
    if invitation.email != user.email {
        let message = format!(
            "This invitation was sent to {}. Log in with that address to accept it.",
            invitation.email
        );
        return Err(Error::Refused(message));
    }
    if !store::mark_accepted(&mut tx, invitation.id).await? {
        return Err(dead());
    }
    members::store::insert(&mut tx, user.id, invitation.role).await?;
    tx.commit_change().await?;
    Ok(tenant)
}

/// Withdraws an invitation.
///
/// # Errors
/// `Forbidden` without [`Permission::Members`]; `NotFound` for one that is not open.
pub async fn revoke(db: &Db, by: &Membership, id: InvitationId) -> Result<()> {
    by.require(Permission::Members)?;
    let mut tx = db.tenant(by.tenant).await?;
    if !store::revoke(&mut tx, id).await? {
        return Err(Error::NotFound);
    }
    tx.commit().await?;
    Ok(())
}

fn split(link_token: &str) -> Result<(TenantId, Vec<u8>)> {
    let (tenant, secret) = link_token.split_once('.').ok_or_else(dead)?;
    Ok((tenant.parse().map_err(|_| dead())?, token::hash(secret)))
}

const fn dead() -> Error {
    Error::Gone("This invitation has been used, withdrawn or has expired. Ask for a new one.")
}
