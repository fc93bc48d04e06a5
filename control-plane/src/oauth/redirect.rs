//! Redirect URIs: which may be registered, and which of them a request names.

use url::{Host, Url};

/// Longest redirect URI, in bytes.
const MAX_LENGTH: usize = 512;

/// Schemes that run or show something instead of handing the code to a program.
const FORBIDDEN: &[&str] = &[
    "about",
    "blob",
    "chrome",
    "data",
    "file",
    "filesystem",
    "ftp",
    "javascript",
    "mailto",
    "sms",
    "tel",
    "vbscript",
    "view-source",
    "ws",
    "wss",
];

/// Whether a client may register this URI: https, http on the loopback interface (RFC 8252, section 7.3), or an application's
/// own scheme (section 7.1). No fragment, no user info.
#[must_use]
pub fn is_acceptable(text: &str) -> bool {
    let plain =
        text.len() <= MAX_LENGTH && text.bytes().all(|b| b.is_ascii_graphic()) && !text.contains(['*', '\\']);
    let Ok(url) = Url::parse(text) else { return false };
    if !plain || url.fragment().is_some() || !url.username().is_empty() || url.password().is_some() {
        return false;
    }
    match url.scheme() {
        "https" => url.host().is_some(),
        "http" => is_loopback(&url),
        scheme => !FORBIDDEN.contains(&scheme) && text.contains(":/"),
    }
}

/// Whether the URI leads to a program on the person's own machine, whichever program that is.
#[must_use]
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

/// Whether a request's redirect URI is one of those registered: the same text, or on the loopback interface the same but for
/// the port, which a native application chooses when it starts (RFC 8252, section 7.3; extended to the name `localhost`, which
/// real clients use).
#[must_use]
pub fn is_registered(requested: &str, registered: &[String]) -> bool {
    registered.iter().any(|known| known == requested || same_but_port(requested, known))
}

fn same_but_port(requested: &str, known: &str) -> bool {
    if !is_acceptable(requested) {
        return false;
    }
    let (Ok(a), Ok(b)) = (Url::parse(requested), Url::parse(known)) else { return false };
    // By their text: a parser reads 2130706433 as 127.0.0.1, and what was registered is 127.0.0.1.
    is_loopback(&a)
        && is_loopback(&b)
        && without_port(requested).is_some_and(|a| without_port(known) == Some(a))
}

/// Host and the rest of an http URI, as they are written.
fn without_port(text: &str) -> Option<(&str, &str)> {
    let rest = text.strip_prefix("http://")?;
    let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let host = authority.rsplit_once(':').map_or(authority, |(host, port)| {
        if port.bytes().all(|byte| byte.is_ascii_digit()) { host } else { authority }
    });
    Some((host, if path.is_empty() { "/" } else { path }))
}

/// What to show a person of where they will be sent: the host, or the application's scheme.
#[must_use]
pub fn display_host(text: &str) -> String {
    let Ok(url) = Url::parse(text) else { return text.to_owned() };
    match url.host_str() {
        Some(host) if matches!(url.scheme(), "http" | "https") => host.to_owned(),
        _ => format!("{}: (an application on your device)", url.scheme()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_of_real_clients_are_accepted() {
        for good in [
            "https://chatgpt.com/connector_platform_oauth_redirect",
            "https://claude.ai/api/mcp/auth_callback",
            "http://127.0.0.1:33418/",
            "http://localhost:8787/callback",
            "http://[::1]:1234/cb",
            "cursor://anysphere.cursor-mcp/oauth/callback",
            "com.example.app:/callback",
        ] {
            assert!(is_acceptable(good), "{good}");
        }
    }

    #[test]
    fn redirects_that_leak_or_run_something_are_refused() {
        for bad in [
            "",
            "nonsense",
            "http://example.com/cb",
            "https://user@example.com/cb",
            "https://example.com/cb#x",
            "javascript:alert(1)",
            "data:text/html,x",
            "file:///etc/passwd",
            "https://*.example.com/cb",
            "http://localhost.evil.example/cb",
            "https://exa mple.com/",
            "mailto:a@b.c",
        ] {
            assert!(!is_acceptable(bad), "{bad}");
        }
        assert!(!is_acceptable(&format!("https://example.com/{}", "a".repeat(600))));
    }

    #[test]
    fn a_redirect_matches_exactly_but_for_the_port_on_loopback() {
        let known = |text: &str| vec![text.to_owned()];
        assert!(is_registered("https://a.example/cb", &known("https://a.example/cb")));
        for bad in [
            "https://a.example/cb/",
            "https://a.example/cb?x=1",
            "https://a.example:444/cb",
            "https://A.example/cb",
        ] {
            assert!(!is_registered(bad, &known("https://a.example/cb")), "{bad}");
        }
        assert!(is_registered("http://127.0.0.1:5000/cb", &known("http://127.0.0.1/cb")));
        assert!(is_registered("http://localhost:5000/cb", &known("http://localhost:1/cb")));
        for bad in [
            "http://localhost:5000/other",
            "http://127.0.0.1:5000/cb",
            "http://localhost:5000/cb#x",
            "http://u@localhost:5/cb",
        ] {
            assert!(!is_registered(bad, &known("http://localhost:1/cb")), "{bad}");
        }
    }
}
