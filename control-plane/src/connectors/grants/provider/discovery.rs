//! Finding the authorization server of an MCP server: from its challenge and its documents (RFC 9728, RFC 8414, OpenID Connect
//! Discovery), and for servers of the first revision from where that says they are.
//!
//! Every document is a stranger's: it is fetched through the guarded client, bounded, and believed only as far as it speaks for
//! the address that it was fetched for.

use std::time::Duration;

use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use url::Url;

use super::challenge::Challenge;
use crate::connectors::upstream::client;
use crate::outbound::{Outbound, Outgoing};

/// Most bytes of one document.
const MAX_DOCUMENT: usize = 256 * 1024;
/// Longest wait for one.
const WITHIN: Duration = Duration::from_secs(5);
/// Longest wait for a server's challenge.
const CHALLENGE: Duration = Duration::from_secs(10);
/// Most scopes that are asked for, in bytes.
const MAX_SCOPES: usize = 2_000;

/// Why no authorization server was found; for people, and without anything of a stranger's but addresses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    #[error("{0} names the resource {1}, which is not this server")]
    Resource(String, String),
    #[error("{0} says that its issuer is {1}, which is another")]
    Issuer(String, String),
    #[error("{0} names no usable {1}")]
    Endpoint(String, &'static str),
    #[error("{0} does not offer PKCE with S256, without which a login could be stolen")]
    Pkce(String),
    #[error("{0} has no document about its endpoints")]
    NoDocument(String),
}

/// An authorization server, with what it was found for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Discovered {
    /// The protected resource; empty where the server names none.
    pub resource: String,
    pub issuer: String,
    pub authorization_endpoint: String,
    pub token_endpoint: String,
    pub registration_endpoint: String,
    pub revocation_endpoint: String,
    pub auth_methods: Vec<String>,
    /// What is asked for.
    pub scopes: Vec<String>,
    /// It takes the URL of a document as a client id.
    pub takes_document: bool,
    /// It names itself in its answers (RFC 9207).
    pub names_itself: bool,
}

/// Protected resource metadata.
#[derive(Debug, Deserialize)]
struct Resource {
    resource: String,
    #[serde(default)]
    authorization_servers: Vec<String>,
    #[serde(default)]
    scopes_supported: Vec<String>,
}

/// Authorization server metadata.
#[derive(Debug, Deserialize)]
struct Server {
    issuer: String,
    #[serde(default)]
    authorization_endpoint: String,
    #[serde(default)]
    token_endpoint: String,
    #[serde(default)]
    registration_endpoint: String,
    #[serde(default)]
    revocation_endpoint: String,
    #[serde(default)]
    token_endpoint_auth_methods_supported: Vec<String>,
    #[serde(default)]
    code_challenge_methods_supported: Vec<String>,
    #[serde(default)]
    scopes_supported: Vec<String>,
    #[serde(default)]
    client_id_metadata_document_supported: bool,
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
}

/// Asks a server as a client without a token would, for its challenge; empty where it lets anybody in or says nothing. Some let
/// everybody begin and refuse only what is asked then, so that it is asked for all that a look asks for.
pub async fn challenge(outbound: &Outbound, server: &Url) -> Challenge {
    let looked = tokio::time::timeout(CHALLENGE, client::look(outbound, server, &HeaderMap::new())).await;
    let refused = looked.ok().and_then(Result::err);
    let told = refused.as_ref().and_then(client::Trouble::challenge);
    told.map(Challenge::parse).unwrap_or_default()
}

