//! What a person sees who opens a workspace's address in a browser: what it is, and what to do with it.
//!
//! One page without cookies or anything from elsewhere, which works without scripts; its style and the script of its copy
//! buttons are allowed by their hashes. It says nothing that is not public: the name of the workspace and its address.

mod clients;

use std::sync::Arc;

use aws_lc_rs::digest;
use axum::Extension;
use axum::extract::{Request, State};
use axum::response::{Html, IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{CONTENT_SECURITY_POLICY, VARY};
use http::{HeaderMap, HeaderValue, Method, StatusCode};

use self::clients::Guide;
use super::endpoint::accepts;
use super::{Visit, problem};
use crate::node::App;

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

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
    dressed(StatusCode::OK, render(&tenant.name, &tenant.resource, &console, &tenant.slug))
}

/// Whether a browser asks, for a person to read the answer.
pub(super) fn is_asked_for(method: &Method, headers: &HeaderMap) -> bool {
    matches!(*method, Method::GET | Method::HEAD) && accepts(headers, "text/html")
}

/// A path of a workspace where there is nothing.
pub(super) async fn nowhere(Extension(visit): Extension<Visit>, request: Request) -> Response {
    if !is_asked_for(request.method(), request.headers()) {
        return problem::no_such_path().await;
    }
    let text = "There is no page at this address. Clients are given the one that ends in /mcp.";
    let way = format!("<a href=\"/\">What {} is, and how to add it</a>", escape(&visit.tenant.name));
    dressed(StatusCode::NOT_FOUND, nothing("Nothing is here", text, &way))
}

/// An address that is no workspace's.
pub(super) fn nobody(app: &App) -> Response {
    let text = "There is no workspace at this address. Check the name before the first dot, or ask whoever gave you the address.";
    let console = escape(&app.table.settings().console_origin);
    let way = if console.is_empty() { console } else { format!("<a href=\"{console}/\">Go to ToolMesh</a>") };
    dressed(StatusCode::NOT_FOUND, nothing("No workspace is here", text, &way))
}

fn dressed(status: StatusCode, html: String) -> Response {
    let mut response = (status, Html(html)).into_response();
    let headers = response.headers_mut();
    if let Ok(policy) = HeaderValue::from_str(&policy()) {
        headers.insert(CONTENT_SECURITY_POLICY, policy);
    }
    headers.insert(VARY, HeaderValue::from_static("accept"));
    response
}

fn policy() -> String {
    let hash = |text: &str| STANDARD.encode(digest::digest(&digest::SHA256, text.as_bytes()));
    let (style, script) = (hash(STYLE), hash(SCRIPT));
    format!(
        "default-src 'none'; style-src 'sha256-{style}'; script-src 'sha256-{script}'; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'"
    )
}

fn render(name: &str, url: &str, console: &str, slug: &str) -> String {
    let guides: String =
        clients::guides(url, slug).iter().enumerate().map(|(at, one)| guide(at, one)).collect();
    let (name, console, slug) = (escape(name), escape(console), escape(slug));
    let links = if console.is_empty() {
        String::new()
    } else {
        format!(
            "<p class=\"links\"><a href=\"{console}/w/{slug}/add\">All steps, in the console</a>\
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
         <h2 id=\"url\">Address of the MCP server</h2>\n{copy}\n\
         <h2>Add it to your client</h2>\n<div class=\"clients\">{guides}</div>\n{links}\n</main>\n\
         <script>{SCRIPT}</script>\n</body>\n</html>\n",
        copy = copied("address", url, " aria-labelledby=\"url\"")
    )
}

/// A page that says one thing, with one way on.
fn nothing(heading: &str, text: &str, way: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"robots\" content=\"noindex\">\n<title>{heading}</title>\n\
         <style>{STYLE}</style>\n</head>\n<body>\n<main>\n{PATH}\n<h1>{heading}</h1>\n\
         <p class=\"lead\">{text}</p>\n<p class=\"links\">{way}</p>\n</main>\n</body>\n</html>\n"
    )
}

/// What is to be copied: all of it selected by one click, and a button where there are scripts.
fn copied(id: &str, text: &str, more: &str) -> String {
    let text = escape(text);
    format!(
        "<div class=\"copy\"><code id=\"{id}\" tabindex=\"0\"{more}>{text}</code>\
         <button type=\"button\" data-copies=\"{id}\" hidden>Copy</button></div>"
    )
}

/// One client; those of one name close each other, so that the page stays short.
fn guide(at: usize, guide: &Guide) -> String {
    let link = guide.link.as_ref().map_or_else(String::new, |(href, label)| {
        format!("<a class=\"add\" href=\"{}\">{label}</a>", escape(href))
    });
    let steps: String = guide
        .steps
        .iter()
        .enumerate()
        .map(|(step_at, step)| {
            let code = step.code.as_deref();
            let code = code.map(|code| copied(&format!("code-{at}-{step_at}"), code, "")).unwrap_or_default();
            format!("<li>{}{code}</li>", escape(step.text))
        })
        .collect();
    let open = if at == 0 { " open" } else { "" };
    format!(
        "<details name=\"client\"{open}><summary>{}</summary><div class=\"steps\">{link}<ol>{steps}</ol></div></details>",
        guide.client
    )
}

/// The path of a call, drawn: who, may they, with what, called, recorded.
const PATH: &str = "<svg class=\"path\" viewBox=\"0 0 240 24\" role=\"img\" aria-label=\"A client, checked and connected to your APIs\">\
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
        assert!(!html.contains("<script>alert"));
        assert!(html.contains("&lt;script&gt;alert(1)&lt;/script&gt; &amp; &quot;co&quot;"));
    }

    #[test]
    fn the_page_needs_nothing_but_its_own_style_and_script() {
        let html = render("Acme", "http://acme.localhost:8080/mcp", "http://localhost:8080", "acme");
        for forbidden in ["<script ", " src=", "onclick", " style=", "<img", "<link", "<form"] {
            assert!(!html.contains(forbidden), "{forbidden}");
        }
        assert!(html.contains("aria-labelledby=\"url\">http://acme.localhost:8080/mcp</code>"));
        assert!(policy().contains("style-src 'sha256-") && policy().contains("script-src 'sha256-"));
    }

    #[test]
    fn every_client_has_its_steps_and_those_that_take_a_link_have_one() {
        let html = render("Acme", "http://acme.localhost:8080/mcp", "", "acme");
        for client in ["ChatGPT", "Claude", "Claude Code", "Cursor", "VS Code"] {
            assert!(html.contains(&format!("<summary>{client}</summary>")), "{client}");
        }
        assert!(html.contains("href=\"cursor://") && html.contains("href=\"vscode:mcp/install?"));
        assert!(html.contains("claude mcp add --transport http acme http://acme.localhost:8080/mcp"));
        assert!(!html.contains("console"), "no links to a console that is not known yet");
    }
}
