//! An OpenID Connect provider of our own, for what no provider written by others does on demand: it says whatever a test wants
//! of anybody, and it lies in every way a provider can lie. Its pages have nobody in front of them: a test takes the address
//! that the console sends the browser to, says who logs in there, and gets the address that the browser comes back to.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use aws_lc_rs::{digest, hmac};
use axum::extract::{Form, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::StatusCode;
use serde_json::{Map, Value, json};
use url::Url;

/// How an ID token is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Signed {
    #[default]
    Right,
    /// `alg: none`
    Not,
    /// HS256, with what everybody knows of the public key.
    WithPublicKey,
    /// By a key that is not published, under the published one's name.
    ByStranger,
    /// By a key with a name that is not published.
    ByUnknown,
}

/// Somebody who logs in: what is said of them, beside what the flow itself gives.
#[derive(Debug, Clone, Default)]
pub struct Login {
    /// Claims, which win over those of the flow; null leaves one out.
    pub claims: Value,
    pub signed: Signed,
}

struct Started {
    login: Login,
    challenge: String,
    client_id: String,
    nonce: String,
}

struct Inner {
    url: String,
    key: SigningKey,
    stranger: SigningKey,
    codes: Mutex<HashMap<String, Started>>,
    document: Mutex<Value>,
    /// What the published key says of who may sign with it; Microsoft's do.
    key_issuer: Option<String>,
    keys_fetched: Mutex<u32>,
}

/// The running provider.
pub struct IdentityProvider {
    pub url: String,
    inner: Arc<Inner>,
}

/// The client that it knows; any secret but this is refused.
pub const SECRET: &str = "the-secret-of-the-client";

fn held<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Serves on a thread of its own until the test process ends: tests share what it serves, and each has its own runtime.
///
/// # Errors
/// When the listener cannot be used so.
pub(crate) fn serve(listener: std::net::TcpListener, app: Router) -> Result<()> {
    listener.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::spawn(move || {
        runtime.block_on(async move {
            if let Ok(listener) = tokio::net::TcpListener::from_std(listener) {
                let _ = axum::serve(listener, app).await;
            }
        });
    });
    Ok(())
}

/// A key that signs ES256, published under the name 1.
pub(crate) struct SigningKey(EcdsaKeyPair);

