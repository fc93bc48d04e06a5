//! A workspace's slug, which is also the first label of its host name, and which tenant a `Host` header names.

use serde::Serialize;

/// Labels that never become a workspace: names of services people trust, and of our own hosts.
const RESERVED: &[&str] = &[
    "about",
    "abuse",
    "account",
    "accounts",
    "admin",
    "administrator",
    "api",
    "app",
    "apps",
    "assets",
    "auth",
    "autoconfig",
    "autodiscover",
    "billing",
    "blog",
    "cdn",
    "chatgpt",
    "claude",
    "cloud",
    "connect",
    "connector",
    "connectors",
    "console",
    "contact",
    "control",
    "control-plane",
    "cursor",
    "dashboard",
    "data-plane",
    "demo",
    "dev",
    "developer",
    "developers",
    "dns",
    "docs",
    "download",
    "email",
    "example",
    "ftp",
    "gateway",
    "git",
    "github",
    "google",
    "graphql",
    "grpc",
    "health",
    "help",
    "home",
    "host",
    "hostmaster",
    "http",
    "https",
    "id",
    "idp",
    "imap",
    "info",
    "internal",
    "invite",
    "legal",
    "localhost",
    "login",
    "logout",
    "mail",
    "mailbox",
    "mcp",
    "metrics",
    "microsoft",
    "mx",
    "news",
    "node",
    "nodes",
    "ns1",
    "ns2",
    "null",
    "oauth",
    "openai",
    "operator",
    "ops",
    "pop",
    "postmaster",
    "preview",
    "privacy",
    "prod",
    "production",
    "proxy",
    "public",
    "register",
    "registry",
    "root",
    "sandbox",
    "security",
    "server",
    "settings",
    "sign-in",
    "sign-up",
    "signin",
    "signup",
    "smtp",
    "ssl",
    "sso",
    "staff",
    "stage",
    "staging",
    "static",
    "stats",
    "status",
    "store",
    "stripe",
    "support",
    "system",
    "team",
    "terms",
    "test",
    "token",
    "toolmesh",
    "tools",
    "undefined",
    "vpn",
    "vscode",
    "web",
    "webmail",
    "webmaster",
    "wpad",
    "www",
];

/// A valid slug: 3 to 30 of `a-z`, `0-9` and single inner hyphens, starting with a letter, not reserved.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct Slug(String);

/// Why a text is no slug; each says what to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SlugError {
    #[error("Use 3 to 30 characters.")]
    Length,
    #[error("Use lower-case letters, digits and hyphens only.")]
    Characters,
    #[error("Start with a letter, end with a letter or digit, and never use two hyphens in a row.")]
    Shape,
    #[error("This address is reserved. Choose another.")]
    Reserved,
}

