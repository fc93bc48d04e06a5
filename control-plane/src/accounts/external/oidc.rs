//! The client of OpenID Connect providers: their documents and keys, the way there with PKCE, and back from a code to claims.
//!
//! Whatever a provider says of itself is checked before it is used: its document must name the issuer that was asked for, and
//! its endpoints must be addresses that may be called, since a browser and a secret are sent there. Knows nothing of accounts.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{HeaderValue, StatusCode, header};
use moka::future::Cache;
use moka::ops::compute::{CompResult, Op};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use url::Url;

use super::id_token::{self, Claims, Expected, Issuer, Key, Refusal};
use super::providers::Registration;
use crate::credentials::token;
use crate::error::{Error, Result};
use crate::outbound::{Outbound, OutboundError, Outgoing};

/// Longest wait for one answer of a provider.
const WITHIN: Duration = Duration::from_secs(8);

/// Most bytes of a provider's answers.
const MAX_ANSWER: usize = 128 * 1024;

/// How long a provider's document and keys are believed without asking again.
const FRESH: Duration = Duration::from_secs(3600);

/// Keys are asked for again at most so often when a token names one that is not known.
const REFETCH: Duration = Duration::from_secs(60);

/// What a provider's discovery document says, as far as we need it.
#[derive(Clone, Debug, Deserialize)]
pub struct Document {
    pub issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    jwks_uri: String,
    userinfo_endpoint: Option<String>,
    #[serde(default)]
    token_endpoint_auth_methods_supported: Vec<String>,
    #[serde(default)]
    scopes_supported: Vec<String>,
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
}

/// The keys of one provider, and when they were fetched.
#[derive(Clone)]
struct Keys {
    keys: Arc<Vec<Key>>,
    fetched: Instant,
}

/// What a login needs to go out and come back.
pub struct Secrets<'a> {
    pub state: &'a str,
    pub nonce: &'a str,
    pub verifier: &'a str,
    pub redirect_uri: &'a str,
}

/// Talks to providers. Cheap to clone; clones share what is cached.
#[derive(Clone)]
pub struct Oidc {
    outbound: Outbound,
    documents: Cache<String, Arc<Document>>,
    keys: Cache<String, Keys>,
}

#[derive(Deserialize)]
struct TokenAnswer {
    #[serde(default)]
    id_token: Option<String>,
    #[serde(default)]
    access_token: Option<String>,
    #[serde(default)]
    error: Option<String>,
}

impl Oidc {
    #[must_use]
    pub fn new(outbound: Outbound) -> Self {
        let documents = Cache::builder().max_capacity(1000).time_to_live(FRESH).build();
        let keys = Cache::builder().max_capacity(1000).time_to_live(FRESH).build();
        Self { outbound, documents, keys }
    }

    /// A provider's document, from the cache where it is fresh. Only a provider that is known to be `shared` may leave its
    /// issuer to the tokens.
    ///
    /// # Errors
    /// `Refused` with what is wrong with it.
    pub async fn document(&self, issuer: &str, shared: bool) -> Result<Arc<Document>> {
        let fetched = self.documents.try_get_with_by_ref(issuer, self.discover(issuer)).await;
        let document = fetched.map_err(|error| Error::Refused(super::said(&error)))?;
        let exact = document.issuer == issuer;
        if exact || (shared && is_template_of(&document.issuer, issuer)) {
            return Ok(document);
        }
        Err(Error::Refused(
            "The discovery document names another issuer. Enter the issuer exactly as the provider writes it."
                .to_owned(),
        ))
    }

    /// Forgets what is known of a provider, so that a change there is seen at once.
    pub async fn forget(&self, issuer: &str) {
        if let Some(document) = self.documents.remove(issuer).await {
            self.keys.invalidate(&document.jwks_uri).await;
        }
    }

