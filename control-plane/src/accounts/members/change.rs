//! What is done with members: other roles, suspension, removal, handing over.
//!
//! All of it takes effect on nodes with the next push, since bundles hold only members who are neither gone nor suspended;
//! access tokens of who may do less than before are refused even earlier.
//! Changes of one workspace's members happen one after the other, so that what a change was judged by still holds when it is made.
//! Each stands in the security events of the person concerned, who is told by mail.

use toolmesh_proto::ids::UserId;

use super::{Member, Membership, Permission, Role, still, store};
use crate::accounts::events::{self, Kind};
use crate::accounts::origin::Origin;
use crate::accounts::{Accounts, User};
use crate::db::{Db, TenantTx};
use crate::error::{Error, Result};
use crate::mail::{MembershipMail, MembershipNews, Message};
use crate::revocations::{self, Reach, What};

/// What stands for the order of changes in [`TenantTx::one_at_a_time`].
const MEMBERS: &str = "members";

/// Who changes something about members, as those concerned are told of it.
#[derive(Clone, Copy)]
pub struct Doer<'a> {
    pub by: &'a Membership,
    pub person: &'a User,
    /// The workspace as people call it.
    pub workspace: &'a str,
    /// Where the doer is; told only to themselves.
    pub from: &'a Origin,
}

/// Who acts, as they are now, and whom they act on.
struct Change<'a> {
    tx: TenantTx,
    by: Membership,
    member: Member,
    doer: Doer<'a>,
    /// What to tell whom when it is done.
    mails: Vec<Message>,
}

impl<'a> Change<'a> {
    /// Opens a change of a member by somebody who may do at least as much.
    async fn of(db: &Db, doer: Doer<'a>, user: UserId) -> Result<Self> {
        let mut tx = db.tenant(doer.by.tenant).await?;
        tx.one_at_a_time(MEMBERS).await?;
        let by = still(&mut tx, doer.by).await?;
        if by.user != user {
            by.require(Permission::Members)?;
        }
        // Locked before anything of theirs, as they themselves do.
        store::lock_role(&mut tx, user).await?.ok_or(Error::NotFound)?;
        let member = store::one(&mut tx, user).await?.ok_or(Error::NotFound)?;
        by.require_covers(member.role)?;
        Ok(Self { tx, by, member, doer, mails: Vec::new() })
    }

    /// Refuses where the workspace would be left without an owner who can act.
    async fn keep_an_owner(&mut self) -> Result<()> {
        let is_owner = self.member.role == Role::Owner && self.member.suspended_at.is_none();
        if is_owner && store::active_owners(&mut self.tx).await? < 2 {
            let message = "This is the last owner. Make somebody else an owner first.";
            return Err(Error::Refused(message.to_owned()));
        }
        Ok(())
    }

    /// Writes into the history of the member, or of who acts, what became of them.
    async fn note(&mut self, news: MembershipNews<'_>, console_origin: &str) -> Result<()> {
        let Doer { person, workspace, from, .. } = self.doer;
        let of_doer = matches!(news, MembershipNews::HandedOver { .. });
        let (user, email, name) = if of_doer {
            (person.id, &person.email, &person.name)
        } else {
            (self.member.user_id, &self.member.email, &self.member.name)
        };
        let by_oneself = user == person.id;
        let about = format!("{workspace}{}", detail(&news, (!by_oneself).then_some(person.name.as_str())));
        // Where somebody else was when they did it is theirs alone to know.
        let elsewhere = Origin::new("", "admin", None);
        let from = if by_oneself { from } else { &elsewhere };
        events::record_of_member(&mut self.tx, user, kind(&news), from, &about).await?;
        self.mails.push(Message::membership(MembershipMail {
            to: email,
            name,
            workspace,
            by: (!by_oneself).then_some((person.name.as_str(), person.email.as_str())),
            news,
            console_origin,
        })?);
        Ok(())
    }
}

const fn kind(news: &MembershipNews<'_>) -> Kind {
    match news {
        MembershipNews::Role { .. } => Kind::RoleChanged,
        MembershipNews::Suspended => Kind::Suspended,
        MembershipNews::LetIn => Kind::LetIn,
        MembershipNews::Removed => Kind::MembershipEnded,
        MembershipNews::GivenWorkspace | MembershipNews::HandedOver { .. } => Kind::WorkspaceHandedOver,
    }
}

/// What stands behind the workspace's name: `: an admin, before a member; by Ana`.
fn detail(news: &MembershipNews<'_>, by: Option<&str>) -> String {
    let what = match news {
        MembershipNews::Role { now, before } => format!(": {now}, before {before}"),
        MembershipNews::HandedOver { to } => format!(" to {to}"),
        MembershipNews::GivenWorkspace => " to you".to_owned(),
        MembershipNews::Suspended | MembershipNews::LetIn | MembershipNews::Removed => String::new(),
    };
    by.map_or_else(|| what.clone(), |by| format!("{what}, by {by}"))
}

