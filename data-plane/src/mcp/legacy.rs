//! The era of `initialize`: revisions 2024-11-05 to 2025-11-25, without sessions.
//!
//! No session id is given out (every revision allows that), so any node answers any request.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::envelope::{BUSY, INVALID_PARAMS, INVALID_REQUEST, Id, METHOD_NOT_FOUND, Message};
use super::reply;
use super::revision::Revision;
use super::tools::{self, Pending};
use crate::call::Caller;
use crate::catalog::Tenant;

/// Most characters of a method's name that are repeated in an error.
const METHOD_CHARS: usize = 100;

/// What a message is answered with.
pub(super) enum Answer {
    /// Nothing: it was a notification.
    None,
    Ready(Bytes),
    /// A call that is on its way.
    Pending(Pending),
    /// A call that there is no room for.
    Busy(Bytes),
    /// A call that the caller's token is too narrow for; the client may ask for a wider one.
    NeedsScope(Bytes),
}

/// Answers one message.
pub(super) fn handle(caller: &Caller, revision: Revision, message: Message) -> Answer {
    let (id, method, params) = match message {
        Message::Request { id, method, params } => (id, method, params),
        Message::Notification => return Answer::None,
        Message::Invalid { id, reason } => {
            return Answer::Ready(reply::error(id.as_ref(), INVALID_REQUEST, reason));
        }
    };
    let params = params.as_deref();
    match method.as_str() {
        "initialize" => Answer::Ready(initialize(&caller.visit.tenant, &id, params)),
        "ping" => Answer::Ready(reply::result(&id, json!({}))),
        "tools/list" => Answer::Ready(list(caller, &id, params)),
        "tools/call" => call(caller, revision, id, params),
        // `server/discover` without that era's `_meta` is among these: to a client that speaks both eras it means this one.
        _ => {
            let method: String = method.chars().take(METHOD_CHARS).collect();
            Answer::Ready(reply::error(Some(&id), METHOD_NOT_FOUND, &format!("Method not found: {method}")))
        }
    }
}

fn call(caller: &Caller, revision: Revision, id: Id, params: Option<&RawValue>) -> Answer {
    // Told apart before the call begins: it is a matter of HTTP, and the headers are still to be written.
    if let Some(reason) = tools::too_narrow(caller, params) {
        return Answer::NeedsScope(reply::error(Some(&id), INVALID_REQUEST, &reason));
    }
    match caller.app.capacity.call(caller.visit.tenant.id) {
        Ok(permit) => Answer::Pending(tools::call(caller.clone(), revision, id, params, permit)),
        Err(full) => Answer::Busy(reply::error(Some(&id), BUSY, &full.to_string())),
    }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Initialize {
    protocol_version: String,
}

fn initialize(tenant: &Tenant, id: &Id, params: Option<&RawValue>) -> Bytes {
    let asked: Initialize = params.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default();
    let revision = Revision::negotiate(&asked.protocol_version);
    reply::result(
        id,
        json!({
            "protocolVersion": revision.as_str(),
            "capabilities": { "tools": { "listChanged": false } },
            "serverInfo": { "name": tenant.slug, "title": tenant.name, "version": env!("CARGO_PKG_VERSION") },
            "instructions": instructions(tenant),
        }),
    )
}

/// Clients give weight to the first few hundred characters.
pub(super) fn instructions(tenant: &Tenant) -> String {
    if tenant.installations.is_empty() {
        return format!(
            "The workspace {} has no connectors yet; an admin can enable some in the console.",
            tenant.name
        );
    }
    let listed: Vec<String> = tenant
        .installations
        .iter()
        .take(12)
        .map(|installation| format!("{} ({}_…)", installation.connector.title, installation.name))
        .collect();
    let code = tenant.installations.iter().any(|installation| installation.exposure.in_code());
    let how = if code {
        " Tools that are not in the list are found with discover_tools and called in execute_code."
    } else {
        ""
    };
    format!(
        "Tools of the workspace {}: {}. A tool's name begins with its connector's.{how}",
        tenant.name,
        listed.join(", ")
    )
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct List {
    cursor: Option<String>,
}

/// Everything is on the first page, so no cursor was ever given out.
pub(super) const UNKNOWN_CURSOR: &str = "Unknown cursor; ask for the list without one.";

/// Whether a request for a list asks for a further page.
pub(super) fn has_cursor(params: Option<&RawValue>) -> bool {
    let asked: List = params.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default();
    asked.cursor.is_some()
}

fn list(caller: &Caller, id: &Id, params: Option<&RawValue>) -> Bytes {
    if has_cursor(params) {
        return reply::error(Some(id), INVALID_PARAMS, UNKNOWN_CURSOR);
    }
    tools::list(caller, id, "")
}