/// Finds the authorization server of an MCP server.
///
/// # Errors
/// Says what of its documents cannot be believed or used.
pub async fn discover(
    outbound: &Outbound,
    server: &Url,
    challenge: &Challenge,
) -> Result<Discovered, Trouble> {
    let resource = protected_resource(outbound, server, challenge).await?;
    let (issuer, named) = match &resource {
        Some(resource) => match resource.authorization_servers.first() {
            Some(issuer) => (issuer.clone(), true),
            None => (origin(server), false),
        },
        None => (origin(server), false),
    };
    let found = authorization_server(outbound, &issuer).await?;
    let found = match found {
        Some(found) => found,
        // The first revision of the protocol: the endpoints are where nobody says that they are not.
        None if !named => usual(server),
        None => return Err(Trouble::NoDocument(issuer)),
    };
    let scopes = scopes(challenge, resource.as_ref(), &found);
    let usable = |url: &str, what| {
        outbound
            .policy()
            .parse(url)
            .map(|_| url.to_owned())
            .map_err(|_| Trouble::Endpoint(found.issuer.clone(), what))
    };
    let optional = |url: &str| outbound.policy().parse(url).map(|_| url.to_owned()).unwrap_or_default();
    Ok(Discovered {
        resource: resource.map(|resource| resource.resource).unwrap_or_default(),
        authorization_endpoint: usable(&found.authorization_endpoint, "authorization endpoint")?,
        token_endpoint: usable(&found.token_endpoint, "token endpoint")?,
        registration_endpoint: optional(&found.registration_endpoint),
        revocation_endpoint: optional(&found.revocation_endpoint),
        auth_methods: found.token_endpoint_auth_methods_supported,
        takes_document: found.client_id_metadata_document_supported,
        names_itself: found.authorization_response_iss_parameter_supported,
        scopes,
        issuer: found.issuer,
    })
}

async fn protected_resource(
    outbound: &Outbound,
    server: &Url,
    challenge: &Challenge,
) -> Result<Option<Resource>, Trouble> {
    let told = challenge.resource_metadata.as_deref().and_then(|url| server.join(url).ok());
    let path = server.path().trim_end_matches('/');
    let mut places: Vec<Url> = told.into_iter().collect();
    places.extend(at(server, &format!("/.well-known/oauth-protected-resource{path}")));
    places.extend(at(server, "/.well-known/oauth-protected-resource"));
    places.dedup();
    for place in places {
        let Some(document) = fetch::<Resource>(outbound, &place).await else { continue };
        if !speaks_for(&document.resource, server) {
            return Err(Trouble::Resource(place.to_string(), shown(&document.resource)));
        }
        return Ok(Some(document));
    }
    Ok(None)
}

/// Whether a document about a resource is about this server: the same origin, and the server at its path or below.
fn speaks_for(resource: &str, server: &Url) -> bool {
    let Ok(resource) = Url::parse(resource) else { return false };
    let below = |path: &str| format!("{}/", path.trim_end_matches('/'));
    resource.origin() == server.origin() && below(server.path()).starts_with(&below(resource.path()))
}

/// The document of an issuer, wherever it is.
async fn authorization_server(outbound: &Outbound, issuer: &str) -> Result<Option<Server>, Trouble> {
    let no_url = || Trouble::Endpoint(shown(issuer), "address");
    let url = outbound.policy().parse(issuer).map_err(|_| no_url())?;
    let path = url.path().trim_end_matches('/');
    let mut places: Vec<Url> = Vec::new();
    for document in ["oauth-authorization-server", "openid-configuration"] {
        places.extend(at(&url, &format!("/.well-known/{document}{path}")));
    }
    if !path.is_empty() {
        places.extend(at(&url, &format!("{path}/.well-known/openid-configuration")));
    }
    for place in places {
        let Some(document) = fetch::<Server>(outbound, &place).await else { continue };
        if document.issuer.trim_end_matches('/') != issuer.trim_end_matches('/') {
            return Err(Trouble::Issuer(place.to_string(), shown(&document.issuer)));
        }
        if !document.code_challenge_methods_supported.iter().any(|method| method == "S256") {
            return Err(Trouble::Pkce(document.issuer));
        }
        return Ok(Some(document));
    }
    Ok(None)
}

