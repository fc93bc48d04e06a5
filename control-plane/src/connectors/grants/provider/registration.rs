//! This deployment as a client: the document that its id names, and registering where that is not taken (RFC 7591).

use std::time::Duration;

use http::{HeaderValue, Method, StatusCode, header};
use secrecy::SecretString;
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::discovery::Discovered;
use crate::outbound::{Outbound, Outgoing};

/// Where the document is, below the console's origin.
pub const DOCUMENT: &str = "/client-metadata.json";

const MAX_ANSWER: usize = 128 * 1024;
const WITHIN: Duration = Duration::from_secs(8);
/// Longest id or secret that is kept, in bytes.
const MAX_NAME: usize = 2048;

/// How a client shows who it is at the token endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientAuth {
    None,
    Basic,
    Post,
}

impl ClientAuth {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Basic => "client_secret_basic",
            Self::Post => "client_secret_post",
        }
    }

    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::None, Self::Basic, Self::Post].into_iter().find(|method| method.as_str() == text)
    }

    /// The best of those that a provider takes; one that lists none takes basic authentication (RFC 8414).
    #[must_use]
    pub fn choose(supported: &[String], has_secret: bool) -> Self {
        let takes = |method: Self| supported.iter().any(|one| one == method.as_str());
        match has_secret {
            false => Self::None,
            true if supported.is_empty() || takes(Self::Basic) => Self::Basic,
            true if takes(Self::Post) => Self::Post,
            true => Self::Basic,
        }
    }
}

/// A client of an authorization server.
#[derive(Clone, Debug)]
pub struct Client {
    pub id: String,
    pub secret: Option<SecretString>,
    pub method: ClientAuth,
    /// When the secret ends.
    pub expires_at: Option<OffsetDateTime>,
}

/// What this deployment says of itself.
#[must_use]
pub fn metadata(console_origin: &str) -> Value {
    json!({
        "client_name": "ToolMesh",
        "client_uri": console_origin,
        "logo_uri": format!("{console_origin}/static/favicon.svg"),
        "redirect_uris": [format!("{console_origin}/connections/callback")],
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "application_type": "web",
    })
}

/// The document that our id as a client names.
#[must_use]
pub fn document(console_origin: &str) -> Value {
    let mut document = metadata(console_origin);
    document["client_id"] = json!(format!("{console_origin}{DOCUMENT}"));
    document["token_endpoint_auth_method"] = json!("none");
    document
}

/// The client whose id is the address of our document, where the provider takes that and can read it: by https.
#[must_use]
pub fn by_document(found: &Discovered, console_origin: &str) -> Option<Client> {
    let can = found.takes_document && console_origin.starts_with("https://");
    can.then(|| Client {
        id: format!("{console_origin}{DOCUMENT}"),
        secret: None,
        method: ClientAuth::None,
        expires_at: None,
    })
}

/// Registers this deployment with a provider.
///
/// # Errors
/// Says what kept it from being done, for people.
pub async fn register(
    outbound: &Outbound,
    found: &Discovered,
    console_origin: &str,
) -> Result<Client, String> {
    let no = |why: &str| format!("{} did not register ToolMesh: {why}", found.issuer);
    let url = outbound
        .policy()
        .parse(&found.registration_endpoint)
        .map_err(|_| no("its registration endpoint is an address that is not called"))?;
    let wanted = match found.auth_methods.as_slice() {
        [only] if only == "none" => ClientAuth::None,
        supported => ClientAuth::choose(supported, true),
    };
    let mut body = metadata(console_origin);
    body["token_endpoint_auth_method"] = json!(wanted.as_str());
    if !found.scopes.is_empty() {
        body["scope"] = json!(found.scopes.join(" "));
    }
    let mut request = Outgoing::get(url, MAX_ANSWER, WITHIN);
    request.method = Method::POST;
    request.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    request.body = Some(body.to_string().into());
    let answer = outbound.send(request).await.map_err(|error| no(&error.to_string()))?;
    let told: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    if answer.status != StatusCode::CREATED && answer.status != StatusCode::OK {
        let code = told["error"].as_str().map(super::super::exchange::code_word);
        let status = format!("status {}", answer.status.as_u16());
        return Err(no(code.unwrap_or(&status)));
    }
    read(&told, wanted).ok_or_else(|| no("it answered without a client id"))
}

fn read(told: &Value, wanted: ClientAuth) -> Option<Client> {
    let text = |name: &str| {
        let text = told[name].as_str().filter(|text| (1..=MAX_NAME).contains(&text.len()))?;
        text.bytes().all(|b| b.is_ascii_graphic() || b == b' ').then(|| text.to_owned())
    };
    let secret = text("client_secret");
    let method = match told["token_endpoint_auth_method"].as_str() {
        Some(method) => ClientAuth::parse(method)?,
        None if secret.is_none() => ClientAuth::None,
        None => wanted,
    };
    let ends = told["client_secret_expires_at"].as_i64().filter(|ends| *ends > 0);
    Some(Client {
        id: text("client_id")?,
        method: if secret.is_none() { ClientAuth::None } else { method },
        secret: secret.filter(|_| method != ClientAuth::None).map(SecretString::from),
        expires_at: ends.and_then(|ends| OffsetDateTime::from_unix_timestamp(ends).ok()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_names_itself_and_one_way_back() {
        let document = document("https://console.example");
        assert_eq!(document["client_id"], "https://console.example/client-metadata.json");
        assert_eq!(document["redirect_uris"], json!(["https://console.example/connections/callback"]));
        assert_eq!(document["token_endpoint_auth_method"], "none");
        assert!(document.get("client_secret").is_none());
        let takes = Discovered { takes_document: true, ..Discovered::default() };
        assert!(by_document(&takes, "https://console.example").is_some());
        assert!(by_document(&takes, "http://localhost:8080").is_none());
        assert!(by_document(&Discovered::default(), "https://console.example").is_none());
    }

    #[test]
    fn the_way_to_show_a_secret_is_one_that_the_provider_takes() {
        let list = |methods: &[&str]| methods.iter().map(|m| (*m).to_owned()).collect::<Vec<_>>();
        for (supported, has_secret, method) in [
            (list(&[]), true, ClientAuth::Basic),
            (list(&["client_secret_post"]), true, ClientAuth::Post),
            (list(&["none", "client_secret_basic", "client_secret_post"]), true, ClientAuth::Basic),
            (list(&["client_secret_basic"]), false, ClientAuth::None),
        ] {
            assert_eq!(ClientAuth::choose(&supported, has_secret), method, "{supported:?}");
        }
    }

    #[test]
    fn a_registration_is_read_as_providers_write_it() {
        let read = |told: Value| read(&told, ClientAuth::Basic);
        let client =
            read(json!({"client_id": "a", "client_secret": "s", "client_secret_expires_at": 0})).unwrap();
        assert_eq!((client.method, client.expires_at), (ClientAuth::Basic, None));
        let client = read(json!({"client_id": "a", "token_endpoint_auth_method": "none"})).unwrap();
        assert!(client.secret.is_none() && client.method == ClientAuth::None);
        assert!(read(json!({"client_secret": "s"})).is_none());
        assert!(read(json!({"client_id": "a\nb"})).is_none());
        assert!(read(json!({"client_id": "a", "token_endpoint_auth_method": "private_key_jwt"})).is_none());
    }
}
