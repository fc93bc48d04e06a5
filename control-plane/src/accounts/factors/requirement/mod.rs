//! Workspaces that ask for a second factor: the rule, the days of grace, and who is stopped by it.
//!
//! The console and the token endpoint go by the date. Nodes go by the bundle, which leaves out members without a factor as
//! soon as the rule is enforced: at once, or by [`enforce_due`] when the date has come.

pub mod store;

use std::collections::HashSet;

use time::{Duration, OffsetDateTime};
use toolmesh_proto::ids::{TenantId, UserId};

use crate::accounts::members::{self, Member, Membership, Permission};
use crate::db::{Db, TenantTx};
use crate::error::{Error, Result};
use crate::mail::{Mailer, Message};

/// A workspace's rule.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Rule {
    pub required_from: OffsetDateTime,
    pub set_at: OffsetDateTime,
    /// Name of who set it, while they have an account.
    pub set_by: Option<String>,
}

/// A workspace that asks somebody for a factor.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Asking {
    pub slug: String,
    pub name: String,
    pub required_from: OffsetDateTime,
}

impl Asking {
    #[must_use]
    pub fn is_in_force(&self) -> bool {
        self.required_from <= OffsetDateTime::now_utc()
    }
}

/// How long members have to add a factor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grace {
    None,
    Week,
    Month,
}

impl Grace {
    /// All, in the order a form offers them.
    pub const ALL: [Self; 3] = [Self::Week, Self::Month, Self::None];

    /// The word in a form.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "now",
            Self::Week => "7-days",
            Self::Month => "30-days",
        }
    }

    const fn length(self) -> Duration {
        match self {
            Self::None => Duration::ZERO,
            Self::Week => Duration::days(7),
            Self::Month => Duration::days(30),
        }
    }
}

impl std::str::FromStr for Grace {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        let known = Self::ALL.into_iter().find(|grace| grace.as_str() == text);
        known.ok_or_else(|| Error::field("grace", "Choose from when on it is required."))
    }
}

/// The workspace's rule, if it has one.
///
/// # Errors
/// When the database fails.
pub async fn rule(tx: &mut TenantTx) -> Result<Option<Rule>> {
    store::rule(tx).await
}

/// The members who have a second factor.
///
/// # Errors
/// When the database fails.
pub async fn holders(tx: &mut TenantTx) -> Result<HashSet<UserId>> {
    store::holders(tx).await
}

/// Asks all members for a second factor, from now on or from a date. Who has none is told by mail.
///
/// # Errors
/// `Forbidden` for who may not change settings; `Refused` where they have no factor themselves, since they would be the first
/// to be stopped.
pub async fn require(
    db: &Db,
    mailer: &Mailer,
    by: &Membership,
    workspace: Workspace<'_>,
    grace: Grace,
) -> Result<()> {
    by.require(Permission::Settings)?;
    let mut tx = db.tenant(by.tenant).await?;
    store::lock_rules(&mut tx).await?;
    members::still(&mut tx, by).await?.require(Permission::Settings)?;
    let holders = store::holders(&mut tx).await?;
    if !holders.contains(&by.user) {
        return Err(Error::Refused(
            "Add a second factor to your own account first: without one you would be stopped too.".to_owned(),
        ));
    }
    let from = OffsetDateTime::now_utc() + grace.length();
    store::set_rule(&mut tx, from, grace == Grace::None, by.user).await?;
    let members = members::list(&mut tx).await?;
    tx.commit_change().await?;
    for member in members.iter().filter(|member| !holders.contains(&member.user_id)) {
        let day = (grace != Grace::None).then_some(from);
        let link = format!("{}/account/security", workspace.console_origin);
        mailer.send(Message::second_factor_asked(&member.email, &member.name, workspace.name, day, link)?);
    }
    Ok(())
}

/// A workspace as a mail names it.
#[derive(Clone, Copy)]
pub struct Workspace<'a> {
    pub name: &'a str,
    pub console_origin: &'a str,
}

/// Asks for no second factor any more.
///
/// # Errors
/// `Forbidden` for who may not change settings.
pub async fn lift(db: &Db, by: &Membership) -> Result<()> {
    by.require(Permission::Settings)?;
    let mut tx = db.tenant(by.tenant).await?;
    store::lock_rules(&mut tx).await?;
    members::still(&mut tx, by).await?.require(Permission::Settings)?;
    if store::delete_rule(&mut tx).await? {
        tx.commit_change().await?;
    }
    Ok(())
}

/// Whether the workspace's rule stops this person: it is in force and they have no second factor.
///
/// # Errors
/// When the database fails.
pub async fn stops(tx: &mut TenantTx, user: UserId) -> Result<bool> {
    store::stops(tx, user).await
}

/// The same, for who has no transaction at hand.
///
/// # Errors
/// When the database fails.
pub async fn stops_member(db: &Db, tenant: TenantId, user: UserId) -> Result<bool> {
    let mut tx = db.tenant(tenant).await?;
    store::stops(&mut tx, user).await
}

/// Members, told apart by whether nodes let them in.
pub struct Admitted {
    pub let_in: Vec<Member>,
    /// Those whom an enforced rule stops.
    pub without_factor: Vec<Member>,
}

/// Tells members apart by whether nodes let them in.
///
/// # Errors
/// When the database fails.
pub async fn admit(tx: &mut TenantTx, members: Vec<Member>) -> Result<Admitted> {
    if !store::is_enforced(tx).await? {
        return Ok(Admitted { let_in: members, without_factor: Vec::new() });
    }
    let holders = store::holders(tx).await?;
    let (let_in, without_factor) = members.into_iter().partition(|member| holders.contains(&member.user_id));
    Ok(Admitted { let_in, without_factor })
}

/// The workspaces of a person that ask for a factor, now or from a date on.
///
/// # Errors
/// When the database fails.
pub async fn asking(db: &Db, user: UserId) -> Result<Vec<Asking>> {
    let mut tx = db.user(user).await?;
    store::asking(&mut tx).await
}

/// Enforces the rules whose date has come. Answers for how many workspaces.
///
/// # Errors
/// When the database fails.
pub async fn enforce_due(db: &Db) -> Result<u64> {
    let mut tx = db.global().await?;
    let due = store::due(&mut tx).await?;
    tx.commit().await?;
    let mut enforced = 0;
    for tenant in due {
        let mut tx = db.tenant(tenant).await?;
        store::lock_rules(&mut tx).await?;
        if store::enforce(&mut tx).await? {
            tx.commit_change().await?;
            enforced += 1;
        }
    }
    Ok(enforced)
}