impl SigningKey {
    pub(crate) fn new() -> Result<Self> {
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())?;
        Ok(Self(EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref())?))
    }

    pub(crate) fn jwk(&self) -> Value {
        // An uncompressed point: a byte that says so, then both coordinates.
        let (x, y) = self.0.public_key().as_ref()[1..].split_at(32);
        json!({
            "kty": "EC", "crv": "P-256", "kid": "1", "use": "sig", "alg": "ES256",
            "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y),
        })
    }

    /// A token's head with the signature behind it.
    pub(crate) fn sign(&self, random: &SystemRandom, head: &str) -> Result<String> {
        let signature = self.0.sign(random, head.as_bytes())?;
        Ok(format!("{head}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

/// The two parts of a token that are signed.
pub(crate) fn head(alg: &str, kid: &str, claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}", part(&json!({ "alg": alg, "kid": kid, "typ": "JWT" })), part(claims))
}

impl IdentityProvider {
    /// Starts one that lives as long as the test process: tests share it, and each has a runtime of its own.
    ///
    /// # Errors
    /// When there is no free port.
    pub fn start() -> Result<Self> {
        Self::with_issuer(None)
    }

    /// Starts one of Microsoft's shape: one document and one key for all directories, with an issuer that each token fills in.
    /// Clients know it as `{url}/common/v2.0`.
    ///
    /// # Errors
    /// When there is no free port.
    pub fn microsoft() -> Result<Self> {
        Self::with_issuer(Some("/{tenantid}/v2.0"))
    }

    /// What a token of one of its directories calls its issuer.
    #[must_use]
    pub fn issuer_of(&self, directory: &str) -> String {
        format!("{}/{directory}/v2.0", self.url)
    }

    fn with_issuer(template: Option<&str>) -> Result<Self> {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let url = format!("http://127.0.0.1:{}", listener.local_addr()?.port());
        let issuer = format!("{url}{}", template.unwrap_or_default());
        let document = json!({
            "issuer": issuer,
            "authorization_endpoint": format!("{url}/authorize"),
            "token_endpoint": format!("{url}/token"),
            "jwks_uri": format!("{url}/keys"),
            "token_endpoint_auth_methods_supported": ["client_secret_basic"],
        });
        let inner = Arc::new(Inner {
            url: url.clone(),
            key: SigningKey::new()?,
            stranger: SigningKey::new()?,
            codes: Mutex::default(),
            document: Mutex::new(document),
            key_issuer: template.map(|_| issuer),
            keys_fetched: Mutex::default(),
        });
        let app = Router::new()
            .route("/.well-known/openid-configuration", get(discovery))
            .route("/common/v2.0/.well-known/openid-configuration", get(discovery))
            .route("/keys", get(published))
            .route("/token", post(token))
            .with_state(Arc::clone(&inner));
        serve(listener, app)?;
        Ok(Self { url, inner })
    }

    /// Changes its discovery document.
    pub fn change(&self, name: &str, value: Value) {
        held(&self.inner.document)[name] = value;
    }

    /// How often its keys were asked for.
    #[must_use]
    pub fn keys_fetched(&self) -> u32 {
        *held(&self.inner.keys_fetched)
    }

    /// Whether nobody has brought the code of this way back to the token endpoint yet.
    #[must_use]
    pub fn is_unredeemed(&self, back: &Url) -> bool {
        let code = back.query_pairs().find(|(name, _)| name == "code");
        code.is_some_and(|(_, code)| held(&self.inner.codes).contains_key(&*code))
    }

    /// Somebody logs in at the address that the browser was sent to. Answers where the browser goes back to.
    ///
    /// # Errors
    /// When the address lacks what the protocol asks for.
    pub fn log_in(&self, address: &Url, login: Login) -> Result<Url> {
        let query: HashMap<String, String> = address.query_pairs().into_owned().collect();
        let get = |name: &str| query.get(name).cloned().with_context(|| format!("no {name} in {address}"));
        anyhow::ensure!(get("code_challenge_method")? == "S256", "no PKCE: {address}");
        anyhow::ensure!(get("response_type")? == "code", "another flow: {address}");
        let code = uuid::Uuid::new_v4().simple().to_string();
        let started = Started {
            login,
            challenge: get("code_challenge")?,
            client_id: get("client_id")?,
            nonce: get("nonce")?,
        };
        held(&self.inner.codes).insert(code.clone(), started);
        let mut back = Url::parse(&get("redirect_uri")?)?;
        back.query_pairs_mut().append_pair("code", &code).append_pair("state", &get("state")?);
        Ok(back)
    }
}

async fn discovery(State(inner): State<Arc<Inner>>) -> Json<Value> {
    Json(held(&inner.document).clone())
}

async fn published(State(inner): State<Arc<Inner>>) -> Json<Value> {
    *held(&inner.keys_fetched) += 1;
    let mut key = inner.key.jwk();
    if let Some(issuer) = &inner.key_issuer {
        key["issuer"] = json!(issuer);
    }
    Json(json!({ "keys": [key] }))
}

type Answer = (StatusCode, Json<Value>);

async fn token(
    State(inner): State<Arc<Inner>>,
    headers: http::HeaderMap,
    Form(form): Form<HashMap<String, String>>,
) -> Answer {
    let refuse = |error: &str| (StatusCode::BAD_REQUEST, Json(json!({ "error": error })));
    let field = |name: &str| form.get(name).map(String::as_str).unwrap_or_default();
    let Some(started) = held(&inner.codes).remove(field("code")) else { return refuse("invalid_grant") };
    let expected =
        base64::engine::general_purpose::STANDARD.encode(format!("{}:{SECRET}", started.client_id));
    let given = headers.get("authorization").and_then(|value| value.to_str().ok());
    if given != Some(format!("Basic {expected}").as_str()) {
        return refuse("invalid_client");
    }
    let verifier = digest::digest(&digest::SHA256, field("code_verifier").as_bytes());
    if URL_SAFE_NO_PAD.encode(verifier) != started.challenge {
        return refuse("invalid_grant");
    }
    match id_token(&inner, &started) {
        Ok(token) => {
            (StatusCode::OK, Json(json!({ "access_token": "a", "token_type": "Bearer", "id_token": token })))
        }
        Err(_) => refuse("server_error"),
    }
}

fn id_token(inner: &Inner, started: &Started) -> Result<String> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs();
    let mut claims = Map::new();
    let usual = json!({
        "iss": inner.url, "aud": started.client_id, "nonce": started.nonce, "iat": now, "exp": now + 300,
    });
    for (name, value) in usual.as_object().into_iter().chain(started.login.claims.as_object()).flatten() {
        claims.insert(name.clone(), value.clone());
    }
    claims.retain(|_, value| !value.is_null());
    let (alg, kid) = match started.login.signed {
        Signed::Right | Signed::ByStranger => ("ES256", "1"),
        Signed::ByUnknown => ("ES256", "unknown"),
        Signed::Not => ("none", "1"),
        Signed::WithPublicKey => ("HS256", "1"),
    };
    let head = head(alg, kid, &Value::Object(claims));
    let random = SystemRandom::new();
    match started.login.signed {
        Signed::Right => inner.key.sign(&random, &head),
        Signed::ByStranger | Signed::ByUnknown => inner.stranger.sign(&random, &head),
        Signed::Not => Ok(format!("{head}.")),
        Signed::WithPublicKey => {
            let secret = hmac::Key::new(hmac::HMAC_SHA256, inner.key.jwk().to_string().as_bytes());
            let signature = hmac::sign(&secret, head.as_bytes());
            Ok(format!("{head}.{}", URL_SAFE_NO_PAD.encode(signature)))
        }
    }
}
