//! Names that clients see: installations and their tools.

use aws_lc_rs::digest;

/// Most characters of a tool's public name; OpenAI's and Anthropic's limit.
pub const MAX_TOOL_NAME: usize = 64;

/// Tools of the gateway itself, offered where tools are found and called in code. No installation's tool has these names.
pub const DISCOVER_TOOLS: &str = "discover_tools";
pub const EXECUTE_CODE: &str = "execute_code";

/// What ChatGPT calls its own tools.
const RESERVED: [&str; 4] = ["web_search", "code_interpreter", "file_search", "computer_use"];

/// An installation's name: `[a-z][a-z0-9-]{0,23}`, no hyphen at the end. Without an underscore, so that the first one in a
/// public tool name always ends the prefix.
#[must_use]
pub fn is_installation_name(name: &str) -> bool {
    let fits = (1..=24).contains(&name.len()) && name.starts_with(|c: char| c.is_ascii_lowercase());
    fits && !name.ends_with('-')
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

/// The name a client calls: `installation_tool`, at most 64 of `[A-Za-z0-9_-]`.
///
/// Characters outside that set become `_`. A name that is too long or had to be changed is cut and ends in 7 characters of
/// its SHA-256, so that two tools never share one name.
#[must_use]
pub fn tool_name(installation: &str, tool: &str) -> String {
    clean_name(&format!("{installation}_{tool}"))
}

/// The name of a tool that stands without its installation's prefix. One that clients keep for tools of their own, or that is
/// the gateway's own, keeps the prefix: a single reserved name makes some clients refuse the whole list.
#[must_use]
pub fn bare_name(installation: &str, tool: &str) -> String {
    let bare = clean_name(tool);
    if is_reserved(&bare) { tool_name(installation, tool) } else { bare }
}

/// Whether a name may not stand in a list of tools without a prefix.
#[must_use]
pub fn is_reserved(name: &str) -> bool {
    RESERVED.contains(&name) || [DISCOVER_TOOLS, EXECUTE_CODE].contains(&name)
}

fn clean_name(full: &str) -> String {
    let clean: String = full
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || c == '_' || c == '-' { c } else { '_' })
        .collect();
    if clean == full && clean.len() <= MAX_TOOL_NAME {
        return clean;
    }
    let hash = crate::hex(digest::digest(&digest::SHA256, full.as_bytes()).as_ref());
    let kept = clean.get(..MAX_TOOL_NAME - 8).unwrap_or(&clean);
    format!("{kept}_{}", &hash[..7])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_name_is_the_installation_and_the_tool() {
        assert_eq!(tool_name("github", "list_issues"), "github_list_issues");
    }

    #[test]
    fn long_names_are_cut_to_64_characters_and_stay_different() {
        let (a, b) = (tool_name("github", &"x".repeat(80)), tool_name("github", &"x".repeat(81)));
        assert_eq!((a.len(), b.len()), (64, 64));
        assert_ne!(a, b);
    }

    #[test]
    fn characters_that_clients_refuse_are_replaced_without_making_two_tools_one() {
        assert_ne!(tool_name("x", "a.b"), tool_name("x", "a/b"));
        assert!(tool_name("x", "a.b").bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-'));
    }

    #[test]
    fn a_bare_name_is_the_tools_own_unless_it_is_reserved() {
        assert_eq!(bare_name("docs", "search"), "search");
        assert_eq!(bare_name("docs", "web_search"), "docs_web_search");
        assert_eq!(bare_name("docs", "execute_code"), "docs_execute_code");
        assert!(bare_name("docs", "a.b").starts_with("a_b_"));
    }

    #[test]
    fn an_installation_name_holds_no_underscore() {
        assert!(is_installation_name("github-2"));
        for bad in ["", "git_hub", "Git", "2git", "git-", &"a".repeat(25)] {
            assert!(!is_installation_name(bad), "{bad}");
        }
    }
}