    async fn discover(&self, issuer: &str) -> Result<Arc<Document>> {
        let base = issuer.trim_end_matches('/');
        let url = self.address(&format!("{base}/.well-known/openid-configuration"), "the issuer")?;
        let answer = self.outbound.send(Outgoing::get(url, MAX_ANSWER, WITHIN)).await.map_err(unreachable)?;
        if answer.status != StatusCode::OK {
            return Err(Error::Refused(format!(
                "The provider has no discovery document at {base}/.well-known/openid-configuration: it answers {}.",
                answer.status.as_u16()
            )));
        }
        let document: Document = serde_json::from_slice(&answer.body).map_err(|_| {
            Error::Refused(
                "The provider's discovery document is not what OpenID Connect asks for.".to_owned(),
            )
        })?;
        // Before anything is sent to any of them.
        self.address(&document.authorization_endpoint, "the authorization endpoint")?;
        self.address(&document.token_endpoint, "the token endpoint")?;
        self.address(&document.jwks_uri, "the address of the keys")?;
        if let Some(endpoint) = &document.userinfo_endpoint {
            self.address(endpoint, "the userinfo endpoint")?;
        }
        Ok(Arc::new(document))
    }

    /// An address that may be called, and that a browser may be sent to: never `javascript:`, and plain HTTP only where an
    /// operator allows it.
    fn address(&self, text: &str, what: &str) -> Result<Url> {
        self.outbound
            .policy()
            .parse(text)
            .map_err(|error| Error::Refused(format!("The provider cannot be used: {what}: {error}.")))
    }

    /// Where the browser goes to log in.
    ///
    /// # Errors
    /// `Refused` with what is wrong with the provider.
    pub async fn way_there(
        &self,
        client: &Registration,
        secrets: &Secrets<'_>,
        wants_groups: bool,
    ) -> Result<Url> {
        let document = self.document(&client.issuer, client.shared).await?;
        let mut scope = "openid email profile".to_owned();
        if wants_groups && document.scopes_supported.iter().any(|known| known == "groups") {
            scope.push_str(" groups");
        }
        let mut url = self.address(&document.authorization_endpoint, "the authorization endpoint")?;
        url.set_fragment(None);
        url.query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", &client.client_id)
            .append_pair("redirect_uri", secrets.redirect_uri)
            .append_pair("scope", &scope)
            .append_pair("state", secrets.state)
            .append_pair("nonce", secrets.nonce)
            .append_pair("code_challenge", &challenge(secrets.verifier))
            .append_pair("code_challenge_method", "S256");
        Ok(url)
    }

    /// From the code that the browser brought back to the claims of who logged in. `iss` is the provider's name for itself in
    /// the answer, where it gave one (RFC 9207). `wanted` is a claim that is also looked for in the user info.
    ///
    /// # Errors
    /// `Refused` with what was wrong.
    pub async fn way_back(
        &self,
        client: &Registration,
        secrets: &Secrets<'_>,
        code: &str,
        iss: Option<&str>,
        wanted: &str,
    ) -> Result<Claims> {
        let document = self.document(&client.issuer, client.shared).await?;
        let templated = client.shared && document.issuer.contains(id_token::DIRECTORY);
        match iss {
            // Of a provider for many directories only the token says which one it was.
            Some(iss) if iss != document.issuer && !templated => return Err(mixed_up()),
            None if document.authorization_response_iss_parameter_supported => return Err(mixed_up()),
            _ => {}
        }
        let answer = self.redeem(client, &document, secrets, code).await?;
        let token = answer.id_token.ok_or_else(|| {
            Error::Refused(
                "The provider answered without an ID token. Is the scope openid allowed?".to_owned(),
            )
        })?;
        let issuer = if templated {
            Issuer::PerDirectory(document.issuer.clone())
        } else {
            Issuer::Exactly(document.issuer.clone())
        };
        let expected = Expected { issuer: &issuer, client_id: &client.client_id, nonce: secrets.nonce };
        let mut claims = self.checked(&token, &document.jwks_uri, &expected).await?;
        if !wanted.is_empty() && !claims.contains_key(wanted) {
            let access = answer.access_token.map(SecretString::from);
            self.look_up(&document, access.as_ref(), wanted, &mut claims).await;
        }
        Ok(claims)
    }

