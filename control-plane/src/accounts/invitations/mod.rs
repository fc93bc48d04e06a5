//! Invitations into a workspace: a mail with a link that only its addressee can use, once, for seven days.
//!
//! An invitation lives as long as its inviter may invite: who is removed, suspended or may no longer invite takes theirs along.
//! At most one is open for an address; another one replaces it, and its link is dead.

mod addresses;
pub mod store;

use secrecy::ExposeSecret as _;
use time::{Duration, OffsetDateTime};
use toolmesh_proto::ids::{InvitationId, TenantId};

use super::members::{self, Membership, Permission, Role};
use super::{Email, User};
use crate::credentials::token::{self, Token};
use crate::db::{Db, TenantTx};
use crate::error::{Error, Result};
use crate::mail::{InvitationMail, Mailer, Message};

/// Life of a link.
pub const LIFE: Duration = Duration::days(7);

/// Addresses in one go.
pub const MAX_AT_ONCE: usize = 50;

/// Open invitations of one workspace at a time, and mails of one day; keeps a stolen session from mailing the world.
const MAX_OPEN: i64 = 200;
const MAX_A_DAY: i64 = 500;

/// How long the mail of an address rests before the next.
const REST: Duration = Duration::minutes(1);

/// What stands for the order of changes in [`TenantTx::one_at_a_time`].
const INVITATIONS: &str = "invitations";

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
#[derive(Clone, Copy)]
pub struct Inviter<'a> {
    pub user: &'a User,
    pub workspace: &'a str,
    pub console_origin: &'a str,
}

/// What became of one of several addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    /// As it was typed.
    pub address: String,
    pub verdict: Verdict,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Sent,
    /// Nobody has to be invited twice.
    AlreadyMember,
    /// With what is wrong and the way out.
    NotSent(String),
}

/// Invites everybody whose address stands in a text, each judged by itself; a second invitation of an address replaces the first.
///
/// # Errors
/// `Forbidden` without [`Permission::Members`] or for a role that may do more than one's own; on the field `email` for no
/// address or more than [`MAX_AT_ONCE`]. Nothing is sent then.
pub async fn invite(
    db: &Db,
    mailer: &Mailer,
    by: &Membership,
    inviter: Inviter<'_>,
    text: &str,
    role: Role,
) -> Result<Vec<Judged>> {
    by.require(Permission::Members)?;
    let addresses = addresses::split(text)?;
    let mut tx = begin(db, by, role).await?;
    let members = members::list(&mut tx).await?;
    let (mut judged, mut mails) = (Vec::with_capacity(addresses.len()), Vec::new());
    for address in addresses {
        let verdict = match Email::parse(&address) {
            Err(error) => Verdict::NotSent(addresses::why(error)),
            Ok(email) if members.iter().any(|member| member.email == email.as_str()) => {
                Verdict::AlreadyMember
            }
            Ok(email) => match open(&mut tx, by, email.as_str(), role).await {
                Ok(link) => {
                    mails.push((email, link));
                    Verdict::Sent
                }
                Err(Error::Refused(message)) => Verdict::NotSent(message),
                Err(error) => return Err(error),
            },
        };
        judged.push(Judged { address, verdict });
    }
    tx.commit().await?;
    for (email, link) in mails {
        send(mailer, by.tenant, inviter, (email.as_str(), role), &link)?;
    }
    Ok(judged)
}

/// Sends an invitation again, expired or not: with a new link and seven days more. The old link is dead.
///
/// # Errors
/// `NotFound` for one that was used or withdrawn; `Refused` within a minute of the last mail; as for `invite`.
pub async fn resend(
    db: &Db,
    mailer: &Mailer,
    by: &Membership,
    inviter: Inviter<'_>,
    id: InvitationId,
) -> Result<String> {
    by.require(Permission::Members)?;
    let mut tx = db.tenant(by.tenant).await?;
    let before = store::by_id(&mut tx, id).await?.ok_or(Error::NotFound)?;
    drop(tx);
    let mut tx = begin(db, by, before.role).await?;
    // It may have been accepted, withdrawn or sent again since.
    let before = store::by_id(&mut tx, id).await?.ok_or(Error::NotFound)?;
    let rested = OffsetDateTime::now_utc() - before.created_at;
    if rested < REST {
        let seconds = (REST - rested).whole_seconds() + 1;
        let message =
            format!("The last mail went out less than a minute ago. Try again in {seconds} seconds.");
        return Err(Error::Refused(message));
    }
    if members::list(&mut tx).await?.iter().any(|member| member.email == before.email) {
        return Err(Error::Refused(format!("{} is a member already.", before.email)));
    }
    let link = open(&mut tx, by, &before.email, before.role).await?;
    tx.commit().await?;
    send(mailer, by.tenant, inviter, (&before.email, before.role), &link)?;
    Ok(before.email)
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
    // Of two at once, the second finds it used.
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

/// A transaction in which the inviter stays who they are and nobody else invites, so that limits are counted and not raced.
async fn begin(db: &Db, by: &Membership, role: Role) -> Result<TenantTx> {
    if role == Role::Owner {
        return Err(Error::field("role", "Invite as something else; an owner can be made afterwards."));
    }
    let mut tx = db.tenant(by.tenant).await?;
    tx.one_at_a_time(INVITATIONS).await?;
    let by = members::still(&mut tx, by).await?;
    by.require(Permission::Members)?;
    by.require_covers(role)?;
    Ok(tx)
}

/// Opens one invitation and answers the secret of its link; `Refused` where a limit is reached.
async fn open(tx: &mut TenantTx, by: &Membership, email: &str, role: Role) -> Result<Token> {
    let counts = store::counts_beside(tx, email).await?;
    if counts.open >= MAX_OPEN {
        return Err(Error::Refused("there are 200 open invitations; withdraw some first".to_owned()));
    }
    if counts.of_today >= MAX_A_DAY {
        return Err(Error::Refused("500 invitations went out within a day; try again tomorrow".to_owned()));
    }
    store::revoke_by_email(tx, email).await?;
    let token = Token::new("")?;
    let expires_at = OffsetDateTime::now_utc() + LIFE;
    store::insert(tx, email, role, &token.hash, by.user, expires_at).await?;
    Ok(token)
}

fn send(
    mailer: &Mailer,
    tenant: TenantId,
    inviter: Inviter<'_>,
    (to, role): (&str, Role),
    token: &Token,
) -> Result<()> {
    // The tenant's id comes first, so that the link finds its tenant before there is a tenant transaction.
    let secret = token.secret.expose_secret();
    mailer.send(Message::invitation(InvitationMail {
        to,
        workspace: inviter.workspace,
        role: role.with_article(),
        by_name: &inviter.user.name,
        by_email: &inviter.user.email,
        link: format!("{}/invitation?token={}.{secret}", inviter.console_origin, tenant.uuid().simple()),
    })?);
    Ok(())
}

fn split(link_token: &str) -> Result<(TenantId, Vec<u8>)> {
    let (tenant, secret) = link_token.split_once('.').ok_or_else(dead)?;
    Ok((tenant.parse().map_err(|_| dead())?, token::hash(secret)))
}

const fn dead() -> Error {
    Error::Gone("This invitation has been used, withdrawn or has expired. Ask for a new one.")
}
