//! Clients that are known by a document on the web: the client id is its URL, and whoever holds the URL vouches for what
//! stands there (OAuth Client ID Metadata Documents).
//!
//! A document is fetched for a member who is about to decide, never for a stranger, and never to answer a client. It is kept
//! as long as it says, within bounds; where it cannot be fetched, what the workspace saw last serves, or a copy of a
//! well-known one that was shipped: hosts have outages, and some turn away requests from clouds.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{HeaderMap, StatusCode, header};
use moka::future::Cache;
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::{Mutex, Semaphore};
use url::Url;

use super::{AuthMethod, Client, Kind, MAX_CLIENT_ID, Standing, display_name};
use crate::oauth::{key_sets, redirect};
use crate::outbound::{Outbound, OutboundError, Outgoing};

/// Largest document, in bytes.
const MAX_BYTES: usize = 64 << 10;

/// Longest wait for one.
const WITHIN: Duration = Duration::from_secs(3);

/// Most redirect URIs of a document.
const MAX_REDIRECTS: usize = 50;

/// How long a document is kept: as it says, between these, and so long where it says nothing.
const KEPT_LEAST: Duration = Duration::from_secs(300);
const KEPT_MOST: Duration = Duration::from_secs(24 * 3600);
const KEPT_USUALLY: Duration = Duration::from_secs(3600);

/// How long a failure is remembered.
const FAILED_FOR: Duration = Duration::from_secs(30);

/// Documents that are fetched at a time.
const FETCHES: usize = 8;

/// Copies for the time when their hosts do not answer.
const PINNED: [(&str, &str); 4] = [
    ("https://chatgpt.com/oauth/client.json", include_str!("../pinned/chatgpt.json")),
    ("https://chatgpt.com/oauth/codex/client.json", include_str!("../pinned/codex.json")),
    ("https://claude.ai/oauth/mcp-oauth-client-metadata", include_str!("../pinned/claude.json")),
    ("https://claude.ai/oauth/claude-code-client-metadata", include_str!("../pinned/claude_code.json")),
];

/// Why a document makes no client.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    #[error(
        "its id is no address of a document: an https URL with a path, without user, password, fragment and dots for folders"
    )]
    Address,
    /// It may be there again tomorrow; what is known of it stays good.
    #[error("its document at {host} could not be fetched: {why}")]
    Away { host: String, why: String },
    /// It is there and is wrong.
    #[error("its document at {host} is not usable: {why}")]
    Broken { host: String, why: &'static str },
}

/// Documents by their address. Cheap to clone.
#[derive(Clone)]
pub struct Documents {
    outbound: Outbound,
    known: Cache<String, Arc<Mutex<Slot>>>,
    turns: Arc<Semaphore>,
}

#[derive(Default)]
struct Slot {
    client: Option<Client>,
    good_until: Option<Instant>,
    failed: Option<(Instant, DocumentError)>,
}

impl Documents {
    #[must_use]
    pub fn new(outbound: Outbound) -> Self {
        let known = Cache::builder().max_capacity(2000).time_to_idle(KEPT_MOST).build();
        Self { outbound, known, turns: Arc::new(Semaphore::new(FETCHES)) }
    }

    /// The client of a document, as the document says now. `last` is what the workspace knew of it.
    ///
    /// # Errors
    /// When the document is broken, or away and nobody has seen it.
    pub async fn client(&self, client_id: &str, last: Option<&Client>) -> Result<Client, DocumentError> {
        let keep_standing = |mut client: Client| {
            if let Some(last) = last {
                client.standing = last.standing;
                client.stored = true;
            }
            client
        };
        match self.current(client_id).await {
            Ok(client) => Ok(keep_standing(client)),
            Err(DocumentError::Away { host, why }) => {
                let copy = last.cloned().or_else(|| pinned(client_id).map(keep_standing));
                tracing::warn!(host, why, copy = copy.is_some(), "a client's document could not be fetched");
                copy.ok_or(DocumentError::Away { host, why })
            }
            Err(error) => Err(error),
        }
    }

