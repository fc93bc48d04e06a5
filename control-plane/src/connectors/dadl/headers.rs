//! Which headers a document may set, and how they are checked.

use http::{HeaderName, HeaderValue};
use toolmesh_proto::v1;

use super::diagnostic::{Report, quote};
use super::fields::Field;

/// Headers that belong to the connection, to the gateway, or to the one who authenticates.
const RESERVED: &[&str] = &[
    "accept-encoding",
    "authorization",
    "connection",
    "content-length",
    "cookie",
    "expect",
    "forwarded",
    "host",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
];

/// Of the reserved headers, those that a credential may travel in.
const FOR_CREDENTIALS: &[&str] = &["authorization", "cookie"];

pub(super) fn is_reserved(name: &str) -> bool {
    RESERVED.iter().any(|reserved| reserved.eq_ignore_ascii_case(name))
}

pub(super) fn may_carry_a_credential(name: &str) -> bool {
    HeaderName::try_from(name).is_ok()
        && !name.eq_ignore_ascii_case("content-type")
        && (!is_reserved(name) || FOR_CREDENTIALS.iter().any(|header| header.eq_ignore_ascii_case(name)))
}

pub(super) fn is_name(name: &str) -> bool {
    HeaderName::try_from(name).is_ok()
}

pub(super) fn is_value(value: &str) -> bool {
    HeaderValue::try_from(value).is_ok()
}

/// Whether a cookie can have this name (RFC 6265: a token of RFC 9110).
pub(super) fn is_cookie_name(name: &str) -> bool {
    let special = b"!#$%&'*+-.^_`|~";
    (1..=200).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || special.contains(&b))
}

/// Whether a text can stand in a cookie as it is (RFC 6265, cookie-octet).
pub(super) fn is_cookie_value(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'"' | b',' | b';' | b'\\'))
}

/// Reads `defaults.headers`. The content type comes back on its own, since it says how bodies are written.
pub(super) fn read_defaults(field: &Field<'_>, report: &mut Report) -> (Vec<v1::Header>, Option<String>) {
    let mut headers = Vec::new();
    let mut content_type = None;
    for (key, field) in field.children(report) {
        if field.node.is_null() {
            continue;
        }
        let Some(value) = field.text(report) else { continue };
        if !is_name(&key.name) {
            report.error(key.at, &field.path, format!("{} is not a header name", quote(&key.name)), "");
        } else if !is_value(&value) {
            field.error(report, "holds characters that no header may hold", "write it in one line");
        } else if key.name.eq_ignore_ascii_case("content-type") {
            content_type = Some(value);
        } else if is_reserved(&key.name) {
            report.warn(key.at, &field.path, "is set by the gateway and is ignored here", "");
        } else {
            headers.push(v1::Header { name: key.name.clone(), value });
        }
    }
    (headers, content_type)
}
