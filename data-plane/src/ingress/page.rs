//! What a person sees who opens a workspace's address in a browser: what it is, and what to do with it.
//!
//! One page without scripts, cookies or anything from elsewhere; the style is allowed by its hash.

use std::sync::Arc;

use aws_lc_rs::digest;
use axum::Extension;
use axum::extract::{Request, State};
use axum::response::{Html, IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{CONTENT_SECURITY_POLICY, VARY};
use http::{HeaderValue, Method};

use super::{Visit, problem};
use crate::node::App;

const STYLE: &str = include_str!("page.css");

/// `/`: the page for people; nothing for clients that were given the address without its path.
pub(super) async fn root(
    State(app): State<Arc<App>>,
    Extension(visit): Extension<Visit>,
    request: Request,
) -> Response {
    match *request.method() {
        Method::GET | Method::HEAD => workspace(&app, &visit),
        _ => problem::no_such_path().await,
    }
}

/// The page of a workspace.
pub(super) fn workspace(app: &App, visit: &Visit) -> Response {
    let tenant = &visit.tenant;
    let console = app.table.settings().console_origin.clone();
    let html = render(&tenant.name, &tenant.resource, &console, &tenant.slug);
    let mut response = Html(html).into_response();
    let headers = response.headers_mut();
    if let Ok(policy) = HeaderValue::from_str(&policy()) {
        headers.insert(CONTENT_SECURITY_POLICY, policy);
    }
    headers.insert(VARY, HeaderValue::from_static("accept"));
    response
}

fn policy() -> String {
    let hash = STANDARD.encode(digest::digest(&digest::SHA256, STYLE.as_bytes()));
    format!(
        "default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
}

fn render(name: &str, url: &str, console: &str, slug: &str) -> String {
    let (name, url, console, slug) = (escape(name), escape(url), escape(console), escape(slug));
    let links = if console.is_empty() {
        String::new()
    } else {
        format!(
            "<p class=\"links\"><a href=\"{console}/w/{slug}/add\">Steps for each client</a>\
             <a href=\"{console}/w/{slug}\">Open the console</a></p>"
        )
    };
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"robots\" content=\"noindex\">\n<title>{name} · MCP endpoint</title>\n\
         <style>{STYLE}</style>\n</head>\n<body>\n<main>\n{PATH}\n<h1>{name}</h1>\n\
         <p class=\"lead\">This address is for AI clients, not for browsers. It gives the members of this workspace \
         its tools, over the Model Context Protocol.</p>\n\
         <h2 id=\"url\">Address of the MCP server</h2>\n\
         <p class=\"url\"><code aria-labelledby=\"url\">{url}</code></p>\n\
         <p class=\"hint\">One click selects the whole address; then copy it.</p>\n\
         <h2>What to do with it</h2>\n<ol>\n\
         <li>In ChatGPT, Claude, Cursor, VS Code or another client, add an MCP server (some call it a connector or an \
         app) with this address.</li>\n\
         <li>Choose OAuth if you are asked. Your client opens a page where you log in and allow it.</li>\n\
         <li>Ask your client for something one of the tools can do.</li>\n</ol>\n{links}\n</main>\n</body>\n</html>\n"
    )
}

/// The path of a call, drawn: who, may they, with what, called, recorded.
const PATH: &str = "<svg viewBox=\"0 0 240 24\" role=\"img\" aria-label=\"A client, checked and connected to your APIs\">\
<path d=\"M12 12h216\"/><circle cx=\"12\" cy=\"12\" r=\"5\"/><circle cx=\"66\" cy=\"12\" r=\"5\"/>\
<rect x=\"112\" y=\"4\" width=\"16\" height=\"16\" rx=\"4\" transform=\"rotate(45 120 12)\"/>\
<circle cx=\"174\" cy=\"12\" r=\"5\"/><circle cx=\"228\" cy=\"12\" r=\"5\"/></svg>";

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_leave_its_place_in_the_page() {
        let html = render("<script>alert(1)</script> & \"co\"", "http://a/mcp", "http://c", "acme");
        assert!(!html.contains("<script>"));
        assert!(html.contains("&lt;script&gt;alert(1)&lt;/script&gt; &amp; &quot;co&quot;"));
    }

    #[test]
    fn the_page_needs_nothing_but_its_own_style() {
        let html = render("Acme", "http://acme.localhost:8080/mcp", "http://localhost:8080", "acme");
        for forbidden in ["<script", "onclick", " style=", "<img", "<link"] {
            assert!(!html.contains(forbidden), "{forbidden}");
        }
        assert!(html.contains("<code aria-labelledby=\"url\">http://acme.localhost:8080/mcp</code>"));
        assert!(policy().contains("style-src 'sha256-"));
    }
}