    async fn current(&self, client_id: &str) -> Result<Client, DocumentError> {
        let url = address(client_id)?;
        let slot = self.known.get_with(client_id.to_owned(), async { Arc::default() }).await;
        // One request at a time for one document; whoever waited finds its answer.
        let mut slot = slot.lock().await;
        if let Some(client) = slot.client.clone().filter(|_| slot.good_until > Some(Instant::now())) {
            return Ok(client);
        }
        let failed = slot.failed.take().filter(|(at, _)| at.elapsed() < FAILED_FOR);
        let found = match failed {
            Some((at, error)) => {
                slot.failed = Some((at, error.clone()));
                Err(error)
            }
            None => self.fetch(&url, client_id).await,
        };
        match found {
            Ok((client, keep)) => {
                *slot = Slot {
                    client: Some(client.clone()),
                    good_until: Some(Instant::now() + keep),
                    failed: None,
                };
                Ok(client)
            }
            Err(error) => {
                slot.failed.get_or_insert_with(|| (Instant::now(), error.clone()));
                match (&error, slot.client.clone()) {
                    (DocumentError::Away { .. }, Some(client)) => Ok(client),
                    _ => Err(error),
                }
            }
        }
    }

    async fn fetch(&self, url: &Url, client_id: &str) -> Result<(Client, Duration), DocumentError> {
        let host = url.host_str().unwrap_or_default().to_owned();
        let away = |why: String| DocumentError::Away { host: host.clone(), why };
        let broken = |why| DocumentError::Broken { host: host.clone(), why };
        let _turn = self.turns.try_acquire().map_err(|_| away(OutboundError::Busy.to_string()))?;
        let answer = self.outbound.send(Outgoing::get(url.clone(), MAX_BYTES, WITHIN)).await;
        let answer = answer.map_err(|error| match error {
            OutboundError::Refused(_) => broken("its address is not one that may be called from here"),
            OutboundError::TooLarge(_) => broken("it is larger than 64 KiB"),
            error => away(error.to_string()),
        })?;
        if answer.status.is_redirection() {
            return Err(broken("its address redirects, which a client id may not"));
        }
        if answer.status == StatusCode::GONE {
            return Err(broken("it was withdrawn"));
        }
        if answer.status != StatusCode::OK {
            return Err(away(format!("it answered {}", answer.status)));
        }
        if !is_json(&answer.headers) {
            return Err(away("it is no JSON".to_owned()));
        }
        let client = read(client_id, &answer.body).map_err(broken)?;
        Ok((client, kept(&answer.headers)))
    }
}

/// Whether a client id names a document.
#[must_use]
pub fn is_document(client_id: &str) -> bool {
    client_id.starts_with("https://")
}

/// The address of a document: exactly as the parser writes it, so that one document has one id.
fn address(client_id: &str) -> Result<Url, DocumentError> {
    if client_id.len() > MAX_CLIENT_ID {
        return Err(DocumentError::Address);
    }
    let url = Url::parse(client_id).map_err(|_| DocumentError::Address)?;
    let plain = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
    let exact = url.as_str() == client_id;
    if url.scheme() != "https" || url.path() == "/" || !plain || !exact {
        return Err(DocumentError::Address);
    }
    Ok(url)
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    kind == "application/json" || (kind.starts_with("application/") && kind.ends_with("+json"))
}

/// How long an answer may be kept.
fn kept(headers: &HeaderMap) -> Duration {
    let all = headers.get_all(header::CACHE_CONTROL).iter().filter_map(|v| v.to_str().ok());
    let directives: Vec<&str> = all.flat_map(|v| v.split(',')).map(str::trim).collect();
    let has = |name: &str| directives.iter().any(|d| d.eq_ignore_ascii_case(name));
    if has("no-store") || has("no-cache") {
        return KEPT_LEAST;
    }
    let age = directives.iter().find_map(|d| d.strip_prefix("max-age=")?.parse().ok());
    age.map_or(KEPT_USUALLY, Duration::from_secs).clamp(KEPT_LEAST, KEPT_MOST)
}

/// What a document says; what it says besides is nothing to us.
#[derive(Deserialize)]
struct Document {
    client_id: Option<String>,
    client_name: Option<String>,
    #[serde(default)]
    redirect_uris: Vec<String>,
    token_endpoint_auth_method: Option<String>,
    #[serde(default)]
    token_endpoint_auth_methods_supported: Vec<String>,
    jwks: Option<Value>,
    jwks_uri: Option<String>,
    client_secret: Option<Value>,
    client_secret_expires_at: Option<Value>,
}

