//! The headers that every answer of the control plane has: pages, files, JSON, refusals, and what fails.

use axum::extract::Request;
use axum::http::{HeaderValue, header};
use axum::middleware::Next;
use axum::response::Response;

/// Nothing but our own files, forms to ourselves, no framing, and no text that becomes a script.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; \
     connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'; object-src 'none'; \
     require-trusted-types-for 'script'";

/// The policy of the pages inside a workspace: htmx puts our own fragments into the page as text.
const FRAGMENTS_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; \
     connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'; object-src 'none'";

/// The policy of the consent page: its form's answer leads to the client, which may lead further, and Chromium holds
/// `form-action` against every hop.
const CONSENT_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; \
     connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; object-src 'none'; require-trusted-types-for 'script'";

/// What a page may not ask the browser for. Passkeys are not in the list, since our own pages use them.
const PERMISSIONS: &str = "accelerometer=(), autoplay=(), camera=(), display-capture=(), encrypted-media=(), fullscreen=(), \
     geolocation=(), gyroscope=(), magnetometer=(), microphone=(), midi=(), payment=(), screen-wake-lock=(), usb=(), \
     xr-spatial-tracking=()";

/// Two years, as the preload lists ask.
const HSTS: &str = "max-age=63072000; includeSubDomains";

/// Lets the form of this page lead to a client, also in a window that the client has opened.
pub(super) fn consent_policy(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(CONSENT_POLICY));
    headers.insert("cross-origin-opener-policy", HeaderValue::from_static("unsafe-none"));
    response
}

/// The headers of every answer (OWASP ASVS 5.0, 3.4). What an answer says itself stays.
pub async fn security_headers(https: bool, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let fragments = path.starts_with("/w/") || path.starts_with("/workspaces/new");
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    let defaults = [
        ("content-security-policy", if fragments { FRAGMENTS_POLICY } else { POLICY }),
        ("cache-control", "no-store"),
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "no-referrer"),
        ("permissions-policy", PERMISSIONS),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
    ];
    // Over plain HTTP a browser must not believe it (RFC 6797, section 7.2).
    let secure = https.then_some(("strict-transport-security", HSTS));
    for (name, value) in defaults.into_iter().chain(secure) {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}
