//! The era without handshake: revision 2026-07-28. Every request says in `_meta` and in its headers what it is, and stands by
//! itself.
//!
//! Owns what a request of this era must say, and in which order that is looked at: clients tell by the code of the first
//! error which era a server speaks (2026-07-28 specification, versioning and transports).

use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::envelope::{
    self, BUSY, HEADER_MISMATCH, INVALID_PARAMS, INVALID_REQUEST, Id, METHOD_NOT_FOUND, Message,
    UNSUPPORTED_VERSION,
};
use super::lists::{self, List};
use super::offered::{self, Offered};
use super::ongoing::{Asking, passed_on};
use super::questions::{self, Finished, Question, Wanted};
use super::revision::Revision;
use super::{listen, reply};
use crate::call::Caller;
use crate::call::line::Client;
use crate::catalog::Tenant;

const VERSION: &str = "io.modelcontextprotocol/protocolVersion";
const CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
const LOG_LEVEL: &str = "io.modelcontextprotocol/logLevel";
pub(super) const SERVER: &str = "io.modelcontextprotocol/serverInfo";

/// How long a client may keep a list, in milliseconds. A change is told on `subscriptions/listen`; this is for clients that do
/// not listen.
const TTL_MS: u32 = 60_000;
/// Most characters of what a client sent that are repeated in an error.
const ECHOED: usize = 100;

/// A request, as far as this era looks at every one.
#[derive(Default, Deserialize)]
struct Params {
    #[serde(default, rename = "_meta")]
    meta: Option<Value>,
    #[serde(default)]
    name: Option<Value>,
    #[serde(default)]
    uri: Option<Value>,
    #[serde(default)]
    arguments: Option<Value>,
}

/// Why a request is not carried out.
struct Refusal {
    status: StatusCode,
    code: i64,
    message: String,
    data: Option<Value>,
}

impl Refusal {
    const fn bad(code: i64, message: String) -> Self {
        Self { status: StatusCode::BAD_REQUEST, code, message, data: None }
    }

    fn response(self, id: &Id) -> Response {
        reply::with_status(self.status, reply::error_with(Some(id), self.code, &self.message, self.data))
    }
}

/// Whether a message is of this era. Its header or its body may say so alone: such a request is told what it lacks. One that
/// names an older revision in both places means that revision; so does an `initialize` whose body says nothing.
pub(super) fn is_meant(header: Option<&str>, message: &Message) -> bool {
    let body = match message {
        Message::Request { params, .. } => version(&read(params.as_deref())),
        Message::Notification { .. } | Message::Response { .. } | Message::Invalid { .. } => None,
    };
    match (header, body) {
        (Some(header), Some(body)) => header != body || Revision::legacy(header).is_none(),
        (None, Some(_)) => true,
        (Some(header), None) => {
            !message.is_initialize() && is_date(header) && header >= Revision::MODERN.as_str()
        }
        (None, None) => false,
    }
}

fn is_date(text: &str) -> bool {
    let form = text.bytes().map(|byte| if byte.is_ascii_digit() { b'0' } else { byte });
    form.eq(*b"0000-00-00")
}

fn read(params: Option<&RawValue>) -> Params {
    envelope::params(params).unwrap_or_default()
}

fn version(params: &Params) -> Option<String> {
    params.meta.as_ref()?.get(VERSION)?.as_str().map(str::to_owned)
}

/// Answers one message.
pub(super) async fn answer(
    caller: Caller,
    headers: &HeaderMap,
    message: Message,
    takes_stream: bool,
) -> Response {
    let (id, method, params) = match message {
        Message::Request { id, method, params } => (id, method, params),
        Message::Notification { .. } | Message::Response { .. } => return reply::accepted(),
        Message::Invalid { id, reason } => return reply::invalid(id.as_ref(), reason),
    };
    let params = params.as_deref();
    if let Err(refusal) = check(headers, &method, params) {
        return refusal.response(&id);
    }
    if let Err(refusal) = check_mirrored(headers, &caller, &method, params) {
        return refusal.response(&id);
    }
    match method.as_str() {
        "server/discover" => reply::json(discover(&caller, &id)),
        "subscriptions/listen" => listen::answer(caller, id, params),
        method if !Offered::includes(&caller, method) => not_found(&id, method),
        method => match (List::named(method), questions::kind(method)) {
            (Some(list), _) => self::list(&caller, &id, list, params),
            (None, Some(_)) => call(&caller, id, method, params, takes_stream).await,
            (None, None) => not_found(&id, method),
        },
    }
}