/// Reads a document under the rules for one.
fn read(client_id: &str, bytes: &[u8]) -> Result<Client, &'static str> {
    let document: Document =
        serde_json::from_slice(bytes).map_err(|_| "it is no client's metadata in JSON")?;
    if document.client_id.as_deref() != Some(client_id) {
        return Err("its client_id is another than its address");
    }
    if document.client_secret.is_some() || document.client_secret_expires_at.is_some() {
        return Err("it holds a client secret, which everybody can read");
    }
    if document.client_name.as_deref().is_none_or(|name| name.trim().is_empty()) {
        return Err("it has no client_name");
    }
    let redirect_uris: Vec<String> =
        document.redirect_uris.iter().filter(|uri| redirect::is_acceptable(uri)).cloned().collect();
    if redirect_uris.is_empty() || document.redirect_uris.len() > MAX_REDIRECTS {
        return Err(
            "it must have 1 to 50 redirect_uris: https, http on localhost, or an application's own scheme",
        );
    }
    let auth_method = method(&document)?;
    let signs = auth_method == AuthMethod::PrivateKeyJwt;
    Ok(Client {
        client_id: client_id.to_owned(),
        name: display_name(document.client_name.as_deref(), Some(client_id), &redirect_uris),
        redirect_uris,
        kind: Kind::MetadataDocument,
        auth_method,
        jwks: document.jwks.filter(|_| signs),
        jwks_uri: document.jwks_uri.filter(|_| signs),
        grant_types: vec!["authorization_code".to_owned(), "refresh_token".to_owned()],
        standing: Standing::Allowed,
        stored: false,
    })
}

/// How the client will prove who it is: what it prefers, where we and its keys allow it. A secret in a public document is
/// none, so there is no such way.
fn method(document: &Document) -> Result<AuthMethod, &'static str> {
    let preferred = match document.token_endpoint_auth_method.as_deref() {
        None | Some("none") => AuthMethod::None,
        Some("private_key_jwt") => AuthMethod::PrivateKeyJwt,
        Some(_) => return Err("its token_endpoint_auth_method must be none or private_key_jwt"),
    };
    if preferred == AuthMethod::None {
        return Ok(AuthMethod::None);
    }
    let keys = match (&document.jwks, document.jwks_uri.as_deref()) {
        (Some(set), None) => key_sets::check(set).is_ok(),
        (None, Some(uri)) => key_sets::address(uri).is_ok(),
        _ => false,
    };
    if keys {
        return Ok(AuthMethod::PrivateKeyJwt);
    }
    if document.token_endpoint_auth_methods_supported.iter().any(|method| method == "none") {
        return Ok(AuthMethod::None);
    }
    Err("private_key_jwt needs usable public keys, in either jwks or jwks_uri")
}

