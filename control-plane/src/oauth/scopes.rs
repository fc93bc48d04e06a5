//! Which scopes a request gets: a small default, and writing only where the workspace keeps it apart and it was asked for.

use toolmesh_proto::claims::Scopes;

use crate::db::TenantTx;
use crate::error::Result;
use crate::tenants::access;

/// What may be granted of what was asked, in the workspace as it is now.
///
/// # Errors
/// When the database fails.
pub(super) async fn grantable(tx: &mut TenantTx, asked: &str) -> Result<Scopes> {
    let access = access::for_nodes(tx).await?;
    Ok(of(asked, access.writes_need_scope))
}

/// Words that nobody knows, and a scope that means nothing here, are left out rather than refused: clients ask for lists that
/// they found somewhere.
fn of(asked: &str, writes_need_scope: bool) -> Scopes {
    let asked = Scopes::parse(asked);
    Scopes { tools: true, write: asked.write && writes_need_scope, offline: asked.offline }
}

/// What a refresh gets: what was granted, or less if less was asked for. A scope that was never granted is left out; clients
/// repeat scopes that they once had.
pub(super) fn narrowed(granted: &str, asked: &str) -> Scopes {
    let granted = Scopes::parse(granted);
    let asked = Scopes::parse(asked);
    // What names no scope of ours asks for nothing in particular.
    if asked.tools { Scopes { offline: granted.offline, ..granted.and(asked) } } else { granted }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writing_is_granted_only_where_it_is_kept_apart_and_asked_for() {
        for (asked, apart, granted) in [
            ("", true, "mcp:tools"),
            ("openid email", true, "mcp:tools"),
            ("mcp:write", true, "mcp:tools mcp:write"),
            ("mcp:tools mcp:write offline_access", true, "mcp:tools mcp:write offline_access"),
            ("mcp:tools mcp:write", false, "mcp:tools"),
        ] {
            assert_eq!(of(asked, apart).to_string(), granted, "{asked} {apart}");
        }
    }

    #[test]
    fn a_refresh_may_narrow_and_never_widens() {
        let wide = "mcp:tools mcp:write offline_access";
        for (granted, asked, gets) in [
            (wide, "", wide),
            (wide, "mcp:tools", "mcp:tools offline_access"),
            (wide, "mcp:write", wide),
            ("mcp:tools", "mcp:tools mcp:write", "mcp:tools"),
            ("mcp:tools", "mcp:write", "mcp:tools"),
            ("mcp:tools", "openid", "mcp:tools"),
        ] {
            assert_eq!(narrowed(granted, asked).to_string(), gets, "{granted}: {asked}");
        }
    }
}