impl Accounts {
    /// Takes a member out; anybody may take themselves out. Their API keys and grants go with the membership; nodes
    /// refuse at once what is left of them.
    ///
    /// # Errors
    /// `NotFound` for who is no member; `Refused` for the last owner; `Forbidden` for who may do less than the member.
    pub async fn remove_member(&self, doer: Doer<'_>, user: UserId) -> Result<()> {
        let mut change = Change::of(&self.db, doer, user).await?;
        change.keep_an_owner().await?;
        store::withdraw_invitations_of(&mut change.tx, user).await?;
        let (tenant, everything) = (change.by.tenant, What::User(user));
        let reason = "the member was removed";
        let ended = revocations::revoke(&mut change.tx, &everything, Reach::TokensAndKeys, reason).await?;
        store::delete(&mut change.tx, user).await?;
        change.note(MembershipNews::Removed, &self.console_origin).await?;
        self.done(change).await?;
        tracing::info!(%tenant, %user, grants = ended.grants, "member removed");
        Ok(())
    }

    /// Changes a member's role.
    ///
    /// # Errors
    /// As for `remove_member`; `Forbidden` for a role that may do more than one's own.
    pub async fn set_role(&self, doer: Doer<'_>, user: UserId, role: Role) -> Result<()> {
        let mut change = Change::of(&self.db, doer, user).await?;
        change.by.require(Permission::Members)?;
        change.by.require_covers(role)?;
        let before = change.member.role;
        if before == role {
            return Ok(());
        }
        change.keep_an_owner().await?;
        store::set_role(&mut change.tx, user, role).await?;
        if !role.covers(before) {
            revocations::renew(&mut change.tx, user).await?;
        }
        if !role.may(Permission::Members) {
            store::withdraw_invitations_of(&mut change.tx, user).await?;
        }
        let news = MembershipNews::Role { now: role.with_article(), before: before.with_article() };
        change.note(news, &self.console_origin).await?;
        self.done(change).await
    }

    /// Keeps a member out until [`Self::resume_member`]: console, tools, keys and clients refuse them, and nothing of theirs is
    /// lost but the invitations they made.
    ///
    /// # Errors
    /// As for `remove_member`; `Refused` for oneself.
    pub async fn suspend_member(&self, doer: Doer<'_>, user: UserId) -> Result<()> {
        let mut change = Change::of(&self.db, doer, user).await?;
        change.by.require(Permission::Members)?;
        if change.by.user == user {
            let message = "You cannot suspend yourself. Leave the workspace, or ask another admin.";
            return Err(Error::Refused(message.to_owned()));
        }
        if change.member.suspended_at.is_some() {
            return Ok(());
        }
        change.keep_an_owner().await?;
        store::withdraw_invitations_of(&mut change.tx, user).await?;
        store::suspend(&mut change.tx, user, change.by.user).await?;
        // Ahead of the bundle, and for open streams too. Grants stay, for when they are let in again.
        revocations::renew(&mut change.tx, user).await?;
        change.note(MembershipNews::Suspended, &self.console_origin).await?;
        self.done(change).await
    }

    /// Lets a suspended member in again.
    ///
    /// # Errors
    /// `NotFound` for who is no member; `Forbidden` for who may do less than the member.
    pub async fn resume_member(&self, doer: Doer<'_>, user: UserId) -> Result<()> {
        let mut change = Change::of(&self.db, doer, user).await?;
        change.by.require(Permission::Members)?;
        if change.member.suspended_at.is_none() {
            return Ok(());
        }
        store::resume(&mut change.tx, user).await?;
        change.note(MembershipNews::LetIn, &self.console_origin).await?;
        self.done(change).await
    }

    /// Makes another member an owner and oneself an admin, both or neither.
    ///
    /// # Errors
    /// `Forbidden` for who is no owner; `Refused` for oneself or a suspended member; on the field `confirm` unless it is the new
    /// owner's address.
    pub async fn hand_over(&self, doer: Doer<'_>, to: UserId, confirm: &str) -> Result<()> {
        let mut change = Change::of(&self.db, doer, to).await?;
        change.by.require(Permission::Ownership)?;
        if change.by.user == to {
            return Err(Error::Refused("You are an owner already. Choose somebody else.".to_owned()));
        }
        if change.member.suspended_at.is_some() {
            let message = "This member is suspended. Let them in again first.";
            return Err(Error::Refused(message.to_owned()));
        }
        if !confirm.trim().eq_ignore_ascii_case(&change.member.email) {
            return Err(Error::field("confirm", format!("Type {} to confirm.", change.member.email)));
        }
        store::set_role(&mut change.tx, to, Role::Owner).await?;
        store::set_role(&mut change.tx, change.by.user, Role::Admin).await?;
        revocations::renew(&mut change.tx, change.by.user).await?;
        let name = change.member.name.clone();
        change.note(MembershipNews::GivenWorkspace, &self.console_origin).await?;
        change.note(MembershipNews::HandedOver { to: &name }, &self.console_origin).await?;
        self.done(change).await
    }

    /// Puts a change in force, then tells those concerned.
    async fn done(&self, change: Change<'_>) -> Result<()> {
        change.tx.commit_change().await?;
        change.mails.into_iter().for_each(|mail| self.mailer.send(mail));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_history_says_what_became_of_somebody_and_by_whom() {
        let news = MembershipNews::Role { now: "an admin", before: "a member" };
        assert_eq!(detail(&news, Some("Ana")), ": an admin, before a member, by Ana");
        assert_eq!(detail(&MembershipNews::Removed, None), "");
        assert_eq!(detail(&MembershipNews::HandedOver { to: "Bo" }, None), " to Bo");
    }
}
