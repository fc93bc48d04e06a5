//! Roles, and the one table of what each may do.

use super::Membership;
use crate::error::{Error, Result};

/// What a member is in a workspace. Everybody, whatever their role, may use the tools and have keys of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Owner,
    Admin,
    ConnectorManager,
    Auditor,
    Billing,
    Member,
}

/// One kind of thing that a role may or may not do in its workspace; what a role may do stands in [`Role::may`] alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permission {
    /// Enable, change and remove connectors, their credentials and tools.
    Connectors,
    /// Invite, change, suspend and remove members; groups; service accounts.
    Members,
    /// OAuth clients, other people's grants, keys and sessions in this workspace.
    Clients,
    /// Settings of the workspace: name, security, sign-in.
    Settings,
    /// Read everybody's calls and events.
    Audit,
    /// Plan and invoices.
    Billing,
    /// Make owners, hand the workspace over, delete it.
    Ownership,
}

impl Permission {
    pub const ALL: [Self; 7] = [
        Self::Connectors,
        Self::Members,
        Self::Clients,
        Self::Settings,
        Self::Audit,
        Self::Billing,
        Self::Ownership,
    ];
}

impl Role {
    /// All, the mightiest first.
    pub const ALL: [Self; 6] =
        [Self::Owner, Self::Admin, Self::ConnectorManager, Self::Auditor, Self::Billing, Self::Member];

    /// The word in forms, in the database and in bundles.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Admin => "admin",
            Self::ConnectorManager => "connector_manager",
            Self::Auditor => "auditor",
            Self::Billing => "billing",
            Self::Member => "member",
        }
    }

    /// Whether the role may do this.
    #[must_use]
    pub const fn may(self, permission: Permission) -> bool {
        use Permission as P;
        match self {
            Self::Owner => true,
            Self::Admin => !matches!(permission, P::Ownership),
            Self::ConnectorManager => matches!(permission, P::Connectors),
            Self::Auditor => matches!(permission, P::Audit),
            Self::Billing => matches!(permission, P::Billing),
            Self::Member => false,
        }
    }

    /// Whether this role may do all that the other may: only then may it give the other, or touch who has it.
    #[must_use]
    pub fn covers(self, other: Self) -> bool {
        Permission::ALL.into_iter().all(|permission| self.may(permission) || !other.may(permission))
    }

    /// As a sentence names who has it: `an admin`.
    #[must_use]
    pub const fn with_article(self) -> &'static str {
        match self {
            Self::Owner => "an owner",
            Self::Admin => "an admin",
            Self::ConnectorManager => "a connector manager",
            Self::Auditor => "an auditor",
            Self::Billing => "a billing contact",
            Self::Member => "a member",
        }
    }
}

impl std::str::FromStr for Role {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        let known = Self::ALL.into_iter().find(|role| role.as_str() == text);
        known.ok_or_else(|| Error::field("role", "Choose a role."))
    }
}

impl TryFrom<String> for Role {
    type Error = Error;
    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl Membership {
    /// Whether the member may do this.
    #[must_use]
    pub const fn may(&self, permission: Permission) -> bool {
        self.role.may(permission)
    }

    /// # Errors
    /// `Forbidden` where the role may not.
    pub const fn require(&self, permission: Permission) -> Result<()> {
        if self.may(permission) {
            Ok(())
        } else {
            Err(Error::Forbidden("Your role in this workspace does not include this. Ask an owner or admin."))
        }
    }

    /// # Errors
    /// `Forbidden` unless this member may do all that the role may: nobody gives more than they have, or takes it from
    /// somebody who has more.
    pub fn require_covers(&self, role: Role) -> Result<()> {
        if self.role.covers(role) {
            Ok(())
        } else if role == Role::Owner {
            Err(Error::Forbidden("Only an owner may make, change or remove an owner."))
        } else {
            Err(Error::Forbidden("You cannot give or take a role that may do more than yours."))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_role_may_do_its_own_work_and_no_more() {
        let may = |role: Role| -> Vec<Permission> {
            Permission::ALL.into_iter().filter(|permission| role.may(*permission)).collect()
        };
        assert_eq!(may(Role::Owner), Permission::ALL);
        assert_eq!(may(Role::Admin).len(), Permission::ALL.len() - 1);
        assert!(!Role::Admin.may(Permission::Ownership));
        assert_eq!(may(Role::ConnectorManager), [Permission::Connectors]);
        assert_eq!(may(Role::Auditor), [Permission::Audit]);
        assert_eq!(may(Role::Billing), [Permission::Billing]);
        assert!(may(Role::Member).is_empty());
    }

    #[test]
    fn nobody_gives_a_role_that_may_do_more_than_theirs() {
        assert!(Role::Owner.covers(Role::Owner) && Role::Admin.covers(Role::Admin));
        assert!(!Role::Admin.covers(Role::Owner));
        assert!(!Role::Auditor.covers(Role::Billing) && !Role::Billing.covers(Role::Auditor));
        for role in Role::ALL {
            assert!(role.covers(Role::Member), "{role:?}");
            assert_eq!(role.as_str().parse::<Role>().ok(), Some(role));
        }
        assert!("root".parse::<Role>().is_err());
    }
}
