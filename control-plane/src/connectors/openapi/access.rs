//! A guess at what an operation may do, from its method and its words. Whoever enables it sees the guess and may change it.

/// Words of what cannot be taken back.
const DANGEROUS: &[&str] = &[
    "delete",
    "destroy",
    "purge",
    "wipe",
    "terminate",
    "drop",
    "erase",
    "uninstall",
    "revoke",
    "truncate",
    "cancel",
    "transfer",
    "reset",
    "shutdown",
    "kill",
    "refund",
    "payout",
];

/// Words of who may do what, and of secrets.
const ADMIN: &[&str] = &[
    "admin",
    "admins",
    "permission",
    "permissions",
    "role",
    "roles",
    "policy",
    "policies",
    "secret",
    "secrets",
    "token",
    "tokens",
    "apikey",
    "apikeys",
    "credential",
    "credentials",
    "webhook",
    "webhooks",
    "hook",
    "hooks",
    "member",
    "members",
    "membership",
    "memberships",
    "collaborator",
    "collaborators",
    "invite",
    "invitation",
    "invitations",
    "user",
    "users",
    "account",
    "billing",
    "sso",
    "scim",
    "oauth",
    "password",
    "keys",
    "firewall",
    "certificate",
    "certificates",
];

/// First words of a POST that changes nothing.
const READING: &[&str] = &[
    "get",
    "list",
    "search",
    "query",
    "find",
    "lookup",
    "count",
    "fetch",
    "read",
    "check",
    "validate",
    "preview",
    "calculate",
    "estimate",
    "compare",
    "filter",
    "translate",
    "describe",
    "analyze",
    "analyse",
    "render",
    "convert",
];

/// First words of a GET that changes something after all.
const CHANGING: &[&str] = &[
    "create", "update", "set", "send", "start", "stop", "restart", "trigger", "enable", "disable", "run",
    "execute", "logout",
];

/// `name` is the tool's name, `path` the path template.
pub(super) fn guess(method: &str, name: &str, path: &str) -> &'static str {
    let words: Vec<&str> = name.split('_').collect();
    // Generators put the group first: `pets_list`, `repos_delete_file`.
    let verbs = words.iter().take(3);
    let has = |list: &[&str]| verbs.clone().any(|word| list.contains(word));
    let first = words.first().copied().unwrap_or_default();
    let last = path.rsplit('/').next().unwrap_or_default().to_ascii_lowercase();
    match method {
        "GET" | "HEAD" if DANGEROUS.contains(&first) => "dangerous",
        "GET" | "HEAD" if CHANGING.contains(&first) => "write",
        "GET" | "HEAD" => "read",
        "DELETE" => "dangerous",
        _ if has(DANGEROUS) || DANGEROUS.contains(&last.as_str()) => "dangerous",
        "POST" if READING.contains(&first) || READING.contains(&last.as_str()) => "read",
        _ => {
            let path = super::names::snake(path);
            let governs = words.iter().copied().chain(path.split('_')).any(|word| ADMIN.contains(&word));
            if governs { "admin" } else { "write" }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::guess;

    #[test]
    fn an_access_class_is_guessed_from_method_and_words() {
        for (method, name, path, wanted) in [
            ("GET", "list_pets", "/pets", "read"),
            ("GET", "logout_user", "/logout", "write"),
            ("GET", "delete_all", "/x", "dangerous"),
            ("POST", "add_pet", "/pet", "write"),
            ("POST", "search_issues", "/issues/search", "read"),
            ("POST", "issues_find", "/issues/search", "read"),
            ("POST", "pets_purge", "/pets/purge", "dangerous"),
            ("POST", "subscription_do", "/subscriptions/{id}/cancel", "dangerous"),
            ("PUT", "set_role", "/orgs/{org}/roles", "admin"),
            ("PATCH", "update_pet", "/pet", "write"),
            ("DELETE", "remove_pet", "/pet", "dangerous"),
            ("POST", "create_hook", "/repos/hooks", "admin"),
        ] {
            assert_eq!(guess(method, name, path), wanted, "{method} {name}");
        }
    }
}