fn not_found(id: &Id, method: &str) -> Response {
    let message = format!("Method not found: {}", cut(method));
    let refusal = Refusal { status: StatusCode::NOT_FOUND, code: METHOD_NOT_FOUND, message, data: None };
    refusal.response(id)
}

/// What every request must say, in the order in which clients expect to be told.
fn check(headers: &HeaderMap, method: &str, raw: Option<&RawValue>) -> Result<(), Refusal> {
    let params: Params = envelope::params(raw).map_err(|reason| Refusal::bad(INVALID_PARAMS, reason))?;
    let Some(header) = one(headers, super::VERSION_HEADER)? else {
        return Err(missing("MCP-Protocol-Version", Revision::MODERN.as_str()));
    };
    let body = version(&params);
    let has_capabilities =
        params.meta.as_ref().and_then(|meta| meta.get(CAPABILITIES)).is_some_and(Value::is_object);
    let Some(body) = body.filter(|_| has_capabilities) else {
        let message = format!("params._meta must hold {VERSION} (a string) and {CAPABILITIES} (an object).");
        return Err(Refusal::bad(INVALID_PARAMS, message));
    };
    if header != body {
        let message = format!(
            "The header MCP-Protocol-Version says {:?}, and params._meta says {:?}; send the same in both.",
            cut(&header),
            cut(&body)
        );
        return Err(Refusal::bad(HEADER_MISMATCH, message));
    }
    if header != Revision::MODERN.as_str() {
        return Err(unsupported(&header));
    }
    check_method(headers, method)?;
    check_name(headers, method, &params)
}

fn unsupported(asked: &str) -> Refusal {
    let message = format!("Protocol version {:?} is not spoken here. Use one of data.supported.", cut(asked));
    let data = json!({ "supported": Revision::ALL.map(Revision::as_str), "requested": cut(asked) });
    Refusal { status: StatusCode::BAD_REQUEST, code: UNSUPPORTED_VERSION, message, data: Some(data) }
}

fn check_method(headers: &HeaderMap, method: &str) -> Result<(), Refusal> {
    match one(headers, "mcp-method")? {
        None => Err(missing("Mcp-Method", &cut(method))),
        Some(said) if said == method => Ok(()),
        Some(said) => Err(differs("Mcp-Method", &said, method)),
    }
}

/// `Mcp-Name` repeats which tool, prompt or resource is meant.
fn check_name(headers: &HeaderMap, method: &str, params: &Params) -> Result<(), Refusal> {
    let meant = match method {
        "tools/call" | "prompts/get" => &params.name,
        "resources/read" => &params.uri,
        _ => return Ok(()),
    };
    // What is no name is told by the method itself.
    let Some(meant) = meant.as_ref().and_then(Value::as_str) else { return Ok(()) };
    let Some(said) = one(headers, "mcp-name")? else { return Err(missing("Mcp-Name", &cut(meant))) };
    match decoded(&said) {
        Some(said) if said == meant => Ok(()),
        Some(said) => Err(differs("Mcp-Name", &said, meant)),
        None => Err(Refusal::bad(HEADER_MISMATCH, "The header Mcp-Name holds no sound Base64.".to_owned())),
    }
}

/// Arguments that a tool's definition has clients repeat in headers (`Mcp-Param-…`).
fn check_mirrored(
    headers: &HeaderMap,
    caller: &Caller,
    method: &str,
    params: Option<&RawValue>,
) -> Result<(), Refusal> {
    if method != "tools/call" {
        return Ok(());
    }
    let params = read(params);
    let entry = params.name.as_ref().and_then(Value::as_str).and_then(|name| caller.visit.tenant.tool(name));
    for mirrored in entry.into_iter().flat_map(|entry| &entry.mirrored) {
        let name = format!("mcp-param-{}", mirrored.header.to_ascii_lowercase());
        let mut meant = params.arguments.as_ref();
        for part in &mirrored.path {
            meant = meant.and_then(|value| value.get(part));
        }
        let counts = meant.is_some_and(Value::is_number);
        let meant = match meant {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) => Some(text.clone()),
            Some(value @ (Value::Bool(_) | Value::Number(_))) => Some(value.to_string()),
            // What is no plain value is for the server to refuse.
            Some(Value::Array(_) | Value::Object(_)) => continue,
        };
        let header = format!("Mcp-Param-{}", mirrored.header);
        match (one(headers, &name)?, meant) {
            (None, None) => {}
            (None, Some(meant)) => return Err(missing(&header, &cut(&meant))),
            (Some(said), None) => return Err(differs(&header, &said, "")),
            (Some(said), Some(meant)) => match decoded(&said) {
                Some(said) if said == meant || (counts && is_same_number(&said, &meant)) => {}
                Some(said) => return Err(differs(&header, &said, &meant)),
                None => {
                    let text = format!("The header {header} holds no sound Base64.");
                    return Err(Refusal::bad(HEADER_MISMATCH, text));
                }
            },
        }
    }
    Ok(())
}

