//! What we say of ourselves and of the client with each request: `_meta`, capabilities, who we are.

use serde_json::{Map, Value, json};

use super::server::MODERN;
use crate::call::line::Line;

/// The protocol's own keys of `_meta`: between two ends of one connection, never passed on.
const OURS: [&str; 6] = [
    "io.modelcontextprotocol/protocolVersion",
    "io.modelcontextprotocol/clientInfo",
    "io.modelcontextprotocol/clientCapabilities",
    "io.modelcontextprotocol/logLevel",
    "io.modelcontextprotocol/serverInfo",
    "io.modelcontextprotocol/subscriptionId",
];
/// What a client can be asked in the middle of a call.
const ASKABLE: [&str; 3] = ["elicitation", "sampling", "roots"];
/// An extension by which a server answers later, to whoever asks; it is asked for nobody.
const TASKS: &str = "io.modelcontextprotocol/tasks";
/// The first revision with elicitation by a page of the server's.
const URL_ELICITATION: &str = "2025-11-25";

/// Who asks.
pub(super) fn client_info() -> Value {
    json!({"name": "toolmesh", "title": "ToolMesh", "version": env!("CARGO_PKG_VERSION")})
}

/// The client's capabilities that can be served over its line, as a server of this revision understands them.
pub(super) fn capabilities(line: &Line, revision: &str) -> Map<String, Value> {
    let mut all = Map::new();
    for name in ASKABLE {
        if !line.can(name) {
            continue;
        }
        let mut capability = line.client().capabilities.get(name).cloned().unwrap_or_else(|| json!({}));
        match (name, &mut capability) {
            // Without `url` or `form` it is a form.
            ("elicitation", Value::Object(modes)) if revision < URL_ELICITATION => {
                if modes.contains_key("url") && !modes.contains_key("form") {
                    continue;
                }
                modes.clear();
            }
            // Changes of the roots are not passed on.
            ("roots", Value::Object(roots)) => roots.clear(),
            _ => {}
        }
        all.insert(name.to_owned(), capability);
    }
    let extensions = line.client().capabilities.get("extensions").and_then(Value::as_object);
    let extensions: Map<String, Value> = extensions
        .into_iter()
        .flatten()
        .filter(|(name, _)| name.as_str() != TASKS)
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    if !extensions.is_empty() && revision >= URL_ELICITATION {
        all.insert("extensions".to_owned(), extensions.into());
    }
    all
}

/// Whether the client can be asked anything by a server of this revision.
pub(super) fn can_be_asked(line: &Line, revision: &str) -> bool {
    let capabilities = capabilities(line, revision);
    ASKABLE.into_iter().any(|name| capabilities.contains_key(name))
}

/// What the client sent along that is not between it and us.
fn passed_on(line: &Line) -> Map<String, Value> {
    let meta = line.client().meta.iter();
    meta.filter(|(key, _)| !OURS.contains(&key.as_str()))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

/// `_meta` of a request of revision 2026-07-28.
pub(super) fn modern(line: &Line) -> Map<String, Value> {
    let mut meta = passed_on(line);
    meta.insert(OURS[0].to_owned(), MODERN.into());
    meta.insert(OURS[1].to_owned(), client_info());
    meta.insert(OURS[2].to_owned(), capabilities(line, MODERN).into());
    if let Some(level) = &line.client().log_level {
        meta.insert(OURS[3].to_owned(), level.clone().into());
    }
    meta
}

/// `_meta` of a request of an older revision, with a progress token that is unique in its session where the client wants to
/// hear of progress.
pub(super) fn legacy(line: &Line, token: u64) -> Map<String, Value> {
    let mut meta = passed_on(line);
    if let Some(theirs) = meta.get_mut("progressToken") {
        *theirs = token.into();
    }
    meta
}

#[cfg(test)]
mod tests {
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::call::line::Client;

    fn line(capabilities: &Value, meta: &Value) -> Line {
        let client = Client {
            capabilities: capabilities.as_object().unwrap().clone(),
            meta: meta.as_object().unwrap().clone(),
            log_level: Some("warning".into()),
            rounds: false,
        };
        // The other end is kept open by nobody, which does not matter here.
        Line::new(client, CancellationToken::new()).0
    }

    #[test]
    fn a_server_hears_of_what_the_client_can_and_of_nothing_that_cannot_be_passed_on() {
        let line = line(
            &json!({"elicitation": {"form": {}, "url": {}}, "roots": {"listChanged": true}, "tasks": {},
                "experimental": {}, "extensions": {TASKS: {}, "io.modelcontextprotocol/ui": {"a": 1}}}),
            &json!({}),
        );
        let expected = json!({"elicitation": {"form": {}, "url": {}}, "roots": {},
            "extensions": {"io.modelcontextprotocol/ui": {"a": 1}}});
        assert_eq!(Value::from(capabilities(&line, MODERN)), expected);
        let expected = json!({"elicitation": {}, "roots": {}});
        assert_eq!(Value::from(capabilities(&line, "2025-06-18")), expected);
        assert!(capabilities(&Line::silent(CancellationToken::new()), MODERN).is_empty());
    }

    #[test]
    fn vendors_keys_and_trace_context_travel_and_the_protocols_own_keys_are_ours() {
        let line = line(
            &json!({}),
            &json!({"progressToken": "p", "traceparent": "00-1", "acme/x": [1],
                "io.modelcontextprotocol/clientInfo": {"name": "other"}}),
        );
        let meta = modern(&line);
        assert_eq!(meta["progressToken"], "p");
        assert_eq!(meta["acme/x"], json!([1]));
        assert_eq!(meta["io.modelcontextprotocol/clientInfo"]["name"], "toolmesh");
        assert_eq!(meta["io.modelcontextprotocol/logLevel"], "warning");
        let meta = Value::from(legacy(&line, 7));
        assert_eq!(meta, json!({"progressToken": 7, "traceparent": "00-1", "acme/x": [1]}));
    }
}
