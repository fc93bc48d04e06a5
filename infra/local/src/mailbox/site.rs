//! The mailbox's page and its JSON. Mail is text from strangers on a host where people are logged in: all of it is escaped,
//! only http and https links can be clicked, and nothing on the page can run or load.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::sync::Arc;

use http::header::{ALLOW, HOST};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use toolmesh_proto::slug::host_of;

use super::message::{Piece, pieces};
use super::{Mailbox, Message, PATH};
use crate::page::{Page, escape, plain};
use crate::serve::{Body, Handler};

/// Messages shown in full on the list; older ones are lines.
const IN_FULL: usize = 20;

/// Whether a path of the console's host is the mailbox's.
pub(crate) fn owns(path: &str) -> bool {
    path.strip_prefix(PATH).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Answers a request for the mailbox.
pub(crate) fn respond(mailbox: &Mailbox, method: &Method, path: &str) -> Response<Body> {
    if !matches!(*method, Method::GET | Method::HEAD) {
        let mut response =
            plain(StatusCode::METHOD_NOT_ALLOWED, "text/plain", "Only GET works here.\n".to_owned());
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    match path.strip_prefix(PATH).unwrap_or_default().trim_matches('/') {
        "" => list(&mailbox.messages()),
        "messages.json" => json(&mailbox.messages()),
        id => mailbox.message(id).map_or_else(not_found, |message| one(&message)),
    }
}

/// The mailbox on a port of its own.
pub(crate) struct Site {
    mailbox: Arc<Mailbox>,
}

impl Site {
    pub(crate) fn new(mailbox: Arc<Mailbox>) -> Self {
        Self { mailbox }
    }
}

impl Handler for Site {
    async fn handle(&self, request: Request<Incoming>, _: IpAddr) -> Response<Body> {
        // A stranger's page may give its own name this address; it cannot give it ours.
        let host = request.headers().get(HOST).and_then(|value| value.to_str().ok()).and_then(host_of);
        if !matches!(host.as_deref(), Some("localhost" | "127.0.0.1")) || !owns(request.uri().path()) {
            return not_found();
        }
        respond(&self.mailbox, request.method(), request.uri().path())
    }
}

fn list(messages: &[Arc<Message>]) -> Response<Body> {
    let mut body = String::from(
        "<h1>Mailbox</h1><p class=\"quiet\">Mail that this ToolMesh sent. It stays on this machine; set SMTP_URL to send \
         it for real.</p>",
    );
    if messages.is_empty() {
        body.push_str(
            "<article><p>No mail yet. What ToolMesh sends is here within seconds; load the page again to see it.</p></article>",
        );
    }
    for message in messages.iter().take(IN_FULL) {
        article(&mut body, message);
    }
    for message in messages.iter().skip(IN_FULL) {
        let head = head(message);
        // Writing to a String cannot fail.
        let _ = write!(body, "<article>{head}</article>");
    }
    Page { status: StatusCode::OK, title: "Mailbox", body: &body }.respond()
}

fn one(message: &Message) -> Response<Body> {
    let mut body = format!("<p class=\"quiet\"><a href=\"{PATH}\">All mail</a></p>");
    article(&mut body, message);
    Page { status: StatusCode::OK, title: &message.subject, body: &body }.respond()
}

fn article(body: &mut String, message: &Message) {
    let _ = write!(body, "<article>{}<pre>", head(message));
    for piece in pieces(&message.text) {
        let _ = match piece {
            Piece::Text(text) => write!(body, "{}", escape(text)),
            Piece::Link(link) => {
                let link = escape(link);
                write!(body, "<a href=\"{link}\" rel=\"noreferrer\">{link}</a>")
            }
        };
    }
    body.push_str("</pre></article>");
}

fn head(message: &Message) -> String {
    let subject = if message.subject.is_empty() { "(no subject)" } else { &message.subject };
    let exact = message.received_at.format(&Rfc3339).unwrap_or_default();
    format!(
        "<h2><a href=\"{PATH}/{id}\">{subject}</a></h2><div class=\"quiet\">to {to}, from {from}, \
         <time datetime=\"{exact}\" title=\"{exact}\">{ago}</time></div>",
        id = escape(&message.id),
        subject = escape(subject),
        to = escape(&message.to.join(", ")),
        from = escape(&message.from),
        ago = ago(OffsetDateTime::now_utc() - message.received_at),
    )
}

fn ago(age: time::Duration) -> String {
    let (number, unit) = match age.whole_seconds() {
        ..60 => return "just now".to_owned(),
        s @ 60..3600 => (s / 60, "minute"),
        s @ 3600..86_400 => (s / 3600, "hour"),
        s => (s / 86_400, "day"),
    };
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {unit}{plural} ago")
}

fn json(messages: &[Arc<Message>]) -> Response<Body> {
    let messages: Vec<&Message> = messages.iter().map(AsRef::as_ref).collect();
    match serde_json::to_string(&messages) {
        Ok(text) => plain(StatusCode::OK, "application/json", text),
        Err(error) => plain(StatusCode::INTERNAL_SERVER_ERROR, "text/plain", format!("{error}\n")),
    }
}

fn not_found() -> Response<Body> {
    let body = format!(
        "<h1>No such message</h1><p>The mailbox keeps the last {} messages. <a href=\"{PATH}\">All mail</a></p>",
        super::KEPT
    );
    Page { status: StatusCode::NOT_FOUND, title: "No such message", body: &body }.respond()
}
