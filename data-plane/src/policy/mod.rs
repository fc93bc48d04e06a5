//! May this principal use this tool: one function, asked for every entry of a list and for every call.
//!
//! It decides on data from the bundle alone. It knows nothing of MCP, arguments or requests.

use crate::catalog::{Tenant, ToolEntry};
use crate::identity::Principal;

/// What policy says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    Allow,
    Deny(Reason),
}

/// Why not; for the audit log. A caller is not told more than that there is no such tool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    #[error("The caller is not a member of this workspace.")]
    NotAMember,
    #[error("The tool is switched off.")]
    SwitchedOff,
    #[error("The tool belongs to another workspace.")]
    Foreign,
}

impl Decision {
    #[must_use]
    pub const fn is_allow(self) -> bool {
        matches!(self, Self::Allow)
    }
}

/// Decides. What no rule allows is denied.
#[must_use]
pub fn authorize(tenant: &Tenant, principal: &Principal, entry: &ToolEntry) -> Decision {
    if principal.tenant != tenant.id || entry.installation.tenant != tenant.id {
        return Decision::Deny(Reason::Foreign);
    }
    if tenant.member(principal.user).is_none() {
        return Decision::Deny(Reason::NotAMember);
    }
    if !entry.enabled {
        return Decision::Deny(Reason::SwitchedOff);
    }
    Decision::Allow
}

#[cfg(test)]
mod tests {
    use toolmesh_proto::ids::{TenantId, UserId};

    use super::*;
    use crate::catalog::samples;
    use crate::identity::Method;

    fn principal() -> Principal {
        Principal {
            tenant: samples::TENANT.parse().unwrap(),
            user: samples::USER.parse().unwrap(),
            method: Method::OAuth { client: "c".into() },
        }
    }

    #[test]
    fn a_member_may_use_what_is_switched_on_and_nobody_else_may() {
        let tenant = samples::tenant();
        let on = tenant.tool("github_list_issues").unwrap();
        let off = tenant.tool("github_delete_repo").unwrap();
        assert_eq!(authorize(&tenant, &principal(), on), Decision::Allow);
        assert_eq!(authorize(&tenant, &principal(), off), Decision::Deny(Reason::SwitchedOff));
        let stranger = Principal { user: UserId::new(), ..principal() };
        assert_eq!(authorize(&tenant, &stranger, on), Decision::Deny(Reason::NotAMember));
        let foreign = Principal { tenant: TenantId::new(), ..principal() };
        assert_eq!(authorize(&tenant, &foreign, on), Decision::Deny(Reason::Foreign));
    }
}
