//! What a server says in `WWW-Authenticate` when it lets nobody in (RFC 6750, RFC 9728).

use std::collections::HashMap;

/// Longest header that is looked at, in bytes.
const MAX: usize = 8 * 1024;

/// A challenge for bearer tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Challenge {
    /// Where the server says which authorization server is its own.
    pub resource_metadata: Option<String>,
    /// What is needed for what was asked.
    pub scope: Option<String>,
    pub error: Option<String>,
}

impl Challenge {
    /// Reads the challenge for bearer tokens; empty where there is none.
    #[must_use]
    pub fn parse(header: &str) -> Self {
        let mut values = HashMap::new();
        let mut scheme = String::new();
        let mut rest = header.get(..MAX).unwrap_or(header).trim_start();
        while !rest.is_empty() {
            let end = rest.find(|c: char| c.is_whitespace() || matches!(c, '=' | ',')).unwrap_or(rest.len());
            let (name, after) = rest.split_at(end);
            let after = after.trim_start();
            if let Some(after) = after.strip_prefix('=').filter(|_| !name.is_empty()) {
                let (value, after) = value(after.trim_start());
                if scheme.eq_ignore_ascii_case("bearer") {
                    values.entry(name.to_ascii_lowercase()).or_insert(value);
                }
                rest = after;
            } else {
                if !name.is_empty() {
                    name.clone_into(&mut scheme);
                }
                rest = after.strip_prefix(['=', ',']).unwrap_or(after);
            }
            rest = rest.trim_start_matches(|c: char| c.is_whitespace() || c == ',');
        }
        let mut take = |name: &str| values.remove(name).filter(|value: &String| !value.is_empty());
        Self { resource_metadata: take("resource_metadata"), scope: take("scope"), error: take("error") }
    }

    /// Whether what is shown is taken, and allows too little.
    #[must_use]
    pub fn asks_for_more(&self) -> bool {
        self.error.as_deref() == Some("insufficient_scope")
    }
}

/// A token or a quoted string, and what follows it.
fn value(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(|c: char| c.is_whitespace() || c == ',').unwrap_or(text.len());
        let (value, rest) = text.split_at(end);
        return (value.to_owned(), rest);
    };
    let (mut value, mut escaped) = (String::new(), false);
    for (at, c) in quoted.char_indices() {
        match c {
            c if escaped => {
                value.push(c);
                escaped = false;
            }
            '\\' => escaped = true,
            '"' => return (value, quoted.get(at + 1..).unwrap_or_default()),
            c => value.push(c),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_is_found_among_others_and_in_any_order() {
        let challenge = Challenge::parse(
            r#"Basic realm="a, Bearer scope=\"x\"", Bearer error="invalid_token" , scope="a b", resource_metadata="https://x.example/.well-known/a?b=c""#,
        );
        assert_eq!(
            challenge.resource_metadata.as_deref(),
            Some("https://x.example/.well-known/a?b=c"),
            "{challenge:?}"
        );
        assert_eq!(challenge.scope.as_deref(), Some("a b"));
        assert_eq!(challenge.error.as_deref(), Some("invalid_token"));
        assert!(!challenge.asks_for_more());
        assert!(Challenge::parse("bearer error=insufficient_scope,scope=files").asks_for_more());
    }

    #[test]
    fn what_is_no_challenge_says_nothing() {
        for odd in ["", "Bearer", "=", ",,,", "\"", "Bearer scope=\"never closed", "Digest scope=a", "é=é"]
        {
            let challenge = Challenge::parse(odd);
            assert_eq!(challenge.resource_metadata, None, "{odd}");
        }
        assert_eq!(Challenge::parse("Bearer scope=\"never closed").scope.as_deref(), Some("never closed"));
        assert_eq!(Challenge::parse("Digest scope=a"), Challenge::default());
    }
}
