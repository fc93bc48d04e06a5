//! May this principal use this tool: one function, asked for every entry of a list and for every call.
//!
//! It decides on data from the bundle alone. It knows nothing of MCP, arguments or requests.

use toolmesh_proto::access::Access;

use crate::catalog::{Installation, Tenant, ToolEntry};
use crate::identity::{Principal, Reach};

/// What policy says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    Allow,
    Deny(Reason),
}

/// Why not; for the audit log. A caller is told of what lies in the credential they showed, and of nothing else more than
/// that there is no such tool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    #[error("The caller does not belong to this workspace.")]
    NotAMember,
    #[error("The tool is switched off.")]
    SwitchedOff,
    #[error("The tool belongs to another workspace.")]
    Foreign,
    #[error("The API key is for reading only, and the tool does more than read.")]
    ReadOnlyKey,
    #[error(
        "The access token lacks the scope mcp:write, which this workspace asks for where a tool does more than read."
    )]
    NeedsWriteScope,
    #[error(
        "Nothing is heard of revocations, and in this workspace tools that are hard to undo wait until it is."
    )]
    CutOff,
}

/// Whether the node hears of revocations. While it does not, somebody who was shut out may still be served until their token
/// expires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feed {
    Heard,
    Silent,
}

impl Decision {
    #[must_use]
    pub const fn is_allow(self) -> bool {
        matches!(self, Self::Allow)
    }

    /// Whether the tool is shown: also where a wider scope is all that is missing, so that the client can ask for it.
    #[must_use]
    pub const fn is_listed(self) -> bool {
        matches!(self, Self::Allow | Self::Deny(Reason::NeedsWriteScope))
    }
}

/// Decides. What no rule allows is denied. For a list the feed counts as heard: what waits for it comes back by itself.
#[must_use]
pub fn authorize(tenant: &Tenant, principal: &Principal, entry: &ToolEntry, feed: Feed) -> Decision {
    let reading = authorize_reading(tenant, principal, &entry.installation, entry.enabled);
    if !reading.is_allow() {
        return reading;
    }
    let hard_to_undo = matches!(entry.tool.access, Access::Admin | Access::Dangerous);
    match principal.reach {
        _ if hard_to_undo && tenant.strict_when_cut_off && feed == Feed::Silent => {
            Decision::Deny(Reason::CutOff)
        }
        _ if entry.tool.access == Access::Read => Decision::Allow,
        Reach::ReadOnly => Decision::Deny(Reason::ReadOnlyKey),
        Reach::Scoped { write: false } if tenant.writes_need_scope => Decision::Deny(Reason::NeedsWriteScope),
        Reach::Everything | Reach::Scoped { .. } => Decision::Allow,
    }
}

/// Decides on what only gives something to read: a prompt, a resource, and what every tool needs at least.
#[must_use]
pub fn authorize_reading(
    tenant: &Tenant,
    principal: &Principal,
    installation: &Installation,
    enabled: bool,
) -> Decision {
    if principal.tenant != tenant.id || installation.tenant != tenant.id {
        return Decision::Deny(Reason::Foreign);
    }
    if !tenant.knows(principal.subject) {
        return Decision::Deny(Reason::NotAMember);
    }
    if !enabled {
        return Decision::Deny(Reason::SwitchedOff);
    }
    Decision::Allow
}

#[cfg(test)]
mod tests {
    use toolmesh_proto::claims::Subject;
    use toolmesh_proto::ids::{TenantId, UserId};

    use super::*;
    use crate::catalog::samples;
    use crate::identity::Method;

    fn principal() -> Principal {
        Principal {
            tenant: samples::TENANT.parse().unwrap(),
            subject: samples::USER.parse().unwrap(),
            groups: std::sync::Arc::default(),
            method: Method::OAuth { client: "c".into() },
            reach: Reach::Scoped { write: false },
        }
    }

    #[test]
    fn a_member_may_use_what_is_switched_on_and_nobody_else_may() {
        let tenant = samples::tenant();
        let on = tenant.tool("github_list_issues").unwrap();
        let off = tenant.tool("github_delete_repo").unwrap();
        assert_eq!(authorize(&tenant, &principal(), on, Feed::Heard), Decision::Allow);
        assert_eq!(authorize(&tenant, &principal(), off, Feed::Heard), Decision::Deny(Reason::SwitchedOff));
        let stranger = Principal { subject: Subject::User(UserId::new()), ..principal() };
        assert_eq!(authorize(&tenant, &stranger, on, Feed::Heard), Decision::Deny(Reason::NotAMember));
        let foreign = Principal { tenant: TenantId::new(), ..principal() };
        assert_eq!(authorize(&tenant, &foreign, on, Feed::Heard), Decision::Deny(Reason::Foreign));
    }

    #[test]
    fn what_does_more_than_read_needs_a_credential_that_reaches_it() {
        let mut bundle = samples::bundle();
        let decide = |bundle: &toolmesh_proto::v1::TenantBundle, reach, tool: &str| {
            let tenant = samples::compile(bundle);
            authorize(&tenant, &Principal { reach, ..principal() }, tenant.tool(tool).unwrap(), Feed::Heard)
        };
        let (read, write) = ("github_list_issues", "github_create_issue");
        let (narrow, wide) = (Reach::Scoped { write: false }, Reach::Scoped { write: true });
        assert_eq!(decide(&bundle, narrow, write), Decision::Allow, "without the setting nothing changes");
        assert_eq!(decide(&bundle, Reach::ReadOnly, write), Decision::Deny(Reason::ReadOnlyKey));
        assert!(!decide(&bundle, Reach::ReadOnly, write).is_listed());
        bundle.writes_need_scope = true;
        assert_eq!(decide(&bundle, narrow, write), Decision::Deny(Reason::NeedsWriteScope));
        assert!(decide(&bundle, narrow, write).is_listed());
        for reach in [narrow, wide, Reach::ReadOnly, Reach::Everything] {
            assert_eq!(decide(&bundle, reach, read), Decision::Allow, "{reach:?}");
        }
        assert_eq!(decide(&bundle, wide, write), Decision::Allow);
        assert_eq!(decide(&bundle, Reach::Everything, write), Decision::Allow);
        // Switched off comes first: a wider scope would not help.
        let off = decide(&bundle, narrow, "github_delete_repo");
        assert_eq!(off, Decision::Deny(Reason::SwitchedOff));
    }

    #[test]
    fn where_a_workspace_asks_for_it_what_is_hard_to_undo_waits_while_the_feed_is_silent() {
        let mut bundle = samples::bundle();
        bundle.installations[0].disabled_tools.clear();
        for strict in [false, true] {
            bundle.strict_when_cut_off = strict;
            let tenant = samples::compile(&bundle);
            for (tool, waits) in
                [("github_list_issues", false), ("github_create_issue", false), ("github_delete_repo", true)]
            {
                let entry = tenant.tool(tool).unwrap();
                let silent = authorize(&tenant, &principal(), entry, Feed::Silent);
                let expected = if strict && waits { Decision::Deny(Reason::CutOff) } else { Decision::Allow };
                assert_eq!(silent, expected, "{tool}");
                assert_eq!(authorize(&tenant, &principal(), entry, Feed::Heard), Decision::Allow, "{tool}");
            }
        }
    }
}
