//! Whose account at an installation's API is meant.

use toolmesh_proto::ids::{InstallationId, UserId};
use uuid::Uuid;

/// The workspace's account at what is behind an installation, or one member's own. What is stored of one is never used for the
/// other, nor for another member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Account {
    pub installation: InstallationId,
    pub member: Option<UserId>,
}

impl Account {
    #[must_use]
    pub const fn of_workspace(installation: InstallationId) -> Self {
        Self { installation, member: None }
    }

    #[must_use]
    pub const fn of_member(installation: InstallationId, member: UserId) -> Self {
        Self { installation, member: Some(member) }
    }

    /// As rows name it: all zeros for the workspace.
    #[must_use]
    pub fn holder(self) -> Uuid {
        self.member.map_or(Uuid::nil(), UserId::uuid)
    }
}

impl From<InstallationId> for Account {
    fn from(installation: InstallationId) -> Self {
        Self::of_workspace(installation)
    }
}

/// As sealed secrets name their place.
impl std::fmt::Display for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.member {
            None => self.installation.fmt(f),
            Some(member) => write!(f, "{}|of {member}", self.installation),
        }
    }
}
