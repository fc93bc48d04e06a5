//! Which headers a connector and its callers may set.

use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};
use toolmesh_proto::v1;

use super::PlanError;

/// Whether a header is the node's or the connection's, so that neither a connector's default nor an argument sets it.
#[must_use]
pub fn is_reserved(name: &HeaderName) -> bool {
    const NAMES: &[&str] = &[
        "accept-encoding",
        "authorization",
        "connection",
        "content-length",
        "cookie",
        "expect",
        "forwarded",
        "host",
        "http2-settings",
        "keep-alive",
        "mcp-session-id",
        "origin",
        "referer",
        "set-cookie",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "via",
        "x-real-ip",
    ];
    let name = name.as_str();
    NAMES.contains(&name) || name.starts_with("proxy-") || name.starts_with("x-forwarded-")
}

/// Whether a cookie can have this name (RFC 6265: a token of RFC 9110).
#[must_use]
pub fn is_cookie_name(name: &str) -> bool {
    let special = b"!#$%&'*+-.^_`|~";
    (1..=200).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || special.contains(&b))
}

/// Whether a text can stand in a cookie as it is (RFC 6265, cookie-octet).
#[must_use]
pub fn is_cookie_value(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'"' | b',' | b';' | b'\\'))
}

/// A connector's default headers, without reserved ones.
///
/// # Errors
/// Names the header that cannot be sent.
pub fn default_headers(headers: &[v1::Header]) -> Result<HeaderMap, PlanError> {
    let mut map = HeaderMap::with_capacity(headers.len());
    for header in headers {
        let error = || PlanError::HeaderName(header.name.clone());
        let name = HeaderName::from_bytes(header.name.as_bytes()).map_err(|_| error())?;
        let value = HeaderValue::from_str(&header.value).map_err(|_| error())?;
        if !is_reserved(&name) {
            map.insert(name, value);
        }
    }
    Ok(map)
}