fn is_same_number(said: &str, meant: &str) -> bool {
    // Of large whole numbers a float holds the first digits alone.
    if let (Ok(said), Ok(meant)) = (said.parse::<i128>(), meant.parse::<i128>()) {
        return said == meant;
    }
    matches!((said.parse::<f64>(), meant.parse::<f64>()), (Ok(said), Ok(meant)) if said.to_bits() == meant.to_bits())
}

/// The one value of a header, without white space around it.
fn one(headers: &HeaderMap, name: &str) -> Result<Option<String>, Refusal> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let text = value.to_str().ok().filter(|_| values.next().is_none());
    text.map(|text| Some(text.trim().to_owned())).ok_or_else(|| {
        Refusal::bad(HEADER_MISMATCH, format!("The header {name} must be there once, in plain ASCII."))
    })
}

/// A value as it was meant: `=?base64?…?=` holds what a header cannot.
fn decoded(value: &str) -> Option<String> {
    match value.strip_prefix("=?base64?").and_then(|rest| rest.strip_suffix("?=")) {
        None => Some(value.to_owned()),
        Some(encoded) => String::from_utf8(STANDARD.decode(encoded).ok()?).ok(),
    }
}

fn missing(header: &str, wanted: &str) -> Refusal {
    Refusal::bad(HEADER_MISMATCH, format!("The header {header} is missing; send {header}: {wanted}."))
}

fn differs(header: &str, said: &str, meant: &str) -> Refusal {
    let (said, meant) = (cut(said), cut(meant));
    Refusal::bad(HEADER_MISMATCH, format!("The header {header} says {said:?}, and the body says {meant:?}."))
}

fn cut(text: &str) -> String {
    text.chars().take(ECHOED).collect()
}

/// Who answers, as `_meta` of every result.
pub(super) fn meta(tenant: &Tenant) -> Map<String, Value> {
    Map::from_iter([(SERVER.to_owned(), offered::server_info(tenant, Revision::MODERN))])
}

fn discover(caller: &Caller, id: &Id) -> bytes::Bytes {
    let tenant = &caller.visit.tenant;
    reply::result(
        id,
        json!({
            "resultType": "complete",
            "supportedVersions": Revision::ALL.map(Revision::as_str),
            "capabilities": Offered::to(caller).capabilities(Revision::MODERN),
            "instructions": offered::instructions(tenant),
            "ttlMs": TTL_MS,
            "cacheScope": "private",
            "_meta": meta(tenant),
        }),
    )
}