    async fn redeem(
        &self,
        client: &Registration,
        document: &Document,
        secrets: &Secrets<'_>,
        code: &str,
    ) -> Result<TokenAnswer> {
        let mut fields = vec![
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", secrets.redirect_uri),
            ("code_verifier", secrets.verifier),
        ];
        let methods = &document.token_endpoint_auth_methods_supported;
        let by_post = methods.iter().any(|method| method == "client_secret_post");
        let secret = client.client_secret.as_ref();
        if by_post || secret.is_none() {
            fields.push(("client_id", &client.client_id));
        }
        if let (true, Some(secret)) = (by_post, secret) {
            fields.push(("client_secret", secret.expose_secret()));
        }
        let url = self.address(&document.token_endpoint, "the token endpoint")?;
        let mut request = Outgoing::form(url, &fields, MAX_ANSWER, WITHIN);
        if let (false, Some(secret)) = (by_post, secret) {
            request.headers.insert(header::AUTHORIZATION, basic(&client.client_id, secret)?);
        }
        let answer = self.outbound.send(request).await.map_err(unreachable)?;
        let status = answer.status;
        let answer: TokenAnswer = serde_json::from_slice(&answer.body).map_err(|_| {
            Error::Refused(format!("The provider's token endpoint answers {} without JSON.", status.as_u16()))
        })?;
        match answer.error.as_deref() {
            None if status == StatusCode::OK => Ok(answer),
            error => Err(Error::Refused(format!(
                "The provider does not take the code: {}. Compare the client id and secret.",
                super::code_word(error.unwrap_or("no reason given"))
            ))),
        }
    }

    /// The token's claims. A key that is not known may be a new one: the keys are then asked for again, at most once a minute
    /// however many tokens name unknown keys.
    async fn checked(&self, token: &str, uri: &str, expected: &Expected<'_>) -> Result<Claims> {
        let refused = |refusal: Refusal| Error::Refused(format!("The login cannot be used: {refusal}."));
        let keys = self.keys(uri, FRESH).await?;
        match id_token::verify(token, &keys, expected) {
            Err(Refusal::UnknownKey) => {
                let keys = self.keys(uri, REFETCH).await?;
                id_token::verify(token, &keys, expected).map_err(refused)
            }
            other => other.map_err(refused),
        }
    }

    /// The keys at an address, not older than this. One request at a time for each address; where it fails, what is known
    /// stays.
    async fn keys(&self, uri: &str, newer_than: Duration) -> Result<Arc<Vec<Key>>> {
        let fetched = self
            .keys
            .entry_by_ref(uri)
            .and_try_compute_with(|known| async move {
                let known = known.map(moka::Entry::into_value);
                if known.as_ref().is_some_and(|keys| keys.fetched.elapsed() < newer_than) {
                    return Ok(Op::Nop);
                }
                match (self.fetch_keys(uri).await, known) {
                    (Ok(keys), _) => Ok(Op::Put(Keys { keys: Arc::new(keys), fetched: Instant::now() })),
                    (Err(_), Some(known)) => Ok(Op::Put(Keys { fetched: Instant::now(), ..known })),
                    (Err(error), None) => Err(error),
                }
            })
            .await?;
        match fetched {
            CompResult::Inserted(entry) | CompResult::ReplacedWith(entry) | CompResult::Unchanged(entry) => {
                Ok(entry.into_value().keys)
            }
            CompResult::Removed(_) | CompResult::StillNone(_) => Ok(Arc::default()),
        }
    }

    async fn fetch_keys(&self, uri: &str) -> Result<Vec<Key>> {
        let url = self.address(uri, "the address of the keys")?;
        let answer = self.outbound.send(Outgoing::get(url, MAX_ANSWER, WITHIN)).await.map_err(unreachable)?;
        let document = serde_json::from_slice(&answer.body).ok().filter(|_| answer.status == StatusCode::OK);
        let document: serde_json::Value =
            document.ok_or_else(|| Error::Refused("The provider's keys cannot be read.".to_owned()))?;
        Ok(id_token::keys(&document))
    }

