//! How an API wants its credential: the security schemes of a document as DADL's `auth`.

use std::collections::HashMap;

use serde_json::Value as Json;

use super::{Document, one_line, refs};

/// The `auth` of a connector.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Auth {
    /// Lines of DADL below `auth:`, key and value.
    pub lines: Vec<(&'static str, String)>,
    pub scopes: Vec<String>,
    /// How to get the credential, where the document says.
    pub steps: Vec<String>,
    pub note: Option<String>,
}

/// Chooses the scheme that most of these operations accept. `required` are the operations' own requirements, or the
/// document's where they have none.
pub(super) fn choose(document: &Document, required: &[Option<&Json>]) -> Auth {
    let schemes = schemes(document);
    let shared = document.root.get("security");
    let mut uses: HashMap<&str, (usize, usize)> = HashMap::new();
    let mut order = 0;
    for requirement in required {
        let alternatives = requirement.or(shared).and_then(Json::as_array);
        for alternative in alternatives.into_iter().flatten().filter_map(Json::as_object) {
            // One credential is sent; a pair of them counts for the first that is known.
            for name in alternative.keys().filter(|name| schemes.contains_key(name.as_str())) {
                order += 1;
                uses.entry(name.as_str()).or_insert((0, order)).0 += 1;
            }
        }
    }
    if uses.is_empty() && schemes.len() == 1 && shared.is_none() {
        uses.extend(schemes.keys().map(|name| (name.as_str(), (1, 0))));
    }
    let rank = |name: &str| schemes.get(name).map_or(9, |scheme| preference(scheme));
    let best =
        uses.iter().min_by_key(|(name, (count, order))| (std::cmp::Reverse(*count), rank(name), *order));
    let Some((name, _)) = best else {
        let note = (!schemes.is_empty())
            .then(|| "No chosen operation asks for a credential, so none is sent.".to_owned());
        return Auth { lines: vec![("type", "none".to_owned())], note, ..Auth::default() };
    };
    let mut auth = schemes.get(*name).map(|scheme| read(scheme)).unwrap_or_default();
    let together = required.iter().any(|requirement| {
        let alternatives = requirement.or(shared).and_then(Json::as_array);
        alternatives
            .into_iter()
            .flatten()
            .filter_map(Json::as_object)
            .any(|a| a.len() > 1 && a.contains_key(*name))
    });
    if together {
        let note =
            format!("Some operations ask for more than one credential; {name} is the one that is sent.");
        auth.note = Some(note);
    }
    auth
}

fn schemes(document: &Document) -> HashMap<String, &Json> {
    let pointer = if document.swagger { "/securityDefinitions" } else { "/components/securitySchemes" };
    let all = document.root.pointer(pointer).and_then(Json::as_object);
    let followed = |(name, scheme)| Some((String::clone(name), refs::follow(&document.root, scheme).ok()?));
    all.into_iter().flatten().filter_map(followed).filter(|(_, scheme)| preference(scheme) < 9).collect()
}

/// What is simplest to give comes first; 9 for what cannot be given.
fn preference(scheme: &Json) -> u8 {
    let word = |key: &str| scheme.get(key).and_then(Json::as_str).unwrap_or_default().to_ascii_lowercase();
    match (word("type").as_str(), word("scheme").as_str()) {
        ("http", "bearer") => 0,
        ("apikey", _) if is_usable(scheme) => 1,
        ("oauth2" | "openidconnect", _) => 2,
        ("http", "basic") | ("basic", _) => 3,
        _ => 9,
    }
}

/// Whether a key can be sent where the document says.
fn is_usable(scheme: &Json) -> bool {
    let text = |key: &str| scheme.get(key).and_then(Json::as_str).unwrap_or_default();
    let name = text("name");
    match text("in") {
        "query" => super::params::is_sendable(name),
        "header" | "cookie" => http::HeaderName::try_from(name).is_ok(),
        _ => false,
    }
}

fn read(scheme: &Json) -> Auth {
    let text = |key: &str| scheme.get(key).and_then(Json::as_str).unwrap_or_default();
    let described = one_line(text("description"), 400);
    let steps = if described.is_empty() { Vec::new() } else { vec![described] };
    let line = |key, value: &str| (key, value.to_owned());
    let (lines, scopes, note) = match (text("type"), text("scheme").to_ascii_lowercase().as_str()) {
        ("http", "basic") | ("basic", _) => (
            vec![
                line("type", "basic"),
                line("username_credential", "username"),
                line("password_credential", "password"),
            ],
            Vec::new(),
            None,
        ),
        ("apiKey", _) => (api_key(text("in"), text("name")), Vec::new(), None),
        ("oauth2" | "openIdConnect", _) => {
            let note = "The document asks for OAuth 2. Give an access token, or edit `auth` below to have one fetched.";
            (bearer(), scopes(scheme), Some(note.to_owned()))
        }
        _ => (bearer(), Vec::new(), None),
    };
    Auth { lines, scopes, steps, note }
}

fn bearer() -> Vec<(&'static str, String)> {
    vec![("type", "bearer".to_owned()), ("credential", "access_token".to_owned())]
}

fn api_key(place: &str, name: &str) -> Vec<(&'static str, String)> {
    let mut lines = vec![("type", "apikey".to_owned()), ("credential", "api_key".to_owned())];
    match place {
        "query" => {
            lines.push(("inject_into", "query".to_owned()));
            lines.push(("query_param", name.to_owned()));
        }
        "cookie" => {
            lines.push(("header_name", "Cookie".to_owned()));
            lines.push(("prefix", format!("{name}=")));
        }
        // Some documents describe a bearer token so, to be typed with its prefix.
        _ if name.eq_ignore_ascii_case("authorization") => {
            lines.push(("header_name", "Authorization".to_owned()));
            lines.push(("prefix", String::new()));
        }
        _ => lines.push(("header_name", name.to_owned())),
    }
    lines
}

/// Names of scopes, from every flow.
fn scopes(scheme: &Json) -> Vec<String> {
    let flows = scheme.get("flows").and_then(Json::as_object);
    let mut all: Vec<&Json> = flows.into_iter().flat_map(|flows| flows.values()).collect();
    // Swagger 2.0 has one flow in the scheme itself.
    all.push(scheme);
    let mut names: Vec<String> = Vec::new();
    for scope in all.iter().filter_map(|flow| flow.get("scopes")?.as_object()).flat_map(|s| s.keys()) {
        if !names.contains(scope) && names.len() < 60 {
            names.push(one_line(scope, 200));
        }
    }
    names
}