impl Slug {
    /// Checks a slug as a person typed it; does not change it.
    ///
    /// # Errors
    /// Says which rule it breaks.
    pub fn parse(text: &str) -> Result<Self, SlugError> {
        if !text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-') {
            return Err(SlugError::Characters);
        }
        if !(3..=30).contains(&text.len()) {
            return Err(SlugError::Length);
        }
        let letter_first = text.starts_with(|c: char| c.is_ascii_lowercase());
        // "--" also keeps out punycode ("xn--"), and with it look-alikes of other names.
        if !letter_first || text.ends_with('-') || text.contains("--") {
            return Err(SlugError::Shape);
        }
        if RESERVED.binary_search(&text).is_ok() {
            return Err(SlugError::Reserved);
        }
        Ok(Self(text.to_owned()))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for Slug {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where tenants live: an origin with `{slug}` as its first label, e.g. `https://{slug}.example.net`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantOrigins {
    scheme: String,
    /// What follows `{slug}.`, port included.
    domain: String,
}

/// A pattern for tenant origins that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("tenant URL {0:?} must look like https://{{slug}}.example.net, without a path")]
pub struct TenantOriginsError(String);

impl TenantOrigins {
    /// # Errors
    /// When the pattern is not `http(s)://{slug}.host[:port]`.
    pub fn parse(pattern: &str) -> Result<Self, TenantOriginsError> {
        let error = || TenantOriginsError(pattern.to_owned());
        let (scheme, rest) = pattern.trim_end_matches('/').split_once("://").ok_or_else(error)?;
        let domain = rest.strip_prefix("{slug}.").ok_or_else(error)?;
        let probe = url::Url::parse(&format!("{scheme}://a.{domain}")).map_err(|_| error())?;
        let plain = probe.path() == "/" && probe.query().is_none() && probe.username().is_empty();
        if !matches!(scheme, "http" | "https") || !plain || domain.contains(['{', '/', '?', '#']) {
            return Err(error());
        }
        Ok(Self { scheme: scheme.to_owned(), domain: domain.to_ascii_lowercase() })
    }

    /// The tenant's origin, no trailing slash.
    #[must_use]
    pub fn origin(&self, slug: &Slug) -> String {
        self.of_stored(slug.as_str())
    }

    /// The origin for a slug as stored: one that was valid once stays so, though the list of reserved words grows.
    #[must_use]
    pub fn of_stored(&self, slug: &str) -> String {
        format!("{}://{slug}.{}", self.scheme, self.domain)
    }

    /// What stands after the slug, for a page that shows the URL while the slug is typed: `.example.net`.
    #[must_use]
    pub fn suffix(&self) -> String {
        format!(".{}", self.domain)
    }

    /// `https://` or `http://`.
    #[must_use]
    pub fn prefix(&self) -> String {
        format!("{}://", self.scheme)
    }

    /// The pattern this was read from.
    #[must_use]
    pub fn pattern(&self) -> String {
        format!("{}://{{slug}}.{}", self.scheme, self.domain)
    }
}

/// The host of a `Host` header or URL authority, lower case, without port and without a final dot; `None` for one with user
/// info or other characters that no host has.
#[must_use]
pub fn host_of(authority: &str) -> Option<String> {
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
        _ => authority,
    };
    let host = host.strip_suffix('.').unwrap_or(host);
    let valid = !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.');
    valid.then(|| host.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reserved_list_is_sorted_so_that_the_search_finds_every_entry() {
        assert!(RESERVED.is_sorted());
    }

    #[test]
    fn slugs_that_could_confuse_or_break_a_host_name_are_refused() {
        for (text, error) in [
            ("ab", SlugError::Length),
            ("a234567890123456789012345678901", SlugError::Length),
            ("Acme", SlugError::Characters),
            ("аcme", SlugError::Characters),
            ("a_b_c", SlugError::Characters),
            ("acme.evil", SlugError::Characters),
            ("-acme", SlugError::Shape),
            ("acme-", SlugError::Shape),
            ("1acme", SlugError::Shape),
            ("xn--acme", SlugError::Shape),
            ("admin", SlugError::Reserved),
            ("www", SlugError::Reserved),
        ] {
            assert_eq!(Slug::parse(text), Err(error), "{text}");
        }
        assert!(Slug::parse("acme-2").is_ok());
    }

    #[test]
    fn a_host_header_is_read_without_port_and_case() {
        assert_eq!(host_of("Acme.Localhost:8080").as_deref(), Some("acme.localhost"));
        assert_eq!(host_of("acme.localhost.").as_deref(), Some("acme.localhost"));
        for bad in ["", "a@b", "a b", "a/b", ":80", "[::1]:80"] {
            assert_eq!(host_of(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_tenant_pattern_needs_the_slug_as_its_first_label() {
        let origins = TenantOrigins::parse("http://{slug}.localhost:8080").unwrap();
        assert_eq!(origins.origin(&Slug::parse("acme").unwrap()), "http://acme.localhost:8080");
        for bad in ["https://example.net", "https://x.{slug}.net", "ftp://{slug}.net", "https://{slug}.net/x"]
        {
            assert!(TenantOrigins::parse(bad).is_err(), "{bad}");
        }
    }
}