    /// Adds a claim from the user info, which some providers keep out of the token for its size. Only of the same subject;
    /// without an answer the claim stays missing.
    async fn look_up(
        &self,
        document: &Document,
        access: Option<&SecretString>,
        wanted: &str,
        claims: &mut Claims,
    ) {
        let (Some(endpoint), Some(access)) = (&document.userinfo_endpoint, access) else { return };
        let Ok(url) = self.address(endpoint, "the userinfo endpoint") else { return };
        let mut request = Outgoing::get(url, MAX_ANSWER, WITHIN);
        let Ok(bearer) = bearer(access) else { return };
        request.headers.insert(header::AUTHORIZATION, bearer);
        let Ok(answer) = self.outbound.send(request).await else { return };
        let found: Option<Claims> = serde_json::from_slice(&answer.body).ok();
        let same =
            found.filter(|found| answer.status == StatusCode::OK && found.get("sub") == claims.get("sub"));
        if let Some(value) = same.and_then(|mut found| found.remove(wanted)) {
            claims.insert(wanted.to_owned(), value);
        }
    }
}

/// Whether a document speaks for all directories of the provider that was asked for: Microsoft's `common`, `organizations`
/// and `consumers` do, with an issuer that each token fills in.
fn is_template_of(issuer: &str, asked: &str) -> bool {
    ["common", "organizations", "consumers"].iter().any(|all| {
        asked.split('/').filter(|part| part == all).count() == 1
            && asked.replacen(&format!("/{all}/"), &format!("/{}/", id_token::DIRECTORY), 1) == issuer
    })
}

/// The S256 challenge of a PKCE verifier.
pub(super) fn challenge(verifier: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(token::hash(verifier))
}

/// RFC 6749, 2.3.1: both halves are form-encoded before they are joined.
fn basic(id: &str, secret: &SecretString) -> Result<HeaderValue> {
    use base64::Engine as _;
    let encoded = |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let pair = zeroize::Zeroizing::new(format!("{}:{}", encoded(id), encoded(secret.expose_secret())));
    let mut value =
        HeaderValue::try_from(format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(&*pair)))
            .map_err(Error::internal)?;
    value.set_sensitive(true);
    Ok(value)
}

pub(super) fn bearer(access: &SecretString) -> Result<HeaderValue> {
    let value = HeaderValue::try_from(format!("Bearer {}", access.expose_secret()));
    let mut value = value.map_err(|_| Error::Refused("The provider's token cannot be used.".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}

/// An answer of another provider than the one that was asked (RFC 9207).
fn mixed_up() -> Error {
    Error::Refused("The answer came from another provider than the one that was asked.".to_owned())
}

pub(super) fn unreachable(error: OutboundError) -> Error {
    match error {
        OutboundError::Busy => Error::Busy,
        error => Error::Refused(format!("The provider cannot be reached: {error}.")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_microsofts_shared_addresses_may_have_a_template_as_issuer() {
        let template = "https://login.microsoftonline.com/{tenantid}/v2.0";
        assert!(is_template_of(template, "https://login.microsoftonline.com/common/v2.0"));
        assert!(is_template_of(template, "https://login.microsoftonline.com/organizations/v2.0"));
        assert!(!is_template_of(template, "https://login.microsoftonline.com/8f0c/v2.0"));
        assert!(!is_template_of(template, "https://evil.example/common/v2.0"));
        assert!(!is_template_of("https://evil.example/{tenantid}", "https://good.example/common/v2.0"));
    }

    #[tokio::test]
    async fn a_provider_at_a_private_address_or_without_https_is_not_asked() {
        let policy = toolmesh_proto::egress::EgressPolicy { allow_private: false };
        let oidc = Oidc::new(Outbound::new(policy, b"").unwrap());
        for issuer in [
            "http://id.example",
            "https://127.0.0.1",
            "https://169.254.169.254",
            "https://localhost",
            "https://id.example:22",
            "javascript:alert(1)",
            "",
        ] {
            assert!(matches!(oidc.document(issuer, false).await, Err(Error::Refused(_))), "{issuer}");
        }
    }

    #[test]
    fn a_challenge_is_the_one_of_the_standard() {
        // RFC 7636, appendix B.
        assert_eq!(
            challenge("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"),
            "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
        );
    }

    #[test]
    fn a_clients_name_and_secret_are_encoded_before_they_are_joined() {
        let value = basic("a:b", &SecretString::from("c d")).unwrap();
        // base64 of "a%3Ab:c+d"
        assert_eq!(value.to_str().unwrap(), "Basic YSUzQWI6Yytk");
    }
}
