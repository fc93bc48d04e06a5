//! How tools are spelled in code: `tools.NAMESPACE.TOOL`.
//!
//! An installation's name has hyphens and no underscores, so that no two namespaces are spelled alike. Of two tools that
//! would be, the first is; the other goes by its own name in brackets.

use super::ToolEntry;
use super::typescript::is_identifier;

/// The namespace of an installation.
#[must_use]
pub fn namespace(installation: &str) -> String {
    installation.replace('-', "_")
}

/// Whether a name in code means an installation; its own name does too.
#[must_use]
pub fn is_namespace(name: &str, installation: &str) -> bool {
    name == installation || name == namespace(installation)
}

/// A tool's name as a member.
#[must_use]
pub fn member(tool: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' };
    let spelled: String = tool.chars().map(plain).collect();
    if is_identifier(&spelled) { spelled } else { format!("_{spelled}") }
}

/// A tool, whole: `tools.github.create_issue`.
#[must_use]
pub fn spelled(entry: &ToolEntry) -> String {
    let (own, all) = (entry.own_name(), &entry.installation.connector.tools);
    let (space, member) = (namespace(&entry.installation.name), self::member(own));
    let taken =
        member != own && all.iter().any(|other| other.name != own && self::member(&other.name) == member);
    if taken { format!("tools.{space}[{own:?}]") } else { format!("tools.{space}.{member}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_members() {
        assert_eq!(namespace("crm-eu"), "crm_eu");
        assert!(is_namespace("crm-eu", "crm-eu") && is_namespace("crm_eu", "crm-eu"));
        for (tool, expected) in
            [("list_issues", "list_issues"), ("get-user", "get_user"), ("2fa", "_2fa"), ("a.b", "a_b")]
        {
            assert_eq!(member(tool), expected);
        }
    }
}