/// Where the endpoints are of a server that has no document (revision 2025-03-26).
fn usual(server: &Url) -> Server {
    let issuer = origin(server);
    let endpoint = |path: &str| format!("{issuer}{path}");
    Server {
        authorization_endpoint: endpoint("/authorize"),
        token_endpoint: endpoint("/token"),
        registration_endpoint: endpoint("/register"),
        revocation_endpoint: String::new(),
        token_endpoint_auth_methods_supported: Vec::new(),
        code_challenge_methods_supported: Vec::new(),
        scopes_supported: Vec::new(),
        client_id_metadata_document_supported: false,
        authorization_response_iss_parameter_supported: false,
        issuer,
    }
}

/// What the challenge asks for, else what the server lists; and what lets access last, where the provider has a word for that.
fn scopes(challenge: &Challenge, resource: Option<&Resource>, server: &Server) -> Vec<String> {
    let mut scopes = match (&challenge.scope, resource) {
        (Some(scope), _) => words(scope),
        (None, Some(resource)) => words(&resource.scopes_supported.join(" ")),
        (None, None) => Vec::new(),
    };
    let lasting = "offline_access".to_owned();
    if server.scopes_supported.contains(&lasting) && !scopes.contains(&lasting) {
        scopes.push(lasting);
    }
    scopes
}

/// The words of a scope, each once, without what no scope is made of (RFC 6749, 3.3).
#[must_use]
pub fn words(scope: &str) -> Vec<String> {
    let allowed = |word: &&str| word.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'"' | b'\\'));
    let (mut found, mut bytes): (Vec<String>, usize) = (Vec::new(), 0);
    for word in scope.split_whitespace().filter(allowed) {
        bytes += word.len() + 1;
        if bytes <= MAX_SCOPES && !found.iter().any(|known| known == word) {
            found.push(word.to_owned());
        }
    }
    found
}

fn origin(url: &Url) -> String {
    url.origin().ascii_serialization()
}

fn at(url: &Url, path: &str) -> Option<Url> {
    let mut url = url.clone();
    url.set_path(path);
    url.set_query(None);
    url.set_fragment(None);
    Some(url)
}

/// A document, if there is one of this form. What is wrong with another place is no reason not to look on.
async fn fetch<T: for<'de> Deserialize<'de>>(outbound: &Outbound, url: &Url) -> Option<T> {
    let answer = outbound.send(Outgoing::get(url.clone(), MAX_DOCUMENT, WITHIN)).await.ok()?;
    if answer.status != StatusCode::OK {
        return None;
    }
    serde_json::from_slice(&answer.body).ok()
}

/// An address of a stranger, for people.
fn shown(text: &str) -> String {
    text.chars().filter(|c| c.is_ascii_graphic()).take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_speaks_for_its_own_server_and_what_is_below() {
        let server = Url::parse("https://mcp.example/tools/mcp").unwrap();
        for good in [
            "https://mcp.example",
            "https://mcp.example/",
            "https://mcp.example/tools",
            "https://mcp.example/tools/mcp",
        ] {
            assert!(speaks_for(good, &server), "{good}");
        }
        for bad in [
            "https://evil.example/tools/mcp",
            "http://mcp.example/tools/mcp",
            "https://mcp.example/tool",
            "https://mcp.example/tools/mcp/2",
            "",
            "nonsense",
        ] {
            assert!(!speaks_for(bad, &server), "{bad}");
        }
    }

    #[test]
    fn what_the_challenge_asks_for_goes_before_what_is_listed() {
        let resource = Resource {
            resource: String::new(),
            authorization_servers: Vec::new(),
            scopes_supported: vec!["read".into(), "write".into()],
        };
        let mut server = usual(&Url::parse("https://mcp.example/mcp").unwrap());
        assert_eq!(server.token_endpoint, "https://mcp.example/token");
        let asked = Challenge { scope: Some("read read \"x".into()), ..Challenge::default() };
        assert_eq!(scopes(&asked, Some(&resource), &server), ["read"]);
        server.scopes_supported = vec!["offline_access".into()];
        let none = Challenge::default();
        assert_eq!(scopes(&none, Some(&resource), &server), ["read", "write", "offline_access"]);
        assert_eq!(scopes(&none, None, &server), ["offline_access"]);
    }
}
