//! What a caller without a principal is told: RFC 6750 challenges that point to the protected-resource document (RFC 9728).

use http::{HeaderValue, StatusCode};
use toolmesh_proto::claims::{SCOPE_TOOLS, SCOPE_WRITE};

use super::IdentityError;

/// The status and the `WWW-Authenticate` header of a refusal. `None` only for an origin that fits in no header.
#[must_use]
pub fn challenge(origin: &str, error: IdentityError) -> Option<(StatusCode, HeaderValue)> {
    let metadata = metadata(origin);
    let scope = format!("scope=\"{SCOPE_TOOLS}\"");
    let (status, text) = match error {
        // Without a token there is no error to name (RFC 6750, section 3.1).
        IdentityError::Missing => (StatusCode::UNAUTHORIZED, format!("Bearer {metadata}, {scope}")),
        IdentityError::Scope => (
            StatusCode::FORBIDDEN,
            format!(
                "Bearer error=\"insufficient_scope\", error_description=\"{error}\", {scope}, {metadata}"
            ),
        ),
        _ => (
            StatusCode::UNAUTHORIZED,
            format!("Bearer error=\"invalid_token\", error_description=\"{error}\", {metadata}, {scope}"),
        ),
    };
    Some((status, HeaderValue::from_str(&text).ok()?))
}

/// Asks for a token that may write too. It names all that the client will need, since what it asks for replaces what it has.
#[must_use]
pub fn step_up(origin: &str) -> Option<HeaderValue> {
    let metadata = metadata(origin);
    let text = format!(
        "Bearer error=\"insufficient_scope\", error_description=\"this tool changes things, which needs a permission of its own here\", \
         scope=\"{SCOPE_TOOLS} {SCOPE_WRITE}\", {metadata}"
    );
    HeaderValue::from_str(&text).ok()
}

/// Says in a tool's result that somebody has to connect an account anew (the form that ChatGPT reads).
#[must_use]
pub fn reconnect(origin: &str) -> String {
    format!(
        "Bearer {}, error=\"insufficient_scope\", error_description=\"the account behind this tool must be connected again\"",
        metadata(origin)
    )
}

fn metadata(origin: &str) -> String {
    format!("resource_metadata=\"{origin}/.well-known/oauth-protected-resource/mcp\"")
}

/// The error code of a refusal (RFC 6750, section 3.1), for its body.
#[must_use]
pub const fn code(error: IdentityError) -> &'static str {
    match error {
        IdentityError::Missing => "unauthorized",
        IdentityError::Scope => "insufficient_scope",
        _ => "invalid_token",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_without_a_token_is_pointed_to_the_document_and_blamed_for_nothing() {
        let (status, header) = challenge("https://acme.example.net", IdentityError::Missing).unwrap();
        assert_eq!(status, 401);
        assert_eq!(
            header,
            "Bearer resource_metadata=\"https://acme.example.net/.well-known/oauth-protected-resource/mcp\", scope=\"mcp:tools\""
        );
    }

    #[test]
    fn a_bad_token_is_named_as_such_and_a_narrow_one_asks_for_more() {
        let (status, header) = challenge("https://a.example.net", IdentityError::Expired).unwrap();
        assert_eq!(status, 401);
        assert!(header.to_str().unwrap().contains("error=\"invalid_token\""));
        let (status, header) = challenge("https://a.example.net", IdentityError::Scope).unwrap();
        assert_eq!(status, 403);
        assert!(header.to_str().unwrap().contains("insufficient_scope"));
    }

    #[test]
    fn a_step_up_names_all_scopes_in_one_challenge() {
        let header = step_up("https://a.example.net").unwrap();
        let text = header.to_str().unwrap();
        assert!(text.starts_with("Bearer error=\"insufficient_scope\""), "{text}");
        assert!(text.contains("scope=\"mcp:tools mcp:write\""), "{text}");
        assert!(text.contains("oauth-protected-resource/mcp"), "{text}");
    }
}