fn list(caller: &Caller, id: &Id, list: List, params: Option<&RawValue>) -> Response {
    // What one person sees is no other's: a cache between must not share it.
    let meta = Value::Object(meta(&caller.visit.tenant));
    let more = format!(r#","resultType":"complete","ttlMs":{TTL_MS},"cacheScope":"private","_meta":{meta}"#);
    reply::json(lists::answer(caller, id, list, params, Revision::MODERN, &more))
}

async fn call(
    caller: &Caller,
    id: Id,
    method: &str,
    params: Option<&RawValue>,
    takes_stream: bool,
) -> Response {
    let Some(kind) = questions::kind(method) else { return not_found(&id, method) };
    if let Some(reason) = questions::too_narrow(caller, kind, params) {
        let body = reply::error(Some(&id), INVALID_REQUEST, &reason);
        return reply::step_up(body, &caller.visit.tenant.origin);
    }
    let revision = Revision::MODERN;
    let refused =
        |id: &Id, finished: &Finished| reply::with_status(finished.status(revision), finished.body(id));
    let wanted = match Question::read(caller, kind, revision, params) {
        Ok(wanted) => wanted,
        Err(finished) => return refused(&id, &finished),
    };
    let (client, scope) = (client(params), String::new());
    let asking = Asking { caller, revision, id: id.clone(), client, scope };
    let begun = match wanted {
        Wanted::Call(question) => match caller.app.capacity.call(caller.visit.tenant.id) {
            Ok(permit) => asking.begin(question, permit),
            Err(full) => return reply::busy(reply::error(Some(&id), BUSY, &full.to_string())),
        },
        Wanted::Resumption(resumption) => match asking.resume(resumption).await {
            Ok(begun) => begun,
            Err(finished) => return refused(&id, &finished),
        },
    };
    begun.response(takes_stream).await
}

/// What the client said of itself in a request.
fn client(params: Option<&RawValue>) -> Client {
    let Some(Value::Object(meta)) = read(params).meta else { return Client::default() };
    let capabilities = meta.get(CAPABILITIES).and_then(Value::as_object).cloned().unwrap_or_default();
    let log_level = meta.get(LOG_LEVEL).and_then(Value::as_str).map(str::to_owned);
    Client { capabilities, meta: passed_on(meta), log_level, rounds: true }
}

#[cfg(test)]
mod tests {
    use super::super::envelope::Incoming;
    use super::*;

    fn message(body: &Value) -> Message {
        match envelope::parse(body.to_string().as_bytes()) {
            Ok(Incoming::Single(message)) => message,
            other => panic!("{other:?}"),
        }
    }

    fn request(method: &str, version: Option<&str>) -> Value {
        let meta = version.map_or_else(|| json!({}), |v| json!({ VERSION: v, CAPABILITIES: {} }));
        json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": {"name": "a_b", "_meta": meta}})
    }

    fn code(headers: &[(&'static str, &str)], body: &Value) -> i64 {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        let Message::Request { method, params, .. } = message(body) else { panic!("{body}") };
        check(&map, &method, params.as_deref()).err().map_or(0, |refusal| refusal.code)
    }

    #[test]
    fn the_era_is_told_by_header_or_body_and_an_old_revision_in_both_is_the_old_era() {
        for (header, body, modern) in [
            (None, None, false),
            (Some("2025-11-25"), None, false),
            (Some("2025-11-25"), Some("2025-11-25"), false),
            (Some("v999"), None, false),
            (Some("2026-07-28"), None, true),
            (Some("2031-01-01"), None, true),
            (None, Some("2026-07-28"), true),
            (Some("2025-11-25"), Some("2026-07-28"), true),
            (Some("v999"), Some("v999"), true),
        ] {
            assert_eq!(
                is_meant(header, &message(&request("tools/list", body))),
                modern,
                "{header:?} {body:?}"
            );
        }
        assert!(!is_meant(Some("2026-07-28"), &message(&request("initialize", None))));
        assert!(is_meant(Some("2026-07-28"), &message(&request("initialize", Some("2026-07-28")))));
    }

    #[test]
    fn numbers_are_the_same_however_they_are_written_and_not_when_they_are_near() {
        assert!(is_same_number("1.0", "1") && is_same_number("1e3", "1000") && is_same_number("007", "7"));
        assert!(!is_same_number("9007199254740993", "9007199254740992") && !is_same_number("x", "1"));
    }

    #[test]
    fn params_that_cannot_be_read_are_said_to_be_that() {
        let raw = RawValue::from_string(r#"{"name":"a_b","arguments":{"n":1e400}}"#.to_owned()).unwrap();
        let mut headers = HeaderMap::new();
        headers.insert("mcp-protocol-version", "2026-07-28".parse().unwrap());
        let refusal = check(&headers, "tools/call", Some(&raw)).err().unwrap();
        assert_eq!(refusal.code, INVALID_PARAMS);
        assert!(refusal.message.contains("number out of range"), "{}", refusal.message);
    }

    #[test]
    fn each_thing_that_is_missing_or_differs_has_its_code() {
        let now = request("tools/call", Some("2026-07-28"));
        let version = ("mcp-protocol-version", "2026-07-28");
        let (method, name) = (("mcp-method", "tools/call"), ("mcp-name", "a_b"));
        assert_eq!(code(&[version, method, name], &now), 0);
        assert_eq!(
            code(&[version, ("mcp-method", " tools/call "), ("mcp-name", "=?base64?YV9i?=")], &now),
            0
        );
        for wrong in [
            &[method, name][..],
            &[version, name],
            &[version, method],
            &[version, ("mcp-method", "Tools/call"), name],
            &[version, method, ("mcp-name", "A_b")],
            &[version, method, ("mcp-name", "=?base64?%%?=")],
            &[version, version, method, name],
            &[("mcp-protocol-version", "v999"), method, name],
        ] {
            assert_eq!(code(wrong, &now), HEADER_MISMATCH, "{wrong:?}");
        }
        assert_eq!(code(&[version, method, name], &request("tools/call", None)), INVALID_PARAMS);
        let future = request("tools/call", Some("v999"));
        assert_eq!(code(&[("mcp-protocol-version", "v999"), method, name], &future), UNSUPPORTED_VERSION);
    }
}