/// The shipped copy of a well-known document.
fn pinned(client_id: &str) -> Option<Client> {
    let (_, text) = PINNED.iter().find(|(id, _)| *id == client_id)?;
    read(client_id, text.as_bytes()).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ID: &str = "https://client.example/oauth/client.json";

    fn good() -> Value {
        json!({"client_id": ID, "client_name": "Example", "redirect_uris": ["https://client.example/cb"],
               "grant_types": ["authorization_code", "urn:ietf:params:oauth:grant-type:jwt-bearer"], "new": {"x": 1}})
    }

    fn read_with(name: &str, value: Value) -> Result<Client, &'static str> {
        let mut document = good();
        document[name] = value;
        read(ID, document.to_string().as_bytes())
    }

    #[test]
    fn only_an_exact_https_address_with_a_path_is_a_client_id() {
        for fine in
            [ID, "https://client.example:8443/c?token_endpoint_auth_method=none", "https://c.example/a/"]
        {
            assert!(address(fine).is_ok(), "{fine}");
        }
        for bad in [
            "http://client.example/c",
            "https://client.example",
            "https://client.example/",
            "https://client.example/c#x",
            "https://u@client.example/c",
            "https://u:p@client.example/c",
            "https://client.example/a/../c",
            "https://client.example/a/%2e%2e/c",
            "https://client.example/./c",
            "https://CLIENT.example/c",
            "https://client.example:443/c",
            "https://client.example\\c",
            "https:///c",
        ] {
            assert_eq!(address(bad), Err(DocumentError::Address), "{bad}");
        }
    }

    #[test]
    fn a_document_is_read_and_what_is_unknown_in_it_is_ignored() {
        let client = read(ID, good().to_string().as_bytes()).unwrap();
        assert_eq!((client.name.as_str(), client.auth_method), ("Example", AuthMethod::None));
        assert!(!client.may("urn:ietf:params:oauth:grant-type:jwt-bearer"));
        assert!(!client.stored);
    }

    #[test]
    fn a_document_that_breaks_a_rule_makes_no_client() {
        for (name, value) in [
            ("client_id", json!("https://client.example/oauth/client.json/")),
            ("client_id", Value::Null),
            ("client_name", Value::Null),
            ("client_name", json!("  ")),
            ("redirect_uris", json!([])),
            ("redirect_uris", json!(["javascript:alert(1)"])),
            ("redirect_uris", json!("https://client.example/cb")),
            ("redirect_uris", json!(vec!["https://client.example/cb"; 51])),
            ("client_secret", json!("s")),
            ("client_secret_expires_at", json!(0)),
            ("token_endpoint_auth_method", json!("client_secret_basic")),
            ("token_endpoint_auth_method", json!("client_secret_jwt")),
            ("token_endpoint_auth_method", json!("private_key_jwt")),
        ] {
            assert!(read_with(name, value.clone()).is_err(), "{name} = {value}");
        }
        assert!(read(ID, b"<html>").is_err());
        assert!(read(ID, b"[]").is_err());
    }

    #[test]
    fn a_client_signs_where_it_prefers_to_and_has_keys() {
        let mut document = good();
        document["token_endpoint_auth_method"] = json!("private_key_jwt");
        document["token_endpoint_auth_methods_supported"] = json!(["none", "private_key_jwt"]);
        let read_it = |document: &Value| read(ID, document.to_string().as_bytes()).unwrap().auth_method;
        assert_eq!(read_it(&document), AuthMethod::None, "it has no keys");
        document["jwks_uri"] = json!("https://client.example/keys");
        assert_eq!(read_it(&document), AuthMethod::PrivateKeyJwt);
    }

    fn documents(allow_private: bool) -> Documents {
        let policy = toolmesh_proto::egress::EgressPolicy { allow_private };
        Documents::new(Outbound::new(policy, b"").unwrap())
    }

    #[tokio::test]
    async fn a_document_on_a_private_address_is_not_fetched() {
        for id in [
            "https://127.0.0.1/c",
            "https://localhost/c",
            "https://[::ffff:a9fe:a9fe]/c",
            "https://10.0.0.1/c",
        ] {
            let error = documents(false).client(id, None).await.err();
            assert!(matches!(error, Some(DocumentError::Broken { .. })), "{id}: {error:?}");
        }
    }

    #[tokio::test]
    async fn where_a_document_is_away_what_was_known_of_it_serves() {
        // Nothing listens on port 1.
        let id = "https://127.0.0.1:1/c";
        let mut last = read(ID, good().to_string().as_bytes()).unwrap();
        last.client_id = id.to_owned();
        last.standing = Standing::Blocked;
        let found = documents(true).client(id, Some(&last)).await.unwrap();
        assert_eq!((found.name.as_str(), found.standing), ("Example", Standing::Blocked));
        assert!(matches!(documents(true).client(id, None).await, Err(DocumentError::Away { .. })));
    }

    #[test]
    fn the_shipped_copies_are_good_documents() {
        for (id, _) in PINNED {
            let client = pinned(id).unwrap();
            assert_eq!(client.client_id, id);
        }
        assert_eq!(pinned(PINNED[0].0).unwrap().auth_method, AuthMethod::PrivateKeyJwt);
        assert!(pinned(ID).is_none());
    }

    #[test]
    fn a_document_is_kept_as_it_says_within_bounds() {
        let said = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CACHE_CONTROL, header::HeaderValue::from_static(text));
            kept(&headers).as_secs()
        };
        assert_eq!(kept(&HeaderMap::new()), KEPT_USUALLY);
        assert_eq!(said("max-age=0"), 300);
        assert_eq!(said("no-store, max-age=7200"), 300);
        assert_eq!(said("public, max-age=7200"), 7200);
        assert_eq!(said("max-age=99999999"), 86400);
        assert_eq!(said("max-age=nonsense"), 3600);
    }
}
